"""What comes from outside and makes no sense: settings, caller IDs, broken files; and a database or mail server that
does not take anything for a while."""

import asyncio
import contextlib
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from centralino.rig.audio import seconds, similarity
from centralino.rig.phone import Event, Phone
from centralino.rig.world import World
from centralino.serve import Service
from centralino.settings import SettingsError, load
from ivr import operations
from ivr.models import Call, Outcome, Phase
from schedules.clock import utc_now
from tests.stories.conftest import ANNA, CLOSED, MESSAGE, ROSSI, STAFFED, Duty, calls, nothing_left
from tickets.models import DeliveryState, OutboxMail, Request
from voicemail.models import Message, MessageState

pytestmark = pytest.mark.story

HEARD = 0.8
SECRET = "il-segreto-di-asterisk"


async def until(seen: Callable[[], object], *, within: float = 15.0) -> None:
    """Wait until something outside, which tells nobody, is as wanted. Raises TimeoutError."""
    async with asyncio.timeout(within):
        while True:
            if seen():
                return
            await asyncio.sleep(0.02)


async def newest_call(world: World, seen: Any = lambda row: True) -> Call:
    """The newest call, whoever the caller is, once `seen` is true of it."""

    def look(session: Session) -> Call | None:
        row = session.scalars(select(Call).order_by(Call.started_at.desc()).limit(1)).one_or_none()
        return row if row is not None and seen(row) else None

    return await world.until(look, within=30)


async def message_of(world: World, call_id: str) -> Message | None:
    """The message of a call."""

    def look(session: Session) -> Message | None:
        call = session.get_one(Call, call_id)
        return session.get(Message, call.message_id) if call.message_id else None

    return await world.read(look)


async def request_of(world: World, message: Message | None) -> Request:
    """The request of a message. It must be there."""
    assert message is not None
    assert message.request_id is not None

    def look(session: Session) -> Request:
        return session.get_one(Request, message.request_id)

    return await world.read(look)


async def recording_begun(world: World) -> tuple[Call, Path]:
    """The newest call and the file of its message, once Asterisk records it."""
    call = await newest_call(world, lambda row: row.phase is Phase.MESSAGE)
    path = world.asterisk.recording_spool / f"{call.message_id}-1.wav"
    await until(lambda: path.exists())
    return call, path


async def speak(caller: Phone) -> None:
    """Say the message to its end."""
    await caller.speak(MESSAGE)
    await asyncio.sleep(seconds(MESSAGE) + 0.3)


# ------------------------------------------------------------------------------------------------------------ settings


def sensible() -> dict[str, Any]:
    """Settings that make sense, as they are in the file."""
    return {
        "asterisk": {"password": SECRET},
        "calls": calls(),
        "notices": {"desk_name": "Help Desk", "sender": "helpdesk@example.org"},
        "smtp": {"host": "127.0.0.1", "port": 2525, "username": "desk", "password": "il-segreto-della-posta"},
    }


def changed(path: str, value: object) -> dict[str, Any]:
    """Sensible settings but for one value; the parts of its path are separated by dots."""
    settings = sensible()
    at: Any = settings
    *above, last = (int(part) if part.isdecimal() else part for part in path.split("."))
    for part in above:
        at = at[part] if isinstance(part, int) else at.setdefault(part, {})
    at[last] = value
    return settings


NONSENSE = [
    ("calls.lines.0.queue", "nessuna", "queue"),
    ("calls.lines.0.calendar", "mai", "calendar"),
    ("calls.lines.0.number", "centralino; DROP", "calls.lines[entry 1].number"),
    ("calls.lines.1.number", STAFFED, "calls.lines[entry 2].number"),
    ("calls.lines.0.language", "de", "calls.lines[entry 1].language"),
    ("calls.lines", [], "calls.lines"),
    ("calls.queues.edotto.ring_seconds", -1, "queues.edotto.ring_seconds"),
    ("calls.queues.edotto.ring_agents", 0, "queues.edotto.ring_agents"),
    ("calls.calendars.sempre.weekly", {"monday": ["18:00-08:00"]}, "calendars.sempre.weekly"),
    ("calls.calendars.sempre.timezone", "Europe/Molfetta", "calendars.sempre.timezone"),
    ("calls.message.max_seconds", "tanti", "message.max_seconds"),
    ("calls.outbound_endpoint", "PJSIP/trunk", "outbound_endpoint"),
    ("calls.lines.1.menu.choices", {"7": {"area": "giardinaggio"}}, "choices.7"),
    ("notices.sender", "help desk", "notices.sender"),
    ("smtp.port", 70000, "smtp.port"),
    ("smtp.passwort", "un-altro-segreto", "smtp.passwort"),
    ("storage.keep_audio_days", 0, "storage.keep_audio_days"),
    ("listen.port", -1, "listen.port"),
    ("asterisk.password", "changeme", "asterisk.password"),
    ("asterisk.password", {"testo": "un-altro-segreto"}, "asterisk.password"),
    ("asterisk.fallback_settled_seconds", -1, "asterisk.fallback_settled_seconds"),
    ("astersik", {"password": "un-altro-segreto"}, "astersik"),
]


