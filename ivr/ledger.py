"""The ledger: every call that reached the line has one row with one outcome, as Asterisk's own records bear out.

Asterisk's records (`ivr.call_records`) are read on as they grow. A call that only Asterisk knows, since the dialplan
had it while no service was there, gets its row from them; what else does not agree is a difference, which is explained.
"""

import asyncio
import enum
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Row, func, or_, select, tuple_, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from ivr import operations
from ivr.ari import Ari
from ivr.call_records import ChannelEvent, Piece, Position, read_on
from ivr.config import CallsConfig
from ivr.flow.message import id_of_fallback
from ivr.models import OF_DIALPLAN, Call, CallRecord, CallRecordFile, Outcome
from ivr.synthetic_call import is_synthetic
from tickets.alarms import Alarms, Words
from tickets.database import Database, announce
from tickets.models import SYNTHETIC
from tickets.phone_numbers import parse_phone_number
from tickets.queries import identify_caller

log = structlog.get_logger()

SETTLE_SECONDS = 30
"""A call is compared when it ended so long ago. Longer than a transaction is tried again (`Database.patience`): until
then its row may still be on its way."""
APART_SECONDS = 5
"""Two ends of one call may be so far apart: the service hears of a hangup a moment after Asterisk."""
BATCH = 500
"""So many calls are looked up and compared at a time."""
WATCHED_DAYS = 1
"""The service itself compares the calls of so many days; the command compares all that it is asked for."""

WITHOUT_OUTCOME = "call_without_outcome"
DIFFERENCE = "ledger_difference"
"""Kinds of alarms."""

_ASTERISK_ID = re.compile(r".*[0-9]{9,11}\.[0-9]+")
"""The unique id of a channel that came in: the second when it did, and a counter (Asterisk, `ast_channel_alloc`)."""


# ------------------------------------------------------------------------------------------------------- differences


class DifferenceKind(enum.StrEnum):
    """How a row and Asterisk's record of the same call may differ."""

    NO_OUTCOME = "no_outcome"
    STILL_OPEN = "still_open"
    NOT_IN_RECORDS = "not_in_records"
    NOT_IN_LEDGER = "not_in_ledger"
    ENDS_APART = "ends_apart"
    END_UNWRITTEN = "end_unwritten"
    TWICE = "twice"


@dataclass(frozen=True, slots=True)
class Difference:
    """One call on which ledger and records do not agree."""

    kind: DifferenceKind
    started_at: datetime
    call_id: str | None
    """None when the ledger does not know the call."""
    channel_id: str
    line: str
    caller: str | None
    why: str
    """In words for the operator."""
    explained: bool
    """Whether it is known how it came about, so that nothing is to be done."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of Asterisk's records as a whole. Without records nothing is compared."""

    first: datetime | None
    """When the oldest call in them began: earlier calls are not compared."""
    read_at: datetime | None
    """When they had been read to their end; calls that ended later are not compared yet."""
    unreadable: int
    """Lines that were no records."""


