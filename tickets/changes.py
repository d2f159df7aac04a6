"""What has changed, told to the other processes on one PostgreSQL server.

Hints only (LISTEN and NOTIFY): while the connection is away they are lost, and everything goes on without them
as fast as the clock looks again.
"""

import asyncio
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import psycopg
import structlog
from sqlalchemy import String, cast, func, select
from sqlalchemy.orm import Session

log = structlog.get_logger()

CHANNEL = "centralino"
CHANGES_A_MESSAGE = 60
"""PostgreSQL takes messages of 8,000 bytes; a change has at most about 100."""
RECONNECT_SECONDS = 1.0
MISSED = "missed"
"""Not a change but the want of one: any may have been missed."""


@dataclass(frozen=True, slots=True)
class Change:
    """A hint that a row was committed: `kind` is the table's word (call, agent, request, message, outbox)."""

    kind: str
    id: int | str


class Hints:
    """This process's voice and ear. `hear` is called with what other processes have changed.

    `address` is what psycopg connects to, by the names of its parameters.
    """

    def __init__(self, address: Mapping[str, Any], hear: Callable[[frozenset[Change]], None]) -> None:
        self._address = address
        self._hear = hear
        self._me = uuid.uuid4().hex[:12]

    def send(self, session: Session, changes: Collection[Change]) -> str | None:
        """Tell the others, once the transaction is committed; returns its number, or None when it wrote nothing."""
        parts = _parts([[change.kind, change.id] for change in changes])
        notices = [func.pg_notify(CHANNEL, orjson.dumps([self._me, part]).decode()) for part in parts]
        # a text, since no driver has a type for it
        number = cast(func.pg_current_xact_id_if_assigned(), String)
        written: str | None = session.execute(select(number, *notices)).one()[0]
        return written

    async def listen(self) -> None:
        """Hear the others, for ever. After a time of deafness one change of the kind `MISSED` is heard."""
        deaf = False
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(**self._address, autocommit=True) as connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    if deaf:
                        self._hear(frozenset({Change(MISSED, 0)}))
                    async for message in connection.notifies():
                        self._take(message.payload)
            except (psycopg.Error, OSError) as error:
                log.warning("hints of other workers are not heard, trying again", error=repr(error))
            deaf = True
            await asyncio.sleep(RECONNECT_SECONDS)

    def _take(self, payload: str) -> None:
        try:
            sender, changes = orjson.loads(payload)
            heard = frozenset(Change(kind, id_) for kind, id_ in changes)
        except (ValueError, TypeError):
            log.warning("a hint that is none")  # somebody else writes on our channel
            return
        if sender != self._me:
            self._hear(heard)


def _parts(items: list[list[int | str]]) -> Iterator[list[list[int | str]]]:
    for start in range(0, len(items), CHANGES_A_MESSAGE):
        yield items[start : start + CHANGES_A_MESSAGE]
