"""Room on the disk for messages: a caller is told before speaking, not recorded into nothing."""

import asyncio
import shutil
from collections.abc import Collection
from pathlib import Path

import structlog

from tickets.alarms import Alarms

log = structlog.get_logger()

ALARM = "disk_space"
MEGABYTE = 1_000_000
FULL_BYTES = 128 * 1024
"""Less than this is a full disk: Asterisk writes 32 KiB at a time, and file systems keep a few blocks to themselves."""


class Room:
    """The free space where messages are recorded and kept. With `least_mb` 0 none is refused beforehand.

    `short` is what the last `look` found: less is free than the site wants to be left, so nothing new is recorded. A
    step of a call reads it without touching the disk.
    """

    def __init__(self, folders: Collection[Path], least_mb: int, alarms: Alarms, worker: str = "") -> None:
        self.folders, self.worker = folders, worker
        self.least_bytes, self._alarms = least_mb * MEGABYTE, alarms
        self.short = False
        self._sounded: bool | None = None
        """None: not known, since an earlier process may have sounded the alarm."""

    async def look(self) -> None:
        """Measure, and sound the alarm or end it; run by the clock, since the alarm may wait for the database."""
        free, folder = await asyncio.to_thread(self._least)
        self.short = free < self.least_bytes
        bad = self.short or free < FULL_BYTES
        if bad:
            free_mb = free // MEGABYTE
            await self._alarms.sound(
                ALARM, f"{free_mb} MB are free for {folder}: callers can leave no messages", self.worker
            )
        elif self._sounded is not False:
            await self._alarms.end(ALARM, self.worker)
        self._sounded = bad

    @staticmethod
    def full(recordings: Path) -> bool:
        """Whether no more can be recorded there now, so that a recording may have been cut. Blocks for microseconds."""
        return _free_bytes(recordings) < FULL_BYTES

    def _least(self) -> tuple[int, Path]:
        return min((_free_bytes(folder), folder) for folder in self.folders)


def _free_bytes(folder: Path) -> int:
    """Free bytes for this user where a folder is, or will be made; as if plenty, when nobody can tell."""
    for place in (folder, *folder.parents):
        try:
            return shutil.disk_usage(place).free
        except FileNotFoundError:
            continue
        except OSError as error:
            log.warning("free disk space not known", folder=str(folder), error=str(error))
            break
    return 2**63
