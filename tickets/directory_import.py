"""Companies and contacts from a table, such as the list of users that the information system exports.

A company is known again by its code, a contact by the user code: reading the same table again changes nothing. All of a
table is taken or nothing of it. What a cell says replaces what is stored; an empty cell leaves it, and numbers and
addresses are added to those that are there.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, TypeVar

from sqlalchemy import insert, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session, selectinload

from tickets.database import announce
from tickets.directory import elsewhere, read_company, read_contact, tell_credentials_moved
from tickets.errors import InvalidInput, TicketsError
from tickets.fields import new_phone, not_one_of, read_email, read_line, read_number
from tickets.models import Company, Contact, ContactRole, Credentials, EmailAddress, Phone
from tickets.operations import SYSTEM
from tickets.phone_numbers import PhoneNumber

COMPANY_COLUMNS = ("code", "name", "level_0_email", "level_0_phone", "level_0_hours", "phones")
CONTACT_COLUMNS = (
    "user_code",
    "name",
    "email",
    "emails",
    "phones",
    "language",
    "role",
    "company",
    "company_code",
    "credentials",
    "trained_on",
)
SEPARATOR = "|"
"""Between several numbers or addresses in one cell."""
_CHUNK = 500
"""So many keys are asked for at once: all databases take as many."""

Owner = TypeVar("Owner", Company, Contact)
Key = TypeVar("Key")
_New = tuple[Mapping[str, Any], Sequence[Phone], Sequence[EmailAddress]]


@dataclass(frozen=True, slots=True)
class ImportRow:
    """One row of a table: the line it begins on, from 1, and its cells by column."""

    line: int
    cells: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ImportChange:
    """What a row does: `fields` that change, or None where the entry is new."""

    line: int
    name: str
    fields: tuple[str, ...] | None


@dataclass(slots=True)
class ImportResult:
    """What a table does, or has done."""

    changes: list[ImportChange] = field(default_factory=list)
    unchanged: int = 0
    errors: list[tuple[int, InvalidInput]] = field(default_factory=list)
    """Line, and what is wrong there; with any of them nothing is stored."""

    @property
    def added(self) -> int:
        """How many entries are new."""
        return sum(change.fields is None for change in self.changes)


@dataclass(frozen=True, slots=True)
class ImportTable:
    """The rows of a table that have a code: line, code and those fields of each that make sense by themselves."""

    rows: Sequence[tuple[int, str, Mapping[str, Any]]]
    errors: Sequence[tuple[int, InvalidInput]]
    """Line of all that does not; what is wrong with the rest of such a row is told as well."""


class ImportRefused(TicketsError):
    """Some rows cannot be taken, so none is: see `errors`, with their lines."""

    def __init__(self, errors: Sequence[tuple[int, InvalidInput]]) -> None:
        rows = len({line for line, _ in errors})
        super().__init__(
            f"{rows} rows cannot be taken, so none is: " + "; ".join(f"line {n}: {w}" for n, w in errors[:5])
        )
        self.errors = errors


def by_line(fault: tuple[int, InvalidInput]) -> tuple[int, str]:
    """The order in which faults are told."""
    line, error = fault
    return line, str(error)


def read_companies(rows: Iterable[ImportRow]) -> ImportTable:
    """Read rows of `COMPANY_COLUMNS`; it takes longer than storing them, and needs no database."""
    return _read(rows, "code", _company_cell)


def read_contacts(rows: Iterable[ImportRow]) -> ImportTable:
    """Read rows of `CONTACT_COLUMNS`; it takes longer than storing them, and needs no database."""
    return _read(rows, "user_code", _contact_cell)


def import_companies(session: Session, table: ImportTable, *, dry_run: bool = False) -> ImportResult:
    """Add and change companies as the rows say, or only tell what they would do. Raises `ImportRefused`.

    One without a code that has the name of a row gets its code.
    """
    result = ImportResult(errors=list(table.errors))
    codes = [code for _, code, _ in table.rows]
    names = [cells["name"] for *_, cells in table.rows if "name" in cells]
    by_code: dict[str | None, Company] = {}
    by_name: dict[str, Company] = {}
    new: list[_New] = []
    for column, keys in ((Company.code, codes), (Company.name, names)):
        for company in _matching(session, Company, column, keys, [selectinload(Company.phones)], not dry_run):
            by_code[company.code] = by_name[company.name] = company
    faulty = {line for line, _ in table.errors}
    for line, code, read in table.rows:
        known, cells = by_code.get(code), dict(read)
        named = by_name.get(cells.get("name", ""))
        if known is None and named is not None and named.code is None:
            known = named
        if named is not None and named is not known:
            other = f"with the code {named.code!r}" if named.code is not None else "without a code"
            words = f"{cells['name']} is in the directory already, {other}"
            why = "company_has_code" if named.code is not None else "company_without_code"
            result.errors.append((line, InvalidInput("name", words, why, name=cells["name"], entry=named.code)))
        elif known is None and "name" not in cells and line not in faulty:
            words = f"the company {code!r} is new and needs one"
            result.errors.append((line, InvalidInput("name", words, "new_needs_name", entry=code)))
        elif line not in faulty:
            _settle(result, new, line, Company, known, {"code": code, **cells}, dry_run)
            if "name" in cells:
                by_name[cells["name"]] = known or Company(code=code, name=cells["name"])
    return _end(session, result, Company, Company.code, new, dry_run)


def import_contacts(session: Session, table: ImportTable, *, now: datetime, dry_run: bool = False) -> ImportResult:
    """Add and change contacts as the rows say, or only tell what they would do. Raises `ImportRefused`.

    One without a user code (added during a call, say) that has the name and a number of a row gets its user code.
    Companies must be there before. Who goes to another company is a user there, and credentials are to be
    authorised anew, unless the row tells them.
    """
    result = ImportResult(errors=list(table.errors))
    options = (selectinload(Contact.phones), selectinload(Contact.emails))
    codes = [code for _, code, _ in table.rows]
    by_code = {
        contact.user_code: contact
        for contact in _matching(session, Contact, Contact.user_code, codes, options, not dry_run)
    }
    numbers = [
        (cells["name"], number.best() or "")
        for _, code, cells in table.rows
        if code not in by_code
        for number in _new_numbers(cells)
    ]
    by_number = _without_code(session, numbers, options, not dry_run)
    taken: set[int] = set()
    new: list[_New] = []
    of_code, of_name = _companies(session, [cells for *_, cells in table.rows])
    faulty = {line for line, _ in table.errors}
    moved: list[tuple[Contact, Credentials, Company]] = []
    for line, code, read in table.rows:
        known, cells = by_code.get(code), dict(read)
        for number in _new_numbers(cells) if known is None else ():
            same = by_number.get((cells["name"], number.best() or ""))
            if known is None and same is not None and same.id not in taken:
                known = same
                taken.add(same.id)
        company_code, company_name = cells.pop("company_code", None), cells.pop("company", None)
        company = of_code.get(company_code) if company_code else of_name.get(company_name)
        faults: list[InvalidInput] = []
        if company is None and (company_code or company_name):
            words = f"there is no company {company_code or company_name!r}: add it first"
            faults.append(InvalidInput("company", words, "no_company", name=company_code or company_name))
        elif company is not None and company_name and company_code and company.name != company_name:
            words = f"{company_code} is {company.name}, not {company_name}"
            told = {"entry": company_code, "name": company.name, "other": company_name}
            faults.append(InvalidInput("company", words, "another_company", **told))
        if known is None and "name" not in cells and line not in faulty:
            words = f"the contact {code!r} is new and needs one"
            faults.append(InvalidInput("name", words, "new_needs_name", entry=code))
        result.errors += [(line, fault) for fault in faults]
        if faults or line in faulty:
            continue
        if company is not None:
            cells["company"] = company
            if known is not None and known.company_id not in (None, company.id):
                cells.setdefault("role", ContactRole.USER)
                cells.setdefault("credentials", elsewhere(known.credentials))
                if not dry_run and cells["credentials"] != known.credentials:
                    moved.append((known, known.credentials, company))
        _settle(result, new, line, Contact, known, {"user_code": code, **cells}, dry_run)
    if not result.errors:
        for contact, before, company in moved:
            tell_credentials_moved(session, contact, before, company, actor=SYSTEM, now=now)
    return _end(session, result, Contact, Contact.user_code, new, dry_run)


def _read(rows: Iterable[ImportRow], key: str, reader: Callable[[str, str], Any]) -> ImportTable:
    read: list[tuple[int, str, Mapping[str, Any]]] = []
    errors: list[tuple[int, InvalidInput]] = []
    seen: dict[str, int] = {}
    for row in rows:
        fields: dict[str, Any] = {}
        faults: list[InvalidInput] = []
        for column, cell in row.cells.items():
            try:
                if cell.strip() and (value := reader(column, cell)):
                    fields[column] = value
            except InvalidInput as error:
                faults.append(error)
            except _Several as several:
                faults += several.errors
        code = fields.pop(key, None)
        if code is None and all(fault.field != key for fault in faults):
            faults.append(InvalidInput(key, "is needed: by it the row is known again", "key_needed"))
        if code in seen:
            words = f"{code} is in line {seen[code]} already"
            faults.append(InvalidInput(key, words, "key_twice", entry=code, line=seen[code]))
        errors += [(row.line, fault) for fault in faults]
        if code is not None and code not in seen:
            seen[code] = row.line
            read.append((row.line, code, fields))
    return ImportTable(read, errors)


def _company_cell(column: str, cell: str) -> Any:
    return _several(cell, read_number) if column == "phones" else read_company({column: cell})[column]


def _contact_cell(column: str, cell: str) -> Any:
    if column == "phones":
        return _several(cell, read_number)
    if column == "emails":
        return _several(cell, lambda one: read_email(one, "emails"))
    if column in ("company", "company_code"):
        return read_line(column, cell, 200)
    if column == "credentials":
        return _credentials(cell)
    if column == "trained_on":
        return _day(cell)
    return read_contact({column: cell.strip()})[column]


class _Several(Exception):
    """More than one thing is wrong in a cell."""

    def __init__(self, errors: Sequence[InvalidInput]) -> None:
        super().__init__(errors)
        self.errors = errors


def _several(cell: str, reader: Callable[[str], Key]) -> list[Key]:
    read: list[Key] = []
    errors: list[InvalidInput] = []
    for part in (part.strip() for part in cell.split(SEPARATOR)):
        try:
            if part:
                read.append(reader(part))
        except InvalidInput as error:
            shown = part[:100]
            errors.append(InvalidInput(error.field, f"{shown!r} {error.words}", error.code, part=shown, **error.given))
    if errors:
        raise _Several(errors)
    return read


def _credentials(cell: str) -> Credentials:
    try:
        return Credentials(cell.strip())
    except ValueError as error:
        raise not_one_of("credentials", Credentials) from error


def _day(cell: str) -> date:
    for form in ("%Y-%m-%d", "%d/%m/%Y"):
        try:
            return datetime.strptime(cell.strip(), form).date()  # noqa: DTZ007 - a day has no zone
        except ValueError:
            continue
    raise InvalidInput("trained_on", "is a day such as 2026-11-30 or 30/11/2026", "no_day")


def _new_numbers(cells: Mapping[str, Any]) -> Sequence[PhoneNumber]:
    return cells.get("phones", ()) if "name" in cells else ()


def _chunks(keys: Iterable[Key]) -> Iterator[list[Key]]:
    unique = list(dict.fromkeys(keys))
    for start in range(0, len(unique), _CHUNK):
        yield unique[start : start + _CHUNK]


def _matching(
    session: Session,
    kind: type[Owner],
    column: InstrumentedAttribute[Any],
    keys: Iterable[Any],
    options: Sequence[Any],
    lock: bool,
) -> Iterator[Owner]:
    """The rows whose column has one of the keys."""
    for chunk in _chunks(keys):
        query = select(kind).where(column.in_(chunk)).options(*options).order_by(kind.id)
        yield from session.scalars(query.with_for_update(of=kind) if lock else query)


def _without_code(
    session: Session, wanted: Sequence[tuple[str, str]], options: Sequence[Any], lock: bool
) -> dict[tuple[str, str], Contact]:
    """The contacts without a user code, by name and number."""
    found: dict[tuple[str, str], Contact] = {}
    ids: dict[int, list[tuple[str, str]]] = {}
    for chunk in _chunks(number for _, number in wanted):
        query = select(Contact.id, Contact.name, Phone.e164).join(Contact.phones)
        for id_, name, number in session.execute(query.where(Contact.user_code.is_(None), Phone.e164.in_(chunk))):
            ids.setdefault(id_, []).append((name, number))
    for contact in _matching(session, Contact, Contact.id, ids, options, lock):
        for key in ids[contact.id]:
            found.setdefault(key, contact)
    return found


def _companies(
    session: Session, rows: Sequence[Mapping[str, Any]]
) -> tuple[dict[str | None, Company], dict[str | None, Company]]:
    """The companies that the rows name, by code and by name."""
    codes = {row["company_code"] for row in rows if "company_code" in row}
    names = {row["company"] for row in rows if "company" in row}
    found: list[Company] = []
    for column, keys in ((Company.code, codes), (Company.name, names)):
        for chunk in _chunks(keys):
            found += session.scalars(select(Company).where(or_(column.in_(chunk))))
    return {company.code: company for company in found}, {company.name: company for company in found}


def _settle(
    result: ImportResult,
    new: list[_New],
    line: int,
    kind: type[Owner],
    known: Owner | None,
    fields: dict[str, Any],
    dry_run: bool,
) -> None:
    """Note what a row does, and do it; what is `new` is stored at the end, all at once."""
    phones = [new_phone(number) for number in fields.pop("phones", ())]
    numbers = {phone.e164 for phone in known.phones} if known is not None else set()
    missing = {phone.e164: phone for phone in phones if phone.e164 not in numbers}
    changed = [name for name, value in fields.items() if name != "emails" and getattr(known, name, None) != value]
    if missing:
        changed.append("phones")
    others: dict[str, EmailAddress] = {}
    if kind is Contact:
        addresses = [*fields.pop("emails", []), *([fields["email"]] if "email" in fields else [])]
        has: set[str] = {row.address for row in known.emails} if isinstance(known, Contact) else set()
        others = {a.lower(): EmailAddress(address=a.lower()) for a in addresses if a.lower() not in has}
        if others and "email" not in changed:
            changed.append("emails")
    name = fields.get("name") or (known.name if known is not None else "")
    if known is not None and not changed:
        result.unchanged += 1
        return
    result.changes.append(ImportChange(line, name, None if known is None else tuple(sorted(changed))))
    if dry_run:
        return
    if known is None:
        new.append((fields, list(missing.values()), list(others.values())))
        return
    for field_, value in fields.items():
        setattr(known, field_, value)
    known.phones.extend(missing.values())
    if isinstance(known, Contact):
        known.emails.extend(others.values())


def _store_new(session: Session, kind: type[Owner], key: InstrumentedAttribute[Any], new: Sequence[_New]) -> None:
    """Store new entries by few statements for any number of them, which the unit of work would not do on SQLite."""
    empty = {"role": ContactRole.USER, "language": "it", "credentials": Credentials.NONE} if kind is Contact else {}
    names = {name for fields, *_ in new for name in fields}
    rows = [{name: fields.get(name, empty.get(name)) for name in names} for fields, *_ in new]
    for row in rows:
        if "company" in row:
            company = row.pop("company")
            row["company_id"] = None if company is None else company.id
    session.execute(insert(kind), rows)
    ids: dict[str, int] = {}
    for chunk in _chunks(fields[key.key] for fields, *_ in new):
        ids |= {row[0]: row[1] for row in session.execute(select(key, kind.id).where(key.in_(chunk)))}
    owner = f"{kind.__tablename__}_id"
    phones = [
        {owner: ids[fields[key.key]], "e164": phone.e164, "tail": phone.tail, "raw": phone.raw}
        for fields, theirs, _ in new
        for phone in theirs
    ]
    emails = [{owner: ids[fields[key.key]], "address": email.address} for fields, _, theirs in new for email in theirs]
    for table, parts in ((Phone, phones), (EmailAddress, emails)):
        if parts:
            session.execute(insert(table), parts)


def _end(
    session: Session,
    result: ImportResult,
    kind: type[Owner],
    key: InstrumentedAttribute[Any],
    new: Sequence[_New],
    dry_run: bool,
) -> ImportResult:
    result.errors.sort(key=by_line)
    if dry_run:
        return result
    if result.errors:
        raise ImportRefused(result.errors)
    session.flush()
    if new:
        _store_new(session, kind, key, new)
    if result.changes:
        announce(session, kind.__tablename__, 0)
    return result
