"""`centralino prompts`: see, check and speak anew the prompts that callers hear.

Sounds are 8 kHz mono 16-bit PCM, what Asterisk plays on a telephone line without converting it. The voice comes from a
text-to-speech command of the site's choice; trimming, level and the quiet around the words are made here, so that
sounds of different days and voices fit together.
"""

import math
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import wave
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias

import typer
from rich.table import Column, Table
from rich.text import Text

from centralino.terminal import fail, terminal
from ivr.config import Language
from ivr.prompts import Prompt, Prompts, PromptsError, Tone

RATE = 8000
"""Samples a second of a telephone line."""
SPEECH_DBFS = -20.0
"""Loudness of the words (RMS of the parts that hold speech), as loud as a person speaking on the line."""
PEAK_DBFS = -1.0
"""No sample is louder: a prompt with high peaks stays below the loudness above rather than being clipped."""
TONE_DBFS = -18.0
SENTENCE_QUIET = 0.12
PIECE_QUIET = 0.05
"""Quiet before and after the words, in seconds: pieces follow one another, sentences stand alone."""
FOR_THE_TELEPHONE = ("gain", "-9", "treble", "8", "2500")
"""Effects of sox: much of an `s` or `f` lies above the 3.4 kHz that a telephone carries, and nearly vanished from "six"
(50 dB below the vowel). The highs are raised by 8 dB; the gain makes room for that."""
SPEAK_SECONDS = 120
"""A text-to-speech command that takes longer for one prompt is stopped."""

Samples: TypeAlias = "array[int]"

_FRAME = RATE // 100
_FULL = 32768.0

prompts_app = typer.Typer(no_args_is_help=True, help="The prompts that callers hear: see, check, speak anew.")

ManifestOption = Annotated[
    Path | None,
    typer.Option("--manifest", help="A manifest of the site's own prompts; their sounds are in it/ and en/ beside it."),
]
LanguageOption = Annotated[Language | None, typer.Option("--language", help="Only this language: it or en.")]


class SpeakingError(Exception):
    """A prompt could not be made; the text says why."""


@dataclass(frozen=True)
class Sound:
    """What was measured of a sound. Levels are in dB below full scale (dBFS); -inf is silence."""

    seconds: float
    speech_dbfs: float
    peak_dbfs: float


@prompts_app.command("list")
def list_prompts(manifest: ManifestOption = None, language: LanguageOption = None) -> None:
    """List every prompt with its length and what it says."""
    prompts = _load(manifest)
    table = Table(Column("name", no_wrap=True), "language", "seconds", "text")
    for prompt in _wanted(prompts, language, None):
        try:
            seconds = f"{measure(read_sound(prompts.folder / prompt.file)).seconds:.1f}"
        except SpeakingError:
            seconds = "missing" if not (prompts.folder / prompt.file).exists() else "unusable"
        table.add_row(prompt.name, prompt.language, Text(seconds, justify="right"), Text(_words(prompt)))
    terminal().print(table)


@prompts_app.command()
def check(manifest: ManifestOption = None) -> None:
    """Check that every prompt is there and can be played; exit code 1 when one cannot."""
    prompts = _load(manifest)
    faults = find_faults(prompts)
    for fault in faults:
        typer.echo(fault)
    if faults:
        typer.echo(f"{len(faults)} faults in {prompts.folder}. `centralino prompts make` speaks missing prompts anew.")
        raise typer.Exit(1)
    typer.echo(f"All {sum(1 for _ in prompts)} prompts in {prompts.folder} are there and can be played.")


@prompts_app.command()
def make(
    command: Annotated[
        str,
        typer.Option(
            help="The text-to-speech command, such as: pico2wave -l it-IT -w {output} {text}  "
            "It must write a WAV file to {output}; {text} is what to say, {language} is it or en. No shell runs it."
        ),
    ],
    manifest: ManifestOption = None,
    language: LanguageOption = None,
    only: Annotated[list[str] | None, typer.Option(help="Only the prompt of this name; may be given again.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Also those that are already there.")] = False,
) -> None:
    """Speak the prompts that are missing; with --force all of them. Needs sox."""
    prompts = _load(manifest)
    for name in only or []:
        if name not in prompts:
            fail(f"There is no prompt {name!r}: `centralino prompts list` shows the names.")
    try:
        words = _split_command(command)
    except SpeakingError as error:
        fail(str(error))
    made = kept = failed = 0
    for prompt in _wanted(prompts, language, only):
        if not force and (prompts.folder / prompt.file).exists():
            kept += 1
            continue
        try:
            make_prompt(prompt, prompts.folder, words)
            made += 1
        except SpeakingError as error:
            failed += 1
            typer.echo(f"{prompt.language}/{prompt.name}: {error}", err=True)
    typer.echo(f"{made} made, {kept} already there, {failed} failed, in {prompts.folder}.")
    if failed:
        raise typer.Exit(1)


