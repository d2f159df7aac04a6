"""Guard rails: nobody sits in silence, nobody speaks into nothing, and no more is taken on than can be served."""

import asyncio
import contextlib
import os
import sqlite3
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from centralino.rig.audio import seconds, similarity
from centralino.rig.phone import Event
from centralino.rig.world import Colleague, World
from centralino.serve import Service
from ivr import operations
from ivr.models import Call, Outcome, Phase
from schedules.clock import utc_now
from tests.stories.conftest import (
    AMATO,
    CLOSED,
    MENU,
    MESSAGE,
    ROSSI,
    STAFFED,
    calls,
    dial,
    heard_between,
    is_music,
    kept_audio,
    message_of,
    nothing_left,
    outcome_of,
    prompt,
    request_of,
    until_recording,
)
from tickets.alarms import open_alarms
from tickets.models import Alarm
from voicemail import operations as messages
from voicemail.models import Message, MessageState
from voicemail.room import ALARM

pytestmark = pytest.mark.story

HEARD = 0.8


@pytest.fixture
def extra() -> dict[str, Any]:
    """More settings; a test may override it."""
    return {}


@pytest.fixture
async def world(
    tmp_path: Path, colleagues: tuple[Colleague, ...], more_calls: dict[str, Any], extra: dict[str, Any]
) -> AsyncIterator[World]:
    """As elsewhere, with settings of the test's own."""
    async with World(
        tmp_path, calls() | more_calls, colleagues=colleagues, people=(ROSSI, AMATO), settings_extra=extra
    ) as world:
        yield world


@contextlib.contextmanager
def locked(world: World) -> Iterator[None]:
    """Another process writes and writes: nobody else can."""
    path = world.settings.storage.database.removeprefix("sqlite:///")
    with contextlib.closing(sqlite3.connect(path, timeout=10)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.rollback()


async def until(seen: Callable[[], object], *, within: float = 20.0) -> None:
    """Wait until something outside, which tells nobody, is as wanted. Raises TimeoutError."""
    async with asyncio.timeout(within):
        while not seen():  # noqa: ASYNC110 - another process does it
            await asyncio.sleep(0.02)


async def in_fallback(world: World) -> None:
    """Wait until a call is in the hands of the dialplan that takes messages."""
    async with asyncio.timeout(10):
        while "centralino-fallback" not in await world.asterisk.cli("core show channels concise"):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


# ------------------------------------------------------------------------------------------------------------- silence


async def test_a_caller_hears_music_while_the_database_hangs_and_then_the_menu(world: World, service: Service) -> None:
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, MENU)
        with locked(world):
            await asyncio.sleep(seconds(prompt("welcome")))
            silent = time.monotonic()
            await asyncio.sleep(5)
        await asyncio.sleep(seconds(prompt("menu-main")))
        row = await world.call_until(call.id, lambda row: row.phase is Phase.MENU)
        assert row.outcome is None
        await rossi.press("1")
        await world.call_until(call.id, lambda row: row.phase is Phase.WAITING and row.choice == "application")
        await rossi.hang_up()
        await rossi.wait_for(Event.CLOSED)
        assert similarity(prompt("menu-main"), rossi.heard()) > HEARD
        # While nothing is sent the phone writes nothing: what follows the greeting is the music.
        assert is_music(heard_between(rossi, silent + 0.5, silent + 3, world.folder), world)
    assert await outcome_of(world, call) is Outcome.ABANDONED_QUEUE
    await nothing_left(world, service)


async def test_a_call_that_cannot_be_picked_up_rings_and_the_next_one_can_leave_a_message(
    world: World, service: Service
) -> None:
    async with world.caller(ROSSI.phone) as rossi, world.caller(AMATO.phone) as amato:
        with locked(world):
            await rossi.call(STAFFED)
            await rossi.wait_for(Event.RINGBACK)
            await until(lambda: service.switchboard.applications.own[0]._why_full() is not None)
            await amato.call(STAFFED)
            await amato.wait_for(Event.ESTABLISHED)
            await in_fallback(world)
        await rossi.wait_for(Event.ESTABLISHED, within=15)
        call = await world.call_from(ROSSI.phone)
        await world.call_until(call.id, lambda row: row.phase is Phase.WAITING)
        await until(lambda: service.switchboard.applications.own[0]._why_full() is None)
        await rossi.hang_up()
        await amato.hang_up()
    await nothing_left(world, service)


# -------------------------------------------------------------------------------------------------------------- limits


