"""Hold and transfers, as the agent's page asks for them."""

import asyncio
import time

import httpx
import pytest

from centralino.rig.audio import similarity
from centralino.rig.phone import Event
from centralino.rig.world import ServiceProcess, World
from centralino.serve import Service
from ivr.models import Call, Outcome, Phase
from tests.stories.conftest import (
    ANNA,
    ANSWER,
    BRUNO,
    CARLA,
    QUESTION,
    ROSSI,
    STAFFED,
    Duty,
    OnDuty,
    answered_by,
    dial,
    heard_between,
    heard_from,
    is_music,
    nothing_left,
    outcome_of,
    say,
    so_far,
)

pytestmark = pytest.mark.story


async def test_a_caller_on_hold_hears_music_and_then_the_agent_again(
    world: World, service: Service, on_duty: Duty
) -> None:
    anna = await on_duty(ANNA)
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, STAFFED)
        await answered_by(world, anna, call)
        await anna.desk.post(f"/api/calls/{call.id}/hold")
        held = time.monotonic()
        await anna.desk.until_item("pops", call.id, lambda pop: pop["on_hold"])
        await say(rossi, QUESTION)
        released = time.monotonic()
        await anna.desk.post(f"/api/calls/{call.id}/unhold")
        back = time.monotonic()
        await anna.desk.until_item("pops", call.id, lambda pop: not pop["on_hold"])
        await say(anna.phone, ANSWER)
        end = time.monotonic()
        await anna.phone.hang_up()
        await rossi.wait_for(Event.CLOSED)
        assert is_music(heard_between(rossi, held + 0.5, released, world.folder), world)
        assert similarity(ANSWER, heard_between(rossi, back, end, world.folder)) > 0.8
        assert similarity(QUESTION, anna.phone.heard()) < 0.6
    assert await outcome_of(world, call) is Outcome.ANSWERED
    await nothing_left(world, service)


async def test_a_caller_is_sent_to_another_agent(world: World, service: Service, on_duty: Duty) -> None:
    anna = await on_duty(ANNA)
    carla = await on_duty(CARLA)
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, STAFFED)
        await answered_by(world, anna, call)
        await anna.desk.post(f"/api/calls/{call.id}/transfer", {"target": f"agent:{carla.id}"})
        await anna.phone.wait_for(Event.CLOSED)
        pop = await carla.desk.pop(call.id)
        rang = await carla.phone.wait_for(Event.RINGING)
        assert pop.at < rang.at
        await anna.until_presence("free")  # long before the two others are done
        await carla.phone.answer()
        await world.call_until(call.id, lambda row: row.agent_id == carla.id)
        await carla.until_presence("talking")
        await rossi.speak(QUESTION)
        await say(carla.phone, ANSWER)
        await asyncio.sleep(2)
        await carla.phone.hang_up()
        await rossi.wait_for(Event.CLOSED)
        assert similarity(ANSWER, rossi.heard()) > 0.8
        assert similarity(QUESTION, carla.phone.heard()) > 0.8
    assert await outcome_of(world, call) is Outcome.ANSWERED
    await carla.until_presence("free")
    await nothing_left(world, service)


async def test_a_caller_is_sent_to_another_queue(world: World, service: Service, on_duty: Duty) -> None:
    anna = await on_duty(ANNA)
    carla = await on_duty(CARLA)
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, STAFFED)
        await answered_by(world, anna, call)
        await anna.desk.post(f"/api/calls/{call.id}/transfer", {"target": "queue:secondo"})
        await answered_by(world, carla, call)
        await say(carla.phone, ANSWER)
        await rossi.hang_up()
        await carla.phone.wait_for(Event.CLOSED)
        await rossi.wait_for(Event.CLOSED)
        assert similarity(ANSWER, rossi.heard()) > 0.8
    assert await outcome_of(world, call) is Outcome.ANSWERED
    await anna.until_presence("free")
    await carla.until_presence("free")
    await nothing_left(world, service)


