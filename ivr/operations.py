"""What changes calls and agents: each function is one step inside one transaction.

The steps of every call are plain statements made once, beside the function that runs them: making one costs more than
running it. A claim is a compare-and-set, so that two workers can never ring one agent twice. What else changes an agent
locks the row first, calls before agents (SQLite has one writer at a time and ignores that).
"""

import re
import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import CursorResult, Row, String, and_, bindparam, case, func, insert, select, update
from sqlalchemy.orm import Session

from ivr.assignment import FreeAgent, WaitingCall, assign
from ivr.config import Queue
from ivr.errors import AgentRefused, CommandRefused, PresenceRefused, WrapUpRefused
from ivr.models import (
    NOT_LEFT,
    TIMED_OUT,
    UNSERVED,
    Agent,
    Call,
    Offer,
    OfferResult,
    Outcome,
    PauseReason,
    Phase,
    Presence,
)
from ivr.queries import apps_of_open_calls
from ivr.settings import node_of
from tickets.database import UTCDateTime, announce, execute
from tickets.models import SYNTHETIC
from tickets.texts import clean_line

WAITING = "waiting"
FREE_AGENT = "free_agent"
"""Changes after which a new decision is due (beside `call` and `agent`, which are for screens)."""
OFFERED = "offered"
"""The change after which whoever serves the call has to hear of its offers, where another worker decided."""
TO_DO = "to_do"
"""The change after which a call begins or ceases to wait for somebody to look after it, or has another owner."""
DESK_OPENED = "desk_opened"
"""The change after which it should be known at once whether the agent's phone can be rung."""

NODE_TRUNK = "centralino-node-"
"""How trunks to other nodes are named in Asterisk's configuration (by `asterisk_conf`), before the node's name."""
HEAD_OF_LINE = 50
"""At most this many waiting calls are looked at in one decision, of those that a free agent could take."""

_NOW = bindparam("now", type_=UTCDateTime)

# ---------------------------------------------------------------------------------------------------------- calls

_BEGIN = insert(Call)


def begin_call(
    session: Session,
    *,
    call_id: str,
    app: str,
    channel_id: str,
    line: str,
    language: str,
    caller: str | None,
    caller_name: str | None = None,
    contact_id: int | None = None,
    now: datetime,
) -> None:
    """Write the row of a call that has just reached the line. `caller` is E.164 where it could be read."""
    execute(
        session,
        _BEGIN,
        {
            "id": call_id,
            "app": app,
            "channel_id": channel_id,
            "line": line,
            "language": language,
            "caller": caller,
            "caller_name": caller_name,
            "contact_id": contact_id,
            "phase": Phase.GREETING,
            "priority": 0,
            "started_at": now,
        },
    )
    announce(session, "call", call_id)


_BOOKMARK = (
    update(Call)
    .where(Call.id == bindparam("of_call"), Call.ended_at.is_(None))
    .values(phase=bindparam("next_phase"))
    .execution_options(synchronize_session=False)
)


def bookmark(session: Session, /, call_id: str, phase: Phase, **columns: Any) -> None:
    """Write that a call begins a step; `columns` are set with it. Does nothing to a call that has ended."""
    statement = _BOOKMARK.values(**columns) if columns else _BOOKMARK
    execute(session, statement, {"of_call": call_id, "next_phase": phase})
    announce(session, "call", call_id)


_JOIN = (
    update(Call)
    .where(Call.id == bindparam("of_call"), Call.ended_at.is_(None))
    .values(
        phase=Phase.WAITING,
        queued_at=case(
            (Call.queue == bindparam("next_queue"), func.coalesce(Call.queued_at, _NOW)),
            else_=_NOW,
        ),
        queue=bindparam("next_queue"),
        priority=bindparam("next_priority"),
        choice=func.coalesce(bindparam("next_choice", type_=String), Call.choice),
    )
    .execution_options(synchronize_session=False)
)


def join_queue(session: Session, call_id: str, queue: str, *, priority: int, choice: str | None, now: datetime) -> None:
    """Put a call into the waiting line; one that waited there before keeps its place."""
    execute(
        session,
        _JOIN,
        {"of_call": call_id, "next_queue": queue, "next_priority": priority, "next_choice": choice, "now": now},
    )
    announce(session, "call", call_id)
    announce(session, WAITING, call_id)


def name_calls(session: Session, app: str) -> None:
    """Give the open calls of a version that did not write an application to the one that serves now."""
    session.execute(
        update(Call)
        .where(Call.app == "", Call.ended_at.is_(None))
        .values(app=app)
        .execution_options(synchronize_session=False)
    )


