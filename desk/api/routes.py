"""What other programs may ask: open a request, see how it stands, add to it, look up a contact."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from desk.api import queries
from desk.api.errors import BadField, KeyReused
from desk.api.parts import Api, Parts, Reader, Writer
from desk.api.queries import Cursor
from desk.api.tokens import Caller
from desk.api.views import (
    ApiContact,
    ApiEvent,
    ApiRequest,
    ApiRequestDetail,
    ApiRequests,
    ContactsAsked,
    NewApiRequest,
    NewNote,
    NewReply,
    RequestsAsked,
)
from desk.models import ApiAnswer, Scope
from desk.once import IdempotencyKey, KeyUsed, done_once
from ivr.terms import terms_of_line
from tickets import operations
from tickets.models import Channel, Contact, RequestEvent
from tickets.operations import NewRequest
from tickets.queries import request_by_ticket

router = APIRouter()

REPLAYED = "Idempotency-Replayed"


Ticket = Annotated[str, Path(max_length=60, description="The ticket number, with or without `RdS` before it.")]


@router.post("/requests", status_code=201)
async def open_request(
    form: NewApiRequest, caller: Writer, api: Parts, key: IdempotencyKey, response: Response
) -> ApiRequest:
    """Open a request; the user gets the notice with the ticket number.

    A token without the scope `read` is told nothing of the directory: contact, company and address are null in the
    answer unless they were sent.
    """
    now = api.desk.now()
    terms = terms_of_line(api.desk.promises, api.desk.calls, None)

    def work(session: Session) -> dict[str, Any]:
        new = NewRequest(
            kind=form.kind,
            area=form.area,
            channel=Channel.API,
            subject=form.subject,
            description=form.description,
            language=form.language,
            contact_id=_contact_id(session, form),
            email=form.email,
            phone=form.phone,
            received_at=now,
            terms=terms,
            impact=form.impact,
            urgency=form.urgency,
            follow_up_of_id=_followed(session, form.follow_up_of),
            actor=caller.actor,
        )
        request = operations.open_request(session, new, api.desk.notices, now=now)
        view = queries.request_view(request, now)
        if Scope.READ not in caller.scopes:  # nothing of the directory: only what was sent
            sent = {"contact_id": form.contact_id, "email": view.email if form.email else None}
            view = view.model_copy(update={"contact_name": None, "company_name": None, **sent})
        return view.model_dump(mode="json")

    answer = ApiRequest(**await _once(api, caller, key, "requests", form.model_dump(mode="json"), work, response, now))
    response.headers["location"] = f"/api/v1/requests/{answer.ticket}"
    return answer


@router.get("/requests")
async def list_requests(
    _caller: Reader,
    api: Parts,
    asked: Annotated[RequestsAsked, Query()],
) -> ApiRequests:
    """Requests that changed since then, those changed longest ago first, a page at a time.

    To follow what happens: read pages until `next` is null, and ask the next time for what was `updated_since` the
    first page's `as_of`. Some requests may come twice (compare `version` and `updated_at`), none is missed.
    """
    return await api.desk.database.read(
        queries.changed_requests,
        updated_since=asked.updated_since,
        cursor=Cursor.read(asked.cursor) if asked.cursor is not None else None,
        statuses=asked.status,
        limit=asked.limit,
        now=api.desk.now(),
    )


@router.get("/requests/{ticket}")
async def get_request(ticket: Ticket, _caller: Reader, api: Parts) -> ApiRequestDetail:
    """A request with its history, by its ticket number."""
    return await api.desk.database.read(queries.request_detail, ticket)


@router.post("/requests/{ticket}/notes", status_code=201)
async def add_note(
    ticket: Ticket, form: NewNote, caller: Writer, api: Parts, key: IdempotencyKey, response: Response
) -> ApiEvent:
    """Add a note for those who work on the request; the user is not told."""
    now = api.desk.now()

    def work(session: Session) -> dict[str, Any]:
        request = queries.found_request(session, ticket)
        operations.add_note(session, request.id, form.text, actor=caller.actor, now=now)
        return _latest(session, request.id, "note")

    return ApiEvent(**await _once(api, caller, key, f"{ticket}/notes", form.model_dump(), work, response, now))


@router.post("/requests/{ticket}/replies", status_code=201)
async def add_reply(
    ticket: Ticket, form: NewReply, caller: Writer, api: Parts, key: IdempotencyKey, response: Response
) -> ApiEvent:
    """Add what the user answers: a request that waited for it goes on, one that was solved lately is opened again.

    One that is closed for too long is answered with the code `request_closed`: open a new one with `follow_up_of`.
    """
    now = api.desk.now()

    def work(session: Session) -> dict[str, Any]:
        asked = queries.found_request(session, ticket)
        details = {"channel": Channel.API.value, "by": caller.actor}
        request = operations.user_replied(
            session,
            asked.id,
            api.desk.notices,
            form.text,
            now=now,
            details=details,
            reopen_within=api.desk.request_rules.reopen_within,
        )
        return _latest(session, request.id, "reply")

    return ApiEvent(**await _once(api, caller, key, f"{ticket}/replies", form.model_dump(), work, response, now))


@router.get("/contacts")
async def find_contacts(
    _caller: Reader,
    api: Parts,
    asked: Annotated[ContactsAsked, Query()],
) -> list[ApiContact]:
    """Look up contacts to whom all that is given applies; at most 20, by name."""
    if not asked.model_dump(exclude_none=True):
        raise BadField({"q": "give q, user_code, email or phone"})
    return await api.desk.database.read(
        queries.found_contacts, text=asked.q, user_code=asked.user_code, email=asked.email, phone=asked.phone
    )


async def _once(
    api: Api,
    caller: Caller,
    key: str,
    path: str,
    form: dict[str, Any],
    work: Any,
    response: Response,
    now: datetime,
) -> dict[str, Any]:
    try:
        answer, replayed = await done_once(
            api.desk.database, ApiAnswer, caller.token_id, key, [path, form], work, now=now
        )
    except KeyUsed:
        raise KeyReused from None
    if replayed:
        response.headers[REPLAYED] = "true"
    return answer


def _contact_id(session: Session, form: NewApiRequest) -> int | None:
    if form.user_code is None:
        if form.contact_id is not None and session.get(Contact, form.contact_id) is None:
            raise BadField({"contact_id": "nobody in the directory has it"})
        return form.contact_id
    found = session.scalar(select(Contact.id).where(Contact.user_code == form.user_code))
    if found is None or form.contact_id not in (None, found):
        raise BadField({"user_code": "nobody in the directory has it, or another than contact_id"})
    return found


def _followed(session: Session, ticket: str | None) -> int | None:
    if ticket is None:
        return None
    found = request_by_ticket(session, ticket)
    if found is None:
        raise BadField({"follow_up_of": "there is no request with this ticket number"})
    return found.id


def _latest(session: Session, request_id: int, kind: str) -> dict[str, Any]:
    session.flush()
    event = session.scalars(
        select(RequestEvent)
        .where(RequestEvent.request_id == request_id, RequestEvent.kind == kind)
        .order_by(RequestEvent.id.desc())
        .limit(1)
    ).one()
    return queries.event_view(event).model_dump(mode="json")
