"""The promises made for a request: written when it is opened, moved with it, kept or broken.

A promise is told once. It is reckoned in the hours as they were then, which are kept with it: what somebody changes in
the opening hours later is shown beside what was told, and does not change it. Only a time in which the user was asked
for something moves a due time, and so does the time in which a request counted as solved that was opened again.
"""

import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from schedules.errors import NeverOpens
from schedules.hours import Calendar
from schedules.promises import Clock, Pause, Promise, explain, explain_beside, reckon, warn_after
from tickets.models import CLOSED_STATUSES, Channel, PromiseCalendar, Request, RequestEvent, RequestPromise, Status
from tickets.promise_rules import PromiseSettings, Terms

log = structlog.get_logger()

PROMISE_MISSED = "promise_missed"
"""The kind of the event that tells of a promise that was not kept; its details name the clock."""

_MOVES = frozenset(
    {"opened", "picked_up", "put_back", "asked", "reply", "waiting", "resumed", "resolved", "closed", "reopened"}
    | {"cancelled", "merged", "called", "called_back", "escalated", "handed_back", "referred", "recalled"}
)
"""The events after which a clock may stop, stand still or go on."""
_ANSWERS = frozenset({"asked", "resolved", "closed", "called", "called_back"})
"""The events in which a person at the desk writes or speaks to the user, if it is not the system that acts."""


def promise_opened(session: Session, request: Request, terms: Terms) -> None:
    """Write what is promised for a request that is being opened, and its `pickup_due_at`.

    Nothing is promised in hours that never come. Called before the request's first event is written.
    """
    due: dict[Clock, datetime] = {}
    calendar_id = None
    for clock in Clock:
        target = terms.rules.target(clock, request.kind, request.priority, request.channel)
        # Who speaks to somebody at once is not told by when somebody will: it would be kept always, and say nothing.
        if target is None or (clock is Clock.PICKUP and request.picked_up_at is not None):
            continue
        warn = warn_after(target, share=terms.rules.warn_share, lead=terms.rules.warn_lead)
        try:
            promise = reckon(terms.calendar, request.received_at, target)
            warning = reckon(terms.calendar, request.received_at, warn)
        except NeverOpens as error:
            log.error("nothing is promised", ticket=request.ticket, clock=clock, error=str(error))
            continue
        due[clock] = promise.due_at
        if request.id < 0:  # of a synthetic call: it is told, and nobody has to keep it
            continue
        calendar_id = calendar_id or _keep_calendar(session, terms.calendar)
        session.add(
            RequestPromise(
                request_id=request.id,
                clock=clock,
                working_seconds=round(target.total_seconds()),
                warn_seconds=round(warn.total_seconds()),
                calendar_id=calendar_id,
                received_at=promise.received_at,
                counted_from=promise.counted_from,
                told_due_at=promise.due_at,
                due_at=promise.due_at,
                warn_at=warning.due_at,
            )
        )
    request.pickup_due_at = due.get(Clock.PICKUP)
    session.flush()


def promise_moved(session: Session, request: Request, event: RequestEvent) -> None:
    """Stop, hold or set going a request's clocks after a move, of which `event` tells.

    The request has been changed already. Pickup stops with the first who takes it in charge; the first answer with the
    first word of a person to the user; the solution when it is solved. All stop without a judgement when the request is
    cancelled or merged into another.
    """
    if event.kind not in _MOVES:
        return
    at = event.at
    dropped = request.status == Status.CANCELLED or request.merged_into_id is not None
    for promise in _promises(session, request.id):
        if promise.clock is Clock.SOLUTION and request.status not in CLOSED_STATUSES:
            _go_on(promise, at)
        if promise.met_at is not None or promise.dropped_at is not None:
            continue
        if promise.paused_since is not None and request.status != Status.PENDING_USER:
            _add_pause(promise, promise.paused_since, at)
        if dropped:
            promise.dropped_at = at
        elif (met_at := _met(promise.clock, request, event)) is not None:
            promise.met_at = met_at
            if met_at > promise.due_at:
                note_missed(session, request, promise, event)
        elif promise.paused_since is None and request.status == Status.PENDING_USER:
            promise.paused_since = at


def promise_targets_changed(session: Session, request: Request, rules: PromiseSettings) -> None:
    """Reckon first answer and solution again when kind or priority of a request was edited.

    Clocks that have stopped or whose time is over stay as they are, and so does the pickup, which was told to the user.
    """
    for promise in _promises(session, request.id):
        target = rules.target(promise.clock, request.kind, request.priority, request.channel)
        over = promise.met_at or promise.dropped_at or promise.breached_at
        if promise.clock is Clock.PICKUP or target is None or over:
            continue
        promise.working_seconds = round(target.total_seconds())
        promise.warn_seconds = round(warn_after(target, share=rules.warn_share, lead=rules.warn_lead).total_seconds())
        _reckon_again(promise)


def note_missed(session: Session, request: Request, promise: RequestPromise, event: RequestEvent) -> None:
    """Record once that a due time has passed without what was promised; `event` gives time and version."""
    promise.breached_at = promise.due_at
    if promise.clock is Clock.PICKUP:
        with session.no_autoflush:
            noted = session.scalars(
                select(RequestEvent.details).where(
                    RequestEvent.request_id == request.id, RequestEvent.kind == PROMISE_MISSED
                )
            ).all()
        told_now = [
            row.details
            for row in session.new
            if isinstance(row, RequestEvent) and row.request_id == request.id and row.kind == PROMISE_MISSED
        ]
        if any(details.get("clock", Clock.PICKUP) == Clock.PICKUP for details in (*noted, *told_now)):
            return
    session.add(
        RequestEvent(
            request_id=request.id,
            at=event.at,
            actor="system",
            kind=PROMISE_MISSED,
            details={"clock": promise.clock.value, "due_at": promise.due_at.isoformat()},
            version=event.version,
        )
    )


