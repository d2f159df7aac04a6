"""What a step costs does not grow with the calls and requests of the past: an index finds its rows."""

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.orm import Session

from centralino.migrate import migrate
from centralino.rig.desk_server import CALLS, LINE
from centralino.rig.history import NOW, fill_directory, fill_history
from desk import audit, history
from desk import operations as desk_operations
from desk import queries as desk_queries
from desk.board import board
from desk.call_queries import WhichCalls, call_page, found_calls
from desk.models import DismissReason
from desk.request_queries import Reader, found_requests
from desk.views import NewRequestForm, Which
from ivr import leases, missed_calls, operations, queries, site, steering
from ivr.config import Queue
from ivr.models import Call, Offer, OfferResult, Outcome, Phase
from ivr.report import ReportSettings
from schedules.promises import Clock
from tickets import areas, credentials, directory, outbox, promise_watch
from tickets import operations as ticket_operations
from tickets import queries as ticket_queries
from tickets.attachments import attachments_past_keeping
from tickets.database import create_engine
from tickets.directory_import import ImportRow, import_contacts, read_contacts
from tickets.lifecycle import RequestSettings, Role
from tickets.models import Alarm, Channel, Kind, OutboxMail
from tickets.notices import Notices, NoticeSettings
from tickets.promise_rules import PromiseSettings, Terms
from tickets.ticket_numbers import ticket_number
from voicemail import operations as voicemail_operations
from voicemail import queries as voicemail_queries
from voicemail.audio import KeptAudio
from voicemail.models import Message
from voicemail.transcript import Transcript, Word

pytestmark = pytest.mark.contract

ROWS = 50_000
"""Calls, requests, offers, messages and mails of the past, each: PostgreSQL prefers an index then, if there is one."""
TOUCHED = 500
"""Rows that a statement may look at: whoever reads a list of all agents or open requests looks at dozens."""
STEPS = 40_000
"""Instructions of SQLite's machine for one statement; it takes five to look at a row, and a sort takes many more."""
GROWING = (
    "call",
    "offer",
    "request",
    "promise",
    "request_event",
    "message",
    "outbox_mail",
    "contact",
    "phone",
    "dismissed_pop",
)
OF_OPEN_ONES = ("ix_call_open", "ix_promise_running", "ix_call_to_do", "ix_offer_in_vain")
"""Indexes that hold only what is under way: they may be read from end to end."""

PACIFIC = ZoneInfo("America/Los_Angeles")
"""There the day is an hour old: of its calls all are counted, and no others."""
NOTICES = Notices(NoticeSettings(desk_name="Help Desk", sender="helpdesk@desk.example"))
KEPT = KeptAudio(path="x.wav", sha256="0" * 64, seconds=9.0, speech_seconds=5.0)
NEW_CONTACT = {"user_code": "x", "name": "Utente 7", "phones": "0805551234"}
CALLER, OF_COMPANY = "+390801000777", "+390991000007"
"""One who has called ten times, and the number of a company with a twentieth of all requests."""


def _begin(session: Session, call_id: str, caller: str = CALLER) -> None:
    ticket_queries.identify_caller(session, caller)
    operations.begin_call(
        session,
        call_id=call_id,
        app="centralino",
        channel_id=f"channel-{call_id}",
        line=LINE,
        language="it",
        caller=caller,
        now=NOW,
    )
    operations.bookmark(session, call_id, Phase.MENU)


def _message(session: Session, message_id: str) -> None:
    voicemail_operations.begin_message(
        session,
        message_id=message_id,
        call_id=None,
        line=LINE,
        language="it",
        caller=CALLER,
        contact_id=1,
        area="use",
        now=NOW,
    )


def _file(session: Session, message_id: str) -> Any:
    return voicemail_operations.file_message(
        session, message_id, KEPT, NOTICES, take=1, email="a@asl.example", pickup_due_at=NOW, now=NOW
    )