def wait_again(session: Session, call_id: str) -> None:
    """Nobody answered: the call is back in its place in the line."""
    bookmark(session, call_id, Phase.WAITING)
    announce(session, WAITING, call_id)


def leave_line(session: Session, call_id: str, phase: Phase) -> bool:
    """Take a call out of the waiting line for another step; False when an offer was made just now."""
    return _change_waiting(session, call_id, phase=phase)


def _change_waiting(session: Session, call_id: str, **values: Any) -> bool:
    """Change a call as long as it waits in the line; False when it waits no more."""
    changed = session.execute(
        update(Call)
        .where(Call.id == call_id, Call.phase == Phase.WAITING)
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    if _rows(changed) != 1:
        return False
    announce(session, "call", call_id)
    return True


_LINE = (
    select(Call.id, Call.app, Call.queue, Call.priority, Call.queued_at)
    .where(
        Call.phase == Phase.WAITING,
        Call.app.in_(bindparam("apps", expanding=True)),
        Call.queue.in_(bindparam("queues", expanding=True)),
    )
    .order_by(Call.priority.desc(), Call.queued_at, Call.id)
    .limit(HEAD_OF_LINE)
    .with_for_update(skip_locked=True)
)
_CAN_BE_RUNG = (
    Agent.presence == Presence.FREE,
    Agent.desk_connected.is_(True),
    Agent.phone_reachable.is_(True),
    NOT_LEFT,
)
_FREE_AGENTS = select(Agent.id, Agent.queues, Agent.free_since).where(
    *_CAN_BE_RUNG, Agent.phone_node.in_(bindparam("nodes", expanding=True))
)
_TRIED = select(Offer.call_id, Offer.agent_id).where(
    Offer.call_id.in_(bindparam("calls", expanding=True)), Offer.result != OfferResult.WITHDRAWN
)


def make_offers(
    session: Session,
    held: Collection[str],
    queues: Mapping[str, Queue],
    *,
    own: Collection[str],
    others: Collection[str] = (),
    nodes: Collection[str] = ("",),
    now: datetime,
) -> list[Offer]:
    """Match the head of the line with free agents and claim them: one decision, one transaction.

    `held` are the waiting calls that the worker which decides serves itself, in its `own` applications; `others` are
    the applications of other workers that are alive: an offer to any other call would be heard by nobody. `nodes` are
    the Asterisks that are reached: only phones at these can be rung.

    Returns the new offers; their calls are in phase `ringing` and their agents in presence `ringing`.
    """
    found = execute(session, _FREE_AGENTS, {"nodes": list(nodes)})
    agents = [FreeAgent(row.id, row.queues, row.free_since or now) for row in found]
    if not agents:
        return []
    served = sorted({queue for agent in agents for queue in agent.queues})
    line = execute(session, _LINE, {"apps": [*own, *others], "queues": served})
    waiting = [row for row in line if row.id in held or row.app in others]
    if not waiting:
        return []
    tried: dict[str, set[int]] = {}
    for offer in execute(session, _TRIED, {"calls": [row.id for row in waiting]}):
        tried.setdefault(offer.call_id, set()).add(offer.agent_id)
    calls = [WaitingCall(row.id, row.queue, row.priority, row.queued_at, tried.get(row.id, ())) for row in waiting]
    apps = {row.id: row.app for row in waiting}
    offers = []
    for assignment in assign(calls, agents, {name: queue.ring_agents for name, queue in queues.items()}):
        call_id = assignment.call.id
        claimed = [_claim(session, agent.id, call_id, apps[call_id], now=now) for agent in assignment.agents]
        made = [offer for offer in claimed if offer is not None]
        if made:
            bookmark(session, call_id, Phase.RINGING)
            offers += made
    return offers


def offer_to(session: Session, call_id: str, agent_id: int, *, now: datetime) -> Offer | None:
    """Claim one named agent for a call (a transfer); None when the agent is not free and reachable."""
    app = session.scalars(select(Call.app).where(Call.id == call_id)).one()
    return _claim(session, agent_id, call_id, app, now=now)


_CLAIM = (
    update(Agent)
    .where(Agent.id == bindparam("of_agent"), *_CAN_BE_RUNG)
    .values(presence=Presence.RINGING, presence_since=_NOW, call_id=bindparam("for_call"))
    .returning(Agent.id, Agent.endpoint, Agent.phone_node)
    .execution_options(synchronize_session=False)
)

_OFFER = insert(Offer)


def new_offer_id() -> str:
    """The id of an offer, and of the channel that rings for it."""
    return f"centralino-{uuid.uuid4().hex[:20]}"


def _claim(session: Session, agent_id: int, call_id: str, app: str, *, now: datetime) -> Offer | None:
    claimed = execute(session, _CLAIM, {"of_agent": agent_id, "for_call": call_id, "now": now}).one_or_none()
    return None if claimed is None else note_offer(session, claimed, call_id, app, now=now)


def note_offer(session: Session, claimed: Row[*tuple[Any, ...]], call_id: str, app: str, *, now: datetime) -> Offer:
    """Write down that a claimed agent (id, phone and its node) is to be rung for a call."""
    agent_id = claimed.id
    offer = {
        "id": new_offer_id(),
        "call_id": call_id,
        "agent_id": agent_id,
        "endpoint": dialled(claimed.endpoint, claimed.phone_node, at=node_of(app)),
        "offered_at": now,
    }
    execute(session, _OFFER, offer)
    announce(session, OFFERED, call_id)
    announce(session, "agent", agent_id)
    announce(session, "call", call_id)
    return Offer(**offer)


def dialled(endpoint: str, node: str, *, at: str) -> str:
    """A phone as the Asterisk at which the caller is dials it: one at another node by way of the trunk to that node."""
    if node == at or not node:
        return endpoint
    return f"PJSIP/{endpoint.partition('/')[2]}@{NODE_TRUNK}{node}"


def end_offer(session: Session, offer_id: str, result: OfferResult, *, misses_before_pause: int, now: datetime) -> None:
    """Close an offer that was not answered, or only for a consultation, and say what becomes of its agent.

    Missed or rejected `misses_before_pause` times in a row: paused, told why. Unreachable phone: paused. Withdrawn:
    free again, idle since before.
    """
    offer = session.get_one(Offer, offer_id)
    agent = _locked(session, offer.agent_id)
    if offer.ended_at is not None:
        return
    offer.ended_at, offer.result = now, result
    announce(session, "call", offer.call_id)
    if agent.presence not in (Presence.RINGING, Presence.TALKING) or agent.call_id != offer.call_id:
        return
    if agent.presence is Presence.TALKING:
        _after_call(session, agent, now=now)
        return
    if agent.pause_after_call is not None:  # who paused, and called somebody back
        _after_call(session, agent, now=now)
        return
    agent.call_id = None
    if result in (OfferResult.MISSED, OfferResult.REJECTED):
        agent.misses += 1
        if agent.misses >= misses_before_pause:
            _set_presence(session, agent, Presence.PAUSED, now=now, reason=PauseReason.MISSED_CALL)
            return
    elif result is OfferResult.UNREACHABLE:
        agent.phone_reachable = False
        _set_presence(session, agent, Presence.PAUSED, now=now, reason=PauseReason.PHONE_UNREACHABLE)
        return
    free_since = agent.free_since
    _set_presence(session, agent, Presence.FREE, now=now)
    if result is OfferResult.WITHDRAWN:
        agent.free_since = free_since


_TALK = (
    update(Call)
    .where(Call.id == bindparam("of_call"), Call.ended_at.is_(None))
    .values(
        phase=Phase.TALKING,
        answered_at=func.coalesce(Call.answered_at, _NOW),
        agent_id=bindparam("by_agent"),
        agent_channel_id=bindparam("by_channel"),
        bridge_id=bindparam("in_bridge"),
        on_hold=False,
        consulting=False,
        third_away=False,
    )
    .execution_options(synchronize_session=False)
)
_AGENT_TALKS = (
    update(Agent)
    .where(
        Agent.id == bindparam("of_agent"),
        # late, when the call is over and has let go of its agents, it must not take them again
        Agent.call_id == bindparam("in_call"),
        Agent.presence.in_((Presence.RINGING, Presence.TALKING)),
    )
    .values(presence=Presence.TALKING, presence_since=_NOW, misses=0)
    .returning(Agent.browser_phone)
    .execution_options(synchronize_session=False)
)
_OFFER_ANSWERED = (
    update(Offer)
    .where(Offer.id == bindparam("of_offer"))
    .values(ended_at=_NOW, result=OfferResult.ANSWERED)
    .execution_options(synchronize_session=False)
)


def answer_offer(session: Session, offer: Offer, *, bridge_id: str, now: datetime) -> bool:
    """An agent has answered: the call is `talking` and so is the agent. Returns whether in the browser."""
    talk = {"of_call": offer.call_id, "by_agent": offer.agent_id, "by_channel": offer.id, "in_bridge": bridge_id}
    execute(session, _TALK, {**talk, "now": now})
    talks = {"of_agent": offer.agent_id, "in_call": offer.call_id, "now": now}
    in_browser = execute(session, _AGENT_TALKS, talks).scalar_one_or_none()
    execute(session, _OFFER_ANSWERED, {"of_offer": offer.id, "now": now})
    announce(session, "agent", offer.agent_id)
    announce(session, "call", offer.call_id)
    return bool(in_browser)


def begin_consultation(session: Session, offer: Offer, *, now: datetime) -> None:
    """An agent who is asked has answered, and talks; the call stays with the one who asks."""
    execute(session, _AGENT_TALKS, {"of_agent": offer.agent_id, "in_call": offer.call_id, "now": now})
    announce(session, "agent", offer.agent_id)
    announce(session, "call", offer.call_id)


def leave_talk(session: Session, agent_id: int, *, wrap_up_seconds: float, now: datetime) -> None:
    """An agent's talk is over: wrap-up begins, or the pause asked for, or the agent is free."""
    agent = _locked(session, agent_id)
    if agent.presence is Presence.TALKING:
        _end_talk(session, agent, wrap_up_seconds=wrap_up_seconds, now=now)


_END = (
    update(Call)
    .where(Call.id == bindparam("of_call"), Call.ended_at.is_(None))
    .values(
        phase=Phase.ENDED,
        outcome=bindparam("how"),
        outcome_note=bindparam("why"),
        ended_at=_NOW,
        to_do_since=case(
            (
                and_(Call.outbound.is_(False), Call.caller.is_not(None), Call.id < SYNTHETIC),
                bindparam("unserved_since", type_=UTCDateTime),
            ),
            else_=None,
        ),
    )
    .execution_options(synchronize_session=False)
)


def end_call(
    session: Session,
    call_id: str,
    outcome: Outcome,
    *,
    note: str | None = None,
    wrap_up_seconds: float = 0.0,
    now: datetime,
) -> bool:
    """Close a call's row with its outcome and let go of every agent it held; False when it was closed already.

    One whose caller nobody served waits for somebody to look after it (`ivr.missed_calls`).
    """
    unserved = outcome in UNSERVED
    closed = execute(
        session,
        _END,
        {"of_call": call_id, "how": outcome, "why": note, "now": now, "unserved_since": now if unserved else None},
    )
    if _rows(closed) != 1:
        return False
    announce(session, "call", call_id)
    if unserved:
        announce(session, TO_DO, call_id)
    _release_agents(session, call_id, wrap_up_seconds=wrap_up_seconds, now=now)
    return True


def correct_outcome(session: Session, call_id: str, wrong: Collection[Outcome], right: Outcome) -> None:
    """How a call ended turns out to be otherwise than it was written; another outcome stays."""
    session.execute(
        update(Call)
        .where(Call.id == call_id, Call.outcome.in_(wrong))
        .values(outcome=right, **({} if right in UNSERVED else {"to_do_since": None}))
        .execution_options(synchronize_session=False)
    )
    announce(session, "call", call_id)
    announce(session, TO_DO, call_id)


def take_back(session: Session, call_id: str, *, wrap_up_seconds: float, now: datetime) -> None:
    """Nobody has the call any more: its agents are let go, and it is out of the line until it joins again."""
    _release_agents(session, call_id, wrap_up_seconds=wrap_up_seconds, now=now)
    bookmark(session, call_id, Phase.MENU)


_AGENTS_OF_CALL = (
    select(Agent)
    .where(Agent.call_id == bindparam("of_call"), Agent.presence.in_((Presence.RINGING, Presence.TALKING)))
    .with_for_update()
)


def _release_agents(session: Session, call_id: str, *, wrap_up_seconds: float, now: datetime) -> None:
    for agent in session.scalars(_AGENTS_OF_CALL, {"of_call": call_id}):
        if agent.presence is Presence.TALKING:
            _end_talk(session, agent, wrap_up_seconds=wrap_up_seconds, now=now)
        else:
            _after_call(session, agent, now=now)
            session.execute(
                update(Offer)
                .where(Offer.call_id == call_id, Offer.agent_id == agent.id, Offer.ended_at.is_(None))
                .values(ended_at=now, result=OfferResult.WITHDRAWN)
                .execution_options(synchronize_session=False)
            )


def lose_node(session: Session, node: str, queues: Mapping[str, Queue], *, note: str, now: datetime) -> list[str]:
    """Close what an Asterisk carried that nobody reaches any more: its open calls, with a note that says so.

    The agents who talked in them are let go, those whose phones are registered there cannot be rung until it is back
    or the phones are found elsewhere. Returns the ids of the calls.
    """
    apps = apps_of_open_calls(session)
    lost = session.execute(
        select(Call.id, Call.queue)
        .where(Call.app.in_([app for app in apps if node_of(app) == node]), Call.ended_at.is_(None))
        .order_by(Call.id)
        .with_for_update()
    ).all()
    for call in lost:
        wrap_up = queues[call.queue].wrap_up_seconds if call.queue in queues else 0.0
        end_call(session, call.id, Outcome.LOST, note=note, wrap_up_seconds=wrap_up, now=now)
    there = select(Agent).where(Agent.phone_node == node, Agent.phone_reachable.is_(True)).with_for_update()
    for agent in session.scalars(there):
        agent.phone_reachable = False
        announce(session, "agent", agent.id)
    return [call.id for call in lost]


def reopen_call(session: Session, call_id: str, phase: Phase, *, now: datetime) -> bool:
    """A call that counted as lost has gone on: its row is open again, in that phase; False when it was no such call.

    The agent who talks in it has it again, unless another call was taken meanwhile.
    """
    call = session.get_one(Call, call_id, with_for_update=True)
    if call.outcome is not Outcome.LOST:
        return False
    call.phase, call.outcome, call.outcome_note, call.ended_at = phase, None, None, None
    call.to_do_since = call.owner = call.owned_since = call.done_at = call.done_by = call.done_reason = None
    announce(session, TO_DO, call_id)
    if phase is Phase.TALKING and call.agent_id is not None:
        agent = _locked(session, call.agent_id)
        if agent.presence not in (Presence.RINGING, Presence.TALKING):
            agent.call_id = call_id
            _set_presence(session, agent, Presence.TALKING, now=now)
    announce(session, "call", call_id)
    return True


def save_draft(session: Session, call_id: str, draft: dict[str, Any]) -> None:
    """Keep the request form of a call as far as it is filled."""
    session.execute(update(Call).where(Call.id == call_id).values(draft=draft))


def count_ticket_keyed(session: Session, call_id: str) -> None:
    """The caller has keyed one more ticket number."""
    session.execute(
        update(Call)
        .where(Call.id == call_id)
        .values(tickets_keyed=Call.tickets_keyed + 1)
        .execution_options(synchronize_session=False)
    )


def bind_request(session: Session, call_id: str, request_id: int) -> None:
    """Bind a call to the request it was about."""
    session.execute(update(Call).where(Call.id == call_id).values(request_id=request_id))
    announce(session, "call", call_id)


# ------------------------------------------------------------------------------------- steered by supervisors


def move_to_head(session: Session, call_id: str) -> int | None:
    """Put a waiting call before all others of its queue; gives its new priority, None when it waits no more."""
    call = session.scalar(select(Call).where(Call.id == call_id, Call.phase == Phase.WAITING).with_for_update())
    if call is None:
        return None
    others = (Call.queue == call.queue, Call.phase.in_((Phase.WAITING, Phase.RINGING)), Call.id != call_id)
    highest = session.scalar(select(func.max(Call.priority)).where(*others))
    if highest is not None:
        call.priority = max(call.priority, highest + 1)
    announce(session, "call", call_id)
    announce(session, WAITING, call_id)
    return call.priority


def move_to_queue(session: Session, call_id: str, queue: str) -> bool:
    """Let a waiting call wait in another queue, as long as it has waited already; False when it waits no more."""
    if not _change_waiting(session, call_id, queue=queue):
        return False
    announce(session, WAITING, call_id)
    return True


def offer_waiting_to(session: Session, call_id: str, agent_id: int, *, now: datetime) -> Offer:
    """Offer a waiting call to one named agent. Raises CommandRefused when the call or the agent cannot be had now."""
    if not leave_line(session, call_id, Phase.RINGING):
        raise CommandRefused("the call is not waiting any more")
    offer = offer_to(session, call_id, agent_id, now=now)
    if offer is None:
        raise CommandRefused("that agent is not free, or not reachable, just now")
    return offer


def steer_presence(
    session: Session, agent_id: int, presence: Presence, *, reason: str | None = None, by: str, now: datetime
) -> Agent:
    """A supervisor pauses an agent, takes an agent off duty, or ends a pause that a supervisor began.

    `reason` is one of the site's, needed for a pause. The agent's page tells who did it. During a call a pause begins
    after it. Raises PresenceRefused, AgentRefused.
    """
    agent = session.get(Agent, agent_id, with_for_update=True)
    if agent is None or agent.endpoint is None:
        raise AgentRefused("there is no such agent any more")
    if presence is Presence.OFFLINE:
        agent = go_offline(session, agent_id, now=now)
    elif presence is Presence.PAUSED and reason:
        agent = pause(session, agent_id, reason, now=now)
    elif presence is Presence.FREE:
        if agent.presence_by is None:
            raise PresenceRefused("only the agent can be free again: it was no supervisor who paused or took them off")
        return go_free(session, agent_id, now=now)
    else:
        raise PresenceRefused("a state that only calls make, or a pause without its reason")
    agent.presence_by = by
    return agent


# --------------------------------------------------------------------------------------------------------- agents


LONGEST_NAME = 120
_USERNAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_ENDPOINT = re.compile(r"[A-Za-z0-9]+/[^\s/,&@]+")


IN_CALL = "in_call"
"""The code of what an agent in a call is refused."""


def add_agent(
    session: Session,
    username: str,
    name: str,
    endpoint: str,
    queues: Sequence[str],
    *,
    browser_phone: bool = False,
    now: datetime,
) -> Agent:
    """Add an agent, or take back one who had left; `endpoint` is the phone, such as `PJSIP/101`.

    `browser_phone`: it is the one in the browser.

    Raises AgentRefused for a user name or a phone that is taken, and for what is no user name, name or phone.
    """
    if not is_username(username):
        words = f"{username!r} is no user name: small letters and digits, with . _ - between them"
        raise AgentRefused(words, "username", "no_username")
    agent = session.scalar(select(Agent).where(Agent.username == username).with_for_update())
    if agent is None:
        agent = Agent(username=username)
    elif agent.endpoint is not None:
        raise AgentRefused(f"there is an agent with the user name {username!r} already", "username", "taken")
    agent.name, agent.queues = _shown_name(name), list(queues)
    agent.endpoint, agent.browser_phone = _free_endpoint(session, endpoint), browser_phone
    agent.presence, agent.presence_since = Presence.OFFLINE, now
    session.add(agent)
    session.flush()
    announce(session, "agent", agent.id)
    return agent


def is_username(text: str) -> bool:
    """Whether a text may be a user name."""
    return _USERNAME.fullmatch(text) is not None


def change_agent(
    session: Session,
    username: str,
    *,
    name: str | None = None,
    endpoint: str | None = None,
    queues: Sequence[str] | None = None,
    browser_phone: bool | None = None,
) -> Agent:
    """Change what is given of an agent. Raises AgentRefused as `add_agent` does, and for an unknown user name."""
    agent = _agent_named(session, username)
    if name is not None:
        agent.name = _shown_name(name)
    if endpoint is not None and endpoint != agent.endpoint:
        agent.endpoint = _free_endpoint(session, endpoint)
        agent.phone_reachable = False  # until the next look at the phones
    if queues is not None:
        agent.queues = list(queues)
    if browser_phone is not None:
        agent.browser_phone, agent.phone_key = browser_phone, None
    announce(session, "agent", agent.id)
    announce(session, FREE_AGENT, agent.id)
    return agent


def remove_agent(session: Session, username: str, *, now: datetime) -> None:
    """Let an agent leave: without phone and queues, but with all history. Raises AgentRefused, also during a call."""
    removed = session.scalar(
        update(Agent)
        .where(
            Agent.username == username,
            NOT_LEFT,
            Agent.presence.not_in((Presence.RINGING, Presence.TALKING)),
        )
        .values(
            endpoint=None,
            browser_phone=False,
            phone_key=None,
            queues=[],
            presence=Presence.OFFLINE,
            presence_since=now,
            presence_by=None,
            pause_reason=None,
            pause_after_call=None,
            wrap_up_until=None,
            misses=0,
            phone_reachable=False,
            call_id=None,
        )
        .returning(Agent.id)
        .execution_options(synchronize_session=False)
    )
    if removed is None:
        _agent_named(session, username)
        raise AgentRefused(f"{username} is in a call just now: try again afterwards", "username", IN_CALL)
    announce(session, "agent", removed)
    for call in session.scalars(select(Call).where(Call.to_do_since.is_not(None), Call.owner == username)):
        call.owner = call.owned_since = None  # somebody else is to look after it
        announce(session, TO_DO, call.id)


def _agent_named(session: Session, username: str) -> Agent:
    agent = session.scalar(select(Agent).where(Agent.username == username, NOT_LEFT).with_for_update())
    if agent is None:
        raise AgentRefused(f"there is no agent with the user name {username!r}")
    return agent


def _shown_name(name: str) -> str:
    if not (line := clean_line(name)) or len(line) > LONGEST_NAME:
        raise AgentRefused(f"a name has 1 to {LONGEST_NAME} characters", "name", "name_length")
    return line


def _free_endpoint(session: Session, endpoint: str) -> str:
    if _ENDPOINT.fullmatch(endpoint) is None:
        words = f"{endpoint!r} is no phone of Asterisk: write technology and name, such as PJSIP/101"
        raise AgentRefused(words, "endpoint", "no_phone")
    holder = session.scalar(select(Agent.username).where(Agent.endpoint == endpoint))
    if holder is not None:
        raise AgentRefused(f"the phone {endpoint} is {holder}'s", "endpoint", "taken")
    return endpoint


def go_free(session: Session, agent_id: int, *, now: datetime) -> Agent:
    """Be ready for calls; also the click that ends a pause. Raises PresenceRefused during a call."""
    agent = _locked(session, agent_id)
    if agent.endpoint is None:
        raise AgentRefused("you are no agent any more: ask who looks after the agents")
    if agent.presence is Presence.TALKING:
        agent.pause_after_call = agent.presence_by = None  # takes back a pause asked for during the call
        announce(session, "agent", agent_id)
        return agent
    _not_in_call(agent)
    agent.misses, agent.call_id, agent.pause_after_call = 0, None, None
    if agent.presence is not Presence.FREE:
        _set_presence(session, agent, Presence.FREE, now=now)
    return agent


def pause(session: Session, agent_id: int, reason: str, *, now: datetime) -> Agent:
    """Pause with a reason, a code of the site's. During a call or wrap-up the pause is noted and begins after it."""
    agent = _locked(session, agent_id)
    if agent.presence in (Presence.TALKING, Presence.WRAP_UP):
        agent.pause_after_call, agent.presence_by = reason, None
        announce(session, "agent", agent_id)
        return agent
    _not_in_call(agent)
    agent.call_id = None
    _set_presence(session, agent, Presence.PAUSED, now=now, reason=reason)
    return agent


def end_wrap_up(session: Session, agent_id: int, *, now: datetime) -> Agent:
    """End the wrap-up early."""
    agent = _locked(session, agent_id)
    if agent.presence is Presence.WRAP_UP:
        _after_call(session, agent, now=now)
    return agent


def extend_wrap_up(session: Session, agent_id: int, *, seconds: float, times: int, now: datetime) -> Agent:
    """Make a wrap-up longer by so many seconds, at most so many times. Raises WrapUpRefused, also when it is over."""
    agent = _locked(session, agent_id)
    if agent.presence is not Presence.WRAP_UP or agent.wrap_up_until is None or agent.wrap_up_extended >= times:
        raise WrapUpRefused("the wrap-up is over, or was made longer as often as the site allows")
    agent.wrap_up_until = max(agent.wrap_up_until, now) + timedelta(seconds=seconds)
    agent.wrap_up_extended += 1
    announce(session, "agent", agent_id)
    return agent


def set_code(session: Session, call_id: str, agent_id: int, code: str) -> None:
    """Say how an agent's talk in a call went, with one of the site's outcome codes; the last word counts.

    Raises CommandRefused where the agent has not talked in it.
    """
    talks = session.scalars(
        select(Offer)
        .where(Offer.call_id == call_id, Offer.agent_id == agent_id, Offer.result == OfferResult.ANSWERED)
        .with_for_update()
    ).all()
    if not talks:
        raise CommandRefused("you have not talked in this call")
    max(talks, key=lambda talk: talk.offered_at).code = code  # sorted by SQLite, it would read all that the agent had
    announce(session, "call", call_id)
    announce(session, "agent", agent_id)


def go_offline(session: Session, agent_id: int, *, now: datetime) -> Agent:
    """Go off duty. Raises PresenceRefused during a call."""
    agent = _locked(session, agent_id)
    _not_in_call(agent)
    agent.call_id = agent.pause_after_call = None
    _set_presence(session, agent, Presence.OFFLINE, now=now)
    return agent


def set_desk_connected(session: Session, agent_id: int, app: str, connected: bool, *, now: datetime) -> None:
    """Note whether pages of an agent are open at a worker: without any no call is offered, nobody would see the pop."""
    agent = _locked(session, agent_id)
    if (app in agent.desks) is connected:
        return
    agent.desks = [*agent.desks, app] if connected else [other for other in agent.desks if other != app]
    _desks_changed(session, agent)


def _desks_changed(session: Session, agent: Agent) -> None:
    connected = bool(agent.desks)
    if agent.desk_connected is not connected:
        agent.desk_connected = connected
        announce(session, "agent", agent.id)
        announce(session, FREE_AGENT, agent.id)
        if connected:
            announce(session, DESK_OPENED, agent.id)


def set_phone_reachable(session: Session, endpoint: str, reachable: bool, *, node: str = "", now: datetime) -> None:
    """Note whether a phone is registered and where; one that is back ends the pause its absence caused to its agent."""
    agent = session.scalar(select(Agent).where(Agent.endpoint == endpoint).with_for_update())
    if agent is None or (agent.phone_reachable, agent.phone_node) == (reachable, node):
        return
    agent.phone_reachable, agent.phone_node = reachable, node
    if reachable and agent.pause_reason == PauseReason.PHONE_UNREACHABLE:
        _set_presence(session, agent, Presence.FREE, now=now)
    announce(session, "agent", agent.id)
    announce(session, FREE_AGENT, agent.id)


_WRAP_UPS_OVER = (
    select(Agent)
    .where(Agent.presence == Presence.WRAP_UP, Agent.wrap_up_until <= _NOW)
    .with_for_update(skip_locked=True)
)


def finish_wrap_ups(session: Session, *, now: datetime) -> None:
    """End every wrap-up whose time is over."""
    for agent in session.scalars(_WRAP_UPS_OVER, {"now": now}):
        _after_call(session, agent, now=now)


def forget_desks(session: Session, app: str) -> None:
    """No browser is connected to a worker that has just started, or is gone: those that were come back in seconds."""
    for agent in session.scalars(select(Agent).where(Agent.desk_connected.is_(True)).with_for_update()):
        if app in agent.desks:
            agent.desks = [other for other in agent.desks if other != app]
            _desks_changed(session, agent)


def _locked(session: Session, agent_id: int) -> Agent:
    return session.get_one(Agent, agent_id, with_for_update=True)


_NO_CODE = (
    update(Offer)
    .where(
        Offer.call_id == bindparam("in_call"),
        Offer.agent_id == bindparam("of_agent"),
        Offer.result == OfferResult.ANSWERED,
        Offer.code.is_(None),
    )
    .values(code=TIMED_OUT)
    .execution_options(synchronize_session=False)
)


def _end_talk(session: Session, agent: Agent, *, wrap_up_seconds: float, now: datetime) -> None:
    # Written now and not when the wrap-up is over: however that ends, the code is not missing.
    execute(session, _NO_CODE, {"in_call": agent.call_id, "of_agent": agent.id})
    if wrap_up_seconds > 0:
        _set_presence(session, agent, Presence.WRAP_UP, now=now)
        agent.wrap_up_until, agent.wrap_up_extended = now + timedelta(seconds=wrap_up_seconds), 0
    else:
        _after_call(session, agent, now=now)


def _after_call(session: Session, agent: Agent, *, now: datetime) -> None:
    reason, by = agent.pause_after_call, agent.presence_by
    agent.pause_after_call = agent.call_id = None
    _set_presence(session, agent, Presence.PAUSED if reason else Presence.FREE, now=now, reason=reason)
    if reason:
        agent.presence_by = by


def _set_presence(
    session: Session, agent: Agent, presence: Presence, *, now: datetime, reason: str | None = None
) -> None:
    agent.presence, agent.presence_since, agent.pause_reason = presence, now, reason
    agent.wrap_up_until = None
    if presence is not Presence.WRAP_UP:  # after which a pause that a supervisor asked for may begin
        agent.presence_by = None
    if presence is Presence.FREE:
        agent.free_since = now
        announce(session, FREE_AGENT, agent.id)
    announce(session, "agent", agent.id)


def _not_in_call(agent: Agent) -> None:
    if agent.presence in (Presence.RINGING, Presence.TALKING):
        raise PresenceRefused("a call is on your phone: answer it or hang up first")


def _rows(result: Any) -> int:
    assert isinstance(result, CursorResult)  # noqa: S101 - an UPDATE always gives one; narrows the type
    return result.rowcount
