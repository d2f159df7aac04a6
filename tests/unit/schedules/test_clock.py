"""The clock of periodic jobs."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from schedules.clock import Clock

pytestmark = pytest.mark.unit


async def test_a_job_runs_again_and_again_even_after_an_error() -> None:
    runs = 0
    enough = asyncio.Event()

    async def job() -> None:
        nonlocal runs
        runs += 1
        if runs == 3:
            enough.set()
        raise RuntimeError("the job's own trouble")

    async with Clock() as clock:
        clock.every(0.01, job, "troubled")
        await asyncio.wait_for(enough.wait(), 10)


async def test_leaving_the_clock_ends_a_running_job_and_waits_for_it(caplog: pytest.LogCaptureFixture) -> None:
    started = asyncio.Event()
    cleaned = False

    async def job() -> None:
        nonlocal cleaned
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned = True

    async with Clock() as clock:
        clock.every(0.01, job, "slow")
        await asyncio.wait_for(started.wait(), 10)
    assert cleaned
    assert len(asyncio.all_tasks()) == 1
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_job_never_runs_beside_itself() -> None:
    running = most = runs = 0
    enough = asyncio.Event()

    async def job() -> None:
        nonlocal running, most, runs
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.03)
        running -= 1
        runs += 1
        if runs == 2:
            enough.set()

    async with Clock() as clock:
        clock.every(0.01, job, "overlapping")
        await asyncio.wait_for(enough.wait(), 10)
    assert most == 1


async def test_a_daily_job_runs_at_its_local_minute() -> None:
    async def job() -> None: ...

    async with Clock() as clock:
        clock.daily(3, 30, "Europe/Rome", job, "nightly")
        (planned,) = clock._scheduler.get_jobs()
        assert (planned.next_run_time.hour, planned.next_run_time.minute) == (3, 30)
        assert planned.next_run_time.utcoffset() != timedelta(0)
        assert planned.next_run_time > datetime.now(UTC)
