"""Tables of companies and contacts as CSV files, the way spreadsheets and other systems write them."""

import codecs
import csv
import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tickets.directory_import import ImportRow
from tickets.errors import InvalidInput, TicketsError

FALLBACK = "Windows-1252"
"""How a file is read that is not UTF-8: what spreadsheets of western Europe write."""


class CsvRefused(TicketsError):
    """A file cannot be read as a table; the message says what to do."""


@dataclass(frozen=True, slots=True)
class CsvTable:
    """The rows of a file, and how it was read."""

    rows: Sequence[ImportRow]
    encoding: str
    errors: Sequence[tuple[int, InvalidInput]]
    """Lines whose cells do not fit the columns."""


def read_csv(content: bytes, columns: Collection[str], key: str) -> CsvTable:
    """Read a table whose first line names its columns: any of `columns`, `key` among them, in any order.

    Between the cells stands `;`, `,` or a tab, whichever the first line has most of. It is UTF-8, with or without a
    byte order mark, or UTF-16 with one; what is neither is read as Windows-1252. Raises `CsvRefused`.
    """
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
                    words = f"has {len(cells)} cells, the first line has {len(names)}"
                    errors.append((line, InvalidInput("", words, "cells", cells=len(cells), columns=len(names))))
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
