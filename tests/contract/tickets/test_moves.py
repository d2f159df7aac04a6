"""Requests go through their life: each move in the history, each notice written, nothing half done."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from tickets import directory, levels, operations, queries
from tickets.attachments import AttachmentSettings, AttachmentStore, add_attachment, safe_name, unknown_among
from tickets.database import Database
from tickets.errors import InvalidInput, MoveRefused, RequestChanged, RequestClosed
from tickets.lifecycle import REOPEN_WITHIN, Role
from tickets.models import Channel, Kind, OutboxMail, Request, RequestEvent, Status
from tickets.notices import Notices
from tickets.operations import NewRequest

pytestmark = pytest.mark.contract

NOW = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)
DAY = timedelta(days=1)


async def opened(database: Database, notices: Notices, **fields: Any) -> Request:
    values: dict[str, Any] = {
        "kind": Kind.PROBLEM,
        "area": "application",
        "channel": Channel.EMAIL,
        "subject": "Stampa etichette",
        "received_at": NOW,
        "email": "anna@asl.example",
        **fields,
    }
    return await database.run(operations.open_request, NewRequest(**values), notices, now=NOW)


async def moved(
    database: Database, notices: Notices, request: Request, to: Status, at: datetime = NOW, **options: Any
) -> Request:
    options = {"actor": "bruno", "role": Role.AGENT, **options}
    return await database.run(operations.move_request, request.id, to, notices, now=at, **options)


async def events(database: Database, request: Request) -> list[RequestEvent]:
    def read(session: Session) -> list[RequestEvent]:
        query = select(RequestEvent).where(RequestEvent.request_id == request.id).order_by(RequestEvent.id)
        return list(session.scalars(query))

    return await database.read(read)


async def mails(database: Database, request: Request) -> list[OutboxMail]:
    def read(session: Session) -> list[OutboxMail]:
        return list(session.scalars(select(OutboxMail).where(OutboxMail.request_id == request.id)))

    return await database.read(read)


async def test_a_question_to_the_user_stops_until_the_answer_comes(database: Database, notices: Notices) -> None:
    request = await opened(database, notices)
    await database.run(operations.take_in_charge, request.id, actor="anna", now=NOW)
    waits = await moved(database, notices, request, Status.PENDING_USER, actor="anna", text="Quale stampante?")
    assert (waits.status, waits.holder) == (Status.PENDING_USER, "anna")
    goes_on = await database.run(
        operations.user_replied,
        request.id,
        notices,
        "La Zebra del reparto.",
        now=NOW + DAY,
        details={"channel": "email"},
    )
    assert (goes_on.status, goes_on.holder) == (Status.IN_PROGRESS, "anna")
    told = [(event.kind, event.actor, event.details) for event in await events(database, request)][1:]
    assert told == [
        ("picked_up", "anna", {"from": "queued", "to": "in_progress"}),
        ("asked", "anna", {"from": "in_progress", "to": "pending_user", "text": "Quale stampante?"}),
        ("reply", "system", {"text": "La Zebra del reparto.", "channel": "email"}),
        ("resumed", "system", {"from": "pending_user", "to": "in_progress"}),
    ]
    sent = await mails(database, request)
    assert [mail.kind for mail in sent] == ["opened", "information"]
    assert "Quale stampante?" in sent[1].body


async def test_an_answer_to_a_solved_request_opens_it_again_within_a_week(database: Database, notices: Notices) -> None:
    request = await opened(database, notices)
    solved = await moved(database, notices, request, Status.RESOLVED, text="Riavviata la stampante.")
    assert (solved.closed_at, solved.picked_up_at, solved.holder) == (NOW, NOW, "bruno")
    again = await database.run(operations.user_replied, request.id, notices, "Ancora ferma", now=NOW + REOPEN_WITHIN)
    assert (again.status, again.closed_at, again.holder) == (Status.IN_PROGRESS, None, "bruno")
    assert [event.kind for event in await events(database, request)] == [
        *("opened", "picked_up", "resolved", "reply", "reopened"),
    ]
    closed = await moved(database, notices, request, Status.CLOSED, text="Cambiata la stampante.")
    late = closed.closed_at + REOPEN_WITHIN + timedelta(seconds=1) if closed.closed_at else NOW
    with pytest.raises(RequestClosed, match="open a new one that follows it"):
        await database.run(operations.user_replied, request.id, notices, "Di nuovo", now=late)
    follow_up = await opened(database, notices, follow_up_of_id=request.id)
    assert follow_up.follow_up_of_id == request.id


async def test_what_was_resolved_is_closed_when_its_time_is_over(database: Database, notices: Notices) -> None:
    request = await opened(database, notices)
    await moved(database, notices, request, Status.RESOLVED, text="Fatto.")
    options: dict[str, Any] = {"reopen_within": REOPEN_WITHIN, "limit": 100}
    assert await database.run(operations.close_resolved, notices, now=NOW + REOPEN_WITHIN, **options) == 0
    late = NOW + REOPEN_WITHIN + timedelta(seconds=1)
    assert await database.run(operations.close_resolved, notices, now=late, **options) == 1
    assert await database.run(operations.close_resolved, notices, now=late, **options) == 0
    closed = await database.read(queries.request_by_ticket, str(request.ticket))
    assert closed is not None
    assert (closed.status, closed.closed_at, closed.solution) == (Status.CLOSED, NOW, "Fatto.")
    assert [mail.kind for mail in await mails(database, request)] == ["opened", "resolved"]  # told once


async def test_a_fault_that_hits_many_is_closed_once_and_all_are_told(database: Database, notices: Notices) -> None:
    fault = await opened(database, notices, subject="Rete ferma", email="ced@asl.example")
    others = [await opened(database, notices, email=f"u{number}@asl.example") for number in range(3)]
    for other in others:
        await database.run(operations.link_child, other.id, fault.id, actor="bruno", now=NOW)
    cancelled = others.pop()
    await moved(
        database, notices, cancelled, Status.CANCELLED, actor="capo", role=Role.SUPERVISOR, text="Chiamata per errore."
    )
    await moved(database, notices, fault, Status.CLOSED, text="Sostituito lo switch.")
    for request in (fault, *others):
        now = await database.read(queries.request_by_ticket, str(request.ticket))
        assert now is not None
        assert (now.status, now.solution) == (Status.CLOSED, "Sostituito lo switch.")
        assert [mail.recipient for mail in await mails(database, request) if mail.kind == "closed"] == [request.email]
    assert (await events(database, cancelled))[-1].kind == "cancelled"


async def test_a_request_opened_again_stays_open_when_the_solved_fault_is_closed(
    database: Database, notices: Notices
) -> None:
    fault = await opened(database, notices, subject="Rete ferma", email="ced@asl.example")
    child = await opened(database, notices)
    await database.run(operations.link_child, child.id, fault.id, actor="bruno", now=NOW)
    await moved(database, notices, fault, Status.RESOLVED, text="Cambiato lo switch.")
    await database.run(operations.user_replied, child.id, notices, "Da me no.", now=NOW + DAY)
    late = NOW + REOPEN_WITHIN + timedelta(seconds=1)
    options: dict[str, Any] = {"reopen_within": REOPEN_WITHIN, "limit": 100}
    assert await database.run(operations.close_resolved, notices, now=late, **options) == 1
    still = await database.read(queries.request_by_ticket, str(child.ticket))
    assert still is not None
    assert (still.status, still.closed_at) == (Status.IN_PROGRESS, None)


async def test_requests_are_linked_in_one_storey_only(database: Database, notices: Notices) -> None:
    top, middle, low = [await opened(database, notices) for _ in range(3)]
    await database.run(operations.link_child, middle.id, top.id, actor="bruno", now=NOW)
    for child, parent in ((low, middle), (top, low), (top, top)):
        with pytest.raises(InvalidInput):
            await database.run(operations.link_child, child.id, parent.id, actor="bruno", now=NOW)


async def test_a_double_is_merged_and_its_replies_go_on_in_the_other(database: Database, notices: Notices) -> None:
    kept, double = [await opened(database, notices) for _ in range(2)]
    child = await opened(database, notices)
    await database.run(operations.link_child, child.id, double.id, actor="bruno", now=NOW)
    await database.run(operations.merge_into, double.id, kept.id, notices, actor="bruno", now=NOW)
    closed = await database.read(queries.request_by_ticket, str(double.ticket))
    assert closed is not None
    assert (closed.status, closed.merged_into_id) == (Status.CLOSED, kept.id)
    below = await database.read(queries.request_by_ticket, str(child.ticket))
    assert below is not None
    assert below.parent_id == kept.id
    assert [(event.kind, event.details) for event in await events(database, child)][-2:] == [
        ("linked", {"parent": double.ticket}),
        ("linked", {"parent": kept.ticket}),
    ]
    (told,) = [mail for mail in await mails(database, double) if mail.kind == "closed"]
    assert f"Unita alla richiesta {kept.ticket}" in told.body
    answered = await database.run(operations.user_replied, double.id, notices, "Grazie", now=NOW)
    assert answered.id == kept.id
    await moved(database, notices, kept, Status.RESOLVED, text="Cambiato il toner.")
    (told,) = [mail for mail in await mails(database, double) if mail.kind == "resolved"]
    assert "Cambiato il toner." in told.body
    assert [event.kind for event in await events(database, kept)][:4] == ["opened", "linked", "merged", "reply"]
    assert (await events(database, double))[-1].kind == "solved_with"


async def test_what_goes_below_another_by_a_merge_is_told_as_changed(database: Database, notices: Notices) -> None:
    kept, double, child = [await opened(database, notices) for _ in range(3)]
    for below in (child, kept):
        await database.run(operations.link_child, below.id, double.id, actor="bruno", now=NOW)
    heard: set[Any] = set()
    stop = database.subscribe(lambda changes: heard.update(one.id for one in changes if one.kind == "request"))
    await database.run(operations.merge_into, double.id, kept.id, notices, actor="carla", now=NOW)
    stop()
    assert heard == {kept.id, double.id, child.id}
    told = {request.id: await events(database, request) for request in (kept, child)}
    assert [(event.kind, event.actor, event.details) for event in told[child.id]][-1:] == [
        ("linked", "carla", {"parent": kept.ticket}),
    ]
    assert [(event.kind, event.details) for event in told[kept.id]][-3:] == [
        ("unlinked", {"parent": double.ticket}),
        ("linked", {"child": child.ticket}),
        ("merged", {"from": double.ticket}),
    ]
    now = await database.read(queries.request_by_ticket, str(child.ticket))
    assert now is not None
    assert (now.parent_id, now.version) == (kept.id, told[child.id][-1].version)


async def test_a_request_is_taken_from_below_another_and_lives_on_alone(database: Database, notices: Notices) -> None:
    fault, child = [await opened(database, notices) for _ in range(2)]
    await database.run(operations.link_child, child.id, fault.id, actor="bruno", now=NOW)
    alone = await database.run(operations.unlink_child, child.id, actor="anna", now=NOW + DAY)
    assert alone.parent_id is None
    for request, details in ((child, {"parent": fault.ticket}), (fault, {"child": child.ticket})):
        last = (await events(database, request))[-1]
        assert (last.kind, last.actor, last.details) == ("unlinked", "anna", details)
    again = await database.run(operations.unlink_child, child.id, actor="anna", now=NOW + DAY)
    assert again.version == alone.version
    await moved(database, notices, fault, Status.CLOSED, text="Sostituito lo switch.")
    still = await database.read(queries.request_by_ticket, str(child.ticket))
    assert still is not None
    assert still.status == Status.QUEUED
    with pytest.raises(RequestClosed):
        await database.run(operations.link_child, child.id, fault.id, actor="bruno", now=NOW)


async def test_nobody_is_named_as_holder_of_what_nobody_has_taken(database: Database, notices: Notices) -> None:
    request = await opened(database, notices)
    with pytest.raises(InvalidInput, match="have it taken in charge"):
        await database.run(operations.edit_request, request.id, {"holder": "bruno"}, actor="anna", now=NOW)
    await database.run(operations.take_in_charge, request.id, actor="anna", now=NOW)
    given = await database.run(operations.edit_request, request.id, {"holder": "bruno"}, actor="anna", now=NOW + DAY)
    assert (given.holder, given.held_since) == ("bruno", NOW + DAY)


async def test_a_refused_move_changes_nothing(database: Database, notices: Notices) -> None:
    request = await opened(database, notices)
    for to, options, error in (
        (Status.NEW, {}, MoveRefused),
        (Status.CLOSED, {"role": Role.USER, "text": "x"}, MoveRefused),
        (Status.CLOSED, {"text": " \n"}, InvalidInput),
        (Status.PENDING_USER, {}, InvalidInput),
        (Status.CANCELLED, {}, InvalidInput),
        (Status.IN_PROGRESS, {"role": Role.SYSTEM, "actor": "system"}, InvalidInput),  # nobody to hold it
        (Status.CLOSED, {"text": "x", "version": 7}, RequestChanged),
    ):
        with pytest.raises(error):
            await moved(database, notices, request, to, **options)
    assert [event.kind for event in await events(database, request)] == ["opened"]
    assert len(await mails(database, request)) == 1


async def test_a_request_goes_up_to_a_group_and_comes_back(database: Database, notices: Notices) -> None:
    group = await database.run(levels.add_group, "Sistemisti", 2, "sistemisti@desk.example")
    request = await opened(database, notices)
    await database.run(operations.take_in_charge, request.id, actor="anna", now=NOW)
    up = await database.run(
        levels.escalate,
        *(request.id, group.id, notices),
        reason="Il server non risponde",
        handover="Provato il riavvio del servizio",
        actor="anna",
        role=Role.AGENT,
        now=NOW + DAY,
    )
    assert (up.level, up.status, up.holder, up.group_id, up.held_since) == (2, Status.QUEUED, None, group.id, NOW + DAY)
    (told,) = [mail for mail in await mails(database, request) if mail.recipient == "sistemisti@desk.example"]
    assert "Il server non risponde" in told.body
    assert "Provato il riavvio" in told.body
    again: dict[str, Any] = {"reason": "x", "handover": "y", "actor": "anna", "role": Role.AGENT, "now": NOW}
    with pytest.raises(MoveRefused, match="only level 1 escalates"):
        await database.run(levels.escalate, request.id, group.id, notices, **again)
    back = await database.run(
        levels.hand_back,
        request.id,
        notices,
        note="Disco pieno, liberato",
        actor="sara",
        role=Role.AGENT,
        now=NOW + 2 * DAY,
    )
    assert (back.level, back.group_id, back.status, back.held_since) == (1, None, Status.QUEUED, NOW + 2 * DAY)
    assert back.picked_up_at == NOW  # the promise was kept when somebody first took it
    assert [event.kind for event in await events(database, request)][-2:] == ["escalated", "handed_back"]


async def test_network_matters_go_back_to_level_0_of_the_users_company(database: Database, notices: Notices) -> None:
    company = await database.run(directory.add_company, "ASL Bari")
    request = await opened(database, notices, area="network", company_id=company.id)
    how: dict[str, Any] = {"reason": "Presa di rete rotta", "actor": "anna", "role": Role.AGENT, "now": NOW}
    with pytest.raises(InvalidInput, match="no mail address of the level-0 desk of ASL Bari"):
        await database.run(levels.refer_to_level_0, request.id, notices, **how)

    def know_the_desk(session: Session) -> None:
        session.merge(company).level_0_email = "livello0@asl.example"

    await database.run(know_the_desk)
    sent = await database.run(levels.refer_to_level_0, request.id, notices, **how)
    assert (sent.level, sent.status, sent.holder) == (0, Status.PENDING_THIRD_PARTY, None)
    told = {mail.recipient: mail.kind for mail in await mails(database, request) if mail.kind != "opened"}
    assert told == {"livello0@asl.example": "referred_to", "anna@asl.example": "referred"}
    with pytest.raises(MoveRefused, match="not at level 2 or 3"):
        await database.run(levels.hand_back, request.id, notices, note="x", actor="a", role=Role.AGENT, now=NOW)
    back = await database.run(
        levels.recall, request.id, notices, note="Non è la rete", actor="asl", role=Role.LEVEL_0, now=NOW
    )
    assert (back.level, back.status) == (1, Status.QUEUED)
    again = await database.run(levels.refer_to_level_0, request.id, notices, **how)
    assert again.level == 0
    taken = await moved(database, notices, request, Status.IN_PROGRESS, actor="anna")
    assert (taken.level, taken.holder) == (1, "anna")  # who goes on with it here has it back
    other = await opened(database, notices, area="use", company_id=company.id)
    with pytest.raises(InvalidInput, match="right area first"):
        await database.run(levels.refer_to_level_0, other.id, notices, **how)


async def test_a_file_is_on_the_disk_before_the_request_tells_of_it(
    database: Database, notices: Notices, tmp_path: Path
) -> None:
    store, request = AttachmentStore(tmp_path / "files"), await opened(database, notices)
    kept = store.keep(b"%PDF-1.7 ...", NOW)
    lost = store.keep(b"a crash came before the row", NOW)

    def add(session: Session) -> None:
        row = session.get_one(Request, request.id)
        add_attachment(
            session,
            row,
            kept,
            name="../../etc/pass\x00wd\u202egpj.pdf",
            media_type="Application/PDF",
            actor="anna",
            now=NOW,
        )

    await database.run(add)

    def read(session: Session) -> list[tuple[str, str, int]]:
        row = session.get_one(Request, request.id)
        return [(one.name, one.media_type, one.size) for one in row.attachments]

    assert await database.read(read) == [("pass wd gpj.pdf", "application/pdf", 12)]
    assert store.path_of(kept.path).read_bytes() == b"%PDF-1.7 ..."
    assert store.path_of(kept.path).stat().st_mode & 0o077 == 0
    everything = store.files(datetime.now(UTC) + DAY)
    assert await database.read(unknown_among, everything) == {lost.path}
    assert (await events(database, request))[-1].kind == "attached"


@pytest.mark.parametrize(
    ("name", "size", "words"), [("x.PDF", 26_000_000, "larger than 25 MB"), ("fattura.pdf.EXE ", 10, "kind exe")]
)
def test_files_that_are_too_large_or_run_when_opened_are_refused(name: str, size: int, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        AttachmentSettings().check(name, size)


@pytest.mark.parametrize(
    ("name", "safe"),
    [("", "attachment"), ("..", "attachment"), (r"C:\tmp\a.txt", "a.txt"), ("a" * 300 + ".pdf", "a" * 196 + ".pdf")],
)
def test_names_of_files_are_made_harmless(name: str, safe: str) -> None:
    assert safe_name(name) == safe


async def test_what_somebody_who_leaves_had_in_charge_comes_back_to_the_queue(
    database: Database, notices: Notices
) -> None:
    working, asked, solved, long_ago, of_bruno = [await opened(database, notices) for _ in range(5)]
    for request in (working, asked, solved, long_ago):
        await database.run(operations.take_in_charge, request.id, actor="anna", now=NOW)
    await database.run(operations.take_in_charge, of_bruno.id, actor="bruno", now=NOW)
    await moved(database, notices, asked, Status.PENDING_USER, actor="anna", text="Quale stampante?")
    await moved(database, notices, long_ago, Status.RESOLVED, actor="anna", text="Riavviata")
    later = NOW + REOPEN_WITHIN + DAY
    await moved(database, notices, solved, Status.RESOLVED, at=later, actor="anna", text="Riavviata")

    async def leave() -> int:
        return await database.run(operations.take_from_leaver, "anna", notices, now=later, reopen_within=REOPEN_WITHIN)

    assert await leave() == 1

    async def now(request: Request) -> tuple[Status, str | None]:
        found = await database.read(lambda session: session.get_one(Request, request.id))
        return found.status, found.holder

    assert await now(working) == (Status.QUEUED, None)
    assert await now(asked) == (Status.PENDING_USER, None)
    assert await now(solved) == (Status.RESOLVED, None)
    assert await now(long_ago) == (Status.RESOLVED, "anna")  # cannot be reopened any more
    assert await now(of_bruno) == (Status.IN_PROGRESS, "bruno")
    assert [(one.kind, one.actor) for one in (await events(database, working))[-2:]] == [
        ("holder_left", "system"),
        ("put_back", "system"),
    ]
    for request in (asked, solved):
        assert (await events(database, request))[-1].details == {"holder": "anna"}
        await database.run(operations.user_replied, request.id, notices, "Non va ancora", now=later)
        assert await now(request) == (Status.QUEUED, None)
    assert await leave() == 0
