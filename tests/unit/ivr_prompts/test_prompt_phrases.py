from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ivr.config import Language
from ivr.phrases import (
    clock_time,
    day_and_time,
    digits,
    key_for_ticket,
    number,
    position,
    promise,
    reopening,
    state,
    ticket,
)
from ivr.prompts import LANGUAGES, Prompts
from tickets.models import CLOSED_STATUSES, Status

pytestmark = pytest.mark.unit

ROME = ZoneInfo("Europe/Rome")
PROMPTS = Prompts()
SOUNDS = {f"sound:centralino/{prompt.language}/{prompt.name}" for prompt in PROMPTS} - {
    f"sound:centralino/{name}" for name in PROMPTS.missing()
}
TEXTS = {f"sound:centralino/{prompt.language}/{prompt.name}": prompt.says for prompt in PROMPTS}
NOW = datetime(2026, 11, 26, 8, 0, tzinfo=UTC)  # Thursday, 9:00 in Rome

languages = st.sampled_from(LANGUAGES)
moments = st.integers(0, 10**9 * 4).map(lambda seconds: datetime.fromtimestamp(seconds, ROME))


def said(phrase: list[str]) -> str:
    """What the caller hears, as text; a pause is a comma."""
    return " ".join(text if isinstance(text := TEXTS[uri], str) else "," for uri in phrase)


@pytest.mark.parametrize(
    ("when", "language", "text"),
    [
        ("2026-11-26T09:30", "it", "oggi alle nove e trenta"),
        ("2026-11-27T09:00", "it", "domani venerdì ventisette novembre alle nove"),
        ("2026-12-01T13:01", "it", "martedì primo dicembre alle tredici e uno"),
        ("2026-11-27T01:15", "it", "domani venerdì ventisette novembre all'una e quindici"),
        ("2026-11-30T00:00", "it", "lunedì trenta novembre a mezzanotte"),
        ("2026-11-26T09:30", "en", "today at nine thirty in the morning"),
        (
            "2026-11-27T09:30",
            "en",
            "tomorrow Friday the twenty-seventh of November at nine thirty in the morning",
        ),
        ("2026-12-01T14:05", "en", "Tuesday the first of December at two oh five in the afternoon"),
        ("2026-11-26T12:00", "en", "today at twelve noon"),
        ("2026-11-26T12:15", "en", "today at twelve fifteen in the afternoon"),
        ("2026-11-30T00:00", "en", "Monday the thirtieth of November at twelve midnight"),
        ("2026-11-30T00:15", "en", "Monday the thirtieth of November at twelve fifteen at night"),
        ("2026-11-26T20:00", "en", "today at eight in the evening"),
    ],
)
def test_a_day_and_a_time_are_said_as_people_say_them(when: str, language: Language, text: str) -> None:
    local = datetime.fromisoformat(when).replace(tzinfo=ROME)
    assert said(day_and_time(local, now=NOW, timezone=ROME, language=language)) == text


@pytest.mark.parametrize(
    ("due", "language", "text"),
    [
        ("2026-11-26T10:00", "it", "La sua richiesta sarà presa in carico entro le dieci di oggi"),
        ("2026-11-27T09:30", "it", "... entro le nove e trenta di domani venerdì ventisette novembre"),
        ("2026-11-30T13:00", "it", "... entro le tredici di lunedì trenta novembre"),
        ("2026-11-30T01:00", "it", "... entro l'una di lunedì trenta novembre"),
        (
            "2026-11-30T10:15",
            "en",
            "Your request will be taken in charge by ten fifteen in the morning on Monday the thirtieth of November",
        ),
    ],
)
def test_a_promise_says_the_hour_and_the_day_by_which(due: str, language: Language, text: str) -> None:
    local = datetime.fromisoformat(due).replace(tzinfo=ROME)
    phrase = said(promise(local, now=NOW, timezone=ROME, language=language))
    assert phrase == text.replace("...", "La sua richiesta sarà presa in carico")


def test_today_is_the_callers_day_and_not_the_one_of_utc() -> None:
    late = datetime(2026, 11, 26, 23, 30, tzinfo=UTC)  # half past midnight in Rome
    morning = datetime(2026, 11, 27, 7, 0, tzinfo=UTC)
    assert said(reopening(morning, now=late, timezone=ROME, language="it")) == "Il servizio riapre oggi alle otto"


