"""The language of ARI's websocket without the socket: requests to text, text to events and answers.

Requests and events share one connection ("REST over WebSocket", Asterisk 20.14, 21.9, 22.4 and later). A request is

    {"type": "RESTRequest", "request_id": "7", "method": "POST", "uri": "channels/ID/play",
     "query_strings": [{"name": "media", "value": "sound:welcome"}]}

and its answer a `RESTResponse` with the same `request_id`, a `status_code` and a `message_body` (JSON in a string).
Parameters travel in `query_strings` as they are: Asterisk decodes nothing there, so no value needs quoting. Of a
parameter given twice only the last counts, so the values of a list are joined with commas instead.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import orjson

from ivr.ari.events import Event, event_from

W = TypeVar("W")
"""Whatever waits for an answer; a future, in the client."""


class Malformed(ValueError):
    """A message that is no ARI message; it can only be counted and dropped."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request; `body` is JSON text, often empty."""

    request_id: str
    status: int
    body: str
    reason: str

    @property
    def message(self) -> str:
        """Asterisk's explanation of a refusal."""
        try:
            told = orjson.loads(self.body)
            return str(told.get("message") or told.get("error") or self.reason)
        except (ValueError, AttributeError):
            return self.reason


def encode_request(
    request_id: str,
    method: str,
    path: str,
    query: Mapping[str, str] | None = None,
    body: object = None,
) -> bytes:
    """Write a request. `path` has no leading slash and its variable parts are percent-encoded; `body` becomes JSON.

    Raises TypeError when a text cannot be sent (a lone surrogate) or `body` is no JSON.
    """
    request: dict[str, Any] = {"type": "RESTRequest", "request_id": request_id, "method": method, "uri": path}
    if query:
        request["query_strings"] = [{"name": name, "value": value} for name, value in query.items()]
    if body is not None:
        request["content_type"] = "application/json"
        request["message_body"] = orjson.dumps(body).decode()
    return orjson.dumps(request)


def decode(text: bytes | str) -> Event | Answer:
    """Read one message. Raises Malformed."""
    try:
        raw = orjson.loads(text)
        if raw["type"] != "RESTResponse":
            return event_from(raw)
        return Answer(
            str(raw["request_id"]),
            int(raw["status_code"]),
            str(raw.get("message_body") or ""),
            str(raw.get("reason_phrase") or ""),
        )
    except (ValueError, TypeError, KeyError) as error:
        raise Malformed(repr(error)) from error


class Pending(Generic[W]):
    """One connection's requests under way, by their id. Knows no socket and no clock."""

    def __init__(self) -> None:
        self._last_id = 0
        self._pending: dict[str, W] = {}

    def __len__(self) -> int:
        """How many answers are outstanding."""
        return len(self._pending)

    def add(
        self, waiter: W, method: str, path: str, query: Mapping[str, str] | None = None, body: object = None
    ) -> tuple[str, bytes]:
        """Begin a request: returns its id and the text to send. Raises TypeError as `encode_request`."""
        self._last_id += 1
        request_id = str(self._last_id)
        text = encode_request(request_id, method, path, query, body)
        self._pending[request_id] = waiter
        return request_id, text

    def take(self, request_id: str) -> W | None:
        """Take who waits for this answer, or forget them; None when nobody waits (any more)."""
        return self._pending.pop(request_id, None)

    def drain(self) -> list[W]:
        """Take all who wait: the connection is lost."""
        waiters = list(self._pending.values())
        self._pending.clear()
        return waiters
