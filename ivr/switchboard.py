"""The switchboard: waiting calls go to free agents, the desk's commands to a talk, a dead worker's calls to us."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any, Self

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
from ivr.nodes import Nodes
from ivr.prompts import Prompts
from ivr.settings import AsteriskSettings, node_of, stasis_app_of
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

    A worker has its own Stasis application at every Asterisk, and besides those of workers that died, until their calls
    have ended.
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
        self._alarms = alarms
        self._nodes = Nodes(database, asterisk.served, asterisk.lost_seconds)
        self._lost: set[str] = set()
        """Asterisks whose loss was dealt with."""
        self._well: set[str] = set()
        """Those of which no alarm is open."""
        self._share = partial(
            _services,
            database=database,
            config=config,
            prompts=prompts,
            screen=screen,
            audio=audio,
            room=room,
            transcripts=transcripts,
            notices=notices,
            alarms=alarms,
            now=now,
        )
        self._decision_due = asyncio.Event()
        self.pulse = Pulse(LONGEST_DECISION_SECONDS)
        """Of the decisions, without which nobody is rung."""
        self._watchdog = Watchdog(self._legs)
        self.own = [self._application(node.app(asterisk.own_app)) for node in asterisk.served.values()]
        """At each Asterisk one."""
        self._adopted: dict[str, Application] = {}
        self._leases = Leases(database)
        self._one_beat = asyncio.Lock()
        self._taken_back: set[str] = set()
        self.draining = False
        """Whether this worker was told to stop, and takes no new calls."""
        self._others: frozenset[str] = frozenset()
        """Applications of other workers, and processes that serve pages, that are alive."""
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
        if sum(len(application.calls) for application in self.applications) >= self.asterisk.max_calls:
            return "as many calls as asterisk.max_calls allows"
        return self._watchdog.why_behind()

    def _legs(self) -> list[Leg]:
        """Every channel in this worker's hands."""
        return [leg for application in self.applications for leg in application.services.legs.values()]

    async def __aenter__(self) -> Self:
        """Connect to Asterisk and begin to take calls; does not wait for Asterisk to be there."""
        for application in self.own:
            await self._leases.claim(application.name)
        await self.database.run(operations.forget_desks, self.asterisk.own_app)
        self._stack.push_async_callback(self._leave)
        self._stack.callback(self.database.subscribe(self._on_change))
        self._stack.push_async_callback(self._tasks.end)
        self._stack.push_async_callback(self._obeying.end)
        self._tasks.spawn(self._decide())
        self._tasks.spawn(self._watchdog.run())
        for application in self.own:
            await application.open()
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
        return [*self.own, *self._adopted.values()]

    @property
    def _names(self) -> list[str]:
        return [application.name for application in self.applications]

    @property
    def in_service(self) -> bool:
        """Whether calls are taken and agents rung: connected to Asterisk, one at least of several, and repaired."""
        return any(application.in_service for application in self.own)

    @property
    def takes_calls(self) -> bool:
        """Whether new calls are taken: in service, and not leaving."""
        return not self.draining and self.in_service

    async def ready(self) -> None:
        """Wait until in service."""
        ready = [asyncio.ensure_future(application.ready()) for application in self.own]
        try:
            await asyncio.wait(ready, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in ready:
                task.cancel()

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
            self._others = frozenset(
                name for name in held.others if name.startswith(PAGES) or node_of(name) in self._reached
            )
            for name in held.lost:
                await self._lose(name, doubled=name in held.doubled)
            own = {application.name: application for application in self.own}
            for name in held.free:
                if name in own:  # whoever had the same name is gone
                    await self._leases.claim(name)
                    await own[name].open()
                elif name.startswith(PAGES):
                    await self._forget_pages(name)
                elif not self.draining and node_of(name) in self.asterisk.served:
                    await self._adopt(name)
            for name in self._taken_back - held.lost:
                self._taken_back.discard(name)
                own[name].ari.resume()
            for application in [one for one in self._adopted.values() if one.in_service and not one.calls]:
                log.info("the calls of another worker have ended", app=application.name)
                await self._give_up(application)
            await self._watch_nodes()

    @property
    def _reached(self) -> set[str]:
        """The Asterisks that this worker is connected with."""
        return {application.node.name for application in self.applications if application.ari.connected}

    async def _watch_nodes(self) -> None:
        """Close what a lost Asterisk carried: a caller is gone, and an agent must not seem to talk for ever."""
        reached = self._reached
        lost = await self._nodes.beat(reached)
        for node in lost - self._lost:
            what = f"Asterisk {node}" if node else "Asterisk"
            why = f"{what} was not reached for {self.asterisk.lost_seconds:g} s"
            closed = await self.database.run(operations.lose_node, node, self.config.queues, note=why, now=self.now())
            if closed:
                log.warning("calls lost with their Asterisk", node=node, calls=closed)
            self._lost.add(node)
            if node in self.asterisk.served:  # and not one that the site has given up
                words = f"{why}: its calls count as lost, phones registered there are not rung. See whether it runs."
                await self._alarms.sound("node_lost", words, node)
        self._lost &= lost
        for node in reached - lost - self._well:
            await self._alarms.end("node_lost", node)
        self._well = reached - lost

    async def _adopt(self, name: str) -> None:
        if await self._leases.take_over(name):
            log.warning("taking over the calls of a worker that is gone", app=name)
            self._adopted[name] = application = self._application(name)
            application.takes_calls = False
            await self.database.run(operations.forget_desks, stasis_app_of(name))
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
            await next(application for application in self.own if application.name == name).close()
        else:
            log.warning("another worker took this one for dead: its calls are taken back", app=name)
            await self._leases.claim(name)
            # At the next beat: by then Asterisk has told us that the other one had connected, if it had.
            self._taken_back.add(name)

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
                    operations.make_offers,
                    waiting,
                    self.config.queues,
                    others=self._others,
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
        for application in self.own:
            await application.check_phones()

    # ------------------------------------------------------------------------------------------------------ fallback

    async def file_fallbacks(self) -> int:
        """File what the dialplan recorded while the service was down; returns how many."""
        settled, filed = self.asterisk.fallback_settled_seconds, 0
        # nodes that share a folder are looked at once
        for folder, services in {one.node.fallback: one.services for one in reversed(self.own)}.items():
            for recording in await asyncio.to_thread(scan_fallback, folder, settled_seconds=settled):
                try:
                    await message.file_fallback(services, recording)
                    filed += 1
                except Exception:
                    # the others are filed all the same; this one is tried again next time
                    log.exception("message of the dialplan not filed yet", recording=recording.unique_id)
        return filed

    async def tidy_recordings(self) -> None:
        """Deal with recordings of ours in Asterisk's folder that belong to no call any more; run by the clock."""
        for services in {one.node.recordings: one.services for one in reversed(self.own)}.values():
            await leftovers.tidy_recordings(services)

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


def _services(application: Application, **shared: Any) -> Services:
    """What the calls of an application work with."""
    return Services(application.ari, application.name, recordings=application.node.recordings, **shared)
