"""Promises: by when something will be done, counted in working time, and how that time came about.

A clock counts staffed time from the first opening after a request was received, and stands still while the user is
asked for something. `reckon` is the whole arithmetic; it needs no state, so that a promise can be reckoned again at any
time, in the hours as they were when it was told and as they are now.
"""

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from schedules.errors import NeverOpens
from schedules.hours import (
    Calendar,
    add_working_time,
    closures_between,
    next_opening,
    unplanned_between,
    working_time_between,
)
from schedules.words import date_and_time, day, weekday_and_time, working_amount

PICKUP = timedelta(hours=1)
"""The customer's rule: a request by voicemail, e-mail or fax is taken in charge within the next working hour."""

_WEEK = timedelta(days=6)
"""Beyond it the name of a weekday alone would mislead."""
_PAUSES_TOLD = 3
"""More than these are told together."""


class Clock(enum.StrEnum):
    """What is promised."""

    PICKUP = "pickup"
    """Somebody takes the request in charge."""
    FIRST_ANSWER = "first_answer"
    """A person at the desk writes or speaks to the user about it."""
    SOLUTION = "solution"
    """It is solved."""


class Pause(NamedTuple):
    """A time in which a clock stood still, its end excluded."""

    begin: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Promise:
    """A due time with its reckoning, all UTC: received, counted from (the next opening), plus `working` time.

    `paused` is the working time in `pauses`, by which the due time moved; pauses that moved nothing are left out.
    """

    received_at: datetime
    counted_from: datetime
    working: timedelta
    due_at: datetime
    paused: timedelta = timedelta(0)
    pauses: tuple[Pause, ...] = ()


def pickup_promise(calendar: Calendar, received_at: datetime) -> Promise:
    """When a request received now will be taken in charge. Raises `NeverOpens` for a calendar without openings."""
    return reckon(calendar, received_at, PICKUP)


def reckon(calendar: Calendar, received_at: datetime, working: timedelta, pauses: Iterable[Pause] = ()) -> Promise:
    """Until when `working` time will have been counted: from the first opening on, not counting the `pauses`.

    A pause that begins when the time is used up moves nothing, since the promise is broken or due by then. Raises
    `NeverOpens` where 400 days pass without an opening, `ValueError` for a negative time.
    """
    counted_from = next_opening(calendar, received_at)
    if counted_from is None:
        raise NeverOpens(f"the calendar {calendar.name!r} does not open: nothing can be promised")
    due_at = add_working_time(calendar, counted_from, working)
    paused, counted = timedelta(0), []
    for pause in _merged(pauses):
        begin = max(pause.begin, counted_from)
        if begin >= due_at:
            break
        amount = working_time_between(calendar, begin, pause.end)
        if amount:
            # Additive: what is left of the time at `begin` and the pause are used up one after the other.
            due_at = add_working_time(calendar, due_at, amount)
            paused += amount
            counted.append(Pause(pause.begin.astimezone(UTC), pause.end.astimezone(UTC)))
    return Promise(received_at.astimezone(UTC), counted_from, working, due_at, paused, tuple(counted))


def warn_after(working: timedelta, *, share: float, lead: timedelta | None = None) -> timedelta:
    """After how much of a target a warning is due: `lead` of working time before its end where given, else a share."""
    return max(working - lead, timedelta(0)) if lead is not None else working * share


def explain(promise: Promise, calendar: Calendar, language: str) -> str:
    """The reckoning as one phrase, `it` or `en`, in the calendar's local time.

    Such as 'received Friday 22:14, next opening Monday 08:00, plus one working hour: Monday 09:00'. Closures on the way
    and pauses are told where they moved something. Dates are written in full when the promise reaches so far that a
    weekday's name alone would mislead.
    """
    say = weekday_and_time if promise.due_at - promise.received_at < _WEEK else date_and_time
    italian = language == "it"

    def local(at: datetime) -> str:
        return say(at, calendar.timezone, language)

    parts = [f"{'ricevuta' if italian else 'received'} {local(promise.received_at)}"]
    parts += _closed(calendar, promise.received_at, promise.counted_from, language)
    if promise.counted_from > promise.received_at:
        parts.append(f"{'prossima apertura' if italian else 'next opening'} {local(promise.counted_from)}")
    plus = "più" if italian else "plus"
    parts.append(f"{plus} {working_amount(promise.working, language)}")
    if promise.paused:
        spans = [
            f"{'da' if italian else 'from'} {local(pause.begin)} {'a' if italian else 'to'} {local(pause.end)}"
            for pause in promise.pauses
        ]
        if len(spans) > _PAUSES_TOLD:
            spans = [f"{len(spans)} {'volte' if italian else 'times'}"]
        why = "in attesa dell'utente" if italian else "waiting for the user"
        joined = (" e " if italian else " and ").join(spans)
        parts.append(f"{plus} {working_amount(promise.paused, language)} {why} ({joined})")
    parts += _closed(calendar, promise.counted_from, promise.due_at, language)
    return f"{', '.join(parts)}: {local(promise.due_at)}"


def explain_beside(told: Promise, pauses: Iterable[Pause], calendar: Calendar, language: str) -> str | None:
    """What the same promise would be in the hours as they are now, `calendar`; None where that is what was told.

    Such as with a closure entered after the promise was made: what was told stays, and this is shown beside it.
    """
    try:
        now = reckon(calendar, told.received_at, told.working, pauses)
    except NeverOpens:
        return "con gli orari attuali: nessuna apertura" if language == "it" else "in the hours of now: no opening"
    if now.due_at == told.due_at:
        return None
    if language == "it":
        return f"con gli orari attuali sarebbe: {explain(now, calendar, language)}"
    return f"in the hours of now it would be: {explain(now, calendar, language)}"


def _closed(calendar: Calendar, begin: datetime, end: datetime, language: str) -> list[str]:
    italian = language == "it"
    told = []
    for closure in closures_between(calendar, begin, end):
        days = day(closure.first, language)
        if closure.last > closure.first:
            to = "a" if italian else "to"
            days = f"{'da ' if italian else ''}{days} {to} {day(closure.last, language)}"
        told.append(f"{'chiuso' if italian else 'closed'} {days} ({closure.name})")
    for unplanned in unplanned_between(calendar, begin, end):
        since, until = (date_and_time(at, calendar.timezone, language) for at in (unplanned.begins, unplanned.ends))
        span = f"chiuso da {since} a {until}" if italian else f"closed from {since} to {until}"
        told.append(f"{span} ({unplanned.name})")
    return told


def _merged(pauses: Iterable[Pause]) -> list[Pause]:
    """In order and without overlaps, so that no time is counted as paused twice."""
    merged: list[Pause] = []
    for pause in sorted(pauses):
        if merged and pause.begin <= merged[-1].end:
            merged[-1] = Pause(merged[-1].begin, max(merged[-1].end, pause.end))
        elif pause.end > pause.begin:
            merged.append(pause)
    return merged
