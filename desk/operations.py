"""What people do at the desk, where it is more than one step of a lower package."""

from collections.abc import Callable, Collection
from datetime import datetime, timedelta

from sqlalchemy import delete, not_, select, update
from sqlalchemy.orm import Session

from desk.errors import AlreadyBound, NotThere, UsernameTaken, WeakPassword, WrongPassword
from desk.models import LOG_INS, Account, DeskSession, DismissedPop, DismissReason, Role
from desk.passwords import MIN_LENGTH, hash_password, new_token, token_hash
from desk.queries import RECENT, account_by_username, log_in_id_of, still_holds
from desk.views import CounterForm, NewContact, NewRequestForm, PersonForm, Preferences
from ivr import browser_phones
from ivr.models import Call
from ivr.operations import TO_DO, bind_request
from tickets import directory
from tickets.database import announce
from tickets.directory import add_contact, assign_phone
from tickets.errors import EntryInUse
from tickets.models import Channel, Contact, Request, Status
from tickets.notices import Notices
from tickets.operations import (
    NewRequest,
    add_event,
    add_note,
    close_request,
    open_request,
    take_in_charge,
)
from tickets.promise_rules import Terms
from tickets.queries import Confidence, identify_caller
from tickets.texts import clean_line

# ------------------------------------------------------------------------------------------------------- accounts


def create_account(
    session: Session,
    username: str,
    password: str,
    *,
    role: Role,
    agent_id: int | None = None,
    language: str = "it",
) -> Account:
    """Add a log-in. Raises UsernameTaken, or WeakPassword for one of fewer than 10 characters."""
    if account_by_username(session, username) is not None:
        raise UsernameTaken(f"there is an account {username!r} already")
    account = Account(
        username=username, password_hash=_hashed(password), role=role, agent_id=agent_id, language=language
    )
    session.add(account)
    session.flush()
    return account


def set_password(session: Session, username: str, password: str) -> Account:
    """Give an account a new password and end all its log-ins. Raises NotThere, WeakPassword."""
    account = _account(session, username)
    account.password_hash = _hashed(password)
    _end_log_ins(session, account.id)
    return account


def set_role(session: Session, username: str, role: Role) -> None:
    """Change what an account may do. Raises NotThere.

    It ends all its log-ins: open pages show what the old role may see.
    """
    account = _account(session, username)
    account.role = role
    _end_log_ins(session, account.id)


def remove_account(session: Session, username: str) -> None:
    """Remove an account and end all its log-ins. Raises NotThere."""
    account = _account(session, username)
    _end_log_ins(session, account.id)
    session.delete(account)


def _account(session: Session, username: str) -> Account:
    account = account_by_username(session, username)
    if account is None:
        raise NotThere(f"there is no account {username!r}")
    return account


def _end_log_ins(session: Session, account_id: int) -> None:
    session.execute(delete(DeskSession).where(DeskSession.account_id == account_id))
    _log_ins_ended(session, account_id)


def _log_ins_ended(session: Session, account_id: int) -> None:
    """Pages close, and what a browser knows of its phone is worth nothing any more."""
    announce(session, LOG_INS, account_id)
    agent_id = session.scalar(select(Account.agent_id).where(Account.id == account_id))
    if agent_id is not None:
        browser_phones.new_key(session, agent_id)


def _hashed(password: str) -> str:
    if len(password) < MIN_LENGTH:
        raise WeakPassword(f"a password needs at least {MIN_LENGTH} characters")
    return hash_password(password)


def log_in(
    session: Session,
    account_id: int,
    password_hash: str,
    *,
    hours: float,
    browser: str | None = None,
    address: str | None = None,
    now: datetime,
) -> str:
    """Begin a log-in of an account whose password was verified.

    `browser` (what it calls itself) and `address` are shown to the person among the own log-ins. Gives the cookie's
    value, which is kept nowhere. Raises WrongPassword when the account was removed meanwhile, or has another password
    than the one that was verified (`password_hash`).
    """
    account = session.get(Account, account_id, with_for_update=True)
    if account is None or account.password_hash != password_hash:
        raise WrongPassword
    token = new_token()
    session.add(
        DeskSession(
            token_sha256=token_hash(token),
            account_id=account_id,
            created_at=now,
            expires_at=now + timedelta(hours=hours),
            browser=clean_line(browser or "")[:200] or None,
            address=address[:80] if address else None,
        )
    )
    return token


def log_out(session: Session, token_sha256: str) -> None:
    """End a log-in; every worker closes its pages."""
    ended = delete(DeskSession).where(DeskSession.token_sha256 == token_sha256).returning(DeskSession.account_id)
    for account_id in session.scalars(ended).all():
        _log_ins_ended(session, account_id)


