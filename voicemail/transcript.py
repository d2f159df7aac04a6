"""What a recogniser heard, and how it is laid out for reading."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

PAUSE_SECONDS = 0.7
"""A pause as long as this begins a new line. There is no Italian punctuation model for Vosk, and invented full stops
would look like the caller's own; pauses inside a sentence are mostly under half a second, between sentences above."""


@dataclass(frozen=True, slots=True)
class Word:
    """One word heard: `start` and `end` in seconds from the beginning of the audio, `confidence` from 0 to 1."""

    word: str
    start: float
    end: float
    confidence: float

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> "Word":
        """Make a word of {"word", "start", "end", "confidence"}; raises KeyError or ValueError."""
        return cls(
            str(values["word"]), float(values["start"]), float(values["end"]), float(values.get("confidence", 1.0))
        )


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was heard in one message; `cpu_seconds` is what it cost."""

    words: tuple[Word, ...]
    cpu_seconds: float = 0.0

    @property
    def text(self) -> str:
        """The words, one line for each stretch of speech between pauses, a capital at the beginning of a line."""
        return "\n".join(lines(self.words))

    @property
    def confidence(self) -> float | None:
        """The mean confidence of the words; None when nothing was heard."""
        return sum(w.confidence for w in self.words) / len(self.words) if self.words else None

    def as_rows(self) -> list[dict[str, Any]]:
        """The words as they are stored and sent to the desk."""
        return [asdict(word) for word in self.words]


def lines(words: Sequence[Word]) -> list[str]:
    """Split words into lines at pauses of PAUSE_SECONDS and more."""
    found: list[list[str]] = []
    last_end: float | None = None
    for word in words:
        if last_end is None or word.start - last_end >= PAUSE_SECONDS:
            found.append([])
        found[-1].append(word.word)
        last_end = word.end
    return [line[:1].upper() + line[1:] for line in (" ".join(part) for part in found)]
