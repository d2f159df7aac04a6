"""Reading what Asterisk wrote, measuring speech, keeping it safe."""

import hashlib
import math
import os
import random
import struct
import wave
from array import array
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicemail.audio import (
    RATE,
    WAVEFORM_PARTS,
    AudioStore,
    loudness,
    read_layout,
    read_samples,
    recording_path,
    remove_takes,
    speech_seconds,
    wav_header,
)
from voicemail.errors import UnusableAudio

pytestmark = pytest.mark.unit

WHEN = datetime(2026, 3, 9, 17, 30, tzinfo=UTC)


def tone(seconds: float, level: int = 3000) -> bytes:
    return array("h", (int(level * math.sin(i * 0.7)) for i in range(int(seconds * RATE)))).tobytes()


def syllables(seconds: float, level: int = 3000, noise: int = 8) -> bytes:
    """Something that comes and goes like speech: 160 ms on, 80 ms off, over a little noise."""
    chance = random.Random(7)
    return array(
        "h",
        (
            chance.randint(-noise, noise) + (int(level * math.sin(i * 0.7)) if i % 1920 < 1280 else 0)
            for i in range(int(seconds * RATE))
        ),
    ).tobytes()


def write(path: Path, data: bytes, header: bytes | None = None) -> Path:
    path.write_bytes((wav_header(len(data)) if header is None else header) + data)
    return path


def test_a_plain_recording_is_read_like_the_wave_module_reads_it(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(tone(1))
    layout, data = read_samples(tmp_path / "a.wav")
    assert (layout.offset, layout.rate, layout.seconds) == (44, RATE, 1.0)
    assert data == tone(1)


@pytest.mark.parametrize("declared", [0, 1000, 0xFFFFFFFF, 10**6])
def test_a_header_with_wrong_sizes_counts_less_than_the_file(tmp_path: Path, declared: int) -> None:
    data = tone(2)
    path = write(tmp_path / "a.wav", data, wav_header(declared & 0xFFFFFFDB))
    assert read_samples(path)[1] == data


def test_an_odd_last_byte_is_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", tone(1) + b"x", wav_header(0))
    assert read_samples(path)[1] == tone(1)


def test_chunks_before_and_after_the_samples_are_not_audio(tmp_path: Path) -> None:
    comment = struct.pack("<4sI3sx", b"LIST", 3, b"abc")
    head = wav_header(len(tone(1)))
    path = tmp_path / "a.wav"
    path.write_bytes(head[:36] + comment + head[36:] + tone(1) + comment)
    layout, data = read_samples(path)
    assert layout.offset == 56
    assert data == tone(1)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"GIF89a not audio at all, but long enough to be looked at", "not a WAV"),
        (b"RIFF\0\0\0\0WAVE", "cut"),
        (wav_header(0)[:30], "cut"),
        (b"RIFF\0\0\0\0WAVEdata\0\0\0\0", "how the samples"),
        (
            struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 0, b"WAVE", b"fmt ", 16, 1, 2, 8000, 32000, 4, 16, b"data", 8),
            "2 channels",
        ),
        (
            struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 0, b"WAVE", b"fmt ", 16, 7, 1, 8000, 8000, 1, 8, b"data", 8),
            "format 7",
        ),
        (
            struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 0, b"WAVE", b"fmt ", 16, 1, 1, 0, 0, 2, 16, b"data", 8),
            "0 samples a second",
        ),
    ],
)
def test_what_is_no_usable_audio_says_why(content: bytes, reason: str) -> None:
    with pytest.raises(UnusableAudio, match=reason):
        read_layout(content, len(content))


@given(st.binary(max_size=200), st.integers(0, 10**9))
def test_hostile_headers_are_refused_or_stay_inside_the_file(tail: bytes, size: int) -> None:
    head = b"RIFF\0\0\0\0WAVE" + tail
    try:
        layout = read_layout(head, max(size, len(head)))
    except UnusableAudio:
        return
    assert layout.offset >= 0
    assert layout.offset + layout.size <= max(size, len(head))
    assert layout.size % 2 == 0


def test_silence_and_steady_sounds_are_not_speech() -> None:
    chance = random.Random(1)
    for level in (0, 5, 30, 300, 3000):
        noise = array("h", (max(-32768, min(32767, int(chance.gauss(0, level)))) for _ in range(RATE * 10)))
        assert speech_seconds(noise.tobytes()) < 0.5, level
    assert speech_seconds(tone(5)) == 0
    assert speech_seconds(b"") == speech_seconds(b"\0" * 100) == 0


def test_sound_that_comes_and_goes_is_speech_even_when_faint_or_with_an_offset() -> None:
    silence = bytes(2 * RATE * 3)
    assert 4.5 <= speech_seconds(silence + syllables(5) + silence) <= 5.2
    assert 4.0 <= speech_seconds(silence + syllables(5, level=120) + silence) <= 5.2
    shifted = array("h", (v + 900 for v in array("h", syllables(5)))).tobytes()
    assert 4.0 <= speech_seconds(shifted) <= 5.2
    assert 9.0 <= speech_seconds(syllables(10)) <= 10


