"""Nothing is done twice: what somebody is answered is kept by an idempotency key.

As draft-ietf-httpapi-idempotency-key-header has it: the same key with the same content gets the same answer, with other
content an error. Of two at once one waits for the other.
"""

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated, Any

import orjson
from fastapi import Header
from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from desk.models import ApiAnswer, DeskAnswer, KeptAnswer
from tickets.database import Database

KEPT = timedelta(days=7)
"""So long a key is remembered: longer than anybody tries again."""

KEY = Header(
    alias="Idempotency-Key",
    min_length=1,
    max_length=255,
    pattern=r"^[!-~]+$",
    description="Chosen by the caller for each new thing, such as a UUID: sent again with the same content, it is "
    "answered the same and nothing is done twice.",
)
IdempotencyKey = Annotated[str, KEY]


class KeyUsed(Exception):
    """The key came with other content before."""


async def done_once(
    database: Database,
    answers: type[KeptAnswer],
    owner_id: int,
    key: str,
    asked: Any,
    work: Callable[[Session], dict[str, Any]],
    *,
    now: datetime,
) -> tuple[dict[str, Any], bool]:
    """What `work` answers, and whether that was done before now. Raises `KeyUsed` and what `work` raises.

    `asked` is what was asked, as JSON can hold it. Work and answer are stored in one transaction.
    """
    digest = hashlib.sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hexdigest()
    try:
        return await database.run(_answer, answers, owner_id, key, digest, work, now)
    except IntegrityError:  # another of the same key was faster, and its answer is stored
        return await database.run(_answer, answers, owner_id, key, digest, work, now)


def _answer(
    session: Session,
    answers: type[KeptAnswer],
    owner_id: int,
    key: str,
    digest: str,
    work: Callable[[Session], dict[str, Any]],
    now: datetime,
) -> tuple[dict[str, Any], bool]:
    known = session.get(answers, {"owner_id": owner_id, "key": key})
    if known is not None:
        if known.asked_sha256 != digest:
            raise KeyUsed
        return known.answer, True
    row = answers(owner_id=owner_id, key=key, asked_sha256=digest, answer={}, at=now)
    session.add(row)
    session.flush()  # from here on another of the same key waits
    row.answer = work(session)
    return row.answer, False


def forget_answers(session: Session, *, now: datetime) -> None:
    """Forget keys that are older than `KEPT`."""
    both: tuple[type[KeptAnswer], ...] = (ApiAnswer, DeskAnswer)
    for answers in both:
        session.execute(delete(answers).where(answers.at < now - KEPT))
