"""Years of calls and requests, written in bulk: what a desk's tables look like after a million of each.

Everything is made from one seed, so that both databases hold the same. Callers are people of a directory: of a million
calls the one who calls least has made about 25, and the first, the telephone of a busy ward, about 7,000.
"""

import itertools
import random
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Table, insert, inspect, select, text

from ivr.models import Agent, Call, Offer, OfferResult, Outcome, Phase
from tickets.models import AREAS, Channel, Company, Contact, DeliveryState, Kind, OutboxMail, Phone, Request, Status
from tickets.models import RequestEvent as Event
from tickets.phone_numbers import parse_phone_number
from tickets.ticket_numbers import ticket_number
from voicemail.models import Message, MessageState, TranscriptState

COMPANIES, CONTACTS = 40, 20_000
SPAN = timedelta(days=5 * 365)
OPEN_REQUESTS = 200
"""The latest ones; a desk that works has no more, however old it is."""
_CHUNK = 5_000
_WORDS = "La stampa del referto resta ferma da stamattina, chiamate per favore il reparto al numero interno. "

Row = dict[str, Any]


def number_of(contact: int) -> str:
    """The telephone of a contact, counted from 0 (E.164)."""
    return f"+390805{contact:06d}"


def fill_directory(engine: Engine) -> None:
    """The people who may call, each with a telephone; both the empty and the full database have them."""
    with engine.begin() as connection:
        _insert(connection, Company, ({"id": n + 1, "name": f"Azienda {n + 1}"} for n in range(COMPANIES)))
        _insert(connection, Contact, map(_contact, range(CONTACTS)))
        _insert(connection, Phone, map(_phone, range(CONTACTS)))
        _count_on(connection, Company, Contact, Phone)


def fill(engine: Engine, count: int, *, now: datetime) -> None:
    """So many calls and requests, with their offers, events, messages and mails, all before `now`.

    The directory and at least one agent must be there.
    """
    with engine.connect() as connection:
        agents = connection.execute(select(Agent.id, Agent.endpoint)).all()
    for first in range(0, count, _CHUNK * 4):
        numbers = range(first, min(first + _CHUNK * 4, count))
        chosen = random.Random(first)  # noqa: S311 - only who calls when
        made = [_story(number, count, chosen, agents, now) for number in numbers]
        with engine.begin() as connection:
            # in the order of their foreign keys
            for table in (Request, Message, Call, Offer, Event, OutboxMail):
                _insert(connection, table, itertools.chain.from_iterable(story.get(table, ()) for story in made))
    with engine.begin() as connection:
        _count_on(connection, Request, Event, OutboxMail)
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))  # as its autovacuum would by itself, some time later


def _contact(number: int) -> Row:
    return {
        "id": number + 1,
        "name": f"Utente {number + 1}",
        "user_code": f"u{number + 1:06d}",
        "email": f"u{number + 1}@example.invalid",
        "company_id": number % COMPANIES + 1,
    }


def _phone(number: int) -> Row:
    phone = parse_phone_number(number_of(number))
    return {"id": number + 1, "contact_id": number + 1, "e164": phone.best(), "tail": phone.tail, "raw": phone.best()}