def _under_way(session: Session) -> None:
    """What is in the tables while a desk works: agents, calls that wait, ring and talk, work that is due."""
    for agent_id in (1, 2, 3, 4):
        operations.set_phone_reachable(session, f"PJSIP/{agent_id}", True, now=NOW)
        operations.set_desk_connected(session, agent_id, "centralino", True, now=NOW)
        operations.go_free(session, agent_id, now=NOW)
    for call_id, caller in (("ringing", CALLER), ("talking", OF_COMPANY), ("waiting", CALLER)):
        _begin(session, call_id, caller)
        operations.join_queue(session, call_id, "desk", priority=0, choice=None, now=NOW)
    (ringing,) = filter(None, [operations.offer_to(session, "ringing", 1, now=NOW)])
    (talking,) = filter(None, [operations.offer_to(session, "talking", 2, now=NOW)])
    operations.bookmark(session, "ringing", Phase.RINGING)
    operations.answer_offer(session, talking, bridge_id="bridge", now=NOW)
    session.execute(text("UPDATE offer SET id = :new WHERE id = :old"), {"new": "rings", "old": ringing.id})
    session.execute(text("UPDATE offer SET id = :new WHERE id = :old"), {"new": "talks", "old": talking.id})
    session.execute(text("UPDATE call SET agent_channel_id = 'talks' WHERE id = 'talking'"))
    for message_id in ("recording", "due"):
        _message(session, message_id)
    _file(session, "due")  # whose notice is due as well
    leases._claim(session, "centralino", "us")


Step = Callable[[Session], Any]


def _offer(session: Session, offer_id: str) -> Offer:
    return session.get_one(Offer, offer_id)


def _mail(session: Session) -> OutboxMail:
    (mail,) = outbox._due(session, NOW)
    return mail


def _send(session: Session) -> None:
    mail = _mail(session)
    assert outbox._claim(session, mail, NOW)
    outbox._record(session, mail.id, mail.attempts, None, False, NOW)


def _calls(session: Session, which: WhichCalls, **asked: Any) -> Any:
    return found_calls(session, CALLS, which, reader="agente1", agent_id=1, timezone="Europe/Rome", **asked)


def _lease_and_store(session: Session) -> None:
    message = voicemail_operations.lease_next(session, lease_seconds=60, now=NOW, languages=["it"])
    assert message is not None
    voicemail_operations.renew_lease(session, message.id, attempt=1, lease_seconds=60, now=NOW)
    words = Transcript((Word("prova", 0.0, 1.0, 0.9),))
    voicemail_operations.store_transcript(session, message.id, words, attempt=1, now=NOW)


FORM = NewRequestForm(kind=Kind.PROBLEM, area="use", subject="Stampa", contact_id=5, solution="Fatto.")
NEW = ticket_operations.NewRequest(
    kind=Kind.PROBLEM, area="use", channel=Channel.PHONE, subject="Stampa", received_at=NOW, contact_id=5
)
READER = Reader(Role.AGENT, NOW, RequestSettings(), 1_000_000)
WATCHER = promise_watch.Watcher(PromiseSettings(), CALLS.calendar_of(LINE), NOTICES)
CLOSED, OPEN = 500, ROWS
"""The ids of a closed request and of an open one."""

