"""A waiting caller chooses to be called back: the number is confirmed by key, the place in the line is kept."""

import asyncio

import structlog

from ivr import call_backs, operations, phrases
from ivr.flow.call import ActiveCall, spoken
from ivr.models import Outcome, Phase
from tickets.phone_numbers import parse_phone_number
from tickets.promise_rules import Terms

log = structlog.get_logger()

KEY = "1"
"""Pressed while waiting, it asks to be called back."""
ASKED_TIMES = 3
NUMBER_SECONDS = 6.0
"""So long after a digit the next one is waited for."""


async def may_ask(call: ActiveCall) -> bool:
    """Whether the caller is offered to be called back: the site wants it, and there are agents enough to do it."""
    config = call.queue_config
    if not config.call_back or call.outbound or call.synthetic:
        return False
    return await call.services.database.read(call_backs.room_for_place, call.queue, config)


async def keep_place(call: ActiveCall) -> Outcome | None:
    """Confirm the number and keep the place; None when the caller rather waits on.

    Meanwhile the call is out of the line, and whoever goes on waiting has the same place as before.
    """
    call.leg.forget_keys()
    if not await call.services.database.run(operations.leave_line, call.id, Phase.MENU):
        return None  # an offer was made this moment
    call.phase = Phase.MENU
    if not await may_ask(call):
        await call.say("call-back-not-possible")
        return None
    number = await _confirmed_number(call)
    if number is None:
        return None
    # what the caller was told must land
    request = await asyncio.shield(
        call.services.database.run(
            call_backs.keep_place,
            call.id,
            number,
            call.services.notices,
            terms=Terms(call.services.promises, call.calendar),
            now=call.now(),
        )
    )
    call.outcome = Outcome.CALLBACK
    log.info("a caller is called back, keeping the place in line", ticket=request.ticket)
    ticket = phrases.ticket(request.ticket or "", call.line.language)
    await call.leg.say(spoken(call.media("call-back-kept"), ticket, call.media("goodbye")))
    return Outcome.CALLBACK


async def _confirmed_number(call: ActiveCall) -> str | None:
    """The number to call, E.164 where it could be read; None: the caller waits on."""
    number = call.caller.best()
    for _ in range(ASKED_TIMES):
        if number is None:
            call.leg.forget_keys()
            keys = await call.leg.ask(call.media("ask-callback-number"), length=20, seconds=NUMBER_SECONDS)
            if not keys:
                return None
            number = parse_phone_number(keys).best()
        if number is None or call.services.config.dialled(number) is None:
            await call.say("call-back-wrong-number")
            number = None
            continue
        match await call.leg.ask(_question(call, number)):
            case "1":
                return number
            case "2":
                number = None
            case _:
                return None
    return None


def _question(call: ActiveCall, number: str) -> list[str]:
    digits = phrases.digits(number.removeprefix("+39"), call.line.language)
    return spoken(call.media("will-call-back-at"), digits, call.media("confirm-call-back"))
