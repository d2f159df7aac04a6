"""What is edited at the desk reaches every process, and what makes no sense any more is left out."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from centralino.rig.desk_server import CALLS, LINE
from ivr import operations, queries, site
from ivr.config import CallsConfig
from ivr.errors import CommandRefused
from ivr.models import Agent, Call, Phase, Presence, SiteEdit
from ivr.operations import add_agent, begin_call, join_queue
from ivr.site import Site
from schedules.hours import Calendar, is_open, next_opening
from tickets.database import Database

pytestmark = pytest.mark.contract

NOW = datetime(2026, 11, 30, 10, 30, tzinfo=UTC)
"""Monday, half past eleven in Rome."""
WEEK = dict.fromkeys(("monday", "tuesday", "wednesday", "thursday", "friday"), ("08:00-18:00",))


def config() -> CallsConfig:
    calls = CALLS.model_copy()
    calls.calendars = {"desk": Calendar(name="desk", weekly=WEEK), "other": Calendar(name="other", weekly=WEEK)}
    return calls


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 - two processes, of which neither tells a test
            await asyncio.sleep(0.01)


async def test_a_closure_reaches_every_process_by_its_hint(database: Database) -> None:
    here, there = config(), config()
    async with database.hearing_others(), Site(database, here, lambda: NOW), Site(database, there, lambda: NOW):
        assert is_open(there.calendars["desk"], NOW)
        closed = await database.run(
            site.close_now, here, calendar="desk", words="Guasto", prompt=None, ends_at=None, actor="sara", now=NOW
        )
        await until(lambda: not is_open(here.calendars["desk"], NOW) and not is_open(there.calendars["desk"], NOW))
        assert is_open(there.calendars["other"], NOW)
        await database.run(site.end_closure, closed.id, actor="sara", now=NOW)
        await until(lambda: is_open(there.calendars["desk"], NOW))


async def test_a_closure_without_an_end_is_taken_to_end_with_the_day_and_each_day_anew(database: Database) -> None:
    calls, time = config(), NOW
    await database.run(
        site.close_now, calls, calendar=None, words="Sciopero", prompt=None, ends_at=None, actor="sara", now=NOW
    )
    async with Site(database, calls, lambda: time) as one:
        assert next_opening(calls.calendars["desk"], NOW) == datetime(2026, 12, 1, 7, tzinfo=UTC)
        time = NOW + timedelta(days=1)
        await one.look()
        assert not is_open(calls.calendars["desk"], time)
        assert next_opening(calls.calendars["desk"], time) == datetime(2026, 12, 2, 7, tzinfo=UTC)


async def test_closures_that_are_over_are_forgotten_after_a_week(database: Database) -> None:
    calls = config()
    end = NOW + timedelta(hours=1)
    await database.run(site.close_now, calls, calendar=None, words="x", prompt=None, ends_at=end, actor="sara", now=NOW)
    for days, known in ((0, 1), (6, 1), (8, 0)):
        async with Site(database, calls, lambda days=days: NOW + timedelta(days=days)):  # type: ignore[misc]
            assert len(calls.calendars["desk"].unplanned) == known
    assert len(await database.read(site.closures, now=NOW)) == 1


def _row(session: Session, kind: str, name: str, definition: dict[str, object]) -> None:
    session.add(SiteEdit(kind=kind, name=name, definition=definition, edited_by="sara", edited_at=NOW))


async def test_a_row_that_makes_no_sense_any_more_leaves_the_file_in_force(database: Database) -> None:
    calls = config()
    await database.run(_row, "queue", "gone", {"ring_seconds": 5})
    await database.run(_row, "queue", "desk", {"ring_seconds": -5})
    await database.run(_row, "queue", "specialists", {"ring_seconds": 7})
    await database.run(_row, "line", LINE, {"queue": "gone"})
    async with Site(database, calls, lambda: NOW):
        assert (calls.queues["desk"].ring_seconds, calls.queues["specialists"].ring_seconds) == (20, 7)
        assert calls.lines[0].queue == "desk"


# -------------------------------------------------------------------------------------------------------------- moves


def _line(session: Session) -> None:
    """Three who wait in one queue, one in another; an agent who is free."""
    for number, (call_id, queue, priority) in enumerate(
        [("first", "desk", 0), ("second", "desk", 0), ("urgent", "desk", 5), ("other", "specialists", 9)]
    ):
        at = NOW + timedelta(seconds=number)
        begin_call(
            session,
            call_id=call_id,
            app="centralino",
            channel_id=call_id,
            line=LINE,
            language="it",
            caller=None,
            now=at,
        )
        join_queue(session, call_id, queue, priority=priority, choice=None, now=at)
    agent = add_agent(session, "mara", "Mara", "PJSIP/1", ["specialists"], now=NOW)
    agent.presence, agent.desk_connected, agent.phone_reachable = Presence.FREE, True, True


async def test_a_call_goes_to_the_head_of_its_own_queue(database: Database) -> None:
    await database.run(_line)
    assert await database.run(operations.move_to_head, "second") == 6
    assert await database.read(queries.position_in_line, "second") == 1
    assert await database.read(queries.position_in_line, "urgent") == 2
    assert await database.run(operations.move_to_head, "other") == 9
    assert await database.run(operations.leave_line, "first", Phase.MENU)
    assert await database.run(operations.move_to_head, "first") is None


async def test_a_call_waits_in_another_queue_as_long_as_it_has_waited(database: Database) -> None:
    await database.run(_line)
    assert await database.run(operations.move_to_queue, "first", "specialists")
    row = await database.read(Session.get_one, Call, "first")
    assert (row.queue, row.queued_at) == ("specialists", NOW)
    await database.run(operations.join_queue, "first", "specialists", priority=0, choice=None, now=NOW + timedelta(1))
    assert (await database.read(Session.get_one, Call, "first")).queued_at == NOW
    await database.run(operations.leave_line, "second", Phase.MENU)
    assert not await database.run(operations.move_to_queue, "second", "specialists")


async def test_a_call_is_offered_to_a_named_agent_or_stays_where_it_is(database: Database) -> None:
    await database.run(_line)
    mara = (await database.read(queries.agents))[0].id
    offer = await database.run(operations.offer_waiting_to, "first", mara, now=NOW)
    assert (offer.call_id, offer.endpoint) == ("first", "PJSIP/1")
    assert (await database.read(Session.get_one, Agent, mara)).presence is Presence.RINGING
    with pytest.raises(CommandRefused, match="not free"):
        await database.run(operations.offer_waiting_to, "second", mara, now=NOW)
    assert (await database.read(Session.get_one, Call, "second")).phase is Phase.WAITING
    with pytest.raises(CommandRefused, match="not waiting"):
        await database.run(operations.offer_waiting_to, "first", mara, now=NOW)
