"""The monthly report, against a month counted by hand, and its files."""

import csv
import io
import json
import re
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy.orm import Session

from centralino.rig.desk_server import CALLS, DeskServer
from desk.models import Role
from desk.operations import set_role
from desk.report import Month, NoMonth, Report, as_csv, as_dict, formulas, measures, service_report, sheets
from desk.report_pdf import as_pdf
from ivr.models import TIMED_OUT, Agent, Call, Offer, Outcome, Phase
from ivr.report import ReportSettings
from schedules.hours import Calendar
from schedules.promises import Clock
from tickets.database import Database
from tickets.lifecycle import Role as Acting
from tickets.models import Channel, Company, Kind, Request, Status
from tickets.notices import Notices, NoticeSettings
from tickets.operations import (
    NewRequest,
    add_event,
    close_request,
    move_request,
    open_request,
    take_in_charge,
    user_replied,
)
from tickets.promise_rules import PromiseSettings, Rule, Terms

pytestmark = pytest.mark.contract

ROME = ZoneInfo("Europe/Rome")
NOTICES = Notices(NoticeSettings(desk_name="Help Desk", sender="desk@desk.example"))
OFFICE = Calendar(weekly=dict.fromkeys(("monday", "tuesday", "wednesday", "thursday", "friday"), ("08:00-18:00",)))
TERMS = Terms(PromiseSettings(rules=(Rule(first_answer_minutes=120, solution_minutes=600),)), OFFICE)
NOVEMBER = Month.read("2026-11", ROME)
NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)
EVIL = '=HYPERLINK("http://evil.example","ASL")'
LINE = CALLS.lines[0]


def rome(day: int, time: str, month: int = 11) -> datetime:
    return datetime.fromisoformat(f"2026-{month:02}-{day:02}T{time}").replace(tzinfo=ROME).astimezone(UTC)


def request(session: Session, received: datetime, channel: Channel, **fields: Any) -> Request:
    new = NewRequest(
        kind=Kind.PROBLEM,
        area="application",
        channel=channel,
        subject="prova",
        received_at=received,
        terms=TERMS,
        **fields,
    )
    return open_request(session, new, NOTICES, now=received)


def move(session: Session, request: Request, to: Status, at: datetime) -> None:
    move_request(session, request.id, to, NOTICES, actor="anna", role=Acting.SUPERVISOR, text="prova", now=at)


def call(session: Session, id_: str, at: datetime, outcome: Outcome | None, **seconds: float) -> None:
    """A call; `queued`, `answered` and `ended` are seconds since its beginning."""
    times = {f"{name}_at": at + timedelta(seconds=value) for name, value in seconds.items()}
    session.add(
        Call(
            id=id_,
            channel_id=id_,
            app="centralino",
            line=LINE.number,
            language="it",
            phase=Phase.ENDED,
            started_at=at,
            outcome=outcome,
            **times,
        )
    )


