"""The service dies, or Asterisk, or the line between them: nobody is cut off, nothing is lost, nothing left behind."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from sqlalchemy.orm import Session

from centralino.rig.audio import seconds, similarity
from centralino.rig.desk import DeskClient
from centralino.rig.phone import Event, Phone
from centralino.rig.world import Colleague, ServiceProcess, World
from ivr import queries
from ivr.application import Application
from ivr.ari import AriTimeout
from ivr.models import Agent, Call, OfferResult, Outcome, Phase, Presence
from tests.stories.conftest import (
    AMATO,
    ANNA,
    ANSWER,
    BRUNO,
    CLOSED,
    MENU,
    MESSAGE,
    QUESTION,
    ROSSI,
    STAFFED,
    Duty,
    OnDuty,
    calls,
    go_on_duty,
    nothing_left,
)
from tickets.models import Request
from voicemail.models import Message, MessageState

pytestmark = pytest.mark.story

HEARD = 0.8
"""Above this correlation two pieces of audio are the same speech (unrelated speech stays under 0.4)."""


async def until(seen: Callable[[], object], *, within: float = 15.0) -> None:
    """Wait until something outside, which tells nobody, is as wanted. Raises TimeoutError."""
    async with asyncio.timeout(within):
        while True:
            if seen():
                return
            await asyncio.sleep(0.02)


class Connected(ServiceProcess):
    """The service as a process, which counts as started when it has Asterisk's calls in its hands."""

    async def start(self) -> None:
        """Start it and wait until it is in service."""
        await super().start()
        await self.in_service()


@pytest.fixture
async def process(world: World) -> AsyncIterator[ServiceProcess]:
    """The service as a process of its own, started."""
    process = Connected(world)
    try:
        await process.start()
        yield process
    finally:
        await process.kill()


def not_cut_off(*phones: Phone) -> None:
    """No phone's last call has ended."""
    for phone in phones:
        assert phone.events[-1].event is not Event.CLOSED, f"{phone.name} was cut off: {phone.events}"


async def calling(caller: Phone, world: World, number: str, phase: Phase) -> Call:
    """A call that has come as far as a phase."""
    await caller.call(number)
    await caller.wait_for(Event.ESTABLISHED)
    call = await world.call_from(caller.name)
    return await world.call_until(call.id, lambda row: row.phase is phase)


async def talking(caller: Phone, agent: OnDuty, world: World) -> Call:
    """A call in which the two talk."""
    await caller.call(STAFFED)
    await caller.wait_for(Event.ESTABLISHED)
    await agent.phone.wait_for(Event.RINGING)
    await agent.phone.answer()
    await agent.phone.wait_for(Event.ESTABLISHED)
    call = await world.call_from(caller.name)
    return await world.call_until(call.id, lambda row: row.phase is Phase.TALKING)


async def hear_each_other(caller: Phone, agent: Phone) -> None:
    """Both speak from now on and listen to the other's speech to its end."""
    await caller.speak(QUESTION)
    await agent.speak(ANSWER)
    await asyncio.sleep(max(seconds(QUESTION), seconds(ANSWER)) + 0.5)  # that long the speech takes


async def heard_each_other(caller: Phone, agent: Phone) -> None:
    """What was spoken is what was heard; after the call, as soon as the phones have written their files."""
    for speech, phone in ((QUESTION, agent), (ANSWER, caller)):
        with contextlib.suppress(TimeoutError):
            await until(lambda speech=speech, phone=phone: similarity(speech, phone.heard()) > HEARD, within=3)  # type: ignore[misc]
        assert similarity(speech, phone.heard()) > HEARD


async def recording(world: World, call_id: str, *, take: int = 1) -> Path:
    """The file of a message, once Asterisk records it (the beep is then over)."""
    path = world.asterisk.recording_spool / f"{call_id}-{take}.wav"
    await until(lambda: path.exists())
    return path


async def filed(world: World, call_id: str) -> tuple[Message, Request]:
    """The message of a call and its request, once they are filed."""

    def seen(session: Session) -> tuple[Message, Request] | None:
        call = session.get_one(Call, call_id)
        message = session.get(Message, call.message_id) if call.message_id else None
        if message is None or message.request_id is None:
            return None
        return message, session.get_one(Request, message.request_id)

    return await world.until(seen)


