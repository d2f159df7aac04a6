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

_NAME = re.compile(
    r"(?P<unique_id>[A-Za-z0-9.-]{1,60})_(?P<line>[0-9A-Za-z+*#-]{0,40})_(?P<caller>\+?[0-9]{1,32}|[A-Za-z]*)"
    r"_(?P<epoch>[0-9]{1,11})\.wav"
)


@dataclass(frozen=True, slots=True)
class FallbackRecording:
    """A finished recording of the dialplan. `caller` is None when the number was withheld."""

    path: Path
    unique_id: str
    """Asterisk's id of the channel: the same file has the same one, so it can be filed once."""
    line: str
    caller: str | None
    recorded_at: datetime


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
        recorded_at = datetime.fromtimestamp(int(match["epoch"]), UTC)
        found.append(FallbackRecording(path, match["unique_id"], match["line"], caller, recorded_at))
    return sorted(found, key=lambda recording: recording.recorded_at)
