"""The connection to Asterisk: one websocket for requests and events, kept up as long as the service runs."""

import asyncio
import base64
import contextlib
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlencode, urlsplit

import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from ivr.ari import operations
from ivr.ari.core import Answer, Malformed, Pending, decode
from ivr.ari.errors import AriDisconnected, AriTimeout, refusal
from ivr.ari.events import ApplicationReplaced, Event

log = structlog.get_logger()

_websocket_log = logging.getLogger("ivr.ari.websocket")
_websocket_log.setLevel(logging.WARNING)  # at DEBUG the library would write the password and every caller's number

_SLOW_SECONDS = 1.0
_STABLE_SECONDS = 5.0


@dataclass(slots=True)
class Stats:
    """Counters since the start, for metrics."""

    requests: int = 0
    refused: int = 0
    timeouts: int = 0
    events: int = 0
    malformed: int = 0
    connections: int = 0


class Ari:
    """A connection to Asterisk for one Stasis application, as an async context manager.

    It connects in the background, now and after each loss, with growing pauses (`reconnect_seconds`: the first and the
    longest). `url` is where ARI is, such as `http://127.0.0.1:8088` (its path is `/ari` unless given). The callbacks
    are called from the task that reads the socket: they must return at once and not wait for anything. A loss fails
    the requests under way (AriDisconnected), then calls `on_disconnected`.

    Events while there is no connection are lost for ever, and nothing is repeated afterwards: in `on_connected` read
    the state anew. When another connection takes over the same application, this one steps down: it closes, and tries
    again only after `step_down_seconds`, so that two services do not fight, or when told to `resume`.

    A silent server counts as lost after `ping_seconds` without an answer to a ping, which is sent as often.
    """

    def __init__(
        self,
        url: str,
        app: str,
        username: str,
        password: str,
        *,
        on_event: Callable[[Event], None],
        on_connected: Callable[[], None] = lambda: None,
        on_disconnected: Callable[[], None] = lambda: None,
        request_timeout: float = 5.0,
        reconnect_seconds: tuple[float, float] = (0.1, 5.0),
        step_down_seconds: float | None = 60.0,
        ping_seconds: float = 10.0,
    ) -> None:
        self.app = app
        self.stats = Stats()
        self.stepped_down = False
        """Whether another connection has taken over the application, and it is left to that one for now."""
        self._url = _websocket_url(url, app)
        self._address = urlsplit(url).netloc.rpartition("@")[2]
        # In a header, not in the address: addresses are logged.
        token = base64.b64encode(f"{username}:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {token}"}
        self._on_event, self._on_connected, self._on_disconnected = on_event, on_connected, on_disconnected
        self._request_timeout, self._ping_seconds = request_timeout, ping_seconds
        self._first_pause, self._longest_pause = reconnect_seconds
        self._step_down_seconds = step_down_seconds
        self._pending: Pending[asyncio.Future[Answer]] = Pending()
        self._socket: ClientConnection | None = None
        self._up = asyncio.Event()
        self._why_down = "not connected yet"
        self._replaced = False
        self._resumed = asyncio.Event()

        self.channels = operations.Channels(self.request, app)
        self.bridges = operations.Bridges(self.request)
        self.playbacks = operations.Playbacks(self.request)
        self.recordings = operations.Recordings(self.request)
        self.applications = operations.Applications(self.request)
        self.endpoints = operations.Endpoints(self.request)
        self.device_states = operations.DeviceStates(self.request)
        self.events = operations.Events(self.request)
        self.asterisk = operations.System(self.request)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._stay_connected(), name="ari")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    @property
    def connected(self) -> bool:
        """Whether requests can be made now."""
        return self._socket is not None

    async def wait_connected(self, timeout: float) -> None:
        """Wait until requests can be made. Raises AriTimeout after `timeout` seconds, saying what is wrong."""
        try:
            async with asyncio.timeout(timeout):
                await self._up.wait()
        except TimeoutError:
            raise AriTimeout(f"no connection to Asterisk within {timeout:g} s: {self._why_down}") from None

    def resume(self) -> None:
        """Connect again, where this one has stepped down: the application is its own again."""
        self._resumed.set()

    async def request(self, method: str, path: str, query: Mapping[str, str] | None = None, body: object = None) -> str:
        """Make one request and return the body of its answer, JSON text or empty.

        `path` is relative to ARI, its parts percent-encoded. Raises AriRefused for a status of 400 and above,
        AriTimeout, AriDisconnected; TypeError when a text cannot be sent (a lone surrogate).
        """
        socket = self._socket
        if socket is None:
            raise AriDisconnected(f"no connection to Asterisk: {self._why_down}")
        loop = asyncio.get_running_loop()
        started = loop.time()
        waiter: asyncio.Future[Answer] = loop.create_future()
        request_id, text = self._pending.add(waiter, method, path, query, body)
        self.stats.requests += 1
        try:
            async with asyncio.timeout(self._request_timeout):
                await socket.send(text, text=True)
                answer = await waiter
        except TimeoutError:
            self.stats.timeouts += 1
            raise AriTimeout(f"{method} {path}: no answer within {self._request_timeout:g} s") from None
        except ConnectionClosed:
            raise AriDisconnected(f"{method} {path}: the connection to Asterisk was lost") from None
        finally:
            self._pending.take(request_id)
        if loop.time() - started > _SLOW_SECONDS:
            # All requests of a connection wait for each other: see the module `operations`.
            log.warning("slow request to Asterisk", method=method, path=path, seconds=loop.time() - started)
        if answer.status >= 400:
            self.stats.refused += 1
            raise refusal(answer.status, answer.message, f"{method} {path}")
        return answer.body

    # --------------------------------------------------------------------------------------------------- connection

    async def _stay_connected(self) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            started = loop.time()
            try:
                await self._connection()
                self._why_down = "Asterisk closed the connection"
            except (OSError, TimeoutError, WebSocketException) as error:
                self._why_down = _explain(error)
            except Exception as error:
                log.exception("unexpected error in the connection to Asterisk")
                self._why_down = repr(error)
            # A connection that breaks at once is a failure, too: no tight loop.
            failures = 0 if loop.time() - started > _STABLE_SECONDS else failures + 1
            pause = min(self._first_pause * 2 ** min(failures, 16), self._longest_pause) * random.uniform(0.5, 1.0)  # noqa: S311
            self.stepped_down = self._replaced
            wait: float | None = pause
            if self.stepped_down:
                self._replaced, wait = False, self._step_down_seconds
                self._why_down = "another service has taken over this application"
            log.warning(
                "no connection to Asterisk",
                address=self._address,
                app=self.app,
                why=self._why_down,
                next_try_seconds=None if wait is None else round(wait, 2),
            )
            self._resumed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await (self._resumed.wait() if self.stepped_down else asyncio.sleep(pause))
            self.stepped_down = False

    async def _connection(self) -> None:
        """Connect and read until it is over."""
        async with connect(
            self._url,
            additional_headers=self._headers,
            user_agent_header=None,
            compression=None,  # costs more than it saves on the way to a neighbour
            proxy=None,
            max_size=16 * 2**20,  # a list of thousands of channels
            max_queue=None,  # the reader never waits
            open_timeout=self._request_timeout,
            close_timeout=1.0,
            ping_interval=self._ping_seconds,
            ping_timeout=self._ping_seconds,
            logger=_websocket_log,
        ) as socket:
            self._socket = socket
            self._up.set()
            self.stats.connections += 1
            log.info("connected to Asterisk", app=self.app)
            try:
                self._call(self._on_connected)
                while not self._replaced:
                    self._receive(await socket.recv(decode=False))
            finally:
                self._socket = None
                self._up.clear()
                for waiter in self._pending.drain():
                    if not waiter.done():
                        waiter.set_exception(AriDisconnected("the connection to Asterisk was lost"))
                self._call(self._on_disconnected)

    def _receive(self, text: bytes) -> None:
        try:
            message = decode(text)
        except Malformed as error:
            self.stats.malformed += 1
            log.warning("unreadable message from Asterisk", size=len(text), why=str(error)[:200])
            return
        if isinstance(message, Answer):
            waiter = self._pending.take(message.request_id)
            if waiter is not None and not waiter.done():
                waiter.set_result(message)
            return
        self.stats.events += 1
        if isinstance(message, ApplicationReplaced):
            self._replaced = True
        self._call(self._on_event, message)

    def _call(self, callback: Callable[..., None], *arguments: Event) -> None:
        try:
            callback(*arguments)
        except Exception:
            # The reader serves every call: an error over one event must not end it.
            log.exception("error in a callback", event_kind=arguments[0].type if arguments else None)


def _websocket_url(url: str, app: str) -> str:
    """Make the websocket's address of Asterisk's web server, or of ARI below it. Raises ValueError for any other."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"Asterisk's address must be like http://127.0.0.1:8088, not {url!r}")
    query = urlencode({"app": app, "subscribeAll": "false"})
    path = parts.path.rstrip("/").removesuffix("/ari")
    return f"ws{parts.scheme[4:]}://{parts.netloc}{path}/ari/events?{query}"


def _explain(error: Exception) -> str:
    if isinstance(error, InvalidStatus):
        status = error.response.status_code
        return {
            401: "Asterisk refuses the user name or password (ari.conf)",
            403: "Asterisk refuses the user name or password (ari.conf)",
            404: "there is no ARI at this address (http.conf, ari.conf: enabled=yes)",
        }.get(status, f"Asterisk answers {status}")
    if isinstance(error, ConnectionClosed):
        return "the connection broke"
    return str(error) or type(error).__name__