async def agent_until(world: World, username: str, presence: Presence) -> Agent:
    """An agent's row, once it has a presence."""

    def seen(session: Session) -> Agent | None:
        found = [a for a in queries.agents(session) if a.username == username and a.presence is presence]
        return found[0] if found else None

    return await world.until(seen)


async def taken_up(process: ServiceProcess, call_id: str) -> None:
    """Wait until the new process says that it goes on with a call."""
    await until(lambda: any("taken up" in line and call_id in line for line in process.log().splitlines()))


async def adopted(desk: DeskClient, call_id: str, *, within: float = 15.0) -> None:
    """Wait until the service has a talk in its hands again: it obeys the desk's hold, and the way back."""
    async with asyncio.timeout(within):
        while True:
            try:
                await desk.post(f"/api/calls/{call_id}/hold")
            except httpx.HTTPStatusError:
                await asyncio.sleep(0.1)
            else:
                await desk.post(f"/api/calls/{call_id}/unhold")
                return


async def offers_of(world: World, call_id: str) -> list[OfferResult | None]:
    """What became of the offers of a call, the first one first."""

    def results(session: Session) -> list[OfferResult | None]:
        call = session.get_one(Call, call_id)
        session.refresh(call, ["offers"])
        return [offer.result for offer in call.offers]

    return await world.read(results)


# ------------------------------------------------------------------------------------------------ the service is killed


async def test_talk_goes_on_through_a_crash(world: World, process: ServiceProcess, on_duty: Duty) -> None:
    anna = await on_duty(ANNA)
    async with world.caller(ROSSI.phone) as caller:
        call = await talking(caller, anna, world)
        await process.kill()
        not_cut_off(caller, anna.phone)
        await process.start()
        async with world.desk(ANNA.username) as desk:
            await adopted(desk, call.id)
            await hear_each_other(caller, anna.phone)
            not_cut_off(caller, anna.phone)
            row = await world.call_until(call.id, lambda row: row.phase is Phase.TALKING)
            assert row.agent_id == anna.id
            await anna.phone.hang_up()
            await caller.wait_for(Event.CLOSED)
            row = await world.call_until(call.id, lambda row: row.outcome)
            assert row.outcome is Outcome.ANSWERED
            assert row.outcome_note is None
            assert await offers_of(world, call.id) == [OfferResult.ANSWERED]
            await agent_until(world, ANNA.username, Presence.FREE)  # after the wrap-up
        await heard_each_other(caller, anna.phone)
    await nothing_left(world)


async def test_they_hear_each_other_while_the_service_is_dead(
    world: World, process: ServiceProcess, on_duty: Duty
) -> None:
    anna = await on_duty(ANNA)
    async with world.caller(ROSSI.phone) as caller:
        call = await talking(caller, anna, world)
        await process.kill()
        await hear_each_other(caller, anna.phone)
        await process.start()
        async with world.desk(ANNA.username) as desk:
            await adopted(desk, call.id)
            await caller.hang_up()
            await anna.phone.wait_for(Event.CLOSED)
        row = await world.call_until(call.id, lambda row: row.outcome)
        assert row.outcome is Outcome.ANSWERED
        await heard_each_other(caller, anna.phone)
    await nothing_left(world)


async def test_waiting_caller_reaches_the_agent_after_a_crash(
    world: World, process: ServiceProcess, on_duty: Duty
) -> None:
    async with world.caller(ROSSI.phone) as caller:
        call = await calling(caller, world, STAFFED, Phase.WAITING)
        await process.kill()
        await process.start()
        anna = await on_duty(ANNA)
        await anna.phone.wait_for(Event.RINGING, within=15)
        await anna.phone.answer()
        row = await world.call_until(call.id, lambda row: row.phase is Phase.TALKING)
        assert row.queued_at == call.queued_at  # the place in the line is kept
        await hear_each_other(caller, anna.phone)
        not_cut_off(caller)
        await anna.phone.hang_up()
        await caller.wait_for(Event.CLOSED)
        await heard_each_other(caller, anna.phone)
    await nothing_left(world)


