"""Who holds which Stasis application: leases that a worker renews, and another takes over when it does not.

A lease is a row with a counter that its holder raises at each beat. Whether a holder is alive is judged by the clock
of the one who looks: a counter that has not moved for `LEASE_SECONDS` is that of a dead worker. No two machines'
clocks are ever compared. Taking over is a compare-and-set, so that only one can; the one who lost an application learns
it at its next beat, and from Asterisk at once, where a new connection of the same application replaces the old.
"""

import time
import uuid
from collections.abc import Callable, Collection
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from sqlalchemy import CursorResult, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from ivr.models import Lease
from ivr.queries import apps_of_open_calls
from tickets.database import Database, announce

BEAT_SECONDS = 1.0
RELEASED = "lease_released"
"""The change after which another worker can take over at once, without waiting for its next beat."""
LEASE_SECONDS = 3.0
NOBODY = ""
"""Holder of a lease that was given back: free at once, for whoever looks whether calls are left."""

PAGES = "pages:"
"""What the name of a lease begins with that is no application, but a process that serves pages only."""

State = tuple[str, int] | None
"""Holder and counter of a lease; None: there are open calls, but nobody holds their application."""


@dataclass(frozen=True, slots=True)
class Held:
    """What one beat found of applications.

    `mine` are ours. `lost` are no longer, until they are claimed again or forgotten; `doubled` those among them that
    another worker holds under its own name: there are two of one name. `free` are held by nobody who is alive, `others`
    by other workers, of which `serving` take new calls.
    """

    mine: AbstractSet[str]
    lost: AbstractSet[str]
    doubled: AbstractSet[str]
    free: AbstractSet[str]
    others: AbstractSet[str]
    serving: AbstractSet[str]


class Leases:
    """The applications that this worker holds. Call `beat` every `BEAT_SECONDS`."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self.database, self._clock = database, clock
        self._holder = uuid.uuid4().hex
        self._mine: set[str] = set()
        self._seen: dict[str, tuple[State, float]] = {}
        """Those of others, and when each was first seen as it is."""
        self._last_beat = clock()

    async def claim(self, app: str) -> None:
        """Hold an application, whoever held it: for the one named in this worker's own settings."""
        self._mine.add(app)
        await self.database.run(_claim, app, self._holder)

    async def take_over(self, app: str) -> bool:
        """Hold an application that a beat found free; False when another worker was faster or its holder came back."""
        seen = self._seen.get(app)
        if seen is None or not (_is_free(seen[0]) or self._clock() - seen[1] >= LEASE_SECONDS):
            return False
        state = seen[0]
        try:
            taken = await self.database.run(_take_over, app, self._holder, state)
        except IntegrityError:  # another worker has made the lease that was missing
            return False
        if taken:
            self._mine.add(app)
        return taken

    async def release(self, app: str) -> None:
        """Hold an application no longer: it is for anybody to take over, at once."""
        self._mine.discard(app)
        await self.database.run(_release, app, self._holder)

    async def drop(self, app: str) -> None:
        """Hold an application no longer, of which nothing is left to be taken over."""
        self._mine.discard(app)
        await self.database.run(_drop, app, self._holder)

    def forget(self, app: str) -> None:
        """What was lost is no longer served either."""
        self._mine.discard(app)

    async def beat(self, *, takes_calls: Collection[str] = ()) -> Held:
        """Renew every lease, saying for which own applications new calls are taken, and look at those of the others."""
        now = self._clock()
        states, doubled, serving = await self.database.run(_renew, self._holder, takes_calls)
        # Who could not beat cannot tell whether the others could: they get their time anew.
        if now - self._last_beat > LEASE_SECONDS - BEAT_SECONDS:
            self._seen.clear()
        self._last_beat = now
        kept = {app for app, state in states.items() if state is not None and state[0] == self._holder}
        lost = self._mine - kept
        self._mine |= kept
        before, self._seen = self._seen, {}
        for app in states.keys() - kept:
            seen = before.get(app)
            self._seen[app] = seen if seen is not None and seen[0] == states[app] else (states[app], now)
        free = {app for app, (state, since) in self._seen.items() if _is_free(state) or now - since >= LEASE_SECONDS}
        others = self._seen.keys() - free
        return Held(kept, lost, lost & doubled, free, others, others & serving)


def _is_free(state: State) -> bool:
    return state is None or state[0] == NOBODY


def _renew(session: Session, holder: str, takes_calls: Collection[str]) -> tuple[dict[str, State], set[str], set[str]]:
    """Raise the counters of a holder's leases.

    Returns the state of every lease, and None for open calls without one; what others hold under their own name; and
    the applications that take new calls.
    """
    session.execute(
        update(Lease)
        .where(Lease.holder == holder)
        .values(beats=Lease.beats + 1, takes_calls=Lease.app.in_(takes_calls))
        .execution_options(synchronize_session=False)
    )
    states: dict[str, State] = dict.fromkeys(apps_of_open_calls(session))
    leases = session.execute(select(Lease.app, Lease.holder, Lease.beats, Lease.adopted, Lease.takes_calls)).all()
    states |= {lease.app: (lease.holder, lease.beats) for lease in leases}
    doubled = {lease.app for lease in leases if not lease.adopted and lease.holder not in (holder, NOBODY)}
    return states, doubled, {lease.app for lease in leases if lease.takes_calls}


def _claim(session: Session, app: str, holder: str) -> None:
    session.execute(delete(Lease).where(Lease.app == app))
    session.execute(insert(Lease).values(app=app, holder=holder, beats=1, adopted=False, takes_calls=False))


def _take_over(session: Session, app: str, holder: str, state: State) -> bool:
    if state is None:
        session.execute(insert(Lease).values(app=app, holder=holder, beats=1, adopted=True, takes_calls=False))
        return True
    taken = session.execute(
        update(Lease)
        .where(Lease.app == app, Lease.holder == state[0], Lease.beats == state[1])
        .values(holder=holder, beats=Lease.beats + 1, adopted=True)
        .execution_options(synchronize_session=False)
    )
    assert isinstance(taken, CursorResult)  # noqa: S101 - an UPDATE always gives one; narrows the type
    return taken.rowcount == 1


def _release(session: Session, app: str, holder: str) -> None:
    session.execute(
        update(Lease)
        .where(Lease.app == app, Lease.holder == holder)
        .values(holder=NOBODY, beats=Lease.beats + 1, takes_calls=False)
        .execution_options(synchronize_session=False)
    )
    announce(session, RELEASED, app)


def _drop(session: Session, app: str, holder: str) -> None:
    session.execute(delete(Lease).where(Lease.app == app, Lease.holder == holder))
