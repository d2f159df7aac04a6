"""The tables of log-ins to the desk, of people and of other programs."""

import enum
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from tickets.database import Base, UTCDateTime, enum_column

LOG_INS = "log_ins"
"""The kind of change that tells of ended log-ins; its id is the account's."""


class Role(enum.StrEnum):
    """What a person may do at the desk."""

    AGENT = "agent"
    SUPERVISOR = "supervisor"


class Scope(enum.StrEnum):
    """What another program may do."""

    READ = "read"
    WRITE = "write"


class DismissReason(enum.StrEnum):
    """Why a call needs no request."""

    NO_REQUEST = "no_request"
    """Nothing to register: thanks, a question answered by the question itself, a call dropped at once."""
    WRONG_NUMBER = "wrong_number"
    OTHER_DESK = "other_desk"
    """It belongs to the level 0 desk of the company."""
    TEST = "test"


class Account(Base):
    """A log-in to the desk; an agent's account is bound to the agent."""

    __tablename__ = "account"

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(String(64), unique=True)
    password_hash: Mapped[str] = mapped_column(String(200))
    role: Mapped[Role] = mapped_column(enum_column(Role))
    agent_id: Mapped[int | None] = mapped_column(ForeignKey("agent.id"))
    language: Mapped[str] = mapped_column(String(5), default="it")
    preferences: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict, server_default="{}")
    """What this person likes to see, and the keys: a `desk.views.Preferences`."""


class DeskSession(Base):
    """One browser's log-in: only a hash of its cookie is kept."""

    __tablename__ = "desk_session"

    token_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
    expires_at: Mapped[datetime] = mapped_column(UTCDateTime, index=True)
    used_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When it was last used, to within a minute; None: not since it began."""
    browser: Mapped[str | None] = mapped_column(String(200))
    """What the browser calls itself, for the person to know it again."""
    address: Mapped[str | None] = mapped_column(String(80))
    """From where it began."""


class FailedLogIns(Base):
    """Attempts to log in of one user name from one address, or of one address, that did not succeed.

    A row for all workers together, named by a hash: people type passwords where the user name goes.
    """

    __tablename__ = "failed_log_ins"

    key_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    times: Mapped[list[float]] = mapped_column(JSON)
    """Seconds since 1970, the oldest first."""
    until: Mapped[datetime] = mapped_column(UTCDateTime, index=True)
    """From then on they count no more."""


class DismissedPop(Base):
    """A call an agent has put aside without a request, and why: the reason completes the ledger of calls."""

    __tablename__ = "dismissed_pop"

    call_id: Mapped[str] = mapped_column(ForeignKey("call.id"), primary_key=True)
    agent_id: Mapped[int] = mapped_column(ForeignKey("agent.id"), primary_key=True)
    at: Mapped[datetime] = mapped_column(UTCDateTime)
    reason: Mapped[DismissReason] = mapped_column(enum_column(DismissReason))


class ApiToken(Base):
    """What another program shows to be let in (`/api/v1`): only a hash of it is kept."""

    __tablename__ = "api_token"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40), unique=True)
    """Of the program: in the history it is `api:NAME`."""
    token_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    scopes: Mapped[list[str]] = mapped_column(JSON)
    """Of `desk.models.Scope`."""
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
    used_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When it was last used, to within an hour."""


class KeptAnswer(Base):
    """What was answered, by its idempotency key: asked again, the same is answered, and nothing is done."""

    __abstract__ = True

    owner_id: Mapped[int]
    """Whose key it is."""
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    asked_sha256: Mapped[str] = mapped_column(String(64))
    """Of what was asked: the path and the content."""
    answer: Mapped[dict[str, Any]] = mapped_column(JSON)
    at: Mapped[datetime] = mapped_column(UTCDateTime, index=True)


class ApiAnswer(KeptAnswer):
    """What a program was answered."""

    __tablename__ = "api_answer"

    owner_id: Mapped[int] = mapped_column("token_id", ForeignKey("api_token.id", ondelete="CASCADE"), primary_key=True)


class DeskAnswer(KeptAnswer):
    """What a page was answered."""

    __tablename__ = "desk_answer"

    owner_id: Mapped[int] = mapped_column("account_id", ForeignKey("account.id", ondelete="CASCADE"), primary_key=True)


class AuditEntry(Base):
    """One line of the audit log: what somebody changed or steered. Lines are only ever added (see `desk.audit`)."""

    __tablename__ = "audit_entry"
    __table_args__ = (
        Index("ix_audit_entry_actor_at", "actor", "at"),
        Index("ix_audit_entry_act_at", "act", "at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(UTCDateTime, index=True)
    actor: Mapped[str] = mapped_column(String(64))
    """User name; `command line` for what was done there."""
    act: Mapped[str] = mapped_column(String(40))
    """One of `desk.audit.ACTS`."""
    subject: Mapped[str] = mapped_column(String(200))
    """What it was done to: a user name, a call's id, `queue desk` ..."""
    old: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    """The fields that changed, as they were."""
    new: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    source: Mapped[str] = mapped_column(String(80))
    """From where: the address of the browser, or the user of the command line."""
