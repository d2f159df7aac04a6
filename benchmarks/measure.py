"""What is measured, and how it is summed up."""

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass

import httpx
from rich.progress import Progress, TaskID
from sqlalchemy import select
from sqlalchemy.orm import Session

from benchmarks import callers
from benchmarks.site import AGENTS, DIRECT, MESSAGES, QUEUE, VOICEMAIL, Cpu, Site
from centralino.rig.desk import DeskClient
from voicemail.models import Message, TranscriptState

CENTRALINO, NATIVE = "Centralino", "Asterisk"


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


@dataclass(frozen=True)
class Round:
    """One system at one rate; milliseconds throughout."""

    system: str
    rate: int
    calls: int
    failed: int
    cpu_asterisk: float
    cpu_service: float
    cpu_recognisers: float
    to_agent: tuple[float, ...] = ()

    @property
    def cpu(self) -> float:
        """Of Asterisk and service for each call; recognisers apart."""
        return self.cpu_asterisk + self.cpu_service


@dataclass(frozen=True)
class Row:
    """All rounds of one system at one rate: medians of processor times, percentiles over all calls."""

    system: str
    rate: int
    calls: int
    failed: int
    cpu_asterisk_ms: float
    cpu_service_ms: float
    cpu_recognisers_ms: float
    cpu_ms: float
    lowest_cpu_ms: float
    highest_cpu_ms: float
    to_agent_p50_ms: float | None
    to_agent_p95_ms: float | None


def percentile(values: Iterable[float], percent: float) -> float | None:
    """The value below which that many percent are; None of nothing."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)] if ordered else None


def summed_up(rounds: Sequence[Round]) -> list[Row]:
    """Put the rounds of each system and rate together."""
    rows = []
    for rate, system in sorted({(one.rate, one.system) for one in rounds}, key=lambda key: (key[0], key[1] == NATIVE)):
        mine = [one for one in rounds if (one.rate, one.system) == (rate, system)]
        waits = [wait for one in mine for wait in one.to_agent]
        rows.append(
            Row(
                system=system,
                rate=rate,
                calls=sum(one.calls for one in mine),
                failed=sum(one.failed for one in mine),
                cpu_asterisk_ms=statistics.median(one.cpu_asterisk for one in mine),
                cpu_service_ms=statistics.median(one.cpu_service for one in mine),
                cpu_recognisers_ms=statistics.median(one.cpu_recognisers for one in mine),
                cpu_ms=statistics.median(one.cpu for one in mine),
                lowest_cpu_ms=min(one.cpu for one in mine),
                highest_cpu_ms=max(one.cpu for one in mine),
                to_agent_p50_ms=percentile(waits, 50),
                to_agent_p95_ms=percentile(waits, 95),
            )
        )
    return rows


# ----------------------------------------------------------------------------------------------------- side by side


async def routing(site: Site, plan: Plan, progress: Progress, task: TaskID) -> list[Round]:
    """Calls to agents: Centralino's direct line and Queue(), in changing order."""
    rounds = []
    await site.staff(len(AGENTS))
    site.agents.talk_seconds = 1.0
    await site.measure_idle(4)
    for number in range(plan.rounds):
        for rate in plan.rates:
            for system, line in _order(number, (CENTRALINO, DIRECT), (NATIVE, QUEUE)):
                rounds.append(await route(site, system, line, rate, plan.seconds))
                progress.advance(task)
    return rounds


async def long_calls(site: Site, plan: Plan, progress: Progress, task: TaskID) -> list[Round]:
    """Calls with sound both ways that last: what they cost is mostly carrying the sound, which both ways must."""
    rounds = []
    site.agents.talk_seconds, site.agents.sound.echo = LONG_SECONDS, True
    for number in range(LONG_ROUNDS):
        for system, line in _order(number, (CENTRALINO, DIRECT), (NATIVE, QUEUE)):
            rounds.append(await route(site, system, line, LONG_RATE, plan.long_calls / LONG_RATE))
            progress.advance(task)
    site.agents.sound.echo = False
    return rounds


