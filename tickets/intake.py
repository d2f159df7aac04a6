"""Taking mails in: each becomes a request, a reply, a mark on a notice that came back, or a row that people can see.

One mail is one transaction (`take_mail`). It is known by what it is (its bytes, or Message-ID and content) and not by
where it lay, so that one that is read again after a crash, or comes by two ways, is taken once. What was written by a
program is filed and never answered, and for what a program may have written unmarked, answers to one address are
counted: that ends a loop of two desks, whatever the other one does.
"""

import asyncio
import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import structlog
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from sqlalchemy import func, or_, select
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.orm import Session

from tickets.attachments import AttachmentStore, Kept, add_attachment
from tickets.database import Database, OutcomeUnknown, announce
from tickets.directory import contacts_with_email
from tickets.errors import RequestClosed, TicketsError
from tickets.files import Store, write_safely
from tickets.level_0 import answers_for_level_0, level_0_answered
from tickets.lifecycle import REOPEN_WITHIN
from tickets.mail import Mail, MailAttachment, MailKind, Ours, read_mail
from tickets.models import (
    AREAS,
    Area,
    Channel,
    DeliveryState,
    Kind,
    MailIn,
    MailResult,
    OutboxMail,
    Request,
)
from tickets.notices import Notices, NoticeSettings, check_email
from tickets.operations import (
    SYSTEM,
    NewRequest,
    add_event,
    open_request,
    user_replied,
)
from tickets.promise_rules import Terms
from tickets.queries import identify_sender
from tickets.texts import clean_line, is_email

log = structlog.get_logger()

_NO_SUBJECT = {"it": "(senza oggetto)", "en": "(no subject)"}
_NO_TEXT = {"it": "(senza testo)", "en": "(no text)"}
_WRITTEN_BY = {"it": "Mittente: {who}", "en": "From: {who}"}
ANSWERED = (MailResult.OPENED, MailResult.FOLLOW_UP)
BECAME_REQUESTS = (*ANSWERED, MailResult.REPLIED)
"""What is not only filed: it is a request, or in the history of one."""
ERASED = ""
"""The path of a mail that was deleted after its time."""


class IntakeSettings(BaseModel):
    """How mails become requests."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    addresses: tuple[Annotated[str, AfterValidator(check_email)], ...] = ()
    """The desk's addresses beside the one that its notices are sent from."""
    lists: tuple[str, ...] = ()
    """Parts of the List-Id of mailing lists that lead to the desk; mails of all other lists are filed only."""
    kind: Kind = Kind.PROBLEM
    area: Annotated[str, Field(min_length=1, max_length=40)] = "application"
    notices_per_hour: Annotated[int, Field(ge=0)] = 5
    notices_per_day: Annotated[int, Field(ge=0)] = 20
    requests_per_day: Annotated[int, Field(ge=1)] = 50
    replies_per_hour: Annotated[int, Field(ge=1)] = 30

    def ours(self, notices: NoticeSettings) -> Ours:
        """What tells our own mails, with the addresses that notices are sent from and answered to."""
        reply_to = (notices.reply_to or "").lower()
        addresses = {address.lower() for address in (notices.sender, *self.addresses)}
        if reply_to and "{ticket}" not in reply_to:
            addresses.add(reply_to)
        return Ours(frozenset(addresses), frozenset(part.lower() for part in self.lists if part), reply_to)


@dataclass(frozen=True, slots=True)
class Arrived:
    """A mail as it lay in the mailbox: when the server got it, where it lay, and its bytes, kept at `path`."""

    sha256: str
    size: int
    path: str
    received_at: datetime
    folder: str = ""
    uid_validity: int | None = None
    uid: int | None = None