def find_faults(prompts: Prompts) -> list[str]:
    """What is wrong with the sounds of a manifest, one line for each: missing, unreadable, another format, silent,
    clipped, or a sound that the manifest does not name.
    """
    faults = []
    for prompt in prompts:
        path = prompts.folder / prompt.file
        if not path.exists():
            faults.append(f"{prompt.language}/{prompt.name}: missing")
            continue
        try:
            sound = measure(read_sound(path))
        except SpeakingError as error:
            faults.append(f"{prompt.language}/{prompt.name}: {error}")
            continue
        if sound.seconds == 0:
            faults.append(f"{prompt.language}/{prompt.name}: empty")
        elif isinstance(prompt.says, str) and sound.speech_dbfs < SPEECH_DBFS - 20:
            faults.append(f"{prompt.language}/{prompt.name}: silent, or too quiet to be heard")
        elif sound.peak_dbfs > -0.01:
            faults.append(f"{prompt.language}/{prompt.name}: clipped, the voice will crackle")
    named = {prompt.file for prompt in prompts}
    for language in sorted({prompt.language for prompt in prompts}):
        for path in sorted((prompts.folder / language).glob("*.wav")):
            if Path(language, path.name) not in named:
                faults.append(f"{language}/{path.stem}: not in the manifest")
    return faults


def make_prompt(prompt: Prompt, folder: Path, command: list[str]) -> Path:
    """Make one sound and put it in its place in one step: a sound that was there is heard until the new one is whole.

    Args:
        prompt: what to make.
        folder: holds `it/` and `en/`.
        command: the words of a text-to-speech command with `{text}`, `{output}` and `{language}` in them.

    Raises:
        SpeakingError: the command or sox is missing, fails, or leaves nothing that can be heard.
    """
    if isinstance(prompt.says, Tone):
        samples = make_tone(prompt.says)
    else:
        with tempfile.TemporaryDirectory(prefix="centralino-prompt-") as scratch:
            spoken, telephone = Path(scratch, "spoken.wav"), Path(scratch, "telephone.wav")
            _run(fill_command(command, text=prompt.says, output=str(spoken), language=prompt.language))
            if not spoken.exists() or spoken.stat().st_size == 0:
                raise SpeakingError(f"{command[0]} wrote no sound to the {{output}} it was given")
            form = ("-r", str(RATE), "-c", "1", "-b", "16", "-e", "signed")
            _run([_sox(), "-D", str(spoken), *form, str(telephone), *FOR_THE_TELEPHONE])
            samples = fit_for_the_line(read_sound(telephone), PIECE_QUIET if prompt.piece else SENTENCE_QUIET)
    target = folder / prompt.file
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        write_sound(unfinished, samples)
        unfinished.replace(target)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise SpeakingError(f"{target} cannot be written: {error.strerror}") from error
    return target


def fill_command(command: list[str], **values: str) -> list[str]:
    """The command with its placeholders filled; a placeholder inside the text that is filled in stays as it is."""
    pattern = re.compile("|".join(rf"\{{{name}\}}" for name in values))
    return [pattern.sub(lambda found: values[found[0][1:-1]], word) for word in command]


def read_sound(path: Path) -> Samples:
    """The samples of a sound for the telephone line.

    Raises:
        SpeakingError: the file is not WAV, or not 8 kHz mono 16-bit PCM.
    """
    try:
        with wave.open(str(path)) as sound:
            rate, channels, bits = sound.getframerate(), sound.getnchannels(), 8 * sound.getsampwidth()
            if (rate, channels, bits) != (RATE, 1, 16):
                raise SpeakingError(
                    f"is {rate} Hz, {channels} channels, {bits} bits; a prompt is {RATE} Hz, 1 channel, 16 bits"
                )
            samples = array("h", sound.readframes(sound.getnframes()))
            if len(samples) != sound.getnframes():
                raise SpeakingError(f"is cut off after {len(samples) / rate:.1f} s")
    except OSError as error:
        raise SpeakingError(f"cannot be read: {error.strerror}") from error
    except (EOFError, ValueError, wave.Error) as error:
        raise SpeakingError(f"is not a WAV file that can be played: {error or 'it is cut off'}") from error
    if sys.byteorder == "big":
        samples.byteswap()
    return samples


