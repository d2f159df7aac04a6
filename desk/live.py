"""Live pages: each browser gets a snapshot, then numbered events.

A page holds eight lists: `agents`, `waiting`, `messages`, `requests`, `pops`, `missed`, `closures`, and `alarms` (for
supervisors only). An
event carries one item of one list as it is now, or null when it is no longer on the list, so that events may be
merged: a browser that reads slowly has at most one unsent event per item, and one with too many of them gets a new
snapshot instead. Numbers count per connection; a page that misses one asks for a snapshot (`{"type": "resync"}`). One
websocket message is a JSON array of all that is due.

Changes of the database are heard through `Database.subscribe`. One task works them off: a burst is looked at once.
"""

import asyncio
import contextlib
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, Self

import orjson
import structlog
from pydantic import BaseModel
from sqlalchemy.orm import Session
from starlette.websockets import WebSocketDisconnect

from desk import queries
from desk.models import LOG_INS, Role
from desk.operations import note_use
from desk.pages import version
from desk.queries import Who
from desk.settings import DeskSettings
from desk.views import LabelView, Me, Own, Shared
from ivr.config import CallsConfig
from ivr.operations import TO_DO, set_desk_connected
from ivr.site import CLOSURE
from ivr.tasks import Tasks, ended
from tickets.changes import MISSED, Change
from tickets.database import Database, announce

log = structlog.get_logger()

MAX_UNSENT = 200
"""A browser with more unsent events than this gets a snapshot instead."""
BURST_SECONDS = 0.05
"""Changes of a moment are told together; a pop does not wait for them."""
POP_DUE, POP_SHOWN = "pop_due", "pop_shown"
"""Changes between workers: a call is to be shown by another one, and it is shown."""
POP_PATIENCE = 0.2
"""Seconds that `Live.pop` waits at most for the agent's browsers, since the phone rings only afterwards."""

Key = tuple[str, int | str]


class Now(Protocol):
    """A clock: gives the aware UTC time."""

    def __call__(self) -> datetime:
        """The time now."""


class Socket(Protocol):
    """As much of a websocket as a live page needs (Starlette's has it)."""

    async def send_text(self, data: str) -> None:
        """Send one message; waits while the browser does not read."""

    async def receive_text(self) -> str:
        """The next message; raises when the browser is gone."""

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        """Close the connection."""


