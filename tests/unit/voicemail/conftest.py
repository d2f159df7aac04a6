"""A fresh database and short ways to make messages."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tickets.database import Base, Database
from tickets.notices import Notices, NoticeSettings


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/test.db")
    Base.metadata.create_all(database.engine)
    yield database
    await database.close()


@pytest.fixture
def notices() -> Notices:
    return Notices(NoticeSettings())
