"""The synthetic call: the service calls itself, leaves a message, and sees whether it arrives.

It takes the way of every call: a `Local` channel goes through the dialplan and to whichever worker takes it; that one
greets, says its words, records and files. Only agents are left out. The near half is ours, in an application of its
own, and speaks digits in the voice of the prompts. What the call makes is told by its ids (`tickets.models.SYNTHETIC`),
shown nowhere, and removed at the end; what a run leaves that died is removed by the next look for leftovers.
"""

import asyncio
import contextlib
import re
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from sqlalchemy import delete, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from ivr import phrases, queries
from ivr.ari import (
    Ari,
    AriError,
    ChannelDestroyed,
    ChannelTalkingStarted,
    Event,
    NotFound,
    PlaybackFinished,
    ServerFault,
    StasisEnd,
    StasisStart,
)
from ivr.config import CallsConfig, Language
from ivr.models import Agent, Call, Offer, OfferResult, Presence, SyntheticResult
from ivr.operations import new_offer_id
from ivr.prompts import Prompts
from ivr.settings import Node
from tickets.database import Database, OutcomeUnknown
from tickets.models import SYNTHETIC, DeliveryState, OutboxMail, Request, RequestEvent
from voicemail.audio import AudioStore, remove_takes
from voicemail.models import Message, MessageState, TranscriptState

log = structlog.get_logger()

STEPS = ("answer", "pop", "words", "recording", "ticket", "transcript", "notice", "removal")
"""`answer`: from dialling to picked up, with the call's row written. `pop`: from dialling until a page has been given
the call to show. `words`: until the first sound is heard. `recording`: until the beep is over and the recording runs,
then all that is said into it. `ticket`: until the message is filed. `transcript`: until its words are there. `notice`:
until the mail server has the mail. `removal`."""
PATIENCE = {
    "answer": 10.0,
    "pop": 10.0,
    "words": 10.0,
    "recording": 180.0,
    "ticket": 20.0,
    "transcript": 600.0,
    "notice": 200.0,
    "removal": 30.0,
}
"""Seconds. A transcript may stand behind others; a mail is tried again after one and three minutes."""
SPOKEN = "123456789"
LEAST_WORDS = 5
"""So many of the nine digits must be understood: the worst official model misses one word in four."""
LOOK_SECONDS = 0.1
WATCHER = "(synthetic call)"
"""User name of the agent whose page is given the call. No person can have it; without a phone, as those who have left,
it is kept out of every list and decision."""
KEPT = timedelta(days=30)
LEFT_OVER_AFTER = timedelta(minutes=30)
"""Longer than any run takes: what is older belongs to one that died."""

_CHANNEL = re.compile(rf"synthetic-({SYNTHETIC}[0-9a-f]{{31}})")


def call_id_of(channel_id: str) -> str | None:
    """The id that a synthetic call has, from that of its channel; None for any other channel."""
    match = _CHANNEL.fullmatch(channel_id)
    return match[1] if match else None


Watch = Callable[[int, Callable[[str], None]], contextlib.AbstractAsyncContextManager[object]]
"""Opens a page of an agent, by id, that calls back with the id of each call it is given to show."""


def is_synthetic(channel_id: str) -> bool:
    """Whether a channel is one half of a synthetic call."""
    return call_id_of(channel_id.replace("-caller", "", 1)) is not None


@dataclass(frozen=True, slots=True)
class SyntheticOutcome:
    """How a synthetic call went: milliseconds of each step done, the step that failed, and why."""

    at: datetime
    steps: dict[str, int]
    failed: str | None = None
    why: str | None = None


class StepFailed(Exception):
    """A step of a synthetic call did not happen; the text says what was seen instead."""


