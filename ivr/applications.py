"""The Stasis applications in a worker's hands: its own, and those of workers that are gone, until their calls ended."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial

import structlog

from ivr import operations
from ivr.application import Application
from ivr.config import CallsConfig
from ivr.leases import PAGES, Leases
from ivr.nodes import Nodes
from ivr.settings import AsteriskSettings, node_of, stasis_app_of
from ivr.tasks import Tasks
from tickets.alarms import Alarms, Words
from tickets.database import Database

log = structlog.get_logger()

DRAIN_LOOK_SECONDS = 0.1

Step = Callable[[], Awaitable[None]]


class Applications:
    """Opens and closes applications as their leases ask. Call `beat` every `ivr.leases.BEAT_SECONDS`.

    `make` makes an application of a name; it is opened here.
    """

    def __init__(
        self,
        asterisk: AsteriskSettings,
        config: CallsConfig,
        make: Callable[[str], Application],
        *,
        database: Database,
        alarms: Alarms,
        now: Callable[[], datetime],
    ) -> None:
        self.asterisk, self.config, self._make = asterisk, config, make
        self.database, self._alarms, self.now = database, alarms, now
        self.own = [make(node.app(asterisk.own_app)) for node in asterisk.served.values()]
        """At each Asterisk one."""
        self._adopted: dict[str, Application] = {}
        self._leases = Leases(database)
        self._nodes = Nodes(database, asterisk.served, asterisk.lost_seconds)
        self._lost_nodes: set[str] = set()
        """Asterisks whose loss was dealt with."""
        self._well: set[str] = set()
        """Those of which no alarm is open."""
        self.draining = False
        """Whether this worker was told to stop, and takes no new calls."""
        self.others: frozenset[str] = frozenset()
        """Applications of other workers that are alive, and processes that serve pages."""
        self.serving: frozenset[str] = frozenset()
        """Those of them whose worker serves calls: only there an offer is heard."""
        self._colleagues = False
        self._acting = asyncio.Lock()
        self._tasks = Tasks()

    @property
    def all(self) -> list[Application]:
        """Those in this worker's hands, its own first."""
        return [*self.own, *self._adopted.values()]

    @property
    def names(self) -> list[str]:
        """As rows and leases name them."""
        return [application.name for application in self.all]

    @property
    def calls_in_hand(self) -> int:
        """How many calls are served."""
        return sum(len(application.calls) for application in self.all)

    @property
    def in_service(self) -> bool:
        """Whether calls are taken and agents rung: connected to Asterisk, one at least of several, and repaired."""
        return any(application.in_service for application in self.own)

    async def open(self) -> None:
        """Hold the own ones and connect; does not wait for Asterisk to be there."""
        await self.database.run(operations.name_calls, self.own[0].name)
        await self.database.run(operations.forget_desks, self.asterisk.own_app)
        for application in self.own:
            await self._leases.claim(application.name)
            await application.open()

    async def leave(self) -> None:
        """Let go of all: their calls stay up in Asterisk, and other workers take them over."""
        await self._tasks.end()
        for application in self.all:
            await application.close()
            await self._leases.release(application.name)
        await self.database.run(operations.forget_desks, self.asterisk.own_app)

    async def drain(self) -> None:
        """Take no new calls, and wait until those in hand may be handed over without their callers hearing it.

        Words are said to their end and a phone that rings is answered or given up, for `drain_seconds` at most. Where
        no other worker takes calls, this returns at once: callers are better served by the next start.
        """
        self.draining = True
        for application in self.all:
            application.takes_calls = False
        with suppress(TimeoutError):
            async with asyncio.timeout(self.asterisk.drain_seconds):
                while self._colleagues and not all(  # noqa: ASYNC110 - nobody tells
                    application.calls.settled() for application in self.all
                ):
                    await asyncio.sleep(DRAIN_LOOK_SECONDS)

    # ---------------------------------------------------------------------------------------------------- each second

    async def beat(self) -> None:
        """Tell the other workers that this one is alive, and see which of them are.

        What follows from it is done beside: it may wait for a database or an Asterisk, and the next beat must not.
        """
        takes_calls = {one.name for one in self.own if one.in_service and not self.draining}
        held = await self._leases.beat(takes_calls=takes_calls)
        reached = self._reached
        self.others = frozenset(name for name in held.others if name.startswith(PAGES) or node_of(name) in reached)
        self.serving = frozenset(name for name in held.serving if node_of(name) in reached)
        self._colleagues = bool(held.serving)
        if self._acting.locked():
            return
        own = {application.name: application for application in self.own}
        steps: list[Step] = [partial(self._lose, name, doubled=name in held.doubled) for name in held.lost]
        nobodys = own.keys() - held.mine - held.others  # as when one of the same name has come and gone
        for name in (held.free | nobodys) - held.lost:
            if name in own:  # whoever had the same name is gone
                steps.append(partial(self._take_back, own[name]))
            elif name.startswith(PAGES):
                steps.append(partial(self._forget_pages, name))
            elif not self.draining and node_of(name) in self.asterisk.served:
                steps.append(partial(self._adopt, name))
        for name in held.mine:
            if name.startswith(PAGES):
                steps.append(partial(self._end_pages, name))
            elif (application := own.get(name) or self._adopted.get(name)) is None:
                steps.append(partial(self._open_adopted, name))
            elif self.database.shared and application.ari.stepped_down:
                application.ari.resume()
        over = [one for one in self._adopted.values() if one.in_service and not one.calls]
        steps += [partial(self._give_up, one) for one in over]
        self._tasks.spawn(self._act([*steps, self._watch_nodes]))

    async def _act(self, steps: Sequence[Step]) -> None:
        """One after the other; one that fails stops no other, and is due again at the next beat."""
        if self._acting.locked():
            return  # what a beat beside has found is under way
        async with self._acting:
            for step in steps:
                try:
                    await step()
                except Exception:
                    log.exception("not done about an application, tried again")

    async def _adopt(self, name: str) -> None:
        if await self._leases.take_over(name):
            log.warning("taking over the calls of a worker that is gone", app=name)
            await self._open_adopted(name)

    async def _open_adopted(self, name: str) -> None:
        self._adopted[name] = application = self._make(name)
        application.takes_calls = False
        await application.open()
        await self.database.run(operations.forget_desks, stasis_app_of(name))

    async def _take_back(self, application: Application) -> None:
        await self._leases.claim(application.name)
        await application.open()

    async def _forget_pages(self, name: str) -> None:
        """A process that serves pages only is gone: there are no calls to take over."""
        if await self._leases.take_over(name):
            await self._end_pages(name)

    async def _end_pages(self, name: str) -> None:
        await self.database.run(operations.forget_desks, name)
        await self._leases.drop(name)

    async def _lose(self, name: str, *, doubled: bool) -> None:
        """Another worker holds an application now: it took us for dead, or it is the one of that name, back again."""
        if (application := self._adopted.pop(name, None)) is not None:
            log.info("the worker is back, and has its calls again", app=name)
            await application.close()
            self._leases.forget(name)
        elif (own := next((one for one in self.own if one.name == name), None)) is None:
            self._leases.forget(name)  # given up this moment
        elif doubled:
            log.error("another worker of the same name is running: give each its own (asterisk.worker)", app=name)
            await own.close()
            self._leases.forget(name)
        else:
            log.warning("another worker took this one for dead: its calls are taken back", app=name)
            await self._leases.claim(name)

    async def _give_up(self, application: Application) -> None:
        log.info("the calls of another worker have ended", app=application.name)
        del self._adopted[application.name]
        await application.close()
        await self._leases.drop(application.name)

    # ---------------------------------------------------------------------------------------------------------- nodes

    @property
    def _reached(self) -> set[str]:
        """The Asterisks that this worker is connected with."""
        return {application.node.name for application in self.all if application.ari.connected}

    async def _watch_nodes(self) -> None:
        """Close what a lost Asterisk carried: a caller is gone, and an agent must not seem to talk for ever."""
        reached = self._reached
        lost = await self._nodes.beat(reached)
        for node in lost - self._lost_nodes:
            what = f"Asterisk {node}" if node else "Asterisk"
            why = f"{what} was not reached for {self.asterisk.lost_seconds:g} s"
            closed = await self.database.run(operations.lose_node, node, self.config.queues, note=why, now=self.now())
            if closed:
                log.warning("calls lost with their Asterisk", node=node, calls=closed)
            self._lost_nodes.add(node)
            if node in self.asterisk.served:  # and not one that the site has given up
                words = Words(
                    it=f"{what} non si raggiunge da {self.asterisk.lost_seconds:g} s: le sue chiamate contano come "
                    "perse, i telefoni registrati lì non squillano. Guarda se è in funzione.",
                    en=f"{why}: its calls count as lost, phones registered there are not rung. See whether it runs.",
                )
                await self._alarms.sound("node_lost", words, node)
        self._lost_nodes &= lost
        for node in reached - lost - self._well:
            await self._alarms.end("node_lost", node)
        self._well = reached - lost
