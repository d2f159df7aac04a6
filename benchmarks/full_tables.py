"""`make bench ARGS=full-tables`: the same calls on an empty database, and on one with years of calls in it.

Both have the same agents and the same directory of people, who are the callers. Two sites run side by side, each with
an Asterisk and a service of its own, and are called in turn.
"""

import contextlib
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy import text
from sqlalchemy.orm import Session

from benchmarks.measure import CENTRALINO, Round, in_one, in_turn, percentile, route
from benchmarks.screen import Pops, pops_at_work
from benchmarks.site import AGENTS, DIRECT, Site, open_site
from benchmarks.tables import ms, ratio
from centralino.rig.history import CONTACTS, fill_directory, fill_history, number_of
from centralino.rig.postgres import PostgresServer
from centralino.rig.world import World

MOST = 1.1
"""Our aim: a call on full tables takes at most this many times what it does on empty ones."""
EMPTY, FULL_TABLES = "empty", "full"
SQLITE, POSTGRESQL = "SQLite", "PostgreSQL"


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    rows: int
    """Calls in the full database, and as many requests."""
    rounds: int
    rate: int
    seconds: float
    pages: int
    """Agents, each with a page open, in a row of calls of its own."""


FULL = Plan(1_000_000, 3, 10, 8.0, 20)
QUICK = Plan(20_000, 1, 10, 4.0, 20)


@dataclass
class Found:
    """All rounds of one database in one state."""

    calls: list[Round]
    with_pages: list[Round]
    pops: list[Pops]


async def on(database: str, folder: Path, urls: Sequence[str | None], plan: Plan, console: Console) -> dict[str, Found]:
    """Measure one kind of database; `urls` are of the empty and the full one."""

    async def prepare_empty(world: World) -> None:
        await world.database.run(_fill_directory)

    async def prepare_full(world: World) -> None:
        await prepare_empty(world)
        began = time.monotonic()
        await world.database.run(_fill_history, plan.rows)
        console.print(f"{database}: {plan.rows:,} calls and requests written in {time.monotonic() - began:.0f} s")

    async with contextlib.AsyncExitStack() as stack:
        sites: list[tuple[str, Site]] = []
        for state, url, prepare in zip((EMPTY, FULL_TABLES), urls, (prepare_empty, prepare_full), strict=True):
            below = folder / database / state
            below.mkdir(parents=True)
            sites.append(
                (state, await stack.enter_async_context(open_site(below, calls=60, database=url, before=prepare)))
            )
        found = {state: Found([], [], []) for state, _ in sites}
        for _, site in sites:
            await site.measure_idle(4)
        numbers = _Numbers()
        for number in range(plan.rounds):
            count = int(plan.rate * plan.seconds)
            callers, watched = numbers.take(count), numbers.take(count)
            for state, site in in_turn(number, sites):
                await site.staff(len(AGENTS))
                site.agents.talk_seconds = 1.0
                mine = found[state]
                mine.calls.append(await route(site, CENTRALINO, DIRECT, plan.rate, plan.seconds, numbers=callers))
                cost, pops = await pops_at_work(site, plan.rate, plan.seconds, plan.pages, watched)
                mine.with_pages.append(cost)
                mine.pops.append(pops)
        return found


def _fill_directory(session: Session) -> None:
    fill_directory(session.connection())


def _fill_history(session: Session, rows: int) -> None:
    if session.get_bind().dialect.name != "sqlite":
        session.execute(text("SET LOCAL statement_timeout = 0"))  # a million rows take longer than calls may wait
    fill_history(session.connection(), rows)


class _Numbers:
    """Callers of the directory, each once."""

    def __init__(self) -> None:
        self._next = 0

    def take(self, count: int) -> list[str]:
        first, self._next = self._next, self._next + count
        return [number_of(one % CONTACTS + 1) for one in range(first, self._next)]


async def run(folder: Path, plan: Plan, console: Console) -> dict[str, Any]:
    """Measure on both databases, show the tables, and give the figures."""
    found = {SQLITE: await on(SQLITE, folder, (None, None), plan, console)}
    with PostgresServer() as server:
        urls = (server.create_database("empty"), server.create_database("full"))
        found[POSTGRESQL] = await on(POSTGRESQL, folder, urls, plan, console)
    console.print(_table(found, plan))
    return {
        "full_tables": [
            {
                "database": database,
                "tables": state,
                "rows": plan.rows if state == FULL_TABLES else 0,
                "calls": asdict(in_one(one.calls)),
                "with_pages": asdict(in_one(one.with_pages)),
                "pops": [asdict(pops) for pops in one.pops],
            }
            for database, states in found.items()
            for state, one in states.items()
        ]
    }


def _table(found: dict[str, dict[str, Found]], plan: Plan) -> Table:
    table = Table(title=f"{plan.rows:,} calls and as many requests in the tables, or none; {plan.rate} calls/s")
    for name in ("database", "pages", "tables"):
        table.add_column(name)
    columns = (
        "calls",
        "failed",
        "service, ms a call",
        "ratio",
        "wait p50, ms",
        "ratio",
        "p95, ms",
        "ratio",
        "pop p50, ms",
    )
    for name in (*columns, "ratio"):
        table.add_column(name, justify="right")
    for database, states in found.items():
        for pages in (0, plan.pages):
            empty: tuple[float | None, ...] = (None,) * 4
            for state, one in states.items():
                row = in_one(one.with_pages if pages else one.calls)
                pop = percentile([p for pops in one.pops if (p := pops.p50_ms) is not None], 50) if pages else None
                values = (row.cpu_service_ms, row.to_agent_p50_ms, row.to_agent_p95_ms, pop)
                table.add_row(
                    *(database, str(pages), state, str(row.calls), str(row.failed)),
                    *(text for pair in zip(values, empty, strict=True) for text in _beside(*pair)),
                    end_section=state == FULL_TABLES,
                )
                empty = values
    return table


def _beside(value: float | None, empty: float | None) -> tuple[str, str]:
    return ms(value), "" if empty is None else ratio(value, empty, MOST)