def difference(row: Row[*tuple[Any, ...]], known: Known) -> Difference | None:
    """Compare a call's row with its record, both as `_CALLS` gives them; None when they agree."""

    def differs(kind: DifferenceKind, why: str, *, explained: bool = False) -> Difference:
        return Difference(kind, row.started_at, row.id, row.channel_id, row.line, row.caller, why, explained)

    if row.ended_at is not None and row.outcome is None:
        return differs(
            DifferenceKind.NO_OUTCOME,
            "its row was closed without an outcome: a fault of the program or a change by hand",
        )
    if known.first is None or known.read_at is None or row.started_at < known.first:
        return None
    settled = known.read_at - timedelta(seconds=SETTLE_SECONDS)
    if row.outcome in OF_DIALPLAN and row.record_started_at and not row.settled_at:
        return None  # the dialplan has it, or its times are still to come from the record
    if row.ended_at is None:
        if row.record_ended_at is not None and row.record_ended_at < settled:
            return differs(
                DifferenceKind.STILL_OPEN,
                f"Asterisk ended it at {_time(row.record_ended_at)}, but its row is open: a service that is "
                "connected to Asterisk closes it within a minute",
            )
        return None
    if row.ended_at >= settled:
        return None
    if row.record_started_at is None:
        if row.outcome is Outcome.FALLBACK and not _ASTERISK_ID.fullmatch(row.channel_id):
            return differs(
                DifferenceKind.NOT_IN_RECORDS,
                "it was made from a file in the folder of the dialplan's recordings whose name is not the dialplan's",
                explained=True,
            )
        return differs(
            DifferenceKind.NOT_IN_RECORDS,
            "Asterisk has no record of it: records were switched off, or their file was lost before it was read",
        )
    if row.end_unwritten:
        return differs(
            DifferenceKind.END_UNWRITTEN,
            "Asterisk wrote no end of it: it was restarted or died during the call",
            explained=True,
        )
    if row.record_ended_at is None:
        return differs(
            DifferenceKind.ENDS_APART, f"its row was closed at {_time(row.ended_at)}, but Asterisk has not ended it"
        )
    apart = (row.ended_at - row.record_ended_at).total_seconds()
    if abs(apart) <= APART_SECONDS:
        return None
    if row.outcome is Outcome.LOST:
        return differs(DifferenceKind.ENDS_APART, row.outcome_note or "it counted as lost", explained=True)
    words = f"its row was closed {abs(apart):.0f} s {'after' if apart > 0 else 'before'} Asterisk had ended it"
    note = row.outcome_note if apart > 0 else None
    return differs(DifferenceKind.ENDS_APART, f"{words}: {note}" if note else words, explained=note is not None)


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


_CALLS = (
    select(
        Call.id,
        Call.channel_id,
        Call.line,
        Call.caller,
        Call.started_at,
        Call.ended_at,
        Call.outcome,
        Call.outcome_note,
        CallRecord.started_at.label("record_started_at"),
        CallRecord.ended_at.label("record_ended_at"),
        CallRecord.end_unwritten,
        CallRecord.settled_at,
    )
    .outerjoin(CallRecord, CallRecord.channel_id == Call.channel_id)
    .where(Call.id < SYNTHETIC, Call.outbound.is_(False))
    .order_by(Call.started_at, Call.id)
)


def known_records(session: Session) -> Known:
    """What is known of Asterisk's records as a whole."""
    first = session.scalar(select(func.min(CallRecord.started_at)))
    read_at, unreadable = session.execute(
        select(func.max(CallRecordFile.read_at), func.coalesce(func.sum(CallRecordFile.unreadable), 0))
    ).one()
    return Known(first, read_at, unreadable)


def differences(session: Session, since: datetime | None = None, until: datetime | None = None) -> Iterator[Difference]:
    """Every difference of the calls that began in a span of time, the ledger's first; compared in batches."""
    known = known_records(session)
    last: tuple[datetime, str] | None = None
    while True:
        batch = _CALLS.where(*_span(Call.started_at, since, until))
        if last is not None:
            batch = batch.where(tuple_(Call.started_at, Call.id) > last)
        rows = session.execute(batch.limit(BATCH)).all()
        for row in rows:
            if (found := difference(row, known)) is not None:
                yield found
        if len(rows) < BATCH:
            break
        last = rows[-1].started_at, rows[-1].id
    yield from _twice(session, since, until)
    if known.read_at is not None:
        yield from _not_in_ledger(session, since, until, known.read_at - timedelta(seconds=SETTLE_SECONDS))


def _twice(session: Session, since: datetime | None, until: datetime | None) -> Iterator[Difference]:
    twice = (
        select(
            func.min(Call.id), Call.channel_id, func.min(Call.started_at), func.min(Call.line), func.min(Call.caller)
        )
        .where(*_span(Call.started_at, since, until))
        .group_by(Call.channel_id)
        .having(func.count() > 1)
    )
    for call_id, channel_id, started_at, line, caller in session.execute(twice):
        why = "there is more than one row of it: a fault of the program"
        yield Difference(DifferenceKind.TWICE, started_at, call_id, channel_id, line, caller, why, explained=False)


