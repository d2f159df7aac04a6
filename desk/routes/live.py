"""The websocket of live pages."""

import structlog
from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from desk.context import DeskParts, signed_in
from desk.errors import NotLoggedIn

log = structlog.get_logger()
router = APIRouter()


@router.websocket("/live")
async def live(socket: WebSocket, desk: DeskParts) -> None:
    """A snapshot, then numbered events (`desk.live`). Closed with 4401 when the log-in is over."""
    try:
        who = await signed_in(socket, desk)
    except NotLoggedIn:
        await socket.close(4401)
        return
    await socket.accept()
    try:
        await desk.live.serve(socket, who)
    except WebSocketDisconnect as gone:
        log.debug("page gone", username=who.me.username, code=gone.code)
