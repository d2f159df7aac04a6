"""The layout of a transcript."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicemail.transcript import Transcript, Word, lines, recognised, timed

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


HEARD = "buongiorno sono anna perche il porta le non va"
SAID = [word(one, i, i + 0.8, 0.6) for i, one in enumerate(HEARD.split())]


def test_words_that_were_not_corrected_keep_their_places_and_their_doubts() -> None:
    first, second = timed("Buongiorno, sono Anna.\n\nPerché il portale non va!", SAID)
    assert [one.word for one in first] == ["Buongiorno,", "sono", "Anna."]
    assert [one.start for one in first + second] == [0, 1, 2, 3, 4, 5, 7, 8]
    (portal,) = (one for one in second if one.word == "portale")
    assert (portal.start, portal.end, portal.confidence) == (5, 6.8, 1.0)  # in place of "porta le"
    assert {one.confidence for one in first + second if one is not portal} == {0.6}


def test_words_put_between_others_stand_in_the_time_between() -> None:
    (line,) = timed("Allora buongiorno sono io Anna perché il porta le non va grazie", SAID)
    places = {one.word: (one.start, one.end) for one in line}
    assert places["Allora"] == (0.0, 0)
    assert places["io"] == (1.8, 2)
    assert places["grazie"] == (8.8, 8.8)


def test_where_nothing_was_recognised_no_word_has_a_place() -> None:
    assert timed("Sono Anna", []) == []
    assert recognised(None) is None
    assert recognised(Transcript(tuple(SAID)).as_rows()) == Transcript(tuple(SAID)).text


@given(st.lists(st.sampled_from(["non", "va", "il", "portale", "–", "Àncora", "ancora", "\n"]), max_size=60))
def test_every_typed_word_is_there_once_in_order_within_the_message(typed: list[str]) -> None:
    text = " ".join(typed)
    found = [one for line in timed(text, SAID) for one in line]
    assert [one.word for one in found] == text.split()
    assert all(0 <= one.start <= one.end <= 8.8 for one in found)
    assert [one.start for one in found] == sorted(one.start for one in found)
