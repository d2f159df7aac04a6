"""Transcripts: rows leased from the database go to recogniser processes; recordings are followed as they grow.

What must happen is in the database only: a message that waits for its transcript is taken under a lease, and whatever
dies - a recogniser, the service, the machine - the lease runs out and it is taken again. Following a recording is a
head start without any promise: the recogniser has heard most of a message by the time its row is filed.
"""

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Self

import structlog
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from schedules.pulse import Pulse
from tickets.changes import Change
from tickets.database import Database
from voicemail import operations, queries
from voicemail.errors import ModelUnavailable, RecogniserFailed
from voicemail.model_store import LOAD_PATIENCE, language_name, model_problem, recogniser_command
from voicemail.models import Message
from voicemail.transcript import Transcript, Word

log = structlog.get_logger()

LEASE_SECONDS = 60.0
"""How long a row is ours without a sign of life; renewed every third of it. A crash delays a transcript by so much."""
POLL_SECONDS = 5.0
"""The database is looked at this often even if nobody told of a change: another process may have filed a message."""
LONGEST_ROUND_SECONDS = 180.0
"""A round reads and writes some times; a database that is away holds up each of them for 20 s."""
MODEL_RETRY_SECONDS = 60.0
"""A model that did not load is tried again after so long."""
TIME_LIMIT_BASE, TIME_LIMIT_PER_SECOND = 60.0, 5.0
"""A message may take a minute and five times its length (a big model on a slow machine needs about its length)."""
LONGEST_ANSWER = 64 * 1024 * 1024
"""Bytes in one line of a recogniser: an hour of words has about 1 MB."""


def _check_absolute(folder: Path) -> Path:
    if not folder.is_absolute():
        raise ValueError("must be a whole path, from / on")
    return folder


Folder = Annotated[Path, AfterValidator(_check_absolute)]
"""A folder in the settings: what a service means by a relative one, nobody can tell."""


class TranscriptionSettings(BaseModel):
    """Which models transcribe, and with how many processes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: dict[str, Folder] = Field(default_factory=dict)
    """Language code ("it") to model folder."""
    processes: int = Field(default=1, ge=1, le=64)
    """Recogniser processes for each language; a big model takes gigabytes in each."""
    recycle_after: int = Field(default=50, ge=1)
    """Messages after which a process is replaced: Vosk's memory climbs with use."""


