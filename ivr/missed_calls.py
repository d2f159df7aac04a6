"""Calls that nobody served, as work with an owner: taken, called back, and done with a reason."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from ivr.models import Call, DoneReason
from ivr.operations import TO_DO
from tickets.database import announce


def take(
    session: Session, call_ids: Collection[str], *, username: str, whoever_has_it: bool = False, now: datetime
) -> list[str]:
    """Look after calls from now on; returns the ids of those that are this person's then.

    What a colleague has stays the colleague's, unless `whoever_has_it`; what is done stays done.
    """
    calls = _to_do(session, call_ids, username, whoever_has_it)
    for call in calls:
        if call.owner != username:
            call.owner, call.owned_since = username, now
            announce(session, TO_DO, call.id)
    return [call.id for call in calls]


def give_back(session: Session, call_ids: Collection[str], *, username: str, whoever_has_it: bool = False) -> list[str]:
    """Let somebody else look after calls; returns the ids of those that are nobody's then."""
    calls = _to_do(session, call_ids, username, whoever_has_it)
    for call in calls:
        call.owner = call.owned_since = None
        announce(session, TO_DO, call.id)
    return [call.id for call in calls]


def finish(
    session: Session,
    call_ids: Collection[str],
    reason: DoneReason,
    *,
    username: str,
    whoever_has_it: bool = False,
    now: datetime,
) -> list[str]:
    """Say that nothing is left to do for calls, and why; returns the ids of those that were finished.

    What a colleague has is not finished, unless `whoever_has_it`.
    """
    calls = _to_do(session, call_ids, username, whoever_has_it)
    for call in calls:
        call.owner, call.owned_since = call.owner or username, call.owned_since or now
        call.to_do_since, call.done_at, call.done_by, call.done_reason = None, now, username, reason
        announce(session, TO_DO, call.id)
    return [call.id for call in calls]


def _to_do(session: Session, call_ids: Collection[str], username: str, whoever_has_it: bool) -> Sequence[Call]:
    """Those that wait for somebody and that this person may have, locked in the order of their ids."""
    waiting = (
        select(Call)
        .where(Call.id.in_(call_ids), Call.to_do_since.is_not(None))
        .order_by(Call.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return [call for call in session.scalars(waiting) if whoever_has_it or call.owner in (None, username)]