def _not_in_ledger(
    session: Session, since: datetime | None, until: datetime | None, settled: datetime
) -> Iterator[Difference]:
    # A record that was settled has its row: only the others are asked for, by their index.
    missing = (
        select(CallRecord)
        .where(
            CallRecord.settled_at.is_(None),
            CallRecord.ended_at < settled,
            ~select(Call.id).where(Call.channel_id == CallRecord.channel_id).exists(),
            *_span(CallRecord.started_at, since, until),
        )
        .order_by(CallRecord.started_at)
    )
    for record in session.scalars(missing).yield_per(BATCH):
        yield Difference(
            DifferenceKind.NOT_IN_LEDGER,
            record.started_at,
            None,
            record.channel_id,
            record.line,
            record.caller,
            "the dialplan had it while no service was there; it gets its row when the service runs",
            explained=False,
        )


def _span(column: Any, since: datetime | None, until: datetime | None) -> list[Any]:
    return [*([] if since is None else [column >= since]), *([] if until is None else [column < until])]


def count_calls(session: Session, since: datetime | None, until: datetime | None) -> dict[Outcome | None, int]:
    """How many calls of a span ended how; None: they have no outcome yet."""
    counted = select(Call.outcome, func.count())
    counted = counted.where(Call.id < SYNTHETIC, Call.outbound.is_(False), *_span(Call.started_at, since, until))
    counted = counted.group_by(Call.outcome)
    return {row[0]: row[1] for row in session.execute(counted)}


def count_records(session: Session, since: datetime | None, until: datetime | None) -> int:
    """How many calls of a span Asterisk has recorded."""
    counted = select(func.count()).select_from(CallRecord).where(*_span(CallRecord.started_at, since, until))
    return session.scalar(counted) or 0


def without_outcome(session: Session) -> Sequence[str]:
    """The ids of calls that ended without an outcome; some, if there are many."""
    ended = select(Call.id).where(Call.outcome.is_(None), Call.ended_at.is_not(None)).order_by(Call.ended_at)
    return session.scalars(ended.limit(BATCH)).all()


# --------------------------------------------------------------------------------------------------------- operations


def position(session: Session, path: str) -> Position:
    """How far a file has been read."""
    file = session.get(CallRecordFile, path)
    return Position() if file is None else Position(file.offset, bytes.fromhex(file.tail))


def store(session: Session, path: str, before: Position, piece: Piece, *, now: datetime) -> None:
    """Keep what was read, together with how far: nothing is read twice, and nothing passed over.

    Does nothing when another worker has read on meanwhile.
    """
    file = _file(session, path, now=now)
    if Position(file.offset, bytes.fromhex(file.tail)) != before:
        return
    file.offset, file.tail = piece.position.offset, piece.position.tail.hex()
    file.unreadable += piece.unreadable
    events = [event for event in piece.events if not is_synthetic(event.channel_id)]
    ids = list({event.channel_id for event in events})
    records: dict[str, CallRecord] = {}
    for first in range(0, len(ids), BATCH):
        some = select(CallRecord).where(CallRecord.channel_id.in_(ids[first : first + BATCH]))
        records |= {record.channel_id: record for record in session.scalars(some)}
    for event in events:
        record = records.get(event.channel_id)
        if record is None:
            record = records[event.channel_id] = _record(event)
            session.add(record)
        _note(record, event)


def _record(event: ChannelEvent) -> CallRecord:
    return CallRecord(
        channel_id=event.channel_id, line=event.line, fallback=False, started_at=event.at, end_unwritten=False
    )