def end_unused(session: Session, idle: timedelta, *, now: datetime) -> None:
    """End log-ins that are over, or were not used for as long as `idle`; run by the clock."""
    over = not_(still_holds(idle, now))
    if session.scalar(select(DeskSession.token_sha256).where(over).limit(1)) is None:
        return  # most of the time: nothing is written
    ended = delete(DeskSession).where(over).returning(DeskSession.account_id)
    accounts = set(session.scalars(ended.execution_options(synchronize_session=False)))
    still = set(session.scalars(select(DeskSession.account_id).where(DeskSession.account_id.in_(accounts))))
    for account_id in sorted(accounts - still):
        _log_ins_ended(session, account_id)


def end_log_in(session: Session, account_id: int, log_in_id: str) -> None:
    """End one log-in of an account (`desk.queries.log_ins`), in whatever browser it is. Raises NotThere."""
    own = select(DeskSession).where(DeskSession.account_id == account_id)
    ended = [one for one in session.scalars(own) if log_in_id_of(one) == log_in_id]
    if not ended:
        raise NotThere("the log-in is over already")
    for one in ended:
        session.delete(one)
    session.flush()
    _log_ins_ended(session, account_id)


def log_out_everywhere(session: Session, account_id: int) -> None:
    """End all log-ins of an account; every worker closes their pages."""
    _end_log_ins(session, account_id)


def note_use(session: Session, tokens: Collection[str], *, now: datetime) -> None:
    """Write down that log-ins (SHA-256 of their tokens) are in use."""
    session.execute(update(DeskSession).where(DeskSession.token_sha256.in_(tokens)).values(used_at=now))


def set_language(session: Session, account_id: int, language: str) -> None:
    """Remember the language of an account's pages."""
    account = session.get_one(Account, account_id)
    account.language = language


def set_preferences(session: Session, account_id: int, preferences: Preferences) -> None:
    """Remember what a person likes to see, and the keys."""
    session.get_one(Account, account_id).preferences = preferences.model_dump(mode="json", exclude_defaults=True)


# ---------------------------------------------------------------------------------------------------------- calls


def request_from_call(
    session: Session,
    call_id: str,
    form: NewRequestForm,
    notices: Notices,
    *,
    actor: str,
    now: datetime,
    terms: Callable[[str], Terms] | None = None,
) -> Request:
    """Register the request a caller made; with a solution it is opened and closed in one. Raises AlreadyBound.

    `terms` gives what is promised to those who call a line.
    """
    call = _unbound_call(session, call_id)
    contact = session.get(Contact, form.contact_id) if form.contact_id is not None else None
    if form.contact_id is not None and contact is None:
        raise NotThere("the contact is not in the directory any more")
    new = NewRequest(
        kind=form.kind,
        area=form.area,
        channel=Channel.PHONE,
        subject=form.subject,
        description=form.description,
        language=form.language,
        contact_id=contact.id if contact else None,
        company_id=contact.company_id if contact else None,
        email=form.email,
        phone=call.caller,
        call_id=call.id,
        received_at=call.started_at,
        terms=terms(call.line) if terms is not None else None,
        holder=actor,
        actor=actor,
        impact=form.impact,
        urgency=form.urgency,
    )
    request = open_request(session, new, notices, now=now)
    if form.solution:
        request = close_request(session, request.id, notices, solution=form.solution, actor=actor, now=now)
    if contact is not None:
        call.contact_id = contact.id
    bind_request(session, call_id, request.id)
    return request


def register(
    session: Session,
    form: CounterForm,
    notices: Notices,
    *,
    actor: str,
    now: datetime,
    terms: Terms | None = None,
) -> Request:
    """Register what somebody asks at the counter or by phone; with a solution it is opened and closed in one.

    A new contact is added with it; `terms` are what is promised. Raises NotThere, `InvalidInput` and `DuplicateEntry`;
    nothing is then stored.
    """
    if form.follow_up_of_id is not None and session.get(Request, form.follow_up_of_id) is None:
        raise NotThere("the request that this one follows is not there any more")
    contact = _contact_of(session, form)
    phone = form.phone
    if not phone and contact is not None and contact.phones:
        phone = contact.phones[0].e164
    new = NewRequest(
        kind=form.kind,
        area=form.area,
        channel=form.channel,
        subject=form.subject,
        description=form.description,
        language=form.language,
        contact_id=contact.id if contact else None,
        company_id=contact.company_id if contact else None,
        email=form.email,
        phone=phone,
        received_at=now,
        terms=terms,
        holder=actor,
        actor=actor,
        impact=form.impact,
        urgency=form.urgency,
        follow_up_of_id=form.follow_up_of_id,
    )
    request = open_request(session, new, notices, now=now)
    if form.solution:
        request = close_request(session, request.id, notices, solution=form.solution, actor=actor, now=now)
    return request


