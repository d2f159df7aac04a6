"""Repair on every (re)connect: compare the open rows with the channels Asterisk holds, and go on from there.

Crash, deploy, network loss and a restarted Asterisk are one code path. Events are hints, REST is the truth, the
database row is the memory.
"""

from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy.orm import Session

from ivr import call_backs, queries
from ivr.ari import NotFound
from ivr.flow import inbound, message
from ivr.flow.call import ActiveCall, Services
from ivr.flow.call_back import go_on_keeping
from ivr.flow.talk import TRANSFER_PRIORITY, Talk, bridge_of, call_of, is_of_other_app, is_ours, quietly
from ivr.models import Call, Offer, OfferResult, Outcome, Phase

log = structlog.get_logger()

Way = Callable[[ActiveCall], Coroutine[Any, Any, Outcome]]
"""How a call goes on."""


@dataclass(frozen=True, slots=True)
class Found:
    """What Asterisk holds now."""

    channels: Collection[str]
    """Every channel, ours or not."""
    held: Collection[str]
    """The channels in our Stasis application: others are in the dialplan's hands."""
    bridges: Mapping[str, Collection[str]]
    """Channels by bridge."""

    @staticmethod
    async def look(services: Services) -> "Found":
        """Ask Asterisk."""
        ari = services.ari
        try:
            held = set((await ari.applications.get(ari.app)).channel_ids)
        except NotFound:
            held = set()
        channels = {channel.id for channel in await ari.channels.list()}
        bridges = {bridge.id: set(bridge.channel_ids) for bridge in await ari.bridges.list()}
        return Found(channels, held & channels, bridges)


def way_on(row: Call, found: Found) -> Way | None:
    """How an open call goes on; None when its channel is gone and the row is only to be closed."""
    if row.channel_id not in found.held:
        kept = row.outbound and row.queued_at is not None and row.phase in (Phase.WAITING, Phase.RINGING)
        return go_on_keeping if kept else None
    match row.phase:
        case Phase.TALKING if row.agent_channel_id in found.held:
            joined = found.bridges.get(row.bridge_id or "", ())
            held = row.on_hold and not row.consulting
            if row.agent_channel_id in joined and (row.channel_id in joined) is not held:
                return go_on_talking
            return wait_again  # in the middle of a transfer: nobody can tell how it was meant
        case Phase.TALKING:
            return _say_goodbye
        case Phase.MESSAGE:
            return _go_on_recording
        case Phase.WAITING | Phase.RINGING if bridge_of(row.id) not in found.bridges:
            return keep_waiting
        case _ if row.queue:
            return wait_again  # an agent had just answered, or a transfer rang somebody
        case _:
            return _begin_again


async def sweep(services: Services, found: Found) -> None:
    """Hang up phones that ring for nobody and remove bridges that join nobody, as a dead worker left them.

    What belongs to an open call of another application is left to its own worker. The rows are read after Asterisk was
    asked: a row is written before its channel or bridge is made.
    """
    database, app = services.database, services.app
    channels = [channel_id for channel_id in found.channels if is_ours(channel_id)]
    calls = await database.read(queries.calls_of_channels, channels)
    for channel_id in channels:
        row = calls.get(channel_id)
        if channel_id in services.legs or is_of_other_app(channel_id, services.ari.app):
            continue
        if row is not None and row.app != app:
            continue
        if row is not None and row.channel_id == channel_id and channel_id in found.held:
            continue  # somebody who was called back, and is on the line
        if row is None or row.agent_channel_id != channel_id or way_on(row, found) is not go_on_talking:
            log.info("orphan channel hung up", channel=channel_id)
            await quietly(services.ari.channels.hangup(channel_id))
    joined = {call_id for call_id in map(call_of, found.bridges) if call_id is not None}
    for call_id in joined - await database.read(queries.standing, joined):
        await quietly(services.ari.bridges.destroy(bridge_of(call_id)))


