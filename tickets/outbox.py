"""The outbox: delivers the notices that operations wrote, with retry, and tells the history how it went."""

import contextlib
from datetime import datetime, timedelta
from email.message import EmailMessage
from typing import Annotated, Literal, Self

import aiosmtplib
import structlog
from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from tickets.database import Database, announce
from tickets.models import DeliveryState, OutboxMail, Request
from tickets.operations import SYSTEM, add_event
from tickets.texts import clean_line, header_text

log = structlog.get_logger()

BATCH = 100
"""Mails sent over one connection."""
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


def build_message(mail: OutboxMail, *, now: datetime) -> EmailMessage:
    """The mail as it goes out: plain text, marked as written by a machine, so that no robot answers it (RFC 3834)."""
    message = EmailMessage()
    message["From"] = mail.sender
    message["To"] = mail.recipient
    message["Subject"] = header_text(mail.subject)
    message["Date"] = now
    message["Message-ID"] = mail.message_id
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    message.set_content(mail.body, cte="quoted-printable")
    return message


async def deliver_due(database: Database, smtp: SmtpSettings, *, now: datetime) -> int:
    """Send what is due, oldest first, at most `BATCH` over one connection; returns how many the server took.

    Never raises for a mail server's doings. What fails for now is tried again later, up to `MAX_ATTEMPTS`; what the
    server refuses for good (a 5xx answer to recipient or content) is dead at once. Two runs at once do not send twice.
    A crash between the server's taking and our noting it repeats the mail, with the same Message-ID.
    """
    due = await database.read(_due, now)
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
    sent = 0
    try:
        for mail in due:
            if not client.is_connected:
                break
            if not await database.run(_claim, mail, now):
                continue
            refusal, for_good = await _send(client, mail, now)
            await database.run(_record, mail.id, refusal, for_good, now)
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


def _record(session: Session, mail_id: int, refusal: str | None, for_good: bool, now: datetime) -> None:
    """Write how an attempt went into the row and, when that is final, into the request's history."""
    mail = session.get(OutboxMail, mail_id)
    if mail is None:  # of a synthetic call, removed meanwhile
        return
    if refusal is None:
        mail.state, mail.sent_at, mail.last_error = DeliveryState.SENT, now, None
    else:
        mail.last_error = clean_line(refusal)[:1000]
        if for_good or mail.attempts >= MAX_ATTEMPTS:
            mail.state = DeliveryState.DEAD
        log.warning(
            "notice not delivered", mail=mail.id, email=mail.recipient, error=mail.last_error, state=mail.state.value
        )
    if mail.state != DeliveryState.PENDING and mail.request_id is not None:
        request = session.get_one(Request, mail.request_id)
        details = {"notice": mail.kind, "recipient": mail.recipient}
        if mail.last_error is not None:
            details["error"] = mail.last_error
        kind = "notice_sent" if mail.state == DeliveryState.SENT else "notice_failed"
        add_event(session, request, kind, SYSTEM, details, now)
    announce(session, "outbox", mail.id)


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
        mail.next_attempt_at = now + pause_after(mail.attempts)
        _record(session, mail.id, refusal, False, now)
