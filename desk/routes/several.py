"""Several requests at once: each in a transaction of its own, and each with an answer of its own."""

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any
from uuid import uuid4

import structlog
from fastapi import APIRouter
from sqlalchemy.orm import Session

from desk.context import Desk, DeskParts, Person, RequestReader
from desk.errors import AlreadyRegistered
from desk.models import DeskAnswer
from desk.once import KEY, KeyUsed, done_once
from desk.queries import Who
from desk.refusals import REFUSED, refusal
from desk.request_queries import Reader
from desk.views import ChosenRequest, OneOfSeveral, Problem, SeveralDone, SeveralForm
from desk.words import say
from tickets import levels, operations
from tickets.errors import InvalidInput

NOT_DONE: tuple[type[Exception], ...] = (*REFUSED, AlreadyRegistered)
log = structlog.get_logger()
router = APIRouter(prefix="/requests", tags=["requests"])


@router.post("/several")
async def several(
    form: SeveralForm, who: Person, desk: DeskParts, reader: RequestReader, key: Annotated[str | None, KEY] = None
) -> SeveralDone:
    """Take in charge, note, give to a group or close several requests, at most 50; each is told for itself.

    What one of them refuses keeps none of the others from being done. Sent again with the same `Idempotency-Key`,
    since no answer came, nothing is done twice.
    """
    operation = _operation(form, who, desk, reader)
    key, results = key or uuid4().hex, []
    for place, one in enumerate(form.requests):
        try:
            await _done(operation, one, form, who, desk, key)
        except NOT_DONE as error:
            _, problem = refusal(error, who.me.language)
            results.append(_not_done(one, problem))
        except Exception:
            log.exception("one of several requests could not be changed", request_id=one.id, act=form.act)
            problem = Problem(error="internal", message=say("internal", who.me.language))
            results += [_not_done(left, problem) for left in form.requests[place:]]
            break
        else:
            results.append(OneOfSeveral(id=one.id, done=True))
    log.info("several requests", act=form.act, done=sum(one.done for one in results), of=len(results))
    return SeveralDone(results=results)


def _operation(form: SeveralForm, who: Who, desk: Desk, reader: Reader) -> Callable[..., Any]:
    """What is done with each of them. Raises InvalidInput for what is missing, before any is touched."""
    group_id = form.group_id or 0
    needed = {"note": ("text",), "close": ("text",), "escalate": ("group_id", "text", "handover")}.get(form.act, ())
    for field in needed:
        if not getattr(form, field):
            raise InvalidInput(field, "is needed", "missing")
    acting: dict[str, Any] = {"actor": who.me.username, "now": reader.now}
    match form.act:
        case "take":
            return partial(operations.take_in_charge, notices=desk.notices, **acting)
        case "note":
            return partial(_note, text=form.text, **acting)
        case "close":
            return partial(operations.close_request, notices=desk.notices, solution=form.text, **acting)
        case "escalate":
            return partial(
                levels.escalate,
                group_id=group_id,
                notices=desk.notices,
                reason=form.text,
                handover=form.handover,
                role=reader.role,
                **acting,
            )


def _note(session: Session, request_id: int, *, version: int | None, **note: Any) -> None:
    """A note is no change of what others have changed meanwhile."""
    operations.add_note(session, request_id, **note)


async def _done(
    operation: Callable[..., Any], one: ChosenRequest, form: SeveralForm, who: Who, desk: Desk, key: str
) -> None:
    def work(session: Session) -> dict[str, Any]:
        operation(session, request_id=one.id, version=one.version)
        return {}

    asked = form.model_dump(mode="json", exclude={"requests"}) | {"request": one.model_dump(mode="json")}
    own_key = hashlib.sha256(f"{key} {one.id}".encode()).hexdigest()
    try:
        await done_once(desk.database, DeskAnswer, who.account_id, own_key, asked, work, now=desk.now())
    except KeyUsed:
        raise AlreadyRegistered from None


def _not_done(one: ChosenRequest, problem: Problem) -> OneOfSeveral:
    why = " ".join([problem.message, *problem.fields.values()]) if problem.fields else problem.message
    return OneOfSeveral(id=one.id, done=False, error=problem.error, message=why)
