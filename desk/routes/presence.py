"""Being free for calls, pausing, going off duty."""

from fastapi import APIRouter

from desk.context import AgentId, DeskParts
from desk.views import AgentView, PauseForm
from ivr import operations
from tickets.errors import InvalidInput

router = APIRouter(prefix="/presence", tags=["presence"])


@router.post("/free")
async def go_free(agent_id: AgentId, desk: DeskParts) -> AgentView:
    """Be ready for calls. During a call it takes back the pause asked for."""
    return AgentView.model_validate(await desk.database.run(operations.go_free, agent_id, now=desk.now()))


@router.post("/pause")
async def pause(form: PauseForm, agent_id: AgentId, desk: DeskParts) -> AgentView:
    """Pause with a reason; during a call the pause begins after it."""
    if form.reason not in {label.code for label in desk.calls.pause_reasons}:
        raise InvalidInput("reason", "is none of this site's reasons to pause", "no_such_code")
    agent = await desk.database.run(operations.pause, agent_id, form.reason, now=desk.now())
    return AgentView.model_validate(agent)


@router.post("/offline")
async def go_offline(agent_id: AgentId, desk: DeskParts) -> AgentView:
    """Go off duty."""
    return AgentView.model_validate(await desk.database.run(operations.go_offline, agent_id, now=desk.now()))


@router.post("/end-wrap-up")
async def end_wrap_up(agent_id: AgentId, desk: DeskParts) -> AgentView:
    """End the time for notes after a call, before it is over by itself."""
    return AgentView.model_validate(await desk.database.run(operations.end_wrap_up, agent_id, now=desk.now()))


@router.post("/extend-wrap-up")
async def extend_wrap_up(agent_id: AgentId, desk: DeskParts) -> AgentView:
    """Have more time for notes after a call; 409 when the site allows no more."""
    agent = await desk.database.run(
        operations.extend_wrap_up,
        agent_id,
        seconds=desk.calls.wrap_up_extension_seconds,
        times=desk.calls.wrap_up_extensions,
        now=desk.now(),
    )
    return AgentView.model_validate(agent)
