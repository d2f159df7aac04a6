"""Notices on their way to a real mail server."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import aiosmtpd.smtp
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope
from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.contract.tickets.conftest import intake_at
from tickets import operations, outbox
from tickets.alarms import Alarms, AlarmSettings, open_alarms
from tickets.database import Database
from tickets.errors import InvalidInput, NotFound, NoticeNotStopped
from tickets.lifecycle import Role
from tickets.models import Channel, DeliveryState, Kind, OutboxMail, Request, RequestEvent, Status
from tickets.notice_watch import NoticeWatch
from tickets.notices import NoticeCaps, Notices, NoticeSettings
from tickets.outbox import SmtpSettings, deliver_due, dismiss_notice, retry_notice, stopped_notices

pytestmark = pytest.mark.contract

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
CORPUS = Path(__file__).parents[2] / "mail_corpus"


class Inbox:
    """Keeps what the server takes; `answers` are given to recipients, `at_data` to contents."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.answers: dict[str, str] = {}
        self.at_data = "250 taken"
        self.connections = 0

    async def handle_EHLO(  # noqa: N802
        self, _server: SMTP, session: aiosmtpd.smtp.Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        self.connections += 1
        session.host_name = hostname
        return responses

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: aiosmtpd.smtp.Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        answer = self.answers.get(address, "250 ok")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, _server: SMTP, _session: aiosmtpd.smtp.Session, envelope: Envelope) -> str:  # noqa: N802
        if self.at_data.startswith("250"):
            self.envelopes.append(envelope)
        return self.at_data

    @property
    def messages(self) -> list[Any]:
        return [message_from_bytes(e.content or b"", policy=policy.default) for e in self.envelopes]  # type: ignore[arg-type]


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
async def smtp(inbox: Inbox, unused_tcp_port: int) -> AsyncIterator[SmtpSettings]:
    controller = Controller(inbox, hostname="127.0.0.1", port=unused_tcp_port)
    await asyncio.to_thread(controller.start)
    yield SmtpSettings(host="127.0.0.1", port=unused_tcp_port)
    await asyncio.to_thread(controller.stop)


async def opened(database: Database, notices: Notices, email: str, subject: str = "Prova", at: datetime = NOW) -> int:
    new = operations.NewRequest(
        kind=Kind.PROBLEM,
        area="application",
        channel=Channel.EMAIL,
        subject=subject,
        email=email,
        received_at=at,
        pickup_due_at=at + timedelta(hours=1),
    )
    return (await database.run(operations.open_request, new, notices, now=at)).id


async def look(database: Database, request_id: int) -> tuple[OutboxMail, list[tuple[str, Any]]]:
    def read(session: Session) -> tuple[OutboxMail, list[tuple[str, Any]]]:
        mail = session.scalars(select(OutboxMail).where(OutboxMail.request_id == request_id)).first()
        assert mail is not None
        events = select(RequestEvent).where(RequestEvent.request_id == request_id).order_by(RequestEvent.id)
        later = session.scalars(events).all()[1:]
        return mail, [(event.kind, event.details.get("error")) for event in later]

    return await database.read(read)


async def test_notices_arrive_oldest_first_over_one_connection(
    database: Database, notices: Notices, inbox: Inbox, smtp: SmtpSettings
) -> None:
    ids = [
        await opened(database, notices, f"user{n}@asl.example", f"Perché {n}?", NOW - timedelta(minutes=n))
        for n in range(3)
    ]
    assert await deliver_due(database, smtp, now=NOW) == 3
    assert [e.rcpt_tos for e in inbox.envelopes] == [[f"user{n}@asl.example"] for n in (2, 1, 0)]
    assert {e.mail_from for e in inbox.envelopes} == {"helpdesk@desk.example"}
    assert inbox.connections == 1
    mail, events = await look(database, ids[0])
    assert (mail.state, mail.sent_at, mail.attempts) == (DeliveryState.SENT, NOW, 1)
    assert events == [("notice_sent", None)]
    message = inbox.messages[-1]
    assert message["Message-ID"] == mail.message_id
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["From"] == "Help Desk <helpdesk@desk.example>"
    assert "Perché 0?" in message["Subject"]
    assert "Oggetto: Perché 0?" in message.get_body(("plain",)).get_content()
    assert await deliver_due(database, smtp, now=NOW + timedelta(days=1)) == 0
    assert len(inbox.envelopes) == 3


