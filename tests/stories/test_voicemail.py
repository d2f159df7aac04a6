"""Leaving a message: review keys, silence, keys at any moment, and the English line."""

import asyncio

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from centralino.rig.audio import seconds, similarity
from centralino.rig.phone import Event
from centralino.rig.world import World
from centralino.serve import Service
from ivr.models import Call, Outcome
from tests.stories.conftest import (
    CLOSED,
    ENGLISH,
    MESSAGE,
    QUESTION,
    ROSSI,
    dial,
    kept_audio,
    message_of,
    nothing_left,
    outcome_of,
    prompt,
    request_of,
    say,
    until_recording,
)
from tickets.models import Request
from voicemail.models import MessageState

pytestmark = pytest.mark.story


def _requests(session: Session) -> list[Request]:
    return list(session.scalars(select(Request)))


async def test_a_caller_hears_the_message_again_presses_wrong_keys_and_keeps_it(world: World, service: Service) -> None:
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, CLOSED)
        await until_recording(world, call)
        await say(rossi, MESSAGE)
        await rossi.press("#")
        await asyncio.sleep(1)
        await rossi.press("7")
        await asyncio.sleep(1)
        await rossi.press("2")
        await asyncio.sleep(seconds(prompt("wrong-key")) + seconds(MESSAGE) + 1.5)
        await rossi.press("1")
        request = await request_of(world, call)
        await rossi.wait_for(Event.CLOSED, within=60)
        heard = rossi.heard()
        for what in (MESSAGE, prompt("wrong-key"), prompt("your-ticket-is"), prompt("goodbye")):
            assert similarity(what, heard) > 0.8, what.name
    assert request.ticket
    assert await outcome_of(world, call) is Outcome.VOICEMAIL
    assert similarity(MESSAGE, kept_audio(world, await message_of(world, call))) > 0.8
    assert len(await world.read(_requests)) == 1
    await nothing_left(world, service)


async def test_a_caller_records_again_and_only_the_second_message_is_kept(world: World, service: Service) -> None:
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, CLOSED)
        await until_recording(world, call)
        await say(rossi, QUESTION)
        await rossi.press("#")
        await asyncio.sleep(1)
        await rossi.press("3")
        await until_recording(world, call, take=2)
        await say(rossi, MESSAGE)
        await rossi.press("#")
        await asyncio.sleep(1)
        await rossi.press("1")
        await request_of(world, call)
        await rossi.hang_up()
    assert await outcome_of(world, call) is Outcome.VOICEMAIL
    kept = kept_audio(world, await message_of(world, call))
    assert similarity(MESSAGE, kept) > 0.8
    assert similarity(QUESTION, kept) < 0.6
    assert list(world.asterisk.recording_spool.glob("*.wav")) == []
    await nothing_left(world, service)


async def test_a_caller_who_says_nothing_is_asked_once_more_and_opens_no_request(
    world: World, service: Service
) -> None:
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, CLOSED)
        await until_recording(world, call)
        await until_recording(world, call, take=2)  # after three seconds of silence, and the words once more
        await rossi.wait_for(Event.CLOSED, within=60)
        assert similarity(prompt("message-empty"), rossi.heard()) > 0.8
        assert similarity(prompt("goodbye"), rossi.heard()) > 0.8
    assert await outcome_of(world, call) is Outcome.ABANDONED_MESSAGE
    message = await message_of(world, call)
    assert (message.state, message.request_id) == (MessageState.EMPTY, None)
    assert await world.read(_requests) == []
    await nothing_left(world, service)


async def test_keys_pressed_all_the_time_do_no_harm(world: World, service: Service) -> None:
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, CLOSED)

        async def fidget() -> None:
            while True:
                await rossi.press("5")
                await asyncio.sleep(0.4)

        fidgeting = asyncio.create_task(fidget())
        await until_recording(world, call)
        await say(rossi, MESSAGE)
        fidgeting.cancel()
        await rossi.press("#")
        await asyncio.sleep(1)
        await rossi.press("1")
        await request_of(world, call)
        await rossi.press("45*6")  # while the ticket is told
        await rossi.wait_for(Event.CLOSED, within=60)
        assert similarity(prompt("leave-message"), rossi.heard()) > 0.8
        assert similarity(prompt("your-ticket-is"), rossi.heard()) > 0.8
    assert await outcome_of(world, call) is Outcome.VOICEMAIL
    assert (await message_of(world, call)).seconds == pytest.approx(seconds(MESSAGE), abs=3)
    await nothing_left(world, service)


async def test_a_caller_who_withholds_the_number_keys_one_to_be_called_back_at(world: World, service: Service) -> None:
    async with world.caller("anonymous") as caller:
        await caller.call(CLOSED)
        await caller.wait_for(Event.ESTABLISHED)
        call = await world.until(_the_call)
        assert call.caller is None
        await until_recording(world, call)
        await say(caller, MESSAGE)
        await caller.press("#")
        await asyncio.sleep(1)
        await caller.press("1")
        await asyncio.sleep(1)
        await caller.press("0805551234#")
        await request_of(world, call)
        await caller.hang_up()
    message = await message_of(world, call)
    assert message.callback == "+390805551234"
    assert await outcome_of(world, call) is Outcome.VOICEMAIL
    await nothing_left(world, service)


def _the_call(session: Session) -> Call | None:
    return session.scalars(select(Call)).one_or_none()


async def test_the_english_line_speaks_english(world: World, service: Service) -> None:
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, ENGLISH)
        await until_recording(world, call)
        await say(rossi, MESSAGE)
        await rossi.press("#")
        await asyncio.sleep(1)
        await rossi.press("1")
        await request_of(world, call)
        await rossi.wait_for(Event.CLOSED, within=60)
        heard = rossi.heard()
        for name in ("leave-message", "your-ticket-is", "goodbye"):
            assert similarity(prompt(name, "en"), heard) > 0.8, name
        assert similarity(prompt("leave-message"), heard) < 0.6
    assert await outcome_of(world, call) is Outcome.VOICEMAIL
    assert (await message_of(world, call)).language == "en"
    await nothing_left(world, service)
