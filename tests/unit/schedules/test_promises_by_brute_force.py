"""10,000 promises against a reckoning that looks at every minute on the wall clock.

The brute force knows nothing of spans or offsets: it asks of each minute what the clock on the wall shows then, and
whether the desk is staffed at that time of that day.
"""

import bisect
import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import holidays
import pytest

from schedules.hours import Calendar, Closure, Weekday
from schedules.promises import Pause, explain, explain_beside, reckon

pytestmark = pytest.mark.unit

CASES = 10_000
CALENDARS = 50
DAYS = 75
WEEKDAYS: tuple[Weekday, ...] = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
SPANS = (
    ("08:00-13:00", "14:00-18:00"),
    ("08:30-17:15",),
    ("00:00-24:00",),
    ("01:30-03:30", "22:00-24:00"),
    ("00:00-02:30", "02:45-06:00"),
    ("09:00-09:20",),
    (),
)
WINDOWS = {
    "clocks put forward": datetime(2026, 3, 6, tzinfo=UTC),
    "clocks put back": datetime(2026, 10, 2, tzinfo=UTC),
    "the turn of the year": datetime(2026, 12, 4, tzinfo=UTC),
}
PATRON_SAINTS = (None, "12-06", "04-25", "03-29", "10-25", "12-07")
ITALIAN = holidays.country_holidays("IT", years=(2026, 2027))


def wall_clock(start: datetime, zone: str) -> list[tuple[date, int]]:
    """For each minute of a window the day and the minute of the day that the clock shows."""
    local = ZoneInfo(zone)
    shown = (datetime.fromtimestamp(start.timestamp() + 60 * n, local) for n in range(DAYS * 1440))
    return [(at.date(), at.hour * 60 + at.minute) for at in shown]


def minutes_of(text: str) -> range:
    begin, end = (int(part[:2]) * 60 + int(part[3:]) for part in text.split("-"))
    return range(begin, end)


def closed_on(calendar: Calendar, day: date) -> bool:
    return (
        any(closure.first <= day <= closure.last for closure in calendar.closures)
        or calendar.patron_saint == f"{day:%m-%d}"
        or (calendar.holidays and day in ITALIAN)
    )


def open_minutes(calendar: Calendar, wall: list[tuple[date, int]]) -> list[int]:
    """The minutes of the window in which the desk is staffed, counted from its beginning."""
    by_day: dict[date, set[int]] = {}
    for day in {day for day, _ in wall}:
        spans = () if closed_on(calendar, day) else calendar.weekly.get(WEEKDAYS[day.weekday()], ())
        by_day[day] = {minute for span in spans for minute in minutes_of(span)}
    return [n for n, (day, minute) in enumerate(wall) if minute in by_day[day]]


