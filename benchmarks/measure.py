"""What every measurement shares: a row of calls, what it cost, how long callers waited; and rounds summed up."""

import asyncio
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import psutil

from benchmarks import callers
from benchmarks.site import DIRECT, QUEUE, Cpu, Site

T = TypeVar("T")

CENTRALINO, NATIVE = "Centralino", "Asterisk"
TO_AGENTS = ((CENTRALINO, DIRECT), (NATIVE, QUEUE))
"""Who routes calls to agents, and at which number."""


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
    busy_percent: float = 0.0
    """Of all processors, with everything that ran on them."""
    reached_rate: float = 0.0
    """Calls a second that SIPp began."""

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
    busy_percent: float
    reached_rate: float


def percentile(values: Iterable[float], percent: float) -> float | None:
    """The value below which that many percent are; None of nothing."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)] if ordered else None


def summed_up(rounds: Sequence[Round]) -> list[Row]:
    """Put the rounds of each system and rate together."""
    keys = sorted({(one.rate, one.system) for one in rounds}, key=lambda key: (key[0], key[1] == NATIVE))
    return [in_one([one for one in rounds if (one.rate, one.system) == key]) for key in keys]


def in_one(rounds: Sequence[Round]) -> Row:
    """Put rounds of one system and rate together. Raises ValueError of none."""
    if not rounds:
        raise ValueError("no rounds")
    waits = [wait for one in rounds for wait in one.to_agent]
    return Row(
        system=rounds[0].system,
        rate=rounds[0].rate,
        calls=sum(one.calls for one in rounds),
        failed=sum(one.failed for one in rounds),
        cpu_asterisk_ms=statistics.median(one.cpu_asterisk for one in rounds),
        cpu_service_ms=statistics.median(one.cpu_service for one in rounds),
        cpu_recognisers_ms=statistics.median(one.cpu_recognisers for one in rounds),
        cpu_ms=statistics.median(one.cpu for one in rounds),
        lowest_cpu_ms=min(one.cpu for one in rounds),
        highest_cpu_ms=max(one.cpu for one in rounds),
        to_agent_p50_ms=percentile(waits, 50),
        to_agent_p95_ms=percentile(waits, 95),
        busy_percent=statistics.median(one.busy_percent for one in rounds),
        reached_rate=statistics.median(one.reached_rate for one in rounds),
    )


def in_turn(number: int, ways: Sequence[T]) -> Sequence[T]:
    """The ways in the order of that round: every second round backwards."""
    return ways[::-1] if number % 2 else ways


class Meter:
    """What was used since it was made, with what is used without calls taken off."""

    def __init__(self, site: Site) -> None:
        self._site, self._loop = site, asyncio.get_running_loop()
        self._before, self._began, self._times = site.cpu(), self._loop.time(), psutil.cpu_times()

    def used(self) -> Cpu:
        """Seconds of processor time."""
        return self._site.cpu() - self._before - self._site.idle * (self._loop.time() - self._began)

    def busy_percent(self) -> float:
        """How busy all processors were, with everything."""
        now, before = psutil.cpu_times(), self._times
        total = sum(now) - sum(before)
        idle = now.idle + now.iowait - before.idle - before.iowait
        return float(100 * (1 - idle / total)) if total else 0.0

    def round(self, system: str, rate: int, count: int, failed: int, waits: tuple[float, ...] = ()) -> Round:
        """Sum a row of calls up."""
        each, ours = self.used() * (1000 / count), system != NATIVE
        return Round(
            system,
            rate,
            count,
            failed,
            each.asterisk,
            each.service if ours else 0.0,
            each.recognisers if ours else 0.0,
            waits,
            self.busy_percent(),
        )


async def route(
    site: Site,
    system: str,
    line: str,
    rate: int,
    seconds: float,
    *,
    numbers: Sequence[str] | None = None,
    sound: bool = False,
    channels: int = 0,
    talks: int = 0,
) -> Round:
    """One row of calls to agents; a call fails when it breaks off or no agent's phone rang.

    `numbers` are the callers'; with `sound` both sides speak all the time (otherwise callers only). `channels` and
    `talks` are there already, and stay.
    """
    count = int(rate * seconds)
    meter = Meter(site)
    if sound:
        site.agents.sound.turn_on()
    called = await callers.call(
        "route",
        line,
        site.sip_port,
        site.folder,
        count=count,
        rate=rate,
        patience=seconds + site.agents.talk_seconds + 60,
        longest=site.agents.talk_seconds + 40,
        numbers=numbers,
        sound_port=site.agents.sound.caller_port if sound else None,
    )
    await site.quiet(channels=channels, talks=talks)
    site.agents.sound.turn_off()
    waits = waits_of(site, called)
    found = meter.round(system, rate, count, count - min(called.completed, len(waits)), waits)
    return replace(found, reached_rate=called.rate)


def waits_of(site: Site, called: callers.Called) -> tuple[float, ...]:
    """From each caller's INVITE to the agent's, in ms; without callers for whom no phone rang."""
    rang = site.agents.rang
    return tuple((rang[caller] - sent) * 1000 for caller, sent in called.sent.items() if caller in rang)
