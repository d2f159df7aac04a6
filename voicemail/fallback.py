"""Messages that the dialplan recorded by itself while the service was down.

The dialplan writes `<unique id>_<line>_<caller's digits or "anonymous">_<epoch>.wav`; the name is all that is known of
the call. Nothing is passed over for its name: what does not read like that is a message of an unknown caller.
"""

import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

SETTLED_SECONDS = 60.0
"""A recording that has not changed for so long is finished. While it records Asterisk writes every two seconds (less
often if the caller's phone sends nothing in silence); one that was cut by a crash simply stops growing."""

LONGEST_WAY_SECONDS = 60
"""A call that no service took is at the dialplan's recording seconds after it came in. One that took longer was in the
hands of a service before: its message counts from when it was left."""

_NAME = re.compile(
    r"(?P<unique_id>[A-Za-z0-9._-]{1,150})_(?P<line>[0-9A-Za-z+*#-]{0,40})_(?P<caller>\+?[0-9]{1,32}|[A-Za-z]*)"
    r"_(?P<epoch>[0-9]{1,11})\.wav"
)
_CALLED = re.compile(r"(?:.*-)?(?P<epoch>[0-9]{1,11})\.[0-9]+")
"""Asterisk's id of a channel: its own name, if it has one; the second when the channel came in; a counter."""


@dataclass(frozen=True, slots=True)
class FallbackRecording:
    """A finished recording of the dialplan. `caller` is None when the number was withheld."""

    path: Path
    unique_id: str
    """Asterisk's id of the channel: the same file has the same one, so it can be filed once."""
    line: str
    caller: str | None
    left_at: datetime
    """When the call came in, to the second: the caller's time counts from there."""


def scan_fallback(folder: Path, *, settled_seconds: float = SETTLED_SECONDS) -> list[FallbackRecording]:
    """The finished recordings in a folder, the oldest first.

    Files that still grow are left for the next time. A file with another name comes with its name as `unique_id`, no
    line, no caller, and the time it was last written. A folder that does not exist is empty.
    """
    found = []
    for path in folder.glob("*.wav"):
        try:
            changed = path.stat().st_mtime
        except FileNotFoundError:
            continue
        if abs(time.time() - changed) < settled_seconds:
            continue
        match = _NAME.fullmatch(path.name)
        if match is None:
            found.append(FallbackRecording(path, path.stem, "", None, datetime.fromtimestamp(changed, UTC)))
            continue
        caller = match["caller"] if match["caller"][-1:].isdigit() else None
        left_at = datetime.fromtimestamp(_left_at(match["unique_id"], int(match["epoch"])), UTC)
        found.append(FallbackRecording(path, match["unique_id"], match["line"], caller, left_at))
    return sorted(found, key=lambda recording: recording.left_at)


def _left_at(unique_id: str, epoch: int) -> int:
    """When the call came in, or when it was sent to the recording (`epoch`) if that was long after."""
    called = _CALLED.fullmatch(unique_id)
    came_in = int(called["epoch"]) if called else epoch
    return came_in if 0 <= epoch - came_in <= LONGEST_WAY_SECONDS else epoch
