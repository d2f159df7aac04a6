"""The switchboard as a process has it that serves pages only: other processes have the calls, and are asked."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import datetime
from types import TracebackType
from typing import Self

import structlog

from ivr import operations
from ivr.flow.call import CommandName
from ivr.leases import PAGES, Leases
from ivr.steering import Asking
from tickets.database import Database

log = structlog.get_logger()


class SwitchboardElsewhere:
    """Use as `async with`, and call `beat` every `ivr.leases.BEAT_SECONDS`, so that the workers know that it lives."""

    def __init__(self, name: str, database: Database, now: Callable[[], datetime]) -> None:
        self.name = f"{PAGES}{name}"
        self.database = database
        self._leases = Leases(database)
        self._asking = Asking(database, now)
        self._workers = False
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Begin with no page open."""
        await self._leases.claim(self.name)
        self._stack.push_async_callback(self._leases.drop, self.name)
        self._stack.push_async_callback(self.database.run, operations.forget_desks, self.name)
        await self.database.run(operations.forget_desks, self.name)
        self._stack.callback(self.database.subscribe(self._asking.hear))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave: what was asked is carried out all the same."""
        await self._stack.aclose()

    @property
    def in_service(self) -> bool:
        """Whether a worker takes calls and rings agents."""
        return self._workers

    @property
    def takes_calls(self) -> bool:
        """Whether there is somebody who takes new calls, as far as can be seen from here."""
        return self.in_service

    async def beat(self) -> None:
        """Tell the workers that this process is alive, and see whether they are."""
        held = await self._leases.beat()
        if held.doubled:
            log.error("another process of the same name is running: give each its own (asterisk.worker)", app=self.name)
        if held.lost:  # it was taken for dead, and its pages were forgotten: `Live` tells them anew
            await self._leases.claim(self.name)
        self._workers = bool(held.serving)

    async def command(self, call_id: str, name: CommandName, target: str = "") -> None:
        """Have the worker that serves a talk steer it. Raises CommandRefused when that is not possible."""
        await self._asking.ask(call_id, name, target)
