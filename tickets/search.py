"""Searching requests by their words: ticket number, texts, history, transcripts, user, company, telephone numbers.

The words are in `request_search`, which triggers of the database keep in step with the rows they are made of (see the
migration `search`): so nothing that changes a request can forget it, and what is found is what is stored. A word that
is typed is the beginning of one that is meant. Accents, capitals and what stands between words count for nothing.

Both databases find the newest of a million without reading the others. SQLite's index gives the newest first. That of
PostgreSQL gives all or none: so the last rows are read one by one, where a word that many have is found soon, and its
index is asked only for what these do not have enough of.
"""

import contextlib
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Integer,
    Select,
    cast,
    column,
    func,
    literal,
    not_,
    select,
    table,
    text,
)
from sqlalchemy.dialects.postgresql import TSQUERY, TSVECTOR
from sqlalchemy.orm import Session

from tickets.models import Company, Request
from tickets.texts import clean_line

LONGEST_QUERY = 200
"""Characters of what is typed that are looked at."""
MOST_WORDS = 12
LONGEST_WORD = 60
CANDIDATES = 20_000
"""At most so many of the newest that have the words are looked at for whatever else is asked of them."""

_RECENT = 20_000
"""Rows of PostgreSQL's table that are read before its index is asked."""
_NUMBER = 7
"""Digits of a ticket or a telephone number at least."""
_OPEN, _COMPANY = "\ue000", "\ue001"
"""In the index: a word for "is open", and what the id of a company follows."""

_ON_SQLITE = table("request_search", column("rowid", Integer))
_ON_POSTGRESQL = table("request_search", column("id", Integer), column("open", Boolean), column("words", TSVECTOR))
_ACCENTS = re.compile("[\u0300-\u036f]+")
_COMPANIES = select(Company.id, Company.name)

Group = tuple[tuple[str, ...], ...]
"""The ways to have what one word means; each is words that must all be there."""
Conditions = Sequence[ColumnElement[bool]]


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for: `words` as they were typed, for marking them; `groups`, each of which must be found."""

    words: tuple[str, ...]
    groups: tuple[Group, ...]


def is_derived(name: str | None) -> bool:
    """Whether a table is made of the others: no model tells of it, and no copy of the database needs it."""
    return name is not None and name.startswith("request_search")


@contextlib.contextmanager
def words_gathered_at_the_end(connection: Connection) -> Iterator[None]:
    """Many rows are written: what is searched in is made of them afterwards, once for each request, not with every row.

    For tables that had no requests before, and whoever has them alone.
    """
    gather: tuple[str, ...]
    if connection.dialect.name == "sqlite":
        triggers = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'request_search_%'"
        off, on = "DROP TRIGGER {0}", "{1}"
        gather = ("INSERT INTO request_search (rowid, words) SELECT id, words FROM request_search_text",)
    else:
        triggers = (
            "SELECT quote_ident(tgname), tgrelid::regclass::text FROM pg_trigger WHERE tgname LIKE 'request_search_%'"
        )
        off, on = "ALTER TABLE {1} DISABLE TRIGGER {0}", "ALTER TABLE {1} ENABLE TRIGGER {0}"
        gather = ("SELECT request_search_put(ARRAY(SELECT id FROM request))", "ANALYZE request_search")
    known = [tuple(row) for row in connection.execute(text(triggers))]
    for trigger in known:
        connection.exec_driver_sql(off.format(*trigger))
    yield
    for trigger in known:
        connection.exec_driver_sql(on.format(*trigger))
    for statement in gather if known else ():
        connection.exec_driver_sql(statement)


def split(typed: str) -> list[str]:
    """The words in a text, as the indexes divide it: at whatever is neither letter nor digit.

    Only signs that were letters or digits in 2002 are taken for such, since SQLite does not know all of today's.
    """
    signs = []
    for sign in unicodedata.normalize("NFC", typed):
        kind = unicodedata.ucd_3_2_0.category(sign)[0]
        signs.append(sign if kind in "LN" else "" if kind == "M" else " ")
    return "".join(signs).split()


def fold(word: str) -> str:
    """A word without accents and capitals, as PostgreSQL's index has it."""
    return _ACCENTS.sub("", unicodedata.normalize("NFD", word)).lower()


def read_query(session: Session, typed: str) -> Query | None:
    """What is looked for with a text that somebody typed; None where there is no word in it."""
    words = [word[:LONGEST_WORD] for word in split(clean_line(typed[: 2 * LONGEST_QUERY])[:LONGEST_QUERY])][:MOST_WORDS]
    if not words:
        return None
    companies = [(id_, [fold(word) for word in split(name)]) for id_, name in session.execute(_COMPANIES)]
    groups: list[Group] = []
    for run in _runs(words):
        number = "".join(run)[:LONGEST_WORD]
        if len(run) > 1:  # as numbers are written for people; or several short ones
            groups.append(((_dialled(number),), *((tuple(run),) if len(number) < _NUMBER else ())))
            continue
        word = fold(run[0])
        theirs = (id_ for id_, name in companies if any(part.startswith(word) for part in name))
        groups.append(((_dialled(run[0]),), *((f"{_COMPANY}{id_}",) for id_ in theirs)))
    return Query(tuple(words), tuple(groups))


