"""search in the words of requests, and what each person likes to see.

The words of a request (its own, those of its history, transcripts and user) are kept in `request_search`, which is made
of the other tables and never written by the program: triggers fill it in the transaction that changes a row. On SQLite
it is an FTS5 table, whose rowid is the request's id; on PostgreSQL a tsvector with a GIN index. See `tickets.search`.
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

LONGEST = 200_000
"""Characters of a request that are looked at; a tsvector has room for a megabyte."""
TEXTS = ("text", "handover", "solution", "note", "name")
"""What in the details of an event are words of people."""
OPEN, COMPANY = 0xE000, 0xE001
"""Characters that nobody types (private use): a word for "is open", and the beginning of one for a company's id."""
OWN = "ticket, subject, description, solution, email, phone, contact_id, company_id, closed_at"
"""Columns of a request that its words depend on."""

_EVENT = " || ' ' || ".join(f"coalesce(json_extract(e.details, '$.{key}'), '')" for key in TEXTS)
_NEW_EVENT = ", ".join(f"json_extract(NEW.details, '$.{key}')" for key in TEXTS)

SQLITE_TABLE = (
    # Without positions (detail) and lengths (columnsize): what is asked is only which requests have some words.
    "CREATE VIRTUAL TABLE request_search USING fts5(words, detail = 'none', columnsize = 0, prefix = '1 2 3 4 5 6',"
    " tokenize = 'unicode61 remove_diacritics 2')",
    f"""
    CREATE VIEW request_search_text (id, words) AS
    SELECT r.id, substr(
        coalesce(r.ticket, '') || ' ' || r.subject || ' ' || r.description || ' ' || coalesce(r.solution, '')
        || ' ' || coalesce(r.email, '') || ' ' || coalesce(r.phone, '')
        || CASE WHEN r.phone LIKE '+39%' THEN ' ' || substr(r.phone, 4) ELSE '' END
        || ' ' || coalesce((
            SELECT c.name || ' ' || replace(replace(c.name, '''', ''), '’', '') || ' ' || coalesce(c.user_code, '') || ' ' || coalesce(c.email, '') FROM contact c
            WHERE c.id = r.contact_id), '')
        || ' ' || coalesce((
            SELECT group_concat(p.e164 || CASE WHEN p.e164 LIKE '+39%' THEN ' ' || substr(p.e164, 4) ELSE '' END, ' ')
            FROM phone p WHERE p.contact_id = r.contact_id), '')
        || ' ' || coalesce((
            SELECT group_concat(a.address, ' ') FROM email_address a WHERE a.contact_id = r.contact_id), '')
        || ' ' || coalesce((
            SELECT group_concat(CASE WHEN json_valid(e.details) THEN {_EVENT} ELSE '' END, ' ') FROM request_event e
            WHERE e.request_id = r.id), '')
        || ' ' || coalesce((
            SELECT group_concat(coalesce(m.transcript, '') || ' ' || coalesce(m.callback, ''), ' ') FROM message m
            WHERE m.request_id = r.id), ''),
        1, {LONGEST})
        || CASE WHEN r.closed_at IS NULL THEN ' ' || char({OPEN}) ELSE '' END
        || coalesce(' ' || char({COMPANY}) || r.company_id, '')
    FROM request r WHERE r.id > 0
    """,
)


def _again(which: str) -> str:
    """What a trigger of SQLite does: write the words of some requests anew."""
    return (
        f"DELETE FROM request_search WHERE rowid IN (SELECT id FROM request WHERE {which});"
        " INSERT INTO request_search (rowid, words) SELECT id, words FROM request_search_text"
        f" WHERE id IN (SELECT id FROM request WHERE {which});"
    )


