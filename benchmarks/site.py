"""The site that is measured: one Asterisk with both ways, agents who answer at once, lines without words."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

import asterisk_conf
from benchmarks.agents import Agents
from benchmarks.callers import SOUND, a_law
from centralino.rig.asterisk import AsteriskServer
from centralino.rig.world import Colleague, ServiceProcess, World, always_open
from ivr import operations
from ivr.models import Agent, Presence
from schedules.clock import utc_now
from voicemail.models import Message, MessageState

DIRECT, MESSAGES, WAITING, TALKING = "800", "801", "802", "803"
"""Centralino's lines: straight to an agent, straight to a message, to a queue that nobody serves, to an agent apart."""
QUEUE, VOICEMAIL, QUEUE_WAITING, QUEUE_TALKING = "900", "904", "905", "906"
"""Asterisk's own, the same."""
SPEECH = Path(__file__).parents[1] / "centralino/rig/speech/festival-063.wav"
SHORT = ("no-agents", "leave-message")
"""Prompts that are as short as the beep here, for both: their length would only cost time."""
AGENTS = tuple(Colleague(f"agent{n}", f"Agent {n}", str(100 + n), ("diretta",)) for n in range(64))
NATIVE_QUEUES = {"diretta": "bench", "attesa": "attesa", "tenuta": "tenuta"}
"""Our queues, and those of Asterisk's own that have the same agents."""

_VOICEMAIL_CONF = """\
[general]
format=wav
attach=no
maxsecs=180
minsecs=1
maxsilence=10
maxmsg=9999
mailcmd=/bin/true

[bench]
901 => 0000,Bench,bench@example.invalid
"""


@dataclass(frozen=True)
class Cpu:
    """Seconds of processor time used so far by Asterisk, by the service, and by its recognisers."""

    asterisk: float
    service: float
    recognisers: float

    def __sub__(self, other: "Cpu") -> "Cpu":
        return Cpu(self.asterisk - other.asterisk, self.service - other.service, self.recognisers - other.recognisers)

    def __add__(self, other: "Cpu") -> "Cpu":
        return Cpu(self.asterisk + other.asterisk, self.service + other.service, self.recognisers + other.recognisers)

    def __mul__(self, factor: float) -> "Cpu":
        return Cpu(self.asterisk * factor, self.service * factor, self.recognisers * factor)


class Site:
    """What the benchmarks share."""

    def __init__(self, world: World, agents: Agents, process: ServiceProcess) -> None:
        self.world, self.agents, self.process = world, agents, process
        self._asterisk = psutil.Process(world.asterisk.pid)
        self._service = psutil.Process(process.pid)
        self.idle = Cpu(0, 0, 0)
        """Processor seconds a second without a call; taken off what calls cost."""

    @property
    def sip_port(self) -> int:
        """Where callers call."""
        return self.world.asterisk.sip_port

    @property
    def folder(self) -> Path:
        """Where the callers leave their records."""
        return self.world.folder / "callers"

    @property
    def mailbox(self) -> Path:
        """Where VoiceMail() keeps messages."""
        return self.world.asterisk.folder / "spool/voicemail/bench/901/INBOX"

    def cpu(self) -> Cpu:
        """What has been used so far. A recogniser that ended in between is missing."""
        recognisers = sum(_used(child) for child in self._service.children(recursive=True))
        return Cpu(_used(self._asterisk), _used(self._service), recognisers)

    async def measure_idle(self, seconds: float) -> None:
        """Find out what is used without a call."""
        before = self.cpu()
        await asyncio.sleep(seconds)
        self.idle = (self.cpu() - before) * (1 / seconds)

    async def quiet(self, *, channels: int = 0, talks: int = 0) -> None:
        """Wait until no call is left and every agent is free again, but for so many channels and agents in talks.

        Raises TimeoutError.
        """
        if not channels:
            await self.world.until_quiet(within=30)
        async with asyncio.timeout(30):
            while await self.channels() > channels:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.05)
        await self.world.until(lambda session: busy_agents(session) <= talks)

    async def channels(self) -> int:
        """How many channels Asterisk has."""
        answer = await self.world.asterisk.cli("core show channels count")
        return int(answer.split(" active channel")[0].split()[-1])

    async def bridges(self) -> int:
        """How many bridges Asterisk has."""
        lines = (await self.world.asterisk.cli("bridge show all")).splitlines()
        return sum(bool(line) and not line.startswith("Bridge-ID") for line in lines)

    async def staff(self, count: int, *, pages: bool = True) -> None:
        """Let that many agents be free for calls and the others off duty; their pages count as open when `pages`."""
        await self.world.database.run(staff, count, pages)
        await asyncio.sleep(1.5)  # the service looks once a second

    async def filed(self) -> int:
        """How many messages Centralino has filed."""
        count: int = await self.world.read(_filed)
        return count