@pytest.mark.parametrize("extra", [{"asterisk": {"max_calls": 1}}])
async def test_one_call_more_than_the_service_may_take_leaves_a_message_with_the_dialplan(
    world: World, service: Service
) -> None:
    async with world.caller(ROSSI.phone) as rossi, world.caller(AMATO.phone) as amato:
        call = await dial(world, rossi, STAFFED)
        await amato.call(STAFFED)
        await amato.wait_for(Event.ESTABLISHED)
        await in_fallback(world)
        await rossi.hang_up()
        await amato.hang_up()
        await outcome_of(world, call)
    await nothing_left(world, service)


@pytest.mark.parametrize(
    "more_calls", [{"queues": {**calls()["queues"], "edotto": {"max_waiting": 1, "when_no_agents": "wait"}}}]
)
async def test_a_caller_for_whom_the_line_is_too_long_is_asked_for_a_message(world: World, service: Service) -> None:
    async with world.caller(ROSSI.phone) as rossi, world.caller(AMATO.phone) as amato:
        first = await dial(world, rossi, STAFFED)
        await world.call_until(first.id, lambda row: row.phase is Phase.WAITING)
        second = await dial(world, amato, STAFFED)
        await until_recording(world, second)
        await amato.hang_up()
        await amato.wait_for(Event.CLOSED)
        assert similarity(prompt("all-busy"), amato.heard()) > HEARD
        assert (await world.call_until(first.id, lambda row: row)).phase is Phase.WAITING
        await rossi.hang_up()
    assert await outcome_of(world, second) is Outcome.ABANDONED_MESSAGE
    await nothing_left(world, service)


@pytest.mark.parametrize("more_calls", [{"message": {"max_seconds": 5, "max_silence_seconds": 3}}])
async def test_a_caller_whose_message_is_too_long_is_told_so(world: World, service: Service) -> None:
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, CLOSED)
        await until_recording(world, call)
        await rossi.speak(MESSAGE)
        await asyncio.sleep(5 + seconds(prompt("message-too-long")) + 1)
        await rossi.press("1")
        await request_of(world, call)
        await rossi.hang_up()
        await rossi.wait_for(Event.CLOSED)
        assert similarity(prompt("message-too-long"), rossi.heard()) > HEARD
    assert await outcome_of(world, call) is Outcome.VOICEMAIL
    await nothing_left(world, service)


# ---------------------------------------------------------------------------------------------------------- disk space


def _disk_alarm(session: Session) -> Alarm | None:
    return next((alarm for alarm in open_alarms(session) if alarm.kind == ALARM), None)


@pytest.mark.parametrize("extra", [{"storage": {"least_free_mb": 10**9}}])
async def test_without_room_nothing_is_recorded_and_the_caller_is_called_back(world: World, service: Service) -> None:
    async with world.caller(ROSSI.phone) as rossi, world.caller("anonymous") as unknown:
        call = await dial(world, rossi, CLOSED)
        request = await request_of(world, call)
        await rossi.wait_for(Event.CLOSED, within=60)
        for said in ("cannot-record", "will-call-back", "your-ticket-is"):
            assert similarity(prompt(said), rossi.heard()) > HEARD, said
        assert (request.phone, request.subject.startswith("Richiesta di essere richiamati")) == (ROSSI.phone, True)
        await unknown.call(CLOSED)
        await unknown.wait_for(Event.CLOSED, within=60)
        assert similarity(prompt("call-again-later"), unknown.heard()) > HEARD
    assert await outcome_of(world, call) is Outcome.CALLBACK
    turned_away = select(Call.outcome).where(Call.caller.is_(None))
    assert await world.until(lambda session: session.scalar(turned_away)) is Outcome.TURNED_AWAY
    assert await world.read(_disk_alarm)
    assert list(world.asterisk.recording_spool.iterdir()) == []
    await nothing_left(world, service)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str, int], Path]]:
    """Put a file system of its own, with so many bytes free, in the place of a folder of the world.

    Gives the file that fills the rest: without it there is room again.
    """
    mounted: list[Path] = []

    def mount(name: str, free: int) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"a file system of one's own cannot be mounted here: {done.stderr.strip()}")
        mounted.append(folder)
        ballast = folder / "ballast"
        ballast.write_bytes(bytes(4 * 2**20 - free))
        return ballast

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)


@pytest.mark.parametrize("extra", [{"storage": {"least_free_mb": 0}}])
async def test_the_disk_is_full_while_a_caller_speaks(small_disk: Callable[[str, int], Path], world: World) -> None:
    small_disk("asterisk/spool/recording", 96 * 1024)  # six seconds
    async with world.serving() as service, world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, CLOSED)
        await until_recording(world, call)
        await rossi.speak(MESSAGE)
        request = await request_of(world, call)
        await rossi.wait_for(Event.CLOSED, within=60)
        for said in ("message-cut", "your-ticket-is"):
            assert similarity(prompt(said), rossi.heard()) > HEARD, said
        assert request.ticket
        message = await message_of(world, call)
        assert message.state is MessageState.FILED
        assert similarity(MESSAGE, kept_audio(world, message)) > HEARD
        assert await outcome_of(world, call) is Outcome.VOICEMAIL
        await nothing_left(world, service)


