"""The world of the stories: a desk with two lines, three agents, and people who call.

The words that are played are short, so that a story takes seconds; the demo (`test_demo.py`) plays the real ones.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from centralino.rig.desk import DeskClient
from centralino.rig.phone import Phone
from centralino.rig.world import Colleague, Person, ServiceProcess, World, always_open, closed_today
from centralino.serve import Service, utc_now

ANNA = Colleague("anna", "Anna Bianchi", "101", ("edotto",))
BRUNO = Colleague("bruno", "Bruno Verdi", "102", ("edotto", "secondo"))
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

SPEECH = Path(__file__).resolve().parents[2] / "centralino/rig/speech"
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
        },
        "message": {"max_seconds": 30, "max_silence_seconds": 3},
        "lines": [
            {"number": STAFFED, "name": "Edotto", "calendar": "sempre", "queue": "edotto", **quick},
            {"number": MENU, "name": "Edotto", "calendar": "sempre", "queue": "edotto", "notice": "", "menu": menu},
            {"number": CLOSED, "name": "Edotto", "calendar": "chiuso", "queue": "edotto", **quick},
            {"number": BOTH, "name": "Edotto", "calendar": "sempre", "queue": "insieme", **quick},
            {"number": "820", "name": "Edotto", "calendar": "sempre", "queue": "impaziente", **quick},
            {"number": "830", "name": "Edotto", "language": "en", "calendar": "chiuso", "queue": "edotto", **quick},
        ],
    }


@pytest.fixture
def colleagues() -> tuple[Colleague, ...]:
    """The agents; a module may override it."""
    return (ANNA, BRUNO, CARLA)


@pytest.fixture
async def world(tmp_path: Path, colleagues: tuple[Colleague, ...]) -> AsyncIterator[World]:
    """Asterisk, mail, database and directory; no service yet."""
    async with World(tmp_path, calls(), colleagues=colleagues, people=(ROSSI, AMATO)) as world:
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

    def __init__(self, colleague: Colleague, phone: Phone, desk: DeskClient) -> None:
        self.colleague, self.phone, self.desk = colleague, phone, desk
        self.id: int = desk.me["agent_id"]

    def presence(self) -> str:
        """As the agent's own page shows it."""
        return str(self.desk.items["agents", self.id]["presence"])

    async def until_presence(self, presence: str, *, within: float = 15.0) -> dict[str, Any]:
        """Wait until the page shows it."""
        return await self.desk.until_item("agents", self.id, lambda item: item["presence"] == presence, within=within)


Duty = Callable[..., Any]


@pytest.fixture
async def on_duty(world: World) -> AsyncIterator[Duty]:
    """`await on_duty(ANNA)`: phone registered, page open, free for calls."""
    async with AsyncExitStack() as stack:

        async def start(colleague: Colleague, *, free: bool = True, **phone: Any) -> OnDuty:
            phone.setdefault("answer", "manual")
            agent = OnDuty(
                colleague,
                await stack.enter_async_context(world.phone(colleague.extension, **phone)),
                await stack.enter_async_context(world.desk(colleague.username)),
            )
            await agent.desk.until_item(
                "agents", agent.id, lambda item: item["phone_reachable"] and item["desk_connected"], within=10
            )
            if free:
                await agent.desk.post("/api/presence/free")
            return agent

        yield start


async def nothing_left(world: World, service: Service | None = None) -> None:
    """After a story nothing of it is left in Asterisk, in the service or open in the database."""
    await world.until_quiet()
    if service is not None:
        assert not service.switchboard.calls
        assert not service.switchboard.services.legs
