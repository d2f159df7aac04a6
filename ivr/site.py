"""What supervisors edit of the calls at the desk: hours, queues, menus, and closures at once.

The settings file is the default. What is edited is a row in its place, which every process of the service brings into
the one `CallsConfig` that all its parts hold: when a hint comes, and every few seconds in any case. Numbers of lines
and names of calendars and queues are the file's alone: a line needs its number in Asterisk, and an agent's queue must
not vanish while somebody waits in it.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Self, get_args

import structlog
from pydantic import BaseModel, ValidationError
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from ivr.config import CallsConfig, Line, Queue
from ivr.models import ClosedNow, SiteEdit
from ivr.prompts import Prompts, is_own_sound
from ivr.tasks import ended
from schedules.hours import Calendar, UnplannedClosure
from tickets.changes import MISSED, Change
from tickets.database import Database, announce
from tickets.errors import InvalidInput

log = structlog.get_logger()

SITE = "site"
"""The change after which processes read again what was edited."""
CLOSURE = "closure"
"""The change of one closure, for screens."""
LOOK_SECONDS = 10.0
"""A change of which no hint came is found by looking."""
REMEMBERED = timedelta(days=7)
"""Closures that have ended are reckoned with for so long: a message that the dialplan took may be filed late."""
LONGEST_AHEAD = timedelta(days=400)

Kind = Literal["calendar", "queue", "line"]
KINDS: tuple[Kind, ...] = get_args(Kind)
OF_THE_FILE: dict[Kind, frozenset[str]] = {
    "calendar": frozenset({"name", "unplanned"}),
    "queue": frozenset(),
    "line": frozenset({"number", "fax", "language"}),
}
"""Fields that are not edited at the desk: a fax line and a language need files of Asterisk, too."""
_MODELS: dict[Kind, type[BaseModel]] = {"calendar": Calendar, "queue": Queue, "line": Line}


@dataclass(frozen=True, slots=True)
class Part:
    """One calendar, queue or line: as it is in force, as the file has it, and who edited it when."""

    kind: Kind
    name: str
    definition: dict[str, Any]
    of_file: dict[str, Any]
    edited_by: str | None = None
    edited_at: datetime | None = None


# ------------------------------------------------------------------------------------------------------ operations


def close_now(
    session: Session,
    config: CallsConfig,
    *,
    calendar: str | None,
    words: str,
    prompt: str | None,
    ends_at: datetime | None,
    begins_at: datetime | None = None,
    actor: str,
    now: datetime,
) -> ClosedNow:
    """Close a calendar, or all of them: at once or from `begins_at` on, until `ends_at` or until somebody ends it.

    The next caller hears it. Raises InvalidInput.
    """
    if calendar is not None and calendar not in config.calendars:
        raise InvalidInput("calendar", f"there is no calendar {calendar!r}")
    begins = max(begins_at or now, now)
    if ends_at is not None and ends_at <= begins:
        raise InvalidInput("ends_at", "is before the closure begins")
    if max(begins, ends_at or now) > now + LONGEST_AHEAD:
        raise InvalidInput("ends_at", "is too far away: enter it with the hours")
    if prompt and not _is_prompt(prompt, config, calendar):
        raise InvalidInput("prompt", f"there is no prompt {prompt!r}")
    closed = ClosedNow(
        calendar=calendar, words=words, prompt=prompt or None, begins_at=begins, ends_at=ends_at, opened_by=actor
    )
    session.add(closed)
    session.flush()
    _announce_closure(session, closed)
    return closed


def end_closure(
    session: Session, closure_id: int, *, ends_at: datetime | None = None, actor: str, now: datetime
) -> ClosedNow:
    """End a closure now, or say when it will end. Raises InvalidInput for one that has ended."""
    closed = session.scalar(select(ClosedNow).where(ClosedNow.id == closure_id).with_for_update())
    if closed is None or (closed.ends_at is not None and closed.ends_at <= now):
        raise InvalidInput("closure", "has ended already")
    if ends_at is not None and ends_at <= max(now, closed.begins_at):
        raise InvalidInput("ends_at", "has passed already")
    closed.ends_at, closed.ended_by = ends_at or max(now, closed.begins_at), actor
    _announce_closure(session, closed)
    return closed


def edit_part(
    session: Session,
    config: CallsConfig,
    base: CallsConfig,
    kind: Kind,
    name: str,
    changes: dict[str, Any],
    *,
    actor: str,
    now: datetime,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Put an edited calendar, queue or line in the place of the file's; gives what was in force before, and now.

    `changes` are fields as the settings file has them; the others stay. Raises InvalidInput, which names the field.
    """
    known = _part(config, kind, name)
    if known is None:
        raise InvalidInput("name", f"there is no {kind} {name!r} in the settings file")
    if kept := sorted(OF_THE_FILE[kind] & changes.keys()):
        raise InvalidInput(kept[0], "is changed in the settings file only")
    old = _definition(kind, known)
    try:
        edited, _ = _edited(config, kind, name, known, changes)
    except ValidationError as error:
        raise _refusal(error) from error
    new = _definition(kind, edited)
    row = session.get(SiteEdit, (kind, name), with_for_update=True)
    if new == _definition(kind, _part(base, kind, name) or known):
        if row is not None:
            session.delete(row)
    elif row is None:
        session.add(SiteEdit(kind=kind, name=name, definition=new, edited_by=actor, edited_at=now))
    else:
        row.definition, row.edited_by, row.edited_at = new, actor, now
    announce(session, SITE, f"{kind} {name}")
    return old, new


