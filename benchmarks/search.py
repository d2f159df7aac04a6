"""`make bench ARGS=search`: finding one of a million requests while somebody types, and what it costs to file one.

On each kind of database: years of requests in words such as help desks write, as they were before there was a search;
then the migration that makes it. Every text is typed letter by letter, and each beginning of it is searched as the desk
does it, with the lines of its list.
"""

import asyncio
import contextlib
import random
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
from alembic import command
from alembic.script import ScriptDirectory
from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection, make_url, text
from sqlalchemy.orm import Session

from benchmarks.measure import percentile
from benchmarks.tables import verdict
from centralino import migrate
from centralino.rig.history import CONTACTS, NOW, fill_directory, fill_history, number_of
from centralino.rig.postgres import PostgresServer
from desk.queries import request_view
from desk.request_queries import found_requests
from desk.views import Which
from tickets.database import Database
from tickets.models import Channel, Kind
from tickets.notices import Notices, NoticeSettings
from tickets.operations import NewRequest, open_request
from tickets.ticket_numbers import ticket_number

MOST_MS = 100.0
"""Our aim: of all beginnings that are typed, 95 of 100 are answered within this."""
SQLITE, POSTGRESQL = "SQLite", "PostgreSQL"
REVISION = "0019"

COMMON = """
non la il di e che per con una stampante referto password computer utente errore schermo accesso reparto
paziente cartella ricetta non si apre stampa lenta bloccata scaduta chiuso aggiornamento modulo agenda
prenotazione ambulatorio laboratorio radiologia pronto soccorso cassetto etichette toner carta inceppata rete
cavo monitor tastiera mouse lettore smart card firma digitale certificato browser finestra pagina bianca
messaggio salvataggio perso dati anagrafica codice fiscale esenzione ticket cassa versamento ricevuta duplicato
doppio nominativo corretto sbagliato data nascita ricovero dimissione terapia farmaco piano consegna urgente
stamattina ieri oggi sempre ogni volta quando dopo riavvio telefono
"""
FIRST = """
Anna Maria Giuseppe Antonio Francesco Vito Nicola Rosa Angela Michele Domenico Lucia Teresa Paolo Marco Giulia
"""
LAST = """
Rossi Bianchi Lorusso Russo Greco De Santis Amoruso Caputo Colella Ferrante Marino Romano Conte Esposito D'Amico
Fanelli Lacasella Mastrorilli Palumbo Sforza Tarantini Ventrella Zaccaria
"""
SYLLABLES = """
ba be bi co da del di fa fi ga gio la le lo ma men mi na no pa per ra re ri sa se si ta te ti to tri va ve zio
"""


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    rows: int
    texts: int
    """Typed, of each kind."""
    filed: int
    """Requests, before the search is there and after."""


FULL = Plan(1_000_000, 12, 400)
QUICK = Plan(20_000, 3, 50)


class Words:
    """Texts of made-up requests, always the same: few words are in most of them, most words in few."""

    def __init__(self) -> None:
        self._chance = random.Random(1)  # noqa: S311 - no secret
        self._common, self._first, self._last = COMMON.split(), FIRST.split(), LAST.split()
        rare = {
            "".join(self._chance.choices(SYLLABLES.split(), k=self._chance.choice((2, 3, 3, 4)))) for _ in range(30_000)
        }
        self._words = (*self._common, *sorted(rare))
        self._weights = []
        total = 0.0
        for rank in range(len(self._words)):
            total += 1 / (rank + 3)
            self._weights.append(total)

    def some(self, count: int) -> str:
        """A text of so many words."""
        return " ".join(self._chance.choices(self._words, cum_weights=self._weights, k=count))

    def name(self) -> str:
        """A person's name."""
        return f"{self._chance.choice(self._first)} {self._chance.choice(self._last)}"

    def typed(self, count: int, rows: int) -> dict[str, list[str]]:
        """What people type, by kind; each is looked for from its first letter on."""
        any_of = self._chance.choice
        number = self._chance.randrange
        shown = [f"{n[3:6]} {n[6:9]} {n[9:]}" for n in (number_of(number(1, CONTACTS)) for _ in range(count))]
        return {
            "ticket number": [ticket_number(number(1, rows)) for _ in range(count)],
            "telephone": shown,
            "person": [self.name() for _ in range(count)],
            "a common word": [any_of([one for one in self._common if len(one) > 5]) for _ in range(count)],
            "a rare word": [any_of(self._words[2000:]) for _ in range(count)],
            "two words": [f"{any_of(self._common[9:])} {any_of(self._common[9:])}" for _ in range(count)],
            "person, word": [f"{any_of(self._last)} {any_of(self._common[9:])}" for _ in range(count)],
            "three rare words": [" ".join(any_of(self._words[200:]) for _ in range(3)) for _ in range(count)],
            "company, word": [f"azienda {number(1, 20)} {any_of(self._common[9:])}" for _ in range(count)],
        }


