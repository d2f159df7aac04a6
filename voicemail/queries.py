"""Reading messages. Where a message is given with its request, `Message.request` (contact, company) is loaded too."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session, joinedload

from tickets.models import Request
from voicemail.errors import MessageNotFound
from voicemail.models import Message, MessageState, TranscriptState


def message(session: Session, message_id: str) -> Message:
    """One message with its request. Raises MessageNotFound."""
    found = session.get(Message, message_id, options=[joinedload(Message.request)])
    if found is None:
        raise MessageNotFound(f"there is no message {message_id}")
    return found


def messages_recording(session: Session) -> Sequence[Message]:
    """Messages that have begun and were never filed: being recorded now, or left behind by a crash."""
    query = select(Message).where(Message.state == MessageState.RECORDING).order_by(Message.started_at)
    return session.scalars(query).all()


def messages_past_keeping(session: Session, before: datetime, limit: int = 500) -> Sequence[Message]:
    """Messages with audio whose request was closed before a time, or that began before it and have no request."""
    query = (
        select(Message)
        .outerjoin(Message.request)
        .where(
            Message.audio.is_not(None),
            Message.started_at < before,  # the request came later still; with this an index finds them
            or_(Request.closed_at < before, Message.request_id.is_(None)),
        )
        .limit(limit)
    )
    return session.scalars(query).all()


def ids_over(session: Session, ids: Collection[str]) -> Sequence[str]:
    """Which of these messages are no longer being recorded."""
    query = select(Message.id).where(Message.id.in_(ids), Message.state != MessageState.RECORDING)
    return session.scalars(query).all()


def transcript_due(now: datetime) -> ColumnElement[bool]:
    """Whether a message waits for its transcript and may be leased, or was leased by someone who died."""
    return or_(
        and_(
            Message.transcript_state == TranscriptState.WAITING,
            or_(Message.lease_until.is_(None), Message.lease_until <= now),
        ),
        and_(Message.transcript_state == TranscriptState.RUNNING, Message.lease_until <= now),
    )


def languages_due(session: Session, now: datetime) -> set[str]:
    """The languages of the messages that may be leased now."""
    return set(session.scalars(select(Message.language).where(transcript_due(now)).distinct()))
