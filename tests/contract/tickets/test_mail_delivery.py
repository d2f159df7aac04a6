"""Notices on their way to a real mail server."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from typing import Any

import aiosmtpd.smtp
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope
from sqlalchemy import select
from sqlalchemy.orm import Session

from tickets import operations, outbox
from tickets.database import Database
from tickets.models import Channel, DeliveryState, Kind, OutboxMail, RequestEvent
from tickets.notices import Notices
from tickets.outbox import SmtpSettings, deliver_due

pytestmark = pytest.mark.contract

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)


class Inbox:
    """Keeps what the server takes; `answers` are given to recipients, `at_data` to contents."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.answers: dict[str, str] = {}
        self.at_data = "250 taken"
        self.connections = 0

    async def handle_EHLO(  # noqa: N802
        self, _server: SMTP, session: aiosmtpd.smtp.Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        self.connections += 1
        session.host_name = hostname
        return responses

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: aiosmtpd.smtp.Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        answer = self.answers.get(address, "250 ok")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, _server: SMTP, _session: aiosmtpd.smtp.Session, envelope: Envelope) -> str:  # noqa: N802
        if self.at_data.startswith("250"):
            self.envelopes.append(envelope)
        return self.at_data

    @property
    def messages(self) -> list[Any]:
        return [message_from_bytes(e.content or b"", policy=policy.default) for e in self.envelopes]  # type: ignore[arg-type]


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
async def smtp(inbox: Inbox, unused_tcp_port: int) -> AsyncIterator[SmtpSettings]:
    controller = Controller(inbox, hostname="127.0.0.1", port=unused_tcp_port)
    await asyncio.to_thread(controller.start)
    yield SmtpSettings(host="127.0.0.1", port=unused_tcp_port)
    await asyncio.to_thread(controller.stop)


async def opened(database: Database, notices: Notices, email: str, subject: str = "Prova", at: datetime = NOW) -> int:
    new = operations.NewRequest(
        kind=Kind.PROBLEM,
        area="application",
        channel=Channel.EMAIL,
        subject=subject,
        email=email,
        received_at=at,
        pickup_due_at=at + timedelta(hours=1),
    )
    return (await database.run(operations.open_request, new, notices, now=at)).id


async def look(database: Database, request_id: int) -> tuple[OutboxMail, list[tuple[str, Any]]]:
    def read(session: Session) -> tuple[OutboxMail, list[tuple[str, Any]]]:
        mail = session.scalars(select(OutboxMail).where(OutboxMail.request_id == request_id)).first()
        assert mail is not None
        events = select(RequestEvent).where(RequestEvent.request_id == request_id).order_by(RequestEvent.id)
        later = session.scalars(events).all()[1:]
        return mail, [(event.kind, event.details.get("error")) for event in later]

    return await database.read(read)


async def test_notices_arrive_oldest_first_over_one_connection(
    database: Database, notices: Notices, inbox: Inbox, smtp: SmtpSettings
) -> None:
    ids = [
        await opened(database, notices, f"user{n}@asl.example", f"Perché {n}?", NOW - timedelta(minutes=n))
        for n in range(3)
    ]
    assert await deliver_due(database, smtp, now=NOW) == 3
    assert [e.rcpt_tos for e in inbox.envelopes] == [[f"user{n}@asl.example"] for n in (2, 1, 0)]
    assert {e.mail_from for e in inbox.envelopes} == {"helpdesk@desk.example"}
    assert inbox.connections == 1
    mail, events = await look(database, ids[0])
    assert (mail.state, mail.sent_at, mail.attempts) == (DeliveryState.SENT, NOW, 1)
    assert events == [("notice_sent", None)]
    message = inbox.messages[-1]
    assert message["Message-ID"] == mail.message_id
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["From"] == "Help Desk <helpdesk@desk.example>"
    assert "Perché 0?" in message["Subject"]
    assert "Oggetto: Perché 0?" in message.get_content()
    assert await deliver_due(database, smtp, now=NOW + timedelta(days=1)) == 0
    assert len(inbox.envelopes) == 3


