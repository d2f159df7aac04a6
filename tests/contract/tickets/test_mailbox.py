"""A mailbox on a real Dovecot is read to its end, whatever happens meanwhile."""

import asyncio
import errno
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import SecretStr
from sqlalchemy import select

from centralino.migrate import migrate
from centralino.rig.errors import DovecotMissing
from centralino.rig.imap import PASSWORD, USERNAME, ImapServer
from centralino.rig.postgres import PostgresServer
from schedules.hours import Calendar, Weekday
from tickets import mailbox as mailbox_module
from tickets.alarms import Alarms, AlarmSettings, open_alarms
from tickets.attachments import AttachmentStore
from tickets.changes import Change
from tickets.database import Database
from tickets.imap import Folder, MailboxSettings
from tickets.intake import Intake, MailStore, filed_mails
from tickets.mailbox import Mailbox
from tickets.models import MailResult, Request
from tickets.notices import Notices
from tickets.promise_rules import PromiseSettings, Terms

pytestmark = pytest.mark.contract

START = datetime(2026, 11, 23, 9, tzinfo=UTC)
ALWAYS = Calendar(weekly=dict.fromkeys(get_args(Weekday), ("00:00-24:00",)), holidays=False)
TERMS = Terms(PromiseSettings(), ALWAYS)


@pytest.fixture
def imap() -> Iterator[ImapServer]:
    try:
        server = ImapServer()
    except DovecotMissing as missing:
        pytest.skip(str(missing))
    with server:
        yield server


class Time:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


def settings(imap: ImapServer, **changes: Any) -> MailboxSettings:
    given: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": imap.port,
        "tls": "none",
        "username": USERNAME,
        "password": SecretStr(PASSWORD),
        "poll_seconds": 600,
        "timeout": 10,
    }
    return MailboxSettings(**(given | changes))


Reading = Callable[..., AbstractAsyncContextManager[Mailbox]]


@pytest.fixture
def reading(database: Database, notices: Notices, tmp_path: Path, time: Time, imap: ImapServer) -> Reading:
    """Read the mailbox with changed settings."""

    @asynccontextmanager
    async def read(open_folder: Callable[[MailboxSettings], Folder] = Folder, **changes: Any) -> AsyncIterator[Mailbox]:
        chosen = settings(imap, **changes)
        intake = Intake(
            database,
            MailStore(tmp_path / "mail"),
            AttachmentStore(tmp_path / "attachments"),
            chosen,
            notices,
            lambda: TERMS,
            time,
        )
        alarms = Alarms(database, AlarmSettings(), notices, time)
        async with Mailbox(database, chosen, intake, alarms, time, open_folder=open_folder) as mailbox:
            yield mailbox

    return read


