"""What a crash, a full disk or a lost database left in Asterisk's recording folder: filed, or cleared away."""

import asyncio
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import structlog

from ivr import operations, queries
from ivr.flow import message
from ivr.flow.call import Services
from ivr.models import Outcome
from ivr.settings import node_of
from voicemail.audio import remove_takes
from voicemail.models import Message, MessageState
from voicemail.queries import messages_recording

log = structlog.get_logger()

SAFE_AGE = timedelta(hours=1)
"""A recording that has not grown for so long belongs to no call under way: a message lasts half an hour at most."""
_OURS = re.compile(r"([0-9a-f]{32})-[0-9]{1,3}\.wav")


async def file_messages(services: Services) -> None:
    """File messages whose call has ended at this node but that were never filed, whichever worker served the call.

    Two workers may do the same at once: filing is safe to repeat.
    """
    for left in await services.database.read(messages_recording):
        row = await services.database.read(queries.call, left.call_id or "")
        if row is None or row.ended_at is None or node_of(row.app) != node_of(services.app):
            continue
        if row.outcome is Outcome.LOST and row.app != services.app:
            continue  # whoever has that application sees first whether the call goes on
        if await _file(services, left) and row.outcome is Outcome.LOST:
            await services.database.run(operations.correct_outcome, row.id, (Outcome.LOST,), Outcome.VOICEMAIL)


async def tidy_recordings(services: Services) -> None:
    """Deal with recordings of ours that belong to no call any more.

    One of a message that counted as lost is filed; one that its message does not need goes. One of which no row knows
    is set aside rather than deleted: the database may have been restored from a copy older than the recording.
    """
    before = (services.now() - SAFE_AGE).timestamp()
    for message_id, path in await asyncio.to_thread(lambda: list(_old_recordings(services.recordings, before))):
        row = await services.database.read(message.find_message, message_id)
        if row is None:
            log.warning("recording of no message set aside", recording=path.name)
            await asyncio.to_thread(services.audio.set_aside, path, message_id)
        elif row.state is MessageState.LOST:
            await _file(services, row)
        elif row.state is not MessageState.RECORDING:
            log.info("recording that no message needs removed", recording=path.name)
            await asyncio.to_thread(remove_takes, services.recordings, message_id)


async def _file(services: Services, left: Message) -> bool:
    """Whether it became a request."""
    try:
        return await message.file_recorded(services, left) is not None
    except Exception as error:
        log.error("left message not filed yet, tried again later", message=left.id, error=repr(error))
        return False


def _old_recordings(spool: Path, before: float) -> Iterator[tuple[str, Path]]:
    for path in spool.glob("*.wav"):
        name = _OURS.fullmatch(path.name)
        try:
            if name is not None and path.stat().st_mtime < before:
                yield name[1], path
        except FileNotFoundError:
            continue  # filed this moment
