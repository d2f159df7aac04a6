"""An agent's desk without a browser: logs in, listens to the live events and notes when each one came."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx
import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from ivr.tasks import ended

LISTS = ("agents", "waiting", "messages", "requests", "pops")
"""What a page shows live."""


@dataclass(frozen=True)
class Heard:
    """One live event: `at` in seconds of `time.monotonic()`, the list it is about, and the item (None: gone)."""

    at: float
    topic: str
    id: int | str
    item: dict[str, Any] | None


class DeskClient:
    """One logged-in page. Raises httpx.HTTPStatusError when the log-in is refused."""

    def __init__(self, url: str, username: str, password: str) -> None:
        self.heard: list[Heard] = []
        self.items: dict[tuple[str, int | str], dict[str, Any]] = {}
        """What the page shows now, by list and id."""
        self._url = url
        self._login = {"username": username, "password": password}
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            self.http = await stack.enter_async_context(httpx.AsyncClient(base_url=self._url, trust_env=False))
            self.me = await self.post("/api/session", self._login)
            cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.http.cookies.jar)
            socket = await stack.enter_async_context(
                connect(
                    self._url.replace("http", "ws", 1) + "/api/live",
                    additional_headers={"Cookie": cookies},
                    origin=self._url,  # type: ignore[arg-type]
                    proxy=None,
                )
            )
            task = asyncio.create_task(self._listen(socket))
            stack.push_async_callback(ended, task)
            await self.wait_for(lambda heard: heard.topic == "snapshot")
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def post(self, path: str, body: Any = None) -> Any:
        """POST JSON as a page does. Raises httpx.HTTPStatusError when it is refused."""
        return await self._send("POST", path, body)

    async def get(self, path: str) -> Any:
        """GET JSON."""
        return await self._send("GET", path, None)

    async def _send(self, method: str, path: str, body: Any) -> Any:
        content = None if body is None else orjson.dumps(body)
        headers = {"Content-Type": "application/json", "Origin": self._url}
        answer = await self.http.request(method, path, content=content, headers=headers)
        answer.raise_for_status()
        return orjson.loads(answer.content) if answer.content else None

    async def wait_for(self, wanted: Callable[[Heard], bool], *, within: float = 10.0) -> Heard:
        """The first live event so far, or to come within that many seconds, that is wanted. Raises TimeoutError."""

        def found() -> Heard | None:
            return next((heard for heard in self.heard if wanted(heard)), None)

        async with self._changed, asyncio.timeout(within):
            await self._changed.wait_for(lambda: found() is not None)
        event = found()
        assert event is not None  # noqa: S101 - what was just waited for
        return event

    async def pop(self, call_id: str, *, within: float = 10.0) -> Heard:
        """Wait for the pop of a call."""
        return await self.wait_for(lambda heard: heard.topic == "pops" and heard.id == call_id, within=within)

    async def until_item(
        self, topic: str, item_id: int | str, seen: Callable[[dict[str, Any]], object], *, within: float = 10.0
    ) -> dict[str, Any]:
        """Wait until an item of a list, as the page shows it now, is as wanted. Raises TimeoutError."""

        def is_seen() -> bool:
            item = self.items.get((topic, item_id))
            return item is not None and bool(seen(item))

        try:
            async with self._changed, asyncio.timeout(within):
                await self._changed.wait_for(is_seen)
        except TimeoutError:
            shown = self.items.get((topic, item_id))
            raise TimeoutError(f"{topic} {item_id}: not as wanted within {within} s; shown: {shown}") from None
        return self.items[topic, item_id]

    async def _listen(self, socket: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for text in socket:
                async with self._changed:
                    for event in orjson.loads(text):
                        self._take(event["type"], event.get("data") or {})
                    self._changed.notify_all()

    def _take(self, topic: str, data: dict[str, Any]) -> None:
        at = time.monotonic()
        if topic == "snapshot":
            self.items = {
                (name, item["call_id"] if name == "pops" else item["id"]): item for name in LISTS for item in data[name]
            }
            self.heard.append(Heard(at, topic, 0, data))
            return
        if "id" not in data:
            return
        key, item = (topic, data["id"]), data.get("item")
        if item is None:
            self.items.pop(key, None)
        else:
            self.items[key] = item
        self.heard.append(Heard(at, topic, data["id"], item))