@dataclass(frozen=True)
class Answers:
    """How long beginnings of one kind of text took, in ms."""

    kind: str
    asked: int
    p50_ms: float
    p95_ms: float
    longest_ms: float
    longest: str


async def run(folder: Path, plan: Plan, console: Console) -> dict[str, Any]:
    """Measure on both databases, show the tables, and give the figures."""
    found = []
    async with contextlib.AsyncExitStack() as stack:
        for name in (SQLITE, POSTGRESQL):
            if name == SQLITE:
                url = f"sqlite:///{folder}/search.db"
            else:
                url = stack.enter_context(PostgresServer()).create_database("search")
            found.append(await _on(name, url, plan, console))
    return {"search": found, "failed": []}


async def _on(name: str, url: str, plan: Plan, console: Console) -> dict[str, Any]:
    words = Words()
    began = time.monotonic()
    await asyncio.to_thread(migrate._within, url, _as_it_was)
    await asyncio.to_thread(migrate._within, url, lambda connection: _fill(connection, plan.rows, words))
    console.print(f"{name}: {plan.rows:,} requests written in {time.monotonic() - began:.0f} s")
    before = await _file(url, plan.filed, words)
    size = _size(url)
    began = time.monotonic()
    await asyncio.to_thread(migrate.migrate, url)
    migration, grown = time.monotonic() - began, _size(url) - size
    if name == POSTGRESQL:
        with psycopg.connect(
            make_url(url).set(drivername="postgresql").render_as_string(False), autocommit=True
        ) as own:
            own.execute("VACUUM ANALYZE")
    after = await _file(url, plan.filed, words)
    answers = [answer async for answer in _typed(url, plan, words)]
    console.print(_table(name, plan, answers))
    filed = statistics.median(after) / statistics.median(before)
    console.print(
        f"{name}: search made for {plan.rows:,} requests in {migration:.0f} s, {grown / 1e6:,.0f} MB more; a request "
        f"filed in {statistics.median(before):.2f} ms before (p95 {percentile(before, 95):.2f}) and "
        f"{statistics.median(after):.2f} ms after (p95 {percentile(after, 95):.2f}): {filed:.2f} times"
    )
    return {
        "database": name,
        "rows": plan.rows,
        "migration_seconds": round(migration),
        "grown_bytes": grown,
        "filed_ms": {"before": before, "after": after},
        "answers": [asdict(answer) for answer in answers],
    }


def _as_it_was(connection: Connection) -> None:
    config = migrate._config(connection)
    before = ScriptDirectory.from_config(config).get_revision(REVISION).down_revision
    command.upgrade(config, str(before))


