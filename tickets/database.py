"""The database: one engine, the base of all tables, and the two ways to use it.

`Database.run(operation, ...)` runs one function in one transaction and, when it is committed, tells the listeners what
changed. `Database.read(query, ...)` runs a function that only reads. Operations and queries are plain functions whose
first argument is the session; the session is the unit of work. They run in threads of the database's own, whole: one
trip there and back for each transaction, and the event loop never waits for a disk or a server.

It lives in `tickets` because that is the rightmost package that stores anything.
"""

import asyncio
import contextlib
import enum
import os
import sqlite3
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeVar

import psycopg
import structlog
from sqlalchemy import (
    Connection,
    CursorResult,
    DateTime,
    Dialect,
    Engine,
    Enum,
    Executable,
    Index,
    MetaData,
    event,
    func,
    select,
    text,
    types,
)
from sqlalchemy import create_engine as sqlalchemy_engine
from sqlalchemy.exc import DataError, DBAPIError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker
from sqlalchemy.orm.exc import StaleDataError
from tenacity import (
    AsyncRetrying,
    Retrying,
    retry_if_exception,
    stop_after_delay,
    wait_fixed,
    wait_random_exponential,
)

from tickets.changes import Change, Hints

log = structlog.get_logger()

P = ParamSpec("P")
T = TypeVar("T")
E = TypeVar("E", bound=enum.StrEnum)


class Base(DeclarativeBase):
    """The base of every table; names of constraints are fixed so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class UTCDateTime(types.TypeDecorator[datetime]):
    """An aware UTC time; a naive one is refused, since nobody can say what it means."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Store as UTC (SQLite has no time zones: it keeps the naive UTC value)."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("naive datetime: times are aware UTC inside Centralino")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give back an aware UTC time."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def enum_column(kind: type[E]) -> Enum:
    """A column for a StrEnum, stored as its value in plain text, so that adding a member needs no migration."""
    return Enum(
        kind, native_enum=False, create_constraint=False, length=32, values_callable=lambda k: [m.value for m in k]
    )


def index_of_some(name: str, which: str, *columns: str, unique: bool = False) -> Index:
    """An index of the rows for which an SQL condition holds: small, however many rows there are."""
    return Index(name, *columns, unique=unique, sqlite_where=text(which), postgresql_where=text(which))


Listener = Callable[[frozenset[Change]], None]
"""Called after each commit with what changed; must not block and must not raise."""


def announce(session: Session, kind: str, id: int | str) -> None:  # noqa: A002 - the field's own name
    """Note a change; the listeners hear of it once the transaction is committed, and never if it is not."""
    session.info.setdefault("changes", set()).add(Change(kind, id))


CONNECTORS = "connectors"
"""Where a session's `info` names the other ticket systems that are to hear of what it changes."""

READERS = 4
"""Threads that read. More would not read faster: Python runs one at a time, except while a database works."""
SERVER_WRITERS = 8
"""Threads that write to a server. SQLite knows one writer at a time: one thread is its queue, and a fair one."""

SERVER_PATIENCE = {
    # what the network does not reach any more is given up soon (s; the second in ms)
    "connect_timeout": 5,
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    # and the server gives up a client that is frozen or gone with its locks, before all others wait for it
    "options": (
        "-c lock_timeout=3s -c idle_in_transaction_session_timeout=5s -c statement_timeout=20s "
        "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3"
    ),
}
"""How long a server and its clients wait for each other (libpq's and the server's own names)."""
LOCK_IDLE_SECONDS = 120
"""A process that does not move for so long loses the work that it holds `alone`."""


def execute(session: Session, statement: Executable, parameters: Mapping[str, Any] | None = None) -> CursorResult[Any]:
    """Run a statement made once, on rows and not on objects; for the steps of every call.

    It is what `session.execute` does, without what that does for objects: half the time of a short statement. Objects
    that the session holds already are not told what it changed.
    """
    session.flush()
    return session.connection().execute(statement, parameters)


def create_engine(url: str, **options: Any) -> Engine:
    """An engine of SQLAlchemy as this project uses it; the options are those of SQLAlchemy's own `create_engine`.

    On SQLite a transaction is begun where SQLAlchemy says so (its driver would begin it before the first change only,
    so that two reads could see two states); with the execution option `writes` as the one that writes, from the start.
    """
    engine = sqlalchemy_engine(
        url,
        hide_parameters=True,  # errors are logged, and what was written is callers' data
        **options,
    )
    if engine.dialect.name == "sqlite":
        event.listen(engine, "do_connect", _make_private)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


