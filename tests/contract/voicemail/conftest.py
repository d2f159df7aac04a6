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


@pytest.fixture(scope="session")
def model() -> Path:
    """The tiny Italian model of the project."""
    return Path(__file__).parents[3] / "models" / "vosk-model-tiny-it-helpdesk"


@pytest.fixture(scope="session")
def speech() -> Path:
    """Recorded messages with their texts in `transcripts.tsv`."""
    return Path(__file__).parents[3] / "centralino" / "rig" / "speech"
