"""The live connection as a browser has it: a real websocket."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from typing import Any

import httpx
import orjson
import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from centralino.rig.desk_server import HOSTILE, DeskServer, withdraw
from desk.live import MAX_UNSENT
from desk.models import Account, DeskSession, Role
from desk.operations import log_out, set_password
from ivr.models import Agent
from tickets.alarms import Alarms, AlarmSettings, Words
from tickets.database import announce

pytestmark = pytest.mark.contract


class Page:
    """A browser's live connection."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self._received: list[dict[str, Any]] = []

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(5):
            while not self._received:
                self._received = orjson.loads(await self.socket.recv())
            return self._received.pop(0)

    async def until(self, topic: str, item_id: Any = None) -> dict[str, Any]:
        """The next event of a list; it has the number after the one before it."""
        while True:
            event = await self.next()
            if event["type"] == topic and item_id in (None, event["data"]["id"]):
                return event

    async def pop_is(self, call_id: str, state: str) -> None:
        """A pop comes to a state; one state may be told several times."""
        while (await self.until("pops", call_id))["data"]["item"]["state"] != state:
            pass

    async def say(self, kind: str, item_id: str | None = None) -> None:
        await self.socket.send(orjson.dumps({"type": kind, "id": item_id}).decode())

    async def nothing_of(self, topic: str) -> None:
        """All that was sent so far holds nothing of this list."""
        await self.say("ping")
        while (event := await self.next())["type"] != "pong":
            assert event["type"] != topic, event


def live_socket(served: DeskServer, client: httpx.AsyncClient, **options: Any) -> connect:
    """The live connection of somebody who has logged in with this client."""
    return connect(
        served.url.replace("http", "ws") + "/api/live",
        additional_headers={"cookie": f"centralino={client.cookies['centralino']}"},
        proxy=None,
        **options,
    )


@contextlib.asynccontextmanager
async def page(
    served: DeskServer, username: str, compression: str | None = "deflate"
) -> AsyncIterator[tuple[Page, dict[str, Any]]]:
    """A page of a person, and its first snapshot."""
    async with (
        served.browser(username) as client,
        live_socket(served, client, origin=Origin(served.url), compression=compression, max_size=None) as socket,
    ):
        one = Page(socket)
        snapshot = await one.next()
        assert snapshot["type"] == "snapshot"
        yield one, snapshot


async def test_a_page_gets_a_snapshot_and_then_numbered_events(served: DeskServer) -> None:
    agent_id = await served.agent("giulia")
    await served.message("m1", "buongiorno")
    await served.request("Stampante", actor="marco")
    async with page(served, "giulia") as (one, snapshot):
        data = snapshot["data"]
        assert data["me"]["agent_id"] == agent_id
        assert [message["id"] for message in data["messages"]] == ["m1"]
        assert len(data["requests"]) == 2
        assert data["pops"] == []
        assert data["queues"] == ["desk", "specialists"]
        seq = snapshot["seq"]
        call_id = await served.waiting_call()
        seen = []
        while True:
            event = await one.next()
            seen.append(event["seq"])
            if event["type"] == "waiting":
                break
        assert event["data"]["id"] == call_id
        assert event["data"]["item"]["caller"] == "+390805551234"
        assert seen == list(range(seq + 1, seq + 1 + len(seen)))


