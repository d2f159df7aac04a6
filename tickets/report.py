"""The figures of service levels: how many requests there were, and which promises were kept.

A month's figures are those of the requests received in it. What a promise came to is judged when the report is made, so
a report of a month that is over changes only by what was still open then, or was opened again.
"""

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from schedules.promises import Clock
from tickets.models import Company, Request, RequestPromise, Status


class Verdict(enum.StrEnum):
    """What a promise has come to."""

    KEPT = "kept"
    """Done by the due time."""
    MISSED = "missed"
    """Done later, or not done and the due time has passed."""
    PENDING = "pending"
    """Not done, and not due yet; or its clock stands still."""
    DROPPED = "dropped"
    """The request was cancelled or merged into another."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One request of the month, with what its promises have come to."""

    request_id: int
    company: str | None
    channel: str
    level: int
    call_id: str | None
    status: Status
    verdicts: dict[Clock, Verdict]


@dataclass(slots=True)
class RequestFigures:
    """The requests of a group, counted."""

    received: int = 0
    solved: int = 0
    cancelled: int = 0
    still_open: int = 0
    promises: dict[Clock, dict[Verdict, int]] = field(
        default_factory=lambda: {clock: dict.fromkeys(Verdict, 0) for clock in Clock}
    )

    def share(self, clock: Clock) -> float | None:
        """Kept, of those that are kept or missed, 0 to 1; None where there is none of either."""
        kept, missed = self.promises[clock][Verdict.KEPT], self.promises[clock][Verdict.MISSED]
        return kept / (kept + missed) if kept + missed else None


def request_facts(session: Session, begin: datetime, end: datetime, *, now: datetime) -> list[Fact]:
    """The requests received from `begin` on and before `end`, in order; those of synthetic calls are left out."""
    within = (Request.id > 0, Request.received_at >= begin, Request.received_at < end)
    verdicts: dict[int, dict[Clock, Verdict]] = {}
    promises = select(
        RequestPromise.request_id,
        RequestPromise.clock,
        RequestPromise.due_at,
        RequestPromise.met_at,
        RequestPromise.dropped_at,
        RequestPromise.breached_at,
        RequestPromise.paused_since,
    ).join(Request, Request.id == RequestPromise.request_id)
    for row in session.execute(promises.where(*within)):
        stands = row.paused_since is not None and row.breached_at is None
        verdicts.setdefault(row.request_id, {})[row.clock] = judge(
            row.due_at, row.met_at, row.dropped_at, now=now, stands_still=stands
        )
    requests = (
        select(
            Request.id,
            Request.channel,
            Request.level,
            Request.call_id,
            Request.status,
            Request.pickup_due_at,
            Request.picked_up_at,
            Company.name.label("company"),
        )
        .outerjoin(Company, Company.id == Request.company_id)
        .where(*within)
        .order_by(Request.received_at, Request.id)
    )
    facts = []
    for one in session.execute(requests):
        found = verdicts.get(one.id, {})
        if Clock.PICKUP not in found and one.pickup_due_at is not None:  # opened by a version without promises' rows
            found = {**found, Clock.PICKUP: judge(one.pickup_due_at, one.picked_up_at, None, now=now)}
        facts.append(Fact(one.id, one.company, one.channel.value, one.level, one.call_id, one.status, found))
    return facts


def judge(
    due_at: datetime,
    met_at: datetime | None,
    dropped_at: datetime | None,
    *,
    now: datetime,
    stands_still: bool = False,
) -> Verdict:
    """What a promise has come to at the time `now`."""
    if met_at is not None:
        return Verdict.KEPT if met_at <= due_at else Verdict.MISSED
    if dropped_at is not None:
        return Verdict.DROPPED if dropped_at <= due_at else Verdict.MISSED
    return Verdict.PENDING if stands_still or now <= due_at else Verdict.MISSED


def count(facts: Iterable[Fact], group: Callable[[Fact], str]) -> dict[str, RequestFigures]:
    """The figures of each group, by its name."""
    groups: dict[str, RequestFigures] = {}
    for fact in facts:
        figures = groups.setdefault(group(fact), RequestFigures())
        figures.received += 1
        if fact.status in (Status.RESOLVED, Status.CLOSED):
            figures.solved += 1
        elif fact.status == Status.CANCELLED:
            figures.cancelled += 1
        else:
            figures.still_open += 1
        for clock, verdict in fact.verdicts.items():
            figures.promises[clock][verdict] += 1
    return dict(sorted(groups.items()))
