"""The service calls itself: all of it works and nothing is left behind, or the alarm names the step that did not."""

import asyncio
import os
import shutil
import sqlite3
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, func, select
from sqlalchemy.orm import Session

from centralino.rig.phone import Event
from centralino.rig.postgres import PostgresServer
from centralino.rig.world import ITALIAN_MODEL, ServiceProcess, World
from centralino.serve import Service
from centralino.synthetic import report, synthetic_call
from ivr.config import SyntheticCallConfig
from ivr.models import Call, CallRecordFile, Lease, NodeBeat, SyntheticResult
from ivr.queries import agents
from ivr.synthetic_call import PATIENCE, SyntheticCall, last_result
from schedules.clock import utc_now
from tests.stories.conftest import (
    ANNA,
    STAFFED,
    UNSTAFFED,
    Duty,
    calls,
    nothing_left,
    request_of,
    until_recording,
)
from tickets.alarms import open_alarms
from tickets.database import Base
from tickets.models import SYNTHETIC, Alarm, Request
from voicemail.models import Message

pytestmark = pytest.mark.story

OWN = "prova@helpdesk.example"


@pytest.fixture
def more_calls() -> dict[str, Any]:
    return {"synthetic_call": {"line": STAFFED, "mail_to": OWN}}


def rows(session: Session) -> dict[str, int]:
    """How many rows each table has."""
    # how far Asterisk's records are read, and who is alive, is no trace of a call
    alive = {CallRecordFile.__tablename__, Lease.__tablename__, NodeBeat.__tablename__}
    kept = {SyntheticResult.__tablename__, Alarm.__tablename__, *alive}
    tables = [table for table in Base.metadata.sorted_tables if table.name not in kept]
    found = {table.name: session.scalar(select(func.count()).select_from(table)) or 0 for table in tables}
    return found | {"agent": len(agents(session))}


def files(world: World) -> list[Path]:
    """What lies in the folders of sound."""
    folders = (world.settings.storage.audio, world.asterisk.recording_spool, world.asterisk.fallback_spool)
    return [path for folder in folders for path in folder.rglob("*") if path.is_file()]


def by(service: Service, **patience: float) -> SyntheticCall:
    """The service's call to itself."""
    call = synthetic_call(service.settings, service.database, service.live)
    call.patience = PATIENCE | {"transcript": 30.0, "notice": 30.0} | patience
    return call


async def alarm_of(world: World) -> str:
    """What the open alarm says."""
    return "; ".join(alarm.words for alarm in await world.read(open_alarms))


async def test_a_call_to_itself_is_heard_written_down_told_by_mail_and_leaves_nothing_while_nobody_is_rung(
    world: World, service: Service, on_duty: Duty
) -> None:
    anna = await on_duty(ANNA)
    before = await world.read(rows)
    outcome = await by(service).run()
    assert (outcome.failed, outcome.why) == (None, None)
    assert list(outcome.steps) == ["answer", "pop", "words", "recording", "ticket", "transcript", "notice", "removal"]
    assert [caught.recipients for caught in world.mail.messages] == [[OWN]]
    assert await world.read(rows) == before
    assert files(world) == []
    assert {topic for topic, _ in anna.desk.items} == {"agents"}
    assert [
        one for one in anna.desk.heard if one.topic in ("messages", "requests", "waiting", "pops") and one.item
    ] == []
    assert Event.RINGING not in [one.event for one in anna.phone.events]
    assert await anna.presence() == "free"
    await nothing_left(world, service)


async def test_the_alarm_names_the_step_that_failed_and_ends_with_the_next_call_that_succeeds(
    world: World, service: Service
) -> None:
    before = await world.read(rows)
    world.mail.refusing = "550 no such user"
    await report(await by(service).run(), service.alarms)
    assert "'notice': the notice was refused: 550 no such user" in await alarm_of(world)

    await world.asterisk.cli("dialplan remove context centralino-inbound")
    failed = await by(service, answer=3.0).run()
    assert failed.failed == "answer"
    assert len(await world.read(open_alarms)) == 1

    world.mail.refusing = None
    await world.asterisk.cli("dialplan reload")
    await report(await by(service).run(), service.alarms)
    assert await world.read(open_alarms) == []
    last = await world.read(last_result)
    assert last is not None
    assert last.failed is None
    assert await world.read(rows) == before
    assert files(world) == []
    await nothing_left(world, service)