async def test_a_crash_while_the_phone_rings(world: World, process: ServiceProcess, on_duty: Duty) -> None:
    anna = await on_duty(ANNA)
    async with world.caller(ROSSI.phone) as caller:
        await caller.call(STAFFED)
        await anna.phone.wait_for(Event.RINGING)
        call = await world.call_from(ROSSI.phone)
        await process.kill()
        await process.start()
        await anna.phone.wait_for(Event.CLOSED)  # it rang for a service that is no more
        async with world.desk(ANNA.username) as desk:
            await desk.pop(call.id)
            await anna.phone.wait_for(Event.RINGING, within=15)
            await anna.phone.answer()
            await world.call_until(call.id, lambda row: row.phase is Phase.TALKING)
            not_cut_off(caller)
            await caller.hang_up()
            await world.call_until(call.id, lambda row: row.outcome is Outcome.ANSWERED)
        assert await offers_of(world, call.id) == [OfferResult.WITHDRAWN, OfferResult.ANSWERED]
    await nothing_left(world)


async def test_the_agent_answers_while_the_service_is_dead(
    world: World, process: ServiceProcess, on_duty: Duty
) -> None:
    anna = await on_duty(ANNA)
    async with world.caller(ROSSI.phone) as caller:
        await caller.call(STAFFED)
        await anna.phone.wait_for(Event.RINGING)
        call = await world.call_from(ROSSI.phone)
        await process.kill()
        await anna.phone.answer()
        await anna.phone.wait_for(Event.CLOSED)  # nobody is there to join them: Asterisk lets the phone go
        await process.start()
        async with world.desk(ANNA.username):
            await anna.phone.wait_for(Event.RINGING, within=15)
            await anna.phone.answer()
            await world.call_until(call.id, lambda row: row.phase is Phase.TALKING)
            not_cut_off(caller)
            await anna.phone.hang_up()
            await caller.wait_for(Event.CLOSED)
    await nothing_left(world)


async def test_a_message_recorded_across_a_crash_is_whole(world: World, process: ServiceProcess) -> None:
    async with world.caller(ROSSI.phone) as caller:
        call = await calling(caller, world, CLOSED, Phase.MESSAGE)
        spool = await recording(world, call.id)
        await caller.speak(MESSAGE)
        await asyncio.sleep(seconds(MESSAGE) / 3)  # in the middle of a word
        await process.kill()
        await process.start()
        await caller.wait_for(Event.CLOSED, within=60)  # silence ends the recording, then the ticket is said
        message, request = await filed(world, call.id)
        row = await world.call_until(call.id, lambda row: row.outcome)
        assert row.outcome is Outcome.VOICEMAIL
        assert message.state is MessageState.FILED
        assert similarity(MESSAGE, world.settings.storage.audio / str(message.audio)) > HEARD
        assert (message.seconds or 0) > seconds(MESSAGE)
        assert request.received_at == message.started_at
        assert not spool.exists()
        await world.mail.wait_for(ROSSI.email or "", request.ticket or "")
    await nothing_left(world)


async def test_a_crash_in_the_menu_asks_again(world: World, process: ServiceProcess, on_duty: Duty) -> None:
    bruno = await on_duty(BRUNO)
    async with world.caller(ROSSI.phone) as caller:
        call = await calling(caller, world, MENU, Phase.MENU)
        await process.kill()
        await process.start()
        async with world.desk(BRUNO.username):
            await taken_up(process, call.id)
            await caller.press("3")  # a key pressed ahead of the question counts
            await bruno.phone.wait_for(Event.RINGING, within=30)
            row = await world.call_until(call.id, lambda row: row.phase is Phase.RINGING)
            assert (row.queue, row.choice) == ("secondo", "credentials")
            not_cut_off(caller)
            await caller.hang_up()
            await world.call_until(call.id, lambda row: row.outcome is Outcome.ABANDONED_QUEUE)
    await nothing_left(world)