@pytest.mark.parametrize("hangs_up", [False, True])
@pytest.mark.parametrize("extra", [{"storage": {"least_free_mb": 0}}])
async def test_there_is_no_room_where_messages_are_kept_and_they_are_filed_later(
    small_disk: Callable[[str, int], Path], world: World, hangs_up: bool
) -> None:
    ballast = small_disk("audio", 0)
    async with world.serving() as service, world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, CLOSED)
        await until_recording(world, call)
        await rossi.speak(MESSAGE)
        await asyncio.sleep(seconds(MESSAGE))
        await (rossi.hang_up() if hangs_up else rossi.press("#"))
        await rossi.wait_for(Event.CLOSED, within=60)
        if not hangs_up:
            assert similarity(prompt("message-kept"), rossi.heard()) > HEARD
        assert await outcome_of(world, call) is Outcome.VOICEMAIL
        assert await world.until(_disk_alarm)
        ballast.unlink()
        await service.switchboard.reconcile()  # else once a minute
        message = await message_of(world, call)
        assert message.state is MessageState.FILED
        assert similarity(MESSAGE, kept_audio(world, message)) > HEARD
        await world.until(lambda session: _disk_alarm(session) is None)
        await nothing_left(world, service)


async def test_the_disk_is_full_when_the_dialplan_takes_a_message(
    small_disk: Callable[[str, int], Path], world: World
) -> None:
    small_disk("asterisk/spool/fallback", 0)
    async with world.caller(ROSSI.phone, wav=MESSAGE) as rossi:
        await rossi.call(CLOSED)
        await rossi.wait_for(Event.CLOSED, within=75)
        assert similarity(prompt("call-again-later"), rossi.heard()) > HEARD
        assert similarity(prompt("fallback-thanks"), rossi.heard()) < HEARD


# ----------------------------------------------------------------------------------------------------------- leftovers


def _left_message(session: Session, call_id: str, app: str) -> None:
    """A call of some worker that has ended, and whose message was never filed."""
    now = utc_now()
    operations.begin_call(
        session,
        call_id=call_id,
        app=app,
        channel_id=f"gone-{call_id}",
        line=CLOSED,
        language="it",
        caller=ROSSI.phone,
        now=now,
    )
    messages.begin_message(
        session,
        message_id=call_id,
        call_id=call_id,
        line=CLOSED,
        language="it",
        caller=ROSSI.phone,
        contact_id=None,
        area=None,
        now=now,
    )
    operations.end_call(session, call_id, Outcome.VOICEMAIL, now=now)


def _recorded(world: World, message_id: str, *, hours_ago: float = 0) -> Path:
    path = world.asterisk.recording_spool / f"{message_id}-1.wav"
    path.write_bytes(MESSAGE.read_bytes())
    at = time.time() - hours_ago * 3600
    os.utime(path, (at, at))
    return path


async def test_a_message_that_a_worker_who_is_gone_left_behind_is_filed(world: World, service: Service) -> None:
    left = "ab" * 16
    _recorded(world, left)
    await world.database.run(_left_message, left, "centralino-gone")
    await service.switchboard.reconcile()
    message = await world.read(lambda session: session.get_one(Message, left))
    assert (message.state, message.request_id is not None) == (MessageState.FILED, True)


async def test_recordings_of_no_call_are_filed_or_cleared_away(world: World, service: Service) -> None:
    lost, filed, unknown, fresh = ("1" * 32, "2" * 32, "3" * 32, "4" * 32)
    for message_id in (lost, filed):
        await world.database.run(_left_message, message_id, "centralino")
    _recorded(world, filed)
    await service.switchboard.reconcile()  # `filed` is filed, `lost` has no audio
    for message_id in (lost, filed, unknown):
        _recorded(world, message_id, hours_ago=2)
    young = _recorded(world, fresh)
    foreign = world.asterisk.recording_spool / "not-ours.wav"
    foreign.write_bytes(b"")
    os.utime(foreign, (0, 0))
    await service.switchboard.tidy_recordings()
    assert {path.name for path in world.asterisk.recording_spool.iterdir()} == {young.name, foreign.name}
    found = await world.read(lambda session: session.get_one(Message, lost))
    assert found.state is MessageState.FILED
    aside = world.settings.storage.audio / "unusable"
    assert [path.name for path in aside.iterdir()] == [f"{unknown}-{unknown}-1.wav"]