def take_mail(
    session: Session,
    arrived: Arrived,
    mail: Mail,
    kept: Sequence[tuple[MailAttachment, Kept]],
    settings: IntakeSettings,
    notices: Notices,
    *,
    terms: Terms | None,
    now: datetime,
    reopen_within: timedelta = REOPEN_WITHIN,
) -> MailIn:
    """Take one mail; a mail that was taken before changes nothing and gives its row.

    `kept` are its files, safe on the disk; `terms` what is promised, counted from when the server got it. Raises
    `InvalidInput` and other errors for what cannot be stored; nothing is then.
    """
    known = mail_taken(session, arrived.sha256)
    if known is not None:
        return known
    row = MailIn(
        folder=arrived.folder[:200],
        uid_validity=arrived.uid_validity,
        uid=arrived.uid,
        message_id=mail.message_id,
        sha256=arrived.sha256,
        digest=mail.digest(),
        sender=mail.sender,
        subject=mail.subject[:300],
        received_at=arrived.received_at,
        taken_at=now,
        result=MailResult.AUTOMATIC,
        why=mail.why[:80],
        path=arrived.path,
        size=arrived.size,
        error="; ".join(mail.problems)[:1000] or None,
        answered=False,
    )
    if (earlier := _same_mail(session, mail, row.digest)) is not None:
        row.result, row.request_id = MailResult.REPEATED, earlier.request_id
    elif mail.kind == MailKind.BOUNCE:
        row.result = MailResult.BOUNCE
        row.request_id = _mark_bounced(session, mail, now)
    elif mail.kind in (MailKind.AUTOMATIC, MailKind.RECEIPT):
        row.result = MailResult.RECEIPT if mail.kind == MailKind.RECEIPT else MailResult.AUTOMATIC
        answered = _answered_by(session, mail)
        row.request_id = answered.id if answered else None
    else:
        _take_written(session, row, mail, kept, settings, notices, terms, now, reopen_within)
    session.add(row)
    session.flush()
    announce(session, "mail", row.id)
    return row


def mail_taken(session: Session, sha256: str) -> MailIn | None:
    """The row of a mail that was taken, by the SHA-256 of its bytes."""
    return session.scalar(select(MailIn).where(MailIn.sha256 == sha256))


def filed_mails(
    session: Session, results: Sequence[MailResult] = tuple(MailResult), limit: int = 100, text: str = ""
) -> list[MailIn]:
    """Mails taken, the latest first: what was filed without a request is found here; none that were erased."""
    query = select(MailIn).where(MailIn.result.in_(results), MailIn.path != ERASED)
    for word in clean_line(text)[:200].split():
        query = query.where(
            or_(MailIn.sender.icontains(word, autoescape=True), MailIn.subject.icontains(word, autoescape=True))
        )
    return list(session.scalars(query.order_by(MailIn.taken_at.desc(), MailIn.id.desc()).limit(limit)))


def filed_mail(session: Session, mail_id: int) -> MailIn | None:
    """One mail that was taken, and not erased since."""
    mail = session.get(MailIn, mail_id)
    return mail if mail is not None and mail.path != ERASED else None


def mails_past_keeping(session: Session, before: datetime, limit: int) -> Sequence[MailIn]:
    """Mails of requests that were finished before this time, and those without one that were taken before it."""
    belongs = MailIn.result.in_(BECAME_REQUESTS)
    over = or_(belongs & (Request.closed_at < before), ~belongs & (MailIn.taken_at < before))
    query = (
        select(MailIn)
        .outerjoin(Request, Request.id == MailIn.request_id)
        .where(MailIn.path != ERASED, over)
        .order_by(MailIn.id)
        .limit(limit)
    )
    return session.scalars(query).all()


def forget_mail(session: Session, mail_id: int) -> None:
    """Take out of the row of a mail whose file is deleted all that tells who wrote what.

    What is left keeps it from being taken once more, should it still lie in the mailbox.
    """
    row = session.get_one(MailIn, mail_id)
    row.sender, row.subject, row.message_id, row.digest, row.error = None, "", None, "", None
    row.path = ERASED
    session.flush()


def unknown_mails_among(session: Session, paths: Collection[str]) -> set[str]:
    """Which of these files belong to no row."""
    known = set(session.scalars(select(MailIn.path).where(MailIn.path.in_(paths))))
    return set(paths) - known


def open_filed(
    session: Session,
    mail_id: int,
    mail: Mail,
    kept: Sequence[tuple[MailAttachment, Kept]],
    settings: IntakeSettings,
    notices: Notices,
    *,
    terms: Terms | None,
    actor: str,
    now: datetime,
) -> MailIn | None:
    """Make a request of a mail that was filed only, as a person has decided; no notice is sent. None where it is gone.

    One that has its request already stays as it is.
    """
    row = session.scalar(select(MailIn).where(MailIn.id == mail_id, MailIn.path != ERASED).with_for_update())
    if row is None or row.result in BECAME_REQUESTS:
        return row
    request = _open(session, mail, kept, settings, _Quietly(notices), row.received_at, terms, now)
    add_event(session, request, "note", actor, {"text": f"{row.result}: {row.why}"}, now)
    row.result, row.request_id = MailResult.OPENED, request.id
    session.flush()
    announce(session, "mail", row.id)
    return row