@dataclass
class SyntheticCall:
    """What is needed to make one. `languages` are those with a model: other lines have no transcripts to wait for.

    `mail` says whether there is a mail server; `role` tells callers apart that may call at the same time. Without
    `watch` nobody looks for the pop.
    """

    node: Node
    """The Asterisk it is made at."""
    app: str
    """The Stasis application of this worker."""
    config: CallsConfig
    database: Database
    audio: AudioStore
    prompts: Prompts
    languages: Collection[str]
    mail: bool
    now: Callable[[], datetime]
    watch: Watch | None = None
    role: str = ""
    patience: dict[str, float] = field(default_factory=lambda: dict(PATIENCE))

    async def run(self) -> SyntheticOutcome:
        """Make one, store how it went, and remove all else. Raises nothing for what does not work."""
        outcome = await _Run(self).go()
        try:
            await self.database.run(_store, outcome)
        except (SQLAlchemyError, OutcomeUnknown) as error:
            log.warning("how a synthetic call went could not be stored", error=repr(error))
        return outcome

    async def run_when_due(self) -> SyntheticOutcome | None:
        """Make one when the last is as old as the settings say, whoever made it; None when it is not."""
        every = self.config.synthetic_call.every_minutes
        if not every:
            return None
        last = await self.database.read(last_result)
        if last is not None and self.now() - last.at < timedelta(minutes=every):
            return None
        return await self.run()

    async def remove_leftovers(self) -> int:
        """Remove what runs that died have left; returns how many calls. Calls that are not over are left alone."""
        left = await self.database.read(_left_over, self.now() - LEFT_OVER_AFTER)
        for call_id in left:
            await self.remove(call_id)
        if left:
            log.warning("removed what synthetic calls had left", count=len(left))
        return len(left)

    async def remove(self, call_id: str) -> None:
        """Remove all that a synthetic call has made; audio first, as everywhere. Safe to repeat."""
        message = await self.database.read(_message, call_id)
        if message is not None:
            # it may be in the store before its row says so
            kept = self.audio.path_of(call_id, message.started_at).relative_to(self.audio.folder)
            await asyncio.to_thread(self.audio.erase, message.audio or str(kept))
        await asyncio.to_thread(remove_takes, self.node.recordings, call_id)
        await self.database.run(_remove, call_id)


