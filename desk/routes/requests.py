"""Service requests: lists, one with its history, a new one at the counter, taking in charge, notes, closing."""

from collections.abc import Callable
from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter, Query
from sqlalchemy.orm import Session

from desk import operations as desk_operations
from desk import queries
from desk.context import AgentId, Desk, DeskParts, Person, RequestReader
from desk.errors import AlreadyRegistered, NotThere
from desk.models import DeskAnswer
from desk.once import KEY, KeyUsed, done_once
from desk.request_queries import found_requests
from desk.views import (
    CallBackForm,
    CallBackView,
    CloseForm,
    CounterForm,
    FoundRequests,
    ListedRequest,
    NoteForm,
    Order,
    RequestDetail,
    RequestView,
    SavedRequest,
    Versioned,
    Which,
)
from ivr.call_backs import ask_for_request, of_request
from ivr.models import CallBack, CallBackWay
from ivr.terms import terms_of_line
from tickets import operations
from tickets.queries import request_by_ticket

router = APIRouter(prefix="/requests", tags=["requests"])


@router.get("")
async def found(
    who: Person,
    desk: DeskParts,
    which: Which = Which.OPEN,
    q: Annotated[str, Query(description="Beginnings of words, anywhere in a request and its history")] = "",
    level: Annotated[int | None, Query(ge=0, le=3)] = None,
    days: Annotated[int, Query(ge=1, le=366, description="How far back `closed` looks")] = 14,
    order: Order = Order.DUE,
) -> FoundRequests:
    """Requests of a list, narrowed by words of number, texts, history, transcript, person, company or telephone.

    At most 150. With words, `all` gives 50: the one whose number is written first, then open ones before closed ones,
    the newest first.
    """
    return await desk.database.read(
        _found, which, reader=who.me.username, text=q, level=level, days=days, order=order, now=desk.now()
    )


@router.post("", status_code=201)
async def register(
    form: CounterForm, who: Person, desk: DeskParts, key: Annotated[str | None, KEY] = None
) -> SavedRequest:
    """Register what somebody asks at the counter or by phone; with a solution it is opened and closed in one.

    Sent again with the same `Idempotency-Key`, since no answer came, it is answered the same and not opened twice; 409
    (`already_registered`) when it was changed meanwhile.
    """
    now, terms = desk.now(), terms_of_line(desk.promises, desk.calls, None)

    def work(session: Session) -> dict[str, Any]:
        request = desk_operations.register(session, form, desk.notices, actor=who.me.username, now=now, terms=terms)
        session.flush()
        return SavedRequest(request=queries.request_view(request)).model_dump(mode="json")

    asked, key = form.model_dump(mode="json"), key or uuid4().hex
    try:
        answer, _ = await done_once(desk.database, DeskAnswer, who.account_id, key, asked, work, now=now)
    except KeyUsed:
        raise AlreadyRegistered from None
    return SavedRequest.model_validate(answer)


@router.get("/by-ticket/{ticket}")
async def by_ticket(ticket: str, _who: Person, desk: DeskParts) -> RequestView:
    """The request of a ticket number, in any phase; 404 when there is none (or a digit is wrong)."""
    return await desk.database.read(_by_ticket, ticket)


@router.get("/{request_id}")
async def one(request_id: int, who: Person, desk: DeskParts, reader: RequestReader) -> RequestDetail:
    """A request with history, notices to the user and messages, and what the reader may do with it."""
    page = await desk.database.read(
        queries.request_page, desk.calls, request_id, who.me.language, reader, desk.promises
    )
    if page is None:
        raise NotThere
    return page


@router.post("/{request_id}/take")
async def take(request_id: int, form: Versioned, who: Person, desk: DeskParts, reader: RequestReader) -> RequestDetail:
    """Take a request in charge."""
    await desk.database.run(
        operations.take_in_charge, request_id, desk.notices, actor=who.me.username, now=desk.now(), version=form.version
    )
    return await one(request_id, who, desk, reader)


@router.post("/{request_id}/call-back", status_code=202)
async def call_back(request_id: int, form: CallBackForm, agent_id: AgentId, desk: DeskParts) -> CallBackView:
    """Call the user of a request: the agent's phone rings first, or the user's. How it went is in the history.

    409 when the number may not be called, the agent's phone cannot be rung, or somebody calls just now.
    """
    return await asked_back(ask_for_request, request_id, form, agent_id, desk)


async def asked_back(
    ask: Callable[..., CallBack], about: int | str, form: CallBackForm, agent_id: int, desk: Desk
) -> CallBackView:
    """Have somebody called, about a request, a message or a call that nobody served: `ask` knows which."""
    asked = await desk.database.run(
        ask,
        about,
        desk.calls,
        agent_id=agent_id,
        way=CallBackWay(form.first),
        number=form.number or None,
        now=desk.now(),
    )
    return CallBackView.model_validate(asked)


@router.get("/{request_id}/call-backs")
async def call_backs(request_id: int, _who: Person, desk: DeskParts) -> list[CallBackView]:
    """Every attempt to call for a request, the oldest first."""
    return [CallBackView.model_validate(one) for one in await desk.database.read(of_request, request_id)]


@router.post("/{request_id}/notes")
async def add_note(
    request_id: int, form: NoteForm, who: Person, desk: DeskParts, reader: RequestReader
) -> RequestDetail:
    """Add a note to the history."""
    await desk.database.run(operations.add_note, request_id, form.text, actor=who.me.username, now=desk.now())
    return await one(request_id, who, desk, reader)


@router.post("/{request_id}/close")
async def close(request_id: int, form: CloseForm, who: Person, desk: DeskParts, reader: RequestReader) -> RequestDetail:
    """Close a request with its solution; the user gets a notice."""
    await desk.database.run(
        operations.close_request,
        request_id,
        desk.notices,
        solution=form.solution,
        actor=who.me.username,
        now=desk.now(),
        version=form.version,
    )
    return await one(request_id, who, desk, reader)


def _found(session: Session, /, which: Which, **asked: Any) -> FoundRequests:
    found = found_requests(session, which, **asked)
    listed = [
        ListedRequest(**queries.request_view(request).model_dump(), due_at=due, extract=found.extracts.get(request.id))
        for request, due in found.rows
    ]
    return FoundRequests(requests=listed, more=found.more, words=list(found.words))


def _by_ticket(session: Session, ticket: str) -> RequestView:
    request = request_by_ticket(session, ticket)
    if request is None:
        raise NotThere
    return queries.request_view(request)
