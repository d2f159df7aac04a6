"""The directory: companies with their level-0 desks, and the people who call, with their telephones and addresses."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Column, exists, func, or_, select, update
from sqlalchemy.orm import Session

from tickets.database import Base, announce
from tickets.errors import DuplicateEntry, EntryInUse, InvalidInput, NotFound
from tickets.fields import find, new_phone, not_one_of, read_email, read_language, read_line, read_name, read_number
from tickets.models import (
    OPEN_STATUSES,
    Area,
    Company,
    Contact,
    ContactRole,
    Credentials,
    EmailAddress,
    Phone,
    Request,
)
from tickets.operations import add_event
from tickets.phone_numbers import parse_phone_number

COMPANY_FIELDS = frozenset({"name", "code", "level_0_email", "level_0_phone", "level_0_hours", "phones"})
"""What `edit_company` changes."""

CREDENTIALS_AREA = "credentials"
"""The area, with those below it, of requests whose history tells of credentials."""

CONTACT_FIELDS = frozenset({"name", "user_code", "email", "emails", "phones", "language", "role", "company_id"})
"""What `edit_contact` changes."""


# --- companies --------------------------------------------------------------------------------------------------------


def add_company(
    session: Session,
    name: str,
    phones: Sequence[str] = (),
    *,
    code: str | None = None,
    level_0_email: str | None = None,
    level_0_phone: str | None = None,
    level_0_hours: str | None = None,
) -> Company:
    """Add a company with its numbers and what is known of its own desk. Raises `DuplicateEntry` and `InvalidInput`."""
    company = Company(
        **read_company(
            {
                "name": name,
                "code": code,
                "level_0_email": level_0_email,
                "level_0_phone": level_0_phone,
                "level_0_hours": level_0_hours,
            }
        )
    )
    _refuse_second_company(session, company)
    company.phones = list(_phones(phones))
    session.add(company)
    session.flush()
    announce(session, "company", company.id)
    return company


def company_named(session: Session, name: str) -> Company:
    """The company of that name, added when it is new. Raises `InvalidInput`."""
    known = session.scalar(select(Company).where(Company.name == read_name(name)))
    return known or add_company(session, name)


def find_company(session: Session, text: str) -> Company:
    """The company with this code, or else with this name. Raises `NotFound`."""
    line = read_line("company", text, 200)
    for column in (Company.code, Company.name):
        company = session.scalar(select(Company).where(column == line))
        if company is not None:
            return company
    raise NotFound(f"there is no company with the code or name {line!r}")


def edit_company(session: Session, company_id: int, changes: Mapping[str, Any]) -> Company:
    """Change any of `COMPANY_FIELDS`; `phones` are all its numbers. None or an empty text takes a value away.

    Raises `InvalidInput`, `DuplicateEntry`, `NotFound`; nothing is then changed.
    """
    _refuse_unknown(changes, COMPANY_FIELDS)
    fields = read_company({field: value for field, value in changes.items() if field != "phones"})
    phones = list(_phones(changes["phones"] or ())) if "phones" in changes else None
    company = session.scalar(select(Company).where(Company.id == company_id).with_for_update())
    if company is None:
        raise NotFound(f"there is no company with the id {company_id}")
    _refuse_second_company(session, Company(**fields), but=company_id)
    for field, value in fields.items():
        setattr(company, field, value)
    if phones is not None:
        company.phones = _kept(company.phones, phones)
    session.flush()
    announce(session, "company", company_id)
    return company


def read_company(values: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a company but its numbers, read into what is stored. Raises `InvalidInput`."""
    fields: dict[str, Any] = {}
    for field, value in values.items():
        if field == "name":
            fields[field] = read_name(value)
        elif field == "level_0_email":
            fields[field] = read_email(value, field)
        else:
            longest = {"code": 40, "level_0_phone": 64}.get(field, 200)
            fields[field] = read_line(field, value or "", longest) or None
    return fields


def _refuse_second_company(session: Session, company: Company, *, but: int = 0) -> None:
    for words, column, value in (
        ("a company", Company.name, company.name),
        ("a company with the code", Company.code, company.code),
    ):
        same = select(Company.id).where(column == value, Company.id != but)
        if value is not None and session.scalar(same) is not None:
            raise DuplicateEntry(f"{words} {value!r} is in the directory already")


