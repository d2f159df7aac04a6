"""Calling back: an attempt is asked for, begun by one worker, and ends with a result that the request's history tells.

A row is both the wish and the record: whoever asks writes it, and the first worker that can makes the call.
"""

import uuid
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import case, func, or_, select, update
from sqlalchemy.orm import Session

from ivr import missed_calls, operations, queries
from ivr.config import CallsConfig, Queue
from ivr.errors import CommandRefused
from ivr.models import (
    NOT_LEFT,
    Agent,
    Call,
    CallBack,
    CallBackResult,
    CallBackWay,
    DoneReason,
    Offer,
    Outcome,
    Phase,
    Presence,
)
from tickets.database import announce
from tickets.errors import NotFound, RequestClosed, RequestTaken
from tickets.models import CLOSED_STATUSES, Channel, Contact, Kind, Phone, Request
from tickets.notices import Notices
from tickets.operations import SYSTEM, UNTAKEN, NewRequest, add_event, open_request, take_in_charge
from tickets.phone_numbers import parse_phone_number, shown_number
from tickets.promise_rules import Terms
from voicemail.models import Message

CALL_BACK_ASKED = "call_back_asked"
"""The change after which a worker begins an attempt."""
CALLED_BACK = "called_back"
"""The kind of the event in a request's history."""
FORGOTTEN_AFTER = timedelta(seconds=60)
"""An attempt that an agent waits for and that no worker has begun by then is given up."""

_CAN_BE_ASKED = (Presence.FREE, Presence.PAUSED, Presence.WRAP_UP)
_SUBJECTS = {"it": "Richiesta di essere richiamati da {who}", "en": "Request to be called back from {who}"}
_KINDS = {"use": Kind.QUESTION, "training": Kind.QUESTION, "credentials": Kind.REQUEST, "change": Kind.REQUEST}


@dataclass(frozen=True, slots=True)
class Begun:
    """An attempt that this worker has taken up; its call has its row."""

    call_back: CallBack
    offer: Offer | None
    """The agent who asked for it, claimed for the call; None for a kept place in line."""


# ---------------------------------------------------------------------------------------------------------------- asked


def ask_for_request(
    session: Session,
    request_id: int,
    config: CallsConfig,
    *,
    agent_id: int,
    way: CallBackWay,
    number: str | None = None,
    now: datetime,
) -> CallBack:
    """Have the user of a request called, at a number of theirs or one that is given; the agent talks to them.

    Raises `NotFound`, and `CommandRefused` where there is no number, it may not be called, the agent cannot be rung, or
    somebody calls for this request already.
    """
    request = session.get(Request, request_id)
    if request is None:
        raise NotFound(f"there is no request with the id {request_id}")
    asked_in = session.get(Call, request.call_id) if request.call_id else None
    called = number or request.phone or _phone_of(session, request.contact_id)
    return _ask(session, config, called, agent_id, way, asked_in.line if asked_in else "", now, request_id=request_id)


def ask_for_message(
    session: Session,
    message_id: str,
    config: CallsConfig,
    *,
    agent_id: int,
    way: CallBackWay,
    number: str | None = None,
    now: datetime,
) -> CallBack:
    """Have the caller called who left a message, at the number they keyed or called from. Raises as above."""
    message = session.get(Message, message_id)
    if message is None:
        raise NotFound(f"there is no message {message_id}")
    called = number or message.callback or message.caller
    return _ask(
        session,
        config,
        called,
        agent_id,
        way,
        message.line,
        now,
        request_id=message.request_id,
        message_id=message_id,
    )


def ask_for_call(
    session: Session,
    call_id: str,
    config: CallsConfig,
    *,
    agent_id: int,
    way: CallBackWay,
    number: str | None = None,
    now: datetime,
) -> CallBack:
    """Have the caller called of a call that nobody served; the agent looks after it from now on. Raises as above.

    Also where a colleague looks after it, or it does not wait for anybody (any more).
    """
    missed = session.get(Call, call_id, with_for_update=True)
    if missed is None:
        raise NotFound(f"there is no call {call_id}")
    username = session.get_one(Agent, agent_id).username
    if not missed_calls.take(session, [call_id], username=username, now=now):
        raise CommandRefused("a colleague looks after this call, or it is done")
    under_way = select(CallBack.id).where(CallBack.for_call_id == call_id, CallBack.ended_at.is_(None)).limit(1)
    if session.scalar(under_way) is not None:
        raise CommandRefused("the caller is being called just now")
    called = number or missed.caller
    return _ask(
        *(session, config, called, agent_id, way, missed.line, now),
        request_id=missed.request_id,
        for_call_id=call_id,
    )


