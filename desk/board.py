"""The wallboard: how the line stands now, and how the day has gone so far.

Figures of the day are counted once every few seconds for a process, however many screens show them; who waits and what
each agent does comes live beside them (`desk.live`).
"""

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from pydantic import BaseModel
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ivr.models import NOT_LEFT, Agent, Call, Offer, OfferResult, Presence
from ivr.queries import waiting_calls
from ivr.report import ReportSettings, call_facts, count_all, nearest_rank
from tickets.database import Database
from tickets.models import OPEN_STATUSES, Request, RequestPromise, Status
from tickets.models import SYNTHETIC as SYNTHETIC_ID
from voicemail.models import Message

FRESH_SECONDS = 3.0
"""Figures of the day are counted again after this."""
SOON = timedelta(hours=1)
"""A promise that is due within this is shown as due."""
_BATCH = 400
"""Ids in one statement."""


class BoardView(BaseModel):
    """The wallboard. Waits and rings are in seconds, shares from 0 to 1; None where nothing was counted yet."""

    at: datetime
    day: str
    """The day that is counted, in the site's time zone."""
    waiting: int
    longest_wait: float | None
    """Of those who wait now."""
    agents: dict[Presence, int]
    """How many agents are in each state."""
    calls: int
    answered: int
    answered_in_time: int
    service_level: float | None
    answered_within_seconds: float
    """What counts as answered in time: the site's target."""
    short_seconds: float
    gave_up_waiting: int
    gave_up_before: int
    gave_up_short: int
    abandoned_share: float | None
    left_a_message: int
    other: int
    wait_half: float | None
    wait_nine_of_ten: float | None
    worst_wait: float | None
    """The longest that anybody has waited today: answered, gone or waiting still."""
    ring_half: float | None
    """From the first ring at an agent's phone to the answer."""
    ring_nine_of_ten: float | None
    messages_waiting: int
    oldest_message_at: datetime | None
    promises_due: int
    """Promises that are due within an hour."""
    promises_overdue: int


@dataclass(frozen=True, slots=True)
class _Open:
    """What is left to do."""

    messages_waiting: int
    oldest_message_at: datetime | None
    promises_due: int
    promises_overdue: int


class Board:
    """Counts the figures when somebody asks, once for all who ask within a few seconds."""

    def __init__(self, database: Database, report: ReportSettings, timezone: str, now: Callable[[], datetime]) -> None:
        self.database, self.report, self.zone, self.now = database, report, ZoneInfo(timezone), now
        self._counting = asyncio.Lock()
        self._last: BoardView | None = None
        self.counted = 0
        """How often the figures were counted."""

    async def figures(self) -> BoardView:
        """The figures, at most some seconds old."""
        async with self._counting:
            now = self.now()
            if self._last is None or not timedelta(0) <= now - self._last.at < timedelta(seconds=FRESH_SECONDS):
                self._last = await self.database.read(board, self.report, self.zone, now=now)
                self.counted += 1
            return self._last


def board(session: Session, report: ReportSettings, zone: ZoneInfo, *, now: datetime) -> BoardView:
    """Count the wallboard's figures at the time `now`; the day began at midnight in `zone`."""
    midnight = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    facts = call_facts(session, midnight, now + timedelta(seconds=1), companies=False)
    figures = count_all(facts, report)
    waits = [(now - call.queued_at).total_seconds() for call in waiting_calls(session) if call.queued_at is not None]
    rings = sorted(ring_seconds(session, midnight, now))
    waited = [fact.waited for fact in facts if fact.queued and fact.waited is not None]
    return BoardView(
        at=now,
        day=f"{midnight:%Y-%m-%d}",
        waiting=len(waits),
        longest_wait=max(waits, default=None),
        agents=agents_by_state(session),
        calls=figures.calls,
        answered=figures.answered,
        answered_in_time=figures.answered_in_time,
        service_level=figures.service_level,
        answered_within_seconds=report.answered_within_seconds,
        short_seconds=report.short_seconds,
        gave_up_waiting=figures.gave_up_waiting,
        gave_up_before=figures.gave_up_before,
        gave_up_short=figures.gave_up_short,
        abandoned_share=figures.abandoned,
        left_a_message=figures.left_a_message,
        other=figures.other,
        wait_half=figures.wait(0.5),
        wait_nine_of_ten=figures.wait(0.9),
        worst_wait=max([*waited, *waits], default=None),
        ring_half=nearest_rank(rings, 0.5),
        ring_nine_of_ten=nearest_rank(rings, 0.9),
        **asdict(_open_work(session, now=now)),
    )


def agents_by_state(session: Session) -> dict[Presence, int]:
    """How many agents are in each state, also those in which nobody is; without those who have left."""
    rows = session.execute(select(Agent.presence, func.count()).where(NOT_LEFT).group_by(Agent.presence))
    counted = dict.fromkeys(Presence, 0)
    for presence, number in rows:
        counted[presence] = number
    return counted


def ring_seconds(session: Session, begin: datetime, end: datetime) -> list[float]:
    """For each offer that was answered from `begin` on and until `end`: how long the phone rang, in seconds.

    Calls that we made ourselves are left out.
    """
    rows = session.execute(
        select(Offer.call_id, Offer.offered_at, Offer.ended_at).where(
            Offer.ended_at >= begin, Offer.ended_at <= end, Offer.result == OfferResult.ANSWERED
        )
    ).all()
    # apart, since PostgreSQL would join with every call there ever was
    ids, ours = sorted({row.call_id for row in rows}), set[str]()
    for start in range(0, len(ids), _BATCH):
        some = Call.id.in_(ids[start : start + _BATCH])
        ours.update(session.scalars(select(Call.id).where(some, Call.outbound.is_(True))))
    return [
        max((ended - offered).total_seconds(), 0.0)
        for call_id, offered, ended in rows
        if ended is not None and call_id not in ours
    ]


def _open_work(session: Session, *, now: datetime) -> _Open:
    waiting, oldest = session.execute(
        select(func.count(Message.id), func.min(Message.started_at))
        .join(Request, Request.id == Message.request_id)
        .where(Request.status.in_((Status.NEW, Status.QUEUED)), Message.id < SYNTHETIC_ID)
    ).one()
    running = (
        Request.id > 0,
        Request.status.in_(OPEN_STATUSES),
        RequestPromise.met_at.is_(None),
        RequestPromise.dropped_at.is_(None),
        RequestPromise.paused_since.is_(None),
    )
    due, overdue = (
        session.scalar(
            select(func.count())
            .select_from(RequestPromise)
            .join(Request, Request.id == RequestPromise.request_id)
            .where(*running, *within)
        )
        or 0
        for within in (
            (RequestPromise.due_at > now, RequestPromise.due_at <= now + SOON),
            (RequestPromise.due_at <= now,),
        )
    )
    return _Open(waiting, oldest, due, overdue)
