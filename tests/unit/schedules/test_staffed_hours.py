"""Staffed hours against a brute force that looks at the wall clock minute by minute."""
# ruff: noqa: DTZ001 - hypothesis takes naive bounds and adds the zone itself

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from schedules.errors import NeverOpens
from schedules.hours import (
    Calendar,
    Closure,
    add_working_time,
    closure_at,
    is_open,
    next_opening,
    working_time_between,
)

pytestmark = pytest.mark.unit

ROME = ZoneInfo("Europe/Rome")
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
OFFICE = Calendar(
    name="office",
    weekly={day: ["08:00-13:00", "14:00-18:00"] for day in DAYS[:5]},
    patron_saint="12-06",
    closures=[Closure(name="ferie", first=date(2026, 8, 10), last=date(2026, 8, 21), prompt="ferie")],
)
ALWAYS = Calendar(weekly={day: ["00:00-24:00"] for day in DAYS}, holidays=False)


def rome(text: str, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ROME, fold=fold)


# --- the brute force -------------------------------------------------------------------------------------------------

# Written by hand, not taken from the library under the code: Easter Monday is given per year.
_FIXED = {(1, 1), (1, 6), (4, 25), (5, 1), (6, 2), (8, 15), (11, 1), (12, 8), (12, 25), (12, 26)}
_EASTER = {
    date(2025, 4, 20),
    date(2025, 4, 21),
    date(2026, 4, 5),
    date(2026, 4, 6),
    date(2027, 3, 28),
    date(2027, 3, 29),
}


def brute_is_open(calendar: Calendar, at: datetime) -> bool:
    local = at.astimezone(ZoneInfo(calendar.timezone))
    day = local.date()
    if any(closure.first <= day <= closure.last for closure in calendar.closures):
        return False
    if calendar.patron_saint == f"{day.month:02}-{day.day:02}":
        return False
    saint_francis = (day.month, day.day) == (10, 4) and day.year >= 2026  # a holiday again by a law of 2025
    national_unity = day.month == 11 and day.day <= 7 and day.weekday() == 6  # law 54/1977, art. 1
    if calendar.holidays and ((day.month, day.day) in _FIXED or day in _EASTER or saint_francis or national_unity):
        return False
    clock = f"{local:%H:%M}"
    weekly: dict[Any, tuple[str, ...]] = calendar.weekly
    return any(span[:5] <= clock < span[6:] for span in weekly.get(DAYS[local.weekday()], ()))


def brute_add(calendar: Calendar, start: datetime, minutes: int, limit: int) -> datetime | None:
    """The end of the last working minute, or the first open minute for none; None beyond `limit` minutes."""
    at = start
    for _ in range(limit):
        if brute_is_open(calendar, at):
            if minutes == 0:
                return at
            minutes -= 1
            if minutes == 0:
                return at + MINUTE
        at += MINUTE
    return None


# --- generated calendars and times -----------------------------------------------------------------------------------


