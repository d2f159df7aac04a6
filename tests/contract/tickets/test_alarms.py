"""Alarms: told once when they begin, once when they are over, and never in the way of what sounds them."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from tickets.alarms import Alarms, AlarmSettings, open_alarms
from tickets.database import Database
from tickets.models import OutboxMail
from tickets.notices import Notices

pytestmark = pytest.mark.contract


@pytest.fixture
def alarms(database: Database, notices: Notices) -> Alarms:
    settings = AlarmSettings(email=("ced@example.org",))
    return Alarms(database, settings, notices, lambda: datetime(2026, 11, 24, 12, 0, tzinfo=UTC))


async def test_an_alarm_sounded_again_and_again_is_told_once(alarms: Alarms, database: Database) -> None:
    for _ in range(3):
        await alarms.sound("disk_space", "The disk is full:\nmake room.")
    [alarm] = await database.read(open_alarms)
    assert (alarm.kind, alarm.words) == ("disk_space", "The disk is full:\nmake room.")
    [mail] = await database.read(_mails)
    assert mail.recipient == "ced@example.org"
    assert "make room" in mail.body


async def test_when_it_is_over_that_is_told_and_it_may_begin_anew(alarms: Alarms, database: Database) -> None:
    await alarms.sound("disk_space", "full")
    await alarms.end("disk_space")
    await alarms.end("disk_space")
    assert not await database.read(open_alarms)
    assert [mail.kind for mail in await database.read(_mails)] == ["alarm", "alarm_over"]
    await alarms.sound("disk_space", "full again")
    assert len(await database.read(open_alarms)) == 1


async def test_alarms_about_different_things_stand_side_by_side(alarms: Alarms, database: Database) -> None:
    await alarms.sound("node_lost", "away", "north")
    await alarms.sound("node_lost", "away", "south")
    await alarms.end("node_lost", "north")
    assert [alarm.subject for alarm in await database.read(open_alarms)] == ["south"]


async def test_an_alarm_that_cannot_be_stored_stops_nobody(alarms: Alarms, database: Database) -> None:
    await database.close()
    await alarms.sound("disk_space", "full")
    await alarms.end("disk_space")


def _mails(session: Session) -> list[OutboxMail]:
    return list(session.scalars(select(OutboxMail).order_by(OutboxMail.id)))
