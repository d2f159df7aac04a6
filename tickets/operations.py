"""The life of a request.

Operations run in one transaction (`Database.run`): state, history and notices are stored together or not at all.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import bindparam, or_, select
from sqlalchemy.orm import Session

from schedules.promises import Clock
from tickets.database import CONNECTORS, announce
from tickets.errors import (
    Edit,
    InvalidInput,
    NotFound,
    RequestChanged,
    RequestClosed,
    RequestTaken,
)
from tickets.fields import find, read_callback, read_email, read_language, read_line, read_text
from tickets.lifecycle import REOPEN_WITHIN, Role, check_move, reopens
from tickets.models import (
    CLOSED_STATUSES,
    OPEN_STATUSES,
    Area,
    Channel,
    Company,
    ConnectorChange,
    Contact,
    Kind,
    OutboxMail,
    Request,
    RequestEvent,
    Status,
)
from tickets.notices import Notices
from tickets.promise_rules import PromiseSettings, Terms
from tickets.promises import PROMISE_MISSED, promise_moved, promise_opened, promise_targets_changed
from tickets.ticket_numbers import ticket_number

SYSTEM = "system"
"""The actor of what no person did."""

LEVEL_0 = "level_0"
"""The actor of what the own desk of a user's company did."""

UNTOLD = frozenset(
    {"heard", "read_aloud", "transcribed", "transcript_corrected", "audio_erased", "attachment_erased"}
    | {"promise_missed", "holder_left", "notice_sent", "notice_failed", "notice_held", "notice_retried"}
)
"""Events that other ticket systems do not hear of: how the desk works is its own business."""

UNTAKEN = frozenset({Status.NEW, Status.QUEUED})
"""Requests that wait for somebody to take them in charge."""

MOVED: Mapping[Status, str] = {
    Status.QUEUED: "put_back",
    Status.IN_PROGRESS: "picked_up",
    Status.PENDING_USER: "asked",
    Status.PENDING_THIRD_PARTY: "waiting",
    Status.RESOLVED: "resolved",
    Status.CLOSED: "closed",
    Status.CANCELLED: "cancelled",
}
"""The kind of the event that tells of a move there; one that comes from a pending status is `resumed`, from a finished
one `reopened`, and what was new is `queued`. Others are opened, note, edited, reply, called, escalated, handed_back,
referred, level_0_answered, recalled, linked, unlinked, merged, solved_with, attached, and those that are `UNTOLD`."""

_PENDING = frozenset({Status.PENDING_USER, Status.PENDING_THIRD_PARTY})
_NEEDS_TEXT = {
    Status.PENDING_USER: ("question", "say what the user is asked: it is sent"),
    Status.PENDING_THIRD_PARTY: ("text", "say for whom or what it waits"),
    Status.RESOLVED: ("solution", "say how it was solved: the user reads it in the notice"),
    Status.CLOSED: ("solution", "say how it was solved: the user reads it in the notice"),
    Status.CANCELLED: ("text", "say why it is cancelled"),
}

SYNTHETIC_IDS = 89_000
"""Requests of synthetic calls have ids from -1 down, at random: so their tickets have six digits, and no one's are."""

_AREA = select(Area.key).where(Area.key == bindparam("key"), Area.active)
"""Made once, since it runs for every request."""

_AT_ONCE = frozenset({Channel.PHONE, Channel.IN_PERSON})


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRequest:
    """What is known when a request is opened.

    `received_at` is when the user asked (UTC); `actor` the agent's user name, or `system`. `email` is where notices go
    when it is not the contact's address. `holder` is the agent in charge; `actor` where not given.
    """

    kind: Kind
    area: str
    channel: Channel
    subject: str
    received_at: datetime
    description: str = ""
    language: str = "it"
    contact_id: int | None = None
    company_id: int | None = None
    email: str | None = None
    phone: str | None = None
    call_id: str | None = None
    pickup_due_at: datetime | None = None
    terms: Terms | None = None
    """What is promised, from which `pickup_due_at` follows; None: no more than that is."""
    holder: str | None = None
    actor: str = SYSTEM
    level: int = 1
    impact: int = 2
    urgency: int = 2
    message_id: str | None = None
    """Of the mail it came by: the notices will thread with it."""
    follow_up_of_id: int | None = None
    """The request, closed too long ago, that this one follows."""
    synthetic: bool = False
    """Of a synthetic call (`tickets.models.SYNTHETIC`)."""


