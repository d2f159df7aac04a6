"""The site that things are done to: two workers on PostgreSQL and the desk apart, an Asterisk, agents' phones."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from benchmarks.agents import Agents
from benchmarks.site import AGENTS, prepare, reachable, staff
from centralino.rig.world import ServiceProcess, World
from ivr import ledger
from ivr.models import Call, CallRecord

WORKERS = ("uno", "due")
DESK = "desk"
TALK_SECONDS = 8.0


@asynccontextmanager
async def pool(
    folder: Path, database: str, calls: Mapping[str, Any]
) -> AsyncIterator[tuple[World, dict[str, ServiceProcess]]]:
    """Asterisk, the agents' phones, and the workers, all in service; `calls` is that section of the settings."""
    async with World(
        folder,
        calls,
        colleagues=AGENTS,
        settings_extra={"storage": {"database": database}},
        concurrent_calls=200,
        benchmarks=True,
        workers=(*WORKERS, DESK),
    ) as world:
        await prepare(world)
        names = [colleague.extension for colleague in AGENTS]
        async with Agents(world.asterisk, names, talk_seconds=TALK_SECONDS):
            processes = {name: ServiceProcess(world, name) for name in WORKERS}
            processes[DESK] = ServiceProcess(world, DESK, command="desk")
            try:
                for process in processes.values():
                    await process.start()
                    await process.in_service()
                await world.until(reachable)
                await world.database.run(staff, len(AGENTS), True)
                yield world, processes
            finally:
                for process in processes.values():
                    await process.kill()


def ledger_complete(session: Session) -> bool:
    """Whether every call that has ended was compared with Asterisk's own record of it."""
    if session.scalar(select(CallRecord.channel_id).where(CallRecord.settled_at.is_(None)).limit(1)) is not None:
        return False
    last = session.scalar(select(func.max(Call.ended_at)))
    read_at = ledger.known_records(session).read_at
    return last is None or (read_at is not None and read_at > last + timedelta(seconds=ledger.SETTLE_SECONDS))
