"""What a site's monitoring is told."""

from dataclasses import replace
from pathlib import Path

import pytest

from centralino.rig.desk_server import DeskServer
from tickets.database import Database

pytestmark = pytest.mark.contract


async def test_all_is_well_while_asterisk_and_the_database_answer(served: DeskServer) -> None:
    async with served.browser() as monitoring:
        answer = await monitoring.get("/health")
        assert (answer.status_code, answer.json()) == (200, {"asterisk": True, "database": True})


async def test_a_lost_asterisk_is_told(served: DeskServer) -> None:
    served.control.in_service = False
    async with served.browser() as monitoring:
        answer = await monitoring.get("/health")
        assert (answer.status_code, answer.json()) == (503, {"asterisk": False, "database": True})


async def test_a_database_that_does_not_answer_is_told(served: DeskServer, tmp_path: Path) -> None:
    away = Database(f"sqlite:///{tmp_path}/no-such-folder/desk.db")
    served.app.state.desk = replace(served.app.state.desk, database=away)
    async with served.browser() as monitoring:
        answer = await monitoring.get("/health")
        assert (answer.status_code, answer.json()) == (503, {"asterisk": True, "database": False})
    await away.close()
