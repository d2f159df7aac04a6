"""`make bench ARGS=limit`: how many calls a second this machine carries; and many calls with sound for minutes.

The load generator and the agents' phones run on the same processors, so the limit is this machine's with all of them.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.measure import CENTRALINO, TO_AGENTS, Round, Row, in_one, in_turn, percentile, route
from benchmarks.site import AGENTS, Site, open_site
from benchmarks.sound import PACKET_SECONDS
from benchmarks.tables import ms

FULL_PERCENT = 97.0
"""From here on the processors count as full: what fails then, the machine failed."""
LEAST_RATE = 0.95
"""Of the calls a second asked for."""
LEAST_SOUND = 0.99
"""Of the packets of every call, at both ends."""


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    rates: tuple[int, ...]
    seconds: float
    """Of calls at each rate."""
    voices: int
    """Calls at once in the second part."""
    voice_seconds: float


FULL = Plan((10, 20, 30, 40, 60, 80, 100, 120), 8.0, 60, 300.0)
QUICK = Plan((10, 20, 40), 3.0, 20, 10.0)
TALK_SECONDS = 0.5
"""So short that 64 agents are enough for every rate."""


@dataclass(frozen=True)
class Voices:
    """Calls with sound both ways."""

    system: str
    calls: int
    failed: int
    packets: int
    """Sent by the agents."""
    at_callers: int
    back_at_agents: int
    worst_call: float
    """Share of its packets that came back, of the call with the fewest."""
    round_trip_p50_ms: float | None
    round_trip_p99_ms: float | None
    busy_percent: float

    @property
    def whole(self) -> bool:
        """Whether every call went through and was heard."""
        return not self.failed and self.worst_call >= LEAST_SOUND


async def steps(site: Site, plan: Plan) -> list[Row]:
    """Raise the rate for each system until calls fail or the processors are full."""
    rows: list[Row] = []
    given_up: set[str] = set()
    site.agents.talk_seconds = TALK_SECONDS
    await site.measure_idle(4)
    for number, rate in enumerate(plan.rates):
        for system, line in in_turn(number, TO_AGENTS):
            if system in given_up:
                continue
            count = int(rate * plan.seconds)
            try:
                found = await route(site, system, line, rate, plan.seconds)
            except TimeoutError:  # calls were left over
                found = Round(system, rate, count, count, 0.0, 0.0, 0.0)
            rows.append(in_one([found]))
            if gives_up(rows[-1]):
                given_up.add(system)
    return rows


def gives_up(row: Row) -> bool:
    """Whether calls failed, the processors were full, or SIPp could not call as fast as it should."""
    return bool(row.failed) or row.busy_percent >= FULL_PERCENT or row.reached_rate < row.rate * LEAST_RATE


def worse_than_native(rows: list[Row]) -> list[int]:
    """The rates at which Centralino's calls failed, Asterisk's own did not, and the processors were not full."""
    ours = {row.rate: row for row in rows if row.system == CENTRALINO}
    native = {row.rate: row for row in rows if row.system != CENTRALINO}
    return [
        rate
        for rate, row in ours.items()
        if row.failed and row.busy_percent < FULL_PERCENT and not (rate in native and native[rate].failed)
    ]


async def voices(site: Site, system: str, line: str, plan: Plan) -> Voices:
    """So many calls at once, both sides speaking, for so long."""
    rate = 4
    # the first still talks when the last has had its time
    site.agents.talk_seconds = plan.voice_seconds + plan.voices / rate
    found = await route(site, system, line, rate, plan.voices / rate, sound=True)
    sound = site.agents.sound
    each = sound.voices.values()
    enough = (plan.voice_seconds / PACKET_SECONDS) * LEAST_SOUND
    heard = sum(voice.sent >= enough for voice in each)
    return Voices(
        system=system,
        calls=found.calls,
        failed=max(found.failed, found.calls - heard),
        packets=sum(voice.sent for voice in each),
        at_callers=sum(voice.heard_by_caller for voice in each),
        back_at_agents=sum(voice.heard_by_agent for voice in each),
        worst_call=min((voice.heard_by_agent / max(voice.sent, 1) for voice in each), default=0.0),
        round_trip_p50_ms=percentile(sound.round_trips, 50),
        round_trip_p99_ms=percentile(sound.round_trips, 99),
        busy_percent=found.busy_percent,
    )


async def run(folder: Path, plan: Plan, console: Console) -> dict[str, Any]:
    """Measure, show the tables, and give the figures; `failed`: calls were lost that need not be."""
    async with open_site(folder) as site:
        await site.staff(len(AGENTS))
        spoken = [await voices(site, system, line, plan) for system, line in TO_AGENTS]
        rows = await steps(site, plan)
    console.print(_steps_table(rows))
    console.print(_voices_table(spoken, plan))
    worse = worse_than_native(rows)
    if worse:
        console.print(f"[red]Centralino's calls failed where Queue()'s did not, at {worse} calls/s[/]")
    return {
        "limit": [asdict(row) for row in rows],
        "voices": [asdict(one) for one in spoken],
        "failed": bool(worse) or not all(one.whole for one in spoken if one.system == CENTRALINO),
    }


def _steps_table(rows: list[Row]) -> Table:
    table = Table(
        title=f"Faster and faster, until calls fail or the processors are full; talks of {TALK_SECONDS} s; ms a call"
    )
    for name in (
        "calls/s",
        "system",
        "reached",
        "calls",
        "failed",
        "processors, %",
        "Asterisk, ms",
        "service, ms",
    ):
        table.add_column(name, justify="left" if name == "system" else "right")
    for name in ("wait p50, ms", "p95, ms"):
        table.add_column(name, justify="right")
    for row in rows:
        ours = row.system == CENTRALINO
        table.add_row(
            str(row.rate),
            row.system if ours else "Queue()",
            f"{row.reached_rate:.1f}",
            str(row.calls),
            f"[{'red' if row.failed else 'green'}]{row.failed}[/]",
            f"{row.busy_percent:.0f}",
            ms(row.cpu_asterisk_ms),
            ms(row.cpu_service_ms) if ours else "",
            ms(row.to_agent_p50_ms),
            ms(row.to_agent_p95_ms),
        )
    return table


def _voices_table(spoken: list[Voices], plan: Plan) -> Table:
    table = Table(title=f"{plan.voices} calls at once for {plan.voice_seconds:.0f} s, A-law both ways: what was heard")
    for name in ("system", "calls", "failed", "packets sent", "lost to callers", "lost on the way back"):
        table.add_column(name, justify="left" if name == "system" else "right")
    for name in ("worst call, %", "there and back p50, ms", "p99, ms", "processors, %"):
        table.add_column(name, justify="right")
    for one in spoken:
        table.add_row(
            one.system if one.system == CENTRALINO else "Queue()",
            str(one.calls),
            f"[{'green' if one.whole else 'red'}]{one.failed}[/]",
            f"{one.packets:,}",
            f"{one.packets - one.at_callers:,}",
            f"{one.at_callers - one.back_at_agents:,}",
            f"{one.worst_call * 100:.2f}",
            ms(one.round_trip_p50_ms),
            ms(one.round_trip_p99_ms),
            f"{one.busy_percent:.0f}",
        )
    return table