# --- contacts ---------------------------------------------------------------------------------------------------------


def add_contact(
    session: Session,
    name: str,
    *,
    user_code: str | None = None,
    email: str | None = None,
    language: str = "it",
    role: ContactRole = ContactRole.USER,
    company_id: int | None = None,
    phones: Sequence[str] = (),
) -> Contact:
    """Add a user of the information system. Raises `DuplicateEntry`, `NotFound` and `InvalidInput`."""
    fields = read_contact({"name": name, "user_code": user_code, "email": email, "language": language, "role": role})
    refuse_second_user_code(session, fields["user_code"])
    contact = Contact(**fields, company=find(session, Company, company_id), phones=list(_phones(phones)))
    if contact.email is not None:
        contact.emails = [EmailAddress(address=contact.email.lower())]
    numbers = [phone.e164 for phone in contact.phones]
    same = select(Contact.id).join(Contact.phones).where(Contact.name == contact.name, Phone.e164.in_(numbers))
    if session.scalar(same.limit(1)) is not None:
        raise DuplicateEntry(f"{contact.name} is in the directory already with this number")
    session.add(contact)
    session.flush()
    announce(session, "contact", contact.id)
    return contact


def find_contact(session: Session, text: str) -> Contact:
    """The contact with this user code, or else with this id. Raises `NotFound`."""
    code = read_line("contact", text, 64)
    contact = session.scalar(select(Contact).where(Contact.user_code == code))
    if contact is None and code.isdecimal() and len(code) < 10:
        contact = session.get(Contact, int(code))
    if contact is None:
        raise NotFound(f"there is no contact with the user code or id {code!r}")
    return contact


def edit_contact(
    session: Session, contact_id: int, changes: Mapping[str, Any], *, actor: str, now: datetime
) -> Contact:
    """Change any of `CONTACT_FIELDS`. None or an empty text takes a value away.

    `phones` and `emails` are all that the contact has from now on. Of the addresses, `email` is the one that notices go
    to: given alone it is added to the others; where it is no longer among `emails`, the first of these takes its place.
    Who goes to another company is a user there, whatever the role was, unless it is given: a referent speaks for one
    company only. Credentials that one has authorised are then to be authorised anew, and open requests about them tell
    of it in their history. Raises `InvalidInput`, `DuplicateEntry`, `NotFound`; nothing is then changed.
    """
    _refuse_unknown(changes, CONTACT_FIELDS)
    fields = read_contact({field: value for field, value in changes.items() if field not in _RELATED})
    phones = list(_phones(changes["phones"] or ())) if "phones" in changes else None
    addresses = _addresses(changes["emails"] or ()) if "emails" in changes else None
    contact = load_contact(session, contact_id)
    if "user_code" in fields:
        refuse_second_user_code(session, fields["user_code"], but=contact_id)
    if "company_id" in changes and changes["company_id"] != contact.company_id:
        company, left = find(session, Company, changes["company_id"]), contact.company_id
        contact.company, contact.company_id = company, changes["company_id"]
        fields.setdefault("role", ContactRole.USER)
        before = contact.credentials
        if left is not None and elsewhere(before) != before:
            contact.credentials = elsewhere(before)
            tell_credentials_moved(session, contact, before, company, actor=actor, now=now)
    for field, value in fields.items():
        setattr(contact, field, value)
    if phones is not None:
        contact.phones = _kept(contact.phones, phones)
    if addresses is not None:
        if "email" not in changes and (contact.email or "").lower() not in {one.lower() for one in addresses}:
            contact.email = addresses[0] if addresses else None
        _set_addresses(contact, addresses)
    if contact.email is not None:
        _set_addresses(contact, [*(one.address for one in contact.emails), contact.email])
    session.flush()
    announce(session, "contact", contact_id)
    return contact


def elsewhere(credentials: Credentials) -> Credentials:
    """What credentials are worth in another company: the word of a referent holds in the own one only."""
    authorised = credentials in (Credentials.AUTHORISED, Credentials.ACTIVE)
    return Credentials.REQUESTED if authorised else credentials