def write_sound(path: Path, samples: Samples) -> None:
    """Write samples as 8 kHz mono 16-bit PCM WAV."""
    if sys.byteorder == "big":
        samples = array("h", samples)
        samples.byteswap()
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(RATE)
        sound.writeframes(samples.tobytes())


def measure(samples: Samples) -> Sound:
    """Length and levels of a sound."""
    peak = max(map(abs, samples), default=0)
    spoken = _speech_frames(samples)
    power = sum(_power(samples, i) for i in spoken) / len(spoken) if spoken else 0.0
    return Sound(len(samples) / RATE, _db(math.sqrt(power)), _db(peak))


def fit_for_the_line(samples: Samples, quiet: float) -> Samples:
    """Words without the silence around them, levelled to `SPEECH_DBFS`, with `quiet` seconds before and after.

    Raises:
        SpeakingError: there is nothing but silence.
    """
    heard = _speech_frames(samples, below_loudest=48)  # an `s` at either end is much softer than the vowels
    if not heard:
        raise SpeakingError("the text-to-speech command made nothing but silence")
    words = samples[max(0, heard[0] - 2) * _FRAME : (heard[-1] + 3) * _FRAME]
    sound = measure(words)
    gain = 10 ** (min(SPEECH_DBFS - sound.speech_dbfs, PEAK_DBFS - sound.peak_dbfs) / 20)
    around = array("h", bytes(2 * round(quiet * RATE)))
    return around + array("h", (round(sample * gain) for sample in words)) + around


def make_tone(tone: Tone) -> Samples:
    """A sine that swells and fades within 5 ms, so that it does not click; silence for 0 Hz."""
    length, fade = tone.milliseconds * RATE // 1000, RATE // 200
    top = _FULL * 10 ** (TONE_DBFS / 20) * math.sqrt(2)
    return array(
        "h",
        (
            round(top * min(1, i / fade, (length - i) / fade) * math.sin(2 * math.pi * tone.hertz * i / RATE))
            for i in range(length)
        ),
    )


def _speech_frames(samples: Samples, below_loudest: float = 40) -> list[int]:
    """The 10 ms frames that are at most so many dB softer than the loudest, and never below -70 dBFS."""
    powers = [_power(samples, i) for i in range(math.ceil(len(samples) / _FRAME))]
    floor = max(max(powers, default=0.0) * 10 ** (-below_loudest / 10), (_FULL * 10 ** (-70 / 20)) ** 2)
    return [i for i, power in enumerate(powers) if power >= floor]


def _power(samples: Samples, frame: int) -> float:
    part = samples[frame * _FRAME : (frame + 1) * _FRAME]
    return sum(sample * sample for sample in part) / len(part)


def _db(level: float) -> float:
    return 20 * math.log10(level / _FULL) if level else -math.inf


def _split_command(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise SpeakingError(f"--command has an open quote: {error}") from error
    for placeholder in ("{output}", "{text}"):
        if not any(placeholder in word for word in words):
            raise SpeakingError(f"--command must hold {placeholder}: pico2wave -l it-IT -w {{output}} {{text}}")
    if shutil.which(words[0]) is None:
        raise SpeakingError(f"The text-to-speech command {words[0]} is not on this machine.")
    _sox()
    return words


def _sox() -> str:
    path = shutil.which("sox")
    if path is None:
        raise SpeakingError("sox is needed to convert the voice for the telephone: install the package sox.")
    return path


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - the command is the operator's own, and no shell reads it
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=SPEAK_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise SpeakingError(f"{command[0]} did not end within {SPEAK_SECONDS} s") from error
    except (OSError, ValueError) as error:
        raise SpeakingError(f"{command[0]} cannot be started: {error}") from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise SpeakingError(f"{command[0]} failed ({done.returncode}): {said[-1] if said else 'it said nothing'}")


def _wanted(prompts: Prompts, language: Language | None, only: list[str] | None) -> list[Prompt]:
    return [p for p in prompts if language in (None, p.language) and (not only or p.name in only)]


def _words(prompt: Prompt) -> str:
    if isinstance(prompt.says, str):
        return prompt.says
    return f"({prompt.says.hertz} Hz tone)" if prompt.says.hertz else "(silence)"


def _load(manifest: Path | None) -> Prompts:
    try:
        return Prompts(manifest)
    except PromptsError as error:
        fail(str(error))
