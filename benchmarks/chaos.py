"""`python -m benchmarks.chaos`: calls on a pool of workers of which one is killed every few seconds; what is lost."""

import asyncio
import itertools
import json
import random
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from sqlalchemy import select
from sqlalchemy.orm import Session

from benchmarks import callers
from benchmarks.agents import Agents
from benchmarks.callers import SOUND, a_law
from benchmarks.measure import percentile
from benchmarks.site import AGENTS, DIRECT, SPEECH, all_free, reachable, site_calls, staff
from centralino.rig.postgres import PostgresServer
from centralino.rig.world import ServiceProcess, World
from centralino.terminal import terminal
from ivr.models import Agent, Call, Offer, Outcome, Presence

WORKERS = ("uno", "due")
TALK_SECONDS = 8.0


@dataclass(slots=True)
class Damage:
    """What a run did: all but the first four fields must be zero."""

    calls: int
    kills: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    adoption_seconds: list[float] = field(default_factory=list)
    """From each kill to the moment its last call was taken up."""
    dropped: int = 0
    """Calls that ended otherwise than the caller or the agent wanted it."""
    cut_talks: int = 0
    without_outcome: int = 0
    without_row: int = 0
    stuck_agents: int = 0
    double_rings: int = 0
    left_in_asterisk: int = 0


@asynccontextmanager
async def pool(folder: Path, database: str) -> AsyncIterator[tuple[World, dict[str, ServiceProcess], Agents]]:
    """Asterisk, the agents' phones, and the workers, all in service."""
    async with World(
        folder,
        site_calls(),
        colleagues=AGENTS,
        settings_extra={"storage": {"database": database}},
        concurrent_calls=200,
        benchmarks=True,
        workers=WORKERS,
    ) as world:
        names = [colleague.extension for colleague in AGENTS]
        async with Agents(world.asterisk, names, talk_seconds=TALK_SECONDS) as agents:
            processes = {name: ServiceProcess(world, name) for name in WORKERS}
            try:
                for process in processes.values():
                    await process.start()
                    await process.in_service()
                await world.until(reachable)
                await world.database.run(staff, len(AGENTS), True)
                yield world, processes, agents
            finally:
                for process in processes.values():
                    await process.kill()


Kills = list[tuple[str, float]]
"""Which worker was killed, and when (time.time())."""


async def kill_in_turn(processes: dict[str, ServiceProcess], every: float, chosen: random.Random) -> Kills:
    """Kill a random worker every so many seconds (SIGKILL), and start it anew; ends when cancelled. Never returns."""
    kills: Kills = []
    try:
        while True:
            await asyncio.sleep(every)
            name = chosen.choice(WORKERS)
            kills.append((name, time.time()))
            await processes[name].kill()
            await processes[name].start()
    except asyncio.CancelledError:
        return kills


async def run(folder: Path, *, count: int, rate: float, every: float, seed: int) -> Damage:
    """One run: so many calls, so many a second, a kill every so many seconds."""
    with PostgresServer() as server:
        async with pool(folder, server.create_database("chaos")) as (world, processes, _):
            work = folder / "callers"
            work.mkdir()
            a_law(SPEECH, work / SOUND, 5.0)
            killing = asyncio.create_task(kill_in_turn(processes, every, random.Random(seed)))  # noqa: S311 - only which one
            patience = count / rate + 120
            called = await callers.call(
                "route", DIRECT, world.asterisk.sip_port, work, count=count, rate=rate, patience=patience
            )
            killing.cancel()
            kills = await killing
            for process in processes.values():
                if not process.running:
                    await process.start()
            await world.until_quiet(within=60)
            await world.until(all_free)
            damage = await world.read(_damage, called.sent.keys())
            damage.calls, damage.kills, damage.dropped = count, len(kills), count - called.completed
            damage.left_in_asterisk = len(await world.asterisk.channel_names())
            damage.adoption_seconds = _adoptions(kills, [process.log() for process in processes.values()])
            return damage


def _damage(session: Session, numbers: Iterable[str]) -> Damage:
    rows = session.scalars(select(Call)).all()
    by_number = Counter(row.caller for row in rows)
    talk = timedelta(seconds=TALK_SECONDS - 0.5)
    damage = Damage(0, outcomes=Counter(str(row.outcome) for row in rows))
    damage.without_outcome = sum(row.outcome is None for row in rows)
    damage.without_row = sum(by_number[number] != 1 for number in numbers)
    answered = [row for row in rows if row.outcome is Outcome.ANSWERED]
    damage.cut_talks = sum(
        row.answered_at is None or row.ended_at is None or row.ended_at - row.answered_at < talk for row in answered
    )
    damage.stuck_agents = sum(agent.presence is not Presence.FREE for agent in session.scalars(select(Agent)))
    offers: dict[int, list[Offer]] = {}
    for offer in session.scalars(select(Offer).order_by(Offer.offered_at)):
        offers.setdefault(offer.agent_id, []).append(offer)
    damage.double_rings = sum(
        before.ended_at is None or after.offered_at < before.ended_at
        for of_agent in offers.values()
        for before, after in itertools.pairwise(of_agent)
    )
    return damage


def _adoptions(kills: Kills, logs: Sequence[str]) -> list[float]:
    """How long after each kill the last of its calls was taken up, as far as that was before the next kill."""
    taken = sorted(
        datetime.fromisoformat(entry["timestamp"]).timestamp()
        for log in logs
        for line in log.splitlines()
        if "taken up" in line and (entry := json.loads(line))
    )
    ends = [at for _, at in kills[1:]] + [float("inf")]
    found = []
    for (_, began), end in zip(kills, ends, strict=True):
        if within := [at for at in taken if began <= at < end]:
            found.append(within[-1] - began)
    return found


def main(
    calls: Annotated[int, typer.Option(help="Calls in all.")] = 500,
    rate: Annotated[float, typer.Option(help="Calls a second.")] = 4.0,
    every: Annotated[float, typer.Option(help="Seconds between two kills.")] = 2.0,
    seed: Annotated[int, typer.Option(help="Which worker is killed when.")] = 1,
) -> None:
    """Call a pool of two workers while one of them is killed every few seconds, and tell what was lost."""
    console = terminal()
    with tempfile.TemporaryDirectory(prefix="centralino-chaos-") as folder:
        damage = asyncio.run(run(Path(folder), count=calls, rate=rate, every=every, seed=seed))
    table = Table("what", "count")
    for name in ("calls", "kills", "dropped", "cut_talks", "without_outcome", "without_row", "stuck_agents"):
        table.add_row(name.replace("_", " "), str(getattr(damage, name)))
    table.add_row("double rings", str(damage.double_rings))
    table.add_row("left in Asterisk", str(damage.left_in_asterisk))
    table.add_row("outcomes", ", ".join(f"{name} {number}" for name, number in damage.outcomes.most_common()))
    if damage.adoption_seconds:
        p95 = percentile(damage.adoption_seconds, 95)
        table.add_row("taken up, p50 / p95", f"{statistics.median(damage.adoption_seconds):.2f} / {p95:.2f} s")
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