def clock_text(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


@st.composite
def day_spans(draw: st.DrawFn) -> list[str]:
    # Bounds often fall into 02:00-03:00, the hour that clocks skip or repeat.
    bound = st.one_of(st.integers(0, 1440), st.sampled_from([0, 90, 120, 135, 150, 180, 195, 480, 1440]))
    bounds = sorted(draw(st.sets(bound, max_size=6)))
    return [f"{clock_text(a)}-{clock_text(b)}" for a, b in zip(bounds[::2], bounds[1::2], strict=False)]


@st.composite
def calendars(draw: st.DrawFn) -> Calendar:
    first = draw(st.dates(date(2025, 1, 1), date(2027, 12, 31)))
    closures = st.lists(
        st.just(Closure(name="chiusura", first=first, last=first + timedelta(days=draw(st.integers(0, 3))))), max_size=1
    )
    return Calendar(
        timezone=draw(
            st.sampled_from(["Europe/Rome", "Europe/Rome", "Australia/Lord_Howe", "America/New_York", "UTC"])
        ),
        weekly={day: draw(day_spans()) for day in DAYS},
        holidays=draw(st.booleans()),
        patron_saint=draw(st.sampled_from([None, "12-06", "03-30"])),
        closures=draw(closures),
    )


moments = st.one_of(
    st.datetimes(datetime(2025, 1, 1), datetime(2027, 12, 30)),
    # Around the changes of clocks in Rome, New York and on Lord Howe Island, and around the year's end.
    *(
        st.datetimes(at - timedelta(hours=40), at + timedelta(hours=20))
        for at in (
            datetime(2026, 3, 29, 1),
            datetime(2026, 10, 25, 1),
            datetime(2026, 3, 8, 7),
            datetime(2026, 4, 4, 15),
            datetime(2026, 10, 3, 15, 30),
            datetime(2026, 12, 31, 23),
        )
    ),
).map(lambda at: at.replace(second=0, microsecond=0, tzinfo=UTC))

quick = settings(max_examples=150, deadline=None)


@quick
@given(calendars(), moments, st.integers(0, 2880))
def test_working_time_equals_the_count_of_open_minutes(calendar: Calendar, start: datetime, minutes: int) -> None:
    open_minutes = sum(brute_is_open(calendar, start + n * MINUTE) for n in range(minutes))
    assert working_time_between(calendar, start, start + minutes * MINUTE) == open_minutes * MINUTE


@quick
@given(calendars(), moments, st.integers(0, 600))
def test_adding_working_time_ends_where_the_count_of_open_minutes_ends(
    calendar: Calendar, start: datetime, minutes: int
) -> None:
    expected = brute_add(calendar, start, minutes, limit=4000)
    try:
        due = add_working_time(calendar, start, minutes * MINUTE)
    except NeverOpens:
        assert expected is None
    else:
        assert due == expected or (expected is None and due > start + 4000 * MINUTE)


@quick
@given(calendars(), moments)
def test_next_opening_is_the_first_open_minute(calendar: Calendar, start: datetime) -> None:
    expected = brute_add(calendar, start, 0, limit=4000)
    found = next_opening(calendar, start)
    if expected is None:
        assert found is None or found >= start + 4000 * MINUTE
    else:
        assert found == expected
    assert is_open(calendar, start) is brute_is_open(calendar, start) is (found == start)


@quick
@given(
    st.datetimes(datetime(2025, 1, 1), datetime(2027, 6, 1), timezones=st.just(ROME)),
    st.timedeltas(timedelta(0), timedelta(days=30)),
)
@example(rome("2026-10-25T02:30", fold=1), HOUR)
@example(rome("2026-10-23T18:00"), timedelta(0))
def test_adding_and_measuring_are_inverse_to_the_microsecond(start: datetime, amount: timedelta) -> None:
    due = add_working_time(OFFICE, start, amount)
    assert working_time_between(OFFICE, start, due) == amount
    assert due.utcoffset() == timedelta(0)


@quick
@given(moments, st.lists(st.timedeltas(timedelta(0), timedelta(days=9)), min_size=2, max_size=2))
def test_working_time_adds_up_over_consecutive_stretches(start: datetime, parts: list[timedelta]) -> None:
    middle, end = start + parts[0], start + parts[0] + parts[1]
    whole = working_time_between(OFFICE, start, end)
    assert whole == working_time_between(OFFICE, start, middle) + working_time_between(OFFICE, middle, end)


# --- told as examples ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "due"),
    [
        ("2026-11-20T22:14", "2026-11-23T09:00"),  # Friday night: Monday's first hour
        ("2026-11-23T10:20", "2026-11-23T11:20"),  # open
        ("2026-11-23T12:30", "2026-11-23T14:30"),  # over lunch
        ("2026-11-23T12:00", "2026-11-23T13:00"),  # ends exactly at closing: due at closing
        ("2026-11-23T13:00", "2026-11-23T15:00"),  # the closing instant is closed
        ("2026-11-20T17:30", "2026-11-23T08:30"),  # over a weekend
        ("2026-12-04T17:30", "2026-12-07T08:30"),  # patron saint on a Sunday costs nothing
        ("2026-12-24T17:59", "2026-12-28T08:59"),  # Christmas on Friday
        ("2026-04-03T18:00", "2026-04-07T09:00"),  # Easter Monday
        ("2026-08-07T18:00", "2026-08-24T09:00"),  # own closure
    ],
)
def test_one_working_hour_at_the_office(start: str, due: str) -> None:
    assert add_working_time(OFFICE, rome(start), HOUR) == rome(due)


def test_a_night_with_an_hour_twice_has_twenty_five_hours() -> None:
    assert working_time_between(ALWAYS, rome("2026-10-25T00:00"), rome("2026-10-26T00:00")) == 25 * HOUR
    assert working_time_between(ALWAYS, rome("2026-03-29T00:00"), rome("2026-03-30T00:00")) == 23 * HOUR


def test_an_opening_hour_that_exists_twice_is_open_twice() -> None:
    night = Calendar(weekly={"sunday": ["02:00-02:30"]}, holidays=False)
    assert is_open(night, rome("2026-10-25T02:10", fold=0))
    assert not is_open(night, rome("2026-10-25T02:40", fold=0))
    assert is_open(night, rome("2026-10-25T02:10", fold=1))
    assert working_time_between(night, rome("2026-10-25T00:00"), rome("2026-10-25T12:00")) == HOUR


