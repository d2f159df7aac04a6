"""What a recogniser heard, how it is laid out for reading, and where in it the words of a correction are."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
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


def recognised(rows: Sequence[Mapping[str, Any]] | None) -> str | None:
    """The text of words as they are stored (`Transcript.as_rows`), before anybody corrected it; None where are none."""
    return Transcript(tuple(Word.read(row) for row in rows)).text if rows is not None else None


def timed(text: str, words: Sequence[Word]) -> list[list[Word]]:
    """The words of a corrected text, line by line, each with its place in the audio.

    A word that was recognised just so keeps its times and its confidence; capitals, accents and punctuation count for
    nothing. Words that somebody put in place of others have the times of all of these, and words put between two the
    time between them; their confidence is 1. Where nothing was recognised no word has a place: there are no lines then.
    """
    if not words:
        return []
    typed = [line.split() for line in text.splitlines()]
    flat = [token for line in typed for token in line]
    heard = [_key(word.word) for word in words]
    found: list[Word] = []
    for same, first, last, begin, end in SequenceMatcher(None, heard, [_key(token) for token in flat]).get_opcodes():
        if same == "equal":
            pairs = zip(words[first:last], flat[begin:end], strict=True)
            found += [Word(token, word.start, word.end, word.confidence) for word, token in pairs]
            continue
        start = words[first].start if first < last else words[first - 1].end if first else 0.0
        stop = words[last - 1].end if first < last else words[first].start if first < len(words) else words[-1].end
        found += [Word(token, start, max(start, stop), 1.0) for token in flat[begin:end]]
    rest = iter(found)
    return [[next(rest) for _ in line] for line in typed if line]


def _key(word: str) -> str:
    """What is compared of a word; all of one that has neither letters nor digits."""
    plain = unicodedata.normalize("NFD", word.casefold())
    return _SIGNS.sub("", plain) or word


_SIGNS = re.compile(r"[\W_]+")
