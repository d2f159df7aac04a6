"""What the desk reads, in the shapes it shows."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from pydantic import ValidationError
from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from desk.errors import NotThere
from desk.models import Account, DeskSession, DismissedPop, Role
from desk.passwords import token_hash
from desk.request_queries import Reader, around_request
from desk.views import (
    AgentView,
    AlarmView,
    ClosureView,
    CompanyView,
    ContactView,
    Draft,
    EventView,
    LogInView,
    Me,
    MessageDetail,
    MessageView,
    MissedView,
    NoticeView,
    Pop,
    PopState,
    Preferences,
    PromiseView,
    RequestDetail,
    RequestView,
    SpokenView,
    WaitingView,
    WordView,
)
from ivr.config import CallsConfig
from ivr.models import NOT_LEFT, Agent, Call, Offer, OfferResult, Phase, Presence
from ivr.queries import attempts_since, waiting_calls
from ivr.site import closures
from ivr.terms import terms_of_line
from schedules.promises import Clock, explain, pickup_promise
from tickets.alarms import open_alarms, words_of
from tickets.models import (
    CLOSED_STATUSES,
    OPEN_STATUSES,
    SYNTHETIC,
    Contact,
    OutboxMail,
    Phone,
    Request,
    RequestEvent,
    Status,
)
from tickets.phone_numbers import shown_number
from tickets.promise_rules import PromiseSettings
from tickets.promises import promises_of
from tickets.queries import CallerMatch, Confidence, identify_caller, requests_of_caller
from voicemail.models import Message, MessageState
from voicemail.transcript import Word, recognised, timed

OPEN_REQUESTS = 500
"""At most this many open requests are sent to a page, those that wait for somebody first, by their promise."""
_WITH_SOMEBODY = Request.status.not_in((Status.NEW, Status.QUEUED))
"""Whether nobody has to take it: what waits for a supplier for months must not crowd out what came today."""
RECENT = timedelta(days=30)
"""Closed requests of a caller are shown this long."""
POP_LIFE = timedelta(hours=12)
"""A call nobody acted upon is shown to its agent this long: about one shift."""
NOTED_EVERY = timedelta(minutes=1)
"""The use of a log-in is written down so often at most."""
USED_AT = func.coalesce(DeskSession.used_at, DeskSession.created_at)
UNHEARD_LIFE = timedelta(days=7)
"""Empty messages are listed this long, or until heard."""
OTHERS = 5
"""At most so many other open requests of who left a message stand beside it."""

# ------------------------------------------------------------------------------------------------------- accounts


@dataclass(frozen=True, slots=True)
class Who:
    """The person behind a request."""

    me: Me
    account_id: int
    token_sha256: str
    expires_at: datetime
    to_be_noted: bool = False
    """Whether its use is to be written down."""


def account_by_username(session: Session, username: str) -> Account | None:
    """The account of a user name."""
    return session.scalar(select(Account).where(Account.username == username))


def roles(session: Session) -> dict[int, Role]:
    """What the agents with an account may do, by the agent's id."""
    rows = session.execute(select(Account.agent_id, Account.role).where(Account.agent_id.is_not(None)))
    return {agent_id: role for agent_id, role in rows if agent_id is not None}


def still_holds(idle: timedelta, now: datetime) -> ColumnElement[bool]:
    """Whether a log-in is neither over nor unused for as long as `idle`."""
    return and_(DeskSession.expires_at > now, now - idle < USED_AT)


def who_has(session: Session, token: str, *, idle: timedelta, now: datetime) -> Who | None:
    """The person whose log-in cookie this is; None when it is unknown, over, or was not used for as long as `idle`."""
    sha256 = token_hash(token)
    row = session.execute(
        select(Account, DeskSession.expires_at, USED_AT, Agent.name, Agent.browser_phone)
        .join(DeskSession, DeskSession.account_id == Account.id)
        .outerjoin(Agent, Agent.id == Account.agent_id)
        .where(DeskSession.token_sha256 == sha256, still_holds(idle, now))
    ).one_or_none()
    if row is None:
        return None
    account, expires_at, used_at, name, browser_phone = row
    me = Me(
        username=account.username,
        name=name or account.username,
        role=account.role,
        language=account.language,
        agent_id=account.agent_id,
        browser_phone=bool(browser_phone),
        preferences=_preferences(account),
    )
    return Who(me, account.id, sha256, expires_at, to_be_noted=used_at < now - NOTED_EVERY)


