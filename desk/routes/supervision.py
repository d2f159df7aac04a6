"""For supervisors: the wallboard, history, steering of agents and waiting calls, closures, and the audit log."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response
from sqlalchemy.orm import Session

from desk import audit, history
from desk.audit import By
from desk.board import BoardView
from desk.context import Acting, AgentId, Desk, DeskParts, Supervisor
from desk.days import check_day, end_of, midnight
from desk.errors import AgentBusy, NoListening, NotThere
from desk.history import HistoryView
from desk.models import AuditEntry
from desk.supervision_views import (
    AuditPage,
    ClosureChoices,
    ClosureEnd,
    ClosureForm,
    ListenForm,
    MoveForm,
    PresenceForm,
    PromptView,
    audit_page,
)
from desk.views import AgentView, ClosureView
from ivr import operations, site
from ivr.errors import PresenceRefused
from ivr.models import Agent, Call, Presence
from ivr.prompts import Prompts, Tone
from tickets.errors import InvalidInput

router = APIRouter(tags=["supervision"])

CSV = "text/csv; charset=utf-8"
HISTORY_DAYS = 7
"""So many days are shown where nobody says which."""

Day = Annotated[date | None, Query()]


@router.get("/board")
async def board(_who: Supervisor, desk: DeskParts) -> BoardView:
    """How the line stands, and how the day has gone; counted once every few seconds for all who ask."""
    return await desk.board.figures()


# ------------------------------------------------------------------------------------------------------------ history


@router.get("/history")
async def history_of_days(
    _who: Supervisor, desk: DeskParts, first: Day = None, last: Day = None, by: history.By = "day"
) -> HistoryView:
    """Calls, messages and requests by day (92 at most) or by hour (7 days at most); the last 7 days if not said."""
    return await _history(desk, first, last, by)


@router.get("/history.csv", response_class=Response)
async def history_csv(
    _who: Supervisor, desk: DeskParts, first: Day = None, last: Day = None, by: history.By = "day"
) -> Response:
    """The same as a file for spreadsheets (UTF-8, commas, shares from 0 to 1)."""
    view = await _history(desk, first, last, by)
    return _file(history.as_csv(view), f"history-{view.first}-{view.last}.csv")


async def _history(desk: Desk, first: date | None, last: date | None, by: history.By) -> HistoryView:
    zone = ZoneInfo(desk.notices.settings.timezone)
    last = last or desk.now().astimezone(zone).date()
    check_day("last", last, "is no day that can be counted")
    first = first or last - timedelta(days=HISTORY_DAYS - 1)
    return await desk.database.read(history.history, first, last, by, desk.report, zone)


# ----------------------------------------------------------------------------------------------------------- steering


@router.post("/steering/agents/{agent_id}/presence")
async def set_presence(agent_id: int, form: PresenceForm, by: Acting, desk: DeskParts) -> AgentView:
    """Pause an agent, take one off duty, or end a pause that a supervisor began; the agent's page says who did it."""
    if form.presence == "paused" and form.reason not in {label.code for label in desk.calls.pause_reasons}:
        raise InvalidInput("reason", "is none of this site's reasons to pause", "no_such_code")
    agent = await desk.database.run(_set_presence, agent_id, form, by, now=desk.now())
    return AgentView.model_validate(agent)


def _set_presence(session: Session, agent_id: int, form: PresenceForm, by: By, *, now: datetime) -> Agent:
    agent = session.get(Agent, agent_id)
    if agent is None:
        raise NotThere(f"there is no agent {agent_id}")
    old = _state(agent)
    try:
        agent = operations.steer_presence(
            session,
            agent_id,
            Presence(form.presence),
            reason=form.reason,
            by=by.actor,
            now=now,
        )
    except PresenceRefused as error:
        raise AgentBusy(str(error)) from error
    audit.note(session, by, "presence_set", agent.username, old, _state(agent), now=now)
    return agent


def _state(agent: Agent) -> dict[str, str | None]:
    return {
        "presence": agent.presence.value,
        "pause_reason": agent.pause_reason,
        "pause_after_call": agent.pause_after_call,
    }


@router.post("/steering/calls/{call_id}/move", status_code=204)
async def move_call(call_id: str, form: MoveForm, by: Acting, desk: DeskParts) -> None:
    """Move a waiting call: to the head of its line, into another queue (`queue:NAME`), or to an agent (`agent:ID`)."""
    call = await desk.database.read(_call, call_id)
    if call is None or call.ended_at is not None:
        raise NotThere(f"there is no open call {call_id}")
    kind, _, name = form.target.partition(":")
    if kind == "queue" and name not in desk.calls.queues:
        raise InvalidInput("target", "names no queue")
    await desk.control.command(call_id, "move", form.target)
    new = {"target": form.target}
    await desk.database.run(
        audit.note,
        by,
        "call_moved",
        call_id,
        {"queue": call.queue, "priority": call.priority},
        new,
        now=desk.now(),
    )