async def route(site: Site, system: str, line: str, rate: int, seconds: float) -> Round:
    """One row of calls to agents."""
    count = int(rate * seconds)
    loop = asyncio.get_running_loop()
    before, began = site.cpu(), loop.time()
    called = await callers.call("route", line, site.sip_port, site.folder, count=count, rate=rate)
    await site.quiet()
    used = _of_calls(site, before, began, loop.time())
    waits = tuple(
        (site.agents.rang[caller] - sent) * 1000 for caller, sent in called.sent.items() if caller in site.agents.rang
    )
    failed = count - min(called.completed, len(waits))
    return _round(system, rate, count, failed, used, waits)


async def messages(site: Site, plan: Plan, progress: Progress, task: TaskID) -> list[Round]:
    """Messages: Centralino (with live transcription) and VoiceMail(), in changing order."""
    rounds = []
    await site.staff(0)
    await site.measure_idle(3)
    for number in range(plan.message_rounds):
        for rate in plan.message_rates:
            for system, line in _order(number, (CENTRALINO, MESSAGES), (NATIVE, VOICEMAIL)):
                rounds.append(await take_messages(site, system, line, rate, plan.seconds))
                progress.advance(task)
    return rounds


async def take_messages(site: Site, system: str, line: str, rate: int, seconds: float) -> Round:
    """One row of messages; a call fails when it breaks off, or its message is not there afterwards."""
    count = int(rate * seconds)
    loop = asyncio.get_running_loop()
    there, before, began = await _messages_there(site, system), site.cpu(), loop.time()
    called = await callers.call("message", line, site.sip_port, site.folder, count=count, rate=rate)
    await site.quiet()
    if system == CENTRALINO:
        await site.world.until(_all_transcribed, within=60)
    used = _of_calls(site, before, began, loop.time())
    kept = await _messages_there(site, system) - there
    return _round(system, rate, count, count - min(called.completed, kept), used)


async def _messages_there(site: Site, system: str) -> int:
    return await site.filed() if system == CENTRALINO else len(list(site.mailbox.glob("msg*.txt")))


def _order(number: int, one: tuple[str, str], other: tuple[str, str]) -> tuple[tuple[str, str], tuple[str, str]]:
    return (other, one) if number % 2 else (one, other)


def _of_calls(site: Site, before: Cpu, began: float, ended: float) -> Cpu:
    return site.cpu() - before - site.idle * (ended - began)


def _round(system: str, rate: int, count: int, failed: int, used: Cpu, waits: tuple[float, ...] = ()) -> Round:
    ours = system != NATIVE
    each = used * (1000 / count)
    return Round(
        system,
        rate,
        count,
        failed,
        each.asterisk,
        each.service if ours else 0.0,
        each.recognisers if ours else 0.0,
        waits,
    )


# ----------------------------------------------------------------------------------------------------- Centralino's


@dataclass(frozen=True)
class Pops:
    """How soon a call was on its agent's screen; milliseconds."""

    calls: int
    seen: int
    p50_ms: float | None
    p95_ms: float | None
    slowest_ms: float | None
    before_ring: int
    """Calls whose pop was on the screen before the phone rang."""
    lead_p50_ms: float | None
    """How long before."""


async def pops_idle(site: Site, count: int) -> Pops:
    """One call after the other, one agent with a page, who closes each call's window once it is over."""
    site.agents.talk_seconds = 0.3
    await site.staff(1)
    async with site.world.desk(AGENTS[0].username) as desk, _tidying([desk]):
        called = await callers.call(
            "route", DIRECT, site.sip_port, site.folder, count=count, rate=3, together=1, patience=120
        )
        await site.quiet()
        return _pops(site, called, [desk])


async def pops_at_work(site: Site, rate: int, seconds: float, agents: int) -> tuple[Round, Pops]:
    """Many calls, every agent on duty with a page of their own; also what it costs."""
    site.agents.talk_seconds = 1.0
    async with contextlib.AsyncExitStack() as stack:
        desks = []
        for colleague in AGENTS[:agents]:
            desks.append(await stack.enter_async_context(site.world.desk(colleague.username)))
        await stack.enter_async_context(_tidying(desks))
        await site.staff(agents)
        count = int(rate * seconds)
        loop = asyncio.get_running_loop()
        before, began = site.cpu(), loop.time()
        called = await callers.call("route", DIRECT, site.sip_port, site.folder, count=count, rate=rate)
        await site.quiet()
        used = _of_calls(site, before, began, loop.time())
        pops = _pops(site, called, desks)
        waits = tuple(
            (site.agents.rang[one] - sent) * 1000 for one, sent in called.sent.items() if one in site.agents.rang
        )
        cost = _round(CENTRALINO, rate, count, count - min(called.completed, len(waits)), used, waits)
    return cost, pops


