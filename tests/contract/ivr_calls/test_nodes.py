"""When an Asterisk counts as lost, and what becomes of its agents."""

from pathlib import Path

import pytest

from centralino.migrate import migrate
from ivr.nodes import LONGEST_BEAT_SECONDS, Nodes
from tickets.database import Database

pytestmark = pytest.mark.contract


class Clock:
    """A worker's own clock."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_an_asterisk_is_lost_when_no_worker_reaches_it_and_a_frozen_worker_is_no_proof(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/nodes.db"
    migrate(url)
    database, clock = Database(url), Clock()
    try:
        uno, due = (Nodes(database, ("nord", "sud"), 5, clock) for _ in range(2))
        for _ in range(8):
            clock.now += 1
            assert await uno.beat({"nord"}) == set()
            assert await due.beat({"sud"}) == set()
        assert (await uno.beat({"nord"}), await due.beat({"sud"})) == (set(), set())
        for _ in range(6):
            clock.now += 1
            lost = await uno.beat({"nord"})
        assert lost == {"sud"}
        clock.now += 600  # the other was frozen: it knows no better than before
        assert LONGEST_BEAT_SECONDS < 5
        assert await due.beat(()) == set()
        assert await due.beat({"sud"}) == set()
        assert await uno.beat({"nord"}) == set()
    finally:
        await database.close()
