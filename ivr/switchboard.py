"""The switchboard: Asterisk's events go to the calls, waiting calls to free agents, the desk's commands to a talk."""

import asyncio
import re
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Annotated, Self
from urllib.parse import urlsplit

import structlog
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from ivr import operations, queries
from ivr.ari import Ari, AriConnectionError, Event, StasisStart
from ivr.calls_in_hand import CallsInHand
from ivr.config import CallsConfig
from ivr.errors import CommandRefused
from ivr.flow import message
from ivr.flow.call import Command, Screen, Services, Transcripts
from ivr.flow.talk import quietly
from ivr.models import Offer, Phase
from ivr.prompts import Prompts
from ivr.reconciler import Reconciler
from ivr.tasks import Tasks
from tickets.database import Change, Database
from tickets.notices import Notices
from voicemail.audio import AudioStore
from voicemail.fallback import SETTLED_SECONDS, scan_fallback
from voicemail.transcription import Folder

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


def _check_url(url: str) -> str:
    # The address is not repeated in the error: somebody may have written a password into it.
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 80) > 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("is no address of a web server: write it as http://127.0.0.1:8088")
    return url


def _check_name(name: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}", name) is None:
        raise ValueError(f"{name!r} is no name for Asterisk: letters, digits, _ and -, 40 at most")
    return name


def _check_password(password: SecretStr) -> SecretStr:
    if password.get_secret_value() in ("", "changeme", "secret", "password"):
        raise ValueError("choose a password of your own (the same as in Asterisk's ari.conf)")
    return password


AsteriskName = Annotated[str, AfterValidator(_check_name)]


class AsteriskSettings(BaseModel):
    """Where Asterisk is. The folders are as this service sees them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: Annotated[str, AfterValidator(_check_url)] = "http://127.0.0.1:8088"
    username: AsteriskName = "centralino"
    password: Annotated[SecretStr, AfterValidator(_check_password)]
    app: AsteriskName = "centralino"
    """Name of the Stasis application."""
    recordings: Folder = Path("/var/spool/asterisk/recording")
    fallback: Folder = Path("/var/spool/asterisk/centralino-fallback")
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
        self._tasks = Tasks()
        self.calls = CallsInHand(self.services, on_lost_sight=lambda: self._tasks.spawn(self._look_again()))
        self._reconciler = Reconciler(self.calls)
        self._decision_due = asyncio.Event()
        self._repaired = asyncio.Event()
        self._connections = 0
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Connect to Asterisk and begin to take calls; does not wait for Asterisk to be there."""
        await self.services.database.run(operations.forget_desks)
        self._stack.callback(self.services.database.subscribe(self._on_change))
        self._stack.push_async_callback(self.calls.leave)
        self._stack.push_async_callback(self._tasks.end)
        self._tasks.spawn(self._decide())
        await self._stack.enter_async_context(self.ari)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go: nobody is cut off, the next worker takes the calls over."""
        await self._stack.aclose()

    @property
    def in_service(self) -> bool:
        """Whether calls are taken and agents rung: connected to Asterisk, and repaired."""
        return self.ari.connected and self._repaired.is_set()

    async def ready(self) -> None:
        """Wait until in service."""
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
            number = event.args[1] if len(event.args) > 1 else ""
            self.calls.begin(channel.id, number, channel.caller_number, channel.caller_name)
        elif channel.id not in self.services.legs:
            log.info("channel nobody waits for", channel=channel.id)
            self._tasks.spawn(quietly(self.ari.channels.hangup(channel.id)))

    def _on_connected(self) -> None:
        self._connections += 1
        self._tasks.spawn(self._repair())

    def _on_disconnected(self) -> None:
        """Calls go on in Asterisk without us; their coroutines end here and are begun again by the repair."""
        self._repaired.clear()
        self.calls.interrupt()

    # -------------------------------------------------------------------------------------------------------- repair

    async def _repair(self) -> None:
        """Until it has succeeded no agent is rung, so it is tried again as long as this connection stands."""
        connection = self._connections
        while self.ari.connected and connection == self._connections:
            try:
                await self.calls.interrupted()
                await self.ari.applications.filter_events(self.asterisk.app, disallowed=UNUSED_EVENTS)
                await self.check_phones()
                await self.reconcile()
            except AriConnectionError as error:
                log.warning("repair interrupted, it begins again", error=str(error))
            except Exception:
                log.exception("repair failed, it begins again")
            else:
                if self.ari.connected and connection == self._connections:
                    self._repaired.set()
                    self._decision_due.set()
                return
            await asyncio.sleep(REPAIR_PAUSE_SECONDS)

    async def reconcile(self) -> None:
        """Bring rows and channels together: at every (re)connect, and once a minute since something may be missed.

        Raises AriConnectionError when Asterisk is lost meanwhile.
        """
        if self.ari.connected:
            await self._reconciler.reconcile()
            self._decision_due.set()

    async def _look_again(self) -> None:
        """A request was not answered in time though the connection stands: no reconnect will bring its call back."""
        await asyncio.sleep(REPAIR_PAUSE_SECONDS)
        with suppress(AriConnectionError):
            await self.reconcile()

    # -------------------------------------------------------------------------------------------------------- agents

    def _on_change(self, changes: frozenset[Change]) -> None:
        kinds = {change.kind for change in changes}
        if kinds & {operations.WAITING, operations.FREE_AGENT}:
            self._decision_due.set()
        if operations.DESK_OPENED in kinds:
            self._tasks.spawn(quietly(self.check_phones()))

    async def _decide(self) -> None:
        """The one place where calls and agents meet; woken whenever a call joins the line or an agent is free."""
        while True:
            await self._decision_due.wait()
            self._decision_due.clear()
            waiting = self.calls.waiting()
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
        for phone, reachable in (await self.services.database.read(queries.phones)).items():
            if reachable is not (phone in online):
                await self.services.database.run(
                    operations.set_phone_reachable, phone, phone in online, now=self.services.now()
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
