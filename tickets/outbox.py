"""The outbox: delivers the notices that operations wrote, with retry, and tells the history how it went."""

import contextlib
from collections.abc import Collection
from datetime import datetime, timedelta
from email.headerregistry import HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage
from email.policy import EmailPolicy
from time import monotonic
from typing import Annotated, Literal, Self

import aiosmtplib
import structlog
from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator
from sqlalchemy import and_, func, or_, select, update
from sqlalchemy.orm import Session

from tickets.database import Database, announce
from tickets.errors import InvalidInput, NotFound, NoticeNotStopped
from tickets.models import DeliveryState, OutboxMail, Request
from tickets.notices import NoticeCaps
from tickets.operations import SYSTEM, add_event
from tickets.texts import clean_line, header_text, is_email

log = structlog.get_logger()

BATCH = 100
"""Mails sent over one connection."""
CAP_WINDOW = timedelta(hours=1)
DEFAULT_CAPS = NoticeCaps()
LONGEST_PAUSE = timedelta(hours=1)
MAX_ATTEMPTS = 29
"""Pauses of 1, 2, 4 ... 32 minutes, then of an hour each: a little over 24 hours."""


class SmtpSettings(BaseModel):
    """The mail server. `tls`: `none`, `starttls` (usually port 587) or `tls` from the first byte (port 465)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: Annotated[str, Field(min_length=1)] = "localhost"
    port: Annotated[int, Field(ge=1, le=65535)] = 25
    username: str | None = None
    password: SecretStr | None = None
    tls: Literal["none", "starttls", "tls"] = "none"
    # Shorter than the first pause between attempts even when each of a mail's four commands takes as long as this.
    timeout: Annotated[float, Field(gt=0, le=14)] = 10.0
    """Seconds that the server may take for one command."""

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password belong together; one may come from CENTRALINO_SMTP__PASSWORD")
        return self


def pause_after(attempts: int) -> timedelta:
    """How long to wait after this many attempts."""
    return min(timedelta(minutes=2 ** min(attempts - 1, 10)), LONGEST_PAUSE)


class _MessageIds(UnstructuredHeader):
    """Message-IDs, one a line: the library would write one of 70 signs as an encoded word, which no program undoes."""

    name: str

    def fold(self, *, policy: EmailPolicy) -> str:
        ids = f"{policy.linesep} ".join(str(self).split())
        return f"{self.name}: {ids}{policy.linesep}"


_HEADERS = HeaderRegistry()
_HEADERS.map_to_type("in-reply-to", _MessageIds)  # type: ignore[arg-type]
_HEADERS.map_to_type("references", _MessageIds)  # type: ignore[arg-type]
_POLICY = EmailPolicy(header_factory=_HEADERS)


def build_message(mail: OutboxMail, *, now: datetime) -> EmailMessage:
    """The mail as it goes out, marked as written by a machine, so that no robot answers it (RFC 3834).

    Plain text, with the same as HTML beside it where there is one; References as RFC 5322 (3.6.4) wants them.
    """
    message = EmailMessage(_POLICY)
    message["From"] = mail.sender
    message["To"] = mail.recipient
    message["Subject"] = header_text(mail.subject)
    message["Date"] = now
    message["Message-ID"] = mail.message_id
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    if mail.reply_to:
        message["Reply-To"] = mail.reply_to
    if mail.thread:
        message["In-Reply-To"] = mail.thread.split()[-1]
        message["References"] = mail.thread
    message.set_content(mail.body, cte="quoted-printable")
    if mail.html is not None:
        message.add_alternative(mail.html, subtype="html", cte="quoted-printable")
    return message


async def deliver_due(database: Database, smtp: SmtpSettings, *, now: datetime, caps: NoticeCaps = DEFAULT_CAPS) -> int:
    """Send what is due, oldest first, at most `BATCH` over one connection; returns how many the server took.

    What is over the caps is held before its first attempt (`DeliveryState.HELD`), until somebody lets it go
    (`retry_notice`) or gives it up (`dismiss_notice`).

    Never raises for a mail server's doings. What fails for now is tried again later, up to `MAX_ATTEMPTS`; what the
    server refuses for good (a 5xx answer to recipient or content) is dead at once. Two runs at once do not send twice.
    A crash between the server's taking and our noting it repeats the mail, with the same Message-ID.
    """
    due = await database.read(_due, now)
    fresh = [mail.id for mail in due if mail.attempts == 0 and mail.released_at is None and mail.request_id is not None]
    if fresh:
        held = await database.run(_hold_over_caps, fresh, caps, now)
        due = [mail for mail in due if mail.id not in held]
    if not due:
        return 0
    client = aiosmtplib.SMTP(
        hostname=smtp.host,
        port=smtp.port,
        username=smtp.username,
        password=smtp.password.get_secret_value() if smtp.password else None,
        use_tls=smtp.tls == "tls",
        start_tls=smtp.tls == "starttls",
        timeout=smtp.timeout,
    )
    try:
        await client.connect()
    except (aiosmtplib.SMTPException, OSError, ValueError) as error:
        log.warning("mail server not reached, notices wait", error=repr(error), waiting=len(due))
        await database.run(_not_reached, [mail.id for mail in due], f"mail server not reached: {error}", now)
        return 0
    sent, began = 0, monotonic()
    try:
        for mail in due:
            if not client.is_connected:
                break
            # a slow server may take minutes for those before it
            if not await database.run(_claim, mail, now + timedelta(seconds=monotonic() - began)):
                continue
            refusal, for_good = await _send(client, mail, now)
            await database.run(_record, mail.id, mail.attempts + 1, refusal, for_good, now)
            sent += refusal is None
    finally:
        with contextlib.suppress(aiosmtplib.SMTPException, OSError):
            await client.quit()
        client.close()
    return sent


async def _send(client: aiosmtplib.SMTP, mail: OutboxMail, now: datetime) -> tuple[str | None, bool]:
    """Why the mail was not taken, if so, and whether that is for good."""
    try:
        message = build_message(mail, now=now)
        await client.send_message(message, recipients=[mail.recipient])
    except aiosmtplib.SMTPRecipientsRefused as error:
        return _answer(error.recipients[0]), error.recipients[0].code >= 500
    except aiosmtplib.SMTPDataError as error:
        return _answer(error), error.code >= 500
    except aiosmtplib.SMTPResponseException as error:  # of the connection or the sender: not this mail's fault
        return _answer(error), False
    except (aiosmtplib.SMTPException, OSError) as error:
        return repr(error), False
    except ValueError as error:  # cannot be written as a mail
        return repr(error), True
    return None, False


def _answer(error: aiosmtplib.SMTPResponseException) -> str:
    return f"{error.code} {error.message}"


def _due(session: Session, now: datetime) -> list[OutboxMail]:
    found = session.scalars(
        select(OutboxMail)
        .where(OutboxMail.state == DeliveryState.PENDING, OutboxMail.next_attempt_at <= now)
        .order_by(OutboxMail.created_at, OutboxMail.id)
        .limit(BATCH)
    )
    return list(found)


def _hold_over_caps(session: Session, mail_ids: list[int], caps: NoticeCaps, now: datetime) -> set[int]:
    """Hold those of these mails that are over a cap; returns their ids.

    What counts is when mails were written, not when they are sent: what piled up while the mail server was away is not
    held for that. Held mails do not count themselves, so that the others go on as fast as the cap allows.
    """
    held = set()
    fresh = session.scalars(
        select(OutboxMail)
        .where(
            OutboxMail.id.in_(mail_ids),
            OutboxMail.state == DeliveryState.PENDING,
            OutboxMail.attempts == 0,
            OutboxMail.released_at.is_(None),
        )
        .order_by(OutboxMail.created_at, OutboxMail.id)
        .with_for_update()
    ).all()
    for mail in fresh:
        before = select(func.count()).where(
            OutboxMail.request_id.is_not(None),
            OutboxMail.state != DeliveryState.HELD,
            OutboxMail.created_at > mail.created_at - CAP_WINDOW,
            or_(
                OutboxMail.created_at < mail.created_at,
                and_(OutboxMail.created_at == mail.created_at, OutboxMail.id < mail.id),
            ),
        )
        to_address = session.scalar(before.where(OutboxMail.recipient == mail.recipient)) or 0
        in_thread = session.scalar(before.where(OutboxMail.request_id == mail.request_id)) or 0
        if to_address < caps.per_address and in_thread < caps.per_thread:
            continue
        what = "to this address" if to_address >= caps.per_address else "about this request"
        mail.state = DeliveryState.HELD
        mail.last_error = f"held: {max(to_address, in_thread)} mails {what} were written within an hour"
        session.flush()
        held.add(mail.id)
        log.warning("notice held: over the cap", mail=mail.id, email=mail.recipient)
        _tell(session, mail, "notice_held", SYSTEM, now)
    return held


def retry_notice(
    session: Session, mail_id: int, *, actor: str, now: datetime, recipient: str | None = None
) -> OutboxMail:
    """Have a dead or held notice sent after all, to another address where one is given; the history tells who did.

    The Message-ID stays, so a receiver that had it already can drop it. Raises `NotFound`, `NoticeNotStopped` for one
    that is sent or on its way, and `InvalidInput` for an address that is none.
    """
    mail = _stopped(session, mail_id)
    if recipient is not None:
        if not is_email(recipient.strip()):
            raise InvalidInput("recipient", "is not a mail address such as anna.rossi@example.org")
        mail.recipient = recipient.strip()
    mail.state, mail.attempts, mail.last_error = DeliveryState.PENDING, 0, None
    mail.next_attempt_at = mail.released_at = now
    session.flush()
    _tell(session, mail, "notice_retried", actor, now)
    return mail


def dismiss_notice(session: Session, mail_id: int, *, actor: str, now: datetime) -> OutboxMail:
    """Give a held notice up: it is not sent, and the history tells who said so.

    Raises `NotFound`, and `NoticeNotStopped` for one that is not held.
    """
    mail = _stopped(session, mail_id)
    if mail.state != DeliveryState.HELD:
        raise NoticeNotStopped(f"this notice is {mail.state.value}: only a held one can be given up")
    mail.state, mail.last_error = DeliveryState.DEAD, f"not sent: given up by {actor}"
    session.flush()
    _tell(session, mail, "notice_failed", actor, now)
    return mail


def stopped_notices(
    session: Session, *states: DeliveryState, but: Collection[str] = (), limit: int = 500
) -> list[OutboxMail]:
    """Notices that go nowhere by themselves, the latest first: the held and the dead, or those of the states given.

    Those of the kinds `but` are left out.
    """
    which = states or (DeliveryState.HELD, DeliveryState.DEAD)
    found = session.scalars(
        select(OutboxMail)
        .where(OutboxMail.state.in_(which), OutboxMail.kind.not_in(but))
        .order_by(OutboxMail.created_at.desc(), OutboxMail.id.desc())
        .limit(limit)
    )
    return list(found)


def held_notices(session: Session) -> int:
    """How many notices are held."""
    return session.scalar(select(func.count(OutboxMail.id)).where(OutboxMail.state == DeliveryState.HELD)) or 0


def _stopped(session: Session, mail_id: int) -> OutboxMail:
    mail = session.scalar(select(OutboxMail).where(OutboxMail.id == mail_id).with_for_update())
    if mail is None:
        raise NotFound(f"there is no notice with the id {mail_id}")
    if mail.state not in (DeliveryState.HELD, DeliveryState.DEAD):
        raise NoticeNotStopped(f"this notice is {mail.state.value}: only a held or a dead one can be sent again")
    return mail


def _tell(session: Session, mail: OutboxMail, kind: str, actor: str, now: datetime) -> None:
    """Write into the request's history how its notice stands, and announce it."""
    if mail.request_id is not None:
        request = session.get_one(Request, mail.request_id)
        details = {"notice": mail.kind, "recipient": mail.recipient}
        if mail.last_error is not None:
            details["error"] = mail.last_error
        add_event(session, request, kind, actor, details, now)
    announce(session, "outbox", mail.id)


