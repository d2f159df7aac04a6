"""The notices: mails that tell users, companies' own desks and support groups what became of a request.

An operation names what happened (`notices.closed(request, now=now)`); whether a mail goes, to whom, in which language
and in which words is decided here. The words are templates, which a site may replace one by one (`[notices]
templates`): one that fails is put aside for the package's own, so that no notice is lost to a slip of the pen.
"""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.headerregistry import Address
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import jinja2
import structlog
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup, escape
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session, object_session

from schedules.hours import TimezoneName
from schedules.words import date_and_time
from tickets.models import (
    Channel,
    Company,
    Contact,
    DeliveryState,
    Kind,
    OutboxMail,
    Request,
    RequestEvent,
    Status,
    SupportGroup,
)
from tickets.texts import clean_line, clean_text, header_text, is_email

log = structlog.get_logger()

NoticeKind = Literal[
    "opened",
    "picked_up",
    "information",
    "level",
    "resolved",
    "closed",
    "cancelled",
    "reopened",
    "referred",
    "referred_to",
    "escalated_to",
]
KINDS: tuple[NoticeKind, ...] = get_args(NoticeKind)
Language = Literal["it", "en"]
LANGUAGES: tuple[Language, ...] = get_args(Language)

TOLD: dict[str, NoticeKind] = {
    "picked_up": "picked_up",
    "asked": "information",
    "resolved": "resolved",
    "closed": "closed",
    "cancelled": "cancelled",
    "reopened": "reopened",
    "referred": "referred",
    "escalated": "level",
    "handed_back": "level",
    "recalled": "level",
}
"""Which notice tells the user of an event; of others the user is not told."""

MUST_SAY: dict[str, str] = {"opened": "ticket", "information": "text", "resolved": "solution", "closed": "solution"}
"""Without these a notice would miss its purpose: a site's template that leaves one out is told of."""

LONGEST_THREAD = 20
"""So many earlier mails are named in References: the first, which holds the thread together, and the latest."""
_MESSAGE_ID = re.compile(r"<[\x21-\x3b\x3d\x3f-\x7e]{1,250}>")


def check_email(text: str) -> str:
    """The address as given. Raises ValueError when it is none."""
    if not is_email(text):
        raise ValueError(f"{text!r} is not a mail address such as helpdesk@example.org")
    return text


def _check_reply_to(text: str) -> str:
    check_email(text.replace("{ticket}", "1" * 12))
    return text


def _check_absolute(folder: Path) -> Path:
    if not folder.is_absolute():
        raise ValueError("must be a whole path, from / on")
    return folder


class NoticeCaps(BaseModel):
    """How many mails may be written within the hour; what is over that is held until somebody has looked.

    Two desks that answer each other's mails for ever are stopped by it, whatever else failed to stop them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    per_address: Annotated[int, Field(ge=1, le=100_000)] = 30
    """To one address."""
    per_thread: Annotated[int, Field(ge=1, le=100_000)] = 10
    """About one request."""


class NoticeSettings(BaseModel):
    """Who writes, which notices are sent, in which words, and how many at most."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    desk_name: Annotated[str, AfterValidator(header_text)] = "Help Desk"
    sender: Annotated[str, AfterValidator(check_email)] = "helpdesk@localhost"
    reply_to: Annotated[str, AfterValidator(_check_reply_to)] | None = None
    """Where replies go when it is not the sender; `{ticket}` in it becomes the ticket number (a plus-address)."""
    timezone: TimezoneName = "Europe/Rome"
    language: Language = "it"
    """Of mails to companies' own desks, to support groups and about alarms; users are written to in that of their
    request."""
    send: tuple[NoticeKind, ...] = (
        "opened",
        "information",
        "resolved",
        "closed",
        "cancelled",
        "reopened",
        "referred",
        "referred_to",
        "escalated_to",
    )
    templates: Annotated[Path, AfterValidator(_check_absolute)] | None = None
    """Folder of the site's own templates; what is not in it is taken from the package."""
    caps: NoticeCaps = NoticeCaps()


@dataclass(frozen=True, slots=True)
class Written:
    """A notice's words; `problems` name the site's templates that failed, and why."""

    subject: str
    text: str
    html: str
    problems: Mapping[str, str]


