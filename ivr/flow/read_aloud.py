"""A request read aloud: the caller keys its number and hears how it stands, or is put through with it."""

from datetime import datetime
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy.orm import Session

from ivr import operations, phrases, queries
from ivr.flow.call import ActiveCall
from ivr.models import Outcome
from tickets.models import CLOSED_STATUSES, Request
from tickets.operations import SYSTEM, add_event
from tickets.queries import request_by_ticket

log = structlog.get_logger()

TRIES = 3
"""So often a number is asked for that is none."""
DIGIT_SECONDS = 6.0
"""So long after a digit the next one is waited for."""
MOST_A_DAY = 10
"""So many numbers may be keyed in a day by callers from one telephone: ticket numbers can be guessed."""
MOST_WITHHELD_A_DAY = 30
"""And so many by all together who do not show theirs."""
READ_ALOUD = "read_aloud"
"""The kind of the event in a request's history: somebody has heard how it stands."""
LONGEST_TICKET = 12


async def read_aloud(call: ActiveCall) -> Outcome | None:
    """Tell how requests stand, one after the other; None when the caller is to be put through.

    A caller who asks for an agent after hearing of a request has it on the agent's screen. Nothing is told but status,
    level and promised time: whoever knows a number may hear them.
    """
    wrong = 0
    while wrong < TRIES:
        if await _too_often(call):
            await call.say("ticket-no-more")
            return None
        keys = await call.leg.ask(call.media("ask-ticket"), length=LONGEST_TICKET, seconds=DIGIT_SECONDS)
        if not keys:
            return None
        request = await call.services.database.run(_look_up, call.id, keys, now=call.now())
        if request is None:
            wrong += 1
            await call.say("ticket-not-found")
            continue
        call.outcome = Outcome.TICKET_TOLD
        log.info("a request was read aloud", ticket=request.ticket)
        await call.leg.say(_how_it_stands(call, request))
        match await call.leg.ask(call.media("ticket-menu")):
            case "1":
                call.outcome = None
                await call.services.database.run(_put_through, call.id, request.id, now=call.now())
                return None
            case "2":
                continue
            case _:
                await call.say("goodbye")
                return Outcome.TICKET_TOLD
    return None


async def _too_often(call: ActiveCall) -> bool:
    midnight = (
        call.now().astimezone(ZoneInfo(call.calendar.timezone)).replace(hour=0, minute=0, second=0, microsecond=0)
    )
    caller = call.caller.best()
    keyed = await call.services.database.read(queries.tickets_keyed_since, caller, midnight)
    return keyed >= (MOST_A_DAY if caller is not None else MOST_WITHHELD_A_DAY)


def _look_up(session: Session, call_id: str, keys: str, *, now: datetime) -> Request | None:
    """The request of a number, which counts as keyed whether there is one or not; one that was merged leads on."""
    operations.count_ticket_keyed(session, call_id)
    request = request_by_ticket(session, keys)
    while request is not None and request.merged_into_id is not None:
        request = session.get(Request, request.merged_into_id)
    if request is None or request.id < 0:
        return None
    add_event(session, request, READ_ALOUD, SYSTEM, {"call_id": call_id}, now)
    return request


def _put_through(session: Session, call_id: str, request_id: int, *, now: datetime) -> None:
    """The caller's call is about this request: it is on the screen of whoever answers."""
    request = session.get_one(Request, request_id)
    operations.bind_request(session, call_id, request_id)
    add_event(session, request, "called", SYSTEM, {"call_id": call_id}, now)


def _how_it_stands(call: ActiveCall, request: Request) -> list[str]:
    language, now = call.line.language, call.now()
    due_at = request.pickup_due_at if request.picked_up_at is None else None
    return phrases.state(
        request.status,
        request.level,
        None if request.status in CLOSED_STATUSES else due_at,
        now=now,
        timezone=call.calendar.zone,
        language=language,
    )