@router.post("/steering/calls/{call_id}/listen", status_code=204)
async def listen(call_id: str, form: ListenForm, by: Acting, agent_id: AgentId, desk: DeskParts) -> None:
    """Hear a talk, whisper to its agent, or join it: the supervisor's own phone rings, and the agent's page says so.

    403 unless `desk.listen_to_calls` allows it.
    """
    rule = desk.settings.listen_to_calls
    if rule == "off":
        raise NoListening
    if await desk.database.read(_call, call_id) is None:
        raise NotThere(f"there is no call {call_id}")
    # noted first: whatever comes of it, that somebody wanted to listen is known
    told = {"mode": form.mode, "rule": rule}
    await desk.database.run(audit.note, by, "call_listened", call_id, None, told, now=desk.now())
    tone = ":audible" if rule == "audible" else ""
    await desk.control.command(call_id, "listen", f"{form.mode}:{agent_id}{tone}")


def _call(session: Session, call_id: str) -> Call | None:
    return session.get(Call, call_id)


# ----------------------------------------------------------------------------------------------------------- closures


@router.get("/closures")
async def closures(_who: Supervisor, desk: DeskParts) -> list[ClosureView]:
    """The closures that hold or are to come, and those that ended within a week."""
    found = await desk.database.read(site.closures, now=desk.now(), ended=site.REMEMBERED)
    return [ClosureView.model_validate(one) for one in found]


@router.get("/closures/choices")
async def choices(_who: Supervisor, desk: DeskParts) -> ClosureChoices:
    """What can be closed, and what callers may hear: the sentences of Centralino, and the site's own sounds."""
    ours: dict[str, dict[str, str]] = {}
    for prompt in Prompts():
        if not prompt.piece and not isinstance(prompt.says, Tone):
            ours.setdefault(prompt.name, {})[prompt.language] = prompt.says
    own = {name for _, name, _ in desk.calls.prompts() if name not in ours}
    prompts = [
        *(PromptView(name=name, it=None, en=None) for name in sorted(own)),
        *(PromptView(name=name, it=says.get("it"), en=says.get("en")) for name, says in ours.items()),
    ]
    return ClosureChoices(calendars=sorted(desk.calls.calendars), prompts=prompts)


@router.post("/closures", status_code=201)
async def close(form: ClosureForm, by: Acting, desk: DeskParts) -> ClosureView:
    """Close one calendar's lines, or all, at once or later; the next caller hears it, and promises reckon with it."""
    closed = await desk.database.run(_close, desk, form, by, now=desk.now())
    await desk.site.look()
    return closed


def _close(session: Session, desk: Desk, form: ClosureForm, by: By, *, now: datetime) -> ClosureView:
    closed = site.close_now(
        session,
        desk.calls,
        calendar=form.calendar,
        words=form.words,
        prompt=form.prompt,
        begins_at=form.begins_at,
        ends_at=form.ends_at,
        actor=by.actor,
        now=now,
    )
    view = ClosureView.model_validate(closed)
    told = view.model_dump(mode="json", include={"calendar", "words", "prompt", "begins_at", "ends_at"})
    audit.note(session, by, "closed", form.calendar or "*", None, told, now=now)
    return view


@router.post("/closures/{closure_id}/end")
async def end_closure(closure_id: int, form: ClosureEnd, by: Acting, desk: DeskParts) -> ClosureView:
    """Open again: now, or at a time that is known by now."""
    ended = await desk.database.run(_end, closure_id, form.ends_at, by, now=desk.now())
    await desk.site.look()
    return ended


def _end(session: Session, closure_id: int, ends_at: datetime | None, by: By, *, now: datetime) -> ClosureView:
    closed = site.end_closure(session, closure_id, ends_at=ends_at, actor=by.actor, now=now)
    view = ClosureView.model_validate(closed)
    told = view.model_dump(mode="json", include={"words", "ends_at"})
    audit.note(session, by, "closure_ended", closed.calendar or "*", None, told, now=now)
    return view


# ---------------------------------------------------------------------------------------------------------- audit log


@dataclass(frozen=True, slots=True)
class AuditAsked:
    """Which lines are wanted: of one person, of one kind, of some days of the site's, both included."""

    actor: Annotated[str | None, Query(max_length=64)] = None
    act: Annotated[str | None, Query(max_length=40)] = None
    first: Day = None
    last: Day = None


AuditFilter = Annotated[AuditAsked, Depends()]


@router.get("/audit")
async def audit_log(
    _who: Supervisor,
    desk: DeskParts,
    asked: AuditFilter,
    before_id: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
) -> AuditPage:
    """Who changed or steered what, the latest first, 200 at a time; days are the site's, both included."""
    found = await _entries(desk, asked, audit.MOST, before_id)
    return audit_page(found, audit.MOST)


@router.get("/audit.csv", response_class=Response)
async def audit_csv(_who: Supervisor, desk: DeskParts, asked: AuditFilter) -> Response:
    """The same as a file for spreadsheets, 50,000 lines at most."""
    found = await _entries(desk, asked, audit.MOST_EXPORTED)
    return _file(audit.as_csv(found), "audit-log.csv")


async def _entries(desk: Desk, asked: AuditAsked, limit: int, before_id: int | None = None) -> list[AuditEntry]:
    zone = ZoneInfo(desk.notices.settings.timezone)
    for day in (asked.first, asked.last):
        if day is not None:
            check_day("first", day, "is no day that can be looked up")
    return list(
        await desk.database.read(
            audit.entries,
            actor=asked.actor,
            act=asked.act,
            begin=midnight(asked.first, zone) if asked.first else None,
            end=end_of(asked.last, zone) if asked.last else None,
            before_id=before_id,
            limit=limit,
        )
    )


def _file(text: str, name: str) -> Response:
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(text.encode("utf-8-sig"), media_type=CSV, headers=headers)
