"""The clock: runs the service's periodic jobs."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Self
from zoneinfo import ZoneInfo

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from schedules.pulse import Pulse

log = structlog.get_logger()

Job = Callable[[], Awaitable[object]]


def utc_now() -> datetime:
    """The time, aware UTC."""
    return datetime.now(UTC)


class Clock:
    """Runs jobs periodically while its context is open.

    A run that is due while the job's last one still goes on is left out, missed runs become one, and an error in a job
    is logged and ends that run only. Leaving the context cancels running jobs and waits for their end.
    """

    def __init__(self) -> None:
        self._running: set[asyncio.Task[object]] = set()
        self._closing = False
        self._scheduler = AsyncIOScheduler(
            timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        )

    async def __aenter__(self) -> Self:
        self._scheduler.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closing = True
        self._scheduler.pause()
        running = tuple(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        self._scheduler.shutdown(wait=False)
        # The scheduler shuts down in the loop's next round.
        await asyncio.sleep(0)

    def every(self, seconds: float, job: Job, name: str, pulse: Pulse | None = None) -> None:
        """Run `job` every `seconds`, the first time after that span. `name` is for the log and must be unique.

        `pulse` beats when a run has ended, also with an error.
        """
        self._add(IntervalTrigger(seconds=seconds, timezone=UTC), job, name, pulse)

    def daily(self, hour: int, minute: int, timezone: str, job: Job, name: str) -> None:
        """Run `job` once a day at a local time, such as 3, 30, 'Europe/Rome'. `name` must be unique."""
        self._add(CronTrigger(hour=hour, minute=minute, timezone=ZoneInfo(timezone)), job, name)

    def _add(self, trigger: BaseTrigger, job: Job, name: str, pulse: Pulse | None = None) -> None:
        async def run() -> None:
            task = asyncio.current_task()
            assert task is not None  # noqa: S101 - a coroutine always runs in a task here
            self._running.add(task)
            try:
                await job()
            except asyncio.CancelledError:
                if not self._closing:  # otherwise it was us, and the scheduler would log it as an error
                    raise
            except Exception:
                log.exception("periodic job failed", job=name)
            finally:
                self._running.discard(task)
                if pulse is not None:
                    pulse.beat()

        self._scheduler.add_job(run, trigger, id=name, name=name)
