"""The database: one engine, the base of all tables, and the two ways to use it.

`Database.run(operation, ...)` runs one function in one transaction and, when it is committed, tells the listeners what
changed. `Database.read(query, ...)` runs a function that only reads. Operations and queries are plain functions whose
first argument is the session; the session is the unit of work.

It lives in `tickets` because that is the rightmost package that stores anything.
"""

import asyncio
import contextlib
import enum
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Concatenate, ParamSpec, TypeVar

import structlog
from sqlalchemy import DateTime, Dialect, Enum, MetaData, event, types
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.orm.exc import StaleDataError
from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_random_exponential

from tickets import sqlite

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


@dataclass(frozen=True, slots=True)
class Change:
    """A hint that a row was committed: `kind` is the table's word (call, agent, request, message, outbox)."""

    kind: str
    id: int | str


Listener = Callable[[frozenset[Change]], None]
"""Called after each commit with what changed; must not block and must not raise."""


def announce(session: AsyncSession, kind: str, id: int | str) -> None:  # noqa: A002 - the field's own name
    """Note a change; the listeners hear of it once the transaction is committed, and never if it is not."""
    session.info.setdefault("changes", set()).add(Change(kind, id))


def create_engine(url: str, **options: Any) -> AsyncEngine:
    """An engine of SQLAlchemy as this project uses it; the options are those of `create_async_engine`."""
    return create_async_engine(
        url,
        hide_parameters=True,  # errors are logged, and what was written is callers' data
        connect_args={"async_creator_fn": sqlite.connect} if url.startswith("sqlite") else {},
        **options,
    )


class Database:
    """One database: an SQLite file or a PostgreSQL server.

    `url` is a SQLAlchemy one: `sqlite+aiosqlite:///path` or `postgresql+psycopg://...`. Transactions that fail
    because the database is locked or the connection was lost are run again, whole, for up to `patience` seconds.
    """

    def __init__(self, url: str, patience: float = 20.0) -> None:
        self.url = url
        self.patience = patience
        self.is_sqlite = url.startswith("sqlite")
        # SQLite knows one writer at a time: queue for it here rather than in its busy handler, which is unfair.
        self._writer: contextlib.AbstractAsyncContextManager[Any] = (
            asyncio.Lock() if self.is_sqlite else contextlib.nullcontext()
        )
        # No ping before use: it costs a round trip each time, and lost connections are met by running again.
        self.engine = create_engine(url)
        if self.is_sqlite:
            event.listen(self.engine.sync_engine, "connect", _prepare_sqlite)
        self.session = async_sessionmaker(self.engine, expire_on_commit=False)
        self._listeners: list[Listener] = []

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` after each commit that announced changes; returns a function that ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def run(
        self, operation: Callable[Concatenate[AsyncSession, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `operation(session, ...)` in one transaction and commit it.

        Raises whatever the operation raises (nothing is then stored), and `sqlalchemy.exc.OperationalError` when the
        database stayed locked or away for longer than `patience` seconds.
        """
        result, changes = await self._patiently(lambda: self._run_once(operation, *args, **kwargs))
        if changes:
            for listener in tuple(self._listeners):
                try:
                    listener(changes)
                except Exception:  # the work is stored: its caller must not take this for a failure
                    log.exception("listener failed")
        return result

    async def _run_once(
        self, operation: Callable[Concatenate[AsyncSession, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> tuple[T, frozenset[Change]]:
        async with self._writer, self.session() as session:
            result = await operation(session, *args, **kwargs)
            await session.commit()
            return result, frozenset(session.info.get("changes", ()))

    async def read(
        self, query: Callable[Concatenate[AsyncSession, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `query(session, ...)`, which must not write; as patient as `run`."""
        return await self._patiently(lambda: self._read_once(query, *args, **kwargs))

    async def _read_once(
        self, query: Callable[Concatenate[AsyncSession, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        async with self.session() as session:
            return await query(session, *args, **kwargs)

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
        """Close all connections."""
        await self.engine.dispose()


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA busy_timeout=2000")
    cursor.close()


def _is_passing(error: BaseException) -> bool:
    """Whether the same work may succeed a moment later."""
    if isinstance(error, StaleDataError):  # another process changed the row between our reading and our writing
        return True
    if isinstance(error, OperationalError):
        # PostgreSQL's are passing: no connection, shutting down, deadlock, cannot serialise. Of SQLite's only this one.
        return not isinstance(error.orig, sqlite3.Error) or "locked" in str(error.orig)
    return isinstance(error, DBAPIError) and error.connection_invalidated