def add_person(session: Session, person: PersonForm, *, language: str) -> Contact:
    """Add somebody to the directory. Raises `InvalidInput`, `DuplicateEntry` and `NotFound`."""
    return add_contact(
        session,
        person.name,
        user_code=person.user_code or None,
        email=person.email,
        language=language,
        company_id=person.company_id,
        phones=[person.phone] if person.phone else [],
    )


def _contact_of(session: Session, form: CounterForm) -> Contact | None:
    if form.new_contact is not None:
        return add_person(session, form.new_contact, language=form.language)
    contact = session.get(Contact, form.contact_id) if form.contact_id is not None else None
    if form.contact_id is not None and contact is None:
        raise NotThere("the contact is not in the directory any more")
    return contact


def attach_call(session: Session, call_id: str, request_id: int, note: str, *, actor: str, now: datetime) -> Request:
    """Bind a call to a request that exists: its history says that the user called, and what was said.

    A request nobody has in charge is taken by the agent: the user is being heard. Raises AlreadyBound, NotThere.
    """
    call = _unbound_call(session, call_id)
    request = session.get(Request, request_id)
    if request is None:
        raise NotThere(f"there is no request {request_id}")
    add_event(session, request, "called", actor, {"call_id": call.id, "caller": call.caller}, now)
    if note:
        add_note(session, request_id, note, actor=actor, now=now)
    if request.holder is None and request.status in (Status.NEW, Status.QUEUED):
        take_in_charge(session, request_id, actor=actor, now=now)
    bind_request(session, call_id, request_id)
    return request


def dismiss_call(session: Session, call_id: str, agent_id: int, reason: DismissReason, *, now: datetime) -> None:
    """Put a call aside without a request; the reason is kept."""
    if session.get(DismissedPop, (call_id, agent_id)) is None:
        session.add(DismissedPop(call_id=call_id, agent_id=agent_id, at=now, reason=reason))
    announce(session, "call", call_id)


def identify_call(
    session: Session, call_id: str, *, contact_id: int | None = None, new: NewContact | None = None
) -> Contact:
    """Say who is calling, an existing contact or a new one, and remember the number as theirs. Raises NotThere.

    Where the number is nobody else's as well, that holds for its other calls of the last days of which nobody knew it.
    """
    call = session.get_one(Call, call_id)
    if new is not None:
        contact = add_contact(
            session,
            new.name,
            user_code=new.user_code or None,
            email=new.email,
            company_id=new.company_id,
            language=call.language,
        )
    else:
        found = session.get(Contact, contact_id) if contact_id is not None else None
        if found is None:
            raise NotThere("the contact is not in the directory any more")
        contact = found
    if call.caller is not None:
        assign_phone(session, contact.id, call.caller)
        if identify_caller(session, call.caller).confidence is Confidence.KNOWN:
            _name_other_calls(session, call, contact)
    call.contact_id = contact.id
    announce(session, "call", call_id)
    return contact


def _name_other_calls(session: Session, call: Call, contact: Contact) -> None:
    same = select(Call).where(
        Call.caller == call.caller, Call.contact_id.is_(None), Call.started_at > call.started_at - RECENT
    )
    for other in session.scalars(same):
        other.contact_id = contact.id
        announce(session, "call", other.id)
        announce(session, TO_DO, other.id)


# ------------------------------------------------------------------------------------------------------ directory


def merge_contacts(session: Session, contact_id: int, other_id: int, *, actor: str, now: datetime) -> Contact:
    """Make two entries of one person one (`tickets.directory.merge_contacts`), unless the other one is in a call.

    Raises what that does, and `EntryInUse`.
    """
    _refuse_in_call(session, other_id)
    return directory.merge_contacts(session, contact_id, other_id, actor=actor, now=now)


def remove_contact(session: Session, contact_id: int) -> None:
    """Remove a contact of nothing (`tickets.directory.remove_contact`). Raises `EntryInUse`, `NotFound`."""
    _refuse_in_call(session, contact_id)
    directory.remove_contact(session, contact_id)


def _refuse_in_call(session: Session, contact_id: int) -> None:
    """A call under way knows its contact by heart, and leaves a message or a request in that name at its end."""
    contact = directory.load_contact(session, contact_id)
    calling = select(Call.id).where(Call.ended_at.is_(None), Call.contact_id == contact_id).limit(1)
    if session.scalar(calling) is not None:
        raise EntryInUse(f"{contact.name} is in a call just now: try again when it is over")


def _unbound_call(session: Session, call_id: str) -> Call:
    call = session.scalar(select(Call).where(Call.id == call_id).with_for_update())
    if call is None:
        raise NotThere(f"there is no call {call_id}")
    if call.request_id is not None:
        raise AlreadyBound(f"the call is bound to request {call.request_id}")
    return call
