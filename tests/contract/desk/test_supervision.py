"""What supervisors see and steer: the wallboard, history, agents' states, waiting calls, closures, the audit log."""

import asyncio
import csv
import io
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from centralino.rig.desk_server import CALLS, HOSTILE, LINE, DeskServer
from desk import audit
from desk.audit import By
from desk.board import board
from desk.history import history
from desk.models import AuditEntry, Role
from desk.operations import set_role
from ivr.models import Call, Offer, OfferResult, Outcome, Phase, Presence
from ivr.operations import add_agent
from ivr.report import ReportSettings
from schedules.hours import is_open
from tests.contract.desk.test_desk_live import page as live_page
from tickets.database import Database
from tickets.errors import InvalidInput
from tickets.models import Channel, Kind, Request, Status
from tickets.notices import Notices, NoticeSettings
from tickets.operations import NewRequest, open_request, take_in_charge
from tickets.promise_rules import PromiseSettings, Terms
from voicemail.audio import KeptAudio
from voicemail.operations import begin_message, file_message

pytestmark = pytest.mark.contract

ROME = ZoneInfo("Europe/Rome")
NOTICES = Notices(NoticeSettings(desk_name="Help Desk", sender="desk@desk.example"))
NOON = datetime(2026, 11, 30, 11, tzinfo=UTC)
"""Midday in Rome."""
HOUR = timedelta(hours=1)


def lines(session: Session) -> Sequence[AuditEntry]:
    return session.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()


async def told(served: DeskServer) -> list[tuple[str, str, str, Any, Any]]:
    """The audit log: who did what to what, and how it was and is."""
    found = await served.database.read(lines)
    return [(one.actor, one.act, one.subject, one.old, one.new) for one in found]


# ---------------------------------------------------------------------------------------------------------- the roles


def _routes(served: DeskServer) -> list[tuple[str, str]]:
    return [
        (method.upper(), path)
        for path, methods in served.app.openapi()["paths"].items()
        for method, about in methods.items()
        if {"supervision", "administration", "report"} & set(about["tags"])
    ]


async def test_only_supervisors_get_in_anywhere(served: DeskServer) -> None:
    await served.agent("giulia")
    routes = _routes(served)
    assert len(routes) > 30
    filled = {"agent_id": "1", "call_id": "x", "closure_id": "1", "company_id": "1", "contact_id": "1", "group_id": "1"}
    filled |= {"key": "use", "kind": "queue", "name": "desk", "username": "giulia", "what": "contacts"}
    async with served.browser() as nobody, served.browser("giulia") as agent:
        for method, path in routes:
            asked = path.removeprefix("/api").format(**filled)
            for client, status in ((nobody, 401), (agent, 403)):
                answer = await client.request(method, asked, content=b"{}" if method != "GET" else None)
                assert answer.status_code == status, (method, path, answer.text)
    assert await told(served) == []


# ---------------------------------------------------------------------------------------------------------- wallboard


def call(
    session: Session,
    id_: str,
    at: datetime,
    outcome: Outcome | None,
    phase: Phase = Phase.ENDED,
    **at_s: float,
) -> None:
    """A call; `queued`, `answered` and `ended` are seconds since its beginning."""
    times = {f"{name}_at": at + timedelta(seconds=value) for name, value in at_s.items()}
    session.add(
        Call(
            id=id_,
            channel_id=id_,
            app="centralino",
            line=LINE,
            language="it",
            phase=phase,
            started_at=at,
            outcome=outcome,
            queue="desk",
            **times,
        )
    )