class _Browser:
    """One connection: what is not sent yet, and the task that sends it."""

    def __init__(self, socket: Socket, who: Who) -> None:
        self.socket = socket
        self.who = who
        self.seq = 0
        self.stale = True
        """A snapshot is due; events until it is begun are part of it."""
        self.pong = False
        self.acknowledges = False
        """It tells when a call is on its screen."""
        self.shown: dict[str, asyncio.Future[None]] = {}
        """Calls that it is to have on its screen."""
        self.unsent: dict[Key, bytes | None] = {}
        self.wake = asyncio.Event()
        self.flushed: list[asyncio.Future[None]] = []
        self.wake.set()

    def put(self, topic: str, item_id: int | str, item: bytes | None) -> None:
        """Note an item to send, in place of an older state of it."""
        if self.stale:
            return
        self.unsent[topic, item_id] = item
        if len(self.unsent) > MAX_UNSENT:
            self.resync()
        self.wake.set()

    def resync(self) -> None:
        """Send a snapshot next, in place of everything unsent."""
        self.stale = True
        self.unsent.clear()
        self.wake.set()

    def when_flushed(self) -> asyncio.Future[None]:
        """Done when all that is noted so far is written."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.flushed.append(future)
        self.wake.set()
        return future

    async def when_shown(self, call_id: str) -> None:
        """Wait until the page says that it has painted a call, where it does say so."""
        if not self.acknowledges:
            return
        try:
            await self.shown.setdefault(call_id, asyncio.get_running_loop().create_future())
        finally:
            self.shown.pop(call_id, None)

    def numbered(self, kind: str, data: Any) -> orjson.Fragment:
        """The next message."""
        self.seq += 1
        return orjson.Fragment(orjson.dumps({"type": kind, "seq": self.seq, "data": data}))


@dataclass(slots=True)
class _News:
    """What is to be told: items of every page's lists, and pops of one agent's; as JSON, None for what is gone."""

    items: list[tuple[str, int | str, bytes | None]] = field(default_factory=list)
    pops: list[tuple[int, str, bytes | None]] = field(default_factory=list)
    alarms: list[tuple[int, bytes | None]] = field(default_factory=list)
    """For supervisors."""

    def note(self, topic: str, ids: Iterable[int | str], found: Mapping[Any, BaseModel]) -> None:
        """Note what became of the items with these ids."""
        self.items += [(topic, item_id, _json(found[item_id]) if item_id in found else None) for item_id in ids]


class Live:
    """All connected browsers. Use as an async context manager, around the time they are served."""

    def __init__(
        self,
        database: Database,
        calls: CallsConfig,
        settings: DeskSettings,
        *,
        worker: str,
        timezone: str,
        now: Now,
    ) -> None:
        self.database = database
        self.calls = calls
        self.settings = settings
        self.worker = worker
        self.timezone = timezone
        self.now = now
        self._browsers: set[_Browser] = set()
        self._changes: set[Change] = set()
        self._changed = asyncio.Event()
        self._popping = 0
        self._calm = asyncio.Event()
        self._calm.set()
        self._leaving: dict[int, asyncio.Task[None]] = {}
        self._tasks = Tasks()
        self._reading = asyncio.Lock()
        self._next_reading: asyncio.Task[bytes] | None = None
        self._elsewhere: dict[str, asyncio.Future[None]] = {}
        """Pops that another worker is asked to show, by agent and call."""
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Begin to listen to changes."""
        self._stack.callback(self.database.subscribe(self._hear))
        task = asyncio.create_task(self._work(), name="desk live events")
        self._stack.push_async_callback(ended, task)
        self._stack.push_async_callback(self._tasks.end)
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Close every browser's connection and stop."""
        for browser in tuple(self._browsers):
            await _close(browser.socket, 1012)  # "service restart": pages come back by themselves
        await self._stack.aclose()
        for leaving in tuple(self._leaving.values()):
            await ended(leaving)

    @property
    def connected(self) -> int:
        """How many browsers are connected."""
        return len(self._browsers)

    # ------------------------------------------------------------------------------------------------ a browser

    async def serve(self, socket: Socket, who: Who) -> None:
        """Serve one accepted websocket until the browser leaves or the log-in is over.

        Raises whatever the socket raises when it is gone.
        """
        browser = _Browser(socket, who)
        self._browsers.add(browser)
        writer = asyncio.create_task(self._write(browser), name="desk browser")
        try:
            await self._arrived(who.me.agent_id)
            async with asyncio.timeout((who.expires_at - self.now()).total_seconds()):
                while True:
                    self._received(browser, await socket.receive_text())
        except TimeoutError:
            await _close(socket, 4401)
        finally:
            self._browsers.discard(browser)
            for waiting in (*browser.flushed, *browser.shown.values()):
                waiting.cancel()
            await ended(writer)
            self._left(who.me.agent_id)

    def resync(self) -> None:
        """Have every page get a snapshot next."""
        for browser in self._browsers:
            browser.resync()

    async def close_session(self, token_sha256: str) -> None:
        """Close the pages of a log-in that has ended."""
        for browser in tuple(self._browsers):
            if browser.who.token_sha256 == token_sha256:
                await _close(browser.socket, 4401)

    async def close_ended(self) -> None:
        """Close the pages whose log-in has ended elsewhere, and note that the others are in use; run by the clock.

        Also when it is told that log-ins ended, such as by a new password.
        """
        if not self._browsers:
            return
        tokens, now = {browser.who.token_sha256 for browser in self._browsers}, self.now()
        found = await self.database.read(queries.sessions_among, tokens, now=now)
        for over in tokens - found.keys():
            await self.close_session(over)
        if in_use := [token for token, to_be_noted in found.items() if to_be_noted]:
            await self.database.run(note_use, in_use, now=now)

    def _received(self, browser: _Browser, text: str) -> None:
        try:
            message = orjson.loads(text)
            kind, id_ = message.get("type"), str(message.get("id"))
        except (orjson.JSONDecodeError, AttributeError):
            return
        if kind == "resync":
            browser.resync()
        elif kind == "ping":
            browser.pong = True
            browser.wake.set()
        elif kind == "acknowledges":
            browser.acknowledges = True
        elif kind == "shown" and (shown := browser.shown.get(id_)) and not shown.done():
            shown.set_result(None)

    async def _write(self, browser: _Browser) -> None:
        try:
            while True:
                await browser.wake.wait()
                browser.wake.clear()
                flushed, browser.flushed = browser.flushed, []
                due: list[Any] = []
                if browser.stale:
                    browser.stale = False
                    due.append(browser.numbered("snapshot", await self._snapshot(browser)))
                unsent, browser.unsent = browser.unsent, {}
                for (topic, item_id), item in sorted(unsent.items(), key=lambda entry: entry[0][0] != "pops"):
                    shown = orjson.Fragment(item) if item else None
                    due.append(browser.numbered(topic, {"id": item_id, "item": shown}))
                if browser.pong:
                    browser.pong = False
                    due.append({"type": "pong"})
                if due:
                    await browser.socket.send_text(orjson.dumps(due).decode())
                for waiting in flushed:
                    if not waiting.done():
                        waiting.set_result(None)
        except (RuntimeError, OSError, WebSocketDisconnect) as error:  # gone: the reader sees it as well and cleans up
            log.info("page gone while it was written to", username=browser.who.me.username, error=repr(error))
        except Exception:
            log.exception("a page's live events failed: it will come again", username=browser.who.me.username)
            await _close(browser.socket, 1011)

    async def _snapshot(self, browser: _Browser) -> orjson.Fragment:
        shared, own = await asyncio.gather(self._shared(), self.database.read(self._read_own, browser.who.me))
        # What is noted of pops that changed while we read them may be older than the snapshot: they are told once more.
        self._hear(frozenset(Change("call", call_id) for topic, call_id in browser.unsent if topic == "pops"))
        return orjson.Fragment(own[:-1] + b"," + shared[1:])  # two objects as one

    async def _shared(self) -> bytes:
        """What is the same for all pages, read after now.

        Pages that ask while it is read share the next reading: after a restart all of them ask at once.
        """
        if self._next_reading is None:
            self._next_reading = self._tasks.spawn(self._read_next())
        return await asyncio.shield(self._next_reading)

    async def _read_next(self) -> bytes:
        async with self._reading:
            self._next_reading = None
            return await self.database.read(self._read_shared)

    def _read_shared(self, session: Session) -> bytes:
        now = self.now()
        return _json(
            Shared(
                agents=list(queries.agent_items(session).values()),
                waiting=list(queries.waiting_items(session, self.calls).values()),
                messages=list(queries.message_items(session, self.calls, now=now, everything=True).values()),
                requests=list(queries.request_items(session).values()),
                missed=list(queries.missed_items(session).values()),
                closures=list(queries.closure_items(session, now=now).values()),
                queues=sorted(self.calls.queues),
                outcome_codes=[LabelView.model_validate(label) for label in self.calls.outcome_codes],
                pause_reasons=[LabelView.model_validate(label) for label in self.calls.pause_reasons],
                wrap_up_extensions=self.calls.wrap_up_extensions,
                pages=version(),
            )
        )

    def _read_own(self, session: Session, me: Me) -> bytes:
        now = self.now()
        mine = queries.pops(session, self.calls, me.agent_id, now=now) if me.agent_id is not None else {}
        supervises = me.role is Role.SUPERVISOR
        return _json(
            Own(
                me=me,
                now=now,
                timezone=self.timezone,
                pops=list(mine.values()),
                alarms=list(queries.alarm_items(session).values()) if supervises else [],
                listening=supervises and self.settings.listen_to_calls != "off",
            )
        )

    # -------------------------------------------------------------------------------------------- who is there

    async def _arrived(self, agent_id: int | None) -> None:
        if agent_id is None:
            return
        leaving = self._leaving.pop(agent_id, None)
        if leaving is not None:
            leaving.cancel()
        await self.database.run(set_desk_connected, agent_id, self.worker, True, now=self.now())

    async def tell_who_is_there(self) -> None:
        """Note again whose pages are open here, where others have forgotten it; run by the clock.

        They do when this process was away for so long that it was taken for dead.
        """
        present = {browser.who.me.agent_id for browser in self._browsers} - {None}
        if present:
            for agent_id in await self.database.read(queries.desks_forgotten, present, self.worker):
                await self._arrived(agent_id)

    def _left(self, agent_id: int | None) -> None:
        if agent_id is None or agent_id in self._leaving or self._browsers_of(agent_id):
            return
        self._leaving[agent_id] = asyncio.create_task(self._leave(agent_id), name="desk agent leaves")

    async def _leave(self, agent_id: int) -> None:
        await asyncio.sleep(self.settings.grace_seconds)
        del self._leaving[agent_id]
        try:
            await self.database.run(set_desk_connected, agent_id, self.worker, False, now=self.now())
            if self._browsers_of(agent_id):  # came back while we wrote
                await self.database.run(set_desk_connected, agent_id, self.worker, True, now=self.now())
        except Exception:
            log.exception("could not note that an agent's pages are gone", agent_id=agent_id)

    def _browsers_of(self, agent_id: int) -> list[_Browser]:
        return [browser for browser in self._browsers if browser.who.me.agent_id == agent_id]

    # ------------------------------------------------------------------------------------------------- changes

    async def pop(self, agent_id: int, call_id: str) -> None:
        """Show a call to its agent, before the phone rings.

        Returns once the agent's pages have it on their screens, or, where they do not say so, written to their
        websockets; after 0.2 s at most. Only they get it, also those that are connected to another worker.
        """
        browsers = self._browsers_of(agent_id)
        if not browsers:
            if self.database.shared:
                await self._pop_elsewhere(agent_id, call_id)
            return
        on_screen = asyncio.gather(*(browser.when_shown(call_id) for browser in browsers), return_exceptions=True)
        try:
            async with asyncio.timeout(POP_PATIENCE):
                with self._before_lists():
                    shown = await self.database.read(self._read_pop, agent_id, call_id)
                    self._put_pop(agent_id, call_id, shown)
                    await asyncio.gather(*(browser.when_flushed() for browser in browsers), return_exceptions=True)
                await on_screen
        except TimeoutError:
            log.warning("an agent's page takes its time to show a call", call_id=call_id, agent_id=agent_id)
        except Exception:
            # a call that cannot be shown is put through all the same
            log.exception("a call could not be shown", call_id=call_id, agent_id=agent_id)
        finally:
            on_screen.cancel()

    @contextlib.contextmanager
    def _before_lists(self) -> Iterator[None]:
        """Have the lists wait while a call is told: its phone does as well."""
        self._popping += 1
        self._calm.clear()
        try:
            yield
        finally:
            self._popping -= 1
            if not self._popping:
                self._calm.set()

    async def _pop_elsewhere(self, agent_id: int, call_id: str) -> None:
        """Let the workers at which the agent's pages are open show a call."""
        key = f"{agent_id}:{call_id}"
        try:
            async with asyncio.timeout(POP_PATIENCE):
                if not await self.database.read(queries.desks_elsewhere, agent_id, self.worker):
                    return
                self._elsewhere[key] = shown = asyncio.get_running_loop().create_future()
                await self.database.run(_announce, POP_DUE, key)
                await shown
        except TimeoutError:
            log.warning("another worker takes its time to show a call", call_id=call_id, agent_id=agent_id)
        except Exception:
            log.exception("a call could not be shown by another worker", call_id=call_id, agent_id=agent_id)
        finally:
            self._elsewhere.pop(key, None)

    async def _pop_for_other(self, key: str) -> None:
        agent_id, _, call_id = key.partition(":")
        if self._browsers_of(int(agent_id)):
            await self.pop(int(agent_id), call_id)
            await self.database.run(_announce, POP_SHOWN, key)

    def _read_pop(self, session: Session, agent_id: int, call_id: str) -> bytes | None:
        """A call as it is now for an agent it was offered to."""
        pops = queries.pops(session, self.calls, agent_id, now=self.now(), call_id=call_id)
        return _json(pops[call_id]) if call_id in pops else None

    def _put_pop(self, agent_id: int, call_id: str, shown: bytes | None) -> None:
        for browser in self._browsers_of(agent_id):
            browser.put("pops", call_id, shown)

    def _hear(self, changes: frozenset[Change]) -> None:
        for change in changes:
            if change.kind == MISSED:
                for browser in tuple(self._browsers):
                    browser.resync()
            elif change.kind == POP_DUE:
                self._tasks.spawn(self._pop_for_other(str(change.id)))
            elif change.kind == LOG_INS:
                self._tasks.spawn(self.close_ended())
            elif change.kind == POP_SHOWN and (shown := self._elsewhere.get(str(change.id))) and not shown.done():
                shown.set_result(None)
        if changes and self._browsers:
            self._changes |= changes
            self._changed.set()

    async def _work(self) -> None:
        while True:
            await self._changed.wait()
            await asyncio.sleep(BURST_SECONDS)
            await self._calm.wait()  # a phone waits for its pop; lists can wait for it
            self._changed.clear()
            changes, self._changes = self._changes, set()
            try:
                await self._tell(changes)
            except Exception:
                log.exception("live events failed: every page gets a snapshot")
                for browser in tuple(self._browsers):
                    browser.resync()

    async def _tell(self, changes: set[Change]) -> None:
        present = {browser.who.me.agent_id for browser in self._browsers}
        news = await self.database.read(self._read_news, changes, present)
        for topic, item_id, item in news.items:
            for browser in self._browsers:
                browser.put(topic, item_id, item)
        for agent_id, call_id, shown in news.pops:
            self._put_pop(agent_id, call_id, shown)
        for alarm_id, alarm in news.alarms:
            for browser in self._browsers:
                if browser.who.me.role is Role.SUPERVISOR:
                    browser.put("alarms", alarm_id, alarm)

    def _read_news(self, session: Session, changes: set[Change], present: Container[int | None]) -> _News:
        """What became of the things that changed; of the pops only those of agents whose pages are open."""
        ids: dict[str, set[Any]] = {}
        for change in changes:
            ids.setdefault(change.kind, set()).add(change.id)
        agents, calls = ids.get("agent", set()), ids.get("call", set())
        requests, messages = ids.get("request", set()), ids.get("message", set())
        news = _News()
        if agents:
            news.note("agents", agents, queries.agent_items(session, agents))
        if calls:
            news.note("waiting", calls, queries.waiting_items(session, self.calls))
            for call_id, agent_id in queries.offered_to(session, calls):
                if agent_id in present:
                    news.pops.append((agent_id, call_id, self._read_pop(session, agent_id, call_id)))
        if missed := ids.get(TO_DO, set()):
            news.note("missed", missed, queries.missed_items(session, missed))
        if requests:
            news.note("requests", requests, queries.request_items(session, requests))
            messages |= queries.message_ids_of(session, requests)
        if messages:
            found = queries.message_items(session, self.calls, now=self.now(), ids=messages, request_ids=requests)
            news.note("messages", messages, found)
        if closures := ids.get(CLOSURE, set()):
            news.note("closures", closures, queries.closure_items(session, now=self.now()))
        if alarms := ids.get("alarm", set()):
            open_ones = queries.alarm_items(session)
            news.alarms = [(id_, _json(open_ones[id_]) if id_ in open_ones else None) for id_ in alarms]
        return news


def _announce(session: Session, kind: str, key: str) -> None:
    announce(session, kind, key)


def _json(view: BaseModel) -> bytes:
    return view.model_dump_json().encode()


async def _close(socket: Socket, code: int) -> None:
    with contextlib.suppress(Exception):  # closing what is closed already
        await socket.close(code)
