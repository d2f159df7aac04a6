"""Calling somebody back: the agent first, the user first, or whoever is free when a kept place in line comes up."""

import asyncio
import uuid
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy.orm import Session

from ivr import call_backs, operations
from ivr.ari import AriError, AriRefused, Hangup, ServerFault
from ivr.flow import inbound
from ivr.flow.call import ActiveCall
from ivr.flow.leg import Leg
from ivr.flow.message import take_message
from ivr.flow.ring import REJECTED_CAUSES, UNREACHABLE_CAUSES, ring
from ivr.flow.talk import OUTSIDE, TRANSFER_PRIORITY, quietly
from ivr.models import CallBack, CallBackResult, CallBackWay, Offer, OfferResult, Outcome, Phase
from schedules.hours import is_open

log = structlog.get_logger()

CONTACT_SECONDS = 45.0
"""So long the telephone of whom we call back rings."""
LOOK_SECONDS = 15.0
"""A kept place in line: so often it is looked whether it is still wanted."""


def outside_channel(app: str) -> str:
    """A new channel's id, by which it is known as ours; none is ever used twice."""
    return f"{OUTSIDE}{app}.{uuid.uuid4().hex[:16]}"


async def begin(call: ActiveCall, call_back_id: str) -> Outcome:
    """Take up an attempt and make it, from the first ring to the outcome."""
    begun = await call.services.database.run(
        call_backs.begin,
        call_back_id,
        app=call.services.app,
        call_id=call.id,
        channel_id=call.leg.id,
        language=call.line.language,
        now=call.now(),
    )
    if begun is None:
        return Outcome.NOT_REACHED
    row = begun.call_back
    call.queue, call.priority, call.phase = row.queue, row.priority, Phase.RINGING
    if row.way is CallBackWay.LINE or begun.offer is None:
        call.phase = Phase.WAITING
        return await _keep_place(call, row)
    if row.way is CallBackWay.CONTACT:
        return await _contact_first(call, row, begun.offer)
    return await _agent_first(call, row, begun.offer)


async def go_on_keeping(call: ActiveCall) -> Outcome:
    """A place in line that was kept when the service died is kept on."""
    call.absent = True
    _take_leg(call)  # nobody is on the line: of the one before nothing is to be heard any more
    row = await call.services.database.read(call_backs.of_call, call.id)
    if row is None or row.ended_at is not None:
        return Outcome.NOT_REACHED
    await inbound.join(call, row.queue, row.priority)
    return await _keep_place(call, row)


async def _agent_first(call: ActiveCall, row: CallBack, offer: Offer) -> Outcome:
    reached = await ring(call, [offer])
    if reached is None:
        return await _not_reached(call, row, CallBackResult.NO_AGENT)
    return await _call_contact(call, row, *reached)


async def _contact_first(call: ActiveCall, row: CallBack, offer: Offer) -> Outcome:
    try:
        result = await _dial_contact(call)
    except BaseException:
        await call.end_offer(offer, OfferResult.WITHDRAWN)
        raise
    if result is not CallBackResult.ANSWERED:
        await call.end_offer(offer, OfferResult.WITHDRAWN)
        return await _not_reached(call, row, result)
    await call.say("calling-back")
    reached = await ring(call, [offer])
    if reached is None:  # the user is there, and waits for anybody
        await inbound.join(call, row.queue, TRANSFER_PRIORITY)
        waited = await inbound.wait_for_agent(call)
        if waited is None or isinstance(waited, Outcome):
            await call.services.database.run(call_backs.end, row.id, CallBackResult.NO_AGENT, now=call.now())
            return waited or await take_message(call)
        reached = waited
    return await _talk(call, row, *reached)


async def _keep_place(call: ActiveCall, row: CallBack) -> Outcome:
    """Wait in the line in the caller's stead; the agent whose turn it is picks up first."""
    config, database = call.queue_config, call.services.database
    give_up = (row.queued_at or row.asked_at) + timedelta(hours=config.call_back_hours)
    while True:
        arrival = call.offers.arrival()
        await asyncio.wait((arrival,), timeout=LOOK_SECONDS)
        if not arrival.done():
            if not await database.read(call_backs.is_due, row.id):
                return Outcome.NOT_REACHED
            if await database.run(call_backs.withdraw_finished, row.id, now=call.now()):
                return Outcome.NOT_REACHED
            late = call.now() >= give_up or not is_open(call.calendar, call.now())
            if late and await database.run(operations.leave_line, call.id, Phase.MENU):
                note = "nobody was free in time"
                return await _not_reached(call, row, CallBackResult.NO_AGENT, note=note)
            continue
        reached = await ring(call, call.offers.take())
        if reached is not None:
            for needless in call.offers.take():
                await call.end_offer(needless, OfferResult.WITHDRAWN)
            return await _call_contact(call, row, *reached)
        await database.run(operations.wait_again, call.id)


