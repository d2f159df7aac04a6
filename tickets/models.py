"""The tables of work: companies, contacts, support groups, service requests with their history, and the outbox."""

import enum
from datetime import date, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Connection, Date, ForeignKey, Index, String, Table, Text, event, insert
from sqlalchemy.orm import Mapped, mapped_column, relationship

from schedules.promises import Clock
from tickets.database import Base, UTCDateTime, enum_column, index_of_some


class Channel(enum.StrEnum):
    """The way a request came in."""

    PHONE = "phone"
    VOICEMAIL = "voicemail"
    EMAIL = "email"
    FAX = "fax"
    API = "api"
    """From another program (`/api/v1`)."""
    IN_PERSON = "in_person"


class Kind(enum.StrEnum):
    """What the user needs (customer brief: domande, richieste, problemi)."""

    QUESTION = "question"
    REQUEST = "request"
    PROBLEM = "problem"


class Status(enum.StrEnum):
    """Where a request stands; which status follows which is told in `tickets.lifecycle`."""

    NEW = "new"
    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    PENDING_USER = "pending_user"
    """The user was asked for something; the clocks of the promises stand still."""
    PENDING_THIRD_PARTY = "pending_third_party"
    """Somebody else's turn: a supplier, or the level-0 desk of the user's company."""
    RESOLVED = "resolved"
    CLOSED = "closed"
    CANCELLED = "cancelled"


CLOSED_STATUSES = frozenset({Status.RESOLVED, Status.CLOSED, Status.CANCELLED})
OPEN_STATUSES = frozenset(Status) - CLOSED_STATUSES
"""For conditions: an index finds what is among some states, but not what is among none of them."""

SYNTHETIC = "z"
"""What a synthetic call makes can be told by its id alone: those of its call and message begin with this letter, while
all others are hexadecimal; that of its request is below zero, so that it takes no ticket number. Lists and reports
leave them out (`Call.id < SYNTHETIC`, `Message.id < SYNTHETIC`, `Request.id > 0`); all of it is removed at the end."""

BUILT_IN_AREAS: tuple[tuple[str, str, str, bool], ...] = (
    ("application", "Area applicativa", "Application", False),
    ("use", "Utilizzo", "Use of the software", False),
    ("training", "Formazione", "Training", False),
    ("credentials", "Credenziali", "Credentials", False),
    ("change", "Richieste di modifica", "Change requests", False),
    ("network", "Rete o postazione di lavoro", "Network or workstation", True),
)
"""Key, name in Italian and in English, and whether it goes back to level 0."""

AREAS = tuple(key for key, *_ in BUILT_IN_AREAS)
"""Keys of the areas that every site has: menus on the phone use these. A site adds its own to the table `area`."""


class DeliveryState(enum.StrEnum):
    """Where an outgoing notice stands."""

    PENDING = "pending"
    HELD = "held"
    """More than the caps allow; waits for somebody to look (`[notices.caps]`)."""
    SENT = "sent"
    DEAD = "dead"


class Company(Base):
    """An azienda: a health company or hospital whose staff calls the desk."""

    __tablename__ = "company"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    code: Mapped[str | None] = mapped_column(String(40), index=True, unique=True)
    """The code by which other systems know it."""
    level_0_email: Mapped[str | None] = mapped_column(String(254))
    """Of its own desk, to which requests about networks and workstations go back."""
    level_0_phone: Mapped[str | None] = mapped_column(String(64))
    level_0_hours: Mapped[str | None] = mapped_column(String(200))
    """When its own desk is staffed, in words for agents."""
    phones: Mapped[list["Phone"]] = relationship(back_populates="company", cascade="all, delete-orphan")


class ContactRole(enum.StrEnum):
    """What a contact is in the company."""

    USER = "user"
    LEVEL_0 = "level_0"
    """Works at the company's own desk."""
    REFERENT = "referent"
    """Speaks for the company: authorises credentials."""


class Credentials(enum.StrEnum):
    """How far a contact is on the way to a log-in of the information system: a course, then the referent's word."""

    NONE = "none"
    REQUESTED = "requested"
    AUTHORISED = "authorised"
    ACTIVE = "active"


