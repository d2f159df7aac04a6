"""The own desk of a company answers by mail to what was referred to it: on both databases, through the intake."""

from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.contract.tickets.conftest import intake_at
from tickets import directory, levels, operations
from tickets.database import Database
from tickets.intake import Intake
from tickets.level_0 import Answer, read_answer
from tickets.lifecycle import Role
from tickets.models import Channel, Kind, MailIn, MailResult, OutboxMail, Request, RequestEvent, Status
from tickets.notices import Notices
from tickets.operations import NewRequest

pytestmark = pytest.mark.contract

NOW = datetime(2026, 11, 30, 9, tzinfo=UTC)
ANNA = "anna.rossi@asl.example"
DESK = "livello0@asl.example"
LATER = NOW + timedelta(hours=1)


@pytest.fixture
def intake(database: Database, notices: Notices, tmp_path: Path) -> Intake:
    return intake_at(lambda: LATER, database, notices, tmp_path)


@pytest.fixture
async def referred(database: Database, notices: Notices) -> Request:
    """A matter of the network that nobody had in charge, sent back to the desk of its company."""

    def refer(session: Session) -> Request:
        company = directory.add_company(session, "ASL Bari")
        company.level_0_email = DESK.title()
        other = directory.add_company(session, "Policlinico")
        other.level_0_email = "livello0@policlinico.example"
        directory.add_contact(session, "Anna Rossi", email=ANNA, company_id=company.id)
        for name, email, role in (
            ("Ugo Tecnico", "ugo@asl.example", "level_0"),
            ("Ida Tecnica", "reparto@asl.example", "level_0"),
            ("Pia Verdi", "reparto@asl.example", "user"),
        ):
            contact = directory.add_contact(session, name, email=email, company_id=company.id)
            directory.edit_contact(session, contact.id, {"role": role}, actor="test", now=NOW)
        new = NewRequest(
            kind=Kind.PROBLEM,
            area="network",
            channel=Channel.EMAIL,
            subject="Niente rete",
            received_at=NOW,
            email=ANNA,
            company_id=company.id,
        )
        request = operations.open_request(session, new, notices, now=NOW)
        return levels.refer_to_level_0(
            session, request.id, notices, reason="Presa guasta", actor="giulia", role=Role.AGENT, now=NOW
        )

    return await database.run(refer)


async def answer(intake: Intake, request: Request, text: str, sender: str = DESK) -> MailIn:
    """Answer the notice of the referral as a mail program does."""

    def told(session: Session) -> OutboxMail:
        return session.scalars(select(OutboxMail).where(OutboxMail.kind == "referred_to")).one()

    notice = await intake.database.read(told)
    quoted = "".join(f"> {line}\n" for line in notice.body.splitlines())
    mail = EmailMessage()
    mail["From"], mail["To"] = sender, "helpdesk@desk.example"
    mail["Subject"] = f"R: {notice.subject}"
    mail["Message-ID"] = f"<{hash((text, sender)) & 0xFFFFFFFF}@asl.example>"
    mail["In-Reply-To"] = notice.message_id
    mail.set_content(f"{text}\n\nIl giorno lun 30 nov 2026 Help Desk <helpdesk@desk.example> ha scritto:\n{quoted}")
    return await intake.take(mail.as_bytes(), LATER)


async def now_is(database: Database, request: Request) -> Request:
    return await database.read(lambda s: s.get_one(Request, request.id))


async def history(database: Database, request: Request) -> list[RequestEvent]:
    query = select(RequestEvent).where(RequestEvent.request_id == request.id).order_by(RequestEvent.id)
    return await database.read(lambda s: list(s.scalars(query)))


async def told(database: Database) -> list[tuple[str, str]]:
    query = select(OutboxMail).order_by(OutboxMail.id)
    return await database.read(lambda s: [(mail.kind, mail.recipient) for mail in s.scalars(query)])


async def test_the_desk_is_told_how_to_answer(database: Database, referred: Request) -> None:
    query = select(OutboxMail).where(OutboxMail.kind == "referred_to")
    mail = await database.read(lambda s: s.scalars(query).one())
    for word in ("RISOLTO", "NON DI COMPETENZA", "PRESO IN CARICO", f"[RdS {referred.ticket}]"):
        assert word in mail.body
        assert word in str(mail.html)


async def test_an_answer_without_a_word_is_kept_and_waits_for_the_desk_to_look(
    database: Database, intake: Intake, referred: Request
) -> None:
    row = await answer(intake, referred, "Domani mandiamo un tecnico.")
    assert (row.result, row.request_id) == (MailResult.REPLIED, referred.id)
    request = await now_is(database, referred)
    assert (request.status, request.level, request.holder) == (Status.PENDING_THIRD_PARTY, 0, None)
    assert request.level_0_answered_at == LATER
    said = (await history(database, referred))[-1]
    assert (said.kind, said.actor, said.details["text"]) == (
        "level_0_answered",
        "level_0",
        "Domani mandiamo un tecnico.",
    )
    assert (said.details["company"], said.details["from"]) == ("ASL Bari", DESK)
    assert "stranger" not in said.details
    await database.run(operations.add_note, referred.id, "Visto", actor="giulia", now=LATER)
    assert (await now_is(database, referred)).level_0_answered_at is None


