"""What the measurements make of what they measured, and the history they are made on."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from benchmarks import outage, soak
from benchmarks.callers import SCENARIOS, _elsewhere
from benchmarks.limit import gives_up, worse_than_native
from benchmarks.measure import CENTRALINO, NATIVE, Round, Row, in_one, in_turn, summed_up
from centralino.rig import history
from ivr import operations
from ivr.models import Agent, Call, Offer, Outcome
from schedules.hours import Calendar
from schedules.promises import pickup_promise
from tickets.database import Base, Database
from tickets.models import Request
from tickets.queries import identify_caller, open_requests, requests_of_caller
from voicemail.models import Message, MessageState

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def _row(system: str, rate: int, *, failed: int = 0, busy: float = 50.0, reached: float | None = None) -> Row:
    one = Round(system, rate, 100, failed, 9.0, 8.0, 0.0, (10.0,), busy, rate if reached is None else reached)
    return in_one([one])


def test_rounds_are_summed_up_by_system_and_rate_with_medians_and_all_waits() -> None:
    rounds = [Round(CENTRALINO, 10, 5, 0, cost, 1.0, 0.0, (cost,), 40.0, 10.0) for cost in (1.0, 9.0, 2.0)]
    rows = summed_up([*rounds, Round(NATIVE, 10, 5, 1, 4.0, 0.0, 0.0)])
    assert [(row.system, row.calls, row.failed, row.cpu_asterisk_ms) for row in rows] == [
        (CENTRALINO, 15, 0, 2.0),
        (NATIVE, 5, 1, 4.0),
    ]
    assert (rows[0].to_agent_p50_ms, rows[0].to_agent_p95_ms, rows[1].to_agent_p50_ms) == (2.0, 9.0, None)


def test_every_second_round_goes_backwards() -> None:
    assert [list(in_turn(number, "ab")) for number in range(3)] == [["a", "b"], ["b", "a"], ["a", "b"]]


@pytest.mark.parametrize(
    ("row", "given_up"),
    [
        (_row(CENTRALINO, 40), False),
        (_row(CENTRALINO, 40, failed=1), True),
        (_row(CENTRALINO, 40, busy=98.0), True),
        (_row(CENTRALINO, 40, reached=30.0), True),
    ],
)
def test_a_rate_is_too_much_when_calls_fail_or_the_machine_is_full(row: Row, given_up: bool) -> None:
    assert gives_up(row) is given_up


def test_a_failed_call_counts_only_where_the_native_way_and_the_machine_would_have_carried_it() -> None:
    rows = [_row(CENTRALINO, 10, failed=1), _row(NATIVE, 10)]
    rows += [_row(CENTRALINO, 20, failed=1), _row(NATIVE, 20, failed=2)]
    rows += [_row(CENTRALINO, 30, failed=1, busy=99.0), _row(NATIVE, 30)]
    assert worse_than_native(rows) == [10]


def test_what_one_in_a_thousand_calls_leaves_behind_is_growth() -> None:
    first = soak.Sample(2000, 0, 100.0, 120.0, 9, 0, 22, 6, 0, 0, 150.0)
    assert soak.grown(first, replace(first, memory=104.9, tasks=11, files=24, threads=7)) == []
    later = replace(first, memory=105.1, tasks=27, files=40, threads=24, channels=1, bridges=1, in_hand=1)
    assert set(soak.grown(first, later)) == {"memory", *soak.SLACK}


def test_a_traceback_is_found_in_the_log_of_a_service() -> None:
    log = (
        '{"event": "call ended"}\n{"exc_info": 1, "exception": [{"exc_type": "KeyError"}]}\nTraceback (most recent call'
    )
    assert len(soak.tracebacks(log)) == 2


def test_callers_whose_sound_is_elsewhere_send_none_themselves() -> None:
    scenario = _elsewhere((SCENARIOS / "route.xml").read_text(), 12345)
    assert "rtp_stream" not in re.sub("<!--.*?-->", "", scenario)
    assert scenario.count("m=audio 12345 RTP/AVP 8") == 2  # the INVITE, and the answer to Asterisk's own


def test_a_database_full_of_history_is_one_the_desk_can_work_with(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'full.db'}")
    Base.metadata.create_all(database.engine)
    with Session(database.engine.execution_options(writes=True)) as session:
        operations.add_agent(session, "agent1", "Agent 1", "PJSIP/101", ("diretta",), now=NOW)
        history.fill_directory(session.connection(), 100)
        history.fill_history(session.connection(), 1000)
        session.commit()
    with Session(database.engine) as session:
        tables = (Agent, Call, Request, Offer, Message)
        assert [session.scalar(select(func.count()).select_from(table)) for table in tables] == [1, *[1000] * 4]
        assert len(open_requests(session, limit=1000)) == history.OPEN_REQUESTS
        match = identify_caller(session, history.number_of(1))
        assert len(match.contacts) == 1
        assert len(requests_of_caller(session, match)) > 2
        newest = session.scalars(select(Request).order_by(Request.id.desc())).first()
        assert newest is not None
        assert newest.ticket is not None
    database.engine.dispose()


def test_the_promise_is_reckoned_as_the_service_does_but_in_another_way() -> None:
    closed_on_mondays = Calendar.model_validate(outage.lines(NOW - timedelta(days=1))["calendars"]["oggi chiuso"])
    for hours in range(24 * 8):
        received = NOW + timedelta(hours=hours, minutes=37, seconds=11)
        assert outage.promised(outage.CLOSED, received, 0) == pickup_promise(closed_on_mondays, received).due_at
    assert outage.promised(outage.OPEN, NOW, 0) == NOW + timedelta(hours=1)


def _kept(**other: object) -> outage.Kept:
    whole = outage.Kept("1", outage.OPEN, Outcome.FALLBACK, MessageState.FILED, 6.5, [NOW], [NOW + timedelta(hours=1)])
    return replace(whole, **other)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rows", "harm"),
    [
        ([_kept()], set()),
        ([], {"without_row"}),
        ([_kept(), _kept()], {"double"}),
        ([_kept(received=[], due=[])], {"lost"}),
        ([_kept(received=[NOW, NOW], due=[NOW + timedelta(hours=1)] * 2)], {"double"}),
        ([_kept(outcome=Outcome.ABANDONED_FALLBACK)], {"wrong_outcome"}),
        ([_kept(received=[NOW + timedelta(seconds=2)], due=[NOW + timedelta(seconds=3602)])], {"wrong_time"}),
        ([_kept(due=[NOW])], {"wrong_promise"}),
        ([_kept(due=[None])], {"wrong_promise"}),
        ([_kept(seconds=6.0)], {"cut"}),
        ([_kept(seconds=None)], {"lost"}),
    ],
)
def test_each_harm_of_an_outage_is_told(rows: list[outage.Kept], harm: set[str]) -> None:
    told = outage.Told("+390805551234", NOW, NOW + timedelta(seconds=36), NOW + timedelta(seconds=42.6))
    found = outage.judge(outage.WAYS[0], [(told, rows)], 0)
    assert {name for name in outage.HARM if getattr(found, name)} == harm
