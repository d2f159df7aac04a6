"""Calling users back: by click from a request, the agent or the user first, and from a kept place in the line."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from centralino.rig.audio import similarity
from centralino.rig.phone import Event, Phone
from centralino.rig.world import Colleague, ServiceProcess, World
from centralino.serve import Service
from ivr.models import Call, CallBack, CallBackResult, Outcome, Phase
from schedules.clock import utc_now
from tests.stories.conftest import (
    AMATO,
    ANNA,
    ANSWER,
    BRUNO,
    CARLA,
    QUESTION,
    ROSSI,
    STAFFED,
    Duty,
    answered_by,
    calls,
    dial,
    nothing_left,
    outcome_of,
    prompt,
    say,
)
from tickets.models import Channel, Kind, Request, RequestEvent, Status
from tickets.notices import Notices
from tickets.operations import NewRequest, open_request

pytestmark = pytest.mark.story

AT_HOME = Colleague("fuori", "Fuori", "0805551234", ())
"""Maria Rossi's telephone, as it rings when it is called from here."""
WAY_OUT = {"outbound_endpoint": "PJSIP/{number}", "outbound_allowed": ["0[0-9]{5,10}"]}


@pytest.fixture
def colleagues() -> tuple[Colleague, ...]:
    return (ANNA, BRUNO, CARLA, AT_HOME)


@pytest.fixture
def more_calls() -> dict[str, Any]:
    queues = calls()["queues"]
    queues["edotto"] |= {"call_back": True, "announce_seconds": 1, "ring_seconds": 6}
    return {**WAY_OUT, "queues": queues}


@pytest.fixture
async def rossi_at_home(world: World) -> AsyncIterator[Phone]:
    async with world.phone(AT_HOME.extension, answer="manual") as phone:
        yield phone


async def ask(world: World, phone: str | None = ROSSI.phone) -> Request:
    """A request that waits to be taken in charge."""
    new = NewRequest(
        kind=Kind.PROBLEM,
        area="application",
        channel=Channel.EMAIL,
        subject="Non riesco ad aprire il referto",
        received_at=utc_now(),
        phone=phone,
    )
    return await world.database.run(open_request, new, Notices(world.settings.notices), now=utc_now())


async def ended(world: World, request: Request) -> CallBack:
    """The attempt for a request, once it is sure how it went."""

    def look(session: Session) -> CallBack | None:
        return session.scalar(select(CallBack).where(CallBack.request_id == request.id, CallBack.ended_at.is_not(None)))

    return await world.until(look)


async def request_now(world: World, request: Request) -> tuple[Request, list[dict[str, Any]]]:
    """The request as it is, and what its history says of calls back."""

    def look(session: Session) -> tuple[Request, list[dict[str, Any]]]:
        told = select(RequestEvent).where(RequestEvent.request_id == request.id, RequestEvent.kind == "called_back")
        return session.get_one(Request, request.id), [event.details for event in session.scalars(told)]

    return await world.read(look)


async def call_of(world: World, call_back: CallBack) -> Call:
    def look(session: Session) -> Call:
        return session.get_one(Call, call_back.call_id)

    return await world.read(look)


async def they_talk(world: World, call: Call, user: Phone, agent: Phone) -> None:
    """Each hears the other; then the user hangs up."""
    await say(user, QUESTION)
    await say(agent, ANSWER)
    await user.hang_up()
    await agent.wait_for(Event.CLOSED)
    assert similarity(QUESTION, agent.heard()) > 0.8
    assert similarity(ANSWER, user.heard()) > 0.8
    assert await outcome_of(world, call) is Outcome.ANSWERED


async def test_an_agent_calls_a_user_back_and_the_two_talk(
    world: World, service: Service, on_duty: Duty, rossi_at_home: Phone
) -> None:
    anna, request = await on_duty(ANNA), await ask(world)
    asked = await anna.desk.post(f"/api/requests/{request.id}/call-back", {"first": "agent"})
    assert (asked["way"], asked["number"], asked["result"]) == ("agent", ROSSI.phone, None)
    await anna.phone.wait_for(Event.RINGING)
    assert not [one for one in rossi_at_home.events if one.event is Event.RINGING]
    await anna.phone.answer()
    await rossi_at_home.wait_for(Event.RINGING)
    await rossi_at_home.answer()
    await rossi_at_home.wait_for(Event.ESTABLISHED)
    call_back = await ended(world, request)
    call = await world.call_until(call_back.call_id or "", lambda row: row.phase is Phase.TALKING)
    assert (call.outbound, call.request_id, call.agent_id) == (True, request.id, anna.id)
    await they_talk(world, call, rossi_at_home, anna.phone)
    stored, told = await request_now(world, request)
    assert (stored.status, stored.holder) == (Status.IN_PROGRESS, "anna")
    assert [one["result"] for one in told] == ["answered"]
    listed = await anna.desk.get(f"/api/requests/{request.id}/call-backs")
    assert [one["result"] for one in listed] == ["answered"]
    await anna.until_presence("free")
    await nothing_left(world, service)


