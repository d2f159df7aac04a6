"""Reading: who is calling, which requests there are, one request with its history, the directory."""

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Integer, Select, String, and_, bindparam, case, exists, or_, select, union
from sqlalchemy.orm import Session, selectinload

from tickets.database import execute
from tickets.directory import companies_with_desk_at, contacts_with_email
from tickets.models import CLOSED_STATUSES, OPEN_STATUSES, Company, Contact, Phone, Request, RequestEvent
from tickets.operations import UNTAKEN
from tickets.phone_numbers import parse_phone_number
from tickets.promises import PROMISE_MISSED
from tickets.texts import clean_line
from tickets.ticket_numbers import read_ticket_number

T = TypeVar("T", Company, Contact)


class Confidence(enum.StrEnum):
    """How sure it is who calls."""

    KNOWN = "known"
    PROBABLE = "probable"
    SEVERAL = "several"
    UNKNOWN = "unknown"
    WITHHELD = "withheld"


@dataclass(frozen=True, slots=True)
class CallerMatch:
    """Who a caller may be.

    `reason` is the key of an explanation: `exact_number`, `shared_number`, `number_ending`, `company_number`,
    `company_number_ending`, `not_in_directory`, `withheld`. `number` is E.164 where it could be read.
    """

    confidence: Confidence
    contacts: list[Contact] = field(default_factory=list)
    company: Company | None = None
    reason: str = "not_in_directory"
    number: str | None = None

    @property
    def contact_id(self) -> int | None:
        """The contact, where there is only one who it may be."""
        return self.contacts[0].id if len(self.contacts) == 1 else None


_NOBODY = CallerMatch(Confidence.UNKNOWN)

# Made once, since it runs for every call. Far more people than these cannot be shown; exact numbers come first.
_PHONES = (
    select(Phone.e164, Phone.contact_id, Phone.company_id)
    .where(or_(Phone.e164 == bindparam("number"), Phone.tail == bindparam("tail")))
    .order_by(case((Phone.e164 == bindparam("number"), 0), else_=1), Phone.id)
    .limit(50)
)


def identify_caller(session: Session, caller: str | None) -> CallerMatch:
    """Look a caller's number up, exactly first, then by its last eight digits; contacts count more than companies.

    A trunk may drop or add prefixes, hence the comparison by ending, which gives a probable match only.
    """
    number = parse_phone_number(caller)
    best = number.best()
    if number.withheld:
        return CallerMatch(Confidence.WITHHELD, reason="withheld")
    if best is None:
        return CallerMatch(Confidence.UNKNOWN)
    found = execute(session, _PHONES, {"number": best, "tail": number.tail}).all()
    if not found:
        return CallerMatch(Confidence.UNKNOWN, number=best)
    people = _by_id(session, Contact, [phone.contact_id for phone in found])
    owners = _by_id(session, Company, [phone.company_id for phone in found])
    exact = [phone for phone in found if phone.e164 == best]
    for phones, alone, shared, of_company in (
        (exact, "exact_number", "shared_number", "company_number"),
        (found, "number_ending", "number_ending", "company_number_ending"),
    ):
        contacts = list({id_: people[id_] for phone in phones if (id_ := phone.contact_id) in people}.values())
        if len(contacts) > 1:
            companies = {contact.company_id: contact.company for contact in contacts}
            company = contacts[0].company if len(companies) == 1 else None
            return CallerMatch(Confidence.SEVERAL, contacts, company, shared, best)
        if contacts:
            confidence = Confidence.KNOWN if phones is exact else Confidence.PROBABLE
            return CallerMatch(confidence, contacts, contacts[0].company, alone, best)
        company = next((owners[phone.company_id] for phone in phones if phone.company_id in owners), None)
        if company is not None:
            return CallerMatch(Confidence.PROBABLE, [], company, of_company, best)
    return CallerMatch(Confidence.UNKNOWN, number=best)


def identify_sender(session: Session, *addresses: str, name: str = "") -> CallerMatch:
    """Look up who has one of a mail's addresses: a contact, several who share it, or the level-0 desk of a company.

    The first address that one contact has counts, or else the first that anybody has. `name`, as the mail has it, tells
    those apart who share an address. The reasons are `exact_address`, `shared_address`, `level_0_address` and
    `not_in_directory`.
    """
    found = [_with_address(session, address, name) for address in dict.fromkeys(addresses)]
    best = next((match for match in found if match.contact_id is not None), None)
    return best or next((match for match in found if match.confidence != Confidence.UNKNOWN), _NOBODY)


def _with_address(session: Session, address: str, name: str) -> CallerMatch:
    contacts = list(contacts_with_email(session, address))
    if len(contacts) > 1:
        named = [contact for contact in contacts if contact.name.casefold() == name.casefold()]
        contacts = named if len(named) == 1 else contacts
    if len(contacts) == 1:
        return CallerMatch(Confidence.KNOWN, contacts, contacts[0].company, "exact_address")
    desks = companies_with_desk_at(session, address)
    desk = desks[0] if len(desks) == 1 else None
    if contacts:
        companies = {contact.company_id: contact.company for contact in contacts}
        company = contacts[0].company if len(companies) == 1 else desk
        return CallerMatch(Confidence.SEVERAL, contacts, company, "shared_address")
    if desk is not None:
        return CallerMatch(Confidence.KNOWN, [], desk, "level_0_address")
    return _NOBODY


