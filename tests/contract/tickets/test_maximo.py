"""Requests and Maximo in step, over real HTTP, against a Maximo that is none but has its habits."""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from base64 import b64decode
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from centralino.rig.fake_maximo import SYNONYMS, FakeMaximo, Refusal
from tickets import operations
from tickets.alarms import Alarms, AlarmSettings, open_alarms
from tickets.attachments import AttachmentStore, add_attachment
from tickets.connectors import Entry, Outgoing, Refused, Remote, Unreachable
from tickets.connectors import sync as sync_of_connectors
from tickets.connectors.maximo import Maximo, MaximoSettings
from tickets.connectors.sync import (
    CLAIMED,
    Sync,
    dead_letters,
    retry,
    skip,
    standings,
    sync_state,
    tell_again,
)
from tickets.database import Database
from tickets.errors import UnknownConnector
from tickets.lifecycle import Role
from tickets.models import Channel, ConnectorChange, Kind, OutboxMail, Request, RequestEvent, Status
from tickets.notices import Notices
from tickets.operations import NewRequest

pytestmark = pytest.mark.contract

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
KILLS = int(os.environ.get("CENTRALINO_KILLS", "25"))
KEY = "chiave-di-prova"


class Time:
    """The time of the story, which goes on only where it says so."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def passes(self, **span: float) -> datetime:
        self.now += timedelta(**span)
        return self.now


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
async def fake(clock: Time) -> AsyncIterator[FakeMaximo]:
    async with FakeMaximo(api_key=KEY, now=clock) as fake:
        yield fake


def settings_for(fake: FakeMaximo, **changes: Any) -> MaximoSettings:
    return MaximoSettings.model_validate(
        {"url": fake.url, "api_key": SecretStr(KEY), "timeout": 2.0, "connections": 2} | changes
    )


@pytest.fixture
async def followed(database: Database) -> AsyncIterator[Database]:
    """A database whose changes Maximo is to hear of."""
    followed = Database(database.url, patience=5, connectors=("maximo",))
    yield followed
    await followed.close()


@pytest.fixture
async def sync(followed: Database, fake: FakeMaximo, notices: Notices) -> AsyncIterator[Sync]:
    async with Maximo(settings_for(fake)) as connector:
        yield Sync(followed, connector, notices, connections=2)


def opened(session: Session, /, notices: Notices, now: datetime, **changes: Any) -> Request:
    new: dict[str, Any] = {
        "kind": Kind.PROBLEM,
        "area": "application",
        "channel": Channel.EMAIL,
        "subject": "Il modulo ricoveri non si apre",
        "description": "Dopo l'aggiornamento",
        "phone": "080 5551234",
        "received_at": now,
    }
    return operations.open_request(session, NewRequest(**(new | changes)), notices, now=now)


def life_of_a_request(session: Session, notices: Notices, now: datetime) -> str:
    """Opened, taken in charge, noted on, edited and closed, all at once; gives its ticket."""
    request = opened(session, notices, now)
    operations.take_in_charge(session, request.id, actor="anna", now=now)
    operations.add_note(session, request.id, "Sentito il reparto", actor="anna", now=now)
    operations.edit_request(session, request.id, {"subject": "Ricoveri: errore 500"}, actor="anna", now=now)
    operations.close_request(session, request.id, notices, solution="Svuotata la cache", actor="anna", now=now)
    assert request.ticket is not None
    return request.ticket


def told(fake: FakeMaximo, ticket: str) -> list[tuple[str, str]]:
    return [(done.what, done.detail) for done in fake.journal if done.reference == f"CENTRALINO-{ticket}"]


def waiting(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(ConnectorChange)) or 0


def request_of(session: Session, ticket: str) -> Request:
    return session.scalars(select(Request).where(Request.ticket == ticket)).one()


def history(session: Session, ticket: str) -> list[tuple[str, str, dict[str, Any]]]:
    events = session.scalars(
        select(RequestEvent).join(Request).where(Request.ticket == ticket).order_by(RequestEvent.id)
    )
    return [(event.kind, event.actor, event.details) for event in events]


async def in_step(sync: Sync, ticket: str) -> list[Any]:
    request = await sync.database.read(request_of, ticket)
    return await sync.database.read(sync_state, request.id)


async def test_a_request_arrives_with_all_that_happened_to_it_in_order(
    followed: Database, sync: Sync, fake: FakeMaximo, notices: Notices, clock: Time
) -> None:
    ticket = await followed.run(life_of_a_request, notices, clock())
    assert fake.requests == 0, "nobody waits for Maximo"
    assert await sync.deliver(now=clock()) == 5
    steps = told(fake, ticket)
    assert [what for what, _ in steps] == ["create", "status", "status", "worklog", "update", "worklog", "status"]
    assert [detail for what, detail in steps if what == "status"] == ["QUEUED", "INPROG", "CLOSED"]
    (record,) = fake.by_reference(f"CENTRALINO-{ticket}")
    assert record.values["description"] == "Ricoveri: errore 500"
    assert record.values["reportedphone"] == "+390805551234"
    assert isinstance(record.values["reportedpriority"], int)
    assert [line["description"].partition("] ")[2] for line in record.worklog] == [
        "note (anna): Sentito il reparto",
        "closed (anna): Svuotata la cache",
    ]
    (state,) = await in_step(sync, ticket)
    assert (state.standing, state.remote_id, state.waiting) == ("in_step", record.ticketid, 0)


async def test_nothing_is_written_down_where_there_is_no_other_system(
    database: Database, notices: Notices, clock: Time
) -> None:
    await database.run(life_of_a_request, notices, clock())
    assert await database.read(waiting) == 0


async def test_a_change_that_is_not_stored_is_not_told(
    followed: Database, sync: Sync, fake: FakeMaximo, notices: Notices, clock: Time
) -> None:
    def fails(session: Session) -> None:
        opened(session, notices, clock())
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await followed.run(fails)
    assert await sync.deliver(now=clock()) == 0
    assert fake.journal == []


async def test_an_answer_that_is_lost_makes_nothing_twice(
    followed: Database, sync: Sync, fake: FakeMaximo, notices: Notices, clock: Time
) -> None:
    ticket = await followed.run(life_of_a_request, notices, clock())
    for _ in range(12):
        fake.moods.answers_lost = 1
        await sync.deliver(now=clock())
        clock.passes(minutes=10)
    fake.moods.answers_lost = 0
    await sync.deliver(now=clock())
    assert await followed.read(waiting) == 0
    steps = [what for what, _ in told(fake, ticket)]
    assert steps.count("create") == 1
    assert steps.count("worklog") == 2
    assert [detail for what, detail in told(fake, ticket) if what == "status"] == ["QUEUED", "INPROG", "CLOSED"]


async def test_a_claim_holds_its_whole_time_however_long_the_backlog(
    followed: Database, fake: FakeMaximo, notices: Notices, clock: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = 0.0
    free_again: list[datetime] = []

    class Slow(Maximo):
        async def create(self, request: Outgoing, entry: Entry) -> Remote:
            nonlocal passed

            def claimed(session: Session) -> datetime:
                heads = select(ConnectorChange.next_attempt_at).where(ConnectorChange.request_id == request.id)
                return session.scalars(heads.order_by(ConnectorChange.id)).all()[0]

            free_again.append(await followed.read(claimed))
            passed += 600
            return await super().create(request, entry)

    monkeypatch.setattr(sync_of_connectors, "monotonic", lambda: passed, raising=False)
    async with Slow(settings_for(fake)) as connector:
        for _ in range(2):
            await followed.run(opened, notices, clock())
        await Sync(followed, connector, notices).deliver(now=clock())
    assert [at - clock() for at in free_again] == [CLAIMED, timedelta(seconds=600) + CLAIMED]


async def test_a_request_that_is_refused_holds_up_only_itself_and_is_dead_after_a_day(
    followed: Database, sync: Sync, fake: FakeMaximo, notices: Notices, clock: Time
) -> None:
    first = await followed.run(opened, notices, clock())
    await sync.deliver(now=clock())
    fake.move(fake.by_reference(f"CENTRALINO-{first.ticket}")[0].ticketid, "CLOSED")
    await followed.run(operations.add_note, first.id, "Ancora una cosa", actor="anna", now=clock())
    await followed.run(operations.add_note, first.id, "E un'altra", actor="anna", now=clock())
    second = await followed.run(opened, notices, clock())
    await sync.deliver(now=clock())
    assert [what for what, _ in told(fake, second.ticket or "")] == ["create", "status"]
    (state,) = await in_step(sync, first.ticket or "")
    assert (state.standing, state.waiting) == ("refused", 2)
    assert "BMXAA2256E" in (state.error or "")
    for _ in range(40):
        await sync.deliver(now=clock.passes(hours=1))
    (state,) = await in_step(sync, first.ticket or "")
    assert (state.standing, state.waiting) == ("dead", 2)
    assert [request.ticket for request, _ in await followed.read(dead_letters, "maximo")] == [first.ticket]
    # one click: it is tried again, and refused again; another: it is left out, and so is the next
    assert await followed.run(retry, "maximo", request_id=first.id, now=clock()) == 1
    await sync.deliver(now=clock())
    assert (await in_step(sync, first.ticket or ""))[0].standing == "refused"
    for _ in range(2):
        await followed.run(skip, "maximo", first.id)
        await sync.deliver(now=clock())
    (state,) = await in_step(sync, first.ticket or "")
    assert (state.standing, state.waiting) == ("differs", 0)
    assert [known["field"] for known in state.differences] == ["note"]


async def test_saves_refused_for_everybody_for_a_while_are_made_up_for(
    followed: Database, sync: Sync, fake: FakeMaximo, notices: Notices, clock: Time
) -> None:
    fake.moods.refuse_saves = "BMXAA4160E"
    ticket = await followed.run(life_of_a_request, notices, clock())
    for _ in range(6):
        await sync.deliver(now=clock.passes(hours=1))
    assert fake.journal == []
    fake.moods.refuse_saves = ""
    await sync.deliver(now=clock.passes(hours=1))
    assert await followed.read(waiting) == 0
    assert [detail for what, detail in told(fake, ticket) if what == "status"] == ["QUEUED", "INPROG", "CLOSED"]


async def test_a_key_that_has_expired_is_an_alarm_and_no_change_is_counted_as_refused(
    followed: Database, fake: FakeMaximo, notices: Notices, clock: Time
) -> None:
    alarms = Alarms(followed, AlarmSettings(), notices, clock)
    async with Maximo(settings_for(fake)) as connector:
        sync = Sync(followed, connector, notices, alarms)
        request = await followed.run(opened, notices, clock())
        fake.moods.key_expired = True
        await sync.deliver(now=clock())
        assert await followed.read(open_alarms) == []
        await sync.deliver(now=clock.passes(minutes=31))
        (alarm,) = await followed.read(open_alarms)
        assert (alarm.kind, alarm.subject) == ("connector_away", "maximo")
        assert "look at the key" in alarm.words
        assert KEY not in alarm.words
        (state,) = await in_step(sync, request.ticket or "")
        assert state.standing == "waiting"
        fake.moods.key_expired = False
        assert await sync.deliver(now=clock.passes(minutes=10)) == 1
        assert await followed.read(open_alarms) == []


async def test_an_entry_written_there_is_a_note_here_and_does_not_go_back(
    followed: Database, sync: Sync, fake: FakeMaximo, notices: Notices, clock: Time
) -> None:
    ticket = (await followed.run(opened, notices, clock())).ticket or ""
    await sync.deliver(now=clock())
    await sync.listen(now=clock())
    before = await followed.read(history, ticket)
    (record,) = fake.by_reference(f"CENTRALINO-{ticket}")
    clock.passes(minutes=5)
    fake.write(record.ticketid, "<b>Riavviato</b> il servizio<br>alle 10")
    for _ in range(3):
        await sync.listen(now=clock.passes(minutes=1))
        await sync.deliver(now=clock())
    new = (await followed.read(history, ticket))[len(before) :]
    assert [(kind, actor) for kind, actor, _ in new] == [("note", "maximo")]
    assert new[0][2]["text"].startswith("WILSON: ")
    assert new[0][2]["text"].endswith("Riavviato il servizio\nalle 10")
    assert [what for what, _ in told(fake, ticket)] == ["create", "status", "worklog"]


@pytest.mark.parametrize("minutes", [1, 50])
async def test_an_entry_with_a_lower_number_that_is_stored_late_is_heard_as_well(
    followed: Database, sync: Sync, fake: FakeMaximo, notices: Notices, clock: Time, minutes: int
) -> None:
    ticket = (await followed.run(opened, notices, clock())).ticket or ""
    await sync.deliver(now=clock())
    await sync.listen(now=clock())
    (record,) = fake.by_reference(f"CENTRALINO-{ticket}")
    clock.passes(minutes=5)
    with fake.writing(record.ticketid, "Cominciata prima"):
        clock.passes(minutes=minutes)
        fake.write(record.ticketid, "Scritta dopo")
        await sync.listen(now=clock.passes(seconds=1))
    for _ in range(3):
        await sync.listen(now=clock.passes(seconds=10))
    notes = [details["text"] for kind, _, details in await followed.read(history, ticket) if kind == "note"]
    assert notes == ["WILSON: Scritta dopo", "WILSON: Cominciata prima"]


async def test_an_entry_that_took_hours_to_be_stored_is_found_by_the_comparison(
    followed: Database, sync: Sync, fake: FakeMaximo, notices: Notices, clock: Time
) -> None:
    ticket, other = [(await followed.run(opened, notices, clock())).ticket or "" for _ in range(2)]
    await sync.deliver(now=clock())
    await sync.listen(now=clock())
    (record,), (of_other,) = [fake.by_reference(f"CENTRALINO-{one}") for one in (ticket, other)]
    with fake.writing(record.ticketid, "Cominciata stamattina"):
        fake.write(record.ticketid, "Scritta dopo")
        await sync.listen(now=clock.passes(minutes=1))
        clock.passes(hours=5)
        fake.write(of_other.ticketid, "Un'altra")
        await sync.listen(now=clock.passes(minutes=1))

    async def notes() -> list[str]:
        return [details["text"] for kind, _, details in await followed.read(history, ticket) if kind == "note"]

    await sync.listen(now=clock.passes(minutes=1))
    assert await notes() == ["WILSON: Scritta dopo"]
    assert await sync.compare(now=clock()) == []
    for _ in range(3):
        await sync.listen(now=clock.passes(minutes=1))
    assert await notes() == ["WILSON: Scritta dopo", "WILSON: Cominciata stamattina"]


async def test_nothing_waits_for_ever_for_a_system_that_the_settings_do_not_name(
    followed: Database, notices: Notices, clock: Time
) -> None:
    request = await followed.run(opened, notices, clock())

    async def refused(work: Callable[[Session], Any]) -> None:
        with pytest.raises(UnknownConnector, match=r"no other ticket system 'jira', they name maximo"):
            await followed.run(work)

    await refused(lambda session: retry(session, "jira", now=clock()))
    await refused(lambda session: skip(session, "jira", request.id))
    await refused(lambda session: tell_again(session, "jira", request.id, now=clock()))
    assert await followed.read(waiting) == 1


async def test_what_was_told_is_not_heard_as_news(
    followed: Database, sync: Sync, fake: FakeMaximo, notices: Notices, clock: Time
) -> None:
    ticket = await followed.run(life_of_a_request, notices, clock())
    before = await followed.read(history, ticket)
    for _ in range(3):
        await sync.deliver(now=clock.passes(minutes=1))
        assert await sync.listen(now=clock()) <= 1
    assert await followed.read(history, ticket) == before
    assert (await in_step(sync, ticket))[0].differences == ()


async def test_the_comparison_shows_what_is_missing_double_or_elsewhere(
    followed: Database, sync: Sync, fake: FakeMaximo, notices: Notices, clock: Time
) -> None:
    tickets = [(await followed.run(opened, notices, clock())).ticket or "" for _ in range(5)]
    await sync.deliver(now=clock())
    assert await sync.compare(now=clock()) == []
    records = [fake.by_reference(f"CENTRALINO-{ticket}")[0] for ticket in tickets]
    del fake.records[records[0].key]
    twin = fake.double(records[1].ticketid)
    fake.move(records[2].ticketid, "RESOLVED")
    records[3].values["description"] = "Altro oggetto"
    found = {state.remote_id: state.differences for state in await sync.compare(now=clock())}
    assert found == {
        records[0].ticketid: ({"field": "there", "here": records[0].ticketid, "there": ""},),
        records[1].ticketid: (
            {"field": "there", "here": records[1].ticketid, "there": f"{records[1].ticketid}, {twin.ticketid}"},
        ),
        records[2].ticketid: ({"field": "status", "here": "queued", "there": "RESOLVED"},),
        records[3].ticketid: (
            {"field": "subject", "here": "Il modulo ricoveri non si apre", "there": "Altro oggetto"},
        ),
    }
    # one click brings a whole request in step
    request = await followed.read(request_of, tickets[3])
    await followed.run(tell_again, "maximo", request.id, now=clock())
    await sync.deliver(now=clock())
    assert records[3].values["description"] == request.subject
    assert len(await sync.compare(now=clock())) == 3
    (standing,) = await followed.read(standings, ["maximo"])
    assert (standing.waiting, standing.dead, standing.differing) == (0, 0, 3)


async def test_requests_from_before_maximo_was_connected_are_told_once(
    database: Database, fake: FakeMaximo, notices: Notices, clock: Time
) -> None:
    old = await database.run(opened, notices, clock())
    await database.run(operations.take_in_charge, old.id, actor="anna", now=clock())
    done = await database.run(life_of_a_request, notices, clock())
    async with Maximo(settings_for(fake)) as connector:
        sync = Sync(database, connector, notices)
        assert await sync.enrol(now=clock()) == 1
        assert await sync.enrol(now=clock()) == 0
        await sync.deliver(now=clock())
        assert await sync.enrol(now=clock()) == 0
    assert [what for what, _ in told(fake, old.ticket or "")] == ["create", "status"]
    assert told(fake, done) == []


async def test_a_site_may_rename_statuses_and_fields_and_log_in_as_in_version_7(
    followed: Database, notices: Notices, clock: Time
) -> None:
    names = {
        "1NEW": "NEW",
        "2QUE": "QUEUED",
        "3INPR": "INPROG",
        "2PEN": "PENDING",
        "4COMP": "RESOLVED",
        "5CLO": "CLOSED",
    }
    async with FakeMaximo(
        suite=False, users={"centralino": "segreta"}, statuses=names, structures=("mxsr",), now=clock
    ) as fake:
        settings = settings_for(
            fake,
            base_path="/maximo/oslc",
            object_structure="mxsr",
            auth="maxauth",
            api_key=None,
            username="centralino",
            password=SecretStr("segreta"),
            statuses={"queued": "2QUE", "in_progress": "3INPR", "resolved": "4COMP", "closed": "5CLO"},
            fields={"siteid": "BARI", "ownergroup": "{area}", "reportedemail": "", "source": "{kind}"},
            values={"area": {"application": "APPL-2"}},
        )
        async with Maximo(settings) as connector:
            assert await connector.check() == "CENTRALINO"
            sync = Sync(followed, connector, notices)
            ticket = await followed.run(life_of_a_request, notices, clock())
            for _ in range(5):
                fake.expire_sessions()
                await sync.deliver(now=clock())
            assert await followed.read(waiting) == 0
            assert await sync.compare(now=clock()) == []
        assert fake._sessions == set(), "it logs out"
        (record,) = fake.by_reference(f"CENTRALINO-{ticket}")
        assert record.status == "5CLO"
        assert (record.values["siteid"], record.values["ownergroup"]) == ("BARI", "APPL-2")
        assert "reportedemail" not in record.values


async def test_hostile_texts_arrive_or_are_cut_and_never_stop_the_others(
    followed: Database, sync: Sync, fake: FakeMaximo, notices: Notices, clock: Time
) -> None:
    subject = 'Firma" or status="NEW" %' + "è" * 170
    request = await followed.run(
        opened, notices, clock(), subject=subject, description="[C-e1] {ticket} \x00<script>" + "x" * 50_000
    )
    await followed.run(operations.add_note, request.id, "[C-e1] " + "à" * 3000, actor="anna", now=clock())
    await sync.deliver(now=clock())
    assert await followed.read(waiting) == 0
    (record,) = fake.by_reference(f"CENTRALINO-{request.ticket}")
    assert record.values["description"] == subject[:100]
    assert "{ticket}" in record.values["description_longdescription"]
    assert record.values["description_longdescription"].startswith(subject)
    assert await sync.compare(now=clock()) == []


async def test_who_saves_at_the_same_moment_is_not_overwritten_blindly(fake: FakeMaximo, clock: Time) -> None:
    settings = settings_for(fake)
    async with Maximo(settings) as connector:
        record = fake._create({"externalrecid": "CENTRALINO-1"}, "WILSON")
        with pytest.raises(Refused, match="BMXAA8229W"):
            await connector._write(
                (await connector.find(["1"]))["1"][0], {"status": "INPROG", "_rowstamp": record.rowstamp - 1}
            )
        assert record.status == "NEW"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ({"object_structure": "mxwo"}, "object_structure"),
        ({"base_path": "/maximo/oslc"}, "base_path"),
        ({"api_key": SecretStr("sbagliata")}, "look at the key"),
        ({"url": "http://127.0.0.1:9"}, "does not answer"),
        ({"ca_file": "/nessuna/parte.pem"}, "ca_file /nessuna/parte.pem cannot be used: No such file"),
        ({"ca_file": __file__}, "cannot be used"),
    ],
)
async def test_a_wrong_setting_is_said_in_words(fake: FakeMaximo, spoil: dict[str, Any], words: str) -> None:
    async with Maximo(settings_for(fake, **spoil)) as connector:
        with pytest.raises(Unreachable, match=words) as caught:
            await connector.check()
    assert "sbagliata" not in str(caught.value)


@pytest.mark.parametrize(
    "spoil",
    [
        {"url": "maximo.example.org"},
        {"url": "https://user:secret@maximo.example.org"},
        {"fields": {"description": "{subject.__class__}"}},
        {"fields": {"description": "{pippo}"}},
        {"fields": {"description": "{"}},
        {"fields": {"DESCR;": "{subject}"}},
        {"ticket_prefix": "C%"},
        {"values": {"pippo": {}}},
        {"api_key": None},
        {"auth": "maxauth"},
    ],
)
def test_settings_that_make_no_sense_are_refused(spoil: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MaximoSettings.model_validate({"url": "https://maximo.example.org", "api_key": "x"} | spoil)


async def test_maximo_down_for_a_day_loses_no_change_and_keeps_nobody_waiting(
    followed: Database, sync: Sync, fake: FakeMaximo, notices: Notices, clock: Time
) -> None:
    """500 changes of 120 requests in a day; it is first gone, then hangs, then answers with a gateway's page."""
    draw = random.Random(4)
    longest = 0.0
    requests: list[Request] = []
    expected: dict[str, list[str]] = {}

    async def timed(operation: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        nonlocal longest
        begun = time.perf_counter()
        result = await followed.run(operation, *args, **kwargs)
        longest = max(longest, time.perf_counter() - begun)
        return result

    await fake.stop()
    delivering = asyncio.create_task(sync.deliver(now=clock()))
    for changes in range(500):
        now = clock.passes(seconds=24 * 3600 / 500)
        if changes == 200:
            fake.moods.slow_seconds = 60
            await fake.start()
        if changes == 350:
            fake.moods.slow_seconds, fake.moods.unavailable = 0, True
        if delivering.done():
            assert await delivering == 0
            delivering = asyncio.create_task(sync.deliver(now=now))
        open_ones = [request for request in requests if request.status != Status.CLOSED]
        if len(requests) < 120 and (not open_ones or draw.random() < 0.3):
            request = await timed(opened, notices, now)
            requests.append(request)
            expected[request.ticket or ""] = ["create", "QUEUED"]
        else:
            request = draw.choice(open_ones or requests)
            steps = expected[request.ticket or ""]
            if request.status == Status.QUEUED:
                request.status = (await timed(operations.take_in_charge, request.id, actor="anna", now=now)).status
                steps.append("INPROG")
            elif draw.random() < 0.8:
                text = f"nota {changes}"
                await timed(operations.add_note, request.id, text, actor="anna", now=now)
                steps.append(text)
            else:
                closing = {"solution": f"fatto {changes}", "actor": "anna", "now": now}
                request.status = (await timed(operations.close_request, request.id, notices, **closing)).status
                steps += [f"fatto {changes}", "CLOSED"]
    assert await delivering == 0
    assert fake.journal == []
    assert longest < 3.0, "an operation waited"
    fake.moods.unavailable = False
    await sync.deliver(now=clock.passes(minutes=6))
    assert await followed.read(waiting) == 0
    for ticket, steps in expected.items():
        there = [what if what == "create" else detail.rpartition(": ")[2] for what, detail in told(fake, ticket)]
        assert there == steps
    assert await sync.compare(now=clock()) == []


async def closed_there(sync: Sync, fake: FakeMaximo, ticket: str, clock: Time, status: str, text: str = "") -> None:
    """Somebody moves it in Maximo, perhaps with a word, and we hear of it."""
    await sync.deliver(now=clock())
    await sync.listen(now=clock())
    (record,) = fake.by_reference(f"CENTRALINO-{ticket}")
    clock.passes(minutes=5)
    if text:
        fake.write(record.ticketid, text, for_user=True)
        fake.write(record.ticketid, "nota interna: il server è vecchio")
    fake.move(record.ticketid, status)
    for _ in range(2):
        await sync.listen(now=clock.passes(minutes=1))
        await sync.deliver(now=clock())


async def test_a_request_closed_there_is_closed_here_with_a_notice_and_nothing_goes_back(
    followed: Database, sync: Sync, fake: FakeMaximo, notices: Notices, clock: Time
) -> None:
    ticket = (await followed.run(opened, notices, clock(), email="anna@example.org")).ticket or ""
    await closed_there(sync, fake, ticket, clock, "INPROG")
    request = await followed.read(request_of, ticket)
    assert (request.status, request.holder) == (Status.IN_PROGRESS, "maximo")
    await closed_there(sync, fake, ticket, clock, "RESOLVED", "Riavviato il servizio")
    request = await followed.read(request_of, ticket)
    assert (request.status, request.solution) == (Status.RESOLVED, "Riavviato il servizio")
    assert [(kind, actor) for kind, actor, _ in await followed.read(history, ticket)] == [
        ("opened", "system"),
        ("picked_up", "maximo"),
        ("note", "maximo"),
        ("note", "maximo"),
        ("resolved", "maximo"),
    ]
    assert [done.by for done in fake.journal if done.what == "status"] == ["CENTRALINO", "WILSON", "WILSON"]
    assert (await in_step(sync, ticket))[0].standing == "in_step"
    assert await sync.compare(now=clock()) == []


async def test_what_is_closed_with_the_fault_above_it_is_told_of_each_request(
    followed: Database, sync: Sync, fake: FakeMaximo, notices: Notices, clock: Time
) -> None:
    fault, *below = [
        await followed.run(opened, notices, clock(), email=f"{name}@example.org") for name in ("ced", "anna", "bruno")
    ]
    for child in below:
        await followed.run(operations.link_child, child.id, fault.id, actor="carla", now=clock())
    await followed.run(
        operations.close_request, fault.id, notices, solution="Cambiato lo switch", actor="carla", now=clock()
    )
    while await sync.deliver(now=clock()):
        pass
    for request in (fault, *below):
        ticket = request.ticket or ""
        (record,) = fake.by_reference(f"CENTRALINO-{ticket}")
        assert record.status == "CLOSED"
        assert record.worklog[-1]["description"].endswith("closed (carla): Cambiato lo switch")
        closed = [details for kind, _, details in await followed.read(history, ticket) if kind == "closed"]
        assert closed == [{"from": "queued", "to": "closed", "solution": "Cambiato lo switch"}]
    told_by_mail = await followed.read(
        lambda session: session.scalars(
            select(OutboxMail.recipient).where(OutboxMail.kind == "closed").order_by(OutboxMail.recipient)
        ).all()
    )
    assert told_by_mail == ["anna@example.org", "bruno@example.org", "ced@example.org"]


async def test_a_move_there_that_our_lifecycle_refuses_is_a_difference(
    followed: Database, sync: Sync, fake: FakeMaximo, notices: Notices, clock: Time
) -> None:
    ticket = (await followed.run(opened, notices, clock())).ticket or ""
    request = await followed.read(request_of, ticket)
    moved: dict[str, Any] = {"actor": "anna", "role": Role.SUPERVISOR, "text": "doppione"}
    await sync.deliver(now=clock())
    await sync.listen(now=clock())
    (record,) = fake.by_reference(f"CENTRALINO-{ticket}")
    fake.move(record.ticketid, "INPROG")  # in the same moment as we cancel it, and Maximo's users take it back
    await followed.run(operations.move_request, request.id, Status.CANCELLED, notices, now=clock(), **moved)
    record.status = "INPROG"
    await followed.run(skip_all, request.id)
    await sync.listen(now=clock.passes(minutes=1))
    (state,) = await in_step(sync, ticket)
    assert state.standing == "differs"
    assert [(known["field"], known["here"]) for known in state.differences] == [("status", "cancelled")]
    assert "INPROG (WILSON): a request that is cancelled cannot become in_progress" in state.differences[0]["there"]
    assert (await followed.read(request_of, ticket)).status == Status.CANCELLED


def skip_all(session: Session, /, request_id: int) -> None:
    for change in session.scalars(select(ConnectorChange).where(ConnectorChange.request_id == request_id)):
        session.delete(change)


async def test_what_changed_there_while_we_had_something_to_tell_is_taken_over_after_it(
    followed: Database, sync: Sync, fake: FakeMaximo, notices: Notices, clock: Time
) -> None:
    ticket = (await followed.run(opened, notices, clock())).ticket or ""
    await sync.deliver(now=clock())
    await sync.listen(now=clock())
    request = await followed.read(request_of, ticket)
    (record,) = fake.by_reference(f"CENTRALINO-{ticket}")
    fake.write(record.ticketid, "Visto", touch=True)
    await followed.run(operations.add_note, request.id, "Da noi", actor="anna", now=clock())
    await sync.listen(now=clock.passes(minutes=1))
    assert len(await followed.read(history, ticket)) == 2, "ours first"
    await sync.deliver(now=clock())
    await sync.listen(now=clock.passes(hours=3))
    assert (await followed.read(history, ticket))[-1][1] == "maximo"
    assert not (await sync.listen(now=clock.passes(hours=3)) and len(await followed.read(history, ticket)) != 3)


async def test_who_wrote_without_a_lock_and_saw_an_older_status_does_not_take_it_back(
    followed: Database, sync: Sync, fake: FakeMaximo, notices: Notices, clock: Time
) -> None:
    request = await followed.run(opened, notices, clock())
    done: dict[str, Any] = {"actor": "anna", "role": Role.AGENT, "text": "Riavviato"}
    await followed.run(operations.move_request, request.id, Status.RESOLVED, notices, now=clock(), **done)

    def called(session: Session) -> None:
        request = session.get_one(Request, 1)
        with session.no_autoflush:
            status, request.status = request.status, Status.QUEUED
            operations.add_event(session, request, "called", "anna", {"text": "Nessuna risposta"}, clock())
            request.status = status

    await followed.run(called)
    await sync.deliver(now=clock())
    assert await followed.read(waiting) == 0
    there = [detail for what, detail in told(fake, request.ticket or "") if what == "status"]
    assert there == ["QUEUED", "INPROG", "RESOLVED"]
    assert await sync.compare(now=clock()) == []


@pytest.mark.parametrize("kind", ["heard", "notice_sent", "notice_held", "notice_retried", "attachment_erased"])
async def test_what_only_the_desk_cares_for_is_not_told(
    followed: Database, notices: Notices, clock: Time, kind: str
) -> None:
    """A file erased after its year must not make Maximo hear of a request that was closed before it was connected."""
    request = await followed.run(opened, notices, clock())

    def happened(session: Session) -> None:
        operations.add_event(session, session.get_one(Request, request.id), kind, "anna", {}, clock())

    await followed.run(happened)
    assert await followed.read(waiting) == 1


async def test_attachments_are_handed_over_once(
    followed: Database, fake: FakeMaximo, notices: Notices, clock: Time, tmp_path: Path
) -> None:
    store = AttachmentStore(tmp_path / "attachments")
    content = os.urandom(300_000)

    def attach(session: Session, request_id: int) -> None:
        request = operations.load_request(session, request_id)
        kept = store.keep(content, clock())
        add_attachment(
            session, request, kept, name="Schermata è.png", media_type="image/png", actor="anna", now=clock()
        )

    async with Maximo(settings_for(fake)) as connector:
        sync = Sync(followed, connector, notices, files=store)
        request = await followed.run(opened, notices, clock())
        await followed.run(attach, request.id)
        await sync.deliver(now=clock())
        await followed.run(attach, request.id)
        fake.moods.answers_lost = 1
        for _ in range(3):
            await sync.deliver(now=clock.passes(minutes=10))
    (record,) = fake.by_reference(f"CENTRALINO-{request.ticket}")
    assert [one["name"].partition(" ")[2] for one in record.files] == ["Schermata _.png", "Schermata _.png"]
    assert [b64decode(one["content"]) == content for one in record.files] == [True, True]


async def test_a_file_that_is_refused_can_be_left_out_and_the_next_ones_arrive(
    followed: Database, fake: FakeMaximo, notices: Notices, clock: Time, tmp_path: Path
) -> None:
    store = AttachmentStore(tmp_path / "attachments")

    def attach(session: Session, request_id: int, name: str) -> str:
        request = operations.load_request(session, request_id)
        kept = store.keep(name.encode(), clock())
        add_attachment(session, request, kept, name=name, media_type="image/png", actor="anna", now=clock())
        return kept.path

    async with Maximo(settings_for(fake)) as connector:
        sync = Sync(followed, connector, notices, files=store)
        request = await followed.run(opened, notices, clock())
        await followed.run(attach, request.id, "1.png")
        await sync.deliver(now=clock())
        store.erase(await followed.run(attach, request.id, "2.png"))
        await sync.deliver(now=clock())
        (state,) = await in_step(sync, request.ticket or "")
        assert (state.standing, state.waiting) == ("refused", 1)
        assert "the attachment '2.png' cannot be read" in (state.error or "")
        await followed.run(skip, "maximo", request.id)
        await followed.run(attach, request.id, "3.png")
        await followed.run(operations.add_note, request.id, "Ecco", actor="anna", now=clock())
        await sync.deliver(now=clock())
        (state,) = await in_step(sync, request.ticket or "")
    assert (state.standing, state.waiting) == ("differs", 0)
    (record,) = fake.by_reference(f"CENTRALINO-{request.ticket}")
    assert [one["name"].partition(" ")[2] for one in record.files] == ["1.png", "3.png"]


KILLED = """
import asyncio, sys
from datetime import datetime
from pydantic import SecretStr
from tickets.connectors.maximo import Maximo, MaximoSettings
from tickets.connectors.sync import Sync
from tickets.database import Database
from tickets.notices import Notices, NoticeSettings
import os, signal

async def deliver(url, maximo, now):
    database = Database(url, connectors=("maximo",))
    async with Maximo(MaximoSettings(url=maximo, api_key=SecretStr("chiave-di-prova"))) as connector:
        await Sync(database, connector, Notices(NoticeSettings()), connections=3).deliver(now=now)
    await database.close()

for line in sys.stdin:  # one child for each line: what is imported once need not be imported each time
    child = os.fork()
    if child == 0:
        os.close(0)
        asyncio.run(deliver(*line.split()[:2], datetime.fromisoformat(line.split()[2])))
        os._exit(0)
    print(child, flush=True)
    _, code = os.waitpid(child, 0)
    print(code, flush=True)
"""


async def test_killed_again_and_again_while_telling_maximo_has_each_request_exactly_once(
    followed: Database, fake: FakeMaximo, notices: Notices, clock: Time
) -> None:
    """kill -9 at random moments; Maximo takes its time before and after it has stored something."""
    draw = random.Random(7)
    fake.moods.slow_seconds, fake.moods.slow_answer_seconds = 0.004, 0.006
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert parent.stdin
    assert parent.stdout
    tickets, killed = [], 0
    url = followed.engine.url.render_as_string(hide_password=False)
    try:
        while killed < KILLS:
            if await followed.read(waiting) < 40:
                tickets += [await followed.run(life_of_a_request, notices, clock()) for _ in range(10)]
            fake.came.clear()
            parent.stdin.write(f"{url} {fake.url} {clock.passes(minutes=6).isoformat()}\n".encode())
            child = int(await parent.stdout.readline())
            async with asyncio.timeout(30):
                await fake.came.wait()  # it has begun
            await asyncio.sleep(draw.uniform(0, 0.12))
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            killed += int(await parent.stdout.readline()) == signal.SIGKILL
    finally:
        parent.stdin.close()
        await parent.wait()
    fake.moods.slow_seconds = fake.moods.slow_answer_seconds = 0
    async with Maximo(settings_for(fake, connections=8)) as connector:
        await Sync(followed, connector, notices, connections=8).deliver(now=clock.passes(minutes=6))
        assert await followed.read(waiting) == 0
        assert await Sync(followed, connector, notices).compare(now=clock()) == []
    assert len(fake.records) == len(tickets)
    for ticket in tickets:
        steps = told(fake, ticket)
        assert [what for what, _ in steps].count("create") == 1
        assert [detail for what, detail in steps if what == "status"] == ["QUEUED", "INPROG", "CLOSED"]
        assert [detail.partition("] ")[2] for what, detail in steps if what == "worklog"] == [
            "note (anna): Sentito il reparto",
            "closed (anna): Svuotata la cache",
        ]


def test_the_fake_is_as_strict_as_maximo(clock: Time) -> None:
    fake = FakeMaximo(now=clock)
    record = fake._create({"description": "x"}, "WILSON")
    for status in SYNONYMS:
        if status not in ("NEW", "CLOSED", "CANCELLED", "REJECTED"):
            fake.move(record.ticketid, status)
            with pytest.raises(Refusal, match="cannot be changed"):
                fake.move(record.ticketid, "NEW")
    fake.move(record.ticketid, "CLOSED")
    with pytest.raises(Refusal, match="cannot be changed"):
        fake.move(record.ticketid, "INPROG")
