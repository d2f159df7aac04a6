"""An upgrade keeps every row of a database that was in use."""

from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command

from centralino import migrate as migration
from tests.contract.migrations.test_migrations import inside, url

__all__ = ["url"]
pytestmark = pytest.mark.contract

AT = "2026-11-20 10:00:00"
BEFORE = [
    "INSERT INTO company (id, name) VALUES (1, 'ASL Bari')",
    "INSERT INTO contact (id, name, email, language, company_id) VALUES (5, 'Anna', 'Anna@ASL.example', 'it', 1)",
    "INSERT INTO phone (contact_id, e164, tail, raw) VALUES (5, '+390805551234', '05551234', '080 5551234')",
    "INSERT INTO request (id, ticket, kind, area, channel, level, status, subject, description, language, contact_id,"
    f" company_id, received_at, opened_at, version) VALUES (7, '1000074', 'request', 'use', 'voicemail', 1, 'queued',"
    f" 'Stampa', '', 'it', 5, 1, '{AT}', '{AT}', 1)",
    "INSERT INTO request_event (request_id, at, actor, kind, details, version)"
    f" VALUES (7, '{AT}', 'system', 'opened', '{{}}', 1)",
    "INSERT INTO outbox_mail (request_id, kind, message_id, sender, recipient, subject, body, state, attempts,"
    " created_at, next_attempt_at) VALUES (7, 'opened', '<x@desk.example>', 'd@desk.example', 'a@asl.example', 's',"
    f" 'b', 'sent', 1, '{AT}', '{AT}')",
    "INSERT INTO agent (id, username, name, endpoint, queues, presence, presence_since, misses, desks, desk_connected,"
    f" phone_reachable, phone_node) VALUES (3, 'anna', 'Anna', 'PJSIP/101', '[]', 'offline', '{AT}', 0, '[]',"
    " {false}, {false}, '')",
    "INSERT INTO call (id, channel_id, app, line, language, phase, priority, started_at, on_hold, consulting,"
    f" request_id, agent_id) VALUES ('c1', '1.1', 'centralino', '080', 'it', 'ended', 0, '{AT}',"
    " {false}, {false}, 7, 3)",
    f"INSERT INTO offer (id, call_id, agent_id, endpoint, offered_at) VALUES ('o1', 'c1', 3, 'PJSIP/101', '{AT}')",
    "INSERT INTO message (id, call_id, request_id, line, language, state, started_at, take, transcript_state, attempts)"
    f" VALUES ('m1', 'c1', 7, '080', 'it', 'filed', '{AT}', 1, 'none', 0)",
]
TABLES = [statement.split()[2] for statement in BEFORE]


def test_a_database_of_the_version_before_the_life_of_a_request_keeps_its_rows(url: str) -> None:
    def as_it_was(connection: sa.Connection) -> None:
        command.upgrade(migration._config(connection), "0008")

    migration._within(url, as_it_was)
    false = "false" if url.startswith("postgresql") else "0"
    for statement in BEFORE:
        inside(url, lambda c, s=statement: c.exec_driver_sql(s.replace("{false}", false).replace("{{}}", "{}")))
    migration.migrate(url)

    def look(connection: sa.Connection) -> dict[str, Any]:
        counts = {name: connection.scalar(sa.text(f"SELECT count(*) FROM {name}")) for name in TABLES}
        assert connection.execute(sa.text("SELECT contact_id, address FROM email_address")).all() == [
            (5, "anna@asl.example")
        ]
        row = connection.execute(sa.text("SELECT impact, urgency, held_since IS NOT NULL FROM request")).one()
        assert tuple(row) == (2, 2, 1)
        assert connection.scalar(sa.text("SELECT count(*) FROM area WHERE back_to_level_0")) == 1
        if connection.dialect.name == "sqlite":
            assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
        return counts

    assert inside(url, look) == dict.fromkeys(TABLES, 1)


def test_requests_of_who_has_left_come_back_to_the_queue_when_they_are_reopened(url: str) -> None:
    def as_it_was(connection: sa.Connection) -> None:
        command.upgrade(migration._config(connection), "0008")

    migration._within(url, as_it_was)
    false = "false" if url.startswith("postgresql") else "0"
    left = ("UPDATE request SET holder = 'anna', status = 'closed'", "UPDATE agent SET endpoint = NULL")
    for statement in (*BEFORE, *left):
        inside(url, lambda c, s=statement: c.exec_driver_sql(s.replace("{false}", false).replace("{{}}", "{}")))
    migration.migrate(url)
    assert inside(url, lambda c: c.execute(sa.text("SELECT status, holder FROM request")).all()) == [("closed", None)]
