"""Several workers on one PostgreSQL server share the calls: what one lets fall, another takes up."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from centralino.rig.audio import seconds, similarity
from centralino.rig.phone import Event
from centralino.rig.postgres import PostgresServer
from centralino.rig.world import Colleague, ServiceProcess, World
from desk.models import Role
from desk.operations import set_role
from ivr.models import Agent, Call, Lease, Outcome, Phase
from tests.stories.conftest import (
    AMATO,
    ANNA,
    BRUNO,
    CLOSED,
    MENU,
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
from voicemail.models import Message

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


async def test_a_desk_that_runs_apart_shows_and_steers_calls_and_is_forgotten_when_it_dies(world: World) -> None:
    async with world.process(UNO) as uno, world.process(DUE, command="desk") as desk:
        await begin(uno)
        await begin(desk)
        async with on_duty(world, ANNA, DUE) as anna, world.caller(ROSSI.phone) as rossi:
            talk = await talking(rossi, anna, world)
            pop = await anna.desk.until_item("pops", talk.id, lambda item: item["state"] == "talking")
            assert pop["contacts"][0]["name"] == ROSSI.name
            await anna.desk.post(f"/api/calls/{talk.id}/hold")
            await anna.desk.until_item("pops", talk.id, lambda item: item["on_hold"])
            await desk.kill()
            await world.until(lambda session: not session.get_one(Agent, anna.id).desk_connected)
            not_cut_off(rossi, anna.phone)
            await begin(desk)
            async with world.desk(ANNA.username, DUE) as again:
                await again.post(f"/api/calls/{talk.id}/unhold")
                await again.until_item("pops", talk.id, lambda item: not item["on_hold"])
                await again.post(f"/api/calls/{talk.id}/hang-up")
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


async def test_a_new_version_is_put_in_under_load_and_nothing_is_lost(
    world: World, workers: dict[str, ServiceProcess]
) -> None:
    """One worker after the other is stopped and started anew, while people talk, wait, and leave messages all along."""
    async with (
        on_duty(world, ANNA, UNO) as anna,
        world.caller(ROSSI.phone) as rossi,
        world.caller("+390999999999") as waits,
        asyncio.TaskGroup() as leaving,
    ):
        talk = await talking(rossi, anna, world)
        waiting = await calling(waits, world, STAFFED, Phase.WAITING)
        deployed = asyncio.Event()
        numbers = [f"+39080777000{number}" for number in range(3)]
        left = [leaving.create_task(leave_messages(world, number, deployed)) for number in numbers]
        for worker in workers.values():
            assert await worker.terminate() == 0
            await begin(worker)
        not_cut_off(rossi, waits, anna.phone)
        deployed.set()
        await hear_each_other(rossi, anna.phone)
        await rossi.hang_up()
        await anna.phone.wait_for(Event.CLOSED)
        await heard_each_other(rossi, anna.phone)
        assert await outcome_of(world, talk) is Outcome.ANSWERED
        async with on_duty(world, BRUNO, UNO) as bruno:
            await answered_by(world, bruno, waiting)
            await waits.hang_up()
            await bruno.phone.wait_for(Event.CLOSED)
            assert await outcome_of(world, waiting) is Outcome.ANSWERED
    await world.until_quiet()
    calls_made = {call_id for task in left for call_id in task.result()}
    assert calls_made
    assert await world.read(_filed_calls) == calls_made


async def test_a_worker_that_is_to_stop_lets_callers_finish_first_and_takes_no_new_ones(
    world: World, workers: dict[str, ServiceProcess]
) -> None:
    async with world.caller(ROSSI.phone) as rossi, world.caller(AMATO.phone) as amato:
        in_menu = await calling(rossi, world, MENU, Phase.MENU)
        first, second = (UNO, DUE) if worker_of(in_menu) == UNO else (DUE, UNO)
        stopping = asyncio.create_task(workers[first].terminate())
        await world.until(lambda _: "is stopping" in workers[first].log())
        new = await calling(amato, world, STAFFED, Phase.WAITING)
        assert worker_of(new) == second
        assert not stopping.done()
        await rossi.press("3")
        await world.call_until(in_menu.id, lambda call: call.choice == "credentials")
        assert await stopping == 0
        await taken_up(workers[second], in_menu.id)
        not_cut_off(rossi, amato)
        assert (await world.call_until(in_menu.id, lambda call: call.phase is Phase.WAITING)).queue == "secondo"
        await rossi.hang_up()
        await amato.hang_up()
    await world.until_quiet()


async def test_a_worker_that_is_to_stop_cuts_off_neither_a_phone_that_rings_nor_a_caller_on_hold(
    world: World, workers: dict[str, ServiceProcess]
) -> None:
    async with on_duty(world, ANNA, DUE) as anna, world.caller(ROSSI.phone) as rossi:
        ringing = await dial(world, rossi, STAFFED)
        await anna.phone.wait_for(Event.RINGING)
        first, second = (UNO, DUE) if worker_of(ringing) == UNO else (DUE, UNO)
        stopping = asyncio.create_task(workers[first].terminate())
        await world.until(lambda _: "is stopping" in workers[first].log())
        await anna.phone.answer()
        await anna.phone.wait_for(Event.ESTABLISHED)
        await world.call_until(ringing.id, lambda call: call.phase is Phase.TALKING)
        assert await stopping == 0
        await taken_up(workers[second], ringing.id)
        async with world.desk(ANNA.username, second) as desk:
            await desk.post(f"/api/calls/{ringing.id}/hold")
            await desk.until_item("pops", ringing.id, lambda item: item["on_hold"])
        await begin(workers[first])
        assert await workers[second].terminate() == 0
        await taken_up(workers[first], ringing.id)
        not_cut_off(rossi, anna.phone)
        async with world.desk(ANNA.username, first) as desk:
            await desk.post(f"/api/calls/{ringing.id}/unhold")
            await desk.until_item("pops", ringing.id, lambda item: not item["on_hold"])
        await hear_each_other(rossi, anna.phone)
        await rossi.hang_up()
        await anna.phone.wait_for(Event.CLOSED)
        await heard_each_other(rossi, anna.phone)
        assert await outcome_of(world, ringing) is Outcome.ANSWERED
    await world.until_quiet()


async def leave_messages(world: World, number: str, over: asyncio.Event) -> list[str]:
    """Leave one message after the other until it is over; returns the ids of the calls."""
    made = []
    async with world.caller(number) as caller:
        while not over.is_set():
            call = await dial(world, caller, CLOSED)
            path = world.asterisk.recording_spool / f"{call.id}-1.wav"
            await world.until(lambda _, path=path: path.exists(), within=40)  # type: ignore[misc]
            await caller.speak(MESSAGE)
            await asyncio.sleep(seconds(MESSAGE))  # that long they speak
            await caller.hang_up()
            await caller.wait_for(Event.CLOSED)
            made.append(call.id)
    return made


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


def _filed_calls(session: Session) -> set[str | None]:
    """The calls whose message became a request; each is the only one of its call."""
    filed = session.scalars(select(Message.call_id).where(Message.request_id.is_not(None))).all()
    assert len(filed) == len(set(filed))
    return set(filed)


def _holders(session: Session) -> dict[str, bool]:
    """The applications that somebody holds, and whether it is somebody else than the worker of that name."""
    return {lease.app: lease.adopted for lease in session.scalars(select(Lease))}


async def test_what_a_supervisor_does_at_one_worker_holds_for_the_next_call_at_the_other(
    world: World, workers: dict[str, ServiceProcess]
) -> None:
    """Anna's page is open at one worker. She closes the line, and then adds one: whoever has the next call knows it."""
    await world.database.run(set_role, ANNA.username, Role.SUPERVISOR)
    async with on_duty(world, ANNA, UNO) as anna:
        await anna.desk.post("/api/closures", {"words": "Evacuazione", "prompt": "technical-problem"})
        heard: set[str] = set()
        while heard != {UNO, DUE}:
            async with world.caller(ROSSI.phone) as rossi:
                call = await dial(world, rossi, STAFFED)
                call = await world.call_until(call.id, lambda row: row.phase in (Phase.MESSAGE, Phase.WAITING))
                assert call.phase is Phase.MESSAGE, f"worker {worker_of(call)} did not know of the closure"
                heard.add(worker_of(call))
                await rossi.hang_up()
                await rossi.wait_for(Event.CLOSED)
        (closed,) = await anna.desk.get("/api/closures")
        await anna.desk.post(f"/api/closures/{closed['id']}/end", {})
        await anna.desk.post("/api/admin/site/queue", {"name": "cup", "definition": {"when_no_agents": "wait"}})
        line = {"name": "CUP", "calendar": "sempre", "queue": "cup", "greeting": "", "notice": ""}
        await anna.desk.post("/api/admin/site/line", {"name": "899", "definition": line})
        heard.clear()
        while heard != {UNO, DUE}:
            async with world.caller(ROSSI.phone) as rossi:
                call = await dial(world, rossi, "899")
                call = await world.call_until(call.id, lambda row: row.phase is Phase.WAITING)
                assert (call.line, call.queue) == ("899", "cup"), f"worker {worker_of(call)} did not know the line"
                heard.add(worker_of(call))
                await rossi.hang_up()
                await rossi.wait_for(Event.CLOSED)
    await world.until_quiet()