def _day(session: Session) -> None:
    """A morning, and an evening before."""
    agent = add_agent(session, "mara", "Mara", "PJSIP/1", ["desk"], now=NOON)
    agent.presence = Presence.FREE
    add_agent(session, "anna", "Anna", "PJSIP/2", ["desk"], now=NOON)
    gone = add_agent(session, "gone", "Gone", "PJSIP/3", ["desk"], now=NOON)
    gone.endpoint = None
    nine = NOON - timedelta(hours=3)
    call(session, "a1", nine, Outcome.ANSWERED, queued=5, answered=15, ended=100)  # waited 10
    call(session, "a2", nine, Outcome.ANSWERED, queued=5, answered=55, ended=100)  # waited 50: late
    call(session, "a3", nine, Outcome.ABANDONED_QUEUE, queued=5, ended=95)  # waited 90
    call(session, "a4", nine, Outcome.ABANDONED_QUEUE, queued=1, ended=3)  # short
    call(session, "a5", nine, Outcome.ABANDONED_MENU, ended=30)
    call(session, "a6", nine, Outcome.VOICEMAIL, ended=60)
    call(session, "w1", NOON - timedelta(seconds=200), None, Phase.WAITING, queued=20)  # has waited 180
    call(session, "w2", NOON - timedelta(seconds=30), None, Phase.RINGING, queued=20)  # 10
    call(session, "y1", nine - timedelta(days=1), Outcome.ANSWERED, queued=0, answered=500, ended=600)
    call(session, "zz", nine, Outcome.ANSWERED, queued=0, answered=900, ended=901)  # synthetic
    session.flush()
    for number, (call_id, offered, ended, result) in enumerate(
        [
            ("a1", 10, 15, OfferResult.ANSWERED),
            ("a2", 10, 30, OfferResult.MISSED),
            ("a2", 35, 55, OfferResult.ANSWERED),
            ("y1", 0, 500, OfferResult.ANSWERED),
        ]
    ):
        at = session.get_one(Call, call_id).started_at
        session.add(
            Offer(
                id=f"o{number}",
                call_id=call_id,
                agent_id=agent.id,
                endpoint="PJSIP/1",
                offered_at=at + timedelta(seconds=offered),
                ended_at=at + timedelta(seconds=ended),
                result=result,
            )
        )
    kept = KeptAudio(path="x.wav", sha256="0" * 64, seconds=9.0, speech_seconds=5.0)
    terms = Terms(PromiseSettings(), CALLS.calendars["desk"])
    for message_id, minutes in (("m1", 130), ("m2", 20), ("m3", 10)):
        at = NOON - timedelta(minutes=minutes)
        begin_message(
            session,
            message_id=message_id,
            call_id=None,
            line=LINE,
            language="it",
            caller=None,
            contact_id=None,
            area="use",
            now=at,
        )
        session.flush()
        file_message(session, message_id, kept, NOTICES, take=1, terms=terms, now=at)
    taken = session.scalars(select(Request).order_by(Request.id.desc()).limit(1)).one()
    take_in_charge(session, taken.id, actor="mara", now=NOON)


async def test_the_wallboard_counts_the_day_as_by_hand(database: Database) -> None:
    await database.run(_day)
    seen = await database.read(board, ReportSettings(), ROME, now=NOON)
    assert seen.day == "2026-11-30"
    assert (seen.waiting, seen.longest_wait) == (2, 180.0)
    assert (seen.calls, seen.answered, seen.answered_in_time) == (8, 2, 1)
    assert seen.service_level == pytest.approx(1 / 3)  # one in time, of two answered and one who gave up waiting
    assert (seen.gave_up_waiting, seen.gave_up_before, seen.gave_up_short) == (1, 1, 1)
    assert (seen.left_a_message, seen.other) == (1, 2)
    assert seen.abandoned_share == pytest.approx(1 / 3)
    assert (seen.wait_half, seen.wait_nine_of_ten, seen.worst_wait) == (10.0, 50.0, 180.0)
    assert (seen.ring_half, seen.ring_nine_of_ten) == (5.0, 20.0)
    assert seen.agents == dict.fromkeys(Presence, 0) | {Presence.FREE: 1, Presence.OFFLINE: 1}
    assert (seen.messages_waiting, seen.oldest_message_at) == (2, NOON - timedelta(minutes=130))
    assert (seen.promises_overdue, seen.promises_due) == (1, 1)


async def test_an_empty_day_has_no_shares(database: Database) -> None:
    seen = await database.read(board, ReportSettings(), ROME, now=NOON)
    assert (seen.calls, seen.service_level, seen.abandoned_share, seen.worst_wait, seen.ring_half) == (0, *[None] * 4)
    assert (seen.longest_wait, seen.oldest_message_at) == (None, None)


async def test_the_day_is_counted_once_however_many_screens_there_are(served: DeskServer) -> None:
    await served.supervisor("sara")
    counted = served.app.state.desk.board
    async with served.browser("sara") as page:
        answers = await asyncio.gather(*(page.get("/board") for _ in range(20)))
        assert {answer.status_code for answer in answers} == {200}
        assert counted.counted == 1
        await served.waiting_call()
        assert (await page.get("/board")).json()["waiting"] == 0
        served.now.ahead += timedelta(seconds=4)
        assert (await page.get("/board")).json()["waiting"] == 1
        assert counted.counted == 2


