"""The life of a request: which status follows which, and who may move a request there.

One table says it all; `tickets.operations.move_request` is the only way to use it.
"""

import enum
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from tickets.errors import MoveRefused
from tickets.models import CLOSED_STATUSES, Status


class Role(enum.StrEnum):
    """On whose behalf a request is moved."""

    USER = "user"
    """The user who asked, by mail, phone or at the counter."""
    LEVEL_0 = "level_0"
    """The own desk of the user's company."""
    AGENT = "agent"
    SUPERVISOR = "supervisor"
    SYSTEM = "system"
    """The service itself, or a system that is kept in step with it."""


class RequestSettings(BaseModel):
    """Rules for requests that a site may set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reopen_days: Annotated[int, Field(ge=0, le=365)] = 7
    """So many days after it was solved a request may be reopened; a resolved one is closed when they are over."""

    @property
    def reopen_within(self) -> timedelta:
        """The time in which a request may be reopened."""
        return timedelta(days=self.reopen_days)


REOPEN_WITHIN = RequestSettings().reopen_within

_DESK = frozenset({Role.AGENT, Role.SUPERVISOR, Role.SYSTEM})
_DESK_OR_LEVEL_0 = _DESK | {Role.LEVEL_0}
_DESK_OR_USER = _DESK | {Role.USER}
_ALL = _DESK | {Role.LEVEL_0, Role.USER}
_ABANDON = frozenset({Role.SUPERVISOR, Role.SYSTEM, Role.USER})
"""Who may cancel what somebody works on: an agent solves it, or has a supervisor decide."""

TRANSITIONS: Mapping[tuple[Status, Status], frozenset[Role]] = {
    (Status.NEW, Status.QUEUED): _DESK,
    (Status.NEW, Status.IN_PROGRESS): _DESK_OR_LEVEL_0,
    (Status.NEW, Status.PENDING_USER): _DESK,
    (Status.NEW, Status.PENDING_THIRD_PARTY): _DESK,
    (Status.NEW, Status.RESOLVED): _DESK,
    (Status.NEW, Status.CLOSED): _DESK,
    (Status.NEW, Status.CANCELLED): _DESK_OR_USER,
    (Status.QUEUED, Status.IN_PROGRESS): _DESK_OR_LEVEL_0,
    (Status.QUEUED, Status.PENDING_USER): _DESK,
    (Status.QUEUED, Status.PENDING_THIRD_PARTY): _DESK,
    (Status.QUEUED, Status.RESOLVED): _DESK_OR_LEVEL_0,
    (Status.QUEUED, Status.CLOSED): _DESK,
    (Status.QUEUED, Status.CANCELLED): _DESK_OR_USER,
    (Status.IN_PROGRESS, Status.QUEUED): _DESK_OR_LEVEL_0,
    (Status.IN_PROGRESS, Status.PENDING_USER): _DESK_OR_LEVEL_0,
    (Status.IN_PROGRESS, Status.PENDING_THIRD_PARTY): _DESK,
    (Status.IN_PROGRESS, Status.RESOLVED): _DESK_OR_LEVEL_0,
    (Status.IN_PROGRESS, Status.CLOSED): _DESK,
    (Status.IN_PROGRESS, Status.CANCELLED): _ABANDON,
    (Status.PENDING_USER, Status.QUEUED): _DESK_OR_USER,
    (Status.PENDING_USER, Status.IN_PROGRESS): _ALL,
    (Status.PENDING_USER, Status.PENDING_THIRD_PARTY): _DESK,
    (Status.PENDING_USER, Status.RESOLVED): _DESK_OR_LEVEL_0,
    (Status.PENDING_USER, Status.CLOSED): _DESK,
    (Status.PENDING_USER, Status.CANCELLED): _ABANDON,
    (Status.PENDING_THIRD_PARTY, Status.QUEUED): _DESK_OR_LEVEL_0,
    (Status.PENDING_THIRD_PARTY, Status.IN_PROGRESS): _DESK_OR_LEVEL_0,
    (Status.PENDING_THIRD_PARTY, Status.PENDING_USER): _DESK_OR_LEVEL_0,
    (Status.PENDING_THIRD_PARTY, Status.RESOLVED): _DESK_OR_LEVEL_0,
    (Status.PENDING_THIRD_PARTY, Status.CLOSED): _DESK,
    (Status.PENDING_THIRD_PARTY, Status.CANCELLED): _ABANDON,
    (Status.RESOLVED, Status.QUEUED): _DESK_OR_USER,
    (Status.RESOLVED, Status.IN_PROGRESS): _DESK_OR_USER,
    (Status.RESOLVED, Status.CLOSED): _DESK_OR_USER,
    (Status.CLOSED, Status.QUEUED): _DESK_OR_USER,
    (Status.CLOSED, Status.IN_PROGRESS): _DESK_OR_USER,
}
"""Who may move a request from one status to another; what is not here is refused to everybody. Nothing becomes new
again, and what was cancelled stays so: ask anew."""


def check_move(
    before: Status,
    after: Status,
    role: Role,
    *,
    closed_at: datetime | None,
    now: datetime,
    reopen_within: timedelta = REOPEN_WITHIN,
) -> None:
    """Raise `MoveRefused`, which says why, unless this move is in the table and, if it reopens, in time."""
    allowed = TRANSITIONS.get((before, after))
    if allowed is None:
        raise MoveRefused(before, after, "no_such_move", _instead(before))
    if role not in allowed:
        who = ", ".join(sorted(allowed))
        raise MoveRefused(before, after, "not_by_this_role", f"that is for {who}, not for {role}")
    if reopens(before, after) and closed_at is not None and now - closed_at > reopen_within:
        raise MoveRefused(
            before,
            after,
            "too_late",
            f"it was solved more than {reopen_within.days} days ago: open a new request that follows it",
        )


def moves_from(
    before: Status,
    role: Role,
    *,
    closed_at: datetime | None,
    now: datetime,
    reopen_within: timedelta = REOPEN_WITHIN,
) -> list[Status]:
    """Where somebody of this role may move a request now, in the order of the statuses."""
    allowed = []
    for after in Status:
        try:
            check_move(before, after, role, closed_at=closed_at, now=now, reopen_within=reopen_within)
        except MoveRefused:
            continue
        allowed.append(after)
    return allowed


def reopens(before: Status, after: Status) -> bool:
    """Whether this move makes a finished request an open one."""
    return before in CLOSED_STATUSES and after not in CLOSED_STATUSES


def _instead(before: Status) -> str:
    ways = [after for was, after in TRANSITIONS if was == before]
    if not ways:
        return "that is final: open a new request"
    return f"from there it goes to {', '.join(ways)}"
