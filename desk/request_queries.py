"""What the desk reads beside a request itself: what may be done with it, what belongs to it; and lists of requests."""

import enum
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, and_, case, func, or_, select, type_coerce, union_all
from sqlalchemy.orm import Session

from desk.views import (
    AreaView,
    AttachmentView,
    CompanyDesk,
    GroupView,
    LevelMove,
    MoveView,
    RequestLink,
    SyncView,
)
from tickets.attachments import preview_of
from tickets.connectors.sync import sync_state
from tickets.database import UTCDateTime
from tickets.levels import support_groups
from tickets.lifecycle import RequestSettings, Role, moves_from
from tickets.models import CLOSED_STATUSES, OPEN_STATUSES, Area, Company, Contact, Request, RequestPromise, Status
from tickets.operations import UNTAKEN, event_of_move, text_of_move
from tickets.phone_numbers import shown_number
from tickets.texts import clean_line
from tickets.ticket_numbers import read_ticket_number

LINKED = 200
"""At most so many requests below another one are shown."""
FOUND = 150
"""At most so many requests of a list are given at once."""


@dataclass(frozen=True, slots=True)
class Reader:
    """On whose behalf, when and by which rules a request is looked at; and how large an attachment may be (bytes)."""

    role: Role
    now: datetime
    rules: RequestSettings
    largest_attachment: int


class Which(enum.StrEnum):
    """The lists of requests."""

    OPEN = "open"
    MINE = "mine"
    """In charge of the reader."""
    UNTAKEN = "untaken"
    """Wait for somebody to take them."""
    WAITING = "waiting"
    """Wait for the user, or for a third party."""
    CLOSED = "closed"
    """Solved or cancelled in the last days."""


def around_request(session: Session, request: Request, reader: Reader) -> dict[str, Any]:
    """The fields of a request's page that are not the request's own."""
    company = request.company
    linked = select(Request).order_by(Request.id).limit(LINKED)
    return {
        "group_id": request.group_id,
        "company_id": request.company_id,
        "company_desk": _desk_of(company) if company else None,
        "moves": moves_of(request, reader),
        "level_moves": level_moves_of(session, request),
        "parent": _link(session, request.parent_id),
        "children": _links(session, linked.where(Request.parent_id == request.id)),
        "merged_into": _link(session, request.merged_into_id),
        "merged": _links(session, linked.where(Request.merged_into_id == request.id)),
        "follow_up_of": _link(session, request.follow_up_of_id),
        "follow_ups": _links(session, linked.where(Request.follow_up_of_id == request.id)),
        "attachments": [
            AttachmentView(
                id=one.id,
                name=one.name,
                media_type=one.media_type,
                size=one.size,
                added_by=one.added_by,
                created_at=one.created_at,
                preview=preview_of(one.media_type),
            )
            for one in request.attachments
        ],
        "largest_attachment": reader.largest_attachment,
        "connectors": [SyncView.model_validate(state) for state in sync_state(session, request.id)],
    }


def moves_of(request: Request, reader: Reader) -> list[MoveView]:
    """Where the reader may move a request now, and which text each move needs."""
    statuses = moves_from(
        request.status,
        reader.role,
        closed_at=request.closed_at,
        now=reader.now,
        reopen_within=reader.rules.reopen_within,
    )
    return [
        MoveView.model_validate(
            {"to": to, "event": event_of_move(request.status, to), "text": text_of_move(request.status, to)}
        )
        for to in statuses
    ]


def level_moves_of(session: Session, request: Request) -> list[LevelMove]:
    """How a request may change its level now."""
    if request.status in CLOSED_STATUSES:
        return []
    if request.level == 0:
        return ["recall"]
    if request.level != 1:
        return ["hand_back"]
    moves: list[LevelMove] = ["escalate"] if support_groups(session) else []
    area = session.get(Area, request.area)
    if area is not None and area.back_to_level_0:
        moves.append("refer")
    return moves


def areas(session: Session, language: str) -> list[AreaView]:
    """All areas, each followed by those below it, by name; also those that new requests may not have."""
    name = Area.name_en if language == "en" else Area.name_it
    rows = session.scalars(select(Area).order_by(name, Area.key)).all()
    ordered = [(area, [below for below in rows if below.parent == area.key]) for area in rows if area.parent is None]
    return [
        AreaView(
            key=one.key,
            name=one.name_en if language == "en" else one.name_it,
            parent=one.parent,
            active=one.active,
            back_to_level_0=one.back_to_level_0,
        )
        for area, below in ordered
        for one in (area, *below)
    ]


