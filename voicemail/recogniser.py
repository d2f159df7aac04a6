"""The child process that turns speech into words: `python -m voicemail.recogniser MODEL_FOLDER`.

It speaks JSON lines on standard input and output and holds one Vosk model; each message has its own recogniser, all in
one thread, in turns of a second of audio. Commands:

    {"open": id, "path": file}      follow a recording while it grows
    {"finish": id, "path": file}    the recording is complete and kept here: read the rest and answer
    {"cancel": id}                  forget it

Answers: `{"ready": true, "rate": 8000}` once the model is loaded, or `{"fatal": reason}` and the end; then, for each
finish, `{"id", "words": [{"word", "start", "end", "confidence"}], "seconds", "ahead_seconds", "cpu_seconds"}` or
`{"id", "error"}`. It ends when standard input is closed, after the answers that are still due, or when its parent dies.

Facts about Vosk 0.3.45 that shape it: a sample rate of 0 makes it hang for ever, so the rate comes from a checked
header; it takes `bytes` only and knows no WAV; after an endpoint `Result` must be taken; the text does not depend on
how the audio is cut into pieces; its memory climbs with use, so the parent replaces the process now and then.
"""

import contextlib
import json
import os
import select
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, BinaryIO

import vosk

from voicemail.audio import LONGEST_HEADER, RATE, read_layout, read_samples
from voicemail.errors import UnusableAudio

PIECE_BYTES = 2 * RATE
"""A second of audio: the turn of one message."""
POLL_SECONDS = 0.1
"""How often a growing file is looked at. Asterisk writes steps of 32 KiB, two seconds of audio."""
IDLE_SECONDS = 300.0
"""A followed recording that has not grown for so long is let go; `finish` reads it from the start."""
LOWEST_RATE, HIGHEST_RATE = 8000, 48000
"""Sample rates given to Vosk."""
NICENESS = 10
"""Calls go before transcripts when the machine is busy."""


class Message:
    """One message being read: what was fed so far and what was heard in it."""

    def __init__(self, model: Any, message_id: str) -> None:
        self.id = message_id
        self.model = model
        self.growing: Path | None = None
        self.file: BinaryIO | None = None
        self.offset = 0
        self.rate = 0
        self.recogniser: Any = None
        self.consumed = bytearray()
        self.complete: bytes | None = None
        """All samples of the finished recording; None while it goes on."""
        self.seconds = 0.0
        self.ahead_seconds = 0.0
        """How much of it had been heard before it was finished."""
        self.heard: list[dict[str, Any]] = []
        self.cpu_seconds = 0.0
        self.last_growth = time.monotonic()

    def close(self) -> None:
        """Let the file and the recogniser go."""
        if self.file is not None:
            self.file.close()
        self.file = self.recogniser = None

    def follow(self) -> None:
        """Feed what has been added to the growing file, up to a second of audio."""
        if self.file is None and self.growing is not None:
            with contextlib.suppress(FileNotFoundError):  # Asterisk has not begun yet
                self.file = self.growing.open("rb")
        if self.file is None:
            return
        if not self.rate:
            self.file.seek(0)
            head = self.file.read(LONGEST_HEADER)
            try:
                layout = read_layout(head, len(head))
            except UnusableAudio:
                return  # not yet, or never: `finish` will say
            self.offset, self.rate = layout.offset, layout.rate
        self.file.seek(self.offset + len(self.consumed))
        piece = self.file.read(PIECE_BYTES)
        piece = piece[: len(piece) - len(piece) % 2]
        if piece:
            self.last_growth = time.monotonic()
            self.feed(piece)

    def finish(self, path: Path) -> None:
        """Take the complete recording; what was fed already counts if it is the beginning of it."""
        layout, data = read_samples(path)
        consumed = bytes(self.consumed)
        if not consumed or self.rate != layout.rate or not (data.startswith(consumed) or consumed.startswith(data)):
            self.recogniser = None
            self.consumed.clear()
            self.heard.clear()
        self.rate = layout.rate
        self.complete, self.seconds = data, layout.seconds
        self.ahead_seconds = len(self.consumed) / 2 / self.rate

    def feed(self, piece: bytes) -> None:
        """Give the recogniser a piece of audio. Raises UnusableAudio for a rate Vosk cannot take."""
        began = time.process_time()
        if self.recogniser is None:
            if not LOWEST_RATE <= self.rate <= HIGHEST_RATE:
                raise UnusableAudio(f"{self.rate} samples a second")
            self.recogniser = vosk.KaldiRecognizer(self.model, self.rate)
            self.recogniser.SetWords(True)
        if self.recogniser.AcceptWaveform(piece):
            self._take(self.recogniser.Result())
        self.consumed += piece
        self.cpu_seconds += time.process_time() - began

    def advance(self) -> dict[str, Any] | None:
        """Feed the next second of a complete recording; the answer when all is fed."""
        piece = (self.complete or b"")[len(self.consumed) : len(self.consumed) + PIECE_BYTES]
        if piece:
            self.feed(piece)
            return None
        began = time.process_time()
        if self.recogniser is not None:
            self._take(self.recogniser.FinalResult())
        self.cpu_seconds += time.process_time() - began
        # Asterisk cuts off the silence that ended a recording, so more may have been fed than was kept.
        words = [word for word in self.heard if word["start"] < self.seconds]
        return {
            "id": self.id,
            "words": words,
            "seconds": self.seconds,
            "ahead_seconds": self.ahead_seconds,
            "cpu_seconds": round(self.cpu_seconds, 3),
        }

    def _take(self, result: str) -> None:
        self.heard += (
            {"word": w["word"], "start": w["start"], "end": w["end"], "confidence": w["conf"]}
            for w in json.loads(result).get("result", ())
        )