def test_a_day_in_the_past_is_said_with_its_date() -> None:
    yesterday = day_and_time(NOW - timedelta(days=1), now=NOW, timezone=ROME, language="it")
    assert said(yesterday) == "mercoledì venticinque novembre alle nove"


def test_a_ticket_is_said_twice_in_groups_that_never_leave_one_digit_alone() -> None:
    once = "uno due tre , quattro cinque sei sette"
    assert said(ticket("1234567", "it")) == f"Il numero della sua richiesta è {once} , Ripeto {once}"
    assert said(digits("12", "it")) == "uno due"
    assert said(digits("1234", "it")) == "uno due tre quattro"
    assert said(digits(" +39-080", "en")) == "plus three nine zero , eight zero"


def test_the_place_in_the_line() -> None:
    assert said(position(1, "it")) == "La sua chiamata è la prossima."
    assert said(position(21, "it")) == "Lei è il numero ventuno in attesa"
    assert said(position(3, "en")) == "You are number three in the queue"
    assert said(number(105, "it")) == "uno zero cinque"


def test_what_cannot_be_said_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        number(-1, "it")
    with pytest.raises(ValueError, match="the first is 1"):
        position(0, "it")
    with pytest.raises(ValueError, match="zone"):
        day_and_time(NOW.replace(tzinfo=None), now=NOW, timezone=ROME, language="it")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_minute_of_a_day_can_be_said(language: Language) -> None:
    midnight = datetime(2026, 11, 26, tzinfo=ROME)
    phrases = [clock_time(midnight + timedelta(minutes=minute), language) for minute in range(24 * 60)]
    assert {uri for phrase in phrases for uri in phrase} <= SOUNDS
    assert len({tuple(phrase) for phrase in phrases}) == 24 * 60  # and no two sound the same


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_day_of_a_year_can_be_said_and_promised(language: Language) -> None:
    for day in range(400):
        when = NOW + timedelta(days=day)
        assert set(day_and_time(when, now=NOW, timezone=ROME, language=language)) <= SOUNDS
        assert set(promise(when, now=NOW, timezone=ROME, language=language)) <= SOUNDS


@given(when=moments, now=moments, language=languages)
def test_any_moment_seen_from_any_other_can_be_said(when: datetime, now: datetime, language: Language) -> None:
    assert set(reopening(when, now=now, timezone=ROME, language=language)) <= SOUNDS
    assert set(promise(when, now=now, timezone=ROME, language=language)) <= SOUNDS


@given(text=st.text(max_size=40), language=languages)
def test_digits_says_every_digit_in_order_whatever_stands_between(text: str, language: Language) -> None:
    phrase = digits(text, language)
    assert set(phrase) <= SOUNDS
    keyed = [uri.rpartition("-")[2] for uri in phrase if "/number-" in uri]
    assert keyed == [character for character in text if character in "0123456789"]


@given(n=st.integers(min_value=1, max_value=100_000), language=languages)
def test_any_number_and_place_can_be_said(n: int, language: Language) -> None:
    assert set(number(n, language)) <= SOUNDS
    assert set(position(n, language)) <= SOUNDS


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("status", Status)
def test_how_a_request_stands_has_a_sound_for_every_status_and_level(status: Status, language: Language) -> None:
    for level in (0, 1, 2, 3):
        said = state(status, level, None, now=NOW, timezone=ROME, language=language)
        assert set(said) <= SOUNDS
        assert len(said) == (1 if status in CLOSED_STATUSES else 2)


def test_a_promise_that_has_passed_is_told_as_passed_and_another_with_its_time() -> None:
    late, due = NOW - timedelta(minutes=1), NOW + timedelta(hours=1)
    said = state(Status.QUEUED, 1, late, now=NOW, timezone=ROME, language="it")
    assert said[-1] == "sound:centralino/it/promise-passed"
    said = state(Status.QUEUED, 1, due, now=NOW, timezone=ROME, language="it")
    assert said[2:] == promise(due, now=NOW, timezone=ROME, language="it")


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_key_for_a_requests_state_is_said_where_it_is_a_digit(language: Language) -> None:
    assert {*key_for_ticket("9", language)} <= SOUNDS
    assert key_for_ticket("*", language) == []
