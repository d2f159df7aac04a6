"""The way of a call, read from top to bottom: greet, identify, menu, wait, ring, talk - or take a message."""

import asyncio
import contextlib
from typing import Any

import structlog

from ivr import operations, phrases, queries
from ivr.config import Choice
from ivr.errors import CommandRefused
from ivr.flow.call import ActiveCall, Command, spoken
from ivr.flow.come_back import come_back
from ivr.flow.fax import leave_to_fax
from ivr.flow.keep_place import KEY as CALL_BACK_KEY
from ivr.flow.keep_place import keep_place, may_ask
from ivr.flow.leg import Leg
from ivr.flow.message import take_message
from ivr.flow.read_aloud import read_aloud
from ivr.flow.ring import ring
from ivr.flow.talk import BACK, TRANSFER_PRIORITY, Talk, Transfer, dial_out
from ivr.models import Offer, OfferResult, Outcome, Phase
from ivr.synthetic_call import end_showing, offer_to_watcher
from schedules.hours import Closure, closure_at, is_open, next_opening

log = structlog.get_logger()

ASKED_TIMES = 3
"""A question is asked once and repeated twice."""
FIRST_ANNOUNCEMENT_SECONDS = 8.0
"""A caller who is served at once hears no announcement; one who is not hears the first one soon."""


async def inbound(call: ActiveCall) -> Outcome:
    """A call from its first word to its outcome. Raises Hangup when the caller leaves."""
    if call.line.fax:
        return await leave_to_fax(call)
    await call.leg.answer()
    if call.synthetic:  # at any hour: no agent is to be rung
        await show_to_watcher(call)
        await call.say(call.line.greeting)
        return await take_message(call)
    if not is_open(call.calendar, call.now()):
        await greet_closed(call)
        return await take_message(call)
    await call.say(call.line.greeting)
    choice = await menu(call)
    if choice.ticket and (told := await read_aloud(call)) is not None:
        return told
    return await serve(call, choice.queue or call.line.queue, choice.priority, choice.area)


async def show_to_watcher(call: ActiveCall) -> None:
    """Give a synthetic call to the page that waits for it, as one is given to an agent's whose phone is to ring."""
    database = call.services.database
    watcher = await database.run(offer_to_watcher, call.id, now=call.now())
    if watcher is not None:
        await call.services.screen.pop(watcher, call.id)
        await database.run(end_showing, call.id, now=call.now())


async def serve(call: ActiveCall, queue: str, priority: int = 0, area: str | None = None) -> Outcome:
    """Wait for an agent and talk, until the call is over; a caller who waited too long may leave a message."""
    while True:
        await join(call, queue, priority, area)
        reached = await wait_for_agent(call)
        if isinstance(reached, Outcome):
            return reached
        if reached is None:
            return await take_message(call)
        next_queue = await talk_on(call, await talk(call, *reached))
        if next_queue is None:
            return Outcome.ANSWERED
        queue, priority = next_queue, TRANSFER_PRIORITY


async def talk_on(call: ActiveCall, transfer: Transfer | None) -> str | None:
    """Follow transfers from one to the next; returns the queue the caller ends up in, None when the talk is over."""
    while transfer is not None:
        # what the agent before still asked for is not meant for the next one
        call.phase = Phase.RINGING
        call.refuse_commands("the call has been transferred")
        kind, _, name = transfer.target.partition(":")
        if kind == "queue":
            return name
        transfer = await follow_transfer(call, kind, name)
    return None


async def join(call: ActiveCall, queue: str, priority: int, area: str | None = None) -> None:
    """Enter the waiting line; a caller who was in it before keeps the place."""
    call.phase, call.queue, call.priority, call.choice = Phase.WAITING, queue, priority, area or call.choice
    await call.services.database.run(
        operations.join_queue, call.id, queue, priority=priority, choice=area, now=call.now()
    )


