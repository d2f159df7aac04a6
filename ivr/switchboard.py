"""The switchboard: waiting calls go to free agents, the desk's commands to a talk."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any, Self

import structlog

from ivr import browser_phones, call_backs, leftovers, operations, queries
from ivr.application import Application
from ivr.applications import Applications
from ivr.ari import AriConnectionError
from ivr.config import CallsConfig
from ivr.errors import CommandRefused
from ivr.fax import scan_faxes
from ivr.flow import message
from ivr.flow.call import ActiveCall, Command, CommandName, Screen, Services, Transcripts
from ivr.flow.fax import file_fax
from ivr.flow.leg import Leg
from ivr.leases import RELEASED
from ivr.models import Offer, Phase
from ivr.prompts import Prompts
from ivr.settings import AsteriskSettings, node_of
from ivr.steering import ASKED, COMMAND_SECONDS, Asking, Obeying, phase_of
from ivr.tasks import Tasks
from ivr.watchdog import Watchdog
from schedules.pulse import Pulse
from tickets.alarms import Alarms
from tickets.attachments import AttachmentStore
from tickets.changes import Change
from tickets.database import Database
from tickets.notices import Notices
from tickets.promise_rules import PromiseSettings
from voicemail.audio import AudioStore
from voicemail.fallback import scan_fallback
from voicemail.room import Room

log = structlog.get_logger()

OWN_DECISION_SECONDS = 0.01
"""A decision of our own has been handed out so long after its changes were told."""
LONGEST_DECISION_SECONDS = 60.0
"""A decision is due each second; a database that is away holds one up for 20 s."""


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
        attachments: AttachmentStore,
        room: Room,
        transcripts: Transcripts | None,
        notices: Notices,
        alarms: Alarms,
        now: Callable[[], datetime],
        promises: PromiseSettings | None = None,
    ) -> None:
        self.asterisk, self.config, self.database, self.now = asterisk, config, database, now
        self._share = partial(
            _services,
            database=database,
            config=config,
            prompts=prompts,
            screen=screen,
            audio=audio,
            attachments=attachments,
            room=room,
            transcripts=transcripts,
            notices=notices,
            now=now,
            promises=promises or PromiseSettings(),
        )
        self._decision_due = asyncio.Event()
        self.pulse = Pulse(LONGEST_DECISION_SECONDS)
        """Of the decisions, without which nobody is rung."""
        self._watchdog = Watchdog(self._legs)
        self.applications = Applications(asterisk, config, self._application, database=database, alarms=alarms, now=now)
        self._asking = Asking(database, now)
        self._obeying = Obeying(database, self._obey, now)
        self._tasks = Tasks()
        self._stack = AsyncExitStack()

    def _application(self, name: str) -> Application:
        nodes = self.asterisk.served
        return Application(
            name,
            nodes[node_of(name)],
            nodes,
            self._share,
            self._decision_due.set,
            self._why_full,
            shares_calls=bool(self.asterisk.worker),
        )

    def _why_full(self) -> str | None:
        """Why this worker should take no more calls now; None when it may."""
        if self.applications.calls_in_hand >= self.asterisk.max_calls:
            return "as many calls as asterisk.max_calls allows"
        return self._watchdog.why_behind()

    def _legs(self) -> list[Leg]:
        """Every channel in this worker's hands."""
        return [leg for application in self.applications.all for leg in application.services.legs.values()]

    async def __aenter__(self) -> Self:
        """Connect to Asterisk and begin to take calls; does not wait for Asterisk to be there."""
        self._stack.push_async_callback(self.applications.leave)
        self._stack.callback(self.database.subscribe(self._on_change))
        self._stack.push_async_callback(self._tasks.end)
        self._stack.push_async_callback(self._obeying.end)
        self._tasks.spawn(self._decide())
        self._tasks.spawn(self._watchdog.run())
        await self.applications.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go: nobody is cut off, the next worker takes the calls over."""
        await self._stack.aclose()

    @property
    def in_service(self) -> bool:
        """Whether calls are taken and agents rung: connected to Asterisk, one at least of several, and repaired."""
        return self.applications.in_service

    @property
    def takes_calls(self) -> bool:
        """Whether new calls are taken: in service, and not leaving."""
        return self.in_service and not self.applications.draining

    async def ready(self) -> None:
        """Wait until in service."""
        ready = [asyncio.ensure_future(application.ready()) for application in self.applications.own]
        try:
            await asyncio.wait(ready, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in ready:
                task.cancel()

    def call(self, call_id: str) -> ActiveCall | None:
        """The call of that id; None when it is not in this worker's hands."""
        found = (application.calls.get(call_id) for application in self.applications.all)
        return next((call for call in found if call is not None), None)

    async def reconcile(self) -> None:
        """Bring rows and channels together once more, since something may have been missed."""
        for application in self.applications.all:
            await application.reconcile()
        self._decision_due.set()

    # ---------------------------------------------------------------------------------------------------- call backs

    async def begin_call_backs(self) -> None:
        """Make the calls that were asked for and that nobody has begun; a worker that leaves begins none."""
        if self.applications.draining:
            return
        serving = [one for one in self.applications.own if one.in_service]
        if not serving:
            return
        for due, node in await self.database.read(call_backs.due):
            at_phone = next((one for one in serving if one.node.name == node), serving[0])
            at_phone.calls.call_back(due)

    async def settle_call_backs(self) -> None:
        """End the attempts of which nobody said how they went; run by the clock."""
        await self.database.run(call_backs.settle, now=self.now())

    # -------------------------------------------------------------------------------------------------------- agents

    def _on_change(self, changes: frozenset[Change]) -> None:
        kinds = {change.kind for change in changes}
        if kinds & {operations.WAITING, operations.FREE_AGENT}:
            self._decision_due.set()
        if RELEASED in kinds:
            self._tasks.spawn(self.applications.beat())
        if operations.OFFERED in kinds and self.applications.others:
            self._tasks.spawn(self._hear_offers_of_others({str(c.id) for c in changes if c.kind == operations.OFFERED}))
        self._asking.hear(changes)
        if ASKED in kinds:
            self._tasks.spawn(self._obey_others())
        if call_backs.CALL_BACK_ASKED in kinds:
            self._tasks.spawn(self.begin_call_backs())
        if browser_phones.KEY_MADE in kinds:
            made = {change.id for change in changes if change.kind == browser_phones.KEY_MADE}
            self._tasks.spawn(self._tell_phone_keys(made))
        if operations.DESK_OPENED in kinds:
            self._tasks.spawn(self.check_phones())

    async def _decide(self) -> None:
        """The one place where calls and agents meet; woken whenever a call joins the line or an agent is free."""
        while True:
            await self._decision_due.wait()
            self._decision_due.clear()
            self.pulse.beat()
            serving = [application for application in self.applications.all if application.in_service]
            waiting = {call_id for application in serving for call_id in application.calls.waiting()}
            if not serving or not (waiting or self.applications.serving):
                continue
            try:
                offers = await self.database.run(
                    operations.make_offers,
                    waiting,
                    self.config.queues,
                    own=[application.name for application in serving],
                    others=self.applications.serving,
                    nodes={application.node.name for application in serving},
                    now=self.now(),
                )
                self._hand_out(offers)
            except Exception:
                log.exception("no decision possible")
                await asyncio.sleep(1)
                self._decision_due.set()

    def _hand_out(self, offers: Sequence[Offer]) -> None:
        """Give each call its offers, all of one decision at once."""
        by_call: dict[str, list[Offer]] = {}
        for offer in offers:
            by_call.setdefault(offer.call_id, []).append(offer)
        for call_id, made in by_call.items():
            # In any other phase the call rings those whom it was transferred to by itself.
            if (call := self.call(call_id)) and call.phase is Phase.WAITING:
                call.hear_offers(made)

    async def _hear_offers(self) -> None:
        """Offers that another worker made for calls in our hands."""
        self._hand_out(await self.database.read(queries.offers_unheard, self.applications.names))

    async def _hear_offers_of_others(self, call_ids: set[str]) -> None:
        """Look for offers of which a hint came; those of our own decisions are in the calls' hands by then."""
        await asyncio.sleep(OWN_DECISION_SECONDS)
        calls = [call for call_id in call_ids if (call := self.call(call_id)) is not None]
        if any(call.phase is Phase.WAITING and not call.other_legs for call in calls):
            await self._hear_offers()

    async def _obey_others(self) -> None:
        """Commands that came to another worker's desk for calls in our hands."""
        await self._obeying.look(self.applications.names)

    async def tick(self) -> None:
        """Once a second: wrap-ups end, and a decision missed for any reason is made now."""
        self._decision_due.set()  # also when what follows cannot be done
        await self.database.run(operations.finish_wrap_ups, now=self.now())
        await self.begin_call_backs()
        if self.applications.others:
            await self._hear_offers()
            await self._obey_others()

    async def _tell_phone_keys(self, agent_ids: set[int | str]) -> None:
        for application in self.applications.own:
            with suppress(AriConnectionError):  # told again with the next connection
                await application.tell_phone_keys(agent_ids)

    async def check_phones(self) -> None:
        """Compare every agent's phone with what Asterisk knows of it; run by the clock."""
        for application in self.applications.own:
            await application.check_phones()

    # ------------------------------------------------------------------------------------------------------ fallback

    async def file_fallbacks(self) -> int:
        """File the messages that the dialplan recorded while the service was down, and all faxes; returns how many."""
        settled, filed = self.asterisk.fallback_settled_seconds, 0
        # nodes that share a folder are looked at once
        for folder, services in {one.node.fallback: one.services for one in reversed(self.applications.own)}.items():
            for recording in await asyncio.to_thread(scan_fallback, folder, settled_seconds=settled):
                try:
                    await message.file_fallback(services, recording)
                    filed += 1
                except Exception:
                    # the others are filed all the same; this one is tried again next time
                    log.exception("message of the dialplan not filed yet", recording=recording.unique_id)
            for one in await asyncio.to_thread(scan_faxes, folder, settled_seconds=settled):
                try:
                    await file_fax(services, one)
                    filed += 1
                except Exception:
                    log.exception("fax not filed yet", fax=one.unique_id)
        return filed

    async def tidy_recordings(self) -> None:
        """Deal with recordings of ours in Asterisk's folder that belong to no call any more; run by the clock."""
        for services in {one.node.recordings: one.services for one in reversed(self.applications.own)}.values():
            await leftovers.tidy_recordings(services)

    # ------------------------------------------------------------------------------------------ steered from the desk

    async def command(self, call_id: str, name: CommandName, target: str = "") -> None:
        """Have a talk steered, also one that another worker serves. Raises CommandRefused when it is not possible."""
        if self.call(call_id) is None and self.applications.others:
            await self._asking.ask(call_id, name, target)
        else:
            await self._obey(call_id, name, target)

    async def _obey(self, call_id: str, name: CommandName, target: str) -> None:
        call = self.call(call_id)
        if call is None or call.phase is not phase_of(name):
            raise CommandRefused(f"that call is not {phase_of(name)} any more")
        if name == "move" and (call.other_legs or call.outbound):
            why = (
                "whom we call back keeps the place"
                if call.outbound
                else "an agent is being rung for that call just now"
            )
            raise CommandRefused(why)
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


def _services(application: Application, **shared: Any) -> Services:
    """What the calls of an application work with."""
    return Services(application.ari, application.name, recordings=application.node.recordings, **shared)