def open_request(session: Session, new: NewRequest, notices: Notices, *, now: datetime) -> Request:
    """Open a request, give it its ticket number and write the notice to the user.

    By phone or in person an agent has it in charge at once; all else is queued with its promised pickup. To solve it on
    the spot call `close_request` in the same transaction. Raises `InvalidInput` and `NotFound`; nothing is then stored.
    """
    contact = find(session, Contact, new.contact_id)
    company = find(session, Company, new.company_id)
    if company is None and contact is not None:
        company = contact.company
    agent = new.holder or (new.actor if new.actor != SYSTEM else None)
    taken = new.channel in _AT_ONCE and agent is not None
    request = Request(
        id=-1 - secrets.randbelow(SYNTHETIC_IDS) if new.synthetic else None,
        kind=_kind(new.kind),
        area=_area(session, new.area),
        channel=new.channel,
        level=_level(new.level),
        impact=_of_three("impact", new.impact),
        urgency=_of_three("urgency", new.urgency),
        follow_up_of_id=new.follow_up_of_id,
        status=Status.IN_PROGRESS if taken else Status.QUEUED,
        subject=_subject(new.subject),
        description=_description(new.description),
        language=read_language(new.language),
        contact=contact,
        company=company,
        email=read_email(new.email) or (contact.email if contact else None),
        phone=read_callback(new.phone),
        call_id=new.call_id,
        received_at=new.received_at,
        opened_at=now,
        pickup_due_at=new.pickup_due_at,
        picked_up_at=now if taken else None,
        holder=agent if taken else _holder(new.holder),
        held_since=now,
    )
    session.add(request)
    session.flush()
    request.ticket = ticket_number(request.id)
    if new.terms is not None:
        promise_opened(session, request, new.terms)
    opened: dict[str, Any] = {"channel": request.channel}
    if request.pickup_due_at is not None:
        opened["pickup_due_at"] = request.pickup_due_at.isoformat()
    if new.message_id is not None:
        opened["message_id"] = new.message_id
    add_event(session, request, "opened", new.actor, opened, now)
    if new.message_id is not None:
        session.flush()  # the notice looks for it in the history
    if taken:
        add_event(session, request, "picked_up", agent or SYSTEM, {}, now)
    _finish(session, request, notices.opened(request, now=now))
    return request


def move_request(
    session: Session,
    request_id: int,
    to: Status,
    notices: Notices,
    *,
    actor: str,
    role: Role,
    now: datetime,
    text: str = "",
    holder: str | None = None,
    version: int | None = None,
    reopen_within: timedelta = REOPEN_WITHIN,
) -> Request:
    """Move a request to another status, with its line in the history and the notice to the user.

    `text` is what the move has to tell: the question to the user, for whom it waits, the solution, why it is
    cancelled. A resolved request that is closed keeps its solution. `holder` is who has it in charge from now on
    where it becomes in progress: who had it, or `actor` if that is an agent, where not given; what its company's own
    desk takes in charge stays at level 0, and needs none. Requests linked below this one are solved with it; one that
    was opened again since then stays open when a resolved one is closed. Raises `MoveRefused`, `InvalidInput` where a
    text or a holder is missing, `NotFound`, and `RequestChanged` when `version` is given and no longer holds.
    """
    request = load_request(session, request_id, version)
    check_move(request.status, to, role, closed_at=request.closed_at, now=now, reopen_within=reopen_within)
    told = _told(request, to, text)
    solved = request.status in OPEN_STATUSES and to in (Status.RESOLVED, Status.CLOSED)
    below = _children(session, request) if solved else ()
    for one in (request, *below):
        _move(session, one, to, notices, actor=actor, role=role, told=told, holder=holder, now=now)
    return request


def event_of_move(before: Status, to: Status) -> str:
    """The kind of the event that tells of a move."""
    if reopens(before, to):
        return "reopened"
    if before in _PENDING and to not in CLOSED_STATUSES | _PENDING:
        return "resumed"
    if before == Status.NEW and to == Status.QUEUED:
        return "queued"
    return MOVED[to]