async def greet_closed(call: ActiveCall) -> None:
    """Say that the desk is closed, why if there is a reason, and when it opens again."""
    now, calendar, language = call.now(), call.calendar, call.line.language
    closure = closure_at(calendar, now)
    unsaid = "closed-holiday" if isinstance(closure, Closure) else ""
    reason = [] if closure is None else call.media(closure.prompt or unsaid)
    opening = next_opening(calendar, now)
    reopens = [] if opening is None else phrases.reopening(opening, now=now, timezone=calendar.zone, language=language)
    await call.leg.say(spoken(call.media(call.line.closed_greeting), reason, reopens))


async def menu(call: ActiveCall) -> Choice:
    """The key chosen in the line's menu. After two repeats without a right key the call goes the line's own way."""
    config = call.line.menu
    if config is None:
        return Choice()
    await call.enter(Phase.MENU)
    question = call.media(config.prompt)
    for key in (key for key, choice in config.choices.items() if choice.ticket):
        question += phrases.key_for_ticket(key, call.line.language)
    for _ in range(ASKED_TIMES):
        key = await call.leg.ask(question, seconds=config.timeout_seconds)
        if key in config.choices:
            return config.choices[key]
        await call.say("wrong-key" if key else "no-input")
    return Choice()


async def wait_for_agent(call: ActiveCall) -> tuple[Offer, Leg] | Outcome | None:
    """Wait with music and announcements until an agent answers; None when the caller is to leave a message.

    An outcome, when the caller is called back instead.
    """
    config, database = call.queue_config, call.services.database
    call.refuse_commands("the call was not waiting yet")
    if (
        config.when_no_agents == "message"
        and not await database.read(queries.agents_on_duty, call.queue)
        and await database.run(operations.leave_line, call.id, Phase.MENU)
    ):
        await call.say("no-agents")
        return None
    if (
        config.max_waiting is not None
        and await database.read(queries.position_in_line, call.id) > config.max_waiting
        and await database.run(operations.leave_line, call.id, Phase.MENU)
    ):
        log.warning("the waiting line is full: the caller is asked for a message", queue=call.queue)
        await call.say("all-busy")
        return None
    loop = asyncio.get_running_loop()
    await call.leg.start_music()
    give_up = loop.time() + config.max_wait_seconds
    announce_at = loop.time() + min(config.announce_seconds, FIRST_ANNOUNCEMENT_SECONDS)
    while True:
        await call.leg.until(_offer_or_key(call), max(min(announce_at, give_up) - loop.time(), 0))
        if offers := call.offers.take():
            reached = await ring(call, offers)
            if reached is not None:
                for needless in call.offers.take():
                    await call.end_offer(needless, OfferResult.WITHDRAWN)
                call.refuse_commands("an agent has answered")
                return reached
            await database.run(operations.wait_again, call.id)
        elif commands := call.commands.take():
            for command in commands:
                if not command.done.done() and await move(call, command):
                    config, give_up = call.queue_config, loop.time() + call.queue_config.max_wait_seconds
        elif _may_choose(call) and (key := call.leg.take_key()):
            if key == CALL_BACK_KEY and (called_back := await keep_place(call)) is not None:
                return called_back
            if call.phase is not Phase.WAITING:
                await join(call, call.queue, call.priority)
                await call.leg.start_music()
        elif loop.time() >= give_up:
            if not await database.run(operations.leave_line, call.id, Phase.MENU):
                # an offer was made this moment: it is on its way
                if not await call.leg.until(call.offers.arrival(), 2.0):
                    # it was not handed to us, perhaps since another worker made it
                    call.hear_offers(await database.read(queries.open_offers, call.id))
                    if not call.offers.arrival().done():
                        await database.run(operations.wait_again, call.id)
                continue
            if await wants_message(call):
                return None
            await join(call, call.queue, call.priority)
            await call.leg.start_music()
            give_up = loop.time() + config.max_wait_seconds
        else:
            await announce_position(call)
            announce_at = loop.time() + config.announce_seconds


