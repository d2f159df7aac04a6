"""`make bench ARGS=in-progress`: what a call costs while many others are in progress.

On top of the calls that are held comes a row of short ones. What the held calls use by themselves is taken off, so that
the figures are those of one short call more. Held calls send no sound: that is Asterisk's work alone and the same for
everybody, and 400 voices would leave no processor for anything else. Who waits hears music.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks import callers
from benchmarks.measure import CENTRALINO, NATIVE, TO_AGENTS, Round, Row, in_one, in_turn, route
from benchmarks.site import AGENTS, QUEUE_TALKING, QUEUE_WAITING, TALKING, WAITING, Site, open_site
from benchmarks.tables import ms, ratio
from centralino.rig.world import Colleague, World

MOST = 1.2
"""Our aim: a call among many costs, and waits, at most this many times what one among few does."""
FIRST_EXTENSION = 2000
HOLD_RATE = 20.0


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    few: int
    many: int
    rounds: int
    rate: int
    seconds: float
    idle_seconds: float


FULL = Plan(10, 400, 2, 10, 15.0, 8.0)
QUICK = Plan(10, 60, 1, 10, 5.0, 4.0)


@dataclass(frozen=True)
class Way:
    """A way to hold calls: who holds them, at which number, and in how many channels each."""

    name: str
    system: str
    number: str
    line: str
    """Where the short calls go."""
    channels: int


def ways() -> list[Way]:
    """Waiting with music, and talking; Centralino's and Asterisk's own."""
    numbers = {CENTRALINO: (WAITING, TALKING), NATIVE: (QUEUE_WAITING, QUEUE_TALKING)}
    return [
        Way(name, system, number, line, channels)
        for name, which, channels in (("waiting", 0, 1), ("talking", 1, 2))
        for system, line in TO_AGENTS
        for number in (numbers[system][which],)
    ]


@contextlib.asynccontextmanager
async def held(site: Site, way: Way, count: int) -> AsyncIterator[None]:
    """So many calls in progress. Raises RuntimeError when one of them does not last."""
    site.agents.talk_seconds = 3600.0
    calling = asyncio.create_task(
        callers.call(
            "route",
            way.number,
            site.sip_port,
            site.folder,
            count=count,
            rate=HOLD_RATE,
            patience=900,
            longest=900,
            sound_port=site.agents.sound.caller_port,
        )
    )
    try:
        there = 0
        try:
            async with asyncio.timeout(count / HOLD_RATE + 60):
                while (there := await site.channels()) < count * way.channels and not calling.done():  # noqa: ASYNC110
                    await asyncio.sleep(0.5)
        except TimeoutError:
            raise RuntimeError(
                f"only {there} channels came of {count} {way.system} {way.name} calls with {way.channels} each"
            ) from None
        # callers that wait hear words after eight seconds, once
        await asyncio.sleep(12 if way.name == "waiting" else 2)
        yield
        if (there := await site.channels()) != count * way.channels:
            raise RuntimeError(
                f"{there} channels are left of {count} {way.system} {way.name} calls with {way.channels} each"
            )
        await site.world.asterisk.cli("channel request hangup all")
        await calling
    finally:
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
    await site.quiet()


async def measure(site: Site, way: Way, count: int, plan: Plan) -> Round:
    """Short calls on top of so many held ones."""
    talking = way.name == "talking"
    await site.staff(len(AGENTS) + (count if talking else 0))
    async with held(site, way, count):
        site.agents.talk_seconds = 1.0
        await site.measure_idle(plan.idle_seconds)
        return await route(
            site,
            way.system,
            way.line,
            plan.rate,
            plan.seconds,
            channels=count * way.channels,
            talks=count if talking and way.system == CENTRALINO else 0,
        )


async def run(folder: Path, plan: Plan, console: Console) -> dict[str, Any]:
    """Measure, show the table, and give the figures."""
    holders = [Colleague(f"holder{n}", f"Holder {n}", str(FIRST_EXTENSION + n), ("tenuta",)) for n in range(plan.many)]
    rounds: dict[tuple[Way, int], list[Round]] = {}
    async with open_site(folder, [*AGENTS, *holders], calls=plan.many + 60, before=_let_them_be_silent) as site:
        with Progress(console=console, transient=True) as progress:
            task = progress.add_task("calling", total=plan.rounds * len(ways()) * 2)
            for number in range(plan.rounds):
                for way in in_turn(number, ways()):
                    for count in in_turn(number, (plan.few, plan.many)):
                        rounds.setdefault((way, count), []).append(await measure(site, way, count, plan))
                        progress.advance(task)
    rows = {key: in_one(found) for key, found in rounds.items()}
    console.print(_table(rows, plan))
    return {"in_progress": [{**asdict(way), "held": count, **asdict(row)} for (way, count), row in rows.items()]}


async def _let_them_be_silent(world: World) -> None:
    """Asterisk hangs up calls without sound after a minute; held ones here have none and last longer."""
    conf = world.asterisk.folder / "etc/centralino-pjsip.conf"
    told = conf.read_text()
    if "rtp_timeout=60\n" not in told:
        raise RuntimeError("the templates have changed: rtp_timeout=60 is not there")
    conf.write_text(told.replace("rtp_timeout=60\n", "rtp_timeout=0\n"))
    await world.asterisk.cli("module reload res_pjsip.so")


def _table(rows: dict[tuple[Way, int], Row], plan: Plan) -> Table:
    table = Table(
        title=f"One call more, at {plan.rate} calls/s: processor time in ms for each, and the wait for an agent"
    )
    for name in ("held calls are", "system"):
        table.add_column(name)
    columns = ("held", "calls", "failed", "Asterisk", "service", "both", "ratio", "wait p50, ms", "ratio", "p95, ms")
    for name in (*columns, "ratio", "processors, %"):
        table.add_column(name, justify="right")
    for way in ways():
        few = rows[way, plan.few]
        for count in (plan.few, plan.many):
            row = rows[way, count]
            ratios = ("", "", "")
            if count == plan.many:
                ratios = (
                    ratio(row.cpu_ms, few.cpu_ms, MOST),
                    ratio(row.to_agent_p50_ms, few.to_agent_p50_ms, MOST),
                    ratio(row.to_agent_p95_ms, few.to_agent_p95_ms, MOST),
                )
            table.add_row(
                way.name,
                way.system if way.system == CENTRALINO else "Queue()",
                *(str(count), str(row.calls), str(row.failed)),
                ms(row.cpu_asterisk_ms),
                ms(row.cpu_service_ms) if way.system == CENTRALINO else "",
                ms(row.cpu_ms),
                *(ratios[0], ms(row.to_agent_p50_ms), ratios[1], ms(row.to_agent_p95_ms), ratios[2]),
                f"{row.busy_percent:.0f}",
                end_section=count == plan.many,
            )
    return table
