"""What supervisors edit and add of the calls at the desk: hours, queues, lines with their menus, and closures at once.

The settings file is the default. What is edited is a row in its place, which every process of the service brings into
the one `CallsConfig` that all its parts hold: when a hint comes, and every few seconds in any case. Calendars, queues
and lines may be added, as rows that the file has nothing of; such a one is removed again once nothing uses it any more.
What the file describes is removed in the file, whose other parts may name it.
"""

import asyncio
import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Self, get_args

import structlog
from pydantic import BaseModel, ValidationError
from sqlalchemy import func, or_, select, text
from sqlalchemy.orm import Session

from ivr.config import CallsConfig, Line, Queue
from ivr.errors import SiteChanged, StillUsed
from ivr.models import NOT_LEFT, Agent, Call, CallBack, ClosedNow, SiteEdit
from ivr.prompts import Prompts, is_own_sound
from ivr.tasks import ended
from schedules.hours import Calendar, UnplannedClosure
from tickets.changes import MISSED, Change
from tickets.database import Database, announce
from tickets.errors import InvalidInput
from tickets.fields import not_one_of

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
_NAMED_BY: dict[Kind, str] = {"calendar": "name", "line": "number"}
"""The field that holds the own name."""
_NAME = re.compile(r"\w(?:[\w .'-]{0,38}\w)?")
"""Of a new calendar or queue: one that stands in an address, a command and a report as it is."""


@dataclass(frozen=True, slots=True)
class Part:
    """One calendar, queue or line: as it is in force, as the file has it, and who edited it when."""

    kind: Kind
    name: str
    definition: dict[str, Any]
    of_file: dict[str, Any] | None
    """None: it was added at the desk."""
    edited_by: str | None = None
    edited_at: datetime | None = None
    in_force: bool = True
    """False: it was added, and does not fit a settings file that has changed since."""


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


def add_part(
    session: Session,
    base: CallsConfig,
    kind: Kind,
    name: str,
    definition: Mapping[str, Any],
    *,
    actor: str,
    now: datetime,
) -> dict[str, Any]:
    """Add a calendar, queue or line (by its number) of which the settings file knows nothing; gives what is in force.

    A line's language is one that the file's lines have: Asterisk and the recogniser have what it needs. Raises
    InvalidInput, which names the field.
    """
    _alone(session)
    config = in_force(session, base)
    if kind != "line" and _NAME.fullmatch(name) is None:
        raise InvalidInput("name", "has letters and digits, with spaces and - _ . ' between, at most 40", "no_name")
    row = session.get(SiteEdit, (kind, name))
    if name.casefold() in {known.casefold() for known in _names(config, kind)} or (row is not None and row.added):
        raise InvalidInput("name" if kind != "line" else "number", "is taken", "taken")
    if kept := sorted((OF_THE_FILE[kind] - {"language"}) & definition.keys()):
        raise InvalidInput(kept[0], "is set in the settings file only")
    languages = {line.language for line in base.lines}
    if kind == "line" and definition.get("language", base.lines[0].language) not in languages:
        raise not_one_of("language", sorted(languages))
    fields = {"language": base.lines[0].language, **definition} if kind == "line" else dict(definition)
    try:
        part, _ = _edited(config, kind, name, {**_identity(kind, name), **fields})
    except ValidationError as error:
        raise _refusal(error) from error
    if row is None:
        row = SiteEdit(kind=kind, name=name)
        session.add(row)
    row.definition, row.added, row.edited_by, row.edited_at = _kept(kind, part, added=True), True, actor, now
    announce(session, SITE, f"{kind} {name}")
    return row.definition


def remove_part(session: Session, base: CallsConfig, kind: Kind, name: str, *, now: datetime) -> dict[str, Any]:
    """Remove what was added at the desk; gives what it was. Raises InvalidInput, and StillUsed, which says by what."""
    _alone(session)
    row = session.get(SiteEdit, (kind, name))
    if row is None or not row.added or _part(base, kind, name) is not None:
        raise InvalidInput("name", "is described in the settings file: it is removed there", "of_the_file")
    if uses := tuple(_uses(session, in_force(session, base), kind, name, now)):
        raise StillUsed(uses)
    was = dict(row.definition)
    session.delete(row)
    announce(session, SITE, f"{kind} {name}")
    return was


