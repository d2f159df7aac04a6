"""`make bench`: Centralino beside Asterisk's own `Queue()` and `VoiceMail()` on the same Asterisk."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table

from benchmarks import callers, screen
from benchmarks.measure import CENTRALINO, NATIVE, TO_AGENTS, Meter, Round, Row, in_turn, route, summed_up
from benchmarks.screen import Pops, Transcripts, all_transcribed
from benchmarks.site import AGENTS, MESSAGES, VOICEMAIL, Site, open_site
from benchmarks.tables import ms, ratio, verdict

PAGES_RATE, PAGES_AGENTS = 10, 20
MOST_CPU = {"Queue()": 1.0, "VoiceMail()": 1.3}
"""Our aim: at most this many times the processor time of Asterisk's own."""
MOST_POP_MS = 100.0


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    rates: tuple[int, ...]
    rounds: int
    seconds: float
    """Of calls, in each round."""
    long_calls: int
    """Calls as long as people's, in each of two rounds."""
    message_rates: tuple[int, ...]
    message_rounds: int
    pops: int
    transcripts: int


FULL = Plan((10, 20, 40), 5, 3.0, 60, (10,), 3, 100, 20)
QUICK = Plan((10, 40), 1, 3.0, 20, (10,), 1, 20, 6)
LONG_RATE, LONG_SECONDS, LONG_ROUNDS = 2, 20.0, 2


async def routing(site: Site, plan: Plan, progress: Progress, task: TaskID) -> list[Round]:
    """Calls to agents: Centralino's direct line and Queue(), in changing order."""
    rounds = []
    await site.staff(len(AGENTS))
    site.agents.talk_seconds = 1.0
    await site.measure_idle(4)
    for number in range(plan.rounds):
        for rate in plan.rates:
            for system, line in in_turn(number, TO_AGENTS):
                rounds.append(await route(site, system, line, rate, plan.seconds))
                progress.advance(task)
    return rounds


async def long_calls(site: Site, plan: Plan, progress: Progress, task: TaskID) -> list[Round]:
    """Calls with sound both ways that last: what they cost is mostly carrying the sound, which both ways must."""
    rounds = []
    site.agents.talk_seconds = LONG_SECONDS
    for number in range(LONG_ROUNDS):
        for system, line in in_turn(number, TO_AGENTS):
            seconds = plan.long_calls / LONG_RATE
            rounds.append(await route(site, system, line, LONG_RATE, seconds, sound=True))
            progress.advance(task)
    return rounds


async def messages(site: Site, plan: Plan, progress: Progress, task: TaskID) -> list[Round]:
    """Messages: Centralino (with live transcription) and VoiceMail(), in changing order."""
    rounds = []
    await site.staff(0)
    await site.measure_idle(3)
    for number in range(plan.message_rounds):
        for rate in plan.message_rates:
            for system, line in in_turn(number, ((CENTRALINO, MESSAGES), (NATIVE, VOICEMAIL))):
                rounds.append(await take_messages(site, system, line, rate, plan.seconds))
                progress.advance(task)
    return rounds


async def take_messages(site: Site, system: str, line: str, rate: int, seconds: float) -> Round:
    """One row of messages; a call fails when it breaks off, or its message is not there afterwards."""
    count = int(rate * seconds)
    there, meter = await _messages_there(site, system), Meter(site)
    called = await callers.call("message", line, site.sip_port, site.folder, count=count, rate=rate)
    await site.quiet()
    if system == CENTRALINO:
        await site.world.until(all_transcribed, within=60)
    cost = meter.round(system, rate, count, 0)
    kept = await _messages_there(site, system) - there
    return replace(cost, failed=count - min(called.completed, kept))


async def _messages_there(site: Site, system: str) -> int:
    return await site.filed() if system == CENTRALINO else len(list(site.mailbox.glob("msg*.txt")))


