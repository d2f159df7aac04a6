"""Staffed hours: when a calendar is open, and arithmetic in working time.

All functions take aware times in any zone and give UTC. A calendar speaks of local wall-clock time; the arithmetic runs
on the instants at which the clocks show that time: an opening hour that exists twice (clocks put back) counts as two
hours, one that does not exist (clocks put forward) counts as none.
"""

import functools
import itertools
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

import holidays as public_holidays
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from schedules.errors import NeverOpens

HORIZON = timedelta(days=400)
"""How far an opening is looked for: over a year, so that a yearly opening is found."""

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
_WEEKDAYS: tuple[Weekday, ...] = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_INTERVAL = re.compile(r"([01]?[0-9]|2[0-4]):([0-5][0-9])-([01]?[0-9]|2[0-4]):([0-5][0-9])")


def _read_interval(text: str) -> tuple[timedelta, timedelta]:
    """'08:30-13:00' as two distances from midnight on the wall clock."""
    match = _INTERVAL.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a span of hours: write it as 08:30-13:00 (the end may be 24:00)")
    hours = [int(part) for part in match.groups()]
    start, end = timedelta(hours=hours[0], minutes=hours[1]), timedelta(hours=hours[2], minutes=hours[3])
    if end > timedelta(hours=24) or start >= timedelta(hours=24):
        raise ValueError(f"{text!r} leaves the day: the last end of a day is 24:00")
    if start >= end:
        raise ValueError(f"{text!r} ends before it starts: split a span over midnight in two, such as 22:00-24:00")
    return start, end


def _check_interval(text: str) -> str:
    _read_interval(text)
    return text


def _check_day(spans: tuple[str, ...]) -> tuple[str, ...]:
    ordered = sorted(spans, key=_read_interval)
    for earlier, later in itertools.pairwise(ordered):
        if _read_interval(later)[0] < _read_interval(earlier)[1]:
            raise ValueError(f"{earlier} and {later} overlap")
    return tuple(ordered)


def _check_timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:  # an unknown name, a folder's name, a path
        raise ValueError(f"{name!r} is not a known time zone: write one such as Europe/Rome") from error
    return name


def _check_month_and_day(text: str | None) -> str | None:
    if text is not None:
        try:
            # 2000 is a leap year: 02-29 is a day.
            date.fromisoformat(f"2000-{text}")
        except ValueError as error:
            raise ValueError(f"{text!r} is not a day of the year: write month and day, such as 12-06") from error
    return text


TimezoneName = Annotated[str, AfterValidator(_check_timezone)]
"""A name of the IANA time zone database, such as `Europe/Rome`."""


class Closure(BaseModel):
    """Days on which nobody answers, both ends included; `prompt` names a recording that says so."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    first: date
    last: date
    prompt: str | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.last < self.first:
            raise ValueError(f"the closure {self.name!r} ends ({self.last}) before it starts ({self.first})")
        return self


class UnplannedClosure(BaseModel):
    """A time in which nobody answers although the hours say so, its end excluded; `prompt` says why to callers.

    Where it is not known when it ends, `ends` is what is assumed for now: promises and what callers are told reckon
    with it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    begins: AwareDatetime
    ends: AwareDatetime
    prompt: str | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.ends <= self.begins:
            raise ValueError(f"the closure {self.name!r} ends ({self.ends}) before it begins ({self.begins})")
        return self