@pytest.mark.parametrize(("path", "value", "named"), NONSENSE)
def test_settings_that_make_no_sense_are_refused_by_name(tmp_path: Path, path: str, value: object, named: str) -> None:
    file = tmp_path / "centralino.toml"
    file.write_text(tomli_w.dumps(sensible()), encoding="utf-8")
    load(file)
    file.write_text(tomli_w.dumps(changed(path, value)), encoding="utf-8")
    with pytest.raises(SettingsError) as refused:
        load(file)
    text = str(refused.value)
    assert named in text
    assert "segreto" not in text


async def command(*arguments: str) -> tuple[int, str]:
    """Run a command of ours; exit code and all it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "centralino", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(30):
            output, _ = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    return process.returncode or 0, output.decode()


async def test_check_names_the_field_and_prints_no_secret(tmp_path: Path) -> None:
    file = tmp_path / "centralino.toml"
    file.write_text(tomli_w.dumps(sensible()), encoding="utf-8")
    code, text = await command("check", "--config", str(file))
    assert (code, "make sense" in text) == (0, True), text
    for broken, named in (
        (tomli_w.dumps(changed("calls.lines.0.queue", "nessuna")), "queue"),
        (tomli_w.dumps(changed("smtp.port", "venticinque")), "smtp.port"),
        (f'[asterisk]\npassword = "{SECRET}', "centralino.toml"),  # no TOML: the quotation mark is missing
        ("", "asterisk"),
    ):
        file.write_text(broken, encoding="utf-8")
        code, text = await command("check", "--config", str(file))
        assert (code, "segreto" in text, "Traceback" in text) == (1, False, False), text
        assert named in text
    code, text = await command("serve", "--config", str(file))
    assert (code, "asterisk" in text, "Traceback" in text) == (1, True, False), text
    code, text = await command("check", "--config", str(tmp_path / "nothing.toml"))
    assert (code, "no such settings file" in " ".join(text.split())) == (1, True)


async def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    database, file = tmp_path / "newer.db", tmp_path / "centralino.toml"
    settings = changed("storage.database", f"sqlite:///{database}")
    file.write_text(tomli_w.dumps(settings), encoding="utf-8")
    code, text = await command("migrate", "--config", str(file))
    assert code == 0, text
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
        before = list(connection.iterdump())
    code, text = await command("serve", "--config", str(file))
    text = " ".join(text.split())
    assert code == 1, text
    assert "newer Centralino" in text
    assert "9999" in text
    assert "Traceback" not in text
    with contextlib.closing(sqlite3.connect(database)) as connection:
        assert list(connection.iterdump()) == before


# ----------------------------------------------------------------------------------------------------------- caller IDs


@pytest.mark.parametrize(
    "number", ["3" * 200, "\"'; DROP TABLE call; --", "a\r\nX-Evil: 1", "<script>alert(1)</script>", "è&%=#?/../x"]
)
async def test_hostile_caller_ids_reach_an_agent(world: World, service: Service, on_duty: Duty, number: str) -> None:
    anna = await on_duty(ANNA)
    async with world.caller(number, caller_name='Mario "Super" <b>Rossi</b> \\ ; è' + "x" * 200) as caller:
        await caller.call(STAFFED)
        await anna.phone.wait_for(Event.RINGING, within=15)
        call = await newest_call(world, lambda row: row.phase is Phase.RINGING)
        pop = await anna.desk.pop(call.id)
        assert (pop.item or {})["confidence"] in ("unknown", "withheld")
        assert len(call.caller or "") <= 64
        assert len(call.caller_name or "") <= 120
        await anna.phone.answer()
        await world.call_until(call.id, lambda row: row.phase is Phase.TALKING)
        await caller.hang_up()
        row = await world.call_until(call.id, lambda row: row.outcome)
        assert row.outcome is Outcome.ANSWERED
        assert row.outcome_note is None
    await nothing_left(world, service)


async def test_withheld_number_is_shown_as_withheld(world: World, service: Service, on_duty: Duty) -> None:
    anna = await on_duty(ANNA)
    async with world.caller("anonymous") as caller:
        await caller.call(STAFFED)
        await anna.phone.wait_for(Event.RINGING, within=15)
        call = await newest_call(world)
        pop = (await anna.desk.pop(call.id)).item or {}
        assert (pop["confidence"], pop["caller"], pop["contacts"]) == ("withheld", None, [])
        await caller.hang_up()
    await nothing_left(world, service)


async def test_withheld_number_is_asked_for_one_to_call_back(world: World, service: Service) -> None:
    async with world.caller("anonymous") as caller:
        await caller.call(CLOSED)
        await caller.wait_for(Event.ESTABLISHED)
        call, _ = await recording_begun(world)
        await speak(caller)
        await caller.press("#")
        await asyncio.sleep(1)  # keys pressed while the recording ends are not for the review
        await caller.press("1")
        await caller.press("0805551234#")
        await caller.wait_for(Event.CLOSED, within=40)
        message = await message_of(world, call.id)
        assert message is not None
        assert (message.caller, message.callback) == (None, "+390805551234")
        assert (await request_of(world, message)).phone == "+390805551234"
    await nothing_left(world, service)


# ------------------------------------------------------------------------------------------------- the database is busy


@contextlib.contextmanager
def locked(world: World) -> Iterator[None]:
    """Another process writes and writes: nobody else can."""
    path = world.settings.storage.database.removeprefix("sqlite:///")
    with contextlib.closing(sqlite3.connect(path, timeout=10)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.rollback()


async def test_database_is_locked_when_a_call_comes(world: World, service: Service, on_duty: Duty) -> None:
    anna = await on_duty(ANNA)
    async with world.caller(ROSSI.phone) as caller:
        with locked(world):
            await caller.call(STAFFED)
            await asyncio.sleep(4)  # longer than SQLite's own patience
        await caller.wait_for(Event.ESTABLISHED, within=15)
        await anna.phone.wait_for(Event.RINGING, within=15)
        await anna.phone.answer()
        call = await newest_call(world, lambda row: row.phase is Phase.TALKING)
        with locked(world):
            await caller.hang_up()
            await asyncio.sleep(4)
        row = await world.call_until(call.id, lambda row: row.outcome)
        assert (row.outcome, row.outcome_note) == (Outcome.ANSWERED, None)
        await anna.until_presence("free")
    await nothing_left(world, service)


async def test_the_service_fails_at_the_pick_up_and_the_dialplan_takes_the_message(
    world: World, service: Service, on_duty: Duty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong inside: the caller can leave a message, and no phone is left in silence."""

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("something nobody thought of")

    monkeypatch.setattr(operations, "answer_offer", fail)
    anna = await on_duty(ANNA)
    async with world.caller(ROSSI.phone) as caller:
        await caller.call(STAFFED)
        await anna.phone.wait_for(Event.RINGING)
        await anna.phone.answer()
        await anna.phone.wait_for(Event.CLOSED, within=20)
        call = await newest_call(world, lambda row: row.outcome)
        assert call.outcome is Outcome.FALLBACK
        assert not service.switchboard.applications.own[0].services.legs
        await until(lambda: any(world.asterisk.fallback_spool.glob("*.wav")), within=40)  # after the words
        await caller.hang_up()
        await caller.wait_for(Event.CLOSED)
        await anna.until_presence("free")
    await nothing_left(world, service)


