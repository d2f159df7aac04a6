"""`centralino migrate-database`: move a site from its SQLite file to a PostgreSQL server, every row checked.

It knows no table by name: whatever the models describe is moved, in the order in which tables refer to each other.
Rows go by COPY, a batch at a time, so that memory does not grow with them (118 MB with seven million). All of it is
one transaction, the check included.
"""

import contextlib
import json
import os
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import zip_longest
from typing import Annotated, Any, NoReturn

import psycopg
import typer
from psycopg import sql
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table
from sqlalchemy import JSON, URL, Connection, Enum, Select, String, Text, cast, delete, event, func, make_url, select
from sqlalchemy import Table as DatabaseTable
from sqlalchemy import text as sql_text
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.pool import NullPool
from sqlalchemy.sql import ColumnElement
from sqlalchemy.sql.expression import collate, type_coerce

from centralino import migrate
from centralino.command import ConfigOption, read_settings, said_plainly
from centralino.settings import DATABASES, DEFAULT_FILE
from centralino.terminal import fail, terminal
from tickets.database import Base, create_engine
from tickets.models import AREAS, Area
from tickets.search import words_gathered_at_the_end

BATCH = 2000
"""Rows that are held in memory at once."""

console = terminal()

Told = Callable[[str, str, int, int], None]
"""Called with what is done (`copying` or `checking`), the table, how many rows it has, and how many are done."""


class NotMoved(Exception):
    """The database was not moved, and nothing of it is on the server; the text says why."""


