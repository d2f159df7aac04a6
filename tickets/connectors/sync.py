"""Keeping other ticket systems in step: what is told, in which order, and what becomes of what is heard.

Every change of a request leaves a row in `connector_outbox` in its own transaction (`operations.add_event`), and nobody
who works at a desk or on a phone waits for anything else. Here the rows are told, those of one request strictly one
after the other; what the other side refuses is tried again with growing pauses for about a day, and is then shown to
people, who have it tried once more or left out. What changes there is asked for again and again, and goes through the
same operations as everything else; what our lifecycle refuses is shown as a difference.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from time import monotonic
from typing import Literal

import structlog
from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session, aliased

from tickets.alarms import Alarms, Words
from tickets.attachments import AttachmentStore
from tickets.connectors import Connector, Entry, File, Outgoing, Refused, Remote, RemoteEntry, Unreachable
from tickets.database import CONNECTORS, Database, OutcomeUnknown, announce
from tickets.errors import InvalidInput, MoveRefused, NotFound, TicketsError, UnknownConnector
from tickets.lifecycle import REOPEN_WITHIN, Role
from tickets.models import (
    OPEN_STATUSES,
    Attachment,
    ConnectorChange,
    ConnectorLink,
    ConnectorState,
    DeliveryState,
    Request,
    Status,
)
from tickets.notices import Notices
from tickets.operations import SYSTEM, add_note, load_request, move_request
from tickets.outbox import MAX_ATTEMPTS, pause_after
from tickets.texts import clean_line, clean_text

log = structlog.get_logger()

FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=5), timedelta(minutes=5)
"""Between attempts to reach a system that is away; longer where it asks for more, but never above an hour."""
COMPARED_DAYS = 30
"""Requests closed longer ago are not compared any more."""
COMPARED_AT_ONCE = 200
CLAIMED = timedelta(minutes=5)
"""Who tells a change has so long: longer than all answers together may take. Then it is taken to be dead."""
TEXTS = ("text", "solution", "reason", "note")
"""Where a line of the history has what a person wrote."""
MOVES = frozenset({"escalated", "handed_back", "referred", "recalled", "merged", "linked", "unlinked", "put_back"})
"""Lines that are told as an entry also where nobody wrote anything."""

OF_A_FILE = "the file "
"""So begins what is said of a change that is refused for a file."""

Standing = Literal["in_step", "waiting", "refused", "dead", "differs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncState:
    """How one request stands with one other system."""

    connector: str
    standing: Standing
    remote_id: str | None
    """Its number there, once it is known there."""
    waiting: int
    """Changes that are still to be told."""
    since: datetime | None
    """When the oldest of them was made."""
    error: str | None
    told_at: datetime | None
    differences: Sequence[Mapping[str, str]] = ()
    """Each has `field`, `here` and `there`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standings:
    """How it stands with one other system as a whole."""

    connector: str
    waiting: int
    dead: int
    oldest: datetime | None
    away_since: datetime | None
    error: str | None
    reached_at: datetime | None
    compared_at: datetime | None
    differing: int


@dataclass(frozen=True, slots=True)
class _Due:
    id: int
    request_id: int
    attempts: int


@dataclass(frozen=True, slots=True)
class _Job:
    """One change, claimed: all that telling it needs."""

    due: _Due
    request: Outgoing
    entry: Entry
    whole: bool
    """No single change: the request is to be brought in step."""
    status: Status
    moved: bool
    """Whether this change is one of the status."""
    told_status: Status | None
    link: Remote | None
    repeated: bool
    files: Sequence[tuple[int, File]]
    """Attachments that are not there yet, with their ids."""


