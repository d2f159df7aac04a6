"""The audio of messages: reading what Asterisk wrote, measuring speech and loudness, and keeping it safe.

Asterisk records 8 kHz, 16-bit, mono PCM in WAV files (its format `wav`). It writes a header with sizes of 0 first and
corrects them when the recording is closed, so a recording cut by a crash has wrong sizes but good audio. The reader
therefore trusts the length of the file more than the header, and `AudioStore` writes a true header into the kept copy,
since browsers believe it.
"""

import contextlib
import glob
import hashlib
import os
import re
import struct
import sys
from array import array
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import sub
from pathlib import Path

import structlog

from tickets.files import make_folder, write_safely
from voicemail.errors import UnusableAudio

log = structlog.get_logger()

RATE = 8000
"""Samples a second of everything we record."""
HEADER_BYTES = 44
"""Length of the plain WAV header that Asterisk writes and that we write."""
LONGEST_HEADER = 4096
"""Where the audio must begin at the latest; some recorders put a comment before it."""
SHORTEST_SECONDS = 0.02
"""Less than one frame is no audio."""
LONGEST_BYTES = 64 * 1024 * 1024
"""Over an hour. No message is so long (Asterisk's default is no limit, ours is minutes): it is refused, not read."""

FRAME = 160
"""Samples in a frame of 20 ms."""
STRIDE = 4
"""Every fourth sample tells a frame's mean level well enough (40 values, about 12 % spread), four times faster."""
QUIETEST_SPEECH = 30.0
"""Mean level (of 32,767) below which a frame is never speech: about -61 dBFS. The zero line of mu-law and A-law is 0 to
8, a quiet line's noise 5 to 30, a faint caller's words 60 and more."""
ABOVE_NOISE = 2.8
"""A frame is speech when it is 9 dB louder than the line's own noise; steady noise strays by less than 4 dB."""
LOUDEST_NOISE = 0.25
"""The noise is the level that nine frames in ten exceed, but at most this part of the loud level (that one frame in ten
exceeds): someone who speaks without a pause leaves no quiet tenth."""
STEADY = 0.5
"""When the quiet level is more than this part of the loud one nothing comes and goes: it is all noise. In the speech of
127 test messages it is below 0.2; in white noise about 0.75, in a tone 1."""
SHORTEST_BURST = 3
"""Frames: shorter bursts (60 ms) are clicks of the line or the handset."""
LONGEST_GAP = 10
"""Frames: a shorter gap (200 ms) inside speech is a stop consonant or a breath, and counts as speech."""

WAVEFORM_PARTS = 240
"""Values of the waveform beside a message: a line in a page about 500 pixels wide."""

_SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the samples of a WAV file lie: `size` bytes from `offset` on, `rate` samples a second."""

    offset: int
    size: int
    rate: int

    @property
    def seconds(self) -> float:
        """Length of the audio in seconds."""
        return self.size / 2 / self.rate


@dataclass(frozen=True, slots=True)
class KeptAudio:
    """Audio that is safe in the store: `path` below the audio folder, length and speech in seconds."""

    path: str
    sha256: str
    seconds: float
    speech_seconds: float


def recording_path(spool: Path, message_id: str, take: int) -> Path:
    """Where Asterisk writes take number `take` (from 1) of a message, below its recording folder `spool`."""
    return spool / f"{message_id}-{take}.wav"


def remove_takes(spool: Path, message_id: str) -> None:
    """Delete the takes of a filed message that do not count: the caller asked to record them again."""
    for path in spool.glob(f"{glob.escape(message_id)}-[0-9]*.wav"):
        path.unlink(missing_ok=True)


def read_layout(head: bytes, file_size: int) -> Layout:
    """Find the samples in a WAV file of `file_size` bytes that begins with `head` (4 KiB, or all of a shorter file).

    Sizes in the header that are 0, or that do not fit the file, are taken for those of a recording that was never
    closed: the samples then reach to the end of the file, an odd last byte left out. Raises UnusableAudio when it is
    not a WAV file, has no samples, or is anything but 16-bit mono PCM.
    """
    if not head:
        raise UnusableAudio("the file is empty")
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        raise UnusableAudio("not a WAV file")
    position, rate = 12, 0
    while position + 8 <= len(head):
        name, declared = struct.unpack_from("<4sI", head, position)
        body = position + 8
        if name == b"data":
            if not rate:
                raise UnusableAudio("the WAV header does not say how the samples are stored")
            return Layout(body, _true_size(head, body, declared, file_size), rate)
        if name == b"fmt ":
            if body + 16 > len(head):
                break
            kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", head, body)
            if (kind, channels, bits) != (1, 1, 16) or not rate:
                raise UnusableAudio(
                    f"not 16-bit mono PCM (format {kind}, {channels} channels, {bits} bits, {rate} samples a second)"
                )
        position = body + declared + declared % 2
    raise UnusableAudio("the WAV header is cut or holds no samples")


def _true_size(head: bytes, body: int, declared: int, file_size: int) -> int:
    present = file_size - body
    after = body + declared + declared % 2
    # A header that says less than there is: believe it only if other chunks, not samples, follow.
    honest = 0 < declared <= present and (after >= file_size or _is_chunk_name(head[after : after + 4], after, head))
    size = declared if honest else present
    return size - size % 2


def _is_chunk_name(name: bytes, position: int, head: bytes) -> bool:
    return position >= len(head) or name in (b"LIST", b"id3 ", b"bext", b"cue ", b"fact", b"JUNK")


def read_samples(path: Path) -> tuple[Layout, bytes]:
    """Read all samples of a WAV file as bytes (16-bit little-endian). Raises UnusableAudio, and OSError."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        layout = read_layout(file.read(LONGEST_HEADER), size)
        if layout.size > LONGEST_BYTES:
            raise UnusableAudio(f"too long for a message ({layout.seconds:.0f} s)")
        file.seek(layout.offset)
        data = file.read(layout.size)
    data = data[: len(data) - len(data) % 2]
    return Layout(layout.offset, len(data), layout.rate), data


def wav_header(size: int, rate: int = RATE) -> bytes:
    """The 44-byte header of a WAV file with `size` bytes of 16-bit mono PCM."""
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 1, 1, rate, rate * 2, 2, 16, b"data", size
    )


