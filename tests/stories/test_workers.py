"""Several workers on one PostgreSQL server share the calls: what one lets fall, another takes up."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from centralino.rig.phone import Event
from centralino.rig.postgres import PostgresServer
from centralino.rig.world import Colleague, ServiceProcess, World
from ivr.models import Call
from tests.stories.conftest import (
    AMATO,
    ANNA,
    BRUNO,
    ROSSI,
    STAFFED,
    OnDuty,
    calls,
    dial,
    go_on_duty,
)

pytestmark = pytest.mark.story

UNO, DUE = "uno", "due"


@pytest.fixture
async def world(tmp_path: Path, postgres_server: PostgresServer) -> AsyncIterator[World]:
    """A site whose dialplan offers each call to every worker."""
    storage = {"storage": {"database": postgres_server.create_database(f"w_{tmp_path.name}"[:60].lower())}}
    async with World(
        tmp_path,
        calls(),
        colleagues=(ANNA, BRUNO),
        people=(ROSSI, AMATO),
        settings_extra=storage,
        workers=(UNO, DUE),
    ) as world:
        yield world


@pytest.fixture
async def workers(world: World) -> AsyncIterator[dict[str, ServiceProcess]]:
    """Both, started."""
    async with world.process(UNO) as uno, world.process(DUE) as due:
        await asyncio.gather(uno.start(), due.start())
        yield {UNO: uno, DUE: due}


@contextlib.asynccontextmanager
async def on_duty(world: World, colleague: Colleague, worker: str) -> AsyncIterator[OnDuty]:
    """An agent whose page is open at one of the workers."""
    async with (
        world.phone(colleague.extension, answer="manual") as phone,
        world.desk(colleague.username, worker) as desk,
    ):
        yield await go_on_duty(world, colleague, phone, desk)


def worker_of(call: Call) -> str:
    """The worker that has a call."""
    return call.app.removeprefix("centralino-")


async def test_calls_are_shared_and_each_reaches_the_agent_wherever_the_page_is_open(
    world: World, workers: dict[str, ServiceProcess]
) -> None:
    async with on_duty(world, ANNA, UNO) as anna:
        served = set()
        for _ in range(12):
            async with world.caller(ROSSI.phone) as rossi:
                call = await dial(world, rossi, STAFFED)
                await anna.phone.wait_for(Event.RINGING)
                pop = await anna.desk.until_item("pops", call.id, lambda item: item["state"] == "ringing")
                assert pop["contacts"][0]["name"] == ROSSI.name
                await rossi.hang_up()
                await anna.phone.wait_for(Event.CLOSED)
                await anna.until_presence("free")
            served.add(worker_of(call))
            if len(served) == 2:
                break
        assert served == {UNO, DUE}
    await world.until_quiet()