class Sync:
    """One connector's work. Only one process may do it at a time (`Database.alone`); claims keep two from colliding."""

    def __init__(
        self,
        database: Database,
        connector: Connector,
        notices: Notices,
        alarms: Alarms | None = None,
        files: AttachmentStore | None = None,
        *,
        connections: int = 1,
        alarm_after: timedelta = timedelta(minutes=30),
        reopen_within: timedelta = REOPEN_WITHIN,
    ) -> None:
        self.database, self.connector, self.notices, self.alarms = database, connector, notices, alarms
        self.files, self.connections, self.alarm_after = files, connections, alarm_after
        self.name, self.reopen_within = connector.name, reopen_within
        self._dead_before = True  # one of an earlier run may be open

    async def deliver(self, *, now: datetime) -> int:
        """Tell what is due, until nothing is; returns how many changes were taken. Never raises for the other side."""
        taken = 0
        state = await self.database.read(_state, self.name)
        if state.next_attempt_at is not None and now < state.next_attempt_at:
            await self._watch(state, now)
            return 0
        away, ever, began = state.away_since is not None, state.reached_at is not None, monotonic()
        while True:
            # one that was away is asked with one change first
            heads = await self.database.read(_heads, self.name, 1 if away else self.connections, now)
            if not heads:
                break
            told = await asyncio.gather(*(self._tell(head, now, began) for head in heads), return_exceptions=True)
            taken += sum(result is True for result in told)
            failures = [result for result in told if isinstance(result, BaseException)]
            unreachable = [failure for failure in failures if isinstance(failure, Unreachable)]
            if others := [failure for failure in failures if not isinstance(failure, Unreachable)]:
                raise others[0]
            if unreachable:
                state = await self.database.run(_note_away, self.name, unreachable[0], now)
                log.warning("other ticket system not reached", connector=self.name, error=str(unreachable[0]))
                await self._watch(state, now)
                return taken
            if away or not ever:
                await self._reached(now)
            away, ever = False, True
        await self._tell_of_dead()
        return taken

    async def listen(self, *, now: datetime) -> int:
        """Ask what has changed there, and take it over; returns how many requests were looked at."""
        if not self.connector.answers:
            return 0
        state = await self.database.read(_state, self.name)
        if state.next_attempt_at is not None and now < state.next_attempt_at:
            return 0
        try:
            heard = await self.connector.changes_since(state.mark)
            again = await self.database.read(_to_look_at, self.name)
            found = await self.connector.find(again) if again else {}
        except Unreachable as error:
            state = await self.database.run(_note_away, self.name, error, now)
            log.warning("other ticket system not reached", connector=self.name, error=str(error))
            await self._watch(state, now)
            return 0
        except Refused as error:
            log.warning("other ticket system refuses to tell what changed", connector=self.name, error=str(error))
            return 0
        remotes = [*heard.remotes, *(one for several in found.values() for one in several)]
        if lost := [ticket for ticket in again if not found.get(ticket)]:
            await self.database.run(_look_no_more, self.name, lost)  # the comparison shows that it is gone
        for remote in remotes:
            try:
                await self.database.run(_take_over, self.name, remote, self.notices, self.reopen_within, now=now)
            except (OperationalError, OutcomeUnknown):
                raise  # the database is away, and not this change at fault
            except (TicketsError, SQLAlchemyError, ValueError) as error:  # the comparison shows it
                log.warning("a change there is not taken over", connector=self.name, remote=remote.id, error=str(error))
        await self.database.run(_note_reached, self.name, heard.mark, now)
        if state.away_since is not None:
            await self._reached(now)
        return len(remotes)

    async def compare(self, *, now: datetime) -> list[SyncState]:
        """Compare all open requests, and those closed lately, with what the other side has; gives those that differ.

        What still waits to be told is no difference. What people wrote there and was never heard of is heard next.
        Raises `Unreachable` and `Refused`.
        """
        if not self.connector.answers:
            return []
        ours = await self.database.read(_to_compare, self.name, now - timedelta(days=COMPARED_DAYS))
        for first in range(0, len(ours), COMPARED_AT_ONCE):
            some = ours[first : first + COMPARED_AT_ONCE]
            found = await self.connector.find([ticket for _, ticket in some])
            await self.database.run(_note_differences, self.name, some, found, now)
        await self.database.run(_note_compared, self.name, now)
        return await self.database.read(differing, self.name)

    async def enrol(self, *, now: datetime) -> int:
        """Have all open requests told that the other side has never heard of, as on the day it is first connected."""
        return await self.database.run(_enrol, self.name, now)

    async def _tell(self, head: _Due, now: datetime, began: float) -> bool:
        """Tell one change; True when it was taken. Raises Unreachable."""
        # what waited for a day takes hours to be told: a claim holds from its own time on
        claimed_at = now + timedelta(seconds=monotonic() - began)
        job = await self.database.run(_claim, self.name, head, self.files, claimed_at)
        if job is None:
            return False
        try:
            remote = await self._steps(job, now)
        except Refused as error:
            await self.database.run(_note_refusal, self.name, job.due.id, error, now)
            return False
        except (Unreachable, SQLAlchemyError, OutcomeUnknown, asyncio.CancelledError):
            # not its fault: it is next again
            await asyncio.shield(self.database.run(_put_back, job.due.id, now))
            raise
        except Exception as error:  # a fault of ours, or an answer of a form that nobody has thought of
            log.exception("telling a change failed", connector=self.name, request=head.request_id)
            failed = Refused(f"telling it failed: {error!r}")
            await self.database.run(_note_refusal, self.name, job.due.id, failed, now)
            return False
        await self.database.run(_note_taken, self.name, job, remote, now)
        return True

    async def _steps(self, job: _Job, now: datetime) -> Remote:
        connector, request, entry = self.connector, job.request, job.entry
        remote, told_status = job.link, job.told_status
        made = remote is None
        if remote is None:
            found = (await connector.find([request.ticket])).get(request.ticket, ()) if connector.answers else ()
            remote = found[0] if found else await connector.create(request, entry)
            await self.database.run(_note_link, self.name, request.id, remote)
            told_status = None
        known = remote
        if entry.text:
            remote = _later(remote, await connector.worklog(known, request, entry, repeated=job.repeated))
        for number, file in job.files:
            try:
                there = await connector.attachment(known, request, entry, file, repeated=job.repeated)
            except Refused as error:
                raise Refused(f"{OF_A_FILE}{file.name!r}: {error}", error.code) from error
            await self.database.run(_note_file, self.name, request.id, number)
            remote = _later(remote, there)
        if not made and (job.whole or entry.kind == "edited"):
            remote = _later(remote, await connector.update(known, request, entry))
        if (made or job.moved) and job.status != told_status:
            remote = _later(remote, await connector.status(known, request, job.status, entry))
        return remote

    async def _reached(self, now: datetime) -> None:
        await self.database.run(_note_reached, self.name, None, now)
        if self.alarms is not None:
            await self.alarms.end("connector_away", self.name)

    async def _watch(self, state: ConnectorState, now: datetime) -> None:
        if self.alarms is None or state.away_since is None or now - state.away_since < self.alarm_after:
            return
        words = Words(
            it=f"{self.name} non si raggiunge: {state.last_error}. Richieste e chiamate vanno avanti; le modifiche "
            "restano in attesa e partono quando torna. Guarda se è in funzione e prova `centralino maximo check`.",
            en=f"{self.name} cannot be reached: {state.last_error}. Requests and calls go on; what changes is kept, "
            "and told when it is back. Look whether it runs, and try `centralino maximo check`.",
        )
        await self.alarms.sound("connector_away", words, self.name)

    async def _tell_of_dead(self) -> None:
        if self.alarms is None:
            return
        dead = await self.database.read(dead_letters, self.name)
        if not dead:
            if self._dead_before:
                await self.alarms.end("connector_refused", self.name)
            self._dead_before = False
            return
        self._dead_before = True
        first, why = dead[0][0].ticket, dead[0][1].last_error
        words = Words(
            it=f"{self.name} non accetta le modifiche di {len(dead)} richieste, la prima è {first}: {why}. "
            "`centralino maximo status` le mostra, `retry` riprova, `skip` ne salta una.",
            en=f"{self.name} does not take changes of {len(dead)} request(s), the first is {first}: {why}. "
            "`centralino maximo status` shows them, `retry` tries again, `skip` leaves one out.",
        )
        await self.alarms.sound("connector_refused", words, self.name)


