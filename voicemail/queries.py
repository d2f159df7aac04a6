"""Reading messages. Where a message is given with its request, `Message.request` (contact, company) is loaded too."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from tickets.models import Request
from voicemail.errors import MessageNotFound
from voicemail.models import Message, MessageState, TranscriptState


async def message(session: AsyncSession, message_id: str) -> Message:
    """One message with its request. Raises MessageNotFound."""
    found = await session.get(Message, message_id, options=[joinedload(Message.request)])
    if found is None:
        raise MessageNotFound(f"there is no message {message_id}")
    return found


async def messages_recording(session: AsyncSession) -> Sequence[Message]:
    """Messages that have begun and were never filed: being recorded now, or left behind by a crash."""
    query = select(Message).where(Message.state == MessageState.RECORDING).order_by(Message.started_at)
    return (await session.scalars(query)).all()


async def messages_past_keeping(session: AsyncSession, before: datetime, limit: int = 500) -> Sequence[Message]:
    """Messages with audio whose request was closed before a time, or that began before it and have no request."""
    query = (
        select(Message)
        .outerjoin(Message.request)
        .where(
            Message.audio.is_not(None),
            or_(Request.closed_at < before, and_(Message.request_id.is_(None), Message.started_at < before)),
        )
        .limit(limit)
    )
    return (await session.scalars(query)).all()


async def ids_over(session: AsyncSession, ids: Collection[str]) -> Sequence[str]:
    """Which of these messages are no longer being recorded."""
    query = select(Message.id).where(Message.id.in_(ids), Message.state != MessageState.RECORDING)
    return (await session.scalars(query)).all()


def transcript_due(now: datetime) -> ColumnElement[bool]:
    """Whether a message waits for its transcript and may be leased, or was leased by someone who died."""
    return or_(
        and_(
            Message.transcript_state == TranscriptState.WAITING,
            or_(Message.lease_until.is_(None), Message.lease_until <= now),
        ),
        and_(Message.transcript_state == TranscriptState.RUNNING, Message.lease_until <= now),
    )


async def languages_due(session: AsyncSession, now: datetime) -> set[str]:
    """The languages of the messages that may be leased now."""
    return set(await session.scalars(select(Message.language).where(transcript_due(now)).distinct()))
