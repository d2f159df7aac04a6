"""Phones in the browser: the keys they register with, and what becomes of a talk whose phone is lost.

A key is a password that nobody chooses or keeps: each time a page takes the phone it gets another one, and the one
before is worth nothing any more. The row remembers it; every worker tells it to its Asterisk, and tells all of them
again after each (re)connect, since Asterisk has them in its memory only.
"""

import secrets
from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from ivr.models import NOT_LEFT, Agent, Call, Offer, OfferResult, PauseReason, Presence
from ivr.operations import DESK_OPENED, dialled, note_offer
from ivr.settings import node_of
from tickets.database import announce

KEY_MADE = "phone_key"
"""The change after which Asterisk has to be told a new key."""
KEY_BYTES = 32


def has_browser_phone(session: Session, agent_id: int) -> bool:
    """Whether an agent's phone is the one in the browser."""
    return session.scalar(select(Agent.browser_phone).where(Agent.id == agent_id, NOT_LEFT)) or False


def phone_name(endpoint: str) -> str:
    """What Asterisk calls a phone such as `PJSIP/201`: the name it registers with."""
    return endpoint.partition("/")[2]


def keys(session: Session, agent_ids: Collection[int | str] | None = None) -> Sequence[tuple[str, str]]:
    """The browser phones with their keys, as pairs of name and key; all without `agent_ids`."""
    query = select(Agent.endpoint, Agent.phone_key).where(
        Agent.browser_phone.is_(True), Agent.phone_key.is_not(None), NOT_LEFT
    )
    if agent_ids is not None:
        query = query.where(Agent.id.in_(agent_ids))
    return [(phone_name(endpoint or ""), key or "") for endpoint, key in session.execute(query)]


def new_key(session: Session, agent_id: int) -> tuple[str, str] | None:
    """Make a new key for an agent's browser phone, as name and key; None: the agent has another phone."""
    agent = session.get_one(Agent, agent_id, with_for_update=True)
    if not agent.browser_phone or agent.endpoint is None:
        return None
    agent.phone_key = secrets.token_urlsafe(KEY_BYTES)
    announce(session, KEY_MADE, agent_id)
    return phone_name(agent.endpoint), agent.phone_key


def phone_ready(session: Session, agent_id: int, *, now: datetime) -> None:
    """A page says that its phone is registered: it is looked at once, and a caller who waits for it hears of it."""
    agent = session.get_one(Agent, agent_id, with_for_update=True)
    if agent.browser_phone:
        agent.phone_ready_at = now
        announce(session, DESK_OPENED, agent_id)
        announce(session, "agent", agent_id)


def is_back(session: Session, agent_id: int, *, since: datetime) -> bool:
    """Whether a browser phone that was lost at `since` is registered again: the page says so, and so does Asterisk."""
    agent = session.get_one(Agent, agent_id)
    return agent.phone_reachable and agent.phone_ready_at is not None and agent.phone_ready_at > since


def keep_for(session: Session, call_id: str, agent_id: int, *, now: datetime) -> Offer | None:
    """A talk has lost its agent's phone: the agent stays with the call, and gets no other.

    The open offer is rung after `ring_again`, or closed by `give_up` or `did_not_come_back`. None when the agent is
    not in that talk any more.
    """
    app = session.scalars(select(Call.app).where(Call.id == call_id)).one()
    kept = session.execute(
        update(Agent)
        .where(Agent.id == agent_id, Agent.call_id == call_id, Agent.presence == Presence.TALKING, NOT_LEFT)
        .values(phone_reachable=False)
        .returning(Agent.id, Agent.endpoint, Agent.phone_node)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    return None if kept is None else note_offer(session, kept, call_id, app, now=now)


def ring_again(session: Session, offer_id: str, *, now: datetime) -> Offer:
    """The phone is back, perhaps at another node: it is rung as for any offer."""
    offer = session.get_one(Offer, offer_id)
    agent = session.get_one(Agent, offer.agent_id, with_for_update=True)
    app = session.scalars(select(Call.app).where(Call.id == offer.call_id)).one()
    offer.endpoint, offer.offered_at = dialled(agent.endpoint or "", agent.phone_node, at=node_of(app)), now
    if agent.presence is Presence.TALKING and agent.call_id == offer.call_id:
        agent.presence, agent.presence_since = Presence.RINGING, now
    announce(session, "agent", agent.id)
    announce(session, "call", offer.call_id)
    return offer


def give_up(session: Session, offer_id: str, *, now: datetime) -> None:
    """The caller did not wait for the phone; the agent is let go with the call."""
    offer = session.get_one(Offer, offer_id)
    if offer.ended_at is None:
        offer.ended_at, offer.result = now, OfferResult.WITHDRAWN
        announce(session, "call", offer.call_id)


def did_not_come_back(session: Session, offer_id: str, *, now: datetime) -> None:
    """The caller goes to somebody else, and the agent is paused until the phone is there."""
    offer = session.get_one(Offer, offer_id)
    agent = session.get_one(Agent, offer.agent_id, with_for_update=True)
    if offer.ended_at is None:
        offer.ended_at, offer.result = now, OfferResult.UNREACHABLE
        announce(session, "call", offer.call_id)
    if agent.presence is Presence.TALKING and agent.call_id == offer.call_id:
        agent.pause_reason = agent.pause_after_call or PauseReason.PHONE_UNREACHABLE
        agent.call_id, agent.pause_after_call, agent.phone_reachable = None, None, False
        agent.presence, agent.presence_since = Presence.PAUSED, now
        announce(session, "agent", agent.id)