def _note(record: CallRecord, event: ChannelEvent) -> None:
    record.fallback = record.fallback or event.fallback
    if record.settled_at is None:
        record.caller = parse_phone_number(event.caller).best() or record.caller
    if event.kind == "recording":
        record.recording_at = event.at
    elif event.kind == "ended":
        record.ended_at, record.end_unwritten = event.at, False


def _file(session: Session, path: str, *, now: datetime) -> CallRecordFile:
    file = session.get(CallRecordFile, path, with_for_update=True)
    if file is None:
        file = CallRecordFile(path=path, offset=0, tail="", unreadable=0, read_at=now)
        session.add(file)
    return file


def all_read(session: Session, path: str, *, now: datetime) -> None:
    """Note that a file was read to its end at `now`; a clock that was put back changes nothing."""
    file = _file(session, path, now=now)
    file.read_at = max(file.read_at, now)


_UNSETTLED = (
    select(CallRecord, Call)
    .outerjoin(Call, Call.channel_id == CallRecord.channel_id)
    .where(
        CallRecord.settled_at.is_(None),
        CallRecord.ended_at.is_not(None),
        or_(Call.id.is_(None), Call.ended_at.is_not(None)),
    )
    .order_by(CallRecord.started_at)
)


def settle(session: Session, config: CallsConfig, app: str, *, now: datetime) -> int:
    """Compare the calls that Asterisk has ended with their rows, and write the rows that are missing; at most BATCH.

    A call that the dialplan had in hand gets its times from Asterisk, and as outcome what it did there. Calls whose row
    is still open wait. Returns how many were settled.
    """
    settled = 0
    ended = _UNSETTLED.where(CallRecord.ended_at < now - timedelta(seconds=SETTLE_SECONDS))
    for record, call in session.execute(ended.limit(BATCH)).all():
        if call is None:
            try:
                with session.begin_nested():
                    _write_row(session, record, config, app)
            except IntegrityError:
                continue  # whoever files its message has written it this moment: settled the next time
        elif call.outcome in OF_DIALPLAN:
            call.started_at, call.ended_at = min(call.started_at, record.started_at), record.ended_at
            abandoned = record.recording_at is None and call.message_id is None
            if abandoned and call.outcome is Outcome.FALLBACK:
                call.outcome = Outcome.ABANDONED_FALLBACK
                if call.caller is not None and not call.id.startswith(SYNTHETIC):
                    call.to_do_since = call.ended_at
                    announce(session, operations.TO_DO, call.id)
        record.settled_at, record.caller = now, None
        settled += 1
    return settled


def _write_row(session: Session, record: CallRecord, config: CallsConfig, app: str) -> None:
    match = identify_caller(session, record.caller)
    call_id = id_of_fallback(record.channel_id)
    operations.begin_call(
        session,
        call_id=call_id,
        app=app,
        channel_id=record.channel_id,
        line=record.line,
        language=(config.line(record.line) or config.lines[0]).language,
        caller=record.caller,
        contact_id=match.contact_id,
        now=record.started_at,
    )
    outcome, note = _outcome_of_unseen(record)
    operations.end_call(session, call_id, outcome, note=note, now=record.ended_at or record.started_at)


def _outcome_of_unseen(record: CallRecord) -> tuple[Outcome, str]:
    """How a call ended that no service has seen, and why it has not."""
    if record.recording_at is not None:
        return Outcome.FALLBACK, "recorded by the dialplan while no service took the call"
    if record.end_unwritten:
        return Outcome.FAILED, "Asterisk was restarted or died before any service took the call"
    if record.fallback:
        return Outcome.ABANDONED_FALLBACK, "no service took the call; the caller hung up in the dialplan's greeting"
    return Outcome.ABANDONED_GREETING, "the caller hung up before the service had taken the call"


def records_under_way(session: Session, before: datetime) -> Sequence[str]:
    """The channels of calls that began before a time and of which Asterisk has written no end."""
    open_ones = select(CallRecord.channel_id).where(
        CallRecord.settled_at.is_(None), CallRecord.ended_at.is_(None), CallRecord.started_at < before
    )
    return session.scalars(open_ones).all()