# --- what people wrote -----------------------------------------------------------------------------------------------


def _take_written(
    session: Session,
    row: MailIn,
    mail: Mail,
    kept: Sequence[tuple[MailAttachment, Kept]],
    settings: IntakeSettings,
    notices: Notices,
    terms: Terms | None,
    now: datetime,
    reopen_within: timedelta,
) -> None:
    """Add what a person wrote to the request it belongs to, or open one; writes how it went into the row."""
    answered = _answered_by(session, mail)
    if answered is not None:
        if _replies(session, answered, now) >= settings.replies_per_hour:
            row.result, row.request_id, row.why = MailResult.HELD, answered.id, "too many replies"
            return
        text = mail.reply or mail.text or _NO_TEXT[mail.language]
        details = _details(session, answered, mail)
        goes_on = _where_it_goes_on(session, answered)
        try:
            if answers_for_level_0(session, goes_on, mail.author, text):
                details.pop("stranger", None)
                request = level_0_answered(session, goes_on.id, notices, text, details=details, now=now)
            else:
                request = user_replied(
                    session, answered.id, notices, text, now=now, details=details, reopen_within=reopen_within
                )
        except RequestClosed:
            pass
        else:
            _attach(session, request, kept, now)
            row.result, row.request_id = MailResult.REPLIED, request.id
            return
    asked = _opened(session, mail.sender, now - timedelta(days=1))
    if len(asked) >= settings.requests_per_day:
        row.result, row.why = MailResult.HELD, "too many requests"
        return
    may_answer = mail.may_answer and _may_answer_more(asked, settings, now)
    writer = notices if may_answer else _Quietly(notices)
    follows = answered.id if answered else None
    request = _open(session, mail, kept, settings, writer, row.received_at, terms, now, follow_up_of_id=follows)
    row.result = MailResult.OPENED if follows is None else MailResult.FOLLOW_UP
    row.request_id, row.answered = request.id, may_answer and request.email is not None


def _open(
    session: Session,
    mail: Mail,
    kept: Sequence[tuple[MailAttachment, Kept]],
    settings: IntakeSettings,
    notices: Notices,
    received_at: datetime,
    terms: Terms | None,
    now: datetime,
    follow_up_of_id: int | None = None,
) -> Request:
    writer = identify_sender(session, *(one for one in (mail.author, mail.sender) if one), name=mail.name)
    contact = writer.contacts[0] if len(writer.contacts) == 1 else None
    company = writer.company
    language = contact.language if contact else mail.language
    text = mail.text
    if mail.sender is None or mail.sender != mail.author:
        who = " ".join(part for part in (mail.name, f"<{mail.author}>" if mail.author else "") if part)
        text = f"{_WRITTEN_BY[mail.language].format(who=who or '?')}\n\n{text}"
    request = open_request(
        session,
        NewRequest(
            kind=settings.kind,
            area=_area(session, settings.area),
            channel=Channel.EMAIL,
            subject=mail.subject[:200].strip() or _NO_SUBJECT[mail.language],
            description=text,
            language="it" if language == "it" else "en",
            contact_id=contact.id if contact else None,
            company_id=company.id if company else None,
            email=mail.sender,
            received_at=received_at,
            terms=terms,
            message_id=mail.message_id,
            follow_up_of_id=follow_up_of_id,
        ),
        notices,
        now=now,
    )
    _attach(session, request, kept, now)
    return request


def _area(session: Session, key: str) -> str:
    """The area that the settings name, unless it is not used any more: no mail must be lost for that."""
    area = session.get(Area, key)
    return key if area is not None and area.active else AREAS[0]


class _Quietly(Notices):
    """Opens requests without telling: no program is to answer an answer."""

    def __init__(self, notices: Notices) -> None:
        self.__dict__.update(notices.__dict__)

    def opened(self, request: Request, *, now: datetime) -> OutboxMail | None:
        """No notice."""
        return None


