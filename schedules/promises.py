"""The promise told to a user: when a request will be taken in charge, and how that time came about."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from schedules.errors import NeverOpens
from schedules.hours import Calendar, add_working_time, next_opening
from schedules.words import date_and_time, weekday_and_time, working_amount

PICKUP = timedelta(hours=1)
"""The customer's rule: a request by voicemail, e-mail or fax is taken in charge within the next working hour."""


@dataclass(frozen=True, slots=True)
class Promise:
    """A due time with its reckoning, all UTC: received, counted from (the next opening), plus `working` time."""

    received_at: datetime
    counted_from: datetime
    working: timedelta
    due_at: datetime


def pickup_promise(calendar: Calendar, received_at: datetime) -> Promise:
    """When a request received now will be taken in charge. Raises `NeverOpens` for a calendar without openings."""
    counted_from = next_opening(calendar, received_at)
    if counted_from is None:
        raise NeverOpens(f"the calendar {calendar.name!r} does not open: no pickup can be promised")
    due_at = add_working_time(calendar, counted_from, PICKUP)
    return Promise(received_at.astimezone(UTC), counted_from, PICKUP, due_at)


def explain(promise: Promise, calendar: Calendar, language: str) -> str:
    """The reckoning as one phrase, `it` or `en`, in the calendar's local time.

    Such as 'received Friday 22:14, next opening Monday 08:00, plus one working hour: Monday 09:00'. Dates are written
    in full when the promise reaches so far that a weekday's name alone would mislead.
    """
    say = weekday_and_time if promise.due_at - promise.received_at < timedelta(days=6) else date_and_time

    def local(at: datetime) -> str:
        return say(at, calendar.timezone, language)

    italian = language == "it"
    parts = [f"{'ricevuta' if italian else 'received'} {local(promise.received_at)}"]
    if promise.counted_from > promise.received_at:
        parts.append(f"{'prossima apertura' if italian else 'next opening'} {local(promise.counted_from)}")
    plus = f"{'più' if italian else 'plus'} {working_amount(promise.working, language)}"
    return ", ".join([*parts, f"{plus}: {local(promise.due_at)}"])
