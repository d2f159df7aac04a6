"""`centralino contact`: the people who call, so that they are recognised and notices have an address."""

from collections.abc import Callable
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.markup import escape
from rich.table import Table
from sqlalchemy.orm import Session

from centralino.command import ConfigOption, read_settings, run_operation, run_query
from centralino.directory_csv import DryRunOption, FileArgument, run_import
from centralino.settings import DEFAULT_FILE
from centralino.terminal import fail, terminal
from desk import operations
from schedules.clock import utc_now
from tickets import credentials, directory, queries
from tickets.directory_import import CONTACT_COLUMNS, import_contacts, read_contacts
from tickets.models import Contact, ContactRole
from tickets.operations import SYSTEM

contact_app = typer.Typer(no_args_is_help=True, help="Contacts: the people who call.")
console = terminal()

Who = Annotated[str, typer.Argument(help="The user code, or the id that `contact find` shows.")]
RequestOption = Annotated[
    str | None, typer.Option(help="Ticket number of a request about credentials, whose history tells of it.")
]


@contact_app.command("add")
def add_contact(
    name: str,
    phone: Annotated[list[str], typer.Option(help="A telephone number; may be given several times.")],
    email: Annotated[str | None, typer.Option(help="Where notices go.")] = None,
    company: Annotated[str | None, typer.Option(help="The health company; added when it is new.")] = None,
    user_code: Annotated[str | None, typer.Option(help="Name of the log-in in the information system.")] = None,
    role: Annotated[ContactRole, typer.Option(help="What the contact is in the company.")] = ContactRole.USER,
    language: Annotated[str, typer.Option(help="Of calls and notices.")] = "it",
    config: ConfigOption = DEFAULT_FILE,
) -> None:
    """Add a contact, so that calls are recognised and notices have an address."""

    def add(session: Session) -> None:
        company_id = directory.company_named(session, company).id if company else None
        directory.add_contact(
            session,
            name,
            user_code=user_code,
            email=email,
            language=language,
            role=role,
            company_id=company_id,
            phones=phone,
        )

    run_operation(read_settings(config), add)
    console.print(f"{name} is in the directory.", markup=False)


@contact_app.command("find")
def find_contacts(text: str, config: ConfigOption = DEFAULT_FILE) -> None:
    """Show the contacts whose name, user code, company, address or number holds every word of TEXT."""
    table = Table("id", "user code", "name", "company", "role", "credentials", "phones", "e-mail")

    def find(session: Session) -> list[tuple[str, ...]]:
        return [_row(contact) for contact in queries.contacts(session, text, 200)]

    for cells in run_query(read_settings(config), find):
        table.add_row(*map(escape, cells))
    console.print(table if table.rows else "Nobody in the directory fits.")


@contact_app.command("edit")
def edit_contact(
    contact: Who,
    name: Annotated[str | None, typer.Option(help="The new name.")] = None,
    user_code: Annotated[str | None, typer.Option(help="Name of the log-in in the information system.")] = None,
    email: Annotated[str | None, typer.Option(help="Where notices go from now on.")] = None,
    address: Annotated[
        list[str] | None,
        typer.Option(help="An address mail is recognised by, in place of all so far; may be given several times."),
    ] = None,
    phone: Annotated[
        list[str] | None, typer.Option(help="A number, in place of all so far; may be given several times.")
    ] = None,
    language: Annotated[str | None, typer.Option(help="Of calls and notices.")] = None,
    role: Annotated[ContactRole | None, typer.Option(help="What the contact is in the company.")] = None,
    company: Annotated[str | None, typer.Option(help="Code or name of the company.")] = None,
    config: ConfigOption = DEFAULT_FILE,
) -> None:
    """Change what is given; all else stays. An empty text ("") takes a value away."""
    given: dict[str, Any] = {
        "name": name,
        "user_code": user_code,
        "email": email,
        "emails": [one for one in address if one] if address else None,
        "phones": [one for one in phone if one] if phone else None,
        "language": language,
        "role": role,
    }
    changes = {field: value for field, value in given.items() if value is not None}
    if not changes and company is None:
        fail("nothing to change: see `centralino contact edit --help`")

    def edit(session: Session, now: datetime) -> tuple[str, bool]:
        if company is not None:
            changes["company_id"] = directory.find_company(session, company).id if company else None
        found = directory.find_contact(session, contact)
        before = found.credentials
        changed = directory.edit_contact(session, found.id, changes, actor=SYSTEM, now=now)
        return changed.name, changed.credentials != before

    who, anew = run_operation(read_settings(config), edit, utc_now())
    console.print(f"{who} is changed.", markup=False)
    if anew:
        console.print("The credentials have to be authorised anew, by a referent of the new company.")


@contact_app.command("remove")
def remove_contact(contact: Who, config: ConfigOption = DEFAULT_FILE) -> None:
    """Remove somebody to whom no request, call or message belongs."""

    def remove(session: Session) -> str:
        found = directory.find_contact(session, contact)
        operations.remove_contact(session, found.id)
        return found.name

    console.print(f"{run_operation(read_settings(config), remove)} is removed.", markup=False)