@pytest.mark.parametrize("model", ["missing", "broken"])
async def test_a_model_that_is_missing_or_broken_is_told_as_the_transcript(tmp_path: Path, model: str) -> None:
    folder = tmp_path / "model"
    if model == "broken":
        shutil.copytree(ITALIAN_MODEL, folder)
        (folder / "am/final.mdl").write_bytes(b"no model")
    settings = {"transcription": {"models": {"it": str(folder)}}}
    async with (
        World(tmp_path / "world", calls(), colleagues=(ANNA,), settings_extra=settings) as world,
        world.serving() as service,
    ):
        before = await world.read(rows)
        outcome = await by(service).run()
        assert outcome.failed == "transcript"
        assert outcome.why is not None
        assert str(folder) in outcome.why
        assert await world.read(rows) == before
        assert files(world) == []
        await nothing_left(world, service)


async def test_without_a_worker_the_dialplan_picks_up_and_its_recording_becomes_nobodys_message(world: World) -> None:
    call = synthetic_call(world.settings, world.database)
    outcome = await call.run()
    assert (outcome.failed, outcome.why) == ("answer", "the dialplan picked up by itself: no worker has taken the call")
    recorded = list(world.asterisk.fallback_spool.glob("synthetic-*.wav"))
    for path in recorded:
        os.utime(path, (0, 0))  # it has been quiet for long
    async with world.serving() as service:
        await service.switchboard.file_fallbacks()
        assert files(world) == []
        assert await world.read(_made) == 0
        await nothing_left(world, service)


async def test_a_run_that_dies_leaves_what_nobody_sees_and_the_next_look_removes(
    world: World, process: ServiceProcess, on_duty: Duty
) -> None:
    """Whoever makes the call dies while it speaks, and so does the worker that serves it."""
    await process.in_service()
    before = await world.read(rows)
    call = synthetic_call(world.settings, world.database)
    running = asyncio.create_task(call.run())
    made = await world.until(_newest)
    await until_recording(world, made)
    await asyncio.sleep(4)
    running.cancel()
    await asyncio.wait({running})
    await process.kill()
    await process.start()
    anna = await on_duty(ANNA)
    ended = await world.call_until(made.id, lambda row: row.ended_at, within=60)
    assert ended.id >= SYNTHETIC
    await request_of(world, made)
    assert {topic for topic, _ in anna.desk.items} == {"agents"}
    assert await call.remove_leftovers() == 0
    call.now = lambda: utc_now() + timedelta(hours=1)
    assert await call.remove_leftovers() == 1
    assert await world.read(rows) == before | {"desk_session": 1, "failed_log_ins": 1}  # of the agent who logged in
    assert files(world) == []
    await nothing_left(world)


async def test_a_database_that_cannot_be_written_is_told_as_well(
    world: World, service: Service, capfd: pytest.CaptureFixture[str]
) -> None:
    """As on a full disk, or on one that the system has made read-only."""

    def refuse(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute("PRAGMA query_only = ON")

    event.listen(service.database.engine, "checkout", refuse)
    try:
        outcome = await by(service).run()
        await report(outcome, service.alarms)
    finally:
        event.remove(service.database.engine, "checkout", refuse)
        service.database.engine.dispose()
    assert outcome.failed == "answer"
    assert "readonly" in (outcome.why or "")
    assert "alarm not stored" in capfd.readouterr().out
    assert await world.read(last_result) is None


async def test_it_is_made_when_the_last_one_is_old_enough_whoever_made_it(world: World, service: Service) -> None:
    call = by(service)
    call.config = call.config.model_copy(
        update={"synthetic_call": SyntheticCallConfig(every_minutes=60, line=UNSTAFFED)}
    )
    call.patience["answer"] = 0.001  # how it goes does not matter here
    assert await call.run_when_due() is not None
    assert await call.run_when_due() is None
    call.now = lambda: utc_now() + timedelta(minutes=61)
    assert await call.run_when_due() is not None
    await nothing_left(world, service)


async def test_the_command_makes_one_whichever_of_several_workers_takes_it(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    database = postgres_server.create_database(f"w_{tmp_path.name}"[:60].lower())
    async with (
        World(tmp_path, calls(), settings_extra={"storage": {"database": database}}, workers=("uno", "due")) as world,
        world.process("uno") as uno,
        world.process("due") as due,
    ):
        for worker in (uno, due):
            await worker.start()
            await worker.in_service()
        before = await world.read(rows)
        command = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "centralino", "check-call", "--config", str(world.settings_file)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said = (await command.communicate())[0].decode()
        assert command.returncode == 0, said
        assert "transcript" in said
        assert await world.read(rows) == before
        assert files(world) == []
        await nothing_left(world)


def _made(session: Session) -> int:
    return sum(session.scalar(select(func.count()).select_from(table)) or 0 for table in (Call, Message, Request))


def _newest(session: Session) -> Call | None:
    return session.scalars(select(Call).order_by(Call.started_at.desc()).limit(1)).one_or_none()