class _Run:
    """One call, as its caller sees it."""

    def __init__(self, parts: SyntheticCall) -> None:
        self.parts = parts
        self.call_id = f"{SYNTHETIC}{uuid.uuid4().hex[:31]}"
        self.near, self.words = f"synthetic-caller-{self.call_id}", f"{self.call_id}-words"
        config = parts.config
        self.line = config.line(config.synthetic_call.line) or config.lines[0]
        self.answered, self.shown, self.heard, self.said, self.gone = (asyncio.Event() for _ in range(5))
        self.dialled = self.shown_at = 0.0
        self.steps: dict[str, int] = {}
        self.step = STEPS[0]

    async def go(self) -> SyntheticOutcome:
        at, why = self.parts.now(), None
        app = f"synthetic-{self.parts.app}{self.parts.role}"
        node = self.parts.node
        async with contextlib.AsyncExitStack() as stack:
            ari = await stack.enter_async_context(
                Ari(node.url, app, node.username, node.password.get_secret_value(), on_event=self._hear)
            )
            try:
                if self.parts.watch is not None:
                    await self._open_page(stack, self.parts.watch)
                with self._timed("answer"):
                    await self._dial(ari)
                if self.parts.watch is not None:
                    self.step = "pop"
                    await self._until(self.shown, "no page was given the call")
                    self.steps["pop"] = round((self.shown_at - self.dialled) * 1000)
                with self._timed("words"):
                    await self._until(self.heard, "nothing is heard: are the prompts there?")
                with self._timed("recording"):
                    await self._speak(ari)
                with self._timed("ticket"):
                    message = await self._filed()
                if self.line.language in self.parts.languages:
                    with self._timed("transcript"):
                        await self._transcribed(self.line.language)
                if self.parts.config.synthetic_call.mail_to:
                    with self._timed("notice"):
                        await self._notified(message.request_id)
            except (StepFailed, AriError, SQLAlchemyError, OutcomeUnknown) as error:
                why = str(error)
            except TimeoutError:
                why = f"not within {self.parts.patience[self.step]:g} s"
            failed = self.step if why else None
            try:
                with self._timed("removal"):
                    await self._hang_up(ari)
                    await self._clear()
            except Exception as error:
                # what it was about stays the answer; the leftovers are removed later
                log.warning("a synthetic call could not be removed yet", call=self.call_id, error=repr(error))
                failed, why = failed or "removal", why or repr(error)
        return SyntheticOutcome(at, self.steps, failed, why)

    def _hear(self, event: Event) -> None:
        """Take an event; those of the far half come as well, and are not for us."""
        match event:
            case StasisStart(channel=channel) if channel.id == self.near:
                self.answered.set()
            case ChannelTalkingStarted(channel=channel) if channel.id == self.near:
                self.heard.set()
            case PlaybackFinished(playback_id=playback_id) if playback_id == self.words:
                self.said.set()
            case StasisEnd(channel=channel) | ChannelDestroyed(channel=channel) if channel.id == self.near:
                self.gone.set()

    def _on_pop(self, call_id: str) -> None:
        if call_id == self.call_id and not self.shown.is_set():
            self.shown_at = time.monotonic()
            self.shown.set()

    async def _open_page(self, stack: contextlib.AsyncExitStack, watch: Watch) -> None:
        """Open the watcher's page, and wait until every worker may know that it is open."""
        database = self.parts.database
        watcher = await database.run(_watcher, now=self.parts.now())
        await stack.enter_async_context(watch(watcher, self._on_pop))
        async with asyncio.timeout(self.parts.patience["pop"]):
            while not await database.read(_has_page, watcher):  # noqa: ASYNC110 - another task stores it
                await asyncio.sleep(LOOK_SECONDS)

    @contextlib.contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        self.step = step
        began = time.monotonic()
        yield
        self.steps[step] = round((time.monotonic() - began) * 1000)

    async def _until(self, event: asyncio.Event, otherwise: str) -> None:
        """Wait for an event of the call. Raises StepFailed when the call ends before, or the time."""
        waits = [asyncio.ensure_future(one.wait()) for one in (event, self.gone)]
        try:
            await asyncio.wait(waits, timeout=self.parts.patience[self.step], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if not event.is_set():
            raise StepFailed(f"the call was cut off; {await self._seen()}" if self.gone.is_set() else otherwise)

    async def _seen(self) -> str:
        """What the call's row says, for a person who looks for the fault."""
        row = await self.parts.database.read(queries.call, self.call_id)
        if row is None:
            return "no worker has taken it"
        return f"outcome: {row.outcome or 'none yet'}{f', {row.outcome_note}' if row.outcome_note else ''}"

    async def _dial(self, ari: Ari) -> None:
        await ari.wait_connected(self.parts.patience["answer"])
        self.dialled = time.monotonic()
        try:
            await ari.channels.originate(
                f"Local/{self.line.number}@centralino-inbound/n",
                channel_id=self.near,
                other_channel_id=f"synthetic-{self.call_id}",
                timeout_seconds=int(self.parts.patience["answer"]) + 5,
            )
        except ServerFault as error:
            raise StepFailed(f"Asterisk cannot call {self.line.number} in centralino-inbound: {error}") from error
        await self._until(self.answered, "nobody picks up")
        if await self.parts.database.read(queries.call, self.call_id) is None:
            raise StepFailed("the dialplan picked up by itself: no worker has taken the call")
        # from here on Asterisk tells when sound comes from the line
        await ari.channels.set_variable(self.near, "TALK_DETECT(set)", "")

    async def _speak(self, ari: Ari) -> None:
        """Wait until the line records, and say the digits into it."""
        async with asyncio.timeout(self.parts.patience["recording"]):
            while not await self._is_recording(ari):
                if self.gone.is_set():
                    raise StepFailed(f"the call was cut off; {await self._seen()}")
                await asyncio.sleep(LOOK_SECONDS)
        words = phrases.digits(SPOKEN, self.line.language)
        await ari.channels.play(self.near, words, playback_id=self.words)
        await self._until(self.said, "what was said did not come to an end")
        await ari.channels.hangup(self.near)

    async def _is_recording(self, ari: Ari) -> bool:
        with contextlib.suppress(NotFound):
            return (await ari.recordings.get_live(f"{self.call_id}-1")).state == "recording"
        return False

    async def _filed(self) -> Message:
        async with asyncio.timeout(self.parts.patience["ticket"]):
            while True:
                message = await self.parts.database.read(_message, self.call_id)
                if message is not None and message.request_id is not None:
                    return message
                if message is not None and message.state in (MessageState.EMPTY, MessageState.LOST):
                    heard, of = message.speech_seconds or 0.0, message.seconds or 0.0
                    raise StepFailed(f"the message is {message.state}: speech in {heard:.1f} s of {of:.1f} s")
                await asyncio.sleep(LOOK_SECONDS)

    async def _transcribed(self, language: Language) -> None:
        reason = None
        try:
            async with asyncio.timeout(self.parts.patience["transcript"]):
                while True:
                    message = await self.parts.database.read(_message, self.call_id)
                    if message is None:
                        raise StepFailed("the message is gone")
                    if message.transcript_state is TranscriptState.DONE:
                        break
                    reason = message.transcript_error or reason
                    # given up; or nobody's fault but the model's, which is not tried at all
                    if reason and (message.transcript_state is TranscriptState.FAILED or message.attempts == 0):
                        raise StepFailed(reason)
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            raise StepFailed(f"no transcript in time{f': {reason}' if reason else ''}") from None
        names = {f"number-{digit}" for digit in SPOKEN}
        expected = {str(p.says) for p in self.parts.prompts if p.name in names and p.language == language}
        understood = expected & set((message.transcript or "").lower().split())
        if len(understood) < LEAST_WORDS:
            raise StepFailed(f"{len(understood)} of {len(expected)} words were understood: {message.transcript!r}")

    async def _notified(self, request_id: int | None) -> None:
        error = None
        try:
            async with asyncio.timeout(self.parts.patience["notice"]):
                while True:
                    mail = await self.parts.database.read(_mail, request_id)
                    if mail is None:
                        raise StepFailed("no notice was written")
                    if mail.state is DeliveryState.SENT or not self.parts.mail:
                        return
                    error = mail.last_error or error
                    if mail.state is DeliveryState.DEAD:
                        raise StepFailed(f"the notice was refused: {error}")
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            raise StepFailed(f"the notice was not delivered in time{f': {error}' if error else ''}") from None

    async def _hang_up(self, ari: Ari) -> None:
        with contextlib.suppress(AriError):
            await ari.channels.hangup(self.near)

    async def _clear(self) -> None:
        """Remove all of it once the call is over: whoever serves it must not find its rows gone."""
        async with asyncio.timeout(self.parts.patience["removal"]):
            while (row := await self.parts.database.read(queries.call, self.call_id)) and row.ended_at is None:  # noqa: ASYNC110
                await asyncio.sleep(LOOK_SECONDS)
        await self.parts.remove(self.call_id)


def offer_to_watcher(session: Session, call_id: str, *, now: datetime) -> int | None:
    """Make the call one that the watcher's page may show; returns whose page that is, None when nobody watches."""
    watcher = session.scalar(select(Agent.id).where(Agent.username == WATCHER, Agent.desk_connected.is_(True)))
    if watcher is not None:
        session.add(Offer(id=new_offer_id(), call_id=call_id, agent_id=watcher, endpoint="", offered_at=now))
    return watcher


def end_showing(session: Session, call_id: str, *, now: datetime) -> None:
    """The watcher's page has it."""
    session.execute(update(Offer).where(Offer.call_id == call_id).values(ended_at=now, result=OfferResult.WITHDRAWN))


def last_result(session: Session) -> SyntheticResult | None:
    """How the last synthetic call went."""
    return session.scalars(select(SyntheticResult).order_by(SyntheticResult.id.desc()).limit(1)).one_or_none()


def _store(session: Session, outcome: SyntheticOutcome) -> None:
    session.add(
        SyntheticResult(
            at=outcome.at, steps=outcome.steps, failed=outcome.failed, why=(outcome.why or "")[:1000] or None
        )
    )
    session.execute(delete(SyntheticResult).where(SyntheticResult.at < outcome.at - KEPT))


def _watcher(session: Session, *, now: datetime) -> int:
    watcher = session.scalars(select(Agent).where(Agent.username == WATCHER)).one_or_none()
    if watcher is None:
        watcher = Agent(username=WATCHER, name=WATCHER, presence=Presence.OFFLINE, presence_since=now)
        session.add(watcher)
        session.flush()
    return watcher.id


def _has_page(session: Session, agent_id: int) -> bool:
    return session.get_one(Agent, agent_id).desk_connected


def _message(session: Session, call_id: str) -> Message | None:
    return session.get(Message, call_id)


def _mail(session: Session, request_id: int | None) -> OutboxMail | None:
    return session.scalars(select(OutboxMail).where(OutboxMail.request_id == request_id).limit(1)).one_or_none()


def _left_over(session: Session, before: datetime) -> list[str]:
    over = select(Call.id).where(Call.id >= SYNTHETIC, Call.ended_at.is_not(None), Call.started_at < before)
    return list(session.scalars(over))


def _remove(session: Session, call_id: str) -> None:
    assert call_id.startswith(SYNTHETIC)  # noqa: S101 - whatever happens, no caller's message is removed here
    request_ids = list(session.scalars(select(Request.id).where(Request.call_id == call_id, Request.id < 0)))
    for statement in (
        delete(Offer).where(Offer.call_id == call_id),
        delete(Call).where(Call.id == call_id),
        delete(Message).where(Message.id == call_id),
        delete(OutboxMail).where(OutboxMail.request_id.in_(request_ids)),
        delete(RequestEvent).where(RequestEvent.request_id.in_(request_ids)),
        delete(Request).where(Request.id.in_(request_ids)),
    ):
        session.execute(statement.execution_options(synchronize_session=False))
