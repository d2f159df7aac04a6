"""Which Asterisks are reached: a node that no worker reaches for too long is lost, with the calls it carried.

A node has a counter that every worker raises once a second while it is connected with it. A node is lost for a worker
when the counter has not moved for long by that worker's own clock; no two machines' clocks are ever compared.
"""

import time
from collections.abc import Callable, Collection
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from ivr.leases import BEAT_SECONDS
from ivr.models import NodeBeat
from ivr.queries import apps_of_open_calls
from ivr.settings import node_of
from tickets.database import Database

LONGEST_BEAT_SECONDS = 3 * BEAT_SECONDS
"""Between two beats at most so much counts as silence: a worker that was frozen must not take it for the node's."""


@dataclass(slots=True)
class Nodes:
    """The nodes of a site, and those that calls are open on. Call `beat` every `BEAT_SECONDS`.

    `known` are the names in the settings.
    """

    database: Database
    known: Collection[str]
    lost_seconds: float
    clock: Callable[[], float] = time.monotonic
    _seen: dict[str, int] = field(default_factory=dict)
    _silent: dict[str, float] = field(default_factory=dict)
    _last: float | None = None

    async def beat(self, reached: Collection[str]) -> AbstractSet[str]:
        """Say which nodes this worker is connected with; returns those that nobody has been for `lost_seconds`."""
        beats = await self.database.run(_raise, self.known, reached)
        now = self.clock()
        passed = min(now - self._last, LONGEST_BEAT_SECONDS) if self._last is not None else 0.0
        self._last = now
        for node, count in beats.items():
            heard = self._seen.get(node) != count
            self._silent[node] = 0.0 if heard else self._silent.get(node, 0.0) + passed
        self._seen = beats
        return {node for node in beats if self._silent[node] >= self.lost_seconds}


def _raise(session: Session, known: Collection[str], reached: Collection[str]) -> dict[str, int]:
    """Raise the counters of the nodes that are reached; returns all, also 0 for a node of open calls that has none."""
    session.execute(
        update(NodeBeat)
        .where(NodeBeat.node.in_(reached))
        .values(beats=NodeBeat.beats + 1)
        .execution_options(synchronize_session=False)
    )
    beats = {row.node: row.beats for row in session.execute(select(NodeBeat.node, NodeBeat.beats))}
    for node in set(reached) - beats.keys():
        beats[node] = 1
        session.execute(insert(NodeBeat).values(node=node, beats=1))
    carrying = {node_of(app) for app in apps_of_open_calls(session)}
    return {node: beats.get(node, 0) for node in {*known, *carrying}}