async def run(folder: Path, plan: Plan, console: Console) -> dict[str, Any]:
    """Measure, show the tables, and give the figures."""
    async with open_site(folder) as site:
        with Progress(console=console, transient=True) as progress:
            steps = plan.rounds * len(plan.rates) * 2 + plan.message_rounds * len(plan.message_rates) * 2 + 3
            steps += LONG_ROUNDS * 2
            task = progress.add_task("calling", total=steps)
            routed = summed_up(await routing(site, plan, progress, task))
            idle = site.idle
            long = summed_up(await long_calls(site, plan, progress, task))
            recorded = summed_up(await messages(site, plan, progress, task))
            written = await screen.transcripts(site, plan.transcripts)
            progress.advance(task)
            idle_pops = await screen.pops_idle(site, plan.pops)
            progress.advance(task)
            busy, busy_pops = await screen.pops_at_work(site, PAGES_RATE, plan.seconds, PAGES_AGENTS)
            progress.advance(task)
        problems = _problems(site)
    busy_row = summed_up([busy])[0]
    console.print(_side_by_side("Calls to agents", "Queue()", routed, waits=True))
    lasting = f"Calls of {LONG_SECONDS:.0f} s with sound both ways"
    console.print(_side_by_side(lasting, "Queue()", long))
    console.print(_side_by_side("Messages", "VoiceMail()", recorded, recognisers=True))
    console.print(_pops(idle_pops, busy_pops, busy_row))
    console.print(_written(written))
    console.print(
        f"Without a call: Asterisk {idle.asterisk * 1000:.1f}, service {idle.service * 1000:.1f} ms of processor time "
        f"a second, with {len(AGENTS)} registered phones; taken off the figures above."
    )
    for problem in problems:
        console.print(f"[yellow]{problem}[/]")
    return {
        "idle_ms_per_second": {"asterisk": idle.asterisk * 1000, "service": idle.service * 1000},
        "routing": [asdict(row) for row in routed],
        "long_calls": [asdict(row) for row in long],
        "messages": [asdict(row) for row in recorded],
        "pops_idle": asdict(idle_pops),
        "pops_at_work": {**asdict(busy_pops), "agents_with_pages": PAGES_AGENTS, "cost": asdict(busy_row)},
        "transcripts": asdict(written),
        "problems": problems,
    }


def _problems(site: Site) -> list[str]:
    """What the service complained about, so that a bad figure can be explained."""
    log = (site.world.folder / "service.log").read_text(errors="replace")
    kinds: dict[str, int] = {}
    for line in log.splitlines():
        if any(level in line.lower() for level in ("warning", "error")):
            words = " ".join(line.split()[2:8]) or line[:80]
            kinds[words] = kinds.get(words, 0) + 1
    worst = sorted(kinds.items(), key=lambda entry: -entry[1])[:8]
    return [f"service log, {count} times: {words}" for words, count in worst]


def _side_by_side(title: str, native: str, rows: list[Row], *, waits: bool = False, recognisers: bool = False) -> Table:
    table = Table(
        title=f"{title}: Centralino and {native} on the same Asterisk; processor time in ms for each call.\n"
        'Centralino\'s "Asterisk" is the floor: what the same steps over ARI cost before the service has done anything'
    )
    for name in ("calls/s", "system", "calls", "failed"):
        table.add_column(name, justify="left" if name == "system" else "right")
    columns = ["Asterisk", "service", "both", "low - high", "ratio"]
    columns += ["wait p50, ms", "p95, ms"] * waits + ["recogniser, ms"] * recognisers
    for name in columns:
        table.add_column(name, justify="right")
    natives = {row.rate: row.cpu_ms for row in rows if row.system == NATIVE}
    for row in rows:
        ours = row.system == CENTRALINO
        table.add_row(
            str(row.rate),
            row.system if ours else native,
            str(row.calls),
            str(row.failed),
            ms(row.cpu_asterisk_ms),
            ms(row.cpu_service_ms) if ours else "",
            ms(row.cpu_ms),
            f"{row.lowest_cpu_ms:.1f} - {row.highest_cpu_ms:.1f}",
            ratio(row.cpu_ms, natives.get(row.rate), MOST_CPU[native]) if ours else "",
            *((ms(row.to_agent_p50_ms), ms(row.to_agent_p95_ms)) if waits else ()),
            *((ms(row.cpu_recognisers_ms) if ours else "",) if recognisers else ()),
            end_section=not ours,
        )
    return table


def _pops(idle: Pops, busy: Pops, cost: Row) -> Table:
    table = Table(title="Screen-pop: from the caller's INVITE to the agent's page")
    for name in ("", "calls", "seen", "before the phone rang", "p50, ms", "p95, ms", "slowest, ms", "lead p50, ms"):
        table.add_column(name, justify="right")
    names = (
        "one call after the other",
        f"{cost.rate} calls/s, {PAGES_AGENTS} pages (service {cost.cpu_service_ms:.1f} ms CPU per call)",
    )
    for name, pops in zip(names, (idle, busy), strict=True):
        good = pops.p95_ms is not None and pops.p95_ms < MOST_POP_MS
        table.add_row(
            name,
            str(pops.calls),
            str(pops.seen),
            str(pops.before_ring),
            ms(pops.p50_ms),
            verdict(good, ms(pops.p95_ms)),
            ms(pops.slowest_ms),
            ms(pops.lead_p50_ms),
        )
    return table


def _written(written: Transcripts) -> Table:
    table = Table(title="From hanging up to the transcript stored on the ticket")
    for name in ("calls", "done", "with words", "p50, ms", "p95, ms", "slowest, ms"):
        table.add_column(name, justify="right")
    table.add_row(
        str(written.calls),
        str(written.done),
        str(written.with_words),
        ms(written.p50_ms),
        ms(written.p95_ms),
        ms(written.slowest_ms),
    )
    return table
