"""Live pages at the level of one connection: numbers, merging, overflow."""

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy.orm import Session

from centralino.rig.desk_server import CALLS
from desk.live import MAX_UNSENT, Live
from desk.models import Role
from desk.queries import Who
from desk.settings import DeskSettings
from desk.views import Me
from ivr.models import Agent
from ivr.operations import add_agent, go_free, pause
from tickets.changes import Change
from tickets.database import Base, Database

pytestmark = pytest.mark.unit


class Socket:
    """A browser's end: reads when it is allowed to."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.says: asyncio.Queue[str] = asyncio.Queue()
        self.reading = asyncio.Event()
        self.reading.set()
        self.closed: int | None = None

    async def send_text(self, data: str) -> None:
        await self.reading.wait()
        for message in orjson.loads(data):
            self.received.put_nowait(message)

    async def receive_text(self) -> str:
        return await self.says.get()

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        self.closed = code

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(5):
            return await self.received.get()


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    database = Database(f"sqlite:///{tmp_path / 'live.db'}")
    Base.metadata.create_all(database.engine)
    async with Live(
        database, CALLS, DeskSettings(grace_seconds=0), worker="centralino", timezone="Europe/Rome", now=now
    ) as pages:
        yield pages
    await database.close()


def supervisor(hours: float = 1.0) -> Who:
    me = Me(username="sara", name="Sara", role=Role.SUPERVISOR, language="it", agent_id=None)
    return Who(me, 1, "sha", now() + timedelta(hours=hours))


async def serve(live: Live, socket: Socket) -> "asyncio.Task[None]":
    serving = asyncio.create_task(live.serve(socket, supervisor()))
    assert (await socket.next())["type"] == "snapshot"
    return serving


async def stop(serving: "asyncio.Task[None]") -> None:
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving


async def test_events_are_numbered_from_the_snapshot_on_without_a_gap(live: Live) -> None:
    socket = Socket()
    serving = await serve(live, socket)
    agent = await live.database.run(add_agent, "mara", "Mara", "PJSIP/1", ["desk"], now=now())
    first = await socket.next()
    await live.database.run(go_free, agent.id, now=now())
    second = await socket.next()
    assert [first["seq"], second["seq"]] == [2, 3]
    assert second["data"]["item"]["presence"] == "free"
    await stop(serving)


async def test_a_burst_is_looked_at_once(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    socket = Socket()
    serving = await serve(live, socket)
    looked: list[set[Change]] = []
    tell = live._tell

    async def counting(changes: set[Change]) -> None:
        looked.append(changes)
        await tell(changes)

    monkeypatch.setattr(live, "_tell", counting)
    for _ in range(100):
        live._hear(frozenset({Change("agent", 7), Change("agent", 8)}))
    for agent_id in {(await socket.next())["data"]["id"], (await socket.next())["data"]["id"]}:
        assert agent_id in (7, 8)
    assert looked == [{Change("agent", 7), Change("agent", 8)}]
    await stop(serving)


async def test_a_slow_browser_gets_only_the_latest_state_of_an_item(live: Live) -> None:
    agent = await live.database.run(add_agent, "mara", "Mara", "PJSIP/1", ["desk"], now=now())
    socket = Socket()
    serving = await serve(live, socket)
    (browser,) = live._browsers
    socket.reading.clear()
    await live.database.run(go_free, agent.id, now=now())
    for _ in range(5):
        await live.database.run(pause, agent.id, "break", now=now())
        await live.database.run(go_free, agent.id, now=now())
    await live.database.run(pause, agent.id, "meeting", now=now())
    while True:  # the last state is noted before the browser reads again
        item = browser.unsent.get(("agents", agent.id))
        if item and orjson.loads(item)["pause_reason"] == "meeting":
            break
        await asyncio.sleep(0)
    assert len(browser.unsent) == 1
    socket.reading.set()
    events = [await socket.next()]
    while events[-1]["data"]["item"]["pause_reason"] != "meeting":
        events.append(await socket.next())
    assert [event["seq"] for event in events] == list(range(2, 2 + len(events)))
    assert len(events) <= 2
    await stop(serving)


async def test_a_browser_with_too_much_unsent_gets_a_snapshot_instead(live: Live) -> None:
    socket = Socket()
    serving = await serve(live, socket)
    (browser,) = live._browsers
    for number in range(MAX_UNSENT + 1):
        browser.put("requests", number, b"{}")
    assert browser.stale
    assert browser.unsent == {}
    assert (await socket.next())["type"] == "snapshot"
    assert not browser.stale
    await stop(serving)


async def test_pages_that_come_together_share_what_is_read_but_nothing_older_than_their_question(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = 0
    read = live._read_shared
    begun, go_on = threading.Event(), threading.Event()

    def slow(session: Session) -> bytes:
        nonlocal readings
        readings += 1
        found = read(session)
        begun.set()
        go_on.wait(5)
        return found

    monkeypatch.setattr(live, "_read_shared", slow)
    sockets = [Socket() for _ in range(12)]
    serving = [asyncio.create_task(live.serve(sockets[0], supervisor()))]
    await asyncio.to_thread(begun.wait, 5)
    await live.database.run(add_agent, "mara", "Mara", "PJSIP/1", ["desk"], now=now())  # after the first has looked
    serving += [asyncio.create_task(live.serve(socket, supervisor())) for socket in sockets[1:]]
    while live.connected < len(sockets):  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    go_on.set()
    snapshots = [await socket.next() for socket in sockets]
    assert [len(one["data"]["agents"]) for one in snapshots] == [0] + [1] * 11
    assert readings == 2
    for one in serving:
        await stop(one)


async def test_a_browser_that_asks_gets_a_snapshot_with_the_next_number(live: Live) -> None:
    socket = Socket()
    serving = await serve(live, socket)
    socket.says.put_nowait("this is not JSON")
    socket.says.put_nowait("[]")
    socket.says.put_nowait('{"type":"resync"}')
    snapshot = await socket.next()
    assert (snapshot["type"], snapshot["seq"]) == ("snapshot", 2)
    socket.says.put_nowait('{"type":"ping"}')
    assert await socket.next() == {"type": "pong"}
    await stop(serving)


async def test_a_page_is_closed_when_its_log_in_is_over(live: Live) -> None:
    socket = Socket()
    await live.serve(socket, supervisor(hours=0))
    assert socket.closed == 4401
    assert live.connected == 0


async def test_an_agent_is_connected_until_the_last_page_is_gone(live: Live) -> None:
    agent = await live.database.run(add_agent, "mara", "Mara", "PJSIP/1", ["desk"], now=now())
    told: asyncio.Queue[None] = asyncio.Queue()
    live.database.subscribe(lambda changes: told.put_nowait(None))
    me = Me(username="mara", name="Mara", role=Role.AGENT, language="it", agent_id=agent.id)
    who = Who(me, 1, "sha", now() + timedelta(hours=1))

    async def connected() -> bool:
        return (await live.database.read(Session.get_one, Agent, agent.id)).desk_connected

    sockets = Socket(), Socket()
    pages = [asyncio.create_task(live.serve(socket, who)) for socket in sockets]
    for socket in sockets:
        assert (await socket.next())["type"] == "snapshot"
    await told.get()
    assert await connected()
    assert live.connected == 2
    await stop(pages[0])
    assert agent.id not in live._leaving
    await stop(pages[1])
    await told.get()
    assert not await connected()
