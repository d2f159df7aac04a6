"""One channel in our hands and the verbs to use it: say, ask, record, music, hang up.

Verbs return values and events stay below them. Hangup is an exception: when the channel goes, every wait that is under
way raises `Hangup`, and so does every verb used afterwards. A verb registers what it waits for first and acts then, so
an event can never be too early.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from ivr.ari import (
    Ari,
    AriConnectionError,
    AriRefused,
    ChannelDestroyed,
    ChannelDtmfReceived,
    ChannelHangupRequest,
    Event,
    Hangup,
    NotFound,
    PlaybackFinished,
    RecordingFailed,
    RecordingFinished,
    ServerFault,
    StasisEnd,
    StasisStart,
)

log = structlog.get_logger()

RECORDING_GRACE_SECONDS = 2.0
"""How long to wait, after a hangup, for Asterisk to say that the recording is closed."""

BY_THE_CHANNEL_ITSELF = 1
"""Asterisk's AST_SOFTHANGUP_DEV, as a ChannelHangupRequest names it; a hangup that we asked for is another number."""
PLAYBACK_IDS = 4
"""A channel's playbacks are named in turn by so few names that the next service can stop what this one left playing."""
STOP_ATTEMPTS = 25
STOP_PAUSE_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Recorded:
    """The end of a recording; `seconds` as Asterisk counts them, which is whole ones."""

    hung_up: bool
    seconds: float