def _later(before: Remote, after: Remote) -> Remote:
    """What is known now; a step that could not see a status leaves the one known before."""
    return after if after.status is not None else replace(after, status=before.status)


# --- what people see and do --------------------------------------------------------------------------------------


def sync_state(session: Session, request_id: int) -> list[SyncState]:
    """How a request stands with each of the other systems that know it, or are to hear of it."""
    links = {
        link.connector: link
        for link in session.scalars(select(ConnectorLink).where(ConnectorLink.request_id == request_id))
    }
    waiting: dict[str, list[ConnectorChange]] = {}
    for change in session.scalars(
        select(ConnectorChange).where(ConnectorChange.request_id == request_id).order_by(ConnectorChange.id)
    ):
        waiting.setdefault(change.connector, []).append(change)
    return [_standing(name, links.get(name), waiting.get(name, ())) for name in sorted(links.keys() | waiting.keys())]


def differing(session: Session, connector: str) -> list[SyncState]:
    """Requests that are not the same there, the oldest first; what waits to be told is not among them."""
    links = session.scalars(
        select(ConnectorLink).where(ConnectorLink.connector == connector).order_by(ConnectorLink.request_id)
    )
    return [_standing(connector, link, ()) for link in links if link.differences]


def dead_letters(session: Session, connector: str) -> list[tuple[Request, ConnectorChange]]:
    """Changes that the other side would not take for a day, with their requests, the oldest first."""
    found = session.execute(
        select(Request, ConnectorChange)
        .join(ConnectorChange, ConnectorChange.request_id == Request.id)
        .where(ConnectorChange.connector == connector, ConnectorChange.state == DeliveryState.DEAD)
        .order_by(ConnectorChange.id)
    )
    return [(request, change) for request, change in found]


