"""Service requests: one with its history, taking in charge, notes, closing."""

from fastapi import APIRouter
from sqlalchemy.orm import Session

from desk import queries
from desk.context import DeskParts, Person
from desk.errors import NotThere
from desk.views import CloseForm, NoteForm, RequestDetail, RequestView, Versioned
from tickets import operations
from tickets.queries import request_by_ticket

router = APIRouter(prefix="/requests", tags=["requests"])


@router.get("/by-ticket/{ticket}")
async def by_ticket(ticket: str, _who: Person, desk: DeskParts) -> RequestView:
    """The request of a ticket number, in any phase; 404 when there is none (or a digit is wrong)."""
    return await desk.database.read(_by_ticket, ticket)


@router.get("/{request_id}")
async def one(request_id: int, who: Person, desk: DeskParts) -> RequestDetail:
    """A request with history, notices to the user and messages."""
    page = await desk.database.read(queries.request_page, desk.calls, request_id, who.me.language, desk.promises)
    if page is None:
        raise NotThere
    return page


@router.post("/{request_id}/take")
async def take(request_id: int, form: Versioned, who: Person, desk: DeskParts) -> RequestDetail:
    """Take a request in charge."""
    await desk.database.run(
        operations.take_in_charge, request_id, actor=who.me.username, now=desk.now(), version=form.version
    )
    return await one(request_id, who, desk)


@router.post("/{request_id}/notes")
async def add_note(request_id: int, form: NoteForm, who: Person, desk: DeskParts) -> RequestDetail:
    """Add a note to the history."""
    await desk.database.run(operations.add_note, request_id, form.text, actor=who.me.username, now=desk.now())
    return await one(request_id, who, desk)


@router.post("/{request_id}/close")
async def close(request_id: int, form: CloseForm, who: Person, desk: DeskParts) -> RequestDetail:
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
    return await one(request_id, who, desk)


def _by_ticket(session: Session, ticket: str) -> RequestView:
    request = request_by_ticket(session, ticket)
    if request is None:
        raise NotThere
    return queries.request_view(request)