async def test_the_user_does_not_answer_and_is_still_to_be_called(
    world: World, service: Service, on_duty: Duty, rossi_at_home: Phone
) -> None:
    anna, request = await on_duty(ANNA), await ask(world)
    await anna.desk.post("/api/presence/pause", {"reason": "back_office"})
    await anna.desk.post(f"/api/requests/{request.id}/call-back", {})
    await anna.phone.wait_for(Event.RINGING)
    await anna.phone.answer()
    await rossi_at_home.wait_for(Event.RINGING)
    await rossi_at_home.reject()
    await anna.phone.wait_for(Event.CLOSED)
    assert similarity(prompt("call-back-no-answer"), anna.phone.heard()) > 0.8
    call_back = await ended(world, request)
    assert call_back.result is CallBackResult.BUSY
    assert (await call_of(world, call_back)).outcome is Outcome.NOT_REACHED
    stored, told = await request_now(world, request)
    assert (stored.status, stored.holder) == (Status.QUEUED, None)
    assert [one["result"] for one in told] == ["busy"]
    assert (await anna.until_presence("paused"))["pause_reason"] == "back_office"
    await nothing_left(world, service)


async def test_the_agent_thinks_better_of_it(
    world: World, service: Service, on_duty: Duty, rossi_at_home: Phone
) -> None:
    anna, request = await on_duty(ANNA), await ask(world)
    await anna.desk.post(f"/api/requests/{request.id}/call-back", {})
    await anna.phone.wait_for(Event.RINGING)
    await anna.phone.answer()
    await rossi_at_home.wait_for(Event.RINGING)
    await anna.phone.hang_up()
    await rossi_at_home.wait_for(Event.CLOSED)
    assert (await ended(world, request)).result is CallBackResult.WITHDRAWN
    await anna.until_presence("free")
    await nothing_left(world, service)


async def test_the_user_is_called_first_and_put_through(
    world: World, service: Service, on_duty: Duty, rossi_at_home: Phone
) -> None:
    anna, request = await on_duty(ANNA), await ask(world)
    await anna.desk.post(f"/api/requests/{request.id}/call-back", {"first": "contact"})
    await rossi_at_home.wait_for(Event.RINGING)
    assert not [one for one in anna.phone.events if one.event is Event.RINGING]
    await rossi_at_home.answer()
    await anna.phone.wait_for(Event.RINGING, within=20)
    await anna.phone.answer()
    call_back = await ended(world, request)
    await world.call_until(call_back.call_id or "", lambda row: row.phase is Phase.TALKING)
    await anna.phone.hang_up()
    await rossi_at_home.wait_for(Event.CLOSED)
    assert similarity(prompt("calling-back"), rossi_at_home.heard()) > 0.8
    assert call_back.result is CallBackResult.ANSWERED
    await nothing_left(world, service)


async def test_a_user_called_first_whom_another_agent_takes_is_that_agents_and_is_offered_no_call_back(
    world: World, service: Service, on_duty: Duty, rossi_at_home: Phone
) -> None:
    anna, bruno, request = await on_duty(ANNA), await on_duty(BRUNO, free=False), await ask(world)
    await anna.desk.post(f"/api/requests/{request.id}/call-back", {"first": "contact"})
    await rossi_at_home.wait_for(Event.RINGING)
    await rossi_at_home.answer()
    await anna.phone.wait_for(Event.RINGING, within=20)
    await anna.phone.reject()
    call = await world.until(
        lambda session: session.scalar(select(Call).where(Call.outbound, Call.phase == Phase.WAITING))
    )
    await rossi_at_home.press("1")
    await asyncio.sleep(4)  # the next announcements: a key that means something would be obeyed by then
    assert (await world.call_until(call.id, lambda row: True)).phase is Phase.WAITING
    await bruno.desk.post("/api/presence/free")
    await answered_by(world, bruno, call)
    assert (await ended(world, request)).agent_id == bruno.id  # at once, while they talk
    await bruno.phone.hang_up()
    await rossi_at_home.wait_for(Event.CLOSED)
    assert similarity(prompt("call-back-not-possible"), rossi_at_home.heard()) < 0.6
    assert similarity(prompt("offer-call-back"), rossi_at_home.heard()) < 0.6
    assert await outcome_of(world, call) is Outcome.ANSWERED

    def told(session: Session) -> list[tuple[str, str]]:
        events = select(RequestEvent).where(RequestEvent.request_id == request.id, RequestEvent.kind == "called_back")
        return [(event.actor, event.details["result"]) for event in session.scalars(events)]

    assert await world.read(told) == [("bruno", "answered")]
    assert (await request_now(world, request))[0].holder == "bruno"
    await nothing_left(world, service)


