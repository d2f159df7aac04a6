"""Files that belong to requests: kept in a folder of their own, beside the messages' audio."""

import hashlib
import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from tickets.errors import InvalidInput
from tickets.files import write_safely
from tickets.models import Attachment, Request
from tickets.operations import add_event
from tickets.texts import clean_line

MEGABYTE = 1_000_000
EXECUTABLES = frozenset(
    """ade adp apk app appx bat cab chm cmd com cpl dll dmg exe hta ins iso jar js jse lib lnk mde msc msi msix msp mst
    nsh ps1 reg scr sct sh sys vb vbe vbs vhd vxd wsc wsf wsh xll""".split()  # noqa: SIM905 - to be read
)
"""Endings of files that run when opened; what mail services refuse as well."""
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,60}/[a-z0-9][a-z0-9!#$&^_.+-]{0,60}")
OPAQUE = "application/octet-stream"


class AttachmentSettings(BaseModel):
    """Limits for files that agents and other systems add to requests; what comes by mail or fax is always kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    largest_mb: Annotated[int, Field(ge=1, le=1000)] = 25
    refused: frozenset[str] = EXECUTABLES
    """Endings of names, in small letters, without the dot."""

    def check(self, name: str, size: int) -> None:
        """Raise `InvalidInput` for a file that is too large or of a refused kind."""
        if size > self.largest_mb * MEGABYTE:
            raise InvalidInput("attachment", f"is larger than {self.largest_mb} MB")
        if (ending := name.rpartition(".")[2].strip().lower()) in self.refused:
            raise InvalidInput("attachment", f"files of the kind {ending} are not taken: put them into an archive")


@dataclass(frozen=True, slots=True)
class Kept:
    """A file that is safe on the disk: where (below the folder), its size in bytes and its SHA-256."""

    path: str
    size: int
    sha256: str


class AttachmentStore:
    """The folder of the attachments, as `YYYY/MM/<random name>`: no name from outside ever reaches the disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, content: bytes, at: datetime) -> Kept:
        """Write a file and flush it to the disk, before any row says that it is there; blocks for milliseconds.

        A crash before the row leaves a file that nobody knows, which `erase_unknown` removes. Raises OSError.
        """
        relative = f"{at.astimezone(UTC):%Y/%m}/{uuid4().hex}"
        write_safely(self.folder / relative, content)
        return Kept(relative, len(content), hashlib.sha256(content).hexdigest())

    def path_of(self, relative: str) -> Path:
        """Where a kept file is. Raises ValueError for a path outside the store."""
        path = self.folder / relative
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise ValueError(f"not in the folder of attachments: {relative!r}")
        return path

    def erase(self, relative: str) -> None:
        """Delete a file for good; it may be gone already. Raises ValueError for a path outside the store, OSError."""
        self.path_of(relative).unlink(missing_ok=True)

    def files(self, before: datetime) -> list[str]:
        """The files made before a time, as paths below the folder; those that no row names are left of a crash."""
        found = (path for path in self.folder.glob("*/*/*") if path.is_file())
        return [str(path.relative_to(self.folder)) for path in found if path.stat().st_mtime < before.timestamp()]


def add_attachment(
    session: Session,
    request: Request,
    kept: Kept,
    *,
    name: str,
    media_type: str,
    actor: str,
    now: datetime,
    tell: bool = True,
) -> Attachment:
    """Note that a kept file belongs to a request; with `tell` the history has a line of its own about it."""
    attachment = Attachment(
        request_id=request.id,
        name=safe_name(name),
        media_type=safe_media_type(media_type),
        size=kept.size,
        sha256=kept.sha256,
        path=kept.path,
        added_by=actor,
        created_at=now,
    )
    session.add(attachment)
    session.flush()
    if tell:
        details = {"attachment": attachment.id, "name": attachment.name, "size": kept.size}
        add_event(session, request, "attached", actor, details, now)
    return attachment


def unknown_among(session: Session, paths: Collection[str]) -> set[str]:
    """Which of these files belong to no request."""
    known = set(session.scalars(select(Attachment.path).where(Attachment.path.in_(paths))))
    return set(paths) - known


def safe_name(name: str) -> str:
    """A file's name for people to read and to save it by: one line, no folders, no leading dot, at most 200 signs."""
    line = clean_line(unicodedata.normalize("NFC", name)).replace("\\", "/").rpartition("/")[2]
    line = re.sub(r'[<>:"|?*]', "_", line).lstrip(". ").rstrip(". ")
    if len(line) > 200:
        stem, dot, ending = line.rpartition(".")
        keep = f"{dot}{ending}" if dot and len(ending) <= 10 else ""
        line = (stem or line)[: 200 - len(keep)] + keep
    return line or "attachment"


def safe_media_type(media_type: str) -> str:
    """The type as given where it has the form of one, else that of plain bytes."""
    small = media_type.strip().lower()
    return small if len(small) <= 100 and _MEDIA_TYPE.fullmatch(small) else OPAQUE
