"""The rig itself: Asterisk, phones and mail server do what the other tests take for granted."""

import os
from email.message import EmailMessage
from pathlib import Path

import aiosmtplib
import pytest

from asterisk_conf.render import PhoneAccount
from centralino.rig import audio
from centralino.rig.asterisk import AsteriskServer
from centralino.rig.errors import AsteriskFailed, PhoneFailed
from centralino.rig.mail import MailCatcher
from centralino.rig.phone import Event, Phone
from centralino.rig.ports import PortRange
from centralino.rig.speech import transcripts, utterance

pytestmark = pytest.mark.contract


def children() -> list[str]:
    """The names of the processes this one has started and not yet ended."""
    own = os.getpid()
    numbers = Path(f"/proc/{own}/task/{own}/children").read_text().split()
    return [Path(f"/proc/{number}/comm").read_text().strip() for number in numbers]


async def test_asterisk_restarts_on_the_same_ports_and_leaves_nothing_behind(
    tmp_path: Path, phone_accounts: list[PhoneAccount]
) -> None:
    async with AsteriskServer(tmp_path, phones=phone_accounts) as server:
        before, port = server.pid, server.sip_port
        assert "Asterisk" in await server.cli("core show version")
        await server.restart()
        assert (server.pid != before, server.sip_port) == (True, port)
        assert await server.channel_names() == []
        run = server.site.private.run if server.site.private else None
    assert run is not None
    assert not run.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(before, 0)
    assert children() == []


async def test_asterisk_comes_back_after_a_kill(asterisk: AsteriskServer) -> None:
    await asterisk.kill()
    with pytest.raises(AsteriskFailed, match="is not running"):
        _ = asterisk.pid
    await asterisk.start()
    assert await asterisk.channel_names() == []


async def test_an_asterisk_that_does_not_start_shows_its_log(tmp_path: Path) -> None:
    async with AsteriskServer(tmp_path) as server:
        await server.stop()
        (tmp_path / "var/astdb.sqlite3").unlink()
        (tmp_path / "var/astdb.sqlite3").mkdir()  # its own database cannot be opened
        with pytest.raises(AsteriskFailed, match=r"(?s)is not running.*astdb"):
            await server.start()


async def test_two_phones_hear_each_other_word_for_word(asterisk: AsteriskServer) -> None:
    caller_says, agent_says = utterance("festival-063"), utterance("espeak-013")
    async with (
        Phone("101", asterisk, password=asterisk.password_of("101"), wav=caller_says) as caller,
        Phone("102", asterisk, password=asterisk.password_of("102"), wav=agent_says, answer="manual") as agent,
    ):
        await caller.call("102")
        ringing = await agent.wait_for(Event.RINGING)
        assert ringing.peer.startswith("sip:101@")
        await agent.answer()
        established = await caller.wait_for(Event.ESTABLISHED)
        assert established.at >= ringing.at
        assert len(await asterisk.channel_names()) == 2
        # The longer utterance must have been said to its end: the call itself takes that time.
        with pytest.raises(TimeoutError):
            await caller.wait_for(Event.CLOSED, within=audio.seconds(agent_says) + 0.5)
        await caller.hang_up()
        await agent.wait_for(Event.CLOSED)
        await caller.wait_for(Event.CLOSED)
        assert audio.similarity(caller_says, agent.heard()) > 0.9
        assert audio.similarity(agent_says, caller.heard()) > 0.9
        assert audio.similarity(agent_says, agent.heard()) < 0.6


async def test_a_phone_may_refuse_a_call(asterisk: AsteriskServer) -> None:
    async with (
        Phone("101", asterisk, password=asterisk.password_of("101")) as caller,
        Phone("102", asterisk, password=asterisk.password_of("102"), answer="reject") as agent,
    ):
        await caller.call("102")
        await agent.wait_for(Event.RINGING)
        await caller.wait_for(Event.CLOSED)


async def test_a_phone_with_a_wrong_password_is_not_let_in(asterisk: AsteriskServer) -> None:
    with pytest.raises(PhoneFailed, match="not let in"):
        async with Phone("101", asterisk, password="wrong"):
            pass
    assert "baresip" not in children()


def test_port_ranges_in_use_at_once_do_not_overlap() -> None:
    ranges = [PortRange(20) for _ in range(10)]
    taken = [port for one in ranges for port in range(one.first, one.last + 1)]
    for one in ranges:
        one.close()
    assert len(taken) == len(set(taken)) == 200


async def test_the_mail_server_keeps_what_it_gets_and_refuses_when_told(mail: MailCatcher) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "desk@example.it", "rossi@example.it", "Richiesta 1234567: è"
    message.set_content("Buongiorno, la sua richiesta è registrata.\n")
    await aiosmtplib.send(message, hostname=mail.host, port=mail.port)
    caught = await mail.wait_for("rossi@example.it", "1234567")
    assert (caught.sender, caught.subject) == ("desk@example.it", "Richiesta 1234567: è")
    assert "è registrata" in caught.text
    mail.refusing = "550 no such user"
    with pytest.raises(aiosmtplib.SMTPRecipientsRefused):
        await aiosmtplib.send(message, hostname=mail.host, port=mail.port)
    assert len(mail.messages) == 1


def test_each_utterance_has_its_text_and_is_telephone_sound() -> None:
    texts = transcripts()
    assert len(texts) >= 20
    for name, text in texts.items():
        assert text
        assert 4 < audio.seconds(utterance(name)) < 16