async def test_a_passing_refusal_is_tried_again_later(
    database: Database, notices: Notices, inbox: Inbox, smtp: SmtpSettings
) -> None:
    inbox.answers["anna@asl.example"] = "451 greylisted, try later"
    request_id = await opened(database, notices, "anna@asl.example")
    other_id = await opened(database, notices, "bruno@asl.example")
    assert await deliver_due(database, smtp, now=NOW) == 1  # one refusal does not hold the others up
    mail, events = await look(database, request_id)
    assert (mail.state, mail.attempts, mail.next_attempt_at) == (DeliveryState.PENDING, 1, NOW + timedelta(minutes=1))
    assert mail.last_error is not None
    assert "451 greylisted" in mail.last_error
    assert events == []
    assert (await look(database, other_id))[0].state == DeliveryState.SENT
    first_id = mail.message_id
    assert await deliver_due(database, smtp, now=NOW + timedelta(seconds=59)) == 0
    inbox.answers.clear()
    assert await deliver_due(database, smtp, now=NOW + timedelta(seconds=60)) == 1
    mail, events = await look(database, request_id)
    assert (mail.state, mail.last_error, mail.message_id) == (DeliveryState.SENT, None, first_id)
    assert events == [("notice_sent", None)]


@pytest.mark.parametrize("where", ["recipient", "content"])
async def test_a_refusal_for_good_is_seen_at_once(
    database: Database, notices: Notices, inbox: Inbox, smtp: SmtpSettings, where: str
) -> None:
    if where == "recipient":
        inbox.answers["anna@asl.example"] = "550 no such user"
    else:
        inbox.at_data = "554 content refused"
    request_id = await opened(database, notices, "anna@asl.example")
    assert await deliver_due(database, smtp, now=NOW) == 0
    mail, events = await look(database, request_id)
    assert mail.state == DeliveryState.DEAD
    ((kind, error),) = events
    assert kind == "notice_failed"
    assert error.startswith("550 no such user" if where == "recipient" else "554 content refused")
    assert await deliver_due(database, smtp, now=NOW + timedelta(days=2)) == 0
    assert inbox.envelopes == []


async def test_a_server_that_is_away_is_tried_for_a_day(
    database: Database, notices: Notices, unused_tcp_port: int
) -> None:
    away = SmtpSettings(host="127.0.0.1", port=unused_tcp_port)
    request_id = await opened(database, notices, "anna@asl.example")
    assert await deliver_due(database, away, now=NOW) == 0
    mail, events = await look(database, request_id)
    assert (mail.state, mail.attempts, events) == (DeliveryState.PENDING, 1, [])
    assert mail.last_error is not None
    assert "mail server not reached" in mail.last_error
    at = NOW
    while (mail := (await look(database, request_id))[0]).state == DeliveryState.PENDING:
        at = mail.next_attempt_at
        assert await deliver_due(database, away, now=at) == 0
    assert timedelta(hours=22) < at - NOW < timedelta(hours=26)
    assert mail.state == DeliveryState.DEAD
    assert [kind for kind, _ in (await look(database, request_id))[1]] == ["notice_failed"]


async def test_two_runs_at_once_send_each_notice_once(
    database: Database, notices: Notices, inbox: Inbox, smtp: SmtpSettings
) -> None:
    for n in range(10):
        await opened(database, notices, f"user{n}@asl.example")
    sent = await asyncio.gather(*(deliver_due(database, smtp, now=NOW) for _ in range(4)))
    assert sum(sent) == 10
    assert len(inbox.envelopes) == 10