SQLITE_TRIGGERS = (
    # A new request has its number, and with it its words, only with the next step.
    f"CREATE TRIGGER request_search_new AFTER INSERT ON request WHEN NEW.ticket IS NOT NULL BEGIN"
    f" {_again('id = NEW.id')} END",
    f"CREATE TRIGGER request_search_changed AFTER UPDATE OF {OWN} ON request BEGIN {_again('id = NEW.id')} END",
    "CREATE TRIGGER request_search_gone AFTER DELETE ON request BEGIN"
    " DELETE FROM request_search WHERE rowid = OLD.id; END",
    "CREATE TRIGGER request_search_event AFTER INSERT ON request_event"
    f" WHEN json_valid(NEW.details) AND coalesce({_NEW_EVENT}) IS NOT NULL"
    f" BEGIN {_again('id = NEW.request_id')} END",
    f"CREATE TRIGGER request_search_event_gone AFTER DELETE ON request_event BEGIN {_again('id = OLD.request_id')} END",
    "CREATE TRIGGER request_search_event_changed AFTER UPDATE OF details, request_id ON request_event"
    f" BEGIN {_again('id IN (OLD.request_id, NEW.request_id)')} END",
    "CREATE TRIGGER request_search_message AFTER INSERT ON message"
    f" WHEN NEW.request_id IS NOT NULL AND coalesce(NEW.transcript, NEW.callback) IS NOT NULL"
    f" BEGIN {_again('id = NEW.request_id')} END",
    "CREATE TRIGGER request_search_message_changed AFTER UPDATE OF transcript, callback, request_id ON message"
    f" WHEN coalesce(OLD.request_id, NEW.request_id) IS NOT NULL"
    f" BEGIN {_again('id IN (OLD.request_id, NEW.request_id)')} END",
    f"CREATE TRIGGER request_search_message_gone AFTER DELETE ON message WHEN OLD.request_id IS NOT NULL"
    f" BEGIN {_again('id = OLD.request_id')} END",
    "CREATE TRIGGER request_search_contact AFTER UPDATE OF name, user_code, email ON contact"
    " WHEN OLD.name <> NEW.name OR OLD.user_code IS NOT NEW.user_code OR OLD.email IS NOT NEW.email"
    f" BEGIN {_again('contact_id = NEW.id')} END",
    *(
        f"CREATE TRIGGER request_search_{table}_{name} AFTER {event} ON {table} WHEN {row}.contact_id IS NOT NULL"
        f" BEGIN {_again(f'contact_id = {row}.contact_id')} END"
        for table in ("phone", "email_address")
        for name, event, row in (("new", "INSERT", "NEW"), ("gone", "DELETE", "OLD"))
    ),
    *(
        f"CREATE TRIGGER request_search_{table}_changed AFTER UPDATE OF contact_id, {column} ON {table}"
        f" WHEN coalesce(OLD.contact_id, NEW.contact_id) IS NOT NULL"
        f" BEGIN {_again('contact_id IN (OLD.contact_id, NEW.contact_id)')} END"
        for table, column in (("phone", "e164"), ("email_address", "address"))
    ),
)

SEPARATORS = "".join(chr(c) for c in range(1, 128) if not chr(c).isalnum()) + "\u00a0\u2009\u202f‘’‚“”„«»‹›–—…·•€£§©®™"
"""What stands between words: the server's own parser would take mail addresses, paths and signs with them for one."""

_LITERAL = "'" + SEPARATORS.replace("'", "''") + "'"


def _national(number: str) -> str:
    return f"CASE WHEN {number} LIKE '+39%' THEN substr({number}, 4) END"


_SQL_EVENT = ", ".join(f"details ->> '{key}'" for key in TEXTS)

