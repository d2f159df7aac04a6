"""The world of the stories: a desk with two lines, three agents, and people who call.

The words that are played are short, so that a story takes seconds; the demo (`test_demo.py`) plays the real ones.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from centralino.rig.audio import RATE, read_samples, seconds, similarity, write_samples
from centralino.rig.desk import DeskClient
from centralino.rig.phone import Event, Phone
from centralino.rig.world import Colleague, Person, ServiceProcess, World, always_open, closed_today
from centralino.serve import Service
from ivr.models import Agent, Call, Offer, Outcome, Phase
from schedules.clock import utc_now
from tickets.models import Request
from voicemail.models import Message, MessageState

ANNA = Colleague("anna", "Anna Bianchi", "101", ("edotto", "insieme", "impaziente"))
BRUNO = Colleague("bruno", "Bruno Verdi", "102", ("edotto", "secondo", "insieme"))
CARLA = Colleague("carla", "Carla Neri", "103", ("secondo",))
ROSSI = Person("Maria Rossi", "+390805551234", "ASL Bari", "maria.rossi@asl-bari.example")
AMATO = Person("Luigi Amato", "+390883555777", "Ospedale di Molfetta", "luigi.amato@molfetta.example")

STAFFED = "800"
"""Straight into the waiting line."""
MENU = "805"
"""With a greeting and a menu: 1 applications, 3 credentials."""
CLOSED = "801"
BOTH = "810"
"""Rings two agents at once."""
IMPATIENT = "820"
"""Offers a message after two seconds of waiting."""
ENGLISH = "830"
"""Closed, and speaks English."""
UNSTAFFED = "840"
"""Offers a message at once when no agent is on duty."""

SPEECH = Path(__file__).resolve().parents[2] / "centralino/rig/speech"
SOUNDS = Path(__file__).resolve().parents[2] / "asterisk_conf/sounds"
QUESTION = SPEECH / "espeak-013.wav"
ANSWER = SPEECH / "festival-063.wav"
MESSAGE = SPEECH / "festival-063.wav"


def calls() -> dict[str, Any]:
    quick = {"greeting": "", "notice": "", "closed_greeting": "beep"}
    menu = {
        "choices": {"1": {"area": "application"}, "3": {"area": "credentials", "queue": "secondo"}},
        "timeout_seconds": 2,
    }
    waits = {"ring_seconds": 4, "max_wait_seconds": 60, "announce_seconds": 60, "when_no_agents": "wait"}
    return {
        "calendars": {"sempre": always_open(), "chiuso": closed_today(utc_now())},
        "queues": {
            "edotto": {**waits, "wrap_up_seconds": 2},
            "secondo": {**waits, "wrap_up_seconds": 0},
            "insieme": {**waits, "wrap_up_seconds": 0, "ring_agents": 2},
            "impaziente": {**waits, "max_wait_seconds": 2},
            "deserto": {**waits, "when_no_agents": "message"},
        },
        "message": {"max_seconds": 30, "max_silence_seconds": 3},
        "lines": [
            {"number": STAFFED, "name": "Edotto", "calendar": "sempre", "queue": "edotto", **quick},
            {"number": MENU, "name": "Edotto", "calendar": "sempre", "queue": "edotto", "notice": "", "menu": menu},
            {"number": CLOSED, "name": "Edotto", "calendar": "chiuso", "queue": "edotto", **quick},
            {"number": BOTH, "name": "Edotto", "calendar": "sempre", "queue": "insieme", **quick},
            {"number": IMPATIENT, "name": "Edotto", "calendar": "sempre", "queue": "impaziente", **quick},
            {"number": ENGLISH, "name": "Edotto", "language": "en", "calendar": "chiuso", "queue": "edotto", **quick},
            {"number": UNSTAFFED, "name": "Edotto", "calendar": "sempre", "queue": "deserto", **quick},
        ],
    }


@pytest.fixture
def colleagues() -> tuple[Colleague, ...]:
    """The agents; a module may override it."""
    return (ANNA, BRUNO, CARLA)


@pytest.fixture
def more_calls() -> dict[str, Any]:
    """What is added to the `calls` section of the settings; a test may override it."""
    return {}


@pytest.fixture
def more_settings() -> dict[str, Any]:
    """What is added to the other sections of the settings; a module may override it."""
    return {}


@pytest.fixture
async def world(
    tmp_path: Path, colleagues: tuple[Colleague, ...], more_calls: dict[str, Any], more_settings: dict[str, Any]
) -> AsyncIterator[World]:
    """Asterisk, mail, database and directory; no service yet."""
    people = (ROSSI, AMATO)
    async with World(
        tmp_path, calls() | more_calls, colleagues=colleagues, people=people, settings_extra=more_settings
    ) as world:
        yield world


@pytest.fixture
async def service(world: World) -> AsyncIterator[Service]:
    """The service, in this process."""
    async with world.serving() as service:
        yield service


@pytest.fixture
async def process(world: World) -> AsyncIterator[ServiceProcess]:
    """The service as a process of its own, started."""
    async with world.process() as process:
        await process.start()
        yield process


class OnDuty:
    """An agent at work: phone and page."""

    def __init__(self, world: World, colleague: Colleague, phone: Phone, desk: DeskClient) -> None:
        self._world = world
        self.colleague, self.phone, self.desk = colleague, phone, desk
        self.id: int = desk.me["agent_id"]

    async def presence(self) -> str:
        """As it is stored; the page shows it a moment later."""

        def look(session: Session) -> str:
            return session.get_one(Agent, self.id).presence

        return await self._world.read(look)

    async def until_presence(self, presence: str, *, within: float = 15.0) -> dict[str, Any]:
        """Wait until the page shows it."""
        return await self.desk.until_item("agents", self.id, lambda item: item["presence"] == presence, within=within)


Duty = Callable[..., Any]


async def go_on_duty(
    world: World, colleague: Colleague, phone: Phone, desk: DeskClient, *, free: bool = True
) -> OnDuty:
    """An agent whose phone is registered and whose page is open takes up work."""
    agent = OnDuty(world, colleague, phone, desk)
    await desk.until_item(
        "agents", agent.id, lambda item: item["phone_reachable"] and item["desk_connected"], within=10
    )
    if free:
        await desk.post("/api/presence/free")
    return agent


@pytest.fixture
async def on_duty(world: World) -> AsyncIterator[Duty]:
    """`await on_duty(ANNA)`: phone registered, page open, free for calls."""
    async with AsyncExitStack() as stack:

        async def start(colleague: Colleague, *, free: bool = True, **phone: Any) -> OnDuty:
            phone.setdefault("answer", "manual")
            registered = await stack.enter_async_context(world.phone(colleague.extension, **phone))
            desk = await stack.enter_async_context(world.desk(colleague.username))
            return await go_on_duty(world, colleague, registered, desk, free=free)

        yield start


async def dial(world: World, caller: Phone, number: str) -> Call:
    """Call a line; returns the call's row once the line has picked up."""
    await caller.call(number)
    await caller.wait_for(Event.ESTABLISHED)
    return await world.call_from(caller.name)