def november(session: Session) -> None:
    """The month counted by hand; the numbers in the tests below are read off these lines."""
    bari, evil = Company(name="ASL Bari"), Company(name=EVIL)
    session.add_all([bari, evil])
    session.flush()
    # calls: 4 answered (after 5, 12, 20 and 61 s), 2 gave up waiting (30 and 90 s), 1 at once, 1 in the menu,
    # 1 message, 1 failed; one of October and one of ours are none of them
    call(session, "a1", rome(2, "09:00:00"), Outcome.ANSWERED, queued=10, answered=15, ended=100)
    call(session, "a2", rome(3, "09:00:00"), Outcome.ANSWERED, queued=10, answered=22, ended=100)
    call(session, "a3", rome(4, "09:00:00"), Outcome.ANSWERED, queued=10, answered=30, ended=100)
    call(session, "a4", rome(30, "23:59:59"), Outcome.ANSWERED, queued=10, answered=71, ended=100)
    # said of them: a1 passed on, then solved; a2 nothing in time; a3 a code that the site has given up; a4 nothing yet
    session.add(Agent(id=1, username="anna", name="Anna", endpoint="PJSIP/1", presence_since=NOW))
    session.flush()
    for number, (of_call, code) in enumerate(
        (("a1", "passed_on"), ("a1", "solved"), ("a2", TIMED_OUT), ("a3", "old_one"), ("a4", None), ("f1", "solved"))
    ):
        at = rome(2, f"09:0{number}:00")
        session.add(Offer(id=f"o{number}", call_id=of_call, agent_id=1, endpoint="PJSIP/1", offered_at=at, code=code))
    call(session, "b1", rome(5, "09:00:00"), Outcome.ABANDONED_QUEUE, queued=10, ended=40)
    call(session, "b2", rome(5, "10:00:00"), Outcome.ABANDONED_QUEUE, queued=10, ended=100)
    call(session, "b3", rome(5, "11:00:00"), Outcome.ABANDONED_QUEUE, queued=10, ended=14)
    call(session, "c1", rome(6, "09:00:00"), Outcome.ABANDONED_MENU, ended=12)
    call(session, "d1", rome(6, "20:00:00"), Outcome.VOICEMAIL, ended=50)
    call(session, "e1", rome(6, "21:00:00"), Outcome.FAILED, ended=1)
    call(session, "f1", rome(31, "23:59:59", 10), Outcome.ANSWERED, queued=1, answered=2, ended=3)
    call(session, "z1", rome(6, "09:00:00"), Outcome.VOICEMAIL, ended=50)
    # 1. by phone, solved on the spot: first answer and solution kept
    one = request(session, rome(2, "09:00"), Channel.PHONE, actor="bruno", company_id=bari.id, call_id="a1")
    close_request(session, one.id, NOTICES, solution="fatto", actor="bruno", now=rome(2, "09:05"))
    # 2. voicemail of Friday night, taken on Monday 08:59, solved on Monday 10:01 (first answer due 10:00): missed one
    two = request(session, rome(6, "22:00"), Channel.VOICEMAIL, company_id=bari.id, call_id="d1")
    take_in_charge(session, two.id, actor="anna", now=rome(9, "08:59"))
    close_request(session, two.id, NOTICES, solution="fatto", actor="anna", now=rome(9, "10:01"))
    # 3. e-mail, pickup due 10:00, taken 10:01; asked at 10:30, answered the next day at 10:30 (10 h): solution due
    # 9 h + 10 h later, Thursday 09:00; solved on Thursday 08:59
    three = request(session, rome(10, "09:00"), Channel.EMAIL, company_id=evil.id)
    take_in_charge(session, three.id, actor="anna", now=rome(10, "10:01"))
    move(session, three, Status.PENDING_USER, rome(10, "10:30"))
    user_replied(session, three.id, NOTICES, "Ecco", now=rome(11, "10:30"))
    close_request(session, three.id, NOTICES, solution="fatto", actor="anna", now=rome(12, "08:59"))
    # 4. fax that nobody took: all three missed
    request(session, rome(12, "09:00"), Channel.FAX)
    # 5. e-mail of the last evening: taken and answered in time on the 1st, its solution still due
    five = request(session, rome(30, "20:00"), Channel.EMAIL, company_id=bari.id, level=2)
    take_in_charge(session, five.id, actor="anna", now=rome(1, "08:30", 12))
    add_event(session, five, "called", "anna", {}, rome(1, "08:40", 12))
    # 6. e-mail, cancelled before anything was due
    six = request(session, rome(16, "09:00"), Channel.EMAIL)
    move(session, six, Status.CANCELLED, rome(16, "09:10"))
    # neither of this month: October's last and December's first, by the clock of the desk; and a synthetic one
    request(session, rome(31, "23:59:59", 10), Channel.EMAIL)
    request(session, rome(1, "00:00", 12), Channel.EMAIL)
    request(session, rome(6, "09:00"), Channel.VOICEMAIL, synthetic=True)


@pytest.fixture
async def report(database: Database) -> Report:
    await database.run(november)
    return await database.read(service_report, NOVEMBER, CALLS, ReportSettings(), now=NOW)


def figures(report: Report, by: str, name: str = "") -> dict[str, Any]:
    (row,) = [row for row in report.rows if (row.by, row.name) == (by, name)]
    return measures(row)


def promises(values: dict[str, Any], clock: Clock) -> tuple[int, int, int, int]:
    kept, missed, pending, dropped = (values[f"{clock}_{word}"] for word in ("kept", "missed", "pending", "dropped"))
    return kept, missed, pending, dropped