def edit_part(
    session: Session,
    base: CallsConfig,
    kind: Kind,
    name: str,
    changes: Mapping[str, Any],
    *,
    actor: str,
    now: datetime,
    seen: tuple[datetime | None] | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Put an edited calendar, queue or line in the place of what is there; gives what was in force before, and now.

    `changes` are fields as the settings file has them; the others stay. `seen` holds the time of the edit that whoever
    changes it has looked at, None for none. Raises InvalidInput, which names the field, and SiteChanged.
    """
    _alone(session)
    config = in_force(session, base)
    known, row = _part(config, kind, name), session.get(SiteEdit, (kind, name))
    added = row is not None and row.added
    if seen is not None:
        _refuse_unseen(name, row, seen)
    if known is None and not added:
        raise InvalidInput("name", f"there is no {kind} {name!r}", "gone")
    if kept := sorted(OF_THE_FILE[kind] & changes.keys()):
        raise InvalidInput(kept[0], "is changed in the settings file only")
    before = known.model_dump() if known is not None or row is None else {**_identity(kind, name), **row.definition}
    old = _definition(kind, known) if known is not None or row is None else _of_row(kind, row)
    try:
        edited, _ = _edited(config, kind, name, {**before, **changes})
    except ValidationError as error:
        raise _refusal(error) from error
    new, of_file = _definition(kind, edited), _part(base, kind, name)
    if of_file is not None and new == _definition(kind, of_file):
        if row is not None:
            session.delete(row)
    elif row is None:
        session.add(SiteEdit(kind=kind, name=name, definition=new, edited_by=actor, edited_at=now))
    else:
        row.definition, row.edited_by, row.edited_at = _kept(kind, edited, added=added), actor, now
    announce(session, SITE, f"{kind} {name}")
    return old, new


def forget_edit(session: Session, base: CallsConfig, kind: Kind, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Go back to what the settings file says; gives what was in force before, and now. Raises InvalidInput."""
    _alone(session)
    config, row = in_force(session, base), session.get(SiteEdit, (kind, name))
    now, then = _part(config, kind, name), _part(base, kind, name)
    if row is None or now is None or then is None:
        raise InvalidInput("name", "is as the settings file has it")
    session.delete(row)
    announce(session, SITE, f"{kind} {name}")
    return _definition(kind, now), _definition(kind, then)


def _refuse_unseen(name: str, row: SiteEdit | None, seen: tuple[datetime | None]) -> None:
    if (row.edited_at if row is not None else None) != seen[0]:
        raise SiteChanged(f"{name} was edited meanwhile: look at it and repeat your change")


def _alone(session: Session) -> None:
    """From here on no other transaction changes what is edited: what one adds or removes the other one sees."""
    if session.get_bind().dialect.name == "postgresql":  # on SQLite there is one writer at a time
        session.execute(text("LOCK TABLE site_edit IN SHARE ROW EXCLUSIVE MODE"))


def _uses(session: Session, config: CallsConfig, kind: Kind, name: str, now: datetime) -> Iterator[tuple[str, str]]:
    """What needs a calendar, queue or line: what kind of thing, and its name or number."""
    for line in config.lines:
        if (kind == "calendar" and line.calendar == name) or (kind == "queue" and line.queue == name):
            yield "line", f"{line.name} ({line.number})"
        for key, choice in line.menu.choices.items() if line.menu and kind == "queue" else ():
            if choice.queue == name:
                yield "key", f"{key}, {line.name} ({line.number})"
    if kind == "calendar":
        for closed in closures(session, now=now):
            if closed.calendar == name:
                yield "closure", closed.words
        return
    if kind == "queue":
        for agent in session.scalars(select(Agent).where(NOT_LEFT).order_by(Agent.name)):
            if name in agent.queues:
                yield "agent", agent.name
    for what, table in (("calls", Call), ("call_backs", CallBack)):
        column = table.queue if kind == "queue" else table.line
        if open_ := session.scalar(select(func.count()).where(column == name, table.ended_at.is_(None))):
            yield what, str(open_)


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


def added_names(session: Session, base: CallsConfig, kind: Kind) -> set[str]:
    """Which calendars, queues or lines were added at the desk."""
    rows = select(SiteEdit.name).where(SiteEdit.kind == kind, SiteEdit.added.is_(True))
    return set(session.scalars(rows)) - set(_names(base, kind))


def in_force(session: Session, base: CallsConfig) -> CallsConfig:
    """The calls' settings with what was edited by this moment, but without closures."""
    return _with_edits(base, edits(session))


def parts(config: CallsConfig, base: CallsConfig, edited: Iterable[SiteEdit]) -> list[Part]:
    """All calendars, queues and lines as they are in force, with what the file says."""
    rows = {(row.kind, row.name): row for row in edited}
    found = []
    for kind in KINDS:
        added = (name for row_kind, name in rows if row_kind == kind and rows[kind, name].added)
        for name in dict.fromkeys((*_names(base, kind), *added)):
            now, then, row = _part(config, kind, name), _part(base, kind, name), rows.get((kind, name))
            if now is None and row is None:
                continue
            found.append(
                Part(
                    kind,
                    name,
                    _definition(kind, now) if now is not None or row is None else _of_row(kind, row),
                    _definition(kind, then) if then is not None else None,
                    row.edited_by if row is not None else None,
                    row.edited_at if row is not None else None,
                    in_force=now is not None,
                )
            )
    return found


# ------------------------------------------------------------------------------------------------- kept up to date


class Site:
    """Keeps a `CallsConfig` up to date. Use as `async with`, around everything that reads it."""

    def __init__(self, database: Database, config: CallsConfig, now: Callable[[], datetime]) -> None:
        self.database, self.config, self.now = database, config, now
        self.base = config.model_copy()
        """As the settings file has it."""
        self.queues_changed: list[Callable[[], None]] = []
        """Called when there is another queue, or one fewer: pages have a list of them."""
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
        before = self.config.queues.keys()
        apply(self.config, self.base, edited, closed, now=self.now())
        if self.config.queues.keys() != before:
            for tell in self.queues_changed:
                tell()

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
    result = _with_edits(base, edited)
    held = list(closed)
    calendars = {
        name: calendar.model_copy(update={"unplanned": (*calendar.unplanned, *_of_calendar(held, name, calendar, now))})
        for name, calendar in result.calendars.items()
    }
    _put(config, result.model_copy(update={"calendars": calendars}))


def _with_edits(base: CallsConfig, edited: Iterable[SiteEdit]) -> CallsConfig:
    """What the file says with what was edited in its place; a row that makes no sense is left out."""
    result = base
    for row in sorted(edited, key=lambda row: KINDS.index(known_kind(row.kind))):  # lines name the others
        kind = known_kind(row.kind)
        known = _part(result, kind, row.name)
        if known is None and not row.added:
            log.warning("edited at the desk, but not in the settings file any more", kind=row.kind, name=row.name)
            continue
        before = known.model_dump() if known is not None else _identity(kind, row.name)
        changes = row.definition if known is None else _of_row(kind, row)
        try:
            _, result = _edited(result, kind, row.name, {**before, **changes})
        except ValidationError as error:
            log.error(
                "what was edited at the desk makes no sense: the settings file's is used",
                kind=row.kind,
                name=row.name,
                fields=[".".join(map(str, one["loc"])) for one in error.errors()],
            )
    return result


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
        return config.model_copy(update={"lines": lines if part in lines else [*lines, part]})
    known = getattr(config, f"{kind}s")
    return config.model_copy(update={f"{kind}s": {**known, name: part}})


def _edited(config: CallsConfig, kind: Kind, name: str, fields: Mapping[str, Any]) -> tuple[BaseModel, CallsConfig]:
    """A part with these fields, and the configuration with it in its place; both make sense, or ValidationError."""
    part = _MODELS[kind].model_validate(fields)
    candidate = _with(config, kind, name, part)
    type(config).model_validate(candidate.model_dump())
    return part, candidate


def _names(config: CallsConfig, kind: Kind) -> list[str]:
    return [line.number for line in config.lines] if kind == "line" else list(getattr(config, f"{kind}s"))


def _identity(kind: Kind, name: str) -> dict[str, Any]:
    """The fields that a new one has by its name alone."""
    return {_NAMED_BY[kind]: name} if kind in _NAMED_BY else {}


def _of_row(kind: Kind, row: SiteEdit) -> dict[str, Any]:
    """Those fields of a row that are edited at the desk."""
    return {field: value for field, value in row.definition.items() if field not in OF_THE_FILE[kind]}


def _definition(kind: Kind, part: BaseModel) -> dict[str, Any]:
    return part.model_dump(mode="json", exclude=set(OF_THE_FILE[kind]))


def _kept(kind: Kind, part: BaseModel, *, added: bool) -> dict[str, Any]:
    """What a row keeps: of an added line also the language, which no file tells."""
    kept = _definition(kind, part)
    return {**kept, "language": part.model_dump()["language"]} if added and kind == "line" else kept


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
