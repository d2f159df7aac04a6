"""`centralino contact`: the people who call, so that they are recognised and notices have an address."""

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table
from sqlalchemy.orm import Session

from centralino.command import ConfigOption, read_settings, run_operation
from centralino.settings import DEFAULT_FILE
from centralino.terminal import terminal
from tickets import directory, queries

contact_app = typer.Typer(no_args_is_help=True, help="Contacts: the people who call.")
console = terminal()


@contact_app.command("add")
def add_contact(
    name: str,
    phone: Annotated[list[str], typer.Option(help="A telephone number; may be given several times.")],
    email: Annotated[str | None, typer.Option(help="Where notices go.")] = None,
    company: Annotated[str | None, typer.Option(help="The health company; added when it is new.")] = None,
    config: ConfigOption = DEFAULT_FILE,
) -> None:
    """Add a contact, so that calls are recognised and notices have an address."""

    def add(session: Session) -> None:
        company_id = (directory.company_named(session, company)).id if company else None
        directory.add_contact(session, name, company_id=company_id, email=email, phones=phone)

    run_operation(read_settings(config), add)
    console.print(f"{name} is in the directory.", markup=False)


@contact_app.command("find")
def find_contacts(text: str, config: ConfigOption = DEFAULT_FILE) -> None:
    """Show the contacts whose name, company, address or number holds every word of TEXT."""
    table = Table("name", "company", "phones", "e-mail")
    for contact in run_operation(read_settings(config), queries.contacts, text, 200):
        phones = ", ".join(phone.e164 for phone in contact.phones)
        company = contact.company.name if contact.company else ""
        table.add_row(*map(escape, (contact.name, company, phones, contact.email or "")))
    console.print(table if table.rows else "Nobody in the directory fits.")