def text_of_move(before: Status, to: Status) -> str | None:
    """The text without which a move is refused: `question`, `text` or `solution`; None where it needs none."""
    if before == Status.RESOLVED and to == Status.CLOSED:
        return None
    return _NEEDS_TEXT[to][0] if to in _NEEDS_TEXT else None


def take_in_charge(
    session: Session,
    request_id: int,
    notices: Notices | None = None,
    *,
    actor: str,
    now: datetime,
    version: int | None = None,
) -> Request:
    """Take a waiting request in charge; taking one's own again changes nothing. With `notices` the user is told.

    Raises `RequestTaken` when somebody else was faster, `RequestClosed`, `NotFound`, and `RequestChanged` when
    `version` is given and no longer holds.
    """
    request = load_request(session, request_id, version)
    _refuse_closed(request)
    if request.status not in UNTAKEN:
        if request.holder != actor:
            raise RequestTaken(f"request {request.ticket} is in charge of {request.holder or 'somebody else'} already")
        return request
    _pick_up(session, request, actor, now)
    _finish(session, request, notices.moved(request, "picked_up", "", now=now) if notices else None)
    return request


def take_from_leaver(
    session: Session, username: str, notices: Notices, *, now: datetime, reopen_within: timedelta
) -> int:
    """Leave nothing in charge of somebody who leaves; returns how many requests go back into the queue.

    What they work on waits for somebody else. What waits for another, or was finished so lately that it may be
    reopened, has no holder any more: when it goes on, it is in the queue.
    """
    lately = Request.closed_at >= now - reopen_within
    ids = session.scalars(
        select(Request.id)
        .where(Request.holder == username, or_(Request.status.in_(OPEN_STATUSES), lately))
        .order_by(Request.id)
    ).all()
    put_back = 0
    for id_ in ids:
        request = load_request(session, id_)
        if request.status != Status.IN_PROGRESS:
            _hold(request, None, now)
        add_event(session, request, "holder_left", SYSTEM, {"holder": username}, now)
        if request.status == Status.IN_PROGRESS:
            to = Status.QUEUED
            _move(session, request, to, notices, actor=SYSTEM, role=Role.SYSTEM, told="", holder=None, now=now)
            put_back += 1
        _finish(session, request)
    return put_back


def user_replied(
    session: Session,
    request_id: int,
    notices: Notices,
    text: str,
    *,
    now: datetime,
    details: Mapping[str, Any] | None = None,
    reopen_within: timedelta = REOPEN_WITHIN,
) -> Request:
    """Add what the user wrote to the request it answers.

    One that waited for the user goes on where it stood: with the agent who has it, or in the queue. One that was solved
    is reopened. One that was merged into another leads there. `details` (such as the channel, or what was attached) go
    into the history with the text. Raises `RequestClosed` when it was solved too long ago, or cancelled: open a new one
    with `follow_up_of_id`; `NotFound`.
    """
    request = load_request(session, request_id)
    if request.merged_into_id is not None:
        return user_replied(
            session, request.merged_into_id, notices, text, now=now, details=details, reopen_within=reopen_within
        )
    late = request.closed_at is not None and now - request.closed_at > reopen_within
    if request.status == Status.CANCELLED or (request.status in CLOSED_STATUSES and late):
        raise RequestClosed(f"request {request.ticket} is closed for too long to go on: open a new one that follows it")
    add_event(session, request, "reply", SYSTEM, {"text": read_text("text", text), **(details or {})}, now)
    if request.status == Status.PENDING_USER or request.status in CLOSED_STATUSES:
        to = Status.IN_PROGRESS if request.holder is not None else Status.QUEUED
        _move(session, request, to, notices, actor=SYSTEM, role=Role.USER, told="", holder=None, now=now)
    else:
        _finish(session, request)
    return request


