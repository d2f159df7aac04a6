"""Years of work in a database: calls, requests, messages and mails that are over, as many as asked for, in seconds.

For tests and measurements of what must not grow with the rows in the tables.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection, func, select, text

from ivr.models import Agent
from tickets.models import Company, Contact
from tickets.search import words_gathered_at_the_end

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
"""When the history ends: a call a minute came before it."""
AGENTS, COMPANIES, OPEN_REQUESTS = 5, 20, 20

CONTACTS = 20_000
"""People of the directory, unless a caller of `fill_directory` wants another number."""

_SERIES = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :rows) "
_DIRECTORY = (
    "INSERT INTO company (id, name) SELECT i, 'Azienda ' || i FROM n WHERE i <= :companies",
    "INSERT INTO contact (id, name, user_code, email, language, company_id) SELECT i, 'Utente ' || i, 'u' || i,"
    " 'u' || i || '@asl.example', 'it', 1 + i % :companies FROM n WHERE i <= :contacts",
    "INSERT INTO phone (contact_id, e164, tail, raw) SELECT i, '+39080' || (1000000 + i), '0' || (1000000 + i),"
    " '080' || (1000000 + i) FROM n WHERE i <= :contacts",
    # The numbers of the companies themselves, from which nobody in particular calls.
    "INSERT INTO phone (company_id, e164, tail, raw) SELECT i, '+39099' || (1000000 + i), '9' || (1000000 + i),"
    " '099' || (1000000 + i) FROM n WHERE i <= :companies",
)
_STAFF = (
    "INSERT INTO agent (id, username, name, endpoint, queues, presence, presence_since, misses, desks, desk_connected,"
    " phone_reachable) SELECT i, 'agente' || i, 'Agente ' || i, 'PJSIP/' || i, '[\"desk\"]', 'offline', {now}, 0, '[]',"
    " {false}, {true} FROM n WHERE i <= :agents",
)
_ROWS = (
    "INSERT INTO request (id, ticket, kind, area, channel, level, status, subject, description, language, contact_id,"
    " company_id, phone, call_id, received_at, opened_at, pickup_due_at, picked_up_at, holder, closed_at, version,"
    " solution) SELECT i, 't' || i, 'problem', 'application', 'voicemail', 1,"
    " CASE WHEN i > :rows - :open THEN 'queued' ELSE 'closed' END, 'Stampa', 'Non stampa.', 'it',"
    " CASE WHEN i % 3 = 0 THEN NULL ELSE 1 + i % :contacts END, 1 + i % :companies,"
    " '+39080' || (1000000 + 1 + i % :contacts), 'c' || i, {at}, {at}, {at},"
    " CASE WHEN i > :rows - :open THEN NULL ELSE {at} END, CASE WHEN i > :rows - :open THEN NULL ELSE 'agente1' END,"
    " CASE WHEN i > :rows - :open THEN NULL ELSE {at} END, 2, 'Fatto.' FROM n",
    "INSERT INTO promise_calendar (id, definition)"
    ' SELECT \'then\', \'{{"weekly": {{"monday": ["08:00-18:00"]}}}}\' FROM n WHERE i = 1',
    "INSERT INTO promise (request_id, clock, working_seconds, warn_seconds, calendar_id, received_at, counted_from,"
    " told_due_at, due_at, warn_at, pauses, paused_seconds, met_at) SELECT i, clock, 3600, 2700, 'then', {at}, {at},"
    " {at}, {at}, {at}, '[]', 0, CASE WHEN i > :rows - :open THEN NULL ELSE {at} END"
    " FROM n CROSS JOIN (SELECT 'pickup' AS clock UNION ALL SELECT 'solution') AS clocks",
    "INSERT INTO request_event (request_id, at, actor, kind, details, version)"
    " SELECT i, {at}, 'system', 'opened', '{{}}', 1 FROM n",
    "INSERT INTO request_event (request_id, at, actor, kind, details, version)"
    " SELECT i, {at}, 'agente1', 'closed', '{{}}', 2 FROM n WHERE i <= :rows - :open",
    "INSERT INTO outbox_mail (request_id, kind, message_id, sender, recipient, subject, body, state, attempts,"
    " created_at, next_attempt_at, sent_at) SELECT i, 'opened', '<' || i || '@desk.example>', 'desk@desk.example',"
    " 'u' || i || '@asl.example', 'Richiesta', 'Registrata.', 'sent', 1, {at}, {at}, {at} FROM n",
    "INSERT INTO message (id, call_id, request_id, contact_id, line, language, caller, state, started_at, ended_at,"
    " take, audio, seconds, speech_seconds, transcript_state, transcript, words, numbers,"
    " corrections, attempts, heard_at, heard_by)"
    " SELECT 'm' || i, 'c' || i, CASE WHEN i % 10 = 0 THEN NULL ELSE i END, NULL, '0805551000', 'it',"
    " '+39080' || (1000000 + 1 + i % :contacts), CASE WHEN i % 10 = 0 THEN 'empty' ELSE 'filed' END, {at}, {at}, 1,"
    " CASE WHEN i > :rows - 1000 THEN 'm' || i || '.wav' END, 20, 15, 'done', 'Non stampa.', '[]', '[]', 0, 1,"
    " CASE WHEN i % 200 = 0 THEN NULL ELSE {at} END, 'agente1' FROM n",
    "INSERT INTO call (id, channel_id, app, line, caller, contact_id, language, phase, outcome, queue, priority,"
    " started_at, queued_at, answered_at, ended_at, agent_id, agent_channel_id, on_hold, consulting, third_away,"
    " outbound, tickets_keyed, request_id, message_id) SELECT 'c' || i, 'channel-' || i, 'centralino', '0805551000',"
    " '+39080' || (1000000 + 1 + i % :contacts), 1 + i % :contacts, 'it', 'ended',"
    " CASE WHEN i % 2 = 0 THEN 'answered' ELSE 'voicemail' END, 'desk', 0, {at}, {at}, {at}, {at}, 1 + i % :agents,"
    " 'o' || i, {false}, {false}, {false}, {false}, 0, i, 'm' || i FROM n",
    "INSERT INTO offer (id, call_id, agent_id, endpoint, offered_at, ended_at, result) SELECT 'o' || i, 'c' || i,"
    " 1 + i % :agents, 'PJSIP/101', {at}, {at}, 'answered' FROM n",
    "INSERT INTO dismissed_pop (call_id, agent_id, at, reason) SELECT 'c' || i, 1 + i % :agents, {at}, 'test' FROM n"
    " WHERE i <= :contacts",
)


def number_of(contact: int) -> str:
    """The telephone of a contact of the directory, counted from 1 (E.164)."""
    return f"+39080{1_000_000 + contact}"


def fill_directory(connection: Connection, contacts: int = CONTACTS) -> None:
    """Fill an empty directory with people, each with a telephone, and their companies."""
    _insert(connection, _DIRECTORY, {"rows": max(contacts, COMPANIES), "contacts": contacts, "companies": COMPANIES})
    _count_on(connection, "company", "contact")


def fill_history(connection: Connection, rows: int) -> None:
    """Write `rows` calls, offers, requests and messages of the people in the directory (see `fill_directory`).

    All calls are over, all requests closed but the last 20, all mails sent; call `c1` came first, `c<rows>` last. The
    agents are those who are there; five are made where there are none. An SQLite file knows afterwards as little of
    what is in its tables as one that has grown (nobody ran ANALYZE on it); PostgreSQL knows it, as its autovacuum would
    have seen to.
    """
    if connection.scalar(select(func.count()).select_from(Agent)) == 0:
        _insert(connection, _STAFF, {"rows": AGENTS, "agents": AGENTS})
        _count_on(connection, "agent")
    counted = {
        "rows": rows,
        "open": OPEN_REQUESTS,
        "companies": connection.scalar(select(func.count()).select_from(Company)),
        "contacts": connection.scalar(select(func.count()).select_from(Contact)),
        "agents": connection.scalar(select(func.count()).select_from(Agent)),
    }
    with words_gathered_at_the_end(connection):
        _insert(connection, _ROWS, counted)
    _count_on(connection, "request")
    if connection.dialect.name != "sqlite":
        connection.execute(text("ANALYZE"))


def _insert(connection: Connection, statements: Sequence[str], values: Mapping[str, object]) -> None:
    sqlite = connection.dialect.name == "sqlite"
    end = int(NOW.timestamp())
    moment = "strftime('%Y-%m-%d %H:%M:%S.000000', {0}, 'unixepoch')" if sqlite else "to_timestamp({0})"
    words = {
        "at": moment.format(f"{end} - (:rows - i) * 60"),
        "now": moment.format(end),
        "true": "1" if sqlite else "true",
        "false": "0" if sqlite else "false",
    }
    for statement in statements:
        table, _, chosen = statement.partition(" SELECT ")
        wanted = text(
            (f"{_SERIES}{table} SELECT {chosen}" if sqlite else f"{table} {_SERIES}SELECT {chosen}").format(**words)
        )
        connection.execute(wanted, {name: value for name, value in values.items() if f":{name}" in str(wanted)})


def _count_on(connection: Connection, *tables: str) -> None:
    """Let PostgreSQL number the next rows from here; SQLite does so by itself."""
    if connection.dialect.name != "sqlite":
        for table in tables:
            last = f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}"  # noqa: S608
            connection.execute(text(last))