class Contact(Base):
    """A user of the information system; `user_code` is the log-in name there."""

    __tablename__ = "contact"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    user_code: Mapped[str | None] = mapped_column(String(64), unique=True)
    email: Mapped[str | None] = mapped_column(String(254))
    """Where notices go."""
    language: Mapped[str] = mapped_column(String(5), default="it")
    role: Mapped[ContactRole] = mapped_column(enum_column(ContactRole), default=ContactRole.USER, server_default="user")
    credentials: Mapped[Credentials] = mapped_column(
        enum_column(Credentials), default=Credentials.NONE, server_default="none"
    )
    trained_on: Mapped[date | None] = mapped_column(Date)
    """The day of the course that credentials ask for."""
    company_id: Mapped[int | None] = mapped_column(ForeignKey("company.id"), index=True)
    company: Mapped[Company | None] = relationship(lazy="joined")
    phones: Mapped[list["Phone"]] = relationship(back_populates="contact", cascade="all, delete-orphan")
    emails: Mapped[list["EmailAddress"]] = relationship(cascade="all, delete-orphan")


class Phone(Base):
    """A telephone of a contact or of a company. `tail` holds the last eight digits, for probable matches."""

    __tablename__ = "phone"

    id: Mapped[int] = mapped_column(primary_key=True)
    contact_id: Mapped[int | None] = mapped_column(ForeignKey("contact.id"), index=True)
    company_id: Mapped[int | None] = mapped_column(ForeignKey("company.id"), index=True)
    e164: Mapped[str] = mapped_column(String(20), index=True)
    tail: Mapped[str] = mapped_column(String(8), index=True)
    raw: Mapped[str] = mapped_column(String(64))
    contact: Mapped[Contact | None] = relationship(back_populates="phones")
    company: Mapped[Company | None] = relationship(back_populates="phones")


class EmailAddress(Base):
    """A mail address from which a contact's mail is recognised; the one that notices go to is among them."""

    __tablename__ = "email_address"

    id: Mapped[int] = mapped_column(primary_key=True)
    contact_id: Mapped[int] = mapped_column(ForeignKey("contact.id"), index=True)
    address: Mapped[str] = mapped_column(String(254), index=True)
    """In small letters. Several people may share one, such as a ward's."""


class SupportGroup(Base):
    """Specialists of level 2 or 3, reached from level 1 only."""

    __tablename__ = "support_group"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(120), unique=True)
    level: Mapped[int] = mapped_column()
    email: Mapped[str | None] = mapped_column(String(254))
    """Where it is told of a request that comes to it."""
    active: Mapped[bool] = mapped_column(default=True)


class Area(Base):
    """What a request may be about; a tree of two storeys."""

    __tablename__ = "area"

    key: Mapped[str] = mapped_column(String(40), primary_key=True)
    name_it: Mapped[str] = mapped_column(String(120))
    name_en: Mapped[str] = mapped_column(String(120))
    parent: Mapped[str | None] = mapped_column(ForeignKey("area.key"))
    active: Mapped[bool] = mapped_column(default=True)
    """Whether new requests may have it."""
    back_to_level_0: Mapped[bool] = mapped_column(default=False)
    """Whether it is the business of the company's own desk."""


@event.listens_for(Area.__table__, "after_create")
def _plant_areas(_table: Table, connection: Connection, **_options: Any) -> None:
    """A new table of areas has the built-in ones; a migration does the same for sites."""
    connection.execute(
        insert(Area),
        [
            {"key": key, "name_it": italian, "name_en": english, "active": True, "back_to_level_0": back}
            for key, italian, english, back in BUILT_IN_AREAS
        ],
    )


