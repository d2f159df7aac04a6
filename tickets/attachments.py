"""Files that belong to requests: kept in a folder of their own, beside the messages' audio."""

import hashlib
import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from tickets.errors import InvalidInput
from tickets.files import SafeWriter, Store
from tickets.models import Attachment, Request
from tickets.operations import SYSTEM, add_event, load_request
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
    refused: tuple[str, ...] = tuple(sorted(EXECUTABLES))
    """Endings of names, in small letters, without the dot."""

    @property
    def largest_bytes(self) -> int:
        """The size of the largest file that is taken."""
        return self.largest_mb * MEGABYTE

    def check(self, name: str, size: int) -> None:
        """Raise `InvalidInput` for a file that is too large or of a refused kind."""
        if size > self.largest_bytes:
            raise InvalidInput("attachment", f"is larger than {self.largest_mb} MB", "too_large")
        if (ending := name.rpartition(".")[2].strip().lower()) in self.refused:
            words = f"files of the kind {ending} are not taken: put them into an archive"
            raise InvalidInput("attachment", words, "refused_kind")


@dataclass(frozen=True, slots=True)
class Kept:
    """A file that is safe on the disk: where (below the folder), its size in bytes and its SHA-256."""

    path: str
    size: int
    sha256: str


class Receiving(SafeWriter):
    """A file that comes piece by piece; see `AttachmentStore.receive`."""

    def __init__(self, target: Path, relative: str) -> None:
        super().__init__(target)
        self._relative = relative
        self._sha256 = hashlib.sha256()
        self.size = 0
        """Bytes so far."""

    def write(self, piece: bytes) -> None:
        """Write one more piece."""
        self._sha256.update(piece)
        self.size += len(piece)
        super().write(piece)

    def keep(self) -> Kept:
        """Keep it, flushed to the disk."""
        self.finish()
        return Kept(self._relative, self.size, self._sha256.hexdigest())


class AttachmentStore(Store):
    """The folder of the attachments, as `YYYY/MM/<random name>`: no name from outside ever reaches the disk."""

    def keep(self, content: bytes, at: datetime) -> Kept:
        """Write a file and flush it to the disk, before any row says that it is there; blocks for milliseconds.

        A crash before the row leaves a file that nobody knows, which `tickets.retention` removes. Raises OSError.
        """
        with self.receive(at) as file:
            file.write(content)
            return file.keep()

    def receive(self, at: datetime) -> Receiving:
        """A file that comes piece by piece, as a context manager; one that is not kept in the end is not there."""
        relative = f"{at.astimezone(UTC):%Y/%m}/{uuid4().hex}"
        return Receiving(self.folder / relative, relative)


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


def attach(
    session: Session, request_id: int, kept: Kept, *, name: str, media_type: str, actor: str, now: datetime
) -> Attachment:
    """Note that a kept file belongs to this request, open or finished. Raises `NotFound`."""
    request = load_request(session, request_id)
    return add_attachment(session, request, kept, name=name, media_type=media_type, actor=actor, now=now)


def attachments_past_keeping(session: Session, before: datetime, limit: int) -> Sequence[Attachment]:
    """Attachments of requests that were finished before this time."""
    query = (
        select(Attachment)
        .join(Request, Request.id == Attachment.request_id)
        .where(Request.closed_at < before)
        .order_by(Attachment.id)
        .limit(limit)
    )
    return session.scalars(query).all()


def forget_attachment(session: Session, attachment_id: int, *, now: datetime) -> None:
    """Take the row of an attachment away whose file is deleted; the history says that there was one."""
    attachment = session.get(Attachment, attachment_id)
    if attachment is None:
        return
    request = load_request(session, attachment.request_id)
    session.delete(attachment)
    add_event(session, request, "attachment_erased", SYSTEM, {"attachment": attachment_id}, now)


def unknown_among(session: Session, paths: Collection[str]) -> set[str]:
    """Which of these files belong to no request."""
    known = set(session.scalars(select(Attachment.path).where(Attachment.path.in_(paths))))
    return set(paths) - known


PREVIEWED = {"image/png": ("image", b"\x89PNG\r\n\x1a\n"), "application/pdf": ("pdf", b"%PDF-")}
"""What may be shown in a browser: as what, and how the bytes of such a file begin."""


def preview_of(media_type: str) -> str | None:
    """As what a file of this type may be shown: `image` or `pdf`; None for one that is only saved."""
    return PREVIEWED[media_type][0] if media_type in PREVIEWED else None


def is_what_it_says(path: Path, media_type: str) -> bool:
    """Whether a file that may be shown begins as its type wants it; reads a few bytes. Raises OSError."""
    if media_type not in PREVIEWED:
        return False
    begin = PREVIEWED[media_type][1]
    with path.open("rb") as file:
        return file.read(len(begin)) == begin


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