def standings(session: Session, connectors: Sequence[str]) -> list[Standings]:
    """How it stands with each of these systems as a whole."""
    return [_standings(session, name) for name in connectors]


def _standings(session: Session, name: str) -> Standings:
    waiting, oldest = session.execute(
        select(func.count(), func.min(ConnectorChange.created_at)).where(ConnectorChange.connector == name)
    ).one()
    dead = session.scalar(
        select(func.count())
        .select_from(ConnectorChange)
        .where(ConnectorChange.connector == name, ConnectorChange.state == DeliveryState.DEAD)
    )
    state = _state(session, name)
    return Standings(
        connector=name,
        waiting=waiting,
        dead=dead or 0,
        oldest=oldest,
        away_since=state.away_since,
        error=state.last_error,
        reached_at=state.reached_at,
        compared_at=state.compared_at,
        differing=len(differing(session, name)),
    )


def retry(session: Session, connector: str, *, request_id: int | None = None, now: datetime) -> int:
    """Have what was refused tried again at once: of one request, or of all; returns of how many changes.

    Raises `UnknownConnector`, since nobody would try it.
    """
    _refuse_unknown(session, connector)
    which = [ConnectorChange.connector == connector, ConnectorChange.refusals > 0]
    if request_id is not None:
        which.append(ConnectorChange.request_id == request_id)
    tried = session.scalars(
        update(ConnectorChange)
        .where(*which)
        .values(state=DeliveryState.PENDING, refusals=0, next_attempt_at=now)
        .returning(ConnectorChange.request_id)
    ).all()
    for known in set(tried):
        announce(session, "request", known)
    return len(tried)


def skip(session: Session, connector: str, request_id: int) -> None:
    """Leave the refused change of a request out, so that its later ones are told; it is shown as a difference then.

    If it was refused for a file, that file is left out as well, and the next ones are told with the next change.
    Raises `NotFound` when none was refused, `UnknownConnector`.
    """
    _refuse_unknown(session, connector)
    change = _first_change(session, connector, request_id)
    if change is None or change.refusals == 0:
        raise NotFound(f"{connector} has refused no change of this request")
    link = session.get(ConnectorLink, (connector, request_id))
    if link is not None:
        told = change.event.kind if change.event else "whole"
        if (change.last_error or "").startswith(OF_A_FILE):  # else the next change would be refused for it again
            untold = select(func.min(Attachment.id)).where(
                Attachment.request_id == request_id, Attachment.id > link.told_file
            )
            link.told_file = session.scalar(untold) or link.told_file
        _differ(link, {"field": told, "here": change.status.value, "there": change.last_error or ""})
    session.delete(change)
    announce(session, "request", request_id)


def tell_again(session: Session, connector: str, request_id: int, *, now: datetime) -> None:
    """Bring a whole request in step: all fields and the status are told as they are now.

    Raises `NotFound`, `UnknownConnector`.
    """
    _refuse_unknown(session, connector)
    _tell_whole(session, connector, request_id, now=now)