def log_ins(session: Session, who: Who, *, idle: timedelta, now: datetime) -> list[LogInView]:
    """The log-ins of a person that still hold: the one that asks first, then the ones used last."""
    held = select(DeskSession).where(DeskSession.account_id == who.account_id, still_holds(idle, now))
    views = [
        LogInView(
            id=log_in_id_of(one),
            browser=one.browser,
            address=one.address,
            since=one.created_at,
            used_at=one.used_at or one.created_at,
            this=one.token_sha256 == who.token_sha256,
        )
        for one in session.scalars(held)
    ]
    return sorted(sorted(views, key=lambda view: view.used_at, reverse=True), key=lambda view: not view.this)


def log_in_id_of(one: DeskSession) -> str:
    """What a page calls a log-in: nothing that its cookie, or what is kept of it, could be found by."""
    return token_hash(f"log-in {one.token_sha256}")[:24]


def sessions_among(session: Session, tokens: Collection[str], *, now: datetime) -> dict[str, bool]:
    """Which of these log-ins (SHA-256 of their tokens) there still are, and whether their use is to be noted."""
    found = select(DeskSession.token_sha256, USED_AT).where(DeskSession.token_sha256.in_(tokens))
    return {token: used_at < now - NOTED_EVERY for token, used_at in session.execute(found)}


def _preferences(account: Account) -> Preferences:
    try:
        return Preferences.model_validate(account.preferences)
    except ValidationError:  # of a version that had others
        return Preferences()


# ---------------------------------------------------------------------------------------------------- live topics


def agent_items(session: Session, ids: Collection[int] | None = None) -> dict[int, AgentView]:
    """Agents by id, in the order of their names, without those who have left; all without `ids`."""
    query = select(Agent).where(NOT_LEFT).order_by(Agent.name)
    if ids is not None:
        query = query.where(Agent.id.in_(ids))
    agents = session.scalars(query).all()
    wrapping_up = {agent.call_id for agent in agents if agent.presence is Presence.WRAP_UP}
    codes: dict[tuple[str | None, int], str | None] = {}
    if wrapping_up:
        talks = select(Offer.call_id, Offer.agent_id, Offer.code).where(
            Offer.call_id.in_(wrapping_up), Offer.result == OfferResult.ANSWERED
        )
        rows = session.execute(talks.order_by(Offer.offered_at))
        codes = {(call_id, agent_id): code for call_id, agent_id, code in rows}
    return {
        agent.id: AgentView.model_validate(agent).model_copy(update={"code": codes.get((agent.call_id, agent.id))})
        for agent in agents
    }


def missed_items(session: Session, ids: Collection[str] | None = None) -> dict[str, MissedView]:
    """Calls that wait for somebody to look after them, by id, the oldest first."""
    query = (
        select(Call.id, Call.to_do_since, Call.owner)
        .where(Call.to_do_since.is_not(None))
        .order_by(Call.to_do_since, Call.id)
        .limit(OPEN_REQUESTS)
    )
    if ids is not None:
        query = query.where(Call.id.in_(ids))
    return {row.id: MissedView.model_validate(row) for row in session.execute(query)}


def desks_forgotten(session: Session, agent_ids: Collection[int | None], worker: str) -> list[int]:
    """Those of the agents of whom it is not noted that their pages are open at a worker."""
    rows = session.execute(select(Agent.id, Agent.desks).where(Agent.id.in_(agent_ids)))
    return [agent_id for agent_id, desks in rows if worker not in desks]


def desks_elsewhere(session: Session, agent_id: int, worker: str) -> bool:
    """Whether pages of an agent are open at another worker."""
    return any(desk != worker for desk in session.scalar(select(Agent.desks).where(Agent.id == agent_id)) or ())


