"""Which moves of a request there are, for whom and for how long."""

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from tickets.errors import MoveRefused
from tickets.lifecycle import REOPEN_WITHIN, TRANSITIONS, Role, check_move, reopens
from tickets.models import CLOSED_STATUSES, Status

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)
DESK = {Role.AGENT, Role.SUPERVISOR, Role.SYSTEM}

# The rules as people say them, written a second time so that a slip in the table is seen.
BY_ALL_AT_THE_DESK = {
    Status.NEW: "queued in_progress pending_user pending_third_party resolved closed",
    Status.QUEUED: "in_progress pending_user pending_third_party resolved closed",
    Status.IN_PROGRESS: "queued pending_user pending_third_party resolved closed",
    Status.PENDING_USER: "queued in_progress pending_third_party resolved closed",
    Status.PENDING_THIRD_PARTY: "queued in_progress pending_user resolved closed",
    Status.RESOLVED: "queued in_progress closed",
    Status.CLOSED: "queued in_progress",
    Status.CANCELLED: "",
}
BY_THE_USER = {
    (Status.NEW, Status.CANCELLED),
    (Status.QUEUED, Status.CANCELLED),
    (Status.IN_PROGRESS, Status.CANCELLED),
    (Status.PENDING_USER, Status.CANCELLED),
    (Status.PENDING_THIRD_PARTY, Status.CANCELLED),
    (Status.PENDING_USER, Status.QUEUED),
    (Status.PENDING_USER, Status.IN_PROGRESS),
    (Status.RESOLVED, Status.CLOSED),
    (Status.RESOLVED, Status.QUEUED),
    (Status.RESOLVED, Status.IN_PROGRESS),
    (Status.CLOSED, Status.QUEUED),
    (Status.CLOSED, Status.IN_PROGRESS),
}


def meant(before: Status, after: Status, role: Role) -> bool:
    """Whether somebody may make this move, by the rules as told above."""
    if role == Role.USER:
        return (before, after) in BY_THE_USER
    if after == Status.CANCELLED:
        waits = before in (Status.NEW, Status.QUEUED)
        return before not in CLOSED_STATUSES and role in (DESK if waits else {Role.SUPERVISOR, Role.SYSTEM})
    if role == Role.LEVEL_0:  # works on what it has: neither closes, nor reopens, nor hands to others
        open_ones = {Status.QUEUED, Status.IN_PROGRESS, Status.PENDING_USER, Status.PENDING_THIRD_PARTY}
        if before == after or before not in {Status.NEW, *open_ones}:
            return False
        if after == Status.IN_PROGRESS:
            return True
        if after == Status.RESOLVED:
            return before in open_ones
        return (before, after) in {
            (Status.IN_PROGRESS, Status.QUEUED),
            (Status.IN_PROGRESS, Status.PENDING_USER),
            (Status.PENDING_THIRD_PARTY, Status.QUEUED),
            (Status.PENDING_THIRD_PARTY, Status.PENDING_USER),
        }
    return after in BY_ALL_AT_THE_DESK[before].split()


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize(("before", "after"), list(product(Status, Status)))
def test_every_pair_of_states_and_every_role(before: Status, after: Status, role: Role) -> None:
    closed_at = NOW if before in CLOSED_STATUSES else None
    if meant(before, after, role):
        check_move(before, after, role, closed_at=closed_at, now=NOW)
    else:
        with pytest.raises(MoveRefused, match=f"that is {before} cannot become {after}: .{{10}}") as refused:
            check_move(before, after, role, closed_at=closed_at, now=NOW)
        assert refused.value.reason == ("not_by_this_role" if (before, after) in TRANSITIONS else "no_such_move")


@pytest.mark.parametrize("before", [Status.RESOLVED, Status.CLOSED])
@pytest.mark.parametrize("after", [Status.QUEUED, Status.IN_PROGRESS])
@pytest.mark.parametrize("role", [Role.USER, Role.AGENT])
def test_a_request_is_reopened_within_its_time_only(before: Status, after: Status, role: Role) -> None:
    assert reopens(before, after)
    check_move(before, after, role, closed_at=NOW - REOPEN_WITHIN, now=NOW)
    with pytest.raises(MoveRefused, match="more than 7 days ago: open a new request that follows it"):
        check_move(before, after, role, closed_at=NOW - REOPEN_WITHIN - timedelta(seconds=1), now=NOW)


def test_nothing_becomes_new_again_and_what_was_cancelled_stays_so() -> None:
    assert not [pair for pair in TRANSITIONS if pair[1] == Status.NEW or pair[0] == Status.CANCELLED]
