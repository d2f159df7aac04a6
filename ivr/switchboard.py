"""The switchboard: takes calls from Asterisk, runs one coroutine for each, and gives waiting calls to free agents."""

import asyncio
import uuid
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

import structlog
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr
from sqlalchemy.ext.asyncio import AsyncSession
from structlog.contextvars import bound_contextvars

from ivr import operations, queries
from ivr.ari import (
    Ari,
    AriConnectionError,
    AriError,
    Event,
    Hangup,
    NotFound,
    StasisStart,
)
from ivr.config import CallsConfig, Line
from ivr.errors import CommandRefused
from ivr.flow import message, repair
from ivr.flow.call import ActiveCall, Command, Screen, Services, Transcripts
from ivr.flow.inbound import inbound
from ivr.flow.talk import OURS, quietly
from ivr.models import Call, Offer, Outcome, Phase
from ivr.prompts import Prompts
from tickets.database import Change, Database
from tickets.notices import Notices
from tickets.phone_numbers import parse_phone_number
from tickets.queries import identify_caller
from voicemail.audio import AudioStore
from voicemail.fallback import SETTLED_SECONDS, scan_fallback
from voicemail.queries import messages_recording

log = structlog.get_logger()

UNUSED_EVENTS = (
    "ChannelVarset",
    "ChannelDialplan",
    "ChannelConnectedLine",
    "ChannelCallerId",
    "ChannelCreated",
    "ChannelStateChange",
    "ChannelEnteredBridge",
    "ChannelLeftBridge",
    "BridgeCreated",
    "BridgeDestroyed",
    "Dial",
    "PlaybackStarted",
    "PlaybackContinuing",
    "RecordingStarted",
)
"""Asterisk is told not to send these: about half of all events of a call."""
COMMAND_SECONDS = 60.0
"""An attended transfer may ring this long before the desk hears that nobody answers."""
REPAIR_PAUSE_SECONDS = 1.0
FALLBACK_CONTEXT = "centralino-fallback"
"""The dialplan's context that records a message without us."""


def _check_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is no address of a web server: write it as http://127.0.0.1:8088")
    return url


def _check_password(password: SecretStr) -> SecretStr:
    if password.get_secret_value() in ("", "changeme", "secret", "password"):
        raise ValueError("choose a password of your own (the same as in Asterisk's ari.conf)")
    return password