async def test_a_slow_server_does_not_make_another_worker_send_what_is_on_its_way(
    database: Database, notices: Notices, smtp: SmtpSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = [await opened(database, notices, f"user{n}@asl.example") for n in range(2)]
    sends: list[int | None] = []
    passed = 0.0

    async def slowly(_client: Any, mail: OutboxMail, _now: datetime) -> tuple[None, bool]:
        nonlocal passed
        sends.append(mail.request_id)
        passed += 50
        if len(sends) == 2:  # meanwhile another worker looks
            await deliver_due(database, smtp, now=NOW + timedelta(seconds=passed))
        return None, False

    monkeypatch.setattr(outbox, "monotonic", lambda: passed, raising=False)
    monkeypatch.setattr(outbox, "_send", slowly)
    assert await deliver_due(database, smtp, now=NOW) == 2
    assert sends == [first, second]


async def test_a_notice_that_comes_back_before_its_sending_is_noted_is_not_told_to_be_sent(
    database: Database,
    notices: Notices,
    inbox: Inbox,
    smtp: SmtpSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server may take a mail and return it before we have written down that it was taken."""
    request_id = await opened(database, notices, "nobody@asl.example")
    intake = intake_at(lambda: NOW, database, notices, tmp_path)
    send, returned = outbox._send, (CORPUS / "bounce_postfix.eml").read_bytes()

    async def sent_and_returned(client: Any, mail: OutboxMail, now: datetime) -> tuple[str | None, bool]:
        answer = await send(client, mail, now)
        our_id = b"<0123456789abcdef0123456789abcdef@desk.example>"
        await intake.take(returned.replace(our_id, mail.message_id.encode()), NOW)
        return answer

    monkeypatch.setattr(outbox, "_send", sent_and_returned)
    assert await deliver_due(database, smtp, now=NOW) == 1
    assert len(inbox.envelopes) == 1
    mail, events = await look(database, request_id)
    assert (mail.state, mail.last_error) == (DeliveryState.DEAD, "smtp; 550 5.1.1 User unknown")
    assert events == [("notice_failed", "smtp; 550 5.1.1 User unknown")]


async def test_nothing_can_be_smuggled_into_the_headers_or_the_dialogue(
    database: Database, notices: Notices, inbox: Inbox, smtp: SmtpSettings
) -> None:
    for subject in (
        "x\r\nBcc: evil@example.org\r\n\r\nbody",
        "=?utf-8?q?=0D=0ABcc:_evil@example.org?=",
        "x\x85\u2028Bcc: evil@example.org",
        "\r\n.\r\nMAIL FROM:<evil@example.org>\r\nRCPT TO:<evil@example.org>\r\nDATA\r\n",
    ):
        await opened(database, notices, "anna@asl.example", subject)
    assert await deliver_due(database, smtp, now=NOW) == 4
    assert [e.rcpt_tos for e in inbox.envelopes] == [["anna@asl.example"]] * 4
    for message in inbox.messages:
        assert message["Bcc"] is None
        assert len(message.keys()) == len(inbox.messages[0].keys())


async def test_a_batch_has_a_limit_and_the_rest_comes_next(
    database: Database, notices: Notices, smtp: SmtpSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "BATCH", 2)
    for n in range(3):
        await opened(database, notices, f"user{n}@asl.example")
    assert await deliver_due(database, smtp, now=NOW) == 2
    assert await deliver_due(database, smtp, now=NOW) == 1


async def written(database: Database, notices: Notices, request_id: int, count: int, at: datetime = NOW) -> list[int]:
    """So many more notices about one request, a second apart; gives their ids."""

    def write(session: Session) -> list[int]:
        request = session.get_one(Request, request_id)
        mails = []
        for n in range(count):
            mail = notices.moved(request, "asked", f"Domanda {n}?", now=at + timedelta(seconds=n))
            assert mail is not None
            session.add(mail)
            session.flush()
            mails.append(mail.id)
        return mails

    return await database.run(write)


async def states(database: Database) -> Counter[str]:
    def read(session: Session) -> Counter[str]:
        return Counter(mail.state.value for mail in session.scalars(select(OutboxMail)))

    return await database.read(read)


async def test_a_notice_has_two_parts_and_names_the_mails_before_it(
    database: Database, notices: Notices, inbox: Inbox, smtp: SmtpSettings
) -> None:
    request_id = await opened(database, notices, "anna@asl.example", "Perché <b>?")

    def replied(session: Session) -> None:
        operations.move_request(
            session, request_id, Status.PENDING_USER, notices, actor="giulia", role=Role.AGENT, text="Da dove?", now=NOW
        )
        details = {"message_id": "<from.anna@asl.example>"}
        operations.user_replied(session, request_id, notices, "Da casa", now=NOW + timedelta(hours=1), details=details)
        details = {"message_id": "<bad id>\r\nBcc: x@y.example"}
        operations.user_replied(session, request_id, notices, "E poi?", now=NOW + timedelta(hours=1), details=details)

    def picked(session: Session) -> None:
        operations.take_in_charge(session, request_id, actor="giulia", now=NOW)

    await database.run(picked)
    await database.run(replied)
    solved = {"solution": "Riavviato.", "actor": "giulia", "now": NOW + timedelta(hours=2)}
    await database.run(operations.close_request, request_id, notices, **solved)  # type: ignore[arg-type]
    assert await deliver_due(database, smtp, now=NOW + timedelta(hours=2)) == 3
    first, question, closed = inbox.messages
    assert (first["In-Reply-To"], first["References"]) == (None, None)
    assert (question["In-Reply-To"], question["References"]) == (first["Message-ID"], first["Message-ID"])
    assert closed["References"].split() == [first["Message-ID"], question["Message-ID"], "<from.anna@asl.example>"]
    assert closed["In-Reply-To"] == "<from.anna@asl.example>"
    assert closed["Bcc"] is None
    for message in inbox.messages:
        assert message.get_content_type() == "multipart/alternative"
        assert "Perché &lt;b&gt;?" in message.get_body(("html",)).get_content()
        assert "Perché <b>?" in message.get_body(("plain",)).get_content()
        assert message["Auto-Submitted"] == "auto-generated"


async def test_what_is_over_a_cap_is_held_and_told_and_goes_when_somebody_says_so(
    database: Database, notices: Notices, inbox: Inbox, smtp: SmtpSettings
) -> None:
    request_id = await opened(database, notices, "anna@asl.example")
    ids = await written(database, notices, request_id, 5)
    other_id = await opened(database, notices, "bruno@asl.example")
    caps = NoticeCaps(per_thread=3)
    at = NOW + timedelta(minutes=1)
    assert await deliver_due(database, smtp, now=at, caps=caps) == 4
    assert await states(database) == {"sent": 4, "held": 3}
    assert (await look(database, other_id))[0].state == DeliveryState.SENT
    events = (await look(database, request_id))[1]
    assert [kind for kind, _ in events if kind == "notice_held"] == ["notice_held"] * 3
    held = await database.read(stopped_notices, DeliveryState.HELD)
    assert [mail.id for mail in held] == ids[:1:-1]
    alarms = Alarms(database, AlarmSettings(email=("boss@asl.example",)), notices, lambda: at)
    watch = NoticeWatch(database, notices, alarms)
    for _ in range(2):
        await watch.look()
    assert [(alarm.kind, alarm.ended_at) for alarm in await database.read(open_alarms)] == [("notices_held", None)]
    # nothing goes by itself, whatever time passes; the alarm's mail is not held
    assert await deliver_due(database, smtp, now=NOW + timedelta(days=3), caps=caps) == 1
    mail = await database.run(retry_notice, ids[2], actor="giulia", now=NOW + timedelta(days=3))
    assert (mail.state, mail.attempts, mail.last_error) == (DeliveryState.PENDING, 0, None)
    assert await deliver_due(database, smtp, now=NOW + timedelta(days=3), caps=NoticeCaps(per_thread=1)) == 1
    await database.run(retry_notice, ids[3], actor="giulia", now=NOW + timedelta(days=3), recipient="x@asl.example")
    assert await deliver_due(database, smtp, now=NOW + timedelta(days=3), caps=caps) == 1
    assert inbox.envelopes[-1].rcpt_tos == ["x@asl.example"]
    await database.run(dismiss_notice, ids[4], actor="giulia", now=NOW)
    await watch.look()
    assert await database.read(open_alarms) == []
    kinds = [kind for kind, _ in (await look(database, request_id))[1]]
    assert Counter(kinds)["notice_retried"] == 2
    assert kinds[-1] == "notice_failed"
    for action in (retry_notice, dismiss_notice):
        with pytest.raises(NoticeNotStopped):
            await database.run(action, ids[0], actor="giulia", now=NOW)
        with pytest.raises(NotFound):
            await database.run(action, 99999, actor="giulia", now=NOW)
    with pytest.raises(InvalidInput):
        await database.run(retry_notice, ids[4], actor="giulia", now=NOW, recipient="x\r\nRCPT TO:<y@z>")


async def test_one_address_gets_no_more_than_its_cap_whatever_the_requests(
    database: Database, notices: Notices, inbox: Inbox, smtp: SmtpSettings
) -> None:
    for n in range(40):
        await opened(database, notices, "loop@asl.example", at=NOW + timedelta(minutes=n))
    caps = NoticeCaps(per_address=10)
    assert await deliver_due(database, smtp, now=NOW + timedelta(hours=1), caps=caps) == 10
    assert await states(database) == {"sent": 10, "held": 30}
    # an hour after the first the address has room again
    await opened(database, notices, "loop@asl.example", at=NOW + timedelta(minutes=61))
    assert await deliver_due(database, smtp, now=NOW + timedelta(minutes=61), caps=caps) == 1
    assert len(inbox.envelopes) == 11


async def test_what_piled_up_while_the_server_was_away_is_not_held(
    database: Database, notices: Notices, inbox: Inbox, smtp: SmtpSettings
) -> None:
    for n in range(12):
        await opened(database, notices, "ward@asl.example", at=NOW + timedelta(hours=n))
    assert await deliver_due(database, smtp, now=NOW + timedelta(days=1), caps=NoticeCaps(per_address=1)) == 12


async def test_several_runs_at_once_hold_the_same_notices(
    database: Database, notices: Notices, inbox: Inbox, smtp: SmtpSettings
) -> None:
    request_id = await opened(database, notices, "anna@asl.example")
    ids = await written(database, notices, request_id, 9)
    caps = NoticeCaps(per_thread=4)
    at = NOW + timedelta(minutes=1)
    assert sum(await asyncio.gather(*(deliver_due(database, smtp, now=at, caps=caps) for _ in range(4)))) == 4
    held = await database.read(stopped_notices, DeliveryState.HELD)
    assert sorted(mail.id for mail in held) == ids[3:]
    events = [kind for kind, _ in (await look(database, request_id))[1]]
    assert Counter(events) == {"notice_held": 6, "notice_sent": 4}


async def test_a_dead_notice_is_sent_again_to_the_right_address(
    database: Database, notices: Notices, inbox: Inbox, smtp: SmtpSettings
) -> None:
    inbox.answers["wrong@asl.example"] = "550 no such user"
    request_id = await opened(database, notices, "wrong@asl.example")
    assert await deliver_due(database, smtp, now=NOW) == 0
    mail, _ = await look(database, request_id)
    later = NOW + timedelta(days=2)
    await database.run(retry_notice, mail.id, actor="giulia", now=later, recipient="right@asl.example")
    assert await deliver_due(database, smtp, now=later) == 1
    assert inbox.envelopes[0].rcpt_tos == ["right@asl.example"]
    assert inbox.messages[0]["Message-ID"] == mail.message_id
    kinds = [kind for kind, _ in (await look(database, request_id))[1]]
    assert kinds == ["notice_failed", "notice_retried", "notice_sent"]


@pytest.mark.parametrize("at", ["greeting", "recipient", "content", "answer"])
async def test_a_connection_that_breaks_or_stalls_loses_nothing(database: Database, notices: Notices, at: str) -> None:
    """A server that hangs up, or says nothing, at each step; at the last one it has taken the mail already."""
    taken: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            if broken and at == "greeting":
                return writer.close()
            writer.write(b"220 hello\r\n")
            while line := await reader.readline():
                word = line[:4].upper()
                if broken and (at, word) in {("recipient", b"RCPT"), ("content", b"DATA")}:
                    if stalls:
                        await gone.wait()
                    return writer.close()
                writer.write(b"354 go on\r\n" if word == b"DATA" else b"250 ok\r\n")
                if word == b"DATA":
                    taken.append(await reader.readuntil(b"\r\n.\r\n"))
                    if broken and at == "answer":
                        return writer.close()
                    writer.write(b"250 taken\r\n")
                if word == b"QUIT":
                    return writer.close()
        return None

    gone = asyncio.Event()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    smtp = SmtpSettings(host="127.0.0.1", port=server.sockets[0].getsockname()[1], timeout=0.3)
    request_id = await opened(database, notices, "anna@asl.example")
    now = NOW
    for stalls in (False, True):  # noqa: B007 - the server looks at it
        broken = True
        assert await deliver_due(database, smtp, now=now) == 0
        mail, events = await look(database, request_id)
        assert (mail.state, events) == (DeliveryState.PENDING, [])
        assert mail.last_error
        now += timedelta(hours=1)
    broken = False
    assert await deliver_due(database, smtp, now=now) == 1
    gone.set()
    server.close()
    await server.wait_closed()
    ids = {message_from_bytes(one)["Message-ID"] for one in taken}
    assert ids == {mail.message_id}
    assert len(taken) == (3 if at == "answer" else 1)  # a repeat can be told by its Message-ID


async def test_a_broken_template_is_told_until_it_is_mended(database: Database, tmp_path: Path) -> None:
    (tmp_path / "it").mkdir()
    template = tmp_path / "it" / "closed.body.txt.j2"
    template.write_text("{{ nothing }}")
    notices = Notices(NoticeSettings(templates=tmp_path))
    watch = NoticeWatch(database, notices, Alarms(database, AlarmSettings(), notices, lambda: NOW))
    await watch.look()
    (alarm,) = await database.read(open_alarms)
    assert (alarm.kind, alarm.subject) == ("notice_template", "it/closed.body.txt.j2")
    assert "'nothing' is undefined" in alarm.words
    template.write_text("{{ ticket }} {{ solution }}")
    await watch.look()
    assert await database.read(open_alarms) == []