def _phone_of(session: Session, contact_id: int | None) -> str | None:
    if contact_id is None:
        return None
    return session.scalar(select(Phone.e164).where(Phone.contact_id == contact_id).order_by(Phone.id).limit(1))


def _ask(
    session: Session,
    config: CallsConfig,
    number: str | None,
    agent_id: int,
    way: CallBackWay,
    line: str,
    now: datetime,
    *,
    request_id: int | None,
    message_id: str | None = None,
    for_call_id: str | None = None,
) -> CallBack:
    called = parse_phone_number(number).best()
    if called is None:
        raise CommandRefused("no number is known to call back: write one")
    if config.dialled(called) is None:
        raise CommandRefused("this site does not allow calls to that number")
    agent = session.get_one(Agent, agent_id, with_for_update=True)
    if agent.presence not in _CAN_BE_ASKED:
        raise CommandRefused("log in for calls, and end the call you are in, before you call somebody back")
    if not agent.phone_reachable or agent.endpoint is None:
        raise CommandRefused("your phone is not registered: see that it is switched on")
    if request_id is not None:
        _make_way(session, request_id, now=now)
    described = config.line(line) or config.lines[0]
    call_back = CallBack(
        id=uuid.uuid4().hex,
        request_id=request_id,
        message_id=message_id,
        for_call_id=for_call_id,
        way=way,
        agent_id=agent_id,
        asked_by=agent.username,
        number=called,
        line=described.number,
        queue=described.queue,
        priority=0,
        asked_at=now,
    )
    session.add(call_back)
    session.flush()
    announce(session, CALL_BACK_ASKED, call_back.id)
    return call_back


def _make_way(session: Session, request_id: int, *, now: datetime) -> None:
    """Only one calls at a time; a place in line that is kept for the request is not needed any more."""
    open_ones = select(CallBack).where(CallBack.request_id == request_id, CallBack.ended_at.is_(None))
    for other in session.scalars(open_ones.with_for_update()):
        call = session.get(Call, other.call_id) if other.call_id else None
        if other.way is not CallBackWay.LINE or (call is not None and call.phase is not Phase.WAITING):
            raise CommandRefused("somebody is calling for this request just now")
        end(session, other.id, CallBackResult.WITHDRAWN, note="an agent called before the place came up", now=now)
        if call is not None:
            operations.end_call(session, call.id, Outcome.NOT_REACHED, note=other.note, now=now)


def keep_place(
    session: Session,
    call_id: str,
    number: str,
    notices: Notices,
    *,
    terms: Terms,
    now: datetime,
) -> Request:
    """A waiting caller is to be called back in the same place of the line; their request is there from now on.

    It is the open one that the call is about, else a new one. A second time gives the same request.
    """
    call = session.get_one(Call, call_id, with_for_update=True)
    known = session.scalar(select(CallBack).where(CallBack.asked_in_call == call_id).limit(1))
    if known is not None and known.request_id is not None:
        return session.get_one(Request, known.request_id)
    bound = session.get(Request, call.request_id) if call.request_id else None
    if bound is not None and bound.status not in CLOSED_STATUSES:
        request = bound  # such as one whose number was keyed
    else:
        request = _request_to_call_back(session, call, number, notices, bound, terms, now)
    call_back = CallBack(
        id=uuid.uuid4().hex,
        request_id=request.id,
        asked_in_call=call.id,
        way=CallBackWay.LINE,
        asked_by=SYSTEM,
        number=number,
        line=call.line,
        queue=call.queue or "",
        priority=call.priority,
        queued_at=call.queued_at or now,
        asked_at=now,
    )
    session.add(call_back)
    session.flush()
    operations.bind_request(session, call.id, request.id)
    announce(session, CALL_BACK_ASKED, call_back.id)
    return request


def _request_to_call_back(
    session: Session,
    call: Call,
    number: str,
    notices: Notices,
    finished: Request | None,
    terms: Terms,
    now: datetime,
) -> Request:
    contact = session.get(Contact, call.contact_id) if call.contact_id else None
    area = call.choice or "application"
    return open_request(
        session,
        NewRequest(
            kind=_KINDS.get(area, Kind.PROBLEM),
            area=area,
            channel=Channel.PHONE,
            subject=_SUBJECTS["it" if call.language == "it" else "en"].format(who=shown_number(number)),
            language=call.language,
            contact_id=call.contact_id,
            company_id=contact.company_id if contact else None,
            phone=number,
            call_id=call.id,
            received_at=call.started_at,
            terms=terms,
            follow_up_of_id=finished.id if finished is not None else None,
        ),
        notices,
        now=now,
    )


