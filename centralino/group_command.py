"""`centralino group`: the groups of specialists, of level 2 and 3, to whom requests are escalated."""

from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table
from sqlalchemy.orm import Session

from centralino.command import ConfigOption, read_settings, run_operation, run_query
from centralino.settings import DEFAULT_FILE
from centralino.terminal import fail, terminal
from tickets import levels

group_app = typer.Typer(no_args_is_help=True, help="Support groups: the specialists of level 2 and 3.")
console = terminal()

EmailOption = Annotated[str | None, typer.Option(help="Where it is told of a request that comes to it.")]


@group_app.command("list")
def list_groups(config: ConfigOption = DEFAULT_FILE) -> None:
    """List the groups, also those that are not used any more."""
    table = Table("level", "name", "e-mail", "in use")
    for group in run_query(read_settings(config), lambda session: levels.support_groups(session, retired=True)):
        cells = (str(group.level), group.name, group.email or "-", "yes" if group.active else "no")
        table.add_row(*map(escape, cells))
    console.print(table if table.rows else "There are no groups yet: `centralino group add --help`")


@group_app.command("add")
def add_group(
    name: str,
    level: Annotated[int, typer.Option(help="2 or 3.")],
    email: EmailOption = None,
    config: ConfigOption = DEFAULT_FILE,
) -> None:
    """Add a group of specialists."""
    run_operation(read_settings(config), levels.add_group, name, level, email)
    console.print(f"Requests can be escalated to {name}.", markup=False)


@group_app.command("edit")
def edit_group(
    group: Annotated[str, typer.Argument(help="Its name.")],
    name: Annotated[str | None, typer.Option(help="Its new name.")] = None,
    level: Annotated[int | None, typer.Option(help="2 or 3.")] = None,
    email: EmailOption = None,
    in_use: Annotated[
        bool | None, typer.Option("--in-use/--retired", help="Whether requests can be escalated to it.")
    ] = None,
    config: ConfigOption = DEFAULT_FILE,
) -> None:
    """Change what is given; all else stays. An empty address ("") takes it away."""
    given: dict[str, Any] = {"name": name, "level": level, "email": email, "active": in_use}
    changes = {field: value for field, value in given.items() if value is not None}
    if not changes:
        fail("nothing to change: give --name, --level, --email, --in-use or --retired")

    def edit(session: Session) -> str:
        return levels.edit_group(session, levels.group_named(session, group).id, changes).name

    console.print(f"{run_operation(read_settings(config), edit)} is changed.", markup=False)
