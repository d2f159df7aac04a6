"""What happens to a message: it begins, is recorded again, is filed as a request, transcribed, heard and corrected.

All are run by `tickets.database.Database.run`, which commits; each announces what it changed.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, cast

import structlog
from sqlalchemy import CursorResult, select, update
from sqlalchemy.orm import Session

from tickets.database import announce
from tickets.errors import Edit, InvalidInput
from tickets.fields import read_text
from tickets.models import AREAS, SYNTHETIC, Channel, Contact, Kind, Request, RequestEvent
from tickets.notices import Notices
from tickets.operations import SYSTEM, NewRequest, add_event, open_request
from tickets.phone_numbers import parse_phone_number, shown_number
from tickets.promise_rules import Terms
from tickets.texts import is_email
from voicemail.audio import KeptAudio
from voicemail.errors import MessageNotFound, MessageOver, NothingToCorrect, NotToBeFiled, TranscriptChanged
from voicemail.models import Message, MessageState, TranscriptState
from voicemail.numbers import numbers_heard, numbers_written
from voicemail.queries import transcript_due
from voicemail.transcript import Transcript, recognised

log = structlog.get_logger()

TRANSCRIPT_CORRECTED = "transcript_corrected"
"""The kind of the event in a request's history; the words themselves are with the message only, and end with it."""
TRANSCRIPT_DUE = "transcript_due"
"""The change (beside `message`, which is for screens) after which a transcript may be due."""
LEAST_SPEECH_SECONDS = 2.0
"""Less speech than this is no message: a breath, a "pronto?", the noise of hanging up."""
MOST_ATTEMPTS = 5
"""After so many failures a transcript is given up; the audio is there."""
FIRST_RETRY = timedelta(seconds=5)
"""Wait before the second attempt; it doubles each time."""
SAME_LISTENING = timedelta(minutes=2)
"""A browser fetches audio in pieces: what the same agent plays within this time is one listening in the history."""

_KINDS = {"use": Kind.QUESTION, "training": Kind.QUESTION, "credentials": Kind.REQUEST, "change": Kind.REQUEST}
_SUBJECTS = {
    "it": ("Messaggio vocale da {who}", "Richiesta di essere richiamati da {who}", "numero riservato"),
    "en": ("Voice message from {who}", "Request to be called back from {who}", "a withheld number"),
}


def begin_message(
    session: Session,
    *,
    message_id: str,
    call_id: str | None,
    line: str,
    language: str,
    caller: str | None,
    contact_id: int | None,
    area: str | None,
    now: datetime,
) -> Message:
    """Write the row of a message that is about to be recorded: before the beep, so that no audio is without a row.

    `caller` is the number as it came (None when withheld); `area` a key of `tickets.models.AREAS` or None. A second
    call with the same id gives the row that is there; one that was empty or lost is opened again.
    """
    message = session.get(Message, message_id)
    if message is None:
        message = Message(
            id=message_id,
            call_id=call_id,
            line=line[:40],
            language=language,
            caller=_best_number(caller),
            contact_id=contact_id,
            area=area,
            started_at=now,
        )
        session.add(message)
        session.flush()
        announce(session, "message", message_id)
    elif message.state in (MessageState.EMPTY, MessageState.LOST) and message.request_id is None:
        message.state, message.take, message.ended_at = MessageState.RECORDING, 1, None
        announce(session, "message", message_id)
    return message


def next_take(session: Session, message_id: str) -> Message:
    """The caller records again: the next take is the one that counts. Raises MessageNotFound, MessageOver."""
    message = _get(session, message_id)
    if message.state is not MessageState.RECORDING:
        raise MessageOver(f"message {message_id} is {message.state}: it is no longer being recorded")
    message.take += 1
    announce(session, "message", message_id)
    return message


