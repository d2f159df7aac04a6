"""What the desk reads beside a request itself: what may be done with it, what belongs to it; and lists of requests."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, func, select, true, type_coerce, union_all
from sqlalchemy.orm import Session

from desk.extracts import extracts
from desk.views import (
    AreaView,
    AttachmentView,
    CompanyDesk,
    Extract,
    GroupView,
    LevelMove,
    MoveView,
    Order,
    RequestLink,
    SyncView,
    Which,
)
from tickets.attachments import preview_of
from tickets.connectors.sync import sync_state
from tickets.database import UTCDateTime
from tickets.levels import support_groups
from tickets.lifecycle import RequestSettings, Role, moves_from
from tickets.models import CLOSED_STATUSES, OPEN_STATUSES, Area, Company, Request, RequestPromise, Status
from tickets.operations import UNTAKEN, event_of_move, text_of_move
from tickets.phone_numbers import shown_number
from tickets.queries import request_by_ticket
from tickets.search import Query, read_query, search

LINKED = 200
"""At most so many requests below another one are shown."""
FOUND = 150
"""At most so many requests of a list are given at once."""
FOUND_BY_WORDS = 50
"""At most so many that are searched for among all: whoever types wants few, at once."""


@dataclass(frozen=True, slots=True)
class Reader:
    """On whose behalf, when and by which rules a request is looked at; and how large an attachment may be (bytes)."""

    role: Role
    now: datetime
    rules: RequestSettings
    largest_attachment: int


@dataclass(frozen=True, slots=True)
class Found:
    """Requests of a list, in its order, each with what is due next."""

    rows: Sequence[tuple[Request, datetime | None]]
    more: bool
    """There are more than were given."""
    words: tuple[str, ...]
    """What was looked for, as the search took it."""
    extracts: dict[int, Extract]
    """By request: where its words are, where the line of a list does not show them."""


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
    order: Order = Order.DUE,
    now: datetime,
) -> Found:
    """Requests of a list that have all the words of `text`; see `Which` and `Order`."""
    wanted: list[ColumnElement[bool]] = [] if level is None else [Request.level == level]
    query = read_query(session, text)
    if query is None:
        rows = _listed(session, which, reader, wanted, order, now - timedelta(days=days), FOUND)
        return Found(rows[:FOUND], len(rows) > FOUND, (), {})
    if which is Which.ALL:
        rows = _searched(session, query, text, wanted)
        most = FOUND_BY_WORDS
    else:
        of_list = [*wanted, _of_list(which, reader, now - timedelta(days=days))]
        ids = search(session, query, closed=which is Which.CLOSED, where=of_list, limit=FOUND + 1)
        narrowed = [Request.id.in_(ids)]
        rows = _listed(session, which, reader, narrowed, order, now - timedelta(days=days), FOUND)
        most = FOUND
    shown = rows[:most]
    return Found(shown, len(rows) > most, query.words, extracts(session, [request for request, _ in shown], query))


def _searched(
    session: Session, query: Query, text: str, wanted: Sequence[ColumnElement[bool]]
) -> list[tuple[Request, datetime | None]]:
    """The request whose number is written first, then open ones before closed ones, the newest first."""
    ids = search(session, query, where=wanted, limit=FOUND_BY_WORDS + 1)
    exact = request_by_ticket(session, text)
    if exact is not None and exact.id > 0:
        ids = [exact.id, *(id_ for id_ in ids if id_ != exact.id)]
    place = {id_: at for at, id_ in enumerate(ids)}
    due = case((Request.closed_at.is_(None), _DUE))
    rows = session.execute(select(Request, type_coerce(due, UTCDateTime)).where(Request.id.in_(ids), *wanted))
    return sorted(((request, at) for request, at in rows), key=lambda row: place[row[0].id])


def _listed(
    session: Session,
    which: Which,
    reader: str,
    wanted: Sequence[ColumnElement[bool]],
    order: Order,
    since: datetime,
    most: int,
) -> list[tuple[Request, datetime | None]]:
    """One more than `most` where there are more."""
    if which is Which.CLOSED and order is Order.DUE:
        return [(request, None) for request in session.scalars(_closed_since(since, wanted))]
    due = case((Request.closed_at.is_(None), _DUE))
    rows = session.execute(
        select(Request, type_coerce(due, UTCDateTime))
        .where(Request.id > 0, _of_list(which, reader, since), *wanted)
        .order_by(*_ORDERS[order])
        .limit(most + 1)
    )
    return [(request, at) for request, at in rows]


def _closed_since(since: datetime, wanted: Sequence[ColumnElement[bool]]) -> Select[Request]:
    """Made of one part for each status, whose latest rows an index finds without reading all of those days."""
    parts = [
        select(Request.id)
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


_DUE = func.coalesce(_NEXT_DUE, case((Request.status.in_(UNTAKEN), Request.pickup_due_at)))
_ORDERS: dict[Order, tuple[Any, ...]] = {
    Order.DUE: (
        *(case((_DUE.is_(None), 1), else_=0), _DUE),
        *(Request.impact + Request.urgency, Request.opened_at, Request.id),
    ),
    Order.NEWEST: (Request.id.desc(),),
    Order.OLDEST: (Request.id,),
    Order.PRIORITY: (Request.impact + Request.urgency, Request.id.desc()),
}


def _of_list(which: Which, reader: str, since: datetime) -> ColumnElement[bool]:
    match which:
        case Which.MINE:
            return and_(Request.status.in_(OPEN_STATUSES), Request.holder == reader)
        case Which.UNTAKEN:
            return Request.status.in_(UNTAKEN)
        case Which.WAITING:
            return Request.status.in_((Status.PENDING_USER, Status.PENDING_THIRD_PARTY))
        case Which.CLOSED:
            return and_(Request.status.in_(CLOSED_STATUSES), Request.closed_at >= since)
        case Which.ALL:
            return true()
        case _:
            return Request.status.in_(OPEN_STATUSES)


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
