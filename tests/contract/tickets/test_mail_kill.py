"""kill -9 while mails are taken in: each is exactly one request or one reply, with its files and its notice."""

import asyncio
import contextlib
import os
import random
import signal
import sys
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest
from sqlalchemy import select

from centralino.rig.errors import DovecotMissing
from centralino.rig.imap import ImapServer
from tickets.attachments import AttachmentStore
from tickets.database import Database
from tickets.intake import MailStore, filed_mails
from tickets.models import Attachment, MailIn, OutboxMail, Request, RequestEvent

pytestmark = pytest.mark.contract

KILLS = int(os.environ.get("CENTRALINO_KILLS", "25"))
MAILS_A_ROUND = 3


@pytest.fixture
def imap() -> Iterator[ImapServer]:
    try:
        server = ImapServer()
    except DovecotMissing as missing:
        pytest.skip(str(missing))
    with server:
        yield server


def request_mail(number: int) -> bytes:
    mail = EmailMessage()
    mail["From"] = f"utente{number}@asl.example"
    mail["Subject"] = f"Mail {number}"
    mail["Message-ID"] = f"<{number}@asl.example>"
    mail.set_content("Non stampo.")
    mail.add_attachment(os.urandom(20_000), maintype="application", subtype="pdf", filename=f"{number}.pdf")
    return mail.as_bytes()


def reply_mail(number: int) -> bytes:
    mail = EmailMessage()
    mail["From"] = f"utente{number}@asl.example"
    mail["Subject"] = "Re: Mail"
    mail["In-Reply-To"] = f"<{number}@asl.example>"
    mail["Message-ID"] = f"<reply-{number}@asl.example>"
    mail.set_content(f"Risposta {number}")
    return mail.as_bytes()


@pytest.fixture
async def reader(database: Database, imap: ImapServer, tmp_path: Path) -> AsyncIterator[Process]:
    """A process whose children read the mailbox, one after the other, each until it is killed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("mail_reader.py")),
        database.engine.url.render_as_string(hide_password=False),
        str(imap.port),
        str(tmp_path),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        start_new_session=True,
    )
    yield process
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


async def test_no_kill_loses_or_doubles_a_mail(
    database: Database, imap: ImapServer, reader: Process, tmp_path: Path
) -> None:
    assert reader.stdin is not None
    assert reader.stdout is not None
    assert await reader.stdout.readline() == b"ready\n"
    chance = random.Random(7)
    sent = 0

    async def start() -> int:
        assert reader.stdin is not None
        assert reader.stdout is not None
        reader.stdin.write(b"start\n")
        return int(await reader.stdout.readline())

    async def taken() -> int:
        return await database.read(lambda s: len(s.scalars(select(MailIn.id)).all()))

    before = in_the_middle = not_put_away = delivered = 0
    for turn in range(KILLS):
        mails = [request_mail(number) for number in range(sent, sent + MAILS_A_ROUND)]
        mails += [reply_mail(number) for number in range(sent - MAILS_A_ROUND, sent) if number >= 0]
        sent += MAILS_A_ROUND
        delivered += len(mails)
        await asyncio.to_thread(imap.deliver, *mails)
        pid = await start()
        # At any moment of it: a kill that always came at the same one would prove little. Every second one comes when
        # the first mail is just stored, since a machine may be too slow or too quick for chance alone.
        if turn % 2:
            async with asyncio.timeout(120):
                while await taken() == before:  # noqa: ASYNC110 - another process, which tells nobody
                    await asyncio.sleep(0.005)
            await asyncio.sleep(chance.uniform(0, 0.1))
        else:
            await asyncio.sleep(chance.uniform(0.05, 1.0))
        os.kill(pid, signal.SIGKILL)
        assert await reader.stdout.readline() == b"ended\n"
        done, left = await taken(), len(await asyncio.to_thread(imap.subjects))
        in_the_middle += done > before and left > 0
        not_put_away += done + left > delivered
        before = done
    print(f"of {KILLS} kills {in_the_middle} came between mails, {not_put_away} between a row and putting it away")
    assert in_the_middle > 0
    pid = await start()
    async with asyncio.timeout(120):
        while imap.subjects():  # noqa: ASYNC110 - another process empties it, and tells nobody
            await asyncio.sleep(0.2)
    os.kill(pid, signal.SIGKILL)
    reader.stdin.write(b"end\n")
    await reader.wait()

    replies = sent - MAILS_A_ROUND
    assert Counter(await database.read(lambda s: list(s.scalars(select(Request.subject))))) == Counter(
        f"Mail {number}" for number in range(sent)
    )
    said = await database.read(
        lambda s: [
            event.details["text"] for event in s.scalars(select(RequestEvent).where(RequestEvent.kind == "reply"))
        ]
    )
    assert Counter(said) == Counter(f"Risposta {number}" for number in range(replies))
    assert await taken() == sent + replies
    notices = await database.read(lambda s: list(s.scalars(select(OutboxMail.recipient))))
    assert Counter(notices) == Counter(f"utente{number}@asl.example" for number in range(sent))
    assert len(imap.subjects("Fatte")) == sent + replies
    files = await database.read(lambda s: list(s.scalars(select(Attachment))))
    assert Counter(file.name for file in files) == Counter(f"{number}.pdf" for number in range(sent))
    store = AttachmentStore(tmp_path / "attachments")
    assert all(store.path_of(file.path).stat().st_size == 20_000 for file in files)
    mails_kept = MailStore(tmp_path / "mail")
    for row in await database.read(filed_mails, limit=10_000):
        assert len(mails_kept.read(row.path)) == row.size
