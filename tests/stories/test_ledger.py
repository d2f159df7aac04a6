"""The ledger: every call has one row and one outcome, as Asterisk's own records bear out."""

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session
from typer.testing import CliRunner

from centralino.cli import app
from centralino.rig.phone import Event
from centralino.rig.world import World
from centralino.serve import Service
from ivr.ledger import DIFFERENCE, WITHOUT_OUTCOME, DifferenceKind, Ledger, differences
from ivr.models import Call, CallRecord, Outcome
from schedules.clock import utc_now
from tests.stories.conftest import (
    AMATO,
    ANNA,
    BRUNO,
    CLOSED,
    ROSSI,
    STAFFED,
    Duty,
    answered_by,
    dial,
    nothing_left,
    outcome_of,
)
from tests.stories.test_fallback import all_filed, leave_message, short_greeting, until, world
from tickets.alarms import open_alarms

pytestmark = pytest.mark.story
__all__ = ["short_greeting", "world"]


def later(service: Service) -> Ledger:
    """The ledger of a service two minutes from now, when every call that has ended is to be compared."""
    ledger = service.ledger
    return Ledger(
        ledger.path,
        ledger.config,
        database=ledger.database,
        ari=ledger.ari,
        alarms=ledger.alarms,
        now=lambda: utc_now() + timedelta(minutes=2),
    )


async def recorded(world: World, ended: int) -> None:
    """Wait until Asterisk has written the end of so many channels."""
    await until(lambda: world.asterisk.call_records.read_text().count('"CHAN_END"') >= ended)


async def hang_up_in_greeting(world: World, number: str) -> None:
    """Call while nobody is there, and hang up as soon as the dialplan has picked up."""
    async with world.caller(number) as caller:
        await caller.call(CLOSED)
        await caller.wait_for(Event.ESTABLISHED)
        await caller.hang_up()
        await caller.wait_for(Event.CLOSED)


def all_calls(session: Session) -> Sequence[Call]:
    return session.scalars(select(Call).order_by(Call.started_at)).all()


def all_records(session: Session) -> Sequence[CallRecord]:
    return session.scalars(select(CallRecord).order_by(CallRecord.started_at)).all()


async def found(world: World) -> list[DifferenceKind]:
    return await world.read(lambda session: [one.kind for one in differences(session)])


async def alarms(world: World) -> list[str]:
    return [alarm.kind for alarm in await world.read(open_alarms)]


async def show(world: World, *options: str) -> tuple[int, str]:
    """What `centralino ledger` says, and its exit code."""
    arguments = ["ledger", "--config", str(world.settings_file), *options]
    result = await asyncio.to_thread(CliRunner().invoke, app, arguments)
    return result.exit_code, result.output


async def test_calls_taken_while_the_service_was_down_have_each_one_row_and_one_outcome(
    world: World, short_greeting: None
) -> None:
    async with world.caller(ROSSI.phone) as caller:
        await leave_message(caller, world, CLOSED)
    await recorded(world, 1)
    world.asterisk.call_records.rename(f"{world.asterisk.call_records}.1")
    await hang_up_in_greeting(world, AMATO.phone)
    await recorded(world, 1)
    async with world.serving() as service:
        await later(service).read()
        await all_filed(world, 1)
        async with world.caller("+390804440000") as caller:
            third = await dial(world, caller, STAFFED)
            await caller.hang_up()
            await outcome_of(world, third)
        await recorded(world, 2)
        await later(service).read()
        await later(service).compare()
        calls, records = await world.read(all_calls), await world.read(all_records)
        assert [(call.caller, call.outcome) for call in calls] == [
            (ROSSI.phone, Outcome.FALLBACK),
            (AMATO.phone, Outcome.ABANDONED_FALLBACK),
            ("+390804440000", Outcome.ABANDONED_QUEUE),
        ]
        assert [call.channel_id for call in calls] == [record.channel_id for record in records]
        for call, record in list(zip(calls, records, strict=True))[:2]:
            assert (call.started_at, call.ended_at) == (record.started_at, record.ended_at)
            assert call.outcome_note
        assert [record.caller for record in records] == [None, None, None]
        assert await found(world) == []
        assert await alarms(world) == []
        await nothing_left(world, service)
    code, text = await show(world, "--json")
    [count] = json.loads(text)["counts"]
    assert (code, count["calls"], count["recorded"]) == (0, 3, 3)


