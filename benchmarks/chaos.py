"""`make chaos`: calls and messages on a pool of workers, of which something is killed every few seconds; what is lost.

Killed are a worker (SIGKILL, and started anew), a recogniser, the desk that runs apart, a connection of the database
(`pg_terminate_backend`), or a websocket of Asterisk's; or a worker is told to stop, as a deployment does it.
`make chaos ARGS=outage` has all workers dead for ten minutes instead (`benchmarks.outage`).
"""

import asyncio
import contextlib
import itertools
import json
import random
import re
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import psutil
import typer
from rich.table import Table
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from benchmarks import callers, outage
from benchmarks.callers import SOUND, a_law
from benchmarks.measure import percentile
from benchmarks.pool import DESK, TALK_SECONDS, WORKERS, ledger_complete, pool
from benchmarks.site import DIRECT, MESSAGES, SPEECH, all_free, site_calls
from benchmarks.tables import machine
from centralino.rig.postgres import PostgresServer
from centralino.rig.world import ServiceProcess, World
from centralino.terminal import terminal
from ivr import ledger
from ivr.models import Agent, Call, Offer, Outcome, Presence
from voicemail.models import Message, MessageState

HARM = (
    "dropped",
    "cut_talks",
    "lost_messages",
    "without_outcome",
    "without_row",
    "ledger_differences",
    "stuck_agents",
    "double_rings",
    "left_in_asterisk",
)


@dataclass(slots=True)
class Damage:
    """What a run did; all `HARM` should be zero."""

    calls: int
    messages: int
    kills: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    adoption_seconds: list[float] = field(default_factory=list)
    """From each kill to the moment its last call was taken up."""
    dropped: int = 0
    """Calls that ended otherwise than the caller or the agent wanted it."""
    cut_talks: int = 0
    lost_messages: int = 0
    without_outcome: int = 0
    without_row: int = 0
    ledger_differences: int = 0
    """Calls on which our rows and Asterisk's own records do not agree, without an explanation."""
    stuck_agents: int = 0
    double_rings: int = 0
    left_in_asterisk: int = 0


Kills = list[tuple[str, float]]
"""What was killed, and when (time.time())."""


class Killer:
    """Kills something every so many seconds, until it is told to stop."""

    def __init__(self, world: World, processes: dict[str, ServiceProcess], every: float, seed: int) -> None:
        self.world, self.processes, self.every = world, processes, every
        self.kills: Kills = []
        self._chosen = random.Random(seed)  # noqa: S311 - only what is killed when

    async def run(self) -> None:
        """Never returns."""
        ways = {
            "worker": self._worker,
            "worker told to stop": self._stop,
            "recogniser": self._recogniser,
            "desk": self._desk,
            "database connection": self._connection,
            "websocket": self._websocket,
        }
        while True:
            await asyncio.sleep(self.every)
            what = self._chosen.choice(["worker", "worker", *ways])
            self.kills.append((what, time.time()))
            await ways[what]()

    async def _worker(self) -> None:
        process = self.processes[self._chosen.choice(WORKERS)]
        await process.kill()
        await process.start()

    async def _stop(self) -> None:
        process = self.processes[self._chosen.choice(WORKERS)]
        await process.terminate()
        await process.start()

    async def _desk(self) -> None:
        await self.processes[DESK].kill()
        await self.processes[DESK].start()

    async def _websocket(self) -> None:
        told = await self.world.asterisk.cli("ari show websocket sessions")
        if sessions := re.findall(r"^([0-9a-f-]{36}) +inbound", told, re.MULTILINE):
            await self.world.asterisk.cli(f"ari shutdown websocket session {self._chosen.choice(sessions)}")

    async def _recogniser(self) -> None:
        workers = [psutil.Process(process.pid) for process in self.processes.values() if process.running]
        if found := [child for worker in workers for child in worker.children()]:
            with contextlib.suppress(psutil.NoSuchProcess):
                self._chosen.choice(found).kill()

    async def _connection(self) -> None:
        await self.world.read(_kill_a_connection)


def _kill_a_connection(session: Session) -> None:
    one = (
        "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1) AS one"
    )
    session.execute(text(one))


