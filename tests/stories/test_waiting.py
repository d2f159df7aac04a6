"""Nobody is free: callers wait in order, and whoever waits too long may leave a message."""

import asyncio

import pytest

from centralino.rig.audio import seconds, similarity
from centralino.rig.phone import Event
from centralino.rig.world import World
from centralino.serve import Service
from ivr.models import Outcome, Phase
from tests.stories.conftest import (
    AMATO,
    ANNA,
    ANSWER,
    CARLA,
    IMPATIENT,
    MENU,
    MESSAGE,
    ROSSI,
    STAFFED,
    UNSTAFFED,
    Duty,
    answered_by,
    dial,
    is_music,
    kept_audio,
    message_of,
    nothing_left,
    outcome_of,
    prompt,
    request_of,
    say,
    until_recording,
)

pytestmark = pytest.mark.story


async def test_a_caller_waits_with_music_until_an_agent_comes_on_duty(
    world: World, service: Service, on_duty: Duty
) -> None:
    anna = await on_duty(ANNA, free=False)
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, STAFFED)
        await world.call_until(call.id, lambda row: row.phase is Phase.WAITING)
        shown = await anna.desk.until_item("waiting", call.id, bool)
        assert shown["caller"] == ROSSI.phone
        await say(rossi, MESSAGE)  # some seconds of waiting
        await rossi.hang_up()
        await rossi.wait_for(Event.CLOSED)
        # beside, since the service runs in this process: one that stands still for a second takes no calls
        assert await asyncio.to_thread(is_music, rossi.heard(), world)
        assert [one for one in anna.phone.events if one.event is Event.RINGING] == []
        call = await dial(world, rossi, STAFFED)
        await world.call_until(call.id, lambda row: row.phase is Phase.WAITING)
        await anna.desk.post("/api/presence/free")
        await answered_by(world, anna, call)
        await anna.phone.hang_up()
        await rossi.wait_for(Event.CLOSED)
    assert await outcome_of(world, call) is Outcome.ANSWERED
    await nothing_left(world, service)


async def test_two_callers_and_one_agent_are_served_in_order(world: World, service: Service, on_duty: Duty) -> None:
    anna = await on_duty(ANNA, free=False)
    async with world.caller(ROSSI.phone) as rossi, world.caller(AMATO.phone) as amato:
        first = await dial(world, rossi, STAFFED)
        await world.call_until(first.id, lambda row: row.phase is Phase.WAITING)
        second = await dial(world, amato, STAFFED)
        await world.call_until(second.id, lambda row: row.phase is Phase.WAITING)
        await anna.desk.post("/api/presence/free")
        await answered_by(world, anna, first)
        assert (await world.call_until(second.id, bool)).phase is Phase.WAITING
        await anna.phone.hang_up()
        await rossi.wait_for(Event.CLOSED)
        await anna.phone.wait_for(Event.CLOSED)
        await answered_by(world, anna, second)
        await amato.hang_up()
    assert await outcome_of(world, first) is Outcome.ANSWERED
    assert await outcome_of(world, second) is Outcome.ANSWERED
    await nothing_left(world, service)


async def test_a_key_pressed_ahead_of_the_menu_brings_the_caller_to_the_right_agents(
    world: World, service: Service, on_duty: Duty
) -> None:
    anna, carla = await on_duty(ANNA), await on_duty(CARLA)
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, MENU)
        await rossi.press("3")  # while the greeting is played
        await answered_by(world, carla, call)
        await rossi.hang_up()
        await rossi.wait_for(Event.CLOSED)
        assert similarity(prompt("menu-main"), rossi.heard()) < 0.6
    row = await world.call_until(call.id, lambda row: row.ended_at)
    assert (row.choice, row.queue, row.outcome) == ("credentials", "secondo", Outcome.ANSWERED)
    assert await anna.presence() == "free"
    await nothing_left(world, service)


async def test_a_caller_who_presses_wrong_keys_or_none_is_served_all_the_same(
    world: World, service: Service, on_duty: Duty
) -> None:
    anna = await on_duty(ANNA)
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, MENU)
        await world.call_until(call.id, lambda row: row.phase is Phase.MENU)
        await rossi.press("7*9")
        await answered_by(world, anna, call)
        await rossi.hang_up()
        await rossi.wait_for(Event.CLOSED)
        assert similarity(prompt("wrong-key"), rossi.heard()) > 0.8
    row = await world.call_until(call.id, lambda row: row.ended_at)
    assert (row.choice, row.queue, row.outcome) == (None, "edotto", Outcome.ANSWERED)
    await nothing_left(world, service)


async def test_a_caller_who_waited_too_long_goes_on_waiting_with_2_and_is_answered(
    world: World, service: Service, on_duty: Duty
) -> None:
    anna = await on_duty(ANNA, free=False)
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, IMPATIENT)
        waited = await world.call_until(call.id, lambda row: row.phase is Phase.WAITING)
        await rossi.press("1")  # out of boredom: it does not answer a question not yet asked
        await world.call_until(call.id, lambda row: row.phase is Phase.MENU)
        await asyncio.sleep(seconds(prompt("all-busy")) + seconds(prompt("offer-message")))
        await rossi.press("2")
        row = await world.call_until(call.id, lambda row: row.phase is Phase.WAITING)
        assert row.queued_at == waited.queued_at  # the place in the line is kept
        await anna.desk.post("/api/presence/free")
        await answered_by(world, anna, call)
        await say(anna.phone, ANSWER)
        await anna.phone.hang_up()
        await rossi.wait_for(Event.CLOSED)
        assert similarity(ANSWER, rossi.heard()) > 0.8
        assert similarity(prompt("offer-message"), rossi.heard()) > 0.8
    assert await outcome_of(world, call) is Outcome.ANSWERED
    await nothing_left(world, service)


async def test_a_caller_who_waited_too_long_leaves_a_message_with_1(world: World, service: Service) -> None:
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, IMPATIENT)
        await world.call_until(call.id, lambda row: row.phase is Phase.MENU)
        await rossi.press("1")
        await until_recording(world, call)
        await say(rossi, MESSAGE)
        await rossi.press("#")
        await rossi.hang_up()
    message = await message_of(world, call)
    assert await outcome_of(world, call) is Outcome.VOICEMAIL
    assert similarity(MESSAGE, kept_audio(world, message)) > 0.8
    assert (await request_of(world, call)).ticket
    await nothing_left(world, service)


async def test_a_caller_is_offered_a_message_at_once_when_no_agent_is_on_duty(world: World, service: Service) -> None:
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, UNSTAFFED)
        await until_recording(world, call)
        await say(rossi, MESSAGE)
        await rossi.hang_up()
        await rossi.wait_for(Event.CLOSED)
        assert similarity(prompt("no-agents"), rossi.heard()) > 0.8
    message = await message_of(world, call)
    assert await outcome_of(world, call) is Outcome.VOICEMAIL
    assert similarity(MESSAGE, kept_audio(world, message)) > 0.8
    await nothing_left(world, service)
