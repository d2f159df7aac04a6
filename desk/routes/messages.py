"""Voicemail messages: the list, one with its words and their correction, its audio, and who has heard it.

A message is taken in charge and closed through its request.
"""

import asyncio
from datetime import datetime
from pathlib import Path

import structlog
from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse
from sqlalchemy.orm import Session

from desk import queries
from desk.context import AgentId, Desk, DeskParts, Person
from desk.errors import DeskError, NotThere
from desk.routes.requests import asked_back
from desk.views import (
    CallBackForm,
    CallBackView,
    CorrectionForm,
    HeardForm,
    MessageDetail,
    MessageView,
    SavedRequest,
    WaveformView,
)
from ivr.call_backs import ask_for_message
from ivr.terms import terms_of_line
from voicemail.audio import loudness, read_samples
from voicemail.errors import UnusableAudio
from voicemail.models import Message
from voicemail.operations import correct_transcript, file_after_all, mark_heard, transcribe_again

log = structlog.get_logger()
router = APIRouter(prefix="/messages", tags=["messages"])


class AudioMissing(DeskError):
    """The message has no audio, or its file is not where it was kept."""

    status = 404
    code = "audio_missing"


@router.get("")
async def due(_who: Person, desk: DeskParts) -> list[MessageView]:
    """Messages that need someone, untaken ones first, by promised time; empty ones nobody has heard are among them."""
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
    _, path = await _audio(desk, message_id)
    await desk.database.run(mark_heard, message_id, actor=who.me.username, now=desk.now())
    return FileResponse(path, media_type="audio/wav", headers={"cache-control": "private, no-cache"})


@router.get(
    "/{message_id}/waveform",
    response_model=WaveformView,
    responses={304: {"description": "As the browser has it already"}},
)
async def waveform(
    message_id: str, request: Request, response: Response, _who: Person, desk: DeskParts
) -> WaveformView | Response:
    """How loud the message is over its length; to look at it is not to listen."""
    message, path = await _audio(desk, message_id)
    headers = {"cache-control": "private, no-cache", "etag": f'"{message.sha256}"'}
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    try:
        layout, samples = await asyncio.to_thread(read_samples, path)
    except (UnusableAudio, FileNotFoundError) as error:
        raise AudioMissing from error
    response.headers.update(headers)
    return WaveformView(seconds=layout.seconds, loudness=await asyncio.to_thread(loudness, samples))


@router.put("/{message_id}/transcript")
async def correct(message_id: str, form: CorrectionForm, who: Person, desk: DeskParts) -> MessageDetail:
    """Put one's own words in place of the transcript; what was recognised stays, and is given back without a text.

    Refused with 409 (`conflict`) when somebody else corrected it since it was read.
    """
    await desk.database.run(
        correct_transcript,
        message_id,
        form.text,
        corrections=form.corrections,
        actor=who.me.username,
        now=desk.now(),
    )
    return await one(message_id, who, desk)


@router.post("/{message_id}/request", status_code=201)
async def open_after_all(message_id: str, who: Person, desk: DeskParts) -> SavedRequest:
    """Make a request of a message that was taken for silence. One that has its request keeps it."""
    message = await desk.database.read(_message, message_id)
    if message is None:
        raise NotThere
    terms = terms_of_line(desk.promises, desk.calls, message.line)
    request = await desk.database.run(
        file_after_all, message_id, desk.notices, actor=who.me.username, terms=terms, now=desk.now()
    )
    return SavedRequest(request=await desk.database.read(queries.saved_request, request.id))


@router.post("/{message_id}/call-back", status_code=202)
async def call_back(message_id: str, form: CallBackForm, agent_id: AgentId, desk: DeskParts) -> CallBackView:
    """Call whoever left a message, at the number they keyed or called from; as for a request."""
    return await asked_back(ask_for_message, message_id, form, agent_id, desk)


@router.post("/{message_id}/transcript", status_code=204)
async def transcribe(message_id: str, _who: Person, desk: DeskParts) -> Response:
    """Have a message transcribed after all whose transcript was given up; of any other nothing changes."""
    await desk.database.run(transcribe_again, message_id)
    return Response(status_code=204)


async def _audio(desk: Desk, message_id: str) -> tuple[Message, Path]:
    """A message and its audio file. Raises NotThere, AudioMissing."""
    message = await desk.database.read(_message, message_id)
    if message is None:
        raise NotThere
    folder = desk.audio_folder.resolve()
    path = (folder / message.audio).resolve() if message.audio else None
    if path is None or not path.is_relative_to(folder) or not path.is_file():
        log.warning("the audio of a message is not there", message_id=message_id)
        raise AudioMissing
    return message, path


def _message(session: Session, message_id: str) -> Message | None:
    return session.get(Message, message_id)


def _mark_all(session: Session, ids: list[str], *, actor: str, now: datetime) -> None:
    for message_id in ids:
        if session.get(Message, message_id) is not None:
            mark_heard(session, message_id, actor=actor, now=now)
