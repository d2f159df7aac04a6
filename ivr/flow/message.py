"""Taking a message: words, beep, recording, review, ticket number. A hangup keeps what was said."""

import asyncio
import uuid
from functools import partial
from pathlib import Path

import structlog
from sqlalchemy import select, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from ivr import operations, phrases
from ivr.ari import Hangup
from ivr.config import Line
from ivr.flow.call import ActiveCall, Services, spoken
from ivr.models import ABANDONED, Call, Outcome, Phase
from ivr.settings import node_of
from ivr.synthetic_call import call_id_of
from ivr.terms import terms_of_line
from tickets.database import OutcomeUnknown
from tickets.models import SYNTHETIC, Request
from tickets.phone_numbers import parse_phone_number
from tickets.queries import identify_caller
from voicemail import operations as messages
from voicemail.audio import KeptAudio, read_samples, recording_path, remove_takes, speech_seconds
from voicemail.errors import NotFiledYet, UnusableAudio
from voicemail.fallback import FallbackRecording
from voicemail.models import Message, MessageState
from voicemail.room import Room

log = structlog.get_logger()

FALLBACK_NAMESPACE = uuid.UUID("0a9c8f58-6f0e-4d0c-9a53-6d1f5f3a8e11")
"""Makes a call's id from Asterisk's, so that a fallback message is never filed twice."""
MAX_TAKES = 4
"""How often a caller may record again."""
DATABASE_ERRORS = (DBAPIError, OutcomeUnknown)
"""What a transaction raises that could not be stored, after all patience."""


class _DiskFull(Exception):
    """The disk is full: the recording may be cut, and another one makes no sense."""


async def take_message(call: ActiveCall) -> Outcome:
    """Record a message and file it as a request; the caller hears the ticket number and the promised time."""
    message_id = call.id
    if call.services.room.short:
        return await turn_away(call, message_id)
    await call.say(call.line.notice, "leave-message")
    return await record_and_file(call, message_id, take=1)


async def record_and_file(call: ActiveCall, message_id: str, *, take: int) -> Outcome:
    """From the beep on; also where a call goes on whose service died while it recorded take `take`."""
    callback: str | None = None
    words: tuple[str, ...] = ()
    try:
        callback = await _record_and_review(call, message_id, take)
    except Hangup:
        await file_left(call, message_id)
        raise
    except _DiskFull:
        words = ("message-cut",)
    outcome = await _file_and_tell(call, message_id, callback, *words)
    if outcome is None and words:
        return await turn_away(call, message_id)
    if outcome is None:
        await call.say("message-empty", "goodbye")
        return Outcome.ABANDONED_MESSAGE
    return outcome


async def go_on_recording(call: ActiveCall, message_id: str, take: int) -> Outcome:
    """Take over a recording that went on while no service was there."""
    recorded = await call.leg.recording_under_way(f"{message_id}-{take}")
    if recorded is not None and recorded.hung_up:
        await file_left(call, message_id)
        raise Hangup(call.leg.id, 0)
    outcome = await _file_and_tell(call, message_id, None, "message-kept")
    if outcome is None:
        await call.say("apology")
        return await take_message(call)
    return outcome


async def _file_and_tell(call: ActiveCall, message_id: str, callback: str | None, *words: str) -> Outcome | None:
    """File what was recorded and tell its ticket, after words of one's own; None when there is nothing to file."""
    try:
        request = await _file(call, message_id, callback)
    except NotFiledYet:
        await call.say(*words or ("message-kept",), "goodbye")  # its ticket is not known yet
        return Outcome.VOICEMAIL
    if request is None:
        return None
    await call.say(*words)
    await _tell_ticket(call, request)
    return Outcome.VOICEMAIL


async def turn_away(call: ActiveCall, message_id: str) -> Outcome:
    """There is no room for a message: open a request to call back, or ask to call again where that is impossible.

    The database may be on the same full disk.
    """
    number = call.caller.best()
    request = await _request_call_back(call, message_id, number) if number else None
    await call.say("cannot-record")
    if number is None and (number := await _ask_callback(call)):
        request = await _request_call_back(call, message_id, number)
    if request is None:
        await call.say("call-again-later", "goodbye")
        return Outcome.TURNED_AWAY
    await call.say("will-call-back")
    await _tell_ticket(call, request)
    return Outcome.CALLBACK


async def _request_call_back(call: ActiveCall, message_id: str, number: str) -> Request | None:
    try:
        await _row_before_beep(call, message_id, 1)
        message = await call.services.database.read(find_message, message_id)
        if message is None:
            return None
        request = await asyncio.shield(_file_kept(call.services, message, None, take=message.take, callback=number))
    except DATABASE_ERRORS as error:
        log.error("not even the caller's number could be kept", error=repr(error))
        return None
    call.outcome = Outcome.CALLBACK
    return request