async def test_an_agent_asks_a_colleague_first_and_hands_the_caller_over(
    world: World, service: Service, on_duty: Duty
) -> None:
    anna = await on_duty(ANNA)
    carla = await on_duty(CARLA)
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, STAFFED)
        await answered_by(world, anna, call)
        await _calls_for_a_word(anna, call, carla)
        consulting = time.monotonic()
        await anna.desk.until_item("pops", call.id, lambda pop: pop["on_hold"] and pop["consulting"])
        await carla.desk.until_item("pops", call.id, lambda pop: pop["state"] == "consulted")
        await carla.until_presence("talking")
        await say(anna.phone, ANSWER)  # for Carla's ears only
        consulted = time.monotonic()
        await anna.desk.post(f"/api/calls/{call.id}/transfer/complete")
        await anna.phone.wait_for(Event.CLOSED)
        await anna.until_presence("wrap_up")
        await carla.desk.until_item("pops", call.id, lambda pop: pop["state"] == "talking" and not pop["on_hold"])
        assert await carla.presence() == "talking"
        await say(carla.phone, QUESTION)
        await rossi.hang_up()
        await carla.phone.wait_for(Event.CLOSED)
        await rossi.wait_for(Event.CLOSED)
        assert similarity(ANSWER, carla.phone.heard()) > 0.8
        assert similarity(QUESTION, rossi.heard()) > 0.8
        assert similarity(ANSWER, rossi.heard()) < 0.6
        assert is_music(heard_between(rossi, consulting + 0.5, consulted, world.folder), world)
    row = await world.call_until(call.id, lambda row: row.ended_at)
    assert (row.outcome, row.agent_id) == (Outcome.ANSWERED, carla.id)
    await anna.until_presence("free")
    await carla.until_presence("free")
    await nothing_left(world, service)


async def test_an_agent_asks_a_colleague_and_goes_back_to_the_caller(
    world: World, service: Service, on_duty: Duty
) -> None:
    anna = await on_duty(ANNA)
    carla = await on_duty(CARLA)
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, STAFFED)
        await answered_by(world, anna, call)
        await _calls_for_a_word(anna, call, carla)
        await anna.desk.post(f"/api/calls/{call.id}/transfer/cancel")
        await carla.phone.wait_for(Event.CLOSED)
        await carla.until_presence("free")
        await carla.desk.wait_for(lambda heard: (heard.topic, heard.id, heard.item) == ("pops", call.id, None))
        await anna.desk.until_item("pops", call.id, lambda pop: not (pop["on_hold"] or pop["consulting"]))
        assert await anna.presence() == "talking"
        await say(anna.phone, ANSWER)
        await anna.phone.hang_up()
        await rossi.wait_for(Event.CLOSED)
        assert similarity(ANSWER, rossi.heard()) > 0.8
    row = await world.call_until(call.id, lambda row: row.ended_at)
    assert (row.outcome, row.agent_id) == (Outcome.ANSWERED, anna.id)
    await nothing_left(world, service)


async def test_the_colleague_who_is_asked_hangs_up_and_the_caller_is_back(
    world: World, service: Service, on_duty: Duty
) -> None:
    anna = await on_duty(ANNA)
    carla = await on_duty(CARLA)
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, STAFFED)
        await answered_by(world, anna, call)
        await _calls_for_a_word(anna, call, carla)
        await carla.phone.hang_up()
        await carla.until_presence("free")
        await say(anna.phone, ANSWER)
        await anna.phone.hang_up()
        await rossi.wait_for(Event.CLOSED)
        assert similarity(ANSWER, rossi.heard()) > 0.8
    assert await outcome_of(world, call) is Outcome.ANSWERED
    await nothing_left(world, service)


async def test_the_colleague_does_not_answer_and_the_agent_has_the_caller_again(
    world: World, service: Service, on_duty: Duty
) -> None:
    anna = await on_duty(ANNA)
    carla = await on_duty(CARLA, answer="reject")
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, STAFFED)
        await answered_by(world, anna, call)
        with pytest.raises(httpx.HTTPStatusError, match="409"):
            await anna.desk.post(f"/api/calls/{call.id}/transfer", {"target": f"agent:{carla.id}", "attended": True})
        await carla.until_presence("paused")
        await say(anna.phone, ANSWER)
        await anna.phone.hang_up()
        await rossi.wait_for(Event.CLOSED)
        assert similarity(ANSWER, rossi.heard()) > 0.8
    assert await outcome_of(world, call) is Outcome.ANSWERED
    await nothing_left(world, service)


