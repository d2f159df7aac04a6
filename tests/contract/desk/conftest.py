"""A served desk and its live connections."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from centralino.rig.desk_server import DeskServer


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[DeskServer]:
    """The desk on a free port, with an empty database."""
    async with DeskServer(tmp_path) as server:
        yield server
