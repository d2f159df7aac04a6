"""The watchdog: no caller sits in silence, and a worker that has fallen behind takes no more calls.

Whatever serves a call may be held up: a database that is locked, a disk that does not answer, an event loop with more
to do than it can. So this looks at every caller four times a second, from outside of what may hang; a call that goes
its way costs it nothing but the note of when words and music ended.
"""

import asyncio
from collections.abc import Callable, Iterable

import structlog

from ivr.flow.leg import Leg
from ivr.flow.talk import quietly
from ivr.tasks import Tasks

log = structlog.get_logger()

LOOK_SECONDS = 0.25
SILENCE_SECONDS = 1.5
"""After so much silence a caller hears music (ringing, before the call is picked up): with the look and the time until
Asterisk plays it is within the 2 s after which people say "pronto?" and hang up."""
LATE_SECONDS = 1.0
"""An event loop so late is overloaded: a call in hand costs it milliseconds, and nothing may block it for long."""
UNANSWERED_SECONDS = 3.0
"""A call that is not picked up after so long waits for the database: the next ones would only wait behind it."""


class Watchdog:
    """Looks at all legs in a worker's hands, which `legs` gives, as long as `run` runs."""

    def __init__(self, legs: Callable[[], Iterable[Leg]]) -> None:
        self._legs = legs
        self._tasks = Tasks()
        self._late = 0.0
        self._next_look = 0.0
        self._longest_unanswered = 0.0

    async def run(self) -> None:
        """Look, for ever."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                self._next_look = loop.time() + LOOK_SECONDS
                await asyncio.sleep(LOOK_SECONDS)
                now = loop.time()
                self._late = now - self._next_look
                self._longest_unanswered = 0.0
                for leg in self._legs():
                    if leg.unanswered_since is not None:
                        self._longest_unanswered = max(self._longest_unanswered, now - leg.unanswered_since)
                    since = leg.silent_since
                    if since is not None and now - since >= SILENCE_SECONDS and not leg.gone.done():
                        self._tasks.spawn(self._help(leg))
        finally:
            await self._tasks.end()

    @staticmethod
    async def _help(leg: Leg) -> None:
        if leg.silent_since is not None:
            log.warning("a caller sat in silence: music until the call goes on", channel=leg.id)
            await quietly(leg.break_silence())

    def why_behind(self) -> str | None:
        """Why this worker should take no more calls now; None when it keeps up. Cheap: asked at every call."""
        now = asyncio.get_running_loop().time()
        # Events are read before timers run: the look that is due tells it as well as the last one.
        if max(self._late, now - self._next_look) > LATE_SECONDS:
            return "the event loop is late"
        if self._longest_unanswered > UNANSWERED_SECONDS:
            return "calls before it are not picked up yet"
        return None