@pytest.mark.parametrize("hangs_up", [False, True])
async def test_database_is_locked_when_a_message_is_filed(world: World, service: Service, hangs_up: bool) -> None:
    async with world.caller(ROSSI.phone) as caller:
        await caller.call(CLOSED)
        await caller.wait_for(Event.ESTABLISHED)
        call, spool = await recording_begun(world)
        await speak(caller)
        with locked(world):
            if hangs_up:
                await caller.hang_up()
            else:
                await caller.press("#")
                await asyncio.sleep(1)
                await caller.press("1")
            await asyncio.sleep(4)
        await caller.wait_for(Event.CLOSED, within=40)
        row = await world.call_until(call.id, lambda row: row.outcome)
        assert (row.outcome, row.outcome_note) == (Outcome.VOICEMAIL, None)
        message = await message_of(world, call.id)
        request = await request_of(world, message)
        assert message is not None
        assert similarity(MESSAGE, world.settings.storage.audio / str(message.audio)) > HEARD
        await world.mail.wait_for(ROSSI.email or "", request.ticket or "")
        assert not spool.exists()
    await nothing_left(world, service)


# ---------------------------------------------------------------------------------- mail server, broken recordings


async def leave_and_hang_up(caller: Phone, world: World) -> Call:
    """Leave a message; the call's row once it is over."""
    await caller.call(CLOSED)
    await caller.wait_for(Event.ESTABLISHED)
    call, _ = await recording_begun(world)
    await speak(caller)
    await caller.hang_up()
    return await world.call_until(call.id, lambda row: row.outcome)


