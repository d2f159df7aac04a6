"""A transcript that people correct, on both databases: searched, kept beside the original, never overwritten unseen."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from centralino.rig.desk_server import HOSTILE
from tickets.database import CONNECTORS, Database
from tickets.errors import InvalidInput
from tickets.models import Channel, ConnectorChange, Request, RequestEvent, Status
from tickets.notices import Notices
from tickets.operations import add_note
from tickets.search import read_query, search
from voicemail.audio import KeptAudio
from voicemail.errors import MessageNotFound, NothingToCorrect, NotToBeFiled, TranscriptChanged
from voicemail.models import Message, MessageState, TranscriptState
from voicemail.operations import (
    begin_message,
    correct_transcript,
    erase_message,
    file_after_all,
    file_message,
    lease_next,
    store_transcript,
)
from voicemail.transcript import Transcript, Word, recognised

pytestmark = pytest.mark.contract

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
HEARD = "non riesco a refertare richiamatemi al tre quattro sette cinque due otto"


def transcript(text: str = HEARD) -> Transcript:
    return Transcript(tuple(Word(word, i * 0.5, i * 0.5 + 0.4, 0.9) for i, word in enumerate(text.split())))


async def begun(database: Database) -> None:
    known: dict[str, Any] = {"call_id": None, "line": "0805551000", "language": "it", "contact_id": None, "area": None}
    await database.run(begin_message, message_id="m1", caller="+390805551234", now=NOW, **known)


async def left(database: Database, notices: Notices, text: str | None = HEARD, *, speech: float = 4.0) -> None:
    """A message was left, and transcribed where there is a text."""
    await begun(database)
    kept = KeptAudio(path="m1.wav", sha256="0" * 64, seconds=5.0, speech_seconds=speech)
    await database.run(file_message, "m1", kept, notices, take=1, now=NOW)
    if text is not None:
        await database.run(store_transcript, "m1", transcript(text), now=NOW)


async def correct(
    database: Database, text: str | None, knew: int = 0, actor: str = "giulia", later: int = 1
) -> Message:
    now = NOW + timedelta(minutes=later)
    return await database.run(correct_transcript, "m1", text, corrections=knew, actor=actor, now=now)


async def stored(database: Database) -> Message:
    return await database.read(Session.get_one, Message, "m1")


async def found(database: Database, typed: str) -> int:
    def find(session: Session) -> int:
        query = read_query(session, typed)
        return len(search(session, query, limit=50)) if query else 0

    return await database.read(find)


async def history(database: Database) -> list[tuple[str, str, Any]]:
    def read(session: Session) -> list[tuple[str, str, Any]]:
        rows = session.scalars(select(RequestEvent).order_by(RequestEvent.id))
        return [(row.kind, row.actor, row.details) for row in rows]

    return await database.read(read)


async def test_corrected_words_are_found_and_the_original_is_kept_and_given_back(
    database: Database, notices: Notices
) -> None:
    await left(database, notices)
    words = (await stored(database)).words
    await correct(database, "Non riesco a refèrtare.\nRichiamatemi al 347 529, Teresa")
    message = await stored(database)
    assert message.transcript == "Non riesco a refèrtare.\nRichiamatemi al 347 529, Teresa"
    assert (message.corrections, message.corrected_by) == (1, "giulia")
    assert message.corrected_at == NOW + timedelta(minutes=1)
    assert (message.words, recognised(message.words)) == (words, transcript().text)
    assert message.numbers == ["347529"]
    assert [await found(database, typed) for typed in ("teresa", "referta", "quattro")] == [1, 1, 0]
    await correct(database, None, knew=1, actor="marco")
    message = await stored(database)
    assert (message.transcript, message.numbers) == (transcript().text, ["347528"])
    assert (message.corrections, message.corrected_by) == (2, "marco")
    assert [await found(database, typed) for typed in ("teresa", "quattro")] == [0, 1]
    assert (await history(database))[-2:] == [
        ("transcript_corrected", "giulia", {"message": "m1"}),  # not the words: they end with the message
        ("transcript_corrected", "marco", {"message": "m1", "withdrawn": True}),
    ]


async def test_other_systems_do_not_hear_of_it(database: Database, notices: Notices) -> None:
    await left(database, notices)

    def change(session: Session) -> list[str]:
        session.info[CONNECTORS] = ("maximo",)
        message = correct_transcript(session, "m1", "buongiorno", corrections=0, actor="giulia", now=NOW)
        assert message.request_id is not None
        add_note(session, message.request_id, "Corretta", actor="giulia", now=NOW)
        return [change.event.kind for change in session.scalars(select(ConnectorChange)) if change.event]

    assert await database.run(change) == ["note"]


async def test_of_two_people_at_once_the_second_is_told_and_nothing_is_lost(
    database: Database, notices: Notices
) -> None:
    await left(database, notices)
    results = await asyncio.gather(
        correct(database, "di Giulia", actor="giulia"),
        correct(database, "di Marco", actor="marco"),
        return_exceptions=True,
    )
    (told,) = [one for one in results if isinstance(one, TranscriptChanged)]
    (done,) = [one for one in results if isinstance(one, Message)]
    message = await stored(database)
    assert (message.transcript, message.corrections) == (done.transcript, 1)
    assert [(edit.actor, edit.kind) for edit in told.edits] == [(message.corrected_by, "transcript_corrected")]
    await correct(database, "di tutti e due", knew=1, actor="marco")
    assert (await stored(database)).transcript == "di tutti e due"


async def test_the_same_words_twice_are_one_correction(database: Database, notices: Notices) -> None:
    await left(database, notices)
    await correct(database, transcript().text)
    assert (await stored(database)).corrections == 0
    for _ in range(2):  # the answer was lost, and it is sent again
        await correct(database, "buongiorno")
    assert (await stored(database)).corrections == 1


@pytest.mark.parametrize("text", ["", "   \n\t", "\x00", "x" * 100_001], ids=lambda one: repr(one)[:10])
async def test_what_is_no_text_or_far_too_long_is_refused(database: Database, notices: Notices, text: str) -> None:
    await left(database, notices)
    with pytest.raises(InvalidInput):
        await correct(database, text)
    assert (await stored(database)).transcript == transcript().text


async def test_any_text_is_kept_as_text(database: Database, notices: Notices) -> None:
    await left(database, notices)
    for knew, text in enumerate(
        (HOSTILE, "à\u0301漢字 \U0001f600 ' \" \\ %s {x} \ue000", "parola " * 2_800, "a\x00b\ud800c")
    ):
        await correct(database, text, knew=knew)
        clean = text.replace("\x00", "").replace("\ud800", "").strip()
        assert (await stored(database)).transcript == clean


async def test_a_correction_is_erased_with_its_message(database: Database, notices: Notices) -> None:
    await left(database, notices)
    await correct(database, "Sono Teresa Lorusso")
    assert await found(database, "lorusso") == 1
    await database.run(erase_message, "m1", now=NOW)
    message = await stored(database)
    assert (message.transcript, message.words, message.numbers) == (None, None, None)
    assert (message.corrected_by, message.corrected_at) == (None, None)
    assert await found(database, "lorusso") == 0
    with pytest.raises(NothingToCorrect):
        await correct(database, "Sono Teresa", knew=1)
    with pytest.raises(MessageNotFound):
        await database.run(correct_transcript, "m9", "x", corrections=0, actor="giulia", now=NOW)


async def test_what_somebody_wrote_down_outlives_a_transcript_that_comes_later(
    database: Database, notices: Notices
) -> None:
    await left(database, notices, None)
    await correct(database, "Sono Teresa, al 347 52 81")
    leased = await database.run(lease_next, lease_seconds=60, now=NOW)
    assert leased is not None
    await database.run(store_transcript, "m1", transcript(), now=NOW, attempt=leased.attempts)
    message = await stored(database)
    assert (message.transcript, message.numbers) == ("Sono Teresa, al 347 52 81", ["3475281"])
    assert recognised(message.words) == transcript().text
    await correct(database, None, knew=1)
    assert (await stored(database)).transcript == transcript().text


async def test_a_message_taken_for_silence_becomes_a_request_when_somebody_hears_words(
    database: Database, notices: Notices
) -> None:
    await left(database, notices, None, speech=1.2)
    message = await stored(database)
    assert (message.state, message.request_id) == (MessageState.EMPTY, None)
    both = [await database.run(file_after_all, "m1", notices, actor="giulia", terms=None, now=NOW) for _ in range(2)]
    assert both[0].id == both[1].id
    message = await stored(database)
    assert (message.state, message.transcript_state) == (MessageState.FILED, TranscriptState.WAITING)
    request = await database.read(Session.get_one, Request, message.request_id)
    assert (request.status, request.channel, request.holder) == (Status.QUEUED, Channel.VOICEMAIL, None)
    assert [(kind, actor) for kind, actor, _ in await history(database)] == [("opened", "giulia")]


async def test_a_message_that_is_being_recorded_is_not_filed_by_hand(database: Database, notices: Notices) -> None:
    await begun(database)
    with pytest.raises(NotToBeFiled):
        await database.run(file_after_all, "m1", notices, actor="giulia", terms=None, now=NOW)
