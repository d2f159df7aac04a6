"""Callers and agents: they talk, and agents who do not answer are paused."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from centralino.rig.audio import similarity
from centralino.rig.phone import Event
from centralino.rig.world import World
from centralino.serve import Service
from ivr.models import Offer, OfferResult, Outcome, Phase
from tests.stories.conftest import (
    AMATO,
    ANNA,
    ANSWER,
    BOTH,
    BRUNO,
    QUESTION,
    ROSSI,
    STAFFED,
    Duty,
    answered_by,
    dial,
    nothing_left,
    outcome_of,
    say,
)

pytestmark = pytest.mark.story


def _offers(session: Session, call_id: str) -> list[tuple[int, OfferResult | None]]:
    offers = session.scalars(select(Offer).where(Offer.call_id == call_id).order_by(Offer.offered_at, Offer.id))
    return [(offer.agent_id, offer.result) for offer in offers]


async def test_a_caller_and_an_agent_hear_each_other_and_the_agent_hangs_up(
    world: World, service: Service, on_duty: Duty
) -> None:
    anna = await on_duty(ANNA)
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, STAFFED)
        pop = await anna.desk.pop(call.id)
        rang = await anna.phone.wait_for(Event.RINGING)
        assert pop.at < rang.at
        assert [contact["name"] for contact in pop.item["contacts"]] == [ROSSI.name]
        assert rossi.name[1:] in rang.peer  # the agent's phone shows who calls
        await anna.phone.answer()
        await world.call_until(call.id, lambda row: row.phase is Phase.TALKING)
        await anna.until_presence("talking")
        await rossi.speak(QUESTION)
        await say(anna.phone, ANSWER)
        await say(rossi, ANSWER)
        await anna.phone.hang_up()
        await rossi.wait_for(Event.CLOSED)
        assert similarity(QUESTION, anna.phone.heard()) > 0.8
        assert similarity(ANSWER, rossi.heard()) > 0.8
        await anna.until_presence("wrap_up")
        await anna.until_presence("free")
        assert await outcome_of(world, call) is Outcome.ANSWERED
    assert await world.read(_offers, call.id) == [(anna.id, OfferResult.ANSWERED)]
    await nothing_left(world, service)


async def test_an_agent_hangs_up_with_a_click(world: World, service: Service, on_duty: Duty) -> None:
    anna = await on_duty(ANNA)
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, STAFFED)
        await answered_by(world, anna, call)
        await anna.desk.post(f"/api/calls/{call.id}/hang-up")
        await anna.phone.wait_for(Event.CLOSED)
        await rossi.wait_for(Event.CLOSED)
    assert await outcome_of(world, call) is Outcome.ANSWERED
    await anna.until_presence("free")
    await nothing_left(world, service)


async def test_the_agent_who_was_idle_longest_rings_and_only_that_one(
    world: World, service: Service, on_duty: Duty
) -> None:
    bruno = await on_duty(BRUNO)
    anna = await on_duty(ANNA)
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, STAFFED)
        await answered_by(world, bruno, call)
        assert await anna.presence() == "free"
        await rossi.hang_up()
        await bruno.until_presence("free")
    assert [one.event for one in anna.phone.events if one.event is Event.RINGING] == []
    # Bruno has just been busy: now Anna is the one idle longest
    async with world.caller(AMATO.phone) as amato:
        call = await dial(world, amato, STAFFED)
        await answered_by(world, anna, call)
        assert await bruno.presence() == "free"
    await nothing_left(world, service)


async def test_a_line_that_rings_two_at_once_goes_to_the_first_who_answers(
    world: World, service: Service, on_duty: Duty
) -> None:
    anna, bruno = await on_duty(ANNA), await on_duty(BRUNO)
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, BOTH)
        await anna.phone.wait_for(Event.RINGING)
        await answered_by(world, bruno, call)
        await anna.phone.wait_for(Event.CLOSED)
        await anna.until_presence("free")
        await bruno.until_presence("talking")
        await say(bruno.phone, ANSWER)
        await rossi.hang_up()
        await bruno.until_presence("free")
        await rossi.wait_for(Event.CLOSED)
        assert similarity(ANSWER, rossi.heard()) > 0.8
    assert sorted(await world.read(_offers, call.id)) == sorted(
        [(anna.id, OfferResult.WITHDRAWN), (bruno.id, OfferResult.ANSWERED)]
    )
    assert await outcome_of(world, call) is Outcome.ANSWERED
    await nothing_left(world, service)


@pytest.mark.parametrize("refuses", [True, False], ids=["rejects", "lets it ring"])
async def test_an_agent_who_does_not_answer_is_paused_and_the_next_one_gets_the_call(
    world: World, service: Service, on_duty: Duty, refuses: bool
) -> None:
    anna = await on_duty(ANNA, answer="reject" if refuses else "manual")
    bruno = await on_duty(BRUNO)
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, STAFFED)
        await anna.phone.wait_for(Event.RINGING)
        await anna.phone.wait_for(Event.CLOSED)
        shown = await anna.until_presence("paused")
        assert shown["pause_reason"] == "missed_call"
        await answered_by(world, bruno, call)
        await say(bruno.phone, ANSWER)
        await rossi.hang_up()
        await bruno.until_presence("free")
        await rossi.wait_for(Event.CLOSED)
        assert similarity(ANSWER, rossi.heard()) > 0.8
    result = OfferResult.REJECTED if refuses else OfferResult.MISSED
    assert await world.read(_offers, call.id) == [(anna.id, result), (bruno.id, OfferResult.ANSWERED)]
    assert await anna.presence() == "paused"
    await anna.desk.post("/api/presence/free")
    await anna.until_presence("free")
    await nothing_left(world, service)


async def test_a_caller_whose_only_agent_missed_the_call_is_offered_again_after_the_click(
    world: World, service: Service, on_duty: Duty
) -> None:
    anna = await on_duty(ANNA)
    async with world.caller(ROSSI.phone) as rossi, world.caller(AMATO.phone) as amato:
        call = await dial(world, rossi, STAFFED)
        await anna.phone.wait_for(Event.RINGING)
        await anna.phone.reject()
        await anna.phone.wait_for(Event.CLOSED)
        await anna.until_presence("paused")
        await world.call_until(call.id, lambda row: row.phase is Phase.WAITING)
        await anna.desk.post("/api/presence/free")
        later = await dial(world, amato, STAFFED)
        await answered_by(world, anna, call)
        await rossi.hang_up()
        await anna.phone.wait_for(Event.CLOSED)
        await answered_by(world, anna, later)
    assert await outcome_of(world, later) is Outcome.ANSWERED
    await nothing_left(world, service)


async def test_both_of_two_agents_refuse_and_the_caller_waits_for_one_to_come_back(
    world: World, service: Service, on_duty: Duty
) -> None:
    anna, bruno = await on_duty(ANNA), await on_duty(BRUNO, answer="reject")
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, BOTH)
        await anna.phone.wait_for(Event.RINGING)
        await bruno.phone.wait_for(Event.CLOSED)
        await anna.until_presence("ringing")  # one who refuses does not end the other's ringing
        await anna.phone.reject()
        for agent in (anna, bruno):
            assert (await agent.until_presence("paused"))["pause_reason"] == "missed_call"
        await world.call_until(call.id, lambda row: row.phase is Phase.WAITING)
        await anna.phone.wait_for(Event.CLOSED)
        await anna.desk.post("/api/presence/free")
        await answered_by(world, anna, call)
        await rossi.hang_up()
    assert await outcome_of(world, call) is Outcome.ANSWERED
    await anna.until_presence("free")
    await nothing_left(world, service)
