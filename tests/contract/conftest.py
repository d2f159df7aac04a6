"""Real parts that several packages' contract tests share."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from centralino.migrate import migrate
from centralino.rig.postgres import PostgresServer
from tickets.database import Database


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite database with all tables and no rows."""
    file = tmp_path_factory.mktemp("migrated") / "empty.db"
    migrate(f"sqlite:///{file}")
    return file


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path, migrated_file: Path) -> AsyncIterator[Database]:
    """A fresh database with all tables, on either kind."""
    if request.param == "sqlite":
        shutil.copy(migrated_file, tmp_path / "fresh.db")
        url = f"sqlite:///{tmp_path}/fresh.db"
    else:
        server: PostgresServer = request.getfixturevalue("postgres_server")
        template = "migrated"
        if not server.has_database(template):
            await asyncio.to_thread(migrate, server.create_database(template))
        url = server.create_database(f"t_{tmp_path.name}"[:60], template)
    database = Database(url, patience=5)
    yield database
    await database.close()