POSTGRESQL_TABLE = (
    "CREATE TABLE request_search (id integer CONSTRAINT pk_request_search PRIMARY KEY"
    " CONSTRAINT fk_request_search_id_request REFERENCES request (id) ON DELETE CASCADE,"
    " open boolean NOT NULL, words tsvector NOT NULL)",
    # Whatever a text holds, it must not keep the row from being written that it belongs to.
    f"""
    CREATE FUNCTION request_search_words(text) RETURNS tsvector LANGUAGE plpgsql IMMUTABLE AS $$
    DECLARE
        divided text;
    BEGIN
        divided := lower(translate(
            regexp_replace(normalize(left($1, {LONGEST}), NFD), '[\\u0300-\\u036f]+', '', 'g'),
            {_LITERAL}, repeat(' ', {len(SEPARATORS)})));
        -- The server's parser takes 0e0a for the number 0e0 and a letter: such words are added as they are.
        RETURN strip(to_tsvector('pg_catalog.simple', divided)) || array_to_tsvector(ARRAY(
            SELECT DISTINCT left(hit[1], 200)
            FROM regexp_matches(divided, '(?:^| )([0-9]+e[0-9][^ ]*)', 'g') AS hit));
    EXCEPTION WHEN others THEN
        RETURN '';
    END $$
    """,
    f"""
    CREATE FUNCTION request_search_event(details json) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
    BEGIN
        IF json_typeof(details) <> 'object' THEN
            RETURN NULL;
        END IF;
        RETURN nullif(concat_ws(' ', {_SQL_EVENT}), '');
    EXCEPTION WHEN others THEN
        RETURN NULL;
    END $$
    """,
    f"""
    CREATE FUNCTION request_search_text(r request) RETURNS tsvector LANGUAGE plpgsql STABLE AS $$
    BEGIN
        RETURN request_search_words(concat_ws(' ',
            r.ticket, r.subject, r.description, r.solution, r.email, r.phone, {_national("r.phone")},
            (SELECT concat_ws(' ', c.name, translate(c.name, '''’', ''), c.user_code, c.email) FROM contact c
                WHERE c.id = r.contact_id),
            (SELECT string_agg(concat_ws(' ', p.e164, {_national("p.e164")}), ' ') FROM phone p
                WHERE p.contact_id = r.contact_id),
            (SELECT string_agg(a.address, ' ') FROM email_address a WHERE a.contact_id = r.contact_id),
            (SELECT string_agg(request_search_event(e.details), ' ') FROM request_event e WHERE e.request_id = r.id),
            (SELECT string_agg(concat_ws(' ', m.transcript, m.callback), ' ') FROM message m
                WHERE m.request_id = r.id)
        )) || CASE WHEN r.company_id IS NULL THEN '' ELSE array_to_tsvector(ARRAY[chr({COMPANY}) || r.company_id]) END;
    END $$
    """,
    # The row is locked before anything is read: of two who add to a request at once the second sees what the first did.
    """
    CREATE FUNCTION request_search_put(which integer[]) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM 1 FROM request_search WHERE id = ANY (which) ORDER BY id FOR UPDATE;
        INSERT INTO request_search (id, open, words)
            SELECT r.id, r.closed_at IS NULL, request_search_text(r) FROM request r WHERE r.id = ANY (which) AND r.id > 0
            ON CONFLICT (id) DO UPDATE SET open = excluded.open, words = excluded.words;
    END $$
    """,
)
POSTGRESQL_INDEXES = (
    # A list of what came last would be read whole by every search: each row is put in its place at once.
    "CREATE INDEX ix_request_search_words ON request_search USING gin (words) WITH (fastupdate = off)",
    "CREATE INDEX ix_request_search_open ON request_search (id) WHERE open",
)


def _trigger(name: str, event: str, table: str, action: str, when: str = "") -> tuple[str, str]:
    return (
        f"CREATE FUNCTION request_search_on_{name}() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN {action} RETURN NULL; END $$",
        f"CREATE TRIGGER request_search_{name} AFTER {event} ON {table} FOR EACH ROW {when}"
        f" EXECUTE FUNCTION request_search_on_{name}()",
    )


def _of_contact(which: str) -> str:
    return f"PERFORM request_search_put(ARRAY(SELECT id FROM request WHERE {which}));"