def _attach(session: Session, request: Request, kept: Sequence[tuple[MailAttachment, Kept]], now: datetime) -> None:
    for file, place in kept:
        add_attachment(
            session, request, place, name=file.name, media_type=file.media_type, actor=SYSTEM, now=now, tell=True
        )


def _details(session: Session, request: Request, mail: Mail) -> dict[str, Any]:
    details: dict[str, Any] = {"channel": Channel.EMAIL, "from": mail.author or "", "name": mail.name}
    if mail.message_id is not None:
        details["message_id"] = mail.message_id
    if mail.sender != mail.author and mail.sender:
        details["reply_to"] = mail.sender
    if not _is_known_to(session, request, mail):
        details["stranger"] = True
    return details


def _answered_by(session: Session, mail: Mail) -> Request | None:
    """The request that a mail belongs to: by the mails it refers to, its ticket number, or one it mentions.

    What it refers to counts most, the latest first, since nobody can guess it. A number in other words than ours
    counts only from somebody whom the request knows: it may be anybody's number.
    """
    by_mail: dict[str, int] = {}
    if mail.references:
        ours = select(OutboxMail.message_id, OutboxMail.request_id).where(OutboxMail.message_id.in_(mail.references))
        theirs = select(MailIn.message_id, MailIn.request_id).where(MailIn.message_id.in_(mail.references))
        for message_id, request_id in (*session.execute(theirs), *session.execute(ours)):
            if request_id is not None:
                by_mail[message_id] = request_id
    for reference in reversed(mail.references):
        if reference in by_mail:
            return session.get(Request, by_mail[reference])
    for ticket in mail.tickets:
        if (request := session.scalar(select(Request).where(Request.ticket == ticket))) is not None:
            return request
    for ticket in mail.mentions:
        request = session.scalar(select(Request).where(Request.ticket == ticket))
        if request is not None and _is_known_to(session, request, mail):
            return request
    return None


def _where_it_goes_on(session: Session, request: Request) -> Request:
    """The request itself, or the one that it was merged into."""
    while request.merged_into_id is not None:
        request = session.get_one(Request, request.merged_into_id)
    return request


def _is_known_to(session: Session, request: Request, mail: Mail) -> bool:
    """Whether a mail's sender is the request's user, or has written about it before."""
    senders = {address for address in (mail.sender, mail.author) if address}
    if request.email is not None and request.email.lower() in senders:
        return True
    if request.company is not None and (request.company.level_0_email or "").lower() in senders:
        return True
    if any(contact.id == request.contact_id for one in senders for contact in contacts_with_email(session, one)):
        return True
    wrote = select(MailIn.id).where(MailIn.request_id == request.id, MailIn.sender.in_(senders))
    return session.scalar(wrote.where(MailIn.result.in_(ANSWERED)).limit(1)) is not None


# --- limits ----------------------------------------------------------------------------------------------------------


def _opened(session: Session, sender: str | None, since: datetime) -> list[tuple[datetime, bool]]:
    """When an address made us open requests, and whether it was told so."""
    theirs = MailIn.sender == sender if sender is not None else MailIn.sender.is_(None)
    rows = session.execute(
        select(MailIn.taken_at, MailIn.answered).where(theirs, MailIn.taken_at > since, MailIn.result.in_(ANSWERED))
    )
    return [(at, answered) for at, answered in rows]


def _may_answer_more(asked: Sequence[tuple[datetime, bool]], settings: IntakeSettings, now: datetime) -> bool:
    told = [at for at, answered in asked if answered]
    lately = [at for at in told if at > now - timedelta(hours=1)]
    return len(lately) < settings.notices_per_hour and len(told) < settings.notices_per_day


def _replies(session: Session, request: Request, now: datetime) -> int:
    since = now - timedelta(hours=1)
    query = select(func.count()).where(
        MailIn.request_id == request.id, MailIn.taken_at > since, MailIn.result == MailResult.REPLIED
    )
    return session.scalar(query) or 0


def _same_mail(session: Session, mail: Mail, digest: str) -> MailIn | None:
    """A mail that came before by another way: with the same Message-ID and the same content.

    The Message-ID alone does not tell: there are scanners that always send the same one.
    """
    if mail.message_id is None:
        return None
    return session.scalar(
        select(MailIn).where(MailIn.message_id == mail.message_id, MailIn.digest == digest).order_by(MailIn.id).limit(1)
    )