class Recogniser:
    """The messages in hand, and the pipes to the parent."""

    def __init__(self, model: Any, commands: int, answers: BinaryIO) -> None:
        self.model = model
        self.commands = commands
        self.answers = answers
        self.messages: dict[str, Message] = {}

    def run(self) -> None:
        """Work until the parent closes the commands and all it asked for is answered, or the parent is gone."""
        parent = os.getppid()
        unread, closed = b"", False
        while not closed or (self.messages and os.getppid() == parent):
            finishing = any(message.complete is not None for message in self.messages.values())
            patience = 0.0 if finishing else POLL_SECONDS if self.messages else None
            if not closed and select.select([self.commands], [], [], patience)[0]:
                received = os.read(self.commands, 65536)
                *commands, unread = (unread + received).split(b"\n")
                for command in commands:
                    self.obey(json.loads(command))
                if not received:
                    closed = True
                    self.messages = {i: m for i, m in self.messages.items() if m.complete is not None}
            for message in tuple(self.messages.values()):
                self.turn(message)

    def obey(self, command: dict[str, str]) -> None:
        """Carry out one command of the parent."""
        if "open" in command:
            self.drop(command["open"])
            message = self.messages[command["open"]] = Message(self.model, command["open"])
            message.growing = Path(command["path"])
        elif "cancel" in command:
            self.drop(command["cancel"])
        elif "finish" in command:
            message = self.messages.setdefault(command["finish"], Message(self.model, command["finish"]))
            try:
                message.finish(Path(command["path"]))
            except Exception as error:
                self.drop(message.id)
                self.say({"id": message.id, "error": reason(error)})

    def turn(self, message: Message) -> None:
        """Give one message its second of audio."""
        try:
            if message.complete is None:
                message.follow()
                if time.monotonic() - message.last_growth > IDLE_SECONDS:
                    self.drop(message.id)
            elif answer := message.advance():
                self.drop(message.id)
                self.say(answer)
        except BrokenPipeError:
            raise
        except Exception as error:
            # One bad message must not take the others with it; Vosk raises plain Exception. Nobody has asked yet about
            # one that is only followed: `finish` will read it from the start and say what is wrong.
            self.drop(message.id)
            if message.complete is not None:
                self.say({"id": message.id, "error": reason(error)})

    def drop(self, message_id: str) -> None:
        """Forget a message."""
        if message := self.messages.pop(message_id, None):
            message.close()

    def say(self, answer: dict[str, Any]) -> None:
        """Write one line to the parent."""
        say(self.answers, answer)


def reason(error: Exception) -> str:
    """What to tell about an error that has perhaps no text."""
    return str(error) or repr(error)


def say(answers: BinaryIO, answer: dict[str, Any]) -> None:
    """Write one JSON line."""
    answers.write(json.dumps(answer, ensure_ascii=False).encode() + b"\n")
    answers.flush()


def load_model(folder: Path) -> tuple[Any, int]:
    """Load a model and make it take 8 kHz audio; returns it with its own sample rate.

    The small official models are made for 16 kHz and refuse 8 kHz ("Sampling frequency mismatch") unless their
    `mfcc.conf` says `--allow-upsample=true`. The folder may be read-only, so the line is added in a shadow of it.
    Raises whatever Vosk raises (a plain Exception) when the model is missing or broken.
    """
    vosk.SetLogLevel(-1)
    settings = next((f for f in (folder / "conf/mfcc.conf", folder / "mfcc.conf") if f.is_file()), None)
    text = settings.read_text() if settings else ""
    rate = next((int(float(s.partition("=")[2])) for s in text.split() if s.startswith("--sample-frequency=")), 16000)
    if settings is None or rate <= RATE or "--allow-upsample=true" in text:
        return vosk.Model(str(folder)), rate
    with tempfile.TemporaryDirectory(prefix="vosk-model-") as made:
        shadow = Path(made)
        for entry in folder.iterdir():
            if entry.name != settings.relative_to(folder).parts[0]:
                (shadow / entry.name).symlink_to(entry.resolve())
        changed = shadow / settings.relative_to(folder)
        changed.parent.mkdir(exist_ok=True)
        if settings.parent != folder:
            for entry in settings.parent.iterdir():
                if entry != settings:
                    (changed.parent / entry.name).symlink_to(entry.resolve())
        changed.write_text(f"{text.rstrip()}\n--allow-upsample=true\n")
        return vosk.Model(str(shadow)), rate


def main(folder: Path) -> int:
    """Load the model and serve; the exit status is 3 when the model cannot be used."""
    # Whatever a library prints must not end up among the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    try:
        model, rate = load_model(folder)
        vosk.KaldiRecognizer(model, RATE).AcceptWaveform(bytes(PIECE_BYTES))
    except Exception as error:
        say(answers, {"fatal": reason(error)})
        return 3
    with contextlib.suppress(BrokenPipeError):  # the parent is gone, and so are we
        say(answers, {"ready": True, "rate": rate})
        Recogniser(model, sys.stdin.fileno(), answers).run()
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m voicemail.recogniser MODEL_FOLDER")
    sys.exit(main(Path(sys.argv[1])))
