"""Deletion on schedule: a message is personal data and is kept only as long as the site says."""

import asyncio
from datetime import datetime, timedelta

import structlog

from tickets.database import Database
from voicemail import operations, queries
from voicemail.audio import AudioStore

log = structlog.get_logger()


async def erase_expired(database: Database, store: AudioStore, keep: timedelta, *, now: datetime) -> int:
    """Erase audio and words of messages whose request was closed longer than `keep` ago (or that never had one).

    Returns how many. The file goes before the row says so: cut in the middle, the next run finds the row again. Raises
    OSError when a file cannot be deleted.
    """
    expired = await database.read(queries.messages_past_keeping, now - keep)
    for message in expired:
        if message.audio is not None:
            await asyncio.to_thread(store.erase, message.audio)
        await database.run(operations.erase_message, message.id, now=now)
    await asyncio.to_thread(store.erase_unusable, now - keep)
    if expired:
        log.info("messages erased after their time", count=len(expired))
    return len(expired)