async def _record_and_review(call: ActiveCall, message_id: str, take: int) -> str | None:
    """Returns the number the caller keyed to be called back at, if any. Raises Hangup, and _DiskFull."""
    services, limits = call.services, call.services.config.message
    asked_again = False
    while True:
        call.leg.forget_keys()
        await _row_before_beep(call, message_id, take)
        await call.say("beep")
        name = f"{message_id}-{take}"
        path = recording_path(services.recordings, message_id, take)
        if services.transcripts:
            services.transcripts.follow(message_id, path, call.line.language)
        recorded = await call.leg.record(
            name, max_seconds=limits.max_seconds, max_silence_seconds=limits.max_silence_seconds
        )
        if recorded.hung_up:
            raise Hangup(call.leg.id, 0)
        # by our own measure: Asterisk counts whole seconds, and gives silence one of them
        speech, full = await asyncio.to_thread(_look_at, path)
        if full:
            raise _DiskFull
        silent = speech < messages.LEAST_SPEECH_SECONDS
        if not silent and recorded.seconds >= limits.max_seconds:
            await call.say("message-too-long")
        if silent and not asked_again and take < MAX_TAKES:
            asked_again = True
            await call.say("message-empty", "leave-message")
        elif silent or await _review(call, name) or take >= MAX_TAKES:
            return await _ask_callback(call)
        if services.transcripts:
            services.transcripts.stop_following(message_id)
        take += 1


async def _row_before_beep(call: ActiveCall, message_id: str, take: int) -> None:
    database = call.services.database
    if take == 1:
        await database.run(
            messages.begin_message,
            message_id=message_id,
            call_id=call.id,
            line=call.line.number,
            language=call.line.language,
            caller=call.caller.best(),
            contact_id=call.contact_id,
            area=call.choice,
            now=call.now(),
        )
        await call.enter(Phase.MESSAGE, message_id=message_id)
    else:
        await database.run(messages.next_take, message_id)


async def _review(call: ActiveCall, recording: str) -> bool:
    """Keep, hear, again; True to keep. No key, or wrong ones, keep the message: losing it would be worse."""
    question = call.media("review")
    wrong = 0
    while wrong < 3:
        match await call.leg.ask(question):
            case "1" | "":
                return True
            case "2":
                await call.leg.say([f"recording:{recording}"])
            case "3":
                return False
            case _:
                wrong += 1
                await call.say("wrong-key")
    return True


async def _ask_callback(call: ActiveCall) -> str | None:
    """A caller whose number is withheld is asked for one to be called back at."""
    if call.caller.best() is not None:
        return None
    call.leg.forget_keys()  # a second press of the key that kept the message is no digit of the number
    keys = await call.leg.ask(call.media("ask-callback-number"), length=20, seconds=6.0)
    return parse_phone_number(keys).best() if keys else None


async def _file(call: ActiveCall, message_id: str, callback: str | None) -> Request | None:
    """Move the audio to safety and open the request, in that order; shielded, since it must land.

    Raises NotFiledYet when there is a message, but no disk or database to take it: `ivr.leftovers` files it later.
    """
    return await asyncio.shield(_keep_and_file(call, message_id, callback))


async def _keep_and_file(call: ActiveCall, message_id: str, callback: str | None) -> Request | None:
    message = await call.services.database.read(find_message, message_id)
    if message is None:
        return None
    try:
        request = await file_recorded(call.services, message, callback=callback)
    except (OSError, *DATABASE_ERRORS) as error:
        log.error("message cannot be filed now, tried again later", message=message_id, error=repr(error))
        if not await asyncio.to_thread(_is_spoken, call.services, message):
            return None
        call.outcome = Outcome.VOICEMAIL
        raise NotFiledYet(f"message {message_id} is not filed yet") from error
    if request is not None:
        call.outcome = Outcome.VOICEMAIL
    return request


async def file_recorded(services: Services, message: Message, *, callback: str | None = None) -> Request | None:
    """Move a message's audio from Asterisk's folder to the store and file it; safe to repeat after a crash."""
    take, kept = await asyncio.to_thread(_keep_best_take, services, message)
    return await _file_kept(services, message, kept, take=take, callback=callback)


async def _file_kept(
    services: Services, message: Message, kept: KeptAudio | None, *, take: int, callback: str | None = None
) -> Request | None:
    return await services.database.run(
        messages.file_message,
        message.id,
        kept,
        services.notices,
        take=take,
        callback=callback,
        email=services.config.synthetic_call.mail_to if message.id.startswith(SYNTHETIC) else None,
        terms=terms_of_line(services.promises, services.config, message.line),
        now=services.now(),
    )


def _keep_best_take(services: Services, message: Message) -> tuple[int, KeptAudio | None]:
    """Keep the last take that is a message, or else the one with most words.

    So who hangs up just after asking to record again loses nothing.
    """
    spool = services.recordings
    spoken = {take: _speech(recording_path(spool, message.id, take)) for take in range(message.take, 0, -1)}
    whole = (take for take, speech in spoken.items() if speech >= messages.LEAST_SPEECH_SECONDS)
    best = next(whole, max(spoken, key=lambda take: spoken[take]))
    kept = services.audio.keep(recording_path(spool, message.id, best), message.id, message.started_at)
    if kept is not None:
        remove_takes(spool, message.id)
    return best, kept