class Request(Base):
    """A service request (richiesta di servizio, RdS). Its number, `ticket`, finds it in every phase."""

    __tablename__ = "request"
    __table_args__ = (
        # With the time of closing: whose open and whose latest closed ones are shown with every call.
        Index("ix_request_contact_closed", "contact_id", "closed_at"),
        Index("ix_request_company_closed", "company_id", "closed_at"),
        Index("ix_request_phone_closed", "phone", "closed_at"),
        Index("ix_request_status_pickup", "status", "pickup_due_at"),
        Index("ix_request_status_closed", "status", "closed_at"),
        Index("ix_request_holder_status", "holder", "status"),
        index_of_some("ix_request_parent", "parent_id IS NOT NULL", "parent_id"),
        index_of_some("ix_request_merged", "merged_into_id IS NOT NULL", "merged_into_id"),
        index_of_some("ix_request_follow_up", "follow_up_of_id IS NOT NULL", "follow_up_of_id"),
        index_of_some("ix_request_resolved", "status = 'resolved'", "closed_at"),
        # Without it SQLite gives the id of a deleted last row again, and with it the ticket number.
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    ticket: Mapped[str | None] = mapped_column(String(12), unique=True)
    """Digits with a check digit; None only inside the operation that opens the request."""
    kind: Mapped[Kind] = mapped_column(enum_column(Kind))
    area: Mapped[str] = mapped_column(String(40))
    """A key of the table `area`."""
    channel: Mapped[Channel] = mapped_column(enum_column(Channel))
    impact: Mapped[int] = mapped_column(default=2, server_default="2")
    """How many it hits: 1 many, 2 some, 3 one."""
    urgency: Mapped[int] = mapped_column(default=2, server_default="2")
    """How long it can wait: 1 not at all, 2 not long, 3 it can wait."""
    level: Mapped[int] = mapped_column(default=1)
    """Who has it: 0 the company's own desk, 1 this desk, 2 and 3 a group of specialists."""
    group_id: Mapped[int | None] = mapped_column(ForeignKey("support_group.id"))
    """The group of level 2 or 3."""
    status: Mapped[Status] = mapped_column(enum_column(Status))
    subject: Mapped[str] = mapped_column(String(200))
    description: Mapped[str] = mapped_column(Text, default="")
    solution: Mapped[str | None] = mapped_column(Text)
    language: Mapped[str] = mapped_column(String(5), default="it")
    contact_id: Mapped[int | None] = mapped_column(ForeignKey("contact.id"))
    company_id: Mapped[int | None] = mapped_column(ForeignKey("company.id"))
    email: Mapped[str | None] = mapped_column(String(254))
    """Where notices go: the contact's address, or one given for this request."""
    phone: Mapped[str | None] = mapped_column(String(64))
    """The number to call back, E.164 where it could be read."""
    call_id: Mapped[str | None] = mapped_column(String(32), index=True)
    """The call it was opened from (`ivr.models.Call.id`); no foreign key, since `tickets` does not know calls."""
    received_at: Mapped[datetime] = mapped_column(UTCDateTime, index=True)
    """When the user asked: the promise counts from here."""
    opened_at: Mapped[datetime] = mapped_column(UTCDateTime)
    pickup_due_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    picked_up_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    holder: Mapped[str | None] = mapped_column(String(64))
    """User name of the agent who has it in charge."""
    held_since: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """Since when this agent, or this level or group without one, has it."""
    closed_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When it was solved or cancelled; None while it is open."""
    level_0_answered_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When the company's own desk (level 0) answered; None when somebody of this desk has done something since."""
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("request.id"))
    """The fault that hits many, of which this request tells: it is closed with it."""
    merged_into_id: Mapped[int | None] = mapped_column(ForeignKey("request.id"))
    """The request that tells the same, in which this one goes on."""
    follow_up_of_id: Mapped[int | None] = mapped_column(ForeignKey("request.id"))
    """The request, closed for too long to be reopened, that this one follows."""
    version: Mapped[int] = mapped_column(default=1)
    contact: Mapped[Contact | None] = relationship(lazy="joined")
    company: Mapped[Company | None] = relationship(lazy="joined")
    group: Mapped[SupportGroup | None] = relationship()
    events: Mapped[list["RequestEvent"]] = relationship(back_populates="request", order_by="RequestEvent.id")
    attachments: Mapped[list["Attachment"]] = relationship(order_by="Attachment.id")

    @property
    def priority(self) -> int:
        """1 (highest) to 5, of impact and urgency as ITIL has it."""
        return self.impact + self.urgency - 1

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - SQLAlchemy's own form