def edit_request(
    session: Session,
    request_id: int,
    changes: dict[str, Any],
    *,
    actor: str,
    now: datetime,
    version: int | None = None,
    rules: PromiseSettings | None = None,
) -> Request:
    """Change fields of an open request: any of `EDITABLE`. The history keeps the old and the new values.

    A new contact brings company and mail address along where these are not given. With `rules` the promises of first
    answer and solution follow the new kind or priority. Raises `InvalidInput`, `RequestClosed`, `NotFound`, and
    `RequestChanged` when `version` is given and no longer holds.
    """
    if unknown := changes.keys() - EDITABLE:
        raise InvalidInput(min(unknown), f"cannot be edited; what can is {', '.join(sorted(EDITABLE))}")
    request = load_request(session, request_id, version)
    _refuse_closed(request)
    if "holder" in changes and request.status in UNTAKEN:
        raise InvalidInput("holder", "nobody has it in charge yet: have it taken in charge")
    before = {field: getattr(request, field) for field in EDITABLE}
    with session.no_autoflush:  # all of it is one change
        for field, value in changes.items():
            if field == "area":
                request.area = _area(session, value)
            elif field in _READERS:
                setattr(request, field, _READERS[field](value))
        if "contact_id" in changes:
            request.contact = find(session, Contact, changes["contact_id"])
            request.contact_id = changes["contact_id"]
            if request.contact is not None:
                if "company_id" not in changes and request.contact.company is not None:
                    request.company, request.company_id = request.contact.company, request.contact.company_id
                if "email" not in changes and request.email is None:
                    request.email = request.contact.email
        if "company_id" in changes:
            request.company = find(session, Company, changes["company_id"])
            request.company_id = changes["company_id"]
    if request.holder != before["holder"]:
        request.held_since = now
    edited = {
        field: [old, getattr(request, field)] for field, old in sorted(before.items()) if old != getattr(request, field)
    }
    if edited:
        add_event(session, request, "edited", actor, edited, now)
        if rules is not None and not edited.keys().isdisjoint({"kind", "impact", "urgency"}):
            promise_targets_changed(session, request, rules)
        _finish(session, request)
    return request


def close_request(
    session: Session,
    request_id: int,
    notices: Notices,
    *,
    solution: str,
    actor: str,
    now: datetime,
    version: int | None = None,
) -> Request:
    """Close a request with its solution and write the notice to the user.

    One that nobody had in charge is taken in charge first; both are recorded. Raises `InvalidInput` without a solution,
    `RequestClosed`, `NotFound`, and `RequestChanged` when `version` is given and no longer holds.
    """
    _refuse_closed(load_request(session, request_id, version))
    return move_request(
        session, request_id, Status.CLOSED, notices, actor=actor, role=Role.AGENT, text=solution, now=now
    )


def close_resolved(session: Session, notices: Notices, *, now: datetime, reopen_within: timedelta, limit: int) -> int:
    """Close what was resolved so long ago that its user will not come back to it; returns how many, at most `limit`."""
    ids = session.scalars(
        select(Request.id)
        .where(Request.status == Status.RESOLVED, Request.closed_at < now - reopen_within)
        .order_by(Request.closed_at)
        .limit(limit)
    ).all()
    for id_ in ids:
        move_request(session, id_, Status.CLOSED, notices, actor=SYSTEM, role=Role.SYSTEM, now=now)
    return len(ids)


def link_child(
    session: Session, request_id: int, parent_id: int, *, actor: str, now: datetime, version: int | None = None
) -> Request:
    """Put a request below the one that tells of the fault behind it: it will be solved and closed with that one.

    There is one storey only. Raises `InvalidInput` where that would not hold, `RequestClosed`, `NotFound`,
    `RequestChanged`.
    """
    child, parent = _load_two(session, request_id, parent_id, version)
    _refuse_closed(child)
    _refuse_closed(parent)
    if parent.parent_id is not None:
        raise InvalidInput("parent", "is itself below another request: take that one", "parent_is_below")
    if _children(session, child):
        words = "this request has others below it: it cannot go below another one"
        raise InvalidInput("parent", words, "has_children")
    if child.parent_id == parent.id:
        return child
    _put_below(session, child, parent, actor, now)
    _finish(session, child)
    return child