def _look_at(path: Path) -> tuple[float, bool]:
    """Seconds of speech in a recording, and whether the disk is full."""
    return _speech(path), Room.full(path.parent)


def _speech(path: Path) -> float:
    """Seconds of speech in a recording; less than none when it cannot be read."""
    try:
        return speech_seconds(read_samples(path)[1])
    except (OSError, UnusableAudio):
        return -1.0


def _is_spoken(services: Services, message: Message) -> bool:
    """Whether a message that could not be filed is one: it is still in the spool, or kept but in no row."""
    if services.audio.path_of(message.id, message.started_at).exists():
        return True
    paths = (recording_path(services.recordings, message.id, take) for take in range(1, message.take + 1))
    return any(_speech(path) >= messages.LEAST_SPEECH_SECONDS for path in paths)


def find_message(session: Session, message_id: str) -> Message | None:
    """The row of a message."""
    return session.get(Message, message_id)


async def _tell_ticket(call: ActiveCall, request: Request) -> None:
    """Say the number twice, then by when the request is taken in charge."""
    language = call.line.language
    promise = (
        phrases.promise(request.pickup_due_at, now=call.now(), timezone=call.calendar.zone, language=language)
        if request.pickup_due_at
        else []
    )
    await call.leg.say(spoken(phrases.ticket(request.ticket or "", language), promise, call.media("goodbye")))


async def file_left(call: ActiveCall, message_id: str) -> bool:
    """File what a caller recorded who has hung up; False when nothing usable was left."""
    try:
        return await _file(call, message_id, None) is not None
    except NotFiledYet:
        return True


async def file_fallback(services: Services, recording: FallbackRecording) -> None:
    """File a message that the dialplan recorded, with the time it was left; the call has its row, too.

    Safe to repeat: the message's id is made from Asterisk's own id of the call, and the audio moves last.
    """
    config, database = services.config, services.database
    if call_id_of(recording.unique_id) is not None:  # nobody's message: whoever made the call knows that it failed
        await asyncio.to_thread(recording.path.unlink, missing_ok=True)
        return
    line = config.line(recording.line) or config.lines[0]
    message_id = id_of_fallback(recording.unique_id)
    caller = parse_phone_number(recording.caller).best()
    match = await database.read(identify_caller, caller)
    begin = partial(
        _begin_fallback,
        recording=recording,
        app=services.app,
        message_id=message_id,
        line=line,
        caller=caller,
        contact_id=match.contact_id,
    )
    try:
        stored = await database.run(begin)
    except IntegrityError:  # the ledger has written the call's row this moment
        stored = await database.run(begin)
    kept = await asyncio.to_thread(services.audio.keep, recording.path, message_id, stored.started_at)
    if await _file_kept(services, stored, kept, take=1) is None:
        await database.run(_note_empty, message_id)


def id_of_fallback(unique_id: str) -> str:
    """The id of the row (and of the message) of a call that only the dialplan had in hand; always the same."""
    return uuid.uuid5(FALLBACK_NAMESPACE, unique_id).hex


def _begin_fallback(
    session: Session,
    *,
    recording: FallbackRecording,
    app: str,
    message_id: str,
    line: Line,
    caller: str | None,
    contact_id: int | None,
) -> Message:
    stored = session.get(Message, message_id)
    if stored is not None:
        return stored
    # a call that we handed to the dialplan has its row; one that came while we were down has none yet
    rows = session.execute(select(Call.id, Call.app).where(Call.channel_id == recording.unique_id))
    call_id = next((row.id for row in rows if message_id == row.id or node_of(row.app) == node_of(app)), None)
    at = recording.left_at
    stored = messages.begin_message(
        session,
        message_id=message_id,
        call_id=call_id or message_id,
        line=line.number,
        language=line.language,
        caller=caller,
        contact_id=contact_id,
        area=None,
        now=at,
    )
    if call_id is None:
        call_id = message_id
        operations.begin_call(
            session,
            call_id=call_id,
            app=app,
            channel_id=recording.unique_id,
            line=line.number,
            language=line.language,
            caller=caller,
            contact_id=contact_id,
            now=at,
        )
        operations.end_call(session, call_id, Outcome.FALLBACK, note="recorded by the dialplan", now=at)
    session.execute(update(Call).where(Call.id == call_id).values(message_id=message_id))
    # the service could not store, perhaps, that it had handed the call on
    operations.correct_outcome(session, call_id, ABANDONED, Outcome.FALLBACK)
    return stored


def _note_empty(session: Session, message_id: str) -> None:
    """Who said nothing after the dialplan's beep has left no message; what was lost is another matter."""
    stored = session.get_one(Message, message_id)
    if stored.state is MessageState.EMPTY and stored.call_id is not None:
        operations.correct_outcome(session, stored.call_id, (Outcome.FALLBACK,), Outcome.ABANDONED_FALLBACK)
