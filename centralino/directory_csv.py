"""Tables of companies and contacts as CSV files, the way spreadsheets and other systems write them."""

import codecs
import csv
import io
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.orm import Session

from centralino.command import run_operation, run_query
from centralino.settings import Settings
from centralino.terminal import fail, terminal
from tickets.directory_import import ImportRefused, ImportResult, ImportRow, ImportTable

FALLBACK = "Windows-1252"
"""How a file is read that is not UTF-8: what spreadsheets of western Europe write."""


class CsvRefused(Exception):
    """A file cannot be read as a table; the message says what to do."""


@dataclass(frozen=True, slots=True)
class CsvTable:
    """The rows of a file, and how it was read."""

    rows: Sequence[ImportRow]
    encoding: str
    errors: Sequence[tuple[int, str]]
    """Lines whose cells do not fit the columns, with words."""


def read_csv(path: Path, columns: Collection[str], key: str) -> CsvTable:
    """Read a file whose first line names its columns: any of `columns`, `key` among them, in any order.

    Between the cells stands `;`, `,` or a tab, whichever the first line has most of. It is UTF-8, with or without a
    byte order mark, or UTF-16 with one; what is neither is read as Windows-1252. Raises `CsvRefused`.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CsvRefused(f"cannot be read: {error.strerror}") from error
    text, encoding = _decoded(content)
    head = text.split("\n", 1)[0]
    delimiter = max(";,\t", key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        names = [name.strip().lower() for name in next(reader, [])]
        _check_head(names, columns, key)
        rows, errors, line = [], [], reader.line_num + 1
        for cells in reader:
            if any(cell.strip() for cell in cells):
                if len(cells) == len(names):
                    rows.append(ImportRow(line, dict(zip(names, cells, strict=True))))
                else:
                    errors.append((line, f"has {len(cells)} cells, the first line has {len(names)}"))
            line = reader.line_num + 1
    except csv.Error as error:
        raise CsvRefused(f"line {reader.line_num}: {error}: look at the quotation marks") from error
    return CsvTable(rows, encoding, errors)


def _decoded(content: bytes) -> tuple[str, str]:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings: tuple[tuple[str, str], ...] = (("utf-16", "UTF-16"),)
    else:
        # the last one reads whatever comes
        encodings = (("utf-8-sig", "UTF-8"), ("cp1252", FALLBACK), ("latin-1", "ISO-8859-1"))
    for codec, name in encodings:
        try:
            return content.decode(codec), name
        except UnicodeDecodeError:
            continue
    raise CsvRefused("is not text: save it as CSV in UTF-8")


def _check_head(names: Sequence[str], columns: Collection[str], key: str) -> None:
    if key not in names:
        raise CsvRefused(f"the first line must name the columns, {key} among them; it can have {', '.join(columns)}")
    if unknown := [name for name in names if name not in columns]:
        raise CsvRefused(f"there is no column {unknown[0]!r}; there can be {', '.join(columns)}")
    if twice := [name for name in names if names.count(name) > 1]:
        raise CsvRefused(f"the column {twice[0]} is there twice")


# --- the commands that read such a file -------------------------------------------------------------------------------

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
        file = read_csv(path, columns, key)
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
    errors = sorted([*file.errors, *result.errors])
    for line, words in errors[:LINES_SHOWN]:
        console.print(f"line {line}: {words}", markup=False, soft_wrap=True)
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