def unlink_child(
    session: Session, request_id: int, *, actor: str, now: datetime, version: int | None = None
) -> Request:
    """Take a request from below the one it was put under: from now on it is solved and closed on its own.

    Both histories say so; one that is below none stays as it is. Raises `RequestClosed`, `NotFound`, `RequestChanged`.
    """
    parent_id = session.scalar(select(Request.parent_id).where(Request.id == request_id))
    if parent_id is None:
        return load_request(session, request_id, version)
    child, parent = _load_two(session, request_id, parent_id, version)
    _refuse_closed(child)
    if child.parent_id == parent.id:  # still, now that both are locked
        _take_from_below(session, child, parent, actor, now)
        _finish(session, child)
    return child


def merge_into(
    session: Session,
    request_id: int,
    into_id: int,
    notices: Notices,
    *,
    actor: str,
    now: datetime,
    version: int | None = None,
) -> Request:
    """Close a request that tells the same as another one; what its user still writes goes to that one.

    Both histories say so; requests below it go below the other one. Gives the request that goes on. Raises
    `InvalidInput` for itself, `RequestClosed` where one of them is closed, `NotFound`, `RequestChanged`.
    """
    double, kept = _load_two(session, request_id, into_id, version)
    _refuse_closed(double)
    _refuse_closed(kept)
    if kept.parent_id == double.id:
        _take_from_below(session, kept, double, actor, now)
    above = session.get_one(Request, kept.parent_id) if kept.parent_id is not None else kept
    for child in _children(session, double):
        if child.id != kept.id:
            _put_below(session, child, above, actor, now)
    italian = double.language == "it"
    told = f"{'Unita alla richiesta' if italian else 'Joined with request'} {kept.ticket}."
    double.merged_into_id = kept.id
    _move(session, double, Status.CLOSED, notices, actor=actor, role=Role.AGENT, told=told, holder=None, now=now)
    add_event(session, double, "merged", actor, {"into": kept.ticket}, now)
    add_event(session, kept, "merged", actor, {"from": double.ticket}, now)
    _finish(session, kept)
    return kept


def add_note(session: Session, request_id: int, text: str, *, actor: str, now: datetime) -> Request:
    """Write a note into the history; a closed request takes notes too. Raises `InvalidInput` for an empty one."""
    note = read_text("note", text)
    if not note:
        raise InvalidInput("note", "write something")
    request = load_request(session, request_id)
    add_event(session, request, "note", actor, {"text": note}, now)
    _finish(session, request)
    return request


def mark_promise_missed(session: Session, request_id: int, *, now: datetime) -> Request:
    """Record once that a request still waits after its promised pickup; does nothing where that is not so."""
    request = load_request(session, request_id)
    if request.status in UNTAKEN and request.picked_up_at is None and _note_missed_promise(session, request, now):
        _finish(session, request)
    return request


def add_event(
    session: Session, request: Request, kind: str, actor: str, details: dict[str, Any], now: datetime
) -> RequestEvent:
    """Write one line of a request's history, after its fields were changed; announces the request.

    What other ticket systems are to hear of it is written with it, in the same transaction.
    `kind` is at most 32 characters; `details` must be storable as JSON.
    """
    if request.level_0_answered_at is not None and actor not in (SYSTEM, LEVEL_0):
        request.level_0_answered_at = None  # somebody of this desk has looked
    # A changed request gets its next version when it is stored.
    version = request.version + (1 if session.is_modified(request) else 0)
    event = RequestEvent(request_id=request.id, at=now, actor=actor, kind=kind, details=details, version=version)
    session.add(event)
    if request.id > 0 and kind not in UNTOLD:  # a synthetic call's request is nobody's
        for connector in session.info.get(CONNECTORS, ()):
            change = ConnectorChange(connector=connector, request_id=request.id, event=event, status=request.status)
            change.created_at = change.next_attempt_at = now
            session.add(change)
    promise_moved(session, request, event)
    announce(session, "request", request.id)
    return event


# --- parts of the above ----------------------------------------------------------------------------------------------


def load_request(session: Session, request_id: int, version: int | None = None) -> Request:
    """The request, locked until the transaction ends, so that the second of two people sees what the first did.

    Raises `NotFound`, and `RequestChanged` when `version` is given and no longer holds.
    """
    request = session.scalar(
        select(Request)
        .where(Request.id == request_id)
        .with_for_update(of=Request)
        .execution_options(populate_existing=True)
    )
    if request is None:
        raise NotFound(f"there is no request with the id {request_id}")
    if version is not None and version != request.version:
        events = session.scalars(
            select(RequestEvent)
            .where(RequestEvent.request_id == request_id, RequestEvent.version > version)
            .order_by(RequestEvent.id)
        )
        raise RequestChanged(
            request.ticket,
            tuple(Edit(e.at, e.actor, e.kind, tuple(e.details) if e.kind == "edited" else ()) for e in events),
        )
    return request


