"""Tasks that nobody waits for: kept from being forgotten, and never failing in silence."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

log = structlog.get_logger()

T = TypeVar("T")


async def ended(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait until it has ended. Raises what it raised, if that was not its being cancelled."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


class Tasks:
    """A set of running tasks."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin; what the coroutine raises is logged."""
        task = asyncio.create_task(coroutine)
        self._running.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("task failed", error=repr(error), exc_info=error)

    def cancel(self) -> None:
        """Ask all to end."""
        for task in self._running:
            task.cancel()

    async def cancelled(self) -> None:
        """Wait for those that were asked to end."""
        if ending := [task for task in self._running if task.cancelling()]:
            await asyncio.wait(ending)

    async def end(self) -> None:
        """Cancel all and wait until they have ended."""
        self.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