def forget_edit(
    session: Session, config: CallsConfig, base: CallsConfig, kind: Kind, name: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Go back to what the settings file says; gives what was in force before, and now. Raises InvalidInput."""
    row = session.get(SiteEdit, (kind, name), with_for_update=True)
    now, then = _part(config, kind, name), _part(base, kind, name)
    if row is None or now is None or then is None:
        raise InvalidInput("name", "is as the settings file has it")
    session.delete(row)
    announce(session, SITE, f"{kind} {name}")
    return _definition(kind, now), _definition(kind, then)


def _announce_closure(session: Session, closed: ClosedNow) -> None:
    announce(session, SITE, f"closure {closed.id}")
    announce(session, CLOSURE, closed.id)


# --------------------------------------------------------------------------------------------------------- queries


def closures(session: Session, *, now: datetime, ended: timedelta = timedelta(0)) -> Sequence[ClosedNow]:
    """The closures that hold or are to come, in order; with `ended` also those that ended within that time."""
    query = select(ClosedNow).where(or_(ClosedNow.ends_at.is_(None), ClosedNow.ends_at > now - ended))
    return session.scalars(query.order_by(ClosedNow.begins_at, ClosedNow.id)).all()


def edits(session: Session) -> Sequence[SiteEdit]:
    """What was edited at the desk."""
    return session.scalars(select(SiteEdit).order_by(SiteEdit.kind, SiteEdit.name)).all()


def parts(config: CallsConfig, base: CallsConfig, edited: Iterable[SiteEdit]) -> list[Part]:
    """All calendars, queues and lines as they are in force, with what the file says."""
    rows = {(row.kind, row.name): row for row in edited}
    found = []
    for kind in KINDS:
        names = (line.number for line in base.lines) if kind == "line" else getattr(base, f"{kind}s")
        for name in names:
            now, then, row = _part(config, kind, name), _part(base, kind, name), rows.get((kind, name))
            if now is not None and then is not None:
                who = (row.edited_by, row.edited_at) if row is not None else (None, None)
                found.append(Part(kind, name, _definition(kind, now), _definition(kind, then), *who))
    return found


# ------------------------------------------------------------------------------------------------- kept up to date


class Site:
    """Keeps a `CallsConfig` up to date. Use as `async with`, around everything that reads it."""

    def __init__(self, database: Database, config: CallsConfig, now: Callable[[], datetime]) -> None:
        self.database, self.config, self.now = database, config, now
        self.base = config.model_copy()
        """As the settings file has it."""
        self._due = asyncio.Event()
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Bring it up to date, and go on doing so."""
        await self.look()
        self._stack.callback(self.database.subscribe(self._hear))
        task = asyncio.create_task(self._keep_up(), name="what is edited at the desk")
        self._stack.push_async_callback(ended, task)
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Stop; the configuration is again as the settings file has it."""
        await self._stack.aclose()
        _put(self.config, self.base)

    async def look(self) -> None:
        """Read what was edited, and put it in force here."""
        edited, closed = await self.database.read(_edited_and_closed, now=self.now())
        apply(self.config, self.base, edited, closed, now=self.now())

    def _hear(self, changes: frozenset[Change]) -> None:
        if any(change.kind in (SITE, MISSED) for change in changes):
            self._due.set()

    async def _keep_up(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._due.wait()
            self._due.clear()
            try:
                await self.look()
            except Exception:
                log.exception("what was edited at the desk cannot be read now: what was in force stays")


def apply(
    config: CallsConfig,
    base: CallsConfig,
    edited: Iterable[SiteEdit],
    closed: Iterable[ClosedNow],
    *,
    now: datetime,
) -> None:
    """Make a configuration what the file says with what was edited in its place, and the closures that hold.

    A row that no longer makes sense (of another version, or against a file that has changed) is left out, and said so
    in the log: calls are served as the file says.
    """
    result = base
    for row in edited:
        kind = known_kind(row.kind)
        known = _part(result, kind, row.name)
        if known is None:
            log.warning("edited at the desk, but not in the settings file any more", kind=row.kind, name=row.name)
            continue
        try:
            _, result = _edited(result, kind, row.name, known, row.definition)
        except ValidationError as error:
            log.error(
                "what was edited at the desk makes no sense: the settings file's is used",
                kind=row.kind,
                name=row.name,
                fields=[".".join(map(str, one["loc"])) for one in error.errors()],
            )
    held = list(closed)
    calendars = {
        name: calendar.model_copy(update={"unplanned": (*calendar.unplanned, *_of_calendar(held, name, calendar, now))})
        for name, calendar in result.calendars.items()
    }
    _put(config, result.model_copy(update={"calendars": calendars}))


def _put(config: CallsConfig, what: CallsConfig) -> None:
    config.calendars, config.queues, config.lines = what.calendars, what.queues, what.lines


def known_kind(kind: str) -> Kind:
    """A kind as a row names it."""
    for known in KINDS:
        if known == kind:
            return known
    raise ValueError(f"no part of the calls' settings: {kind!r}")


def _of_calendar(
    closed: Iterable[ClosedNow], name: str, calendar: Calendar, now: datetime
) -> Iterable[UnplannedClosure]:
    for one in closed:
        if one.calendar in (None, name):
            ends = one.ends_at or _assumed_end(calendar, max(one.begins_at, now))
            if ends > one.begins_at:
                yield UnplannedClosure(name=one.words, begins=one.begins_at, ends=ends, prompt=one.prompt)


def _assumed_end(calendar: Calendar, at: datetime) -> datetime:
    """When a closure of which nobody knows the end is taken to end: with the day, and each day anew.

    Looking again may take a while, so the day ends a little early here.
    """
    local = (at + timedelta(minutes=1)).astimezone(calendar.zone)
    return (local + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)


def _edited_and_closed(session: Session, *, now: datetime) -> tuple[Sequence[SiteEdit], Sequence[ClosedNow]]:
    return edits(session), closures(session, now=now, ended=REMEMBERED)


def _part(config: CallsConfig, kind: str, name: str) -> Any:
    match kind:
        case "calendar":
            return config.calendars.get(name)
        case "queue":
            return config.queues.get(name)
        case "line":
            return config.line(name)
    return None


def _with(config: CallsConfig, kind: Kind, name: str, part: Any) -> CallsConfig:
    """The same configuration with another calendar, queue or line."""
    if kind == "line":
        lines = [part if line.number == name else line for line in config.lines]
        return config.model_copy(update={"lines": lines})
    known = getattr(config, f"{kind}s")
    return config.model_copy(update={f"{kind}s": {**known, name: part}})


def _edited(
    config: CallsConfig, kind: Kind, name: str, known: BaseModel, changes: dict[str, Any]
) -> tuple[BaseModel, CallsConfig]:
    """A part with other fields, and the configuration with it in its place; both make sense, or ValidationError."""
    part = _MODELS[kind].model_validate({**known.model_dump(), **changes})
    candidate = _with(config, kind, name, part)
    type(config).model_validate(candidate.model_dump())
    return part, candidate


def _definition(kind: Kind, part: BaseModel) -> dict[str, Any]:
    return part.model_dump(mode="json", exclude=set(OF_THE_FILE[kind]))


def _is_prompt(name: str, config: CallsConfig, calendar: str | None) -> bool:
    """Whether callers of a calendar's lines can hear a prompt: one of the site's own, or ours in their languages."""
    if is_own_sound(name):
        return True
    ours = {(prompt.name, prompt.language) for prompt in Prompts()}
    languages = {line.language for line in config.lines if calendar in (None, line.calendar)}
    return all((name, language) in ours for language in languages)


def _refusal(error: ValidationError) -> InvalidInput:
    """The first wrong field, in words."""
    first = error.errors()[0]
    problems = first.get("ctx", {}).get("problems")
    path, words = problems[0] if problems else (first["loc"], first["msg"].removeprefix("Value error, "))
    return InvalidInput(".".join(map(str, path)), words)
