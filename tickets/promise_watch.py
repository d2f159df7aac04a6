"""Looking after the promises: a warning before a due time, and word of one that has passed.

The service's clock asks every few seconds which clocks have come to their warning; each is looked after in a
transaction of its own. People are told within hours: a warning waits for the next opening, and so does the mail about a
promise that was broken at closing time.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from schedules.hours import Calendar, is_open, next_opening
from schedules.promises import Clock
from schedules.words import date_and_time
from tickets.database import announce
from tickets.models import Request, RequestEvent, RequestPromise
from tickets.notices import Notices
from tickets.promise_rules import PromiseSettings
from tickets.promises import explain_told, note_missed
from tickets.texts import clean_line

log = structlog.get_logger()

_CLOCKS = {
    "it": {Clock.PICKUP: "presa in carico", Clock.FIRST_ANSWER: "prima risposta", Clock.SOLUTION: "soluzione"},
    "en": {Clock.PICKUP: "pickup", Clock.FIRST_ANSWER: "first answer", Clock.SOLUTION: "solution"},
}


@dataclass(frozen=True, slots=True)
class Watcher:
    """Who looks after promises: the rules, the hours in which people are told, and the writer of the mails."""

    settings: PromiseSettings
    calendar: Calendar
    notices: Notices


def promises_to_look_after(session: Session, watcher: Watcher, now: datetime) -> list[tuple[int, Clock]]:
    """The promises whose due time has passed or, within hours, whose warning has come; oldest first.

    Those that stand still are left alone, and so are those of which all has been told.
    """
    passed = RequestPromise.due_at < now
    said = or_(passed, RequestPromise.warned_at.is_(None)) if is_open(watcher.calendar, now) else passed
    rows = session.execute(
        select(RequestPromise.request_id, RequestPromise.clock)
        .where(
            RequestPromise.met_at.is_(None),
            RequestPromise.dropped_at.is_(None),
            RequestPromise.breached_at.is_(None),
            RequestPromise.warn_at <= now,
            RequestPromise.paused_since.is_(None),
            said,
        )
        .order_by(RequestPromise.warn_at, RequestPromise.request_id)
    )
    return [(request_id, clock) for request_id, clock in rows]


def look_after(session: Session, request_id: int, clock: Clock, watcher: Watcher, *, now: datetime) -> str | None:
    """Warn of one promise, or note that it is broken; says which (`warned`, `missed`), None when neither is due.

    May be repeated, and by several workers at once: the request is locked, and each is done once.
    """
    # Whoever moves the request locks it first: what is read of its promises afterwards holds.
    request = session.scalar(select(Request).where(Request.id == request_id).with_for_update(of=Request))
    promise = session.get(RequestPromise, (request_id, clock))
    if request is None or promise is None:
        return None
    over = promise.met_at or promise.dropped_at or promise.breached_at or promise.paused_since
    if over or promise.warn_at > now:
        return None
    if promise.due_at < now:
        note_missed(session, request, promise, _at(request, now))
        recipients = [*_people(request, watcher.settings), *watcher.settings.supervisors]
        opening = next_opening(watcher.calendar, now) or now
        _mail(session, request, promise, "promise_missed", recipients, watcher, due=opening, now=now)
        log.warning("promise missed", ticket=request.ticket, clock=promise.clock.value)
        announce(session, "request", request.id)
        return "missed"
    if promise.warned_at is not None or not is_open(watcher.calendar, now):
        return None
    promise.warned_at = now
    recipients = _people(request, watcher.settings) or list(watcher.settings.supervisors)
    _mail(session, request, promise, "promise_due", recipients, watcher, due=now, now=now)
    announce(session, "request", request.id)
    return "warned"


def _at(request: Request, now: datetime) -> RequestEvent:
    """Time and version for an event that changes nothing of the request."""
    return RequestEvent(at=now, version=request.version)


def _people(request: Request, settings: PromiseSettings) -> list[str]:
    """Who can still keep a promise: who holds the request, else its group, else its level."""
    if request.holder is not None and request.holder in settings.agents:
        return [settings.agents[request.holder]]
    if request.group is not None and request.group.email is not None:
        return [request.group.email]
    if address := settings.levels.get(str(request.level)):
        return [address]
    return []


def _mail(
    session: Session,
    request: Request,
    promise: RequestPromise,
    kind: str,
    recipients: Iterable[str],
    watcher: Watcher,
    *,
    due: datetime,
    now: datetime,
) -> None:
    """Write the mails; they name no user and no subject, which have no place in a warning."""
    language, timezone = watcher.settings.language, watcher.notices.settings.timezone
    clock, when = _CLOCKS[language][promise.clock], date_and_time(promise.due_at, timezone, language)
    how = explain_told(promise, language)
    if language == "it":
        first = f"scaduta: {clock}" if kind == "promise_missed" else f"in scadenza: {clock}"
        subject = f"RdS {request.ticket} {first}, {when}"
        holder = request.holder or "nessuno"
        body = (
            f"RdS {request.ticket}, livello {request.level}, in carico a: {holder}.\n\n"
            f"Termine della {clock}: {when}\n({how})\n"
        )
    else:
        first = f"{clock} missed" if kind == "promise_missed" else f"{clock} due soon"
        subject = f"Request {request.ticket}: {first}, {when}"
        holder = request.holder or "nobody"
        body = (
            f"Request {request.ticket}, level {request.level}, in charge of: {holder}.\n\n"
            f"Due time of {clock}: {when}\n({how})\n"
        )
    for recipient in dict.fromkeys(recipients):
        mail = watcher.notices.mail(kind, recipient, clean_line(subject), body, now=now)
        mail.next_attempt_at = due
        session.add(mail)
        session.flush()
        announce(session, "outbox", mail.id)
