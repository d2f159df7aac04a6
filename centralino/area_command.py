"""`centralino area`: what requests may be about, the built-in areas and a site's own."""

from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table
from sqlalchemy import select
from sqlalchemy.orm import Session

from centralino.command import ConfigOption, read_settings, run_operation, run_query
from centralino.settings import DEFAULT_FILE
from centralino.terminal import fail, terminal
from tickets import areas
from tickets.models import Area

area_app = typer.Typer(no_args_is_help=True, help="Areas: what requests may be about.")
console = terminal()

BelowOption = Annotated[
    str | None, typer.Option(help="Key of the area that this one goes below; there are two storeys.")
]
BackOption = Annotated[
    bool | None,
    typer.Option("--level-0/--no-level-0", help="Whether it is the business of the company's own desk."),
]


@area_app.command("list")
def list_areas(config: ConfigOption = DEFAULT_FILE) -> None:
    """List the areas as a tree, also those that new requests cannot have."""
    table = Table("key", "Italian", "English", "goes back to level 0", "in use")

    def read(session: Session) -> list[tuple[str, ...]]:
        rows = {row.key: row for row in session.scalars(select(Area))}
        listed: list[tuple[str, ...]] = []
        for top in areas.area_tree(session, "it", retired=True):
            for indent, branch in (("", top), *(("  ", below) for below in top.below)):
                row = rows[branch.key]
                yes_no = ("yes" if is_so else "no" for is_so in (row.back_to_level_0, row.active))
                listed.append((indent + row.key, row.name_it, row.name_en, *yes_no))
        return listed

    for cells in run_query(read_settings(config), read):
        table.add_row(*map(escape, cells))
    console.print(table)


@area_app.command("add")
def add_area(
    key: Annotated[str, typer.Argument(help="What programs know it by; it never changes. Such as cup_prenotazioni.")],
    italian: Annotated[str, typer.Option(help="Its name in Italian.")],
    english: Annotated[str, typer.Option(help="Its name in English.")],
    below: BelowOption = None,
    level_0: BackOption = None,
    config: ConfigOption = DEFAULT_FILE,
) -> None:
    """Add an area."""

    def add(session: Session) -> None:
        areas.add_area(session, key, italian, english, parent=below, back_to_level_0=bool(level_0))

    run_operation(read_settings(config), add)
    console.print(f"Requests can be about {key}.", markup=False)


@area_app.command("edit")
def edit_area(
    key: str,
    italian: Annotated[str | None, typer.Option(help="Its new name in Italian.")] = None,
    english: Annotated[str | None, typer.Option(help="Its new name in English.")] = None,
    below: BelowOption = None,
    level_0: BackOption = None,
    in_use: Annotated[bool | None, typer.Option("--in-use/--retired", help="Whether new requests may have it.")] = None,
    config: ConfigOption = DEFAULT_FILE,
) -> None:
    """Change what is given; all else stays. `--below ""` takes an area to the top."""
    given: dict[str, Any] = {
        "name_it": italian,
        "name_en": english,
        "parent": below,
        "back_to_level_0": level_0,
        "active": in_use,
    }
    changes = {field: value for field, value in given.items() if value is not None}
    if not changes:
        fail("nothing to change: see `centralino area edit --help`")
    run_operation(read_settings(config), areas.edit_area, key, changes)
    console.print(f"{key} is changed.", markup=False)