async def answered_by(world: World, agent: OnDuty, call: Call) -> None:
    """The agent's phone rings, the agent picks up, and the two are joined."""
    await agent.phone.wait_for(Event.RINGING)
    await agent.phone.answer()
    await agent.phone.wait_for(Event.ESTABLISHED)
    await world.call_until(call.id, lambda row: row.phase is Phase.TALKING and row.agent_id == agent.id)


async def say(phone: Phone, wav: Path) -> None:
    """Say it, to the end."""
    await phone.speak(wav)
    await asyncio.sleep(seconds(wav) + 0.5)


def so_far(phone: Phone) -> int:
    """A place in what a phone hears in its call, in samples: packets that are lost or late do not move it."""
    return len(read_samples(phone.heard()))


def heard_from(phone: Phone, first: int, last: int, folder: Path) -> Path:
    """What the phone heard between two places (see `so_far`), as a WAV."""
    return write_samples(folder / f"heard-{phone.name}-{first}.wav", read_samples(phone.heard())[first:last])


def heard_between(phone: Phone, start: float, end: float, folder: Path) -> Path:
    """What the phone heard from one moment of `time.monotonic()` to another of its last call, as a WAV."""
    picked_up = [one.at for one in phone.events if one.event is Event.ESTABLISHED][-1]
    first, last = (int((at - picked_up) * RATE) for at in (start, end))
    return write_samples(folder / f"heard-{first}-{last}.wav", read_samples(phone.heard())[max(first, 0) : last])


async def outcome_of(world: World, call: Call) -> Outcome:
    """How the call ended, once it has."""
    outcome = (await world.call_until(call.id, lambda row: row.ended_at)).outcome
    assert outcome is not None
    return outcome


async def until_recording(world: World, call: Call, take: int = 1) -> None:
    """Wait until the beep is over: Asterisk opens the file then."""
    row = await world.call_until(call.id, lambda row: row.message_id)
    path = world.asterisk.recording_spool / f"{row.message_id}-{take}.wav"
    async with asyncio.timeout(20):
        while not path.exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.02)


async def message_of(world: World, call: Call) -> Message:
    """The message left in a call, once it is filed or given up."""

    def done(session: Session) -> Message | None:
        message = session.scalar(select(Message).where(Message.call_id == call.id))
        return message if message is not None and message.state is not MessageState.RECORDING else None

    return await world.until(done)


async def request_of(world: World, call: Call) -> Request:
    """The request a call's message became."""

    def opened(session: Session) -> Request | None:
        return session.scalar(
            select(Request).join(Message, Message.request_id == Request.id).where(Message.call_id == call.id)
        )

    return await world.until(opened)


def kept_audio(world: World, message: Message) -> Path:
    """The WAV of a message in the store."""
    assert message.audio is not None
    return world.settings.storage.audio / message.audio


async def nothing_left(world: World, service: Service | None = None) -> None:
    """After a story nothing of it is left in Asterisk, in the service or open in the database."""
    await world.until_quiet()
    assert await world.read(_open_offers) == []
    if service is not None:
        assert not service.switchboard.applications.own[0].calls
        assert not service.switchboard.applications.own[0].services.legs


def _open_offers(session: Session) -> list[str]:
    return list(session.scalars(select(Offer.id).where(Offer.ended_at.is_(None))))


def is_music(heard: Path, world: World) -> bool:
    """Whether a piece of what a phone heard comes from one of Asterisk's pieces of music."""
    pieces = sorted((world.asterisk.folder / "data/moh").resolve().glob("*.wav"))
    assert pieces
    return max(similarity(heard, piece) for piece in pieces) > 0.8


def prompt(name: str, language: str = "it") -> Path:
    """The WAV of a prompt."""
    return SOUNDS / language / f"{name}.wav"
