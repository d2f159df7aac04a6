"""The database server dies in the middle of calls, and comes back or is replaced: no call drops, nothing is lost."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from centralino.rig.audio import seconds, similarity
from centralino.rig.errors import PostgresMissing
from centralino.rig.phone import Event
from centralino.rig.postgres import PostgresServer
from centralino.rig.world import World
from ivr.models import Outcome, Phase
from tests.stories.conftest import (
    AMATO,
    ANNA,
    BRUNO,
    CLOSED,
    MESSAGE,
    ROSSI,
    STAFFED,
    answered_by,
    calls,
    go_on_duty,
    kept_audio,
    outcome_of,
)
from tests.stories.test_crashes import (
    HEARD,
    Connected,
    calling,
    filed,
    hear_each_other,
    heard_each_other,
    not_cut_off,
    recording,
    talking,
)

pytestmark = pytest.mark.story


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A server that may be killed: no other test has it."""
    try:
        server = PostgresServer(replicated=True)
    except PostgresMissing as missing:
        pytest.skip(str(missing))
    with server:
        yield server


@contextlib.asynccontextmanager
async def site(folder: Path, database: str) -> AsyncIterator[World]:
    """Everything, with that database, and the service as a process of its own."""
    storage = {"storage": {"database": database}}
    people = (ROSSI, AMATO)
    async with World(folder, calls(), colleagues=(ANNA, BRUNO), people=people, settings_extra=storage) as world:
        process = Connected(world)
        try:
            await process.start()
            yield world
        finally:
            await process.kill()


async def calls_outlive(world: World, lose: Callable[[], None], bring_back: Callable[[], None]) -> None:
    """Two talk, one leaves a message, one waits, while the database is lost; what they did is written afterwards."""
    async with (
        world.phone(ANNA.extension, answer="manual") as phone,
        world.desk(ANNA.username) as desk,
        world.caller(ROSSI.phone) as rossi,
        world.caller(AMATO.phone) as amato,
        world.caller("+390999999999") as waits,
    ):
        anna = await go_on_duty(world, ANNA, phone, desk)
        talk = await talking(rossi, anna, world)
        message = await calling(amato, world, CLOSED, Phase.MESSAGE)
        await recording(world, message.id)
        waiting = await calling(waits, world, STAFFED, Phase.WAITING)
        await asyncio.to_thread(lose)
        await amato.speak(MESSAGE)
        await hear_each_other(rossi, anna.phone)
        await asyncio.sleep(seconds(MESSAGE))  # that long it is spoken
        await amato.hang_up()
        not_cut_off(rossi, waits, anna.phone)
        await asyncio.to_thread(bring_back)
        left, _ = await filed(world, message.id)
        assert similarity(MESSAGE, kept_audio(world, left)) > HEARD
        await rossi.hang_up()
        await anna.phone.wait_for(Event.CLOSED)
        await heard_each_other(rossi, anna.phone)
        assert await outcome_of(world, talk) is Outcome.ANSWERED
        not_cut_off(waits)
        await answered_by(world, anna, waiting)
        await waits.hang_up()
        await anna.phone.wait_for(Event.CLOSED)
        assert await outcome_of(world, waiting) is Outcome.ANSWERED
        assert await outcome_of(world, message) is Outcome.VOICEMAIL
    await world.until_quiet()


async def test_the_database_server_dies_and_is_started_again(tmp_path: Path, server: PostgresServer) -> None:
    async with site(tmp_path, server.create_database("one")) as world:
        await calls_outlive(world, server.kill, server.start)


async def test_the_database_server_dies_and_its_standby_takes_over(tmp_path: Path, server: PostgresServer) -> None:
    """The settings name both servers; whichever may be written to is used."""
    database = server.create_database("one")
    with PostgresServer(replicated=True, follows=server) as standby:
        both = "&".join(f"host=127.0.0.1:{port}" for port in (server.port, standby.port))
        url = f"{database.replace(f'127.0.0.1:{server.port}', '')}?{both}&target_session_attrs=read-write"
        async with site(tmp_path, url) as world:
            await calls_outlive(world, server.kill, standby.promote)
