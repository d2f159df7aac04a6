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


async def test_a_worker_that_leaves_is_alive_but_takes_no_new_calls(served: DeskServer) -> None:
    served.control.takes_calls = False
    async with served.browser() as monitoring:
        answer = await monitoring.get("/health/ready")
        assert (answer.status_code, answer.json()["takes_calls"]) == (503, False)
        assert (await monitoring.get("/health/live")).status_code == 200
        assert (await monitoring.get("/health")).status_code == 200
        served.control.takes_calls = True
        assert (await monitoring.get("/health/ready")).status_code == 200


async def test_a_lost_asterisk_or_database_makes_a_worker_not_ready_but_not_dead(
    served: DeskServer, tmp_path: Path
) -> None:
    away = Database(f"sqlite:///{tmp_path}/no-such-folder/desk.db")
    desk = served.app.state.desk
    async with served.browser() as monitoring:
        served.app.state.desk = replace(desk, database=away)
        assert (await monitoring.get("/health/ready")).json()["database"] is False
        assert (await monitoring.get("/health/live")).status_code == 200
        served.app.state.desk, served.control.in_service = desk, False
        assert (await monitoring.get("/health/ready")).status_code == 503
        assert (await monitoring.get("/health/live")).status_code == 200
    await away.close()


async def test_a_vital_task_that_stands_still_is_told_by_name_until_it_goes_on(served: DeskServer) -> None:
    async with served.browser() as monitoring:
        assert (await monitoring.get("/health/live")).json() == {"alive": True, "standing_still": []}
        served.stood_still = 61.0
        answer = await monitoring.get("/health/live")
        assert (answer.status_code, answer.json()) == (503, {"alive": False, "standing_still": ["decisions"]})
        served.pulse.beat()
        assert (await monitoring.get("/health/live")).status_code == 200