async def test_killed_over_and_over(world: World, process: ServiceProcess, on_duty: Duty) -> None:
    async with world.caller(ROSSI.phone) as caller, world.caller(AMATO.phone) as second:
        anna = await on_duty(ANNA)
        call = await talking(caller, anna, world)
        other = await calling(second, world, STAFFED, Phase.WAITING)
        for _ in range(3):
            await process.kill()
            await process.start()
        async with world.desk(ANNA.username) as desk:
            await adopted(desk, call.id)
            not_cut_off(caller, second, anna.phone)
            await caller.hang_up()
            await anna.phone.wait_for(Event.CLOSED)
            await anna.phone.wait_for(Event.RINGING, within=15)
            await anna.phone.answer()
            await world.call_until(other.id, lambda row: row.phase is Phase.TALKING)
            await second.hang_up()
            await world.call_until(other.id, lambda row: row.outcome is Outcome.ANSWERED)
    await nothing_left(world)


# ------------------------------------------------------------------------------------- somebody leaves in the meantime


async def test_waiting_caller_gives_up_while_the_service_is_dead(world: World, process: ServiceProcess) -> None:
    async with world.caller(ROSSI.phone) as caller:
        call = await calling(caller, world, STAFFED, Phase.WAITING)
        await process.kill()
        await caller.hang_up()
        await process.start()
        row = await world.call_until(call.id, lambda row: row.outcome)
        assert row.outcome is Outcome.ABANDONED_QUEUE
        assert row.outcome_note
    await nothing_left(world)


async def test_message_is_filed_when_the_caller_hangs_up_while_the_service_is_dead(
    world: World, process: ServiceProcess
) -> None:
    async with world.caller(ROSSI.phone) as caller:
        call = await calling(caller, world, CLOSED, Phase.MESSAGE)
        await recording(world, call.id)
        await caller.speak(MESSAGE)
        await asyncio.sleep(1)
        await process.kill()
        await asyncio.sleep(seconds(MESSAGE))  # the rest of the speech
        await caller.hang_up()
        await process.start()
        row = await world.call_until(call.id, lambda row: row.outcome)
        assert row.outcome is Outcome.VOICEMAIL
        message, request = await filed(world, call.id)
        assert similarity(MESSAGE, world.settings.storage.audio / str(message.audio)) > HEARD
        assert request.received_at == message.started_at
        assert request.pickup_due_at is not None
    await nothing_left(world)


async def test_caller_hangs_up_a_talk_while_the_service_is_dead(
    world: World, process: ServiceProcess, on_duty: Duty
) -> None:
    anna = await on_duty(ANNA)
    async with world.caller(ROSSI.phone) as caller:
        call = await talking(caller, anna, world)
        await process.kill()
        await caller.hang_up()
        await process.start()
        await anna.phone.wait_for(Event.CLOSED)  # nobody is on the other end any more
        row = await world.call_until(call.id, lambda row: row.outcome)
        assert row.outcome is Outcome.ANSWERED
        await agent_until(world, ANNA.username, Presence.FREE)
    await nothing_left(world)


async def test_agent_hangs_up_a_talk_while_the_service_is_dead(
    world: World, process: ServiceProcess, on_duty: Duty
) -> None:
    anna = await on_duty(ANNA)
    async with world.caller(ROSSI.phone) as caller:
        call = await talking(caller, anna, world)
        await process.kill()
        await anna.phone.hang_up()
        await process.start()
        await caller.wait_for(Event.CLOSED)
        row = await world.call_until(call.id, lambda row: row.outcome)
        assert row.outcome is Outcome.ANSWERED
        await agent_until(world, ANNA.username, Presence.FREE)
    await nothing_left(world)


# ----------------------------------------------------------------------------------------------- a stop in good order


