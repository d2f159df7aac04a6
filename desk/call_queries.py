"""The list of calls: which there are, a page at a time, and one with all that is known of it."""

import enum
from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Select, and_, func, or_, select, text
from sqlalchemy.orm import Session, aliased

from desk.call_views import CallDetail, CallEntry, OfferView
from desk.days import end_of, midnight
from desk.errors import NotThere
from desk.queries import line_name
from desk.views import CallBackView, RequestLink
from ivr.call_backs import of_calls
from ivr.config import CallsConfig
from ivr.models import ABANDONED, RUNG_IN_VAIN, Agent, Call, CallBack, Offer, OfferResult, Outcome
from tickets.models import SYNTHETIC, Company, Contact, Request
from tickets.phone_numbers import shown_number

_FIRST = (datetime(9000, 1, 1, tzinfo=UTC), "")
PAGE = 50
"""So many calls are given at once."""


class WhichCalls(enum.StrEnum):
    """The lists of calls."""

    ALL = "all"
    TO_DO = "to_do"
    """Nobody served the caller, and it is not done yet."""
    MISSED = "missed"
    """Agents' phones rang, and none was answered."""
    ABANDONED = "abandoned"
    """The caller hung up before being served."""
    MINE = "mine"
    """The reader talked, or looks after it."""


def found_calls(
    session: Session,
    calls: CallsConfig,
    which: WhichCalls,
    *,
    reader: str,
    agent_id: int | None,
    day: date | None = None,
    timezone: str,
    before: str = "",
) -> tuple[list[CallEntry], str | None]:
    """A page of a list, the latest first, and where the next one begins (None: it was the last).

    `day` is one of the site's time zone; `before` is what the page before gave. Each part of a list reads as many
    rows as a page has, whatever there is in the tables: an index gives them in their order.
    """
    until, last = _read_cursor(before)
    found: dict[str, datetime] = {}
    for part, at, id_ in _parts(which, reader, agent_id):
        query = part.where(Call.id < SYNTHETIC, at <= until, or_(at < until, id_ < last), *_on(day, timezone)).order_by(
            at.desc(), id_.desc()
        )
        for call_id, moment in session.execute(query.limit(PAGE + 1)):
            found[call_id] = max(moment, found.get(call_id, moment))
    ids = sorted(found, key=lambda call_id: (found[call_id], call_id), reverse=True)
    page = ids[:PAGE]
    earlier = f"{found[page[-1]].isoformat()}~{page[-1]}" if len(ids) > PAGE else None
    entries = call_entries(session, calls, page)
    return [entries[call_id] for call_id in page if call_id in entries], earlier


def _parts(which: WhichCalls, reader: str, agent_id: int | None) -> list[tuple[Select[*tuple[Any, ...]], Any, Any]]:
    """The searches a list is made of: the calls' ids with the time by which they stand in order; that time, the id."""
    by_start = select(Call.id, Call.started_at)
    waiting = select(Call.id, Call.to_do_since).where(Call.to_do_since.is_not(None))
    match which:
        case WhichCalls.ALL:
            return [(by_start, Call.started_at, Call.id)]
        case WhichCalls.TO_DO:
            return [(waiting, Call.to_do_since, Call.id)]
        case WhichCalls.ABANDONED:
            gave_up = (*ABANDONED, Outcome.ABANDONED_FALLBACK)
            return [(by_start.where(Call.outcome == outcome), Call.started_at, Call.id) for outcome in gave_up]
        case WhichCalls.MISSED:
            in_vain = _last_offer(text(f"offer.{RUNG_IN_VAIN}"), text(f"later.{RUNG_IN_VAIN}"))
            unanswered = in_vain.where(Call.answered_at.is_(None), Call.ended_at.is_not(None))
            return [(unanswered, Offer.offered_at, Call.id)]
        case WhichCalls.MINE:
            parts: list[tuple[Select[*tuple[Any, ...]], Any, Any]] = [
                (waiting.where(Call.owner == reader), Call.to_do_since, Call.id)
            ]
            if agent_id is not None:
                mine = Offer.agent_id == agent_id
                talked = _last_offer(and_(mine, Offer.result == OfferResult.ANSWERED), _later.agent_id == agent_id)
                parts.append((talked, Offer.offered_at, Call.id))
            return parts


_later = aliased(Offer, name="later")


def _last_offer(wanted: Any, wanted_later: Any) -> Select[*tuple[Any, ...]]:
    """Calls by the last of their offers that is wanted, so that each comes once."""
    another = select(_later.id).where(
        _later.call_id == Offer.call_id, _later.offered_at > Offer.offered_at, wanted_later
    )
    return select(Call.id, Offer.offered_at).join(Call, Call.id == Offer.call_id).where(wanted, ~another.exists())


def _on(day: date | None, timezone: str) -> list[Any]:
    """The condition for calls that began on a day of the site's."""
    if day is None:
        return []
    zone = ZoneInfo(timezone)
    return [Call.started_at >= midnight(day, zone), Call.started_at < end_of(day, zone)]