class AsteriskSettings(BaseModel):
    """Where Asterisk is. The folders are as this service sees them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: Annotated[str, AfterValidator(_check_url)] = "http://127.0.0.1:8088"
    username: str = "centralino"
    password: Annotated[SecretStr, AfterValidator(_check_password)]
    app: str = "centralino"
    """Name of the Stasis application."""
    recordings: Path = Path("/var/spool/asterisk/recording")
    fallback: Path = Path("/var/spool/asterisk/centralino-fallback")
    """Where the dialplan leaves messages it recorded while the service was down."""
    fallback_settled_seconds: float = Field(default=SETTLED_SECONDS, ge=0, le=3600)
    """Such a message is filed when its file has not grown for so long."""


class Switchboard:
    """All calls of one worker. Use as `async with`; calls that are under way when it closes stay up in Asterisk."""

    def __init__(
        self,
        asterisk: AsteriskSettings,
        config: CallsConfig,
        *,
        database: Database,
        prompts: Prompts,
        screen: Screen,
        audio: AudioStore,
        transcripts: Transcripts | None,
        notices: Notices,
        now: Callable[[], datetime],
    ) -> None:
        self.asterisk = asterisk
        self.config = config
        self.ari = Ari(
            asterisk.url,
            asterisk.app,
            asterisk.username,
            asterisk.password.get_secret_value(),
            on_event=self._on_event,
            on_connected=self._on_connected,
            on_disconnected=self._on_disconnected,
        )
        self.services = Services(
            ari=self.ari,
            database=database,
            config=config,
            prompts=prompts,
            screen=screen,
            audio=audio,
            recordings=asterisk.recordings,
            transcripts=transcripts,
            notices=notices,
            legs={},
            now=now,
        )
        self.calls: dict[str, ActiveCall] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._call_tasks: set[asyncio.Task[None]] = set()
        self._decision_due = asyncio.Event()
        self._repaired = asyncio.Event()
        self._connections = 0
        self._reconciling = asyncio.Lock()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Connect to Asterisk and begin to take calls; does not wait for Asterisk to be there."""
        await self.services.database.run(operations.forget_desks)
        self._stack.callback(self.services.database.subscribe(self._on_change))
        self._stack.push_async_callback(self._cancel_tasks)
        self._spawn(self._decide())
        await self._stack.enter_async_context(self.ari)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go: nobody is cut off, the next worker takes the calls over."""
        await self._stack.aclose()

    @property
    def connected(self) -> bool:
        """Whether Asterisk can be reached just now."""
        return self.ari.connected

    async def ready(self) -> None:
        """Wait until connected and repaired."""
        await self._repaired.wait()

    # ------------------------------------------------------------------------------------------------- from Asterisk

    def _on_event(self, event: Event) -> None:
        if isinstance(event, StasisStart):
            self._on_stasis_start(event)
        for channel_id in event.channel_ids:
            leg = self.services.legs.get(channel_id)
            if leg is not None:
                leg.feed(event)

    def _on_stasis_start(self, event: StasisStart) -> None:
        channel = event.channel
        if event.replace_channel is not None and (leg := self.services.legs.pop(event.replace_channel.id, None)):
            # the phone itself transferred the call: the same person now speaks from another channel
            leg.id = channel.id
            self.services.legs[channel.id] = leg
        elif event.args[:1] == ["inbound"]:
            self._begin(
                channel.id, event.args[1] if len(event.args) > 1 else "", channel.caller_number, channel.caller_name
            )
        elif channel.id not in self.services.legs:
            log.info("channel nobody waits for", channel=channel.id)
            self._spawn(quietly(self.ari.channels.hangup(channel.id)))

    def _on_connected(self) -> None:
        self._connections += 1
        self._spawn(self._repair())

    def _on_disconnected(self) -> None:
        """Calls go on in Asterisk without us; their coroutines end here and are begun again by the repair."""
        self._repaired.clear()
        for task in self._call_tasks:
            task.cancel()
        self.services.legs.clear()  # a leg left over would hide its channel from the repair

    # ---------------------------------------------------------------------------------------------------- call tasks

    def _begin(self, channel_id: str, number: str, caller: str, caller_name: str) -> None:
        line = self.config.line(number) or self.config.lines[0]
        if line.number != number:
            log.warning("dialled number is not described, served as the first line", line=number)
        call = ActiveCall(
            id=uuid.uuid4().hex,
            leg=self.services.new_leg(channel_id),
            line=line,
            caller=parse_phone_number(caller),
            services=self.services,
        )
        self._start(call, self._first_steps(call, number[:40], caller_name))

    async def _first_steps(self, call: ActiveCall, number: str, caller_name: str) -> Outcome:
        async def identify_and_begin(session: AsyncSession) -> int | None:
            caller = call.caller.best()
            match = await identify_caller(session, caller)
            contact_id = match.contacts[0].id if len(match.contacts) == 1 else None
            await operations.begin_call(
                session,
                call_id=call.id,
                channel_id=call.leg.id,
                line=number,
                language=call.line.language,
                caller=caller,
                caller_name=_clean(caller_name),
                contact_id=contact_id,
                now=call.now(),
            )
            return contact_id

        call.contact_id = await self.services.database.run(identify_and_begin)
        return await inbound(call)

    def _start(self, call: ActiveCall, way: Coroutine[Any, Any, Outcome]) -> None:
        self.calls[call.id] = call
        task = self._spawn(self._run(call, way))
        self._call_tasks.add(task)
        task.add_done_callback(self._call_tasks.discard)

    async def _run(self, call: ActiveCall, way: Coroutine[Any, Any, Outcome]) -> None:
        """The boundary of one call: whatever happens inside, it ends here and no other call is touched.

        A call is forgotten last of all, however it ends: an open row that nobody holds is taken up again.
        """
        try:
            await self._live(call, way)
        finally:
            self._forget(call)
            for command in call.commands.take():
                command.done.cancel()

    async def _live(self, call: ActiveCall, way: Coroutine[Any, Any, Outcome]) -> None:
        with bound_contextvars(call=call.id):
            note = None
            try:
                outcome = await way
            except Hangup:
                outcome = call.outcome or repair.abandoned_in(call.phase)
            except AriConnectionError:
                log.warning("lost sight of a call: it goes on in Asterisk and is taken up again")
                self._spawn(self._look_again())
                return
            except Exception as error:
                log.exception("call failed", phase=call.phase)
                outcome, note = call.outcome or Outcome.FAILED, repr(error)[:500]
                if await self._hand_to_fallback(call):
                    outcome = Outcome.FALLBACK
            await self._finish(call, outcome, note)

    async def _finish(self, call: ActiveCall, outcome: Outcome, note: str | None) -> None:
        if outcome is not Outcome.FALLBACK:
            await quietly(call.leg.hang_up())
        await self.services.database.run(
            operations.end_call,
            call.id,
            outcome,
            note=note,
            wrap_up_seconds=call.queue_config.wrap_up_seconds,
            now=call.now(),
        )
        log.info("call ended", outcome=outcome)

    async def _hand_to_fallback(self, call: ActiveCall) -> bool:
        """Leave a call that we cannot serve to the dialplan, which records a message; False when it is gone."""
        if call.leg.gone.done():
            return False
        with suppress(AriError):
            await self.ari.channels.continue_in_dialplan(
                call.leg.id, context=FALLBACK_CONTEXT, extension=call.line.number, priority=1
            )
            return True
        return False

    def _forget(self, call: ActiveCall) -> None:
        self.calls.pop(call.id, None)
        for leg in (call.leg, *call.other_legs):
            self.services.drop_leg(leg)

    # -------------------------------------------------------------------------------------------------------- repair

    async def _repair(self) -> None:
        """Until it has succeeded no agent is rung, so it is tried again as long as this connection stands."""
        connection = self._connections
        while self.ari.connected and connection == self._connections:
            try:
                # a call that was cancelled is taken up again only once its coroutine has ended
                if ending := [task for task in self._call_tasks if task.cancelling()]:
                    await asyncio.wait(ending)
                await self.ari.applications.filter_events(self.asterisk.app, disallowed=UNUSED_EVENTS)
                await self.check_phones()
                await self.reconcile()
            except AriConnectionError as error:
                log.warning("repair interrupted, it begins again", error=str(error))
            except Exception:
                log.exception("repair failed, it begins again")
            else:
                self._repaired.set()
                self._decision_due.set()
                return
            await asyncio.sleep(REPAIR_PAUSE_SECONDS)

    async def reconcile(self) -> None:
        """Bring rows and channels together: open calls nobody serves go on or are closed, stray channels end.

        Runs at every (re)connect and once a minute, so that whatever was missed is put right.
        """
        if not self.ari.connected:
            return
        async with self._reconciling:
            open_rows = await self.services.database.read(queries.open_calls)
            found = await repair.Found.look(self.services)
            await repair.sweep(self.services, open_rows, found)
            for row in open_rows:
                if row.id not in self.calls:
                    await self._one_by_one(self._take_up(row.id, found), call=row.id)
            await self._begin_unseen(found)
            await self._file_leftovers()
        self._decision_due.set()

    @staticmethod
    async def _one_by_one(step: Coroutine[Any, Any, object], **about: str) -> None:
        """One thing of many to put right: when it fails, the others are put right all the same."""
        try:
            await step
        except AriConnectionError:
            raise
        except Exception:
            log.exception("could not be put right now, tried again later", **about)

    async def _look_again(self) -> None:
        """A request was not answered in time though the connection stands: no reconnect will bring its call back."""
        await asyncio.sleep(1)
        with suppress(AriConnectionError):
            await self.reconcile()

    async def _take_up(self, call_id: str, found: repair.Found) -> None:
        """Go on with a call that nobody serves, or close its row when its channel is gone."""
        row = await self.services.database.read(queries.call, call_id)
        if row is None or row.ended_at is not None:
            return  # it has ended since the rows were read
        call = self._recall(row)
        await repair.close_offers(call)
        way = repair.way_on(row, found)
        if way is not None:
            if way is repair.wait_again:
                await self.services.database.run(
                    operations.take_back,
                    row.id,
                    wrap_up_seconds=call.queue_config.wrap_up_seconds,
                    now=self.services.now(),
                )
            log.info("call taken up again", call=row.id, phase=row.phase)
            self._start(call, way(call))
        else:
            self._forget(call)
            await self._close_gone(call, row)

    async def _file_leftovers(self) -> None:
        """Messages whose call has ended but that were never filed (a crash in between): file them now."""
        for left in await self.services.database.read(messages_recording):
            row = await self.services.database.read(queries.call, left.call_id or "")
            if row is not None and row.ended_at is not None:
                await self._one_by_one(message.file_recorded(self.services, left), message=left.id)

    def _recall(self, row: Call) -> ActiveCall:
        call = ActiveCall(
            id=row.id,
            leg=self.services.new_leg(row.channel_id),
            line=self.config.line(row.line) or self.config.lines[0],
            caller=parse_phone_number(row.caller),
            services=self.services,
        )
        call.restore(row)
        return call

    async def _close_gone(self, call: ActiveCall, row: Call) -> None:
        """The caller hung up while nobody looked: keep what was recorded, close the row."""
        outcome = repair.outcome_of_gone(row)
        if row.bridge_id is not None:
            await quietly(self.ari.bridges.destroy(row.bridge_id))
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
            if channel_id in self.services.legs or channel_id.startswith(OURS):
                continue
            row = await self.services.database.read(queries.call_on_channel, channel_id)
            with suppress(NotFound):
                if row is None:
                    channel = await self.ari.channels.get(channel_id)
                    self._begin(channel.id, channel.extension, channel.caller_number, channel.caller_name)
                elif row.ended_at is not None and row.id not in self.calls:
                    await self.ari.channels.hangup(channel_id)  # its hangup was lost

    # -------------------------------------------------------------------------------------------------------- agents

    def _on_change(self, changes: frozenset[Change]) -> None:
        kinds = {change.kind for change in changes}
        if kinds & {operations.WAITING, operations.FREE_AGENT}:
            self._decision_due.set()
        if operations.DESK_OPENED in kinds:
            self._spawn(quietly(self.check_phones()))

    async def _decide(self) -> None:
        """The one place where calls and agents meet; woken whenever a call joins the line or an agent is free."""
        while True:
            await self._decision_due.wait()
            self._decision_due.clear()
            waiting = [call.id for call in self.calls.values() if call.phase is Phase.WAITING]
            if not waiting or not self._repaired.is_set():
                continue
            try:
                offers = await self.services.database.run(
                    operations.make_offers, waiting, self.config.queues, now=self.services.now()
                )
            except Exception:
                log.exception("no decision possible")
                await asyncio.sleep(1)
                self._decision_due.set()
                continue
            by_call: dict[str, list[Offer]] = {}
            for offer in offers:
                by_call.setdefault(offer.call_id, []).append(offer)
            for call_id, made in by_call.items():
                if call := self.calls.get(call_id):
                    call.offers.put(*made)

    async def tick(self) -> None:
        """Once a second: wrap-ups end, and a decision missed for any reason is made now."""
        await self.services.database.run(operations.finish_wrap_ups, now=self.services.now())
        if self.ari.connected:
            self._decision_due.set()

    async def check_phones(self) -> None:
        """Compare every agent's phone with what Asterisk knows of it; run by the clock, and when a page is opened.

        Subscribing to the phones instead would bring every event of every call a second time.
        """
        if not self.ari.connected:
            return
        online = {
            f"{endpoint.technology}/{endpoint.resource}"
            for endpoint in await self.ari.endpoints.list()
            if endpoint.state == "online"
        }
        for agent in await self.services.database.read(queries.agents):
            if agent.phone_reachable is not (agent.endpoint in online):
                await self.services.database.run(
                    operations.set_phone_reachable, agent.id, agent.endpoint in online, now=self.services.now()
                )

    # ------------------------------------------------------------------------------------------------------ fallback

    async def file_fallbacks(self) -> int:
        """File what the dialplan recorded while the service was down; returns how many."""
        settled = self.asterisk.fallback_settled_seconds
        recordings = await asyncio.to_thread(scan_fallback, self.asterisk.fallback, settled_seconds=settled)
        filed = 0
        for recording in recordings:
            try:
                await message.file_fallback(self.services, recording)
                filed += 1
            except Exception:
                # the others are filed all the same; this one is tried again next time
                log.exception("message of the dialplan not filed yet", recording=recording.unique_id)
        return filed

    # ------------------------------------------------------------------------------------------ steered from the desk

    async def hang_up(self, call_id: str) -> None:
        """End a talk. Raises CommandRefused when there is none."""
        await self._command(call_id, "hang_up")

    async def hold(self, call_id: str) -> None:
        """Give the caller music."""
        await self._command(call_id, "hold")

    async def unhold(self, call_id: str) -> None:
        """Go on talking."""
        await self._command(call_id, "unhold")

    async def blind_transfer(self, call_id: str, target: str) -> None:
        """Send the caller to `agent:<id>`, `queue:<name>` or `number:<digits>`; the agent is free at once."""
        await self._command(call_id, "blind_transfer", target)

    async def start_attended_transfer(self, call_id: str, target: str) -> None:
        """Call an agent or number and talk to them first, while the caller hears music."""
        await self._command(call_id, "start_attended_transfer", target)

    async def complete_transfer(self, call_id: str) -> None:
        """Hand the caller over to the one consulted."""
        await self._command(call_id, "complete_transfer")

    async def cancel_transfer(self, call_id: str) -> None:
        """Leave the one consulted and go back to the caller."""
        await self._command(call_id, "cancel_transfer")

    async def _command(self, call_id: str, name: str, target: str = "") -> None:
        call = self.calls.get(call_id)
        if call is None or call.phase is not Phase.TALKING:
            raise CommandRefused("that call is not being talked on")
        command = Command(name, target, asyncio.get_running_loop().create_future())
        call.commands.put(command)
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                await command.done
        except TimeoutError:
            raise CommandRefused("Asterisk does not answer: look at the call and try again") from None
        except asyncio.CancelledError as error:
            if command.done.cancelled():
                raise CommandRefused("the call has ended") from error
            raise

    # --------------------------------------------------------------------------------------------------------- tasks

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("task failed", error=repr(error), exc_info=error)

    async def _cancel_tasks(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _clean(name: str) -> str | None:
    """A caller's name as the network gave it, without control characters and cut to a sensible length."""
    return "".join(c for c in name if c.isprintable())[:120] or None


__all__ = ["AsteriskSettings", "Line", "Switchboard"]
