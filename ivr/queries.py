"""What is read of calls and agents."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from ivr.models import NOT_LEFT, Agent, Call, Offer, Outcome, Phase, Presence


def position_in_line(session: Session, call_id: str) -> int:
    """The call's place in its queue, 1 for the next; calls that ring already count as before it."""
    call = session.get_one(Call, call_id)
    before = or_(
        Call.priority > call.priority,
        and_(Call.priority == call.priority, Call.queued_at < call.queued_at),
    )
    ahead = session.scalar(
        select(func.count()).where(
            Call.phase.in_((Phase.WAITING, Phase.RINGING)), Call.queue == call.queue, Call.id != call_id, before
        )
    )
    return (ahead or 0) + 1


def agents_on_duty(session: Session, queue: str) -> int:
    """How many agents serve a queue now or soon: on duty, not paused, with a desk and a phone that can be reached."""
    rows = session.execute(
        select(Agent.queues).where(
            Agent.presence.in_((Presence.FREE, Presence.RINGING, Presence.TALKING, Presence.WRAP_UP)),
            Agent.desk_connected.is_(True),
            Agent.phone_reachable.is_(True),
        )
    )
    return sum(queue in queues for (queues,) in rows)


def open_calls(session: Session, app: str) -> Sequence[Call]:
    """Every call of an application without an outcome, oldest first."""
    open_ones = select(Call).where(Call.app == app, Call.ended_at.is_(None)).order_by(Call.started_at)
    return session.scalars(open_ones).all()


def apps_of_open_calls(session: Session) -> set[str]:
    """The applications that have calls without an outcome."""
    return set(session.scalars(select(Call.app).where(Call.ended_at.is_(None)).distinct()))


_STANDS = or_(Call.ended_at.is_(None), Call.outcome == Outcome.LOST)
"""The condition for a call whose channels and bridges are somebody's: one that counts as lost may have gone on."""


def standing(session: Session, call_ids: Collection[str]) -> set[str]:
    """Those of the calls that are open or may have gone on, whoever serves them."""
    return set(session.scalars(select(Call.id).where(Call.id.in_(call_ids), _STANDS)))


def calls_of_channels(session: Session, channel_ids: Collection[str]) -> dict[str, Call]:
    """The calls that channels of ours belong to: agents by their offer, who talks or talked last, or is called back."""
    by_offer = select(Offer.id, Call).join(Call).where(Offer.id.in_(channel_ids), _STANDS)
    by_talk = select(Call.agent_channel_id, Call).where(Call.agent_channel_id.in_(channel_ids), Call.ended_at.is_(None))
    called_back = select(Call.channel_id, Call).where(
        Call.channel_id.in_(channel_ids), Call.outbound.is_(True), Call.ended_at.is_(None)
    )
    found = [*session.execute(by_offer), *session.execute(by_talk), *session.execute(called_back)]
    return {str(channel_id): row for channel_id, row in found}


def offers_unheard(session: Session, apps: Collection[str]) -> Sequence[Offer]:
    """Offers that still ring for calls of some applications: made by another worker, they may not have been heard."""
    return session.scalars(
        select(Offer).join(Call).where(Call.app.in_(apps), Call.phase == Phase.RINGING, Offer.ended_at.is_(None))
    ).all()


def call(session: Session, call_id: str) -> Call | None:
    """One call."""
    return session.get(Call, call_id)


def call_on_channel(session: Session, channel_id: str, app: str) -> Call | None:
    """The call of a channel in an application's hands; another Asterisk may have a channel of the same id."""
    found = select(Call).where(Call.channel_id == channel_id, Call.app == app).limit(1)
    return session.scalars(found).one_or_none()


def lost_calls(session: Session, channel_ids: Collection[str], app: str) -> Sequence[Call]:
    """The calls that count as lost, of channels in an application's hands."""
    return session.scalars(
        select(Call).where(Call.channel_id.in_(channel_ids), Call.app == app, Call.outcome == Outcome.LOST)
    ).all()


def open_offers(session: Session, call_id: str) -> Sequence[Offer]:
    """The offers of a call that still ring."""
    return session.scalars(select(Offer).where(Offer.call_id == call_id, Offer.ended_at.is_(None))).all()


def waiting_calls(session: Session) -> Sequence[Call]:
    """The waiting line, in the order it is served, with the calls that ring already."""
    return session.scalars(
        select(Call)
        .where(Call.phase.in_((Phase.WAITING, Phase.RINGING)), Call.queued_at.is_not(None))
        .order_by(Call.priority.desc(), Call.queued_at, Call.id)
    ).all()


def agents(session: Session) -> Sequence[Agent]:
    """All agents by name, without those who have left."""
    return session.scalars(select(Agent).where(NOT_LEFT).order_by(Agent.name)).all()


def phones(session: Session) -> dict[str, tuple[bool, str]]:
    """Every agent's phone: whether it was reachable at the last look, and at which node."""
    rows = session.execute(select(Agent.endpoint, Agent.phone_reachable, Agent.phone_node).where(NOT_LEFT))
    return {str(endpoint): (reachable, node) for endpoint, reachable, node in rows}


def attempts_since(session: Session, caller: str, since: datetime) -> int:
    """How many calls came from a number since a time."""
    theirs = select(func.count()).where(Call.caller == caller, Call.started_at >= since, Call.outbound.is_(False))
    return session.scalar(theirs) or 0


def tickets_keyed_since(session: Session, caller: str | None, since: datetime) -> int:
    """How many ticket numbers were keyed since a time from one number; without one, by all who do not show theirs."""
    theirs = Call.caller == caller if caller is not None else Call.caller.is_(None)
    keyed = select(func.coalesce(func.sum(Call.tickets_keyed), 0)).where(theirs, Call.started_at >= since)
    return int(session.scalar(keyed) or 0)
