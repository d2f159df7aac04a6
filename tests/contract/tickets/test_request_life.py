"""The life of a request: opened, taken in charge, edited, closed, with its history and notices."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from tickets import directory, operations, queries
from tickets.changes import Change
from tickets.database import Database
from tickets.errors import InvalidInput, NotFound, RequestChanged, RequestClosed, RequestTaken, TicketsError
from tickets.models import Channel, Kind, OutboxMail, Request, RequestEvent, Status
from tickets.notices import Notices
from tickets.operations import NewRequest

pytestmark = pytest.mark.contract

NOW = datetime(2026, 11, 20, 21, 14, tzinfo=UTC)
DUE = datetime(2026, 11, 23, 8, tzinfo=UTC)


def new(**fields: Any) -> NewRequest:
    given: dict[str, Any] = {
        "kind": Kind.PROBLEM,
        "area": "application",
        "channel": Channel.VOICEMAIL,
        "subject": "Messaggio in segreteria",
        "received_at": NOW,
        "pickup_due_at": DUE,
    }
    return NewRequest(**given | fields)


async def opened(database: Database, notices: Notices, **fields: Any) -> Request:
    return await database.run(operations.open_request, new(**fields), notices, now=NOW)


class Detail(NamedTuple):
    """A request with its history, oldest first, and its notices."""

    request: Request
    events: Sequence[RequestEvent]
    notices: Sequence[OutboxMail]


async def detail(database: Database, request_id: int) -> Detail:
    def read(session: Session) -> Detail:
        events = select(RequestEvent).where(RequestEvent.request_id == request_id).order_by(RequestEvent.id)
        notices = select(OutboxMail).where(OutboxMail.request_id == request_id).order_by(OutboxMail.id)
        return Detail(
            session.get_one(Request, request_id),
            session.scalars(events).all(),
            session.scalars(notices).all(),
        )

    return await database.read(read)


async def history(database: Database, request_id: int) -> list[tuple[str, str]]:
    return [(event.kind, event.actor) for event in (await detail(database, request_id)).events]


async def test_a_message_becomes_a_queued_request_with_its_promise_and_notice(
    database: Database, notices: Notices
) -> None:
    heard: list[frozenset[Change]] = []
    database.subscribe(heard.append)
    company = await database.run(directory.add_company, "ASL Bari")
    contact = await database.run(
        directory.add_contact, "Anna Rossi", email="anna.rossi@asl.example", company_id=company.id
    )
    request = await opened(database, notices, contact_id=contact.id, phone="080/5551234", call_id="c1")
    assert request.ticket is not None
    assert request.status == Status.QUEUED
    assert request.picked_up_at is None
    assert (request.email, request.phone) == ("anna.rossi@asl.example", "+390805551234")
    assert request.contact is not None
    assert request.company is not None
    assert request.company.name == "ASL Bari"
    seen = await detail(database, request.id)
    assert seen.request.received_at == NOW
    assert seen.request.pickup_due_at == DUE
    assert seen.request.version == request.version
    assert [(event.kind, event.actor) for event in seen.events] == [("opened", "system")]
    (notice,) = seen.notices
    assert (notice.kind, notice.recipient) == ("opened", "anna.rossi@asl.example")
    assert request.ticket in notice.subject
    assert "lunedì 23 novembre 2026, ore 09:00" in notice.body
    assert {Change("request", request.id), Change("outbox", notice.id)} in heard
    found = await database.read(queries.request_by_ticket, f"RdS {request.ticket}")
    assert found is not None
    assert found.id == request.id


async def test_a_request_by_phone_is_in_charge_of_the_agent_at_once(database: Database, notices: Notices) -> None:
    request = await opened(database, notices, channel=Channel.PHONE, actor="bruno", pickup_due_at=None)
    assert (request.status, request.holder, request.picked_up_at) == (Status.IN_PROGRESS, "bruno", NOW)
    assert await history(database, request.id) == [("opened", "bruno"), ("picked_up", "bruno")]
    assert (await detail(database, request.id)).notices == []  # no address, no notice


async def test_a_request_may_be_solved_on_the_spot_in_one_transaction(database: Database, notices: Notices) -> None:
    def solve(session: Session) -> Request:
        fields: dict[str, Any] = {"channel": Channel.PHONE, "actor": "bruno", "email": "anna@asl.example"}
        request = operations.open_request(session, new(**fields), notices, now=NOW)
        return operations.close_request(
            session, request.id, notices, solution="Spiegato al telefono.", actor="bruno", now=NOW
        )

    request = await database.run(solve)
    assert request.status == Status.CLOSED
    assert request.closed_at == request.picked_up_at == NOW
    assert [kind for kind, _ in await history(database, request.id)] == ["opened", "picked_up", "closed"]
    assert [notice.kind for notice in (await detail(database, request.id)).notices] == ["opened", "closed"]


async def test_a_queued_request_that_is_closed_was_taken_in_charge_too(database: Database, notices: Notices) -> None:
    request = await opened(database, notices)
    closed = await database.run(
        operations.close_request, request.id, notices, solution="Fatto.", actor="carla", now=NOW + timedelta(hours=1)
    )
    assert closed.picked_up_at == closed.closed_at == NOW + timedelta(hours=1)
    assert closed.holder == "carla"
    assert await history(database, request.id) == [("opened", "system"), ("picked_up", "carla"), ("closed", "carla")]


async def test_two_agents_take_a_request_at_once_and_one_gets_it(database: Database, notices: Notices) -> None:
    request = await opened(database, notices)
    results = await asyncio.gather(
        *(
            database.run(operations.take_in_charge, request.id, actor=actor, now=NOW, version=None)
            for actor in ("anna", "bruno", "carla")
        ),
        return_exceptions=True,
    )
    taken = [result for result in results if isinstance(result, Request)]
    refused = [result for result in results if isinstance(result, RequestTaken)]
    assert (len(taken), len(refused)) == (1, 2)
    assert f"in charge of {taken[0].holder}" in str(refused[0])
    again = await database.run(operations.take_in_charge, request.id, actor=taken[0].holder or "", now=NOW)
    assert again.version == taken[0].version
    assert len(await history(database, request.id)) == 2


async def test_an_edit_keeps_old_and_new_values(database: Database, notices: Notices) -> None:
    company = await database.run(directory.add_company, "ASL Bari")
    contact = await database.run(directory.add_contact, "Anna Rossi", email="a@asl.example", company_id=company.id)
    request = await opened(database, notices)
    edited = await database.run(
        operations.edit_request,
        request.id,
        {"area": "use", "subject": "  Stampa\nimpegnativa ", "contact_id": contact.id, "kind": "question"},
        actor="bruno",
        now=NOW,
    )
    assert (edited.area, edited.subject, edited.kind) == ("use", "Stampa impegnativa", Kind.QUESTION)
    assert (edited.company_id, edited.email) == (company.id, "a@asl.example")
    event = (await detail(database, request.id)).events[-1]
    assert event.kind == "edited"
    assert event.details == {
        "area": ["application", "use"],
        "company_id": [None, company.id],
        "contact_id": [None, contact.id],
        "email": [None, "a@asl.example"],
        "kind": ["problem", "question"],
        "subject": ["Messaggio in segreteria", "Stampa impegnativa"],
    }
    await database.run(operations.edit_request, request.id, {"area": "use"}, actor="bruno", now=NOW)
    assert len((await detail(database, request.id)).events) == 2  # nothing changed, nothing written


async def test_a_late_editor_is_told_what_changed_and_by_whom(database: Database, notices: Notices) -> None:
    request = await opened(database, notices)
    loaded = request.version
    await database.run(operations.add_note, request.id, "chiamato", actor="dario", now=NOW)  # no conflict
    await database.run(operations.take_in_charge, request.id, actor="anna", now=NOW, version=loaded)
    await database.run(operations.edit_request, request.id, {"area": "use", "urgency": 1}, actor="bruno", now=NOW)
    for attempt in (
        database.run(operations.edit_request, request.id, {"area": "network"}, actor="c", now=NOW, version=loaded),
        database.run(operations.close_request, request.id, notices, solution="x", actor="c", now=NOW, version=loaded),
    ):
        with pytest.raises(
            RequestChanged, match=r"anna: picked_up; bruno: edited area, urgency\): load it again"
        ) as told:
            await attempt
        assert [(edit.actor, edit.fields) for edit in told.value.edits] == [
            ("anna", ()),
            ("bruno", ("area", "urgency")),
        ]
    now_loaded = (await detail(database, request.id)).request.version
    await database.run(operations.edit_request, request.id, {"area": "network"}, actor="c", now=NOW, version=now_loaded)


async def test_a_closed_request_is_history_that_takes_notes(database: Database, notices: Notices) -> None:
    request = await opened(database, notices)
    closing: dict[str, Any] = {"solution": "Fatto.", "actor": "anna", "now": NOW}
    await database.run(operations.close_request, request.id, notices, **closing)
    for attempt in (
        database.run(operations.close_request, request.id, notices, **closing),
        database.run(operations.take_in_charge, request.id, actor="bruno", now=NOW),
        database.run(operations.edit_request, request.id, {"area": "use"}, actor="bruno", now=NOW),
    ):
        with pytest.raises(RequestClosed, match="open a new one"):
            await attempt
    await database.run(operations.add_note, request.id, "ha richiamato", actor="bruno", now=NOW)
    assert (await history(database, request.id))[-1] == ("note", "bruno")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"subject": " \n\x00 "}, "subject"),
        ({"subject": "x" * 201}, "subject"),
        ({"area": "'; DROP TABLE request; --"}, "area"),
        ({"kind": "nonsense"}, "kind"),
        ({"level": 9}, "level"),
        ({"email": "anna@asl.example\r\nBcc: x@y.example"}, "email"),
        ({"language": "<script>"}, "language"),
        ({"description": "x" * 100_001}, "description"),
    ],
)
async def test_bad_input_names_its_field_and_stores_nothing(
    database: Database, notices: Notices, fields: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput) as told:
        await opened(database, notices, **fields)
    assert told.value.field == field
    assert await database.read(queries.open_requests) == []


async def test_hostile_text_is_stored_as_text(database: Database, notices: Notices) -> None:
    hostile = "\x00<script>alert(1)</script>'; DROP TABLE request; --\ud800\u202e%_\\ 😀"
    request = await opened(database, notices, subject=hostile, description=hostile, phone=hostile, email="a@b.example")
    await database.run(operations.add_note, request.id, hostile, actor="anna", now=NOW)
    seen = await detail(database, request.id)
    assert "<script>alert(1)</script>'; DROP TABLE request; -- %_\\ 😀" in seen.request.subject
    assert "<script>" in seen.events[-1].details["text"]
    assert seen.request.phone is not None


async def test_what_does_not_exist_is_said_so(database: Database, notices: Notices) -> None:
    attempts: list[Any] = [
        opened(database, notices, contact_id=99),
        opened(database, notices, company_id=99),
        database.run(operations.take_in_charge, 99, actor="anna", now=NOW),
        database.run(operations.add_note, 99, "x", actor="anna", now=NOW),
        database.run(directory.assign_phone, 99, "0805551234"),
    ]
    for attempt in attempts:
        with pytest.raises(NotFound, match="with the id 99"):
            await attempt
    assert await database.read(queries.request_by_ticket, "0000017") is None
    request = await opened(database, notices)
    with pytest.raises(TicketsError, match="status: cannot be edited"):
        await database.run(operations.edit_request, request.id, {"status": "closed"}, actor="anna", now=NOW)


async def test_a_ticket_number_is_never_used_again(database: Database, notices: Notices) -> None:
    first = await opened(database, notices)

    def erase(session: Session) -> None:
        session.execute(delete(RequestEvent))
        session.execute(delete(Request))

    await database.run(erase)
    second = await opened(database, notices)
    assert second.ticket != first.ticket


async def test_requests_opened_at_once_all_get_their_own_number(database: Database, notices: Notices) -> None:
    requests = await asyncio.gather(*(opened(database, notices) for _ in range(20)))
    assert len({request.ticket for request in requests}) == 20


async def test_a_missed_promise_is_recorded_once(database: Database, notices: Notices) -> None:
    request = await opened(database, notices)
    await opened(database, notices, pickup_due_at=None)
    kept = await opened(database, notices)
    await database.run(operations.take_in_charge, kept.id, actor="anna", now=DUE)  # just in time
    assert await database.read(queries.overdue_pickups, DUE) == []
    late = DUE + timedelta(minutes=1)
    assert [r.id for r in await database.read(queries.overdue_pickups, late)] == [request.id]
    await asyncio.gather(
        *(database.run(operations.mark_promise_missed, request.id, now=late) for _ in range(3)),
        database.run(operations.mark_promise_missed, kept.id, now=late),
    )
    assert await database.read(queries.overdue_pickups, late) == []
    await database.run(operations.take_in_charge, request.id, actor="anna", now=late)
    assert [kind for kind, _ in await history(database, request.id)] == ["opened", "promise_missed", "picked_up"]
    assert [kind for kind, _ in await history(database, kept.id)] == ["opened", "picked_up"]


async def test_a_late_pickup_records_the_missed_promise_itself(database: Database, notices: Notices) -> None:
    request = await opened(database, notices)
    await database.run(operations.take_in_charge, request.id, actor="anna", now=DUE + timedelta(seconds=1))
    assert [kind for kind, _ in await history(database, request.id)] == ["opened", "promise_missed", "picked_up"]


async def test_the_desks_list_has_waiting_requests_by_due_time_first(database: Database, notices: Notices) -> None:
    by_phone = await opened(database, notices, channel=Channel.PHONE, actor="anna")
    later = await opened(database, notices, pickup_due_at=DUE + timedelta(hours=1))
    undated = await opened(database, notices, pickup_due_at=None)
    sooner = await opened(database, notices)
    done = await opened(database, notices)
    await database.run(operations.close_request, done.id, notices, solution="x", actor="anna", now=NOW)
    listed = await database.read(queries.open_requests)
    assert [r.id for r in listed] == [sooner.id, later.id, undated.id, by_phone.id]
    assert [r.id for r in await database.read(queries.open_requests, holder="anna")] == [by_phone.id]
    assert await database.read(queries.open_requests, level=2) == []
    assert len(await database.read(queries.open_requests, limit=2)) == 2