def _tell_whole(session: Session, connector: str, request_id: int, *, now: datetime) -> None:
    request = session.get(Request, request_id)
    if request is None:
        raise NotFound(f"there is no request with the id {request_id}")
    session.add(
        ConnectorChange(
            connector=connector,
            request_id=request_id,
            event_id=None,
            status=request.status,
            created_at=now,
            next_attempt_at=now,
        )
    )
    announce(session, "request", request_id)


def _refuse_unknown(session: Session, connector: str) -> None:
    known = session.info.get(CONNECTORS, ())
    if connector not in known:
        there = f"they name {', '.join(known)}" if known else "they name none"
        raise UnknownConnector(
            f"the settings name no other ticket system {connector!r}, {there}: see [maximo] and [[webhooks]] in "
            "docs/settings.md"
        )


def _standing(name: str, link: ConnectorLink | None, changes: Sequence[ConnectorChange]) -> SyncState:
    head = changes[0] if changes else None
    standing: Standing = "in_step"
    if head is not None and head.state == DeliveryState.DEAD:
        standing = "dead"
    elif head is not None:
        standing = "refused" if head.refusals else "waiting"
    elif link is not None and link.differences:
        standing = "differs"
    return SyncState(
        connector=name,
        standing=standing,
        remote_id=link.remote_id if link else None,
        waiting=len(changes),
        since=head.created_at if head else None,
        error=head.last_error if head else None,
        told_at=link.told_at if link else None,
        differences=tuple(link.differences) if link else (),
    )


# --- telling -----------------------------------------------------------------------------------------------------


def _state(session: Session, name: str) -> ConnectorState:
    return session.get(ConnectorState, name) or ConnectorState(connector=name, failures=0)


def _state_to_change(session: Session, name: str) -> ConnectorState:
    state = session.get(ConnectorState, name)
    if state is None:
        state = ConnectorState(connector=name, failures=0)
        session.add(state)
    return state


def _heads(session: Session, name: str, most: int, now: datetime) -> list[_Due]:
    """The first change of each of some requests, where it is due; what comes after it waits for it."""
    earlier = aliased(ConnectorChange)
    found = session.scalars(
        select(ConnectorChange)
        .where(
            ConnectorChange.connector == name,
            ConnectorChange.state == DeliveryState.PENDING,
            ConnectorChange.next_attempt_at <= now,
            ~select(earlier.id)
            .where(
                earlier.connector == name,
                earlier.request_id == ConnectorChange.request_id,
                earlier.id < ConnectorChange.id,
            )
            .exists(),
        )
        .order_by(ConnectorChange.id)
        .limit(most)
    )
    return [_Due(change.id, change.request_id, change.attempts) for change in found]


def _claim(session: Session, name: str, due: _Due, files: AttachmentStore | None, now: datetime) -> _Job | None:
    """Count the attempt before it is made, and gather what it needs; None where another process was faster."""
    change = session.scalar(
        update(ConnectorChange)
        .where(
            ConnectorChange.id == due.id,
            ConnectorChange.state == DeliveryState.PENDING,
            ConnectorChange.attempts == due.attempts,
        )
        .values(attempts=due.attempts + 1, next_attempt_at=now + CLAIMED)
        .returning(ConnectorChange)
    )
    if change is None:
        return None
    request = session.get_one(Request, due.request_id)
    link = session.get(ConnectorLink, (name, due.request_id))
    return _Job(
        due=due,
        request=outgoing(request),
        entry=_entry(change),
        whole=change.event is None,
        status=change.status,
        moved=_has_moved(change),
        told_status=link.told_status if link else None,
        link=_remote(request, link) if link else None,
        repeated=due.attempts > 0,
        files=_files(session, files, due.request_id, link.told_file if link else 0) if files else (),
    )


def _files(session: Session, store: AttachmentStore, request_id: int, after: int) -> list[tuple[int, File]]:
    found = session.scalars(
        select(Attachment).where(Attachment.request_id == request_id, Attachment.id > after).order_by(Attachment.id)
    )
    return [(one.id, File(f"a{one.id}", one.name, one.media_type, store.path_of(one.path))) for one in found]