@dataclass(frozen=True, slots=True)
class Told:
    """A promise as people read it."""

    clock: Clock
    told_due_at: datetime
    due_at: datetime | None
    """None while the clock stands still: it goes on when the user has answered."""
    met_at: datetime | None
    breached_at: datetime | None
    paused_since: datetime | None
    explanation: str
    as_now: str | None
    """What it would be in the hours as they are now, where that differs."""


def promises_of(session: Session, request_id: int, calendar: Calendar | None, language: str) -> list[Told]:
    """The promises made for a request, in words; `calendar` are the hours as they are now, where they are known."""
    order = {clock: number for number, clock in enumerate(Clock)}
    told = []
    for promise in sorted(_promises(session, request_id), key=lambda one: order[one.clock]):
        then = _calendar_of(promise)
        reckoned = _as_told(promise)
        still_open = promise.met_at is None and promise.dropped_at is None
        told.append(
            Told(
                clock=promise.clock,
                told_due_at=promise.told_due_at,
                due_at=None if promise.paused_since else promise.due_at,
                met_at=promise.met_at,
                breached_at=promise.breached_at,
                paused_since=promise.paused_since,
                explanation=explain(reckoned, then, language),
                as_now=explain_beside(reckoned, _pauses(promise), calendar, language)
                if calendar is not None and still_open
                else None,
            )
        )
    return told


def explain_told(promise: RequestPromise, language: str) -> str:
    """How a promise's due time came about, in words."""
    return explain(_as_told(promise), _calendar_of(promise), language)


# --- parts of the above ----------------------------------------------------------------------------------------------


def _promises(session: Session, request_id: int) -> Sequence[RequestPromise]:
    with session.no_autoflush:  # a flush in the middle of an operation would make a version of the request
        return session.scalars(select(RequestPromise).where(RequestPromise.request_id == request_id)).all()


def _met(clock: Clock, request: Request, event: RequestEvent) -> datetime | None:
    """When what was promised was done, if it is."""
    solved = request.status in (Status.RESOLVED, Status.CLOSED)
    match clock:
        case Clock.PICKUP:
            return request.picked_up_at
        case Clock.FIRST_ANSWER:
            # By phone and in person the user hears somebody as soon as somebody has it in charge.
            spoken_to = request.channel in (Channel.PHONE, Channel.IN_PERSON) and request.picked_up_at is not None
            reached = event.kind != "called_back" or event.details.get("result") == "answered"
            answered = event.kind in _ANSWERS and event.actor != "system" and reached
            return event.at if solved or answered or (spoken_to and event.kind in ("opened", "picked_up")) else None
        case Clock.SOLUTION:
            return event.at if solved else None


def _go_on(promise: RequestPromise, at: datetime) -> None:
    """A request is open again: the time in which it counted as solved or cancelled was nobody's at the desk."""
    stopped = promise.met_at or promise.dropped_at
    if stopped is not None:
        promise.met_at = promise.dropped_at = None
        _add_pause(promise, stopped, at)


def _add_pause(promise: RequestPromise, begin: datetime, end: datetime) -> None:
    promise.paused_since = None
    if end > begin:
        # a new list: SQLAlchemy does not see what is changed inside one
        promise.pauses = [*promise.pauses, [begin.isoformat(), end.isoformat()]]
        _reckon_again(promise)
        if promise.breached_at is None and promise.warn_at > end:
            promise.warned_at = None


def _reckon_again(promise: RequestPromise) -> None:
    calendar, pauses = _calendar_of(promise), _pauses(promise)
    try:
        reckoned = reckon(calendar, promise.received_at, timedelta(seconds=promise.working_seconds), pauses)
        warning = reckon(calendar, promise.received_at, timedelta(seconds=promise.warn_seconds), pauses)
    except NeverOpens as error:  # then it is due when it was
        log.error("a promise cannot be reckoned", request=promise.request_id, error=str(error))
        return
    promise.due_at, promise.warn_at = reckoned.due_at, warning.due_at
    promise.paused_seconds = round(reckoned.paused.total_seconds())


def _as_told(promise: RequestPromise) -> Promise:
    working = timedelta(seconds=promise.working_seconds)
    try:
        return reckon(_calendar_of(promise), promise.received_at, working, _pauses(promise))
    except NeverOpens:
        return Promise(promise.received_at, promise.counted_from, working, promise.due_at)


def _pauses(promise: RequestPromise) -> list[Pause]:
    return [Pause(datetime.fromisoformat(begin), datetime.fromisoformat(end)) for begin, end in promise.pauses]


def _keep_calendar(session: Session, calendar: Calendar) -> str:
    definition: dict[str, Any] = calendar.model_dump(mode="json")
    id_ = hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()[:32]
    if session.get(PromiseCalendar, id_) is None:
        # Two may meet it first at the same time.
        insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
        session.execute(insert(PromiseCalendar).values(id=id_, definition=definition).on_conflict_do_nothing())
    return id_


def _calendar_of(promise: RequestPromise) -> Calendar:
    return _read_calendar(json.dumps(promise.calendar.definition))


@functools.lru_cache(maxsize=256)  # a site has a few, and each of them for years
def _read_calendar(definition: str) -> Calendar:
    return Calendar.model_validate_json(definition)