def _runs(words: Sequence[str]) -> list[list[str]]:
    """The words, those of digits that follow each other together."""
    runs: list[list[str]] = []
    for word in words:
        if runs and _is_number(word) and _is_number(runs[-1][-1]):
            runs[-1].append(word)
        else:
            runs.append([word])
    return runs


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdigit()


def _dialled(word: str) -> str:
    """A number with 00 before the country as it is stored; any other word as it is."""
    return word[2:] if len(word) >= _NUMBER and word.startswith("00") and _is_number(word) else word


def search(
    session: Session, query: Query, *, closed: bool | None = None, where: Conditions = (), limit: int
) -> list[int]:
    """Ids of requests that have all the words, open ones before closed ones, the newest first.

    `closed` asks for one kind only. `where` are conditions on `Request`, for which at most `CANDIDATES` are looked at.
    """
    find = _find_on_sqlite if session.get_bind().dialect.name == "sqlite" else _find_on_postgresql
    found: list[int] = []
    for over in (False, True) if closed is None else (closed,):
        if len(found) < limit:
            found += find(session, query, over, where, limit - len(found))
    return found


def _find_on_sqlite(session: Session, query: Query, closed: bool, where: Conditions, limit: int) -> list[int]:
    words = _written(query.groups, lambda word: f'"{word}"' if word[0] == _COMPANY else f'"{word}"*', " AND ", " OR ")
    match = f'({words}) {"NOT" if closed else "AND"} "{_OPEN}"'
    ids = (
        select(_ON_SQLITE.c.rowid.label("id"))
        .where(text("request_search MATCH :words").bindparams(words=match))
        .order_by(_ON_SQLITE.c.rowid.desc())
    )
    return _ids(session, _narrowed(ids, where, limit))


def _find_on_postgresql(session: Session, query: Query, closed: bool, where: Conditions, limit: int) -> list[int]:
    row = _ON_POSTGRESQL.c
    # Asked of what is no column, no index of words is taken for it: the rows are read, from the last one on.
    read = _has(row.words.concat(cast(literal(""), TSVECTOR)), query.groups)
    rows = select(row.id).where(not_(row.open) if closed else row.open, read).order_by(row.id.desc())
    if not closed:
        return _ids(session, _narrowed(rows, where, limit))
    recent = row.id > (session.scalar(select(func.max(row.id))) or 0) - _RECENT
    found = _ids(session, _narrowed(rows.where(recent), where, limit))
    if len(found) == limit:
        return found
    # A single letter, such as that of D'Amico, is in most rows: two other words find them better without it.
    longer = [group for group in query.groups if len(group[0][0]) > 1]
    indexed = longer if len(longer) > 1 else query.groups
    # Ordered by what is no column, or the planner might read the table from its end.
    older = (
        select(row.id)
        .where(not_(row.open), not_(recent), _has(row.words, indexed), *([read] if indexed is longer else []))
        .order_by((row.id + 0).desc())
    )
    session.execute(text("SET LOCAL enable_seqscan = off"))  # where a word is in many rows it would read them all
    found += _ids(session, _narrowed(older, where, limit - len(found)))
    session.execute(text("SET LOCAL enable_seqscan TO DEFAULT"))
    return found


def _has(words: ColumnElement[str], groups: Sequence[Group]) -> ColumnElement[bool]:
    asked = _written(groups, lambda word: f"'{word}'" if word[0] == _COMPANY else f"'{fold(word)}':*", " & ", " | ")
    return words.bool_op("@@")(cast(literal(asked), TSQUERY))


def _written(groups: Sequence[Group], word: Callable[[str], str], all_of: str, any_of: str) -> str:
    """A query as an index reads it. Words are letters and digits: nothing in them ends a quote."""
    ways = ([f"({all_of.join(map(word, way))})" for way in group] for group in groups)
    return all_of.join(f"({any_of.join(group)})" for group in ways)


def _ids(session: Session, query: Select[int]) -> list[int]:
    return list(session.scalars(query))


def _narrowed(ids: Select[int], where: Conditions, limit: int) -> Select[int]:
    if not where:
        return ids.limit(limit)
    found = ids.limit(CANDIDATES).subquery()
    fitting = select(found.c.id).join(Request, Request.id == found.c.id).where(*where)
    return fitting.order_by(found.c.id.desc()).limit(limit)
