"""Numbers, tickets, places in the line and times as they are said: pure functions that give lists of media URIs.

The hour is one sound with its preposition (`alle nove`, `at nine`), since short words joined one by one are hard to
follow on the phone. Italian says 24 hours; English says 12 and the part of the day, which nobody mistakes.
"""

from datetime import datetime, timedelta, tzinfo

from ivr.config import Language
from ivr.prompts import media
from tickets.models import CLOSED_STATUSES, Status

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)


def digits(text: str, language: Language) -> list[str]:
    """A ticket or telephone number digit by digit, in groups of three with a pause between.

    A single digit left over joins the last group: 1234567 is 123-4567. A leading `+` is said. Any other character is
    passed over: what is said comes from numbers we wrote or that were keyed, and a call does not fail for a space.
    """
    keyed = [c for c in text if c in "0123456789"]
    names = ["plus"] if text.lstrip().startswith("+") else []
    for place, digit in enumerate(keyed):
        if place and place % 3 == 0 and len(keyed) - place > 1:
            names.append("pause")
        names.append(f"number-{digit}")
    return _say(names, language)


def number(n: int, language: Language) -> list[str]:
    """A whole number from 0; above 99 it is said digit by digit.

    Raises:
        ValueError: the number is negative.
    """
    if n < 0:
        raise ValueError(f"{n} is negative: nothing on the line is counted below 0")
    return _say([f"number-{n}"], language) if n < 100 else digits(str(n), language)


def position(n: int, language: Language) -> list[str]:
    """A caller's place in the line: 1 is next.

    Raises:
        ValueError: the place is below 1.
    """
    if n < 1:
        raise ValueError(f"{n} is not a place in the line: the first is 1")
    if n == 1:
        return [media("you-are-next", language)]
    return [media("you-are-number", language), *number(n, language), media("in-line", language)]


def ticket(number: str, language: Language) -> list[str]:
    """The number of a request, said twice."""
    once = digits(number, language)
    return [
        *_say(["your-ticket-is"], language),
        *once,
        *_say(["pause", "ticket-repeat"], language),
        *once,
    ]


def clock_time(local: datetime, language: Language) -> list[str]:
    """When something happens, to the minute, in the datetime's own time: `alle nove e trenta`."""
    return _say([f"at-hour-{local.hour}", *_minute_and_part(local, language)], language)


def day_and_time(when: datetime, *, now: datetime, timezone: tzinfo, language: Language) -> list[str]:
    """A day and a time as seen from now: `domani, venerdì 27 novembre, alle nove`.

    Today has no date. Italian: `oggi alle nove e trenta`; English: `tomorrow, Friday the 27th of November, at nine
    thirty in the morning`.

    Args:
        when: aware; what is said is its local time.
        now: aware; decides what today and tomorrow are.
        timezone: of the place where the caller's clock hangs.
        language: `it` or `en`.

    Raises:
        ValueError: a time without its zone.
    """
    local, days = _local(when, now, timezone)
    names = []
    if days in (0, 1):
        names.append("today" if days == 0 else "tomorrow")
    if days != 0:
        names += [WEEKDAYS[local.weekday()], *_date(local)]
    return [*_say(names, language), *clock_time(local, language)]


def reopening(opens_at: datetime, *, now: datetime, timezone: tzinfo, language: Language) -> list[str]:
    """`Il servizio riapre domani, ...`; arguments and errors as for `day_and_time`."""
    return [
        media("closed-reopens", language),
        *day_and_time(opens_at, now=now, timezone=timezone, language=language),
    ]


def promise(due_at: datetime, *, now: datetime, timezone: tzinfo, language: Language) -> list[str]:
    """By when a request is taken in charge: `... entro le nove e trenta di oggi`; arguments as for `day_and_time`.

    Seconds are left out, so the minute that is said never lies after the due time.
    """
    local, days = _local(due_at, now, timezone)
    names = ["picked-up-by", f"hour-{local.hour}", *_minute_and_part(local, language)]
    if days == 0:
        names.append("of-today")
    elif days == 1:
        names += ["of-tomorrow", WEEKDAYS[local.weekday()], *_date(local)]
    else:
        names += [f"of-{WEEKDAYS[local.weekday()]}", *_date(local)]
    return _say(names, language)


def state(
    status: Status, level: int, due_at: datetime | None, *, now: datetime, timezone: tzinfo, language: Language
) -> list[str]:
    """How a request stands: its status, which level has it, and by when it is promised to be taken in charge.

    A closed one has no level any more. `due_at` in the past is told as passed; the other arguments as for
    `day_and_time`.
    """
    names = [f"status-{'queued' if status is Status.NEW else status.value.replace('_', '-')}"]
    if status not in CLOSED_STATUSES:
        names.append(f"held-by-level-{min(max(level, 0), 3)}")
    said = _say(names, language)
    if due_at is not None and due_at < now:
        said += _say(["promise-passed"], language)
    elif due_at is not None:
        said += promise(due_at, now=now, timezone=timezone, language=language)
    return said


def key_for_ticket(key: str, language: Language) -> list[str]:
    """Which key of a menu leads to `state`; nothing for `*` and `#`, which have no sound."""
    return _say(["ticket-key", f"number-{key}"], language) if key.isdecimal() else []


def _say(names: list[str], language: Language) -> list[str]:
    return [media(name, language) for name in names]


def _local(when: datetime, now: datetime, timezone: tzinfo) -> tuple[datetime, int]:
    """The local time, and how many calendar days it lies ahead."""
    if when.tzinfo is None or now.tzinfo is None:
        raise ValueError("a time is said in local time: it must come with its zone")
    local = when.astimezone(timezone)
    return local, (local.date() - now.astimezone(timezone).date()) // timedelta(days=1)


def _date(local: datetime) -> list[str]:
    return [f"date-{local.day}", MONTHS[local.month - 1]]


def _minute_and_part(local: datetime, language: Language) -> list[str]:
    """What follows the hour: the minutes, and in English the part of the day."""
    names = [f"minute-{local.minute}"] if local.minute else []
    if language == "en":
        names.append(_part_of_day(local))
    return names


def _part_of_day(local: datetime) -> str:
    if local.hour % 12 == 0 and local.minute == 0:
        return "noon" if local.hour else "midnight"
    if local.hour == 0:
        return "at-night"
    if local.hour < 12:
        return "in-the-morning"
    return "in-the-afternoon" if local.hour < 18 else "in-the-evening"
