"""The list of calls: every call with its outcome; those that nobody served are taken, called back and done."""

from collections.abc import Callable
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Query

from desk.call_queries import WhichCalls, call_page, found_calls
from desk.call_views import CallDetail, CallsForm, DoneForm, FoundCalls, Handled
from desk.context import AgentId, Desk, DeskParts, Person
from desk.models import Role
from desk.queries import Who
from desk.routes.requests import asked_back
from desk.views import CallBackForm, CallBackView
from ivr import missed_calls
from ivr.call_backs import ask_for_call

router = APIRouter(prefix="/calls", tags=["calls"])


@router.get("")
async def found(
    who: Person,
    desk: DeskParts,
    which: WhichCalls = WhichCalls.ALL,
    day: Annotated[
        date | None,
        Query(ge=date(2000, 1, 1), le=date(2999, 12, 31), description="Calls of this day of the site's time zone"),
    ] = None,
    before: Annotated[str, Query(max_length=80, description="`earlier` of the page before")] = "",
) -> FoundCalls:
    """Calls, the latest first, 50 at a time."""
    calls, earlier = await desk.database.read(
        found_calls,
        desk.calls,
        which,
        reader=who.me.username,
        agent_id=who.me.agent_id,
        day=day,
        timezone=desk.live.timezone,
        before=before,
    )
    return FoundCalls(calls=calls, earlier=earlier)


@router.get("/{call_id}")
async def one(call_id: str, _who: Person, desk: DeskParts) -> CallDetail:
    """A call with the phones that rang for it, what agents said of it, and the attempts to call back."""
    return await desk.database.read(call_page, desk.calls, call_id)


@router.post("/take")
async def take(form: CallsForm, who: Person, desk: DeskParts) -> Handled:
    """Look after calls that nobody served. A colleague's stay the colleague's; a supervisor may take them over."""
    return await _handled(missed_calls.take, form, who, desk, now=desk.now())


@router.post("/give-back")
async def give_back(form: CallsForm, who: Person, desk: DeskParts) -> Handled:
    """Let somebody else look after them."""
    return await _handled(missed_calls.give_back, form, who, desk)


@router.post("/done")
async def done(form: DoneForm, who: Person, desk: DeskParts) -> Handled:
    """Say that nothing is left to do for calls, and why; also of those that nobody has taken."""
    return await _handled(missed_calls.finish, form, who, desk, reason=form.reason, now=desk.now())


@router.post("/{call_id}/call-back", status_code=202)
async def call_back(call_id: str, form: CallBackForm, agent_id: AgentId, desk: DeskParts) -> CallBackView:
    """Call back who was not served: the agent's phone rings first, or the caller's. Who does it looks after the call.

    Once the caller has answered it is done. 409 when the number may not be called, the agent's phone cannot be rung, a
    colleague looks after it, or somebody calls just now.
    """
    return await asked_back(ask_for_call, call_id, form, agent_id, desk)


async def _handled(
    operation: Callable[..., list[str]], form: CallsForm, who: Who, desk: Desk, **options: Any
) -> Handled:
    changed = await desk.database.run(
        operation,
        form.ids,
        username=who.me.username,
        whoever_has_it=who.me.role is Role.SUPERVISOR,
        **options,
    )
    return Handled(handled=changed, left=[call_id for call_id in dict.fromkeys(form.ids) if call_id not in changed])