async def test_a_call_that_was_missed_is_called_back_from_the_list_and_is_done(
    world: World, service: Service, on_duty: Duty, rossi_at_home: Phone
) -> None:
    anna, bruno = await on_duty(ANNA), await on_duty(BRUNO, free=False)
    async with world.caller(ROSSI.phone) as rossi:
        missed = await dial(world, rossi, STAFFED)
        await anna.phone.wait_for(Event.RINGING)
        await rossi.hang_up()  # before Anna could pick up
        assert await outcome_of(world, missed) is Outcome.ABANDONED_QUEUE
    await anna.desk.wait_for(lambda heard: (heard.topic, heard.id) == ("missed", missed.id) and heard.item is not None)
    (listed,) = (await anna.desk.get("/api/calls?which=to_do"))["calls"]
    assert (listed["id"], listed["owner"], listed["contact_name"]) == (missed.id, None, ROSSI.name)
    await anna.desk.post("/api/calls/take", {"ids": [missed.id]})
    assert (await bruno.desk.get(f"/api/calls/{missed.id}"))["owner"] == "anna"
    with pytest.raises(httpx.HTTPStatusError, match="409"):
        await bruno.desk.post(f"/api/calls/{missed.id}/call-back", {})  # a colleague looks after it
    await anna.desk.post(f"/api/calls/{missed.id}/call-back", {"first": "agent"})
    await anna.phone.wait_for(Event.CLOSED)  # of the call that was missed
    await anna.phone.wait_for(Event.RINGING)
    await anna.phone.answer()
    await rossi_at_home.wait_for(Event.RINGING)
    assert (await anna.desk.get(f"/api/calls/{missed.id}"))["done_at"] is None  # nobody has been spoken with yet
    await rossi_at_home.answer()
    call = await world.until(
        lambda session: session.scalar(select(Call).where(Call.outbound, Call.phase == Phase.TALKING))
    )
    await they_talk(world, call, rossi_at_home, anna.phone)
    code = service.settings.calls.outcome_codes[0].code
    await anna.desk.post(f"/api/calls/{call.id}/code", {"code": code})
    done = await anna.desk.get(f"/api/calls/{missed.id}")
    assert (done["done_by"], [one["result"] for one in done["call_backs"]]) == ("anna", ["answered"])
    (made,) = [one for one in (await anna.desk.get("/api/calls?which=mine"))["calls"] if one["outbound"]]
    assert (made["id"], made["code"], made["agent"]) == (call.id, code, "anna")
    assert (await anna.desk.get("/api/calls?which=to_do"))["calls"] == []
    await nothing_left(world, service)


async def test_what_cannot_be_called_is_refused_with_a_reason(world: World, service: Service, on_duty: Duty) -> None:
    anna = await on_duty(ANNA)
    without, premium = await ask(world, None), await ask(world, "+39899123456")
    for request, number in ((without, None), (premium, None), (without, "112; rm -rf")):
        with pytest.raises(httpx.HTTPStatusError, match="409"):
            await anna.desk.post(f"/api/requests/{request.id}/call-back", {"number": number})
    with pytest.raises(httpx.HTTPStatusError, match="404"):
        await anna.desk.post("/api/requests/4711/call-back", {})
    assert await world.read(lambda session: list(session.scalars(select(CallBack)))) == []


async def test_a_talk_with_somebody_called_back_outlives_the_service(
    world: World, process: ServiceProcess, on_duty: Duty, rossi_at_home: Phone
) -> None:
    anna, request = await on_duty(ANNA), await ask(world)
    await anna.desk.post(f"/api/requests/{request.id}/call-back", {})
    await anna.phone.wait_for(Event.RINGING)
    await anna.phone.answer()
    await rossi_at_home.wait_for(Event.RINGING)
    await rossi_at_home.answer()
    call_back = await ended(world, request)
    await world.call_until(call_back.call_id or "", lambda row: row.phase is Phase.TALKING)
    await process.kill()
    await process.start()
    await process.in_service()
    await say(rossi_at_home, QUESTION)
    await anna.phone.hang_up()
    await rossi_at_home.wait_for(Event.CLOSED)
    assert similarity(QUESTION, anna.phone.heard()) > 0.8
    assert (await world.call_until(call_back.call_id or "", lambda row: row.ended_at)).outcome is Outcome.ANSWERED
    await nothing_left(world)


# ------------------------------------------------------------------------------------------------------- kept places