async def close_offers(call: ActiveCall) -> None:
    """Offers that were ringing when the service died count as withdrawn."""
    for offer in await call.services.database.read(queries.open_offers, call.id):
        await call.end_offer(offer, OfferResult.WITHDRAWN)


def phase_of_lost(row: Call, found: Found) -> Phase:
    """The phase in which a call goes on that was closed as lost: its bookmark is gone, what else it left tells it."""
    if row.bridge_id in found.bridges:
        return Phase.TALKING
    if row.message_id is not None:
        return Phase.MESSAGE
    return Phase.WAITING if row.queue else Phase.GREETING


def outcome_of_gone(row: Call) -> Outcome:
    """The outcome of a call whose channel went while nobody looked."""
    if row.outbound and row.answered_at is None:
        return Outcome.NOT_REACHED
    return abandoned_in(row.phase, answered=row.answered_at is not None)


def abandoned_in(phase: Phase, *, answered: bool = False) -> Outcome:
    """The outcome of a hangup by the caller in a phase."""
    if answered:
        return Outcome.ANSWERED
    return {
        Phase.GREETING: Outcome.ABANDONED_GREETING,
        Phase.MENU: Outcome.ABANDONED_MENU,
        Phase.MESSAGE: Outcome.ABANDONED_MESSAGE,
    }.get(phase, Outcome.ABANDONED_QUEUE)


# ------------------------------------------------------------------------------------------------------------ ways


async def go_on_talking(call: ActiveCall) -> Outcome:
    """Adopt a talk that went on without us."""
    row = await call.services.database.read(_call, call.id)
    offer = await call.services.database.read(_offer, row.agent_channel_id or "")
    other = call.new_leg(row.agent_channel_id or "")
    if row.consulting:  # the second call has ended: whom it was with is hung up by the sweep
        await call.enter(Phase.TALKING, consulting=False, third_away=False)
    for leg in (call.leg, other):
        # whoever hung up after we looked, and before the leg was there to hear it
        try:
            await call.services.ari.channels.get(leg.id)
        except NotFound:
            leg.leave(0)
    queue = await inbound.talk_on(call, await Talk(call, offer, other).go_on())
    return Outcome.ANSWERED if queue is None else await inbound.serve(call, queue, TRANSFER_PRIORITY)


async def _go_on_recording(call: ActiveCall) -> Outcome:
    row = await call.services.database.read(_call, call.id)
    stored = await call.services.database.read(message.find_message, row.message_id or "")
    if stored is None:
        return await message.take_message(call)
    if stored.request_id is not None:
        return Outcome.VOICEMAIL  # filed already: only the goodbye was missing
    return await message.go_on_recording(call, stored.id, stored.take)


async def wait_again(call: ActiveCall) -> Outcome:
    """Back to the waiting line, with an apology."""
    await call.leg.stop_left_playing()
    await quietly(call.services.ari.bridges.destroy(bridge_of(call.id)))
    await call.say("apology")
    return await _wait(call)


async def keep_waiting(call: ActiveCall) -> Outcome:
    """Wait on in the same place: the caller has heard music all the time, and hears of nothing."""
    await call.leg.stop_left_playing()
    return await _wait(call)


async def _wait(call: ActiveCall) -> Outcome:
    if await call.services.database.read(call_backs.asked_in, call.id):
        return Outcome.CALLBACK  # only the goodbye was missing
    return await inbound.serve(call, call.queue or call.line.queue, call.priority, call.choice)


async def _begin_again(call: ActiveCall) -> Outcome:
    await call.leg.stop_left_playing()
    return await inbound.inbound(call)


async def _say_goodbye(call: ActiveCall) -> Outcome:
    """The agent had hung up while we were away."""
    await quietly(call.services.ari.bridges.destroy(bridge_of(call.id)))
    return Outcome.ANSWERED


def _call(session: Session, call_id: str) -> Call:
    return session.get_one(Call, call_id)


def _offer(session: Session, offer_id: str) -> Offer | None:
    return session.get(Offer, offer_id)
