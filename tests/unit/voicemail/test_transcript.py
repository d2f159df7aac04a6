"""The layout of a transcript."""

import pytest

from voicemail.transcript import Transcript, Word, lines

pytestmark = pytest.mark.unit


def word(text: str, start: float, end: float, confidence: float = 1.0) -> Word:
    return Word(text, start, end, confidence)


def test_a_pause_begins_a_new_line_with_a_capital() -> None:
    said = [word("buongiorno", 0, 0.6), word("sono", 0.9, 1.1), word("è", 1.8, 2.0), word("urgente", 2.0, 2.4)]
    assert lines(said) == ["Buongiorno sono", "È urgente"]


def test_nothing_heard_is_an_empty_text_without_confidence() -> None:
    assert Transcript(()).text == ""
    assert Transcript(()).confidence is None


def test_words_keep_their_times_and_confidences() -> None:
    transcript = Transcript((word("sì", 0.5, 0.8, 0.9), word("no", 1.0, 1.2, 0.5)))
    assert transcript.confidence == pytest.approx(0.7)
    assert [Word.read(row) for row in transcript.as_rows()] == list(transcript.words)