class RequestEvent(Base):
    """One line of a request's history; never changed afterwards."""

    __tablename__ = "request_event"

    id: Mapped[int] = mapped_column(primary_key=True)
    request_id: Mapped[int] = mapped_column(ForeignKey("request.id"), index=True)
    at: Mapped[datetime] = mapped_column(UTCDateTime, index=True)
    actor: Mapped[str] = mapped_column(String(64))
    """User name of an agent, `system`, or `level_0`."""
    kind: Mapped[str] = mapped_column(String(32))
    """opened, picked_up, note, edited, closed, notice_sent, promise_missed ...; see `tickets.operations.MOVED`."""
    details: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    version: Mapped[int] = mapped_column(default=1)
    """The request's version that this change made: tells a late editor what changed since."""
    request: Mapped[Request] = relationship(back_populates="events")


class Attachment(Base):
    """A file that belongs to a request; its bytes are in the folder of attachments (see `tickets.attachments`)."""

    __tablename__ = "attachment"

    id: Mapped[int] = mapped_column(primary_key=True)
    request_id: Mapped[int] = mapped_column(ForeignKey("request.id"), index=True)
    name: Mapped[str] = mapped_column(String(200))
    """As its sender named it, made harmless."""
    media_type: Mapped[str] = mapped_column(String(100))
    """Such as application/pdf; what is not known to be harmless is only ever offered for saving."""
    size: Mapped[int] = mapped_column()
    """Bytes."""
    sha256: Mapped[str] = mapped_column(String(64))
    path: Mapped[str] = mapped_column(String(200), index=True, unique=True)
    """Below the folder of attachments."""
    added_by: Mapped[str] = mapped_column(String(64))
    """User name of an agent, or `system`."""
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)


class PromiseCalendar(Base):
    """Staffed hours as they were when something was promised in them; never changed afterwards."""

    __tablename__ = "promise_calendar"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    """The beginning of the SHA-256 of the definition: the same hours are one row."""
    definition: Mapped[dict[str, Any]] = mapped_column(JSON)
    """A `schedules.hours.Calendar`."""


class RequestPromise(Base):
    """What was promised for a request by one clock, and what became of it (see `tickets.promises`)."""

    __tablename__ = "promise"
    __table_args__ = (
        index_of_some("ix_promise_running", "met_at IS NULL AND dropped_at IS NULL AND breached_at IS NULL", "warn_at"),
    )

    request_id: Mapped[int] = mapped_column(ForeignKey("request.id"), primary_key=True)
    clock: Mapped[Clock] = mapped_column(enum_column(Clock), primary_key=True)
    working_seconds: Mapped[int] = mapped_column()
    """The target, in staffed time."""
    warn_seconds: Mapped[int] = mapped_column()
    """After so much of it a warning is due."""
    calendar_id: Mapped[str] = mapped_column(ForeignKey("promise_calendar.id"))
    received_at: Mapped[datetime] = mapped_column(UTCDateTime)
    counted_from: Mapped[datetime] = mapped_column(UTCDateTime)
    """The first opening after the receipt."""
    told_due_at: Mapped[datetime] = mapped_column(UTCDateTime)
    """The due time as it was told when the request was opened; never changed."""
    due_at: Mapped[datetime] = mapped_column(UTCDateTime)
    """The due time, moved by the pauses, in the hours as they were when it was told."""
    warn_at: Mapped[datetime] = mapped_column(UTCDateTime)
    paused_since: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """The clock stands still: the user is asked for something."""
    pauses: Mapped[list[list[str]]] = mapped_column(JSON, default=list)
    """Each time in which it stood still: begin and end, ISO 8601."""
    paused_seconds: Mapped[int] = mapped_column(default=0)
    """The staffed time in the pauses, by which the due time moved."""
    met_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When what was promised was done, in time or late."""
    dropped_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When the request was cancelled or merged into another: kept by nobody, and broken by nobody."""
    warned_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    breached_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """The due time that passed without it."""
    calendar: Mapped[PromiseCalendar] = relationship(lazy="joined", innerjoin=True)


