"""The mails to users: how they look, and those that go nowhere by themselves."""

from fastapi import APIRouter
from sqlalchemy import select
from sqlalchemy.orm import Session

from desk.context import DeskParts, Person
from desk.views import NoticePreview, NoticeRetry, NoticeView, StoppedNotice
from tickets.models import Request
from tickets.notices import Language, NoticeKind
from tickets.outbox import dismiss_notice, retry_notice, stopped_notices

router = APIRouter(prefix="/notices", tags=["notices"])


@router.get("/stopped")
async def stopped(_who: Person, desk: DeskParts) -> list[StoppedNotice]:
    """Tell which notices are held (over a cap) or dead (refused), the latest first; at most 500."""
    return await desk.database.read(_stopped)


@router.get("/preview/{kind}")
async def preview(kind: NoticeKind, _who: Person, desk: DeskParts, language: Language = "it") -> NoticePreview:
    """Show what a notice looks like, with an invented request, from the templates as they are now."""
    written = desk.notices.preview(kind, language)
    return NoticePreview(
        kind=kind,
        sent=kind in desk.notices.settings.send,
        subject=written.subject,
        text=written.text,
        html=written.html,
        problems=dict(written.problems),
    )


@router.post("/{notice_id}/retry")
async def retry(notice_id: int, form: NoticeRetry, who: Person, desk: DeskParts) -> NoticeView:
    """Have a held or dead notice sent after all, to another address where one is given."""
    mail = await desk.database.run(
        retry_notice, notice_id, actor=who.me.username, now=desk.now(), recipient=form.recipient
    )
    return NoticeView.model_validate(mail)


@router.post("/{notice_id}/dismiss")
async def dismiss(notice_id: int, who: Person, desk: DeskParts) -> NoticeView:
    """Give a held notice up: it is not sent, and the history tells who said so."""
    mail = await desk.database.run(dismiss_notice, notice_id, actor=who.me.username, now=desk.now())
    return NoticeView.model_validate(mail)


def _stopped(session: Session) -> list[StoppedNotice]:
    mails = stopped_notices(session)
    ids = {mail.request_id for mail in mails if mail.request_id is not None}
    named = session.execute(select(Request.id, Request.ticket).where(Request.id.in_(ids)))
    tickets = {row.id: row.ticket for row in named}
    return [
        StoppedNotice(
            **NoticeView.model_validate(mail).model_dump(),
            request_id=mail.request_id,
            ticket=tickets.get(mail.request_id) if mail.request_id is not None else None,
        )
        for mail in mails
    ]
