"""The revisions lead to exactly the tables of the models, on both databases."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

import desk.models  # noqa: F401 - its tables
import ivr.models  # noqa: F401 - its tables
import voicemail.models  # noqa: F401 - its tables
from centralino.migrate import DatabaseBehind, DatabaseNewer, check, migrate
from tickets.database import Base, UTCDateTime
from tickets.search import is_derived

pytestmark = pytest.mark.contract


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/empty.db"
    made: str = request.getfixturevalue("postgres_server").create_database(f"empty_{tmp_path.name}"[:60])
    return made


def inside(url: str, action: Any) -> Any:
    engine = sa.create_engine(url)
    try:
        with engine.begin() as connection:
            return action(connection)
    finally:
        engine.dispose()


def differs(_context: Any, _column: Any, _other: Any, found: Any, meant: Any) -> bool | None:
    """Our own column types are plain ones in the database; anything else is for Alembic to compare."""
    if isinstance(meant, UTCDateTime):
        return not isinstance(found, sa.DateTime)
    if isinstance(meant, sa.Enum):
        return not (isinstance(found, sa.String) and found.length == meant.length)
    return None


async def test_migrated_tables_are_those_of_the_models(url: str) -> None:
    migrate(url)

    def compare(connection: sa.Connection) -> list[Any]:
        opts = {
            "compare_type": differs,
            "include_name": lambda name, kind, _parents: not (kind == "table" and is_derived(name)),
        }
        context = MigrationContext.configure(connection, opts=opts)
        return list(compare_metadata(context, Base.metadata))

    assert inside(url, compare) == []


async def test_times_have_their_zone_in_postgresql_and_tickets_count_on_in_sqlite(url: str) -> None:
    migrate(url)

    def look(connection: sa.Connection) -> None:
        columns = {column["name"]: column["type"] for column in sa.inspect(connection).get_columns("request")}
        if connection.dialect.name == "sqlite":
            table = connection.scalar(sa.text("SELECT sql FROM sqlite_master WHERE name = 'request'"))
            assert "AUTOINCREMENT" in table
        else:
            assert isinstance(columns["received_at"], sa.DateTime)
            assert columns["received_at"].timezone

    inside(url, look)


async def test_migrating_again_changes_nothing_and_the_check_is_content(url: str) -> None:
    with pytest.raises(DatabaseBehind, match="at revision none"):
        check(url)
    migrate(url)
    migrate(url)
    check(url)


async def test_services_that_start_together_migrate_once(url: str) -> None:
    await asyncio.gather(*(asyncio.to_thread(migrate, url) for _ in range(4)))
    check(url)


async def test_a_database_of_a_newer_version_is_left_alone(url: str) -> None:
    migrate(url)
    inside(url, lambda c: c.execute(sa.text("UPDATE alembic_version SET version_num = 'ffff'")))
    for action in (migrate, check):
        with pytest.raises(DatabaseNewer, match="does not know its revision ffff"):
            action(url)


async def test_a_migration_that_fails_leaves_nothing_behind(url: str) -> None:
    # The last table of the first revision is in the way.
    inside(url, lambda c: c.execute(sa.text("CREATE TABLE offer (id INTEGER)")))
    with pytest.raises(sa.exc.DBAPIError):
        migrate(url)
    tables = inside(url, lambda c: sa.inspect(c).get_table_names())
    assert tables == ["offer"]
