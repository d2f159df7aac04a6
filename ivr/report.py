"""The figures of calls for the service-level report: volumes, who gave up, and how long callers waited."""

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import null, select
from sqlalchemy.orm import Session

from ivr.models import ABANDONED, Call, Offer, Outcome
from tickets.models import SYNTHETIC, Company, Contact

LEFT_A_MESSAGE = frozenset({Outcome.VOICEMAIL, Outcome.FALLBACK, Outcome.CALLBACK})
_GAVE_UP = frozenset({*ABANDONED, Outcome.ABANDONED_FALLBACK})
_BATCH = 500
"""Ids in one statement."""


class ReportSettings(BaseModel):
    """What counts as short, and as answered in time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    short_seconds: float = Field(default=5.0, ge=0, le=120)
    """Who hangs up sooner is counted apart: a wrong number, a change of mind."""
    answered_within_seconds: float = Field(default=20.0, gt=0, le=3600)
    """Answered in time: within so many seconds of joining the waiting line."""


@dataclass(frozen=True, slots=True)
class CallFact:
    """One call of the month. `waited` is in seconds: in the waiting line, or since its beginning without one.

    `code` is the outcome code of its last talk; None where nobody talked.
    """

    line: str
    company: str | None
    outcome: Outcome | None
    queued: bool
    waited: float | None
    code: str | None = None


@dataclass(slots=True)
class CallFigures:
    """The calls of a group, counted."""

    calls: int = 0
    answered: int = 0
    answered_in_time: int = 0
    gave_up_waiting: int = 0
    gave_up_before: int = 0
    """In the greeting, the menu or the message, without having waited for an agent."""
    gave_up_short: int = 0
    left_a_message: int = 0
    other: int = 0
    """Told how a request stands, sent a fax, turned away, failed, lost, or still under way."""
    waits: list[float] = field(default_factory=list)
    """Seconds that the callers waited who were answered."""

    @property
    def service_level(self) -> float | None:
        """Answered in time, of those answered or gone while waiting, without short ones; 0 to 1."""
        counted = self.answered + self.gave_up_waiting
        return self.answered_in_time / counted if counted else None

    @property
    def abandoned(self) -> float | None:
        """Gone while waiting, of those answered or gone while waiting, without short ones; 0 to 1."""
        counted = self.answered + self.gave_up_waiting
        return self.gave_up_waiting / counted if counted else None

    @property
    def mean_wait(self) -> float | None:
        """Seconds."""
        return sum(self.waits) / len(self.waits) if self.waits else None

    def wait(self, share: float) -> float | None:
        """The wait that this share of the answered callers did not exceed, in seconds (nearest rank)."""
        return nearest_rank(sorted(self.waits), share)


def nearest_rank(ordered: Sequence[float], share: float) -> float | None:
    """The value that this share does not exceed (nearest rank); None of nothing."""
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1] if ordered else None


_LAST_CODE = (
    select(Offer.code)
    .where(Offer.call_id == Call.id, Offer.code.is_not(None))
    .order_by(Offer.offered_at.desc())
    .limit(1)
    .correlate(Call)
    .scalar_subquery()
)


def call_facts(session: Session, begin: datetime, end: datetime, *, companies: bool = True) -> list[CallFact]:
    """The calls that began from `begin` on and before `end`; synthetic ones and our own are left out.

    Without `companies` only what is counted is read: neither whose they were nor the outcome that was told.
    """
    times = (Call.started_at, Call.queued_at, Call.answered_at, Call.ended_at)
    company, code = (Company.name, _LAST_CODE) if companies else (null(), null())
    query = (
        select(Call.line, Call.outcome, *times, company.label("company"), code.label("code"))
        .where(Call.started_at >= begin, Call.started_at < end, Call.id < SYNTHETIC, Call.outbound.is_(False))
        .order_by(Call.started_at)
    )
    if companies:
        query = query.outerjoin(Contact, Contact.id == Call.contact_id).outerjoin(
            Company, Company.id == Contact.company_id
        )
    rows = session.execute(query)
    facts = []
    for row in rows:
        until = row.answered_at or row.ended_at
        waited = (until - (row.queued_at or row.started_at)).total_seconds() if until is not None else None
        facts.append(CallFact(row.line, row.company, row.outcome, row.queued_at is not None, waited, row.code))
    return facts


def count_all(facts: Iterable[CallFact], settings: ReportSettings) -> CallFigures:
    """The figures of all of them together."""
    return count_calls(facts, settings, lambda _: "").get("") or CallFigures()


def count_calls(
    facts: Iterable[CallFact], settings: ReportSettings, group: Callable[[CallFact], str]
) -> dict[str, CallFigures]:
    """The figures of each group, by its name."""
    groups: dict[str, CallFigures] = {}
    for fact in facts:
        figures = groups.setdefault(group(fact), CallFigures())
        figures.calls += 1
        if fact.outcome is Outcome.ANSWERED:
            figures.answered += 1
            waited = max(fact.waited or 0.0, 0.0)
            figures.waits.append(waited)
            figures.answered_in_time += waited <= settings.answered_within_seconds
        elif fact.outcome in _GAVE_UP:
            if fact.waited is not None and fact.waited < settings.short_seconds:
                figures.gave_up_short += 1
            elif fact.outcome is Outcome.ABANDONED_QUEUE:
                figures.gave_up_waiting += 1
            else:
                figures.gave_up_before += 1
        elif fact.outcome in LEFT_A_MESSAGE:
            figures.left_a_message += 1
        else:
            figures.other += 1
    return dict(sorted(groups.items()))


def lines_of_calls(session: Session, call_ids: Collection[str]) -> dict[str, str]:
    """The dialled number of each of these calls."""
    ids = sorted(call_ids)
    lines: dict[str, str] = {}
    for start in range(0, len(ids), _BATCH):
        rows = session.execute(select(Call.id, Call.line).where(Call.id.in_(ids[start : start + _BATCH])))
        lines.update((row.id, row.line) for row in rows)
    return lines