# ------------------------------------------------------------------------------------------------------------ history


async def test_history_by_day_and_by_hour(database: Database) -> None:
    await database.run(_day)
    by_day = await database.read(history, date(2026, 11, 29), date(2026, 11, 30), "day", ReportSettings(), ROME)
    yesterday, today = by_day.rows
    assert (yesterday.calls, yesterday.answered, yesterday.longest_wait) == (1, 1, 500.0)
    assert (today.calls, today.answered, today.gave_up_short, today.messages) == (8, 2, 1, 3)
    assert (today.requests_received, today.requests_closed) == (3, 0)
    assert by_day.total.calls == 9
    by_hour = await database.read(history, date(2026, 11, 30), date(2026, 11, 30), "hour", ReportSettings(), ROME)
    assert [(row.begin.hour, row.calls) for row in by_hour.rows if row.calls] == [(9, 6), (11, 2)]
    assert len(by_hour.rows) == 24


@pytest.mark.parametrize(("day", "hours"), [(date(2026, 10, 25), 25), (date(2026, 3, 29), 23)])
async def test_a_day_on_which_the_clocks_change_has_all_its_hours(database: Database, day: date, hours: int) -> None:
    found = await database.read(history, day, day, "hour", ReportSettings(), ROME)
    begins = [row.begin for row in found.rows]
    assert len(begins) == hours
    assert {later.astimezone(UTC) - earlier.astimezone(UTC) for earlier, later in pairwise(begins)} == {HOUR}
    assert begins[0].astimezone(ROME).hour == 0


async def test_history_refuses_what_nobody_can_read(database: Database) -> None:
    first = date(2026, 1, 1)
    for last, by in ((date(2026, 12, 31), "day"), (date(2026, 1, 9), "hour"), (date(2025, 12, 31), "day")):
        with pytest.raises(InvalidInput):
            await database.read(history, first, last, by, ReportSettings(), ROME)  # type: ignore[arg-type]


async def test_history_is_a_file_as_well(served: DeskServer) -> None:
    await served.supervisor("sara")
    await served.waiting_call()
    async with served.browser("sara") as page:
        view = (await page.get("/history")).json()
        assert (len(view["rows"]), view["total"]["calls"], view["by"]) == (7, 1, "day")
        answer = await page.get("/history.csv", params={"first": view["first"], "last": view["last"]})
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
        assert [row["calls"] for row in rows] == ["0"] * 6 + ["1"]
        for wrong in ({"first": "2026-02-30"}, {"last": "0001-01-01"}, {"by": "year"}, {"first": "9999-12-31"}):
            assert (await page.get("/history", params=wrong)).status_code == 422, wrong


# ----------------------------------------------------------------------------------------------------------- steering


async def steer(page: httpx.AsyncClient, agent_id: int, presence: str, reason: str | None = None) -> httpx.Response:
    return await page.post(f"/steering/agents/{agent_id}/presence", json={"presence": presence, "reason": reason})


async def test_an_agent_is_paused_and_told_by_whom(served: DeskServer) -> None:
    giulia = await served.agent("giulia", presence=Presence.FREE)
    await served.supervisor("sara")
    async with live_page(served, "giulia") as (page, _), served.browser("sara") as sara:
        answer = await steer(sara, giulia, "paused", "meeting")
        assert (answer.status_code, answer.json()["presence_by"]) == (200, "sara")
        seen = await page.until("agents", giulia)
        while seen["data"]["item"]["presence"] != "paused":
            seen = await page.until("agents", giulia)
        assert seen["data"]["item"]["presence_by"] == "sara"
        assert (await steer(sara, giulia, "free")).json()["presence"] == "free"
        refused = await steer(sara, giulia, "free")
        assert (refused.status_code, refused.json()["error"]) == (409, "agent_busy")
        assert (await steer(sara, giulia, "offline")).json()["presence_by"] == "sara"
    states = [(old["presence"], new["presence"]) for _, _, _, old, new in await told(served)]
    assert states == [("free", "paused"), ("paused", "free"), ("free", "offline")]
    assert {(actor, act, subject) for actor, act, subject, *_ in await told(served)} == {
        ("sara", "presence_set", "giulia")
    }


