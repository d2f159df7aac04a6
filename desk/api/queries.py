"""What the API for other programs reads."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import orjson
from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session, selectinload

from desk.api.errors import BadField, NotThere
from desk.api.views import ApiCompany, ApiContact, ApiEvent, ApiRequest, ApiRequestDetail, ApiRequests
from tickets import queries
from tickets.models import Contact, EmailAddress, Phone, Request, RequestEvent, Status
from tickets.phone_numbers import parse_phone_number
from tickets.queries import request_by_ticket
from tickets.texts import clean_line

OVERLAP = timedelta(minutes=2)
"""A change is stored up to as long as a transaction may take after the time it bears: who asks for what is new since
the last time is told to begin so much earlier."""
CONTACTS = 20


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page ended."""

    at: datetime
    request_id: int

    def __str__(self) -> str:
        raw = orjson.dumps([self.at.astimezone(UTC).isoformat(), self.request_id])
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")

    @classmethod
    def read(cls, text: str) -> "Cursor":
        """Raises `BadField` for one that did not come from here."""
        try:
            raw = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
            at, request_id = orjson.loads(raw)
            found = cls(datetime.fromisoformat(at).astimezone(UTC), int(request_id))
        except (binascii.Error, ValueError, TypeError, OverflowError):
            raise BadField({"cursor": "is not one that came with an answer"}) from None
        if not 0 <= found.request_id < 2**31:
            raise BadField({"cursor": "is not one that came with an answer"})
        return found


def found_request(session: Session, ticket: str) -> Request:
    """The request of a ticket number. Raises `NotThere`."""
    request = request_by_ticket(session, ticket)
    if request is None:
        raise NotThere
    return request


def request_detail(session: Session, ticket: str) -> ApiRequestDetail:
    """A request with its history. Raises `NotThere`."""
    request = found_request(session, ticket)
    events = session.scalars(
        select(RequestEvent).where(RequestEvent.request_id == request.id).order_by(RequestEvent.id)
    ).all()
    updated = max((event.at for event in events), default=request.opened_at)
    view = request_view(request, updated).model_dump()
    return ApiRequestDetail(**view, events=[event_view(event) for event in events])


def changed_requests(
    session: Session,
    *,
    updated_since: datetime | None,
    cursor: Cursor | None,
    statuses: Sequence[Status],
    limit: int,
    now: datetime,
) -> ApiRequests:
    """A page of the requests whose history has a line since then, those changed longest ago first."""
    since = cursor.at if cursor is not None else updated_since
    latest = select(RequestEvent.request_id, func.max(RequestEvent.at).label("updated_at")).group_by(
        RequestEvent.request_id
    )
    if since is not None:
        latest = latest.where(RequestEvent.at >= since)
    changed = latest.subquery()
    query = (
        select(Request, changed.c.updated_at)
        .join(changed, changed.c.request_id == Request.id)
        .where(Request.id > 0)
        .order_by(changed.c.updated_at, Request.id)
        .limit(limit + 1)
    )
    if cursor is not None:
        query = query.where(
            or_(
                changed.c.updated_at > cursor.at,
                and_(changed.c.updated_at == cursor.at, Request.id > cursor.request_id),
            )
        )
    if statuses:
        query = query.where(Request.status.in_(statuses))
    rows = session.execute(query).all()
    page = rows[:limit]
    following = str(Cursor(page[-1][1], page[-1][0].id)) if len(rows) > limit else None
    return ApiRequests(
        requests=[request_view(request, at) for request, at in page], next=following, as_of=now - OVERLAP
    )


def found_contacts(
    session: Session, *, text: str | None, user_code: str | None, email: str | None, phone: str | None
) -> list[ApiContact]:
    """Contacts to whom all that is given applies, at most `CONTACTS`, by name."""
    if text is not None and not any((user_code, email, phone)):
        return [contact_view(contact) for contact in queries.contacts(session, text, CONTACTS)]
    query = select(Contact).options(selectinload(Contact.phones)).order_by(Contact.name, Contact.id).limit(CONTACTS)
    if text is not None:
        for word in clean_line(text).split():
            query = query.where(Contact.name.icontains(word, autoescape=True))
    if user_code is not None:
        query = query.where(Contact.user_code == clean_line(user_code))
    if email is not None:
        query = query.where(Contact.emails.any(EmailAddress.address == clean_line(email).lower()))
    if phone is not None:
        number = parse_phone_number(phone).best()
        if number is None:
            raise BadField({"phone": "is not a telephone number"})
        query = query.where(Contact.phones.any(Phone.e164 == number))
    return [contact_view(contact) for contact in session.scalars(query)]


def contact_view(contact: Contact) -> ApiContact:
    """A contact as the API shows it."""
    company = contact.company
    return ApiContact(
        id=contact.id,
        name=contact.name,
        user_code=contact.user_code,
        email=contact.email,
        language=contact.language,
        company=ApiCompany(id=company.id, name=company.name, code=company.code) if company else None,
        phones=[phone.e164 for phone in contact.phones],
    )


def event_view(event: RequestEvent) -> ApiEvent:
    """A line of a history as the API shows it."""
    said = next((event.details[key] for key in ("text", "solution", "reason") if event.details.get(key)), None)
    return ApiEvent(
        id=event.id, at=event.at, actor=event.actor, kind=event.kind, text=None if said is None else str(said)
    )


def request_view(request: Request, updated_at: datetime) -> ApiRequest:
    """A request as the API shows it to who may read."""
    return ApiRequest(
        ticket=request.ticket or "",
        kind=request.kind,
        area=request.area,
        channel=request.channel,
        priority=request.priority,
        level=request.level,
        status=request.status,
        subject=request.subject,
        description=request.description,
        solution=request.solution,
        language=request.language,
        contact_id=request.contact_id,
        contact_name=request.contact.name if request.contact else None,
        company_name=request.company.name if request.company else None,
        email=request.email,
        phone=request.phone,
        holder=request.holder,
        group=request.group.name if request.group else None,
        received_at=request.received_at,
        opened_at=request.opened_at,
        pickup_due_at=request.pickup_due_at,
        picked_up_at=request.picked_up_at,
        closed_at=request.closed_at,
        updated_at=updated_at,
        version=request.version,
    )