async def test_an_agent_stops_asking_while_the_colleagues_phone_still_rings(
    world: World, service: Service, on_duty: Duty
) -> None:
    anna = await on_duty(ANNA)
    carla = await on_duty(CARLA)
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, STAFFED)
        await answered_by(world, anna, call)
        asking = asyncio.create_task(
            anna.desk.post(f"/api/calls/{call.id}/transfer", {"target": f"agent:{carla.id}", "attended": True})
        )
        rang = await carla.phone.wait_for(Event.RINGING)
        await anna.desk.post(f"/api/calls/{call.id}/transfer/cancel")
        stopped = await carla.phone.wait_for(Event.CLOSED)
        assert stopped.at - rang.at < 2  # at once, not when the colleague's time to answer is over
        with pytest.raises(httpx.HTTPStatusError, match="409"):
            await asking
        await carla.until_presence("free")
        await say(anna.phone, ANSWER)
        await anna.phone.hang_up()
        await rossi.wait_for(Event.CLOSED)
        assert similarity(ANSWER, rossi.heard()) > 0.8
    await nothing_left(world, service)


async def test_an_agent_hangs_up_while_the_colleagues_phone_rings_in_vain_and_the_caller_is_not_lost(
    world: World, service: Service, on_duty: Duty
) -> None:
    anna = await on_duty(ANNA)
    carla = await on_duty(CARLA)
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, STAFFED)
        await answered_by(world, anna, call)
        asking = asyncio.create_task(
            anna.desk.post(f"/api/calls/{call.id}/transfer", {"target": f"agent:{carla.id}", "attended": True})
        )
        await carla.phone.wait_for(Event.RINGING)
        await anna.phone.hang_up()
        await carla.until_presence("paused")
        with pytest.raises(httpx.HTTPStatusError, match="409"):
            await asking
        await anna.phone.wait_for(Event.CLOSED)
        await answered_by(world, anna, call)  # after the wrap-up
        await rossi.hang_up()
    assert await outcome_of(world, call) is Outcome.ANSWERED
    await nothing_left(world, service)


async def test_an_agent_hangs_up_on_a_caller_on_hold_and_is_called_again(
    world: World, service: Service, on_duty: Duty
) -> None:
    anna = await on_duty(ANNA)
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, STAFFED)
        await answered_by(world, anna, call)
        await anna.desk.post(f"/api/calls/{call.id}/hold")
        await anna.phone.hang_up()
        await anna.phone.wait_for(Event.CLOSED)
        await answered_by(world, anna, call)
        await say(anna.phone, ANSWER)
        await rossi.hang_up()
        await rossi.wait_for(Event.CLOSED)
        assert similarity(ANSWER, rossi.heard()) > 0.8
    await nothing_left(world, service)


async def test_a_click_on_hang_up_ends_the_call_of_a_caller_on_hold(
    world: World, service: Service, on_duty: Duty
) -> None:
    anna = await on_duty(ANNA)
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, STAFFED)
        await answered_by(world, anna, call)
        await anna.desk.post(f"/api/calls/{call.id}/hold")
        await anna.desk.post(f"/api/calls/{call.id}/hang-up")
        await anna.phone.wait_for(Event.CLOSED)
        await rossi.wait_for(Event.CLOSED)
    assert await outcome_of(world, call) is Outcome.ANSWERED
    await nothing_left(world, service)


async def test_clicks_after_a_transfer_do_not_reach_the_next_talk(
    world: World, service: Service, on_duty: Duty
) -> None:
    anna = await on_duty(ANNA)
    carla = await on_duty(CARLA)
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, STAFFED)
        await answered_by(world, anna, call)
        await anna.desk.post(f"/api/calls/{call.id}/transfer", {"target": f"agent:{carla.id}"})
        await carla.phone.wait_for(Event.RINGING)
        with pytest.raises(httpx.HTTPStatusError, match="409"):
            await anna.desk.post(f"/api/calls/{call.id}/hang-up")
        await carla.phone.answer()
        await world.call_until(call.id, lambda row: row.agent_id == carla.id)
        await say(carla.phone, ANSWER)
        await rossi.hang_up()
        await rossi.wait_for(Event.CLOSED)
        assert similarity(ANSWER, rossi.heard()) > 0.8
    await nothing_left(world, service)


