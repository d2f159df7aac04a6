"""What the watchdog sees: callers in silence, and a worker that is behind."""

import asyncio
import time
from typing import Any, cast

import pytest

from ivr import watchdog
from ivr.ari import Ari
from ivr.flow.leg import Leg
from ivr.watchdog import Watchdog

pytestmark = pytest.mark.unit


class Channels:
    """Asterisk's channels, of which only what is asked for is known."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.happened = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        async def request(channel_id: str) -> None:
            self.asked.append(f"{name} {channel_id}")
            self.happened.set()

        return request


class Asterisk:
    def __init__(self) -> None:
        self.channels = Channels()


@pytest.fixture
def asterisk(monkeypatch: pytest.MonkeyPatch) -> Asterisk:
    monkeypatch.setattr(watchdog, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(watchdog, "SILENCE_SECONDS", 0.02)
    return Asterisk()


async def running(legs: list[Leg]) -> tuple[Watchdog, "asyncio.Task[None]"]:
    dog = Watchdog(lambda: legs)
    return dog, asyncio.create_task(dog.run())


def leg_of(asterisk: Asterisk, name: str) -> Leg:
    return Leg(cast("Ari", asterisk), name)


async def test_only_a_caller_who_hears_nothing_gets_music_and_only_once(asterisk: Asterisk) -> None:
    silent, served, new, gone = (leg_of(asterisk, name) for name in ("silent", "served", "new", "gone"))
    silent.left_alone()
    new.reached_us()
    gone.left_alone()
    gone.leave(16)
    await served.start_music()
    asterisk.channels.asked.clear()
    _, watching = await running([silent, served, new, gone])
    while len(asterisk.channels.asked) < 2:
        asterisk.channels.happened.clear()
        await asterisk.channels.happened.wait()
    await asyncio.sleep(0.1)  # ten looks
    watching.cancel()
    assert sorted(asterisk.channels.asked) == ["ring new", "start_moh silent"]


async def test_an_event_loop_that_was_held_up_is_behind_until_it_is_not(
    asterisk: Asterisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "LATE_SECONDS", 0.5)
    dog, watching = await running([])
    await asyncio.sleep(0.05)
    assert dog.why_behind() is None
    time.sleep(0.7)  # noqa: ASYNC251 - the loop is to be held up
    assert dog.why_behind() == "the event loop is late"
    async with asyncio.timeout(10):
        while dog.why_behind():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    watching.cancel()


async def test_a_call_that_is_not_picked_up_for_long_says_that_the_worker_is_behind(
    asterisk: Asterisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "UNANSWERED_SECONDS", 0.05)
    monkeypatch.setattr(watchdog, "LATE_SECONDS", 60)
    new = leg_of(asterisk, "new")
    new.reached_us()
    dog, watching = await running([new])
    async with asyncio.timeout(10):
        while not dog.why_behind():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
        await new.answer()
        while dog.why_behind():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    watching.cancel()
