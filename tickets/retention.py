"""Deletion on schedule: attachments and mails after the time the site says, and files that belong to nothing."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy.orm import Session

from tickets.attachments import AttachmentStore, attachments_past_keeping, forget_attachment, unknown_among
from tickets.database import Database
from tickets.files import Store
from tickets.intake import MailStore, forget_mail, mails_past_keeping, unknown_mails_among
from tickets.models import Attachment, MailIn

log = structlog.get_logger()

SETTLED = timedelta(days=1)
"""A file that no row names is left of a crash when it is older; a younger one may still get its row."""
AT_ONCE = 500


async def erase_attachments(database: Database, store: AttachmentStore, keep: timedelta, *, now: datetime) -> int:
    """Erase attachments of requests finished longer than `keep` ago, and files of which no row knows; returns how many.

    The file goes before the row: cut in the middle, the next run finds the row again. Raises OSError when a file cannot
    be deleted.
    """
    forget = partial(forget_attachment, now=now)
    erased = await _erase(database, store, attachments_past_keeping, forget, unknown_among, now - keep, now)
    if erased:
        log.info("attachments erased after their time", count=erased)
    return erased


async def erase_mails(database: Database, store: MailStore, keep: timedelta, *, now: datetime) -> int:
    """Erase mails of requests finished longer than `keep` ago, and those that became none as long after they came.

    Of the row stays what keeps the mail from being taken again. Files of which no row knows go as well; returns how
    many were erased. Raises OSError when a file cannot be deleted.
    """
    erased = await _erase(database, store, mails_past_keeping, forget_mail, unknown_mails_among, now - keep, now)
    if erased:
        log.info("mails erased after their time", count=erased)
    return erased


async def _erase(
    database: Database,
    store: Store,
    expired_of: Callable[[Session, datetime, int], Sequence[Attachment | MailIn]],
    forget: Callable[[Session, int], None],
    unknown_of: Callable[[Session, Collection[str]], set[str]],
    before: datetime,
    now: datetime,
) -> int:
    erased = 0
    while expired := await database.read(expired_of, before, AT_ONCE):
        for row in expired:
            await asyncio.to_thread(store.erase, row.path)
            await database.run(forget, row.id)
        erased += len(expired)
    files = await asyncio.to_thread(store.files, now - SETTLED)
    for begin in range(0, len(files), AT_ONCE):
        for relative in await database.read(unknown_of, files[begin : begin + AT_ONCE]):
            await asyncio.to_thread(store.erase, relative)
            erased += 1
    return erased
