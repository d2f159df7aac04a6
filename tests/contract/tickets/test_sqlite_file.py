"""The database file under several processes."""

import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from tickets.database import Base, Database

pytestmark = pytest.mark.contract

LOOK = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('SELECT count(*) FROM company').fetchone()"


def add(session: Session, name: str) -> None:
    session.execute(text("INSERT INTO company (name) VALUES (:name)"), {"name": name})


async def test_what_is_committed_is_there_for_others_that_come_and_go(tmp_path: Path) -> None:
    """Two connections of ours, as soon as two things are done at once; another process opens and closes meanwhile."""
    file = tmp_path / "centralino.db"
    database = Database(f"sqlite:///{file}")
    Base.metadata.create_all(database.engine)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with database.engine.connect() as one, database.engine.connect() as other:
        one.execute(text("SELECT 1"))
        other.execute(text("SELECT 1"))
    for number in range(5):
        await database.run(add, f"ASL {number}")
        subprocess.run([sys.executable, "-c", LOOK, str(file)], check=True)  # noqa: ASYNC221 - a moment
    # A crash now would leave what another process sees now.
    other_view = sqlite3.connect(file)
    assert other_view.execute("SELECT count(*) FROM company").fetchone() == (5,)
    other_view.close()
    assert file.with_name("centralino.db-wal").exists()
    await database.close()