def file_message(
    session: Session,
    message_id: str,
    kept: KeptAudio | None,
    notices: Notices,
    *,
    take: int,
    callback: str | None = None,
    email: str | None = None,
    pickup_due_at: datetime | None = None,
    terms: Terms | None = None,
    now: datetime,
) -> Request | None:
    """End a message and make a request of it, whose promises (`terms`) count from the beginning of the message.

    `kept` is what `AudioStore.keep` gave for take number `take`; `callback` the number the caller keyed. With at least
    two seconds of speech the message is FILED and waits for its transcript. With less it is EMPTY, with no audio LOST;
    then there is a request only if the caller keyed a number to be called back. A second call gives the same request;
    a message that was LOST or EMPTY is filed when better audio turns up. Raises MessageNotFound.
    """
    message = _get(session, message_id, lock=True)
    if message.request_id is not None and (message.audio is not None or kept is None):
        return session.get(Request, message.request_id)
    if message.state is MessageState.EMPTY and (kept is None or kept.sha256 == message.sha256):
        return None
    message.take = take
    message.callback = _best_number(callback) or message.callback
    message.ended_at = message.ended_at or now
    if kept is None:
        message.state = MessageState.LOST
    else:
        message.audio, message.sha256 = kept.path, kept.sha256
        message.seconds, message.speech_seconds = kept.seconds, kept.speech_seconds
        if kept.speech_seconds >= LEAST_SPEECH_SECONDS:
            message.state, message.transcript_state = MessageState.FILED, TranscriptState.WAITING
        else:
            message.state = MessageState.EMPTY
    announce(session, "message", message_id)
    announce(session, TRANSCRIPT_DUE, message_id)
    if message.request_id is not None:  # a call-back request whose audio turned up later
        return session.get(Request, message.request_id)
    if message.state is not MessageState.FILED and not message.callback:
        log.info("message without a request", message=message_id, state=message.state, caller=message.caller)
        return None
    request = _open_request(session, message, notices, email=email, pickup_due_at=pickup_due_at, terms=terms, now=now)
    message.request_id = request.id
    log.info("message filed", message=message_id, ticket=request.ticket, caller=message.caller)
    return request


def file_after_all(
    session: Session, message_id: str, notices: Notices, *, actor: str, terms: Terms | None, now: datetime
) -> Request:
    """Make a request of a message that was taken for silence, since somebody heard words in it.

    It is transcribed then, too. One that has its request keeps it. Raises MessageNotFound, and NotToBeFiled while it is
    being recorded.
    """
    message = _get(session, message_id, lock=True)
    if message.request_id is not None:
        return session.get_one(Request, message.request_id)
    if message.state is MessageState.RECORDING:
        raise NotToBeFiled(f"message {message_id} is being recorded")
    if message.audio is not None:
        message.state, message.transcript_state = MessageState.FILED, TranscriptState.WAITING
    request = _open_request(
        session, message, notices, email=None, pickup_due_at=None, terms=terms, actor=actor, now=now
    )
    message.request_id = request.id
    announce(session, "message", message_id)
    announce(session, TRANSCRIPT_DUE, message_id)
    log.info("message filed by hand", message=message_id, ticket=request.ticket)
    return request


def _open_request(
    session: Session,
    message: Message,
    notices: Notices,
    *,
    email: str | None,
    pickup_due_at: datetime | None,
    terms: Terms | None,
    actor: str = SYSTEM,
    now: datetime,
) -> Request:
    area = message.area if message.area in AREAS else "application"
    contact = session.get(Contact, message.contact_id) if message.contact_id else None
    return open_request(
        session,
        NewRequest(
            kind=_KINDS.get(area, Kind.PROBLEM),
            area=area,
            channel=Channel.VOICEMAIL,
            subject=_subject(message),
            language=message.language,
            contact_id=message.contact_id,
            company_id=contact.company_id if contact else None,
            # A bad address must not cost the request.
            email=email if email and is_email(email) else None,
            phone=message.callback or message.caller,
            call_id=message.call_id,
            received_at=message.started_at,
            pickup_due_at=pickup_due_at,
            terms=terms,
            actor=actor,
            synthetic=message.id.startswith(SYNTHETIC),
        ),
        notices,
        now=now,
    )


def store_transcript(
    session: Session, message_id: str, transcript: Transcript, *, now: datetime, attempt: int | None = None
) -> Message:
    """Store what was heard, with the numbers read out of it, and note it in the request's history.

    `attempt` is the number of the lease (`Message.attempts`): a worker that lost its lease to another changes nothing.
    The request's own text stays as the agents write it; the transcript is shown beside the audio. Words that somebody
    wrote down meanwhile stay in their place. Raises MessageNotFound.
    """
    message = _get(session, message_id, lock=True)
    if not _holds_lease(message, attempt):
        return message
    is_written = message.words is None and message.transcript is not None
    message.words = transcript.as_rows()
    if not is_written:
        message.transcript = transcript.text
        message.numbers = numbers_heard((word.word for word in transcript.words), message.language)
    message.transcript_state = TranscriptState.DONE
    message.transcribed_at = now
    message.transcript_error = message.lease_until = None
    announce(session, "message", message_id)
    if message.request_id is not None:
        request = session.get_one(Request, message.request_id)
        details: dict[str, Any] = {"message": message_id, "words": len(transcript.words)}
        if transcript.confidence is not None:
            details["confidence"] = round(transcript.confidence, 2)
        add_event(session, request, "transcribed", "system", details, now=now)
    return message


