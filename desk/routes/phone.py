"""The phone in the browser: what it registers with, and word that it is registered."""

from fastapi import APIRouter, Response

from desk.context import AgentId, DeskParts
from desk.errors import NoBrowserPhone, NoPhoneAddress
from desk.views import PhoneAccess
from ivr import browser_phones

router = APIRouter(prefix="/phone", tags=["phone"])


@router.post("/key")
async def new_key(agent_id: AgentId, desk: DeskParts) -> PhoneAccess:
    """What the phone registers with from now on; whoever registered with the key before cannot any more."""
    if desk.settings.phone_url is None:
        raise NoPhoneAddress
    made = await desk.database.run(browser_phones.new_key, agent_id)
    if made is None:
        raise NoBrowserPhone
    name, key = made
    return PhoneAccess(url=desk.settings.phone_url, name=name, key=key)


@router.post("/ready", status_code=204)
async def ready(agent_id: AgentId, desk: DeskParts) -> Response:
    """The phone is registered: calls may come, and a caller who waits for it is put through."""
    await desk.database.run(browser_phones.phone_ready, agent_id, now=desk.now())
    return Response(status_code=204)
