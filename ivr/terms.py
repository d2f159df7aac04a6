"""In which hours something is promised: those of a call's line, or of requests that came by none."""

from ivr.config import CallsConfig
from schedules.hours import Calendar
from tickets.promise_rules import PromiseSettings, Terms


def terms_of_line(rules: PromiseSettings, config: CallsConfig, line: str | None) -> Terms:
    """What is promised to a request that came by a line; None: by none, such as an e-mail."""
    return Terms(rules, config.calendar_of(line) if line is not None else default_calendar(rules, config))


def default_calendar(rules: PromiseSettings, config: CallsConfig) -> Calendar:
    """The hours of requests that came by no line: `promises.calendar`, the first line's where that is not set."""
    return config.calendars[rules.calendar or config.lines[0].calendar]