# --- what came back --------------------------------------------------------------------------------------------------


def _mark_bounced(session: Session, mail: Mail, now: datetime) -> int | None:
    """Note that notices were not delivered, in the outbox and in the request's history; gives the request."""
    if mail.bounce is None:
        return None
    told = {
        one.message_id: one
        for one in session.scalars(select(OutboxMail).where(OutboxMail.message_id.in_(mail.bounce.message_ids)))
    }
    # only the first is the one that came back: after it may stand the thread's earlier ones, which arrived
    sent: Sequence[OutboxMail] = [told[one] for one in mail.bounce.message_ids if one in told][:1]
    if not sent and mail.tickets and mail.bounce.recipients:  # the system that returned it left our Message-ID out
        sent = session.scalars(
            select(OutboxMail)
            .join(Request, OutboxMail.request_id == Request.id)
            .where(
                Request.ticket.in_(mail.tickets),
                func.lower(OutboxMail.recipient).in_(mail.bounce.recipients),
                OutboxMail.state == DeliveryState.SENT,
            )
            .order_by(OutboxMail.sent_at.desc())
            .limit(1)
        ).all()
    request_id = None
    for notice in sent:
        request_id = notice.request_id or request_id
        if notice.state == DeliveryState.DEAD:
            continue
        notice.state = DeliveryState.DEAD
        notice.last_error = clean_line(mail.bounce.reason)[:1000] or "not delivered"
        if notice.request_id is not None:
            request = session.get_one(Request, notice.request_id)
            details = {
                "notice": notice.kind,
                "recipient": notice.recipient,
                "error": notice.last_error,
                "bounced": True,
            }
            add_event(session, request, "notice_failed", SYSTEM, details, now)
        announce(session, "outbox", notice.id)
    return request_id


# --- one mail, from bytes to the row ---------------------------------------------------------------------------------


class MailStore(Store):
    """The folder of raw mails, as `YYYY/MM/<SHA-256>.eml`: the same mail is always the same file."""

    def keep(self, raw: bytes, sha256: str, at: datetime) -> str:
        """Write a mail and flush it to the disk, before any row tells of it; gives its path below the folder.

        Blocks for as long as the disk takes. Raises OSError.
        """
        relative = f"{at.astimezone(UTC):%Y/%m}/{sha256}.eml"
        target = self.folder / relative
        if target.exists() and target.stat().st_size == len(raw):
            target.touch()  # of a crash: it is to get its row only now
        else:
            write_safely(target, raw)
        return relative

    def read(self, relative: str) -> bytes:
        """The bytes of a kept mail. Raises ValueError for a path outside the folder, OSError."""
        return self.path_of(relative).read_bytes()