class Leg:
    """A channel. `up` is done when it has entered our Stasis application, `gone` when it has left or died."""

    def __init__(self, ari: Ari, channel_id: str) -> None:
        self.ari = ari
        self.id = channel_id
        loop = asyncio.get_running_loop()
        self.up: asyncio.Future[None] = loop.create_future()
        self.gone: asyncio.Future[int] = loop.create_future()
        """The hangup cause (Q.850)."""
        self.unanswered_since: float | None = None
        """Since when (in the loop's time) a call waits to be picked up."""
        self.silent_since: float | None = None
        """Since when (in the loop's time) the caller has heard nothing, while we are not listening either; None while
        there are words, music, a recording, somebody in a bridge, or a key is awaited. See `ivr.watchdog`."""
        self.fell_silent = False
        """Asterisk hung up since nothing was heard for `rtp_timeout`: the other side died without a goodbye."""
        self.left_to_dialplan = False
        """Nobody hung up: the dialplan took the channel from us, as it does when it hears the tone of a fax."""
        self._hanging_up = False
        """Asterisk ends what it plays before it says that the channel has gone: such an end is no end of the words."""
        self._waits: set[asyncio.Future[object]] = set()
        self._playbacks: dict[str, asyncio.Future[object]] = {}
        self._music = False
        self._played = 0
        self._recordings: dict[str, asyncio.Future[RecordingFinished | None]] = {}
        self._digits: deque[str] = deque()
        self._digit: asyncio.Future[object] | None = None

    # ------------------------------------------------------------------------------------------------- from events

    def feed(self, event: Event) -> None:
        """Take an event that concerns this channel."""
        match event:
            case StasisStart():
                self._hanging_up = False  # a phone that transferred the call itself goes on as another channel
                if not self.up.done():
                    self.up.set_result(None)
            case ChannelDtmfReceived(digit=digit):
                self._digits.append(digit)
                _finish(self._digit)
            case ChannelHangupRequest(soft=soft, cause=cause):
                self._hanging_up = True
                self.fell_silent = soft and cause == BY_THE_CHANNEL_ITSELF
            case PlaybackFinished(playback_id=playback_id) if not self._hanging_up:
                _finish(self._playbacks.get(playback_id))
            case RecordingFinished(name=name):
                if (future := self._recordings.get(name)) and not future.done():
                    future.set_result(event)
            case RecordingFailed(name=name):
                if (future := self._recordings.get(name)) and not future.done():
                    future.set_result(None)
            case ChannelDestroyed(cause=cause):
                self.leave(cause)
            case StasisEnd():
                self.left_to_dialplan = not (self._hanging_up or self.gone.done())
                self.leave(0)

    def leave(self, cause: int) -> None:
        """The channel is no longer ours: end every wait with Hangup."""
        if self.gone.done():
            return
        self.gone.set_result(cause)
        for future in tuple(self._waits):
            if not future.done():
                future.set_exception(Hangup(self.id, cause))

    @property
    def hears_words(self) -> bool:
        """Whether words are being played to it."""
        return bool(self._playbacks)

    @property
    def is_recorded(self) -> bool:
        """Whether it is being recorded."""
        return bool(self._recordings)

    # ------------------------------------------------------------------------------------------------------- verbs

    async def answer(self) -> None:
        """Pick up."""
        await self._act(self.ari.channels.answer(self.id))
        self.unanswered_since = None
        self.left_alone()

    def reached_us(self) -> None:
        """A new call, which is to be picked up."""
        self.left_alone()
        self.unanswered_since = self.silent_since

    def left_alone(self) -> None:
        """From this moment on the caller hears nothing, until the next verb."""
        self.silent_since = asyncio.get_running_loop().time()

    async def break_silence(self) -> None:
        """Let the caller hear something while whoever serves the call is held up: ringing, or music once picked up.

        The next words end it, and so does being joined with somebody.
        """
        if self.silent_since is None:
            return  # something was faster
        if self.unanswered_since is None:
            await self.start_music()
        else:
            self.silent_since = None
            await self._act(self.ari.channels.ring(self.id))

    async def say(self, media: Sequence[str], *, until: asyncio.Future[Any] | None = None) -> None:
        """Play media URIs one after the other; returns when they are over, or `until` is done (playing stops)."""
        if not media:
            return
        async with self._playing(media) as finished:
            await _first(finished, until) if until is not None else await finished

    async def ask(self, media: Sequence[str], *, length: int = 1, seconds: float = 5.0, end_on: str = "#") -> str:
        """Play a question and return the keys pressed; the first key stops the playing.

        Keys pressed ahead of the question count, and it is then not played. Ends at `length` keys, at `end_on` (not
        returned), or `seconds` after the end of the question or after the last key. Returns "" when nothing came.
        """
        if not self._digits:
            async with self._playing(media) as finished:
                await self._key_or(finished)
        self.silent_since = None
        try:
            keys = ""
            while len(keys) < length and await self._key_within(seconds):
                key = self._digits.popleft()
                if key == end_on and length > 1:
                    break
                keys += key
            return keys
        finally:
            self.left_alone()

    def forget_keys(self) -> None:
        """Drop keys pressed so far, where they cannot be meant for what comes next."""
        self._digits.clear()

    async def record(self, name: str, *, max_seconds: int, max_silence_seconds: int) -> Recorded:
        """Record until `#`, silence, the limit or hangup; never raises Hangup, since a hangup is a normal end.

        The file is `<name>.wav` in Asterisk's recording folder. Raises AriRefused when Asterisk cannot record.
        """
        with self._hearing_of(name) as future:
            try:
                await self._act(
                    self.ari.channels.record(
                        self.id,
                        name,
                        format="wav",
                        max_duration_seconds=max_seconds,
                        max_silence_seconds=max_silence_seconds,
                        if_exists="overwrite",
                        terminate_on="#",
                    )
                )
            except Hangup:
                return Recorded(hung_up=True, seconds=0.0)
            return await self._recorded(future)

    async def recording_under_way(self, name: str) -> Recorded | None:
        """Wait for a recording that was begun before we took over this channel; None when none is under way."""
        with self._hearing_of(name) as future:
            try:
                await self.ari.recordings.get_live(name)
            except NotFound:
                return None
            return await self._recorded(future)

    @contextlib.contextmanager
    def _hearing_of(self, name: str) -> Iterator["asyncio.Future[RecordingFinished | None]"]:
        """A future that has the end of a recording; meanwhile the caller speaks, and sits in no silence."""
        future: asyncio.Future[RecordingFinished | None] = asyncio.get_running_loop().create_future()
        self._recordings[name] = future
        self.silent_since = None
        try:
            yield future
        finally:
            del self._recordings[name]
            self.left_alone()

    async def _recorded(self, future: "asyncio.Future[RecordingFinished | None]") -> Recorded:
        await asyncio.wait((future, self.gone), return_when=asyncio.FIRST_COMPLETED)
        if not future.done():
            await asyncio.wait((future,), timeout=RECORDING_GRACE_SECONDS)
        finished = future.result() if future.done() else None
        self.forget_keys()  # the key that ended it, and those pressed while speaking
        return Recorded(
            hung_up=self.gone.done() or self._hanging_up,
            seconds=finished.duration or 0.0 if finished else 0.0,
        )

    async def start_music(self) -> None:
        """Play music until something else is done with the channel; does nothing when it plays already."""
        if self._music:
            return
        # Before Asterisk has answered: words that begin meanwhile end it.
        self._music, self.silent_since = True, None
        try:
            await self._act(self.ari.channels.start_moh(self.id))
        except BaseException:
            self._music = False
            raise

    async def stop_music(self) -> None:
        """Stop the music, because somebody is to be heard instead."""
        self._music, self.silent_since = False, None
        await self._act(self.ari.channels.stop_moh(self.id))

    def check(self) -> None:
        """Raise Hangup when the channel is gone."""
        if self.gone.done():
            raise Hangup(self.id, self.gone.result())

    async def until(self, future: "asyncio.Future[Any]", seconds: float | None = None) -> bool:
        """Wait until a future is done, at most `seconds`; False when the time is over. Raises Hangup."""
        await asyncio.wait((future, self.gone), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        self.check()
        return future.done()

    def key(self) -> "asyncio.Future[object]":
        """A future that is done when a key is there that was not asked for; cancel it when it is needed no more."""
        if self._digit is not None:
            self._digit.cancel()
        self._digit = self._wait()
        if self._digits:
            _finish(self._digit)
        return self._digit

    def take_key(self) -> str:
        """The first key pressed, taken out; "" when there is none."""
        return self._digits.popleft() if self._digits else ""

    async def hang_up(self, reason: str = "normal") -> None:
        """Hang up; a channel that is gone already is what was wanted."""
        if not self.gone.done():
            with contextlib.suppress(NotFound):
                await self.ari.channels.hangup(self.id, reason=reason)

    # ------------------------------------------------------------------------------------------------------- waits

    def _wait(self) -> asyncio.Future[object]:
        """A future that raises Hangup when the channel goes."""
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._waits.add(future)
        future.add_done_callback(self._forget)
        if self.gone.done():
            future.set_exception(Hangup(self.id, self.gone.result()))
        return future

    def _forget(self, future: asyncio.Future[object]) -> None:
        self._waits.discard(future)
        if not future.cancelled():
            future.exception()  # seen, even when nobody is left to await it

    async def _act(self, request: Awaitable[object]) -> None:
        """Await a request for this channel; a channel that Asterisk no longer has in our hands is a Hangup."""
        try:
            await request
        except AriRefused as error:
            if not error.channel_gone:
                raise
            self.leave(0)
            raise Hangup(self.id, self.gone.result()) from error

    @contextlib.asynccontextmanager
    async def _playing(self, media: Iterable[str]) -> AsyncIterator[asyncio.Future[object]]:
        playback_id = f"{self.id}-{self._played % PLAYBACK_IDS}"
        self._played += 1
        self._music, self.silent_since = False, None  # playing ends it
        finished = self._playbacks[playback_id] = self._wait()
        try:
            await self._act(self.ari.channels.play(self.id, list(media), playback_id=playback_id))
            try:
                yield finished
            finally:
                with contextlib.suppress(AriConnectionError):
                    await self._stop_playing(playback_id, finished)
        finally:
            del self._playbacks[playback_id]
            finished.cancel()
            self.left_alone()

    async def stop_left_playing(self) -> None:
        """Stop what an earlier service left playing: Asterisk would not answer or join the channel before its end."""
        for number in range(PLAYBACK_IDS):
            playback_id = f"{self.id}-{number}"
            finished = self._playbacks[playback_id] = self._wait()
            try:
                await self.ari.playbacks.stop(playback_id)
            except NotFound:
                continue
            except ServerFault:  # its file is not open yet
                await self._stop_playing(playback_id, finished)
                await asyncio.wait((finished,), timeout=1.0)
            else:
                await asyncio.wait((finished,), timeout=1.0)
            finally:
                del self._playbacks[playback_id]
                finished.cancel()

    async def _stop_playing(self, playback_id: str, finished: asyncio.Future[object]) -> None:
        """Stop a playback now. Asterisk refuses (500) for some milliseconds until it has opened the file: try again.

        It must not be left playing: a channel that plays holds up every request that needs it to listen.
        """
        for _ in range(STOP_ATTEMPTS):
            if finished.done():
                return
            try:
                await self.ari.playbacks.stop(playback_id)
            except NotFound:
                return  # it ended by itself in the meantime
            except ServerFault:
                await asyncio.wait((finished,), timeout=STOP_PAUSE_SECONDS)
            else:
                return

    async def _key_or(self, finished: asyncio.Future[object]) -> None:
        self._digit = self._wait()
        try:
            if not self._digits:
                await _first(finished, self._digit)
        finally:
            self._digit.cancel()
            self._digit = None

    async def _key_within(self, seconds: float) -> bool:
        if self._digits:
            return True
        self._digit = self._wait()
        try:
            async with asyncio.timeout(seconds):
                await self._digit
        except TimeoutError:
            return False
        finally:
            self._digit = None
        return True


def _finish(future: asyncio.Future[object] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)


async def _first(one: asyncio.Future[Any], other: asyncio.Future[Any]) -> None:
    """Wait for the first of two; raises what it raises."""
    done, _ = await asyncio.wait((one, other), return_when=asyncio.FIRST_COMPLETED)
    for future in done:
        future.result()