def outgoing(request: Request) -> Outgoing:
    """A request as other systems are told of it."""
    contact, company = request.contact, request.company
    return Outgoing(
        id=request.id,
        ticket=request.ticket or "",
        kind=request.kind.value,
        area=request.area,
        channel=request.channel.value,
        level=request.level,
        status=request.status,
        priority=request.priority,
        subject=request.subject,
        description=request.description,
        solution=request.solution or "",
        language=request.language,
        contact=contact.name if contact else "",
        user_code=(contact.user_code or "") if contact else "",
        company=company.name if company else "",
        email=request.email or "",
        phone=request.phone or "",
        holder=request.holder or "",
        received_at=request.received_at,
        opened_at=request.opened_at,
        closed_at=request.closed_at,
    )


def _has_moved(change: ConnectorChange) -> bool:
    """Whether a change is one of the status.

    Whoever moves a request has it locked. Others write into its history without, and may have seen an older status.
    """
    event = change.event
    return event is None or event.kind in ("opened", "picked_up") or "to" in event.details


def _entry(change: ConnectorChange) -> Entry:
    event = change.event
    if event is None:
        key = f"r{change.request_id}.{int(change.created_at.timestamp())}"
        return Entry(key=key, kind="whole", at=change.created_at, actor=SYSTEM)
    text = next((str(event.details[name]) for name in TEXTS if event.details.get(name)), "")
    if not text and event.kind in MOVES:
        text = ", ".join(f"{name}: {value}" for name, value in event.details.items() if value) or event.kind
    return Entry(key=f"e{event.id}", kind=event.kind, at=event.at, actor=event.actor, text=text, details=event.details)


def _remote(request: Request, link: ConnectorLink) -> Remote:
    return Remote(id=link.remote_id, key=link.remote_key, ticket=request.ticket or "", status=link.remote_status)


def _note_link(session: Session, name: str, request_id: int, remote: Remote) -> None:
    """Remember that the other side knows it, before anything else is told."""
    link = session.get(ConnectorLink, (name, request_id))
    if link is None:
        link = ConnectorLink(connector=name, request_id=request_id, remote_entry=0, told_file=0, differences=[])
        session.add(link)
    link.remote_id, link.remote_key, link.remote_status = remote.id, remote.key, remote.status


def _note_file(session: Session, name: str, request_id: int, number: int) -> None:
    """They have this file: what comes after it may still be refused."""
    link = session.get_one(ConnectorLink, (name, request_id))
    link.told_file = max(link.told_file, number)


def _note_taken(session: Session, name: str, job: _Job, remote: Remote, now: datetime) -> None:
    session.execute(delete(ConnectorChange).where(ConnectorChange.id == job.due.id))
    link = session.get_one(ConnectorLink, (name, job.request.id))
    if remote.status is not None:
        link.remote_status = remote.status
    link.told_at = now
    if job.moved or job.link is None:
        link.told_status = job.status
    if job.whole:
        link.differences = []
        link.look_again = True
    announce(session, "request", job.request.id)


def _note_refusal(session: Session, name: str, change_id: int, error: Refused, now: datetime) -> None:
    change = session.get(ConnectorChange, change_id)
    if change is None:
        return
    change.refusals += 1
    change.last_error = clean_line(str(error))[:1000]
    change.next_attempt_at = now + pause_after(change.refusals)
    if change.refusals >= MAX_ATTEMPTS:
        change.state = DeliveryState.DEAD
    log.warning(
        "other ticket system refuses a change",
        connector=name,
        request=change.request_id,
        code=error.code,
        state=change.state.value,
    )
    announce(session, "request", change.request_id)


def _put_back(session: Session, change_id: int, now: datetime) -> None:
    session.execute(update(ConnectorChange).where(ConnectorChange.id == change_id).values(next_attempt_at=now))


def _note_away(session: Session, name: str, error: Unreachable, now: datetime) -> ConnectorState:
    state = _state_to_change(session, name)
    state.failures = (state.failures or 0) + 1
    state.away_since = state.away_since or now
    state.last_error = clean_line(str(error))[:1000]
    pause = min(FIRST_PAUSE * 2 ** min(state.failures - 1, 10), LONGEST_PAUSE)
    wanted = timedelta(seconds=min(error.retry_after or 0, 3600))
    state.next_attempt_at = now + max(pause, wanted)
    return state


