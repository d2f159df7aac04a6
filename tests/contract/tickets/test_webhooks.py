"""Every change as a signed message to a receiver, by the same connector as Maximo."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tickets import operations
from tickets.connectors.sync import Sync, sync_state
from tickets.connectors.webhooks import Webhook, WebhookSettings, sign
from tickets.database import Database
from tickets.models import Channel, ConnectorChange, Kind, Request
from tickets.notices import Notices
from tickets.operations import NewRequest

pytestmark = pytest.mark.contract

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
KEY = b"una chiave di prova di 32 ottett"
SECRET = "whsec_" + base64.b64encode(KEY).decode()


class Receiver:
    """A web server of one's own that takes messages, and answers as it is told."""

    def __init__(self) -> None:
        self.taken: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.seen: list[str] = []
        self.answers: list[str] = []

    async def __aenter__(self) -> "Receiver":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/centralino"
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers["content-length"]))
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        expected = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{expected}"
        self.seen.append(headers["webhook-id"])
        answer = self.answers.pop(0) if self.answers else "204 No Content"
        if answer.startswith("2"):
            self.taken.append((headers, json.loads(body)))
        writer.write(f"HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


@pytest.fixture
async def followed(database: Database) -> AsyncIterator[Database]:
    followed = Database(database.url, patience=5, connectors=("webhook-qualita",))
    yield followed
    await followed.close()


def settings_for(receiver: Receiver, **changes: Any) -> WebhookSettings:
    return WebhookSettings.model_validate(
        {"name": "qualita", "url": receiver.url, "secret": SecretStr(SECRET), "timeout": 2} | changes
    )


def lived(session: Session, notices: Notices) -> Request:
    new = NewRequest(
        kind=Kind.PROBLEM,
        area="use",
        channel=Channel.EMAIL,
        subject="Oggetto riservato",
        email="anna@example.org",
        received_at=NOW,
    )
    request = operations.open_request(session, new, notices, now=NOW)
    operations.add_note(session, request.id, "Una nota", actor="anna", now=NOW)
    operations.close_request(session, request.id, notices, solution="Fatto", actor="anna", now=NOW)
    return request


def waiting(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(ConnectorChange)) or 0


async def test_a_receiver_hears_of_every_change_in_order_and_signed(
    followed: Database, receiver: Receiver, notices: Notices
) -> None:
    request = await followed.run(lived, notices)
    async with Webhook(settings_for(receiver, content="all"), lambda: NOW) as webhook:
        await Sync(followed, webhook, notices).deliver(now=NOW)
    assert [body["type"] for _, body in receiver.taken] == [
        "request.created",
        "request.status",
        "request.worklog",
        "request.status",
        "request.worklog",
        "request.status",
    ]
    assert [body["data"]["status"] for _, body in receiver.taken if body["type"] == "request.status"] == [
        "queued",
        "in_progress",
        "closed",
    ]
    assert {body["data"]["request"]["ticket"] for _, body in receiver.taken} == {request.ticket}
    assert receiver.taken[2][1]["data"]["text"] == "Una nota"
    assert len(set(receiver.seen)) == 6
    (state,) = await followed.read(sync_state, request.id)
    assert state.standing == "in_step"


async def test_without_leave_a_receiver_hears_no_text_and_no_name(
    followed: Database, receiver: Receiver, notices: Notices
) -> None:
    await followed.run(lived, notices)
    async with Webhook(settings_for(receiver), lambda: NOW) as webhook:
        await Sync(followed, webhook, notices).deliver(now=NOW)
    told = json.dumps([body for _, body in receiver.taken])
    assert len(receiver.taken) == 6
    for secret in ("riservato", "example.org", "nota", "Fatto", "anna"):
        assert secret not in told


@pytest.mark.parametrize("answer", ["503 Busy\r\nRetry-After: 600", "404 Not Found", "302 Found\r\nLocation: /altrove"])
async def test_a_receiver_that_is_away_is_asked_later_with_the_same_ids(
    followed: Database, receiver: Receiver, notices: Notices, answer: str
) -> None:
    request = await followed.run(lived, notices)
    receiver.answers = [answer]
    async with Webhook(settings_for(receiver), lambda: NOW) as webhook:
        sync = Sync(followed, webhook, notices)
        assert await sync.deliver(now=NOW) == 0
        assert await sync.deliver(now=NOW + timedelta(seconds=1)) == 0
        assert len(receiver.seen) == 1
        assert await sync.deliver(now=NOW + timedelta(minutes=11)) == 4
    assert receiver.seen[0] == receiver.seen[1]
    assert len(set(receiver.seen)) == 6
    assert (await followed.read(sync_state, request.id))[0].standing == "in_step"


async def test_a_message_that_is_refused_does_not_hold_up_other_requests(
    followed: Database, receiver: Receiver, notices: Notices
) -> None:
    first = await followed.run(lived, notices)
    second = await followed.run(lived, notices)
    receiver.answers = ["422 Unprocessable"]
    async with Webhook(settings_for(receiver), lambda: NOW) as webhook:
        sync = Sync(followed, webhook, notices)
        await sync.deliver(now=NOW)
        assert {body["data"]["request"]["ticket"] for _, body in receiver.taken} == {second.ticket}
        (state,) = await followed.read(sync_state, first.id)
        assert (state.standing, state.waiting) == ("refused", 4)
        await sync.deliver(now=NOW + timedelta(minutes=2))
    assert await followed.read(waiting) == 0


def test_the_signature_is_that_of_standard_webhooks() -> None:
    """The example of https://github.com/standard-webhooks/standard-webhooks (spec/standard-webhooks.md)."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    assert sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body) == (
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


@pytest.mark.parametrize(
    "spoil",
    [
        {"name": "Qualità"},
        {"url": "ftp://x"},
        {"url": "https://anna:segreta@example.org/"},
        {"secret": "troppo-corta"},
        {"secret": "whsec_" + base64.b64encode(b"corta").decode()},
        {"secret": "whsec_???"},
    ],
)
def test_a_receiver_described_wrongly_is_refused(spoil: dict[str, Any]) -> None:
    good = {"name": "qualita", "url": "https://example.org/x", "secret": SECRET}
    WebhookSettings.model_validate(good)
    with pytest.raises(ValidationError) as caught:
        WebhookSettings.model_validate(good | spoil)
    assert "troppo-corta" not in "; ".join(problem["msg"] for problem in caught.value.errors())
