"""Asterisk's own records of calls (CEL, channel event logging), as its module cel_custom writes them: a line an event.

`centralino-cel.conf` says which fields: type, time, the channel's unique id, context, application, dialled number, and
caller's number. Asterisk doubles every quotation mark inside a field, so no text of a caller can look like the
beginning of a line; a line break in the last two fields only cuts them short.
"""

import gzip
import re
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Literal, cast

from ivr.calls_in_hand import FALLBACK_CONTEXT
from ivr.fax import FAX_CONTEXT
from ivr.flow.talk import is_ours

CHUNK_BYTES = 64 * 1024
"""So much is read, and stored in one transaction, at a time."""
TAIL_BYTES = 160
"""So much before the position is remembered: a whole line with its time, by which the file is known again."""

INBOUND_CONTEXT = "centralino-inbound"
"""The dialplan's context into which calls come from the telephone network."""
_LINE = re.compile(
    r'"(?P<kind>APP_START|CHAN_END)","(?P<time>[0-9]{1,11}\.[0-9]{6})","(?P<channel>[^"]{1,150})","(?P<context>[^"]*)",'
    r'"(?P<app>[^"]*)","(?P<line>(?:[^"]|"")*)(?:","(?P<caller>(?:[^"]|"")*))?"?'
)
_OTHER_EVENT = re.compile(r'"[A-Z_]+",')
_NOT_DIALLED = re.compile(r"[^0-9+]")


@dataclass(frozen=True, slots=True)
class Position:
    """How far a file has been read: `offset` bytes, of which the last are `tail`. Rotation moves it to another name."""

    offset: int = 0
    tail: bytes = b""


@dataclass(frozen=True, slots=True)
class ChannelEvent:
    """One event of a channel that came in from the telephone network."""

    kind: Literal["reached", "recording", "ended"]
    """Reached the line, the dialplan began to record (or to receive a fax), ended."""
    channel_id: str
    at: datetime
    fallback: bool
    """Whether the dialplan had the call in hand, and not the service."""
    line: str
    """The dialled number: digits, perhaps with `+` before them, 40 characters at most."""
    caller: str | None
    """As Asterisk knew it, digits only; None when withheld."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What was read at one time."""

    events: Sequence[ChannelEvent]
    position: Position
    """Where to go on."""
    unreadable: int
    """Lines that are no record: cut by a crash, or written with other fields."""
    lost: bool
    """The place where reading had stopped is in no file any more: it began again with the oldest file there is."""


def parse_event(line: str) -> ChannelEvent | None:
    """Read one line; None for events that are not asked for. Raises ValueError for what is no record."""
    match = _LINE.fullmatch(line)
    if match is None:
        if _OTHER_EVENT.match(line) and not line.startswith(('"APP_START"', '"CHAN_END"')):
            return None
        raise ValueError("not a record of cel_custom as centralino-cel.conf describes it")
    channel, context, app = match["channel"], match["context"], match["app"]
    fallback = context in (FALLBACK_CONTEXT, FAX_CONTEXT)
    if is_ours(channel) or not (fallback or context == INBOUND_CONTEXT):
        return None
    if match["kind"] == "CHAN_END":
        kind: Literal["reached", "recording", "ended"] = "ended"
    elif app in ("Record", "ReceiveFAX"):
        if not fallback:
            return None
        kind = "recording"
    elif app in ("Stasis", "StasisBroadcast"):
        kind = "reached"
    else:
        return None
    return ChannelEvent(
        kind,
        channel,
        datetime.fromtimestamp(float(match["time"]), UTC),
        fallback,
        _NOT_DIALLED.sub("", match["line"][:32]),
        _NOT_DIALLED.sub("", match["caller"] or "")[:32] or None,
    )


def read_on(path: Path, position: Position) -> Piece | None:
    """Read the next records after a position; None when there are none yet.

    A last line that is not finished is left for the next time. Rotated files are found by their name, which begins with
    that of the file (as logrotate gives them, also compressed). Raises OSError when a file cannot be read.
    """
    files = _files(path)
    reading, lost = _find(files, position)
    if lost or not position.tail:
        position = Position()
    for file in files[reading:]:
        with _open(file) as stream:
            stream.seek(position.offset)
            data = stream.read(CHUNK_BYTES)
        whole = data[: data.rfind(b"\n") + 1]
        if not whole and len(data) == CHUNK_BYTES:
            whole = data  # no record is so long
        if whole:
            events, unreadable = _parse(whole)
            tail = (position.tail + whole)[-TAIL_BYTES:]
            return Piece(events, Position(position.offset + len(whole), tail), unreadable, lost)
        position = Position()
    return None


def _files(path: Path) -> list[Path]:
    """The file and those it was rotated to, the oldest first and itself last."""
    try:
        rotated = [file for file in path.parent.iterdir() if file.name.startswith(path.name) and file != path]
    except FileNotFoundError:
        return []
    rotated.sort(key=lambda file: file.stat().st_mtime_ns)
    return [*rotated, path] if path.exists() else rotated


def _find(files: Sequence[Path], position: Position) -> tuple[int, bool]:
    """Which of the files goes on at the position; the first one, and True, when none does."""
    if not position.tail:
        return 0, False
    for number in range(len(files) - 1, -1, -1):
        if files[number].suffix != ".gz" and files[number].stat().st_size < position.offset:
            continue
        with suppress(EOFError, zlib.error, gzip.BadGzipFile), _open(files[number]) as stream:  # just being compressed
            stream.seek(position.offset - len(position.tail))
            if stream.read(len(position.tail)) == position.tail:
                return number, False
    return 0, True


def _open(file: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(file)) if file.suffix == ".gz" else file.open("rb")


def _parse(data: bytes) -> tuple[list[ChannelEvent], int]:
    events, unreadable = [], 0
    for line in data.split(b"\n"):
        # a machine that lost its power may leave NULs where a line was
        text = line.decode("utf-8", errors="replace").strip("\0\r")
        if not text:
            continue
        try:
            event = parse_event(text)
        except ValueError:
            unreadable += 1
        else:
            if event is not None:
                events.append(event)
    return events, unreadable