def _used(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0


def staff(session: Session, count: int, pages: bool) -> None:
    """Let that many agents be free for calls, and note their pages as open when `pages`."""
    now = utc_now()
    agents = session.scalars(select(Agent).order_by(Agent.id)).all()
    for index, agent in enumerate(agents):
        if index < count:
            operations.go_free(session, agent.id, now=now)
        else:
            operations.go_offline(session, agent.id, now=now)
    if pages:
        session.execute(update(Agent).values(desk_connected=True))


def all_free(session: Session) -> bool:
    """Whether no agent is in a call."""
    return not busy_agents(session)


def busy_agents(session: Session) -> int:
    """How many agents are in a call."""
    busy = (Presence.RINGING, Presence.TALKING, Presence.WRAP_UP)
    return session.scalar(select(func.count()).where(Agent.presence.in_(busy))) or 0


def _filed(session: Session) -> int:
    return session.scalar(select(func.count()).where(Message.state == MessageState.FILED)) or 0


def reachable(session: Session) -> bool:
    """Whether every agent's phone is known to be registered."""
    return session.scalar(select(Agent.id).where(Agent.phone_reachable.is_(False)).limit(1)) is None


def site_calls() -> dict[str, Any]:
    """The `calls` section of the settings."""
    silent = {"greeting": "", "notice": "", "closed_greeting": ""}
    waits = {"ring_seconds": 15, "announce_seconds": 3600, "wrap_up_seconds": 0, "misses_before_pause": 20}
    patient = {**waits, "when_no_agents": "wait", "max_wait_seconds": 3600}
    lines = {DIRECT: "diretta", MESSAGES: "vuota", WAITING: "attesa", TALKING: "tenuta"}
    return {
        "calendars": {"sempre": always_open()},
        "queues": {
            "diretta": {**waits, "when_no_agents": "wait"},
            "vuota": waits,
            "attesa": patient,
            "tenuta": patient,
        },
        "lines": [
            {"number": number, "name": "Bench", "calendar": "sempre", "queue": queue, **silent}
            for number, queue in lines.items()
        ],
    }


@contextlib.asynccontextmanager
async def open_site(
    folder: Path,
    names: Sequence[Colleague] = AGENTS,
    *,
    calls: int = 160,
    database: str | None = None,
    before: Callable[[World], Awaitable[object]] | None = None,
    options: Sequence[str] = (),
) -> AsyncIterator[Site]:
    """Start everything: Asterisk, service, agents' phones.

    Asterisk carries `calls` at once. `database` is a URL; None: an SQLite file. `before` is awaited before the service
    starts, which is given the `options`.
    """
    # what is measured is not how calls beyond a site's limit are refused
    settings: dict[str, Any] = {"asterisk": {"max_calls": 2 * calls}}
    if database is not None:
        settings["storage"] = {"database": database}
    async with contextlib.AsyncExitStack() as stack:
        world = World(
            folder, site_calls(), colleagues=names, settings_extra=settings, concurrent_calls=calls, benchmarks=True
        )
        await stack.enter_async_context(world)
        await prepare(world)
        if before is not None:
            await before(world)
        agents = await stack.enter_async_context(Agents(world.asterisk, [colleague.extension for colleague in names]))
        process = await stack.enter_async_context(world.process(options=options))
        await process.start()
        await world.until(reachable)
        site = Site(world, agents, process)
        site.folder.mkdir()
        a_law(SPEECH, site.folder / SOUND, 5.0)
        yield site


async def prepare(world: World) -> None:
    """Give Asterisk short prompts, a mailbox that does not fill up, and what is compared: the same words and agents."""
    sounds, asterisk = world.folder / "sounds", world.asterisk
    shutil.copytree(Path(asterisk_conf.__file__).parent / "sounds", sounds)
    for name in SHORT:
        shutil.copy(sounds / "it/beep.wav", sounds / f"it/{name}.wav")
    link = asterisk.folder / "data/sounds/centralino"
    link.unlink()
    link.symlink_to(sounds)
    (asterisk.folder / "etc/voicemail.conf").write_text(_VOICEMAIL_CONF)
    await asterisk.cli("voicemail reload")
    queues = [_queue(native, ours, world.colleagues) for ours, native in NATIVE_QUEUES.items()]
    (asterisk.folder / "etc/queues.conf").write_text("[general]\npersistentmembers=no\n" + "".join(queues))
    await asterisk.cli("queue reload all")
    words = [f"Playback,centralino/it/{name}" for name in SHORT]
    await _add(asterisk, VOICEMAIL, "Answer,", *words, "VoiceMail,901@bench\\,s", "Hangup,")
    await _add(asterisk, QUEUE_WAITING, "Answer,", f"Queue,{NATIVE_QUEUES['attesa']}", "Hangup,")
    await _add(asterisk, QUEUE_TALKING, "Answer,", f"Queue,{NATIVE_QUEUES['tenuta']}", "Hangup,")


def _queue(native: str, ours: str, colleagues: Iterable[Colleague]) -> str:
    settings = "strategy=leastrecent\nmusicclass=default\nringinuse=no\ntimeout=15\nretry=1\njoinempty=yes\n"
    members = (f"member => PJSIP/{one.extension}\n" for one in colleagues if ours in one.queues)
    return f"\n[{native}]\n{settings}{''.join(members)}"


async def _add(asterisk: AsteriskServer, number: str, *steps: str) -> None:
    for priority, step in enumerate(steps, 1):
        added = await asterisk.cli(f"dialplan add extension {number},{priority},{step} into centralino-inbound")
        if "added" not in added:
            raise RuntimeError(f"Asterisk: {added}")
