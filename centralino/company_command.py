"""`centralino company`: the health companies whose staff calls, with their level-0 desks."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table
from sqlalchemy.orm import Session

from centralino.command import ConfigOption, read_settings, run_operation, run_query
from centralino.directory_csv import DryRunOption, FileArgument, run_import
from centralino.settings import DEFAULT_FILE
from centralino.terminal import fail, terminal
from tickets import directory, queries
from tickets.directory_import import COMPANY_COLUMNS, import_companies, read_companies
from tickets.phone_numbers import shown_number

company_app = typer.Typer(no_args_is_help=True, help="Companies: whose staff calls, and their level-0 desks.")
console = terminal()

PhoneOption = Annotated[list[str] | None, typer.Option(help="A number of its switchboard; may be given several times.")]
CodeOption = Annotated[str | None, typer.Option(help="The code by which other systems know it.")]
EmailOption = Annotated[str | None, typer.Option(help="Mail address of its level-0 desk.")]
DeskPhoneOption = Annotated[str | None, typer.Option(help="Telephone of its level-0 desk, as agents are to read it.")]
HoursOption = Annotated[str | None, typer.Option(help="When its level-0 desk is staffed, in words.")]


@company_app.command("list")
def list_companies(config: ConfigOption = DEFAULT_FILE) -> None:
    """List the companies with their level-0 desks."""
    table = Table("code", "name", "phones", "level-0 e-mail", "level-0 phone", "level-0 hours")
    for company in run_query(read_settings(config), queries.companies):
        phones = ", ".join(shown_number(phone.e164) for phone in company.phones)
        desk = (company.level_0_email, company.level_0_phone, company.level_0_hours)
        table.add_row(*(escape(cell or "-") for cell in (company.code, company.name, phones, *desk)))
    console.print(table if table.rows else "There are no companies yet: `centralino company add --help`")


@company_app.command("add")
def add_company(
    name: str,
    code: CodeOption = None,
    phone: PhoneOption = None,
    level_0_email: EmailOption = None,
    level_0_phone: DeskPhoneOption = None,
    level_0_hours: HoursOption = None,
    config: ConfigOption = DEFAULT_FILE,
) -> None:
    """Add a company."""

    def add(session: Session) -> None:
        directory.add_company(
            session,
            name,
            phone or (),
            code=code,
            level_0_email=level_0_email,
            level_0_phone=level_0_phone,
            level_0_hours=level_0_hours,
        )

    run_operation(read_settings(config), add)
    console.print(f"{name} is in the directory.", markup=False)


@company_app.command("edit")
def edit_company(
    company: Annotated[str, typer.Argument(help="Its code or its name.")],
    name: Annotated[str | None, typer.Option(help="Its new name.")] = None,
    code: CodeOption = None,
    phone: Annotated[
        list[str] | None, typer.Option(help="A number, in place of all so far; may be given several times.")
    ] = None,
    level_0_email: EmailOption = None,
    level_0_phone: DeskPhoneOption = None,
    level_0_hours: HoursOption = None,
    config: ConfigOption = DEFAULT_FILE,
) -> None:
    """Change what is given; all else stays. An empty text ("") takes a value away."""
    given: dict[str, Any] = {
        "name": name,
        "code": code,
        "phones": _texts(phone),
        "level_0_email": level_0_email,
        "level_0_phone": level_0_phone,
        "level_0_hours": level_0_hours,
    }
    changes = {field: value for field, value in given.items() if value is not None}
    if not changes:
        fail("nothing to change: see `centralino company edit --help`")

    def edit(session: Session) -> str:
        return directory.edit_company(session, directory.find_company(session, company).id, changes).name

    console.print(f"{run_operation(read_settings(config), edit)} is changed.", markup=False)


@company_app.command("import")
def import_table(file: FileArgument, dry_run: DryRunOption = False, config: ConfigOption = DEFAULT_FILE) -> None:
    """Add and change companies from a CSV file; all of it is taken, or nothing. Known again by `code`."""
    run_import(
        read_settings(config), Path(file), COMPANY_COLUMNS, "code", read_companies, import_companies, dry_run=dry_run
    )


def _texts(values: list[str] | None) -> list[str] | None:
    """What an option holds that may be given several times; None where it was not given."""
    return [value for value in values if value] if values else None