def companies(session: Session) -> Sequence[Company]:
    """All companies by name, with their numbers and what is known of their level-0 desks."""
    return session.scalars(select(Company).options(selectinload(Company.phones)).order_by(Company.name)).all()


def _by_id(session: Session, table: type[T], ids: Iterable[int | None]) -> dict[int | None, T]:
    wanted = {id_ for id_ in ids if id_ is not None}
    if not wanted:
        return {}
    return {row.id: row for row in session.scalars(select(table).where(table.id.in_(wanted)))}


def _of_caller() -> Select[Request]:
    """Made of small parts, each of which an index answers without reading all that somebody ever asked for."""
    limit = bindparam("limit", type_=Integer)
    parts: list[Select[int]] = []
    for theirs in (
        Request.contact_id.in_(bindparam("contacts", expanding=True)),
        Request.company_id == bindparam("company", type_=Integer),
        Request.phone == bindparam("number", type_=String),
    ):
        ids = select(Request.id).where(theirs)
        latest_open = ids.where(Request.closed_at.is_(None)).order_by(Request.opened_at.desc(), Request.id.desc())
        latest_closed = ids.where(Request.closed_at.is_not(None)).order_by(Request.closed_at.desc())
        parts += [latest_open.limit(limit), latest_closed.limit(limit)]
    closed = case((Request.status.in_(CLOSED_STATUSES), 1), else_=0)
    return (
        select(Request)
        .where(Request.id.in_(union(*(select(part.subquery().c.id) for part in parts))))
        .order_by(closed, Request.opened_at.desc(), Request.id.desc())
        .limit(limit)
    )


_OF_CALLER = _of_caller()


def requests_of_caller(session: Session, match: CallerMatch, limit: int = 20) -> list[Request]:
    """Requests of the people who may be calling, or called back at this number; open ones first, then the latest.

    Where only the company is known, those of the company. Of closed ones those closed last are found.
    """
    company = match.company.id if match.company is not None and not match.contacts else None
    contacts = [contact.id for contact in match.contacts]
    if not contacts and company is None and match.number is None:
        return []
    known = {"contacts": contacts, "company": company, "number": match.number, "limit": limit}
    return list(session.scalars(_OF_CALLER, known))


def request_by_ticket(session: Session, text: str) -> Request | None:
    """The request whose ticket number is written in `text`; None where there is none or the check digit is wrong."""
    ticket = read_ticket_number(text)
    if ticket is None:
        return None
    found: Request | None = session.scalar(select(Request).where(Request.ticket == ticket))
    return found


def open_requests(
    session: Session, *, holder: str | None = None, level: int | None = None, limit: int = 200
) -> list[Request]:
    """Open requests for the desk's list: those that wait for pickup first, by due time, then the others by age."""
    query = select(Request).where(Request.id > 0, Request.status.in_(OPEN_STATUSES))
    if holder is not None:
        query = query.where(Request.holder == holder)
    if level is not None:
        query = query.where(Request.level == level)
    waits = case((Request.status.in_(UNTAKEN), 0), else_=1)
    undated = case((Request.pickup_due_at.is_(None), 1), else_=0)
    found = session.scalars(
        query.order_by(waits, undated, Request.pickup_due_at, Request.opened_at, Request.id).limit(limit)
    )
    return list(found)


def overdue_pickups(session: Session, now: datetime) -> list[Request]:
    """Requests that still wait after their promised pickup, the longest overdue first.

    Those are left out whose missed promise is in the history already (`operations.mark_promise_missed`).
    """
    marked = exists().where(and_(RequestEvent.request_id == Request.id, RequestEvent.kind == PROMISE_MISSED))
    query = select(Request).where(
        Request.id > 0,
        Request.status.in_(UNTAKEN),
        Request.picked_up_at.is_(None),
        Request.pickup_due_at < now,
        ~marked,
    )
    return list(session.scalars(query.order_by(Request.pickup_due_at, Request.id)))


def contacts(session: Session, text: str, limit: int = 20) -> Sequence[Contact]:
    """Contacts whose name, user code, address, company or number holds every word of `text`; by name.

    A text of four digits or more, however grouped, is also looked for in the numbers.
    """
    words = clean_line(text)[:200].split()
    if not words:
        return []
    query = select(Contact).outerjoin(Contact.company).options(selectinload(Contact.phones))
    every_word = and_(
        *(
            or_(
                *(
                    column.icontains(word, autoescape=True)
                    for column in (Contact.name, Contact.user_code, Contact.email, Company.name)
                )
            )
            for word in words
        )
    )
    digits = (parse_phone_number(text).digits or "").removeprefix("00")
    if len(digits) >= 4:
        by_number = exists().where(Phone.contact_id == Contact.id, Phone.e164.contains(digits, autoescape=True))
        query = query.where(or_(every_word, by_number))
    else:
        query = query.where(every_word)
    return session.scalars(query.order_by(Contact.name, Contact.id).limit(limit)).all()