async def test_a_stop_in_good_order_leaves_the_calls_up(world: World, process: ServiceProcess, on_duty: Duty) -> None:
    anna = await on_duty(ANNA)
    async with world.caller(ROSSI.phone) as caller, world.caller(AMATO.phone) as recorded:
        call = await talking(caller, anna, world)
        other = await calling(recorded, world, CLOSED, Phase.MESSAGE)
        await recording(world, other.id)
        await recorded.speak(MESSAGE)
        assert await process.terminate() == 0
        await asyncio.sleep(1)  # a hangup by the service would have come by now
        not_cut_off(caller, recorded, anna.phone)
        await process.start()
        async with world.desk(ANNA.username) as desk:
            await adopted(desk, call.id)
            await anna.phone.hang_up()
            await caller.wait_for(Event.CLOSED)
        message, _ = await filed(world, other.id)
        assert similarity(MESSAGE, world.settings.storage.audio / str(message.audio)) > HEARD
        await recorded.wait_for(Event.CLOSED, within=60)
        assert (await world.call_until(call.id, lambda row: row.outcome)).outcome is Outcome.ANSWERED
        assert (await world.call_until(other.id, lambda row: row.outcome)).outcome is Outcome.VOICEMAIL
    assert "Traceback" not in process.log()
    await nothing_left(world)


# ------------------------------------------------------------------------------------------------ Asterisk is restarted


async def at_work_again(agent: OnDuty) -> None:
    """Free after the wrap-up, on the page that was open all the time; the phone registers by itself once a minute."""
    await agent.desk.until_item(
        "agents", agent.id, lambda item: item["presence"] == "free" and item["phone_reachable"], within=75
    )


async def test_asterisk_dies_with_calls_up(world: World, process: ServiceProcess, on_duty: Duty) -> None:
    anna = await on_duty(ANNA)
    async with (
        world.caller(ROSSI.phone) as caller,
        world.caller(AMATO.phone) as recorded,
        world.caller("+390801112223") as waiting,
    ):
        call = await talking(caller, anna, world)
        other = await calling(recorded, world, CLOSED, Phase.MESSAGE)
        await recording(world, other.id)
        await recorded.speak(MESSAGE)
        third = await calling(waiting, world, STAFFED, Phase.WAITING)
        await asyncio.sleep(seconds(MESSAGE))  # what Asterisk has written by now is what can be saved
        await world.asterisk.kill()
        for phone in (caller, recorded, waiting, anna.phone):
            await phone.hang_up()  # their other end is gone
        await world.asterisk.start()

        assert (await world.call_until(call.id, lambda row: row.outcome)).outcome is Outcome.ANSWERED
        assert (await world.call_until(third.id, lambda row: row.outcome)).outcome is Outcome.ABANDONED_QUEUE
        assert (await world.call_until(other.id, lambda row: row.outcome)).outcome is Outcome.VOICEMAIL
        message, _ = await filed(world, other.id)
        assert (message.seconds or 0) > 2
        await at_work_again(anna)
        again = await talking(caller, anna, world)
        assert again.id != call.id
        await caller.hang_up()
        await anna.phone.wait_for(Event.CLOSED)
    await nothing_left(world)


async def test_asterisk_is_restarted_in_good_order(world: World, process: ServiceProcess, on_duty: Duty) -> None:
    anna = await on_duty(ANNA)
    async with world.caller(ROSSI.phone) as caller:
        call = await talking(caller, anna, world)
        await world.asterisk.restart()
        assert (await world.call_until(call.id, lambda row: row.outcome)).outcome is Outcome.ANSWERED
        for phone in (caller, anna.phone):
            if phone.events[-1].event is not Event.CLOSED:
                await phone.hang_up()
        await process.in_service()
        await at_work_again(anna)
        await talking(caller, anna, world)
        await caller.hang_up()
        await anna.phone.wait_for(Event.CLOSED)
    await nothing_left(world)


# ------------------------------------------------------------------------------------------------ the connection is cut


