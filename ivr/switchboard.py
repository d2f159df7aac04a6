"""The switchboard: waiting calls go to free agents, the desk's commands to a talk, a dead worker's calls to us."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Self

import structlog

from ivr import leftovers, operations, queries
from ivr.application import Application
from ivr.config import CallsConfig
from ivr.errors import CommandRefused
from ivr.flow import message
from ivr.flow.call import ActiveCall, Command, CommandName, Screen, Services, Transcripts
from ivr.flow.leg import Leg
from ivr.leases import PAGES, RELEASED, Leases
from ivr.models import Offer, Phase
from ivr.prompts import Prompts
from ivr.settings import AsteriskSettings
from ivr.steering import ASKED, COMMAND_SECONDS, Asking, Obeying
from ivr.tasks import Tasks
from ivr.watchdog import Watchdog
from schedules.pulse import Pulse
from tickets.alarms import Alarms
from tickets.changes import Change
from tickets.database import Database
from tickets.notices import Notices
from voicemail.audio import AudioStore
from voicemail.fallback import scan_fallback
from voicemail.room import Room

log = structlog.get_logger()

DRAIN_LOOK_SECONDS = 0.1
LONGEST_DECISION_SECONDS = 60.0
"""A decision is due each second; a database that is away holds one up for 20 s."""


class Switchboard:
    """All calls of one worker. Use as `async with`; calls that are under way when it closes stay up in Asterisk.

    A worker has its own Stasis application, and besides those of workers that died, until their calls have ended.
    """

    def __init__(
        self,
        asterisk: AsteriskSettings,
        config: CallsConfig,
        *,
        database: Database,
        prompts: Prompts,
        screen: Screen,
        audio: AudioStore,
        room: Room,
        transcripts: Transcripts | None,
        notices: Notices,
        alarms: Alarms,
        now: Callable[[], datetime],
    ) -> None:
        self.asterisk, self.config, self.database, self.now = asterisk, config, database, now
        self._share = partial(
            Services,
            database=database,
            config=config,
            prompts=prompts,
            screen=screen,
            audio=audio,
            room=room,
            recordings=asterisk.recordings,
            transcripts=transcripts,
            notices=notices,
            alarms=alarms,
            now=now,
        )
        self._decision_due = asyncio.Event()
        self.pulse = Pulse(LONGEST_DECISION_SECONDS)
        """Of the decisions, without which nobody is rung."""
        self._watchdog = Watchdog(self._legs)
        self.own = self._application(asterisk.own_app)
        self._adopted: dict[str, Application] = {}
        self._leases = Leases(database)
        self._one_beat = asyncio.Lock()
        self._taken_back = False
        self.draining = False
        """Whether this worker was told to stop, and takes no new calls."""
        self._others: frozenset[str] = frozenset()
        """Applications of other workers, and processes that serve pages, that are alive."""
        self._asking = Asking(database, now)
        self._obeying = Obeying(database, self._obey, now)
        self._tasks = Tasks()
        self._stack = AsyncExitStack()

    def _application(self, name: str) -> Application:
        return Application(name, self.asterisk, self._share, self._decision_due.set, self._why_full)

    def _why_full(self) -> str | None:
        """Why this worker should take no more calls now; None when it may."""
        if sum(len(application.calls) for application in self.applications) >= self.asterisk.max_calls:
            return "as many calls as asterisk.max_calls allows"
        return self._watchdog.why_behind()

    def _legs(self) -> list[Leg]:
        """Every channel in this worker's hands."""
        return [leg for application in self.applications for leg in application.services.legs.values()]

    async def __aenter__(self) -> Self:
        """Connect to Asterisk and begin to take calls; does not wait for Asterisk to be there."""
        await self._leases.claim(self.own.name)
        await self.database.run(operations.forget_desks, self.own.name)
        self._stack.push_async_callback(self._leave)
        self._stack.callback(self.database.subscribe(self._on_change))
        self._stack.push_async_callback(self._tasks.end)
        self._stack.push_async_callback(self._obeying.end)
        self._tasks.spawn(self._decide())
        self._tasks.spawn(self._watchdog.run())
        await self.own.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go: nobody is cut off, the next worker takes the calls over."""
        await self._stack.aclose()

    async def drain(self) -> None:
        """Take no new calls, and wait until those in hand may be handed over without their callers hearing it.

        Words are said to their end and a phone that rings is answered or given up, for `drain_seconds` at most. Alone,
        nobody would take the new calls meanwhile: then this returns at once.
        """
        self.draining = True
        for application in self.applications:
            application.takes_calls = False
        with suppress(TimeoutError):
            async with asyncio.timeout(self.asterisk.drain_seconds):
                while self._has_colleagues and not all(  # noqa: ASYNC110 - nobody tells
                    application.calls.settled() for application in self.applications
                ):
                    await asyncio.sleep(DRAIN_LOOK_SECONDS)

    @property
    def _has_colleagues(self) -> bool:
        """Whether another worker would take calls."""
        return any(not name.startswith(PAGES) for name in self._others)

    async def _leave(self) -> None:
        for application in self.applications:
            await application.close()
            await self._leases.release(application.name)

    @property
    def applications(self) -> list[Application]:
        """Those in this worker's hands, its own first."""
        return [self.own, *self._adopted.values()]

    @property
    def _names(self) -> list[str]:
        return [application.name for application in self.applications]

    @property
    def in_service(self) -> bool:
        """Whether calls are taken and agents rung: connected to Asterisk, and repaired."""
        return self.own.in_service

    @property
    def takes_calls(self) -> bool:
        """Whether new calls are taken: in service, and not leaving."""
        return self.in_service and self.own.takes_calls

    async def ready(self) -> None:
        """Wait until in service."""
        await self.own.ready()

    def call(self, call_id: str) -> ActiveCall | None:
        """The call of that id; None when it is not in this worker's hands."""
        found = (application.calls.get(call_id) for application in self.applications)
        return next((call for call in found if call is not None), None)

    # ------------------------------------------------------------------------------------------------- other workers

    async def beat(self) -> None:
        """Tell the other workers that this one is alive, and take over the calls of one that is not.

        Once a second, and whenever a worker leaves.
        """
        async with self._one_beat:
            held = await self._leases.beat()
            self._others = frozenset(held.others)
            for name in held.lost:
                await self._lose(name, doubled=name in held.doubled)
            for name in held.free:
                if name == self.own.name:  # whoever had the same name is gone
                    await self._leases.claim(name)
                    await self.own.open()
                elif name.startswith(PAGES):
                    await self._forget_pages(name)
                elif not self.draining:
                    await self._adopt(name)
            if self._taken_back and self.own.name not in held.lost:
                self._taken_back = False
                self.own.ari.resume()
            for application in [one for one in self._adopted.values() if one.in_service and not one.calls]:
                log.info("the calls of another worker have ended", app=application.name)
                await self._give_up(application)

    async def _adopt(self, name: str) -> None:
        if await self._leases.take_over(name):
            log.warning("taking over the calls of a worker that is gone", app=name)
            self._adopted[name] = application = self._application(name)
            application.takes_calls = False
            await self.database.run(operations.forget_desks, name)
            await application.open()

    async def _forget_pages(self, name: str) -> None:
        """A process that serves pages only is gone: there are no calls to take over."""
        if await self._leases.take_over(name):
            await self.database.run(operations.forget_desks, name)
            await self._leases.release(name)

    async def _lose(self, name: str, *, doubled: bool) -> None:
        """Another worker holds an application now: it took us for dead, or it is the one of that name, back again."""
        if (application := self._adopted.pop(name, None)) is not None:
            log.info("the worker is back, and has its calls again", app=name)
            await application.close()
        elif doubled:
            log.error("another worker of the same name is running: give each its own (asterisk.worker)", app=name)
            await self.own.close()
        else:
            log.warning("another worker took this one for dead: its calls are taken back", app=name)
            await self._leases.claim(name)
            # At the next beat: by then Asterisk has told us that the other one had connected, if it had.
            self._taken_back = True

    async def _give_up(self, application: Application) -> None:
        del self._adopted[application.name]
        await application.close()
        await self._leases.release(application.name)

    async def reconcile(self) -> None:
        """Bring rows and channels together once more, since something may have been missed."""
        for application in self.applications:
            await application.reconcile()
        self._decision_due.set()

    # -------------------------------------------------------------------------------------------------------- agents

    def _on_change(self, changes: frozenset[Change]) -> None:
        kinds = {change.kind for change in changes}
        if kinds & {operations.WAITING, operations.FREE_AGENT}:
            self._decision_due.set()
        if RELEASED in kinds:
            self._tasks.spawn(self.beat())
        self._asking.hear(changes)
        if ASKED in kinds:
            self._tasks.spawn(self._obey_others())
        if operations.DESK_OPENED in kinds:
            self._tasks.spawn(self.check_phones())

    async def _decide(self) -> None:
        """The one place where calls and agents meet; woken whenever a call joins the line or an agent is free."""
        while True:
            await self._decision_due.wait()
            self._decision_due.clear()
            self.pulse.beat()
            serving = [application for application in self.applications if application.in_service]
            waiting = [call_id for application in serving for call_id in application.calls.waiting()]
            if not serving or not (waiting or self._others):
                continue
            try:
                offers = await self.database.run(
                    operations.make_offers, waiting, self.config.queues, others=self._others, now=self.now()
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
        self._hand_out(await self.database.read(queries.offers_unheard, self._names))

    async def _obey_others(self) -> None:
        """Commands that came to another worker's desk for calls in our hands."""
        await self._obeying.look(self._names)

    async def tick(self) -> None:
        """Once a second: wrap-ups end, and a decision missed for any reason is made now."""
        await self.database.run(operations.finish_wrap_ups, now=self.now())
        if self._others:
            await self._hear_offers()
            await self._obey_others()
        self._decision_due.set()

    async def check_phones(self) -> None:
        """Compare every agent's phone with what Asterisk knows of it; run by the clock."""
        await self.own.check_phones()

    # ------------------------------------------------------------------------------------------------------ fallback

    async def file_fallbacks(self) -> int:
        """File what the dialplan recorded while the service was down; returns how many."""
        settled = self.asterisk.fallback_settled_seconds
        recordings = await asyncio.to_thread(scan_fallback, self.asterisk.fallback, settled_seconds=settled)
        filed = 0
        for recording in recordings:
            try:
                await message.file_fallback(self.own.services, recording)
                filed += 1
            except Exception:
                # the others are filed all the same; this one is tried again next time
                log.exception("message of the dialplan not filed yet", recording=recording.unique_id)
        return filed

    async def tidy_recordings(self) -> None:
        """Deal with recordings of ours in Asterisk's folder that belong to no call any more; run by the clock."""
        await leftovers.tidy_recordings(self.own.services)

    # ------------------------------------------------------------------------------------------ steered from the desk

    async def command(self, call_id: str, name: CommandName, target: str = "") -> None:
        """Have a talk steered, also one that another worker serves. Raises CommandRefused when it is not possible."""
        if self.call(call_id) is None and self._others:
            await self._asking.ask(call_id, name, target)
        else:
            await self._obey(call_id, name, target)

    async def _obey(self, call_id: str, name: CommandName, target: str) -> None:
        call = self.call(call_id)
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
