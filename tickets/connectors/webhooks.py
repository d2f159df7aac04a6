"""Outgoing webhooks: every change of a request as a signed message to an address of the site's choice.

The form is that of Standard Webhooks (https://www.standardwebhooks.com), which receivers have libraries for:
`webhook-id` is the same at every attempt, `webhook-timestamp` is the time of this one, and `webhook-signature` is the
HMAC-SHA256 of `id.timestamp.body`.
"""

import base64
import binascii
import hashlib
import hmac
import ssl
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Literal, Self

import httpx
import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from tickets.connectors import Entry, File, Heard, Outgoing, Refused, Remote, Unreachable, trusted
from tickets.models import Status

PREFIX = "whsec_"
SHORTEST_KEY = 24
"""Bytes, of Standard Webhooks."""


def signing_key(secret: str) -> bytes:
    """The key that a secret stands for: `whsec_` and base64. Raises ValueError where it is none, or is too short."""
    if not secret.startswith(PREFIX):
        raise ValueError("must begin with whsec_, and go on in base64: openssl rand -base64 32 makes one")
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("is not base64 after whsec_: openssl rand -base64 32 makes one") from None
    if not SHORTEST_KEY <= len(key) <= 64:
        raise ValueError("must stand for 24 to 64 bytes: openssl rand -base64 32 makes one")
    return key


def sign(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """The signature of one message, as its header carries it."""
    signed = b"%s.%d.%s" % (message_id.encode(), timestamp, body)
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def _check_secret(secret: SecretStr) -> SecretStr:
    signing_key(secret.get_secret_value())
    return secret


def _check_url(url: str) -> str:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL("")
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.userinfo:
        raise ValueError("is no address such as https://tickets.example.org/centralino")
    return url


class WebhookSettings(BaseModel):
    """One receiver."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,29}$")]
    """Small letters, digits and `-`; it is the same for ever."""
    url: Annotated[str, AfterValidator(_check_url)]
    secret: Annotated[SecretStr, AfterValidator(_check_secret)]
    content: Literal["numbers", "all"] = "numbers"
    """`numbers`: ticket, status, kind, area, level, times; `all`: also who asked, and every text."""
    ca_file: Path | None = None
    timeout: Annotated[float, Field(gt=0, le=60)] = 15.0
    alarm_minutes: Annotated[int, Field(ge=1, le=1440)] = 30

    @property
    def connector(self) -> str:
        """Its name among all connectors."""
        return f"webhook-{self.name}"


class Webhook:
    """The connector to one receiver, as an async context manager. `now` gives the time of an attempt."""

    answers = False

    def __init__(self, settings: WebhookSettings, now: Callable[[], datetime]) -> None:
        self.name, self.settings, self._now = settings.connector, settings, now
        self._unusable: Unreachable | None = None
        self._secret = signing_key(settings.secret.get_secret_value())

    async def __aenter__(self) -> Self:
        trust: ssl.SSLContext | bool = True
        try:
            trust = trusted(self.settings.ca_file)
        except Unreachable as error:  # calls and requests go on without it
            self._unusable = error
        self._http = httpx.AsyncClient(
            timeout=self.settings.timeout,
            verify=trust,
            trust_env=False,
            follow_redirects=False,
            headers={"User-Agent": "centralino", "Content-Type": "application/json"},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def find(self, tickets: Sequence[str]) -> Mapping[str, Sequence[Remote]]:
        """A receiver cannot be asked."""
        return {}

    async def changes_since(self, mark: str | None) -> Heard:
        """A receiver tells nothing."""
        return Heard((), mark)

    async def create(self, request: Outgoing, entry: Entry) -> Remote:
        """See `Connector`."""
        await self._tell("created", request, entry)
        return Remote(id=request.ticket, key=request.ticket, ticket=request.ticket)

    async def update(self, remote: Remote, request: Outgoing, entry: Entry) -> Remote:
        """See `Connector`."""
        await self._tell("updated", request, entry)
        return remote

    async def worklog(self, remote: Remote, request: Outgoing, entry: Entry, *, repeated: bool) -> Remote:
        """See `Connector`."""
        text = {"text": entry.text} if self.settings.content == "all" else {}
        await self._tell("worklog", request, entry, text)
        return remote

    async def attachment(
        self, remote: Remote, request: Outgoing, entry: Entry, file: File, *, repeated: bool
    ) -> Remote:
        """See `Connector`. Files themselves are not sent, only that there is one."""
        name = {"file": {"name": file.name, "media_type": file.media_type}} if self.settings.content == "all" else {}
        await self._tell("attachment", request, entry, name, key=file.key)
        return remote

    async def status(self, remote: Remote, request: Outgoing, status: Status, entry: Entry) -> Remote:
        """See `Connector`."""
        await self._tell("status", request, entry, {"status": status.value})
        return remote

    async def _tell(
        self, what: str, request: Outgoing, entry: Entry, more: Mapping[str, Any] | None = None, key: str = ""
    ) -> None:
        if self._unusable is not None:
            raise Unreachable(str(self._unusable))
        names = {"ticket", "kind", "area", "channel", "level", "status", "priority", "language"}
        names |= {"received_at", "opened_at", "closed_at"}
        if self.settings.content == "all":
            names = set(Outgoing.__dataclass_fields__) - {"id"}
        data: dict[str, Any] = {"event": entry.kind, "actor": entry.actor, "at": entry.at}
        if self.settings.content == "numbers":
            del data["actor"]
        data |= {"request": {name: getattr(request, name) for name in sorted(names)}} | dict(more or {})
        body = orjson.dumps({"type": f"request.{what}", "timestamp": entry.at, "data": data})
        sent = int(self._now().timestamp())
        message_id = f"{key or entry.key}.{what}"
        headers = {
            "webhook-id": message_id,
            "webhook-timestamp": str(sent),
            "webhook-signature": sign(self._secret, message_id, sent, body),
        }
        try:
            answer = await self._http.post(self.settings.url, content=body, headers=headers)
        except (httpx.HTTPError, OSError) as error:
            raise Unreachable(f"the receiver does not answer: {error or type(error).__name__}") from error
        if answer.is_success:
            return
        told = f"the receiver says {answer.status_code} {answer.reason_phrase}"
        if answer.status_code in (400, 409, 410, 413, 415, 422):
            raise Refused(told)
        wait = answer.headers.get("retry-after", "")
        raise Unreachable(told, float(wait) if wait.isdecimal() else None)