class Recogniser:
    """One recogniser process with one model. Starts by itself; commands given before it is ready wait for it."""

    def __init__(self, language: str, folder: Path) -> None:
        self.language = language
        self.folder = folder
        self.following: set[str] = set()
        self.pending: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self.taken = 0
        self.problem: str | None = None
        """Why the model could not be loaded; None when it could."""
        self._backlog: list[bytes] = []
        self._process: asyncio.subprocess.Process | None = None
        self._ready = False
        self._task = asyncio.create_task(self._live(), name=f"recogniser {language}")

    @property
    def alive(self) -> bool:
        """Whether it can still be given work."""
        return not self._task.done()

    @property
    def pid(self) -> int | None:
        """The process id, once it is started."""
        return self._process.pid if self._process else None

    def follow(self, message_id: str, path: Path) -> None:
        """Hear a recording while it grows."""
        self.following.add(message_id)
        self._send({"open": message_id, "path": str(path)})

    def stop_following(self, message_id: str) -> None:
        """Forget a recording."""
        self.following.discard(message_id)
        self._send({"cancel": message_id})

    def finish(self, message_id: str, path: Path) -> asyncio.Future[dict[str, Any]]:
        """Hear the complete recording; the future gives the process's answer.

        It raises RecogniserFailed when the message could not be read or the process died, ModelUnavailable when it
        never got ready.
        """
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        if not self.alive:
            future.set_exception(RecogniserFailed("the recogniser died before it was asked"))
            return future
        self.pending[message_id] = future
        self.following.discard(message_id)
        self.taken += 1
        self._send({"finish": message_id, "path": str(path)})
        return future

    def retire(self) -> None:
        """Let it end by itself: it has answered all it was asked."""
        if self._ready and self._process and self._process.stdin:
            self._process.stdin.close()

    async def stop(self) -> None:
        """End it at once; whoever waits for an answer is told."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    def _send(self, command: dict[str, str]) -> None:
        line = json.dumps(command).encode() + b"\n"
        if self._ready and self._process and self._process.stdin and not self._process.stdin.is_closing():
            self._process.stdin.write(line)
        else:
            self._backlog.append(line)

    async def _live(self) -> None:
        last_words: deque[str] = deque(maxlen=5)
        ending: Exception = RecogniserFailed("the recogniser was stopped")
        try:
            command, environment = recogniser_command(self.folder)
            self._process = await asyncio.create_subprocess_exec(
                *command,
                env=environment,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=LONGEST_ANSWER,
                start_new_session=True,  # Ctrl-C in a terminal is for the service, which ends it in order
            )
            if self._process.stdin and self._process.stdout and self._process.stderr:
                ending = await self._converse(
                    self._process, self._process.stdin, self._process.stdout, self._process.stderr, last_words
                )
        except (OSError, ValueError) as error:
            ending = RecogniserFailed(f"the recogniser could not be run: {error}")
        finally:
            if isinstance(ending, ModelUnavailable):
                self.problem = str(ending)
            if self._process is not None:
                await _end(self._process)
            for future in self.pending.values():
                if not future.done():
                    future.set_exception(ending)
                    future.exception()  # it may be that nobody waits any more
            self.pending.clear()

    async def _converse(
        self,
        process: asyncio.subprocess.Process,
        commands: asyncio.StreamWriter,
        answers: asyncio.StreamReader,
        noise: asyncio.StreamReader,
        last_words: deque[str],
    ) -> Exception:
        """Read the answers until there are no more; returns the reason for whoever still waits then."""
        listening = asyncio.create_task(_collect(noise, last_words))
        try:
            async with asyncio.timeout(LOAD_PATIENCE):
                first = json.loads(await answers.readline() or b"{}")
            if "ready" not in first:
                await listening
                reason = first.get("fatal") or f"it stopped with status {await process.wait()}"
                return ModelUnavailable("; ".join([reason, *last_words][:3]))
            self._ready = True
            commands.writelines(self._backlog)
            self._backlog.clear()
            while line := await answers.readline():
                self._take(json.loads(line))
            status = await process.wait()
            if self.pending:
                log.warning("recogniser died", language=self.language, status=status, said=list(last_words))
            return RecogniserFailed(f"the recogniser died (status {status})")
        except TimeoutError:
            return ModelUnavailable(f"it did not load in {LOAD_PATIENCE:.0f} s")
        finally:
            listening.cancel()

    def _take(self, answer: dict[str, Any]) -> None:
        future = self.pending.pop(answer.get("id", ""), None)
        if future is None or future.done():
            return
        if "error" in answer:
            future.set_exception(RecogniserFailed(answer["error"]))
        else:
            future.set_result(answer)


async def _collect(stream: asyncio.StreamReader, lines: deque[str]) -> None:
    while line := await stream.readline():
        lines.append(line.decode(errors="replace").strip()[:300])


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
    if process.stdin:
        process.stdin.close()


class Transcriber:
    """Transcribes what waits in the database, while it is entered: `async with Transcriber(...)`.

    Several may work on one database, in one process or many.
    """

    def __init__(
        self,
        database: Database,
        audio_folder: Path,
        settings: TranscriptionSettings,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.database = database
        self.audio_folder = audio_folder
        self.settings = settings
        self.clock = clock
        self.recognisers: list[Recogniser] = []
        self._broken: dict[str, tuple[str, datetime]] = {}
        self._wake = asyncio.Event()
        self._work: dict[str, asyncio.Task[None]] = {}
        self._leases: dict[str, Message] = {}
        """Messages in hand, by id."""
        self.pulse = Pulse(LONGEST_ROUND_SECONDS)
        self._loop_task: asyncio.Task[None] | None = None
        self._unsubscribe: Callable[[], None] | None = None

    async def __aenter__(self) -> Self:
        self._unsubscribe = self.database.subscribe(self._on_changes)
        self._loop_task = asyncio.create_task(self._run(), name="transcriber")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._unsubscribe:
            self._unsubscribe()
        tasks = [task for task in (self._loop_task, *self._work.values()) if task]
        for task in tasks:
            task.cancel()
        in_hand = tuple(self._leases.values())
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(recogniser.stop() for recogniser in self.recognisers))
        for message in in_hand:
            # Given back, so that the next one to run need not wait for the lease to run out.
            try:
                await self._fail(message, "", counts=False)
            except Exception as failure:
                log.warning("a lease could not be given back", message=message.id, error=repr(failure))

    def follow(self, message_id: str, path: Path, language: str) -> None:
        """Begin to hear a recording while Asterisk still writes it to `path`, if a model is at hand. Never raises.

        A second call for the same message (another take) replaces the first.
        """
        self.stop_following(message_id)
        if self._model_problem(language) is None:
            self._choose(language).follow(message_id, path)

    def stop_following(self, message_id: str) -> None:
        """Forget a recording that is followed: it is recorded again, or there is no message."""
        for recogniser in self.recognisers:
            if message_id in recogniser.following:
                recogniser.stop_following(message_id)

    def model_problems(self) -> dict[str, str | None]:
        """For each configured language what is wrong with its model, None when nothing is (for the health page)."""
        return {language: self._model_problem(language) for language in self.settings.models}

    def _on_changes(self, changes: frozenset[Change]) -> None:
        if any(change.kind == operations.TRANSCRIPT_DUE for change in changes):
            self._wake.set()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            self.pulse.beat()
            try:
                await self._round()
            except Exception:
                log.exception("transcripts could not be looked after, trying again")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._wake.wait()

    async def _round(self) -> None:
        """Give every waiting message that can be worked on now to a recogniser."""
        self._recycle()
        due = await self.database.read(queries.languages_due, self.clock())
        for language in due:
            if reason := self._model_problem(language):
                await self.database.run(operations.note_missing_model, language, reason)
        usable = [language for language in due if self._model_problem(language) is None]
        # What was followed is nearly done and need not wait for its turn.
        while usable and (followed := [i for r in self.recognisers if r.alive for i in r.following]):
            if not await self._lease(usable, only=followed):
                break
        if followed := [i for r in self.recognisers for i in r.following]:
            for message_id in await self.database.read(queries.ids_over, followed):
                self.stop_following(message_id)  # it was empty, or another process transcribes it
        while free := [language for language in usable if self._has_room(language)]:
            if not await self._lease(free):
                break

    async def _lease(self, languages: Collection[str], only: Collection[str] | None = None) -> bool:
        message = await self.database.run(
            operations.lease_next, lease_seconds=LEASE_SECONDS, now=self.clock(), languages=languages, only=only
        )
        if message is None:
            return False
        self._leases[message.id] = message
        recogniser = self._choose(message.language, message.id)
        task = asyncio.create_task(self._transcribe(message, recogniser), name=f"transcript {message.id}")
        self._work[message.id] = task
        task.add_done_callback(lambda done: self._done(message.id, done))
        return True

    def _done(self, message_id: str, task: asyncio.Task[None]) -> None:
        self._work.pop(message_id, None)
        self._leases.pop(message_id, None)
        if not task.cancelled() and (error := task.exception()):
            # Most likely the database is away; the lease will run out.
            log.error("what became of a transcript could not be stored", message=message_id, error=repr(error))
        self._wake.set()

    async def _transcribe(self, message: Message, recogniser: Recogniser) -> None:
        limit = TIME_LIMIT_BASE + TIME_LIMIT_PER_SECOND * (message.seconds or 0.0)
        try:
            answer = await self._answer(message, recogniser, limit)
            words = tuple(Word.read(word) for word in answer["words"])
            transcript = Transcript(words, float(answer.get("cpu_seconds", 0.0)))
            await self.database.run(
                operations.store_transcript, message.id, transcript, now=self.clock(), attempt=message.attempts
            )
            self._leases.pop(message.id, None)
            log.info(
                "message transcribed",
                message=message.id,
                words=len(words),
                seconds=answer.get("seconds"),
                ahead_seconds=answer.get("ahead_seconds"),
                cpu_seconds=transcript.cpu_seconds,
            )
        except ModelUnavailable as error:
            self._broken[message.language] = (str(error), self.clock())
            log.error("speech model does not load", language=message.language, reason=str(error))
            await self._fail(message, self._model_problem(message.language) or str(error), counts=False)
        except RecogniserFailed as error:
            log.warning("transcript failed", message=message.id, attempt=message.attempts, reason=str(error))
            await self._fail(message, str(error))
        except Exception as error:
            log.exception("transcript failed unexpectedly", message=message.id, attempt=message.attempts)
            await self._fail(message, f"unexpected: {error!r}")

    async def _answer(self, message: Message, recogniser: Recogniser, limit: float) -> dict[str, Any]:
        if message.audio is None:
            raise RecogniserFailed("the message has no audio")
        future = recogniser.finish(message.id, self.audio_folder / message.audio)
        try:
            async with asyncio.timeout(limit):
                while not (await asyncio.wait({future}, timeout=LEASE_SECONDS / 3))[0]:
                    await self.database.run(
                        operations.renew_lease,
                        message.id,
                        attempt=message.attempts,
                        lease_seconds=LEASE_SECONDS,
                        now=self.clock(),
                    )
        except TimeoutError as error:
            await recogniser.stop()  # it hangs; nobody else's work can be trusted to it
            raise RecogniserFailed(f"no answer in {limit:.0f} s") from error
        return future.result()

    async def _fail(self, message: Message, reason: str, counts: bool = True) -> None:
        self._leases.pop(message.id, None)
        await self.database.run(
            operations.transcript_failed,
            message.id,
            reason,
            now=self.clock(),
            attempt=message.attempts,
            counts=counts,
        )

    def _has_room(self, language: str) -> bool:
        """One message at a time for each process: if it kills the process, it takes no other with it."""
        return sum(m.language == language for m in self._leases.values()) < self.settings.processes

    def _choose(self, language: str, message_id: str | None = None) -> Recogniser:
        """The process that follows the message, else the one with least to do, else a new one."""
        alive = [r for r in self.recognisers if r.language == language and r.alive]
        if following := [r for r in alive if message_id in r.following]:
            return following[0]
        fresh = [r for r in alive if r.taken < self.settings.recycle_after]
        if fresh and (len(fresh) >= self.settings.processes or not _load(fresh[0])):
            return min(fresh, key=_load)
        recogniser = Recogniser(language, self.settings.models[language])
        self.recognisers.append(recogniser)
        return recogniser

    def _recycle(self) -> None:
        for recogniser in self.recognisers:
            if recogniser.taken >= self.settings.recycle_after and not _load(recogniser):
                recogniser.retire()
        for recogniser in self.recognisers:
            if not recogniser.alive and recogniser.problem:
                self._broken.setdefault(recogniser.language, (recogniser.problem, self.clock()))
        self.recognisers = [recogniser for recogniser in self.recognisers if recogniser.alive]

    def _model_problem(self, language: str) -> str | None:
        """Why nothing can be transcribed in a language now; what a person reads beside the message."""
        name = language_name(language)
        folder = self.settings.models.get(language)
        if folder is None:
            return f"no model installed for {name}: none is configured"
        problem = model_problem(folder)
        if problem:
            return f"no model installed for {name}: {problem}"
        if language in self._broken:
            reason, since = self._broken[language]
            if (self.clock() - since).total_seconds() < MODEL_RETRY_SECONDS:
                return f"the model for {name} does not load, install it again ({folder}): {reason}"
            del self._broken[language]
        return None


def _load(recogniser: Recogniser) -> int:
    return len(recogniser.pending) + len(recogniser.following)