STEPS_OF_THE_DESK: dict[str, Step] = {
    # the way of a call
    "a call begins": lambda s: _begin(s, "new"),
    "a call from a company begins": lambda s: _begin(s, "new", OF_COMPANY),
    "it joins the line": lambda s: operations.join_queue(s, "talking", "desk", priority=1, choice="use", now=NOW),
    "its place in the line": lambda s: queries.position_in_line(s, "waiting"),
    "agents on duty": lambda s: queries.agents_on_duty(s, "desk"),
    "a decision": lambda s: operations.make_offers(
        s, ["waiting"], {"desk": Queue()}, own=["centralino"], others=["other"], now=NOW
    ),
    "a decision for others": lambda s: operations.make_offers(
        s, [], {"desk": Queue()}, own=["own"], others=["centralino"], now=NOW
    ),
    "an agent answers": lambda s: operations.answer_offer(s, _offer(s, "rings"), bridge_id="b", now=NOW),
    "an agent does not answer": lambda s: operations.end_offer(
        s, "rings", OfferResult.MISSED, misses_before_pause=1, now=NOW
    ),
    "it waits again": lambda s: operations.wait_again(s, "ringing"),
    "it leaves the line": lambda s: operations.leave_line(s, "waiting", Phase.MENU),
    "a consultation": lambda s: operations.begin_consultation(s, _offer(s, "rings"), now=NOW),
    "an agent leaves a talk": lambda s: operations.leave_talk(s, 2, wrap_up_seconds=30, now=NOW),
    "a talk ends": lambda s: operations.end_call(s, "talking", Outcome.ANSWERED, wrap_up_seconds=30, now=NOW),
    "a ringing call ends": lambda s: operations.end_call(s, "ringing", Outcome.ABANDONED_QUEUE, now=NOW),
    "a call is taken back": lambda s: operations.take_back(s, "ringing", wrap_up_seconds=0, now=NOW),
    "what an agent says of a talk": lambda s: operations.set_code(s, "c11", 2, "solved"),
    "calls that nobody served": lambda s: desk_queries.missed_items(s),
    "a call with all that is known of it": lambda s: call_page(s, CALLS, "c11"),
    **{f"the list of calls: {which}": partial(_calls, which=which) for which in WhichCalls},
    "an earlier page of calls": partial(_calls, which=WhichCalls.ALL, before="2026-11-20T09:00:00+00:00~c10"),
    "the calls of a day": partial(_calls, which=WhichCalls.ALL, day=date(2026, 11, 20)),
    "a call that nobody served is taken": lambda s: missed_calls.take(s, ["c11"], username="agente1", now=NOW),
    # messages
    "a message begins": lambda s: _message(s, "new"),
    "a message is recorded again": lambda s: voicemail_operations.next_take(s, "recording"),
    "a message is filed": lambda s: _file(s, "recording"),
    "languages of transcripts that are due": lambda s: voicemail_queries.languages_due(s, NOW),
    "a transcript": _lease_and_store,
    "a transcript of those followed": lambda s: voicemail_operations.lease_next(
        s, lease_seconds=60, now=NOW, languages=["it"], only=["due"]
    ),
    "a transcript fails": lambda s: voicemail_operations.transcript_failed(s, "due", "why", now=NOW),
    "a model is missing": lambda s: voicemail_operations.note_missing_model(s, "it", "why"),
    "messages that are over": lambda s: voicemail_queries.ids_over(s, ["recording", "due"]),
    "a message is heard": lambda s: voicemail_operations.mark_heard(s, "m11", actor="agente1", now=NOW),
    "a message with its request": lambda s: desk_queries.message_page(s, CALLS, "m11", "it"),
    # requests
    "a request is opened": lambda s: ticket_operations.open_request(s, NEW, NOTICES, now=NOW),
    "a request is opened with its promises": lambda s: ticket_operations.open_request(
        s, replace(NEW, terms=Terms(PromiseSettings(), CALLS.calendar_of(LINE))), NOTICES, now=NOW
    ),
    "promises to look after": lambda s: promise_watch.promises_to_look_after(s, WATCHER, NOW),
    "a promise is looked after": lambda s: promise_watch.look_after(s, OPEN, Clock.SOLUTION, WATCHER, now=NOW),
    "a request is taken in charge": lambda s: ticket_operations.take_in_charge(
        s, OPEN, actor="anna", now=NOW + timedelta(hours=1)
    ),
    "a request is edited": lambda s: ticket_operations.edit_request(s, OPEN, {"area": "use"}, actor="anna", now=NOW),
    "a request is closed": lambda s: ticket_operations.close_request(
        s, OPEN, NOTICES, solution="Fatto.", actor="anna", now=NOW
    ),
    "a note": lambda s: ticket_operations.add_note(s, CLOSED, "nota", actor="anna", now=NOW),
    "a request by its ticket": lambda s: ticket_queries.request_by_ticket(s, ticket_number(OPEN)),
    "a request with its history": lambda s: desk_queries.request_page(
        s, CALLS, CLOSED, "it", READER, PromiseSettings()
    ),
    "open requests": ticket_queries.open_requests,
    "open requests of an agent": lambda s: ticket_queries.open_requests(s, holder="agente1", level=1),
    "a list of open requests": lambda s: found_requests(s, Which.OPEN, reader="agente1", days=14, now=NOW),
    "a list of requests of an agent": lambda s: found_requests(s, Which.MINE, reader="agente1", days=14, now=NOW),
    "a list of closed requests": lambda s: found_requests(s, Which.CLOSED, reader="agente1", days=7, now=NOW),
    "attachments past keeping": lambda s: attachments_past_keeping(s, NOW - timedelta(days=365), 100),
    "a contact gets a number": lambda s: directory.assign_phone(s, 5, "0805551234"),
    "a new contact": lambda s: directory.add_contact(s, "Utente 7", user_code="new", phones=["0805551234"]),
    "a contact is changed": lambda s: directory.edit_contact(
        s, 5, {"user_code": "other", "email": "a@b.example", "phones": ["0805551234"]}, actor="anna", now=NOW
    ),
    "a contact goes to another company": lambda s: directory.edit_contact(
        s, 5, {"company_id": 2}, actor="anna", now=NOW
    ),
    "a contact by the user code": lambda s: directory.find_contact(s, "u5"),
    "who sent a mail": lambda s: ticket_queries.identify_sender(s, "nobody@asl.example"),
    "a course": lambda s: credentials.record_training(s, 5, NOW.date(), today=NOW.date(), actor="anna", now=NOW),
    "areas": lambda s: areas.area_tree(s, "it"),
    "contacts from a table": lambda s: import_contacts(
        s, read_contacts([ImportRow(2, {"user_code": "u5", "name": "Anna"}), ImportRow(3, NEW_CONTACT)]), now=NOW
    ),
    # the desk's pages
    "who a log-in is": lambda s: desk_queries.who_has(s, "token", idle=timedelta(minutes=30), now=NOW),
    "log-ins that there are": lambda s: desk_queries.sessions_among(s, ["token"], now=NOW),
    "agents": desk_queries.agent_items,
    "the waiting line": lambda s: desk_queries.waiting_items(s, CALLS),
    "all messages": lambda s: desk_queries.message_items(s, CALLS, now=NOW, everything=True),
    "messages that changed": lambda s: desk_queries.message_items(s, CALLS, now=NOW, ids=["due"], request_ids=[OPEN]),
    "messages of requests": lambda s: desk_queries.message_ids_of(s, [OPEN, CLOSED]),
    "all requests": desk_queries.request_items,
    "requests that changed": lambda s: desk_queries.request_items(s, [OPEN, CLOSED]),
    "agents a call was offered to": lambda s: desk_queries.offered_to(s, ["talking", "ringing"]),
    "the screen of an agent": lambda s: desk_queries.pops(s, CALLS, 1, now=NOW),
    "the screen of an agent who talks to a company": lambda s: desk_queries.pops(s, CALLS, 2, now=NOW),
    "a pop": lambda s: desk_queries.pops(s, CALLS, 1, now=NOW, call_id="ringing"),
    "whose call it is": lambda s: desk_queries.call_of_agent(s, "talking", 2),
    "a draft": lambda s: operations.save_draft(s, "talking", {"subject": "x"}),
    "a request from a call": lambda s: desk_operations.request_from_call(
        s, "talking", FORM, NOTICES, actor="agente2", now=NOW
    ),
    "a call about a request": lambda s: desk_operations.attach_call(
        s, "talking", OPEN, "nota", actor="agente2", now=NOW
    ),
    "a call is put aside": lambda s: desk_operations.dismiss_call(s, "talking", 2, DismissReason.TEST, now=NOW),
    "a caller is identified": lambda s: desk_operations.identify_call(s, "talking", contact_id=5),
    "an agent pauses": lambda s: operations.pause(s, 3, "break", now=NOW),
    "an agent goes off duty": lambda s: operations.go_offline(s, 3, now=NOW),
    "alarms": desk_queries.alarm_items,
    # supervision
    "the wallboard": lambda s: board(s, ReportSettings(), PACIFIC, now=NOW),
    "an hour of the history": lambda s: history._row(s, NOW - timedelta(hours=1), NOW, ReportSettings()),
    "closures": lambda s: site.closures(s, now=NOW, ended=site.REMEMBERED),
    "lines of the audit log": lambda s: audit.entries(s, actor="sara", begin=NOW),
    "a call goes to the head": lambda s: operations.move_to_head(s, "waiting"),
    "a call goes to another queue": lambda s: operations.move_to_queue(s, "waiting", "specialists"),
    # what runs by itself
    "leases": lambda s: leases._renew(s, "us", ["centralino-uno"]),
    "calls of a version before": lambda s: operations.name_calls(s, "centralino"),
    "wrap-ups": lambda s: operations.finish_wrap_ups(s, now=NOW),
    "desks of a worker that is gone": lambda s: operations.forget_desks(s, "centralino"),
    "offers of other workers": lambda s: queries.offers_unheard(s, ["centralino", "other"]),
    "commands of other desks": lambda s: steering._due(s, ["centralino"], since=NOW),
    "phones": queries.phones,
    "open calls": lambda s: queries.open_calls(s, "centralino"),
    "open calls of all": lambda s: queries.standing(s, ["c1", "talking"]),
    "calls of channels": lambda s: queries.calls_of_channels(s, ["rings", "talks", "o77", "none"]),
    "the call of a channel": lambda s: queries.call_on_channel(s, "channel-c77", "centralino"),
    "lost calls of channels": lambda s: queries.lost_calls(s, ["channel-c77", "none"], "centralino"),
    "offers that ring": lambda s: queries.open_offers(s, "ringing"),
    "messages being recorded": voicemail_queries.messages_recording,
    "mail that is due": lambda s: outbox._due(s, NOW),
    "a mail is sent": _send,
    "mails that wait for their server": lambda s: outbox._not_reached(s, [_mail(s).id], "away", NOW),
    "missed promises": lambda s: ticket_queries.overdue_pickups(s, NOW),
    "a missed promise": lambda s: ticket_operations.mark_promise_missed(s, OPEN, now=NOW + timedelta(hours=1)),
    "messages past keeping": lambda s: voicemail_queries.messages_past_keeping(s, NOW - timedelta(days=180)),
    "a message is erased": lambda s: voicemail_operations.erase_message(s, "m11", now=NOW),
}


