"""`centralino ledger`: every call with its outcome, counted, and compared with Asterisk's own records."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date, datetime, time, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
from rich.markup import escape
from rich.table import Table
from sqlalchemy.orm import Session

from centralino.command import ConfigOption, read_settings, run_query
from centralino.settings import DEFAULT_FILE
from centralino.terminal import terminal
from ivr import ledger
from ivr.ledger import Difference, Known
from ivr.models import Outcome

console = terminal()

DAY = ["%Y-%m-%d"]


@dataclass(frozen=True)
class Count:
    """The calls of a span of time."""

    title: str
    calls: dict[Outcome | None, int]
    recorded: int
    """As Asterisk counted them."""


@dataclass(frozen=True)
class Book:
    """What the command shows."""

    known: Known
    counts: list[Count]
    differences: list[Difference]


def show_ledger(
    first: Annotated[
        datetime | None, typer.Option("--from", formats=DAY, help="The first day (in the time zone of the notices).")
    ] = None,
    last: Annotated[datetime | None, typer.Option("--to", formats=DAY, help="The last day, included.")] = None,
    days: Annotated[bool, typer.Option("--days", help="Count each day of --from to --to by itself.")] = False,
    differences: Annotated[
        bool, typer.Option("--differences", help="Show only the calls that differ, explained ones as well.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    config: ConfigOption = DEFAULT_FILE,
) -> None:
    """Count calls by outcome, and compare them with Asterisk's own records.

    The exit code is 1 when there is a difference that is not explained.
    """
    settings = read_settings(config)
    zone = ZoneInfo(settings.notices.timezone)
    since = _midnight(first.date(), zone) if first else None
    until = _midnight(last.date() + timedelta(days=1), zone) if last else None
    spans = [("all", since, until)]
    if days:
        today = datetime.now(zone).date()
        spans = list(_days(first.date() if first else today, last.date() if last else today, zone))
    compared = settings.asterisk.records is not None

    def read(session: Session) -> Book:
        counts = [
            Count(title, ledger.count_calls(session, begin, end), ledger.count_records(session, begin, end))
            for title, begin, end in spans
        ]
        found = list(ledger.differences(session, spans[0][1], spans[-1][2]))
        if not compared:  # once it was: what was read then is old
            found = [one for one in found if one.kind is ledger.DifferenceKind.NO_OUTCOME]
        return Book(ledger.known_records(session), counts, found)

    book = run_query(settings, read)
    if as_json:
        typer.echo(json.dumps(_as_json(book, compared), default=str, indent=2))
    else:
        if not differences:
            _show_counts(book, compared)
        _show_differences(book, zone)
        _say_how_it_was_compared(book, compared, zone)
    if any(not one.explained for one in book.differences):
        raise typer.Exit(1)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone)


def _days(first: date, last: date, zone: ZoneInfo) -> Iterator[tuple[str, datetime, datetime]]:
    for number in range(max((last - first).days, 0) + 1):
        day = first + timedelta(days=number)
        yield day.isoformat(), _midnight(day, zone), _midnight(day + timedelta(days=1), zone)


def _show_counts(book: Book, compared: bool) -> None:
    shown = [outcome for outcome in (*Outcome, None) if any(outcome in count.calls for count in book.counts)]
    table = Table("", *(count.title for count in book.counts))
    for outcome in shown:
        table.add_row(outcome or "no outcome yet", *(str(count.calls.get(outcome, 0)) for count in book.counts))
    table.add_section()
    table.add_row("calls", *(str(sum(count.calls.values())) for count in book.counts))
    if compared:
        table.add_row("as Asterisk counted", *(str(count.recorded) for count in book.counts))
    console.print(table)


def _show_differences(book: Book, zone: ZoneInfo) -> None:
    if not book.differences:
        console.print("No differences.")
        return
    for one in sorted(book.differences, key=lambda one: one.started_at):
        mark = "explained" if one.explained else "TO LOOK AT"
        console.print(
            f"{one.started_at.astimezone(zone):%Y-%m-%d %H:%M:%S}  {mark}: {escape(one.kind)}  "
            f"call {one.call_id or '-'}, line {escape(one.line)}, caller {escape(one.caller or 'withheld')}, "
            f"Asterisk's id {escape(one.channel_id)}\n    {escape(one.why)}",
            soft_wrap=True,
        )
    unexplained = sum(not one.explained for one in book.differences)
    console.print(f"{len(book.differences)} differences, {unexplained} of them to look at.")


def _say_how_it_was_compared(book: Book, compared: bool, zone: ZoneInfo) -> None:
    known = book.known
    if not compared:
        console.print(
            "Not compared with Asterisk's records: asterisk.call_records is not set, or there are several Asterisks."
        )
    elif known.first is None or known.read_at is None:
        console.print("None of Asterisk's records has been read yet: nothing is compared.")
    else:
        console.print(
            f"Compared with Asterisk's records from {known.first.astimezone(zone):%Y-%m-%d %H:%M:%S} to "
            f"{known.read_at.astimezone(zone):%Y-%m-%d %H:%M:%S} ({zone.key})."
        )
    if compared and known.unreadable:
        console.print(f"{known.unreadable} lines of the file were no records.")


def _as_json(book: Book, compared: bool) -> dict[str, object]:
    return {
        "compared": compared and book.known.first is not None,
        "records_from": book.known.first if compared else None,
        "records_to": book.known.read_at if compared else None,
        "unreadable_lines": book.known.unreadable if compared else None,
        "counts": [
            {
                "span": count.title,
                "calls": sum(count.calls.values()),
                "recorded": count.recorded if compared else None,
                "outcomes": {outcome or "none": number for outcome, number in count.calls.items()},
            }
            for count in book.counts
        ],
        "differences": [asdict(one) for one in book.differences],
    }
