"""Days as people mean them: from midnight to midnight in the site's time zone."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from tickets.errors import InvalidInput

_FIRST, _LAST = date(1971, 1, 1), date(9000, 1, 1)


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """When a day begins."""
    return datetime(day.year, day.month, day.day, tzinfo=zone)


def end_of(day: date, zone: ZoneInfo) -> datetime:
    """When the next day begins."""
    return midnight(day + timedelta(days=1), zone)


def check_day(field: str, day: date, words: str) -> None:
    """Raise InvalidInput, with these words, for a day so far away that no clock can tell of it."""
    if not _FIRST <= day <= _LAST:
        raise InvalidInput(field, words)