def transcript_failed(
    session: Session,
    message_id: str,
    reason: str,
    *,
    now: datetime,
    attempt: int | None = None,
    counts: bool = True,
) -> Message:
    """Note why there is no transcript: tried again later, or given up (FAILED) after MOST_ATTEMPTS failures.

    With `counts` False the failure is not the message's own (the model is missing or the service stops): the attempt is
    given back. `attempt` as in `store_transcript`. Raises MessageNotFound.
    """
    message = _get(session, message_id, lock=True)
    if not _holds_lease(message, attempt):
        return message
    message.transcript_error = reason or None
    message.lease_until = None
    if counts and message.attempts >= MOST_ATTEMPTS:
        message.transcript_state = TranscriptState.FAILED
        log.error("transcript given up", message=message_id, reason=reason)
    else:
        message.transcript_state = TranscriptState.WAITING
        if counts:
            message.lease_until = now + FIRST_RETRY * 2 ** max(0, message.attempts - 1)
        else:
            message.attempts = max(0, message.attempts - 1)
    announce(session, "message", message_id)
    announce(session, TRANSCRIPT_DUE, message_id)
    return message


def correct_transcript(
    session: Session, message_id: str, text: str | None, *, corrections: int, actor: str, now: datetime
) -> Message:
    """Put a person's words in place of the transcript; None gives back what was recognised, which is always kept.

    `corrections` is `Message.corrections` as the person read it: who was second is told, and overwrites nobody. What
    is there already changes nothing. The request's history says that and by whom, not the words. Raises
    MessageNotFound, NothingToCorrect, TranscriptChanged, and `InvalidInput` for a text without words or too long.
    """
    message = _get(session, message_id, lock=True)
    if message.audio is None:
        raise NothingToCorrect(f"message {message_id} has no audio")
    original = recognised(message.words)
    written = original if text is None else read_text("text", text)
    if text is not None and not written:
        raise InvalidInput("text", "write what is said", "missing")
    if written == message.transcript:
        return message
    if corrections != message.corrections:
        edit = Edit(message.corrected_at or now, message.corrected_by or SYSTEM, TRANSCRIPT_CORRECTED)
        raise TranscriptChanged(message_id, (edit,))
    message.transcript = written
    message.numbers = None if written is None else numbers_written(written, message.language)
    message.corrections += 1
    message.corrected_at, message.corrected_by = now, actor
    announce(session, "message", message_id)
    if message.request_id is not None:
        request = session.get_one(Request, message.request_id)
        details = {"message": message_id} | ({"withdrawn": True} if written == original else {})
        add_event(session, request, TRANSCRIPT_CORRECTED, actor, details, now=now)
    return message


def transcribe_again(session: Session, message_id: str) -> Message:
    """Ask for a transcript that was given up once more. Raises MessageNotFound."""
    message = _get(session, message_id, lock=True)
    if message.audio is not None and message.transcript_state is TranscriptState.FAILED:
        message.transcript_state, message.attempts = TranscriptState.WAITING, 0
        message.lease_until = message.transcript_error = None
        announce(session, "message", message_id)
        announce(session, TRANSCRIPT_DUE, message_id)
    return message


