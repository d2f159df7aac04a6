"""Credentials: how a contact comes to a log-in of the information system.

The customer's rules: who took part in a course gets credentials, without asking for them, once the company's referent
(RIP) has authorised it. So a course begins the way, and nothing is authorised without one.
"""

from datetime import date, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from tickets.database import announce
from tickets.directory import CREDENTIALS_AREA, load_contact, refuse_second_user_code
from tickets.errors import CredentialsRefused, InvalidInput
from tickets.fields import find, read_line
from tickets.models import Area, Contact, ContactRole, Credentials
from tickets.operations import add_event, load_request, needed_text


def request_credentials(
    session: Session, contact_id: int, *, actor: str, now: datetime, request_id: int | None = None
) -> Contact:
    """Ask for credentials before a course; asking again changes nothing.

    Raises `CredentialsRefused` where the contact is further on the way, `NotFound`, and `InvalidInput` for a request
    (`request_id`, whose history tells of the step) that is not about this contact's credentials.
    """
    contact = load_contact(session, contact_id)
    if contact.credentials == Credentials.REQUESTED:
        return contact
    if contact.credentials != Credentials.NONE:
        raise CredentialsRefused("too_far", f"the credentials of {contact.name} are {contact.credentials} already")
    return _step(session, contact, Credentials.REQUESTED, actor, {}, now, request_id)


def record_training(
    session: Session,
    contact_id: int,
    day: date,
    *,
    today: date,
    actor: str,
    now: datetime,
    request_id: int | None = None,
) -> Contact:
    """Record the day of the course; who had not asked for credentials has now.

    `today` is the local day: a course that is still to come does not count. Raises `InvalidInput` for such a day and as
    in `request_credentials`, `NotFound`.
    """
    if day > today:
        raise InvalidInput("trained_on", "is still to come: record the course when it is over")
    contact = load_contact(session, contact_id)
    contact.trained_on = day
    to = Credentials.REQUESTED if contact.credentials == Credentials.NONE else contact.credentials
    return _step(session, contact, to, actor, {"trained_on": day.isoformat()}, now, request_id)


def authorise_credentials(
    session: Session,
    contact_id: int,
    referent_id: int,
    *,
    actor: str,
    now: datetime,
    request_id: int | None = None,
) -> Contact:
    """Record the word of the company's referent; a second time changes nothing.

    Raises `CredentialsRefused` without a request or a course before, or where `referent_id` is not the referent of the
    contact's own company; `InvalidInput` as in `request_credentials`, `NotFound`.
    """
    contact, referent = load_contact(session, contact_id), find(session, Contact, referent_id)
    assert referent is not None  # noqa: S101 - found, or `NotFound`
    if referent.role != ContactRole.REFERENT:
        raise CredentialsRefused(
            "not_a_referent", f"{referent.name} is no referent: only a company's referent authorises"
        )
    if contact.company_id is None or contact.company_id != referent.company_id:
        raise CredentialsRefused(
            "another_company",
            f"{referent.name} is not the referent of the company of {contact.name}: ask the one who is",
        )
    if contact.credentials == Credentials.AUTHORISED:
        return contact
    if contact.credentials == Credentials.ACTIVE:
        raise CredentialsRefused("too_far", f"the credentials of {contact.name} are active already")
    if contact.credentials == Credentials.NONE:
        raise CredentialsRefused("not_requested", f"nobody asked for credentials of {contact.name}: ask for them first")
    if contact.trained_on is None:
        raise CredentialsRefused("not_trained", f"{contact.name} has taken no course: record its day first")
    return _step(session, contact, Credentials.AUTHORISED, actor, {"referent": referent.name}, now, request_id)


def activate_credentials(
    session: Session,
    contact_id: int,
    user_code: str | None = None,
    *,
    actor: str,
    now: datetime,
    request_id: int | None = None,
) -> Contact:
    """Record that the log-in works; `user_code` is its name where the contact has none yet, or another one.

    Raises `CredentialsRefused` before they are authorised, or without a user code, `DuplicateEntry` for somebody else's
    code, `InvalidInput` as in `request_credentials`, `NotFound`. A second time changes nothing.
    """
    code = read_line("user_code", user_code or "", 64) or None
    contact = load_contact(session, contact_id)
    if contact.credentials == Credentials.ACTIVE and code in (None, contact.user_code):
        return contact
    if contact.credentials != Credentials.AUTHORISED:
        raise CredentialsRefused(
            "not_authorised",
            f"the credentials of {contact.name} are {contact.credentials}: only authorised ones are activated",
        )
    if code is not None:
        refuse_second_user_code(session, code, but=contact_id)
        contact.user_code = code
    if contact.user_code is None:
        raise CredentialsRefused("no_user_code", f"{contact.name} has no user code: give the name of the log-in")
    details = {"user_code": contact.user_code}
    return _step(session, contact, Credentials.ACTIVE, actor, details, now, request_id)


def withdraw_credentials(
    session: Session, contact_id: int, *, reason: str, actor: str, now: datetime, request_id: int | None = None
) -> Contact:
    """Take credentials back, at whatever step: the referent says no, or the contact has left. The course stays.

    Raises `CredentialsRefused` where there are none, `InvalidInput` without a reason and as in `request_credentials`,
    `NotFound`.
    """
    why = needed_text("reason", reason, "say why they are withdrawn")
    contact = load_contact(session, contact_id)
    if contact.credentials == Credentials.NONE:
        raise CredentialsRefused("not_requested", f"{contact.name} has no credentials, and none are asked for")
    return _step(session, contact, Credentials.NONE, actor, {"text": why}, now, request_id)


def _step(
    session: Session,
    contact: Contact,
    to: Credentials,
    actor: str,
    details: dict[str, Any],
    now: datetime,
    request_id: int | None,
) -> Contact:
    before, contact.credentials = contact.credentials, to
    if request_id is not None:
        request = load_request(session, request_id)
        area = session.scalar(select(Area.parent).where(Area.key == request.area))
        if CREDENTIALS_AREA not in (request.area, area):
            raise InvalidInput("request", f"request {request.ticket} is not about credentials")
        same_company = contact.company_id is not None and request.company_id == contact.company_id
        if request.contact_id != contact.id and not same_company:
            raise InvalidInput(
                "request", f"request {request.ticket} is neither of {contact.name} nor of the same company"
            )
        told = {"contact": contact.name, "from": before, "to": to, **details}
        add_event(session, request, "credentials", actor, told, now)
    session.flush()
    announce(session, "contact", contact.id)
    return contact
