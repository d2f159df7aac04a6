"""`python -m benchmarks`: measure, show tables, and on request write the figures as JSON."""

import asyncio
import json
import os
import platform
import subprocess
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks import measure
from benchmarks.measure import CENTRALINO, NATIVE, Plan, Pops, Row, Transcripts
from benchmarks.site import AGENTS, Site, open_site
from centralino.rig.asterisk import find_asterisk
from centralino.terminal import terminal

PAGES_RATE, PAGES_AGENTS = 10, 20
MOST_CPU = 1.1
"""Our aim: at most this many times the processor time of Queue()."""
MOST_POP_MS = 100.0


def main(
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures there as well.")] = None,
    quick: Annotated[bool, typer.Option(help="Fewer calls: a first look.")] = False,
) -> None:
    """Measure Centralino side by side with Asterisk's own queue and voicemail, on an Asterisk of its own."""
    console = terminal()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="centralino-bench-") as folder:
        figures = asyncio.run(_run(Path(folder), measure.QUICK if quick else measure.FULL, console))
    figures["seconds"] = round(time.monotonic() - began)
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        console.print(f"The same as JSON: {json_file}")


async def _run(folder: Path, plan: Plan, console: Console) -> dict[str, Any]:
    machine = _machine()
    console.print(" | ".join(machine.values()))
    console.print("Starting Asterisk, the service and the agents' phones ...")
    async with open_site(folder) as site:
        with Progress(console=console, transient=True) as progress:
            steps = plan.rounds * len(plan.rates) * 2 + plan.message_rounds * len(plan.message_rates) * 2 + 3
            steps += measure.LONG_ROUNDS * 2
            task = progress.add_task("calling", total=steps)
            routed = measure.summed_up(await measure.routing(site, plan, progress, task))
            idle = site.idle
            long = measure.summed_up(await measure.long_calls(site, plan, progress, task))
            recorded = measure.summed_up(await measure.messages(site, plan, progress, task))
            written = await measure.transcripts(site, plan.transcripts)
            progress.advance(task)
            idle_pops = await measure.pops_idle(site, plan.pops)
            progress.advance(task)
            busy, busy_pops = await measure.pops_at_work(site, PAGES_RATE, plan.seconds, PAGES_AGENTS)
            progress.advance(task)
        problems = _problems(site)
    busy_row = measure.summed_up([busy])[0]
    console.print(_side_by_side("Calls to agents", "Queue()", routed, waits=True))
    lasting = f"Calls of {measure.LONG_SECONDS:.0f} s with sound both ways"
    console.print(_side_by_side(lasting, "Queue()", long, waits=True))
    console.print(_side_by_side("Messages", "VoiceMail()", recorded, waits=False))
    console.print(_pops(idle_pops, busy_pops, busy_row))
    console.print(_written(written))
    console.print(
        f"Without a call: Asterisk {idle.asterisk * 1000:.1f}, service {idle.service * 1000:.1f} ms of processor time "
        f"a second, with {len(AGENTS)} registered phones; taken off the figures above."
    )
    for problem in problems:
        console.print(f"[yellow]{problem}[/]")
    return {
        "machine": machine,
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


def _machine() -> dict[str, str]:
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    version = subprocess.run([find_asterisk(), "-V"], capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    return {
        "processor": f"{os.cpu_count()} x {model}",
        "load": f"load average before {os.getloadavg()[0]:.1f}",
        "system": f"{platform.system()} {platform.release()}",
        "python": f"Python {platform.python_version()}",
        "asterisk": version,
    }


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _side_by_side(title: str, native: str, rows: list[Row], *, waits: bool) -> Table:
    table = Table(title=f"{title}: Centralino and {native} on the same Asterisk; processor time in ms for each call")
    for name in ("calls/s", "system", "calls", "failed"):
        table.add_column(name, justify="left" if name == "system" else "right")
    columns = ["Asterisk", "service", "both", "low - high", "ratio"]
    columns += ["wait p50, ms", "p95, ms"] if waits else ["recogniser, ms"]
    for name in columns:
        table.add_column(name, justify="right")
    natives = {row.rate: row.cpu_ms for row in rows if row.system == NATIVE}
    for row in rows:
        ratio = row.cpu_ms / natives[row.rate] if natives.get(row.rate) else float("nan")
        ours = row.system == CENTRALINO
        table.add_row(
            str(row.rate),
            row.system if ours else native,
            str(row.calls),
            str(row.failed),
            _ms(row.cpu_asterisk_ms),
            _ms(row.cpu_service_ms) if ours else "",
            _ms(row.cpu_ms),
            f"{row.lowest_cpu_ms:.1f} - {row.highest_cpu_ms:.1f}",
            (f"[{'green' if ratio <= MOST_CPU else 'red'}]{ratio:.2f}[/]" if ours else ""),
            *(
                (_ms(row.to_agent_p50_ms), _ms(row.to_agent_p95_ms))
                if waits
                else (_ms(row.cpu_recognisers_ms) if ours else "",)
            ),
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
            _ms(pops.p50_ms),
            f"[{'green' if good else 'red'}]{_ms(pops.p95_ms)}[/]",
            _ms(pops.slowest_ms),
            _ms(pops.lead_p50_ms),
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
        _ms(written.p50_ms),
        _ms(written.p95_ms),
        _ms(written.slowest_ms),
    )
    return table


if __name__ == "__main__":
    typer.run(main)