def test_an_opening_hour_that_does_not_exist_is_never_open() -> None:
    night = Calendar(weekly={"sunday": ["02:00-03:00"]}, holidays=False)
    assert working_time_between(night, rome("2026-03-29T00:00"), rome("2026-03-29T12:00")) == timedelta(0)
    assert next_opening(night, rome("2026-03-28T12:00")) == rome("2026-04-05T02:00")


def test_hours_may_run_through_midnight_in_two_spans() -> None:
    night = Calendar(weekly={"monday": ["22:00-24:00"], "tuesday": ["00:00-06:00"]}, holidays=False)
    assert add_working_time(night, rome("2026-11-23T23:30"), HOUR) == rome("2026-11-24T00:30")
    assert add_working_time(night, rome("2026-11-23T23:00"), HOUR) == rome("2026-11-24T00:00")


def test_a_calendar_that_opens_once_a_year_is_found_and_one_that_never_does_says_so() -> None:
    weekly = {day: ["08:00-09:00"] for day in DAYS}
    rest = Closure(name="quasi sempre", first=date(2026, 1, 1), last=date(2026, 12, 30))
    yearly = Calendar(weekly=weekly, holidays=False, closures=[rest])
    assert next_opening(yearly, rome("2026-01-01T00:00")) == rome("2026-12-31T08:00")
    never = Calendar(name="vuoto", weekly={})
    assert next_opening(never, rome("2026-01-01T00:00")) is None
    assert working_time_between(never, rome("2026-01-01T00:00"), rome("2026-02-01T00:00")) == timedelta(0)
    with pytest.raises(NeverOpens, match="'vuoto' has no opening within 400 days"):
        add_working_time(never, rome("2026-01-01T00:00"), HOUR)


def test_a_closure_has_its_name_and_an_own_one_comes_first() -> None:
    assert closure_at(OFFICE, rome("2026-11-23T10:00")) is None
    assert closure_at(OFFICE, rome("2026-11-22T10:00")) is None  # a plain Sunday is no closure
    own = closure_at(OFFICE, rome("2026-08-15T10:00"))  # also Ferragosto
    assert own is not None
    assert (own.name, own.prompt) == ("ferie", "ferie")
    assert getattr(closure_at(OFFICE, rome("2026-12-06T23:59")), "name", None) == "Santo patrono"
    christmas = closure_at(OFFICE, rome("2026-12-25T00:00"))
    assert isinstance(christmas, Closure)
    assert (christmas.name, christmas.first, christmas.last) == ("Natale", date(2026, 12, 25), date(2026, 12, 25))


def test_times_without_a_zone_and_negative_amounts_are_refused() -> None:
    with pytest.raises(ValueError, match="naive datetime"):
        is_open(OFFICE, datetime(2026, 11, 23, 10))
    with pytest.raises(ValueError, match="forwards only"):
        add_working_time(OFFICE, rome("2026-11-23T10:00"), -HOUR)
    assert working_time_between(OFFICE, rome("2026-11-23T12:00"), rome("2026-11-23T10:00")) == timedelta(0)


@pytest.mark.parametrize(
    ("settings", "field", "words"),
    [
        ({"weekly": {"monday": ["8-13"]}}, ("weekly", "monday", 0), "write it as 08:30-13:00"),
        ({"weekly": {"monday": ["13:00-08:00"]}}, ("weekly", "monday", 0), "ends before it starts"),
        ({"weekly": {"monday": ["08:00-24:30"]}}, ("weekly", "monday", 0), "the last end of a day is 24:00"),
        ({"weekly": {"friday": ["08:00-13:00", "12:59-18:00"]}}, ("weekly", "friday"), "overlap"),
        ({"weekly": {"lunedì": ["08:00-13:00"]}}, ("weekly", "lunedì", "[key]"), "monday"),
        ({"weekly": {}, "timezone": "Europe/Roma"}, ("timezone",), "not a known time zone"),
        ({"weekly": {}, "patron_saint": "06-31"}, ("patron_saint",), "not a day of the year"),
        ({"weekly": {}, "holiday": True}, ("holiday",), "not permitted"),
        (
            {"weekly": {}, "closures": [{"name": "x", "first": date(2026, 8, 2), "last": date(2026, 8, 1)}]},
            ("closures", 0),
            "before it starts",
        ),
    ],
)
def test_a_wrong_setting_is_named_with_its_place(settings: dict[str, Any], field: tuple[Any, ...], words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Calendar(**settings)
    (error,) = caught.value.errors()
    assert error["loc"] == field
    assert words in error["msg"]


def test_spans_may_touch_and_stand_in_any_order() -> None:
    calendar = Calendar(weekly={"monday": ["13:00-18:00", "08:00-13:00"]})
    assert add_working_time(calendar, rome("2026-11-23T12:30"), HOUR) == rome("2026-11-23T13:30")