def waiting_items(session: Session, calls: CallsConfig) -> dict[str, WaitingView]:
    """The waiting line in the order it is served."""
    line = waiting_calls(session)
    contacts = {call.contact_id for call in line if call.contact_id is not None}
    names: dict[int, str] = {}
    if contacts:
        rows = session.execute(select(Contact.id, Contact.name).where(Contact.id.in_(contacts)))
        names = {row.id: row.name for row in rows}
    return {
        call.id: WaitingView(
            id=call.id,
            caller=call.caller,
            caller_shown=_shown(call.caller),
            caller_name=call.caller_name,
            contact_name=names.get(call.contact_id or 0),
            line=call.line,
            line_name=line_name(calls, call.line),
            language=call.language,
            choice=call.choice,
            queue=call.queue,
            priority=call.priority,
            phase=call.phase,
            queued_at=call.queued_at,
            started_at=call.started_at,
        )
        for call in line
    }


def request_items(session: Session, ids: Collection[int] | None = None) -> dict[int, RequestView]:
    """Open requests by id, those that wait for somebody first, and of these those promised first."""
    query = (
        select(Request)
        .where(Request.id > 0, Request.status.in_(OPEN_STATUSES))
        .order_by(_WITH_SOMEBODY, Request.pickup_due_at.is_(None), Request.pickup_due_at, Request.id)
        .limit(OPEN_REQUESTS)
    )
    if ids is not None:
        query = query.where(Request.id.in_(ids))
    return {request.id: request_view(request) for request in session.scalars(query)}


def message_items(
    session: Session,
    calls: CallsConfig,
    *,
    now: datetime,
    ids: Collection[str] = (),
    request_ids: Collection[int] = (),
    everything: bool = False,
) -> dict[str, MessageView]:
    """Messages that need someone: those whose request is open, and empty or lost ones nobody has heard."""
    of_open_request = Request.status.in_(OPEN_STATUSES)
    unheard = and_(
        Message.request_id.is_(None),
        Message.state.in_((MessageState.EMPTY, MessageState.LOST)),
        Message.heard_at.is_(None),
        Message.started_at > now - UNHEARD_LIFE,
    )
    query = (
        select(Message, Request, Contact)
        .outerjoin(Request, Request.id == Message.request_id)
        .outerjoin(Contact, Contact.id == Message.contact_id)
        .where(Message.id < SYNTHETIC)
        .order_by(
            _WITH_SOMEBODY.nulls_first(), Request.pickup_due_at.is_(None), Request.pickup_due_at, Message.started_at
        )
        .limit(OPEN_REQUESTS)
    )
    if everything:
        # Two searches, each with its index: joined by OR they would look at every message there ever was.
        with_request = select(Message.id).join(Request, Request.id == Message.request_id).where(of_open_request)
        query = query.where(Message.id.in_(with_request.union_all(select(Message.id).where(unheard))))
    else:
        query = query.where(
            or_(of_open_request, unheard), or_(Message.id.in_(ids), Message.request_id.in_(request_ids))
        )
    return {
        message.id: message_view(message, request, contact, calls)
        for message, request, contact in session.execute(query)
    }


def alarm_items(session: Session) -> dict[int, AlarmView]:
    """What supervisors have to look after, the oldest first."""
    return {
        alarm.id: AlarmView(
            id=alarm.id,
            kind=alarm.kind,
            subject=alarm.subject,
            words=words_of(alarm),
            sounded_at=alarm.sounded_at,
        )
        for alarm in open_alarms(session)
    }


def closure_items(session: Session, *, now: datetime) -> dict[int, ClosureView]:
    """Closures opened at the desk that hold or are to come."""
    return {closed.id: ClosureView.model_validate(closed) for closed in closures(session, now=now)}


def message_ids_of(session: Session, request_ids: Collection[int]) -> set[str]:
    """The messages that belong to these requests."""
    return set(session.scalars(select(Message.id).where(Message.request_id.in_(request_ids))))


def offered_to(session: Session, call_ids: Collection[str]) -> Sequence[tuple[str, int]]:
    """The agents these calls were ever offered to, as pairs of call and agent."""
    pairs = select(Offer.call_id, Offer.agent_id).where(Offer.call_id.in_(call_ids)).distinct()
    return [(call_id, agent_id) for call_id, agent_id in session.execute(pairs)]


