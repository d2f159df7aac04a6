"""How soon a call is on its agent's screen, and a message's words are on its ticket."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import httpx
from sqlalchemy import select
from sqlalchemy.orm import Session

from benchmarks import callers
from benchmarks.measure import CENTRALINO, Meter, Round, percentile, waits_of
from benchmarks.site import AGENTS, DIRECT, MESSAGES, Site
from centralino.rig.desk import DeskClient
from voicemail.models import Message, TranscriptState


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
    async with site.world.desk(AGENTS[0].username) as desk, tidying([desk]):
        called = await callers.call(
            "route", DIRECT, site.sip_port, site.folder, count=count, rate=3, together=1, patience=120
        )
        await site.quiet()
        return _pops(site, called, [desk])


async def pops_at_work(
    site: Site, rate: int, seconds: float, agents: int, numbers: Sequence[str] | None = None
) -> tuple[Round, Pops]:
    """Many calls, every agent on duty with a page of their own; also what it costs. `numbers` are the callers'."""
    site.agents.talk_seconds = 1.0
    async with contextlib.AsyncExitStack() as stack:
        desks = []
        for colleague in AGENTS[:agents]:
            desks.append(await stack.enter_async_context(site.world.desk(colleague.username)))
        await stack.enter_async_context(tidying(desks))
        await site.staff(agents)
        count = int(rate * seconds)
        meter = Meter(site)
        called = await callers.call(
            "route", DIRECT, site.sip_port, site.folder, count=count, rate=rate, numbers=numbers
        )
        await site.quiet()
        waits = waits_of(site, called)
        cost = meter.round(CENTRALINO, rate, count, count - min(called.completed, len(waits)), waits)
        return cost, _pops(site, called, desks)


@contextlib.asynccontextmanager
async def tidying(desks: Sequence[DeskClient]) -> AsyncIterator[None]:
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
    await site.world.until(all_transcribed, within=60)
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


def all_transcribed(session: Session) -> bool:
    """Whether no recording waits for its words."""
    open_states = (TranscriptState.WAITING, TranscriptState.RUNNING)
    return session.scalar(select(Message.id).where(Message.transcript_state.in_(open_states)).limit(1)) is None
