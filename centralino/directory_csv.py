"""Commands that bring tables of companies and contacts into the directory (see `tickets.directory_csv`)."""

from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.orm import Session

from centralino.command import run_operation, run_query
from centralino.settings import Settings
from centralino.terminal import fail, terminal
from tickets.directory_csv import CsvRefused, read_csv
from tickets.directory_import import ImportRefused, ImportResult, ImportRow, ImportTable, by_line

FileArgument = Annotated[Path, typer.Argument(help="The CSV file; docs/directory.md describes its columns.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only tell what would change.")]
LINES_SHOWN = 50
"""More lines of changes or errors than these nobody reads on a terminal."""


def run_import(
    settings: Settings,
    path: Path,
    columns: Collection[str],
    key: str,
    read: Callable[[Iterable[ImportRow]], ImportTable],
    operation: Callable[..., ImportResult],
    *,
    dry_run: bool,
) -> None:
    """Bring a file into the directory and say what changed; with any line that cannot be taken nothing is stored."""
    console = terminal()
    try:
        file = read_csv(path.read_bytes(), columns, key)
    except OSError as error:
        fail(f"{path}: cannot be read: {error.strerror}")
    except CsvRefused as error:
        fail(f"{path}: {error}")
    if file.encoding != "UTF-8":
        console.print(
            f"{path} is no UTF-8; read as {file.encoding}: look at the accents.", markup=False, soft_wrap=True
        )
    table = read(file.rows)
    if file.errors or dry_run:
        result = run_query(settings, lambda session: operation(session, table, dry_run=True))
    else:
        result = run_operation(settings, _all_or_nothing, operation, table)
    errors = sorted([*file.errors, *result.errors], key=by_line)
    for line, fault in errors[:LINES_SHOWN]:
        console.print(f"line {line}: {fault}", markup=False, soft_wrap=True)
    if dry_run:
        for change in result.changes[:LINES_SHOWN]:
            what = "new" if change.fields is None else f"changes {', '.join(change.fields)}"
            console.print(f"line {change.line}: {change.name}: {what}", markup=False, soft_wrap=True)
    left = max(len(errors) - LINES_SHOWN, 0) + max(len(result.changes) - LINES_SHOWN, 0) * dry_run
    if left:
        console.print(f"... and {left} more")
    if errors:
        lines = len({line for line, _ in errors})
        fail(f"{lines} {'line' if lines == 1 else 'lines'} cannot be taken, so nothing is changed")
    would = "would be " if dry_run else ""
    changed = len(result.changes) - result.added
    console.print(f"{would}added: {result.added}, {would}changed: {changed}, as they were: {result.unchanged}")


def _all_or_nothing(session: Session, operation: Callable[..., ImportResult], table: ImportTable) -> ImportResult:
    """What was refused is told as a result, after all of it is undone."""
    try:
        result: ImportResult = operation(session, table)
    except ImportRefused as refused:
        session.rollback()
        return ImportResult(errors=list(refused.errors))
    return result
