"""Attachments of requests: to be saved, shown where that is harmless, and added."""

import asyncio
from pathlib import Path
from typing import Annotated

import structlog
from fastapi import APIRouter, Query
from fastapi.responses import FileResponse
from sqlalchemy.orm import Session
from starlette.requests import ClientDisconnect, Request

from desk.context import Desk, DeskParts, Person, RequestReader
from desk.errors import DeskError, NotThere
from desk.routes.requests import one
from desk.views import RequestDetail
from tickets.attachments import OPAQUE, Kept, attach, is_what_it_says, safe_name
from tickets.models import Attachment

log = structlog.get_logger()
router = APIRouter(prefix="/requests/{request_id}/attachments", tags=["requests"])

ALONE = "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'"
"""The content policy of what is not ours: no script, no log-in, no form, nothing loaded."""


AS_LARGE_AS_IT_MAY_BE = 2**60
"""For a route that reads its content piece by piece, and stops by itself when there is too much."""


class FileMissing(DeskError):
    """The attachment's file is not where it was kept."""

    status = 404
    code = "file_missing"


class NotShown(DeskError):
    """A file of this kind is only saved."""

    status = 415
    code = "not_shown"


class NoRoom(DeskError):
    """The disk is full, or cannot be written."""

    status = 507
    code = "no_room"


@router.post(
    "",
    status_code=201,
    max_body_size=AS_LARGE_AS_IT_MAY_BE,
    openapi_extra={"requestBody": {"required": True, "content": {OPAQUE: {"schema": {"format": "binary"}}}}},
)
async def add(
    request_id: int,
    request: Request,
    who: Person,
    desk: DeskParts,
    reader: RequestReader,
    name: Annotated[str, Query(min_length=1, max_length=500)],
    media_type: Annotated[str, Query(max_length=200)] = OPAQUE,
) -> RequestDetail:
    """Add a file: its bytes are the body, with the content type application/octet-stream."""
    known = safe_name(name)
    told = request.headers.get("content-length", "0")
    desk.attachment_limits.check(known, int(told) if told.isdecimal() and len(told) < 16 else 0)
    await one(request_id, who, desk, reader)  # 404 before anything is written
    kept = await _receive(request, desk, known)
    await desk.database.run(
        attach, request_id, kept, name=known, media_type=media_type, actor=who.me.username, now=desk.now()
    )
    return await one(request_id, who, desk, reader)


@router.get("/{attachment_id}", response_class=FileResponse)
async def save(request_id: int, attachment_id: int, _who: Person, desk: DeskParts) -> FileResponse:
    """The file, to be saved: a browser never opens it in the desk's place."""
    attachment, path = await _kept(desk, request_id, attachment_id)
    return FileResponse(
        path,
        media_type=attachment.media_type,
        filename=attachment.name,
        content_disposition_type="attachment",
        headers={"content-security-policy": ALONE, "cache-control": "private, no-cache"},
    )


@router.get("/{attachment_id}/preview", response_class=FileResponse)
async def show(request_id: int, attachment_id: int, _who: Person, desk: DeskParts) -> FileResponse:
    """An image (PNG) or a PDF to be looked at; 415 for all else, and for a file that only says to be one."""
    attachment, path = await _kept(desk, request_id, attachment_id)
    if not await asyncio.to_thread(is_what_it_says, path, attachment.media_type):
        raise NotShown
    return FileResponse(
        path,
        media_type=attachment.media_type,
        filename=attachment.name,
        content_disposition_type="inline",
        headers={"content-security-policy": ALONE, "cache-control": "private, no-cache"},
    )


async def _receive(request: Request, desk: Desk, name: str) -> Kept:
    """Read the body to the disk, as long as it is not too large. Raises `InvalidInput`, `NoRoom`."""
    limits = desk.attachment_limits
    try:
        with desk.attachments.receive(desk.now()) as file:
            async for piece in request.stream():
                limits.check(name, file.size + len(piece))
                await asyncio.to_thread(file.write, piece)
            return await asyncio.to_thread(file.keep)
    except ClientDisconnect as error:  # nobody is there to be told
        raise DeskError from error
    except OSError as error:
        log.error("an attachment could not be written", error=str(error))
        raise NoRoom from error


async def _kept(desk: Desk, request_id: int, attachment_id: int) -> tuple[Attachment, Path]:
    attachment = await desk.database.read(_attachment, request_id, attachment_id)
    if attachment is None:
        raise NotThere
    try:
        path = desk.attachments.path_of(attachment.path)
    except ValueError:
        path = None
    if path is None or not await asyncio.to_thread(path.is_file):
        log.warning("the file of an attachment is not there", attachment=attachment_id)
        raise FileMissing
    return attachment, path


def _attachment(session: Session, request_id: int, attachment_id: int) -> Attachment | None:
    attachment = session.get(Attachment, attachment_id)
    return attachment if attachment is not None and attachment.request_id == request_id else None