def pops(
    session: Session, calls: CallsConfig, agent_id: int, *, now: datetime, call_id: str | None = None
) -> dict[str, Pop]:
    """The calls on an agent's screen, the latest first: ringing, talking, or ended and not acted upon.

    With `call_id` only that one, which is quicker by far for an agent who has left many ended calls on the screen.
    """
    query = (
        select(Offer, Call, Agent.presence, DismissedPop.call_id)
        .join(Call, Call.id == Offer.call_id)
        .join(Agent, Agent.id == Offer.agent_id)
        .outerjoin(DismissedPop, and_(DismissedPop.call_id == Call.id, DismissedPop.agent_id == agent_id))
        .where(
            Offer.agent_id == agent_id,
            Offer.offered_at > now - POP_LIFE,
            or_(Offer.ended_at.is_(None), Offer.result == OfferResult.ANSWERED),
        )
        .order_by(Offer.offered_at.desc(), Offer.id)
        .limit(50)
    )
    if call_id is not None:
        query = query.where(Offer.call_id == call_id)
    found: dict[str, Pop] = {}
    for offer, call, presence, dismissed in session.execute(query):
        state = _pop_state(offer, call, presence)
        acted_upon = call.request_id is not None or dismissed is not None
        if call.id in found or state is None or (acted_upon and state is PopState.ENDED):
            continue
        found[call.id] = _pop(session, calls, call, state, now=now)
    return found


def _pop_state(offer: Offer, call: Call, presence: Presence) -> PopState | None:
    if offer.result is OfferResult.ANSWERED:
        mine = call.phase is Phase.TALKING and call.agent_channel_id == offer.id
        return PopState.TALKING if mine else PopState.ENDED
    if call.phase is Phase.ENDED:
        return None
    if presence is Presence.TALKING and call.phase is Phase.RINGING and call.agent_id == offer.agent_id:
        return PopState.RETURNING
    if call.outbound:
        return PopState.RINGING
    return PopState.CONSULTED if presence is Presence.TALKING else PopState.RINGING


def _pop(session: Session, calls: CallsConfig, call: Call, state: PopState, *, now: datetime) -> Pop:
    match = identify_caller(session, call.caller)
    if call.contact_id is not None and match.confidence not in (Confidence.KNOWN, Confidence.PROBABLE):
        contact = session.get(Contact, call.contact_id)
        if contact is not None:  # an agent has said who it is
            match = CallerMatch(Confidence.KNOWN, [contact], contact.company, "identified", match.number)
    requests = requests_of_caller(session, match, 30)
    attempts = 0
    if call.caller is not None:
        zone = ZoneInfo(calls.calendar_of(call.line).timezone)
        midnight = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
        attempts = attempts_since(session, call.caller, midnight)
    bound = session.get(Request, call.request_id) if call.request_id is not None else None
    return Pop(
        call_id=call.id,
        state=state,
        caller=call.caller,
        caller_shown=_shown(call.caller),
        caller_name=call.caller_name,
        confidence=match.confidence,
        reason=match.reason or "",
        contacts=contact_views(session, match.contacts[:20]),
        company=CompanyView.model_validate(match.company) if match.company else None,
        open_requests=[request_view(request) for request in requests if request.status not in CLOSED_STATUSES],
        recent_requests=[
            request_view(request)
            for request in requests
            if request.status in CLOSED_STATUSES and (request.closed_at or request.opened_at) > now - RECENT
        ],
        on_hold=call.on_hold,
        listened_by=call.listened_by,
        consulting=call.consulting,
        third_away=call.third_away,
        attempts_today=attempts,
        choice=call.choice,
        queue=call.queue,
        line=call.line,
        line_name=line_name(calls, call.line),
        language=call.language,
        started_at=call.started_at,
        queued_at=call.queued_at,
        answered_at=call.answered_at,
        ended_at=call.ended_at,
        outcome=call.outcome,
        draft=_draft(call),
        request=request_view(bound) if bound else None,
    )