def _story(
    number: int, count: int, chosen: random.Random, agents: Iterable[Any], now: datetime
) -> dict[Any, list[Row]]:
    """One call and the request made of it."""
    began = now - SPAN * (1 - number / count) - timedelta(hours=1)
    contact = int(CONTACTS * chosen.random() ** 2)
    agent_id, endpoint = chosen.choice(list(agents))
    answered = chosen.random() < 0.75
    is_open = number >= count - OPEN_REQUESTS
    ended = began + timedelta(seconds=chosen.randint(30, 600))
    call_id, message_id = _id(chosen), None if answered else _id(chosen)
    shared = {"contact_id": contact + 1, "language": "it"}
    call: Row = {
        **shared,
        "id": call_id,
        "channel_id": f"{began.timestamp():.0f}.{number}",
        "app": "centralino",
        "line": "800",
        "caller": number_of(contact),
        "phase": Phase.ENDED,
        "outcome": Outcome.ANSWERED if answered else Outcome.VOICEMAIL,
        "queue": "diretta",
        "started_at": began,
        "queued_at": began + timedelta(seconds=8),
        "answered_at": began + timedelta(seconds=20) if answered else None,
        "ended_at": ended,
        "agent_id": agent_id if answered else None,
        "request_id": number + 1,
        "message_id": message_id,
    }
    request: Row = {
        **shared,
        "id": number + 1,
        "ticket": ticket_number(number + 1),
        "kind": chosen.choice(list(Kind)),
        "area": chosen.choice(AREAS),
        "channel": Channel.PHONE if answered else Channel.VOICEMAIL,
        "status": Status.QUEUED if is_open else Status.CLOSED,
        "subject": "La stampa del referto resta ferma",
        "description": _WORDS * 2,
        "solution": None if is_open else _WORDS,
        "company_id": contact % COMPANIES + 1,
        "email": f"u{contact + 1}@example.invalid",
        "phone": number_of(contact),
        "call_id": call_id,
        "received_at": began,
        "opened_at": ended,
        "pickup_due_at": now + timedelta(days=1) if is_open else ended + timedelta(hours=4),
        "picked_up_at": None if is_open else ended + timedelta(hours=1),
        "holder": None if is_open else "agent1",
        "closed_at": None if is_open else ended + timedelta(days=1),
        "version": 1 if is_open else 3,
    }
    kinds = ("opened",) if is_open else ("opened", "picked_up", "closed")
    story: dict[Any, list[Row]] = {
        Request: [request],
        Call: [call],
        Event: [
            {
                "request_id": number + 1,
                "at": ended + timedelta(hours=n),
                "actor": "agent1",
                "kind": kind,
                "version": n + 1,
            }
            for n, kind in enumerate(kinds)
        ],
        OutboxMail: [_mail(number, contact, ended)],
    }
    if message_id is not None:
        story[Message] = [{**shared, **_message(message_id, call, number + 1)}]
    else:
        missed = chosen.random() < 0.15
        results = (OfferResult.MISSED, OfferResult.ANSWERED) if missed else (OfferResult.ANSWERED,)
        story[Offer] = [_offer(_id(chosen), call, agent_id, endpoint, result) for result in results]
    return story


def _message(message_id: str, call: Row, request_id: int) -> Row:
    return {
        "id": message_id,
        "call_id": call["id"],
        "request_id": request_id,
        "line": "800",
        "caller": call["caller"],
        "state": MessageState.FILED,
        "started_at": call["started_at"],
        "ended_at": call["ended_at"],
        "seconds": 20.0,
        "speech_seconds": 15.0,
        "transcript_state": TranscriptState.DONE,
        "transcript": _WORDS,
        "transcribed_at": call["ended_at"],
        "heard_at": call["ended_at"],
        "heard_by": "agent1",
    }


def _offer(offer_id: str, call: Row, agent_id: int, endpoint: str, result: OfferResult) -> Row:
    return {
        "id": offer_id,
        "call_id": call["id"],
        "agent_id": agent_id,
        "endpoint": endpoint,
        "offered_at": call["queued_at"],
        "ended_at": call["ended_at"],
        "result": result,
    }


def _mail(number: int, contact: int, at: datetime) -> Row:
    return {
        "request_id": number + 1,
        "kind": "opened",
        "message_id": f"<{number}@bench.invalid>",
        "sender": "helpdesk@example.org",
        "recipient": f"u{contact + 1}@example.invalid",
        "subject": "La sua richiesta",
        "body": _WORDS * 3,
        "state": DeliveryState.SENT,
        "attempts": 1,
        "created_at": at,
        "next_attempt_at": at,
        "sent_at": at,
    }


def _id(chosen: random.Random) -> str:
    return f"{chosen.getrandbits(128):032x}"


def _insert(connection: Connection, model: Any, rows: Iterable[Mapping[str, Any]]) -> None:
    table: Table = inspect(model).local_table
    remaining: Iterator[Mapping[str, Any]] = iter(rows)
    while chunk := list(itertools.islice(remaining, _CHUNK)):
        connection.execute(insert(table), chunk)


def _count_on(connection: Connection, *models: Any) -> None:
    """Let PostgreSQL number the next rows from here; SQLite does so by itself."""
    if connection.dialect.name != "postgresql":
        return
    for model in models:
        name = inspect(model).local_table.name
        highest = f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), (SELECT max(id) FROM {name}))"  # noqa: S608
        connection.execute(text(highest))