async def test_nobody_answers_a_transfer_and_the_caller_is_back_in_the_line(
    world: World, service: Service, on_duty: Duty
) -> None:
    anna = await on_duty(ANNA)
    carla = await on_duty(CARLA)
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, STAFFED)
        await answered_by(world, anna, call)
        await anna.desk.post(f"/api/calls/{call.id}/transfer", {"target": f"agent:{carla.id}"})
        await carla.phone.wait_for(Event.RINGING)
        await anna.phone.wait_for(Event.CLOSED)
        await carla.until_presence("paused")
        await world.call_until(call.id, lambda row: row.phase in (Phase.WAITING, Phase.RINGING))
        await answered_by(world, anna, call)  # first in the line, and the only one on duty
        await say(anna.phone, ANSWER)
        await rossi.hang_up()
        await rossi.wait_for(Event.CLOSED)
        assert similarity(ANSWER, rossi.heard()) > 0.8
    assert await outcome_of(world, call) is Outcome.ANSWERED
    await nothing_left(world, service)


async def test_a_transfer_outside_is_refused_where_the_site_does_not_allow_it(
    world: World, service: Service, on_duty: Duty
) -> None:
    anna = await on_duty(ANNA)
    bruno = await on_duty(BRUNO, free=False)
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, STAFFED)
        await answered_by(world, anna, call)
        for attended in (True, False):
            with pytest.raises(httpx.HTTPStatusError, match="409"):
                await anna.desk.post(
                    f"/api/calls/{call.id}/transfer", {"target": "number:0805550000", "attended": attended}
                )
        with pytest.raises(httpx.HTTPStatusError, match=r"40[39]"):
            await bruno.desk.post(f"/api/calls/{call.id}/hold")  # not his call
        assert (await world.call_until(call.id, lambda row: True)).phase is Phase.TALKING
        await say(anna.phone, ANSWER)
        await rossi.hang_up()
        await rossi.wait_for(Event.CLOSED)
        assert similarity(ANSWER, rossi.heard()) > 0.8
    await nothing_left(world, service)


@pytest.mark.parametrize(
    "more_calls", [{"outbound_endpoint": "PJSIP/{number}", "outbound_allowed": ["10[23]"]}], ids=["102 and 103"]
)
async def test_a_caller_is_sent_outside_to_an_allowed_number_and_to_no_other(
    world: World, service: Service, on_duty: Duty
) -> None:
    anna = await on_duty(ANNA)
    async with world.caller(ROSSI.phone) as rossi, world.phone(CARLA.extension, answer="manual") as outside:
        call = await dial(world, rossi, STAFFED)
        await answered_by(world, anna, call)
        with pytest.raises(httpx.HTTPStatusError, match="409"):
            await anna.desk.post(f"/api/calls/{call.id}/transfer", {"target": "number:101"})
        await anna.desk.post(f"/api/calls/{call.id}/transfer", {"target": f"number:{CARLA.extension}"})
        await anna.phone.wait_for(Event.CLOSED)
        await outside.wait_for(Event.RINGING)
        await anna.until_presence("free")
        await outside.answer()
        await outside.wait_for(Event.ESTABLISHED)
        await world.call_until(call.id, lambda row: row.phase is Phase.TALKING and row.agent_id is None)
        await rossi.speak(QUESTION)
        await say(outside, ANSWER)
        await outside.hang_up()
        await rossi.wait_for(Event.CLOSED)
        assert similarity(QUESTION, outside.heard()) > 0.8
        assert similarity(ANSWER, rossi.heard()) > 0.8
    assert await outcome_of(world, call) is Outcome.ANSWERED
    await nothing_left(world, service)


