"""`make bench ARGS=soak`: thousands of calls in a row, and whether anything grew.

The calls come in portions. After each, when all calls are over, we look at what the service holds; the first portion is
there to warm up, and what it left is what the rest is compared with. The database holds years of work from the start:
on a small one the page caches of SQLite's connections (2 MB each) would fill only as it grows, and look like a leak.
"""

import asyncio
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from sqlalchemy.orm import Session

from benchmarks import callers
from benchmarks.measure import waits_of
from benchmarks.site import AGENTS, DIRECT, Site, open_site
from benchmarks.tables import verdict
from centralino.rig.history import fill_directory, fill_history
from centralino.rig.world import World

MOST_MEMORY = 1.05
"""Our aim: the service's memory at the end, of that after the warm-up."""
SLACK = {"tasks": 5, "in_hand": 0, "files": 15, "threads": 5, "channels": 0, "bridges": 0}
"""What may come without being growth: pools of threads and connections that fill when first needed, periodic jobs that
happen to run. One left behind by every thousandth call is more than that.
"""
TELLINGS = 3
"""How often the service must have told what it has in hand: its periodic jobs are tasks too, and the fewest count."""
TALK_SECONDS = 0.5
HISTORY = 100_000
"""Calls and requests that are in the database at the start."""


@dataclass(frozen=True)
class Plan:
    """How much is called."""

    calls: int
    portion: int
    rate: float


FULL = Plan(20_000, 2_000, 30.0)
QUICK = Plan(600, 200, 20.0)


@dataclass(frozen=True)
class Sample:
    """What there was when all calls were over; memory in MiB."""

    calls: int
    """Called so far."""
    failed: int
    memory: float
    """Of the service alone (USS): what ending it would give back."""
    resident: float
    """With what it shares with others (RSS)."""
    tasks: int
    in_hand: int
    """Calls that the service believes in."""
    files: int
    threads: int
    channels: int
    bridges: int
    asterisk_memory: float


async def look(site: Site, calls: int, failed: int) -> Sample:
    """Look at everything, once the service has told what it has in hand."""
    told = await _told(site)
    service, asterisk = psutil.Process(site.process.pid), psutil.Process(site.world.asterisk.pid)
    memory = service.memory_full_info()
    return Sample(
        calls=calls,
        failed=failed,
        memory=memory.uss / 2**20,
        resident=memory.rss / 2**20,
        tasks=min(entry["tasks"] for entry in told),
        in_hand=min(entry["calls"] for entry in told),
        files=service.num_fds(),
        threads=service.num_threads(),
        channels=await site.channels(),
        bridges=await site.bridges(),
        asterisk_memory=asterisk.memory_full_info().uss / 2**20,
    )


async def _told(site: Site) -> list[dict[str, int]]:
    """What the service says from now on of what it has in hand."""
    there = len(_tellings(site.process.log()))
    async with asyncio.timeout(60):
        while len(told := _tellings(site.process.log())[there:]) < TELLINGS:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.5)
    return told


def _tellings(log: str) -> list[dict[str, int]]:
    return [json.loads(line) for line in log.splitlines() if '"event": "in hand"' in line]


def tracebacks(log: str) -> list[str]:
    """The entries of a log that tell of an exception."""
    return [line for line in log.splitlines() if "Traceback" in line or '"exception":' in line]


def grown(first: Sample, last: Sample) -> list[str]:
    """What grew from one sample to a later one, by name."""
    found = [name for name, slack in SLACK.items() if getattr(last, name) > getattr(first, name) + slack]
    return found + (["memory"] if last.memory > first.memory * MOST_MEMORY else [])


async def run(folder: Path, plan: Plan, console: Console) -> dict[str, Any]:
    """Call, show the tables, and give the figures; `failed` tells whether something grew or went wrong."""
    samples: list[Sample] = []
    failed = 0
    async with open_site(folder, before=_years_of_work, options=("--log-level", "DEBUG")) as site:
        site.agents.talk_seconds = TALK_SECONDS
        await site.staff(len(AGENTS))
        with Progress(console=console, transient=True) as progress:
            task = progress.add_task("calling", total=plan.calls)
            for first in range(0, plan.calls, plan.portion):
                count = min(plan.portion, plan.calls - first)
                failed += await _portion(site, count, plan.rate)
                samples.append(await look(site, first + count, failed))
                progress.advance(task, count)
        wrong = tracebacks(site.process.log())
    larger = grown(samples[0], samples[-1])
    console.print(_table(samples, larger, plan))
    console.print(verdict(not failed, f"calls that failed: {failed}"))
    console.print(verdict(not wrong, f"tracebacks in the service's log: {len(wrong)}"))
    if wrong:
        console.print(wrong[0], markup=False)
    return {
        "soak": [asdict(sample) for sample in samples],
        "grown": larger,
        "tracebacks": len(wrong),
        "failed": bool(failed or wrong or larger),
    }


async def _years_of_work(world: World) -> None:
    def fill(session: Session) -> None:
        fill_directory(session.connection())
        fill_history(session.connection(), HISTORY)

    await world.database.run(fill)


async def _portion(site: Site, count: int, rate: float) -> int:
    """So many calls, to their end; returns how many failed."""
    patience = count / rate + 60
    called = await callers.call("route", DIRECT, site.sip_port, site.folder, count=count, rate=rate, patience=patience)
    await site.quiet()
    return count - min(called.completed, len(waits_of(site, called)))


def _table(samples: list[Sample], larger: list[str], plan: Plan) -> Table:
    table = Table(title=f"{plan.calls:,} calls, {plan.rate:.0f} a second: what is there when all are over")
    shown = {
        "memory": "memory, MiB",
        "resident": "resident",
        "tasks": "tasks",
        "in_hand": "calls in hand",
        "files": "files",
        "threads": "threads",
        "channels": "channels",
        "bridges": "bridges",
        "asterisk_memory": "Asterisk, MiB",
    }
    for title in ("after calls", "failed", *shown.values()):
        table.add_column(title, justify="right")
    for sample in samples:
        values = (getattr(sample, name) for name in shown)
        texts = [f"{value:.1f}" if isinstance(value, float) else str(value) for value in values]
        table.add_row(f"{sample.calls:,}", str(sample.failed), *texts, end_section=sample is samples[-1])
    words = (
        "" if name not in {"memory", *SLACK} else verdict(name not in larger, _change(name, samples)) for name in shown
    )
    table.add_row("first to last", "", *words)
    return table


def _change(name: str, samples: list[Sample]) -> str:
    first, last = getattr(samples[0], name), getattr(samples[-1], name)
    return f"{(last / first - 1) * 100:+.1f} %" if name == "memory" else f"{last - first:+d}"
