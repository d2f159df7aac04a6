"""Alarms: what people have to look after, told once when it begins and once when it is over.

An alarm is a row for as long as what it tells of lasts: on the pages of the supervisors, in the log, and by mail to
those whom the site names. Who sounds it may do so again and again; it is told once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import structlog
from pydantic import AfterValidator, BaseModel, ConfigDict
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from schedules.words import date_and_time
from tickets.database import Database, announce
from tickets.models import Alarm
from tickets.notices import Notices, check_email
from tickets.texts import clean_line, clean_text

log = structlog.get_logger()

MAILS = ("alarm", "alarm_over")
"""The kinds of the mails that tell of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What is wrong and what to do, for people, in both languages; the log and the commands speak English."""

    it: str
    en: str


class AlarmSettings(BaseModel):
    """Who is told of alarms by mail."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    email: tuple[Annotated[str, AfterValidator(check_email)], ...] = ()


class Alarms:
    """Sounds alarms and ends them. `kind` is a word for programs, `subject` tells apart what may fail in many places.

    Neither method ever raises: an alarm that cannot be stored, such as one about the database itself, is in the log.
    """

    def __init__(
        self, database: Database, settings: AlarmSettings, notices: Notices, now: Callable[[], datetime]
    ) -> None:
        self.database, self.settings, self.notices, self.now = database, settings, notices, now
        self._only_logged: set[tuple[str, str]] = set()

    async def sound(self, kind: str, words: Words, subject: str = "") -> None:
        """Tell that something is wrong, in words that say what to do; does nothing while this alarm is open."""
        try:
            new = await self.database.run(
                _sound, kind, subject, words, self.settings.email, self.notices, now=self.now()
            )
        except IntegrityError:  # another worker was faster
            return
        except Exception as error:
            new = (kind, subject) not in self._only_logged
            self._only_logged.add((kind, subject))
            log.warning("alarm not stored", alarm=kind, subject=subject, error=repr(error))
        else:
            self._only_logged.discard((kind, subject))
        if new:
            log.error("alarm", alarm=kind, subject=subject, words=words.en)

    async def end(self, kind: str, subject: str = "") -> None:
        """Tell that it is over; does nothing when there is no such alarm."""
        self._only_logged.discard((kind, subject))
        try:
            ended = await self.database.run(_end, kind, subject, self.settings.email, self.notices, now=self.now())
        except Exception as error:
            log.warning("end of an alarm not stored", alarm=kind, subject=subject, error=repr(error))
            return
        if ended:
            log.info("alarm is over", alarm=kind, subject=subject)


def open_alarms(session: Session) -> Sequence[Alarm]:
    """What is wrong now, the oldest first."""
    return session.scalars(select(Alarm).where(Alarm.ended_at.is_(None)).order_by(Alarm.id)).all()


def words_of(alarm: Alarm) -> dict[str, str]:
    """Its words by language; one of a version that had none in Italian has the English ones."""
    return {"it": alarm.words_it or alarm.words, "en": alarm.words}


_TITLES = {
    "it": {"alarm": "ALLARME", "alarm_over": "Allarme rientrato"},
    "en": {"alarm": "ALARM", "alarm_over": "Over"},
}
_SINCE = {
    "it": "Dal {since}. Allarmi aperti: centralino alarms",
    "en": "Since {since}. Open alarms: centralino alarms",
}


def _sound(
    session: Session,
    kind: str,
    subject: str,
    words: Words,
    recipients: Sequence[str],
    notices: Notices,
    *,
    now: datetime,
) -> bool:
    known = session.scalar(
        select(Alarm.id).where(Alarm.kind == kind, Alarm.subject == subject, Alarm.ended_at.is_(None))
    )
    if known is not None:
        return False
    alarm = Alarm(kind=kind, subject=subject, words=clean_text(words.en), words_it=clean_text(words.it), sounded_at=now)
    session.add(alarm)
    session.flush()
    _mail(session, alarm, "alarm", recipients, notices, now=now)
    announce(session, "alarm", alarm.id)
    return True


def _end(
    session: Session, kind: str, subject: str, recipients: Sequence[str], notices: Notices, *, now: datetime
) -> bool:
    alarm = session.scalar(
        update(Alarm)
        .where(Alarm.kind == kind, Alarm.subject == subject, Alarm.ended_at.is_(None))
        .values(ended_at=now)
        .returning(Alarm)
    )
    if alarm is None:
        return False
    _mail(session, alarm, "alarm_over", recipients, notices, now=now)
    announce(session, "alarm", alarm.id)
    return True


def _mail(
    session: Session,
    alarm: Alarm,
    kind: str,
    recipients: Sequence[str],
    notices: Notices,
    *,
    now: datetime,
) -> None:
    language = notices.settings.language
    since = date_and_time(alarm.sounded_at, notices.settings.timezone, language)
    title = f"{_TITLES[language][kind]}: {alarm.kind} {alarm.subject}"
    body = f"{words_of(alarm)[language]}\n\n{_SINCE[language].format(since=since)}\n"
    for recipient in recipients:
        mail = notices.mail(kind, recipient, clean_line(title), body, now=now)
        session.add(mail)
        session.flush()
        announce(session, "outbox", mail.id)
