"""The life of a message in the database."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from tickets import directory
from tickets import operations as tickets
from tickets.changes import Change
from tickets.database import Database
from tickets.models import Channel, Kind, OutboxMail, Request, RequestEvent, Status
from tickets.notices import Notices
from voicemail import operations, queries
from voicemail.audio import AudioStore, KeptAudio
from voicemail.errors import MessageNotFound, MessageOver
from voicemail.models import Message, MessageState, TranscriptState
from voicemail.retention import erase_expired
from voicemail.transcript import Transcript, Word

pytestmark = pytest.mark.unit

NOW = datetime(2026, 3, 9, 17, 30, tzinfo=UTC)
DUE = datetime(2026, 3, 10, 8, 0, tzinfo=UTC)
SPOKEN = KeptAudio("2026/03/m1.wav", "ab" * 32, 12.5, 9.0)
SILENT = KeptAudio("2026/03/m1.wav", "cd" * 32, 8.0, 0.4)


async def begin(database: Database, message_id: str = "m1", **changes: Any) -> Message:
    values: dict[str, Any] = {
        "call_id": "c1",
        "line": "0805550001",
        "language": "it",
        "caller": "080 555 1234",
        "contact_id": None,
        "area": None,
        "now": NOW,
    }
    return await database.run(operations.begin_message, message_id=message_id, **(values | changes))


async def file(
    database: Database, notices: Notices, kept: KeptAudio | None, message_id: str = "m1", **changes: Any
) -> Request | None:
    values: dict[str, Any] = {"take": 1, "pickup_due_at": DUE, "now": NOW + timedelta(minutes=1)}
    return await database.run(operations.file_message, message_id, kept, notices, **(values | changes))


async def get(database: Database, message_id: str = "m1") -> Message:
    return await database.read(queries.message, message_id)


async def events(database: Database, request: Request) -> list[str]:
    def kinds(session: Session) -> list[str]:
        query = select(RequestEvent.kind).where(RequestEvent.request_id == request.id).order_by(RequestEvent.id)
        return list(session.scalars(query))

    return await database.read(kinds)


def lease(now: datetime = NOW, **narrower: Any) -> dict[str, Any]:
    return {"lease_seconds": 60, "now": now, **narrower}


async def test_a_message_becomes_a_request_with_its_promise(database: Database, notices: Notices) -> None:
    await begin(database, area="credentials")
    request = await file(database, notices, SPOKEN)
    assert request is not None
    assert request.ticket
    assert (request.channel, request.status, request.kind) == (Channel.VOICEMAIL, Status.QUEUED, Kind.REQUEST)
    assert (request.area, request.phone, request.call_id) == ("credentials", "+390805551234", "c1")
    assert (request.received_at, request.pickup_due_at) == (NOW, DUE)
    assert request.subject == "Messaggio vocale da +39 080 555 1234"
    message = await get(database)
    assert (message.state, message.transcript_state) == (MessageState.FILED, TranscriptState.WAITING)
    assert (message.audio, message.sha256, message.seconds) == (SPOKEN.path, SPOKEN.sha256, 12.5)
    assert message.request is not None
    assert message.request.ticket == request.ticket


async def test_filing_twice_gives_the_same_request(database: Database, notices: Notices) -> None:
    await begin(database)
    first = await file(database, notices, SPOKEN)
    again = await file(database, notices, SPOKEN)
    lost = await file(database, notices, None)
    assert first is not None
    assert again is not None
    assert lost is not None
    assert first.id == again.id == lost.id
    assert (await get(database)).state is MessageState.FILED
    assert await events(database, first) == ["opened"]


async def test_a_second_beginning_changes_nothing(database: Database) -> None:
    await begin(database)
    message = await begin(database, caller="anonymous", now=NOW + timedelta(hours=1))
    assert (message.caller, message.started_at) == ("+390805551234", NOW)


@pytest.mark.parametrize(("kept", "state"), [(SILENT, MessageState.EMPTY), (None, MessageState.LOST)])
async def test_silence_is_no_request(
    database: Database, notices: Notices, kept: KeptAudio | None, state: MessageState
) -> None:
    await begin(database)
    for _ in range(2):
        assert await file(database, notices, kept) is None
    message = await get(database)
    assert (message.state, message.transcript_state) == (state, TranscriptState.NONE)
    assert message.audio == (kept.path if kept else None)
    assert message.request_id is None


@pytest.mark.parametrize("kept", [SILENT, None])
async def test_a_keyed_number_is_a_request_even_without_a_word(
    database: Database, notices: Notices, kept: KeptAudio | None
) -> None:
    await begin(database, caller=None)
    request = await file(database, notices, kept, callback="3471234567")
    again = await file(database, notices, kept, callback="3471234567")
    assert request is not None
    assert again is not None
    assert request.id == again.id
    assert request.subject == "Richiesta di essere richiamati da +39 347 123 4567"
    assert request.phone == "+393471234567"


async def test_a_caller_who_tries_again_after_silence_is_filed(database: Database, notices: Notices) -> None:
    await begin(database)
    await file(database, notices, SILENT)
    assert (await begin(database)).state is MessageState.RECORDING
    assert await file(database, notices, SPOKEN) is not None


@pytest.mark.parametrize("earlier", [SILENT, None])
async def test_better_audio_that_turns_up_later_is_filed(
    database: Database, notices: Notices, earlier: KeptAudio | None
) -> None:
    await begin(database)
    assert await file(database, notices, earlier) is None
    request = await file(database, notices, SPOKEN)
    assert request is not None
    assert (await get(database)).state is MessageState.FILED


async def test_subjects_are_in_the_language_of_the_message(database: Database, notices: Notices) -> None:
    await begin(database, "m1", language="en", caller="anonymous")
    await begin(database, "m2", language="it", caller=None)
    await begin(database, "m3", language="en", caller="101")
    subjects = []
    for message_id in ("m1", "m2", "m3"):
        request = await file(database, notices, SPOKEN, message_id)
        assert request is not None
        subjects.append(request.subject)
    assert subjects == [
        "Voice message from a withheld number",
        "Messaggio vocale da numero riservato",
        "Voice message from 101",
    ]


async def test_hostile_fields_cost_nothing(database: Database, notices: Notices) -> None:
    await begin(database, caller="<script>alert(1)</script>" * 50, area="'; drop table message", line="x" * 500)
    request = await file(database, notices, SPOKEN, callback="not a number", email="no address\r\nBcc: x@y.z")
    assert request is not None
    assert (request.area, request.phone, request.email) == ("application", None, None)


async def test_the_contact_gets_the_notice_and_the_request_its_company(database: Database, notices: Notices) -> None:
    company = await database.run(directory.add_company, "ASL Bari")
    contact = await database.run(directory.add_contact, "Maria Rossi", email="maria@example.org", company_id=company.id)
    await begin(database, contact_id=contact.id)
    request = await file(database, notices, SPOKEN)
    assert request is not None
    assert request.company_id == company.id

    def recipients(session: Session) -> list[str]:
        return list(session.scalars(select(OutboxMail.recipient)))

    assert await database.read(recipients) == ["maria@example.org"]


async def test_takes_are_counted_until_the_message_is_over(database: Database, notices: Notices) -> None:
    await begin(database)
    assert (await database.run(operations.next_take, "m1")).take == 2
    await file(database, notices, SPOKEN, take=2)
    with pytest.raises(MessageOver):
        await database.run(operations.next_take, "m1")
    with pytest.raises(MessageNotFound):
        await database.run(operations.next_take, "m9")
    with pytest.raises(MessageNotFound):
        await file(database, notices, SPOKEN, "m9")


async def test_the_languages_of_what_waits(database: Database, notices: Notices) -> None:
    for message_id, language in (("m1", "en"), ("m2", "en"), ("m3", "it")):
        await begin(database, message_id, language=language)
        await file(database, notices, SPOKEN, message_id)
    assert await database.read(queries.languages_due, NOW) == {"en", "it"}
    await database.run(operations.lease_next, **lease(languages=["it"]))
    assert await database.read(queries.languages_due, NOW) == {"en"}


async def test_changes_are_announced(database: Database, notices: Notices) -> None:
    seen: list[Change] = []
    database.subscribe(seen.extend)
    await begin(database)
    assert seen == [Change("message", "m1")]
    seen.clear()
    await file(database, notices, SPOKEN)
    assert {change.kind for change in seen} == {"message", operations.TRANSCRIPT_DUE, "request"}


async def test_a_transcript_is_stored_with_its_numbers_and_noted(database: Database, notices: Notices) -> None:
    await begin(database)
    request = await file(database, notices, SPOKEN)
    leased = await database.run(operations.lease_next, **lease())
    assert leased is not None
    words = ["richiamatemi", "al", "tre", "quattro", "sette", "cinque", "due", "otto"]
    transcript = Transcript(tuple(Word(w, i * 0.5, i * 0.5 + 0.4, 0.9) for i, w in enumerate(words)))
    await database.run(operations.store_transcript, "m1", transcript, now=NOW, attempt=leased.attempts)
    message = await get(database)
    assert message.transcript_state is TranscriptState.DONE
    assert message.transcript == "Richiamatemi al tre quattro sette cinque due otto"
    assert message.numbers == ["347528"]
    assert message.words is not None
    assert message.words[1] == {"word": "al", "start": 0.5, "end": 0.9, "confidence": 0.9}
    assert request is not None
    assert await events(database, request) == ["opened", "transcribed"]


async def test_a_row_is_leased_once_until_the_lease_runs_out(database: Database, notices: Notices) -> None:
    await begin(database)
    await file(database, notices, SPOKEN)
    first = await database.run(operations.lease_next, **lease())
    assert first is not None
    assert await database.run(operations.lease_next, **lease()) is None
    assert await database.run(
        operations.renew_lease, "m1", attempt=1, lease_seconds=60, now=NOW + timedelta(seconds=50)
    )
    assert await database.run(operations.lease_next, **lease(NOW + timedelta(seconds=100))) is None
    second = await database.run(operations.lease_next, **lease(NOW + timedelta(seconds=111)))
    assert second is not None
    assert second.attempts == 2
    # The first holder wakes up: what it found no longer counts.
    assert not await database.run(operations.renew_lease, "m1", attempt=1, lease_seconds=60, now=NOW)
    await database.run(operations.store_transcript, "m1", Transcript(()), now=NOW, attempt=1)
    assert (await get(database)).transcript_state is TranscriptState.RUNNING


async def test_leases_can_be_narrowed(database: Database, notices: Notices) -> None:
    await begin(database, "m1", language="en")
    await begin(database, "m2", now=NOW + timedelta(minutes=1))
    await begin(database, "m3", now=NOW + timedelta(minutes=2))
    for message_id in ("m1", "m2", "m3"):
        await file(database, notices, SPOKEN, message_id)
    only = await database.run(operations.lease_next, **lease(languages=["it"], only=["m3", "m1"]))
    assert only is not None
    assert only.id == "m3"
    italian = await database.run(operations.lease_next, **lease(languages=["it"]))
    assert italian is not None
    assert italian.id == "m2"
    assert await database.run(operations.lease_next, **lease(languages=["it"])) is None
    assert await database.run(operations.lease_next, **lease(languages=[])) is None


async def test_failures_are_tried_again_later_and_given_up_in_the_end(database: Database, notices: Notices) -> None:
    await begin(database)
    await file(database, notices, SPOKEN)
    now = NOW
    for attempt in range(1, operations.MOST_ATTEMPTS + 1):
        now += timedelta(hours=1)
        leased = await database.run(operations.lease_next, **lease(now))
        assert leased is not None
        assert leased.attempts == attempt
        await database.run(operations.transcript_failed, "m1", "broken", now=now, attempt=attempt)
        assert await database.run(operations.lease_next, **lease(now)) is None
    message = await get(database)
    assert (message.transcript_state, message.transcript_error) == (TranscriptState.FAILED, "broken")
    assert await database.run(operations.lease_next, **lease(now + timedelta(days=1))) is None
    await database.run(operations.transcribe_again, "m1")
    assert await database.run(operations.lease_next, **lease(now)) is not None


async def test_a_failure_that_is_not_the_messages_own_gives_the_attempt_back(
    database: Database, notices: Notices
) -> None:
    await begin(database)
    await file(database, notices, SPOKEN)
    for _ in range(2 * operations.MOST_ATTEMPTS):
        leased = await database.run(operations.lease_next, **lease())
        assert leased is not None
        await database.run(operations.transcript_failed, "m1", "no model", now=NOW, attempt=1, counts=False)
    message = await get(database)
    assert (message.transcript_state, message.attempts) == (TranscriptState.WAITING, 0)


async def test_a_message_that_takes_the_service_down_each_time_is_given_up(
    database: Database, notices: Notices
) -> None:
    await begin(database)
    await file(database, notices, SPOKEN)
    now = NOW
    while await database.run(operations.lease_next, **lease(now)):
        now += timedelta(hours=1)
    message = await get(database)
    assert (message.transcript_state, message.attempts) == (TranscriptState.FAILED, operations.MOST_ATTEMPTS)


async def test_who_listened_is_in_the_history(database: Database, notices: Notices) -> None:
    await begin(database)
    request = await file(database, notices, SPOKEN)
    assert request is not None
    await database.run(operations.mark_heard, "m1", actor="anna", now=NOW)
    await database.run(operations.mark_heard, "m1", actor="anna", now=NOW + timedelta(seconds=3))
    message = await database.run(operations.mark_heard, "m1", actor="bruno", now=NOW + timedelta(hours=1))
    assert (message.heard_by, message.heard_at) == ("anna", NOW)
    assert await events(database, request) == ["opened", "heard", "heard"]


async def test_messages_are_erased_after_their_time(database: Database, notices: Notices, tmp_path: Path) -> None:
    store = AudioStore(tmp_path / "audio")
    kept = {}
    for message_id, audio in (("old", SPOKEN), ("open", SPOKEN), ("silent", SILENT)):
        path = f"2026/03/{message_id}.wav"
        (store.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (store.folder / path).write_bytes(b"audio")
        await begin(database, message_id)
        kept[message_id] = KeptAudio(path, audio.sha256, audio.seconds, audio.speech_seconds)
        await file(database, notices, kept[message_id], message_id)
    old = await get(database, "old")
    assert old.request_id is not None
    await database.run(tickets.close_request, old.request_id, notices, solution="Risolto.", actor="anna", now=NOW)
    later = NOW + timedelta(days=181)
    assert await erase_expired(database, store, timedelta(days=180), now=later) == 2
    assert await erase_expired(database, store, timedelta(days=180), now=later) == 0
    assert [p.name for p in store.folder.rglob("*.wav")] == ["open.wav"]
    old = await get(database, "old")
    assert (old.audio, old.transcript, old.state) == (None, None, MessageState.FILED)
    assert old.request is not None
    assert (await events(database, old.request))[-1] == "audio_erased"
    assert await database.run(operations.lease_next, **lease(only=["old"])) is None
