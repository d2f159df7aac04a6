"""The safety net: callers leave messages with the dialplan while the service is down, and the service files them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

import asterisk_conf
from centralino.rig.audio import seconds, similarity
from centralino.rig.phone import Event, Phone
from centralino.rig.world import Colleague, World
from ivr.models import Call, Outcome
from schedules.clock import utc_now
from schedules.promises import pickup_promise
from tests.stories.conftest import AMATO, CLOSED, MESSAGE, ROSSI, STAFFED, calls, nothing_left
from tickets.models import Channel, Request
from voicemail.models import Message, MessageState

pytestmark = pytest.mark.story

HEARD = 0.8
SOUNDS = Path(asterisk_conf.__file__).parent / "sounds/it"


@pytest.fixture
async def world(tmp_path: Path, colleagues: tuple[Colleague, ...]) -> AsyncIterator[World]:
    """As elsewhere, but a message counts as finished a second after it has stopped growing."""
    # longer than the pause between two writes of Asterisk's Record()
    extra = {"asterisk": {"fallback_settled_seconds": 3}}
    async with World(tmp_path, calls(), colleagues=colleagues, people=(ROSSI, AMATO), settings_extra=extra) as world:
        yield world


async def until(seen: Callable[[], object], *, within: float = 15.0) -> None:
    """Wait until something outside, which tells nobody, is as wanted. Raises TimeoutError."""
    async with asyncio.timeout(within):
        while True:
            if seen():
                return
            await asyncio.sleep(0.02)


def recordings(world: World) -> set[Path]:
    """What the dialplan has recorded and nobody has filed."""
    return set(world.asterisk.fallback_spool.glob("*.wav"))


def found_below(folder: Path, name: str) -> list[Path]:
    """Files of that name in a folder and below."""
    return list(folder.rglob(name))


@pytest.fixture
def short_greeting(world: World) -> None:
    """A greeting of seconds instead of half a minute."""
    shorten_greeting(world)


def shorten_greeting(world: World) -> None:
    sounds = world.asterisk.folder / "data/sounds/centralino"
    sounds.unlink()
    (sounds / "it").mkdir(parents=True)
    for sound in SOUNDS.iterdir():
        name = "goodbye.wav" if sound.name == "fallback-greeting.wav" else sound.name
        (sounds / "it" / sound.name).symlink_to(SOUNDS / name)


async def leave_message(caller: Phone, world: World, number: str) -> None:
    """Call while nobody is there, listen to the greeting, speak after the beep and hang up."""
    before = recordings(world)
    await caller.call(number)
    await caller.wait_for(Event.ESTABLISHED)
    await until(lambda: recordings(world) != before, within=seconds(SOUNDS / "fallback-greeting.wav") + 10)
    await caller.speak(MESSAGE)
    await asyncio.sleep(seconds(MESSAGE) + 0.3)
    await caller.hang_up()
    await caller.wait_for(Event.CLOSED)


async def all_filed(world: World, count: int) -> list[tuple[Call, Message, Request]]:
    """Calls, messages and requests, the oldest first, once there are so many."""

    def seen(session: Session) -> list[tuple[Call, Message, Request]] | None:
        rows = session.execute(
            select(Call, Message, Request)
            .join(Message, Message.id == Call.message_id)
            .join(Request, Request.id == Message.request_id)
            .order_by(Call.started_at)
        )
        found = [(call, message, request) for call, message, request in rows]
        return found if len(found) >= count else None

    return await world.until(seen)


def counts(session: Session) -> tuple[int, ...]:
    """How many calls, messages and requests there are."""
    return tuple([session.scalar(select(func.count()).select_from(t)) or 0 for t in (Call, Message, Request)])


async def test_message_left_while_the_service_is_down(world: World) -> None:
    before = utc_now()
    async with world.caller(ROSSI.phone) as caller:
        await leave_message(caller, world, CLOSED)
        assert similarity(SOUNDS / "fallback-greeting.wav", caller.heard()) > HEARD
    left = utc_now()
    async with world.serving() as service:
        [(call, message, request)] = await all_filed(world, 1)
        assert before - timedelta(seconds=1) <= call.started_at <= left
        assert message.started_at == call.started_at == request.received_at
        assert call.outcome is Outcome.FALLBACK
        assert (call.line, call.caller) == (CLOSED, ROSSI.phone)
        assert message.state is MessageState.FILED
        assert similarity(MESSAGE, world.settings.storage.audio / str(message.audio)) > HEARD
        assert request.channel is Channel.VOICEMAIL
        assert request.phone == ROSSI.phone
        assert request.contact is not None
        assert request.contact.name == ROSSI.name
        promise = pickup_promise(world.settings.calls.calendar_of(CLOSED), call.started_at)
        assert request.pickup_due_at == promise.due_at
        await world.mail.wait_for(ROSSI.email or "", request.ticket or "")
        assert not recordings(world)
        await service.switchboard.file_fallbacks()
        assert await world.read(counts) == (1, 1, 1)
        await nothing_left(world, service)


async def test_several_messages_are_filed_once_each_through_crashes(world: World, short_greeting: None) -> None:
    async with world.caller(ROSSI.phone) as first, world.caller(AMATO.phone) as second:
        await asyncio.gather(leave_message(first, world, STAFFED), leave_message(second, world, CLOSED))
    async with world.process() as process:
        await process.start()
        await all_filed(world, 1)
        await process.kill()  # between the first and the second, or soon after
        await process.start()
        await all_filed(world, 2)
        await process.kill()
    async with world.serving() as service:
        await service.switchboard.file_fallbacks()
        assert await world.read(counts) == (2, 2, 2)
        rows = await all_filed(world, 2)
        assert {call.caller for call, _, _ in rows} == {ROSSI.phone, AMATO.phone}
        assert len({message.sha256 for _, message, _ in rows}) == 2


async def test_a_message_that_is_being_recorded_is_left_alone_until_it_is_whole(
    world: World, short_greeting: None
) -> None:
    async with world.caller(ROSSI.phone) as caller:
        leaving = asyncio.create_task(leave_message(caller, world, CLOSED))
        await until(lambda: recordings(world), within=30)
        async with world.serving() as service:  # comes up in the middle of it
            await leaving
            [(_, message, _)] = await all_filed(world, 1)
            assert similarity(MESSAGE, world.settings.storage.audio / str(message.audio)) > HEARD
            await nothing_left(world, service)


async def test_a_message_is_kept_whatever_its_asterisk_is_called(
    tmp_path: Path, colleagues: tuple[Colleague, ...]
) -> None:
    """The ids of callers' channels begin with that name, which may begin as what we name in Asterisk."""
    extra = {"asterisk": {"fallback_settled_seconds": 3}}
    name = "centralino-uno_1"
    async with World(
        tmp_path, calls(), colleagues=colleagues, people=(ROSSI,), settings_extra=extra, nodes=(name,)
    ) as world:
        shorten_greeting(world)
        async with world.caller(ROSSI.phone) as caller:
            leaving = asyncio.create_task(leave_message(caller, world, CLOSED))
            await until(lambda: recordings(world), within=30)
            async with world.serving() as service:  # whose repair leaves the caller alone
                await leaving
                [(call, message, request)] = await all_filed(world, 1)
                assert call.channel_id.startswith(f"{name}-")
                assert message.started_at == request.received_at
                assert similarity(MESSAGE, world.settings.storage.audio / str(message.audio)) > HEARD
                await nothing_left(world, service)