class Intake:
    """Takes mails, one at a time; `terms` gives what is promised in the hours as they are then."""

    def __init__(
        self,
        database: Database,
        mails: MailStore,
        attachments: AttachmentStore,
        settings: IntakeSettings,
        notices: Notices,
        terms: Callable[[], Terms] | None,
        now: Callable[[], datetime],
        reopen_within: timedelta = REOPEN_WITHIN,
    ) -> None:
        self.database, self.mails, self.attachments = database, mails, attachments
        self.settings, self.notices, self.terms, self.now = settings, notices, terms, now
        self.reopen_within = reopen_within
        self._ours = settings.ours(notices.settings)
        self._one_at_a_time = asyncio.Lock()

    async def take(
        self,
        raw: bytes,
        received_at: datetime,
        *,
        folder: str = "",
        uid_validity: int | None = None,
        uid: int | None = None,
        cut: bool = False,
    ) -> MailIn:
        """Take a mail, and when this returns it is stored; `cut` says that `raw` is only its beginning.

        A mail that cannot be stored as what it is becomes a request with the whole mail as its file. Raises OSError
        where the disk cannot be written, and what `Database.run` raises where the database is away.
        """
        async with self._one_at_a_time:
            return await self._take(raw, received_at, folder, uid_validity, uid, cut)

    async def _take(
        self, raw: bytes, received_at: datetime, folder: str, uid_validity: int | None, uid: int | None, cut: bool
    ) -> MailIn:
        now = self.now()
        received_at = min(received_at, now)  # a server whose clock is ahead must not move a promise
        sha256 = hashlib.sha256(raw).hexdigest()
        known = await self.database.read(mail_taken, sha256)
        if known is not None:
            return known
        path = await asyncio.to_thread(self.mails.keep, raw, sha256, received_at)
        mail = await asyncio.to_thread(read_mail, raw, self._ours)
        if cut:
            mail = replace(mail, problems=(*mail.problems, "too large: only its beginning was taken"))
        arrived = Arrived(sha256, len(raw), path, received_at, folder, uid_validity, uid)
        try:
            row = await self._store(arrived, mail, now)
        except (TicketsError, ValueError, TypeError, DBAPIError) as error:
            if _of_the_database(error):
                raise
            log.warning("mail taken as a whole, since it cannot be taken apart", mail=sha256[:12], error=repr(error))
            row = await self._store(arrived, as_a_whole(raw, mail, error), now)
        log.info("mail taken", mail=sha256[:12], result=row.result.value, why=row.why, email=row.sender)
        return row

    async def look_at(self, mail_id: int) -> tuple[MailIn, Mail] | None:
        """A mail that was taken: its row, and what it says. None where there is no such mail.

        Raises OSError where its bytes cannot be read.
        """
        row = await self.database.read(filed_mail, mail_id)
        if row is None:
            return None
        raw = await asyncio.to_thread(self.mails.read, row.path)
        return row, await asyncio.to_thread(read_mail, raw, self._ours)

    async def open_filed(self, mail_id: int, *, actor: str) -> MailIn | None:
        """Make a request of a mail that was filed only, as a person has decided; None where there is no such mail.

        Raises OSError where its bytes cannot be read or its files not be written.
        """
        looked_at = await self.look_at(mail_id)
        if looked_at is None:
            return None
        row, mail = looked_at
        try:
            return await self._open_filed(mail_id, mail, actor)
        except (TicketsError, ValueError, TypeError, DBAPIError) as error:
            if _of_the_database(error):
                raise
            raw = await asyncio.to_thread(self.mails.read, row.path)
            return await self._open_filed(mail_id, as_a_whole(raw, mail, error), actor)

    async def _open_filed(self, mail_id: int, mail: Mail, actor: str) -> MailIn | None:
        now = self.now()
        kept = await asyncio.to_thread(self._keep, mail, now)
        return await self.database.run(
            open_filed,
            mail_id,
            mail,
            kept,
            self.settings,
            self.notices,
            terms=self.terms() if self.terms is not None else None,
            actor=actor,
            now=now,
        )

    async def _store(self, arrived: Arrived, mail: Mail, now: datetime) -> MailIn:
        written = mail.kind in (MailKind.REQUEST, MailKind.REPLY)
        kept = await asyncio.to_thread(self._keep, mail, now) if written else []
        try:
            return await self.database.run(
                take_mail,
                arrived,
                mail,
                kept,
                self.settings,
                self.notices,
                terms=self.terms() if self.terms is not None else None,
                now=now,
                reopen_within=self.reopen_within,
            )
        except OutcomeUnknown:  # the row may be there
            raise
        except Exception as error:
            # it is tried again, and would fill the disk with files that nobody knows
            for _, file in kept:
                await asyncio.to_thread(self.attachments.erase, file.path)
            if not isinstance(error, IntegrityError):
                raise
            # another worker that believes itself alone was faster
            known = await self.database.read(mail_taken, arrived.sha256)
            if known is None:
                raise
            return known

    def _keep(self, mail: Mail, now: datetime) -> list[tuple[MailAttachment, Kept]]:
        return [(file, self.attachments.keep(file.content, now)) for file in mail.attachments]


def _of_the_database(error: Exception) -> bool:
    """Whether it is the database that fails, and not the mail."""
    return isinstance(error, OperationalError) or (isinstance(error, DBAPIError) and error.connection_invalidated)


def as_a_whole(raw: bytes, mail: Mail, error: BaseException) -> Mail:
    """A mail of which nothing but its sender is trusted, with all of it as a file."""
    sender = mail.sender if mail.sender and is_email(mail.sender) else None
    return Mail(
        sender=sender,
        author=sender,
        may_answer=False,
        message_id=None,
        attachments=(MailAttachment("mail.eml", "message/rfc822", raw),),
        problems=(*mail.problems, f"cannot be taken apart: {type(error).__name__}"),
    )
