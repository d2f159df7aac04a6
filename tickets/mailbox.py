"""Reading a mailbox: one worker at a time takes every mail in it, stores it, and only then puts it away.

Which mails were taken is known by the rows of `tickets.intake`, and not by marks in the mailbox: a mail that a person
has read is taken all the same, and a crash between the row and putting the mail away neither loses nor doubles it.
"""

import asyncio
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import structlog
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from tickets.alarms import Alarms, Words
from tickets.database import Database, OutcomeUnknown
from tickets.imap import IMAP_FAILURES, Folder, LoginError, MailboxSettings
from tickets.intake import Intake
from tickets.models import MailIn, MailResult

log = structlog.get_logger()

T = TypeVar("T")

LOOK_AGAIN_SECONDS = 20.0
"""A worker that may not read, since another does, looks again so often."""
LONGEST_PAUSE_SECONDS = 60.0
UNREACHABLE_AFTER = timedelta(minutes=10)
"""A mailbox that was not read for so long is told of."""
FAILED_AGAIN_AFTER = timedelta(minutes=15)
"""A mail that could not be stored is tried again."""
MOST_AT_FIRST = 200
"""More mails than these in a mailbox that was never read before are taken for its past, and not for requests."""

UNREACHABLE = "mailbox"
NOT_TAKEN = "mail_not_taken"
HELD = "mail_held"
FULL = "mailbox_full_of_old_mail"


