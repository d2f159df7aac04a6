"""The caller hangs up, at each step: the outcome is right, what was said is kept, and nothing is left behind."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from centralino.rig.audio import similarity
from centralino.rig.phone import Event, Phone
from centralino.rig.world import World
from centralino.serve import Service
from ivr.models import Call, Offer, OfferResult, Outcome, Phase
from tests.stories.conftest import (
    ANNA,
    BOTH,
    BRUNO,
    CARLA,
    CLOSED,
    MENU,
    MESSAGE,
    ROSSI,
    STAFFED,
    Duty,
    answered_by,
    dial,
    kept_audio,
    message_of,
    nothing_left,
    outcome_of,
    request_of,
    say,
    until_recording,
)
from voicemail.models import Message, MessageState

pytestmark = pytest.mark.story


def _result(session: Session, call_id: str) -> OfferResult | None:
    return session.scalars(select(Offer.result).where(Offer.call_id == call_id)).one()


async def _in_the_greeting(world: World, caller: Phone) -> Call:
    call = await dial(world, caller, MENU)
    assert call.phase is Phase.GREETING
    return call


async def _in_the_menu(world: World, caller: Phone) -> Call:
    call = await dial(world, caller, MENU)
    return await world.call_until(call.id, lambda row: row.phase is Phase.MENU)


async def _while_waiting(world: World, caller: Phone) -> Call:
    call = await dial(world, caller, STAFFED)
    return await world.call_until(call.id, lambda row: row.phase is Phase.WAITING)


async def _while_the_desk_is_closed_before_the_beep(world: World, caller: Phone) -> Call:
    call = await dial(world, caller, CLOSED)
    assert call.message_id is None
    return call


@pytest.mark.parametrize(
    ("until", "outcome"),
    [
        (_in_the_greeting, Outcome.ABANDONED_GREETING),
        (_in_the_menu, Outcome.ABANDONED_MENU),
        (_while_waiting, Outcome.ABANDONED_QUEUE),
        (_while_the_desk_is_closed_before_the_beep, Outcome.ABANDONED_GREETING),
    ],
)
async def test_a_caller_hangs_up_before_anybody_heard_anything(
    world: World, service: Service, until: Callable[[World, Phone], Awaitable[Call]], outcome: Outcome
) -> None:
    async with world.caller(ROSSI.phone) as rossi:
        call = await until(world, rossi)
        await rossi.hang_up()
        assert await outcome_of(world, call) is outcome
    await nothing_left(world, service)


async def test_a_caller_hangs_up_while_the_agents_phone_rings(world: World, service: Service, on_duty: Duty) -> None:
    anna = await on_duty(ANNA)
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, STAFFED)
        await anna.phone.wait_for(Event.RINGING)
        await rossi.hang_up()
        await anna.phone.wait_for(Event.CLOSED, within=2)
        assert await outcome_of(world, call) is Outcome.ABANDONED_QUEUE
    shown = await anna.until_presence("free")
    assert shown["pause_reason"] is None
    assert await world.read(_result, call.id) is OfferResult.WITHDRAWN
    await nothing_left(world, service)


async def test_a_caller_hangs_up_while_two_phones_ring(world: World, service: Service, on_duty: Duty) -> None:
    anna, bruno = await on_duty(ANNA), await on_duty(BRUNO)
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, BOTH)
        await anna.phone.wait_for(Event.RINGING)
        await bruno.phone.wait_for(Event.RINGING)
        await rossi.hang_up()
        await anna.phone.wait_for(Event.CLOSED, within=2)
        await bruno.phone.wait_for(Event.CLOSED, within=2)
        assert await outcome_of(world, call) is Outcome.ABANDONED_QUEUE
    await anna.until_presence("free")
    await bruno.until_presence("free")
    await nothing_left(world, service)


async def test_a_caller_hangs_up_while_being_sent_to_a_colleague(world: World, service: Service, on_duty: Duty) -> None:
    anna, carla = await on_duty(ANNA), await on_duty(CARLA)
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, STAFFED)
        await answered_by(world, anna, call)
        await anna.desk.post(f"/api/calls/{call.id}/transfer", {"target": f"agent:{carla.id}"})
        await carla.phone.wait_for(Event.RINGING)
        await rossi.hang_up()
        await carla.phone.wait_for(Event.CLOSED, within=2)
        assert await outcome_of(world, call) is Outcome.ANSWERED
    await carla.until_presence("free")
    await anna.until_presence("free")
    await nothing_left(world, service)


@pytest.mark.parametrize("answered", [False, True], ids=["while it rings", "while they talk"])
async def test_a_caller_hangs_up_while_the_agent_asks_a_colleague(
    world: World, service: Service, on_duty: Duty, answered: bool
) -> None:
    anna, carla = await on_duty(ANNA), await on_duty(CARLA)
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, STAFFED)
        await answered_by(world, anna, call)
        target = {"target": f"agent:{carla.id}", "attended": True}
        asking = asyncio.create_task(anna.desk.post(f"/api/calls/{call.id}/transfer", target))
        await carla.phone.wait_for(Event.RINGING)
        if answered:
            await carla.phone.answer()
            await asking
        await rossi.hang_up()
        await carla.phone.wait_for(Event.CLOSED, within=2)
        await anna.phone.wait_for(Event.CLOSED, within=2)
        if not answered:
            with pytest.raises(httpx.HTTPStatusError, match="409"):
                await asking
        assert await outcome_of(world, call) is Outcome.ANSWERED
    await carla.until_presence("free")
    await anna.until_presence("free")
    await nothing_left(world, service)


async def test_a_caller_hangs_up_at_the_very_moment_the_agent_answers(
    world: World, service: Service, on_duty: Duty
) -> None:
    anna = await on_duty(ANNA)
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, STAFFED)
        await anna.phone.wait_for(Event.RINGING)
        await asyncio.gather(anna.phone.answer(), rossi.hang_up())
        await anna.phone.wait_for(Event.CLOSED)
        assert await outcome_of(world, call) in (Outcome.ABANDONED_QUEUE, Outcome.ANSWERED)
    await anna.until_presence("free")
    await nothing_left(world, service)


async def test_a_caller_hangs_up_while_talking(world: World, service: Service, on_duty: Duty) -> None:
    anna = await on_duty(ANNA)
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, STAFFED)
        await answered_by(world, anna, call)
        await rossi.hang_up()
        await anna.phone.wait_for(Event.CLOSED)
        assert await outcome_of(world, call) is Outcome.ANSWERED
    await anna.until_presence("wrap_up")
    await anna.until_presence("free")
    await nothing_left(world, service)


async def test_a_caller_hangs_up_while_on_hold(world: World, service: Service, on_duty: Duty) -> None:
    anna = await on_duty(ANNA)
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, STAFFED)
        await answered_by(world, anna, call)
        await anna.desk.post(f"/api/calls/{call.id}/hold")
        await rossi.hang_up()
        await anna.phone.wait_for(Event.CLOSED)
        assert await outcome_of(world, call) is Outcome.ANSWERED
    await anna.until_presence("free")
    await nothing_left(world, service)


async def test_a_caller_hangs_up_right_after_the_beep_without_a_word(world: World, service: Service) -> None:
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, CLOSED)
        await until_recording(world, call)
        await rossi.hang_up()
        assert await outcome_of(world, call) is Outcome.ABANDONED_MESSAGE
    message = await message_of(world, call)
    assert message.state in (MessageState.EMPTY, MessageState.LOST)
    assert message.request_id is None
    await nothing_left(world, service)


async def _while_speaking(_world: World, _call: Call, caller: Phone) -> None:
    await say(caller, MESSAGE)


async def _during_the_review(_world: World, _call: Call, caller: Phone) -> None:
    await say(caller, MESSAGE)
    await caller.press("#")
    await asyncio.sleep(1)  # in the middle of the question


async def _while_hearing_the_ticket(world: World, call: Call, caller: Phone) -> None:
    await say(caller, MESSAGE)
    await caller.press("#1")
    await request_of(world, call)


async def _after_asking_to_record_again(world: World, call: Call, caller: Phone) -> None:
    await say(caller, MESSAGE)
    await caller.press("#")
    await asyncio.sleep(1)
    await caller.press("3")
    await world.until(lambda session: _take(session, call.id, 2))


def _take(session: Session, call_id: str, number: int) -> bool:
    return session.scalar(select(Message.take).where(Message.call_id == call_id)) == number


@pytest.mark.parametrize(
    "until", [_while_speaking, _during_the_review, _while_hearing_the_ticket, _after_asking_to_record_again]
)
async def test_a_caller_hangs_up_after_speaking_and_the_message_is_kept(
    world: World, service: Service, until: Callable[[World, Call, Phone], Awaitable[None]]
) -> None:
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, CLOSED)
        await until_recording(world, call)
        await until(world, call, rossi)
        await rossi.hang_up()
        assert await outcome_of(world, call) is Outcome.VOICEMAIL
    message, request = await message_of(world, call), await request_of(world, call)
    assert message.state is MessageState.FILED
    assert request.ticket
    assert similarity(MESSAGE, kept_audio(world, message)) > 0.8
    await world.mail.wait_for(ROSSI.email or "", request.ticket, within=20)
    await nothing_left(world, service)
