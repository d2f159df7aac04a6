"""A browser phone lost in the middle of a talk: the caller hears music until it is registered again and rings.

Lost is a phone whose leg ended without the agent's *Hang up* at the desk: the page was loaded anew or closed, the
browser crashed, or nothing was heard any more.
"""

import asyncio
from collections.abc import Collection
from datetime import datetime

import structlog

from ivr import browser_phones
from ivr.ari import Hangup
from ivr.flow.call import ActiveCall
from ivr.flow.leg import Leg
from ivr.flow.ring import ring
from ivr.models import Offer, Phase
from tickets.changes import Change

log = structlog.get_logger()

LOOK_SECONDS = 1.0
"""A phone of whose return no hint came is found by looking."""


async def come_back(call: ActiveCall, agent_id: int) -> tuple[Offer, Leg] | None:
    """Wait for an agent's phone as long as the queue says and ring it; None when the caller is to go back to the line.

    Raises Hangup when the caller does not wait.
    """
    database, since = call.services.database, call.now()
    await call.enter(Phase.RINGING)
    offer = await database.run(browser_phones.keep_for, call.id, agent_id, now=since)
    if offer is None:
        return None
    log.info("an agent's phone is lost in a talk: it is waited for", call=call.id)
    try:
        await call.leg.start_music()
        back = await _is_back(call, agent_id, since)
    except Hangup:
        await database.run(browser_phones.give_up, offer.id, now=call.now())
        raise
    if not back:
        await database.run(browser_phones.did_not_come_back, offer.id, now=call.now())
        return None
    return await ring(call, [await database.run(browser_phones.ring_again, offer.id, now=call.now())])


async def _is_back(call: ActiveCall, agent_id: int, since: datetime) -> bool:
    database, loop = call.services.database, asyncio.get_running_loop()
    until = loop.time() + call.queue_config.return_seconds
    changed = asyncio.Event()

    def hear(changes: Collection[Change]) -> None:
        if any(change.kind == "agent" and change.id == agent_id for change in changes):
            changed.set()

    stop_hearing = database.subscribe(hear)
    try:
        while not await database.read(browser_phones.is_back, agent_id, since=since):
            left = until - loop.time()
            if left <= 0:
                return False
            change = asyncio.ensure_future(changed.wait())
            try:
                await call.leg.until(change, min(left, LOOK_SECONDS))
            finally:
                change.cancel()
            changed.clear()
        return True
    finally:
        stop_hearing()
