"""What changes a request: its status, its fields, its level, and what it is linked with."""

from collections.abc import Callable
from functools import partial
from typing import Any

from fastapi import APIRouter
from sqlalchemy.orm import Session

from desk.context import DeskParts, Person, RequestReader
from desk.routes.requests import one
from desk.views import BackForm, EditForm, EscalateForm, MoveForm, OtherRequestForm, ReferForm, RequestDetail, Versioned
from tickets import levels, operations
from tickets.connectors import sync
from tickets.errors import InvalidInput
from tickets.models import Request
from tickets.queries import request_by_ticket

router = APIRouter(prefix="/requests/{request_id}", tags=["requests"])


@router.patch("")
async def edit(request_id: int, form: EditForm, who: Person, desk: DeskParts, reader: RequestReader) -> RequestDetail:
    """Change fields of an open request; a new contact brings company and mail address along."""
    await desk.database.run(
        operations.edit_request,
        request_id,
        form.changes(),
        actor=who.me.username,
        now=reader.now,
        version=form.version,
        rules=desk.promises,
    )
    return await one(request_id, who, desk, reader)


@router.post("/move")
async def move(request_id: int, form: MoveForm, who: Person, desk: DeskParts, reader: RequestReader) -> RequestDetail:
    """Move a request to another status; which ones there are is told with the request (`moves`)."""
    return await _changed(
        partial(operations.move_request, to=form.to, text=form.text, reopen_within=reader.rules.reopen_within),
        *(request_id, form, who, desk, reader),
    )


@router.post("/escalate")
async def escalate(
    request_id: int, form: EscalateForm, who: Person, desk: DeskParts, reader: RequestReader
) -> RequestDetail:
    """Give a request of level 1 to a group of level 2 or 3."""
    operation = partial(levels.escalate, group_id=form.group_id, reason=form.reason, handover=form.handover)
    return await _changed(operation, request_id, form, who, desk, reader)


@router.post("/hand-back")
async def hand_back(
    request_id: int, form: BackForm, who: Person, desk: DeskParts, reader: RequestReader
) -> RequestDetail:
    """Give a request back from level 2 or 3 to this desk."""
    return await _changed(partial(levels.hand_back, note=form.note), request_id, form, who, desk, reader)


@router.post("/recall")
async def recall(request_id: int, form: BackForm, who: Person, desk: DeskParts, reader: RequestReader) -> RequestDetail:
    """Bring a request back from level 0 to this desk."""
    return await _changed(partial(levels.recall, note=form.note), request_id, form, who, desk, reader)


@router.post("/refer")
async def refer(request_id: int, form: ReferForm, who: Person, desk: DeskParts, reader: RequestReader) -> RequestDetail:
    """Send a request back to the own desk of its company, which is told by mail, as the user is."""
    operation = partial(levels.refer_to_level_0, reason=form.reason)
    return await _changed(operation, request_id, form, who, desk, reader)


@router.post("/parent")
async def link(
    request_id: int, form: OtherRequestForm, who: Person, desk: DeskParts, reader: RequestReader
) -> RequestDetail:
    """Put a request below the one that tells of the fault behind it: it is solved and closed with that one."""
    parent = await desk.database.read(_named, form.ticket)
    await desk.database.run(
        operations.link_child, request_id, parent.id, actor=who.me.username, now=reader.now, version=form.version
    )
    return await one(request_id, who, desk, reader)


@router.post("/unlink")
async def unlink(
    request_id: int, form: Versioned, who: Person, desk: DeskParts, reader: RequestReader
) -> RequestDetail:
    """Take a request from below the one it was put under: it is solved and closed on its own from now on."""
    await desk.database.run(
        operations.unlink_child, request_id, actor=who.me.username, now=reader.now, version=form.version
    )
    return await one(request_id, who, desk, reader)


@router.post("/merge")
async def merge(
    request_id: int, form: OtherRequestForm, who: Person, desk: DeskParts, reader: RequestReader
) -> RequestDetail:
    """Close a request that tells the same as another one; what its user still writes goes to that one."""
    kept = await desk.database.read(_named, form.ticket)
    await desk.database.run(
        operations.merge_into,
        request_id,
        kept.id,
        desk.notices,
        actor=who.me.username,
        now=reader.now,
        version=form.version,
    )
    return await one(request_id, who, desk, reader)


@router.post("/connectors/{connector}/retry")
async def tell_again(
    request_id: int, connector: str, who: Person, desk: DeskParts, reader: RequestReader
) -> RequestDetail:
    """Have what another ticket system refused of this request told again at once."""
    await desk.database.run(sync.retry, connector, request_id=request_id, now=reader.now)
    return await one(request_id, who, desk, reader)


async def _changed(
    operation: Callable[..., Any],
    request_id: int,
    form: Versioned,
    who: Person,
    desk: DeskParts,
    reader: RequestReader,
) -> RequestDetail:
    """The request after an operation that the reader's role must allow."""
    await desk.database.run(
        operation,
        request_id=request_id,
        notices=desk.notices,
        actor=who.me.username,
        role=reader.role,
        now=reader.now,
        version=form.version,
    )
    return await one(request_id, who, desk, reader)


def _named(session: Session, ticket: str) -> Request:
    request = request_by_ticket(session, ticket)
    if request is None:
        raise InvalidInput("ticket", "no request has this number: check the digits", "no_such_ticket")
    return request