async def test_who_was_paused_by_a_supervisor_is_free_with_one_click_of_their_own(served: DeskServer) -> None:
    giulia = await served.agent("giulia", presence=Presence.FREE)
    await served.supervisor("sara")
    async with served.browser("giulia") as mine, served.browser("sara") as sara:
        await steer(sara, giulia, "paused", "training")
        back = (await mine.post("/presence/free")).json()
        assert (back["presence"], back["presence_by"]) == ("free", None)
        paused = (await mine.post("/presence/pause", json={"reason": "break"})).json()
        assert (paused["presence"], paused["presence_by"]) == ("paused", None)
        assert (await steer(sara, giulia, "free")).status_code == 409


async def test_during_a_call_the_pause_comes_afterwards_and_off_duty_is_refused(served: DeskServer) -> None:
    giulia = await served.agent("giulia", presence=Presence.FREE)
    await served.supervisor("sara")
    call_id = await served.waiting_call()
    await served.answer(await served.ring(call_id, giulia))
    async with served.browser("sara") as sara, served.browser("giulia") as mine:
        later = (await steer(sara, giulia, "paused", "break")).json()
        assert (later["presence"], later["pause_after_call"], later["presence_by"]) == ("talking", "break", "sara")
        assert (await steer(sara, giulia, "offline")).status_code == 409
        await served.hang_up(call_id)
        ended = (await mine.post("/presence/end-wrap-up")).json()
        assert (ended["presence"], ended["pause_reason"], ended["presence_by"]) == ("paused", "break", "sara")


@pytest.mark.parametrize(
    "body",
    [
        {"presence": "talking"},
        {"presence": "paused", "reason": "missed_call"},
        {"presence": "paused"},
        {},
        {"presence": "free", "x": 1},
    ],
)
async def test_states_that_only_calls_make_are_refused(served: DeskServer, body: dict[str, Any]) -> None:
    giulia = await served.agent("giulia")
    await served.supervisor("sara")
    async with served.browser("sara") as sara:
        assert (await sara.post(f"/steering/agents/{giulia}/presence", json=body)).status_code == 422
        assert (await steer(sara, 999, "offline")).status_code == 404


async def test_a_waiting_call_is_moved_and_it_is_noted(served: DeskServer) -> None:
    giulia = await served.agent("giulia", presence=Presence.FREE)
    await served.supervisor("sara")
    call_id = await served.waiting_call()
    async with served.browser("sara") as sara:
        for target in ("head", "queue:specialists", f"agent:{giulia}"):
            answer = await sara.post(f"/steering/calls/{call_id}/move", json={"target": target})
            assert answer.status_code == 204, answer.text
        assert served.control.commands == [
            ("move", call_id, "head"),
            ("move", call_id, "queue:specialists"),
            ("move", call_id, f"agent:{giulia}"),
        ]
        noted = len(await told(served))
        served.control.refuse = True
        assert (await sara.post(f"/steering/calls/{call_id}/move", json={"target": "head"})).status_code == 409
        for target in ("queue:nowhere", "nonsense", "agent:x", f"queue:{HOSTILE}"):
            answer = await sara.post(f"/steering/calls/{call_id}/move", json={"target": target})
            assert answer.status_code == 422, target
        assert (await sara.post("/steering/calls/none/move", json={"target": "head"})).status_code == 404
        assert len(await told(served)) == noted == 3


async def test_nobody_listens_where_the_site_does_not_allow_it(served: DeskServer) -> None:
    await served.agent("giulia")
    await served.supervisor("sara")
    await served.database.run(set_role, "giulia", Role.SUPERVISOR)
    call_id = await served.waiting_call()
    async with served.browser("giulia") as giulia, served.browser("sara") as sara:
        answer = await giulia.post(f"/steering/calls/{call_id}/listen", json={"mode": "hear"})
        assert (answer.status_code, answer.json()["error"]) == (403, "no_listening")
        assert (await sara.post(f"/steering/calls/{call_id}/listen", json={"mode": "hear"})).status_code == 403
    async with live_page(served, "giulia") as (_, snapshot):
        assert snapshot["data"]["listening"] is False
    assert served.control.commands == []
    assert await told(served) == []


