"""Spoken digits."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicemail.numbers import numbers_heard, numbers_written, spell_italian

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("said", "numbers"),
    [
        ("tre quattro sette cinque due otto", ["347528"]),
        ("al tre quarantasette sei cinquantanove trentasei quarantasei grazie", ["3476593646"]),
        ("zero ottanta cinque cinque cinque dodici trentaquattro", ["0805551234"]),
        ("allo zero novantanove zero quattro cinquantacinque diciannove", ["099045519"]),
        ("più trentanove zero ottanta cinque cinque cinque dodici trentaquattro", ["+390805551234"]),
        ("al più presto tre tre uno due due", ["33122"]),
        ("trecentoquarantasette ventuno trentotto nove", ["34721389"]),
        ("trecento quarantasette ventuno trentotto nove", ["34721389"]),
        ("ottocento nove cinque sei uno due tre", ["800956123"]),
        ("doppio zero trentanove tre quattro sette", ["0039347"]),
        ("Ventitré ventitre trentatré", ["232333"]),
        ("tre quattro sette cinque due ripeto tre quattro sette cinque due", ["34752"]),
        ("tre due uno quattro cinque o al sei sei sei sette sette", ["32145", "66677"]),
        ("alle dodici e quarantacinque nella stanza cento venti", []),
        ("il ventitré agosto duemila ventisei", []),
        ("interno cinque due uno", []),
        (" ".join(["tre"] * 30), []),
        ("", []),
    ],
)
def test_italian(said: str, numbers: list[str]) -> None:
    assert numbers_heard(said.split(), "it") == numbers


@pytest.mark.parametrize(
    ("said", "numbers"),
    [
        ("call me at oh two oh seven nine four six", ["0207946"]),
        ("plus forty four twenty seven nine four six zero nine", ["+44279460" + "9"]),
        ("nine double one four forty seven", ["911447"]),
        ("eight hundred five five five one two", ["80055512"]),
        ("at half past three in room twenty", []),
        ("double trouble hundred", []),
    ],
)
def test_english(said: str, numbers: list[str]) -> None:
    assert numbers_heard(said.split(), "en") == numbers


def test_other_languages_give_nothing() -> None:
    assert numbers_heard(["uno", "due", "tre", "quattro", "cinque", "sei"], "de") == []


@given(st.from_regex(r"0[0-9]{5,10}|3[0-9]{8,9}|[0-9]{5,15}", fullmatch=True), st.randoms(use_true_random=False))
def test_digits_spoken_in_any_groups_are_read_back(digits: str, chance: random.Random) -> None:
    words, position = [], 0
    while position < len(digits):
        size = chance.choice((1, 1, 2, 2, 3))
        group = digits[position : position + size]
        if group[0] == "0" and len(group) > 1:
            group = group[0]  # "zero ottanta": a group never begins with zero
        # "cento" before a word for ten and more is one number (347 said as trecento quarantasette): not a group here.
        if len(group) == 3 and group.endswith("00"):
            group = group[:1]
        words.append(spell_italian(int(group)))
        position += len(group)
    assert numbers_heard(["richiamatemi", "al", *words, "grazie"], "it") == [digits]


@given(st.lists(st.text(max_size=12), max_size=20), st.sampled_from(["it", "en", "xx", ""]))
def test_any_words_are_taken(words: list[str], language: str) -> None:
    for number in numbers_heard(words, language):
        assert number.removeprefix("+").isdigit()


def test_only_numbers_under_a_thousand_are_spelled() -> None:
    assert [spell_italian(n) for n in (0, 21, 28, 100, 181, 347)] == [
        "zero", "ventuno", "ventotto", "cento", "centoottantuno", "trecentoquarantasette",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="999"):
        spell_italian(1000)


@pytest.mark.parametrize(
    ("written", "numbers"),
    [
        ("Richiamatemi al 347 52 12 345.", ["3475212345"]),
        ("+39 080/555-12.34, grazie", ["+390805551234"]),
        ("al tre quattro sette 52 81", ["3475281"]),
        ("interno 12, codice 34567", ["34567"]),
        ("Protocollo 12. 34567", ["34567"]),
        ("dal 12/03/2026 alle 10:30", []),
        ("stanza 1204", []),
        ("9" * 21, []),
        ("٣٤٧٥٢ ½ ²²²²²", []),
    ],
)
def test_numbers_that_somebody_wrote_down(written: str, numbers: list[str]) -> None:
    assert numbers_written(written, "it") == numbers
    assert numbers_written("call 555 two double one 12", "en") == ["55521112"]
    assert numbers_written("12345", "de") == []
