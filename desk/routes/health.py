"""Whether the line is in order, for a site's monitoring."""

import asyncio

from fastapi import APIRouter, Response
from sqlalchemy import literal, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from desk.context import DeskParts
from desk.views import Health

DATABASE_SECONDS = 5.0
"""A database that takes longer for nothing at all is not in order."""

router = APIRouter(prefix="/health", tags=["health"])


@router.get("", responses={503: {"model": Health, "description": "Something is not in order"}})
async def health(response: Response, desk: DeskParts) -> Health:
    """Tell whether Asterisk is connected and the database answers; anybody may ask, nothing else is told."""
    found = Health(asterisk=desk.control.connected, database=await _answers(desk))
    if not (found.asterisk and found.database):
        response.status_code = 503
    return found


async def _answers(desk: DeskParts) -> bool:
    try:
        async with asyncio.timeout(DATABASE_SECONDS):
            await desk.database.read(_nothing)
    except (SQLAlchemyError, OSError, TimeoutError):
        return False
    return True


async def _nothing(session: AsyncSession) -> None:
    await session.execute(select(literal(1)))