@pytest.mark.parametrize(("rule", "tone"), [("audible", ":audible"), ("silent", "")])
async def test_where_it_is_allowed_each_use_is_noted(tmp_path: Path, rule: str, tone: str) -> None:
    async with DeskServer(tmp_path, listen_to_calls=rule) as served:
        giulia = await served.agent("giulia")
        await served.agent("marco")
        await served.database.run(set_role, "giulia", Role.SUPERVISOR)
        call_id = await served.waiting_call()
        async with served.browser("giulia") as sara, served.browser("marco") as marco:
            assert (await sara.post(f"/steering/calls/{call_id}/listen", json={"mode": "hear"})).status_code == 204
            assert served.control.commands == [("listen", call_id, f"hear:{giulia}{tone}")]
            served.control.refuse = True
            assert (await sara.post(f"/steering/calls/{call_id}/listen", json={"mode": "join"})).status_code == 409
            assert (await sara.post(f"/steering/calls/{call_id}/listen", json={"mode": "record"})).status_code == 422
            assert (await sara.post("/steering/calls/none/listen", json={"mode": "hear"})).status_code == 404
            assert (await marco.post(f"/steering/calls/{call_id}/listen", json={"mode": "hear"})).status_code == 403
        seen = [(act, subject, new["mode"], new["rule"]) for _, act, subject, _, new in await told(served)]
        assert seen == [("call_listened", call_id, "hear", rule), ("call_listened", call_id, "join", rule)]


# ----------------------------------------------------------------------------------------------------------- closures


async def test_a_closure_closes_the_line_at_once_and_a_click_opens_it(served: DeskServer) -> None:
    await served.agent("giulia")
    await served.supervisor("sara")
    calendar = "desk"
    async with served.browser("sara") as sara, live_page(served, "giulia") as (page, snapshot):
        assert snapshot["data"]["closures"] == []
        answer = await sara.post("/closures", json={"words": f"Evacuazione {HOSTILE}", "prompt": "technical-problem"})
        assert answer.status_code == 201, answer.text
        closed = answer.json()
        assert not is_open(served.calls.calendars[calendar], served.now())
        assert (await page.until("closures", closed["id"]))["data"]["item"]["opened_by"] == "sara"
        ended = await sara.post(f"/closures/{closed['id']}/end", json={})
        assert ended.json()["ended_by"] == "sara"
        assert is_open(served.calls.calendars[calendar], served.now())
        assert (await page.until("closures", closed["id"]))["data"]["item"] is None
        assert (await sara.post(f"/closures/{closed['id']}/end", json={})).status_code == 422
        assert [one["id"] for one in (await sara.get("/closures")).json()] == [closed["id"]]
    assert [(act, subject) for _, act, subject, *_ in await told(served)] == [("closed", "*"), ("closure_ended", "*")]


async def test_a_closure_may_begin_later_end_by_itself_and_close_one_calendar(served: DeskServer) -> None:
    await served.supervisor("sara")
    now = served.now()
    later, end = now + timedelta(hours=1), now + timedelta(hours=2)
    async with served.browser("sara") as sara:
        body = {"words": "Assemblea", "calendar": "desk", "begins_at": later.isoformat(), "ends_at": end.isoformat()}
        assert (await sara.post("/closures", json=body)).status_code == 201
        hours = served.calls.calendars["desk"]
        opens = [is_open(hours, now + timedelta(minutes=minutes)) for minutes in (0, 59, 61, 119, 121)]
        assert opens == [True, True, False, False, True]


async def test_promises_reckon_with_a_closure(served: DeskServer) -> None:
    await served.agent("giulia")
    await served.supervisor("sara")
    end = served.now() + timedelta(hours=3)
    async with served.browser("sara") as sara, served.browser("giulia") as giulia:
        await sara.post("/closures", json={"words": "Guasto", "ends_at": end.isoformat()})
        terms = Terms(PromiseSettings(), served.calls.calendars["desk"])
        opened = await served.request("x", channel=Channel.EMAIL, terms=terms)
        assert opened.pickup_due_at == end + timedelta(hours=1)
        detail = (await giulia.get(f"/requests/{opened.id}")).json()
        assert "Guasto" in detail["promises"][0]["explanation"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"words": " "}, "words"),
        ({"words": "x" * 201}, "words"),
        ({"words": "x", "calendar": "nowhere"}, "calendar"),
        ({"words": "x", "prompt": "no-such-prompt"}, "prompt"),
        ({"words": "x", "ends_at": "2020-01-01T00:00:00Z"}, "ends_at"),
        ({"words": "x", "ends_at": "2026-01-01T00:00:00"}, "ends_at"),
        ({"words": "x", "ends_at": "9999-01-01T00:00:00Z"}, "ends_at"),
    ],
)
async def test_a_closure_that_makes_no_sense_is_refused(served: DeskServer, body: dict[str, Any], field: str) -> None:
    await served.supervisor("sara")
    async with served.browser("sara") as sara:
        answer = await sara.post("/closures", json=body)
        assert (answer.status_code, list(answer.json()["fields"])) == (422, [field]), answer.text
        assert is_open(served.calls.calendars["desk"], served.now())
        choices = (await sara.get("/closures/choices")).json()
        assert "desk" in choices["calendars"]
        assert {"technical-problem", "closed-holiday"} <= {prompt["name"] for prompt in choices["prompts"]}


