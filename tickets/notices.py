"""The notices to users: text of the mails that tell of a registration and of a closure."""

import uuid
from datetime import datetime
from email.headerregistry import Address
from typing import Annotated

import jinja2
from pydantic import AfterValidator, BaseModel, ConfigDict

from schedules.hours import TimezoneName
from schedules.words import date_and_time
from tickets.models import OutboxMail, Request, SupportGroup
from tickets.texts import clean_line, clean_text, header_text, is_email


def check_email(text: str) -> str:
    """The address as given. Raises ValueError when it is none."""
    if not is_email(text):
        raise ValueError(f"{text!r} is not a mail address such as helpdesk@example.org")
    return text


class NoticeSettings(BaseModel):
    """Who writes to the users: the desk's name, its mail address, and the time zone of the times told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    desk_name: Annotated[str, AfterValidator(header_text)] = "Help Desk"
    sender: Annotated[str, AfterValidator(check_email)] = "helpdesk@localhost"
    timezone: TimezoneName = "Europe/Rome"


TOLD = {
    "asked": "information",
    "resolved": "resolved",
    "closed": "closed",
    "cancelled": "cancelled",
    "referred": "referred",
}
"""Which notice tells the user of an event; of others he is not told."""


class Notices:
    """Writes notices from the templates in `tickets/templates/<it|en>/`."""

    def __init__(self, settings: NoticeSettings) -> None:
        self.settings = settings
        address = Address(display_name=settings.desk_name, addr_spec=settings.sender)
        self._from = str(address)
        self._domain = address.domain
        # The mails are plain text: escaping for HTML would spoil every apostrophe.
        self._templates = jinja2.Environment(
            loader=jinja2.PackageLoader("tickets"),
            autoescape=False,  # noqa: S701
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )

    def opened(self, request: Request, *, now: datetime) -> OutboxMail | None:
        """The notice that `request` is registered, with what is promised; None without a mail address."""
        return self._write("opened", request, now)

    def closed(self, request: Request, *, now: datetime) -> OutboxMail | None:
        """The notice that `request` is closed, with its solution; None without a mail address."""
        return self._write("closed", request, now)

    def moved(self, request: Request, event: str, text: str, *, now: datetime) -> OutboxMail | None:
        """The notice for a move of `request` that this event of its history tells of; None where none is sent.

        `text` is what the move tells: the question to the user, the solution, why it was cancelled.
        """
        if event not in TOLD or (event == "closed" and not text):
            return None
        return self._write(TOLD[event], request, now, text)

    def referred(self, request: Request, recipient: str, reason: str, *, now: datetime) -> OutboxMail:
        """The mail to the level-0 desk of a company, to which `request` goes back."""
        return self._render("referred_to", request, recipient, now, reason)

    def escalated(
        self, request: Request, group: SupportGroup, reason: str, handover: str, *, now: datetime
    ) -> OutboxMail | None:
        """The mail to a group of specialists that `request` is theirs now; None for one without an address."""
        if group.email is None:
            return None
        return self._render("escalated_to", request, group.email, now, f"{reason}\n\n{handover}")

    def _write(self, kind: str, request: Request, now: datetime, text: str = "") -> OutboxMail | None:
        if request.email is None:
            return None
        return self._render(kind, request, request.email, now, text)

    def _render(self, kind: str, request: Request, recipient: str, now: datetime, text: str) -> OutboxMail:
        language = "it" if request.language == "it" else "en"

        def local(at: datetime) -> str:
            return date_and_time(at, self.settings.timezone, language)

        words = {
            "ticket": request.ticket,
            "subject": clean_line(request.subject),
            "name": clean_line(request.contact.name) if request.contact else None,
            "company": clean_line(request.company.name) if request.company else None,
            "phone": clean_line(request.phone or ""),
            "description": clean_text(request.description or ""),
            "received": local(request.received_at),
            "due": local(request.pickup_due_at) if request.pickup_due_at and not request.picked_up_at else None,
            "picked_up": request.picked_up_at is not None,
            "closed": local(request.closed_at) if request.closed_at else None,
            "solution": clean_text(request.solution or ""),
            "text": clean_text(text),
            "desk": self.settings.desk_name,
        }
        subject = self._templates.get_template(f"{language}/{kind}.subject.txt.j2").render(words)
        body = self._templates.get_template(f"{language}/{kind}.body.txt.j2").render(words)
        return self.mail(kind, recipient, clean_line(subject), body, request_id=request.id, now=now)

    def mail(
        self, kind: str, recipient: str, subject: str, body: str, *, request_id: int | None = None, now: datetime
    ) -> OutboxMail:
        """A mail from the desk, due at once."""
        return OutboxMail(
            request_id=request_id,
            kind=kind,
            message_id=f"<{uuid.uuid4().hex}@{self._domain}>",
            sender=self._from,
            recipient=recipient,
            subject=subject[:300],
            body=body,
            created_at=now,
            next_attempt_at=now,
        )