def _read_cursor(before: str) -> tuple[datetime, str]:
    """Where a page begins; the first one, and what nobody can read, at the end of all times."""
    moment, _, call_id = before.partition("~")
    try:
        return datetime.fromisoformat(moment).astimezone(UTC), call_id if call_id.isprintable() else ""
    except (ValueError, OverflowError):
        return _FIRST


def call_page(session: Session, calls: CallsConfig, call_id: str) -> CallDetail:
    """A call with the phones that rang for it and the attempts to call back. Raises NotThere."""
    entry = call_entries(session, calls, [call_id]).get(call_id)
    if entry is None:
        raise NotThere
    offers = session.execute(
        select(Offer, Agent.username)
        .join(Agent, Agent.id == Offer.agent_id)
        .where(Offer.call_id == call_id)
        .order_by(Offer.offered_at, Offer.id)
    )
    return CallDetail(
        **entry.model_dump(),
        offers=[
            OfferView(
                agent=username,
                offered_at=offer.offered_at,
                ended_at=offer.ended_at,
                result=offer.result,
                code=offer.code,
            )
            for offer, username in offers
        ],
        call_backs=[CallBackView.model_validate(one) for one in of_calls(session, [call_id])],
    )


def call_entries(session: Session, calls: CallsConfig, call_ids: Collection[str]) -> dict[str, CallEntry]:
    """Calls as lines of the list, by id."""
    found = session.scalars(select(Call).where(Call.id.in_(call_ids), Call.id < SYNTHETIC)).all()
    # Each asked for by its ids: joined, PostgreSQL would rather read all contacts.
    named = (
        select(Contact.id, Contact.name, Company.name.label("company"))
        .outerjoin(Company, Company.id == Contact.company_id)
        .where(Contact.id.in_({call.contact_id for call in found}))
    )
    contacts = {row.id: row for row in session.execute(named)}
    users = select(Agent.id, Agent.username).where(Agent.id.in_({call.agent_id for call in found}))
    agents = {row.id: row.username for row in session.execute(users)}
    bound = select(Request.id, Request.ticket, Request.subject, Request.status)
    bound = bound.where(Request.id.in_({call.request_id for call in found}))
    requests = {row.id: RequestLink.model_validate(row) for row in session.execute(bound)}
    coded = select(Offer.call_id, Offer.code).where(Offer.call_id.in_(call_ids), Offer.code.is_not(None))
    codes = {row.call_id: row.code for row in session.execute(coded.order_by(Offer.offered_at))}
    attempts: dict[str, list[CallBack]] = {}
    for attempt in of_calls(session, call_ids):
        attempts.setdefault(attempt.for_call_id or "", []).append(attempt)
    again = _answered_since(session, [call for call in found if call.to_do_since is not None])
    return {
        call.id: CallEntry(
            id=call.id,
            started_at=call.started_at,
            ended_at=call.ended_at,
            line=call.line,
            line_name=line_name(calls, call.line),
            caller=call.caller,
            caller_shown=shown_number(call.caller) if call.caller else None,
            caller_name=call.caller_name,
            contact_name=contacts[call.contact_id].name if call.contact_id in contacts else None,
            company_name=contacts[call.contact_id].company if call.contact_id in contacts else None,
            language=call.language,
            choice=call.choice,
            queue=call.queue,
            outbound=call.outbound,
            phase=call.phase,
            outcome=call.outcome,
            outcome_note=call.outcome_note,
            agent=agents.get(call.agent_id or 0),
            waited=_seconds(call.queued_at or call.started_at, call.answered_at or call.ended_at),
            talked=_seconds(call.answered_at, call.ended_at),
            code=codes.get(call.id),
            request=requests.get(call.request_id or 0),
            message_id=call.message_id,
            to_do_since=call.to_do_since,
            owner=call.owner,
            owned_since=call.owned_since,
            done_at=call.done_at,
            done_by=call.done_by,
            done_reason=call.done_reason,
            attempts=len(attempts.get(call.id, ())),
            calling=any(one.ended_at is None for one in attempts.get(call.id, ())),
            called_again=again.get(call.caller or "", call.started_at) > call.started_at,
        )
        for call in found
    }


def _answered_since(session: Session, missed: Sequence[Call]) -> dict[str, datetime]:
    """When each of these callers last called and was answered, since the first of these calls."""
    if not missed:
        return {}
    rows = session.execute(
        select(Call.caller, func.max(Call.started_at))
        .where(
            Call.caller.in_({call.caller for call in missed}),
            Call.started_at > min(call.started_at for call in missed),
            Call.outcome == Outcome.ANSWERED,
        )
        .group_by(Call.caller)
    )
    return {caller: at for caller, at in rows if caller is not None}


def _seconds(begin: datetime | None, end: datetime | None) -> float | None:
    return max((end - begin).total_seconds(), 0.0) if begin is not None and end is not None else None