def _draft(call: Call) -> Draft:
    try:
        return Draft.model_validate(call.draft or {})
    except ValidationError:  # written by another version: the form begins empty
        return Draft()


# -------------------------------------------------------------------------------------------------------- details


def call_of_agent(session: Session, call_id: str, agent_id: int) -> Call | None:
    """A call, if it is or was this agent's: offered and not given back."""
    return session.scalar(
        select(Call)
        .join(Offer, Offer.call_id == Call.id)
        .where(
            Call.id == call_id,
            Offer.agent_id == agent_id,
            or_(Offer.ended_at.is_(None), Offer.result == OfferResult.ANSWERED),
        )
        .limit(1)
    )


def request_page(
    session: Session, calls: CallsConfig, request_id: int, language: str, reader: Reader, rules: PromiseSettings
) -> RequestDetail | None:
    """A request with history, notices and messages, what was promised, and what its reader may do with it.

    `rules` name the hours of requests that came by no line.
    """
    request = session.get(Request, request_id)
    if request is None:
        return None
    events = session.scalars(
        select(RequestEvent).where(RequestEvent.request_id == request_id).order_by(RequestEvent.id)
    )
    notices = session.scalars(select(OutboxMail).where(OutboxMail.request_id == request_id).order_by(OutboxMail.id))
    messages = session.scalars(
        select(Message).where(Message.request_id == request_id).order_by(Message.started_at)
    ).all()
    call = session.get(Call, request.call_id) if request.call_id is not None else None
    line = messages[0].line if messages else call.line if call is not None else None
    now_hours = terms_of_line(rules, calls, line).calendar
    promises = promises_of(session, request_id, now_hours, "en" if language == "en" else "it")
    pickup = next((one.explanation for one in promises if one.clock is Clock.PICKUP), None)
    return RequestDetail(
        **request_view(request).model_dump(),
        description=request.description,
        solution=request.solution,
        language=request.language,
        email=request.email,
        contact=(contact_views(session, [request.contact]))[0] if request.contact else None,
        events=[EventView.model_validate(event) for event in events],
        notices=[NoticeView.model_validate(notice) for notice in notices],
        messages=[
            SpokenView(
                id=message.id,
                started_at=message.started_at,
                transcript=message.transcript,
                corrected_by=message.corrected_by if _is_corrected(message) else None,
            )
            for message in messages
        ],
        promise=pickup or (_promise(request, calls, messages[0].line, language) if messages else None),
        promises=[PromiseView.model_validate(promise) for promise in promises],
        **around_request(session, request, reader),
    )


def message_page(session: Session, calls: CallsConfig, message_id: str, language: str) -> MessageDetail | None:
    """A message with its words."""
    row = session.execute(
        select(Message, Request, Contact)
        .outerjoin(Request, Request.id == Message.request_id)
        .outerjoin(Contact, Contact.id == Message.contact_id)
        .where(Message.id == message_id)
    ).one_or_none()
    if row is None:
        return None
    message, request, contact = row
    view = message_view(message, request, contact, calls)
    words = [Word.read(word) for word in message.words or ()]
    corrected = timed(message.transcript, words) if view.corrected_by is not None and message.transcript else []
    return MessageDetail(
        **view.model_dump(),
        words=[WordView.model_validate(word) for word in words],
        corrected_words=[[WordView.model_validate(word) for word in line] for line in corrected],
        promise=_promise(request, calls, message.line, language) if request else None,
        others=_others_of_caller(session, message, request) if request and request.closed_at is None else [],
    )


def _others_of_caller(session: Session, message: Message, request: Request) -> list[RequestView]:
    """Open requests of who left a message, beside its own."""
    match = identify_caller(session, message.callback or message.caller)
    if request.contact is not None:  # the one who is known by now
        match = CallerMatch(Confidence.KNOWN, [request.contact], request.contact.company, "identified", match.number)
    found = requests_of_caller(session, match, OTHERS + 1)
    return [request_view(one) for one in found if one.id != request.id and one.status not in CLOSED_STATUSES][:OTHERS]


