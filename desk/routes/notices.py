"""The mails to users: how they look, and those that go nowhere by themselves."""

from fastapi import APIRouter
from sqlalchemy import select
from sqlalchemy.orm import Session

from desk.context import DeskParts, Person, supervisor
from desk.models import Role
from desk.queries import Who
from desk.views import NoticePreview, NoticeRetry, NoticeView, StoppedNotice
from tickets.alarms import MAILS
from tickets.models import OutboxMail, Request
from tickets.notices import Language, NoticeKind
from tickets.outbox import dismiss_notice, retry_notice, stopped_notices

router = APIRouter(prefix="/notices", tags=["notices"])


@router.get("/stopped")
async def stopped(who: Person, desk: DeskParts) -> list[StoppedNotice]:
    """Tell which notices are held (over a cap) or dead (refused), the latest first; at most 500.

    Mails of alarms are for supervisors only.
    """
    return await desk.database.read(_stopped, who.me.role is Role.SUPERVISOR)


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
    await _refuse_alarms(notice_id, who, desk)
    mail = await desk.database.run(
        retry_notice, notice_id, actor=who.me.username, now=desk.now(), recipient=form.recipient
    )
    return NoticeView.model_validate(mail)


@router.post("/{notice_id}/dismiss")
async def dismiss(notice_id: int, who: Person, desk: DeskParts) -> NoticeView:
    """Give a held notice up: it is not sent, and the history tells who said so."""
    await _refuse_alarms(notice_id, who, desk)
    mail = await desk.database.run(dismiss_notice, notice_id, actor=who.me.username, now=desk.now())
    return NoticeView.model_validate(mail)


async def _refuse_alarms(notice_id: int, who: Who, desk: DeskParts) -> None:
    kind = await desk.database.read(_kind, notice_id)
    if kind in MAILS:
        supervisor(who)


def _kind(session: Session, notice_id: int) -> str | None:
    return session.scalar(select(OutboxMail.kind).where(OutboxMail.id == notice_id))


def _stopped(session: Session, alarms: bool) -> list[StoppedNotice]:
    mails = stopped_notices(session, but=() if alarms else MAILS)
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
