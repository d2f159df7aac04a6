"""What is edited at the desk reaches every process, and what makes no sense any more is left out."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from centralino.rig.desk_server import CALLS, LINE
from ivr import operations, queries, site
from ivr.config import CallsConfig
from ivr.errors import CommandRefused, StillUsed
from ivr.models import Agent, Call, Outcome, Phase, Presence, SiteEdit
from ivr.operations import add_agent, begin_call, join_queue
from ivr.site import Site
from schedules.hours import Calendar, is_open, next_opening
from tickets.database import Database

pytestmark = pytest.mark.contract

NOW = datetime(2026, 11, 30, 10, 30, tzinfo=UTC)
"""Monday, half past eleven in Rome."""
WEEK = dict.fromkeys(("monday", "tuesday", "wednesday", "thursday", "friday"), ("08:00-18:00",))


BEGUN: dict[str, Any] = {
    "call_id": "c1",
    "app": "centralino",
    "channel_id": "c1",
    "line": "123",
    "language": "it",
    "caller": None,
    "now": NOW,
}


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


async def test_what_is_added_at_one_process_is_there_at_the_other_and_goes_again(database: Database) -> None:
    here, there = config(), config()
    async with database.hearing_others(), Site(database, here, lambda: NOW) as one, Site(database, there, lambda: NOW):
        base = one.base
        who: dict[str, Any] = {"actor": "sara", "now": NOW}
        await database.run(site.add_part, base, "queue", "cup", {}, **who)
        # the other process has not looked yet: what it is asked next is checked against the rows all the same
        line = {"name": "CUP", "calendar": "desk", "queue": "cup"}
        await database.run(site.add_part, base, "line", "123", line, **who)
        with pytest.raises(StillUsed) as used:
            await database.run(site.remove_part, base, "queue", "cup", now=NOW)
        assert used.value.uses == (("line", "CUP (123)"),)
        await until(lambda: "cup" in there.queues and there.line("123") is not None)
        assert there.lines[-1].language == base.lines[0].language
        await database.run(begin_call, **BEGUN)
        with pytest.raises(StillUsed) as used:
            await database.run(site.remove_part, base, "line", "123", now=NOW)
        assert used.value.uses == (("calls", "1"),)
        await database.run(operations.end_call, "c1", Outcome.LOST, now=NOW)
        await database.run(site.remove_part, base, "line", "123", now=NOW)
        await database.run(site.remove_part, base, "queue", "cup", now=NOW)
        await until(lambda: there.queues.keys() == base.queues.keys() and there.line("123") is None)
        assert there.queue_named("cup").ring_seconds == 20  # a call that has read the name before goes on
    assert await database.read(site.edits) == []


async def test_two_who_add_the_same_at_once_do_not_both(database: Database) -> None:
    base = config()
    adding = [
        database.run(site.add_part, base, "queue", "cup", {"ring_seconds": n}, actor=f"s{n}", now=NOW)
        for n in (1, 2, 3)
    ]
    results = await asyncio.gather(*adding, return_exceptions=True)
    assert sorted(type(one).__name__ for one in results) == ["InvalidInput", "InvalidInput", "dict"]
    assert [row.name for row in await database.read(site.edits)] == ["cup"]


async def test_an_added_line_that_the_file_no_longer_fits_is_told_and_can_be_removed(database: Database) -> None:
    base, later = config(), config()
    line = {"name": "CUP", "calendar": "other", "queue": "desk"}
    await database.run(site.add_part, base, "line", "123", line, actor="sara", now=NOW)
    later.calendars = {"desk": later.calendars["desk"]}
    async with Site(database, later, lambda: NOW) as one:
        assert later.line("123") is None
        parts = site.parts(later, one.base, await database.read(site.edits))
        (lost,) = (part for part in parts if part.name == "123")
        assert (lost.in_force, lost.definition["calendar"], lost.of_file) == (False, "other", None)
        mend = {"calendar": "desk"}
        await database.run(site.edit_part, one.base, "line", "123", mend, actor="sara", now=NOW)
        await one.look()
        assert later.line("123") is not None
        await database.run(site.remove_part, one.base, "line", "123", now=NOW)


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