def tell_credentials_moved(
    session: Session, contact: Contact, before: Credentials, company: Company | None, *, actor: str, now: datetime
) -> None:
    """Tell in open requests about a contact's credentials that another company's referent has to authorise them."""
    about = select(Area.key).where(or_(Area.key == CREDENTIALS_AREA, Area.parent == CREDENTIALS_AREA))
    found = session.scalars(
        select(Request)
        .where(Request.contact_id == contact.id, Request.status.in_(OPEN_STATUSES), Request.area.in_(about))
        .order_by(Request.id)
        .with_for_update(of=Request)
    ).all()
    for request in found:
        words = _ANEW["it" if request.language == "it" else "en"]
        details = {"contact": contact.name, "from": before, "to": elsewhere(before), "text": words}
        if company is not None:
            details["company"] = company.name
        add_event(session, request, "credentials", actor, details, now)


def remove_contact(session: Session, contact_id: int) -> None:
    """Remove a contact to whom nothing refers; `desk.operations.remove_contact` looks at calls under way too.

    Raises `EntryInUse`, which says what to do instead, and `NotFound`.
    """
    contact = load_contact(session, contact_id)
    used = [
        column.table.name.replace("_", " ")
        for column in _references_to_contact()
        if session.scalar(select(exists().where(column == contact_id)))
    ]
    if used:
        raise EntryInUse(
            f"{contact.name} is the contact of what is stored ({', '.join(used)}): change the entry, "
            "or merge it with the other one of the same person"
        )
    session.delete(contact)
    session.flush()
    announce(session, "contact", contact_id)


def merge_contacts(session: Session, contact_id: int, other_id: int, *, actor: str, now: datetime) -> Contact:
    """Make two entries of one person one: all that refers to the other one moves to `contact_id`, and the other goes.

    Numbers and addresses come along. Of single fields the one that stays keeps its own, and gets what it lacks. Open
    requests tell of it in their history. Raises `InvalidInput` where both have a user code (these are two log-ins), or
    where it is the same entry; `NotFound`. See `desk.operations.merge_contacts`, which looks at calls under way too.
    """
    if contact_id == other_id:
        raise InvalidInput("contact", "is the same one: name another")
    for id_ in sorted((contact_id, other_id)):
        load_contact(session, id_)
    contact, other = session.get_one(Contact, contact_id), session.get_one(Contact, other_id)
    if contact.user_code is not None and other.user_code is not None:
        raise InvalidInput(
            "user_code",
            f"both have one ({contact.user_code}, {other.user_code}): take away the one that is of no use first",
        )
    for request in session.scalars(
        select(Request)
        .where(Request.contact_id == other_id, Request.status.in_(OPEN_STATUSES))
        .order_by(Request.id)
        .with_for_update(of=Request)
    ):
        request.contact, request.contact_id = contact, contact_id
        add_event(session, request, "edited", actor, {"contact_id": [other_id, contact_id]}, now)
    session.flush()
    for column in _references_to_contact():
        session.execute(update(column.table).where(column == other_id).values({column.name: contact_id}))
    numbers = {phone.e164 for phone in contact.phones}
    moved = [phone for phone in other.phones if phone.e164 not in numbers]
    contact.phones = [*contact.phones, *(Phone(e164=one.e164, tail=one.tail, raw=one.raw) for one in moved)]
    _set_addresses(contact, [one.address for one in (*contact.emails, *other.emails)])
    left = {field: getattr(other, field) for field in ("user_code", "email", "company_id", "trained_on")}
    if contact.credentials == Credentials.NONE:
        same_company = contact.company_id is None or other.company_id in (None, contact.company_id)
        contact.credentials = other.credentials if same_company else elsewhere(other.credentials)
    if contact.role == ContactRole.USER and contact.company_id in (None, other.company_id):
        contact.role = other.role
    session.delete(other)
    session.flush()  # before its user code is another's
    for field, value in left.items():
        if getattr(contact, field) is None:
            setattr(contact, field, value)
    session.flush()
    session.refresh(contact)
    announce(session, "contact", contact_id)
    announce(session, "contact", other_id)
    return contact


def contacts_with_email(session: Session, address: str) -> Sequence[Contact]:
    """The contacts who have this mail address, in capital or small letters; several may share one."""
    theirs = select(EmailAddress.contact_id).where(EmailAddress.address == address.lower())
    return session.scalars(select(Contact).where(Contact.id.in_(theirs)).order_by(Contact.id)).all()