def lease_next(
    session: Session,
    *,
    lease_seconds: float,
    now: datetime,
    languages: Collection[str] | None = None,
    only: Collection[str] | None = None,
) -> Message | None:
    """Take the longest waiting message to transcribe, for `lease_seconds`; None when there is none.

    A lease that ran out is taken again, since its holder is dead. `languages` and `only` (message ids) narrow the
    choice. The row is taken by compare-and-set, so two workers never hold the same one; `Message.attempts` is then the
    number of the lease.
    """
    query = select(Message.id, Message.attempts).where(transcript_due(now)).order_by(Message.started_at).limit(5)
    if languages is not None:
        query = query.where(Message.language.in_(languages))
    if only is not None:
        query = query.where(Message.id.in_(only))
    for message_id, attempts in session.execute(query.with_for_update(skip_locked=True)).all():
        if attempts >= MOST_ATTEMPTS:
            # Its failures could not even be noted: each time the whole service went down with it.
            transcript_failed(session, message_id, "the service stopped at every attempt", now=now)
            continue
        claim = update(Message).where(Message.id == message_id, Message.attempts == attempts, transcript_due(now))
        taken = session.execute(
            claim.values(
                transcript_state=TranscriptState.RUNNING,
                lease_until=now + timedelta(seconds=lease_seconds),
                attempts=attempts + 1,
            ).execution_options(synchronize_session=False)
        )
        if cast("CursorResult[Any]", taken).rowcount == 1:
            return session.get_one(Message, message_id, populate_existing=True)
    return None


def renew_lease(session: Session, message_id: str, *, attempt: int, lease_seconds: float, now: datetime) -> bool:
    """Hold a message for `lease_seconds` more; False when the lease was lost."""
    renewed = session.execute(
        update(Message)
        .where(
            Message.id == message_id,
            Message.attempts == attempt,
            Message.transcript_state == TranscriptState.RUNNING,
        )
        .values(lease_until=now + timedelta(seconds=lease_seconds))
        .execution_options(synchronize_session=False)
    )
    return cast("CursorResult[Any]", renewed).rowcount == 1


def note_missing_model(session: Session, language: str, reason: str) -> None:
    """Say on every waiting message in a language why its transcript has to wait for a model."""
    waiting = session.scalars(
        select(Message).where(
            Message.transcript_state == TranscriptState.WAITING,
            Message.language == language,
            Message.transcript_error.is_distinct_from(reason),
        )
    )
    for message in waiting:
        message.transcript_error = reason
        announce(session, "message", message.id)


def erase_message(session: Session, message_id: str, *, now: datetime) -> Message:
    """Forget what was said: audio, words, corrections, numbers. Row and request stay: there was a message.

    The audio file goes first (`AudioStore.erase`). Raises MessageNotFound.
    """
    message = _get(session, message_id, lock=True)
    message.audio = message.transcript = message.words = message.numbers = message.lease_until = None
    message.corrected_at = message.corrected_by = None
    if message.transcript_state is not TranscriptState.DONE:
        message.transcript_state = TranscriptState.NONE
    announce(session, "message", message_id)
    if message.request_id is not None:
        request = session.get_one(Request, message.request_id)
        add_event(session, request, "audio_erased", "system", {"message": message_id}, now=now)
    return message


def mark_heard(session: Session, message_id: str, *, actor: str, now: datetime) -> Message:
    """Note that an agent listened: who was first on the message, and every listening in the request's history.

    Raises MessageNotFound.
    """
    message = _get(session, message_id)
    if message.heard_at is None:
        message.heard_at, message.heard_by = now, actor
        announce(session, "message", message_id)
    if message.request_id is not None:
        recent = session.scalar(
            select(RequestEvent.id)
            .where(
                RequestEvent.request_id == message.request_id,
                RequestEvent.kind == "heard",
                RequestEvent.actor == actor,
                RequestEvent.at > now - SAME_LISTENING,
            )
            .limit(1)
        )
        if recent is None:
            request = session.get_one(Request, message.request_id)
            add_event(session, request, "heard", actor, {"message": message_id}, now=now)
    return message


def _get(session: Session, message_id: str, *, lock: bool = False) -> Message:
    message = session.get(Message, message_id, with_for_update=lock)
    if message is None:
        raise MessageNotFound(f"there is no message {message_id}")
    return message


def _holds_lease(message: Message, attempt: int | None) -> bool:
    return attempt is None or (message.transcript_state is TranscriptState.RUNNING and message.attempts == attempt)


def _best_number(raw: str | None) -> str | None:
    best = parse_phone_number(raw).best() if raw else None
    return best[:64] if best else None


def _subject(message: Message) -> str:
    spoken, call_back, withheld = _SUBJECTS.get(message.language, _SUBJECTS["en"])
    number = message.callback or message.caller
    template = spoken if message.state is MessageState.FILED else call_back
    return template.format(who=shown_number(number) if number else withheld)[:200]
