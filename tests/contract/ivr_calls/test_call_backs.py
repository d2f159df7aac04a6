"""Attempts to call back, on a real database of either kind."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from ivr import call_backs, operations
from ivr.config import CallsConfig, Queue
from ivr.errors import CommandRefused
from ivr.flow.read_aloud import _look_up
from ivr.models import Agent, Call, CallBack, CallBackResult, CallBackWay, Outcome, Phase, Presence
from schedules.hours import Calendar
from tickets.database import Database
from tickets.errors import NotFound, RequestTaken
from tickets.models import Channel, Kind, Request, RequestEvent, Status
from tickets.notices import Notices, NoticeSettings
from tickets.operations import NewRequest, close_request, merge_into, open_request
from tickets.promise_rules import PromiseSettings, Terms
from tickets.ticket_numbers import ticket_number

pytestmark = pytest.mark.contract

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
NOTICES = Notices(NoticeSettings())
TERMS = Terms(PromiseSettings(), Calendar(weekly={}))
CONFIG = CallsConfig.model_validate(
    {
        "calendars": {"sempre": {"weekly": {"tuesday": ["00:00-24:00"]}}},
        "queues": {"edotto": {"call_back": True}},
        "lines": [{"number": "800", "name": "Edotto", "calendar": "sempre", "queue": "edotto"}],
        "outbound_endpoint": "PJSIP/{number}@carrier",
        "outbound_allowed": ["0[0-9]{5,10}"],
    }
)


async def agent(database: Database, username: str) -> int:
    def add(session: Session) -> int:
        agent = operations.add_agent(session, username, username, f"PJSIP/{username}", ["edotto"], now=NOW)
        agent.desk_connected = agent.phone_reachable = True
        return operations.go_free(session, agent.id, now=NOW).id

    return await database.run(add)


async def request(database: Database, phone: str | None = "+390805551234") -> int:
    new = NewRequest(
        kind=Kind.PROBLEM, area="application", channel=Channel.EMAIL, subject="s", received_at=NOW, phone=phone
    )
    return (await database.run(open_request, new, NOTICES, now=NOW)).id


async def ask(
    database: Database,
    request_id: int,
    agent_id: int,
    *,
    way: CallBackWay = CallBackWay.AGENT,
    number: str | None = None,
) -> CallBack:
    return await database.run(
        call_backs.ask_for_request, request_id, CONFIG, agent_id=agent_id, way=way, number=number, now=NOW
    )


async def begin(database: Database, asked: CallBack, call_id: str) -> call_backs.Begun | None:
    return await database.run(
        call_backs.begin,
        asked.id,
        app="centralino",
        call_id=call_id,
        channel_id=f"channel-{call_id}",
        language="it",
        now=NOW,
    )


async def row(database: Database, call_back_id: str) -> CallBack:
    def look(session: Session) -> CallBack:
        return session.get_one(CallBack, call_back_id)

    return await database.read(look)


async def history(database: Database, request_id: int) -> list[tuple[str, str]]:
    def look(session: Session) -> list[tuple[str, str]]:
        events = session.scalars(select(RequestEvent).where(RequestEvent.request_id == request_id))
        return [(event.actor, event.details["result"]) for event in events if event.kind == call_backs.CALLED_BACK]

    return await database.read(look)


async def test_one_worker_only_begins_an_attempt(database: Database) -> None:
    asked = await ask(database, await request(database), await agent(database, "anna"))
    begun = await asyncio.gather(*(begin(database, asked, f"c{number}") for number in range(4)))
    [made] = [one for one in begun if one is not None]
    assert made.offer is not None

    def calls(session: Session) -> list[Call]:
        return list(session.scalars(select(Call)))

    [call] = await database.read(calls)
    assert (call.outbound, call.phase, call.caller, call.queue) == (True, Phase.RINGING, "+390805551234", "edotto")


async def test_an_agent_in_a_pause_calls_and_is_in_the_pause_again(database: Database) -> None:
    anna, request_id = await agent(database, "anna"), await request(database)
    await database.run(operations.pause, anna, "back_office", now=NOW)
    begun = await begin(database, await ask(database, request_id, anna), "c1")
    assert begun is not None
    assert begun.offer is not None

    def presence(session: Session) -> tuple[Presence, str | None]:
        found = session.get_one(Agent, anna)
        return found.presence, found.pause_reason

    assert await database.read(presence) == (Presence.RINGING, None)
    await database.run(operations.end_call, "c1", Outcome.NOT_REACHED, now=NOW)
    assert await database.read(presence) == (Presence.PAUSED, "back_office")


async def test_only_one_calls_for_a_request_at_a_time(database: Database) -> None:
    anna, bruno, request_id = await agent(database, "anna"), await agent(database, "bruno"), await request(database)
    await ask(database, request_id, anna)
    with pytest.raises(CommandRefused, match="just now"):
        await ask(database, request_id, bruno)


@pytest.mark.parametrize("number", ["+39899123456", "112#", "", "garbage", "0" * 30, "+390805551234;ext=1"])
async def test_a_number_that_may_not_be_called_is_refused(database: Database, number: str) -> None:
    anna, request_id = await agent(database, "anna"), await request(database, None)
    if number.startswith("+390805551234"):  # an extension cannot be dialled: the number is called
        assert (await ask(database, request_id, anna, number=number)).number == "+390805551234"
        return
    with pytest.raises(CommandRefused):
        await ask(database, request_id, anna, number=number)


async def test_there_is_no_such_request(database: Database) -> None:
    with pytest.raises(NotFound):
        await ask(database, 4711, await agent(database, "anna"))


async def test_an_attempt_that_reached_nobody_leaves_the_request_as_it_was(database: Database) -> None:
    anna, request_id = await agent(database, "anna"), await request(database)
    asked = await ask(database, request_id, anna)
    await begin(database, asked, "c1")
    for result in (CallBackResult.NO_ANSWER, CallBackResult.BUSY):  # the second changes nothing
        await database.run(call_backs.end, asked.id, result, now=NOW)
    await database.run(call_backs.answered, asked.id, anna, now=NOW)

    def look(session: Session) -> tuple[Status, str | None]:
        found = session.get_one(Request, request_id)
        return found.status, found.holder

    assert await database.read(look) == (Status.QUEUED, None)
    assert await history(database, request_id) == [("anna", "no_answer")]


async def test_what_nobody_ended_is_ended_by_the_clock(database: Database) -> None:
    anna, bruno = await agent(database, "anna"), await agent(database, "bruno")
    lost, never = await request(database), await request(database)
    begun, waits = await ask(database, lost, anna), await ask(database, never, bruno)
    await begin(database, begun, "c1")
    await database.run(operations.end_call, "c1", Outcome.LOST, now=NOW)
    assert await database.run(call_backs.settle, now=NOW + timedelta(seconds=10)) == 1
    assert await database.run(call_backs.settle, now=NOW + timedelta(seconds=90)) == 1
    assert {(await row(database, one.id)).result for one in (begun, waits)} == {CallBackResult.FAILED}
    assert await history(database, lost) == [("anna", "failed")]


async def test_whoever_talked_is_named_and_has_the_request_where_nobody_said_how_it_went(database: Database) -> None:
    anna, bruno, request_id = await agent(database, "anna"), await agent(database, "bruno"), await request(database)
    asked = await ask(database, request_id, anna, way=CallBackWay.CONTACT)
    await begin(database, asked, "c1")

    def another_talks(session: Session) -> None:
        session.get_one(Call, "c1").agent_id = bruno

    await database.run(another_talks)
    await database.run(operations.end_call, "c1", Outcome.ANSWERED, now=NOW)
    assert await database.run(call_backs.settle, now=NOW + timedelta(seconds=10)) == 1
    assert await history(database, request_id) == [("bruno", "answered")]
    assert (await row(database, asked.id)).agent_id == bruno

    def holder(session: Session) -> str | None:
        return session.get_one(Request, request_id).holder

    assert await database.read(holder) == "bruno"


async def waiting(database: Database, call_id: str, caller: str) -> None:
    def begin(session: Session) -> None:
        operations.begin_call(
            session,
            call_id=call_id,
            app="centralino",
            channel_id=f"channel-{call_id}",
            line="800",
            language="it",
            caller=caller,
            now=NOW - timedelta(minutes=5),
        )
        operations.join_queue(session, call_id, "edotto", priority=3, choice="use", now=NOW - timedelta(minutes=4))

    await database.run(begin)


async def keep(database: Database, call_id: str, number: str) -> Request:
    return await database.run(call_backs.keep_place, call_id, number, NOTICES, terms=TERMS, now=NOW)


async def test_a_kept_place_is_that_of_the_caller_and_is_kept_once(database: Database) -> None:
    await waiting(database, "asks", "+390805551234")
    made = await keep(database, "asks", "+390805551234")
    assert (await keep(database, "asks", "+390805551234")).id == made.id
    [(due, node)] = await database.read(call_backs.due)
    assert (due.way, due.priority, due.queued_at, node) == (CallBackWay.LINE, 3, NOW - timedelta(minutes=4), "")
    await begin(database, due, "c1")

    def look(session: Session) -> Call:
        return session.get_one(Call, "c1")

    call = await database.read(look)
    assert (call.phase, call.queued_at, call.priority) == (Phase.WAITING, NOW - timedelta(minutes=4), 3)
    anna = await agent(database, "anna")
    [offer] = await database.run(operations.make_offers, ["c1"], {"edotto": Queue()}, own=["centralino"], now=NOW)
    assert (offer.agent_id, offer.call_id) == (anna, "c1")


async def test_who_is_called_back_talks_also_when_a_colleague_takes_the_request_at_that_moment(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, request_id = await agent(database, "anna"), await request(database)
    asked = await ask(database, request_id, anna)
    await begin(database, asked, "c1")

    def taken(*_args: object, **_options: object) -> None:
        raise RequestTaken("bruno was faster")

    monkeypatch.setattr(call_backs, "take_in_charge", taken)
    await database.run(call_backs.answered, asked.id, anna, now=NOW)
    assert (await row(database, asked.id)).result is CallBackResult.ANSWERED


async def test_who_was_put_through_with_a_request_is_called_back_for_it(database: Database) -> None:
    known = await request(database)
    await waiting(database, "asks", "+390805551234")
    await database.run(operations.bind_request, "asks", known)
    assert (await keep(database, "asks", "+390805551234")).id == known
    await database.run(close_request, known, NOTICES, solution="Fatto", actor="anna", now=NOW)
    await waiting(database, "again", "+390805551234")
    await database.run(operations.bind_request, "again", known)
    another = await keep(database, "again", "+390805551234")
    assert (another.id != known, another.follow_up_of_id) == (True, known)


async def test_a_number_of_a_request_merged_twice_leads_to_the_one_that_goes_on(database: Database) -> None:
    first, second, last = [await request(database) for _ in range(3)]
    await database.run(merge_into, first, second, NOTICES, actor="anna", now=NOW)
    await database.run(merge_into, second, last, NOTICES, actor="anna", now=NOW)
    await waiting(database, "asks", "+390805551234")
    found = await database.run(_look_up, "asks", ticket_number(first), now=NOW)
    assert found is not None
    assert found.id == last


async def test_an_agent_who_calls_before_the_place_comes_up_ends_its_wait(database: Database) -> None:
    await waiting(database, "asks", "+390805551234")
    made = await keep(database, "asks", "+390805551234")
    [(due, _)] = await database.read(call_backs.due)
    await begin(database, due, "c1")
    await ask(database, made.id, await agent(database, "anna"))
    assert (await row(database, due.id)).result is CallBackResult.WITHDRAWN
    assert await database.read(call_backs.is_due, due.id) is False


async def test_nobody_is_called_for_a_request_that_was_solved_before_the_place_came_up(database: Database) -> None:
    await waiting(database, "asks", "+390805551234")
    made = await keep(database, "asks", "+390805551234")
    [(due, _)] = await database.read(call_backs.due)
    await begin(database, due, "c1")
    assert await database.run(call_backs.withdraw_finished, due.id, now=NOW) is False
    await database.run(close_request, made.id, NOTICES, solution="Fatto", actor="anna", now=NOW)
    assert await database.run(call_backs.withdraw_finished, due.id, now=NOW) is True
    assert (await row(database, due.id)).result is CallBackResult.WITHDRAWN
    await agent(database, "anna")
    assert await database.run(operations.make_offers, ["c1"], {"edotto": Queue()}, own=["centralino"], now=NOW) == []


async def test_as_many_places_are_kept_as_agents_on_duty_can_serve(database: Database) -> None:
    async def room(per_agent: float = 1.0) -> bool:
        return await database.read(call_backs.room_for_place, "edotto", Queue(call_backs_per_agent=per_agent))

    assert await room() is False
    await agent(database, "anna")
    assert await room() is True
    await waiting(database, "asks", "+390805551234")
    await keep(database, "asks", "+390805551234")
    assert (await room(), await room(2)) == (False, True)