def mail(number: int, sender: str | None = None, size: int = 0) -> bytes:
    message = EmailMessage()
    message["From"] = sender or f"utente{number}@asl.example"
    message["Subject"] = f"Mail {number}"
    message["Message-ID"] = f"<{number}@asl.example>"
    message.set_content("Non stampo.\n" + "x" * 70 + "\n" + ("y" * 70 + "\n") * (size // 71))
    return message.as_bytes()


async def subjects(database: Database) -> list[str]:
    return await database.read(lambda s: list(s.scalars(select(Request.subject).order_by(Request.id))))


async def alarms(database: Database) -> list[str]:
    return [alarm.kind for alarm in await database.read(open_alarms)]


def tell(changes: frozenset[Change], heard: asyncio.Event) -> None:
    if any(change.kind == "alarm" for change in changes):
        heard.set()


async def until(database: Database, count: int, mailbox: Mailbox) -> None:
    """Wait until there are so many requests."""
    async with asyncio.timeout(30):
        while len(await subjects(database)) < count:
            await mailbox.was_read()


@pytest.mark.parametrize("without", [(), ("MOVE",), ("MOVE", "UIDPLUS"), ("IDLE",)], ids=str)
async def test_every_mail_becomes_a_request_and_is_put_away(
    database: Database, reading: Reading, imap: ImapServer, without: tuple[str, ...]
) -> None:
    imap.stop()
    with ImapServer(without=without) as other:
        other.deliver(*(mail(n) for n in range(3)))
        async with reading(port=other.port, done_folder="Fatte", poll_seconds=1) as mailbox:
            await mailbox.was_read()
            assert await subjects(database) == ["Mail 0", "Mail 1", "Mail 2"]
            await asyncio.to_thread(other.deliver, mail(3))
            await until(database, 4, mailbox)
        with other.mailbox() as client:
            assert client.search(["UNDELETED"]) == []
        assert other.subjects("Fatte") == [f"Mail {n}" for n in range(4)]


async def test_a_mail_that_comes_while_nothing_happens_is_taken_at_once(
    database: Database, reading: Reading, imap: ImapServer
) -> None:
    async with reading() as mailbox:
        await mailbox.was_read()
        await asyncio.to_thread(imap.deliver, mail(1))
        await until(database, 1, mailbox)


async def test_without_a_folder_for_it_a_mail_stays_and_is_read_once(
    database: Database, reading: Reading, imap: ImapServer
) -> None:
    imap.deliver(mail(1))
    for _ in range(2):
        async with reading() as mailbox:
            await mailbox.was_read()
    assert await subjects(database) == ["Mail 1"]
    with imap.mailbox() as client:
        assert client.search(["SEEN"]) == [1]


async def test_a_mail_that_a_person_has_read_is_taken_all_the_same(
    database: Database, reading: Reading, imap: ImapServer
) -> None:
    imap.deliver(mail(1))
    with imap.mailbox() as client:
        client.add_flags([1], ["\\Seen"])
    async with reading() as mailbox:
        await mailbox.was_read()
    assert await subjects(database) == ["Mail 1"]


async def test_the_promise_counts_from_when_the_server_got_it(
    database: Database, reading: Reading, imap: ImapServer
) -> None:
    imap.deliver(mail(1), at=START - timedelta(hours=3))
    imap.deliver(mail(2), at=START + timedelta(days=3))  # its clock is ahead
    async with reading() as mailbox:
        await mailbox.was_read()
    times = await database.read(lambda s: list(s.scalars(select(Request.received_at).order_by(Request.id))))
    assert times == [START - timedelta(hours=3), START]


@pytest.mark.parametrize("tls", ["tls", "starttls"])
async def test_the_connection_is_secret_and_its_server_known(
    database: Database, reading: Reading, imap: ImapServer, tls: str
) -> None:
    imap.deliver(mail(1))
    port = imap.tls_port if tls == "tls" else imap.port
    async with reading(tls=tls, port=port, ca_file=imap.ca_file, done_folder="Fatte") as mailbox:
        await mailbox.was_read()
        await asyncio.to_thread(imap.deliver, mail(2))
        await until(database, 2, mailbox)
    with pytest.raises(ssl.SSLError):
        await asyncio.to_thread(Folder, settings(imap, tls=tls, port=port))


async def test_a_lost_server_is_told_of_and_read_again(
    database: Database, reading: Reading, imap: ImapServer, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailbox_module, "LONGEST_PAUSE_SECONDS", 0.2)
    async with reading() as mailbox:
        await mailbox.was_read()
        heard = asyncio.Event()
        unsubscribe = database.subscribe(
            lambda changes: heard.set() if any(c.kind == "alarm" for c in changes) else None
        )
        await asyncio.to_thread(imap.stop)
        time.now += timedelta(minutes=11)
        async with asyncio.timeout(20):
            await heard.wait()
        assert await alarms(database) == ["mailbox"]
        await asyncio.to_thread(imap.start)
        await asyncio.to_thread(imap.deliver, mail(1))
        await until(database, 1, mailbox)
        async with asyncio.timeout(20):
            while await alarms(database):
                await heard.wait()
                heard.clear()
        unsubscribe()


async def test_a_refused_log_in_is_told_of_at_once(database: Database, reading: Reading) -> None:
    heard = asyncio.Event()
    database.subscribe(lambda changes: tell(changes, heard))
    async with reading(password=SecretStr("sbagliata")), asyncio.timeout(20):
        await heard.wait()
        (alarm,) = await database.read(open_alarms)
        assert "the log-in is refused" in alarm.words
        assert "sbagliata" not in alarm.words


class ForgetfulFolder(Folder):
    """Loses its connection between the row and putting the mail away, a few times."""

    times = 0

    def put_away(self, uids: Any) -> None:
        if uids and ForgetfulFolder.times < 3:
            ForgetfulFolder.times += 1
            raise ConnectionResetError("gone")
        super().put_away(uids)


@pytest.mark.parametrize("done_folder", [None, "Fatte"])
async def test_a_mail_that_was_stored_but_not_put_away_is_not_taken_again(
    database: Database, reading: Reading, imap: ImapServer, done_folder: str | None
) -> None:
    ForgetfulFolder.times = 0
    imap.deliver(*(mail(n) for n in range(3)))
    async with reading(ForgetfulFolder, done_folder=done_folder) as mailbox:
        await until(database, 3, mailbox)
    assert await subjects(database) == ["Mail 0", "Mail 1", "Mail 2"]
    assert imap.subjects("Fatte") == (["Mail 0", "Mail 1", "Mail 2"] if done_folder else [])


async def test_a_full_disk_leaves_the_mail_where_it_is(
    database: Database, reading: Reading, imap: ImapServer, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    imap.deliver(mail(1), mail(2))
    keep = MailStore.keep

    def full(*_: Any) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(MailStore, "keep", full)
    async with reading(done_folder="Fatte", poll_seconds=1) as mailbox:
        await mailbox.was_read()
        assert await alarms(database) == ["mail_not_taken"]
        assert imap.subjects() == ["Mail 1", "Mail 2"]
        monkeypatch.setattr(MailStore, "keep", keep)
        time.now += timedelta(minutes=16)
        await until(database, 2, mailbox)
        await mailbox.was_read()
        assert sorted(await subjects(database)) == ["Mail 1", "Mail 2"]
        assert await alarms(database) == []


async def test_one_mail_that_breaks_us_keeps_no_other_from_coming_in(
    database: Database, reading: Reading, imap: ImapServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    imap.deliver(mail(1), mail(2), mail(3))
    take = Intake.take

    async def broken(self: Intake, raw: bytes, *arguments: Any, **options: Any) -> Any:
        if b"Mail 2" in raw:
            raise RuntimeError("a bug")
        return await take(self, raw, *arguments, **options)

    monkeypatch.setattr(Intake, "take", broken)
    async with reading(done_folder="Fatte") as mailbox:
        await mailbox.was_read()
        assert await subjects(database) == ["Mail 1", "Mail 3"]
        assert await alarms(database) == ["mail_not_taken"]
        assert imap.subjects() == ["Mail 2"]


async def test_a_mailbox_full_of_old_mail_makes_no_requests(
    database: Database, reading: Reading, imap: ImapServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailbox_module, "MOST_AT_FIRST", 3)
    imap.deliver(*(mail(n) for n in range(4)), at=START - timedelta(days=30))
    async with reading() as mailbox:
        await mailbox.was_read()
        assert await alarms(database) == ["mailbox_full_of_old_mail"]
    imap.deliver(mail(9), at=START - timedelta(hours=1))
    async with reading(since=date(2026, 11, 20)) as mailbox:
        await mailbox.was_read()
        assert await subjects(database) == ["Mail 9"]
        assert await alarms(database) == []


async def test_a_mail_that_is_too_large_is_a_request_with_its_beginning(
    database: Database, reading: Reading, imap: ImapServer
) -> None:
    imap.deliver(mail(1, size=2_500_000))
    async with reading(largest_mb=1, done_folder="Fatte") as mailbox:
        await mailbox.was_read()
    (row,) = await database.read(filed_mails)
    assert (row.size, row.result) == (1_000_000, MailResult.OPENED)
    assert "too large" in (row.error or "")
    assert imap.subjects("Fatte") == ["Mail 1"]


async def test_more_than_one_may_write_is_told_of(database: Database, reading: Reading, imap: ImapServer) -> None:
    imap.deliver(*(mail(n, "uno@asl.example") for n in range(4)))
    async with reading(requests_per_day=2) as mailbox:
        await mailbox.was_read()
        assert await subjects(database) == ["Mail 0", "Mail 1"]
        assert await alarms(database) == ["mail_held"]


async def test_of_several_workers_one_reads_and_another_goes_on(
    postgres_server: PostgresServer,
    notices: Notices,
    tmp_path: Path,
    time: Time,
    imap: ImapServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mailbox_module, "LOOK_AGAIN_SECONDS", 0.2)
    url = postgres_server.create_database(f"two_{tmp_path.name}"[:60])
    await asyncio.to_thread(migrate, url)
    databases = [Database(url), Database(url)]
    opened: list[int] = []

    def worker(number: int) -> Mailbox:
        def open_folder(chosen: MailboxSettings) -> Folder:
            opened.append(number)
            return Folder(chosen)

        chosen = settings(imap, done_folder="Fatte")
        intake = Intake(
            databases[number],
            MailStore(tmp_path / "mail"),
            AttachmentStore(tmp_path / "attachments"),
            chosen,
            notices,
            lambda: TERMS,
            time,
        )
        alarms = Alarms(databases[number], AlarmSettings(), notices, time)
        return Mailbox(databases[number], chosen, intake, alarms, time, open_folder=open_folder)

    first, second = worker(0), worker(1)
    async with first:
        await first.was_read()
        async with second:
            await asyncio.to_thread(imap.deliver, *(mail(n) for n in range(10)))
            await until(databases[0], 10, first)
            assert opened == [0]
            await first.__aexit__(None, None, None)
            await asyncio.to_thread(imap.deliver, mail(10))
            await until(databases[1], 11, second)
            assert opened == [0, 1]
    assert await subjects(databases[0]) == [f"Mail {n}" for n in range(11)]
    for database in databases:
        await database.close()
