"""Deletion on schedule: attachments and mails after the time the site says, and files that belong to nothing."""

import asyncio
from datetime import datetime, timedelta

import structlog

from tickets.attachments import AttachmentStore, attachments_past_keeping, forget_attachment, unknown_among
from tickets.database import Database
from tickets.intake import MailStore, forget_mail, mails_past_keeping, unknown_mails_among

log = structlog.get_logger()

SETTLED = timedelta(days=1)
"""A file that no row names is left of a crash when it is older; a younger one may still get its row."""
AT_ONCE = 500


async def erase_attachments(database: Database, store: AttachmentStore, keep: timedelta, *, now: datetime) -> int:
    """Erase attachments of requests finished longer than `keep` ago, and files of which no row knows; returns how many.

    The file goes before the row: cut in the middle, the next run finds the row again. Raises OSError when a file cannot
    be deleted.
    """
    erased = 0
    while expired := await database.read(attachments_past_keeping, now - keep, AT_ONCE):
        for attachment in expired:
            await asyncio.to_thread(store.erase, attachment.path)
            await database.run(forget_attachment, attachment.id, now=now)
        erased += len(expired)
    files = await asyncio.to_thread(store.files, now - SETTLED)
    for begin in range(0, len(files), AT_ONCE):
        for relative in await database.read(unknown_among, files[begin : begin + AT_ONCE]):
            await asyncio.to_thread(store.erase, relative)
            erased += 1
    if erased:
        log.info("attachments erased after their time", count=erased)
    return erased


async def erase_mails(database: Database, store: MailStore, keep: timedelta, *, now: datetime) -> int:
    """Erase mails of requests finished longer than `keep` ago, and those that became none as long after they came.

    Of the row stays what keeps the mail from being taken again. Files of which no row knows go as well; returns how
    many were erased. The file goes before the row: cut in the middle, the next run finds the row again. Raises OSError
    when a file cannot be deleted.
    """
    erased = 0
    while expired := await database.read(mails_past_keeping, now - keep, AT_ONCE):
        for mail in expired:
            await asyncio.to_thread(store.erase, mail.path)
            await database.run(forget_mail, mail.id)
        erased += len(expired)
    files = await asyncio.to_thread(store.files, now - SETTLED)
    for begin in range(0, len(files), AT_ONCE):
        for relative in await database.read(unknown_mails_among, files[begin : begin + AT_ONCE]):
            await asyncio.to_thread(store.erase, relative)
            erased += 1
    if erased:
        log.info("mails erased after their time", count=erased)
    return erased