@pytest.mark.parametrize("text", ["RISOLTO\n\nSostituita la presa.", "Resolved.\nSostituita la presa."])
async def test_resolved_with_its_words_as_the_solution_that_the_user_is_told(
    database: Database, intake: Intake, notices: Notices, referred: Request, text: str
) -> None:
    await answer(intake, referred, text)
    request = await now_is(database, referred)
    assert (request.status, request.solution) == (Status.RESOLVED, "Sostituita la presa.")
    assert (request.level_0_answered_at, request.holder) == (None, None)
    assert (await told(database))[-1] == ("resolved", ANNA)
    assert [(one.kind, one.actor) for one in (await history(database, referred))[-3:]] == [
        ("level_0_answered", "level_0"),
        ("picked_up", "level_0"),
        ("resolved", "level_0"),
    ]
    # a user whom that did not help is heard by this desk, and not by nobody
    await database.run(operations.user_replied, referred.id, notices, "Ancora niente", now=LATER)
    again = await now_is(database, referred)
    assert (again.status, again.level, again.holder) == (Status.QUEUED, 1, None)


async def test_resolved_without_more_words_says_who_says_so(
    database: Database, intake: Intake, referred: Request
) -> None:
    await answer(intake, referred, "Risolto")
    request = await now_is(database, referred)
    assert request.solution == "Risolta dall'help desk di livello 0 (ASL Bari)."


async def test_what_is_not_theirs_comes_back_and_waits_to_be_taken(
    database: Database, intake: Intake, referred: Request
) -> None:
    await answer(intake, referred, "* Non di  competenza *\nLa presa va bene: è il vostro server.")
    request = await now_is(database, referred)
    assert (request.status, request.level, request.level_0_answered_at) == (Status.QUEUED, 1, None)
    back = (await history(database, referred))[-1]
    assert (back.kind, back.actor, back.details["text"]) == (
        "recalled",
        "level_0",
        "La presa va bene: è il vostro server.",
    )
    # it is not at level 0 any more: what the desk says from now on moves nothing
    await answer(intake, referred, "RISOLTO\nForse.")
    assert (await now_is(database, referred)).status == Status.QUEUED
    assert (await history(database, referred))[-1].kind == "reply"


async def test_what_they_take_in_charge_stays_with_them_until_they_solve_it(
    database: Database, intake: Intake, referred: Request
) -> None:
    await answer(intake, referred, "PRESO IN CARICO\nPassiamo alle 15.")
    request = await now_is(database, referred)
    assert (request.status, request.level, request.holder) == (Status.IN_PROGRESS, 0, None)
    assert (request.picked_up_at, request.level_0_answered_at) == (LATER, None)
    await answer(intake, referred, "RISOLTO\nFatto.")
    assert (await now_is(database, referred)).status == Status.RESOLVED


async def test_what_is_not_possible_is_kept_with_the_reason_and_moves_nothing(
    database: Database, intake: Intake, referred: Request
) -> None:
    await answer(intake, referred, "PRESO IN CARICO")
    await answer(intake, referred, "preso in carico\nDi nuovo.")
    request = await now_is(database, referred)
    assert (request.status, request.level_0_answered_at) == (Status.IN_PROGRESS, LATER)
    refused = (await history(database, referred))[-1]
    assert (refused.kind, refused.details["answer"], refused.details["refused"]) == (
        "level_0_answered",
        "taken",
        "no_such_move",
    )
    await answer(intake, referred, "RISOLTO\nFatto.")
    await answer(intake, referred, "RISOLTO\nFatto davvero.")  # once more, when it is solved already
    assert (await now_is(database, referred)).solution == "Fatto."
    assert (await history(database, referred))[-1].details["refused"] == "no_such_move"


async def test_a_person_of_that_desk_may_answer_for_it(database: Database, intake: Intake, referred: Request) -> None:
    await answer(intake, referred, "RISOLTO\nFatto.", sender="Ugo <ugo@asl.example>")
    assert (await now_is(database, referred)).status == Status.RESOLVED


@pytest.mark.parametrize(
    "sender", [ANNA, "livello0@policlinico.example", "reparto@asl.example", "altro@x.example", "x.livello0@asl.example"]
)
async def test_nobody_else_moves_anything(database: Database, intake: Intake, referred: Request, sender: str) -> None:
    """The user, another company's desk, an address shared with users, strangers: theirs are replies."""
    row = await answer(intake, referred, "RISOLTO\nSono io.", sender=sender)
    request = await now_is(database, referred)
    assert (row.result, request.status, request.level) == (MailResult.REPLIED, Status.PENDING_THIRD_PARTY, 0)
    assert (await history(database, referred))[-1].kind == "reply"


async def test_a_desk_that_is_itself_the_user_answers_what_it_was_asked(
    database: Database, intake: Intake, notices: Notices, referred: Request
) -> None:
    def ask(session: Session) -> None:
        operations.edit_request(session, referred.id, {"email": DESK}, actor="giulia", now=NOW)
        operations.move_request(
            session,
            referred.id,
            Status.PENDING_USER,
            notices,
            actor="giulia",
            role=Role.AGENT,
            text="Quale presa?",
            now=NOW,
        )

    await database.run(ask)
    await answer(intake, referred, "La 12.")
    request = await now_is(database, referred)
    assert (request.status, request.level) == (Status.QUEUED, 1)


def test_a_word_counts_only_alone_on_the_first_line() -> None:
    assert read_answer("\n  Risolto!  \nciao") == (Answer.RESOLVED, "ciao")
    assert read_answer("non-di-competenza") == (Answer.NOT_OURS, "")
    assert read_answer("Taken\r\n\r\nsoon") == (Answer.TAKEN, "soon")
    for text in ("Risolto ieri", "Non è risolto", "Buongiorno,\nRISOLTO", "RISOLTO?? no", "> RISOLTO", ""):
        assert read_answer(text) == (None, text)
