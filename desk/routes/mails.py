"""Mails that came in and became no request: supervisors look through them, and make a request of one after all."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlalchemy import select
from sqlalchemy.orm import Session

from desk import queries
from desk.context import DeskParts, Supervisor
from desk.errors import DeskError, NotThere
from desk.routes.files import NoRoom
from desk.views import FoundMails, MailDetail, MailFile, MailView, SavedRequest
from tickets.intake import BECAME_REQUESTS, filed_mails
from tickets.models import MailIn, MailResult, Request

router = APIRouter(prefix="/mails", tags=["mails"])

FOUND = 100
"""At most so many mails are given at once."""


class MailMissing(DeskError):
    """The mail's file is not where it was kept."""

    status = 404
    code = "mail_missing"


@router.get("")
async def found(
    _who: Supervisor,
    desk: DeskParts,
    result: MailResult | None = None,
    q: Annotated[str, Query(max_length=200, description="Words in sender or subject")] = "",
) -> FoundMails:
    """Mails that became no request, or those of one result, the latest first; at most 100."""
    wanted = (result,) if result else tuple(one for one in MailResult if one not in BECAME_REQUESTS)
    return await desk.database.read(_found, wanted, q)


@router.get("/{mail_id}")
async def one(mail_id: int, _who: Supervisor, desk: DeskParts) -> MailDetail:
    """A mail and what it says, as plain text: HTML is never given on."""
    try:
        looked_at = await desk.intake.look_at(mail_id) if desk.intake else None
    except (OSError, ValueError) as error:
        raise MailMissing from error
    if looked_at is None:
        raise NotThere
    row, mail = looked_at
    (listed,) = await desk.database.read(_listed, [row])
    files = [MailFile(name=one.name, media_type=one.media_type, size=len(one.content)) for one in mail.attachments]
    return MailDetail(
        **listed.model_dump(),
        author=mail.author,
        name=mail.name,
        text=mail.text,
        files=files,
        error=row.error,
        may_open=row.result not in BECAME_REQUESTS,
    )


@router.post("/{mail_id}/open", status_code=201)
async def open_after_all(mail_id: int, who: Supervisor, desk: DeskParts) -> SavedRequest:
    """Make a request of a mail that was filed or held; its sender is not told. One that has its request keeps it."""
    try:
        row = await desk.intake.open_filed(mail_id, actor=who.me.username) if desk.intake else None
    except (FileNotFoundError, ValueError) as error:
        raise MailMissing from error
    except OSError as error:
        raise NoRoom from error
    if row is None or row.request_id is None:
        raise NotThere
    return SavedRequest(request=await desk.database.read(queries.saved_request, row.request_id))


def _found(session: Session, wanted: tuple[MailResult, ...], text: str) -> FoundMails:
    rows = filed_mails(session, wanted, FOUND + 1, text)
    return FoundMails(mails=_listed(session, rows[:FOUND]), more=len(rows) > FOUND)


def _listed(session: Session, rows: list[MailIn]) -> list[MailView]:
    ids = {row.request_id for row in rows if row.request_id is not None}
    named = session.execute(select(Request.id, Request.ticket).where(Request.id.in_(ids)))
    tickets = {found.id: found.ticket for found in named}
    return [MailView.model_validate(_with_ticket(row, tickets)) for row in rows]


def _with_ticket(row: MailIn, tickets: dict[int, str | None]) -> dict[str, Any]:
    fields = {name: getattr(row, name) for name in MailView.model_fields if name != "ticket"}
    return fields | {"ticket": tickets.get(row.request_id) if row.request_id is not None else None}
