"""`make bench ARGS=desks`: one service with 500 open desks.

Each desk is a log-in of its own with its password, and a websocket that offers compression as browsers do. An event
is a request that one of them registers: it is timed from that click to its arrival at every desk. The desks are one
process beside the service, so that their own work is in the time as well.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
import psutil
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from benchmarks.measure import percentile
from benchmarks.site import site_calls
from benchmarks.tables import ms, verdict
from centralino.rig.world import PASSWORD, Colleague, ServiceProcess, World

MOST_MS = 200.0
"""Our aim: an event is at 95 of 100 desks within this time."""
LOG_INS_AT_ONCE = 8
PATIENCE = 30.0
OPEN_REQUESTS = 100
"""Work that is there when the desks open."""


@dataclass(frozen=True)
class Plan:
    """How much is measured: desks, events one after the other, and seconds of events at a rate."""

    desks: int
    events: int
    rate: float
    seconds: float


FULL = Plan(500, 100, 5.0, 30.0)
QUICK = Plan(100, 20, 5.0, 6.0)


@dataclass(frozen=True)
class Told:
    """How soon events were at the desks; milliseconds from the click."""

    events: int
    desks: int
    missed: int
    """Arrivals that did not come within 30 s, of events times desks."""
    p50_ms: float | None
    p95_ms: float | None
    slowest_ms: float | None
    last_desk_p95_ms: float | None
    """Until an event was at all desks."""
    service_ms: float
    """Processor time of the service for each event."""


class Desk:
    """One open page: it reads what comes, and notes when each event was there."""

    def __init__(self, url: str, username: str) -> None:
        self.url, self.username = url, username
        self.heard: dict[str, float] = {}
        self.bytes_of_snapshot = 0
        self._reading: asyncio.Task[None] | None = None

    async def log_in(self, http: httpx.AsyncClient) -> None:
        """Log in as a person does."""
        http.cookies.clear()
        answer = await http.post("/api/session", json={"username": self.username, "password": PASSWORD})
        answer.raise_for_status()
        self.cookie = "; ".join(f"{one.name}={one.value}" for one in answer.cookies.jar)

    async def open(self, stack: contextlib.AsyncExitStack) -> None:
        """Open the websocket; done when the snapshot is there."""
        self.socket: ClientConnection = await stack.enter_async_context(
            connect(
                self.url.replace("http", "ws", 1) + "/api/live",
                additional_headers={"cookie": self.cookie},
                origin=self.url,  # type: ignore[arg-type]
                proxy=None,
                max_size=None,
                open_timeout=PATIENCE,
            )
        )
        self.bytes_of_snapshot = len(await self.socket.recv(decode=False))
        self._reading = asyncio.create_task(self._read())
        stack.push_async_callback(self._stop)

    async def _read(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                message = await self.socket.recv(decode=False)
                at = time.perf_counter()
                begin = message.find(b'"event ')
                while begin >= 0:
                    end = message.find(b'"', begin + 1)
                    self.heard.setdefault(message[begin + 1 : end].decode(), at)
                    begin = message.find(b'"event ', end)

    async def _stop(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)


class Floor:
    """All desks, and the service they are connected to."""

    def __init__(self, url: str, process: ServiceProcess, desks: Sequence[Desk]) -> None:
        self.url, self.desks = url, desks
        self._service = psutil.Process(process.pid)
        self._numbers = 0

    def memory(self) -> float:
        """What the service's process holds, in MB."""
        return float(self._service.memory_full_info().uss) / 1e6

    def cpu(self) -> float:
        """Seconds of processor time used so far by the service."""
        times = self._service.cpu_times()
        return float(times.user + times.system)

    async def tell(self, http: httpx.AsyncClient) -> tuple[str, float]:
        """Register a request; gives its name, and when that was."""
        self._numbers += 1
        name = f"event {self._numbers}"
        form = {"kind": "problem", "area": "application", "channel": "in_person", "subject": name}
        at = time.perf_counter()
        answer = await http.post("/api/requests", content=orjson.dumps(form))
        answer.raise_for_status()
        return name, at

    async def heard_by_all(self, name: str) -> None:
        """Wait until an event is at every desk, or for 30 s."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while not all(name in desk.heard for desk in self.desks):  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.02)


async def run(folder: Path, plan: Plan, console: Console) -> dict[str, Any]:
    """Measure, show a table, and give all figures."""
    async with _service(folder, plan.desks) as (world, process):
        with Progress(console=console, transient=True) as progress:
            desks = [Desk(world.desk_url, one.username) for one in world.colleagues]
            floor = Floor(world.desk_url, process, desks)
            logging_in = progress.add_task("log-ins", total=plan.desks)
            began = time.perf_counter()
            await _log_in_all(world.desk_url, desks, lambda: progress.advance(logging_in))
            log_ins = time.perf_counter() - began
            headers = {"content-type": "application/json", "origin": world.desk_url, "cookie": desks[0].cookie}
            async with (
                httpx.AsyncClient(base_url=world.desk_url, headers=headers, trust_env=False) as http,
                contextlib.AsyncExitStack() as stack,
            ):
                for _ in range(OPEN_REQUESTS):
                    await floor.tell(http)
                before, began = floor.memory(), time.perf_counter()
                await asyncio.gather(*(desk.open(stack) for desk in desks))
                opened = time.perf_counter() - began
                await _quiet(floor)
                held = floor.memory()
                measuring = progress.add_task("events", total=plan.events)
                calm = await _one_by_one(floor, http, plan.events, lambda: progress.advance(measuring))
                steady = await _at_a_rate(floor, http, plan.rate, plan.seconds)
                after = floor.memory()
    figures = {
        "plan": asdict(plan),
        "log_in_ms": log_ins * 1000 / plan.desks,
        "all_opened_ms": opened * 1000,
        "snapshot_bytes": desks[0].bytes_of_snapshot,
        "memory_before_mb": before,
        "memory_per_desk_kb": (held - before) * 1000 / plan.desks,
        "memory_per_desk_after_kb": (after - before) * 1000 / plan.desks,
        "one_by_one": asdict(calm),
        "at_a_rate": asdict(steady),
        "failed": bool(calm.missed or steady.missed),
    }
    _show(console, plan, figures, {"one after the other": calm, f"{plan.rate:g} a second": steady})
    return figures


@contextlib.asynccontextmanager
async def _service(folder: Path, count: int) -> AsyncIterator[tuple[World, ServiceProcess]]:
    colleagues = [Colleague(f"agent{n}", f"Agent {n}", str(2000 + n), ("diretta",)) for n in range(count)]
    world = World(folder, site_calls(), colleagues=colleagues, benchmarks=True)
    async with world, world.process() as process:
        await process.start()
        await process.in_service()
        yield world, process


async def _log_in_all(url: str, desks: Sequence[Desk], done: Any) -> None:
    waiting = list(desks)
    headers = {"origin": url}

    async def some() -> None:
        async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=PATIENCE) as http:
            while waiting:
                await waiting.pop().log_in(http)
                done()

    await asyncio.gather(*(some() for _ in range(LOG_INS_AT_ONCE)))


async def _quiet(floor: Floor) -> None:
    """Wait until the service has told everybody that everybody is there."""
    used = -1.0
    while floor.cpu() - used > 0.05:
        used = floor.cpu()
        await asyncio.sleep(1.0)


async def _one_by_one(floor: Floor, http: httpx.AsyncClient, count: int, done: Any) -> Told:
    sent: dict[str, float] = {}
    used = floor.cpu()
    for _ in range(count):
        name, at = await floor.tell(http)
        sent[name] = at
        await floor.heard_by_all(name)
        done()
        await asyncio.sleep(0.1)
    return _told(floor, sent, floor.cpu() - used)


async def _at_a_rate(floor: Floor, http: httpx.AsyncClient, rate: float, seconds: float) -> Told:
    sent: dict[str, float] = {}
    used, begin = floor.cpu(), time.perf_counter()
    telling: set[asyncio.Task[tuple[str, float]]] = set()
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, begin + number / rate - time.perf_counter()))
        telling.add(asyncio.create_task(floor.tell(http)))
    for name, at in await asyncio.gather(*telling):
        sent[name] = at
    for name in sent:
        await floor.heard_by_all(name)
    return _told(floor, sent, floor.cpu() - used)


def _told(floor: Floor, sent: dict[str, float], used: float) -> Told:
    took = [[(desk.heard[name] - at) * 1000 for desk in floor.desks if name in desk.heard] for name, at in sent.items()]
    every = [one for times in took for one in times]
    return Told(
        events=len(sent),
        desks=len(floor.desks),
        missed=len(sent) * len(floor.desks) - len(every),
        p50_ms=percentile(every, 50),
        p95_ms=percentile(every, 95),
        slowest_ms=max(every, default=None),
        last_desk_p95_ms=percentile([max(times) for times in took if times], 95),
        service_ms=used * 1000 / max(1, len(sent)),
    )


def _show(console: Console, plan: Plan, figures: dict[str, Any], rows: dict[str, Told]) -> None:
    table = Table("events", "number", "missed", "p50 ms", "p95 ms", "slowest ms", "at all desks, p95 ms", "service ms")
    for name, told in rows.items():
        p95 = "-" if told.p95_ms is None else verdict(told.p95_ms < MOST_MS, f"{told.p95_ms:.0f}")
        missed = verdict(not told.missed, str(told.missed))
        table.add_row(
            *(name, str(told.events), missed, ms(told.p50_ms), p95, ms(told.slowest_ms)),
            *(ms(told.last_desk_p95_ms), ms(told.service_ms)),
        )
    console.print(f"{plan.desks} desks at one service; from the click that registers a request to each desk")
    console.print(table)
    console.print(
        f"log-in {figures['log_in_ms']:.0f} ms each, {LOG_INS_AT_ONCE} at once; all desks opened together had their "
        f"snapshot ({figures['snapshot_bytes'] / 1000:.0f} kB) after {figures['all_opened_ms'] / 1000:.1f} s; memory "
        f"{figures['memory_per_desk_kb']:.0f} kB a desk ({figures['memory_per_desk_after_kb']:.0f} after the events), "
        f"on {figures['memory_before_mb']:.0f} MB"
    )
