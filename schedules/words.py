"""Times in words, in Italian and English."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

# Two small tables rather than a locale library: they hold all that is said.
_WEEKDAYS = {
    "it": ("lunedì", "martedì", "mercoledì", "giovedì", "venerdì", "sabato", "domenica"),
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
}
_MONTHS = {
    "it": (
        *("gennaio", "febbraio", "marzo", "aprile", "maggio", "giugno", "luglio", "agosto", "settembre", "ottobre"),
        *("novembre", "dicembre"),
    ),
    "en": (
        *("January", "February", "March", "April", "May", "June", "July", "August", "September", "October"),
        *("November", "December"),
    ),
}


def weekday_and_time(at: datetime, timezone: str, language: str) -> str:
    """'venerdì 22:14' or 'Friday 22:14', in local time; a language other than `it` is written in English."""
    local = at.astimezone(ZoneInfo(timezone))
    return f"{_WEEKDAYS[_known(language)][local.weekday()]} {local:%H:%M}"


def date_and_time(at: datetime, timezone: str, language: str) -> str:
    """'lunedì 24 novembre 2025, ore 09:00' or 'Monday 24 November 2025, 09:00', in local time."""
    language = _known(language)
    local = at.astimezone(ZoneInfo(timezone))
    day = f"{_WEEKDAYS[language][local.weekday()]} {local.day} {_MONTHS[language][local.month - 1]} {local.year}"
    return f"{day}, ore {local:%H:%M}" if language == "it" else f"{day}, {local:%H:%M}"


def day(of: date, language: str) -> str:
    """'lunedì 7 dicembre' or 'Monday 7 December'; a language other than `it` is written in English."""
    language = _known(language)
    return f"{_WEEKDAYS[language][of.weekday()]} {of.day} {_MONTHS[language][of.month - 1]}"


def working_amount(amount: timedelta, language: str) -> str:
    """'un'ora lavorativa', '90 minuti lavorativi', 'one working hour', '2 working hours'; whole minutes."""
    minutes = round(amount.total_seconds() / 60)
    hours, rest = divmod(minutes, 60)
    if _known(language) == "it":
        if rest:
            return "un minuto lavorativo" if minutes == 1 else f"{minutes} minuti lavorativi"
        return "un'ora lavorativa" if hours == 1 else f"{hours} ore lavorative"
    if rest:
        return "one working minute" if minutes == 1 else f"{minutes} working minutes"
    return "one working hour" if hours == 1 else f"{hours} working hours"


def _known(language: str) -> str:
    return language if language in _WEEKDAYS else "en"
