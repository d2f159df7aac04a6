"""Asterisk's records beside the rows of calls, on a real database of either kind."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from ivr import ledger, operations
from ivr.call_records import ChannelEvent, Piece, Position
from ivr.config import CallsConfig
from ivr.ledger import DifferenceKind
from ivr.models import Call, CallRecord, Outcome
from tickets.database import Database

pytestmark = pytest.mark.contract

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=2)
FILE = "/var/log/asterisk/cel-custom/centralino.csv"
CONFIG = CallsConfig.model_validate(
    {
        "calendars": {"sempre": {"weekly": {"monday": ["00:00-24:00"]}}},
        "queues": {"edotto": {}},
        "lines": [{"number": "800", "name": "Edotto", "calendar": "sempre", "queue": "edotto"}],
    }
)


def event(
    kind: Literal["reached", "recording", "ended"], channel: str, after: float, *, fallback: bool = False
) -> ChannelEvent:
    """An event so many seconds after nine."""
    return ChannelEvent(kind, channel, NOW + timedelta(seconds=after), fallback, "800", "0805551234")


async def read(database: Database, *events: ChannelEvent, before: int = 0) -> None:
    """Store events as read from byte `before` on, and that all was read."""
    tail = b"x" if before else b""
    piece = Piece(events, Position(before + 100, b"x"), 0, lost=False)
    await database.run(ledger.store, FILE, Position(before, tail), piece, now=LATER)
    await database.run(ledger.all_read, FILE, now=LATER)


async def settled(database: Database) -> int:
    return await database.run(ledger.settle, CONFIG, "centralino", now=LATER)


async def called(database: Database, channel: str, *, begun: float, ended: float | None) -> None:
    """A call with its row."""

    def write(session: Session) -> None:
        at = {"now": NOW + timedelta(seconds=begun)}
        about = {"channel_id": channel, "line": "800", "language": "it", "caller": None, "caller_name": None}
        operations.begin_call(session, call_id=f"call-{channel}", app="centralino", contact_id=None, **about, **at)  # type: ignore[arg-type]
        if ended is not None:
            operations.end_call(session, f"call-{channel}", Outcome.ANSWERED, now=NOW + timedelta(seconds=ended))

    await database.run(write)


def differences(session: Session) -> list[tuple[DifferenceKind, str]]:
    return sorted((one.kind, one.channel_id) for one in ledger.differences(session))


def calls(session: Session) -> Sequence[Call]:
    return session.scalars(select(Call).order_by(Call.started_at)).all()


async def test_what_was_read_is_stored_once_whoever_reads(database: Database) -> None:
    await read(database, event("reached", "1.1", 0), event("ended", "1.1", 9))
    await read(database, event("reached", "1.2", 0))  # another worker, from the same place
    assert await database.read(lambda session: session.scalar(select(func.count()).select_from(CallRecord))) == 1
    await read(database, event("reached", "1.2", 0), before=100)
    assert await database.read(lambda session: session.scalar(select(func.count()).select_from(CallRecord))) == 2


async def test_many_calls_are_compared_in_batches(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "BATCH", 2)
    events = []
    for number in range(7):
        events += [event("reached", f"1.{number}", 0), event("ended", f"1.{number}", 10)]
        if number != 3:
            await called(database, f"1.{number}", begun=0, ended=10 if number != 4 else 30)
    await called(database, "1.9", begun=0, ended=10)
    await read(database, *events)
    expected = [(DifferenceKind.ENDS_APART, "1.4"), (DifferenceKind.NOT_IN_RECORDS, "1.9")]
    assert await database.read(differences) == sorted([*expected, (DifferenceKind.NOT_IN_LEDGER, "1.3")])
    assert [await settled(database) for _ in range(5)] == [2, 2, 2, 1, 0]
    assert await database.read(differences) == expected


async def test_a_call_that_has_just_ended_or_goes_on_is_no_difference(database: Database) -> None:
    await called(database, "1.0", begun=0, ended=10)
    await called(database, "1.1", begun=0, ended=7195)
    await called(database, "1.2", begun=7190, ended=None)
    await read(database, event("reached", "1.0", 0), event("ended", "1.0", 10))
    assert await database.read(differences) == []
    assert await settled(database) == 1


@pytest.mark.parametrize(
    ("events", "outcome"),
    [
        ([event("reached", "1.1", 0)], Outcome.ABANDONED_GREETING),
        ([event("reached", "1.1", 0), event("recording", "1.1", 5, fallback=True)], Outcome.FALLBACK),
        ([], Outcome.ABANDONED_FALLBACK),
    ],
)
async def test_a_call_that_only_asterisk_knows_gets_its_row(
    database: Database, events: list[ChannelEvent], outcome: Outcome
) -> None:
    last = event("ended", "1.1", 9, fallback=outcome is not Outcome.ABANDONED_GREETING)
    await read(database, *events, last)
    assert await settled(database) == 1
    [call] = await database.read(calls)
    assert (call.outcome, call.caller, call.ended_at) == (outcome, "+390805551234", NOW + timedelta(seconds=9))
    assert await database.read(differences) == []


async def test_a_second_row_of_a_call_and_a_row_without_outcome_are_found(database: Database) -> None:
    await called(database, "1.1", begun=0, ended=10)
    await called(database, "1.2", begun=1, ended=10)
    await called(database, "1.3", begun=2, ended=10)

    def spoil(session: Session) -> None:
        session.execute(update(Call).where(Call.channel_id == "1.2").values(channel_id="1.1"))
        session.execute(update(Call).where(Call.channel_id == "1.3").values(outcome=None))

    await database.run(spoil)
    expected = [(DifferenceKind.NO_OUTCOME, "1.3"), (DifferenceKind.TWICE, "1.1")]
    assert await database.read(differences) == expected
    assert await database.read(ledger.without_outcome) == ["call-1.3"]