class Notices:
    """Writes notices. Each method gives the mail to store with the change, or None where none is to go.

    None goes where the site does not want this kind (`[notices] send`), where there is no address, and to the desk's
    own address, which would answer itself.

    References name the earlier mails of the thread: our own to the same address, and, to the user, those that came in,
    as far as the history has their `message_id` in an event's details.
    """

    def __init__(self, settings: NoticeSettings) -> None:
        self.settings = settings
        address = Address(display_name=settings.desk_name, addr_spec=settings.sender)
        self._from = str(address)
        self._domain = address.domain
        self._own = {settings.sender.lower()}
        if settings.reply_to is not None:
            self._own.add(settings.reply_to.lower())
        package = jinja2.PackageLoader("tickets")
        self._package = _environment(package)
        self._site = None
        if settings.templates is not None:
            # "package/..." lets a site's template extend the one it replaces
            own = jinja2.FileSystemLoader(settings.templates)
            self._site = _environment(jinja2.ChoiceLoader([own, jinja2.PrefixLoader({"package": package}), package]))
        self._failed: dict[str, str] = {}

    def opened(self, request: Request, *, now: datetime) -> OutboxMail | None:
        """The notice that the request is registered, with its ticket number and what is promised."""
        return self._to_user("opened", request, now, "")

    def moved(self, request: Request, event: str, text: str, *, now: datetime) -> OutboxMail | None:
        """The notice for what this event of the request's history tells; None for those that users are not told of.

        `text` is what goes with it: the question to the user, why it is cancelled ... What the desk and the specialists
        say to each other stays with them. One that was resolved and is closed after a time, with nothing more to tell,
        was told of already.
        """
        kind = TOLD.get(event)
        if kind is None or (event == "closed" and not text):
            return None
        return self._to_user(kind, request, now, "" if kind == "level" else text)

    def referred(self, request: Request, recipient: str, reason: str, *, now: datetime) -> OutboxMail | None:
        """The mail to the level-0 desk of a company, to which the request goes back."""
        return self._write("referred_to", recipient, self.settings.language, request, now, reason)

    def escalated(
        self, request: Request, group: SupportGroup, reason: str, handover: str, *, now: datetime
    ) -> OutboxMail | None:
        """The mail to a group of specialists that the request is theirs now; None for one without an address."""
        return self._write("escalated_to", group.email, self.settings.language, request, now, f"{reason}\n\n{handover}")

    # ---- templates

    def preview(self, kind: NoticeKind, language: Language) -> Written:
        """What a notice of this kind looks like, with an invented request, from the templates as they are now."""
        words = self._words(kind, _sample(language), language, _SAMPLE_TEXT[language])
        return self._render(kind, language, words)

    def check(self) -> dict[str, str]:
        """The site's templates that fail or leave out what they are for, each with the reason."""
        if self._site is None:
            return {}
        found = dict(self._failed)
        for kind in KINDS:
            for language in LANGUAGES:
                words = self._words(kind, _sample(language), language, _SAMPLE_TEXT[language])
                written = self._render(kind, language, words)
                found |= written.problems
                for part, text in (("txt", written.text), ("html", written.html)):
                    name = f"{language}/{kind}.body.{part}.j2"
                    said = MUST_SAY.get(kind)
                    if (
                        said
                        and name not in found
                        and self._is_own(name)
                        and _letters(words[said]) not in _letters(text)
                    ):
                        found[name] = f"leaves out {{{{ {said} }}}}"
        return found

    def _is_own(self, name: str) -> bool:
        return self.settings.templates is not None and (self.settings.templates / name).is_file()

    def _render(self, kind: str, language: Language, words: dict[str, Any]) -> Written:
        problems: dict[str, str] = {}

        def render(name: str, more: dict[str, Any] | None = None) -> str:
            given = words | (more or {})
            if self._site is not None:
                try:
                    made = self._site.get_template(name).render(given)
                    if not made.strip():
                        raise ValueError("gives no text")
                    return made
                except Exception as error:  # whatever somebody wrote into it
                    problems[name] = clean_line(f"{type(error).__name__}: {error}")[:500]
            return self._package.get_template(name).render(given)

        subject = clean_line(render(f"{language}/{kind}.subject.txt.j2"))
        if words["ticket"] not in subject:
            subject = f"[RdS {words['ticket']}] {subject}"
        page = f"{language}/{kind}.body.html.j2"
        plain = f"{language}/{kind}.body.txt.j2"
        text = render(plain)
        if self._is_own(plain) and plain not in problems and not self._is_own(page):
            # a site that changed the text alone must not go on sending the package's words as HTML
            html = self._package.get_template("plain.html.j2").render(words | {"body": text})
        else:
            html = render(page)
        return Written(subject, clean_text(text) + "\n", html, problems)

    # ---- parts of the above

    def _to_user(self, kind: NoticeKind, request: Request, now: datetime, text: str) -> OutboxMail | None:
        language: Language = "it" if request.language == "it" else "en"
        return self._write(kind, request.email, language, request, now, text)

    def _write(
        self, kind: NoticeKind, address: str | None, language: Language, request: Request, now: datetime, text: str
    ) -> OutboxMail | None:
        if address is None or kind not in self.settings.send:
            return None
        synthetic = request.id is not None and request.id < 0  # its mail goes to an address of the site's own
        if self._is_ours(address) and not synthetic:
            return None
        written = self._render(kind, language, self._words(kind, request, language, text))
        for name, problem in written.problems.items():
            if self._failed.get(name) != problem:
                log.error("a template of the site failed, the package's own was used", template=name, error=problem)
        self._failed |= written.problems
        mail = self.mail(kind, address, written.subject, written.text, request_id=request.id, now=now)
        mail.html = written.html
        if request.ticket is not None:
            mail.message_id = f"<rds-{request.ticket}.{uuid.uuid4().hex}@{self._domain}>"
            if self.settings.reply_to is not None:
                mail.reply_to = self.settings.reply_to.replace("{ticket}", request.ticket)
        session = object_session(request)
        if session is not None:
            mail.thread = " ".join(_thread(session, request, address)) or None
        return mail

    def _is_ours(self, address: str) -> bool:
        local, _, domain = address.lower().rpartition("@")
        before_plus = local.partition("+")[0]
        return not self._own.isdisjoint(
            {f"{local}@{domain}", f"{before_plus}@{domain}", f"{before_plus}+{{ticket}}@{domain}"}
        )

    def _words(self, kind: str, request: Request, language: Language, text: str) -> dict[str, Any]:
        def local(at: datetime) -> str:
            return date_and_time(at, self.settings.timezone, language)

        contact = request.contact
        return {
            "kind": kind,
            "language": language,
            "ticket": request.ticket or "",
            "subject": clean_line(request.subject),
            "description": clean_text(request.description or ""),
            "name": clean_line(contact.name) if contact else None,
            "user_code": clean_line(contact.user_code or "") if contact else "",
            "company": clean_line(request.company.name) if request.company else "",
            "phone": clean_line(request.phone or ""),
            "email": clean_line(request.email or ""),
            "received": local(request.received_at),
            "due": local(request.pickup_due_at) if request.pickup_due_at and not request.picked_up_at else None,
            "picked_up": request.picked_up_at is not None,
            "closed": local(request.closed_at) if request.closed_at else "",
            "solution": clean_text(request.solution or ""),
            "text": clean_text(text),
            "holder": self._holder(request, language),
            "desk": self.settings.desk_name,
        }

    def _holder(self, request: Request, language: Language) -> str:
        if request.level == 0 and request.company is not None:
            return f"help desk {clean_line(request.company.name)}"
        if request.group is not None:
            level = "livello" if language == "it" else "level"
            return f"{clean_line(request.group.name)} ({level} {request.group.level})"
        return self.settings.desk_name

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


