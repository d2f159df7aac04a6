"""Several workers on one PostgreSQL server share the calls: what one lets fall, another takes up."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from centralino.rig.audio import similarity
from centralino.rig.phone import Event
from centralino.rig.postgres import PostgresServer
from centralino.rig.world import Colleague, ServiceProcess, World
from ivr.models import Call, Lease, Outcome, Phase
from tests.stories.conftest import (
    AMATO,
    ANNA,
    BRUNO,
    CLOSED,
    MESSAGE,
    ROSSI,
    STAFFED,
    OnDuty,
    answered_by,
    calls,
    dial,
    go_on_duty,
    kept_audio,
    outcome_of,
)
from tests.stories.test_crashes import (
    HEARD,
    calling,
    filed,
    hear_each_other,
    heard_each_other,
    not_cut_off,
    recording,
    taken_up,
    talking,
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
        await asyncio.gather(begin(uno), begin(due))
        yield {UNO: uno, DUE: due}


async def begin(worker: ServiceProcess) -> None:
    """Start a worker; it is in service afterwards."""
    await worker.start()
    await worker.in_service()


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


async def test_a_call_is_steered_from_the_page_wherever_it_is_served(
    world: World, workers: dict[str, ServiceProcess]
) -> None:
    """The page is open at one worker, the call may be with the other: hold, back, refused, and hang up work alike."""
    served: set[str] = set()
    while served != {UNO, DUE}:
        async with on_duty(world, ANNA, UNO) as anna, world.caller(ROSSI.phone) as rossi:
            talk = await talking(rossi, anna, world)
            served.add(worker_of(talk))
            path = f"/api/calls/{talk.id}"
            await anna.desk.post(f"{path}/hold")
            await anna.desk.until_item("pops", talk.id, lambda pop: pop["on_hold"])
            await anna.desk.post(f"{path}/unhold")
            await anna.desk.until_item("pops", talk.id, lambda pop: not pop["on_hold"])
            with pytest.raises(httpx.HTTPStatusError, match="409"):
                await anna.desk.post(f"{path}/transfer", {"target": "queue:nessuna"})
            await anna.desk.post(f"{path}/hang-up")
            await rossi.wait_for(Event.CLOSED)
            assert await outcome_of(world, talk) is Outcome.ANSWERED
    await world.until_quiet()


async def test_a_worker_dies_and_the_other_takes_up_its_calls(world: World) -> None:
    """Nobody is cut off: they talk on, the message is filed, who waits goes on waiting and is served."""
    async with (
        world.process(UNO) as uno,
        world.process(DUE) as due,
        world.caller(ROSSI.phone) as rossi,
        world.caller(AMATO.phone) as amato,
        world.caller("+390999999999") as waits,
    ):
        await begin(uno)
        async with on_duty(world, ANNA, UNO) as anna:
            talk = await talking(rossi, anna, world)
            message = await calling(amato, world, CLOSED, Phase.MESSAGE)
            await recording(world, message.id)
            await amato.speak(MESSAGE)
            waiting = await calling(waits, world, STAFFED, Phase.WAITING)
            await begin(due)
            await uno.kill()
            for call in (talk, message, waiting):
                await taken_up(due, call.id)
            not_cut_off(rossi, amato, waits, anna.phone)
            await hear_each_other(rossi, anna.phone)
            await rossi.hang_up()
            await anna.phone.wait_for(Event.CLOSED)
            await heard_each_other(rossi, anna.phone)
            assert await outcome_of(world, talk) is Outcome.ANSWERED
            left, _ = await filed(world, message.id)
            assert similarity(MESSAGE, kept_audio(world, left)) > HEARD
            await amato.hang_up()
        async with on_duty(world, BRUNO, DUE) as bruno:
            await answered_by(world, bruno, waiting)
            await waits.hang_up()
            await bruno.phone.wait_for(Event.CLOSED)
            assert await outcome_of(world, waiting) is Outcome.ANSWERED
            await world.until_quiet()
            await world.until(lambda session: _holders(session).keys() == {"centralino-due"})


async def test_a_worker_is_stopped_and_its_calls_go_on_at_once(
    world: World, workers: dict[str, ServiceProcess]
) -> None:
    """As a deployment does it, one worker after the other: the talk is not cut off, and new calls are served."""
    async with on_duty(world, ANNA, DUE) as anna, world.caller(ROSSI.phone) as rossi:
        talk = await talking(rossi, anna, world)
        first, second = (UNO, DUE) if worker_of(talk) == UNO else (DUE, UNO)
        await workers[first].terminate()
        await taken_up(workers[second], talk.id)
        not_cut_off(rossi, anna.phone)
        await begin(workers[first])
        await hear_each_other(rossi, anna.phone)
        not_cut_off(rossi, anna.phone)
        await rossi.hang_up()
        await anna.phone.wait_for(Event.CLOSED)
        assert await outcome_of(world, talk) is Outcome.ANSWERED
    await world.until_quiet()


async def test_a_worker_that_was_frozen_gives_way_and_serves_again(world: World) -> None:
    """Taken for dead, it comes back: its calls are its own again, and nobody was cut off."""
    async with (
        world.process(UNO) as uno,
        world.process(DUE) as due,
        world.caller(ROSSI.phone) as rossi,
        world.caller(AMATO.phone) as amato,
    ):
        await begin(uno)
        waiting = await calling(rossi, world, STAFFED, Phase.WAITING)
        await begin(due)
        uno.freeze()
        await taken_up(due, waiting.id)
        uno.thaw()
        await world.until(lambda session: _holders(session).get("centralino-uno") is False)
        await taken_up(uno, waiting.id)
        not_cut_off(rossi)
        async with on_duty(world, ANNA, DUE) as anna:
            await answered_by(world, anna, waiting)
            await rossi.hang_up()
            await anna.phone.wait_for(Event.CLOSED)
            assert await outcome_of(world, waiting) is Outcome.ANSWERED
            await anna.until_presence("free")
            talk = await talking(amato, anna, world)
            await amato.hang_up()
            assert await outcome_of(world, talk) is Outcome.ANSWERED
    await world.until_quiet()


def _holders(session: Session) -> dict[str, bool]:
    """The applications that somebody holds, and whether it is somebody else than the worker of that name."""
    return {lease.app: lease.adopted for lease in session.scalars(select(Lease))}
