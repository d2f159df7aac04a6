"""The other ticket systems of the settings, put together, and what is done for them again and again."""

import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta

import structlog

from centralino.settings import Settings
from schedules.clock import utc_now
from tickets.alarms import Alarms
from tickets.attachments import AttachmentStore
from tickets.connectors import ConnectorError
from tickets.connectors.maximo import Maximo
from tickets.connectors.sync import Sync
from tickets.connectors.webhooks import Webhook
from tickets.database import Database
from tickets.notices import Notices

log = structlog.get_logger()

DELIVER_SECONDS = 5
ENROL_SECONDS = 600


class InStep:
    """Keeps one other system in step; only one process is to do so at a time."""

    def __init__(self, sync: Sync, poll_seconds: float) -> None:
        self.sync, self.name, self._poll_seconds = sync, sync.name, poll_seconds
        self._asked = -poll_seconds

    async def work(self) -> None:
        """Tell what is to be told, and ask what has changed there when it is time."""
        await self.sync.deliver(now=utc_now())
        if time.monotonic() - self._asked >= self._poll_seconds:
            self._asked = time.monotonic()
            await self.sync.listen(now=utc_now())

    async def enrol(self) -> None:
        """Have it told of open requests that it has never heard of."""
        if new := await self.sync.enrol(now=utc_now()):
            log.info("requests are new to another ticket system", connector=self.name, requests=new)

    async def compare(self) -> None:
        """Look for differences."""
        try:
            found = await self.sync.compare(now=utc_now())
        except ConnectorError as error:
            log.warning("other ticket system not compared", connector=self.name, error=str(error))
        else:
            log.info("other ticket system compared", connector=self.name, differing=len(found))


@contextlib.asynccontextmanager
async def in_step(
    settings: Settings, database: Database, notices: Notices, alarms: Alarms | None, files: AttachmentStore | None
) -> AsyncIterator[list[InStep]]:
    """Every other system of the settings, ready to be told."""
    async with AsyncExitStack() as stack:
        ready = []
        if (maximo := settings.maximo) is not None:
            sync = Sync(
                database,
                await stack.enter_async_context(Maximo(maximo)),
                notices,
                alarms,
                files,
                connections=maximo.connections,
                alarm_after=timedelta(minutes=maximo.alarm_minutes),
                reopen_within=settings.requests.reopen_within,
            )
            ready.append(InStep(sync, maximo.poll_seconds))
        for webhook in settings.webhooks:
            sync = Sync(
                database,
                await stack.enter_async_context(Webhook(webhook, utc_now)),
                notices,
                alarms,
                files,
                alarm_after=timedelta(minutes=webhook.alarm_minutes),
            )
            ready.append(InStep(sync, 3600))
        yield ready