def companies_with_desk_at(session: Session, address: str) -> Sequence[Company]:
    """The companies whose level-0 desk has this mail address, in capital or small letters."""
    theirs = func.lower(Company.level_0_email) == address.lower()
    return session.scalars(select(Company).where(theirs).order_by(Company.id)).all()


def assign_phone(session: Session, contact_id: int, raw: str) -> Phone:
    """Give a contact one more number, so that the next call from it is recognised; one it has already stays as it is.

    What a line shows of a caller need not be a number that can be dialled. Raises `InvalidInput` where there is no
    number in it, and `NotFound`.
    """
    number = parse_phone_number(raw)
    if number.best() is None:
        raise InvalidInput("phone", "is not a telephone number")
    find(session, Contact, contact_id)
    known = session.scalar(select(Phone).where(Phone.contact_id == contact_id, Phone.e164 == number.best()))
    if known is not None:
        return known
    phone = new_phone(number)
    phone.contact_id = contact_id
    session.add(phone)
    session.flush()
    announce(session, "contact", contact_id)
    return phone


def refuse_second_user_code(session: Session, code: str | None, *, but: int = 0) -> None:
    """Raise `DuplicateEntry` where somebody but the contact `but` has this user code."""
    same = select(Contact.id).where(Contact.user_code == code, Contact.id != but)
    if code is not None and session.scalar(same) is not None:
        raise DuplicateEntry(f"a contact with the user code {code!r} is in the directory already")


def load_contact(session: Session, contact_id: int) -> Contact:
    """The contact, locked until the transaction ends. Raises `NotFound`."""
    contact = session.scalar(
        select(Contact)
        .where(Contact.id == contact_id)
        .with_for_update(of=Contact)
        .execution_options(populate_existing=True)
    )
    if contact is None:
        raise NotFound(f"there is no contact with the id {contact_id}")
    return contact


def read_contact(values: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a contact but its numbers, other addresses and company, read into what is stored.

    Raises `InvalidInput`.
    """
    fields: dict[str, Any] = {}
    for field, value in values.items():
        if field == "name":
            fields[field] = read_name(value)
        elif field == "user_code":
            fields[field] = read_line(field, value or "", 64) or None
        elif field == "email":
            fields[field] = read_email(value)
        elif field == "language":
            fields[field] = read_language(value)
        else:
            fields[field] = _role(value)
    return fields


# --- parts of the above -----------------------------------------------------------------------------------------------

_ANEW = {
    "it": "Ha cambiato azienda: le credenziali vanno autorizzate di nuovo, dal referente di quella nuova.",
    "en": "Went to another company: the credentials have to be authorised anew, by the new company's referent.",
}

_RELATED = frozenset({"phones", "emails", "company_id"})


def _role(value: Any) -> ContactRole:
    try:
        return ContactRole(value)
    except ValueError as error:
        raise not_one_of("role", ContactRole) from error


def _refuse_unknown(changes: Mapping[str, Any], known: frozenset[str]) -> None:
    if unknown := changes.keys() - known:
        raise InvalidInput(min(unknown), f"cannot be edited; what can is {', '.join(sorted(known))}")


def _phones(raws: Iterable[str]) -> Iterable[Phone]:
    """A telephone for each number; one that is given twice, in whatever form, is one."""
    return {phone.e164: phone for phone in (new_phone(read_number(raw)) for raw in raws)}.values()


def _kept(before: Sequence[Phone], after: Sequence[Phone]) -> list[Phone]:
    """Those of `after`, with the rows that are there already."""
    rows = {phone.e164: phone for phone in before}
    return [rows.get(phone.e164, phone) for phone in after]


def _addresses(values: Iterable[str]) -> list[str]:
    return [address for value in values if (address := read_email(value, "emails")) is not None]


def _set_addresses(contact: Contact, addresses: Iterable[str]) -> None:
    rows = {row.address: row for row in contact.emails}
    wanted = dict.fromkeys(address.lower() for address in addresses)
    contact.emails = [rows.get(address) or EmailAddress(address=address) for address in wanted]


def _references_to_contact() -> list[Column[Any]]:
    """The columns of all packages' tables that name a contact, but those of what belongs to it alone."""
    own = (Phone.__table__, EmailAddress.__table__)
    return [
        key.parent
        for table in Base.metadata.sorted_tables
        if table not in own
        for key in table.foreign_keys
        if key.column is Contact.__table__.c.id
    ]