async def test_a_passing_refusal_is_tried_again_later(
    database: Database, notices: Notices, inbox: Inbox, smtp: SmtpSettings
) -> None:
    inbox.answers["anna@asl.example"] = "451 greylisted, try later"
    request_id = await opened(database, notices, "anna@asl.example")
    other_id = await opened(database, notices, "bruno@asl.example")
    assert await deliver_due(database, smtp, now=NOW) == 1  # one refusal does not hold the others up
    mail, events = await look(database, request_id)
    assert (mail.state, mail.attempts, mail.next_attempt_at) == (DeliveryState.PENDING, 1, NOW + timedelta(minutes=1))
    assert mail.last_error is not None
    assert "451 greylisted" in mail.last_error
    assert events == []
    assert (await look(database, other_id))[0].state == DeliveryState.SENT
    first_id = mail.message_id
    assert await deliver_due(database, smtp, now=NOW + timedelta(seconds=59)) == 0
    inbox.answers.clear()
    assert await deliver_due(database, smtp, now=NOW + timedelta(seconds=60)) == 1
    mail, events = await look(database, request_id)
    assert (mail.state, mail.last_error, mail.message_id) == (DeliveryState.SENT, None, first_id)
    assert events == [("notice_sent", None)]


@pytest.mark.parametrize("where", ["recipient", "content"])
async def test_a_refusal_for_good_is_seen_at_once(
    database: Database, notices: Notices, inbox: Inbox, smtp: SmtpSettings, where: str
) -> None:
    if where == "recipient":
        inbox.answers["anna@asl.example"] = "550 no such user"
    else:
        inbox.at_data = "554 content refused"
    request_id = await opened(database, notices, "anna@asl.example")
    assert await deliver_due(database, smtp, now=NOW) == 0
    mail, events = await look(database, request_id)
    assert mail.state == DeliveryState.DEAD
    ((kind, error),) = events
    assert kind == "notice_failed"
    assert error.startswith("550 no such user" if where == "recipient" else "554 content refused")
    assert await deliver_due(database, smtp, now=NOW + timedelta(days=2)) == 0
    assert inbox.envelopes == []


async def test_a_server_that_is_away_is_tried_for_a_day(
    database: Database, notices: Notices, unused_tcp_port: int
) -> None:
    away = SmtpSettings(host="127.0.0.1", port=unused_tcp_port)
    request_id = await opened(database, notices, "anna@asl.example")
    assert await deliver_due(database, away, now=NOW) == 0
    mail, events = await look(database, request_id)
    assert (mail.state, mail.attempts, events) == (DeliveryState.PENDING, 1, [])
    assert mail.last_error is not None
    assert "mail server not reached" in mail.last_error
    at = NOW
    while (mail := (await look(database, request_id))[0]).state == DeliveryState.PENDING:
        at = mail.next_attempt_at
        assert await deliver_due(database, away, now=at) == 0
    assert timedelta(hours=22) < at - NOW < timedelta(hours=26)
    assert mail.state == DeliveryState.DEAD
    assert [kind for kind, _ in (await look(database, request_id))[1]] == ["notice_failed"]


async def test_two_runs_at_once_send_each_notice_once(
    database: Database, notices: Notices, inbox: Inbox, smtp: SmtpSettings
) -> None:
    for n in range(10):
        await opened(database, notices, f"user{n}@asl.example")
    sent = await asyncio.gather(*(deliver_due(database, smtp, now=NOW) for _ in range(4)))
    assert sum(sent) == 10
    assert len(inbox.envelopes) == 10


async def test_nothing_can_be_smuggled_into_the_headers_or_the_dialogue(
    database: Database, notices: Notices, inbox: Inbox, smtp: SmtpSettings
) -> None:
    for subject in (
        "x\r\nBcc: evil@example.org\r\n\r\nbody",
        "=?utf-8?q?=0D=0ABcc:_evil@example.org?=",
        "x\x85\u2028Bcc: evil@example.org",
        "\r\n.\r\nMAIL FROM:<evil@example.org>\r\nRCPT TO:<evil@example.org>\r\nDATA\r\n",
    ):
        await opened(database, notices, "anna@asl.example", subject)
    assert await deliver_due(database, smtp, now=NOW) == 4
    assert [e.rcpt_tos for e in inbox.envelopes] == [["anna@asl.example"]] * 4
    for message in inbox.messages:
        assert message["Bcc"] is None
        assert len(message.keys()) == len(inbox.messages[0].keys())


async def test_a_batch_has_a_limit_and_the_rest_comes_next(
    database: Database, notices: Notices, smtp: SmtpSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "BATCH", 2)
    for n in range(3):
        await opened(database, notices, f"user{n}@asl.example")
    assert await deliver_due(database, smtp, now=NOW) == 2
    assert await deliver_due(database, smtp, now=NOW) == 1
