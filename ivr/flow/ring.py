"""Ring the phones of one or several agents; the first to answer has the call."""

import asyncio
import contextlib
from collections.abc import Coroutine, Sequence
from typing import Any

import structlog

from ivr.ari import AriError, AriRefused, ServerFault, caller_id
from ivr.flow.call import ActiveCall
from ivr.flow.leg import Leg
from ivr.models import Offer, OfferResult

log = structlog.get_logger()

SUBSCRIBER_ABSENT = 20
UNREACHABLE_CAUSES = frozenset({1, 3, SUBSCRIBER_ABSENT, 27, 38})
"""Q.850: unallocated number, no route, subscriber absent, destination out of order, network out of order."""
REJECTED_CAUSES = frozenset({17, 21})
"""Q.850: user busy, call rejected."""


async def ring(call: ActiveCall, offers: Sequence[Offer]) -> tuple[Offer, Leg] | None:
    """Ring every offer's agent at once until one answers; None when nobody does within the queue's `ring_seconds`.

    Each agent's screen shows the call before the phone rings. Losers stop ringing with "answered elsewhere". However
    this ends (also when the caller hangs up: Hangup is raised), no phone goes on ringing and every offer is closed.
    """
    legs = {offer.id: call.new_leg(offer.id) for offer in offers}
    results: dict[str, OfferResult] = {}
    winner: Offer | None = None
    try:
        async with asyncio.timeout(call.queue_config.ring_seconds):
            await _all([_pop_and_dial(call, offer, legs[offer.id]) for offer in offers])
            if not call.absent:
                await call.leg.start_music()
            while winner is None and not all(leg.gone.done() for leg in legs.values()):
                ringing = [leg for leg in legs.values() if not leg.gone.done()]
                waits: list[asyncio.Future[Any]] = [call.leg.gone]
                for leg in ringing:
                    waits += (leg.up, leg.gone)
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                call.leg.check()
                winner = next((o for o in offers if legs[o.id].up.done() and not legs[o.id].gone.done()), None)
    except TimeoutError:
        results = {offer.id: await _rung_in_vain(call, offer) for offer in offers if not legs[offer.id].gone.done()}
    finally:
        await _close_losers(call, offers, legs, winner, results)
    return (winner, legs[winner.id]) if winner else None


async def _all(steps: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Run all at once; when one fails, none goes on behind our back and rings a phone for nobody."""
    tasks = [asyncio.ensure_future(step) for step in steps]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _pop_and_dial(call: ActiveCall, offer: Offer, leg: Leg) -> None:
    services = call.services
    await services.screen.pop(offer.agent_id, call.id)
    if call.leg.gone.done():
        return
    try:
        await services.ari.channels.originate(
            offer.endpoint,
            channel_id=offer.id,
            app_args=["agent", call.id],
            caller_id=caller_id(call.caller.best() or "", call.line.name),
            timeout_seconds=int(call.queue_config.ring_seconds) + 5,
            originator=None if call.absent else call.leg.id,
        )
    except ServerFault as error:
        log.warning("agent's phone cannot be rung", endpoint=offer.endpoint, error=str(error))
        leg.leave(SUBSCRIBER_ABSENT)
    except AriRefused as error:
        # most likely the caller's channel, named as originator, has just gone: its own leg will say so
        log.info("not rung", endpoint=offer.endpoint, error=str(error))
        leg.leave(0)


async def _close_losers(
    call: ActiveCall,
    offers: Sequence[Offer],
    legs: dict[str, Leg],
    winner: Offer | None,
    results: dict[str, OfferResult],
) -> None:
    for offer in offers:
        if offer is winner:
            continue
        leg = legs[offer.id]
        result = results.get(offer.id) or _result(leg)
        with contextlib.suppress(AriError):
            await leg.hang_up("answered_elsewhere" if winner else "normal")
        call.drop_leg(leg)
        await call.end_offer(offer, result)


async def _rung_in_vain(call: ActiveCall, offer: Offer) -> OfferResult:
    """A phone that never said that it rings, since it or the Asterisk it is registered at has died, missed nothing."""
    with contextlib.suppress(AriError):
        if (await call.services.ari.channels.get(offer.id)).state == "Down":
            return OfferResult.UNREACHABLE
    return OfferResult.MISSED


def _result(leg: Leg) -> OfferResult:
    if not leg.gone.done():
        return OfferResult.WITHDRAWN
    cause = leg.gone.result()
    if cause in UNREACHABLE_CAUSES:
        return OfferResult.UNREACHABLE
    return OfferResult.REJECTED if cause in REJECTED_CAUSES else OfferResult.MISSED
