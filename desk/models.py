"""The tables of log-ins to the desk."""

import enum
from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from tickets.database import Base, UTCDateTime, enum_column


class Role(enum.StrEnum):
    """What a person may do at the desk."""

    AGENT = "agent"
    SUPERVISOR = "supervisor"


class Account(Base):
    """A log-in to the desk; an agent's account is bound to the agent."""

    __tablename__ = "account"

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(String(64), unique=True)
    password_hash: Mapped[str] = mapped_column(String(200))
    role: Mapped[Role] = mapped_column(enum_column(Role))
    agent_id: Mapped[int | None] = mapped_column(ForeignKey("agent.id"))
    language: Mapped[str] = mapped_column(String(5), default="it")


class DeskSession(Base):
    """One browser's log-in: only a hash of its cookie is kept."""

    __tablename__ = "desk_session"

    token_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
    expires_at: Mapped[datetime] = mapped_column(UTCDateTime, index=True)