@dataclass
class Watch:
    """What the statements of a step did, on one connection."""

    faults: list[str] = field(default_factory=list)
    statements: int = 0

    def before(self, connection: Connection, _cursor: Any, statement: str, parameters: Any, *more: Any) -> None:
        """Ask the database how it runs a statement, and how much it looks at."""
        self.statements += 1
        if statement.split()[0] not in ("SELECT", "UPDATE", "DELETE"):
            return
        if more[-1]:  # the same statement for several rows
            parameters = parameters[0]
        look = self._in_sqlite if connection.dialect.name == "sqlite" else self._in_postgresql
        fault = look(connection.connection.driver_connection, statement, parameters)
        if fault:
            self.faults.append(f"{fault}: {statement}")

    @staticmethod
    def _in_sqlite(driver: Any, statement: str, parameters: Any) -> str | None:
        plan = [row[3] for row in driver.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
        for line in plan:
            words = line.split()
            if words[0] == "SCAN" and words[1] in GROWING and not set(words) & set(OF_OPEN_ONES):
                return f"{plan}"
        steps = [0]

        def count() -> None:
            steps[0] += 100

        driver.execute("SAVEPOINT look")
        driver.set_progress_handler(count, 100)
        driver.execute(statement, parameters).fetchall()
        driver.set_progress_handler(None, 0)
        driver.execute("ROLLBACK TO look")
        return f"{steps[0]} steps, {plan}" if steps[0] > STEPS else None

    @staticmethod
    def _in_postgresql(driver: Any, statement: str, parameters: Any) -> str | None:
        with driver.cursor() as cursor:
            cursor.execute("SAVEPOINT look")
            cursor.execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {statement}", parameters)
            (plan,) = cursor.fetchone()[0]
            cursor.execute("ROLLBACK TO look")
        for node in _nodes(plan["Plan"]):
            if node["Node Type"] == "Seq Scan" and node["Relation Name"] in GROWING:
                return f"reads all of {node['Relation Name']}"
            removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
            touched = node["Actual Loops"] * (node["Actual Rows"] + removed)
            if touched > TOUCHED:
                return f"{touched:.0f} rows in {node['Node Type']} {node.get('Index Name', '')} {json.dumps(plan)}"
        return None


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)


