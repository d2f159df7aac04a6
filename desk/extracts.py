"""Where in a request the words of a search are, for lists that show only its first line."""

import re
import unicodedata
from collections.abc import Iterator, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from desk.views import Extract
from tickets.models import Request, RequestEvent
from tickets.phone_numbers import shown_number
from tickets.search import Query, fold
from voicemail.models import Message

LOOKED_AT = 20_000
"""Characters of one text."""
BEFORE, AROUND = 40, 180
"""Characters before the first word, and in all."""
_TEXTS = ("text", "handover", "solution", "note", "name")
"""What in the details of an event are words of people."""


def extracts(session: Session, requests: Sequence[Request], query: Query) -> dict[int, Extract]:
    """By request, the text in which most of those words are that its line in a list does not show."""
    hidden = {request.id: missing for request in requests if (missing := _not_shown(request, query.words))}
    if not hidden:
        return {}
    more: dict[int, list[tuple[str, str]]] = {id_: [] for id_ in hidden}
    of_these = RequestEvent.request_id.in_(hidden)
    for id_, details in session.execute(
        select(RequestEvent.request_id, RequestEvent.details).where(of_these).order_by(RequestEvent.id.desc())
    ):
        if isinstance(details, dict):
            more[id_] += (("history", text) for key in _TEXTS if isinstance(text := details.get(key), str))
    spoken = select(Message.request_id, Message.transcript).where(
        Message.request_id.in_(hidden), Message.transcript.is_not(None)
    )
    for id_, transcript in session.execute(spoken):
        if id_ is not None and transcript is not None:
            more[id_].append(("transcript", transcript))
    found = {}
    for request in requests:
        if request.id in hidden and (extract := _best(_texts(request, more[request.id]), hidden[request.id])):
            found[request.id] = extract
    return found


def _not_shown(request: Request, words: Sequence[str]) -> list["re.Pattern[str]"]:
    person = request.contact.name if request.contact else None
    company = request.company.name if request.company else None
    shown = (request.ticket, request.subject, person, company)
    line = fold(" ".join(filter(None, shown)))
    return [pattern for word in words if not (pattern := _beginning(fold(word))).search(line)]


def _beginning(word: str) -> "re.Pattern[str]":
    return re.compile(rf"(?<![^\W_]){re.escape(word)}")


def _texts(request: Request, more: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    yield "description", request.description
    yield "solution", request.solution or ""
    yield from more
    contact = request.contact
    known = (contact.user_code, contact.email) if contact else ()
    ways = (request.email, *known, shown_number(request.phone or ""))
    yield "contact", " · ".join(dict.fromkeys(filter(None, ways)))


def _best(texts: Iterator[tuple[str, str]], words: Sequence["re.Pattern[str]"]) -> Extract | None:
    best: Extract | None = None
    most = 0
    for where, text in texts:
        whole = unicodedata.normalize("NFC", text[:LOOKED_AT])
        places = [match.start() for word in words if (match := word.search(fold(whole)))]
        if len(places) > most:
            most = len(places)
            best = Extract.model_validate({"where": where, "text": _around(whole, min(places))})
        if most == len(words):
            break
    return best


def _around(text: str, place: int) -> str:
    """Some words around a place; where folding has made the text shorter, the place is a little further on."""
    begin = max(place - BEFORE, 0)
    if begin:
        begin = text.find(" ", begin, place) + 1 or begin
    part = " ".join(text[begin : begin + AROUND].split())
    return f"{'…' * (begin > 0)}{part}{'…' * (begin + AROUND < len(text))}"