@contact_app.command("merge")
def merge_contacts(
    contact: Who,
    other: Annotated[str, typer.Argument(help="The other entry of the same person, which goes: user code or id.")],
    config: ConfigOption = DEFAULT_FILE,
) -> None:
    """Make two entries of one person one: requests, calls, messages, numbers and addresses come together."""

    def merge(session: Session, now: datetime) -> tuple[str, str]:
        kept, gone = (directory.find_contact(session, text) for text in (contact, other))
        name = gone.name
        return operations.merge_contacts(session, kept.id, gone.id, actor=SYSTEM, now=now).name, name

    kept, gone = run_operation(read_settings(config), merge, utc_now())
    console.print(f"All of {gone} is {kept}'s now.", markup=False)


@contact_app.command("import")
def import_table(file: FileArgument, dry_run: DryRunOption = False, config: ConfigOption = DEFAULT_FILE) -> None:
    """Add and change contacts from a CSV file; all of it is taken, or nothing. Known again by `user_code`."""
    operation = partial(import_contacts, now=utc_now())
    run_import(
        read_settings(config), Path(file), CONTACT_COLUMNS, "user_code", read_contacts, operation, dry_run=dry_run
    )


@contact_app.command("trained")
def record_training(
    contact: Who,
    day: Annotated[str, typer.Argument(help="The day of the course, such as 2026-11-30.")],
    request: RequestOption = None,
    config: ConfigOption = DEFAULT_FILE,
) -> None:
    """Record a course; it begins the way to credentials."""
    settings = read_settings(config)
    try:
        taken = date.fromisoformat(day)
    except ValueError:
        fail(f"{day!r} is no day; write it such as 2026-11-30")
    today = utc_now().astimezone(ZoneInfo(settings.notices.timezone)).date()

    def record(session: Session, contact_id: int, **told: Any) -> Contact:
        return credentials.record_training(session, contact_id, taken, today=today, **told)

    _credentials_step(config, contact, request, record)


@contact_app.command("request-credentials")
def request_credentials(contact: Who, request: RequestOption = None, config: ConfigOption = DEFAULT_FILE) -> None:
    """Ask for credentials before the course."""
    _credentials_step(config, contact, request, credentials.request_credentials)


@contact_app.command("authorise")
def authorise_credentials(
    contact: Who,
    by: Annotated[str, typer.Option(help="The company's referent: user code or id.")],
    request: RequestOption = None,
    config: ConfigOption = DEFAULT_FILE,
) -> None:
    """Record that the company's referent authorises credentials."""

    def authorise(session: Session, contact_id: int, **told: Any) -> Contact:
        referent = directory.find_contact(session, by)
        return credentials.authorise_credentials(session, contact_id, referent.id, **told)

    _credentials_step(config, contact, request, authorise)


@contact_app.command("activate")
def activate_credentials(
    contact: Who,
    user_code: Annotated[str | None, typer.Option(help="Name of the log-in, where it is new.")] = None,
    request: RequestOption = None,
    config: ConfigOption = DEFAULT_FILE,
) -> None:
    """Record that the log-in works."""

    def activate(session: Session, contact_id: int, **told: Any) -> Contact:
        return credentials.activate_credentials(session, contact_id, user_code, **told)

    _credentials_step(config, contact, request, activate)


@contact_app.command("withdraw")
def withdraw_credentials(
    contact: Who,
    reason: Annotated[str, typer.Option(help="Why.")],
    request: RequestOption = None,
    config: ConfigOption = DEFAULT_FILE,
) -> None:
    """Take credentials back, at whatever step they are."""

    def withdraw(session: Session, contact_id: int, **told: Any) -> Contact:
        return credentials.withdraw_credentials(session, contact_id, reason=reason, **told)

    _credentials_step(config, contact, request, withdraw)


def _credentials_step(config: Path, who: str, ticket: str | None, step: Callable[..., Contact]) -> None:
    def run(session: Session) -> tuple[str, str]:
        request_id = None
        if ticket is not None:
            request = queries.request_by_ticket(session, ticket)
            if request is None:
                fail(f"there is no request with the ticket number {ticket}")
            request_id = request.id
        contact_id = directory.find_contact(session, who).id
        contact = step(session, contact_id, actor=SYSTEM, now=utc_now(), request_id=request_id)
        return contact.name, contact.credentials

    name, state = run_operation(read_settings(config), run)
    console.print(f"{name}: credentials {state}.", markup=False)


def _row(contact: Contact) -> tuple[str, ...]:
    return (
        str(contact.id),
        contact.user_code or "-",
        contact.name,
        contact.company.name if contact.company else "-",
        contact.role,
        contact.credentials,
        ", ".join(phone.e164 for phone in contact.phones),
        contact.email or "-",
    )
