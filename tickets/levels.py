"""The levels: a company's own desk (0), this desk (1), and the specialists (2 and 3).

The customer's rules: a request about networks or workstations goes back to level 0 of its company, with a notice;
specialists are reached only from level 1, with the reason and a note for whoever goes on, and give back what they had.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tickets.database import announce
from tickets.errors import DuplicateEntry, EntryInUse, InvalidInput, MoveRefused, NotFound
from tickets.fields import read_email, read_name
from tickets.lifecycle import Role
from tickets.models import CLOSED_STATUSES, OPEN_STATUSES, Area, OutboxMail, Request, Status, SupportGroup
from tickets.notices import Notices
from tickets.operations import add_event, load_request, needed_text
from tickets.texts import clean_line

_DESK = frozenset({Role.AGENT, Role.SUPERVISOR, Role.SYSTEM})


def escalate(
    session: Session,
    request_id: int,
    group_id: int,
    notices: Notices,
    *,
    reason: str,
    handover: str,
    actor: str,
    role: Role,
    now: datetime,
    version: int | None = None,
) -> Request:
    """Give a request of level 1 to a group of level 2 or 3, where it waits to be taken in charge.

    `reason` says why, `handover` what is known and was tried. Raises `MoveRefused` from another level or a finished
    request, `InvalidInput` without the two texts or for a group not used any more, `NotFound`, `RequestChanged`.
    """
    why = needed_text("reason", reason, "say why this desk cannot solve it")
    known = needed_text("handover", handover, "say what is known and what was tried")
    request = load_request(session, request_id, version)
    if request.level != 1:
        raise MoveRefused(
            f"at level {request.level}",
            "escalated",
            "not_from_this_level",
            "only level 1 escalates: bring it back first",
        )
    # locked for sharing, so that it is not retired at the same moment
    group = session.get(SupportGroup, group_id, with_for_update={"read": True})
    if group is None:
        raise NotFound(f"there is no support group with the id {group_id}")
    if not group.active:
        raise InvalidInput("group", f"{group.name} is not used any more", "group_unused")
    _refuse("escalated", request, role, _DESK)
    request.level, request.group, request.group_id = group.level, group, group.id
    details = {"level": [1, group.level], "group": group.name, "text": why, "handover": known}
    mail = notices.escalated(request, group, why, known, now=now)
    return _moved(session, request, "escalated", actor, details, now, mail, notices)


def hand_back(
    session: Session,
    request_id: int,
    notices: Notices,
    *,
    note: str,
    actor: str,
    role: Role,
    now: datetime,
    version: int | None = None,
) -> Request:
    """Give a request back from level 2 or 3 to level 1, where it waits to be taken in charge.

    `note` says what was found. Raises `MoveRefused` from another level or a finished request, `InvalidInput`,
    `NotFound`, `RequestChanged`.
    """
    found = needed_text("note", note, "say what was found")
    request = load_request(session, request_id, version)
    if request.level not in (2, 3):
        raise MoveRefused(
            f"at level {request.level}", "handed back", "not_from_this_level", "it is not at level 2 or 3"
        )
    _refuse("handed back", request, role, _DESK)
    details = {"level": [request.level, 1], "group": request.group.name if request.group else None, "text": found}
    request.level, request.group, request.group_id = 1, None, None
    return _moved(session, request, "handed_back", actor, details, now, None, notices)


def refer_to_level_0(
    session: Session,
    request_id: int,
    notices: Notices,
    *,
    reason: str,
    actor: str,
    role: Role,
    now: datetime,
    version: int | None = None,
) -> Request:
    """Send a request back to the own desk of its company, and tell that desk and the user.

    It is pending on that desk until it is recalled or solved. Raises `MoveRefused` from another level or a finished
    request, `InvalidInput` where its area is no business of level 0, or its company or that desk's address is not
    known, `NotFound`, `RequestChanged`.
    """
    why = needed_text("reason", reason, "say why it is for the company's own desk")
    request = load_request(session, request_id, version)
    if request.level != 1:
        raise MoveRefused(
            f"at level {request.level}", "referred to level 0", "not_from_this_level", "only level 1 refers a request"
        )
    area = session.get(Area, request.area)
    if area is None or not area.back_to_level_0:
        words = "does not go back to level 0: give the request the right area first"
        raise InvalidInput("area", words, "not_for_level_0")
    if request.company is None:
        raise InvalidInput("company", "is not known: say whose user this is", "company_unknown")
    if request.company.level_0_email is None:
        words = f"there is no mail address of the level-0 desk of {request.company.name}"
        raise InvalidInput("company", words, "no_level_0_desk")
    _refuse("referred to level 0", request, role, _DESK)
    request.level = 0
    details = {"level": [1, 0], "company": request.company.name, "text": why}
    mail = notices.referred(request, request.company.level_0_email, why, now=now)
    return _moved(session, request, "referred", actor, details, now, mail, notices)


def recall(
    session: Session,
    request_id: int,
    notices: Notices,
    *,
    note: str,
    actor: str,
    role: Role,
    now: datetime,
    version: int | None = None,
) -> Request:
    """Bring a request back from level 0 to this desk, where it waits to be taken in charge.

    Raises `MoveRefused` from another level or a finished request, `InvalidInput`, `NotFound`, `RequestChanged`.
    """
    why = needed_text("note", note, "say why it comes back")
    request = load_request(session, request_id, version)
    if request.level != 0:
        raise MoveRefused(f"at level {request.level}", "recalled", "not_from_this_level", "it is not at level 0")
    _refuse("recalled", request, role, _DESK | {Role.LEVEL_0})
    request.level = 1
    return _moved(session, request, "recalled", actor, {"level": [0, 1], "text": why}, now, None, notices)


GROUP_FIELDS = frozenset({"name", "level", "email", "active"})
"""What `edit_group` changes."""


def support_groups(session: Session, *, retired: bool = False) -> Sequence[SupportGroup]:
    """The groups that requests can be escalated to, by level and name; with `retired` also those not used any more."""
    query = select(SupportGroup) if retired else select(SupportGroup).where(SupportGroup.active)
    return session.scalars(query.order_by(SupportGroup.level, SupportGroup.name)).all()


def group_named(session: Session, name: str) -> SupportGroup:
    """The group of this name. Raises `NotFound`."""
    group = session.scalar(select(SupportGroup).where(SupportGroup.name == clean_line(name)))
    if group is None:
        raise NotFound(f"there is no support group {name!r}")
    return group


def add_group(session: Session, name: str, level: int, email: str | None = None) -> SupportGroup:
    """Add a group of specialists. Raises `InvalidInput`, `DuplicateEntry`."""
    fields = _read_group({"name": name, "level": level, "email": email})
    _refuse_second_group(session, fields["name"])
    group = SupportGroup(**fields)
    session.add(group)
    session.flush()
    announce(session, "group", group.id)
    return group


def edit_group(session: Session, group_id: int, changes: Mapping[str, Any]) -> SupportGroup:
    """Change any of `GROUP_FIELDS`; `active` false retires it.

    While open requests are with a group it can neither be retired nor change its level. Raises `InvalidInput`,
    `DuplicateEntry`, `EntryInUse`, `NotFound`.
    """
    if unknown := changes.keys() - GROUP_FIELDS:
        raise InvalidInput(min(unknown), f"cannot be edited; what can is {', '.join(sorted(GROUP_FIELDS))}")
    fields = _read_group(changes)
    group = session.scalar(select(SupportGroup).where(SupportGroup.id == group_id).with_for_update())
    if group is None:
        raise NotFound(f"there is no support group with the id {group_id}")
    if "name" in fields:
        _refuse_second_group(session, fields["name"], but=group_id)
    if not fields.get("active", True) or fields.get("level", group.level) != group.level:
        theirs = (Request.status.in_(OPEN_STATUSES), Request.group_id == group_id)
        if count := session.scalar(select(func.count()).select_from(Request).where(*theirs)):
            raise EntryInUse(f"{group.name} has {count} open requests: have them handed back first")
    for field, value in fields.items():
        setattr(group, field, value)
    session.flush()
    announce(session, "group", group_id)
    return group


def _read_group(values: Mapping[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for field, value in values.items():
        if field == "name":
            fields[field] = read_name(value, longest=120)
        elif field == "level":
            if value not in (2, 3):
                raise InvalidInput("level", "is 2 or 3")
            fields[field] = int(value)
        elif field == "email":
            fields[field] = read_email(value)
        else:
            fields[field] = bool(value)
    return fields


def _refuse_second_group(session: Session, name: str, *, but: int = 0) -> None:
    same = select(SupportGroup.id).where(SupportGroup.name == name, SupportGroup.id != but)
    if session.scalar(same) is not None:
        raise DuplicateEntry(f"there is a support group {name!r} already")


def _refuse(becoming: str, request: Request, role: Role, allowed: frozenset[Role]) -> None:
    if request.status in CLOSED_STATUSES:
        raise MoveRefused(request.status, becoming, "no_such_move", "reopen it first")
    if role not in allowed:
        raise MoveRefused(request.status, becoming, "not_by_this_role", f"that is for {', '.join(sorted(allowed))}")


def _moved(
    session: Session,
    request: Request,
    kind: str,
    actor: str,
    details: dict[str, Any],
    now: datetime,
    mail: OutboxMail | None,
    notices: Notices,
) -> Request:
    request.status = Status.PENDING_THIRD_PARTY if kind == "referred" else Status.QUEUED
    request.holder, request.held_since = None, now
    add_event(session, request, kind, actor, {"to": request.status, **details}, now)
    for one in (mail, notices.moved(request, kind, details["text"], now=now)):
        if one is not None:
            session.add(one)
            session.flush()
            announce(session, "outbox", one.id)
    session.flush()
    return request
