"""The connection when the other side misbehaves: a small ARI server that does what real ones do on bad days."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from structlog.testing import capture_logs
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from ivr.ari import Ari, AriDisconnected, AriTimeout, Event, Invalid

pytestmark = pytest.mark.contract

WITHIN = 5.0


class FakeAri:
    """One websocket server. Requests are answered with `status`, unless it is `silent`."""

    def __init__(self) -> None:
        self.connections: list[ServerConnection] = []
        self.requests: list[dict[str, Any]] = []
        self.refuse: Response | None = None
        self.silent = False
        self.status = 204
        self.close_at_once = False
        self.seen: list[Request] = []
        self.changed = asyncio.Condition()
        self.port = 0

    async def start(self) -> Server:
        server = await serve(
            self._serve, "127.0.0.1", self.port, process_request=self._open, compression=None, close_timeout=0.2
        )
        self.port = next(iter(server.sockets)).getsockname()[1]
        return server

    def _open(self, connection: ServerConnection, request: Request) -> Response | None:
        self.seen.append(request)
        return connection.respond(self.refuse.status_code, "no") if self.refuse else None

    async def _serve(self, connection: ServerConnection) -> None:
        self.connections.append(connection)
        await self._notify()
        if self.close_at_once:
            return
        async for text in connection:
            request = json.loads(text)
            self.requests.append(request)
            await self._notify()
            if not self.silent:
                await self.say(self.answer_to(request))

    def answer_to(self, request: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "RESTResponse",
            "request_id": request["request_id"],
            "status_code": self.status,
            "reason_phrase": "Fake",
        }

    async def say(self, message: dict[str, Any] | str) -> None:
        await self.connections[-1].send(message if isinstance(message, str) else json.dumps(message))

    async def _notify(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WITHIN), self.changed:
            await self.changed.wait_for(condition)


class Client:
    """An Ari and what it told."""

    def __init__(self, port: int, **options: Any) -> None:
        self.heard: asyncio.Queue[Event] = asyncio.Queue()
        self.ups = self.downs = 0
        self.changed = asyncio.Event()
        self.ari = Ari(
            f"http://127.0.0.1:{port}",
            "centralino",
            "user",
            "pass:word",
            on_event=options.pop("on_event", self.heard.put_nowait),
            on_connected=self._up,
            on_disconnected=self._down,
            **({"reconnect_seconds": (0.01, 0.05)} | options),
        )

    def _up(self) -> None:
        self.ups += 1
        self.changed.set()

    def _down(self) -> None:
        self.downs += 1
        self.changed.set()

    async def event(self) -> Event:
        async with asyncio.timeout(WITHIN):
            return await self.heard.get()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WITHIN):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


@pytest.fixture
async def fake() -> AsyncIterator[FakeAri]:
    server = FakeAri()
    async with await server.start():
        yield server


async def test_the_password_travels_in_a_header_and_not_in_the_address(fake: FakeAri) -> None:
    client = Client(fake.port)
    async with client.ari as ari:
        await ari.wait_connected(WITHIN)
    (request,) = fake.seen
    assert request.path == "/ari/events?app=centralino&subscribeAll=false"
    assert base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")) == b"user:pass:word"


async def test_the_password_is_never_logged(fake: FakeAri, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    with capture_logs() as logs:
        client = Client(fake.port)
        async with client.ari as ari:
            await ari.wait_connected(WITHIN)
            await ari.asterisk.ping()
    secret = base64.b64encode(b"user:pass:word").decode()
    # the fake server's own log shows what it was sent; the client's must not
    ours = [r.getMessage() for r in caplog.records if r.name != "websockets.server"]
    assert not [text for text in (*ours, str(logs)) if secret in text or "pass:word" in text]


async def test_garbage_is_counted_and_everything_after_it_is_heard(fake: FakeAri) -> None:
    client = Client(fake.port)
    async with client.ari as ari:
        await ari.wait_connected(WITHIN)
        await fake.until(lambda: bool(fake.connections))
        for garbage in ("garbage", "[]", "{}", '{"type":"RESTResponse"}', "\x00"):
            await fake.say(garbage)
        await fake.connections[-1].send(b"\xff\xfe")
        await fake.say({"type": "RESTResponse", "request_id": "unknown", "status_code": 200})
        await fake.say({"type": "RESTResponse", "request_id": "", "status_code": 400})
        await fake.say({"type": "Strange"})
        assert (await client.event()).type == "Strange"
        await ari.asterisk.ping()
        assert ari.stats.malformed == 6
        assert client.downs == 0


async def test_an_error_over_one_event_does_not_end_the_reader(fake: FakeAri) -> None:
    def fail(event: Event) -> None:
        raise RuntimeError("bug")

    client = Client(fake.port, on_event=fail)
    async with client.ari as ari:
        await ari.wait_connected(WITHIN)
        await fake.until(lambda: bool(fake.connections))
        with capture_logs() as logs:
            await fake.say({"type": "StasisStart"})
            await ari.asterisk.ping()
        assert [entry["event_kind"] for entry in logs] == ["StasisStart"]
        assert ari.connected


async def test_a_server_that_never_answers_is_a_timeout_for_that_request_only(fake: FakeAri) -> None:
    client = Client(fake.port, request_timeout=0.1)
    async with client.ari as ari:
        await ari.wait_connected(WITHIN)
        fake.silent = True
        with pytest.raises(AriTimeout, match=r"GET asterisk/ping: no answer within 0\.1 s"):
            await ari.asterisk.ping()
        fake.silent = False
        await fake.say(fake.answer_to(fake.requests[0]))  # the late answer is nobody's
        await ari.asterisk.ping()
        assert (ari.stats.timeouts, client.downs) == (1, 0)


async def test_events_that_come_before_the_answer_are_heard_before_it(fake: FakeAri) -> None:
    client = Client(fake.port)
    async with client.ari as ari:
        await ari.wait_connected(WITHIN)
        fake.silent = True
        request = asyncio.create_task(ari.channels.originate("PJSIP/101", channel_id="agent-1"))
        await fake.until(lambda: len(fake.requests) == 1)
        for kind in ("StasisStart", "StasisEnd", "ChannelDestroyed"):  # answered and hung up already
            await fake.say({"type": kind, "channel": {"id": "agent-1"}, "args": []})
        await fake.say(fake.answer_to(fake.requests[0]) | {"message_body": '{"id":"agent-1"}'})
        assert (await request).id == "agent-1"
        assert [client.heard.get_nowait().channel_ids for _ in range(3)] == [("agent-1",)] * 3


async def test_a_cancelled_request_leaves_nothing_behind(fake: FakeAri) -> None:
    client = Client(fake.port)
    async with client.ari as ari:
        await ari.wait_connected(WITHIN)
        fake.silent = True
        request = asyncio.create_task(ari.asterisk.ping())
        await fake.until(lambda: len(fake.requests) == 1)
        request.cancel()
        await asyncio.gather(request, return_exceptions=True)
        fake.silent = False
        await fake.say(fake.answer_to(fake.requests[0]))
        await ari.asterisk.ping()
        assert len(ari._pending) == 0


async def test_a_refusal_tells_which_request_and_why(fake: FakeAri) -> None:
    fake.status = 422
    client = Client(fake.port)
    async with client.ari as ari:
        await ari.wait_connected(WITHIN)
        with pytest.raises(Invalid, match="GET asterisk/ping: 422 Fake"):
            await ari.asterisk.ping()
        assert ari.stats.refused == 1


@pytest.mark.parametrize("clean", [True, False], ids=["clean close", "broken"])
async def test_a_loss_fails_what_is_under_way_and_connects_again(fake: FakeAri, clean: bool) -> None:
    client = Client(fake.port)
    async with client.ari as ari:
        await ari.wait_connected(WITHIN)
        fake.silent = True
        requests = [asyncio.create_task(ari.asterisk.ping()) for _ in range(3)]
        await fake.until(lambda: len(fake.requests) == 3)
        if clean:
            await fake.connections[-1].close()
        else:
            fake.connections[-1].transport.abort()
        results = await asyncio.gather(*requests, return_exceptions=True)
        assert [type(result) for result in results] == [AriDisconnected] * 3
        fake.silent = False
        await client.until(lambda: client.ups == 2)
        await ari.asterisk.ping()
        assert (client.downs, ari.stats.connections) == (1, 2)


async def test_a_bug_in_the_connection_is_told_and_tried_again(fake: FakeAri, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(fake.port)
    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr(client.ari, "_connection", None)
        async with client.ari as ari:
            with pytest.raises(AriTimeout, match="TypeError"):
                await ari.wait_connected(0.05)
            patch.undo()
            await ari.wait_connected(WITHIN)
    assert "unexpected error in the connection to Asterisk" in {entry["event"] for entry in logs}


async def test_without_a_server_requests_fail_at_once_and_waiting_tells_why(fake: FakeAri) -> None:
    client = Client(1)
    async with client.ari as ari:
        assert not ari.connected
        with pytest.raises(AriDisconnected):
            await ari.asterisk.ping()
        with pytest.raises(AriTimeout, match=r"within 0\.05 s: .*Connect call failed"):
            await ari.wait_connected(0.05)


@pytest.mark.parametrize(
    ("status", "why"), [(401, "user name or password"), (404, "no ARI at this address"), (503, "answers 503")]
)
async def test_a_refused_connection_tells_what_to_look_at_and_is_tried_again(
    fake: FakeAri, status: int, why: str
) -> None:
    fake.refuse = Response(status, "no", None)  # type: ignore[arg-type]
    client = Client(fake.port)
    async with client.ari as ari:
        with pytest.raises(AriTimeout, match=why):
            await ari.wait_connected(0.2)
        fake.refuse = None
        await ari.wait_connected(WITHIN)
        await ari.asterisk.ping()


async def test_a_server_that_closes_at_once_does_not_make_a_tight_loop(fake: FakeAri) -> None:
    fake.close_at_once = True
    client = Client(fake.port, reconnect_seconds=(0.01, 10.0))
    with capture_logs() as logs:
        async with client.ari:
            await client.until(lambda: client.downs == 5)
    pauses = [entry["next_try_seconds"] for entry in logs if "next_try_seconds" in entry]
    assert len(pauses) >= 4
    assert all(0.01 * 2**n <= pause <= 0.02 * 2**n for n, pause in enumerate(pauses))


async def test_a_silent_server_counts_as_lost(fake: FakeAri) -> None:
    client = Client(fake.port, ping_seconds=0.1)
    async with client.ari as ari:
        await ari.wait_connected(WITHIN)
        await fake.until(lambda: len(fake.connections) == 1)
        fake.connections[-1].transport.pause_reading()  # the process hangs: no pong, no close
        await client.until(lambda: client.downs == 1)
        await client.until(lambda: client.ups == 2)
        fake.connections[0].transport.abort()


async def test_who_is_replaced_steps_down(fake: FakeAri) -> None:
    client = Client(fake.port, step_down_seconds=30.0)
    async with client.ari as ari:
        await ari.wait_connected(WITHIN)
        await fake.until(lambda: len(fake.connections) == 1)
        await fake.say({"type": "ApplicationReplaced", "application": "centralino"})
        assert (await client.event()).type == "ApplicationReplaced"
        await client.until(lambda: client.downs == 1)
        await fake.connections[0].wait_closed()
        with pytest.raises(AriTimeout, match="another service has taken over"):
            await ari.wait_connected(0.3)
        assert len(fake.connections) == 1
        ari.resume()
        await client.until(lambda: client.ups == 2)
        await ari.asterisk.ping()


async def test_after_stepping_down_it_tries_again(fake: FakeAri) -> None:
    client = Client(fake.port, step_down_seconds=0.01)
    async with client.ari as ari:
        await ari.wait_connected(WITHIN)
        await fake.until(lambda: len(fake.connections) == 1)
        await fake.say({"type": "ApplicationReplaced", "application": "centralino"})
        await client.until(lambda: client.ups == 2)
        await ari.asterisk.ping()


async def test_leaving_closes_the_connection_and_no_task_stays(fake: FakeAri) -> None:
    client = Client(fake.port)
    async with client.ari as ari:
        await ari.wait_connected(WITHIN)
        await fake.until(lambda: len(fake.connections) == 1)
        fake.silent = True
        request = asyncio.create_task(ari.asterisk.ping())
        await fake.until(lambda: len(fake.requests) == 1)
    assert isinstance((await asyncio.gather(request, return_exceptions=True))[0], AriDisconnected)
    assert not ari.connected
    await fake.connections[0].wait_closed()
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "ari"]


@pytest.mark.parametrize("url", ["127.0.0.1:8088", "ftp://x", "http://", ""])
async def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="address"):
        Ari(url, "app", "user", "password", on_event=print)


@pytest.mark.parametrize("base", ["", "/", "/ari", "/ari/"])
async def test_the_address_may_be_with_or_without_its_path(fake: FakeAri, base: str) -> None:
    async with Ari(f"http://127.0.0.1:{fake.port}{base}", "a b&c", "u", "p", on_event=print) as ari:
        await ari.wait_connected(WITHIN)
    assert fake.seen[0].path == "/ari/events?app=a+b%26c&subscribeAll=false"