def test_a_month_is_what_was_counted_by_hand(report: Report) -> None:
    total = figures(report, "total")
    assert [total[name] for name in ("received", "solved", "still_open", "cancelled")] == [6, 3, 2, 1]
    assert promises(total, Clock.PICKUP) == (2, 2, 0, 1)
    assert promises(total, Clock.FIRST_ANSWER) == (3, 2, 0, 1)
    assert promises(total, Clock.SOLUTION) == (3, 1, 1, 1)
    assert (total["pickup_share"], total["first_answer_share"], total["solution_share"]) == (0.5, 0.6, 0.75)
    assert (total["calls"], total["answered"], total["answered_in_time"]) == (10, 4, 3)
    assert (total["gave_up_waiting"], total["gave_up_before"], total["gave_up_short"]) == (2, 1, 1)
    assert (total["left_a_message"], total["other"]) == (1, 1)
    assert (total["service_level"], total["abandoned_share"]) == (0.5, 0.3333)
    assert [total[f] for f in ("mean_wait", "wait_half", "wait_nine_of_ten", "longest_wait")] == [24.5, 12, 61, 61]


def test_the_groups_add_up_to_the_total(report: Report) -> None:
    total = figures(report, "total")
    for by in ("line", "company", "channel", "level"):
        rows = [measures(row) for row in report.rows if row.by == by]
        for name, value in total.items():
            if isinstance(value, int) and rows[0][name] is not None:
                assert sum(int(row[name] or 0) for row in rows) == value, (by, name)


def test_calls_are_counted_by_the_last_outcome_that_an_agent_gave(report: Report) -> None:
    coded = {row.name: row.calls.answered for row in report.rows if row.by == "code" and row.calls is not None}
    assert coded == {"solved": 1, "timed_out": 1, "old_one": 1}
    (italian,) = [table for table in sheets(report, "it") if table.title == "Chiamate per esito"]
    assert [row[0] for row in italian.rows] == ["old_one", "Risolto al telefono", "nessun esito indicato in tempo"]


def test_each_group_is_counted_by_itself(report: Report) -> None:
    assert figures(report, "line", LINE.name)["received"] == 2
    assert figures(report, "line")["received"] == 4
    assert figures(report, "line", LINE.name)["calls"] == 10
    assert promises(figures(report, "channel", "fax"), Clock.PICKUP) == (0, 1, 0, 0)
    assert promises(figures(report, "channel", "phone"), Clock.PICKUP) == (0, 0, 0, 0)
    assert figures(report, "channel", "phone")["pickup_share"] is None
    assert figures(report, "channel", "phone")["calls"] is None
    assert figures(report, "company", "ASL Bari")["received"] == 3
    assert figures(report, "level", "2")["received"] == 1


def test_the_csv_has_the_same_numbers_and_no_formula(report: Report) -> None:
    text = as_csv(report)
    rows = list(csv.DictReader(io.StringIO(text)))
    (total,) = [row for row in rows if row["by"] == "total"]
    assert (total["month"], total["received"], total["pickup_share"], total["longest_wait"]) == (
        "2026-11",
        "6",
        "0.5",
        "61.0",
    )
    (evil,) = [row for row in rows if "evil" in row["name"]]
    assert evil["name"] == f"'{EVIL}"
    assert not [cell for row in rows for cell in row.values() if re.match(r"\s*[=+@-]", cell)]


@pytest.mark.parametrize("name", ["+39 080", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "＝1+1", " =1", "\u200b=1"])
def test_whatever_begins_a_formula_begins_none(report: Report, name: str) -> None:
    row = report.rows[0]
    evil = Report(report.month, report.made_at, report.settings, (type(row)("company", name, row.requests, None),))
    (cells,) = list(csv.reader(io.StringIO(as_csv(evil))))[1:]
    assert cells[2].startswith("'")


def test_people_read_the_same_numbers_with_their_formulas(report: Report) -> None:
    tables = {sheet.title: sheet for sheet in sheets(report, "it")}
    assert tables["Richieste in totale"].rows == (
        (
            "tutte",
            "6",
            "3",
            "2",
            "1",
            "50,0% (2 su 4)",
            "60,0% (3 su 5)",
            "75,0% (3 su 4) (+1 in corso)",
        ),
    )
    assert tables["Chiamate in totale"].rows == (
        ("tutte", "10", "4", "3 (50,0%)", "2 (33,3%)", "1", "1", "1", "1", "24 s", "1:01 min", "1:01 min"),
    )
    assert any("20 s / (risposte + abbandonate in attesa)" in sentence for sentence in formulas(report, "it"))
    assert json.loads(json.dumps(as_dict(report, "en")))["rows"][0]["pickup_share"] == 0.5


