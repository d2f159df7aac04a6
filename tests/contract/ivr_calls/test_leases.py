"""Who holds which application, as several workers see it."""

import asyncio
from datetime import UTC, datetime

import pytest
from sqlalchemy.orm import Session

from ivr import operations
from ivr.config import Queue
from ivr.leases import LEASE_SECONDS, Leases
from ivr.models import Presence
from tickets.changes import Change
from tickets.database import Database

pytestmark = pytest.mark.contract

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)


class Clock:
    """Goes on when it is told to."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


async def pass_by(clock: Clock, seconds: float, *watching: Leases) -> None:
    """Time goes on, and those who watch beat all along."""
    while seconds > 0:
        clock.seconds += (step := min(seconds, 0.5))
        seconds -= step
        for one in watching:
            await one.beat()


async def open_call(database: Database, app: str, call_id: str = "c1") -> None:
    """A call in the hands of an application."""
    await database.run(
        operations.begin_call,
        call_id=call_id,
        app=app,
        channel_id=call_id,
        line="800",
        language="it",
        caller=None,
        now=NOW,
    )


async def test_a_holder_that_beats_keeps_its_application(database: Database) -> None:
    clock = Clock()
    uno, due = Leases(database, clock), Leases(database, clock)
    await uno.claim("uno")
    for _ in range(5):
        assert not (await uno.beat()).lost
        assert (await due.beat()).others == {"uno"}
        await pass_by(clock, LEASE_SECONDS - 0.1, due)


async def test_one_that_does_not_is_taken_over_by_exactly_one(database: Database) -> None:
    clock = Clock()
    uno, due, tre = (Leases(database, clock) for _ in range(3))
    await uno.claim("uno")
    await asyncio.gather(due.beat(), tre.beat())
    await pass_by(clock, LEASE_SECONDS, due, tre)
    assert [(await one.beat()).free for one in (due, tre)] == [{"uno"}, {"uno"}]
    assert sorted(await asyncio.gather(due.take_over("uno"), tre.take_over("uno"))) == [False, True]
    assert not (await due.beat()).free
    assert not (await tre.beat()).free


async def test_one_that_comes_back_in_time_is_not_taken_over(database: Database) -> None:
    clock = Clock()
    uno, due = Leases(database, clock), Leases(database, clock)
    await uno.claim("uno")
    await due.beat()
    await pass_by(clock, LEASE_SECONDS, due)
    assert (await due.beat()).free == {"uno"}
    await uno.beat()
    assert not await due.take_over("uno")
    assert (await due.beat()).others == {"uno"}


async def test_nobody_is_taken_for_dead_after_a_time_in_which_nobody_could_beat(database: Database) -> None:
    """The database was away, or the machine was suspended: whoever beats first must not take the others over."""
    clock = Clock()
    uno, due = Leases(database, clock), Leases(database, clock)
    await uno.claim("uno")
    await pass_by(clock, 2, uno, due)
    clock.seconds += 30
    assert not (await due.beat()).free
    await pass_by(clock, LEASE_SECONDS - 0.1, due)
    await uno.beat()
    await pass_by(clock, LEASE_SECONDS - 0.1, due)
    assert (await due.beat()).others == {"uno"}


async def test_who_was_taken_for_dead_learns_it_and_has_its_own_name_back(database: Database) -> None:
    clock = Clock()
    uno, due = Leases(database, clock), Leases(database, clock)
    await uno.claim("uno")
    await due.beat()
    await pass_by(clock, LEASE_SECONDS, due)
    await due.beat()
    assert await due.take_over("uno")
    held = await uno.beat()
    assert (held.lost, held.doubled) == ({"uno"}, set())
    await uno.claim("uno")
    assert (await due.beat()).lost == {"uno"}
    assert not (await uno.beat()).lost


async def test_two_of_one_name_are_told_from_one_that_was_taken_for_dead(database: Database) -> None:
    first, second = Leases(database), Leases(database)
    await first.claim("uno")
    await second.claim("uno")
    assert (await first.beat()).doubled == {"uno"}


async def test_what_is_released_is_free_at_once_for_one_and_it_is_told(database: Database) -> None:
    heard: list[Change] = []
    database.subscribe(heard.extend)
    uno, due, tre = Leases(database), Leases(database), Leases(database)
    await uno.claim("uno")
    await due.beat()
    await uno.release("uno")
    assert Change("lease_released", "uno") in heard
    assert [(await one.beat()).free for one in (due, tre)] == [{"uno"}, {"uno"}]
    assert sorted([await due.take_over("uno"), await tre.take_over("uno")]) == [False, True]
    await due.drop("uno")
    assert not (await due.beat()).free
    await open_call(database, "uno")  # one that nobody saw
    assert (await due.beat()).free == {"uno"}


async def test_others_are_told_who_takes_calls(database: Database) -> None:
    uno, due = Leases(database), Leases(database)
    await uno.claim("uno")
    await uno.beat(takes_calls={"uno"})
    assert (await due.beat()).serving == {"uno"}
    await uno.beat()
    held = await due.beat()
    assert (held.others, held.serving) == ({"uno"}, set())


async def test_some_work_is_done_by_one_at_a_time(database: Database) -> None:
    other = Database(database.url)
    async with database.alone("retention") as mine, other.alone("retention") as theirs, other.alone("mail") as another:
        assert (mine, theirs, another) == (True, not database.shared, True)
    async with other.alone("retention") as theirs:
        assert theirs
    await other.close()


async def test_a_waiting_call_of_another_worker_is_given_an_agent_and_that_of_a_dead_one_is_not(
    database: Database,
) -> None:
    def prepare(session: Session) -> None:
        agent = operations.add_agent(session, "anna", "Anna", "PJSIP/101", ["desk"], now=NOW)
        agent.presence, agent.free_since = Presence.FREE, NOW
        agent.desk_connected = agent.phone_reachable = True

    await database.run(prepare)
    await open_call(database, "due")
    await database.run(operations.join_queue, "c1", "desk", priority=0, choice=None, now=NOW)
    queues = {"desk": Queue()}
    assert await database.run(operations.make_offers, [], queues, own=["uno"], others=["tre"], now=NOW) == []
    # a row of our own that none of our coroutines serves (any more) waits for repair
    assert await database.run(operations.make_offers, [], queues, own=["due"], now=NOW) == []
    offers = await database.run(operations.make_offers, [], queues, own=["uno"], others=["due", "tre"], now=NOW)
    assert [offer.call_id for offer in offers] == ["c1"]