async def test_what_others_have_in_hand_does_not_crowd_out_what_came_today(
    served: DeskServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page holds so many at most; those that wait for a supplier for months have the oldest promises."""
    monkeypatch.setattr("desk.queries.OPEN_REQUESTS", 3)
    await served.agent("giulia")
    async with served.browser("giulia") as browser:
        for number in range(3):
            old = await served.message(f"old{number}", "da mesi", due=timedelta(minutes=1))
            await browser.post(f"/requests/{old.request_id}/take", json={})
        put_back = await served.message("again", "rimessa in coda", due=timedelta(minutes=30))
        for to in ("take", "move"):
            body = {} if to == "take" else {"to": "queued", "text": "non tocca a me"}
            answer = await browser.post(f"/requests/{put_back.request_id}/{to}", json=body)
            assert answer.status_code == 200, answer.text
    await served.message("today", "arrivata oggi", due=timedelta(minutes=40))
    await served.message("nothing said", speech=0.0)
    async with page(served, "giulia") as (_, snapshot):
        data = snapshot["data"]
        assert [message["id"] for message in data["messages"]] == ["nothing said", "again", "today"]
        assert data["requests"][0]["id"] == put_back.request_id
        assert {message["request"]["id"] for message in data["messages"] if message["request"]} < {
            request["id"] for request in data["requests"]
        }


async def test_a_call_that_nobody_served_comes_to_every_page_and_goes_when_it_is_done(served: DeskServer) -> None:
    await served.agent("giulia")
    await served.agent("marco")
    before = await served.missed_call()
    async with page(served, "giulia") as (hers, snapshot), served.browser("marco") as his:
        assert [(call["id"], call["owner"]) for call in snapshot["data"]["missed"]] == [(before, None)]
        call_id = await served.missed_call()
        assert (await hers.until("missed", call_id))["data"]["item"]["owner"] is None
        await his.post("/calls/take", json={"ids": [call_id]})
        assert (await hers.until("missed", call_id))["data"]["item"]["owner"] == "marco"
        await his.post("/calls/done", json={"ids": [call_id], "reason": "not_needed"})
        assert (await hers.until("missed", call_id))["data"]["item"] is None


async def test_a_page_that_missed_something_asks_and_gets_a_snapshot(served: DeskServer) -> None:
    await served.agent("giulia")
    async with page(served, "giulia") as (one, _):
        await served.waiting_call()
        await one.say("resync")
        while (event := await one.next())["type"] != "snapshot":
            pass
        assert len(event["data"]["waiting"]) == 1


async def test_a_pop_reaches_only_the_agent_whose_phone_rings(served: DeskServer) -> None:
    giulia, _marco = await served.agent("giulia"), await served.agent("marco")
    contact = await served.contact("Teresa Lorusso", company="ASL Bari")
    await served.request("Referto bloccato", contact_id=contact, actor="marco")
    async with page(served, "giulia") as (hers, _), page(served, "marco") as (his, _):
        call_id = await served.waiting_call(choice="credentials")
        await served.ring(call_id, giulia)
        pop = (await hers.until("pops", call_id))["data"]["item"]
        assert pop["state"] == "ringing"
        assert pop["confidence"] == "known"
        assert pop["contacts"][0]["name"] == "Teresa Lorusso"
        assert pop["company"]["name"] == "ASL Bari"
        assert [request["subject"] for request in pop["open_requests"]] == ["Referto bloccato"]
        assert pop["attempts_today"] == 1
        assert pop["choice"] == "credentials"
        assert pop["line_name"] == "Help Desk Edotto"
        await his.nothing_of("pops")


async def test_the_pop_is_written_to_the_page_when_pop_returns(served: DeskServer) -> None:
    giulia = await served.agent("giulia")
    async with page(served, "giulia") as (one, _):
        call_id = await served.waiting_call()
        await served.ring(call_id, giulia, pop=False)
        await served.live.pop(giulia, call_id)
        (browser,) = served.live._browsers
        assert ("pops", call_id) not in browser.unsent
        assert (await one.until("pops", call_id))["data"]["item"]["call_id"] == call_id


async def test_the_phone_waits_until_the_page_has_painted_the_pop(served: DeskServer) -> None:
    giulia = await served.agent("giulia")
    async with page(served, "giulia") as (one, _):
        await one.say("acknowledges")
        call_id = await served.waiting_call()
        await served.ring(call_id, giulia, pop=False)
        ringing = asyncio.create_task(served.live.pop(giulia, call_id))
        await one.until("pops", call_id)
        await one.nothing_of("alarms")  # whatever would have ended with the writing has ended
        assert not ringing.done()
        await one.say("shown", call_id)
        async with asyncio.timeout(5):
            await ringing
        (browser,) = served.live._browsers
        assert browser.shown == {}


async def test_a_page_that_never_paints_does_not_keep_the_caller_waiting(served: DeskServer) -> None:
    giulia = await served.agent("giulia")
    async with page(served, "giulia") as (one, _):
        await one.say("acknowledges")
        await one.nothing_of("alarms")
        call_id = await served.waiting_call()
        await served.ring(call_id, giulia, pop=False)
        async with asyncio.timeout(5):
            await served.live.pop(giulia, call_id)
        await one.until("pops", call_id)
        (browser,) = served.live._browsers
        assert browser.shown == {}


async def test_a_pop_follows_its_call_and_stays_until_acted_upon(served: DeskServer) -> None:
    giulia = await served.agent("giulia")
    async with page(served, "giulia") as (one, _), served.browser("giulia") as api:
        call_id = await served.waiting_call()
        offer = await served.ring(call_id, giulia)
        await one.pop_is(call_id, "ringing")
        await served.answer(offer)
        await one.pop_is(call_id, "talking")
        await served.hang_up(call_id)
        await one.pop_is(call_id, "ended")
        async with page(served, "giulia") as (_, snapshot):
            assert [pop["call_id"] for pop in snapshot["data"]["pops"]] == [call_id]
        await api.post(f"/calls/{call_id}/dismiss", json={"reason": "wrong_number"})
        while (await one.until("pops", call_id))["data"]["item"] is not None:
            pass


async def test_a_withdrawn_pop_goes_away_and_a_second_call_does_not_replace_the_first(served: DeskServer) -> None:
    giulia = await served.agent("giulia")
    async with page(served, "giulia") as (one, _):
        first, second = await served.waiting_call(), await served.waiting_call("+393331112222")
        await served.answer(await served.ring(first, giulia))
        offer = await served.ring(second, giulia)
        await one.until("pops", second)
        async with page(served, "giulia") as (_, snapshot):
            assert [pop["call_id"] for pop in snapshot["data"]["pops"]] == [second, first]
        await served.database.run(withdraw, offer, now=served.now())
        while (await one.until("pops", second))["data"]["item"] is not None:  # told a second time while it rang
            pass
        async with page(served, "giulia") as (_, snapshot):
            assert [pop["call_id"] for pop in snapshot["data"]["pops"]] == [first]


async def test_a_page_that_does_not_read_holds_nobody_up(served: DeskServer) -> None:
    await served.agent("slow")
    await served.agent("quick")
    async with served.browser("slow") as client:
        stuck = live_socket(served, client, max_queue=1, close_timeout=0.1, ping_interval=None)
        async with page(served, "quick") as (quick, _), stuck:
            for number in range(30):
                request = await served.request(f"{number} " + "x" * 150)
                event = await quick.until("requests", request.id)
                assert event["data"]["item"]["subject"].startswith(f"{number} ")


async def test_a_page_that_was_too_slow_gets_a_snapshot_and_goes_on_from_there(served: DeskServer) -> None:
    await served.agent("slow")
    await served.agent("quick")
    for number in range(MAX_UNSENT + 2):
        await served.request(f"{number} " + "x" * 190)
    halves = [range(1, MAX_UNSENT // 2 + 2), range(MAX_UNSENT // 2 + 2, MAX_UNSENT + 3)]
    async with page(served, "slow", compression=None) as (slow, first), page(served, "quick") as (quick, _):
        (browser,) = (one for one in served.live._browsers if one.who.me.username == "slow")
        slow.socket.transport.pause_reading()
        while not browser.stale:  # until all that stands between the two is full
            for half in halves:
                await served.database.run(_touch, half)
                await quick.until("requests", half[-1])
        assert not browser.unsent  # of what it missed nothing is kept for it
        slow.socket.transport.resume_reading()
        seq = first["seq"]
        while (event := await slow.next())["type"] != "snapshot":
            seq += 1
            assert event["seq"] == seq
        assert event["seq"] == seq + 1
        assert len(event["data"]["requests"]) == MAX_UNSENT + 2
        later = await served.request("Dopo")
        assert (await slow.until("requests", later.id))["data"]["item"]["subject"] == "Dopo"


async def test_the_agent_is_connected_while_a_page_is_open(served: DeskServer) -> None:
    agent_id = await served.agent("giulia")
    heard: asyncio.Queue[None] = asyncio.Queue()

    async def connected() -> bool:
        return (await served.database.read(Session.get_one, Agent, agent_id)).desk_connected

    async with page(served, "giulia") as (one, _):
        await one.until("agents", agent_id)
        assert await connected()
        served.database.subscribe(lambda _: heard.put_nowait(None))
    async with asyncio.timeout(5):
        await heard.get()
    assert not await connected()


async def test_logging_out_closes_the_live_page(served: DeskServer) -> None:
    await served.agent("giulia")
    async with served.browser("giulia") as client, live_socket(served, client) as socket:
        await socket.recv()
        await client.delete("/session")
        async with asyncio.timeout(5):
            await socket.wait_closed()
        assert socket.close_code == 4401


@pytest.mark.parametrize("origin", ["https://evil.example", None])
async def test_strangers_get_no_live_page(served: DeskServer, origin: str | None) -> None:
    await served.agent("giulia")
    async with served.browser("giulia") as client:
        cookie = client.cookies["centralino"] if origin else "made up"
        with pytest.raises(InvalidStatus, match="403"):
            async with connect(
                served.url.replace("http", "ws") + "/api/live",
                additional_headers={"cookie": f"centralino={cookie}"},
                origin=Origin(origin) if origin else None,
                proxy=None,
            ):
                pass


async def test_hostile_text_arrives_as_text(served: DeskServer) -> None:
    giulia = await served.agent("giulia", HOSTILE)
    contact = await served.contact(HOSTILE, company=HOSTILE[:100])
    await served.request(HOSTILE, contact_id=contact, description=HOSTILE * 20)
    async with page(served, "giulia") as (one, _):
        call_id = await served.waiting_call()
        await served.ring(call_id, giulia)
        pop = (await one.until("pops", call_id))["data"]["item"]
        assert "<img src=x onerror=" in pop["contacts"][0]["name"]
        assert "</script>" in pop["open_requests"][0]["subject"]


async def test_a_new_password_closes_the_pages_of_the_old_one(served: DeskServer) -> None:
    await served.agent("giulia")
    await served.agent("marco")
    async with page(served, "giulia") as (hers, _), page(served, "marco") as (his, _):
        await served.database.run(set_password, "giulia", "una-parola-nuova")
        await served.live.close_ended()
        await hers.socket.wait_closed()
        assert hers.socket.close_code == 4401
        await his.nothing_of("pops")  # and is still served


async def test_logging_out_everywhere_closes_the_pages_of_every_browser_at_once(served: DeskServer) -> None:
    await served.agent("giulia")
    await served.agent("marco")
    async with (
        page(served, "giulia") as (one, _),
        page(served, "giulia") as (other, _),
        page(served, "marco") as (his, _),
        served.browser("giulia") as client,
    ):
        await client.delete("/session/everywhere")
        async with asyncio.timeout(5):
            await asyncio.gather(one.socket.wait_closed(), other.socket.wait_closed())
        assert one.socket.close_code == other.socket.close_code == 4401
        await his.nothing_of("pops")  # and is still served


async def test_a_log_out_at_one_worker_closes_the_page_at_another_at_once(served: DeskServer) -> None:
    await served.agent("giulia")
    async with page(served, "giulia") as (one, _):
        (browser,) = served.live._browsers
        await served.database.run(log_out, browser.who.token_sha256)  # as the other worker does
        async with asyncio.timeout(5):
            await one.socket.wait_closed()
        assert one.socket.close_code == 4401


async def test_a_log_in_does_not_end_while_its_page_is_open(served: DeskServer) -> None:
    await served.agent("giulia")
    async with page(served, "giulia") as (one, _):
        for _ in range(3):
            served.now.ahead += timedelta(minutes=25)
            await served.live.close_ended()  # as the clock does
        await one.nothing_of("pops")
        (browser,) = served.live._browsers
        noted = await served.database.read(Session.get, DeskSession, browser.who.token_sha256)
        assert noted is not None
        assert noted.used_at is not None
        assert served.now() - noted.used_at < timedelta(minutes=1)


async def test_alarms_are_told_to_supervisors_and_to_nobody_else(served: DeskServer) -> None:
    await served.agent("giulia")
    await served.agent("paolo")
    await served.database.run(_make_supervisor, "paolo")
    alarms = Alarms(served.database, AlarmSettings(), served.notices, served.now)
    async with page(served, "giulia") as (agent, _), page(served, "paolo") as (supervisor, snapshot):
        assert snapshot["data"]["alarms"] == []
        await alarms.sound("disk_space", Words(it="Fai spazio.", en="Make room."))
        alarm = (await supervisor.until("alarms"))["data"]["item"]
        assert alarm["words"] == {"it": "Fai spazio.", "en": "Make room."}
        async with page(served, "paolo") as (_, later):
            assert [one["id"] for one in later["data"]["alarms"]] == [alarm["id"]]
        await alarms.end("disk_space")
        assert (await supervisor.until("alarms", alarm["id"]))["data"]["item"] is None
        await agent.nothing_of("alarms")


def _touch(session: Session, ids: Iterable[int]) -> None:
    for request_id in ids:
        announce(session, "request", request_id)


def _make_supervisor(session: Session, username: str) -> None:
    session.execute(update(Account).where(Account.username == username).values(role=Role.SUPERVISOR))