class Cable:
    """A TCP connection from the service to Asterisk's HTTP port that can be pulled out."""

    def __init__(self) -> None:
        self.target = 0
        self.plugged = True
        self.cuts = 0
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> "Cable":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.pull()
        self._server.close()
        await self._server.wait_closed()

    def pull(self) -> None:
        """Cut what is connected, at once, and refuse what comes until it is plugged in again."""
        self.plugged = False
        self.cuts += 1
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.plugged:
            writer.transport.abort()
            return
        there, answers = await asyncio.open_connection("127.0.0.1", self.target)
        self._writers |= {writer, answers}
        await asyncio.gather(self._copy(reader, answers), self._copy(there, writer))
        self._writers -= {writer, answers}

    async def _copy(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                target.write(data)
                await target.drain()
        target.transport.abort()


@pytest.fixture
async def cable() -> AsyncIterator[Cable]:
    async with Cable() as cable:
        yield cable


@pytest.fixture
async def cabled(tmp_path: Path, cable: Cable, colleagues: tuple[Colleague, ...]) -> AsyncIterator[World]:
    """A world whose service reaches Asterisk over a cable."""
    extra = {"asterisk": {"url": f"http://127.0.0.1:{cable.port}"}}
    async with World(tmp_path, calls(), colleagues=colleagues, people=(ROSSI, AMATO), settings_extra=extra) as world:
        cable.target = world.asterisk.site.http_port
        yield world


async def test_the_connection_to_asterisk_is_cut(cabled: World, cable: Cable) -> None:
    world = cabled
    async with (
        world.serving() as service,
        world.phone(ANNA.extension, answer="manual") as phone,
        world.desk(ANNA.username) as desk,
        world.caller(ROSSI.phone) as caller,
        world.caller(AMATO.phone) as recorded,
    ):
        anna = await go_on_duty(world, ANNA, phone, desk)
        call = await talking(caller, anna, world)
        other = await calling(recorded, world, CLOSED, Phase.MESSAGE)
        await recording(world, other.id)
        await recorded.speak(MESSAGE)

        cable.pull()
        await until(lambda: not service.switchboard.applications.own[0].calls, within=5)
        not_cut_off(caller, recorded, phone)
        cable.plugged = True
        await adopted(desk, call.id)
        await hear_each_other(caller, phone)
        not_cut_off(caller, phone)
        await phone.hang_up()
        await caller.wait_for(Event.CLOSED)
        await heard_each_other(caller, phone)
        message, _ = await filed(world, other.id)
        assert similarity(MESSAGE, world.settings.storage.audio / str(message.audio)) > HEARD
        await recorded.wait_for(Event.CLOSED, within=60)
        assert (await world.call_until(call.id, lambda row: row.outcome)).outcome is Outcome.ANSWERED
        assert (await world.call_until(other.id, lambda row: row.outcome)).outcome is Outcome.VOICEMAIL
        await nothing_left(world, service)


async def test_the_connection_to_asterisk_is_cut_with_a_caller_on_hold(cabled: World, cable: Cable) -> None:
    """The caller hears music on, and the agent takes the call off hold as if nothing had been."""
    world = cabled
    async with (
        world.serving() as service,
        world.phone(ANNA.extension, answer="manual") as phone,
        world.desk(ANNA.username) as desk,
        world.caller(ROSSI.phone) as caller,
    ):
        anna = await go_on_duty(world, ANNA, phone, desk)
        call = await talking(caller, anna, world)
        await desk.post(f"/api/calls/{call.id}/hold")

        cable.pull()
        await until(lambda: not service.switchboard.applications.own[0].calls, within=5)
        not_cut_off(caller, phone)
        cable.plugged = True
        await adopted(desk, call.id)
        not_cut_off(caller, phone)
        await desk.until_item("pops", call.id, lambda pop: pop["state"] == "talking" and not pop["on_hold"])
        await hear_each_other(caller, phone)
        await caller.hang_up()
        await phone.wait_for(Event.CLOSED)
        await heard_each_other(caller, phone)
        assert (await world.call_until(call.id, lambda row: row.outcome)).outcome is Outcome.ANSWERED
        await anna.until_presence("free")
        await nothing_left(world, service)


async def test_a_repair_that_fails_is_tried_again(world: World, monkeypatch: pytest.MonkeyPatch, on_duty: Duty) -> None:
    """Without a repair no agent is rung; the connection stands, so nothing else would bring another one."""
    check, failures = Application.check_phones, [AriTimeout("no answer"), OSError("no database")]

    async def fail_at_first(application: Application) -> None:
        if failures:
            raise failures.pop()
        await check(application)

    monkeypatch.setattr(Application, "check_phones", fail_at_first)
    async with world.serving() as service:
        anna = await on_duty(ANNA)
        async with world.caller(ROSSI.phone) as caller:
            await talking(caller, anna, world)
            await caller.hang_up()
            await caller.wait_for(Event.CLOSED)
        await nothing_left(world, service)
