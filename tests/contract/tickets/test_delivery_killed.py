"""A process that delivers is killed 200 times at random moments: no notice is lost, and what repeats can be told."""

import asyncio
import multiprocessing
import os
import random
import signal
import threading
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from multiprocessing.connection import Connection

import aiosmtpd.smtp
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tickets import operations
from tickets.database import Database
from tickets.models import Channel, DeliveryState, Kind, OutboxMail, RequestEvent
from tickets.notices import NoticeCaps, Notices
from tickets.outbox import SmtpSettings, deliver_due

pytestmark = pytest.mark.contract

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
KILLS = int(os.environ.get("CENTRALINO_KILLS", "25"))
BETWEEN = timedelta(hours=2)
"""From one life to the next: longer than any pause between attempts, so that each life finds all that is pending."""
FEW = NoticeCaps(per_address=100_000, per_thread=100_000)


class Server:
    """Takes mails and counts them by Message-ID; every eleventh recipient is greylisted at first."""

    def __init__(self) -> None:
        self.taken: Counter[str] = Counter()
        self.greylisted: set[str] = set()
        self.signs = threading.Semaphore(0)
        """One for each greeting, recipient and content that comes."""

    async def handle_EHLO(  # noqa: N802
        self, _server: SMTP, session: aiosmtpd.smtp.Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        self.signs.release()
        return responses

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: aiosmtpd.smtp.Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        self.signs.release()
        if int(address[1 : address.index("@")]) % 11 == 0 and address not in self.greylisted:
            self.greylisted.add(address)
            return "451 greylisted, try later"
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, _server: SMTP, _session: aiosmtpd.smtp.Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.content
        assert isinstance(content, bytes)
        self.taken[str(message_from_bytes(content)["Message-ID"])] += 1
        self.signs.release()
        return "250 taken"


@pytest.fixture
async def server(unused_tcp_port: int) -> AsyncIterator[tuple[Server, SmtpSettings]]:
    taking = Server()
    controller = Controller(taking, hostname="127.0.0.1", port=unused_tcp_port)
    await asyncio.to_thread(controller.start)
    yield taking, SmtpSettings(host="127.0.0.1", port=unused_tcp_port)
    await asyncio.to_thread(controller.stop)


def live(url: str, smtp: SmtpSettings, now: datetime, told: Connection) -> None:
    """One life of the process: deliver what is due, again and again, until it is killed."""

    async def run() -> None:
        database = Database(url, patience=5)
        told.send("up")
        while True:
            await deliver_due(database, smtp, now=now, caps=FEW)
            await asyncio.sleep(0.01)

    asyncio.run(run())


def write(session: Session, notices: Notices, number: int, count: int, now: datetime) -> None:
    """Open so many requests, each with its notice."""
    for n in range(number, number + count):
        new = operations.NewRequest(
            kind=Kind.PROBLEM,
            area="application",
            channel=Channel.EMAIL,
            subject=f"Richiesta {n}",
            email=f"u{n}@asl.example",
            received_at=now,
        )
        operations.open_request(session, new, notices, now=now)


async def test_killed_again_and_again_every_notice_arrives(
    database: Database, notices: Notices, server: tuple[Server, SmtpSettings]
) -> None:
    taking, smtp = server
    chance = random.Random(14)
    url = database.engine.url.render_as_string(hide_password=False)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tickets.outbox", "psycopg", "aiosmtplib", __name__])
    written, now, in_delivery = 0, NOW, 0
    for life in range(KILLS):
        now += BETWEEN
        count = chance.randint(1, 8)
        await database.run(write, notices, written, count, now)
        written += count
        while taking.signs.acquire(blocking=False):
            pass
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=live, args=(url, smtp, now, theirs), daemon=True)
        await asyncio.to_thread(process.start)
        theirs.close()
        assert await asyncio.to_thread(ours.poll, 30), f"life {life} did not begin"
        before = sum(taking.taken.values())
        # From before the first greeting to after the last content: each mail that is due gives a sign at least.
        for _ in range(chance.randint(0, count + 1)):
            assert await asyncio.to_thread(taking.signs.acquire, timeout=30), f"life {life} stands still"
        await asyncio.sleep(chance.choice((0, chance.uniform(0, 0.004), chance.uniform(0, 0.03))))
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        await asyncio.to_thread(process.join)
        ours.close()
        in_delivery += sum(taking.taken.values()) > before

    def look(session: Session) -> dict[DeliveryState, set[str]]:
        found: dict[DeliveryState, set[str]] = {state: set() for state in DeliveryState}
        for mail in session.scalars(select(OutboxMail)):
            found[mail.state].add(mail.message_id)
        return found

    # Right after the last kill: what is not noted as sent is pending, whether or not the server had it.
    states = await database.read(look)
    assert sum(map(len, states.values())) == written
    assert states[DeliveryState.DEAD] == states[DeliveryState.HELD] == set()
    assert states[DeliveryState.SENT] <= taking.taken.keys()
    assert taking.taken.keys() - states[DeliveryState.SENT] <= states[DeliveryState.PENDING]

    # A last life that nobody ends.
    while states[DeliveryState.PENDING]:
        now += BETWEEN
        await deliver_due(database, smtp, now=now, caps=FEW)
        states = await database.read(look)
    assert len(states[DeliveryState.SENT]) == written
    assert taking.taken.keys() == states[DeliveryState.SENT]  # by Message-ID every notice once, and no other
    repeats = Counter(times for times in taking.taken.values() if times > 1)
    told = await database.read(
        lambda session: session.scalar(select(func.count(RequestEvent.id)).where(RequestEvent.kind == "notice_sent"))
    )
    assert told == written
    print(f"{written} notices, {KILLS} kills, {in_delivery} lives delivered; taken more than once: {dict(repeats)}")
    assert in_delivery >= KILLS / 4  # else the kills came at other moments than meant
    # At most one repeat a kill: of the mail that the server had taken and we had not noted.
    assert sum(times - 1 for times in taking.taken.values()) <= KILLS