def _fill(connection: Connection, rows: int, words: Words) -> None:
    fill_directory(connection)
    fill_history(connection, rows)
    for statement, values in (
        (
            "UPDATE contact SET name = :a WHERE id = :id",
            ({"id": id_, "a": words.name()} for id_ in range(1, CONTACTS + 1)),
        ),
        (
            "UPDATE request SET ticket = :a, subject = :b, description = :c WHERE id = :id",
            (
                {"id": id_, "a": ticket_number(id_), "b": words.some(4), "c": words.some(25)}
                for id_ in range(1, rows + 1)
            ),
        ),
        (
            "UPDATE message SET transcript = :a WHERE request_id = :id",
            ({"id": n, "a": words.some(15)} for n in range(1, rows, 3)),
        ),
        (
            "INSERT INTO request_event (request_id, at, actor, kind, details, version)"
            " SELECT id, closed_at, 'agente1', 'note', :a, 2 FROM request WHERE id = :id AND closed_at IS NOT NULL",
            ({"id": n, "a": f'{{"text": "{words.some(12)}"}}'} for n in range(1, rows, 2)),
        ),
    ):
        batch = []
        for one in values:
            batch.append(one)
            if len(batch) == 10_000:
                connection.execute(text(statement), batch)
                batch = []
        if batch:
            connection.execute(text(statement), batch)


async def _file(url: str, count: int, words: Words) -> list[float]:
    """File requests, one after the other; how long each took, in ms."""
    notices = Notices(NoticeSettings(desk_name="Help Desk", sender="desk@desk.example"))
    database = Database(url)
    took = []
    try:
        for number in range(count + 20):
            new = NewRequest(
                kind=Kind.PROBLEM,
                area="application",
                channel=Channel.EMAIL,
                subject=words.some(4),
                description=words.some(25),
                contact_id=1 + number,
                company_id=1,
                phone=number_of(1 + number),
                received_at=NOW,
            )
            began = time.perf_counter()
            await database.run(open_request, new, notices, now=NOW + timedelta(seconds=number))
            took.append((time.perf_counter() - began) * 1000)
    finally:
        await database.close()
    return took[20:]


async def _typed(url: str, plan: Plan, words: Words) -> AsyncIterator[Answers]:
    database = Database(url)
    every: list[tuple[float, str]] = []
    try:
        for kind, texts in words.typed(plan.texts, plan.rows).items():
            took: list[tuple[float, str]] = []
            for one in texts:
                for letters in range(1, len(one) + 1):
                    began = time.perf_counter()
                    await database.read(_answer, one[:letters])
                    took.append(((time.perf_counter() - began) * 1000, one[:letters]))
            yield _answers(kind, took)
            every += took
        yield _answers("all", every)
    finally:
        await database.close()


def _answers(kind: str, took: Sequence[tuple[float, str]]) -> Answers:
    times = [ms for ms, _ in took]
    return Answers(kind, len(times), statistics.median(times), percentile(times, 95) or 0.0, *max(took))


def _answer(session: Session, typed: str) -> int:
    found = found_requests(session, Which.ALL, reader="agente1", text=typed, days=14, now=NOW)
    return sum(len(request_view(request).model_dump_json()) for request, _ in found.rows)


def _size(url: str) -> int:
    """Bytes of a database."""
    if url.startswith("sqlite"):
        return Path(make_url(url).database or "").stat().st_size
    with psycopg.connect(make_url(url).set(drivername="postgresql").render_as_string(False)) as connection:
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    return int(row[0]) if row else 0


def _table(name: str, plan: Plan, answers: Sequence[Answers]) -> Table:
    table = Table(title=f"{name}: one of {plan.rows:,} requests, searched with every letter that is typed")
    table.add_column("typed")
    for column in ("searches", "p50, ms", "p95, ms", "longest, ms"):
        table.add_column(column, justify="right")
    table.add_column("of")
    for one in answers:
        good = verdict(one.p95_ms <= MOST_MS, f"{one.p95_ms:.1f}")
        table.add_row(one.kind, str(one.asked), f"{one.p50_ms:.1f}", good, f"{one.longest_ms:.0f}", one.longest)
    return table