def _note_reached(session: Session, name: str, mark: str | None, now: datetime) -> None:
    state = _state_to_change(session, name)
    state.away_since = state.next_attempt_at = state.last_error = None
    state.failures, state.reached_at = 0, now
    if mark is not None:
        state.mark = mark


# --- hearing -----------------------------------------------------------------------------------------------------


def _to_look_at(session: Session, name: str) -> list[str]:
    """Requests that changed there while we had something to tell, which is told now."""
    found = session.scalars(
        select(Request.ticket)
        .join(ConnectorLink, ConnectorLink.request_id == Request.id)
        .where(ConnectorLink.connector == name, ConnectorLink.look_again)
        .order_by(Request.id)
        .limit(COMPARED_AT_ONCE)
    )
    tickets = [ticket for ticket in found if ticket]
    ids = session.execute(select(Request.ticket, Request.id).where(Request.ticket.in_(tickets)).order_by(Request.id))
    return [ticket for ticket, request_id in ids if ticket and not _on_its_way(session, name, request_id)]


def _look_no_more(session: Session, name: str, tickets: Sequence[str]) -> None:
    ids = select(Request.id).where(Request.ticket.in_(tickets))
    session.execute(
        update(ConnectorLink)
        .where(ConnectorLink.connector == name, ConnectorLink.request_id.in_(ids))
        .values(look_again=False)
        .execution_options(synchronize_session=False)
    )


def _take_over(
    session: Session, name: str, remote: Remote, notices: Notices, reopen_within: timedelta, *, now: datetime
) -> None:
    """Do here what was done there; what came from us is known again and does nothing."""
    # the one who told it need not hear it again; all others do
    session.info[CONNECTORS] = tuple(other for other in session.info.get(CONNECTORS, ()) if other != name)
    request_id = session.scalar(select(Request.id).where(Request.ticket == remote.ticket))
    if request_id is None:
        return
    request = load_request(session, request_id)
    link = session.get(ConnectorLink, (name, request_id))
    if link is None or link.remote_key != remote.key:
        return
    if _on_its_way(session, name, request.id):
        link.look_again = True
        return
    link.look_again = False
    for entry in _new_entries(link, remote):
        link.seen_entries = [*link.seen_entries, entry.id]
        _take_over_entry(session, name, request.id, entry.by, entry.text, now=now)
    if remote.status is None or remote.status == link.remote_status:
        return
    link.remote_status = remote.status
    link.differences = [known for known in link.differences if known["field"] != "status"]
    if request.status in remote.means:
        return
    why = _move(session, name, request, remote, notices, reopen_within, now=now)
    if why is not None:
        there = f"{remote.status} ({remote.changed_by}): {why}"
        _differ(link, {"field": "status", "here": request.status.value, "there": there})
        announce(session, "request", request.id)


def _first_change(session: Session, name: str, request_id: int) -> ConnectorChange | None:
    return session.scalar(
        select(ConnectorChange)
        .where(ConnectorChange.connector == name, ConnectorChange.request_id == request_id)
        .order_by(ConnectorChange.id)
        .limit(1)
    )


def _on_its_way(session: Session, name: str, request_id: int) -> bool:
    """Whether we have something to tell of it that was not refused: theirs is looked at after that."""
    first = _first_change(session, name, request_id)
    return first is not None and first.refusals == 0


def _new_entries(link: ConnectorLink, remote: Remote) -> list[RemoteEntry]:
    """What people wrote there and was not taken over yet."""
    seen = set(link.seen_entries)
    return [entry for entry in remote.entries if entry.id > link.remote_entry and entry.id not in seen]


def _take_over_entry(session: Session, name: str, request_id: int, by: str, text: str, *, now: datetime) -> None:
    try:
        add_note(session, request_id, f"{by}: {text}"[:90_000], actor=name, now=now)
    except InvalidInput as error:
        log.warning("an entry of another ticket system is left out", connector=name, error=str(error))