def by_brute_force(
    staffed: list[int], received: int, working: int, pauses: list[tuple[int, int]]
) -> tuple[int, int] | None:
    """When `working` seconds have been counted, and of which second on; seconds of the window. None: beyond it."""
    first = bisect.bisect_left(staffed, received // 60)
    if first < len(staffed) and staffed[first] * 60 + 59 < received:
        first += 1
    if first == len(staffed):
        return None
    counted_from = max(staffed[first] * 60, received)
    if working == 0:
        return counted_from, counted_from
    paused = {minute for begin, end in pauses for minute in range(begin // 60 + 1, end // 60)}
    broken = {received // 60, *(at // 60 for pause in pauses for at in pause)}
    left = working
    for minute in staffed[first:]:
        if minute in broken:  # second by second
            for second in range(minute * 60, minute * 60 + 60):
                if second >= received and not any(begin <= second < end for begin, end in pauses):
                    left -= 1
                    if left == 0:
                        return second + 1, counted_from
        elif minute not in paused:
            if left <= 60:
                return minute * 60 + left, counted_from
            left -= 60
    return None


def calendars(chance: random.Random) -> Iterator[Calendar]:
    for _ in range(CALENDARS):
        yield Calendar(
            timezone=chance.choice(["Europe/Rome"] * 4 + ["America/New_York"]),
            weekly={day: chance.choice(SPANS) for day in WEEKDAYS},
            holidays=chance.random() < 0.8,
            patron_saint=chance.choice(PATRON_SAINTS),
        )


def closure_within(chance: random.Random, start: datetime) -> Closure:
    first = (start + timedelta(days=chance.randrange(DAYS))).date()
    return Closure(name="neve", first=first, last=first + timedelta(days=chance.choice((0, 0, 1, 3, 12))))


def random_pauses(chance: random.Random, received: int) -> list[tuple[int, int]]:
    pauses = []
    for _ in range(chance.choice((0, 0, 1, 1, 2, 4))):
        begin = received + chance.randrange(-3600, 6 * 86400)
        pauses.append((begin, begin + chance.choice((0, 1, 59, 600, 5000, 86400, 200_000)) + chance.randrange(3600)))
    return pauses


def test_ten_thousand_promises_are_what_every_minute_on_the_wall_clock_says() -> None:
    chance = random.Random(20261130)
    walls = {
        (window, zone): wall_clock(start, zone)
        for window, start in WINDOWS.items()
        for zone in ("Europe/Rome", "America/New_York")
    }
    compared = moved_by_closure = moved_by_pause = told_in_words = 0
    over_change = dict.fromkeys(WINDOWS, 0)
    rooms = [(calendar, window) for calendar in calendars(chance) for window in WINDOWS]
    for calendar, window in rooms:
        start, wall = WINDOWS[window], walls[window, calendar.timezone]
        closed_later = calendar.model_copy(update={"closures": (closure_within(chance, start),)})
        before, after = open_minutes(calendar, wall), open_minutes(closed_later, wall)
        change = next((n for n, shown in enumerate(wall) if n and wall[n - 1][1] + 1 not in (shown[1], 1440)), 0)
        for _ in range(CASES // len(rooms) + 25):
            received = chance.randrange(3600, (DAYS - 20) * 86400)
            if chance.random() < 0.4 and before:  # at an edge of the hours, where mistakes are made
                received = chance.choice(before) * 60 + chance.choice((0, 0, 59))
            elif chance.random() < 0.5 and change:  # shortly before the clocks are changed, or in that very hour
                received = change * 60 + chance.randrange(-2 * 86400, 3600)
            working = chance.choice((0, 1, 60, 1800, 3600, 3600, 14_400, 8 * 3600, 40 * 3600))
            working += chance.choice((0, 0, chance.randrange(7200)))
            pauses = random_pauses(chance, received)
            at = start + timedelta(seconds=received)
            spans = [Pause(*(start + timedelta(seconds=edge) for edge in pause)) for pause in pauses]
            told_by_hand = by_brute_force(before, received, working, pauses)
            if told_by_hand is None:
                continue
            told = reckon(calendar, at, timedelta(seconds=working), spans)
            assert (told.due_at - start, told.counted_from - start) == tuple(
                timedelta(seconds=seconds) for seconds in told_by_hand
            ), (calendar, at, working, spans)
            compared += 1
            moved_by_pause += told.paused > timedelta(0)
            zone = calendar.zone
            over_change[window] += at.astimezone(zone).utcoffset() != told.due_at.astimezone(zone).utcoffset()
            # entered after the promise was told: what was told stays as it is, the new reckoning stands beside it
            now_by_hand = by_brute_force(after, received, working, pauses)
            if now_by_hand is None:
                continue
            now = reckon(closed_later, at, timedelta(seconds=working), spans)
            assert now.due_at - start == timedelta(seconds=now_by_hand[0]), (closed_later, at, working, spans)
            if now.due_at == told.due_at:
                continue
            moved_by_closure += 1
            beside = explain_beside(told, spans, closed_later, "it")
            if beside is not None and told_in_words < 300:
                told_in_words += 1
                assert beside.startswith("con gli orari attuali sarebbe: ricevuta ")
                assert "neve" not in explain(told, calendar, "it")
                if not any(pauses):
                    assert "(neve)" in beside
    assert compared >= CASES
    assert min(moved_by_closure, moved_by_pause) > 800
    assert min(over_change["clocks put forward"], over_change["clocks put back"]) > 300
