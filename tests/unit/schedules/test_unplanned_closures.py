"""A desk that closes at once: what callers hear of it, and what is promised."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schedules.hours import (
    Calendar,
    UnplannedClosure,
    add_working_time,
    closure_at,
    is_open,
    next_opening,
    working_time_between,
)
from schedules.promises import explain, pickup_promise

pytestmark = pytest.mark.unit

WEEK = dict.fromkeys(("monday", "tuesday", "wednesday", "thursday", "friday"), ("08:00-18:00",))


def rome(text: str) -> datetime:
    """A time in November, when Rome is an hour ahead of UTC."""
    return (datetime.fromisoformat(text) - timedelta(hours=1)).replace(tzinfo=UTC)


def closed(*spans: tuple[str, str], prompt: str | None = None) -> Calendar:
    return Calendar(
        weekly=WEEK,
        unplanned=tuple(
            UnplannedClosure(name="Evacuazione", begins=rome(begins), ends=rome(ends), prompt=prompt)
            for begins, ends in spans
        ),
    )


def test_the_desk_is_closed_from_the_first_moment_to_before_the_last() -> None:
    calendar = closed(("2026-11-30T10:05", "2026-11-30T12:00"), prompt="custom/evacuation")
    assert is_open(calendar, rome("2026-11-30T10:04:59"))
    assert not is_open(calendar, rome("2026-11-30T10:05"))
    assert not is_open(calendar, rome("2026-11-30T11:59:59"))
    assert is_open(calendar, rome("2026-11-30T12:00"))
    found = closure_at(calendar, rome("2026-11-30T11:00"))
    assert (found and found.name, found and found.prompt) == ("Evacuazione", "custom/evacuation")
    assert closure_at(calendar, rome("2026-11-30T12:00")) is None


def test_callers_are_told_when_it_opens_again() -> None:
    calendar = closed(("2026-11-30T10:05", "2026-11-30T12:00"))
    assert next_opening(calendar, rome("2026-11-30T11:00")) == rome("2026-11-30T12:00")
    until_midnight = closed(("2026-11-30T10:05", "2026-12-01T00:00"))
    assert next_opening(until_midnight, rome("2026-11-30T11:00")) == rome("2026-12-01T08:00")


def test_a_promise_reckons_with_it_and_says_so() -> None:
    calendar = closed(("2026-11-30T10:05", "2026-11-30T12:00"))
    during = pickup_promise(calendar, rome("2026-11-30T10:30"))
    assert during.due_at == rome("2026-11-30T13:00")
    before = pickup_promise(calendar, rome("2026-11-30T09:35"))
    assert before.due_at == rome("2026-11-30T12:30")
    words = explain(before, calendar, "it")
    assert "chiuso da lunedì 30 novembre 2026, ore 10:05 a lunedì 30 novembre 2026, ore 12:00 (Evacuazione)" in words
    evening = explain(pickup_promise(calendar, rome("2026-11-30T14:00")), calendar, "it")
    assert "Evacuazione" not in evening


def test_of_two_closures_the_later_one_is_told() -> None:
    calendar = Calendar(
        weekly=WEEK,
        unplanned=(
            UnplannedClosure(name="uno", begins=rome("2026-11-30T09:00"), ends=rome("2026-11-30T12:00")),
            UnplannedClosure(name="due", begins=rome("2026-11-30T10:00"), ends=rome("2026-11-30T11:00")),
        ),
    )
    at_half_past_ten, at_half_past_eleven = (
        closure_at(calendar, rome(f"2026-11-30T{hour}:30")) for hour in ("10", "11")
    )
    assert at_half_past_ten is not None
    assert at_half_past_ten.name == "due"
    assert at_half_past_eleven is not None
    assert at_half_past_eleven.name == "uno"


def test_a_closure_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ValidationError, match="before it begins"):
        UnplannedClosure(name="x", begins=rome("2026-11-30T12:00"), ends=rome("2026-11-30T12:00"))
    with pytest.raises(ValidationError, match="timezone"):
        UnplannedClosure(name="x", begins=datetime(2026, 11, 30), ends=datetime(2026, 12, 1))  # noqa: DTZ001


MINUTE = timedelta(minutes=1)
MONDAY = rome("2026-11-30T00:00")
minutes = st.integers(min_value=0, max_value=3 * 24 * 60)


@given(st.lists(st.tuples(minutes, st.integers(min_value=1, max_value=600)), max_size=3), minutes, minutes)
def test_working_time_is_that_of_the_minutes_in_which_it_is_open(
    spans: list[tuple[int, int]], start: int, amount: int
) -> None:
    """Against counting minute by minute."""
    calendar = Calendar(
        weekly=WEEK,
        unplanned=tuple(
            UnplannedClosure(name="x", begins=MONDAY + begin * MINUTE, ends=MONDAY + (begin + length) * MINUTE)
            for begin, length in spans
        ),
    )
    begin, end = MONDAY + start * MINUTE, MONDAY + (start + amount) * MINUTE
    counted = sum(is_open(calendar, begin + minute * MINUTE) for minute in range(amount))
    assert working_time_between(calendar, begin, end) == counted * MINUTE
    if counted:
        due = add_working_time(calendar, begin, counted * MINUTE)
        assert due <= end
        assert working_time_between(calendar, begin, due) == counted * MINUTE