@contextlib.asynccontextmanager
async def _tidying(desks: Sequence[DeskClient]) -> AsyncIterator[None]:
    """Close the windows of ended calls, as agents do: a page that keeps them all is slow (see docs/benchmarks.md)."""
    tasks = [asyncio.create_task(_tidy(desk)) for desk in desks]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _tidy(desk: DeskClient) -> None:
    while True:
        for (topic, call_id), item in tuple(desk.items.items()):
            if topic == "pops" and item["state"] == "ended":
                with contextlib.suppress(httpx.HTTPStatusError):
                    await desk.post(f"/api/calls/{call_id}/dismiss", {"reason": "test"})
        await asyncio.sleep(0.1)


def _pops(site: Site, called: callers.Called, desks: Sequence[DeskClient]) -> Pops:
    offset = time.time() - time.monotonic()
    popped: dict[str, float] = {}
    for desk in desks:
        for heard in desk.heard:
            if heard.topic == "pops" and heard.item is not None and heard.item["state"] == "ringing":
                at = heard.at + offset
                caller = str(heard.item["caller"])
                popped[caller] = min(at, popped.get(caller, at))
    both = [caller for caller in called.sent if caller in popped and caller in site.agents.rang]
    delays = [(popped[caller] - called.sent[caller]) * 1000 for caller in both]
    leads = [(site.agents.rang[caller] - popped[caller]) * 1000 for caller in both]
    return Pops(
        calls=called.asked,
        seen=len(both),
        p50_ms=percentile(delays, 50),
        p95_ms=percentile(delays, 95),
        slowest_ms=max(delays, default=None),
        before_ring=sum(lead > 0 for lead in leads),
        lead_p50_ms=percentile(leads, 50),
    )


@dataclass(frozen=True)
class Transcripts:
    """From the caller's hanging up, while recording, to the transcript stored on the ticket; milliseconds."""

    calls: int
    done: int
    with_words: int
    p50_ms: float | None
    p95_ms: float | None
    slowest_ms: float | None


async def transcripts(site: Site, count: int) -> Transcripts:
    """Callers, one a second, hang up in the middle of their message."""
    stored: dict[str, float] = {}
    watching = asyncio.create_task(_watch(site, stored))
    called = await callers.call("message", MESSAGES, site.sip_port, site.folder, count=count, rate=1, patience=120)
    await site.quiet()
    await site.world.until(_all_transcribed, within=60)
    await asyncio.sleep(0.1)
    watching.cancel()
    texts = await site.world.read(_texts)
    delays = [(stored[one] - at) * 1000 for one, at in called.hung_up.items() if one in stored]
    return Transcripts(
        calls=count,
        done=len(delays),
        with_words=sum(bool(texts.get(one)) for one in called.hung_up),
        p50_ms=percentile(delays, 50),
        p95_ms=percentile(delays, 95),
        slowest_ms=max(delays, default=None),
    )


async def _watch(site: Site, stored: dict[str, float]) -> None:
    while True:
        found = await site.world.read(_done)
        at = time.time()
        for caller in found:
            stored.setdefault(caller, at)
        await asyncio.sleep(0.005)


def _done(session: Session) -> list[str]:
    recent = select(Message.caller).where(
        Message.transcript_state == TranscriptState.DONE, Message.request_id.is_not(None)
    )
    newest = recent.order_by(Message.started_at.desc()).limit(10)
    return [caller for caller in session.scalars(newest) if caller]


def _texts(session: Session) -> dict[str, str]:
    rows = session.execute(select(Message.caller, Message.transcript))
    return {caller: text or "" for caller, text in rows if caller}


def _all_transcribed(session: Session) -> bool:
    open_states = (TranscriptState.WAITING, TranscriptState.RUNNING)
    return session.scalar(select(Message.id).where(Message.transcript_state.in_(open_states)).limit(1)) is None