def migrate_database(
    target_url: Annotated[
        str,
        typer.Argument(
            metavar="TARGET_URL",
            help="An empty PostgreSQL database: postgresql+psycopg://user@host/name. "
            "A password is better kept in PGPASSWORD or ~/.pgpass than written here.",
        ),
    ],
    config: ConfigOption = DEFAULT_FILE,
) -> None:
    """Move the SQLite database of the settings to PostgreSQL, and compare every row; the service must be stopped."""
    source = make_url(read_settings(config).storage.database)
    target = _target(target_url)
    try:
        with _progress() as told, said_plainly():
            moved = move(source, target, told)
    except NotMoved as error:
        fail(str(error))
    except KeyboardInterrupt:
        console.print("Stopped: nothing was moved, and the SQLite file is as it was.")
        raise typer.Exit(130) from None
    table = Table("table", Column("rows", justify="right"), Column("checked", justify="right"))
    for name, rows in moved.items():
        table.add_row(name, str(rows), str(rows))
    console.print(table)
    console.print(
        "Everything is on the server, and each row was compared with its original. To go on with it:\n"
        f'  1. in the settings: [storage] database = "{target.render_as_string(hide_password=True)}"\n'
        "  2. centralino check\n"
        "  3. start the service\n"
        f"{source.database} is left as it was; the service does not need it any more. Keep it until you are sure: "
        "to go back, name it in the settings again (what happened since then is not in it).",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _target(url: str) -> URL:
    try:
        target = make_url(url)
    except (ArgumentError, ValueError):
        target = None
    if target is None or not url.startswith(DATABASES[1]):
        # The address may hold a password: it is not repeated.
        fail(f"the target is no address of a PostgreSQL database: it looks like {DATABASES[1]}user@host/name")
    return target


def move(source: URL, target: URL, told: Told) -> dict[str, int]:
    """Copy every row of an SQLite database to an empty PostgreSQL database, and compare them all.

    Tables are made where there are none. Returns how many rows each table has. Raises NotMoved,
    `migrate.DatabaseBehind`, `migrate.DatabaseNewer`, and what SQLAlchemy raises for a file that cannot be used;
    whatever it raises, nothing is on the server then.
    """
    with _only_user_of(source) as old, _one_transaction(target) as new:
        migrate.check_tables(old)
        migrate.upgrade(new)
        tables = Base.metadata.sorted_tables
        _refuse_rows(new, tables)
        rows = {table.name: old.scalar(select(func.count()).select_from(table)) or 0 for table in tables}
        with words_gathered_at_the_end(new), _own_rows_may_come_later(new, tables):
            for table in tables:
                _copy(old, new, table, partial(told, "copying", table.name, rows[table.name]))
                _count_on(old, new, table)
        for table in tables:
            _compare(old, new, table, partial(told, "checking", table.name, rows[table.name]))
            # The server plans by what it knows of a table: without this it would know nothing for the first minute.
            new.execute(sql_text(f"ANALYZE {_name(new, table)}"))
    return rows


@contextlib.contextmanager
def _only_user_of(source: URL) -> Iterator[Connection]:
    """A connection to an SQLite file that nobody else has open, nor can use until it is closed."""
    if source.get_backend_name() != "sqlite":
        raise NotMoved("the settings name a PostgreSQL database already (storage.database): there is nothing to move")
    if not os.path.isfile(source.database or ""):
        raise NotMoved(f"there is no database {source.database} (storage.database in the settings)")
    engine = create_engine(source.render_as_string(hide_password=False), poolclass=NullPool)

    @event.listens_for(engine, "connect", insert=True)
    def be_the_only_one(connection: sqlite3.Connection, _record: object) -> None:
        # Before anything else is asked of a database with a write-ahead log, SQLite then wants it for itself. Whoever
        # has it open is in the way, even where no transaction is under way (sqlite.org/wal.html, 8).
        connection.execute("PRAGMA busy_timeout=1000")
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")

    try:
        connection = engine.connect()
    except OperationalError as error:
        if "locked" not in str(error.orig):
            raise
        raise NotMoved(
            f"{source.database} is in use: stop the service, and whatever else has it open, and try again. "
            "Until it runs again callers are asked by Asterisk to leave a message, and none is lost."
        ) from None
    with connection, connection.execution_options(writes=True).begin():
        yield connection


@contextlib.contextmanager
def _one_transaction(target: URL) -> Iterator[Connection]:
    engine = create_engine(target.render_as_string(hide_password=False), poolclass=NullPool)
    try:
        with engine.begin() as connection:
            yield connection
    except (DBAPIError, psycopg.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        if not isinstance(cause, psycopg.Error):
            raise
        raise NotMoved(f"the server of the target cannot be used: {cause}\nNothing was moved.") from None


def _refuse_rows(new: Connection, tables: Sequence[DatabaseTable]) -> None:
    names = ", ".join(_name(new, table) for table in tables)
    new.execute(sql_text(f"LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE"))  # nobody else writes until the end
    new.execute(delete(Area).where(Area.key.in_(AREAS)))  # every new database has these
    filled = [table.name for table in tables if new.execute(select(table).limit(1)).first() is not None]
    if filled:
        raise NotMoved(f"the target is not empty: there are rows in {', '.join(filled)}. Make a new database for it")


@contextlib.contextmanager
def _own_rows_may_come_later(new: Connection, tables: Sequence[DatabaseTable]) -> Iterator[None]:
    """Rows may refer to rows of their own table that are copied after them; all is checked at the end."""
    own = [
        (_name(new, table), str(key.name))
        for table in tables
        for key in table.foreign_key_constraints
        if key.referred_table is table
    ]
    for name, key in own:
        new.execute(sql_text(f"ALTER TABLE {name} ALTER CONSTRAINT {key} DEFERRABLE INITIALLY DEFERRED"))
    yield
    new.execute(sql_text("SET CONSTRAINTS ALL IMMEDIATE"))
    for name, key in own:
        new.execute(sql_text(f"ALTER TABLE {name} ALTER CONSTRAINT {key} NOT DEFERRABLE"))


def _copy(old: Connection, new: Connection, table: DatabaseTable, done: Callable[[int], None]) -> None:
    """Copy a table's rows, as they are stored: with JSON as its text, and names of states as names."""
    writers = [_writer(new, column) for column in table.columns]
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(table.name), sql.SQL(", ").join(sql.Identifier(column.name) for column in table.columns)
    )
    copied = 0
    done(0)
    for batch in _batches(old, table):
        row: Sequence[Any] = ()
        try:
            with _cursor(new) as cursor, cursor.copy(statement) as copy:
                for row in batch:
                    copy.write_row(
                        [value if write is None else write(value) for write, value in zip(writers, row, strict=True)]
                    )
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            if error.diag.sqlstate is not None:  # else the row at hand could not even be written to the server
                line = re.search(r"^COPY .*, line (\d+)", error.diag.context or "", re.MULTILINE)
                row = batch[int(line[1]) - 1] if line else ()
            _refuse(table, row, error.diag.message_primary or str(error), error.diag.message_detail)
        copied += len(batch)
        done(copied)


def _count_on(old: Connection, new: Connection, table: DatabaseTable) -> None:
    """Let the numbers that the database gives to new rows begin after all that were ever given."""
    column = table.autoincrement_column
    if column is None:
        return
    sequence = new.scalar(select(func.pg_get_serial_sequence(_name(new, table), column.name)))
    if sequence is None:
        return
    given = [old.scalar(select(func.max(column))) or 0]
    if table.dialect_options["sqlite"]["autoincrement"]:  # SQLite remembers numbers of rows that are gone
        counter = sql_text("SELECT seq FROM sqlite_sequence WHERE name = :name")
        given.append(old.scalar(counter, {"name": table.name}) or 0)
    # Not setval(), which would outlive a transaction that is rolled back.
    new.execute(sql_text(f"ALTER SEQUENCE {sequence} RESTART WITH {int(max(given)) + 1}"))


def _compare(old: Connection, new: Connection, table: DatabaseTable, done: Callable[[int], None]) -> None:
    """Read a table from both sides, in the same order, and compare every value."""
    is_json = [isinstance(column.type, JSON) for column in table.columns]
    compared = 0
    done(0)
    for ours, theirs in zip_longest(_batches(old, table), _batches(new, table), fillvalue=()):
        for row, there in zip_longest(ours, theirs):
            if row is None or there is None:
                _refuse(table, row or there, "it is on one side only")
            for column, json_text, value, other in zip(table.columns, is_json, row, there, strict=True):
                if not (_same_json(value, other) if json_text else type(value) is type(other) and value == other):
                    _refuse(table, row, f"column {column.name}: the server has stored something else")
        compared += len(ours)
        done(compared)


def _same_json(value: str | None, other: str | None) -> bool:
    if value is None or other is None:
        return value is other
    return value == other or bool(json.loads(value) == json.loads(other))


def _batches(connection: Connection, table: DatabaseTable) -> Iterator[Sequence[Sequence[Any]]]:
    """A table's rows by primary key, read as they are needed."""
    query, read = _rows(connection, table), 0
    with connection.execute(query.execution_options(yield_per=BATCH)) as result:
        try:
            for batch in result.partitions():
                yield batch
                read += len(batch)
        except (ValueError, TypeError) as error:
            raise _unreadable(connection, table, read, error) from None


def _unreadable(connection: Connection, table: DatabaseTable, read: int, error: Exception) -> NotMoved:
    """Which row after the first `read` does not hold what its columns are for, such as a time that is none."""
    query = _rows(connection, table)
    keys = query.with_only_columns(*table.primary_key.columns).offset(read).limit(BATCH)
    for number, key in enumerate(connection.execute(keys).all(), start=read):
        try:
            connection.execute(query.offset(number).limit(1)).all()
        except (ValueError, TypeError) as found:
            return _about(table, key, str(found))
    return _about(table, (), str(error))


def _rows(connection: Connection, table: DatabaseTable) -> Select[Any]:
    order = (
        # By bytes, as SQLite does, whatever the server's language.
        collate(column, "C") if isinstance(column.type, String) and connection.dialect.name != "sqlite" else column
        for column in table.primary_key.columns
    )
    return select(*map(_plain, table.columns)).order_by(*order)


def _plain(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """A column's value as it is stored, where reading it as the program does would hide a difference.

    The program takes no value and JSON's null for the same, and refuses names of states that it does not know.
    """
    if isinstance(column.type, JSON):
        return cast(column, Text)
    return type_coerce(column, String) if isinstance(column.type, Enum) else column


def _writer(new: Connection, column: ColumnElement[Any]) -> Callable[[Any], Any] | None:
    kind = _plain(column).type
    writer: Callable[[Any], Any] | None = kind.dialect_impl(new.dialect).bind_processor(new.dialect)
    return writer


def _refuse(table: DatabaseTable, row: Sequence[Any], *why: str | None) -> NoReturn:
    columns = list(table.columns)
    raise _about(table, [row[columns.index(column)] for column in table.primary_key.columns] if row else (), *why)


def _about(table: DatabaseTable, key: Sequence[Any], *why: str | None) -> NotMoved:
    where = ", ".join(f"{column.name} {value!r}" for column, value in zip(table.primary_key.columns, key, strict=False))
    reason = "; ".join(filter(None, why))
    return NotMoved(
        f"table {table.name}{', ' * bool(where)}{where}: {reason}\n"
        "Nothing was moved. Put this row right in the SQLite file (after a backup), and try again."
    )


def _cursor(connection: Connection) -> psycopg.Cursor[Any]:
    driver: Any = connection.connection.driver_connection
    cursor: psycopg.Cursor[Any] = driver.cursor()
    return cursor


def _name(connection: Connection, table: DatabaseTable) -> str:
    return connection.dialect.identifier_preparer.format_table(table)


@contextlib.contextmanager
def _progress() -> Iterator[Told]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        tasks: dict[tuple[str, str], Any] = {}

        def told(what: str, table: str, of: int, done: int) -> None:
            if (what, table) not in tasks:
                tasks[what, table] = progress.add_task(escape(f"{what} {table}"), total=of)
            progress.update(tasks[what, table], completed=done)

        yield told