async def _call_contact(call: ActiveCall, row: CallBack, offer: Offer, agent: Leg) -> Outcome:
    """The agent has picked up: call the user, and let the two talk."""
    database = call.services.database
    try:
        await database.run(operations.begin_consultation, offer, now=call.now())
        result = await _dial_contact(call, agent)
    except BaseException:
        await quietly(agent.hang_up())
        raise
    if result is CallBackResult.ANSWERED:
        return await _talk(call, row, offer, agent)
    if not agent.gone.done():
        try:
            await agent.say(call.media("call-back-no-answer"))
        except (AriError, Hangup):
            log.info("the agent has gone before hearing that nobody answers", call=call.id)
    await quietly(agent.hang_up())
    call.drop_leg(agent)
    await call.end_offer(offer, OfferResult.WITHDRAWN)
    return await _not_reached(call, row, result, agent_id=offer.agent_id)


async def _talk(call: ActiveCall, row: CallBack, offer: Offer, agent: Leg) -> Outcome:
    call.outcome = Outcome.ANSWERED
    await call.services.database.run(call_backs.answered, row.id, offer.agent_id, now=call.now())
    queue = await inbound.talk_on(call, await inbound.talk(call, offer, agent))
    return Outcome.ANSWERED if queue is None else await inbound.serve(call, queue, TRANSFER_PRIORITY)


async def _not_reached(
    call: ActiveCall,
    row: CallBack,
    result: CallBackResult,
    *,
    note: str | None = None,
    agent_id: int | None = None,
) -> Outcome:
    def end(session: Session) -> None:
        if agent_id is not None:
            session.get_one(CallBack, row.id).agent_id = agent_id
        call_backs.end(session, row.id, result, note=note, now=call.now())

    await call.services.database.run(end)
    call.note = result.value
    return Outcome.NOT_REACHED


async def _dial_contact(call: ActiveCall, agent: Leg | None = None) -> CallBackResult:
    """Call the user; an agent who is there hears music, and may hang up meanwhile."""
    services, config = call.services, call.services.config
    number = config.dialled(call.caller.best() or "")
    if number is None or config.outbound_endpoint is None:
        return CallBackResult.WRONG_NUMBER
    _take_leg(call)
    await call.enter(Phase.RINGING, channel_id=call.leg.id)
    try:
        await services.ari.channels.originate(
            config.outbound_endpoint.format(number=number),
            channel_id=call.leg.id,
            app_args=["out", call.id],
            caller_id=call.line.number,
            timeout_seconds=int(CONTACT_SECONDS),
            originator=agent.id if agent is not None else None,
        )
    except (AriRefused, ServerFault) as error:
        log.warning("nobody can be called back", call=call.id, error=str(error))
        return CallBackResult.FAILED
    decided = asyncio.ensure_future(_decided(call.leg, agent))
    try:
        if agent is not None:
            await _hear_music(agent, decided)
        await decided
    finally:
        decided.cancel()
        if not (call.leg.up.done() and not call.leg.gone.done()):
            await quietly(call.leg.hang_up())
    if agent is not None and agent.gone.done():
        await quietly(call.leg.hang_up())
        return CallBackResult.WITHDRAWN
    if call.leg.up.done() and not call.leg.gone.done():
        call.absent = False
        return CallBackResult.ANSWERED
    return _why(call.leg)


def _take_leg(call: ActiveCall) -> None:
    """A new leg for whom we call, in place of the one before, which was no channel or is none any more."""
    services = call.services
    services.drop_leg(call.leg)
    call.leg = services.new_leg(outside_channel(services.ari.app))


async def _decided(contact: Leg, agent: Leg | None) -> None:
    """Until the user has picked up, or will not any more."""
    waits: list[asyncio.Future[Any]] = [contact.up, contact.gone, *([agent.gone] if agent is not None else [])]
    await asyncio.wait(waits, timeout=CONTACT_SECONDS + 5, return_when=asyncio.FIRST_COMPLETED)


async def _hear_music(agent: Leg, decided: "asyncio.Future[None]") -> None:
    """Music until it is decided: Asterisk's ringing tone (`tone:ring`) would go on in the talk."""
    try:
        await agent.start_music()
        await decided
        if not agent.gone.done():
            await agent.stop_music()
    except (AriRefused, Hangup) as error:
        log.info("the agent hears no music", error=str(error))


def _why(contact: Leg) -> CallBackResult:
    cause = contact.gone.result() if contact.gone.done() else 0
    if cause in REJECTED_CAUSES:
        return CallBackResult.BUSY
    if cause in UNREACHABLE_CAUSES:
        return CallBackResult.WRONG_NUMBER
    return CallBackResult.NO_ANSWER
