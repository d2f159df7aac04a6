"""Room on the disk for messages and attachments: a caller is told before speaking, not recorded into nothing."""

import asyncio
import shutil
from collections.abc import Collection
from pathlib import Path

import structlog

from tickets.alarms import Alarms, Words

log = structlog.get_logger()

ALARM = "disk_space"
MEGABYTE = 1_000_000
FULL_BYTES = 128 * 1024
"""Less than this is a full disk: Asterisk writes 32 KiB at a time, and file systems keep a few blocks to themselves."""


class Room:
    """The free space where messages are recorded and kept (`folders`), and where `attachments` are.

    With `least_mb` 0 no message is refused beforehand. `short` is what the last `look` found: less is free for messages
    than the site wants to be left, so nothing new is recorded. A step of a call reads it without touching the disk.
    """

    def __init__(
        self, folders: Collection[Path], least_mb: int, alarms: Alarms, worker: str = "", *, attachments: Path
    ) -> None:
        self.folders, self.worker, self.attachments = folders, worker, attachments
        self.least_bytes, self._alarms = least_mb * MEGABYTE, alarms
        self.short = False
        self._sounded: str | None = None
        """For what the alarm was sounded, empty for nothing; None: not known, since an earlier process may have."""

    async def look(self) -> None:
        """Measure, and sound the alarm or end it; run by the clock, since the alarm may wait for the database."""
        free, folder = await asyncio.to_thread(self._least)
        self.short = free < self.least_bytes
        what, words = "", None
        if self._too_little(free):
            what = "messages"
            words = Words(
                it=f"{free // MEGABYTE} MB liberi per {folder}: chi chiama non può lasciare messaggi",
                en=f"{free // MEGABYTE} MB are free for {folder}: callers can leave no messages",
            )
        elif self._too_little(free := await asyncio.to_thread(_free_bytes, self.attachments)):
            what = "attachments"
            words = Words(
                it=f"{free // MEGABYTE} MB liberi per gli allegati ({self.attachments}): quando finiscono, mail e fax "
                "aspettano e alle richieste non si aggiungono file",
                en=f"{free // MEGABYTE} MB are free for attachments ({self.attachments}): when they are used up, mails "
                "and faxes wait, and no files can be added to requests",
            )
        before = self._sounded
        if (before is None and not what) or (before and before != what):
            await self._alarms.end(ALARM, self.worker)  # what is wrong now, if anything, is another thing
        if words is not None:
            await self._alarms.sound(ALARM, words, self.worker)
        self._sounded = what

    def _too_little(self, free: int) -> bool:
        return free < self.least_bytes or free < FULL_BYTES

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
