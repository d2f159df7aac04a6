"""Alarms: told once when they begin, once when they are over, and never in the way of what sounds them."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from tickets.alarms import Alarms, AlarmSettings, Words, open_alarms, words_of
from tickets.database import Database
from tickets.models import Alarm, OutboxMail
from tickets.notices import Notices, NoticeSettings

pytestmark = pytest.mark.contract

FULL = Words(it="Il disco è pieno:\nfai spazio.", en="The disk is full:\nmake room.")
AWAY = Words(it="non si raggiunge", en="away")


@pytest.fixture
def alarms(database: Database, notices: Notices) -> Alarms:
    settings = AlarmSettings(email=("ced@example.org",))
    return Alarms(database, settings, notices, lambda: datetime(2026, 11, 24, 12, 0, tzinfo=UTC))


async def test_an_alarm_sounded_again_and_again_is_told_once(alarms: Alarms, database: Database) -> None:
    for _ in range(3):
        await alarms.sound("disk_space", FULL)
    [alarm] = await database.read(open_alarms)
    assert (alarm.kind, words_of(alarm)) == ("disk_space", {"it": FULL.it, "en": FULL.en})
    [mail] = await database.read(_mails)
    assert mail.recipient == "ced@example.org"
    assert "fai spazio" in mail.body


@pytest.mark.parametrize(
    ("language", "title", "over", "since"),
    [
        (
            "it",
            "ALLARME: disk_space nord",
            "Allarme rientrato: disk_space nord",
            "Dal martedì 24 novembre 2026, ore 13:00",
        ),
        ("en", "ALARM: disk_space nord", "Over: disk_space nord", "Since Tuesday 24 November 2026, 13:00"),
    ],
)
async def test_its_mails_are_in_the_language_of_the_site(
    database: Database, language: str, title: str, over: str, since: str
) -> None:
    notices = Notices(NoticeSettings.model_validate({"language": language}))
    settings = AlarmSettings(email=("ced@example.org",))
    alarms = Alarms(database, settings, notices, lambda: datetime(2026, 11, 24, 12, 0, tzinfo=UTC))
    await alarms.sound("disk_space", FULL, "nord")
    await alarms.end("disk_space", "nord")
    first, last = await database.read(_mails)
    assert (first.subject, last.subject) == (title, over)
    for mail in (first, last):
        assert mail.body.startswith({"it": FULL.it, "en": FULL.en}[language])
        assert since in mail.body


def test_an_alarm_of_a_version_without_italian_words_has_its_english_ones() -> None:
    assert words_of(Alarm(words="The disk is full.")) == {"it": "The disk is full.", "en": "The disk is full."}


async def test_when_it_is_over_that_is_told_and_it_may_begin_anew(alarms: Alarms, database: Database) -> None:
    await alarms.sound("disk_space", FULL)
    await alarms.end("disk_space")
    await alarms.end("disk_space")
    assert not await database.read(open_alarms)
    assert [mail.kind for mail in await database.read(_mails)] == ["alarm", "alarm_over"]
    await alarms.sound("disk_space", FULL)
    assert len(await database.read(open_alarms)) == 1


async def test_alarms_about_different_things_stand_side_by_side(alarms: Alarms, database: Database) -> None:
    await alarms.sound("node_lost", AWAY, "north")
    await alarms.sound("node_lost", AWAY, "south")
    await alarms.end("node_lost", "north")
    assert [alarm.subject for alarm in await database.read(open_alarms)] == ["south"]


async def test_an_alarm_that_cannot_be_stored_stops_nobody(alarms: Alarms, database: Database) -> None:
    await database.close()
    await alarms.sound("disk_space", FULL)
    await alarms.end("disk_space")


def _mails(session: Session) -> list[OutboxMail]:
    return list(session.scalars(select(OutboxMail).order_by(OutboxMail.id)))