def _environment(loader: jinja2.BaseLoader) -> jinja2.Environment:
    # Of the mail's two parts the HTML is escaped; in plain text that would spoil every apostrophe.
    environment = ImmutableSandboxedEnvironment(
        loader=loader,
        autoescape=lambda name: name is not None and name.endswith(".html.j2"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["lines"] = _lines
    return environment


def _lines(text: str) -> Markup:
    """Text of several lines as HTML."""
    return Markup("<br>\n").join(escape(line) for line in text.split("\n"))


def _letters(text: str) -> str:
    """What is left of a text when its line breaks and its markup do not count."""
    return "".join(re.sub(r"<[^>]*>", "", text).split())


def _thread(session: Session, request: Request, recipient: str) -> list[str]:
    """The Message-IDs of the earlier mails between the desk and this address about the request, the oldest first."""
    with session.no_autoflush:
        ours = session.execute(
            select(OutboxMail.created_at, OutboxMail.message_id).where(
                OutboxMail.request_id == request.id,
                OutboxMail.recipient == recipient,
                OutboxMail.state != DeliveryState.DEAD,
            )
        ).all()
        found = [(at, message_id) for at, message_id in ours]
        if recipient == request.email:
            events = session.execute(
                select(RequestEvent.at, RequestEvent.details).where(
                    RequestEvent.request_id == request.id, RequestEvent.kind.in_(("opened", "reply"))
                )
            )
            found += [(at, details.get("message_id")) for at, details in events]
    known = [message_id for _, message_id in sorted(found, key=lambda one: one[0]) if _is_message_id(message_id)]
    known = list(dict.fromkeys(known))
    return known if len(known) <= LONGEST_THREAD else [known[0], *known[1 - LONGEST_THREAD :]]


def _is_message_id(text: object) -> bool:
    return isinstance(text, str) and _MESSAGE_ID.fullmatch(text) is not None


_SAMPLE_TEXT: dict[Language, str] = {
    "it": "Da quale postazione ha provato?\nCompare un messaggio di errore?",
    "en": "On which workstation did you try?\nIs there an error message?",
}


def _sample(language: Language) -> Request:
    """An invented request, for previews."""
    at = datetime(2026, 11, 20, 21, 14, tzinfo=UTC)
    italian = language == "it"
    company = Company(name="ASL Esempio")
    return Request(
        ticket="1000174",
        kind=Kind.PROBLEM,
        area="application",
        channel=Channel.EMAIL,
        level=1,
        status=Status.QUEUED,
        subject="Non riesco a stampare l'impegnativa" if italian else "I cannot print the referral",
        description="La stampa resta in coda." if italian else "The job stays in the queue.",
        language=language,
        email="anna.rossi@asl.example",
        phone="+390805551234",
        contact=Contact(name="Anna Rossi", user_code="ROSSIA", company=company),
        company=company,
        received_at=at,
        opened_at=at,
        pickup_due_at=at + timedelta(days=2, hours=11, minutes=46),
        closed_at=at + timedelta(days=3),
        solution="Riavviato il servizio di stampa." if italian else "The print service was restarted.",
    )
