"""Maximo in step, as far as callers notice it: not at all."""

import asyncio
from pathlib import Path

import pytest

from centralino.rig.fake_maximo import FakeMaximo
from centralino.rig.phone import Event
from centralino.rig.world import World
from ivr.models import Outcome
from tests.stories.conftest import (
    ANNA,
    CLOSED,
    MESSAGE,
    ROSSI,
    calls,
    dial,
    outcome_of,
    request_of,
    say,
    until_recording,
)

pytestmark = pytest.mark.story


async def test_maximo_hangs_while_a_caller_leaves_a_message_and_has_the_request_once_it_answers(tmp_path: Path) -> None:
    async with FakeMaximo() as fake:
        fake.moods.slow_seconds = 3600
        maximo = {"url": fake.url, "api_key": fake.api_key, "timeout": 3.0}
        async with (
            World(tmp_path, calls(), colleagues=[ANNA], people=[ROSSI], settings_extra={"maximo": maximo}) as world,
            world.serving(),
            world.caller(ROSSI.phone) as rossi,
        ):
            call = await dial(world, rossi, CLOSED)
            await until_recording(world, call)
            await say(rossi, MESSAGE)
            await rossi.press("#")
            await asyncio.sleep(1)
            await rossi.press("1")
            request = await request_of(world, call)
            await rossi.wait_for(Event.CLOSED, within=60)
            assert await outcome_of(world, call) is Outcome.VOICEMAIL
            async with asyncio.timeout(30):
                await fake.came.wait()
            assert fake.journal == []
            fake.moods.slow_seconds = 0
            async with asyncio.timeout(90):
                while not any(done.what == "status" for done in fake.journal):
                    fake.came.clear()
                    await fake.came.wait()
            (record,) = fake.by_reference(f"CENTRALINO-{request.ticket}")
            assert record.values["reportedphone"] == ROSSI.phone
