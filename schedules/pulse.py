"""Signs of life of tasks that must never stand still."""

import time
from collections.abc import Callable, Mapping


class Pulse:
    """The pulse of one task, which beats at each of its rounds, however the round ended.

    It counts as alive until `longest` seconds have passed without a beat: a task may be slow, and a database that is
    away makes it so; one that is dead or hangs for good beats no more.
    """

    def __init__(self, longest: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.longest, self._clock = longest, clock
        self.last = clock()
        """When it last beat, by its clock."""

    def beat(self) -> None:
        """A round has been made."""
        self.last = self._clock()

    @property
    def alive(self) -> bool:
        """Whether the last beat is recent enough."""
        return self._clock() - self.last <= self.longest


def standing_still(pulses: Mapping[str, Pulse]) -> list[str]:
    """The names of the tasks that have given no sign of life for too long."""
    return [name for name, pulse in pulses.items() if not pulse.alive]