HOSTILE = (
    "anonymous",
    "../../../etc/passwd",
    "\"'; DROP TABLE call; --",
    "9" * 200,
    "${SHELL(touch pwned)}",
    "a_b_c.wav",
)


async def test_hostile_caller_ids(world: World, short_greeting: None) -> None:
    async with AsyncExitStack() as stack:
        for number in HOSTILE:  # one after the other: a message is known by its caller's file
            caller = await stack.enter_async_context(world.caller(number, caller_name='"; ${SHELL(id)} ../\\'))
            await leave_message(caller, world, CLOSED)
    assert len(recordings(world)) == len(HOSTILE)
    async with world.serving() as service:
        for call, message, request in await all_filed(world, len(HOSTILE)):
            assert (call.line, request.channel) == (CLOSED, Channel.VOICEMAIL)
            assert similarity(MESSAGE, world.settings.storage.audio / str(message.audio)) > HEARD
            assert len(call.caller or "") <= 64
        await nothing_left(world, service)
    assert not found_below(world.folder, "pwned")


async def test_files_that_are_no_messages_do_not_stop_the_others(world: World, short_greeting: None) -> None:
    spool = world.asterisk.fallback_spool
    (spool / "empty_801_0805551234_1700000000.wav").write_bytes(b"")
    (spool / "noise_801_0805551234_1700000001.wav").write_bytes(b"RIFF this is no sound")
    async with world.caller(ROSSI.phone) as caller:
        await leave_message(caller, world, CLOSED)
    async with world.serving():
        rows = await all_filed(world, 1)
        assert [call.caller for call, _, _ in rows] == [ROSSI.phone]
        # the broken ones are kept aside, and their calls are known
        await until(lambda: not recordings(world))
        assert await world.read(counts) == (3, 3, 1)
    assert len(list((world.settings.storage.audio / "unusable").iterdir())) == 2