def texts_of(pdf: bytes) -> Iterator[str]:
    for stream in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL):
        try:
            yield zlib.decompress(stream).decode("latin-1")
        except zlib.error:
            continue


def test_the_pdf_holds_the_tables_and_takes_any_name(report: Report) -> None:
    row = report.rows[0]
    odd = type(row)("company", "Ospedale Č\u202e\x00 日本 “Miulli” – 50% €", row.requests, row.calls)
    many = tuple(type(row)("company", f"Azienda {n}", row.requests, row.calls) for n in range(120))
    pdf = as_pdf(Report(report.month, NOW, report.settings, (*report.rows, odd, *many)), "Help Desk", "it")
    assert pdf.startswith(b"%PDF-")
    text = "".join(texts_of(pdf))
    for words in (
        "Livelli di servizio 2026-11",
        "50,0% \\(2 su 4\\)",
        "Azienda 119",
        "Ospedale C ??",
        "Come si contano",
    ):
        assert words in text, words


def test_months_are_those_of_the_desks_own_clock() -> None:
    assert (NOVEMBER.begin.astimezone(UTC), NOVEMBER.end.astimezone(UTC)) == (
        datetime(2026, 10, 31, 23, tzinfo=UTC),
        datetime(2026, 11, 30, 23, tzinfo=UTC),
    )
    assert str(Month.before(datetime(2026, 12, 31, 23, 30, tzinfo=UTC), ROME)) == "2026-12"
    assert Month.read("2026-12", ROME).end == datetime(2027, 1, 1, tzinfo=ROME)
    for wrong in ("", "2026-13", "2026-1", "0000-01", "9999-12", "2026-11-01", "٢٠٢٦-11", "x" * 1000):
        with pytest.raises(NoMonth):
            Month.read(wrong, ROME)


async def test_supervisors_see_the_report_and_nobody_else_does(served: DeskServer) -> None:
    for name in ("giulia", "carla"):
        await served.agent(name)
    await served.database.run(set_role, "carla", Role.SUPERVISOR)
    async with served.browser("giulia") as page:
        for path in ("/report", "/report.csv", "/report.pdf", f"{served.url}/report"):
            assert (await page.get(path)).status_code == 403
    async with served.browser("carla") as page:
        assert (await page.get("/report?month=2026-11")).json()["month"] == "2026-11"
        as_file = await page.get("/report.csv?month=2026-11")
        assert as_file.headers["content-disposition"] == 'attachment; filename="service-levels-2026-11.csv"'
        assert as_file.content.startswith(b"\xef\xbb\xbfmonth,by,name,")
        assert (await page.get("/report.pdf")).content.startswith(b"%PDF-")
        wrong = await page.get("/report?month=2026-14")
        assert (wrong.status_code, list(wrong.json()["fields"])) == (422, ["month"])


async def test_the_page_shows_any_name_as_it_is_and_sends_strangers_to_the_log_in(served: DeskServer) -> None:
    def hostile(session: Session) -> None:
        company = Company(name="<script>alert(1)</script>")
        session.add(company)
        session.flush()
        request(session, rome(10, "09:00"), Channel.EMAIL, company_id=company.id)

    await served.database.run(hostile)
    await served.agent("carla", language="en")
    await served.database.run(set_role, "carla", Role.SUPERVISOR)
    async with served.browser() as stranger:
        sent = await stranger.get(f"{served.url}/report")
        assert (sent.status_code, sent.headers["location"]) == (303, "/")
    async with served.browser("carla") as page:
        shown = await page.get(f"{served.url}/report?month=2026-11")
        assert shown.status_code == 200
        assert "Service levels 2026-11" in shown.text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown.text
        assert "<script" not in shown.text
        assert "How it is counted" in shown.text
        assert shown.headers["content-security-policy"].startswith("default-src 'none'")
        assert shown.headers["cache-control"] == "no-store"