class Alarm(Base):
    """Something that people have to look after, from when it was seen to when it was over (see `tickets.alarms`)."""

    __tablename__ = "alarm"
    __table_args__ = (index_of_some("ix_alarm_open", "ended_at IS NULL", "kind", "subject", unique=True),)

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(40))
    """A word for programs, such as disk_space."""
    subject: Mapped[str] = mapped_column(String(200), default="")
    """What it is about, where a kind may fail in many places: a call, a node ..."""
    words: Mapped[str] = mapped_column(Text)
    """What is wrong and what to do, for people, in English."""
    words_it: Mapped[str | None] = mapped_column(Text)
    """The same in Italian; None for alarms of versions that had no Italian words."""
    sounded_at: Mapped[datetime] = mapped_column(UTCDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UTCDateTime)


class OutboxMail(Base):
    """A notice to send: written with the change it tells of, delivered later with retry."""

    __tablename__ = "outbox_mail"
    __table_args__ = (
        Index("ix_outbox_mail_state_next", "state", "next_attempt_at"),
        Index("ix_outbox_mail_recipient_created", "recipient", "created_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    request_id: Mapped[int | None] = mapped_column(ForeignKey("request.id"), index=True)
    """The request it tells of; None for an alarm."""
    kind: Mapped[str] = mapped_column(String(32))
    """One of `tickets.notices.KINDS`, alarm or alarm_over."""
    message_id: Mapped[str] = mapped_column(String(200), unique=True)
    """The mail's Message-ID: the same at every attempt, so that a receiver can drop a repeat."""
    sender: Mapped[str] = mapped_column(String(500))
    """The From header: name and address."""
    recipient: Mapped[str] = mapped_column(String(254))
    subject: Mapped[str] = mapped_column(String(300))
    body: Mapped[str] = mapped_column(Text)
    html: Mapped[str | None] = mapped_column(Text)
    """The same as HTML; None for a mail of plain text."""
    reply_to: Mapped[str | None] = mapped_column(String(254))
    thread: Mapped[str | None] = mapped_column(Text)
    """Message-IDs of the thread's earlier mails, the oldest first, between blanks: what References will be."""
    state: Mapped[DeliveryState] = mapped_column(enum_column(DeliveryState), default=DeliveryState.PENDING)
    attempts: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
    next_attempt_at: Mapped[datetime] = mapped_column(UTCDateTime)
    sent_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    released_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When somebody had it sent again: the caps do not hold it any more."""
    last_error: Mapped[str | None] = mapped_column(Text)


class MailResult(enum.StrEnum):
    """What became of a mail that came in."""

    OPENED = "opened"
    REPLIED = "replied"
    FOLLOW_UP = "follow_up"
    """A request of its own, since the one it answers is closed for too long."""
    BOUNCE = "bounce"
    """Says that a notice was not delivered."""
    AUTOMATIC = "automatic"
    """Written by a program; only kept."""
    RECEIPT = "receipt"
    """Of certified mail (PEC); only kept."""
    REPEATED = "repeated"
    """The same mail came before by another way; only kept."""
    HELD = "held"
    """More than one sender may write; only kept, for people to decide."""


class MailIn(Base):
    """A mail that came in. It is here once, whatever happens while it is taken; its bytes are kept as a file."""

    __tablename__ = "mail_in"
    __table_args__ = (
        Index("ix_mail_in_sender_taken", "sender", "taken_at"),
        Index("ix_mail_in_request_result", "request_id", "result", "taken_at"),
        Index("ix_mail_in_place", "uid_validity", "uid"),
        Index("ix_mail_in_result_taken", "result", "taken_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    folder: Mapped[str] = mapped_column(String(200))
    """Where it lay in the mailbox, with the two numbers that find it there (RFC 3501)."""
    uid_validity: Mapped[int | None] = mapped_column(BigInteger)
    uid: Mapped[int | None] = mapped_column(BigInteger)
    message_id: Mapped[str | None] = mapped_column(String(200), index=True)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    """Of its bytes: no mail is taken twice."""
    digest: Mapped[str] = mapped_column(String(64))
    """Of what its author wrote: tells a mail that came by two ways."""
    sender: Mapped[str | None] = mapped_column(String(254))
    """Where an answer goes, in small letters."""
    subject: Mapped[str] = mapped_column(String(300))
    received_at: Mapped[datetime] = mapped_column(UTCDateTime)
    """When the mail server got it."""
    taken_at: Mapped[datetime] = mapped_column(UTCDateTime)
    result: Mapped[MailResult] = mapped_column(enum_column(MailResult))
    why: Mapped[str] = mapped_column(String(80))
    """By what it was told, such as a header's name."""
    answered: Mapped[bool] = mapped_column(default=False)
    """Whether its sender was told that a request was opened."""
    request_id: Mapped[int | None] = mapped_column(ForeignKey("request.id"))
    path: Mapped[str] = mapped_column(String(200))
    """Of its bytes, below the folder of mails; empty when they were deleted after their time."""
    size: Mapped[int] = mapped_column()
    error: Mapped[str | None] = mapped_column(Text)
    """What could not be read in it."""


class ConnectorChange(Base):
    """A change that another ticket system is still to hear of: written with the change, gone once it was taken there.

    The rows of one request are told in the order of their ids, one after the other: see `tickets.connectors.sync`.
    """

    __tablename__ = "connector_outbox"
    __table_args__ = (
        Index("ix_connector_outbox_order", "connector", "request_id", "id"),
        Index("ix_connector_outbox_next", "connector", "state", "next_attempt_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    connector: Mapped[str] = mapped_column(String(40))
    request_id: Mapped[int] = mapped_column(ForeignKey("request.id"), index=True)
    event_id: Mapped[int | None] = mapped_column(ForeignKey("request_event.id"))
    """The line of the history that tells of it; None: bring the whole request in step."""
    status: Mapped[Status] = mapped_column(enum_column(Status))
    """The request's status after this change: what was so at that time is told, and not only what is so now."""
    state: Mapped[DeliveryState] = mapped_column(enum_column(DeliveryState), default=DeliveryState.PENDING)
    """Pending or dead."""
    attempts: Mapped[int] = mapped_column(default=0)
    """How often telling it was begun: from the second time on it may have been taken already."""
    refusals: Mapped[int] = mapped_column(default=0)
    """How often the other system has refused it."""
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
    next_attempt_at: Mapped[datetime] = mapped_column(UTCDateTime)
    last_error: Mapped[str | None] = mapped_column(Text)
    event: Mapped[RequestEvent | None] = relationship()


class ConnectorLink(Base):
    """A request as another ticket system knows it."""

    __tablename__ = "connector_link"

    connector: Mapped[str] = mapped_column(String(40), primary_key=True)
    request_id: Mapped[int] = mapped_column(ForeignKey("request.id"), primary_key=True, index=True)
    remote_id: Mapped[str] = mapped_column(String(100))
    """Its number there."""
    remote_key: Mapped[str] = mapped_column(String(500))
    """What it is addressed by there."""
    remote_status: Mapped[str | None] = mapped_column(String(40))
    """Its status there when it was last seen, in their words."""
    told_status: Mapped[Status | None] = mapped_column(enum_column(Status))
    """The last status that we have told."""
    remote_entry: Mapped[int] = mapped_column(BigInteger, default=0)
    """Of their worklog entries those up to this number were taken over before `seen_entries` was kept."""
    seen_entries: Mapped[list[int]] = mapped_column(JSON, default=list, server_default="[]")
    """The numbers of those taken over since: one with a lower number may be stored there later."""
    told_file: Mapped[int] = mapped_column(default=0)
    """The id of the last attachment that they have."""
    differences: Mapped[list[dict[str, str]]] = mapped_column(JSON, default=list)
    """What was found not to be the same: field, here, there."""
    look_again: Mapped[bool] = mapped_column(default=False)
    """It changed there while we had something to tell: look when that is told."""
    told_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When the last of our changes was taken there."""


class ConnectorState(Base):
    """How it stands with another ticket system."""

    __tablename__ = "connector_state"

    connector: Mapped[str] = mapped_column(String(40), primary_key=True)
    mark: Mapped[str | None] = mapped_column(String(100))
    """Up to where their changes were read, in their words."""
    away_since: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """Since when it cannot be reached; None when it was reached the last time."""
    failures: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    last_error: Mapped[str | None] = mapped_column(Text)
    reached_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    compared_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