@contextlib.contextmanager
def a_site(url: str, rows: int) -> Iterator[Engine]:
    """A desk at work, with a past of so many calls."""
    migrate(url)
    engine = create_engine(url).execution_options(writes=True)
    try:
        with engine.begin() as connection:
            fill_directory(connection, rows // 10)
            fill_history(connection, rows)
        with Session(engine) as session:
            _under_way(session)
            session.commit()
        yield engine
    finally:
        engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/centralino.db"
    made: str = request.getfixturevalue("postgres_server").create_database(f"past_{tmp_path.name}"[:60])
    return made


@contextlib.contextmanager
def undone(site: Engine) -> Iterator[Session]:
    """A session of which nothing stays."""
    with site.connect() as connection, connection.begin() as transaction:
        with Session(connection, join_transaction_mode="create_savepoint") as session:
            session.connection()
            yield session
        transaction.rollback()


@contextlib.contextmanager
def watched(session: Session) -> Iterator[Watch]:
    """Watch every statement of a session."""
    watch, connection = Watch(), session.connection()
    event.listen(connection, "before_cursor_execute", watch.before)
    yield watch
    event.remove(connection, "before_cursor_execute", watch.before)


def test_no_step_looks_at_more_rows_than_it_needs(url: str) -> None:
    """One test for all steps: the past is long, and made once."""
    faults = {}
    with a_site(url, ROWS) as site:
        for name, step in STEPS_OF_THE_DESK.items():
            with undone(site) as session, watched(session) as watch:
                step(session)
                session.flush()
            assert watch.statements, f"{name}: nothing was asked of the database"
            if watch.faults:
                faults[name] = watch.faults
    assert faults == {}, "\n".join(f"{name}: {fault}" for name, found in faults.items() for fault in found)


LISTS = ("agents", "the waiting line", "all messages", "all requests", "open requests", "alarms", "open calls")


def test_a_longer_list_takes_no_more_statements(url: str) -> None:
    with a_site(url, 2000) as site:
        for name in LISTS:
            with undone(site) as session:
                _more(session, range(1))
                session.expunge_all()
                with watched(session) as few:
                    first = STEPS_OF_THE_DESK[name](session)
                _more(session, range(1, 11))
                session.expunge_all()
                with watched(session) as many:
                    second = STEPS_OF_THE_DESK[name](session)
            assert len(second) >= len(first) + 10
            assert many.statements == few.statements, name


def _more(session: Session, numbers: range) -> None:
    """More of everything that is listed, each of another person and company."""
    for number in numbers:
        new = replace(NEW, contact_id=100 + number, company_id=1 + number, channel=Channel.VOICEMAIL)
        request = ticket_operations.open_request(session, new, NOTICES, now=NOW)
        _message(session, f"more-{number}")
        session.get_one(Message, f"more-{number}").request_id = request.id
        call_id = f"more-{number}"
        _begin(session, call_id, f"+39080{1_000_100 + number}")
        session.get_one(Call, call_id).contact_id = 100 + number
        operations.join_queue(session, call_id, "desk", priority=0, choice=None, now=NOW)
        operations.add_agent(session, f"more-{number}", "Altro", f"PJSIP/more-{number}", ["desk"], now=NOW)
        session.add(Alarm(kind="prova", subject=str(number), words="Prova.", sounded_at=NOW))
    session.flush()
