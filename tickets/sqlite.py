"""SQLite with one trip to its thread per statement.

`aiosqlite` runs a connection in a thread of its own, and SQLAlchemy asks it to make a cursor, execute, fetch and
close: four trips per statement, each dearer than the statement itself. Here one trip executes and fetches; cursors are
made and closed where we are, which SQLite allows while nobody else uses the connection (the pool sees to that).
Measured, together with making the retry machinery only where needed: 28 % less processor time for an operation of one
SELECT, one UPDATE and the commit (1.36 to 0.98 ms), 34 % less for a read of one SELECT (0.70 to 0.46 ms).
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterable
from typing import Any, Self

import aiosqlite


class _Connection(aiosqlite.Connection):
    # False while the thread may still work for us: from the start of a statement to its end, and for good when the wait
    # for it was cancelled. Then what we see of the connection is not yet true, and all goes through the thread's queue.
    settled = True

    async def _connect(self) -> aiosqlite.Connection:
        try:
            return await super()._connect()
        except BaseException:
            # The file could not be opened, or we were cancelled meanwhile. The thread has been told to end, and nobody
            # waits for it: its last word could come to a loop that is closed, and be an error of its own.
            self._thread.join()
            raise

    def cursor(self) -> "_Cursor":  # type: ignore[override]
        return _Cursor(self, self._conn.cursor())

    async def commit(self) -> None:
        if not self.settled or self.in_transaction:
            await super().commit()

    async def rollback(self) -> None:
        if not self.settled or self.in_transaction:
            await super().rollback()
            self.settled = True


class _Cursor(aiosqlite.Cursor):
    _conn: _Connection
    _rows: list[Any]

    async def execute(self, sql: str, parameters: Iterable[Any] | None = None) -> Self:
        self._conn.settled = False
        self._rows = await self._execute(self._execute_and_fetch, sql, parameters or ())  # type: ignore[no-untyped-call]
        self._conn.settled = True
        return self

    def _execute_and_fetch(self, sql: str, parameters: Iterable[Any]) -> list[Any]:
        self._cursor.execute(sql, parameters)  # type: ignore[arg-type]
        return self._cursor.fetchall() if self._cursor.description else []

    async def executemany(self, sql: str, parameters: Iterable[Iterable[Any]]) -> Self:
        self._conn.settled = False
        await super().executemany(sql, parameters)
        self._conn.settled = True
        return self

    async def fetchall(self) -> Iterable[sqlite3.Row]:
        return self._rows

    async def close(self) -> None:
        if self._conn.settled:
            self._cursor.close()
        else:
            await super().close()

    async def __aenter__(self) -> Self:
        return self


def connect(path: str, **options: Any) -> aiosqlite.Connection:
    """Open a database file for SQLAlchemy's `async_creator_fn`; the options are those of `sqlite3.connect`."""
    options["check_same_thread"] = False
    connection = _Connection(lambda: _open(path, **options), iter_chunk_size=64)
    # As SQLAlchemy does with the connections it makes itself: one left open must not keep the process from ending.
    connection._thread.daemon = True
    return connection


def _open(path: str, **options: Any) -> sqlite3.Connection:
    if not options.get("uri") and path != ":memory:":
        # A new file is its owner's only, whatever the umask: it holds callers' data. SQLite gives the files beside it
        # the same rights. One that exists must not be opened here: closing it would end all locks that this process
        # holds on it, and with them the life of the write-ahead log (sqlite.org/howtocorrupt.html, 2.2).
        with contextlib.suppress(OSError):
            os.close(os.open(os.path.realpath(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    connection: sqlite3.Connection = sqlite3.connect(path, **options)
    return connection