# ---------------------------------------------------------------------------------------------------------- audit log


def _note(session: Session, /, actor: str, act: str, at: datetime, **fields: Any) -> None:
    audit.note(session, By(actor, "10.0.0.1"), act, "x", {"a": 1}, {"a": 2, **fields}, now=at)


async def test_the_audit_log_is_filtered_and_kept_for_its_time(database: Database) -> None:
    day = timedelta(days=1)
    for number, (actor, act) in enumerate([("sara", "closed"), ("sara", "queue_edited"), ("anna", "closed")]):
        await database.run(_note, actor, act, NOON + number * day)
    acts = [one.act for one in await database.read(audit.entries, actor="sara")]
    assert acts == ["queue_edited", "closed"]
    closed = await database.read(audit.entries, act="closed", begin=NOON + day)
    assert [one.actor for one in closed] == ["anna"]
    assert [one.actor for one in await database.read(audit.entries, end=NOON + day)] == ["sara"]
    newest, *older = await database.read(audit.entries)
    assert [one.id for one in await database.read(audit.entries, before_id=newest.id)] == [one.id for one in older]
    await database.run(audit.forget_entries, 2 * day, now=NOON + 3 * day + timedelta(hours=1))
    assert [one.actor for one in await database.read(audit.entries)] == ["anna"]


async def test_only_what_differs_is_noted_and_nothing_where_nothing_does(database: Database) -> None:
    by = By("sara", "here")
    await database.run(audit.note, by, "queue_edited", "q", {"a": 1, "b": 2}, {"a": 1, "b": 3}, now=NOON)
    await database.run(audit.note, by, "queue_edited", "q", {"a": 1}, {"a": 1}, now=NOON)
    (line,) = await database.read(audit.entries)
    assert (line.old, line.new) == ({"b": 2}, {"b": 3})


async def test_the_audit_log_is_a_page_and_a_file(served: DeskServer) -> None:
    await served.supervisor("sara")
    evil = '=HYPERLINK("http://evil")'
    for number in range(audit.MOST + 3):
        await served.database.run(_note, evil if number == 0 else "sara", "closed", served.now(), words=HOSTILE)
    async with served.browser("sara") as sara:
        page = (await sara.get("/audit")).json()
        assert len(page["entries"]) == audit.MOST
        rest = (await sara.get("/audit", params={"before_id": page["more_before"]})).json()
        assert (len(rest["entries"]), rest["more_before"]) == (3, None)
        text = (await sara.get("/audit.csv")).content.decode("utf-8-sig")
        rows = list(csv.DictReader(io.StringIO(text)))
        assert (len(rows), rows[-1]["actor"]) == (audit.MOST + 3, f"'{evil}")
        assert all(one["source"] == "10.0.0.1" for one in rows)
        assert (await sara.get("/audit", params={"first": "0001-01-01"})).status_code == 422
        for method in ("post", "put", "patch", "delete"):
            assert (await sara.request(method.upper(), "/audit", content=b"{}")).status_code == 405


async def test_a_request_that_closed_today_is_counted_as_closed(database: Database) -> None:
    new = NewRequest(
        kind=Kind.PROBLEM, area="use", channel=Channel.PHONE, subject="x", received_at=NOON - timedelta(days=3)
    )
    opened = await database.run(open_request, new, NOTICES, now=NOON - timedelta(days=3))

    def close(session: Session) -> None:
        request = session.get_one(Request, opened.id)
        request.status, request.closed_at = Status.CLOSED, NOON

    await database.run(close)
    found = await database.read(history, date(2026, 11, 27), date(2026, 11, 30), "day", ReportSettings(), ROME)
    assert [(row.requests_received, row.requests_closed) for row in found.rows] == [(1, 0), (0, 0), (0, 0), (0, 1)]
