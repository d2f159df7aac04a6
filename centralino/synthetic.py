"""The service's call to itself, put together: its page at the desk, and the alarm when it fails."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from functools import partial

import orjson
import structlog

from centralino.settings import Settings
from desk.live import Live
from desk.models import Role
from desk.queries import Who
from desk.views import Me
from ivr.prompts import Prompts
from ivr.synthetic_call import SyntheticCall, SyntheticOutcome
from schedules.clock import utc_now
from tickets.alarms import Alarms, Words
from tickets.database import Database
from voicemail.audio import AudioStore

log = structlog.get_logger()

SYNTHETIC_CALL = "synthetic_call"
"""The kind of its alarm."""


class _Page:
    """An agent's page, as far as the desk sees it, which tells of each call that it is given to show."""

    def __init__(self, on_pop: Callable[[str], None]) -> None:
        self._on_pop = on_pop

    async def send_text(self, data: str) -> None:
        for one in orjson.loads(data):
            if one["type"] == "pops" and one["data"]["item"] is not None:
                self._on_pop(one["data"]["id"])

    async def receive_text(self) -> str:
        nothing: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        return await nothing

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        """Whoever opened it closes it."""


@contextlib.asynccontextmanager
async def _page(live: Live, agent_id: int, on_pop: Callable[[str], None]) -> AsyncIterator[None]:
    """Keep a page of an agent open that nobody looks at."""
    me = Me(username="", name="", role=Role.AGENT, language="it", agent_id=agent_id)
    who = Who(me, account_id=0, token_sha256="", expires_at=utc_now() + timedelta(days=1))
    serving = asyncio.create_task(live.serve(_Page(on_pop), who), name="page of the synthetic call")
    try:
        yield
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


def synthetic_call(settings: Settings, database: Database, live: Live | None = None, role: str = "") -> SyntheticCall:
    """The service's call to itself; `role` tells apart those who may make one at the same time.

    Without `live`, in a process that serves no pages, the time until a page shows the call is not measured.
    """
    return SyntheticCall(
        next(iter(settings.asterisk.served.values())),
        settings.asterisk.own_app,
        settings.calls,
        database,
        AudioStore(settings.storage.audio),
        Prompts(),
        languages=settings.transcription.models.keys(),
        mail=settings.smtp is not None,
        now=utc_now,
        watch=None if live is None else partial(_page, live),
        role=role,
    )


async def report(outcome: SyntheticOutcome, alarms: Alarms) -> None:
    """Sound the alarm of a synthetic call that failed, or end it."""
    if outcome.failed is None:
        log.info("synthetic call made", milliseconds=outcome.steps)
        await alarms.end(SYNTHETIC_CALL)
    else:
        log.warning("synthetic call failed", step=outcome.failed, why=outcome.why, milliseconds=outcome.steps)
        await alarms.sound(
            SYNTHETIC_CALL,
            Words(
                it=f"Una chiamata di prova non è riuscita al passo {outcome.failed!r}: {outcome.why}. Può capitare lo "
                "stesso a chi chiama: prova la linea, esegui `centralino check-call`, guarda il log.",
                en=f"A synthetic call failed at step {outcome.failed!r}: {outcome.why}. Callers may find the same: "
                "call the line, run `centralino check-call`, look into the log.",
            ),
        )