class Mailbox:
    """Reads the mailbox while its context is open."""

    def __init__(
        self,
        database: Database,
        settings: MailboxSettings,
        intake: Intake,
        alarms: Alarms,
        now: Callable[[], datetime],
        *,
        open_folder: Callable[[MailboxSettings], Folder] = Folder,
    ) -> None:
        self.database, self.settings, self.intake, self.alarms, self.now = database, settings, intake, alarms, now
        self._open_folder = open_folder
        self._folder: Folder | None = None
        self._last_read = now()
        self._failed: dict[int, datetime] = {}
        self._done: set[int] = set()
        self._held_at: datetime | None = None
        self._over: set[str] = set()
        self._changed = asyncio.Event()
        self.passes = 0
        """How often the mailbox was read to its end, for those who wait for it."""

    async def __aenter__(self) -> Self:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="mailbox")
        self._task = asyncio.create_task(self._run(), name="mailbox")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._task.cancel()
        if self._folder is not None:
            self._folder.interrupt()
        connecting = self._folder is None
        await asyncio.gather(self._task, return_exceptions=True)
        # who waits for a server to answer cannot be interrupted, and is not waited for
        await asyncio.to_thread(self._thread.shutdown, wait=not connecting)

    async def was_read(self) -> None:
        """Wait until the mailbox has been read to its end once more."""
        passes = self.passes
        while self.passes == passes:
            self._changed.clear()
            await self._changed.wait()

    async def _run(self) -> None:
        while True:
            try:
                async with self.database.alone("mailbox") as mine:
                    while mine:
                        await self._connect()
                        await self._read_until_lost()
            except SQLAlchemyError as error:
                log.warning("the mailbox is not read while the database is away", error=repr(error))
            except Exception:
                log.exception("reading the mailbox failed")
            await asyncio.sleep(LOOK_AGAIN_SECONDS)

    async def _connect(self) -> None:
        """Open the folder, again and again until it works."""
        attempts = AsyncRetrying(
            retry=retry_if_exception_type(IMAP_FAILURES),
            wait=wait_random_exponential(multiplier=1, max=LONGEST_PAUSE_SECONDS),
            before_sleep=self._not_opened,
        )
        async for attempt in attempts:
            with attempt:
                self._folder = await self._in_thread(self._open_folder, self.settings)
        self._done.clear()

    async def _not_opened(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        log.warning("mailbox not reached, trying again", host=self.settings.host, error=repr(error))
        await self._tell_unreachable(error)

    async def _tell_unreachable(self, error: BaseException | None) -> None:
        refused = isinstance(error, LoginError)
        if not refused and self.now() - self._last_read < UNREACHABLE_AFTER:
            return
        kind = type(error).__name__
        why = "the log-in is refused" if refused else f"it cannot be read ({kind})"
        why_it = "l'accesso è rifiutato" if refused else f"non si può leggere ({kind})"
        host, last = self.settings.host, self._last_read.isoformat(timespec="minutes")
        await self._sound(
            UNREACHABLE,
            Words(
                it=f"Non entra posta: la casella su {host}, letta l'ultima volta {last}: {why_it}. Quello che gli "
                "utenti scrivono aspetta lì. Guarda il server e [mailbox] nelle impostazioni.",
                en=f"No mail comes in: the mailbox at {host} was last read at {last}, {why}. "
                "What users write waits there. Look at the server and at [mailbox] in the settings.",
            ),
        )

    async def _read_until_lost(self) -> None:
        folder = self._folder
        assert folder is not None  # noqa: S101 - what _connect has just opened
        try:
            while True:
                if not await self._read_once(folder):
                    await self._in_thread(folder.wait, self.settings.poll_seconds)
        except IMAP_FAILURES as error:
            log.warning("connection to the mailbox lost", host=self.settings.host, error=repr(error))
            await self._tell_unreachable(error)
            await asyncio.sleep(1)  # a server that lets in and throws out at once is not to be asked at full speed
        finally:
            folder.interrupt()
            self._folder = None
            with suppress(RuntimeError):  # the threads are gone
                self._thread.submit(folder.close)

    async def _read_once(self, folder: Folder) -> bool:
        """Take what is new; True where there may be more. Raises `IMAP_FAILURES`, SQLAlchemyError."""
        uids = await self._in_thread(folder.uids)
        taken = await self.database.read(_taken_among, self.settings.folder, folder.uid_validity, uids)
        left = taken & set(uids) if self.settings.done_folder else set()
        await self._in_thread(folder.put_away, sorted(left))  # of a crash
        now = self.now()
        new = [uid for uid in uids if uid not in taken and uid not in self._done]
        new = [uid for uid in new if now >= self._failed.get(uid, now)]
        if new and not await self._is_past(new):
            for uid in new:
                if not await self._take(folder, uid):
                    new = []  # the disk or the database: nothing else will do better now
                    break
        else:
            new = []
        await self._read_to_the_end()
        return bool(new)

    async def _read_to_the_end(self) -> None:
        self._last_read = self.now()
        self.passes += 1
        self._changed.set()
        await self._end(UNREACHABLE)
        if not self._failed:
            await self._end(NOT_TAKEN)
        if self._held_at is None or self.now() - self._held_at > timedelta(days=1):
            await self._end(HELD)

    async def _sound(self, kind: str, words: Words) -> None:
        self._over.discard(kind)
        await self.alarms.sound(kind, words)

    async def _end(self, kind: str) -> None:
        """End an alarm, which may be of a worker before this one; once is enough."""
        if kind not in self._over:
            await self.alarms.end(kind)
            self._over.add(kind)

    async def _is_past(self, new: Collection[int]) -> bool:
        """Whether this is a mailbox full of old mails, of which nobody wants requests and notices made."""
        if self.settings.since is not None or len(new) <= MOST_AT_FIRST or await self.database.read(_any_taken):
            await self._end(FULL)
            return False
        await self._sound(
            FULL,
            Words(
                it=f"La casella contiene {len(new)} mail di prima che Centralino la leggesse, e nessuna viene presa. "
                "Metti in mailbox.since il giorno da cui sono richieste e riavvia il servizio.",
                en=f"The mailbox holds {len(new)} mails from before Centralino read it, and none is taken. "
                "Set mailbox.since to the day from which on they are requests, and start the service again.",
            ),
        )
        return True

    async def _take(self, folder: Folder, uid: int) -> bool:
        """Take one mail and put it away; False where none can be stored at the moment."""
        found = await self._in_thread(folder.fetch, uid)
        if found is None:
            return True
        try:
            row = await self.intake.take(
                found.raw,
                found.received_at,
                folder=self.settings.folder,
                uid_validity=folder.uid_validity,
                uid=uid,
                cut=found.cut,
            )
        except OSError as error:
            await self._not_taken(
                uid,
                Words(
                    it=f"il disco non si può scrivere ({error.strerror or error})",
                    en=f"the disk cannot be written ({error.strerror or error})",
                ),
            )
            return False
        except (SQLAlchemyError, OutcomeUnknown) as error:
            log.warning("mail not stored, trying again", uid=uid, error=repr(error))
            return False
        except Exception as error:
            log.exception("mail not taken", uid=uid)
            await self._not_taken(
                uid,
                Words(
                    it=f"c'è un errore in Centralino ({type(error).__name__}, vedi il log)",
                    en=f"of an error in Centralino ({type(error).__name__}, see the log)",
                ),
            )
            return True
        self._failed.pop(uid, None)
        self._done.add(uid)
        if row.result == MailResult.HELD:
            self._held_at = self.now()
            await self._sound(
                HELD,
                Words(
                    it="Da un mittente sono arrivate più mail di quante mailbox.requests_per_day o replies_per_hour ne "
                    "ammettano. Sono conservate, ma non sono richieste: vedi la pagina Posta, o `centralino mail list "
                    "--result held`.",
                    en="More mails came from one sender than mailbox.requests_per_day or replies_per_hour allow. They "
                    "are kept, but no requests: see the desk's page Mail, or `centralino mail list --result held`.",
                ),
            )
        await self._in_thread(folder.put_away, [uid])
        return True

    async def _not_taken(self, uid: int, why: Words) -> None:
        self._failed[uid] = self.now() + FAILED_AGAIN_AFTER
        await self._sound(
            NOT_TAKEN,
            Words(
                it=f"Una mail in {self.settings.folder} (UID {uid}) non è stata presa, perché {why.it}. Resta lì e si "
                "riprova; guardala a mano.",
                en=f"A mail in {self.settings.folder} (UID {uid}) could not be taken, because {why.en}. It stays there "
                "and is tried again; look after it by hand.",
            ),
        )

    async def _in_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(work, *arguments))


def _taken_among(session: Session, folder: str, uid_validity: int, uids: Collection[int]) -> set[int]:
    """Which of these mails have their rows."""
    wanted, taken = sorted(uids), set[int]()
    for start in range(0, len(wanted), 500):
        taken.update(
            session.scalars(
                select(MailIn.uid).where(
                    MailIn.uid_validity == uid_validity,
                    MailIn.uid.in_(wanted[start : start + 500]),
                    MailIn.folder == folder[:200],
                )
            )
        )
    return {uid for uid in taken if uid is not None}


def _any_taken(session: Session) -> bool:
    return bool(session.scalar(select(func.count()).select_from(select(MailIn.id).limit(1).subquery())))