class Database:
    """One database: an SQLite file or a PostgreSQL server.

    `url` is a SQLAlchemy one: `sqlite:///path` or `postgresql+psycopg://...`; the latter may be `shared` by several
    workers. Transactions that fail because the database is locked or the connection was lost are run again, whole, for
    up to `patience` seconds. `connectors` names the other ticket systems that are to hear of every request's changes
    (`tickets.connectors`).
    """

    def __init__(self, url: str, patience: float = 20.0, connectors: Sequence[str] = ()) -> None:
        self.url = url
        self.patience = patience
        self.shared = not url.startswith("sqlite")
        writers = SERVER_WRITERS if self.shared else 1
        # No ping before use: it costs a round trip each time, and lost connections are met by running again.
        address = SERVER_PATIENCE if self.shared else {}
        self.engine = create_engine(url, pool_size=writers + READERS, connect_args=address)
        if self.shared:
            event.listen(self.engine, "connect", _note_timeline)
        self.connectors = tuple(connectors)
        self._writing = sessionmaker(
            self.engine.execution_options(writes=True), expire_on_commit=False, info={CONNECTORS: self.connectors}
        )
        self._reading = sessionmaker(self.engine, expire_on_commit=False)
        self._writers = ThreadPoolExecutor(writers, thread_name_prefix="database-writer")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="database-reader")
        self._listeners: list[Listener] = []
        self._hints = Hints(self._server_address(), self._tell) if self.shared else None

    def _server_address(self) -> dict[str, Any]:
        _, address = self.engine.dialect.create_connect_args(self.engine.url)
        return {**SERVER_PATIENCE, **address}

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` after each commit that announced changes; returns a function that ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    @contextlib.asynccontextmanager
    async def hearing_others(self) -> AsyncIterator[None]:
        """Tell the listeners also what other processes on the same server commit (none can share an SQLite file)."""
        if self._hints is None:
            yield
            return
        listening = asyncio.create_task(self._hints.listen(), name="database hints")
        try:
            yield
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def run(self, operation: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `operation(session, ...)` in one transaction and commit it.

        Raises whatever the operation raises (nothing is then stored), `sqlalchemy.exc.OperationalError` when the
        database stayed locked or away for longer than `patience` seconds, and `OutcomeUnknown`. Who is cancelled while
        waiting for it does not undo it: a transaction that has begun is brought to its end, and its changes are told.
        """
        loop = asyncio.get_running_loop()
        work = partial(self._run_once, loop, lambda session: operation(session, *args, **kwargs))

        async def once() -> T:
            try:
                return await loop.run_in_executor(self._writers, work)
            except _CommitUnsure as unsure:
                try:
                    stored = await self._is_committed(unsure)
                except TimeoutError:
                    raise OutcomeUnknown(f"transaction {unsure.number} is still under way") from unsure.error
                if not stored:
                    raise unsure.error from None
                self._tell(unsure.changes)
                result: T = unsure.result
                return result

        return await self._patiently(once)

    def _run_once(self, loop: asyncio.AbstractEventLoop, operation: Callable[[Session], T]) -> T:
        with self._writing() as session:
            result = operation(session)
            changes = frozenset(session.info.get("changes", ()))
            number = None if self._hints is None else self._hints.send(session, changes)
            timeline = None if number is None else session.connection().info.get("timeline")
            try:
                session.commit()
            except DBAPIError as error:
                if number is not None and _is_passing(error):
                    raise _CommitUnsure(number, timeline, result, changes, error) from error
                raise
        if changes:
            loop.call_soon_threadsafe(self._tell, changes)
        return result

    async def _is_committed(self, unsure: "_CommitUnsure") -> bool:
        """Whether a transaction was stored whose commit was not answered; PostgreSQL remembers.

        A standby that has taken over meanwhile may have given its number to another transaction: what it says is then
        only believed where it means that ours was not stored. Raises OutcomeUnknown otherwise, TimeoutError.
        """
        async with asyncio.timeout(self.patience):
            while True:
                try:
                    status, timeline = await self.read(_status, unsure.number)
                except DataError:  # a number that is still to come: ours did not come along
                    return False
                if status == "in progress" and timeline == unsure.timeline:
                    await asyncio.sleep(0.05)  # nobody tells
                    continue
                if status == "committed" and timeline != unsure.timeline:
                    raise OutcomeUnknown(f"transaction {unsure.number} was begun on another server") from unsure.error
                return status == "committed"

    def _tell(self, changes: frozenset[Change]) -> None:
        for listener in tuple(self._listeners):
            try:
                listener(changes)
            except Exception:  # the work is stored, and the others are to hear of it
                log.exception("listener failed")

    async def read(self, query: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `query(session, ...)`, which must not write, on one state of the database; as patient as `run`."""
        loop = asyncio.get_running_loop()
        work = partial(self._read_once, lambda session: query(session, *args, **kwargs))
        return await self._patiently(lambda: loop.run_in_executor(self._readers, work))

    def _read_once(self, query: Callable[[Session], T]) -> T:
        with self._reading() as session:
            return query(session)

    @contextlib.asynccontextmanager
    async def alone(self, work: str) -> AsyncIterator[bool]:
        """Hold some work while no other process on the same server does; False when one does (advisory locks).

        A process that dies lets go of it with its connection. An SQLite file has one process, which is always alone.
        """
        if not self.shared:
            yield True
            return
        key = zlib.crc32(work.encode())
        connection = await asyncio.to_thread(self._take_lock, key)
        if connection is None:
            yield False
            return
        over = asyncio.Event()
        moving = asyncio.create_task(_keep_moving(connection, over))
        try:
            yield True
        finally:
            over.set()
            await asyncio.wait((moving,))
            await asyncio.to_thread(_let_go, connection, key)

    def _take_lock(self, key: int) -> Connection | None:
        connection = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            connection.execute(text(f"SET idle_session_timeout = '{LOCK_IDLE_SECONDS}s'"))
            if connection.scalar(select(func.pg_try_advisory_lock(key))):
                return connection
        except BaseException:
            connection.invalidate()
            connection.close()
            raise
        connection.execute(text("RESET idle_session_timeout"))
        connection.close()
        return None

    async def _patiently(self, action: Callable[[], Awaitable[T]]) -> T:
        try:
            return await action()
        except Exception as error:
            # The machinery of retrying costs more than a short transaction: it is made only where needed.
            if not _is_passing(error):
                raise
            log.warning("database busy or away, trying again", error=repr(error))
        async for attempt in AsyncRetrying(
            retry=retry_if_exception(_is_passing),
            stop=stop_after_delay(self.patience),
            wait=wait_random_exponential(multiplier=0.05, max=1.0),
            reraise=True,
        ):
            with attempt:
                result = await action()
        return result

    async def close(self) -> None:
        """Wait for what is under way, and close all connections."""
        await asyncio.to_thread(self._end)

    def _end(self) -> None:
        self._writers.shutdown()
        self._readers.shutdown()
        self.engine.dispose()


class OutcomeUnknown(Exception):
    """The connection was lost at a commit, and the server cannot tell how it ended: to repeat it might do it twice."""


class _CommitUnsure(Exception):
    """The connection was lost while a transaction was committed: nobody has told whether it was."""

    def __init__(
        self, number: str, timeline: int | None, result: Any, changes: frozenset[Change], error: DBAPIError
    ) -> None:
        self.number, self.timeline, self.result, self.changes, self.error = number, timeline, result, changes, error


_TIMELINE = (
    "SELECT CASE WHEN pg_is_in_recovery() THEN NULL "
    "ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END"
)
"""Another number after each promotion of a standby, from its first moment on."""


def _note_timeline(connection: psycopg.Connection[Any], record: Any) -> None:
    with connection.cursor() as cursor:
        row = cursor.execute(_TIMELINE).fetchone()
    connection.commit()
    record.info["timeline"] = row[0] if row else None


def _status(session: Session, number: str) -> tuple[str | None, int | None]:
    query = text("SELECT pg_xact_status(CAST(:number AS xid8))")
    return session.scalar(query, {"number": number}), session.scalar(text(_TIMELINE))


async def _keep_moving(connection: Connection, over: asyncio.Event) -> None:
    """Let the server see that this process is not frozen, until it is over."""
    with contextlib.suppress(DBAPIError):  # then the lock is lost as well
        while not over.is_set():
            try:
                async with asyncio.timeout(LOCK_IDLE_SECONDS / 4):
                    await over.wait()
            except TimeoutError:
                await asyncio.to_thread(connection.execute, text("SELECT 1"))


def _let_go(connection: Connection, key: int) -> None:
    try:
        connection.execute(select(func.pg_advisory_unlock(key)))
        connection.execute(text("RESET idle_session_timeout"))
    except DBAPIError:  # it lost its lock with its connection
        connection.invalidate()
    finally:
        connection.close()


def _make_private(_dialect: Dialect, _record: Any, arguments: list[Any], options: dict[str, Any]) -> None:
    """Make a new SQLite file its owner's only, whatever the umask: it holds callers' data.

    SQLite gives the files beside it the same rights. One that exists must not be opened here: closing it would end all
    locks that this process holds on it, and with them the life of the write-ahead log (sqlite.org/howtocorrupt.html,
    2.2).
    """
    path = arguments[0]
    if not options.get("uri") and path != ":memory:":
        with contextlib.suppress(OSError):
            os.close(os.open(os.path.realpath(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None
    # SQLite does not wait where others open a new file at the same moment.
    patience = Retrying(
        retry=retry_if_exception(_is_locked), stop=stop_after_delay(5), wait=wait_fixed(0.02), reraise=True
    )
    for attempt in patience:
        with attempt:
            connection.execute("PRAGMA journal_mode=WAL")
    for pragma in ("synchronous=NORMAL", "foreign_keys=ON", "busy_timeout=2000"):
        connection.execute(f"PRAGMA {pragma}")


def _is_locked(error: BaseException) -> bool:
    return isinstance(error, sqlite3.OperationalError) and "locked" in str(error)


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writes") else "BEGIN")


def _is_passing(error: BaseException) -> bool:
    """Whether the same work may succeed a moment later."""
    if isinstance(error, StaleDataError):  # another process changed the row between our reading and our writing
        return True
    if isinstance(error, OperationalError):
        # PostgreSQL's are passing: no connection, shutting down, deadlock, cannot serialise. Of SQLite's only this one.
        return not isinstance(error.orig, sqlite3.Error) or "locked" in str(error.orig)
    return isinstance(error, DBAPIError) and error.connection_invalidated