def _load_two(session: Session, first_id: int, second_id: int, version: int | None) -> tuple[Request, Request]:
    """Two requests, locked in the order of their ids, so that two people at once do not lock each other out."""
    if first_id == second_id:
        raise InvalidInput("request", "is the same one: name another", "same_request")
    for id_ in sorted((first_id, second_id)):
        load_request(session, id_, version if id_ == first_id else None)
    return session.get_one(Request, first_id), session.get_one(Request, second_id)


def _children(session: Session, request: Request) -> Sequence[Request]:
    """The open requests below this one, locked."""
    return session.scalars(
        select(Request)
        .where(Request.parent_id == request.id, Request.status.in_(OPEN_STATUSES))
        .order_by(Request.id)
        .with_for_update(of=Request)
    ).all()


def _put_below(session: Session, child: Request, parent: Request, actor: str, now: datetime) -> None:
    child.parent_id = parent.id
    add_event(session, child, "linked", actor, {"parent": parent.ticket}, now)
    add_event(session, parent, "linked", actor, {"child": child.ticket}, now)


def _take_from_below(session: Session, child: Request, parent: Request, actor: str, now: datetime) -> None:
    child.parent_id = None
    add_event(session, child, "unlinked", actor, {"parent": parent.ticket}, now)
    add_event(session, parent, "unlinked", actor, {"child": child.ticket}, now)


def needed_text(field: str, value: str, missing: str) -> str:
    """A text that may not be empty. Raises `InvalidInput`, which says what is `missing`."""
    text = read_text(field, value)
    if not text:
        raise InvalidInput(field, missing, "missing")
    return text


def _told(request: Request, to: Status, text: str) -> str:
    """The text that goes with a move, where it needs one."""
    if text_of_move(request.status, to) is None:
        return read_text("solution" if to == Status.CLOSED else "text", text)
    field, missing = _NEEDS_TEXT[to]
    return needed_text(field, text, missing)


def _move(
    session: Session,
    request: Request,
    to: Status,
    notices: Notices,
    *,
    actor: str,
    role: Role,
    told: str,
    holder: str | None,
    now: datetime,
) -> None:
    """Change the status, write the history, and the notice where the move has one."""
    before = request.status
    solved = to in (Status.RESOLVED, Status.CLOSED)
    # what the company's own desk takes in charge is at level 0 still, and no agent's
    stays = to == Status.IN_PROGRESS and role is Role.LEVEL_0 and request.level == 0
    if solved and before not in CLOSED_STATUSES and request.picked_up_at is None:
        _pick_up(session, request, holder or actor, now)
        if role is Role.LEVEL_0:  # no agent has it, should it be reopened
            _hold(request, None, now)
    elif to == Status.IN_PROGRESS:
        acting = actor if role in (Role.AGENT, Role.SUPERVISOR) else None
        # who takes what waits has it; who only goes on leaves it with its holder
        taker = _holder(holder) or (acting or request.holder if before in UNTAKEN else request.holder or acting)
        if taker is None and not stays:
            raise InvalidInput("holder", "say who has it in charge", "missing")
        if request.picked_up_at is None:
            _note_missed_promise(session, request, now)
            request.picked_up_at = now
        _hold(request, taker, now)
    elif to == Status.QUEUED:
        _hold(request, None, now)
    request.status = to
    details: dict[str, Any] = {"from": before, "to": to}
    if request.level == 0 and to in (Status.QUEUED, Status.IN_PROGRESS) and not stays:
        request.level = 1  # whoever goes on with it here has it back from the company's own desk
        details["level"] = [0, 1]
    if to in CLOSED_STATUSES:
        request.closed_at = request.closed_at or now
    else:
        request.closed_at = request.merged_into_id = None
    if solved and told:
        request.solution = told
    kind = event_of_move(before, to)
    if told:
        details["solution" if solved else "text"] = told
    add_event(session, request, kind, actor, details, now)
    _finish(session, request, notices.moved(request, kind, told, now=now))
    if solved and told and request.merged_into_id is None:
        _tell_doubles(session, request, kind, notices, told=told, now=now)


