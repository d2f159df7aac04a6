"""Mails are kept as long as the site says, and what is left of them afterwards says nothing of anybody."""

import os
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path

import pytest
from sqlalchemy import select

from tests.contract.tickets.conftest import intake_at
from tickets import operations
from tickets.database import Database
from tickets.intake import Intake, filed_mails
from tickets.models import MailIn, MailResult, Request, Status
from tickets.notices import Notices
from tickets.retention import erase_mails

pytestmark = pytest.mark.contract

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
DAY = timedelta(days=1)
KEEP = 365 * DAY
ANNA = "anna.rossi@asl.example"
CORPUS = Path(__file__).parents[2] / "mail_corpus"


@pytest.fixture
def intake(database: Database, notices: Notices, tmp_path: Path) -> Intake:
    return intake_at(lambda: NOW, database, notices, tmp_path)


def written(text: str, subject: str, message_id: str) -> bytes:
    mail = EmailMessage()
    mail["From"], mail["To"] = ANNA, "helpdesk@desk.example"
    mail["Subject"], mail["Message-ID"] = subject, message_id
    mail.set_content(text)
    return mail.as_bytes()


async def rows(database: Database) -> list[MailIn]:
    return await database.read(lambda s: list(s.scalars(select(MailIn).order_by(MailIn.id))))


def kept(intake: Intake) -> int:
    return len([file for file in intake.mails.folder.rglob("*") if file.is_file()])


async def test_a_mail_goes_with_its_request_and_a_filed_one_by_itself(
    database: Database, intake: Intake, notices: Notices
) -> None:
    asked = written("Non stampo.", "Stampa", "<1@asl.example>")
    await intake.take(asked, NOW)
    request = await database.read(lambda s: s.scalars(select(Request)).one())
    await intake.take(written("Allora?", f"Re: [{request.ticket}]", "<2@asl.example>"), NOW)
    await intake.take((CORPUS / "precedence_bulk.eml").read_bytes(), NOW)
    closed = NOW + 30 * DAY
    assert await erase_mails(database, intake.mails, KEEP, now=NOW + KEEP - DAY) == 0
    # one that became no request goes as long after it came; those of an open request stay, however old
    assert await erase_mails(database, intake.mails, KEEP, now=NOW + KEEP + DAY) == 1
    assert [row.path != "" for row in await rows(database)] == [True, True, False]
    await database.run(operations.close_request, request.id, notices, solution="Fatto.", actor="mario", now=closed)
    assert await erase_mails(database, intake.mails, KEEP, now=closed + KEEP) == 0
    assert await erase_mails(database, intake.mails, KEEP, now=closed + KEEP + DAY) == 2
    assert kept(intake) == 0
    assert await erase_mails(database, intake.mails, KEEP, now=closed + KEEP + DAY) == 0
    for row in await rows(database):
        assert (row.sender, row.subject, row.message_id, row.path, row.digest) == (None, "", None, "", "")
    assert await database.read(filed_mails) == []
    # it may still lie in the mailbox, under another number
    again = await intake.take(asked, NOW, folder="INBOX", uid_validity=9, uid=9)
    assert (again.id, again.result) == (1, MailResult.OPENED)
    assert len(await rows(database)) == 3


async def test_the_mails_of_a_request_that_is_open_again_stay(
    database: Database, intake: Intake, notices: Notices
) -> None:
    await intake.take(written("Non stampo.", "Stampa", "<1@asl.example>"), NOW)
    request = await database.read(lambda s: s.scalars(select(Request)).one())
    await database.run(operations.close_request, request.id, notices, solution="Fatto.", actor="mario", now=NOW)
    again = await database.run(operations.user_replied, request.id, notices, "Ancora", now=NOW + DAY)
    assert again.status == Status.IN_PROGRESS
    assert await erase_mails(database, intake.mails, KEEP, now=NOW + 2 * KEEP) == 0
    assert kept(intake) == 1


async def test_a_file_that_no_row_knows_goes_and_a_fresh_one_may_still_get_its_row(
    database: Database, intake: Intake
) -> None:
    now = datetime.now(UTC)
    raw = written("Non stampo.", "Stampa", "<1@asl.example>")
    left = intake.mails.keep(raw, "a" * 64, now)
    assert await erase_mails(database, intake.mails, KEEP, now=now) == 0
    old = (now - 2 * DAY).timestamp()
    os.utime(intake.mails.folder / left, (old, old))
    intake.mails.keep(raw, "a" * 64, now)  # the same mail is taken after all, just now
    assert await erase_mails(database, intake.mails, KEEP, now=now) == 0
    os.utime(intake.mails.folder / left, (old, old))
    assert await erase_mails(database, intake.mails, KEEP, now=now) == 1
    assert kept(intake) == 0


async def test_a_mail_that_was_deleted_is_not_opened_any_more(database: Database, intake: Intake) -> None:
    row = await intake.take((CORPUS / "precedence_bulk.eml").read_bytes(), NOW)
    await erase_mails(database, intake.mails, KEEP, now=NOW + 2 * KEEP)
    assert await intake.open_filed(row.id, actor="capo") is None
    with pytest.raises(ValueError, match="not in the folder"):
        intake.mails.read("")