def _is_corrected(message: Message) -> bool:
    """Whether the words that count are a person's."""
    return (
        message.transcript is not None and message.corrections > 0 and message.transcript != recognised(message.words)
    )


def _promise(request: Request, calls: CallsConfig, line: str, language: str) -> str | None:
    if request.pickup_due_at is None:
        return None
    calendar = calls.calendar_of(line)
    promise = pickup_promise(calendar, request.received_at)
    # Opening hours may have changed since: an explanation that does not lead to the promised time would be wrong.
    if abs(promise.due_at - request.pickup_due_at) > timedelta(minutes=1):
        return None
    return explain(promise, calendar, "en" if language == "en" else "it")


def contact_views(session: Session, contacts: Sequence[Contact]) -> list[ContactView]:
    """Contacts with their phones."""
    phones: dict[int, list[str]] = {}
    if contacts:
        ids = [contact.id for contact in contacts]
        rows = session.execute(select(Phone.contact_id, Phone.e164).where(Phone.contact_id.in_(ids)).order_by(Phone.id))
        for contact_id, e164 in rows:
            if contact_id is not None:
                phones.setdefault(contact_id, []).append(e164)
    return [
        ContactView(
            id=contact.id,
            name=contact.name,
            user_code=contact.user_code,
            email=contact.email,
            language=contact.language,
            company=CompanyView.model_validate(contact.company) if contact.company else None,
            phones=phones.get(contact.id, []),
            phones_shown=[shown_number(number) for number in phones.get(contact.id, [])],
        )
        for contact in contacts
    ]


# ---------------------------------------------------------------------------------------------------------- shapes


def request_view(request: Request) -> RequestView:
    """A request as a line of a list."""
    return RequestView(
        id=request.id,
        ticket=request.ticket,
        kind=request.kind,
        area=request.area,
        channel=request.channel,
        impact=request.impact,
        urgency=request.urgency,
        priority=request.priority,
        level=request.level,
        group_name=request.group.name if request.group else None,
        status=request.status,
        subject=request.subject,
        contact_name=request.contact.name if request.contact else None,
        company_name=request.company.name if request.company else None,
        phone=request.phone,
        phone_shown=_shown(request.phone),
        holder=request.holder,
        held_since=request.held_since,
        received_at=request.received_at,
        opened_at=request.opened_at,
        pickup_due_at=request.pickup_due_at,
        picked_up_at=request.picked_up_at,
        closed_at=request.closed_at,
        level_0_answered_at=request.level_0_answered_at,
        version=request.version,
    )


def saved_request(session: Session, request_id: int) -> RequestView:
    """A request that was just stored, as a line of a list. Raises NotThere when it is gone again."""
    request = session.get(Request, request_id)
    if request is None:
        raise NotThere
    return request_view(request)


def message_view(message: Message, request: Request | None, contact: Contact | None, calls: CallsConfig) -> MessageView:
    """A message as a line of a list."""
    corrected = _is_corrected(message)
    return MessageView(
        id=message.id,
        state=message.state,
        caller=message.caller,
        caller_shown=_shown(message.caller),
        callback=message.callback,
        callback_shown=_shown(message.callback),
        contact_name=contact.name if contact else None,
        company_name=contact.company.name if contact and contact.company else None,
        line=message.line,
        line_name=line_name(calls, message.line),
        language=message.language,
        area=message.area,
        started_at=message.started_at,
        seconds=message.seconds,
        speech_seconds=message.speech_seconds,
        has_audio=message.audio is not None,
        transcript_state=message.transcript_state,
        transcript_error=message.transcript_error,
        transcript=message.transcript,
        corrections=message.corrections,
        corrected_at=message.corrected_at if corrected else None,
        corrected_by=message.corrected_by if corrected else None,
        numbers=message.numbers or [],
        heard_at=message.heard_at,
        heard_by=message.heard_by,
        request=request_view(request) if request else None,
    )


def _shown(number: str | None) -> str | None:
    return shown_number(number) if number else None


def line_name(calls: CallsConfig, number: str) -> str:
    """The name of a dialled number; the number itself when nobody described it."""
    line = calls.line(number)
    return line.name if line else number