@pytest.mark.parametrize(
    "more_calls", [{"outbound_endpoint": "PJSIP/{number}", "outbound_allowed": ["10[23]"]}], ids=["102 and 103"]
)
async def test_an_agent_swaps_a_caller_and_an_outside_number_and_who_leaves_connects_the_two(
    world: World, service: Service, on_duty: Duty
) -> None:
    anna = await on_duty(ANNA)
    async with world.caller(ROSSI.phone) as rossi, world.phone(CARLA.extension, answer="auto") as outside:
        call = await dial(world, rossi, STAFFED)
        await answered_by(world, anna, call)
        steer = f"/api/calls/{call.id}"
        for too_early in ("swap", "join"):
            with pytest.raises(httpx.HTTPStatusError, match="409"):
                await anna.desk.post(f"{steer}/transfer/{too_early}")
        await anna.desk.post(f"{steer}/transfer", {"target": f"number:{CARLA.extension}", "attended": True})
        for not_now in ("hold", "unhold"):
            with pytest.raises(httpx.HTTPStatusError, match="409"):
                await anna.desk.post(f"{steer}/{not_now}")
        await anna.desk.post(f"{steer}/transfer/swap")
        await anna.desk.until_item("pops", call.id, lambda pop: pop["third_away"] and not pop["on_hold"])
        with_caller = so_far(rossi), so_far(outside)
        await say(anna.phone, ANSWER)
        assert similarity(ANSWER, heard_from(rossi, with_caller[0], so_far(rossi), world.folder)) > 0.8
        assert is_music(heard_from(outside, with_caller[1], so_far(outside), world.folder), world)
        await anna.phone.hang_up()
        await world.call_until(call.id, lambda row: row.agent_id is None and not row.consulting and not row.third_away)
        connected = so_far(rossi), so_far(outside)
        await asyncio.gather(say(rossi, QUESTION), say(outside, ANSWER))
        await outside.hang_up()
        await rossi.wait_for(Event.CLOSED)
        assert similarity(ANSWER, heard_from(rossi, connected[0], so_far(rossi), world.folder)) > 0.8
        assert similarity(QUESTION, heard_from(outside, connected[1], so_far(outside), world.folder)) > 0.8
    assert await outcome_of(world, call) is Outcome.ANSWERED
    await nothing_left(world, service)


async def test_a_caller_who_hangs_up_on_hold_ends_the_second_call_too(
    world: World, service: Service, on_duty: Duty
) -> None:
    anna = await on_duty(ANNA)
    carla = await on_duty(CARLA)
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, STAFFED)
        await answered_by(world, anna, call)
        await _calls_for_a_word(anna, call, carla)
        await anna.desk.post(f"/api/calls/{call.id}/transfer/join")
        await anna.desk.post(f"/api/calls/{call.id}/transfer/swap")  # apart: the caller hears music again
        await anna.desk.until_item("pops", call.id, lambda pop: pop["on_hold"] and not pop["third_away"])
        await rossi.hang_up()
        await carla.phone.wait_for(Event.CLOSED)
        await anna.phone.wait_for(Event.CLOSED)
        await carla.until_presence("free")
    assert await outcome_of(world, call) is Outcome.ANSWERED
    await nothing_left(world, service)


async def test_a_second_call_ends_with_the_service_and_the_two_who_talk_go_on(
    world: World, process: ServiceProcess, on_duty: Duty
) -> None:
    anna = await on_duty(ANNA)
    carla = await on_duty(CARLA)
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, STAFFED)
        await answered_by(world, anna, call)
        await _calls_for_a_word(anna, call, carla)
        await anna.desk.post(f"/api/calls/{call.id}/transfer/swap")
        await process.kill()
        await process.start()
        await carla.phone.wait_for(Event.CLOSED, within=30)
        await world.call_until(call.id, lambda row: not (row.consulting or row.third_away))
        before = so_far(rossi)
        await say(anna.phone, ANSWER)
        assert similarity(ANSWER, heard_from(rossi, before, so_far(rossi), world.folder)) > 0.8
        await anna.phone.hang_up()
        await rossi.wait_for(Event.CLOSED)
    assert await outcome_of(world, call) is Outcome.ANSWERED
    await nothing_left(world)


async def _calls_for_a_word(agent: OnDuty, call: Call, colleague: OnDuty) -> None:
    """The agent calls a colleague while the caller hears music, and they talk."""
    await asyncio.gather(
        agent.desk.post(f"/api/calls/{call.id}/transfer", {"target": f"agent:{colleague.id}", "attended": True}),
        _picks_up(colleague),
    )


async def _picks_up(colleague: OnDuty) -> None:
    phone = colleague.phone
    await phone.wait_for(Event.RINGING)
    await phone.answer()
    await phone.wait_for(Event.ESTABLISHED)