async def test_mail_server_refuses_for_now(world: World, service: Service) -> None:
    world.mail.refusing = "451 4.3.2 try again later"
    async with world.caller(ROSSI.phone) as caller:
        call = await leave_and_hang_up(caller, world)
    request = await request_of(world, await message_of(world, call.id))

    def tried(session: Session) -> OutboxMail | None:
        return session.scalar(select(OutboxMail).where(OutboxMail.last_error.is_not(None)))

    mail = await world.until(tried)
    assert mail.state is DeliveryState.PENDING
    assert mail.next_attempt_at > utc_now()
    async with world.desk(ANNA.username) as desk:
        [notice] = (await desk.get(f"/api/requests/{request.id}"))["notices"]
        assert (notice["state"], notice["attempts"]) == ("pending", 1)
        assert "451" in notice["last_error"]
        world.mail.refusing = None
        await world.database.run(due_now)  # instead of waiting for a minute
        sent = await world.mail.wait_for(ROSSI.email or "", request.ticket or "")
        assert sent.recipients == [ROSSI.email]

        def is_sent(session: Session) -> bool:
            return session.get_one(OutboxMail, mail.id).state is DeliveryState.SENT

        await world.until(is_sent)
        [notice] = (await desk.get(f"/api/requests/{request.id}"))["notices"]
        assert (notice["state"], notice["last_error"]) == ("sent", None)
    assert len(world.mail.messages) == 1


def due_now(session: Session) -> None:
    """All waiting mail is due."""
    session.execute(update(OutboxMail).values(next_attempt_at=utc_now()))


@pytest.fixture
async def left_behind(world: World) -> tuple[Call, Path]:
    """A recording of a caller who hung up while the service was dead: it is filed at the next start."""
    async with world.caller(ROSSI.phone) as caller:
        async with world.process() as process:
            await process.start()
            await until(lambda: "connected to Asterisk" in process.log())
            await caller.call(CLOSED)
            await caller.wait_for(Event.ESTABLISHED)
            call, path = await recording_begun(world)
            await process.kill()
        await speak(caller)
        await caller.hang_up()
        async with asyncio.timeout(10):
            while True:
                if not await world.asterisk.channel_names():
                    break
                await asyncio.sleep(0.02)
    return call, path


async def test_a_recording_that_was_cut(world: World, left_behind: tuple[Call, Path]) -> None:
    call, path = left_behind
    path.write_bytes(path.read_bytes()[: 44 + 16000 * 4 + 1])  # four seconds and half a sample
    async with world.serving() as service:
        row = await world.call_until(call.id, lambda row: row.outcome)
        assert row.outcome is Outcome.VOICEMAIL
        message = await message_of(world, call.id)
        await request_of(world, message)
        assert message is not None
        assert message.seconds == pytest.approx(4, abs=0.1)
        await nothing_left(world, service)


@pytest.mark.parametrize("content", [b"", b"RIFF\xff\xff", None], ids=["empty", "header cut", "gone"])
async def test_a_recording_that_holds_nothing(
    world: World, left_behind: tuple[Call, Path], content: bytes | None
) -> None:
    call, path = left_behind
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    async with world.serving() as service, world.desk(ANNA.username) as desk:
        row = await world.call_until(call.id, lambda row: row.outcome)
        assert row.outcome is Outcome.ABANDONED_MESSAGE
        message = await message_of(world, call.id)
        assert message is not None
        assert message.state is MessageState.LOST
        assert message.request_id is None
        # an agent sees that somebody tried
        assert call.message_id in [item["id"] for item in await desk.get("/api/messages")]
        await nothing_left(world, service)
