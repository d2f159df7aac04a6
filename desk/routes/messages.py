"""Voicemail messages: the list, one with its words, its audio, and who has heard it.

A message is taken in charge and closed through its request.
"""

from datetime import datetime

import structlog
from fastapi import APIRouter, Response
from fastapi.responses import FileResponse
from sqlalchemy.orm import Session

from desk import queries
from desk.context import AgentId, DeskParts, Person
from desk.errors import DeskError, NotThere
from desk.routes.requests import asked_back
from desk.views import CallBackForm, CallBackView, HeardForm, MessageDetail, MessageView
from ivr.call_backs import ask_for_message
from voicemail.models import Message
from voicemail.operations import mark_heard, transcribe_again

log = structlog.get_logger()
router = APIRouter(prefix="/messages", tags=["messages"])


class AudioMissing(DeskError):
    """The message has no audio, or its file is not where it was kept."""

    status = 404
    code = "audio_missing"


@router.get("")
async def due(_who: Person, desk: DeskParts) -> list[MessageView]:
    """Messages that need someone, by promised time; empty ones nobody has heard are among them."""
    messages = await desk.database.read(queries.message_items, desk.calls, now=desk.now(), everything=True)
    return list(messages.values())


@router.post("/heard", status_code=204)
async def heard(form: HeardForm, who: Person, desk: DeskParts) -> Response:
    """Note that messages were heard, several at once."""
    await desk.database.run(_mark_all, form.ids, actor=who.me.username, now=desk.now())
    return Response(status_code=204)


@router.get("/{message_id}")
async def one(message_id: str, who: Person, desk: DeskParts) -> MessageDetail:
    """A message with its words, each with its time in the audio and its confidence."""
    page = await desk.database.read(queries.message_page, desk.calls, message_id, who.me.language)
    if page is None:
        raise NotThere
    return page


@router.get("/{message_id}/audio", response_class=FileResponse)
async def audio(message_id: str, who: Person, desk: DeskParts) -> FileResponse:
    """The audio, WAV; any part of it can be asked for (HTTP range). It is noted who has listened."""
    message = await desk.database.read(_message, message_id)
    if message is None:
        raise NotThere
    folder = desk.audio_folder.resolve()
    path = (folder / message.audio).resolve() if message.audio else None
    if path is None or not path.is_relative_to(folder) or not path.is_file():
        log.warning("the audio of a message is not there", message_id=message_id)
        raise AudioMissing
    await desk.database.run(mark_heard, message_id, actor=who.me.username, now=desk.now())
    return FileResponse(path, media_type="audio/wav", headers={"cache-control": "private, no-cache"})


@router.post("/{message_id}/call-back", status_code=202)
async def call_back(message_id: str, form: CallBackForm, agent_id: AgentId, desk: DeskParts) -> CallBackView:
    """Call whoever left a message, at the number they keyed or called from; as for a request."""
    return await asked_back(ask_for_message, message_id, form, agent_id, desk)


@router.post("/{message_id}/transcript", status_code=204)
async def transcribe(message_id: str, _who: Person, desk: DeskParts) -> Response:
    """Have a message transcribed after all whose transcript was given up; of any other nothing changes."""
    await desk.database.run(transcribe_again, message_id)
    return Response(status_code=204)


def _message(session: Session, message_id: str) -> Message | None:
    return session.get(Message, message_id)


def _mark_all(session: Session, ids: list[str], *, actor: str, now: datetime) -> None:
    for message_id in ids:
        if session.get(Message, message_id) is not None:
            mark_heard(session, message_id, actor=actor, now=now)