async def run(folder: Path, *, count: int, rate: float, every: float, seed: int) -> Damage:
    """One run: so many calls and a quarter as many messages, and a kill every so many seconds."""
    messages = count // 4
    with PostgresServer() as server:
        async with pool(folder, server.create_database("chaos"), site_calls()) as (world, processes):
            work = folder / "callers"
            work.mkdir()
            a_law(SPEECH, work / SOUND, 5.0)
            killer = Killer(world, processes, every, seed)
            killing = asyncio.create_task(killer.run())
            port, patience = world.asterisk.sip_port, count / rate + 120
            called, told = await asyncio.gather(
                callers.call("route", DIRECT, port, work, count=count, rate=rate, patience=patience),
                callers.call("message", MESSAGES, port, work, count=messages, rate=rate / 4, patience=patience),
            )
            killing.cancel()
            await asyncio.gather(killing, return_exceptions=True)
            for process in processes.values():
                if not process.running:
                    await process.start()
            await world.until_quiet(within=60)
            await world.until(all_free)
            await world.until(_none_recording, within=60)
            await world.until(ledger_complete, within=90)
            damage = await world.read(_damage, [*called.sent, *told.sent])
            damage.calls, damage.messages = count, messages
            damage.kills = Counter(what for what, _ in killer.kills)
            damage.dropped = count - called.completed + messages - told.completed
            damage.lost_messages += len(list(world.asterisk.recording_spool.glob("*.wav")))  # on no ticket
            damage.left_in_asterisk = len(await world.asterisk.channel_names())
            damage.adoption_seconds = _adoptions(killer.kills, [process.log() for process in processes.values()])
            return damage


def _none_recording(session: Session) -> bool:
    recording = select(Message.id).where(Message.state == MessageState.RECORDING)
    return session.scalar(recording.limit(1)) is None


def _damage(session: Session, numbers: Iterable[str]) -> Damage:
    rows = session.scalars(select(Call)).all()
    by_number = Counter(row.caller for row in rows)
    talk = timedelta(seconds=TALK_SECONDS - 0.5)
    damage = Damage(0, 0, outcomes=Counter(str(row.outcome) for row in rows))
    damage.without_outcome = sum(row.outcome is None for row in rows)
    damage.without_row = sum(by_number[number] != 1 for number in numbers)
    damage.ledger_differences = sum(not found.explained for found in ledger.differences(session))
    answered = [row for row in rows if row.outcome is Outcome.ANSWERED]
    damage.cut_talks = sum(
        row.answered_at is None or row.ended_at is None or row.ended_at - row.answered_at < talk for row in answered
    )
    filed = set(session.scalars(select(Message.call_id).where(Message.state == MessageState.FILED)))
    damage.lost_messages = sum(row.outcome is Outcome.VOICEMAIL and row.id not in filed for row in rows)
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
    """From the kill of a worker to the moment its last call was taken up, as far as that was before the next kill."""
    taken = sorted(
        datetime.fromisoformat(entry["timestamp"]).timestamp()
        for log in logs
        for line in log.splitlines()
        if "taken up" in line and (entry := json.loads(line))
    )
    ends = [at for _, at in kills[1:]] + [float("inf")]
    found = []
    for (what, began), end in zip(kills, ends, strict=True):
        within = [at for at in taken if began <= at < end]
        if what == "worker" and within:
            found.append(within[-1] - began)
    return found


app = typer.Typer(add_completion=False)


@app.callback(invoke_without_command=True)
def default(
    context: typer.Context,
    calls: Annotated[int, typer.Option(help="Calls in all.")] = 500,
    rate: Annotated[float, typer.Option(help="Calls a second.")] = 4.0,
    every: Annotated[float, typer.Option(help="Seconds between two kills.")] = 2.0,
    seed: Annotated[int, typer.Option(help="Which worker is killed when.")] = 1,
) -> None:
    """Without a command: call a pool of two workers while something of it is killed every few seconds."""
    if context.invoked_subcommand is not None:
        return
    console = terminal()
    with tempfile.TemporaryDirectory(prefix="centralino-chaos-") as folder:
        damage = asyncio.run(run(Path(folder), count=calls, rate=rate, every=every, seed=seed))
    table = Table("what", "count")
    for name in ("calls", "messages", *HARM):
        table.add_row(name.replace("_", " "), str(getattr(damage, name)))
    table.add_row("killed", ", ".join(f"{number} x {what}" for what, number in damage.kills.most_common()))
    table.add_row("outcomes", ", ".join(f"{name} {number}" for name, number in damage.outcomes.most_common()))
    if damage.adoption_seconds:
        p95 = percentile(damage.adoption_seconds, 95)
        table.add_row("taken up, p50 / p95", f"{statistics.median(damage.adoption_seconds):.2f} / {p95:.2f} s")
    console.print(table)
    raise typer.Exit(any(getattr(damage, name) for name in HARM))


@app.command("outage")
def service_down(
    quick: Annotated[bool, typer.Option(help="Down for one minute: a first look.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures there as well.")] = None,
) -> None:
    """Both workers are dead for ten minutes while callers leave messages with the dialplan; what became of each."""
    console = terminal()
    of = machine()
    console.print(" | ".join(of.values()))
    with tempfile.TemporaryDirectory(prefix="centralino-chaos-") as folder:
        figures = asyncio.run(outage.run(Path(folder), outage.QUICK if quick else outage.FULL, console))
    if json_file is not None:
        json_file.write_text(json.dumps({"machine": of, **figures}, indent=2) + "\n", encoding="utf-8")
        console.print(f"The same as JSON: {json_file}")
    raise typer.Exit(bool(figures["failed"]))


if __name__ == "__main__":
    app()
