"""Whether the line is in order, for a site's monitoring. Anybody may ask; nothing else is told."""

import asyncio

from fastapi import APIRouter, Response
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from desk.context import DeskParts
from desk.models import Account
from desk.views import Health, Liveness, Readiness
from schedules.pulse import standing_still

DATABASE_SECONDS = 5.0
"""A database that takes longer for nothing at all is not in order."""

router = APIRouter(prefix="/health", tags=["health"])


@router.get("", responses={503: {"model": Health, "description": "Something is not in order"}})
async def health(response: Response, desk: DeskParts) -> Health:
    """Tell whether calls are served and the database answers."""
    found = Health(asterisk=desk.control.in_service, database=await _answers(desk))
    if not (found.asterisk and found.database):
        response.status_code = 503
    return found


@router.get("/live", responses={503: {"model": Liveness, "description": "The process is to be started again"}})
async def live(response: Response, desk: DeskParts) -> Liveness:
    """Tell whether the process works: its event loop answers, and every vital task makes its rounds.

    That Asterisk or the database is away does not make it untrue: to start the service again would not bring them back.
    """
    still = standing_still(desk.vital)
    if still:
        response.status_code = 503
    return Liveness(alive=not still, standing_still=still)


@router.get("/ready", responses={503: {"model": Readiness, "description": "New calls are not for this worker"}})
async def ready(response: Response, desk: DeskParts) -> Readiness:
    """Tell whether this worker takes new calls: in service, not leaving, and the database answers."""
    found = Readiness(
        asterisk=desk.control.in_service, database=await _answers(desk), takes_calls=desk.control.takes_calls
    )
    if not (found.asterisk and found.database and found.takes_calls):
        response.status_code = 503
    return found


async def _answers(desk: DeskParts) -> bool:
    try:
        async with asyncio.timeout(DATABASE_SECONDS):
            await desk.database.read(_look)
    except (SQLAlchemyError, OSError, TimeoutError):
        return False
    return True


def _look(session: Session) -> None:
    session.execute(select(Account.id).limit(1))  # a real table
