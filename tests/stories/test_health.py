"""What a site's monitoring is told of a real service."""

import asyncio

import httpx
import pytest

from centralino.rig.world import World
from centralino.serve import Service

pytestmark = pytest.mark.story


async def test_every_vital_task_makes_its_rounds_also_while_asterisk_is_away(world: World, service: Service) -> None:
    async with httpx.AsyncClient(base_url=world.desk_url) as monitoring:
        assert (await monitoring.get("/api/health/ready")).status_code == 200
        await world.asterisk.kill()
        async with asyncio.timeout(20):
            while (await monitoring.get("/api/health/ready")).status_code != 503:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            seen = {name: pulse.last for name, pulse in service.vital.items()}
            while still := [name for name, pulse in service.vital.items() if pulse.last == seen[name]]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert still == []
        assert (await monitoring.get("/api/health/live")).status_code == 200
