"""The table of messages left by callers."""

import enum
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from tickets.database import Base, UTCDateTime, enum_column, index_of_some
from tickets.models import Request


class MessageState(enum.StrEnum):
    """How far a message has come. The row is written before the beep."""

    RECORDING = "recording"
    EMPTY = "empty"
    """Silence or under two seconds of speech: audio kept, no request."""
    FILED = "filed"
    """A request exists and the audio is in the store."""
    LOST = "lost"
    """No usable audio was found: the caller left before speaking, or Asterisk kept nothing."""


class TranscriptState(enum.StrEnum):
    """How far the transcript has come."""

    NONE = "none"
    """Nothing to transcribe (yet)."""
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    """Given up after several attempts; the audio is there."""


class Message(Base):
    """A voicemail message: the audio is the record, the transcript a help."""

    __tablename__ = "message"
    __table_args__ = (
        Index("ix_message_transcript_lease", "transcript_state", "lease_until"),
        index_of_some("ix_message_kept", "audio IS NOT NULL", "started_at"),
        index_of_some("ix_message_unheard", "heard_at IS NULL", "request_id", "started_at"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    call_id: Mapped[str | None] = mapped_column(String(32), index=True)
    """The call (`ivr.models.Call.id`); no foreign key, since `voicemail` does not know calls."""
    request_id: Mapped[int | None] = mapped_column(ForeignKey("request.id"), index=True)
    contact_id: Mapped[int | None] = mapped_column(ForeignKey("contact.id"))
    line: Mapped[str] = mapped_column(String(40))
    """The dialled number."""
    language: Mapped[str] = mapped_column(String(5))
    caller: Mapped[str | None] = mapped_column(String(64))
    """The caller's number, E.164 where it could be read; None when withheld."""
    callback: Mapped[str | None] = mapped_column(String(64))
    """The number the caller keyed; it counts more than the caller's own or one heard in the message."""
    area: Mapped[str | None] = mapped_column(String(40))
    """The area chosen in the menu, if any."""
    state: Mapped[MessageState] = mapped_column(enum_column(MessageState), default=MessageState.RECORDING, index=True)
    started_at: Mapped[datetime] = mapped_column(UTCDateTime, index=True)
    ended_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    take: Mapped[int] = mapped_column(default=1)
    """Which recording counts: a caller may record again; take N is `<id>-N` in Asterisk's recording folder."""
    audio: Mapped[str | None] = mapped_column(String(300))
    """Path of the WAV below the audio folder, once it is safe there."""
    sha256: Mapped[str | None] = mapped_column(String(64))
    seconds: Mapped[float | None] = mapped_column()
    speech_seconds: Mapped[float | None] = mapped_column()
    transcript_state: Mapped[TranscriptState] = mapped_column(
        enum_column(TranscriptState), default=TranscriptState.NONE
    )
    transcript: Mapped[str | None] = mapped_column(Text)
    """The words that count: those recognised, or those of the last correction."""
    words: Mapped[list[dict[str, Any]] | None] = mapped_column(JSON)
    """[{"word", "start", "end", "confidence"}] as recognised, seconds from the beginning of the audio; no correction
    changes them."""
    numbers: Mapped[list[str] | None] = mapped_column(JSON)
    """Numbers heard in the message, in digits; of a corrected transcript those in its words."""
    corrections: Mapped[int] = mapped_column(default=0)
    """How often somebody corrected the transcript, or took a correction back; the last time by `corrected_by`."""
    corrected_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    corrected_by: Mapped[str | None] = mapped_column(String(64))
    transcribed_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    transcript_error: Mapped[str | None] = mapped_column(Text)
    attempts: Mapped[int] = mapped_column(default=0)
    lease_until: Mapped[datetime | None] = mapped_column(UTCDateTime)
    heard_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    heard_by: Mapped[str | None] = mapped_column(String(64))
    request: Mapped[Request | None] = relationship(lazy="raise")
    """The request made of it; loaded only by the queries that say so."""
