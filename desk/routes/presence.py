"""Being free for calls, pausing, going off duty."""

from fastapi import APIRouter

from desk.context import AgentId, DeskParts
from desk.views import AgentView, PauseForm
from ivr import operations

router = APIRouter(prefix="/presence", tags=["presence"])


@router.post("/free")
async def go_free(agent_id: AgentId, desk: DeskParts) -> AgentView:
    """Be ready for calls. During a call it takes back the pause asked for."""
    return AgentView.model_validate(await desk.database.run(operations.go_free, agent_id, now=desk.now()))


@router.post("/pause")
async def pause(form: PauseForm, agent_id: AgentId, desk: DeskParts) -> AgentView:
    """Pause with a reason; during a call the pause begins after it."""
    agent = await desk.database.run(operations.pause, agent_id, form.reason, now=desk.now())
    return AgentView.model_validate(agent)


@router.post("/offline")
async def go_offline(agent_id: AgentId, desk: DeskParts) -> AgentView:
    """Go off duty."""
    return AgentView.model_validate(await desk.database.run(operations.go_offline, agent_id, now=desk.now()))


@router.post("/end-wrap-up")
async def end_wrap_up(agent_id: AgentId, desk: DeskParts) -> AgentView:
    """End the time for notes after a call."""
    return AgentView.model_validate(await desk.database.run(operations.end_wrap_up, agent_id, now=desk.now()))
