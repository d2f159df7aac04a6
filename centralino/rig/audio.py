"""WAV files for the rig's phones: silence, padding, and the proof that what was spoken is what was heard."""

import struct
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE = 8000
"""Samples per second of every WAV here: telephone sound, one channel, 16 bits."""

_WINDOW = 12000  # 1.5 s: long enough that unrelated speech correlates below 0.4
_SILENT = 0.01  # root mean square below which a window holds no speech

Samples = NDArray[np.float64]


def read_samples(path: Path) -> Samples:
    """Read a WAV of 8 kHz, one channel, 16 bits as numbers from -1 to 1.

    A file still being written, or cut by a crash, says in its header that it holds nothing: what is there is read.
    Raises ValueError for another format.
    """
    content = path.read_bytes()
    form, data = content.find(b"fmt "), content.find(b"data")
    if content[:4] != b"RIFF" or not 0 < form < data:
        raise ValueError(f"{path.name} is not (or not yet) a WAV")
    kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", content, form + 8)
    if (kind, rate, channels, bits) != (1, RATE, 1, 16):
        raise ValueError(f"{path.name} is {rate} Hz, {channels} channels, {bits} bits: not telephone sound")
    (size,) = struct.unpack_from("<I", content, data + 4)
    sound = content[data + 8 :][: size or None]
    return np.frombuffer(sound[: len(sound) // 2 * 2], dtype="<i2").astype(np.float64) / 32768


def write_samples(path: Path, samples: Samples) -> Path:
    """Write numbers from -1 to 1 as a WAV of 8 kHz, one channel, 16 bits."""
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(RATE)
        sound.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path


def seconds(path: Path) -> float:
    """Tell how long a WAV is."""
    return len(read_samples(path)) / RATE


def silence(duration: float) -> Samples:
    """Give that many seconds of silence."""
    return np.zeros(int(duration * RATE), dtype=np.float64)


def pad(source: Path, target: Path, *, before: float = 0, after: float = 0) -> Path:
    """Copy a WAV with seconds of silence before and after it."""
    return write_samples(target, np.concatenate([silence(before), read_samples(source), silence(after)]))


def similarity(spoken: Path, heard: Path) -> float:
    """Tell how surely `spoken` is in `heard`, wherever it starts: 1.0 identical, unrelated speech 0.1 to 0.4.

    The median, over the 1.5 s windows of `spoken` that hold speech, of the best normalised correlation in `heard`.
    Where the recording begins or ends inside a window, what is missing of it counts as not heard: phones record from
    the first packet that arrives, and the very first of a call may be lost. 0.0 when `heard` is shorter than a window.
    Raises ValueError when `spoken` holds no window of speech.
    """
    reference, recording = read_samples(spoken), read_samples(heard)
    windows = [reference[at : at + _WINDOW] for at in range(0, len(reference) - _WINDOW + 1, _WINDOW)]
    windows = [window for window in windows if np.sqrt(np.mean(window**2)) >= _SILENT]
    if not windows:
        raise ValueError(f"{spoken.name} holds no {_WINDOW / RATE} s of speech to look for")
    if len(recording) < _WINDOW:
        return 0.0
    around = np.zeros(_WINDOW)
    recording = np.concatenate([around, recording, around])
    return float(np.median([_best_correlation(window, recording) for window in windows]))


def _best_correlation(window: Samples, recording: Samples) -> float:
    shape = window - window.mean()
    shape /= np.linalg.norm(shape) + 1e-12
    size = 1 << (len(recording) + len(window)).bit_length()
    spectrum = np.fft.rfft(recording, size) * np.conj(np.fft.rfft(shape, size))
    products = np.fft.irfft(spectrum, size)[: len(recording) - len(window) + 1]
    power = np.concatenate([[0.0], np.cumsum(recording**2)])
    energy = np.sqrt(np.maximum(power[len(window) :] - power[: -len(window)], 1e-9))
    return float(np.max(np.abs(products) / np.maximum(energy, 1e-3)))