def speech_seconds(samples: bytes) -> float:
    """Seconds of speech in 8 kHz 16-bit mono samples, judged by loudness alone.

    A frame of 20 ms is speech when it is clearly louder than the line's own noise; bursts too short for a syllable are
    left out and short gaps filled. Any sound that comes and goes counts, such as music or a busy tone: the measure only
    has to tell that somebody may have spoken, and errs on that side.
    """
    values = array("h", samples[: len(samples) - len(samples) % 2])
    if sys.byteorder == "big":
        values.byteswap()
    thin = values[::STRIDE]
    per_frame = FRAME // STRIDE
    count = len(thin) // per_frame
    if not count:
        return 0.0
    levels = []
    for start in range(0, count * per_frame, per_frame):
        frame = thin[start : start + per_frame]
        # The frame's own mean is taken off: an offset of the analogue line is not sound.
        offset = sum(frame) // per_frame
        levels.append(sum(map(abs, map(sub, frame, (offset,) * per_frame))) if offset else sum(map(abs, frame)))
    ordered = sorted(levels)
    noise, loud = ordered[count // 10], ordered[count * 9 // 10]
    if noise < loud * STEADY:
        noise = min(noise, loud * LOUDEST_NOISE)
    threshold = max(QUIETEST_SPEECH * per_frame, noise * ABOVE_NOISE)
    return _frames_of_speech([level > threshold for level in levels]) * FRAME / RATE


def loudness(samples: bytes, parts: int = WAVEFORM_PARTS) -> list[int]:
    """The loudest sample of each of `parts` equal stretches, in percent of full scale; of 16-bit mono samples.

    Fewer values where there are fewer samples than parts. A minute takes about 40 ms.
    """
    values = array("h", samples[: len(samples) - len(samples) % 2])
    if sys.byteorder == "big":
        values.byteswap()
    parts = min(parts, len(values))
    found = []
    for part in range(parts):
        stretch = values[len(values) * part // parts : len(values) * (part + 1) // parts]
        found.append(round(max(max(stretch), -min(stretch)) * 100 / 32768))
    return found


def _frames_of_speech(loud: list[bool]) -> int:
    total, burst, gap = 0, 0, LONGEST_GAP
    for is_loud in [*loud, *([False] * LONGEST_GAP)]:
        if is_loud:
            burst += 1
            continue
        if burst:
            if burst >= SHORTEST_BURST:
                total += burst + (gap if total and gap < LONGEST_GAP else 0)
                gap = 0
            else:
                gap += burst
            burst = 0
        gap += 1
    return total


class AudioStore:
    """The folder where the audio of messages is kept, as `YYYY/MM/<message id>.wav`, and `unusable/` beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, source: Path, message_id: str, started_at: datetime) -> KeptAudio | None:
        """Move a finished recording into the store; the source goes only when the copy is on the disk.

        The copy is written beside its final place, flushed to the disk and renamed, so that a crash at any moment
        leaves the source, the copy, or both; calling again gives the same answer. None: there is no usable audio; a
        broken file is then kept aside in `unusable/`. Blocks for some milliseconds (a thread is the place for it).
        Raises ValueError for an id that is no safe file name, and OSError when the disk is full or not writable: the
        source is then untouched.
        """
        if not _SAFE_ID.fullmatch(message_id):
            raise ValueError(f"not a safe file name: {message_id!r}")
        target = self.path_of(message_id, started_at)
        relative = str(target.relative_to(self.folder))
        try:
            data = self._samples(source)
        except FileNotFoundError:
            # Kept by an earlier call that was cut before its answer was used; or there never was a recording.
            return self._measure(relative, read_samples(target)[1]) if target.exists() else None
        except UnusableAudio as error:
            log.warning("recording has no usable audio", message=message_id, reason=str(error))
            self.set_aside(source, message_id)
            return None
        self._write(target, data)
        source.unlink(missing_ok=True)  # another worker may file the same message of a dead one
        return self._measure(relative, data)

    def path_of(self, message_id: str, started_at: datetime) -> Path:
        """Where the audio of a message is, or will be."""
        return self.folder / f"{started_at.astimezone(UTC):%Y/%m}/{message_id}.wav"

    def erase(self, relative: str) -> None:
        """Delete kept audio for good; it may be gone already. Raises ValueError for a path outside the store."""
        path = self.folder / relative
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise ValueError(f"not in the audio folder: {relative!r}")
        path.unlink(missing_ok=True)

    def erase_unusable(self, before: datetime) -> None:
        """Delete what was set aside before a time."""
        for path in (self.folder / "unusable").glob("*"):
            if path.stat().st_mtime < before.timestamp():
                path.unlink(missing_ok=True)

    @staticmethod
    def _samples(source: Path) -> bytes:
        layout, data = read_samples(source)
        if layout.rate != RATE:
            raise UnusableAudio(f"{layout.rate} samples a second; messages are recorded with {RATE}")
        if layout.seconds < SHORTEST_SECONDS:
            raise UnusableAudio("the recording holds no audio")
        return data

    @staticmethod
    def _measure(relative: str, data: bytes) -> KeptAudio:
        digest = hashlib.sha256(wav_header(len(data)) + data).hexdigest()
        return KeptAudio(relative, digest, len(data) / 2 / RATE, speech_seconds(data))

    def _write(self, target: Path, data: bytes) -> None:
        content = wav_header(len(data)) + data
        if target.exists():
            earlier = target.read_bytes()
            if earlier == content:
                return
            # Another recording under the same id should not happen; if it does, neither is lost.
            digest = hashlib.sha256(earlier).hexdigest()[:8]
            target.rename(self._aside(f"{target.stem}.{digest}.wav"))
        write_safely(target, content)

    def set_aside(self, source: Path, message_id: str) -> None:
        """Move a file that is no message's audio into `unusable/`, where it is deleted when its time is over."""
        place = self._aside(f"{message_id}-{source.name}"[-200:])
        content = source.read_bytes() if source.stat().st_size <= LONGEST_BYTES else None
        with contextlib.suppress(OSError):
            source.rename(place)
            return
        if content is not None:  # another file system: copy, then remove
            place.write_bytes(content)
            source.unlink()

    def _aside(self, name: str) -> Path:
        folder = self.folder / "unusable"
        make_folder(folder)
        return folder / name