def groups(session: Session) -> list[GroupView]:
    """The groups of specialists that requests can be escalated to."""
    return [GroupView.model_validate(group) for group in support_groups(session)]


def found_requests(
    session: Session,
    which: Which,
    *,
    reader: str,
    text: str = "",
    level: int | None = None,
    days: int,
    now: datetime,
) -> list[tuple[Request, datetime | None]]:
    """Requests of a list with what is due next, open ones by that and by priority, finished ones the latest first.

    One more than `FOUND` where there are more.
    """
    wanted = [] if level is None else [Request.level == level]
    wanted += [_holds(word) for word in clean_line(text)[:200].split()]
    if which is Which.CLOSED:
        closed = _closed_since(now - timedelta(days=days), wanted)
        return [(request, None) for request in session.scalars(closed)]
    due = func.coalesce(_NEXT_DUE, case((Request.status.in_(UNTAKEN), Request.pickup_due_at)))
    query = (
        select(Request, type_coerce(due, UTCDateTime))
        .outerjoin(Request.contact)
        .where(Request.id > 0, _of_list(which, reader), *wanted)
        .order_by(
            case((due.is_(None), 1), else_=0), due, Request.impact + Request.urgency, Request.opened_at, Request.id
        )
        .limit(FOUND + 1)
    )
    return [(request, at) for request, at in session.execute(query)]


def _closed_since(since: datetime, wanted: list[Any]) -> Select[Request]:
    """Made of one part for each status, whose latest rows an index finds without reading all of those days."""
    parts = [
        select(Request.id)
        .outerjoin(Request.contact)
        .where(Request.id > 0, Request.status == status, Request.closed_at >= since, *wanted)
        .order_by(Request.closed_at.desc())
        .limit(FOUND + 1)
        .subquery()
        for status in sorted(CLOSED_STATUSES)
    ]
    ids = union_all(*(select(part.c.id) for part in parts))
    return select(Request).where(Request.id.in_(ids)).order_by(Request.closed_at.desc(), Request.id).limit(FOUND + 1)


_NEXT_DUE = (
    select(func.min(RequestPromise.due_at))
    .where(
        RequestPromise.request_id == Request.id,
        RequestPromise.met_at.is_(None),
        RequestPromise.dropped_at.is_(None),
        RequestPromise.paused_since.is_(None),
    )
    .correlate(Request)
    .scalar_subquery()
)
"""What is promised next for a request; nothing while its clocks stand still."""


def _of_list(which: Which, reader: str) -> Any:
    match which:
        case Which.MINE:
            return and_(Request.status.in_(OPEN_STATUSES), Request.holder == reader)
        case Which.UNTAKEN:
            return Request.status.in_(UNTAKEN)
        case Which.WAITING:
            return Request.status.in_((Status.PENDING_USER, Status.PENDING_THIRD_PARTY))
        case _:
            return Request.status.in_(OPEN_STATUSES)


def _holds(word: str) -> Any:
    """Whether a request has this word, or part of it, in its ticket number, subject, contact or company."""
    ticket = read_ticket_number(word) or word
    company = select(Company.id).where(Company.name.icontains(word, autoescape=True))
    return or_(
        Request.ticket.contains(ticket, autoescape=True),
        Request.subject.icontains(word, autoescape=True),
        Contact.name.icontains(word, autoescape=True),
        Contact.user_code.icontains(word, autoescape=True),
        Request.company_id.in_(company),
    )


def _desk_of(company: Company) -> CompanyDesk:
    phone = company.level_0_phone
    return CompanyDesk(
        name=company.name,
        email=company.level_0_email,
        phone=phone,
        phone_shown=shown_number(phone) if phone else None,
        hours=company.level_0_hours,
    )


def _link(session: Session, request_id: int | None) -> RequestLink | None:
    found = session.get(Request, request_id) if request_id is not None else None
    return RequestLink.model_validate(found) if found else None


def _links(session: Session, query: Select[Request]) -> list[RequestLink]:
    return [RequestLink.model_validate(found) for found in session.scalars(query)]