async def choose(world: World, caller: Phone, number: str, *keys: str) -> Call:
    """Wait in the line, press 1 when it is offered, and then these keys."""
    call = await dial(world, caller, number)
    await world.call_until(call.id, lambda row: row.phase is Phase.WAITING)
    await caller.press("1")
    for key in keys:
        await world.call_until(call.id, lambda row: row.phase is Phase.MENU)
        await asyncio.sleep(1)
        await caller.press(key)
    return call


async def kept_place(world: World, call: Call) -> CallBack:
    def look(session: Session) -> CallBack | None:
        return session.scalar(select(CallBack).where(CallBack.asked_in_call == call.id))

    return await world.until(look)


async def test_a_waiting_caller_is_called_back_when_the_place_comes_up(
    world: World, service: Service, on_duty: Duty, rossi_at_home: Phone
) -> None:
    anna = await on_duty(ANNA)
    async with world.caller(AMATO.phone) as amato, world.caller(ROSSI.phone) as rossi:
        first = await dial(world, amato, STAFFED)
        await answered_by(world, anna, first)
        call = await choose(world, rossi, STAFFED, "1")
        place = await kept_place(world, call)
        assert (place.number, place.queued_at) == (ROSSI.phone, call.queued_at or place.queued_at)
        await rossi.wait_for(Event.CLOSED, within=40)
        assert similarity(prompt("call-back-kept"), rossi.heard()) > 0.8
        assert similarity(prompt("your-ticket-is"), rossi.heard()) > 0.8
        assert await outcome_of(world, call) is Outcome.CALLBACK
        assert not [one for one in rossi_at_home.events if one.event is Event.RINGING]
        await amato.hang_up()
        await anna.phone.wait_for(Event.CLOSED)
        await anna.phone.wait_for(Event.RINGING)  # after the wrap-up the place has come up
        await anna.phone.answer()
        await rossi_at_home.wait_for(Event.RINGING)
        await rossi_at_home.answer()
        made = await world.until(lambda session: session.get_one(CallBack, place.id).result)
        assert made is CallBackResult.ANSWERED
        await rossi_at_home.hang_up()
        await anna.phone.wait_for(Event.CLOSED)
    stored = await world.read(lambda session: session.get_one(Request, place.request_id))
    assert (stored.channel, stored.status, stored.holder) == (Channel.PHONE, Status.IN_PROGRESS, "anna")
    assert stored.call_id == call.id
    await nothing_left(world, service)


async def test_a_kept_place_outlives_the_service_and_one_who_does_not_answer_is_still_to_be_called(
    world: World, process: ServiceProcess, on_duty: Duty, rossi_at_home: Phone
) -> None:
    anna = await on_duty(ANNA)
    await anna.desk.post("/api/presence/free")
    async with world.caller(AMATO.phone) as amato, world.caller(ROSSI.phone) as rossi:
        await answered_by(world, anna, await dial(world, amato, STAFFED))
        call = await choose(world, rossi, STAFFED, "1")
        place = await kept_place(world, call)
        await rossi.hang_up()
        assert await outcome_of(world, call) is Outcome.CALLBACK
        await world.until(lambda session: session.get_one(CallBack, place.id).begun_at)
        await process.kill()
        await process.start()
        await process.in_service()
        async with world.desk(ANNA.username):
            await amato.hang_up()
            await anna.phone.wait_for(Event.CLOSED)
            await anna.phone.wait_for(Event.RINGING, within=20)
            await anna.phone.answer()
            await rossi_at_home.wait_for(Event.RINGING)
            await rossi_at_home.reject()
        made = await world.until(lambda session: session.get_one(CallBack, place.id).result)
    assert made is CallBackResult.BUSY
    stored = await world.read(lambda session: session.get_one(Request, place.request_id))
    assert (stored.status, stored.holder) == (Status.QUEUED, None)
    await nothing_left(world)


async def test_no_more_callers_may_choose_it_than_there_are_agents(
    world: World, service: Service, on_duty: Duty
) -> None:
    anna = await on_duty(ANNA)
    async with (
        world.caller(AMATO.phone) as amato,
        world.caller(ROSSI.phone) as rossi,
        world.caller("+390801112223") as un,
    ):
        await answered_by(world, anna, await dial(world, amato, STAFFED))
        first = await choose(world, rossi, STAFFED, "1")
        await kept_place(world, first)
        second = await choose(world, un, STAFFED)
        await world.call_until(second.id, lambda row: row.phase is Phase.MENU)
        await world.call_until(second.id, lambda row: row.phase is Phase.WAITING)  # and waits on
        await un.hang_up()
        await un.wait_for(Event.CLOSED)
        assert similarity(prompt("call-back-not-possible"), un.heard()) > 0.8
        assert await outcome_of(world, second) is Outcome.ABANDONED_QUEUE
        await amato.hang_up()
    assert len(await world.read(lambda session: list(session.scalars(select(CallBack))))) == 1
