"""Mails become requests, replies, marks on notices or rows: once each, on both databases."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any, get_args

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from schedules.hours import Calendar, Weekday
from tests.contract.tickets.conftest import intake_at
from tickets import directory, operations
from tickets import intake as intake_module
from tickets.database import Database
from tickets.intake import Intake, IntakeSettings, MailStore, filed_mails
from tickets.lifecycle import Role
from tickets.models import (
    Area,
    Attachment,
    Channel,
    DeliveryState,
    Kind,
    MailIn,
    MailResult,
    OutboxMail,
    Request,
    RequestEvent,
    Status,
)
from tickets.notices import Notices
from tickets.promise_rules import PromiseSettings, Terms

pytestmark = pytest.mark.contract

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
ALWAYS = Calendar(weekly=dict.fromkeys(get_args(Weekday), ("00:00-24:00",)), holidays=False)
TERMS = Terms(PromiseSettings(), ALWAYS)
ANNA = "anna.rossi@asl.example"
CORPUS = Path(__file__).parents[2] / "mail_corpus"
MAILS = {file.stem: file.read_bytes() for file in sorted(CORPUS.glob("*.eml"))}


class Time:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def intake(database: Database, notices: Notices, tmp_path: Path, time: Time) -> Intake:
    return intake_at(time, database, notices, tmp_path, lambda: TERMS)


def written(
    text: str = "Non stampo.",
    subject: str = "Stampa",
    sender: str = f"Anna Rossi <{ANNA}>",
    message_id: str | None = "<1@asl.example>",
    **headers: str,
) -> bytes:
    mail = EmailMessage()
    mail["From"] = sender
    mail["To"] = "helpdesk@desk.example"
    mail["Subject"] = subject
    if message_id:
        mail["Message-ID"] = message_id
    for name, value in headers.items():
        mail[name.replace("_", "-")] = value
    mail.set_content(text)
    return mail.as_bytes()


async def one(database: Database, query: Callable[[Session], Any]) -> Any:
    return await database.read(query)


async def requests(database: Database) -> list[Request]:
    return await database.read(lambda s: list(s.scalars(select(Request).order_by(Request.id))))


async def events(database: Database, request_id: int | None) -> list[RequestEvent]:
    query = select(RequestEvent).where(RequestEvent.request_id == request_id).order_by(RequestEvent.id)
    return await database.read(lambda s: list(s.scalars(query)))


async def notices_written(database: Database) -> list[OutboxMail]:
    return await database.read(lambda s: list(s.scalars(select(OutboxMail).order_by(OutboxMail.id))))


async def test_a_mail_opens_a_request_with_its_promise_files_and_notice(database: Database, intake: Intake) -> None:
    mail = EmailMessage()
    mail["From"] = "Anna Rossi <Anna.Rossi@asl.example>"
    mail["Subject"] = "Perché non stampo"
    mail["Message-ID"] = "<1@asl.example>"
    mail.set_content("Non stampo più.")
    mail.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="modulo.pdf")
    received = NOW - timedelta(minutes=5)
    row = await intake.take(mail.as_bytes(), received)
    (request,) = await requests(database)
    assert (row.result, row.request_id, row.answered) == (MailResult.OPENED, request.id, True)
    assert (request.channel, request.status, request.subject) == (Channel.EMAIL, Status.QUEUED, "Perché non stampo")
    assert (request.description, request.email, request.language) == ("Non stampo più.", ANNA, "it")
    assert (request.received_at, request.pickup_due_at) == (received, received + timedelta(hours=1))
    (notice,) = await notices_written(database)
    assert (notice.kind, notice.recipient) == ("opened", ANNA)
    (attached,) = await one(database, lambda s: s.scalars(select(Attachment)).all())
    assert (attached.name, attached.size, attached.request_id) == ("modulo.pdf", 4, request.id)
    assert intake.attachments.path_of(attached.path).read_bytes() == b"%PDF"
    assert intake.mails.read(row.path) == mail.as_bytes()


async def test_the_same_mail_is_taken_once(database: Database, intake: Intake) -> None:
    first = await intake.take(written(), NOW)
    again = await intake.take(written(), NOW)
    assert again.id == first.id
    assert len(await requests(database)) == 1


async def test_the_same_mail_by_two_ways_is_taken_once(database: Database, intake: Intake) -> None:
    await intake.take(b"Received: by one\r\n" + written(), NOW)
    row = await intake.take(b"Received: by another\r\n" + written(), NOW)
    (request,) = await requests(database)
    assert (row.result, row.request_id) == (MailResult.REPEATED, request.id)


async def test_another_mail_with_the_same_message_id_is_another_mail(database: Database, intake: Intake) -> None:
    await intake.take(written("uno"), NOW)
    await intake.take(written("due"), NOW)
    assert [request.description for request in await requests(database)] == ["uno", "due"]


async def test_two_workers_at_once_take_a_mail_once(
    database: Database, intake: Intake, tmp_path: Path, time: Time
) -> None:
    other = Intake(
        database,
        MailStore(tmp_path / "other"),
        intake.attachments,
        intake.settings,
        intake.notices,
        intake.terms,
        time,
    )
    rows = await asyncio.gather(*(one.take(written(), NOW) for one in (intake, other) * 3))
    assert len({row.id for row in rows}) == 1
    assert len(await requests(database)) == 1


async def test_a_contact_is_known_by_any_of_the_addresses(database: Database, intake: Intake) -> None:
    def known(session: Session) -> tuple[int, int]:
        company = directory.add_company(session, "ASL Bari")
        contact = directory.add_contact(session, "Anna Rossi", email=ANNA, company_id=company.id)
        both = {"emails": [ANNA, "reparto@asl.example"]}
        directory.edit_contact(session, contact.id, both, actor="system", now=NOW)
        return contact.id, company.id

    contact_id, company_id = await database.run(known)
    await intake.take(written(sender="Reparto@ASL.example"), NOW)
    (request,) = await requests(database)
    assert (request.contact_id, request.company_id) == (contact_id, company_id)
    assert request.email == "reparto@asl.example"


async def test_an_address_of_several_people_is_nobody_but_their_company(database: Database, intake: Intake) -> None:
    def known(session: Session) -> int:
        company = directory.add_company(session, "ASL Bari")
        for name in ("Anna Rossi", "Luigi Bianchi"):
            directory.add_contact(session, name, email="reparto@asl.example", company_id=company.id)
        return company.id

    company_id = await database.run(known)
    await intake.take(written(sender="Reparto <reparto@asl.example>"), NOW)
    await intake.take(written("altro", sender="Luigi Bianchi <reparto@asl.example>", message_id="<2@x>"), NOW)
    nobody, luigi = await requests(database)
    assert (nobody.contact_id, nobody.company_id) == (None, company_id)
    assert luigi.contact is not None
    assert luigi.contact.name == "Luigi Bianchi"


async def test_a_reply_goes_to_its_request_without_the_quoted_rest(database: Database, intake: Intake) -> None:
    await intake.take(written(), NOW)
    (request,) = await requests(database)
    (notice,) = await notices_written(database)
    text = "Ora va.\n\nIl giorno lun 23 nov 2026 Help Desk <helpdesk@desk.example> ha scritto:\n> Buongiorno\n"
    row = await intake.take(
        written(text, f"Re: {notice.subject}", message_id="<2@asl.example>", In_Reply_To=notice.message_id), NOW
    )
    assert (row.result, row.request_id) == (MailResult.REPLIED, request.id)
    reply = (await events(database, request.id))[-1]
    assert (reply.kind, reply.details["text"], reply.details["from"]) == ("reply", "Ora va.", ANNA)
    assert "stranger" not in reply.details
    assert len(await notices_written(database)) == 1


@pytest.mark.parametrize("way", ["our message", "their message", "subject", "address", "words"])
async def test_a_reply_is_found(database: Database, intake: Intake, way: str) -> None:
    await intake.take(written(), NOW)
    (request,) = await requests(database)
    (notice,) = await notices_written(database)
    raw = {
        "our message": written("sì", "altro", message_id="<2@x>", References=f"<q@x> {notice.message_id}"),
        "their message": written("sì", "altro", message_id="<2@x>", In_Reply_To="<1@asl.example>"),
        "subject": written("sì", f"R: [{request.ticket}] altro", message_id="<2@x>"),
        "address": written("sì", "altro", message_id="<2@x>", Cc=f"helpdesk+{request.ticket}@desk.example"),
        "words": written("sì", f"Sollecito ticket n. {request.ticket}", message_id="<2@x>"),
    }[way]
    row = await intake.take(raw, NOW)
    assert (row.result, row.request_id) == (MailResult.REPLIED, request.id)


async def test_a_number_that_a_stranger_mentions_is_not_taken_for_a_ticket(database: Database, intake: Intake) -> None:
    await intake.take(written(), NOW)
    (request,) = await requests(database)
    row = await intake.take(
        written("x", f"Richiesta n. {request.ticket}", sender="altro@x.example", message_id="<2@x>"), NOW
    )
    assert row.result == MailResult.OPENED
    assert len(await requests(database)) == 2


async def test_a_reply_of_a_stranger_is_marked_so(database: Database, intake: Intake) -> None:
    await intake.take(written(), NOW)
    (request,) = await requests(database)
    await intake.take(written("x", f"[{request.ticket}]", sender="altro@x.example", message_id="<2@x>"), NOW)
    assert (await events(database, request.id))[-1].details["stranger"] is True


async def test_a_reply_takes_a_request_out_of_waiting_for_its_user(
    database: Database, intake: Intake, notices: Notices
) -> None:
    await intake.take(written(), NOW)
    (request,) = await requests(database)

    def ask(session: Session) -> None:
        operations.take_in_charge(session, request.id, actor="mario", now=NOW)
        operations.move_request(
            session,
            request.id,
            Status.PENDING_USER,
            notices,
            actor="mario",
            role=Role.AGENT,
            text="Che stampante?",
            now=NOW,
        )

    await database.run(ask)
    await intake.take(written("Una Kyocera.", f"Re: [{request.ticket}]", message_id="<2@x>"), NOW)
    (answered,) = await requests(database)
    assert (answered.status, answered.holder) == (Status.IN_PROGRESS, "mario")


async def test_a_reply_long_after_the_closing_opens_a_request_that_follows(
    database: Database, intake: Intake, notices: Notices, time: Time
) -> None:
    await intake.take(written(), NOW)
    (request,) = await requests(database)
    await database.run(operations.close_request, request.id, notices, solution="Fatto.", actor="mario", now=NOW)
    time.now = NOW + timedelta(days=60)
    row = await intake.take(written("Di nuovo.", f"Re: [{request.ticket}]", message_id="<2@x>"), time.now)
    _, follow_up = await requests(database)
    assert (row.result, follow_up.follow_up_of_id) == (MailResult.FOLLOW_UP, request.id)
    assert (await notices_written(database))[-1].request_id == follow_up.id


async def test_a_bounce_marks_the_notice_and_opens_nothing(database: Database, intake: Intake) -> None:
    await intake.take(written(), NOW)
    (request,) = await requests(database)
    (notice,) = await notices_written(database)

    def sent(session: Session) -> None:
        session.get_one(OutboxMail, notice.id).state = DeliveryState.SENT

    await database.run(sent)
    our_id = "<0123456789abcdef0123456789abcdef@desk.example>"
    raw = MAILS["bounce_postfix"].replace(our_id.encode(), notice.message_id.encode())
    for way in (b"Received: one\r\n", b"Received: two\r\n"):
        row = await intake.take(way + raw, NOW)
    assert row.request_id == request.id
    (failed,) = await notices_written(database)
    assert (failed.state, failed.last_error) == (DeliveryState.DEAD, "smtp; 550 5.1.1 User unknown")
    failures = [event for event in await events(database, request.id) if event.kind == "notice_failed"]
    assert [event.details["error"] for event in failures] == ["smtp; 550 5.1.1 User unknown"]
    assert len(await requests(database)) == 1


async def test_a_bounce_marks_the_mail_that_came_back_and_not_the_thread_before_it(
    database: Database, intake: Intake, notices: Notices
) -> None:
    """A mail system that returns one answers in its thread: References name the earlier ones, which arrived."""
    await intake.take(written(), NOW)
    (request,) = await requests(database)
    await database.run(operations.close_request, request.id, notices, solution="Fatto.", actor="mario", now=NOW)

    def sent(session: Session) -> None:
        for mail in session.scalars(select(OutboxMail)):
            mail.state = DeliveryState.SENT

    await database.run(sent)
    first, last = [notice.message_id for notice in await notices_written(database)]
    our_id = "<0123456789abcdef0123456789abcdef@desk.example>"
    raw = MAILS["bounce_exchange"].replace(our_id.encode(), last.encode())
    raw = b"References: " + first.encode() + b" " + last.encode() + b"\r\n" + raw
    row = await intake.take(raw, NOW)
    assert (row.result, row.request_id) == (MailResult.BOUNCE, request.id)
    assert [notice.state for notice in await notices_written(database)] == [DeliveryState.SENT, DeliveryState.DEAD]


@pytest.mark.parametrize(
    "name",
    ["auto_submitted", "vacation_subject_it", "mailing_list", "from_ourselves", "delayed_delivery", "pec_accepted"],
)
async def test_what_a_program_wrote_is_kept_and_answered_by_nothing(
    database: Database, intake: Intake, name: str
) -> None:
    row = await intake.take(MAILS[name], NOW)
    assert row.result == (MailResult.RECEIPT if name.startswith("pec") else MailResult.AUTOMATIC)
    assert (await requests(database), await notices_written(database)) == ([], [])
    (filed,) = await database.read(filed_mails)
    assert intake.mails.read(filed.path).startswith(b"Return-Path" if name != "from_ourselves" else b"From")


async def test_a_mail_that_cannot_be_stored_leaves_no_files(database: Database, intake: Intake) -> None:
    """It is tried again every minute, and the disk that is full already must not fill with copies."""
    mail = EmailMessage()
    mail["From"], mail["Subject"], mail["Message-ID"] = ANNA, "Schermata", "<s@asl.example>"
    mail.set_content("Ecco")
    mail.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="s.pdf")

    def rename(session: Session, before: str, after: str) -> None:
        session.execute(text(f"ALTER TABLE {before} RENAME TO {after}"))

    await database.run(rename, "attachment", "away")
    with pytest.raises(DBAPIError):
        await intake.take(mail.as_bytes(), NOW)
    assert intake.attachments.files(datetime.now(UTC) + timedelta(days=1)) == []
    await database.run(rename, "away", "attachment")
    assert (await intake.take(mail.as_bytes(), NOW)).result == MailResult.OPENED
    assert len(intake.attachments.files(datetime.now(UTC) + timedelta(days=1))) == 1


async def test_a_person_can_open_what_was_only_filed(database: Database, intake: Intake) -> None:
    row = await intake.take(written(Precedence="bulk"), NOW)
    opened = await intake.open_filed(row.id, actor="mario")
    assert opened is not None
    (request,) = await requests(database)
    assert (opened.result, opened.request_id, request.description) == (MailResult.OPENED, request.id, "Non stampo.")
    assert await notices_written(database) == []


async def test_who_must_not_be_answered_by_a_program_is_not(database: Database, intake: Intake) -> None:
    await intake.take(written(X_Auto_Response_Suppress="All"), NOW)
    await intake.take(written(sender="no-reply@portale.example", message_id="<2@x>"), NOW)
    assert len(await requests(database)) == 2
    assert await notices_written(database) == []


async def test_one_address_is_told_so_often_and_no_more(database: Database, intake: Intake, time: Time) -> None:
    for number in range(8):
        time.now += timedelta(minutes=1)
        await intake.take(written(f"testo {number}", message_id=f"<{number}@x>"), time.now)
    assert len(await requests(database)) == 8
    assert len(await notices_written(database)) == 5
    await intake.take(written("altra", sender="altra@asl.example", message_id="<a@x>"), time.now)
    assert len(await notices_written(database)) == 6
    time.now += timedelta(hours=1)
    await intake.take(written("dopo", message_id="<d@x>"), time.now)
    assert len(await notices_written(database)) == 7


async def test_an_area_that_is_not_used_any_more_loses_no_mail(database: Database, intake: Intake) -> None:
    intake.settings = IntakeSettings(area="use")

    def retire(session: Session) -> None:
        session.get_one(Area, "use").active = False

    await intake.take(written(), NOW)
    await database.run(retire)
    await intake.take(written("dopo", message_id="<2@x>"), NOW)
    assert [request.area for request in await requests(database)] == ["use", "application"]


async def test_a_flood_is_held_back_and_kept(database: Database, intake: Intake) -> None:
    rows = [await intake.take(written(f"testo {n}", message_id=f"<{n}@x>"), NOW) for n in range(53)]
    assert [row.result for row in rows] == [MailResult.OPENED] * 50 + [MailResult.HELD] * 3
    assert len(await requests(database)) == 50
    assert len(await database.read(filed_mails, (MailResult.HELD,))) == 3


async def test_a_mail_that_cannot_be_stored_as_it_is_becomes_a_request_with_all_of_it(
    database: Database, intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    take: Callable[..., Request] = intake_module.__dict__["open_request"]

    def refuse(session: Session, new: Any, *arguments: Any, **options: Any) -> Request:
        if new.subject == "Stampa":
            raise ValueError("this subject breaks something")
        return take(session, new, *arguments, **options)

    monkeypatch.setattr(intake_module, "open_request", refuse)
    row = await intake.take(written(), NOW)
    (request,) = await requests(database)
    assert (row.result, request.email, request.subject) == (MailResult.OPENED, ANNA, "(senza oggetto)")
    (attached,) = await one(database, lambda s: s.scalars(select(Attachment)).all())
    assert intake.attachments.path_of(attached.path).read_bytes() == written()
    assert row.error == "cannot be taken apart: ValueError"


async def test_every_odd_mail_can_be_stored(database: Database, intake: Intake, time: Time) -> None:
    opened = 0
    for name, raw in MAILS.items():
        time.now += timedelta(hours=1)  # so that none is held back
        row = await intake.take(raw, NOW)
        assert "cannot be taken apart" not in (row.error or ""), name
        opened += row.result == MailResult.OPENED
    assert len(await requests(database)) == opened


async def test_the_history_knows_the_mails_so_that_notices_thread_with_them(database: Database, intake: Intake) -> None:
    await intake.take(written(), NOW)
    (request,) = await requests(database)
    await intake.take(written("sì", f"Re: [RdS {request.ticket}] Stampa", message_id="<2@asl.example>"), NOW)
    told = [(event.kind, event.details.get("message_id")) for event in await events(database, request.id)]
    assert told == [("opened", "<1@asl.example>"), ("reply", "<2@asl.example>")]


class OtherDesk:
    """A desk that answers every mail, with no mark and no reference, from one address."""

    def __init__(self) -> None:
        self.tickets = 0

    def answer(self, _notice: OutboxMail) -> bytes:
        self.tickets += 1
        return written(
            f"Abbiamo registrato la Sua richiesta {self.tickets}.",
            f"Richiesta ricevuta #{self.tickets}",
            sender="Altro Help Desk <help@altro.example>",
            message_id=f"<{self.tickets}@altro.example>",
        )


async def test_a_loop_of_two_desks_ends_by_itself(database: Database, intake: Intake, time: Time) -> None:
    other, answered = OtherDesk(), 0
    await intake.take(written("Prima", sender="help@altro.example"), time.now)
    for _ in range(1000):
        pending = (await notices_written(database))[answered:]
        if not pending:
            break
        answered += len(pending)
        for notice in pending:
            time.now += timedelta(seconds=20)
            await intake.take(other.answer(notice), time.now)
    assert other.tickets == 5
    assert len(await requests(database)) == 6
    assert await one(database, lambda s: s.scalar(select(func.count()).select_from(MailIn))) == 6


async def test_a_loop_in_the_thread_of_one_request_is_none(database: Database, intake: Intake, time: Time) -> None:
    """A desk that keeps our number in its answers: these are replies, and replies are not answered."""
    await intake.take(written("Prima", sender="help@altro.example"), time.now)
    (notice,) = await notices_written(database)
    for number in range(40):
        await intake.take(
            written(
                f"Ricevuto {number}", f"Re: {notice.subject}", sender="help@altro.example", message_id=f"<{number}@a>"
            ),
            time.now,
        )
    assert len(await notices_written(database)) == 1
    held = await database.read(filed_mails, (MailResult.HELD,))
    assert len(held) == 10


async def test_a_request_by_mail_opened_by_an_agent_is_not_counted(database: Database, notices: Notices) -> None:
    new = operations.NewRequest(
        kind=Kind.PROBLEM, area="application", channel=Channel.EMAIL, subject="x", received_at=NOW, email=ANNA
    )
    await database.run(operations.open_request, new, notices, now=NOW)
    assert len(await notices_written(database)) == 1
