"""Steering a call that another worker serves: the command is a row, which that worker obeys and answers."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import cast

import structlog
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from ivr.errors import CommandRefused
from ivr.flow.call import CommandName
from ivr.models import Call, CallCommand, Phase
from ivr.tasks import Tasks
from tickets.changes import Change
from tickets.database import Database, announce

log = structlog.get_logger()

ASKED, ANSWERED = "command_asked", "command_answered"
COMMAND_SECONDS = 60.0
"""An attended transfer may ring this long before the desk hears that nobody answers."""
LOOK_SECONDS = 1.0
"""An answer of which no hint came is found by looking."""


def phase_of(name: CommandName) -> Phase:
    """The phase in which a call obeys a command."""
    return Phase.WAITING if name == "move" else Phase.TALKING


class Asking:
    """Asks other workers to steer their calls."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self.database, self.now = database, now
        self._answered = asyncio.Event()

    def hear(self, changes: Collection[Change]) -> None:
        """Take hints that an answer may be there."""
        if any(change.kind == ANSWERED for change in changes):
            self._answered.set()

    async def ask(self, call_id: str, name: CommandName, target: str) -> None:
        """Have whoever serves the call carry out a command. Raises CommandRefused as that worker does."""
        command_id = uuid.uuid4().hex
        await self.database.run(_ask, command_id, call_id, name, target, now=self.now())
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                while not (answer := await self.database.read(_answer, command_id)):
                    self._answered.clear()
                    try:
                        async with asyncio.timeout(LOOK_SECONDS):
                            await self._answered.wait()
                    except TimeoutError:
                        pass
        except TimeoutError:
            raise CommandRefused("nobody serves that call just now: look at it and try again") from None
        finally:
            await self.database.run(_forget, command_id)
        if answer.refused is not None:
            raise CommandRefused(answer.refused)


class Obeying:
    """Obeys other workers' desks: `obey` carries out a command for a call in this worker's hands."""

    def __init__(
        self, database: Database, obey: Callable[[str, CommandName, str], Awaitable[None]], now: Callable[[], datetime]
    ) -> None:
        self.database, self._obey, self.now = database, obey, now
        self._tasks = Tasks()
        self._obeying: set[str] = set()

    async def end(self) -> None:
        """Leave what is under way."""
        await self._tasks.end()

    async def look(self, apps: Sequence[str]) -> None:
        """Obey what is asked for calls of these applications; each command once."""
        due = await self.database.read(_due, apps, since=self.now() - timedelta(seconds=COMMAND_SECONDS))
        for command in due:
            if command.id not in self._obeying:
                self._obeying.add(command.id)
                self._tasks.spawn(self._carry_out(command))

    async def _carry_out(self, command: CallCommand) -> None:
        try:
            refused = None
            try:
                await self._obey(command.call_id, cast("CommandName", command.name), command.target)
            except CommandRefused as error:
                refused = str(error)
            await self.database.run(_give_answer, command.id, refused, now=self.now())
        finally:
            self._obeying.discard(command.id)


def _ask(session: Session, command_id: str, call_id: str, name: str, target: str, *, now: datetime) -> None:
    wanted = phase_of(cast("CommandName", name))
    if session.get_one(Call, call_id).phase is not wanted:
        raise CommandRefused(f"that call is not {wanted} any more")
    session.add(CallCommand(id=command_id, call_id=call_id, name=name, target=target, asked_at=now))
    announce(session, ASKED, command_id)


def _due(session: Session, apps: Sequence[str], *, since: datetime) -> Sequence[CallCommand]:
    return session.scalars(
        select(CallCommand)
        .join(Call, Call.id == CallCommand.call_id)
        .where(Call.app.in_(apps), CallCommand.answered_at.is_(None), CallCommand.asked_at > since)
        .order_by(CallCommand.asked_at)
    ).all()


def _give_answer(session: Session, command_id: str, refused: str | None, *, now: datetime) -> None:
    session.execute(update(CallCommand).where(CallCommand.id == command_id).values(answered_at=now, refused=refused))
    announce(session, ANSWERED, command_id)


def _answer(session: Session, command_id: str) -> CallCommand | None:
    command = session.get_one(CallCommand, command_id)
    if command.answered_at is None and session.get_one(Call, command.call_id).ended_at is not None:
        raise CommandRefused("the call has ended")
    return command if command.answered_at is not None else None


def _forget(session: Session, command_id: str) -> None:
    session.execute(delete(CallCommand).where(CallCommand.id == command_id))
