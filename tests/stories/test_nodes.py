"""Several Asterisks beside each other: people at one talk with people at another, and one of them may die."""

import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from centralino.rig.audio import similarity
from centralino.rig.phone import Event
from centralino.rig.postgres import PostgresServer
from centralino.rig.world import Colleague, World
from centralino.serve import Service
from ivr.models import Agent, Call, OfferResult, Outcome, Phase
from tests.stories.conftest import (
    AMATO,
    ANNA,
    BRUNO,
    CARLA,
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
    message_of,
    nothing_left,
    outcome_of,
)
from tests.stories.test_crashes import (
    HEARD,
    Cable,
    adopted,
    calling,
    hear_each_other,
    heard_each_other,
    not_cut_off,
    offers_of,
    recording,
    taken_up,
    talking,
    until,
)
from tests.stories.test_workers import DUE, UNO, begin
from tickets.alarms import open_alarms

pytestmark = pytest.mark.story

NORD, SUD = "nord", "sud"
DARIO = Colleague("dario", "Dario Blu", "104", ("edotto",))
LOST_SECONDS = 5
"""The least that may be set."""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A site with two Asterisks and one worker."""
    async with World(
        tmp_path,
        calls(),
        colleagues=(ANNA, BRUNO, DARIO),
        people=(ROSSI, AMATO),
        settings_extra={"asterisk": {"lost_seconds": LOST_SECONDS}},
        nodes=(NORD, SUD),
    ) as world:
        yield world


@contextlib.asynccontextmanager
async def serving(world: World) -> AsyncIterator[Service]:
    """The service, in service at both."""
    async with world.serving() as service:
        await until(lambda: all(application.in_service for application in service.switchboard.applications.own))
        yield service


@contextlib.asynccontextmanager
async def on_duty(world: World, colleague: Colleague, node: str, worker: str = "") -> AsyncIterator[OnDuty]:
    """An agent whose phone is registered at a node."""
    async with (
        world.phone(colleague.extension, node=node, answer="manual") as phone,
        world.desk(colleague.username, worker) as desk,
    ):
        yield await go_on_duty(world, colleague, phone, desk)


async def test_a_caller_at_one_asterisk_talks_with_an_agent_at_another(world: World) -> None:
    async with (
        serving(world) as service,
        on_duty(world, ANNA, NORD) as anna,
        world.caller(ROSSI.phone, node=SUD) as rossi,
    ):
        call = await talking(rossi, anna, world)
        assert call.app == "sud/centralino"
        await anna.desk.post(f"/api/calls/{call.id}/hold")
        await anna.desk.post(f"/api/calls/{call.id}/unhold")
        await hear_each_other(rossi, anna.phone)
        not_cut_off(rossi, anna.phone)
        await anna.phone.hang_up()
        await rossi.wait_for(Event.CLOSED)
        await heard_each_other(rossi, anna.phone)
        assert await outcome_of(world, call) is Outcome.ANSWERED
        await anna.until_presence("free")
        call = await talking(rossi, anna, world)
        await rossi.hang_up()
        await anna.phone.wait_for(Event.CLOSED)
        assert await outcome_of(world, call) is Outcome.ANSWERED
        await nothing_left(world, service)


async def test_ringing_at_another_asterisk_ends_as_at_ones_own(world: World) -> None:
    """The caller gives up, the agent declines; a caller at once transferred reaches a colleague elsewhere."""
    async with (
        serving(world) as service,
        on_duty(world, ANNA, NORD) as anna,
        world.caller(ROSSI.phone, node=SUD) as rossi,
    ):
        await dial(world, rossi, STAFFED)
        await anna.phone.wait_for(Event.RINGING)
        await rossi.hang_up()
        await anna.phone.wait_for(Event.CLOSED)
        await anna.until_presence("free")
        call = await dial(world, rossi, STAFFED)
        await anna.phone.wait_for(Event.RINGING)
        await anna.phone.reject()
        await anna.until_presence("paused")
        assert await offers_of(world, call.id) == [OfferResult.REJECTED]
        async with on_duty(world, BRUNO, SUD) as bruno:
            await answered_by(world, bruno, call)
            await anna.desk.post("/api/presence/free")
            await anna.until_presence("free")
            await bruno.desk.post(f"/api/calls/{call.id}/transfer", {"target": f"agent:{anna.id}"})
            await answered_by(world, anna, call)
            await hear_each_other(rossi, anna.phone)
            await anna.phone.hang_up()
            await rossi.wait_for(Event.CLOSED)
            await heard_each_other(rossi, anna.phone)
        await nothing_left(world, service)


async def test_a_phone_that_registers_elsewhere_is_found_there(world: World) -> None:
    async with (
        serving(world) as service,
        world.caller(ROSSI.phone, node=SUD) as rossi,
        world.desk(ANNA.username) as desk,
    ):
        for node in (NORD, SUD, NORD):
            async with world.phone(ANNA.extension, node=node, answer="manual") as phone:
                anna = await go_on_duty(world, ANNA, phone, desk)
                call = await talking(rossi, anna, world)
                await rossi.hang_up()
                assert await outcome_of(world, call) is Outcome.ANSWERED
                await anna.until_presence("free")
            await desk.until_item("agents", anna.id, lambda item: not item["phone_reachable"])
        await nothing_left(world, service)


async def test_an_asterisk_dies_and_the_other_serves_on(world: World) -> None:
    """Calls there are closed, its agent is not rung and comes back by herself, callers at the other are served."""
    async with (
        serving(world) as service,
        on_duty(world, ANNA, NORD) as anna,
        world.caller(ROSSI.phone, node=NORD) as rossi,
        world.caller(AMATO.phone, node=SUD) as amato,
    ):
        lost = await talking(rossi, anna, world)
        async with on_duty(world, DARIO, NORD), on_duty(world, BRUNO, SUD) as bruno:
            await world.asterisks[NORD].kill()
            await until(lambda: not all(application.in_service for application in service.switchboard.applications.own))
            call = await dial(world, amato, STAFFED)
            await answered_by(world, bruno, call)  # and not Dario, who has been idle longer
            assert await offers_of(world, call.id) == [OfferResult.ANSWERED]
            await amato.hang_up()
            assert await outcome_of(world, call) is Outcome.ANSWERED
        row = await world.call_until(lost.id, lambda row: row.ended_at)
        assert (row.outcome, row.outcome_note) == (Outcome.LOST, "Asterisk nord was not reached for 5 s")
        await anna.desk.until_item("agents", anna.id, lambda item: not item["phone_reachable"])
        await anna.until_presence("free")
        assert [(one.kind, one.subject) for one in await world.read(open_alarms)] == [("node_lost", NORD)]
        assert service.switchboard.in_service
        await world.asterisks[NORD].start()
        await anna.desk.until_item("agents", anna.id, lambda item: item["phone_reachable"], within=90)
        await world.until(lambda session: not open_alarms(session))
        call = await talking(amato, anna, world)
        await amato.hang_up()
        assert await outcome_of(world, call) is Outcome.ANSWERED
        await nothing_left(world, service)


async def test_an_agent_whose_asterisk_does_not_answer_has_missed_nothing(world: World) -> None:
    """As when its machine loses power: nobody closes a connection. The agent is free again by herself."""
    async with (
        serving(world) as service,
        on_duty(world, ANNA, NORD) as anna,
        world.caller(ROSSI.phone, node=SUD) as rossi,
    ):
        os.kill(world.asterisks[NORD].pid, signal.SIGSTOP)
        try:
            call = await dial(world, rossi, STAFFED)
            page = await anna.until_presence("paused")
        finally:
            os.kill(world.asterisks[NORD].pid, signal.SIGCONT)
        assert page["pause_reason"] == "phone_unreachable"
        await anna.desk.until_item("agents", anna.id, lambda agent: agent["presence"] in ("free", "ringing"))
        assert OfferResult.MISSED not in await offers_of(world, call.id)
        await rossi.hang_up()
        await outcome_of(world, call)
        await nothing_left(world, service)


async def test_the_agents_asterisk_dies_in_a_talk_and_the_caller_is_first_in_the_line_again(world: World) -> None:
    async with (
        serving(world) as service,
        on_duty(world, ANNA, NORD) as anna,
        world.caller(ROSSI.phone, node=SUD) as rossi,
    ):
        call = await talking(rossi, anna, world)
        await world.asterisks[NORD].kill()
        async with on_duty(world, BRUNO, SUD) as bruno:
            await bruno.phone.wait_for(Event.RINGING, within=40)
            await bruno.phone.answer()
            await world.call_until(call.id, lambda row: row.phase is Phase.TALKING and row.agent_id == bruno.id)
            not_cut_off(rossi)
            await rossi.hang_up()
            assert await outcome_of(world, call) is Outcome.ANSWERED
        await world.asterisks[NORD].start()
        await nothing_left(world, service)


@pytest.fixture
async def cabled(tmp_path: Path) -> AsyncIterator[tuple[World, Cable]]:
    """One Asterisk, which the service reaches over a cable."""
    async with Cable() as cable:
        extra = {"asterisk": {"url": f"http://127.0.0.1:{cable.port}", "lost_seconds": LOST_SECONDS}}
        async with World(tmp_path, calls(), colleagues=(ANNA,), people=(ROSSI, AMATO), settings_extra=extra) as world:
            cable.target = world.asterisk.site.http_port
            yield world, cable


async def test_calls_that_counted_as_lost_and_went_on_are_open_again(cabled: tuple[World, Cable]) -> None:
    """Only the connection was cut: they talk on, and a message is filed whose caller has gone meanwhile."""
    world, cable = cabled
    async with (
        world.serving() as service,
        world.phone(ANNA.extension, answer="manual") as phone,
        world.desk(ANNA.username) as desk,
        world.caller(ROSSI.phone) as rossi,
        world.caller(AMATO.phone) as amato,
    ):
        anna = await go_on_duty(world, ANNA, phone, desk)
        talk = await talking(rossi, anna, world)
        message = await calling(amato, world, CLOSED, Phase.MESSAGE)
        await recording(world, message.id)
        await amato.speak(MESSAGE)
        cable.pull()
        for call in (talk, message):
            assert await outcome_of(world, call) is Outcome.LOST
        await anna.until_presence("free")
        await amato.hang_up()
        not_cut_off(rossi, phone)
        cable.plugged = True
        await world.call_until(talk.id, lambda row: row.phase is Phase.TALKING and row.outcome is None)
        await anna.until_presence("talking")
        await adopted(desk, talk.id)
        await hear_each_other(rossi, phone)
        await phone.hang_up()
        await rossi.wait_for(Event.CLOSED)
        await heard_each_other(rossi, phone)
        row = await world.call_until(talk.id, lambda row: row.outcome)
        assert (row.outcome, row.outcome_note) == (Outcome.ANSWERED, None)
        left = await message_of(world, message)
        assert left.request_id is not None
        assert similarity(MESSAGE, kept_audio(world, left)) > HEARD
        await world.call_until(message.id, lambda row: row.outcome is Outcome.VOICEMAIL)
        await anna.until_presence("free")
        await nothing_left(world, service)


@pytest.fixture
async def shared(tmp_path: Path, postgres_server: PostgresServer) -> AsyncIterator[World]:
    """Two Asterisks, whose calls two workers share."""
    database = postgres_server.create_database(f"n_{tmp_path.name}"[:60].lower())
    async with World(
        tmp_path,
        calls(),
        colleagues=(ANNA, BRUNO, CARLA),
        people=(ROSSI, AMATO),
        settings_extra={"storage": {"database": database}},
        workers=(UNO, DUE),
        nodes=(NORD, SUD),
    ) as world:
        yield world


async def test_a_worker_dies_with_calls_at_both_and_the_other_takes_all_over(shared: World) -> None:
    world = shared
    async with (
        world.process(UNO) as uno,
        world.process(DUE) as due,
        world.caller(ROSSI.phone, node=NORD) as rossi,
        world.caller(AMATO.phone, node=SUD) as amato,
    ):
        await begin(uno)
        async with on_duty(world, ANNA, NORD, UNO) as anna, on_duty(world, BRUNO, SUD, UNO) as bruno:
            first = await talking(rossi, anna, world)
            second = await talking(amato, bruno, world)
            assert {first.app, second.app} == {"nord/centralino-uno", "sud/centralino-uno"}
            await begin(due)
            await uno.kill()
            for call in (first, second):
                await taken_up(due, call.id)
            not_cut_off(rossi, amato, anna.phone, bruno.phone)
            await hear_each_other(rossi, anna.phone)
            for caller, agent, call in ((rossi, anna, first), (amato, bruno, second)):
                await caller.hang_up()
                await agent.phone.wait_for(Event.CLOSED)
                assert await outcome_of(world, call) is Outcome.ANSWERED
            await heard_each_other(rossi, anna.phone)
            await world.until(_all_free)
    await world.until_quiet()


def _all_free(session: Session) -> bool:
    return session.query(Agent).filter(Agent.call_id.is_not(None)).first() is None and (
        session.query(Call).filter(Call.ended_at.is_(None)).first() is None
    )