class Calendar(BaseModel):
    """When a line is staffed, in the local time of `timezone`.

    `weekly` holds spans such as `08:30-13:00` for each weekday; an absent day is closed. A span includes its start and
    excludes its end. `holidays` closes on Italy's national holidays, `patron_saint` (month-day) on the town's own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = ""
    timezone: TimezoneName = "Europe/Rome"
    weekly: dict[
        Weekday, Annotated[tuple[Annotated[str, AfterValidator(_check_interval)], ...], AfterValidator(_check_day)]
    ]
    holidays: bool = True
    patron_saint: Annotated[str | None, AfterValidator(_check_month_and_day)] = None
    closures: tuple[Closure, ...] = ()
    unplanned: tuple[UnplannedClosure, ...] = ()
    """Closures for some hours; supervisors open more of them at the desk."""

    @functools.cached_property
    def zone(self) -> ZoneInfo:
        """The time zone of the hours."""
        return ZoneInfo(self.timezone)

    @functools.cached_property
    def _spans(self) -> tuple[tuple[tuple[timedelta, timedelta], ...], ...]:
        """For Monday to Sunday, the spans as distances from midnight, in order."""
        return tuple(tuple(_read_interval(span) for span in self.weekly.get(day, ())) for day in _WEEKDAYS)

    def _spans_on(self, day: date) -> tuple[tuple[timedelta, timedelta], ...]:
        spans = self._spans[day.weekday()]
        return spans if spans and _closure_on(self, day) is None else ()


def is_open(calendar: Calendar, at: datetime) -> bool:
    """Whether the desk is staffed at this instant."""
    if unplanned_at(calendar, at) is not None:
        return False
    local = _utc(at).astimezone(calendar.zone).replace(tzinfo=None)
    since_midnight = local - datetime.combine(local.date(), time.min)
    return any(start <= since_midnight < end for start, end in calendar._spans_on(local.date()))


def next_opening(calendar: Calendar, after: datetime) -> datetime | None:
    """The next staffed instant: `after` itself when open then, None when there is none within 400 days."""
    after = _utc(after)
    for start, end in _openings(calendar, after):
        if start - after > HORIZON:
            return None
        if end > after:
            return max(start, after)
    return None


def add_working_time(calendar: Calendar, start: datetime, amount: timedelta) -> datetime:
    """The instant at which `amount` of staffed time has passed since `start`.

    From a closed hour it counts from the next opening (which is the answer for an amount of zero). Time that is used up
    exactly at a closing is due at that closing, not at the next opening. Raises `NeverOpens` when 400 days pass without
    an opening, `ValueError` for a negative amount.
    """
    if amount < timedelta(0):
        raise ValueError("working time is counted forwards only")
    at = _utc(start)
    left = amount
    for opens, closes in _openings(calendar, at):
        if opens - at > HORIZON:
            break
        opens = max(opens, at)
        if closes <= opens:
            continue
        if left <= closes - opens:
            return opens + left
        left -= closes - opens
        at = closes
    raise NeverOpens(f"the calendar {calendar.name!r} has no opening within {HORIZON.days} days of {at:%Y-%m-%d}")


def working_time_between(calendar: Calendar, start: datetime, end: datetime) -> timedelta:
    """Staffed time from `start` to `end`; zero when `end` is not after `start`."""
    start, end = _utc(start), _utc(end)
    total = timedelta(0)
    if end <= start:
        return total
    for opens, closes in _openings(calendar, start):
        if opens >= end:
            break
        total += max(min(closes, end) - max(opens, start), timedelta(0))
    return total


def closure_at(calendar: Calendar, at: datetime) -> Closure | UnplannedClosure | None:
    """The closure that holds at this instant: an unplanned or own one, the patron saint's day, or a national holiday.

    The desk's own come first, since they may have their own message. None on ordinary days, also outside the hours.
    """
    return unplanned_at(calendar, at) or _closure_on(calendar, _utc(at).astimezone(calendar.zone).date())


def unplanned_at(calendar: Calendar, at: datetime) -> UnplannedClosure | None:
    """The unplanned closure that holds at this instant, the one begun last if there are several."""
    at = _utc(at)
    holding = (closure for closure in calendar.unplanned if closure.begins <= at < closure.ends)
    return max(holding, key=lambda closure: closure.begins, default=None)


def unplanned_between(calendar: Calendar, start: datetime, end: datetime) -> list[UnplannedClosure]:
    """The unplanned closures that take staffed hours away from `start` to `end`, in order."""
    if not calendar.unplanned:
        return []
    without = calendar.model_copy(update={"unplanned": ()})
    found = []
    for closure in sorted(calendar.unplanned, key=lambda closure: closure.begins):
        begins, ends = max(closure.begins, start), min(closure.ends, end)
        if begins < ends and working_time_between(without, begins, ends):
            found.append(closure)
    return found


def closures_between(calendar: Calendar, start: datetime, end: datetime) -> list[Closure]:
    """The closures that take staffed hours away from `start` to `end`, in order; each with the days of it that do.

    A closure on days without hours is left out, and one that goes on over several days is told once.
    """
    first, last = (_utc(at).astimezone(calendar.zone).date() for at in (start, end))
    found: list[Closure] = []
    day = first
    while day <= last:
        if (
            calendar._spans[day.weekday()]
            and (closure := _closure_on(calendar, day)) is not None
            and _takes(calendar, day, start, end)
        ):
            if found and found[-1].name == closure.name and _unstaffed(calendar, found[-1].last, day):
                closure = found.pop().model_copy(update={"last": day})
            else:
                closure = closure.model_copy(update={"first": day, "last": day})
            found.append(closure)
        day += timedelta(days=1)
    return found


def _takes(calendar: Calendar, day: date, start: datetime, end: datetime) -> bool:
    """Whether the hours of a closed day would have been between two times."""
    midnight = datetime.combine(day, time.min)
    return any(
        (midnight + begins).replace(tzinfo=calendar.zone) < end
        and (midnight + ends).replace(tzinfo=calendar.zone) > start
        for begins, ends in calendar._spans[day.weekday()]
    )


def _unstaffed(calendar: Calendar, after: date, before: date) -> bool:
    """Whether there are no hours on the days between two days."""
    between = (after + timedelta(days=number) for number in range(1, (before - after).days))
    return not any(calendar._spans_on(day) for day in between)


def _closure_on(calendar: Calendar, day: date) -> Closure | None:
    for closure in calendar.closures:
        if closure.first <= day <= closure.last:
            return closure
    if calendar.patron_saint == f"{day:%m-%d}":
        return Closure(name="Santo patrono", first=day, last=day)
    if calendar.holidays and (name := _national_holidays(day.year).get(day)) is not None:
        return Closure(name=name, first=day, last=day)
    return None


@functools.lru_cache(maxsize=64)
def _national_holidays(year: int) -> dict[date, str]:
    return dict(public_holidays.country_holidays("IT", years=year, language="it_IT"))


def _openings(calendar: Calendar, since: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The staffed stretches in UTC, in order, from the local day of `since` on; ends a little beyond the horizon.

    The horizon is counted from the last opening seen, so a long addition goes on for as long as the desk opens.
    """
    day = since.astimezone(calendar.zone).date()
    barren = 0
    while barren <= HORIZON.days + 1 and day < date.max:
        stretches = _without(_stretches(calendar, day), calendar.unplanned)
        barren = 0 if stretches else barren + 1
        yield from stretches
        day += timedelta(days=1)