async def move(call: ActiveCall, command: Command) -> bool:
    """Obey a supervisor who moves a waiting call; True when it waits in another queue now."""
    database, (kind, _, name) = call.services.database, command.target.partition(":")
    try:
        if command.name != "move":
            raise CommandRefused("that call is not being talked on")
        if kind == "agent":
            offer = await database.run(operations.offer_waiting_to, call.id, int(name), now=call.now())
            call.hear_offers([offer])
        elif kind == "queue":
            if name not in call.services.config.queues:
                raise CommandRefused(f"there is no queue {name!r}")
            if not await database.run(operations.move_to_queue, call.id, name):
                raise CommandRefused("the call is not waiting any more")
            call.queue = name
        elif (priority := await database.run(operations.move_to_head, call.id)) is not None:
            call.priority = priority
        else:
            raise CommandRefused("the call is not waiting any more")
    except CommandRefused as error:
        command.done.set_exception(error)
        return False
    command.done.set_result(None)
    return kind == "queue"


async def announce_position(call: ActiveCall) -> None:
    """Tell the caller the place in the line, between two pieces of music; an offer cuts it short."""
    position = await call.services.database.read(queries.position_in_line, call.id)
    words = spoken(phrases.position(position, call.line.language), call.media("please-wait"))
    if await may_ask(call):
        words += call.media("offer-call-back")
    await call.leg.say(words, until=_offer_or_key(call))
    await call.leg.start_music()


def _may_choose(call: ActiveCall) -> bool:
    """Whether a key asks to be called back: never of somebody whom we are calling back."""
    return call.queue_config.call_back and not call.outbound


def _offer_or_key(call: ActiveCall) -> "asyncio.Future[Any]":
    """Done when there is an offer, a command, or, where callers may choose to be called back, a key."""
    waits: list[asyncio.Future[Any]] = [call.offers.arrival(), call.commands.arrival()]
    if _may_choose(call):
        waits.append(call.leg.key())
    either: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    for future in waits:
        future.add_done_callback(lambda _: None if either.done() else either.set_result(None))
    return either


async def wants_message(call: ActiveCall) -> bool:
    """After the longest wait: 1 (or no key at all) leaves a message, 2 goes on waiting in the same place."""
    call.leg.forget_keys()  # pressed while waiting, they answer nothing
    await call.say("all-busy")
    for _ in range(ASKED_TIMES):
        match await call.leg.ask(call.media("offer-message")):
            case "2":
                return False
            case "1" | "":
                return True
            case _:
                await call.say("wrong-key")
    return True


async def talk(call: ActiveCall, offer: Offer | None, other: Leg) -> Transfer | None:
    """Join the caller and an agent (or an outside number, without an offer) until the talk ends.

    Returns where the caller goes next: None when the talk is over, the same line again when the agent was gone before
    the two were joined.
    """
    conversation = Talk(call, offer, other)
    if not await conversation.connect():
        return Transfer(f"queue:{call.queue}")
    return await conversation.go_on()


async def follow_transfer(call: ActiveCall, kind: str, name: str) -> Transfer | None:
    """Bring the caller to an agent or a number; back to the line when nobody answers there."""
    if kind == BACK:
        reached = await come_back(call, int(name))
        if reached is not None:
            return await talk(call, *reached)
        return Transfer(f"queue:{call.queue}") if call.queue else None
    await call.enter(Phase.RINGING)
    await call.leg.start_music()
    if kind == "agent":
        offer = await call.services.database.run(operations.offer_to, call.id, int(name), now=call.now())
        reached = await ring(call, [offer]) if offer else None
        if reached is not None:
            return await talk(call, *reached)
    else:
        with contextlib.suppress(CommandRefused):
            return await talk(call, None, await dial_out(call, name))
    await call.say("transfer-failed")
    return Transfer(f"queue:{call.queue}")
