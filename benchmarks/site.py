"""The site that is measured: one Asterisk with both ways, agents who answer at once, lines without words."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Sequence
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
from centralino.rig.world import Colleague, World, always_open
from centralino.serve import utc_now
from ivr import operations
from ivr.models import Agent, Presence
from voicemail.models import Message, MessageState

DIRECT, MESSAGES = "800", "801"
"""Centralino's lines: straight to an agent, straight to a message."""
QUEUE, VOICEMAIL = "900", "904"
"""Asterisk's own."""
SPEECH = Path(__file__).parents[1] / "centralino/rig/speech/festival-063.wav"
SHORT = ("no-agents", "leave-message")
"""Prompts that are as short as the beep here, for both: their length would only cost time."""
AGENTS = tuple(Colleague(f"agent{n}", f"Agent {n}", str(100 + n), ("diretta",)) for n in range(64))

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

    def __mul__(self, factor: float) -> "Cpu":
        return Cpu(self.asterisk * factor, self.service * factor, self.recognisers * factor)


class Site:
    """What the benchmarks share."""

    def __init__(self, world: World, agents: Agents) -> None:
        self.world, self.agents = world, agents
        self._asterisk = psutil.Process(world.asterisk.pid)
        self._service = next(
            child for child in psutil.Process().children() if "serve" in child.cmdline() and "-m" in child.cmdline()
        )
        self.idle = Cpu(0, 0, 0)
        """Processor seconds a second without a call; taken off what calls cost."""

    @property
    def sip_port(self) -> int:
        """Where callers call."""
        return self.world.asterisk.sip_port

    @property
    def service_pid(self) -> int:
        """The service's process."""
        return int(self._service.pid)

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

    async def quiet(self) -> None:
        """Wait until no call is left and every agent is free again."""
        await self.world.until_quiet(within=30)
        await self.world.until(all_free)

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
    busy = (Presence.RINGING, Presence.TALKING, Presence.WRAP_UP)
    return session.scalar(select(Agent.id).where(Agent.presence.in_(busy)).limit(1)) is None


def _filed(session: Session) -> int:
    return session.scalar(select(func.count()).where(Message.state == MessageState.FILED)) or 0


def reachable(session: Session) -> bool:
    """Whether every agent's phone is known to be registered."""
    return session.scalar(select(Agent.id).where(Agent.phone_reachable.is_(False)).limit(1)) is None


def site_calls() -> dict[str, Any]:
    """The `calls` section of the settings."""
    silent = {"greeting": "", "notice": "", "closed_greeting": ""}
    waits = {"ring_seconds": 15, "announce_seconds": 3600, "wrap_up_seconds": 0, "misses_before_pause": 20}
    return {
        "calendars": {"sempre": always_open()},
        "queues": {"diretta": {**waits, "when_no_agents": "wait"}, "vuota": waits},
        "lines": [
            {"number": DIRECT, "name": "Bench", "calendar": "sempre", "queue": "diretta", **silent},
            {"number": MESSAGES, "name": "Bench", "calendar": "sempre", "queue": "vuota", **silent},
        ],
    }


@contextlib.asynccontextmanager
async def open_site(folder: Path, names: Sequence[Colleague] = AGENTS) -> AsyncIterator[Site]:
    """Start everything: Asterisk, service, agents' phones."""
    async with contextlib.AsyncExitStack() as stack:
        world = World(folder, site_calls(), colleagues=names, concurrent_calls=160, benchmarks=True)
        await stack.enter_async_context(world)
        await prepare(world)
        agents = await stack.enter_async_context(Agents(world.asterisk, [colleague.extension for colleague in names]))
        process = await stack.enter_async_context(world.process())
        await process.start()
        await world.until(reachable)
        site = Site(world, agents)
        site.folder.mkdir()
        a_law(SPEECH, site.folder / SOUND, 5.0)
        yield site


async def prepare(world: World) -> None:
    """Give Asterisk short prompts, a mailbox that does not fill up, and VoiceMail() with the words of Centralino."""
    sounds, asterisk = world.folder / "sounds", world.asterisk
    shutil.copytree(Path(asterisk_conf.__file__).parent / "sounds", sounds)
    for name in SHORT:
        shutil.copy(sounds / "it/beep.wav", sounds / f"it/{name}.wav")
    link = asterisk.folder / "data/sounds/centralino"
    link.unlink()
    link.symlink_to(sounds)
    (asterisk.folder / "etc/voicemail.conf").write_text(_VOICEMAIL_CONF)
    await asterisk.cli("voicemail reload")
    words = [f"Playback,centralino/it/{name}" for name in SHORT]
    await _add(asterisk, VOICEMAIL, "Answer,", *words, "VoiceMail,901@bench\\,s", "Hangup,")


async def _add(asterisk: AsteriskServer, number: str, *steps: str) -> None:
    for priority, step in enumerate(steps, 1):
        added = await asterisk.cli(f"dialplan add extension {number},{priority},{step} into centralino-inbound")
        if "added" not in added:
            raise RuntimeError(f"Asterisk: {added}")
