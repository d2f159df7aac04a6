"""Calls offered to the agent: the form, the outcome, and steering."""

from functools import partial

from fastapi import APIRouter, Response
from sqlalchemy.orm import Session

from desk import operations, queries
from desk.context import AgentId, CallOnMyPhone, DeskParts, MyCall, Person
from desk.views import (
    AttachForm,
    CodeForm,
    ContactView,
    DismissForm,
    Draft,
    IdentifyForm,
    NewRequestForm,
    RequestView,
    SavedRequest,
    TransferForm,
)
from ivr.operations import save_draft, set_code
from ivr.terms import terms_of_line
from tickets.errors import InvalidInput
from tickets.models import Contact
from tickets.models import Request as ServiceRequest

router = APIRouter(prefix="/calls/{call_id}", tags=["calls"])


@router.put("/draft", status_code=204)
async def keep_draft(draft: Draft, call: MyCall, desk: DeskParts) -> Response:
    """Keep the form as far as it is filled; the page sends it while the agent types."""
    await desk.database.run(save_draft, call.id, draft.model_dump(mode="json"))
    return Response(status_code=204)


@router.post("/request", status_code=201)
async def save_request(form: NewRequestForm, call: MyCall, who: Person, desk: DeskParts) -> SavedRequest:
    """Register the caller's request; with a solution it is opened and closed in one. 409 when the call has one."""
    request = await desk.database.run(
        operations.request_from_call,
        call.id,
        form,
        desk.notices,
        actor=who.me.username,
        now=desk.now(),
        terms=partial(terms_of_line, desk.promises, desk.calls),
    )
    return SavedRequest(request=await _as_shown(desk, request))


@router.post("/attach")
async def attach(form: AttachForm, call: MyCall, who: Person, desk: DeskParts) -> SavedRequest:
    """Bind the call to a request that exists; its history says that the user called."""
    request = await desk.database.run(
        operations.attach_call, call.id, form.request_id, form.note, actor=who.me.username, now=desk.now()
    )
    return SavedRequest(request=await _as_shown(desk, request))


@router.post("/dismiss", status_code=204)
async def dismiss(form: DismissForm, call: MyCall, agent_id: AgentId, desk: DeskParts) -> Response:
    """Put the call aside without a request, saying why."""
    await desk.database.run(operations.dismiss_call, call.id, agent_id, form.reason, now=desk.now())
    return Response(status_code=204)


@router.post("/code", status_code=204)
async def say_how_it_went(form: CodeForm, call: MyCall, agent_id: AgentId, desk: DeskParts) -> Response:
    """Say how the agent's talk went, with an outcome code; the last word counts, also after the wrap-up."""
    if form.code not in {label.code for label in desk.calls.outcome_codes}:
        raise InvalidInput("code", "is none of this site's outcome codes", "no_such_code")
    await desk.database.run(set_code, call.id, agent_id, form.code)
    return Response(status_code=204)


@router.post("/contact")
async def identify(form: IdentifyForm, call: MyCall, desk: DeskParts) -> ContactView:
    """Say who is calling; the number is remembered as theirs."""
    contact = await desk.database.run(operations.identify_call, call.id, contact_id=form.contact_id, new=form.new)
    return (await desk.database.read(_contact, contact.id))[0]


@router.post("/hang-up", status_code=204)
async def hang_up(call: CallOnMyPhone, desk: DeskParts) -> Response:
    """End the call."""
    await desk.control.command(call.id, "hang_up")
    return Response(status_code=204)


@router.post("/phone-lost", status_code=204)
async def phone_lost(call: CallOnMyPhone, desk: DeskParts) -> Response:
    """The page with the phone goes away, or hears nothing: the caller is kept, and offered again to its phone first."""
    await desk.control.command(call.id, "phone_lost")
    return Response(status_code=204)


@router.post("/hold", status_code=204)
async def hold(call: CallOnMyPhone, desk: DeskParts) -> Response:
    """Let the caller hear music."""
    await desk.control.command(call.id, "hold")
    return Response(status_code=204)


@router.post("/unhold", status_code=204)
async def unhold(call: CallOnMyPhone, desk: DeskParts) -> Response:
    """Talk on."""
    await desk.control.command(call.id, "unhold")
    return Response(status_code=204)


@router.post("/transfer", status_code=204)
async def transfer(form: TransferForm, call: CallOnMyPhone, desk: DeskParts) -> Response:
    """Send the caller to an agent, a queue or a number; `attended`: call them first, as a second call (no queue)."""
    if form.attended:
        await desk.control.command(call.id, "start_attended_transfer", form.target)
    else:
        await desk.control.command(call.id, "blind_transfer", form.target)
    return Response(status_code=204)


@router.post("/transfer/complete", status_code=204)
async def complete_transfer(call: CallOnMyPhone, desk: DeskParts) -> Response:
    """Connect the caller with the target of an attended transfer."""
    await desk.control.command(call.id, "complete_transfer")
    return Response(status_code=204)


@router.post("/transfer/cancel", status_code=204)
async def cancel_transfer(call: CallOnMyPhone, desk: DeskParts) -> Response:
    """End the second call, and go back to the caller."""
    await desk.control.command(call.id, "cancel_transfer")
    return Response(status_code=204)


@router.post("/transfer/swap", status_code=204)
async def swap(call: CallOnMyPhone, desk: DeskParts) -> Response:
    """Talk with the other of the two, caller or second call; the one before hears music. Of three, the caller does."""
    await desk.control.command(call.id, "swap")
    return Response(status_code=204)


@router.post("/transfer/join", status_code=204)
async def join(call: CallOnMyPhone, desk: DeskParts) -> Response:
    """Let all three talk with each other."""
    await desk.control.command(call.id, "join")
    return Response(status_code=204)


async def _as_shown(desk: DeskParts, request: ServiceRequest) -> RequestView:
    return await desk.database.read(queries.saved_request, request.id)


def _contact(session: Session, contact_id: int) -> list[ContactView]:
    return queries.contact_views(session, [session.get_one(Contact, contact_id)])
