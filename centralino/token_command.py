"""`centralino token`: the other programs that may use the API (`/api/v1`)."""

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table
from sqlalchemy.orm import Session

from centralino.command import ConfigOption, read_settings, run_operation, run_query
from centralino.settings import DEFAULT_FILE
from centralino.terminal import fail, terminal
from desk.api import tokens
from desk.models import Scope
from schedules.clock import utc_now

token_app = typer.Typer(no_args_is_help=True, help="Tokens: other programs that may use the API.")
console = terminal()


@token_app.command("add")
def add_token(
    name: Annotated[str, typer.Argument(help="Of the program: small letters, digits, _ . and -")],
    scope: Annotated[list[Scope], typer.Option(help="What it may do: read, write; may be given twice.")],
    config: ConfigOption = DEFAULT_FILE,
) -> None:
    """Make a token for a program and show it, this once."""
    if tokens.NAME.fullmatch(name) is None:
        fail("a token's name has small letters, digits, _ . and -, at most 40")
    token = run_operation(read_settings(config), tokens.add_token, name, set(scope), now=utc_now())
    console.print(token, markup=False, highlight=False, soft_wrap=True)


@token_app.command("list")
def list_tokens(config: ConfigOption = DEFAULT_FILE) -> None:
    """List the programs; the tokens themselves are not kept."""
    table = Table("name", "may", "made", "last used")

    def read(session: Session) -> list[tuple[str, ...]]:
        return [
            (
                one.name,
                ", ".join(one.scopes),
                one.created_at.astimezone().isoformat(sep=" ", timespec="minutes"),
                one.used_at.astimezone().isoformat(sep=" ", timespec="hours") if one.used_at else "never",
            )
            for one in tokens.tokens(session)
        ]

    for cells in run_query(read_settings(config), read):
        table.add_row(*map(escape, cells))
    console.print(table if table.rows else "No program may use the API: `centralino token add --help`")


@token_app.command("remove")
def remove_token(name: str, config: ConfigOption = DEFAULT_FILE) -> None:
    """Take a program's token away, at once; what it did stays in the history."""
    run_operation(read_settings(config), tokens.remove_token, name)
    console.print(f"{name} is not let in any more.", markup=False)