async def test_a_call_whose_outcome_is_missing_is_an_alarm_until_it_is_mended(world: World) -> None:
    async with world.serving() as service:
        async with world.caller(ROSSI.phone) as caller:
            call = await dial(world, caller, STAFFED)
            await caller.hang_up()
            await outcome_of(world, call)
        await recorded(world, 1)
        ledger = later(service)
        await ledger.read()
        await world.database.run(lambda session: session.execute(update(Call).values(outcome=None)))
        await ledger.compare()
        assert await alarms(world) == [WITHOUT_OUTCOME]
        assert await found(world) == [DifferenceKind.NO_OUTCOME]
        code, text = await show(world, "--differences")
        assert (code, call.id in text, ROSSI.phone in text) == (1, True, True)
        await world.database.run(lambda session: session.execute(update(Call).values(outcome=Outcome.FAILED)))
        await world.database.run(lambda session: session.execute(delete(CallRecord)))
        await ledger.compare()
        assert await alarms(world) == []  # no records: nothing to compare with


async def test_rows_that_asterisk_does_not_bear_out_are_differences(world: World) -> None:
    async with world.serving() as service:
        async with world.caller(ROSSI.phone) as caller:
            calls = []
            for _ in range(4):
                calls.append(await dial(world, caller, STAFFED))
                await caller.hang_up()
                await caller.wait_for(Event.CLOSED)
                await outcome_of(world, calls[-1])
        await recorded(world, 4)
        ledger = later(service)
        await ledger.read()

        def spoil(session: Session) -> None:
            _, unknown, late, open_one = (session.get_one(Call, call.id) for call in calls)
            session.execute(delete(CallRecord).where(CallRecord.channel_id == unknown.channel_id))
            assert late.ended_at
            late.ended_at += timedelta(seconds=20)
            open_one.ended_at = open_one.outcome = None

        await world.database.run(spoil)
        assert await found(world) == [
            DifferenceKind.NOT_IN_RECORDS,
            DifferenceKind.ENDS_APART,
            DifferenceKind.STILL_OPEN,
        ]
        await ledger.compare()
        assert await alarms(world) == [DIFFERENCE]

        def explain(session: Session) -> None:
            _, unknown, late, open_one = (session.get_one(Call, call.id) for call in calls)
            late.outcome_note = "the call ended while the service was away"
            open_one.ended_at, open_one.outcome = late.started_at, Outcome.FAILED
            session.execute(
                update(CallRecord).values(ended_at=late.started_at).where(CallRecord.channel_id == open_one.channel_id)
            )
            session.delete(unknown)

        await world.database.run(explain)
        await ledger.compare()
        assert await found(world) == [DifferenceKind.ENDS_APART]
        assert await alarms(world) == []
        assert (await show(world))[0] == 0


async def test_a_transferred_call_is_one_call(world: World, on_duty: Duty) -> None:
    async with world.serving() as service, world.caller(ROSSI.phone) as caller:
        anna = await on_duty(ANNA)
        call = await dial(world, caller, STAFFED)
        await answered_by(world, anna, call)
        bruno = await on_duty(BRUNO)
        await service.switchboard.command(call.id, "blind_transfer", f"agent:{bruno.id}")
        await answered_by(world, bruno, call)
        await caller.hang_up()
        assert await outcome_of(world, call) is Outcome.ANSWERED
        await recorded(world, 3)
        await later(service).read()
        assert [record.channel_id for record in await world.read(all_records)] == [call.channel_id]
        assert await found(world) == []


async def test_a_call_during_which_asterisk_died_while_the_service_was_down_has_its_row(world: World) -> None:
    async with world.caller(ROSSI.phone) as caller:
        await caller.call(CLOSED)
        await caller.wait_for(Event.ESTABLISHED)
        await until(lambda: world.asterisk.call_records.exists())
        await world.asterisk.kill()
    await world.asterisk.start()
    async with world.serving() as service:
        ledger = later(service)
        await ledger.read()
        assert await world.read(all_calls) == []
        await ledger.compare()
        ledger.now = lambda: utc_now() + timedelta(minutes=4)
        await ledger.read()
        [call] = await world.read(all_calls)
        assert (call.caller, call.outcome) == (ROSSI.phone, Outcome.FAILED)
        assert await found(world) == [DifferenceKind.END_UNWRITTEN]
        await ledger.compare()
        assert await alarms(world) == []