def _tell_doubles(session: Session, request: Request, kind: str, notices: Notices, *, told: str, now: datetime) -> None:
    """Let those whose requests were merged into this one know how it was solved."""
    for double in session.scalars(select(Request).where(Request.merged_into_id == request.id).order_by(Request.id)):
        double.solution = told
        add_event(session, double, "solved_with", SYSTEM, {"request": request.ticket, "solution": told}, now)
        _finish(session, double, notices.moved(double, kind, told, now=now))
        _tell_doubles(session, double, kind, notices, told=told, now=now)


def _hold(request: Request, holder: str | None, now: datetime) -> None:
    """Say who has it in charge, and since when."""
    if request.holder != holder or request.held_since is None:
        request.held_since = now
    request.holder = holder


def _pick_up(session: Session, request: Request, actor: str, now: datetime) -> None:
    if request.picked_up_at is None:
        _note_missed_promise(session, request, now)
        request.picked_up_at = now
    before, request.status = request.status, Status.IN_PROGRESS
    _hold(request, actor, now)
    add_event(session, request, "picked_up", actor, {"from": before, "to": Status.IN_PROGRESS}, now)


def _note_missed_promise(session: Session, request: Request, now: datetime) -> bool:
    due_at = request.pickup_due_at
    if due_at is None or now <= due_at:
        return False
    noted = session.scalars(
        select(RequestEvent.details).where(RequestEvent.request_id == request.id, RequestEvent.kind == PROMISE_MISSED)
    )
    if any(details.get("clock", Clock.PICKUP) == Clock.PICKUP for details in noted):
        return False
    details = {"clock": Clock.PICKUP.value, "due_at": due_at.isoformat()}
    add_event(session, request, PROMISE_MISSED, SYSTEM, details, now)
    return True


def _finish(session: Session, request: Request, notice: OutboxMail | None = None) -> None:
    """Store all at once and announce it."""
    if notice is not None:
        session.add(notice)
    session.flush()
    announce(session, "request", request.id)
    if notice is not None:
        announce(session, "outbox", notice.id)


def _refuse_closed(request: Request) -> None:
    if request.status in CLOSED_STATUSES:
        raise RequestClosed(f"request {request.ticket} is closed: open a new one, or add a note")


def _subject(value: Any) -> str:
    subject = read_line("subject", value, 200)
    if not subject:
        raise InvalidInput("subject", "say in a few words what it is about")
    return subject


def _description(value: Any) -> str:
    return read_text("description", value)


def _kind(value: Any) -> Kind:
    try:
        return Kind(value)
    except ValueError as error:
        raise InvalidInput("kind", f"is one of {', '.join(Kind)}") from error


def _area(session: Session, value: Any) -> str:
    if session.connection().execute(_AREA, {"key": str(value)}).first() is None:
        keys = session.scalars(select(Area.key).where(Area.active).order_by(Area.key))
        raise InvalidInput("area", f"is one of {', '.join(keys)}")
    return str(value)


def _of_three(field: str, value: Any) -> int:
    if value not in (1, 2, 3):
        raise InvalidInput(field, "is 1 (high), 2 or 3 (low)")
    return int(value)


def _level(value: Any) -> int:
    # Level 0 is a health company's own desk, 1 this desk, 2 and 3 the specialists.
    if value not in (0, 1, 2, 3):
        raise InvalidInput("level", "is 0, 1, 2 or 3")
    return int(value)


def _holder(value: Any) -> str | None:
    return read_line("holder", value or "", 64) or None


_READERS: dict[str, Callable[[Any], Any]] = {
    "kind": _kind,
    "impact": partial(_of_three, "impact"),
    "urgency": partial(_of_three, "urgency"),
    "subject": _subject,
    "description": _description,
    "language": read_language,
    "email": read_email,
    "phone": read_callback,
    "holder": _holder,
}

EDITABLE = frozenset({*_READERS, "area", "contact_id", "company_id"})
"""The fields that `edit_request` changes."""