def end_unwritten(session: Session, channel_ids: Sequence[str], *, now: datetime) -> None:
    """Asterisk has no such channels, and has written no end of them: it was restarted or died."""
    for first in range(0, len(channel_ids), BATCH):
        session.execute(
            update(CallRecord)
            .where(CallRecord.channel_id.in_(channel_ids[first : first + BATCH]), CallRecord.ended_at.is_(None))
            .values(ended_at=now, end_unwritten=True)
            .execution_options(synchronize_session=False)
        )


# ------------------------------------------------------------------------------------------------------------- at work


class Ledger:
    """Keeps the ledger of a running service; run by the clock, by one worker at a time.

    `path` is the file of Asterisk's records as this service sees it. Without it nothing is compared, and only calls
    without an outcome sound an alarm.
    """

    def __init__(
        self,
        path: Path | None,
        config: CallsConfig,
        *,
        database: Database,
        ari: Ari,
        alarms: Alarms,
        now: Callable[[], datetime],
    ) -> None:
        self.path, self.config = path, config
        self.database, self.ari, self.alarms, self.now = database, ari, alarms, now

    async def read(self) -> None:
        """Read on in Asterisk's records, and give the calls that only Asterisk knows their rows."""
        if self.path is None:
            return
        name = str(self.path)
        while True:
            begun = self.now()
            before = await self.database.read(position, name)
            piece = await asyncio.to_thread(read_on, self.path, before)
            if piece is None:
                break
            if piece.lost:
                log.warning("Asterisk's records were rotated away before they were read: read again from the oldest")
            if piece.unreadable:
                log.warning("lines among Asterisk's records that are none", lines=piece.unreadable)
            await self.database.run(store, name, before, piece, now=begun)
        await self.database.run(all_read, name, now=begun)
        while await self.database.run(settle, self.config, self.ari.app, now=self.now()) == BATCH:
            pass

    async def compare(self) -> None:
        """Compare the calls of the last day with Asterisk's records; what differs and is not explained is an alarm."""
        if self.path is not None:
            await self._end_lost()
        missing = await self.database.read(without_outcome)
        if missing:
            await self.alarms.sound(
                WITHOUT_OUTCOME,
                Words(
                    it=f"{len(missing)} chiamate sono finite senza esito: {', '.join(missing[:5])}",
                    en=f"{len(missing)} calls ended without an outcome: {', '.join(missing[:5])}",
                ),
            )
        else:
            await self.alarms.end(WITHOUT_OUTCOME)
        since = self.now() - timedelta(days=WATCHED_DAYS)
        unexplained = [
            found
            for found in await self.database.read(lambda session: list(differences(session, since)))
            if not found.explained and found.kind is not DifferenceKind.NO_OUTCOME
        ]
        if unexplained:
            kinds = sorted({found.kind.value for found in unexplained})
            await self.alarms.sound(
                DIFFERENCE,
                Words(
                    it=f"{len(unexplained)} chiamate dell'ultimo giorno non corrispondono alle registrazioni di "
                    f"Asterisk ({', '.join(kinds)}): `centralino ledger --differences` le mostra",
                    en=f"{len(unexplained)} calls of the last day differ from Asterisk's records "
                    f"({', '.join(kinds)}): `centralino ledger --differences` shows them",
                ),
            )
        else:
            await self.alarms.end(DIFFERENCE)

    async def _end_lost(self) -> None:
        """Calls whose end Asterisk has not written, and never will: it was restarted or died."""
        if not self.ari.connected:
            return
        asked = self.now()
        under_way = await self.database.read(records_under_way, asked - timedelta(seconds=SETTLE_SECONDS))
        if not under_way:
            return
        channels = {channel.id for channel in await self.ari.channels.list()}
        if gone := [channel_id for channel_id in under_way if channel_id not in channels]:
            await self.read()  # their end may have been written meanwhile
            await self.database.run(end_unwritten, gone, now=asked)
