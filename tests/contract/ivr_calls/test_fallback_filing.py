"""What the dialplan recorded is filed once, whoever else writes about the same call at that moment."""

import asyncio
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from centralino.rig.speech import utterance
from ivr import ledger
from ivr.call_records import ChannelEvent, Piece, Position
from ivr.config import CallsConfig
from ivr.flow import message
from ivr.flow.call import Services
from ivr.models import Call, Outcome
from tickets.attachments import AttachmentStore
from tickets.database import Database
from tickets.models import Request
from tickets.notices import Notices, NoticeSettings
from voicemail.audio import AudioStore
from voicemail.fallback import FallbackRecording
from voicemail.models import Message, MessageState

pytestmark = pytest.mark.contract

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=2)
CHANNEL = f"{NOW.timestamp():.0f}.7"
CONFIG = CallsConfig.model_validate(
    {
        "calendars": {"sempre": {"weekly": {"tuesday": ["00:00-24:00"]}}},
        "queues": {"edotto": {}},
        "lines": [{"number": "800", "name": "Edotto", "calendar": "sempre", "queue": "edotto"}],
    }
)


@pytest.fixture
def services(database: Database, tmp_path: Path) -> Services:
    """What filing works with; nothing of it is Asterisk."""
    if not database.shared:
        pytest.skip("an SQLite file is written by one at a time")
    nothing = cast("Any", None)
    return Services(
        ari=nothing,
        app="centralino",
        database=database,
        config=CONFIG,
        prompts=nothing,
        screen=nothing,
        audio=AudioStore(tmp_path / "audio"),
        attachments=AttachmentStore(tmp_path / "attachments"),
        room=nothing,
        recordings=nothing,
        transcripts=None,
        notices=Notices(NoticeSettings()),
        now=lambda: LATER,
    )


@pytest.fixture
async def recording(database: Database, tmp_path: Path) -> FallbackRecording:
    """A message in the dialplan's folder, of a call in Asterisk's records."""
    path = tmp_path / f"{CHANNEL}_800_0805551234_{NOW.timestamp() + 2:.0f}.wav"
    shutil.copy(utterance("festival-063"), path)
    events = [
        ChannelEvent("reached", CHANNEL, NOW, False, "800", "0805551234"),
        ChannelEvent("recording", CHANNEL, NOW + timedelta(seconds=36), True, "800", "0805551234"),
        ChannelEvent("ended", CHANNEL, NOW + timedelta(seconds=42), True, "800", "0805551234"),
    ]
    await database.run(ledger.store, "cel", Position(), Piece(events, Position(1, b"x"), 0, lost=False), now=LATER)
    return FallbackRecording(path, CHANNEL, "800", "0805551234", NOW)


async def somebody_waits(database: Database) -> None:
    """Wait until a transaction waits for another."""
    waits = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    async with asyncio.timeout(2.5):
        while not await database.read(lambda session: session.scalar(waits)):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


async def filed_once(database: Database) -> None:
    def seen(session: Session) -> None:
        call = session.scalars(select(Call)).one()
        stored, request = session.scalars(select(Message)).one(), session.scalars(select(Request)).one()
        assert (call.outcome, call.message_id, call.started_at) == (Outcome.FALLBACK, stored.id, NOW)
        assert (stored.state, stored.started_at, request.received_at) == (MessageState.FILED, NOW, NOW)

    await database.read(seen)


async def test_the_ledger_is_writing_the_row_of_a_call_whose_message_is_filed(
    services: Services, recording: FallbackRecording
) -> None:
    database = services.database
    with Session(database.engine) as slow:
        assert ledger.settle(slow, CONFIG, "centralino", now=LATER) == 1
        slow.flush()
        filing = asyncio.create_task(message.file_fallback(services, recording))
        await somebody_waits(database)
        slow.commit()
    await filing
    await filed_once(database)


async def test_a_message_is_being_filed_of_a_call_whose_row_the_ledger_writes(
    services: Services, recording: FallbackRecording
) -> None:
    database = services.database
    begun = {"app": "centralino", "message_id": message.id_of_fallback(CHANNEL), "line": CONFIG.lines[0]}
    with Session(database.engine) as slow:
        message._begin_fallback(slow, recording=recording, caller=None, contact_id=None, **begun)  # type: ignore[arg-type]
        slow.flush()
        settling = asyncio.create_task(database.run(ledger.settle, CONFIG, "centralino", now=LATER))
        await somebody_waits(database)
        slow.commit()
    assert await settling == 0
    await message.file_fallback(services, recording)
    await filed_once(database)
    assert await database.run(ledger.settle, CONFIG, "centralino", now=LATER) == 1
    assert await database.read(lambda session: session.scalar(select(func.count()).select_from(Call))) == 1
