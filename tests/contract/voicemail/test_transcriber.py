"""Rows in the database become transcripts, whatever dies on the way."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tickets.database import Database
from tickets.notices import Notices
from voicemail import operations, queries, transcription
from voicemail.audio import AudioStore, read_samples, recording_path, wav_header
from voicemail.models import Message, TranscriptState
from voicemail.transcription import Transcriber, TranscriptionSettings

pytestmark = pytest.mark.contract

NOW = datetime(2026, 3, 9, 17, 30, tzinfo=UTC)


class Desk:
    """Leaves messages and waits for what becomes of them."""

    def __init__(self, database: Database, notices: Notices, folder: Path) -> None:
        self.database = database
        self.notices = notices
        self.store = AudioStore(folder / "audio")
        self.spool = folder / "spool"
        self.spool.mkdir()
        self.changed = asyncio.Event()
        database.subscribe(lambda _: self.changed.set())

    async def begin(self, message_id: str, language: str = "it") -> None:
        await self.database.run(
            operations.begin_message,
            message_id=message_id,
            call_id=message_id,
            line="0805550001",
            language=language,
            caller="+393331234567",
            contact_id=None,
            area=None,
            now=NOW,
        )

    async def file(self, message_id: str) -> None:
        kept = self.store.keep(recording_path(self.spool, message_id, 1), message_id, NOW)
        await self.database.run(
            operations.file_message, message_id, kept, self.notices, take=1, pickup_due_at=NOW, now=NOW
        )

    async def leave(self, message_id: str, recording: Path, language: str = "it") -> None:
        await self.begin(message_id, language)
        shutil.copy(recording, recording_path(self.spool, message_id, 1))
        await self.file(message_id)

    async def until(self, message_id: str, wanted: Callable[[Message], bool]) -> Message:
        async with asyncio.timeout(60):
            while True:
                self.changed.clear()
                message = await self.database.read(queries.message, message_id)
                if wanted(message):
                    return message
                await self.changed.wait()

    async def done(self, message_id: str) -> Message:
        return await self.until(message_id, lambda m: m.transcript_state is TranscriptState.DONE)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what happens in another process, of which no event tells."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.fixture
def recordings(speech: Path) -> list[Path]:
    return sorted(speech.glob("*.wav"))


@pytest.fixture
def desk(database: Database, notices: Notices, tmp_path: Path) -> Desk:
    return Desk(database, notices, tmp_path)


StartTranscriber = Callable[..., Awaitable[Transcriber]]


@pytest.fixture
async def start(desk: Desk, model: Path) -> AsyncIterator[StartTranscriber]:
    async with AsyncExitStack() as stack:

        async def begin(**settings: Any) -> Transcriber:
            chosen = TranscriptionSettings(**({"models": {"it": model}} | settings))
            return await stack.enter_async_context(Transcriber(desk.database, desk.store.folder, chosen))

        yield begin


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "FIRST_RETRY", timedelta(0))
    monkeypatch.setattr(transcription, "POLL_SECONDS", 0.2)


async def test_a_filed_message_gets_its_words(desk: Desk, speech: Path, start: StartTranscriber) -> None:
    await start()
    await desk.leave("m1", speech / "espeak-001.wav")
    message = await desk.done("m1")
    assert message.transcript is not None
    assert message.numbers == ["3293063218"]
    assert message.words is not None
    assert {"word", "start", "end", "confidence"} == set(message.words[0])
    assert message.transcript_error is None
    assert message.attempts == 1


async def test_messages_left_while_no_transcriber_ran_are_found(
    desk: Desk, speech: Path, start: StartTranscriber
) -> None:
    await desk.leave("m1", speech / "espeak-007.wav")
    await start()
    assert (await desk.done("m1")).numbers == ["6922737"]


async def test_a_recording_is_heard_while_it_grows(desk: Desk, speech: Path, start: StartTranscriber) -> None:
    transcriber = await start()
    await desk.leave("whole", speech / "espeak-006.wav")
    expected = await desk.done("whole")
    _, samples = read_samples(speech / "espeak-006.wav")
    path = recording_path(desk.spool, "m1", 1)
    await desk.begin("m1")
    transcriber.follow("m1", path, "it")
    with path.open("wb", buffering=0) as file:
        file.write(wav_header(0))
        for start_of_step in range(0, len(samples), 32768):
            file.write(samples[start_of_step : start_of_step + 32768])
            await asyncio.sleep(0)
    assert transcriber.recognisers[0].following == {"m1"}
    await desk.file("m1")
    message = await desk.done("m1")
    assert (message.transcript, message.words) == (expected.transcript, expected.words)
    assert transcriber.recognisers[0].following == set()


async def test_a_followed_message_that_was_silence_is_let_go(desk: Desk, start: StartTranscriber) -> None:
    transcriber = await start()
    await desk.begin("m1")
    recording_path(desk.spool, "m1", 1).write_bytes(wav_header(0) + bytes(16000 * 5))
    transcriber.follow("m1", recording_path(desk.spool, "m1", 1), "it")
    await desk.file("m1")
    assert (await desk.database.read(queries.message, "m1")).transcript_state is TranscriptState.NONE
    await until(lambda: not transcriber.recognisers[0].following)


async def test_following_without_a_model_does_nothing(desk: Desk, start: StartTranscriber, tmp_path: Path) -> None:
    transcriber = await start(models={"it": tmp_path / "none"})
    transcriber.follow("m1", tmp_path / "m1.wav", "it")
    transcriber.follow("m1", tmp_path / "m1.wav", "en")
    transcriber.stop_following("m1")
    assert transcriber.recognisers == []


async def test_a_killed_recogniser_costs_no_transcript(desk: Desk, speech: Path, start: StartTranscriber) -> None:
    transcriber = await start()
    await desk.leave("warm", speech / "espeak-013.wav")
    await desk.done("warm")
    (victim,) = transcriber.recognisers
    assert victim.pid
    os.kill(victim.pid, signal.SIGSTOP)  # so that it surely dies in the middle
    await desk.leave("m1", speech / "espeak-006.wav")
    await desk.leave("m2", speech / "espeak-007.wav")
    await until(lambda: bool(victim.pending))
    os.kill(victim.pid, signal.SIGKILL)
    assert "istituto tumori" in ((await desk.done("m1")).transcript or "")
    assert (await desk.done("m2")).numbers == ["6922737"]
    assert not victim.alive


async def test_a_stopped_service_gives_its_work_back(desk: Desk, speech: Path, model: Path) -> None:
    settings = TranscriptionSettings(models={"it": model})
    async with Transcriber(desk.database, desk.store.folder, settings) as transcriber:
        await desk.leave("warm", speech / "espeak-013.wav")
        await desk.done("warm")
        (frozen,) = transcriber.recognisers
        assert frozen.pid
        os.kill(frozen.pid, signal.SIGSTOP)
        await desk.leave("m1", speech / "espeak-007.wav")
        await until(lambda: bool(frozen.pending))
    message = await desk.database.read(queries.message, "m1")
    assert (message.transcript_state, message.attempts, message.lease_until) == (TranscriptState.WAITING, 0, None)
    async with Transcriber(desk.database, desk.store.folder, settings):
        await desk.done("m1")


async def test_a_hanging_recogniser_is_replaced(
    desk: Desk, speech: Path, start: StartTranscriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    transcriber = await start()
    await desk.leave("warm", speech / "espeak-013.wav")
    await desk.done("warm")
    (frozen,) = transcriber.recognisers
    assert frozen.pid
    os.kill(frozen.pid, signal.SIGSTOP)
    monkeypatch.setattr(transcription, "TIME_LIMIT_BASE", 0.5)
    monkeypatch.setattr(transcription, "TIME_LIMIT_PER_SECOND", 0.0)
    await desk.leave("m1", speech / "espeak-007.wav")
    await desk.until("m1", lambda m: m.transcript_error is not None)
    monkeypatch.setattr(transcription, "TIME_LIMIT_BASE", 60.0)
    message = await desk.done("m1")
    assert message.attempts > 1
    assert not frozen.alive


async def test_a_missing_model_keeps_the_message_waiting_until_it_is_installed(
    desk: Desk, speech: Path, start: StartTranscriber, model: Path, tmp_path: Path
) -> None:
    await start(models={"it": tmp_path / "model"})
    await desk.leave("m1", speech / "espeak-007.wav")
    message = await desk.until("m1", lambda m: m.transcript_error is not None)
    assert (message.transcript_state, message.attempts) == (TranscriptState.WAITING, 0)
    assert "no model installed for Italian" in (message.transcript_error or "")
    shutil.copytree(model, tmp_path / "unpacked")
    (tmp_path / "unpacked").rename(tmp_path / "model")
    message = await desk.done("m1")
    assert message.transcript_error is None


async def test_a_language_without_a_model_waits_while_others_go_on(
    desk: Desk, speech: Path, start: StartTranscriber
) -> None:
    await desk.leave("m1", speech / "espeak-007.wav", language="en")
    await desk.leave("m2", speech / "espeak-007.wav")
    await start()
    await desk.done("m2")
    message = await desk.until("m1", lambda m: m.transcript_error is not None)
    assert message.transcript_error == "no model installed for English: none is configured"


async def test_a_broken_model_burns_no_attempts_and_may_be_repaired(
    desk: Desk, speech: Path, start: StartTranscriber, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "model"
    shutil.copytree(model, broken)
    weights = broken / "am" / "final.mdl"
    weights.chmod(0o644)
    whole = weights.read_bytes()
    weights.write_bytes(whole[:1000])
    monkeypatch.setattr(transcription, "MODEL_RETRY_SECONDS", 0.5)
    transcriber = await start(models={"it": broken})
    await desk.leave("m1", speech / "espeak-007.wav")
    message = await desk.until("m1", lambda m: m.transcript_error is not None)
    assert message.attempts <= 1
    assert "the model for Italian does not load" in (message.transcript_error or "")
    weights.write_bytes(whole)
    message = await desk.done("m1")
    assert message.attempts == 1
    assert transcriber.model_problems() == {"it": None}


async def test_audio_that_has_gone_is_given_up_with_the_reason(
    desk: Desk, speech: Path, start: StartTranscriber
) -> None:
    await desk.leave("m1", speech / "espeak-007.wav")
    message = await desk.database.read(queries.message, "m1")
    assert message.audio
    (desk.store.folder / message.audio).write_bytes(b"this is no audio")
    await start()
    message = await desk.until("m1", lambda m: m.transcript_state is TranscriptState.FAILED)
    assert (message.transcript_error, message.attempts) == ("not a WAV file", operations.MOST_ATTEMPTS)


async def test_two_transcribers_share_the_work(desk: Desk, recordings: list[Path], start: StartTranscriber) -> None:
    for number, path in enumerate(recordings[:10]):
        await desk.leave(f"m{number}", path)
    other = Database(desk.database.url)
    first = await start()
    settings = first.settings
    async with Transcriber(other, desk.store.folder, settings) as second:
        other.subscribe(lambda _: desk.changed.set())
        attempts = [(await desk.done(f"m{number}")).attempts for number in range(10)]
        assert attempts == [1] * 10
        assert sum(r.taken for t in (first, second) for r in t.recognisers) == 10
    await other.close()


async def test_processes_are_replaced_after_so_many_messages(desk: Desk, speech: Path, start: StartTranscriber) -> None:
    transcriber = await start(recycle_after=2)
    pids: set[int | None] = set()
    for number in range(5):
        await desk.leave(f"m{number}", speech / "espeak-013.wav")
        await desk.done(f"m{number}")
        pids.update(r.pid for r in transcriber.recognisers if r.alive)
    assert len(pids) >= 3
    await until(lambda: sum(r.alive for r in transcriber.recognisers) <= 1)


async def test_several_processes_work_side_by_side(desk: Desk, recordings: list[Path], start: StartTranscriber) -> None:
    for number, path in enumerate(recordings[:6]):
        await desk.leave(f"m{number}", path)
    transcriber = await start(processes=2)
    for number in range(6):
        await desk.done(f"m{number}")
    assert len(transcriber.recognisers) == 2