def _move(
    session: Session,
    name: str,
    request: Request,
    remote: Remote,
    notices: Notices,
    reopen_within: timedelta,
    *,
    now: datetime,
) -> str | None:
    """Move our request as theirs was; why not, where our lifecycle refuses."""
    if not remote.means:
        return "that stands for none of ours"
    to = remote.means[0]
    words = f"{name} {remote.id}: {remote.status}"
    if to in (Status.RESOLVED, Status.CLOSED):
        # the user reads it: only what people there have written for users
        words = next((entry.text for entry in reversed(remote.entries) if entry.for_user), words)
    try:
        move_request(
            session,
            request.id,
            to,
            notices,
            actor=name,
            role=Role.SYSTEM,
            now=now,
            reopen_within=reopen_within,
            text="" if to == Status.IN_PROGRESS else words,
            holder=(request.holder or name) if to == Status.IN_PROGRESS else None,
        )
    except (MoveRefused, InvalidInput) as error:
        return str(error)
    return None


def _differ(link: ConnectorLink, difference: dict[str, str]) -> None:
    """Note a difference; a later one of the same field takes its place."""
    difference = {name: clean_text(text)[:500] for name, text in difference.items()}
    link.differences = [known for known in link.differences if known["field"] != difference["field"]] + [difference]


# --- comparing ---------------------------------------------------------------------------------------------------


def _to_compare(session: Session, name: str, since: datetime) -> list[tuple[int, str]]:
    """Id and ticket of what should be the same there: known there, nothing waiting, open or closed lately."""
    waiting = select(ConnectorChange.id).where(
        ConnectorChange.connector == name, ConnectorChange.request_id == Request.id
    )
    found = session.execute(
        select(Request.id, Request.ticket)
        .join(ConnectorLink, ConnectorLink.request_id == Request.id)
        .where(
            ConnectorLink.connector == name,
            Request.status.in_(OPEN_STATUSES) | (Request.closed_at >= since),
            ~waiting.exists(),
        )
        .order_by(Request.id)
    )
    return [(id_, ticket) for id_, ticket in found if ticket]


def _note_differences(
    session: Session,
    name: str,
    ours: Sequence[tuple[int, str]],
    found: Mapping[str, Sequence[Remote]],
    since: datetime,
) -> None:
    for request_id, ticket in ours:
        if _first_change(session, name, request_id) is not None:
            continue
        link = session.get_one(ConnectorLink, (name, request_id))
        if link.told_at is not None and link.told_at > since:
            continue  # while we were comparing
        # what was stored there too late to be heard of is taken over by the next `listen`
        link.look_again = link.look_again or any(
            one.key == link.remote_key and _new_entries(link, one) for one in found.get(ticket, ())
        )
        request = session.get_one(Request, request_id)
        differences = list(_differences(request, link, found.get(ticket, ())))
        # what was left out by hand stays until the whole request is told again
        kept = [known for known in link.differences if known["field"] not in ("there", "status", "subject")]
        if kept + differences != link.differences:
            link.differences = kept + differences
            announce(session, "request", request_id)


def _differences(request: Request, link: ConnectorLink, remotes: Sequence[Remote]) -> Sequence[dict[str, str]]:
    if not remotes:
        return [{"field": "there", "here": link.remote_id, "there": ""}]
    found = []
    if len(remotes) > 1:
        found.append({"field": "there", "here": link.remote_id, "there": ", ".join(one.id for one in remotes)})
    remote = next((one for one in remotes if one.key == link.remote_key), remotes[0])
    if request.status not in remote.means:
        found.append({"field": "status", "here": request.status.value, "there": remote.status or ""})
    if remote.subject is not None and not request.subject.startswith(remote.subject.strip()):
        found.append({"field": "subject", "here": request.subject, "there": remote.subject})
    return found


def _note_compared(session: Session, name: str, now: datetime) -> None:
    _state_to_change(session, name).compared_at = now


def _enrol(session: Session, name: str, now: datetime) -> int:
    known = select(ConnectorLink.request_id).where(
        ConnectorLink.connector == name, ConnectorLink.request_id == Request.id
    )
    waiting = select(ConnectorChange.id).where(
        ConnectorChange.connector == name, ConnectorChange.request_id == Request.id
    )
    new = session.scalars(
        select(Request.id)
        .where(Request.status.in_(OPEN_STATUSES), Request.id > 0, ~known.exists(), ~waiting.exists())
        .order_by(Request.id)
    ).all()
    for request_id in new:
        _tell_whole(session, name, request_id, now=now)
    return len(new)