def room_for_place(session: Session, queue: str, config: Queue) -> bool:
    """Whether one more caller may be promised to be called back: only as many as the agents on duty can serve."""
    waiting = session.scalar(
        select(func.count()).where(
            CallBack.way == CallBackWay.LINE, CallBack.queue == queue, CallBack.ended_at.is_(None)
        )
    )
    return (waiting or 0) < queries.agents_on_duty(session, queue) * config.call_backs_per_agent


# ---------------------------------------------------------------------------------------------------------------- made


def due(session: Session) -> Sequence[tuple[CallBack, str]]:
    """The attempts that no worker has begun, the oldest first, each with the node at which its agent's phone is."""
    rows = session.execute(
        select(CallBack, func.coalesce(Agent.phone_node, ""))
        .outerjoin(Agent, Agent.id == CallBack.agent_id)
        .where(CallBack.ended_at.is_(None), CallBack.begun_at.is_(None))
        .order_by(CallBack.asked_at)
        .limit(100)
    )
    return [(call_back, node) for call_back, node in rows]


def begin(
    session: Session, call_back_id: str, *, app: str, call_id: str, channel_id: str, language: str, now: datetime
) -> Begun | None:
    """Take an attempt up: its call gets a row, the agent who asked is claimed; None when it is not to be made.

    One worker only gets it. An agent who cannot be rung any more ends it.
    """
    call_back = session.get(CallBack, call_back_id, with_for_update=True)
    if call_back is None or call_back.begun_at is not None or call_back.ended_at is not None:
        return None
    request = session.get(Request, call_back.request_id) if call_back.request_id else None
    missed = session.get(Call, call_back.for_call_id) if call_back.for_call_id else None
    operations.begin_call(
        session,
        call_id=call_id,
        app=app,
        channel_id=channel_id,
        line=call_back.line,
        language=language,
        caller=call_back.number,
        contact_id=request.contact_id if request else missed.contact_id if missed else None,
        now=now,
    )
    kept_place = call_back.way is CallBackWay.LINE
    session.execute(
        update(Call)
        .where(Call.id == call_id)
        .values(
            outbound=True,
            phase=Phase.WAITING if kept_place else Phase.RINGING,
            queue=call_back.queue,
            priority=call_back.priority,
            queued_at=call_back.queued_at,
            request_id=call_back.request_id,
        )
        .execution_options(synchronize_session=False)
    )
    call_back.begun_at, call_back.call_id = now, call_id
    if kept_place:
        announce(session, operations.WAITING, call_id)
        return Begun(call_back, None)
    offer = _claim(session, call_back, call_id, app, now=now)
    if offer is None:
        end(session, call_back_id, CallBackResult.NO_AGENT, note="the agent's phone cannot be rung now", now=now)
        operations.end_call(session, call_id, Outcome.NOT_REACHED, now=now)
        return None
    return Begun(call_back, offer)


