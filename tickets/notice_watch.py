"""Looks after the notices: those that are held, and the site's templates that fail, are told by alarms."""

import asyncio

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from tickets.alarms import Alarms, Words, open_alarms
from tickets.database import Database
from tickets.notices import Notices
from tickets.outbox import held_notices

HELD = "notices_held"
"""The alarm that mails are over a cap."""
TEMPLATE = "notice_template"
"""The alarm that a template of the site fails; its subject is the template's name."""


class NoticeWatch:
    """One process's eye on the notices. Every worker has its own, since each reads the templates by itself."""

    def __init__(self, database: Database, notices: Notices, alarms: Alarms) -> None:
        self.database, self.notices, self.alarms = database, notices, alarms
        self._told: set[str] | None = None

    async def look(self) -> None:
        """Sound what is to be told, and end what is over. Never raises for a database that is away."""
        try:
            held = await self.database.read(held_notices)
            open_ones = await self.database.read(_open)
        except (SQLAlchemyError, OSError, TimeoutError):  # told by the alarm about the database itself
            return
        if held and HELD not in {kind for kind, _ in open_ones}:
            await self.alarms.sound(
                HELD,
                Words(
                    it=f"{held} avvisi trattenuti: in un'ora ne sono stati scritti a un indirizzo, o su una richiesta, "
                    "più di quanti [notices.caps] ne ammette. Forse due help desk si rispondono a vicenda. "
                    "`centralino notices stopped` li mostra, `centralino notices retry` li invia, "
                    "`centralino notices dismiss` vi rinuncia.",
                    en=f"{held} notices are held: more were written to one address or about one request within an hour "
                    "than [notices.caps] allows. Perhaps two desks answer each other's mails. Look at them with "
                    "`centralino notices stopped`; send them with `centralino notices retry`, or give them up with "
                    "`centralino notices dismiss`.",
                ),
            )
        elif not held and HELD in {kind for kind, _ in open_ones}:
            await self.alarms.end(HELD)
        await self._look_at_templates({subject for kind, subject in open_ones if kind == TEMPLATE})

    async def _look_at_templates(self, open_ones: set[str]) -> None:
        failing = await asyncio.to_thread(self.notices.check)  # calls must not wait for it
        for name, problem in failing.items():
            if name not in open_ones:
                await self.alarms.sound(
                    TEMPLATE,
                    Words(
                        it=f"Il modello {name} di questo sito non si può usare ({problem}): gli avvisi partono con le "
                        "parole del programma. Correggilo e guardalo con `centralino notices preview`.",
                        en=f"The site's template {name} cannot be used ({problem}); notices go out in the package's "
                        "words. Mend it, and look at it with `centralino notices preview`.",
                    ),
                    name,
                )
        # What another worker has told may be true for it alone: only at its start does a worker end others' alarms.
        for name in (open_ones if self._told is None else self._told & open_ones) - failing.keys():
            await self.alarms.end(TEMPLATE, name)
        self._told = set(failing)


def _open(session: Session) -> list[tuple[str, str]]:
    return [(alarm.kind, alarm.subject) for alarm in open_alarms(session)]
