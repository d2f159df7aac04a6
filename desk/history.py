"""Calls, messages and requests over time, by day or by hour, for the charts of supervisors and their CSV file."""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from desk.days import end_of, midnight
from ivr.report import ReportSettings, call_facts, count_all
from tickets.errors import InvalidInput
from tickets.models import CLOSED_STATUSES, SYNTHETIC, Request
from voicemail.models import Message

By = Literal["day", "hour"]
MOST_DAYS: dict[By, int] = {"day": 92, "hour": 7}
"""So many days at most: more bars nobody reads, and each day's calls are looked at."""


class HistoryRow(BaseModel):
    """What happened in one day or hour; `begin` is in the site's time zone. Waits are in seconds, shares 0 to 1."""

    begin: datetime
    calls: int
    answered: int
    answered_in_time: int
    service_level: float | None
    gave_up_waiting: int
    gave_up_before: int
    gave_up_short: int
    left_a_message: int
    wait_nine_of_ten: float | None
    longest_wait: float | None
    messages: int
    requests_received: int
    requests_closed: int


class HistoryView(BaseModel):
    """A stretch of days."""

    first: date
    last: date
    by: By
    timezone: str
    answered_within_seconds: float
    short_seconds: float
    rows: list[HistoryRow]
    total: HistoryRow
    """All of them together."""


def history(session: Session, first: date, last: date, by: By, report: ReportSettings, zone: ZoneInfo) -> HistoryView:
    """The figures from `first` to `last`, both included. Raises InvalidInput for too many days, or in a wrong order."""
    if last < first:
        raise InvalidInput("last", "is before the first day")
    if (last - first).days >= MOST_DAYS[by]:
        raise InvalidInput("last", f"choose {MOST_DAYS[by]} days at most")
    rows = [_row(session, begin, end, report) for begin, end in _spans(first, last, by, zone)]
    begin, end = midnight(first, zone), end_of(last, zone)
    return HistoryView(
        first=first,
        last=last,
        by=by,
        timezone=zone.key,
        answered_within_seconds=report.answered_within_seconds,
        short_seconds=report.short_seconds,
        rows=rows,
        total=_row(session, begin, end, report),
    )


def as_csv(view: HistoryView) -> str:
    """The rows as a file for spreadsheets, the names of the columns in the first line."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(HistoryRow.model_fields)
    for row in view.rows:
        writer.writerow("" if value is None else value for value in row.model_dump(mode="json").values())
    return out.getvalue()


def _row(session: Session, begin: datetime, end: datetime, report: ReportSettings) -> HistoryRow:
    figures = count_all(call_facts(session, begin, end, companies=False), report)
    return HistoryRow(
        begin=begin,
        calls=figures.calls,
        answered=figures.answered,
        answered_in_time=figures.answered_in_time,
        service_level=figures.service_level,
        gave_up_waiting=figures.gave_up_waiting,
        gave_up_before=figures.gave_up_before,
        gave_up_short=figures.gave_up_short,
        left_a_message=figures.left_a_message,
        wait_nine_of_ten=figures.wait(0.9),
        longest_wait=figures.wait(1.0),
        messages=_count(session, Message.started_at, begin, end, Message.id < SYNTHETIC),
        requests_received=_count(session, Request.received_at, begin, end, Request.id > 0),
        requests_closed=_count(
            session, Request.closed_at, begin, end, Request.id > 0, Request.status.in_(CLOSED_STATUSES)
        ),
    )


def _count(
    session: Session,
    column: InstrumentedAttribute[datetime] | InstrumentedAttribute[datetime | None],
    begin: datetime,
    end: datetime,
    *which: ColumnElement[bool],
) -> int:
    return session.scalar(select(func.count()).where(column >= begin, column < end, *which)) or 0


def _spans(first: date, last: date, by: By, zone: ZoneInfo) -> Iterator[tuple[datetime, datetime]]:
    """Begin and end of each day, or of each hour: a day has 23 or 25 of them when the clocks change."""
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        begin, end = midnight(day, zone), end_of(day, zone)
        if by == "day":
            yield begin, end
            continue
        at, until = begin.astimezone(UTC), end.astimezone(UTC)
        while at < until:
            yield at.astimezone(zone), at + timedelta(hours=1)
            at += timedelta(hours=1)