def _claim(session: Session, call_back: CallBack, call_id: str, app: str, *, now: datetime) -> Offer | None:
    """The agent who asked, also one who pauses: the pause goes on after the call."""
    claimed = session.execute(
        update(Agent)
        .where(
            Agent.id == call_back.agent_id,
            Agent.presence.in_(_CAN_BE_ASKED),
            Agent.phone_reachable.is_(True),
            NOT_LEFT,
        )
        .values(
            pause_after_call=case(
                (Agent.presence == Presence.PAUSED, Agent.pause_reason), else_=Agent.pause_after_call
            ),
            pause_reason=None,
            wrap_up_until=None,
            presence=Presence.RINGING,
            presence_since=now,
            call_id=call_id,
        )
        .returning(Agent.id, Agent.endpoint, Agent.phone_node)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    return None if claimed is None else operations.note_offer(session, claimed, call_id, app, now=now)


def is_due(session: Session, call_back_id: str) -> bool:
    """Whether an attempt is still to be made."""
    call_back = session.get(CallBack, call_back_id)
    return call_back is not None and call_back.ended_at is None


def withdraw_finished(session: Session, call_back_id: str, *, now: datetime) -> bool:
    """Give up a kept place whose request was solved or cancelled meanwhile, unless an agent is rung for it just now."""
    call_back = session.get(CallBack, call_back_id)
    if call_back is None or call_back.ended_at is not None or call_back.call_id is None:
        return False
    request = session.get(Request, call_back.request_id) if call_back.request_id else None
    if request is None or request.status not in CLOSED_STATUSES:
        return False
    if not operations.leave_line(session, call_back.call_id, Phase.MENU):
        return False
    end(
        session,
        call_back_id,
        CallBackResult.WITHDRAWN,
        note="the request was finished before the place came up",
        now=now,
    )
    return True


def of_call(session: Session, call_id: str) -> CallBack | None:
    """The attempt for which a call is made."""
    return session.scalar(select(CallBack).where(CallBack.call_id == call_id).limit(1))


def asked_in(session: Session, call_id: str) -> bool:
    """Whether the caller has chosen in this call to be called back."""
    return session.scalar(select(CallBack.id).where(CallBack.asked_in_call == call_id).limit(1)) is not None


def of_calls(session: Session, call_ids: Collection[str]) -> Sequence[CallBack]:
    """All attempts to call the callers of these calls, the oldest first."""
    found = select(CallBack).where(CallBack.for_call_id.in_(call_ids)).order_by(CallBack.asked_at, CallBack.id)
    return session.scalars(found).all()


def of_request(session: Session, request_id: int) -> Sequence[CallBack]:
    """All attempts to call for a request, the oldest first."""
    found = select(CallBack).where(CallBack.request_id == request_id).order_by(CallBack.asked_at, CallBack.id)
    return session.scalars(found).all()


# --------------------------------------------------------------------------------------------------------------- ended


def answered(session: Session, call_back_id: str, agent_id: int, *, now: datetime) -> None:
    """The user has picked up: the request is the agent's now, if nobody had it in charge."""
    call_back = session.get_one(CallBack, call_back_id, with_for_update=True)
    if call_back.ended_at is not None:
        return
    call_back.agent_id = agent_id
    end(session, call_back_id, CallBackResult.ANSWERED, now=now)
    if call_back.for_call_id is not None:
        username = session.get_one(Agent, agent_id).username
        missed_calls.finish(
            *(session, [call_back.for_call_id], DoneReason.CALLED_BACK),
            username=username,
            whoever_has_it=True,
            now=now,
        )
    request = session.get(Request, call_back.request_id) if call_back.request_id else None
    if request is not None and request.status in UNTAKEN and request.holder is None:
        with suppress(RequestTaken, RequestClosed):  # somebody was faster: the two talk all the same
            take_in_charge(session, request.id, actor=session.get_one(Agent, agent_id).username, now=now)


def end(session: Session, call_back_id: str, result: CallBackResult, *, note: str | None = None, now: datetime) -> None:
    """It is sure how an attempt went: the request's history says so, and is else unchanged. Once only."""
    call_back = session.get_one(CallBack, call_back_id, with_for_update=True)
    if call_back.ended_at is not None:
        return
    call_back.ended_at, call_back.result, call_back.note = now, result, note
    if call_back.for_call_id is not None:
        announce(session, operations.TO_DO, call_back.for_call_id)
    request = session.get(Request, call_back.request_id) if call_back.request_id else None
    if request is None:
        return
    agent = session.get(Agent, call_back.agent_id) if call_back.agent_id else None
    details = {"result": result.value, "number": call_back.number, "way": call_back.way.value}
    if call_back.call_id is not None:
        details["call_id"] = call_back.call_id
    if note is not None:
        details["note"] = note
    add_event(session, request, CALLED_BACK, agent.username if agent else SYSTEM, details, now)


_RESULTS: Mapping[Outcome | None, CallBackResult] = {
    Outcome.ANSWERED: CallBackResult.ANSWERED,
    Outcome.NOT_REACHED: CallBackResult.NO_ANSWER,
    Outcome.ABANDONED_QUEUE: CallBackResult.WITHDRAWN,
}


def settle(session: Session, *, now: datetime) -> int:
    """End the attempts of which nobody said how they went, since a worker or an Asterisk was lost; returns how many."""
    over = session.execute(
        select(CallBack.id, Call.outcome, Call.agent_id)
        .outerjoin(Call, Call.id == CallBack.call_id)
        .where(
            CallBack.ended_at.is_(None),
            or_(
                Call.ended_at.is_not(None),
                (CallBack.begun_at.is_(None))
                & (CallBack.way != CallBackWay.LINE)
                & (CallBack.asked_at < now - FORGOTTEN_AFTER),
            ),
        )
    ).all()
    for call_back_id, outcome, talked in over:
        result = _RESULTS.get(outcome, CallBackResult.FAILED)
        if result is CallBackResult.ANSWERED and talked is not None:  # who asked for it need not be who talked
            answered(session, call_back_id, talked, now=now)
            continue
        end(
            session,
            call_back_id,
            result,
            note="it was interrupted" if result is CallBackResult.FAILED else None,
            now=now,
        )
    return len(over)
