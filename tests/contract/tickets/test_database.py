"""The database's two verbs, on both databases."""

import asyncio
import contextlib
import sqlite3
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Self, cast

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session

from centralino.rig.postgres import PostgresServer
from tickets.changes import MISSED, Change
from tickets.database import Database, announce
from tickets.models import Company

pytestmark = pytest.mark.contract


def rename(session: Session, company_id: int, name: str) -> None:
    session.execute(update(Company).where(Company.id == company_id).values(name=name))


class CutAtCommit:
    """Stands before a PostgreSQL server, and cuts the connection of the first commit: after it arrives, or before."""

    def __init__(self, server_port: int, *, arrives: bool) -> None:
        self._server_port, self._arrives = server_port, arrives
        self.cuts = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        back = asyncio.create_task(self._copy(up_reader, writer))
        self._tasks |= {back, cast("asyncio.Task[None]", asyncio.current_task())}
        try:
            while data := await reader.read(65536):
                if b"COMMIT" in data and self.cuts == 0:
                    self.cuts += 1
                    back.cancel()
                    if self._arrives:
                        up_writer.write(data)
                        await up_reader.read(65536)
                    return
                up_writer.write(data)
        finally:
            back.cancel()
            for one in (writer, up_writer):
                one.close()
                with contextlib.suppress(ConnectionError):
                    await one.wait_closed()

    @staticmethod
    async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)


def add(session: Session, name: str) -> int:
    company = Company(name=name)
    session.add(company)
    session.flush()
    announce(session, "company", company.id)
    return company.id


def names(session: Session) -> list[str]:
    return list(session.scalars(select(Company.name).order_by(Company.name)))


async def test_an_operation_is_stored_and_then_announced(database: Database) -> None:
    heard: list[frozenset[Change]] = []
    unsubscribe = database.subscribe(heard.append)
    company_id = await database.run(add, "ASL Bari")
    assert heard == [frozenset({Change("company", company_id)})]
    unsubscribe()
    await database.run(add, "ASL Lecce")
    assert len(heard) == 1
    assert await database.read(names) == ["ASL Bari", "ASL Lecce"]


async def test_an_operation_that_fails_stores_and_announces_nothing(database: Database) -> None:
    heard: list[frozenset[Change]] = []
    database.subscribe(heard.append)

    def fail(session: Session) -> None:
        add(session, "ASL Bari")
        raise LookupError("after the change")

    with pytest.raises(LookupError):
        await database.run(fail)
    assert heard == []
    assert await database.read(names) == []


async def test_a_listener_that_fails_harms_neither_the_work_nor_the_others(database: Database) -> None:
    heard: list[frozenset[Change]] = []

    def broken(_changes: frozenset[Change]) -> None:
        raise RuntimeError("listener")

    database.subscribe(broken)
    database.subscribe(heard.append)
    await database.run(add, "ASL Bari")
    assert len(heard) == 1


async def test_many_operations_at_once_are_all_stored(database: Database) -> None:
    await asyncio.gather(*(database.run(add, f"Azienda {n:02}") for n in range(40)))
    assert await database.read(names) == [f"Azienda {n:02}" for n in range(40)]


async def test_a_cancelled_operation_is_stored_whole_or_not_at_all_and_leaves_no_lock(database: Database) -> None:
    heard: list[frozenset[Change]] = []
    database.subscribe(heard.append)
    # Cancelled at every point of its way: each number of loop rounds is another point.
    for rounds in range(60):
        task = asyncio.create_task(database.run(add, f"Azienda {rounds}"))
        for _ in range(rounds):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await database.run(add, "ASL Bari")
    await database.close()  # waits for those that are still brought to their end
    await asyncio.sleep(0)  # and lets the last be told
    other = Database(database.url, patience=1)
    stored = await other.read(names)
    assert "ASL Bari" in stored
    assert len(heard) == len(stored)
    # Another connection may write too: no transaction was left open.
    await other.run(add, "ASL Lecce")
    await other.close()


