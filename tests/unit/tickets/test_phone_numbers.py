"""Telephone numbers in all the forms in which they arrive."""

import phonenumbers
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tickets.phone_numbers import parse_phone_number

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("raw", "e164"),
    [
        ("0805551234", "+390805551234"),  # a fixed line keeps its zero
        ("+39 080 5551234", "+390805551234"),
        ("0039 080 5551234", "+390805551234"),
        ("00390805551234", "+390805551234"),
        ("390805551234", "+390805551234"),
        ("(+39) 080/555.12-34", "+390805551234"),
        ("080/5551234", "+390805551234"),
        ("080/5551234/", "+390805551234"),
        ("080 – 5551234", "+390805551234"),
        ("tel:+390805551234", "+390805551234"),
        ("sip:+390805551234@trunk.example", "+390805551234"),
        ('"0805551234"\r\n', "+390805551234"),
        ("080 5551234 int. 12", "+390805551234"),
        ("+390805551234;ext=12", "+390805551234"),
        ("０８０５５５１２３４", "+390805551234"),  # full-width digits
        ("333 1234567", "+393331234567"),  # a mobile has none
        ("+39 333 1234567", "+393331234567"),
        ("800 123456", "+39800123456"),
        ("061234", "+39061234"),
        ("0549 882914", "+390549882914"),  # San Marino as dialled from Italy
        ("+378 0549 882914", "+3780549882914"),
        ("0041 44 668 18 00", "+41446681800"),
        ("+1 (212) 555-0123", "+12125550123"),
    ],
)
def test_a_number_is_read_in_any_usual_form(raw: str, e164: str) -> None:
    number = parse_phone_number(raw)
    assert number.e164 == number.best() == e164
    assert number.tail in (None, e164[-8:])
    assert not number.withheld


@pytest.mark.parametrize(
    "raw",
    [
        *(None, "", "  ", "anonymous", "Anonymous", "UNAVAILABLE", "restricted", "private", "unknown", '"anonymous"'),
        *("<anonymous>", "sip:anonymous@anonymous.invalid", "0", "0000000000"),
    ],
)
def test_a_withheld_number_is_told_from_an_unreadable_one(raw: str | None) -> None:
    number = parse_phone_number(raw)
    assert number.withheld
    assert number.best() is None
    assert number.tail is None


@pytest.mark.parametrize(
    "raw", ["1" * 200, "x" * 200, "080 5551234 chiedere di Anna", "'; DROP TABLE phone; --", "+", "()", "1-800-FLOWERS"]
)
def test_garbage_has_no_number(raw: str) -> None:
    number = parse_phone_number(raw)
    assert number.best() is None
    assert not number.withheld
    assert len(number.raw) <= 64


@pytest.mark.parametrize(
    ("raw", "digits"), [("204", "204"), ("112", "112"), ("12 34", "1234"), ("1234567890", "1234567890")]
)
def test_digits_that_are_no_public_number_stay_as_they_are(raw: str, digits: str) -> None:
    number = parse_phone_number(raw)
    assert number.e164 is None
    assert number.best() == digits


def test_a_number_that_lost_its_zero_has_the_same_ending() -> None:
    assert parse_phone_number("805551234").tail == parse_phone_number("080 5551234").tail == "05551234"


def test_a_short_number_has_no_ending_to_compare() -> None:
    assert parse_phone_number("06 1234").tail is None
    assert parse_phone_number("204").tail is None


@settings(deadline=None)
@given(st.text(max_size=300))
@example("\x00" * 80)
@example("\ud800")
@example("+39" + "\u202e" + "0805551234")
@example("٠٨٠٥٥٥١٢٣٤")  # Arabic digits
def test_no_text_breaks_the_reading(raw: str) -> None:
    number = parse_phone_number(raw)
    assert len(number.raw) <= 64
    assert len(number.raw.splitlines()) <= 1
    number.raw.encode()
    best = number.best()
    assert best is None or (best.lstrip("+").isascii() and best.lstrip("+").isdigit() and len(best) <= 20)
    assert number.tail is None or (len(number.tail) == 8 and number.tail.isdigit())


fixed_lines = st.from_regex(r"0(2|6|80|99|881)[1-9][0-9]{6}", fullmatch=True)
mobiles = st.from_regex(r"3(28|33|47|49)[0-9]{7}", fullmatch=True)


@settings(deadline=None)
@given(
    st.one_of(fixed_lines, mobiles), st.lists(st.tuples(st.integers(1, 9), st.sampled_from([" ", "/", ".", "-", "  "])))
)
def test_prefix_and_separators_do_not_matter(national: str, separators: list[tuple[int, str]]) -> None:
    written = national
    for place, sign in separators:
        written = written[:place] + sign + written[place:]
    expected = f"+39{national}"
    for prefix in ("", "+39", "+39 ", "0039", "0039 ", "tel:+39"):
        assert parse_phone_number(prefix + written).best() == expected
    assert phonenumbers.is_possible_number(phonenumbers.parse(expected))
    again = parse_phone_number(expected)
    assert again.best() == expected
