"""What a company's own desk (level 0) answers by mail to a request that was referred to it.

Its answer is a line of the request's history. One that begins with one of a few words, alone on its first line, moves
the request as well, as far as `Role.LEVEL_0` may: it says that the request is solved, taken in charge, or not theirs.
The notice of the referral tells these words (`referred_to` in `tickets/templates`).
"""

import enum
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from tickets.directory import contacts_with_email
from tickets.errors import MoveRefused
from tickets.fields import read_text
from tickets.levels import recall
from tickets.lifecycle import Role, check_move
from tickets.models import CLOSED_STATUSES, Company, ContactRole, Request, Status
from tickets.notices import Notices
from tickets.operations import LEVEL_0, add_event, load_request, move_request


class Answer(enum.StrEnum):
    """What a level-0 desk says of a request."""

    RESOLVED = "resolved"
    NOT_OURS = "not_ours"
    TAKEN = "taken"


WORDS: Mapping[str, Answer] = {
    "risolto": Answer.RESOLVED,
    "risolta": Answer.RESOLVED,
    "resolved": Answer.RESOLVED,
    "non di competenza": Answer.NOT_OURS,
    "non di nostra competenza": Answer.NOT_OURS,
    "not ours": Answer.NOT_OURS,
    "preso in carico": Answer.TAKEN,
    "presa in carico": Answer.TAKEN,
    "taken": Answer.TAKEN,
}
"""In small letters; capitals, punctuation and further blanks do not count."""

_MOVES = {Answer.RESOLVED: Status.RESOLVED, Answer.TAKEN: Status.IN_PROGRESS}
_NOTHING_MORE = {
    Answer.RESOLVED: {
        "it": "Risolta dall'help desk di livello 0 ({company}).",
        "en": "Resolved by the level-0 desk ({company}).",
    },
    Answer.NOT_OURS: {
        "it": "Non di competenza dell'help desk di livello 0 ({company}).",
        "en": "Not for the level-0 desk ({company}).",
    },
}
"""Solution or reason of an answer that is its word and nothing more."""


def read_answer(text: str) -> tuple[Answer | None, str]:
    """What the first line of an answer says, and what follows it; None and all of it where that is no such word."""
    first, _, rest = text.strip().partition("\n")
    said = " ".join(re.sub(r"[^\w\s>]|_", " ", first[:200]).split()).casefold()
    answer = WORDS.get(said)
    return answer, text if answer is None else rest.strip()


def is_level_0(session: Session, company: Company | None, address: str | None) -> bool:
    """Whether an address is the desk's of this company, or belongs to people of that desk alone."""
    if company is None or address is None:
        return False
    if (company.level_0_email or "").lower() == address.lower():
        return True
    contacts = contacts_with_email(session, address)
    return bool(contacts) and all(
        contact.role == ContactRole.LEVEL_0 and contact.company_id == company.id for contact in contacts
    )


def answers_for_level_0(session: Session, request: Request, address: str | None, text: str) -> bool:
    """Whether a mail about a request is the answer of the level-0 desk that it was referred to.

    Without one of the words it is a user's reply where the desk is itself the user who was asked, and where the request
    is solved already: it is reopened then, and seen.
    """
    if request.level != 0 or not is_level_0(session, request.company, address):
        return False
    if read_answer(text)[0] is not None:
        return True
    asked = request.status == Status.PENDING_USER and (request.email or "").lower() == address
    return request.status not in CLOSED_STATUSES and not asked


def level_0_answered(
    session: Session, request_id: int, notices: Notices, text: str, *, details: Mapping[str, Any], now: datetime
) -> Request:
    """Write the answer of a level-0 desk into the history of a request that it has, and do what its first line says.

    What follows the first line is the solution that the user is told, or the reason. An answer that moves nothing, and
    one that says what is not possible now (`refused` in the event), waits for this desk to look
    (`Request.level_0_answered_at`). `details` go into the history with the text. Raises `NotFound`.
    """
    request = load_request(session, request_id)
    company = request.company.name if request.company else ""
    answer, rest = read_answer(text)
    told = {"text": read_text("text", text), "company": company, **details}
    moves = False
    if answer is not None:
        told["answer"] = answer
        try:
            _check(request, answer, now)
            moves = True
        except MoveRefused as error:
            told["refused"] = error.reason
    request.level_0_answered_at = None if moves else now
    add_event(session, request, "level_0_answered", LEVEL_0, told, now)
    session.flush()
    if answer is None or not moves:
        return request
    if not rest and answer in _NOTHING_MORE:
        rest = _NOTHING_MORE[answer]["it" if request.language == "it" else "en"].format(company=company)
    if answer is Answer.NOT_OURS:
        return recall(session, request_id, notices, note=rest, actor=LEVEL_0, role=Role.LEVEL_0, now=now)
    words = rest if answer is Answer.RESOLVED else ""
    return move_request(
        session, request_id, _MOVES[answer], notices, actor=LEVEL_0, role=Role.LEVEL_0, text=words, now=now
    )


def _check(request: Request, answer: Answer, now: datetime) -> None:
    """Raise `MoveRefused` where an answer says what is not possible now."""
    if answer in _MOVES:
        check_move(request.status, _MOVES[answer], Role.LEVEL_0, closed_at=request.closed_at, now=now)
    elif request.status in CLOSED_STATUSES:
        raise MoveRefused(request.status, "recalled", "no_such_move", "reopen it first")