async def test_who_stops_waiting_does_not_undo_what_has_begun_and_it_is_told(database: Database) -> None:
    begun, go_on, heard = threading.Event(), threading.Event(), asyncio.Event()
    database.subscribe(lambda _: heard.set())

    def slow(session: Session) -> None:
        begun.set()
        go_on.wait(10)
        add(session, "ASL Bari")

    task = asyncio.create_task(database.run(slow))
    await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    async with asyncio.timeout(10):
        await heard.wait()
    assert await database.read(names) == ["ASL Bari"]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_a_locked_database_is_waited_for_and_not_for_ever(database: Database, tmp_path: Path) -> None:
    await database.run(add, "ASL Bari")
    blocker = sqlite3.connect(tmp_path / "fresh.db", isolation_level=None, check_same_thread=False)
    blocker.execute("BEGIN IMMEDIATE")
    waiting = asyncio.create_task(database.run(add, "ASL Lecce"))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    assert await database.read(names) == ["ASL Bari"]  # reading goes on
    blocker.execute("COMMIT")
    await waiting

    blocker.execute("BEGIN IMMEDIATE")
    hasty = Database(database.url, patience=0.1)
    with pytest.raises(OperationalError, match="locked"):
        await hasty.run(add, "ASL Taranto")
    await hasty.close()
    blocker.close()


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_lost_connections_are_replaced_without_the_caller_noticing(
    database: Database, postgres_server: PostgresServer
) -> None:
    await database.run(add, "ASL Bari")
    await asyncio.to_thread(postgres_server.restart)
    assert await database.read(names) == ["ASL Bari"]
    await database.run(add, "ASL Lecce")
    await asyncio.to_thread(postgres_server.restart)
    await database.run(add, "ASL Taranto")
    assert len(await database.read(names)) == 3


@pytest.mark.parametrize("arrives", [True, False], ids=["the commit arrives", "the commit is lost"])
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_a_connection_lost_at_the_commit_neither_loses_nor_repeats_the_work(
    database: Database, arrives: bool
) -> None:
    async with CutAtCommit(database.engine.url.port or 0, arrives=arrives) as proxy:
        url = database.engine.url.set(host="127.0.0.1", port=proxy.port, query={})
        cut = Database(url.render_as_string(hide_password=False), patience=5)
        heard: list[frozenset[Change]] = []
        cut.subscribe(heard.append)
        company_id = await cut.run(add, "ASL Bari")
        assert proxy.cuts == 1
        assert await cut.read(names) == ["ASL Bari"]
        assert heard == [frozenset({Change("company", company_id)})]
        await cut.close()


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_a_process_that_freezes_in_the_middle_of_a_transaction_holds_the_others_up_for_seconds_only(
    database: Database,
) -> None:
    company_id = await database.run(add, "ASL Bari")
    locked, thaw = threading.Event(), threading.Event()

    def freeze(session: Session) -> None:
        if not locked.is_set():
            session.execute(update(Company).where(Company.id == company_id).values(name="ASL Foggia"))
            locked.set()
            thaw.wait()

    frozen = Database(database.url, patience=1)
    freezing = asyncio.create_task(frozen.run(freeze))
    await asyncio.to_thread(locked.wait)
    await database.run(rename, company_id, "ASL Lecce")
    thaw.set()
    await freezing  # its connection was taken from it: it does its work anew, on a new one
    assert await database.read(names) == ["ASL Lecce"]
    await frozen.close()


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_what_was_missed_while_the_hints_were_away_is_told(
    database: Database, postgres_server: PostgresServer
) -> None:
    other, missed = Database(database.url), asyncio.Event()
    other.subscribe(lambda changes: missed.set() if Change(MISSED, 0) in changes else None)
    async with other.hearing_others(), asyncio.timeout(20):
        await database.read(names)
        await _listening(database)
        await asyncio.to_thread(postgres_server.restart)
        await missed.wait()
    await other.close()


async def _listening(database: Database) -> None:
    """Wait until another process listens."""
    query = text("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()")
    while not await database.read(lambda session: session.scalar(query)):  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.05)


async def test_an_error_of_the_database_is_not_tried_again(database: Database) -> None:
    runs = 0

    def wrong(session: Session) -> None:
        nonlocal runs
        runs += 1
        session.execute(text("SELECT nothing FROM nowhere"))

    with pytest.raises(DBAPIError):
        await database.run(wrong)
    assert runs == 1


async def test_times_come_back_in_utc_and_naive_ones_are_refused(database: Database) -> None:
    from tickets.models import Request

    def compare(session: Session, at: datetime) -> bool | None:
        return session.scalar(select(func.count()).select_from(Request).where(Request.opened_at < at)) == 0

    assert await database.read(compare, datetime.now(UTC))
    with pytest.raises(Exception, match="naive datetime"):
        await database.read(compare, datetime(2026, 1, 1))  # noqa: DTZ001 - the point of the test
