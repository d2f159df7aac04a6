"""Nothing is done twice: what a program is answered is kept by its idempotency key.

As draft-ietf-httpapi-idempotency-key-header has it: the same key with the same content gets the same answer, with other
content an error. Of two at once one waits for the other.
"""

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from desk.api.errors import KeyReused
from desk.models import ApiAnswer
from tickets.database import Database

KEPT = timedelta(days=7)
"""So long a key is remembered: longer than a program tries again."""


async def done_once(
    database: Database, token_id: int, key: str, asked: Any, work: Callable[[Session], dict[str, Any]], *, now: datetime
) -> tuple[dict[str, Any], bool]:
    """What `work` answers, and whether that was done before now. Raises `KeyReused` and what `work` raises.

    `asked` is what was asked, as JSON can hold it. Work and answer are stored in one transaction.
    """
    digest = hashlib.sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hexdigest()
    try:
        return await database.run(_answer, token_id, key, digest, work, now)
    except IntegrityError:  # another of the same key was faster, and its answer is stored
        return await database.run(_answer, token_id, key, digest, work, now)


def _answer(
    session: Session, token_id: int, key: str, digest: str, work: Callable[[Session], dict[str, Any]], now: datetime
) -> tuple[dict[str, Any], bool]:
    known = session.get(ApiAnswer, (token_id, key))
    if known is not None:
        if known.asked_sha256 != digest:
            raise KeyReused
        return known.answer, True
    row = ApiAnswer(token_id=token_id, key=key, asked_sha256=digest, answer={}, at=now)
    session.add(row)
    session.flush()  # from here on another of the same key waits
    row.answer = work(session)
    return row.answer, False


def forget_answers(session: Session, *, now: datetime) -> None:
    """Forget keys that are older than `KEPT`."""
    session.execute(delete(ApiAnswer).where(ApiAnswer.at < now - KEPT))
