"""Calls and agents on a real database of either kind."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from ivr import operations, queries
from ivr.config import Queue
from ivr.errors import CommandRefused, WrapUpRefused
from ivr.models import TIMED_OUT, Agent, Call, Offer, OfferResult, Outcome, Phase, Presence
from tickets.database import Database

pytestmark = pytest.mark.contract

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
QUEUES = {"edotto": Queue(), "secondo": Queue(), "insieme": Queue(ring_agents=2)}


async def on_duty(database: Database, username: str, *queues: str) -> int:
    """An agent who is free for calls, with page and phone."""

    def add(session: Session) -> int:
        agent = operations.add_agent(session, username, username, f"PJSIP/{username}", queues, now=NOW)
        agent.desk_connected = agent.phone_reachable = True
        return (operations.go_free(session, agent.id, now=NOW)).id

    return await database.run(add)


async def waiting(database: Database, call_id: str, queue: str, *, after: float = 0.0, priority: int = 0) -> None:
    """A call in the waiting line, `after` seconds later than others."""
    at = NOW + timedelta(seconds=after)

    def begin(session: Session) -> None:
        operations.begin_call(
            session,
            call_id=call_id,
            app="centralino",
            channel_id=f"channel-{call_id}",
            line="800",
            language="it",
            caller=None,
            now=at,
        )
        operations.join_queue(session, call_id, queue, priority=priority, choice=None, now=at)

    await database.run(begin)


async def offers_for(database: Database, *calls: str) -> list[Offer]:
    return await database.run(operations.make_offers, calls, QUEUES, own=["centralino"], now=NOW)


async def agent(database: Database, agent_id: int) -> Agent:
    def look(session: Session) -> Agent:
        return session.get_one(Agent, agent_id)

    return await database.read(look)


async def call(database: Database, call_id: str) -> Call:
    row = await database.read(queries.call, call_id)
    assert row is not None
    return row


async def test_a_call_from_the_line_to_its_end(database: Database) -> None:
    anna = await on_duty(database, "anna", "edotto")
    await waiting(database, "c1", "edotto")
    (offer,) = await offers_for(database, "c1")
    assert (offer.agent_id, offer.endpoint) == (anna, "PJSIP/anna")
    assert (await call(database, "c1")).phase is Phase.RINGING
    assert (await agent(database, anna)).presence is Presence.RINGING
    await database.run(operations.answer_offer, offer, bridge_id="b1", now=NOW)
    row = await call(database, "c1")
    assert (row.phase, row.agent_id, row.agent_channel_id, row.answered_at) == (Phase.TALKING, anna, offer.id, NOW)
    assert await database.run(operations.end_call, "c1", Outcome.ANSWERED, wrap_up_seconds=30, now=NOW)
    assert not await database.run(operations.end_call, "c1", Outcome.FAILED, now=NOW)
    assert (await agent(database, anna)).presence is Presence.WRAP_UP
    await database.run(operations.finish_wrap_ups, now=NOW + timedelta(seconds=31))
    assert (await agent(database, anna)).presence is Presence.FREE


async def talks(database: Database, call_id: str) -> Offer:
    await waiting(database, call_id, "edotto")
    (offer,) = await offers_for(database, call_id)
    await database.run(operations.answer_offer, offer, bridge_id="b", now=NOW)
    return offer


async def code_of(database: Database, offer: Offer) -> str | None:
    def look(session: Session) -> str | None:
        return session.get_one(Offer, offer.id).code

    return await database.read(look)


async def test_who_says_nothing_of_a_call_leaves_the_machines_own_code_however_the_wrap_up_ends(
    database: Database,
) -> None:
    anna = await on_duty(database, "anna", "edotto")
    ends: tuple[Any, ...] = (operations.finish_wrap_ups, operations.end_wrap_up, operations.go_free)
    for number, end in enumerate(ends):
        offer = await talks(database, f"c{number}")
        assert await code_of(database, offer) is None
        await database.run(operations.end_call, f"c{number}", Outcome.ANSWERED, wrap_up_seconds=30, now=NOW)
        who = () if end is operations.finish_wrap_ups else (anna,)
        await database.run(end, *who, now=NOW + timedelta(seconds=31))
        assert await code_of(database, offer) == TIMED_OUT
        assert (await agent(database, anna)).presence is Presence.FREE
        await database.run(operations.set_code, f"c{number}", anna, "solved")  # put right later
        assert await code_of(database, offer) == "solved"


async def test_what_was_said_of_a_call_stays_and_only_by_who_talked(database: Database) -> None:
    anna = await on_duty(database, "anna", "edotto")
    offer = await talks(database, "c1")
    bruno = await on_duty(database, "bruno", "secondo")
    await database.run(operations.set_code, "c1", anna, "passed_on")
    with pytest.raises(CommandRefused):
        await database.run(operations.set_code, "c1", bruno, "solved")
    await database.run(operations.leave_talk, anna, wrap_up_seconds=30, now=NOW)
    assert await code_of(database, offer) == "passed_on"


async def test_a_wrap_up_is_made_longer_as_often_as_the_site_allows(database: Database) -> None:
    anna = await on_duty(database, "anna", "edotto")
    more: dict[str, Any] = {"seconds": 60, "times": 2}
    await talks(database, "c1")
    with pytest.raises(WrapUpRefused):
        await database.run(operations.extend_wrap_up, anna, now=NOW, **more)
    await database.run(operations.end_call, "c1", Outcome.ANSWERED, wrap_up_seconds=30, now=NOW)
    late = NOW + timedelta(seconds=40)  # over, and not ended yet
    once = await database.run(operations.extend_wrap_up, anna, now=NOW, **more)
    assert once.wrap_up_until == NOW + timedelta(seconds=90)
    await database.run(operations.finish_wrap_ups, now=late)
    assert (await agent(database, anna)).presence is Presence.WRAP_UP
    twice = await database.run(operations.extend_wrap_up, anna, now=NOW + timedelta(seconds=95), **more)
    assert twice.wrap_up_until == NOW + timedelta(seconds=155)
    with pytest.raises(WrapUpRefused):
        await database.run(operations.extend_wrap_up, anna, now=late, **more)
    await database.run(operations.end_wrap_up, anna, now=late)
    await talks(database, "c2")
    await database.run(operations.end_call, "c2", Outcome.ANSWERED, wrap_up_seconds=30, now=late)
    assert (await database.run(operations.extend_wrap_up, anna, now=late, **more)).wrap_up_extended == 1


async def test_a_call_that_joins_its_queue_again_keeps_its_place_and_another_queue_is_a_new_place(
    database: Database,
) -> None:
    await waiting(database, "c1", "edotto")
    later = NOW + timedelta(minutes=5)
    await database.run(operations.join_queue, "c1", "edotto", priority=0, choice="use", now=later)
    row = await call(database, "c1")
    assert (row.queued_at, row.choice) == (NOW, "use")
    await database.run(operations.join_queue, "c1", "secondo", priority=100, choice=None, now=later)
    row = await call(database, "c1")
    assert (row.queue, row.queued_at, row.priority, row.choice) == ("secondo", later, 100, "use")


async def test_a_long_line_of_one_queue_keeps_no_agent_from_another(database: Database) -> None:
    bruno = await on_duty(database, "bruno", "secondo")
    for number in range(operations.HEAD_OF_LINE + 1):
        await waiting(database, f"c{number}", "edotto")
    await waiting(database, "last", "secondo", after=60)
    calls = [*(f"c{number}" for number in range(operations.HEAD_OF_LINE + 1)), "last"]
    assert [(offer.call_id, offer.agent_id) for offer in await offers_for(database, *calls)] == [("last", bruno)]


async def test_two_decisions_at_once_never_ring_an_agent_twice(database: Database) -> None:
    for name in ("anna", "bruno", "carla"):
        await on_duty(database, name, "edotto")
    calls = [f"c{number}" for number in range(8)]
    for call_id in calls:
        await waiting(database, call_id, "edotto")
    made = await asyncio.gather(*(offers_for(database, *calls) for _ in range(4)))
    offers = [offer for decision in made for offer in decision]
    assert len({offer.agent_id for offer in offers}) == len(offers) == 3
    assert len({offer.call_id for offer in offers}) == 3


async def test_both_phones_ring_and_the_one_not_needed_is_free_again(database: Database) -> None:
    anna, bruno = await on_duty(database, "anna", "insieme"), await on_duty(database, "bruno", "insieme")
    await waiting(database, "c1", "insieme")
    first, second = await offers_for(database, "c1")
    await database.run(operations.answer_offer, first, bridge_id="b1", now=NOW)
    await database.run(operations.end_offer, second.id, OfferResult.WITHDRAWN, misses_before_pause=1, now=NOW)
    presences = {one: (await agent(database, one)).presence for one in (anna, bruno)}
    assert presences == {first.agent_id: Presence.TALKING, second.agent_id: Presence.FREE}


async def test_who_is_consulted_talks_and_a_pause_asked_for_meanwhile_is_kept(database: Database) -> None:
    anna, bruno = await on_duty(database, "anna", "edotto"), await on_duty(database, "bruno", "secondo")
    await waiting(database, "c1", "edotto")
    (offer,) = await offers_for(database, "c1")
    await database.run(operations.answer_offer, offer, bridge_id="b1", now=NOW)
    asked = await database.run(operations.offer_to, "c1", bruno, now=NOW)
    assert asked is not None
    await database.run(operations.begin_consultation, asked, now=NOW)
    assert (await agent(database, bruno)).presence is Presence.TALKING
    await database.run(operations.pause, bruno, "break", now=NOW)
    await database.run(operations.end_offer, asked.id, OfferResult.WITHDRAWN, misses_before_pause=1, now=NOW)
    row = await agent(database, bruno)
    assert (row.presence, row.pause_reason, row.pause_after_call) == (Presence.PAUSED, "break", None)
    assert (await call(database, "c1")).agent_id == anna


async def test_a_late_step_does_not_open_a_call_again(database: Database) -> None:
    await waiting(database, "c1", "edotto")
    await database.run(operations.end_call, "c1", Outcome.ABANDONED_QUEUE, now=NOW)
    await database.run(operations.take_back, "c1", wrap_up_seconds=0, now=NOW)
    assert (await call(database, "c1")).phase is Phase.ENDED


async def test_many_calls_at_once_leave_no_agent_and_no_offer_behind(database: Database) -> None:
    agents = [await on_duty(database, f"agent{number}", "edotto") for number in range(4)]

    async def one(number: int) -> None:
        call_id = f"c{number}"
        await waiting(database, call_id, "edotto", after=number)
        while not (mine := [o for o in await offers_for(database, call_id) if o.call_id == call_id]):  # noqa: ASYNC110
            await asyncio.sleep(0)  # others hold the agents, or their phones are out of reach for a moment
        if number % 3:
            await database.run(operations.answer_offer, mine[0], bridge_id="b", now=NOW)
        else:
            ended = OfferResult.WITHDRAWN
            await database.run(operations.end_offer, mine[0].id, ended, misses_before_pause=1, now=NOW)
        await database.run(operations.end_call, call_id, Outcome.ANSWERED, now=NOW)

    async def disturb() -> None:
        for number in range(20):
            await database.run(operations.set_phone_reachable, f"PJSIP/agent{number % 4}", number % 8 > 3, now=NOW)
            await database.run(operations.finish_wrap_ups, now=NOW)
        for number in range(4):
            await database.run(operations.set_phone_reachable, f"PJSIP/agent{number}", True, now=NOW)

    await asyncio.gather(disturb(), *(one(number) for number in range(24)))
    assert {(await agent(database, one_of)).presence for one_of in agents} == {Presence.FREE}

    def left(session: Session) -> list[str]:
        unclosed = select(Offer.id).where(Offer.ended_at.is_(None))
        return [*session.scalars(unclosed), *[row.id for row in queries.open_calls(session, "centralino")]]

    assert await database.read(left) == []


async def test_a_late_step_of_a_call_that_is_over_takes_nobody(database: Database) -> None:
    """A worker that was cut off from the database writes when another has taken the call over and ended it."""
    agent_id = await on_duty(database, "anna", "edotto")
    await waiting(database, "c1", "edotto")
    [offer] = await database.run(operations.make_offers, ["c1"], QUEUES, own=["centralino"], now=NOW)
    await database.run(operations.end_call, "c1", Outcome.ABANDONED_QUEUE, now=NOW)
    await database.run(operations.answer_offer, offer, bridge_id="b", now=NOW)
    await database.run(operations.join_queue, "c1", "edotto", priority=0, choice=None, now=NOW)
    assert (await agent(database, agent_id)).presence is Presence.FREE
    assert await database.run(operations.make_offers, ["c1"], QUEUES, own=["centralino"], now=NOW) == []
    row = await call(database, "c1")
    assert (row.phase, row.outcome) == (Phase.ENDED, Outcome.ABANDONED_QUEUE)
