"""Rows and channels brought together: open calls nobody serves go on or are closed, stray channels end."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from datetime import timedelta

import structlog

from ivr import call_backs, leftovers, operations, queries
from ivr.ari import AriConnectionError, NotFound
from ivr.calls_in_hand import CallsInHand
from ivr.flow import message, repair
from ivr.flow.call import ActiveCall
from ivr.flow.call_back import go_on_keeping
from ivr.flow.talk import is_ours, quietly
from ivr.models import OF_DIALPLAN, Call, Outcome

log = structlog.get_logger()

HANDED_ON = timedelta(minutes=1)
"""Longer than a repair takes, with a database that is away for some of it."""


class Reconciler:
    """Compares what the database, Asterisk and this worker know of calls, and puts right what does not fit."""

    def __init__(self, calls: CallsInHand) -> None:
        self.calls = calls
        self.services = calls.services
        self._one_at_a_time = asyncio.Lock()

    async def reconcile(self) -> None:
        """Put everything right once; what fails is logged and left for the next time.

        Raises AriConnectionError when Asterisk is lost meanwhile.
        """
        async with self._one_at_a_time:
            open_rows = [*await self.services.database.read(queries.open_calls, self.services.app)]
            found = await repair.Found.look(self.services)
            open_rows += await self._reopen_lost(found)
            await repair.sweep(self.services, found)
            for row in open_rows:
                if row.id not in self.calls:
                    await self._alone(self._take_up(row.id, found), call=row.id)
            await self._begin_unseen(found)
            await leftovers.file_messages(self.services)

    @staticmethod
    async def _alone(step: Coroutine[None, None, object], **about: str) -> None:
        """One thing of many to put right: when it fails, the others are put right all the same."""
        try:
            await step
        except AriConnectionError:
            raise
        except Exception:
            log.exception("could not be put right now, tried again later", **about)

    async def _reopen_lost(self, found: repair.Found) -> list[Call]:
        """Calls that went on while nobody reached this Asterisk, and were closed for that; returns their rows.

        Before anything else: what belongs to no open call is swept away.
        """
        reopened = []
        for row in await self.services.database.read(queries.lost_calls, found.held, self.services.app):
            phase = repair.phase_of_lost(row, found)
            if await self.services.database.run(operations.reopen_call, row.id, phase, now=self.services.now()):
                log.warning("a call that counted as lost has gone on", call=row.id, phase=phase)
                reopened.append(row)
        return reopened

    async def _take_up(self, call_id: str, found: repair.Found) -> None:
        """Go on with a call that nobody serves, or close its row when its channel is gone."""
        row = await self.services.database.read(queries.call, call_id)
        if row is None or row.ended_at is not None:
            return  # it has ended since the rows were read
        call = self.calls.recall(row)
        await repair.close_offers(call)
        way = repair.way_on(row, found)
        if way is None:
            self.calls.forget(call)
            await self._close_gone(call, row)
            return
        if way in (repair.wait_again, repair.keep_waiting, go_on_keeping):
            call.leg.left_alone()
            await self.services.database.run(
                operations.take_back,
                row.id,
                wrap_up_seconds=call.queue_config.wrap_up_seconds,
                now=self.services.now(),
            )
        if not self.services.hears(call.leg):
            return  # the connection was lost meanwhile: the next repair sees how the call stands then
        log.info("call taken up again", call=row.id, phase=row.phase)
        self.calls.go_on(call, way(call))

    async def _close_gone(self, call: ActiveCall, row: Call) -> None:
        """The caller hung up while nobody looked: keep what was recorded, close the row."""
        outcome = repair.outcome_of_gone(row)
        if row.bridge_id is not None:
            await quietly(self.services.ari.bridges.destroy(row.bridge_id))
        if await self.services.database.read(call_backs.asked_in, row.id):
            outcome = Outcome.CALLBACK
        if row.message_id and await message.file_left(call, row.message_id):
            outcome = Outcome.VOICEMAIL
        await self.services.database.run(
            operations.end_call,
            row.id,
            outcome,
            note="the call ended while the service was away",
            wrap_up_seconds=call.queue_config.wrap_up_seconds,
            now=self.services.now(),
        )

    async def _begin_unseen(self, found: repair.Found) -> None:
        """Channels that entered just when the service died have no row yet: serve them from the start."""
        for channel_id in found.held:
            if channel_id in self.services.legs or is_ours(channel_id):
                continue
            row = await self.services.database.read(queries.call_on_channel, channel_id, self.services.app)
            with suppress(NotFound):
                if row is None:
                    channel = await self.services.ari.channels.get(channel_id)
                    self.calls.begin(channel.id, channel.extension, channel.caller_number, channel.caller_name)
                elif row.ended_at is not None and row.id not in self.calls:
                    if row.outcome in OF_DIALPLAN and self.services.now() - row.ended_at < HANDED_ON:
                        continue  # since Asterisk was asked it was handed to the dialplan: the caller goes on there
                    await self.services.ari.channels.hangup(channel_id)  # its hangup was lost