def _claim(session: Session, mail: OutboxMail, now: datetime) -> bool:
    """Count the attempt and move the next one away before sending; False when another run was faster."""
    attempts = mail.attempts + 1
    claimed = session.execute(
        update(OutboxMail)
        .where(
            OutboxMail.id == mail.id, OutboxMail.state == DeliveryState.PENDING, OutboxMail.attempts == mail.attempts
        )
        .values(attempts=attempts, next_attempt_at=now + pause_after(attempts))
        .returning(OutboxMail.id)
    )
    return claimed.scalar() is not None


def _record(session: Session, mail_id: int, attempts: int, refusal: str | None, for_good: bool, now: datetime) -> None:
    """Write how an attempt went into the row and, when that is final, into the request's history.

    A mail that is not on its way by this attempt any more stays as it is: it may have come back already, which counts
    more than that a server took it, or somebody had it sent again since then.
    """
    mail = session.get(OutboxMail, mail_id, with_for_update=True)
    if mail is None:  # of a synthetic call, removed meanwhile
        return
    if (mail.state, mail.attempts) != (DeliveryState.PENDING, attempts):
        return
    if refusal is None:
        mail.state, mail.sent_at, mail.last_error = DeliveryState.SENT, now, None
    else:
        mail.last_error = clean_line(refusal)[:1000]
        mail.next_attempt_at = now + pause_after(mail.attempts)
        if for_good or mail.attempts >= MAX_ATTEMPTS:
            mail.state = DeliveryState.DEAD
        log.warning(
            "notice not delivered", mail=mail.id, email=mail.recipient, error=mail.last_error, state=mail.state.value
        )
    if mail.state == DeliveryState.PENDING:
        announce(session, "outbox", mail.id)
        return
    _tell(session, mail, "notice_sent" if mail.state == DeliveryState.SENT else "notice_failed", SYSTEM, now)


def _not_reached(session: Session, mail_ids: list[int], refusal: str, now: datetime) -> None:
    """Count an attempt for each mail that is still due."""
    due = session.scalars(
        select(OutboxMail)
        .where(
            OutboxMail.id.in_(mail_ids), OutboxMail.state == DeliveryState.PENDING, OutboxMail.next_attempt_at <= now
        )
        .with_for_update(skip_locked=True)
    )
    for mail in due:
        mail.attempts += 1
        session.flush()
        _record(session, mail.id, mail.attempts, refusal, False, now)
