"""The tables of work: companies, contacts, their phones, service requests with their history, and the outbox."""

import enum
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from tickets.database import Base, UTCDateTime, enum_column, index_of_some


class Channel(enum.StrEnum):
    """The way a request came in."""

    PHONE = "phone"
    VOICEMAIL = "voicemail"
    EMAIL = "email"
    FAX = "fax"
    IN_PERSON = "in_person"


class Kind(enum.StrEnum):
    """What the user needs (customer brief: domande, richieste, problemi)."""

    QUESTION = "question"
    REQUEST = "request"
    PROBLEM = "problem"


class Status(enum.StrEnum):
    """Where a request stands. The full transition table comes with the life of a request."""

    NEW = "new"
    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    PENDING_USER = "pending_user"
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

AREAS = ("application", "use", "training", "credentials", "change", "network")
"""Keys of the areas a request may belong to: application fault, use of the software, training, credentials, change,
network or workstation."""


class DeliveryState(enum.StrEnum):
    """Where an outgoing notice stands."""

    PENDING = "pending"
    SENT = "sent"
    DEAD = "dead"


class Company(Base):
    """An azienda: a health company or hospital whose staff calls the desk."""

    __tablename__ = "company"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    phones: Mapped[list["Phone"]] = relationship(back_populates="company", cascade="all, delete-orphan")


class Contact(Base):
    """A user of the information system; `user_code` is the log-in name there."""

    __tablename__ = "contact"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    user_code: Mapped[str | None] = mapped_column(String(64), unique=True)
    email: Mapped[str | None] = mapped_column(String(254))
    language: Mapped[str] = mapped_column(String(5), default="it")
    company_id: Mapped[int | None] = mapped_column(ForeignKey("company.id"), index=True)
    company: Mapped[Company | None] = relationship(lazy="joined")
    phones: Mapped[list["Phone"]] = relationship(back_populates="contact", cascade="all, delete-orphan")


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


class Request(Base):
    """A service request (richiesta di servizio, RdS). Its number, `ticket`, finds it in every phase."""

    __tablename__ = "request"
    __table_args__ = (
        # With the time of closing: whose open and whose latest closed ones are shown with every call.
        Index("ix_request_contact_closed", "contact_id", "closed_at"),
        Index("ix_request_company_closed", "company_id", "closed_at"),
        Index("ix_request_phone_closed", "phone", "closed_at"),
        Index("ix_request_status_pickup", "status", "pickup_due_at"),
        Index("ix_request_holder_status", "holder", "status"),
        # Without it SQLite gives the id of a deleted last row again, and with it the ticket number.
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    ticket: Mapped[str | None] = mapped_column(String(12), unique=True)
    """Digits with a check digit; None only inside the operation that opens the request."""
    kind: Mapped[Kind] = mapped_column(enum_column(Kind))
    area: Mapped[str] = mapped_column(String(40))
    channel: Mapped[Channel] = mapped_column(enum_column(Channel))
    level: Mapped[int] = mapped_column(default=1)
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
    closed_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    version: Mapped[int] = mapped_column(default=1)
    contact: Mapped[Contact | None] = relationship(lazy="joined")
    company: Mapped[Company | None] = relationship(lazy="joined")
    events: Mapped[list["RequestEvent"]] = relationship(back_populates="request", order_by="RequestEvent.id")

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - SQLAlchemy's own form


class RequestEvent(Base):
    """One line of a request's history; never changed afterwards."""

    __tablename__ = "request_event"

    id: Mapped[int] = mapped_column(primary_key=True)
    request_id: Mapped[int] = mapped_column(ForeignKey("request.id"), index=True)
    at: Mapped[datetime] = mapped_column(UTCDateTime)
    actor: Mapped[str] = mapped_column(String(64))
    """User name of an agent, or `system`."""
    kind: Mapped[str] = mapped_column(String(32))
    """opened, picked_up, note, edited, closed, notice_sent, notice_failed, promise_missed, transcribed ..."""
    details: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    version: Mapped[int] = mapped_column(default=1)
    """The request's version that this change made: tells a late editor what changed since."""
    request: Mapped[Request] = relationship(back_populates="events")


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
    """What is wrong and what to do, for people."""
    sounded_at: Mapped[datetime] = mapped_column(UTCDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UTCDateTime)


class OutboxMail(Base):
    """A notice to send: written with the change it tells of, delivered later with retry."""

    __tablename__ = "outbox_mail"
    __table_args__ = (Index("ix_outbox_mail_state_next", "state", "next_attempt_at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    request_id: Mapped[int | None] = mapped_column(ForeignKey("request.id"), index=True)
    """The request it tells of; None for an alarm."""
    kind: Mapped[str] = mapped_column(String(32))
    """opened, closed, alarm or alarm_over."""
    message_id: Mapped[str] = mapped_column(String(200), unique=True)
    """The mail's Message-ID: the same at every attempt, so that a receiver can drop a repeat."""
    sender: Mapped[str] = mapped_column(String(500))
    """The From header: name and address."""
    recipient: Mapped[str] = mapped_column(String(254))
    subject: Mapped[str] = mapped_column(String(300))
    body: Mapped[str] = mapped_column(Text)
    state: Mapped[DeliveryState] = mapped_column(enum_column(DeliveryState), default=DeliveryState.PENDING)
    attempts: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
    next_attempt_at: Mapped[datetime] = mapped_column(UTCDateTime)
    sent_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    last_error: Mapped[str | None] = mapped_column(Text)
