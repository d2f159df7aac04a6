"""A site moves from its SQLite file to a PostgreSQL server, whole or not at all."""

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import make_url
from typer.testing import CliRunner, Result

import desk.models  # noqa: F401 - its tables
import ivr.models  # noqa: F401 - its tables
import voicemail.models  # noqa: F401 - its tables
from centralino.cli import app
from centralino.migrate import migrate
from centralino.migrate_database_command import move
from centralino.rig.postgres import PostgresServer
from tickets.database import Base, Database, UTCDateTime, create_engine
from tickets.models import Area, Channel, Kind
from tickets.notices import Notices, NoticeSettings
from tickets.operations import NewRequest, open_request

pytestmark = pytest.mark.contract

EXAMPLE = Path(__file__).parents[3] / "docs/centralino.example.toml"
NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
HOSTILE = "'\"\\ \\N \\. \t%s $1 ; DROP TABLE call; -- {} <b>è😀\u202e\r\n\x01\x7f"
TIMES = (
    datetime(2026, 10, 25, 0, 30, tzinfo=UTC),  # 2:30 in Rome, the first
    datetime(2026, 10, 25, 1, 30, tzinfo=UTC),  # 2:30 in Rome, the second
    datetime(2026, 3, 29, 1, 0, 0, 1, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
)
ROWS = 5
KNOWN_AREA = f"0 {HOSTILE}"[:40]
GAP = 1000
"""Between the numbers of rows, so that the next number is not the count of rows."""


def value_for(column: sa.Column[Any], row: int) -> Any:
    """What a column may hold at worst; in the first row nothing where that may be."""
    kind, alone = column.type, column.primary_key or column.unique
    if column.nullable and row == 0:
        return sa.null() if isinstance(kind, sa.JSON) else None  # of JSON, None would be stored as its null
    if isinstance(kind, sa.Enum):
        return list(kind.enum_class)[row % len(kind.enum_class)] if kind.enum_class else kind.enums[0]
    if isinstance(kind, UTCDateTime):
        return TIMES[row % len(TIMES)]
    if isinstance(kind, sa.JSON):
        return [{}, [], {"è'\"": [None, 0.1, HOSTILE, {"": 10**20}]}, None, [HOSTILE, "\x00"]][row % 5]
    if isinstance(kind, sa.Boolean):
        return row % 2 == 0
    if isinstance(kind, sa.Integer):
        return row * GAP + 7 if alone else (0, -1, 2**31 - 1, -(2**31))[row % 4]
    if isinstance(kind, sa.Float):
        return (0.1, -0.0, 1e300, 1 / 3)[row % 4]
    if isinstance(kind, sa.Date):
        return TIMES[row % len(TIMES)].date()
    assert isinstance(kind, sa.String), f"{column}: a kind of column that this test does not know yet"
    text = "" if row == 1 and not alone else HOSTILE * (2 if kind.length else 1000)
    return (f"{row} {text}" if alone else text)[: kind.length]


def filled_row(table: sa.Table, row: int, known: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """One row of a table, which refers to rows of the tables before it."""
    values = {}
    for column in table.columns:
        values[column.name] = value_for(column, row)
        for key in column.foreign_keys:
            if key.column.table is table:  # the next row, which is copied later
                values[column.name] = value_for(key.column, row + 1) if row + 1 < ROWS else None
            elif values[column.name] is not None:
                values[column.name] = known[key.column.table.name][row][key.column.name]
    return values


def fill(url: str) -> dict[str, list[dict[str, Any]]]:
    """Fill every table of a database; gives what is in it."""
    known: dict[str, list[dict[str, Any]]] = {}
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
        connection.execute(sa.delete(Area))
        for table in Base.metadata.sorted_tables:
            known[table.name] = [filled_row(table, row, known) for row in range(ROWS)]
            for row in known[table.name]:
                connection.execute(sa.insert(table).values(row))
    engine.dispose()
    return known


def rows_of(url: str) -> dict[str, list[Any]]:
    """Every row of every table, as the program reads it."""
    engine = create_engine(url)
    with engine.connect() as connection:
        found = {
            table.name: sorted(map(tuple, connection.execute(sa.select(table))), key=repr)
            for table in Base.metadata.sorted_tables
        }
    engine.dispose()
    return found


@pytest.fixture
def source(tmp_path: Path, migrated_file: Path) -> str:
    """The database of a site that does not run."""
    shutil.copy(migrated_file, tmp_path / "centralino.db")
    return f"sqlite:///{tmp_path}/centralino.db"


@pytest.fixture
def target(tmp_path: Path, postgres_server: PostgresServer) -> str:
    """A database without tables on a server."""
    return postgres_server.create_database(f"m_{tmp_path.name}"[:60])


@pytest.fixture
def centralino(source: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run a command of that site."""
    monkeypatch.setenv("CENTRALINO_ASTERISK__PASSWORD", "una-password-di-prova")
    monkeypatch.setenv("CENTRALINO_STORAGE__DATABASE", source)
    monkeypatch.setenv("CENTRALINO_CONFIG", str(EXAMPLE))
    return lambda *words: CliRunner().invoke(app, words)


def tables_of(url: str) -> set[str]:
    engine = create_engine(url)
    names = set(sa.inspect(engine).get_table_names())
    engine.dispose()
    return names


def nothing(*_: Any) -> None:
    """Tell nobody."""


def test_every_row_of_every_table_arrives_as_it_was(
    centralino: Callable[..., Result], source: str, target: str
) -> None:
    filled = fill(source)
    before = rows_of(source)
    result = centralino("migrate-database", target)
    assert result.exit_code == 0, result.output
    assert rows_of(target) == before == rows_of(source)
    for name in filled:
        assert re.search(rf"│ {name} +│ +{ROWS} │ +{ROWS} │", result.output), result.output
    assert 'database = "postgresql+psycopg://' in result.output
    # Of JSON also what the program does not tell apart: no value, and null.
    query = sa.text("SELECT id, CAST(draft AS TEXT) FROM call ORDER BY id")
    drafts = []
    for url in (source, target):
        engine = create_engine(url)
        with engine.connect() as connection:
            drafts.append([tuple(row) for row in connection.execute(query)])
        engine.dispose()
    assert drafts[0] == drafts[1]
    assert {draft for _, draft in drafts[1]} >= {None, "null"}


async def test_the_service_goes_on_with_numbers_that_were_never_given(source: str, target: str) -> None:
    fill(source)
    engine = create_engine(source)
    with engine.begin() as connection:  # the last number ever given is that of a request that is gone
        request = Base.metadata.tables["request"]
        last = connection.execute(sa.select(request).order_by(request.c.id.desc())).mappings().first()
        assert last is not None
        connection.execute(sa.insert(request).values({**last, "id": 50_000, "ticket": "gone"}))
        connection.execute(sa.delete(request).where(request.c.id == 50_000))
    engine.dispose()
    move(make_url(source), make_url(target), nothing)
    database = Database(target)
    new = NewRequest(
        kind=Kind.PROBLEM,
        area=KNOWN_AREA,
        channel=Channel.PHONE,
        subject="Stampa",
        received_at=NOW,
        email="a@b.it",
    )
    notices = Notices(NoticeSettings(desk_name="Help Desk", sender="helpdesk@desk.example"))
    opened = await database.run(open_request, new, notices, now=NOW)
    assert opened.id == 50_001
    await database.close()
    # Every other table takes new rows as well.
    engine = create_engine(target)
    with engine.begin() as connection:
        for table in Base.metadata.sorted_tables:
            if (column := table.autoincrement_column) is not None and table.name != "request":
                old = connection.execute(sa.select(table)).mappings().all()
                row = dict(old[-1]) | {c.name: value_for(c, ROWS + 1) for c in table.columns if c.unique}
                del row[column.name]
                given = connection.execute(sa.insert(table).values(row).returning(column)).scalar()
                assert given is not None
                assert given > max(other[column.name] for other in old), table.name
    engine.dispose()


def test_a_server_with_rows_is_left_alone(centralino: Callable[..., Result], source: str, target: str) -> None:
    fill(source)
    migrate(target)
    with psycopg.connect(make_url(target).set(drivername="postgresql").render_as_string(False)) as connection:
        connection.execute("INSERT INTO company (name) VALUES ('ASL Lecce')")
    result = centralino("migrate-database", target)
    assert (result.exit_code, "there are rows in company" in result.output) == (1, True), result.output
    assert [row[1] for row in rows_of(target)["company"]] == ["ASL Lecce"]


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE call SET caller_name = 'a' || char(0) || 'b' WHERE id LIKE '3 %'", r"table call, id '3 .*NUL"),
        ("UPDATE call SET line = hex(zeroblob(99)) WHERE id LIKE '3 %'", r"table call, id '3 .*too long"),
        ("UPDATE call SET draft = '{broken' WHERE id LIKE '3 %'", r"table call, id '3 .*json"),
        ("UPDATE call SET started_at = 'ieri' WHERE id LIKE '3 %'", r"table call, id '3 .*ieri"),
        ("UPDATE message SET take = 9999999999 WHERE id LIKE '2 %'", r"table message, id '2 .*out of range"),
        ("UPDATE message SET line = CAST(x'6162' AS BLOB) WHERE id LIKE '2 %'", r"table message, id '2 .*column line"),
        ("UPDATE account SET agent_id = 99 WHERE id = 7", r"table account.*agent_id.*99"),
    ],
)
def test_a_row_that_the_server_cannot_hold_is_named_and_nothing_is_moved(
    centralino: Callable[..., Result], source: str, target: str, statement: str, told: str
) -> None:
    fill(source)
    with closing(sqlite3.connect(make_url(source).database or "")) as connection, connection:
        connection.execute(statement)
    result = centralino("migrate-database", target)
    assert result.exit_code == 1
    assert re.search(told, result.output), result.output
    assert tables_of(target) == set()


def test_a_difference_is_found_by_the_check(source: str, target: str) -> None:
    fill(source)
    migrate(target)
    with psycopg.connect(make_url(target).set(drivername="postgresql").render_as_string(False)) as connection:
        connection.execute(
            "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN NEW.priority = NEW.priority / 2; RETURN NEW; END $$"
        )
        connection.execute("CREATE TRIGGER spoil BEFORE INSERT ON call FOR EACH ROW EXECUTE FUNCTION spoil()")
    with pytest.raises(Exception, match=r"table call, id .*column priority: the server has stored something else"):
        move(make_url(source), make_url(target), nothing)
    assert [name for name, rows in rows_of(target).items() if rows] == ["area"]  # which every new database has


def test_a_file_in_use_is_not_moved_and_cannot_be_used_while_it_is(
    centralino: Callable[..., Result], source: str, target: str
) -> None:
    """A service that is idle holds no lock, and would go on writing to the file after the copy was made."""
    fill(source)
    file = make_url(source).database or ""
    service = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], 0); c.execute('SELECT 1 FROM call'); print(flush=True)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", f"{service}; sys.stdin.read()", file], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as running:
        assert running.stdout is not None
        running.stdout.readline()
        result = centralino("migrate-database", target)
    assert (result.exit_code, "is in use: stop the service" in result.output) == (1, True), result.output
    assert tables_of(target) == set()
    seen: list[str] = []

    def look(*_: Any) -> None:
        if not seen:
            other = subprocess.run([sys.executable, "-c", service, file], capture_output=True, text=True, check=False)
            seen.append(other.stderr)

    move(make_url(source), make_url(target), look)
    assert "database is locked" in seen[0]


def test_who_stops_it_leaves_nothing(source: str, target: str) -> None:
    fill(source)
    before = rows_of(source)

    def stop(what: str, table: str, *_: int) -> None:
        if (what, table) == ("checking", "offer"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        move(make_url(source), make_url(target), stop)
    assert tables_of(target) == set()
    assert rows_of(source) == before
    # By Ctrl-C, while it waits for somebody who is at work on the server.
    migrate(target)
    with psycopg.connect(make_url(target).set(drivername="postgresql").render_as_string(False)) as other:
        other.execute("LOCK TABLE request")
        # where the tests run in the background, Ctrl-C is ignored, and so it would be by what they start
        hearing = ["env", "--default-signal=INT"]
        command = [*hearing, sys.executable, "-m", "centralino", "migrate-database", target, "--config", str(EXAMPLE)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=_environment(source)) as running:
            waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            while other.execute(waits).fetchone() == (0,):
                assert running.poll() is None
                time.sleep(0.05)
            running.send_signal(signal.SIGINT)
            output, _ = running.communicate(timeout=30)
    assert (running.returncode, "nothing was moved" in output) == (130, True), output
    assert [name for name, rows in rows_of(target).items() if rows] == ["area"]  # which every new database has


def _environment(source: str) -> dict[str, str]:
    return os.environ | {"CENTRALINO_ASTERISK__PASSWORD": "una-prova", "CENTRALINO_STORAGE__DATABASE": source}


def test_the_password_of_the_server_is_shown_nowhere(
    centralino: Callable[..., Result], source: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(source)
    secret = make_url(target).set(password="segretissima")
    for url, code in (
        (secret, 0),
        (secret, 1),  # not empty any more
        (secret.set(port=1), 1),
        (secret.set(database="nessuna"), 1),
        (secret.set(drivername="postgresql"), 1),
    ):
        result = centralino("migrate-database", url.render_as_string(hide_password=False))
        assert result.exit_code == code, result.output
        assert isinstance(result.exception, SystemExit | None)
        assert "segretissima" not in result.output
    monkeypatch.setenv("CENTRALINO_STORAGE__DATABASE", secret.render_as_string(hide_password=False))
    result = centralino("migrate-database", target)
    assert (result.exit_code, "nothing to move" in result.output) == (1, True), result.output


def test_an_older_database_is_migrated_first(centralino: Callable[..., Result], source: str, target: str) -> None:
    with closing(sqlite3.connect(make_url(source).database or "")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    result = centralino("migrate-database", target)
    assert (result.exit_code, "run `centralino migrate`" in result.output) == (1, True), result.output
    Path(make_url(source).database or "").unlink()
    result = centralino("migrate-database", target)
    assert (result.exit_code, "there is no database" in result.output) == (1, True), result.output
    assert tables_of(target) == set()