def test_clicks_are_not_speech() -> None:
    click = tone(0.03)
    assert speech_seconds((bytes(RATE) + click) * 20) == 0


def test_keeping_moves_the_audio_and_mends_its_header(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    source = write(recording_path(spool, "m1", 1), syllables(4), wav_header(0))
    kept = AudioStore(tmp_path / "audio").keep(source, "m1", WHEN)
    assert kept is not None
    assert kept.path == "2026/03/m1.wav"
    assert kept.seconds == 4
    assert kept.speech_seconds > 3
    content = (tmp_path / "audio" / kept.path).read_bytes()
    assert kept.sha256 == hashlib.sha256(content).hexdigest()
    assert content == wav_header(len(syllables(4))) + syllables(4)
    assert not source.exists()
    assert (tmp_path / "audio" / kept.path).stat().st_mode & 0o077 == 0


def test_keeping_twice_gives_the_same_answer_whether_the_source_is_gone_or_not(tmp_path: Path) -> None:
    store = AudioStore(tmp_path / "audio")
    source = write(tmp_path / "m1-1.wav", syllables(3))
    first = store.keep(source, "m1", WHEN)
    assert store.keep(source, "m1", WHEN) == first
    write(source, syllables(3))  # the crash came before the source was removed
    assert store.keep(source, "m1", WHEN) == first
    assert not source.exists()
    assert [p.name for p in (tmp_path / "audio").rglob("*") if p.is_file()] == ["m1.wav"]


def test_another_recording_under_the_same_id_takes_its_place_and_loses_nothing(tmp_path: Path) -> None:
    store = AudioStore(tmp_path / "audio")
    store.keep(write(tmp_path / "m1-2.wav", bytes(RATE)), "m1", WHEN)
    kept = store.keep(write(tmp_path / "m1-1.wav", syllables(3)), "m1", WHEN)
    assert kept is not None
    assert kept.seconds == 3
    assert sum(1 for _ in (tmp_path / "audio" / "unusable").iterdir()) == 1


@pytest.mark.parametrize("content", [b"", wav_header(0), b"no audio", wav_header(100, rate=16000) + bytes(5000)])
def test_a_broken_file_is_kept_aside(tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "m1-1.wav"
    source.write_bytes(content)
    assert AudioStore(tmp_path / "audio").keep(source, "m1", WHEN) is None
    assert not source.exists()
    assert [p.read_bytes() for p in (tmp_path / "audio" / "unusable").iterdir()] == [content]


def test_no_recording_at_all_is_no_audio(tmp_path: Path) -> None:
    assert AudioStore(tmp_path / "audio").keep(tmp_path / "none.wav", "m1", WHEN) is None


def test_a_full_disk_leaves_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path / "m1-1.wav", syllables(3))

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            AudioStore(tmp_path / "audio").keep(source, "m1", WHEN)
    assert source.exists()
    assert not [p for p in (tmp_path / "audio").rglob("*") if p.is_file()]
    assert AudioStore(tmp_path / "audio").keep(source, "m1", WHEN) is not None


@pytest.mark.parametrize("message_id", ["../m", "a/b", "", ".hidden", "a\0b", "x" * 65])
def test_an_id_that_is_no_file_name_is_refused(tmp_path: Path, message_id: str) -> None:
    with pytest.raises(ValueError, match="safe file name"):
        AudioStore(tmp_path).keep(tmp_path / "a.wav", message_id, WHEN)


def test_erasing_stays_in_the_store(tmp_path: Path) -> None:
    store = AudioStore(tmp_path / "audio")
    outside = write(tmp_path / "a.wav", b"")
    with pytest.raises(ValueError, match="audio folder"):
        store.erase("../a.wav")
    assert outside.exists()
    kept = store.keep(write(tmp_path / "m1-1.wav", syllables(3)), "m1", WHEN)
    assert kept is not None
    store.erase(kept.path)
    store.erase(kept.path)
    assert not (tmp_path / "audio" / kept.path).exists()


def test_takes_that_do_not_count_are_removed(tmp_path: Path) -> None:
    for name in ("m1-1.wav", "m1-2.wav", "m12-1.wav", "m1.wav"):
        (tmp_path / name).touch()
    remove_takes(tmp_path, "m1")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m1.wav", "m12-1.wav"]


def test_the_waveform_tells_how_loud_each_stretch_is() -> None:
    silence, loud = bytes(2 * RATE), array("h", [16384, -32768] * (RATE // 2)).tobytes()
    found = loudness(silence + tone(1, 3277) + loud)
    assert len(found) == WAVEFORM_PARTS
    assert found[:80] == [0] * 80
    assert found[80:160] == [10] * 80
    assert found[160:] == [100] * 80


@given(st.binary(max_size=2000))
def test_a_waveform_has_no_more_values_than_there_are_samples(samples: bytes) -> None:
    found = loudness(samples)
    assert len(found) == min(len(samples) // 2, WAVEFORM_PARTS)
    assert all(0 <= one <= 100 for one in found)