def _without(
    stretches: list[tuple[datetime, datetime]], closures: tuple[UnplannedClosure, ...]
) -> list[tuple[datetime, datetime]]:
    """What is left of staffed stretches when unplanned closures are taken out."""
    for closure in closures:
        begins, ends = _utc(closure.begins), _utc(closure.ends)
        stretches = [
            piece
            for opens, closes in stretches
            for piece in ((opens, min(closes, begins)), (max(opens, ends), closes))
            if piece[0] < piece[1]
        ]
    return stretches


def _stretches(calendar: Calendar, day: date) -> list[tuple[datetime, datetime]]:
    """The staffed stretches of one local day in UTC.

    The day is cut where the clocks change; in each piece local time is UTC plus a constant, so a span of wall-clock
    hours maps to at most one stretch. That is what makes a doubled hour count twice and a missing one not at all.
    """
    spans = calendar._spans_on(day)
    if not spans:
        return []
    midnight = datetime.combine(day, time.min)
    return [
        (opens.replace(tzinfo=UTC), closes.replace(tzinfo=UTC))
        for begins, ends, offset in _pieces(calendar.timezone, midnight)
        for start, end in spans
        if (opens := max(midnight + start - offset, begins)) < (closes := min(midnight + end - offset, ends))
    ]


@functools.lru_cache(maxsize=2048)
def _pieces(timezone: str, midnight: datetime) -> tuple[tuple[datetime, datetime, timedelta], ...]:
    """Cut the time around a local day at the change of clocks: (from, to, distance to UTC), all naive UTC."""
    zone = ZoneInfo(timezone)
    # Local times are at most 14 hours ahead of UTC and 12 behind (Kiribati, Baker Island).
    begins, ends = midnight - timedelta(hours=14), midnight + timedelta(hours=36)
    before, after = _offset(zone, begins), _offset(zone, ends)
    if before == after:
        return ((begins, ends, before),)
    # The first second with the new offset, by halving; two changes within two days are not known anywhere.
    low, high = 0, int((ends - begins).total_seconds())
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(zone, begins + timedelta(seconds=middle)) == before:
            low = middle
        else:
            high = middle
    change = begins + timedelta(seconds=high)
    return ((begins, change, before), (change, ends, after))


def _offset(zone: ZoneInfo, naive_utc: datetime) -> timedelta:
    local = naive_utc.replace(tzinfo=UTC).astimezone(zone)
    return local.replace(tzinfo=None) - naive_utc


def _utc(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError("naive datetime: say in which time zone it is")
    return at.astimezone(UTC)
