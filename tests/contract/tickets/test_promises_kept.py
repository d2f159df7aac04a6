"""The promises of a request: told when it is opened, held while the user is asked, kept or broken, and looked after."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from schedules.hours import Calendar
from schedules.promises import Clock
from tickets import levels, operations
from tickets.database import Database
from tickets.lifecycle import Role
from tickets.models import Channel, Kind, OutboxMail, PromiseCalendar, Request, RequestEvent, RequestPromise, Status
from tickets.notices import Notices
from tickets.operations import NewRequest, add_event
from tickets.promise_rules import PromiseSettings, Rule, Terms
from tickets.promise_watch import Watcher, look_after, promises_to_look_after
from tickets.promises import promises_of

pytestmark = pytest.mark.contract

OFFICE = Calendar(
    weekly=dict.fromkeys(("monday", "tuesday", "wednesday", "thursday", "friday"), ("08:00-13:00", "14:00-18:00"))
)
RULES = PromiseSettings(
    rules=(
        Rule(kinds=(Kind.QUESTION,), solution_minutes=0),
        Rule(priorities=(1, 2), first_answer_minutes=60, solution_minutes=240),
        Rule(first_answer_minutes=120, solution_minutes=8 * 60),
    ),
    agents={"bruno": "bruno@desk.example"},
    levels={"1": "livello1@desk.example"},
    supervisors=("capo@desk.example",),
)


def rome(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Europe/Rome")).astimezone(UTC)


FRIDAY_NIGHT = rome("2026-11-20T22:14")
MONDAY_NINE = rome("2026-11-23T09:00")


def new(**fields: Any) -> NewRequest:
    given: dict[str, Any] = {
        "kind": Kind.PROBLEM,
        "area": "application",
        "channel": Channel.EMAIL,
        "subject": "Non si apre",
        "received_at": FRIDAY_NIGHT,
        "terms": Terms(RULES, OFFICE),
    }
    return NewRequest(**given | fields)


async def opened(database: Database, notices: Notices, **fields: Any) -> Request:
    return await database.run(operations.open_request, new(**fields), notices, now=FRIDAY_NIGHT)


async def move(database: Database, notices: Notices, request: Request, to: Status, at: datetime) -> None:
    await database.run(
        operations.move_request, request.id, to, notices, actor="bruno", role=Role.SUPERVISOR, text="prova", now=at
    )


async def called(database: Database, request: Request, at: datetime, **details: Any) -> None:
    def write(session: Session) -> None:
        kind = "called_back" if "result" in details else "called"
        add_event(session, session.get_one(Request, request.id), kind, "bruno", details, at)

    await database.run(write)


async def replied(database: Database, notices: Notices, request: Request, at: datetime) -> None:
    await database.run(operations.user_replied, request.id, notices, "Ecco", now=at)


async def clocks(database: Database, request_id: int) -> dict[Clock, RequestPromise]:
    def read(session: Session) -> dict[Clock, RequestPromise]:
        rows = session.scalars(select(RequestPromise).where(RequestPromise.request_id == request_id))
        return {row.clock: row for row in rows}

    return await database.read(read)


async def look(database: Database, notices: Notices, now: datetime, hours: Calendar = OFFICE) -> list[str | None]:
    watcher = Watcher(RULES, hours, notices)
    due = await database.read(promises_to_look_after, watcher, now)
    return [await database.run(look_after, *one, watcher, now=now) for one in due]


async def mails(database: Database) -> list[tuple[str, str, datetime]]:
    def read(session: Session) -> list[tuple[str, str, datetime]]:
        rows = session.scalars(select(OutboxMail).where(OutboxMail.kind.startswith("promise")).order_by(OutboxMail.id))
        return [(row.kind, row.recipient, row.next_attempt_at) for row in rows]

    return await database.read(read)


async def missed(database: Database, request_id: int) -> list[str]:
    def read(session: Session) -> list[str]:
        rows = session.scalars(
            select(RequestEvent)
            .where(RequestEvent.request_id == request_id, RequestEvent.kind == "promise_missed")
            .order_by(RequestEvent.id)
        )
        return [row.details["clock"] for row in rows]

    return await database.read(read)


async def test_three_promises_are_told_when_a_request_is_opened(database: Database, notices: Notices) -> None:
    request = await opened(database, notices)
    found = await clocks(database, request.id)
    assert {clock: row.due_at for clock, row in found.items()} == {
        Clock.PICKUP: MONDAY_NINE,
        Clock.FIRST_ANSWER: rome("2026-11-23T10:00"),
        Clock.SOLUTION: rome("2026-11-23T17:00"),
    }
    assert request.pickup_due_at == MONDAY_NINE
    assert found[Clock.PICKUP].warn_at == rome("2026-11-23T08:45")
    assert found[Clock.PICKUP].counted_from == rome("2026-11-23T08:00")
    told = await database.read(promises_of, request.id, OFFICE, "en")
    assert [one.clock for one in told] == list(Clock)
    assert told[0].explanation == (
        "received Friday 22:14, next opening Monday 08:00, plus one working hour: Monday 09:00"
    )
    assert {one.as_now for one in told} == {None}


async def test_the_same_hours_are_kept_once(database: Database, notices: Notices) -> None:
    for _ in range(3):
        await opened(database, notices)
    await opened(database, notices, terms=Terms(RULES, OFFICE.model_copy(update={"patron_saint": "12-06"})))
    kept = await database.read(lambda session: session.scalars(select(PromiseCalendar)).all())
    assert len(kept) == 2


async def test_what_no_rule_promises_is_not_promised(database: Database, notices: Notices) -> None:
    question = await opened(database, notices, kind=Kind.QUESTION)
    assert set(await clocks(database, question.id)) == {Clock.PICKUP, Clock.FIRST_ANSWER}
    by_phone = await opened(database, notices, channel=Channel.PHONE, actor="bruno")
    assert Clock.PICKUP not in await clocks(database, by_phone.id)
    closed_for_good = await opened(database, notices, terms=Terms(RULES, Calendar(weekly={})))
    assert await clocks(database, closed_for_good.id) == {}
    synthetic = await opened(database, notices, synthetic=True)
    assert await clocks(database, synthetic.id) == {}
    assert synthetic.pickup_due_at == MONDAY_NINE


async def test_a_closure_entered_afterwards_is_shown_beside_what_was_told(database: Database, notices: Notices) -> None:
    request = await opened(database, notices)
    snow = Calendar.model_validate(
        OFFICE.model_dump() | {"closures": [{"name": "neve", "first": "2026-11-23", "last": "2026-11-23"}]}
    )
    told = await database.read(promises_of, request.id, snow, "it")
    assert told[0].due_at == told[0].told_due_at == MONDAY_NINE
    assert told[0].explanation.endswith(": lunedì 09:00")
    assert told[0].as_now == (
        "con gli orari attuali sarebbe: ricevuta venerdì 22:14, chiuso lunedì 23 novembre (neve), "
        "prossima apertura martedì 08:00, più un'ora lavorativa: martedì 09:00"
    )
    # and a pause is counted in the hours as they were told as well
    await database.run(operations.take_in_charge, request.id, actor="bruno", now=rome("2026-11-23T08:10"))
    await move(database, notices, request, Status.PENDING_USER, rome("2026-11-23T08:30"))
    await replied(database, notices, request, rome("2026-11-23T09:30"))
    assert (await clocks(database, request.id))[Clock.SOLUTION].due_at == rome("2026-11-23T18:00")


async def test_clocks_stop_one_after_the_other(database: Database, notices: Notices) -> None:
    request = await opened(database, notices)
    at = [rome(f"2026-11-23T{time}") for time in ("08:30", "09:30", "16:00")]
    await database.run(operations.take_in_charge, request.id, actor="bruno", now=at[0])
    await called(database, request, at[0], result="no_answer")
    assert (await clocks(database, request.id))[Clock.FIRST_ANSWER].met_at is None
    await called(database, request, at[1], result="answered")
    await database.run(operations.close_request, request.id, notices, solution="Riavviato", actor="bruno", now=at[2])
    found = await clocks(database, request.id)
    assert [found[clock].met_at for clock in Clock] == at
    assert [found[clock].breached_at for clock in Clock] == [None, None, None]
    assert await missed(database, request.id) == []
    assert await look(database, notices, rome("2026-12-01T10:00")) == []


async def test_by_phone_the_first_answer_is_given_at_once(database: Database, notices: Notices) -> None:
    request = await opened(database, notices, channel=Channel.PHONE, actor="bruno")
    found = await clocks(database, request.id)
    assert found[Clock.FIRST_ANSWER].met_at == FRIDAY_NIGHT
    assert found[Clock.SOLUTION].met_at is None


async def test_only_the_time_in_which_the_user_is_asked_moves_the_due_time(
    database: Database, notices: Notices
) -> None:
    request = await opened(database, notices)
    await database.run(operations.take_in_charge, request.id, actor="bruno", now=rome("2026-11-23T08:30"))
    await move(database, notices, request, Status.PENDING_USER, rome("2026-11-23T09:00"))
    standing = (await clocks(database, request.id))[Clock.SOLUTION]
    assert standing.paused_since == rome("2026-11-23T09:00")
    (told,) = [one for one in await database.read(promises_of, request.id, OFFICE, "it") if one.paused_since]
    assert told.due_at is None
    # nobody is warned of a clock that stands still
    assert await look(database, notices, rome("2026-11-25T10:00")) == []
    await replied(database, notices, request, rome("2026-11-25T09:00"))
    going = (await clocks(database, request.id))[Clock.SOLUTION]
    assert (going.paused_since, going.paused_seconds) == (None, 2 * 9 * 3600)
    assert going.due_at == rome("2026-11-25T17:00")
    assert going.told_due_at == rome("2026-11-23T17:00")
    # waiting for anybody else is the desk's own time
    await move(database, notices, request, Status.PENDING_THIRD_PARTY, rome("2026-11-25T09:30"))
    await move(database, notices, request, Status.IN_PROGRESS, rome("2026-11-25T10:00"))
    group = await database.run(levels.add_group, "Basi di dati", 2, "db@desk.example")
    await database.run(
        levels.escalate,
        request.id,
        group.id,
        notices,
        reason="lento",
        handover="indici visti",
        actor="bruno",
        role=Role.AGENT,
        now=rome("2026-11-25T10:30"),
    )
    assert await look(database, notices, rome("2026-11-25T16:00")) == ["warned"]
    assert (await mails(database))[-1][:2] == ("promise_due", "db@desk.example")  # the group holds it
    assert (await clocks(database, request.id))[Clock.SOLUTION].due_at == rome("2026-11-25T17:00")


async def test_a_request_that_is_opened_again_counts_on_without_the_time_in_between(
    database: Database, notices: Notices
) -> None:
    request = await opened(database, notices)
    await move(database, notices, request, Status.RESOLVED, rome("2026-11-23T10:00"))
    assert (await clocks(database, request.id))[Clock.SOLUTION].met_at == rome("2026-11-23T10:00")
    await replied(database, notices, request, rome("2026-11-24T10:00"))
    again = (await clocks(database, request.id))[Clock.SOLUTION]
    assert (again.met_at, again.due_at) == (None, rome("2026-11-24T17:00"))


async def test_a_request_that_was_merged_keeps_and_breaks_nothing_and_the_other_goes_on(
    database: Database, notices: Notices
) -> None:
    double, kept = await opened(database, notices), await opened(database, notices)
    at = rome("2026-11-23T08:10")
    await database.run(operations.merge_into, double.id, kept.id, notices, actor="bruno", now=at)
    gone, goes_on = await clocks(database, double.id), await clocks(database, kept.id)
    assert {(row.met_at, row.dropped_at) for row in gone.values()} == {(None, at)}
    assert {row.dropped_at for row in goes_on.values()} == {None}


async def test_a_cancelled_request_keeps_and_breaks_nothing(database: Database, notices: Notices) -> None:
    request = await opened(database, notices)
    await move(database, notices, request, Status.CANCELLED, rome("2026-11-23T08:10"))
    found = await clocks(database, request.id)
    assert {(row.met_at, row.dropped_at) for row in found.values()} == {(None, rome("2026-11-23T08:10"))}
    assert await look(database, notices, rome("2026-12-01T10:00")) == []


async def test_who_can_keep_a_promise_is_warned_once_and_supervisors_hear_that_it_is_broken(
    database: Database, notices: Notices
) -> None:
    request = await opened(database, notices)
    assert await look(database, notices, rome("2026-11-23T08:44")) == []
    warned = rome("2026-11-23T08:45")
    assert await look(database, notices, warned) == ["warned"]
    assert await look(database, notices, warned + timedelta(minutes=1)) == []
    assert await mails(database) == [("promise_due", "livello1@desk.example", warned)]
    assert await look(database, notices, MONDAY_NINE) == []  # due now is not late
    late = MONDAY_NINE + timedelta(seconds=1)
    assert await look(database, notices, late) == ["missed"]
    assert await look(database, notices, late) == []
    assert (await mails(database))[1:] == [
        ("promise_missed", "livello1@desk.example", late),
        ("promise_missed", "capo@desk.example", late),
    ]
    assert await missed(database, request.id) == ["pickup"]
    await database.run(operations.take_in_charge, request.id, actor="bruno", now=rome("2026-11-23T09:20"))
    assert await missed(database, request.id) == ["pickup"]
    assert await look(database, notices, rome("2026-11-23T09:30")) == ["warned"]  # of the first answer
    assert (await mails(database))[3][:2] == ("promise_due", "bruno@desk.example")  # who holds it now


async def test_people_are_told_within_hours(database: Database, notices: Notices) -> None:
    shut = OFFICE.model_copy(update={"patron_saint": "11-23"})
    await opened(database, notices)
    assert await look(database, notices, rome("2026-11-23T08:50"), shut) == []  # nobody is there to be warned
    assert await look(database, notices, rome("2026-11-23T09:01"), shut) == ["missed"]
    assert {at for _, _, at in await mails(database)} == {rome("2026-11-24T08:00")}


async def test_two_workers_at_once_tell_it_once(database: Database, notices: Notices) -> None:
    request = await opened(database, notices)
    watcher, late = Watcher(RULES, OFFICE, notices), MONDAY_NINE + timedelta(seconds=1)
    both = await asyncio.gather(
        *(database.run(look_after, request.id, Clock.PICKUP, watcher, now=late) for _ in range(8))
    )
    assert sorted(both, key=str) == [None] * 7 + ["missed"]
    assert len(await mails(database)) == 2
    assert await missed(database, request.id) == ["pickup"]


async def test_what_was_done_too_late_is_noted_without_anybody_watching(database: Database, notices: Notices) -> None:
    request = await opened(database, notices)
    late = rome("2026-11-24T11:00")
    await database.run(operations.take_in_charge, request.id, actor="bruno", now=late)
    await database.run(operations.close_request, request.id, notices, solution="Fatto", actor="bruno", now=late)
    found = await clocks(database, request.id)
    assert all(row.breached_at == row.due_at and row.met_at == late for row in found.values())
    assert sorted(await missed(database, request.id)) == ["first_answer", "pickup", "solution"]


async def test_a_new_kind_brings_its_own_promises_but_the_pickup_stays_as_it_was_told(
    database: Database, notices: Notices
) -> None:
    rules = PromiseSettings(
        rules=(
            Rule(kinds=(Kind.PROBLEM,), pickup_minutes=60, solution_minutes=60),
            Rule(pickup_minutes=30, solution_minutes=480),
        )
    )
    request = await opened(database, notices, kind=Kind.QUESTION, terms=Terms(rules, OFFICE))
    await database.run(
        operations.edit_request,
        request.id,
        {"kind": "problem"},
        actor="bruno",
        now=rome("2026-11-23T08:05"),
        rules=rules,
    )
    found = await clocks(database, request.id)
    assert found[Clock.PICKUP].due_at == rome("2026-11-23T08:30")
    assert (found[Clock.SOLUTION].due_at, found[Clock.SOLUTION].told_due_at) == (
        rome("2026-11-23T09:00"),
        rome("2026-11-23T17:00"),
    )