POSTGRESQL_TRIGGERS = (
    *_trigger(
        *("new", "INSERT", "request", "PERFORM request_search_put(ARRAY[NEW.id]);", "WHEN (NEW.ticket IS NOT NULL)")
    ),
    *_trigger("changed", f"UPDATE OF {OWN}", "request", "PERFORM request_search_put(ARRAY[NEW.id]);"),
    *_trigger(
        *("event", "INSERT", "request_event", "PERFORM request_search_put(ARRAY[NEW.request_id]);"),
        "WHEN (request_search_event(NEW.details) IS NOT NULL)",
    ),
    *_trigger("event_gone", "DELETE", "request_event", "PERFORM request_search_put(ARRAY[OLD.request_id]);"),
    *_trigger(
        *("event_changed", "UPDATE OF details, request_id", "request_event"),
        "PERFORM request_search_put(ARRAY[OLD.request_id, NEW.request_id]);",
    ),
    *_trigger(
        *("message", "INSERT", "message", "PERFORM request_search_put(ARRAY[NEW.request_id]);"),
        "WHEN (NEW.request_id IS NOT NULL AND coalesce(NEW.transcript, NEW.callback) IS NOT NULL)",
    ),
    *_trigger(
        *("message_changed", "UPDATE OF transcript, callback, request_id", "message"),
        "PERFORM request_search_put(array_remove(ARRAY[OLD.request_id, NEW.request_id], NULL));",
        "WHEN (coalesce(OLD.request_id, NEW.request_id) IS NOT NULL)",
    ),
    *_trigger(
        *("message_gone", "DELETE", "message", "PERFORM request_search_put(ARRAY[OLD.request_id]);"),
        "WHEN (OLD.request_id IS NOT NULL)",
    ),
    *_trigger(
        *("contact", "UPDATE OF name, user_code, email", "contact", _of_contact("contact_id = NEW.id")),
        "WHEN ((OLD.name, OLD.user_code, OLD.email) IS DISTINCT FROM (NEW.name, NEW.user_code, NEW.email))",
    ),
    *(
        statement
        for table, column in (("phone", "e164"), ("email_address", "address"))
        for name, event, rows in (
            ("new", "INSERT", ("NEW",)),
            ("gone", "DELETE", ("OLD",)),
            ("changed", f"UPDATE OF contact_id, {column}", ("OLD", "NEW")),
        )
        for statement in _trigger(
            *(f"{table}_{name}", event, table),
            _of_contact(f"contact_id IN ({', '.join(f'{row}.contact_id' for row in rows)})"),
            f"WHEN (coalesce({', '.join(f'{row}.contact_id' for row in rows)}) IS NOT NULL)",
        )
    ),
)


def upgrade() -> None:
    connection = op.get_bind()
    op.add_column("account", sa.Column("preferences", sa.JSON(), nullable=False, server_default="{}"))
    if connection.dialect.name == "sqlite":
        for statement in (
            *SQLITE_TABLE,
            "INSERT INTO request_search (rowid, words) SELECT id, words FROM request_search_text",
            *SQLITE_TRIGGERS,
        ):
            connection.exec_driver_sql(statement)
        return
    for statement in (
        *POSTGRESQL_TABLE,
        "INSERT INTO request_search (id, open, words)"
        " SELECT r.id, r.closed_at IS NULL, request_search_text(r) FROM request r WHERE r.id > 0",
        *POSTGRESQL_INDEXES,
        *POSTGRESQL_TRIGGERS,
    ):
        connection.execute(sa.text(statement.replace(":", r"\:")))
    connection.execute(sa.text("ANALYZE request_search"))


def downgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        for statement in SQLITE_TRIGGERS:
            connection.exec_driver_sql(f"DROP TRIGGER {statement.split()[2]}")
        connection.exec_driver_sql("DROP VIEW request_search_text")
    else:
        for create, _ in zip(POSTGRESQL_TRIGGERS[::2], POSTGRESQL_TRIGGERS[1::2], strict=True):
            connection.execute(sa.text(f"DROP FUNCTION {create.split()[2]} CASCADE"))
        for name in ("put(integer[])", "text(request)", "event(json)", "words(text)"):
            connection.execute(sa.text(f"DROP FUNCTION request_search_{name}"))
    op.execute("DROP TABLE request_search")
    op.drop_column("account", "preferences")
