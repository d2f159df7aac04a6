"""Slowing down people who guess passwords."""

from collections import OrderedDict
from datetime import datetime, timedelta


class Throttle:
    """Counts failed log-ins by key in a sliding window, in memory; at most `capacity` keys are remembered."""

    def __init__(self, failures: int, window: timedelta, capacity: int = 10_000) -> None:
        self.failures = failures
        self.window = window
        self.capacity = capacity
        self._failed: OrderedDict[str, list[datetime]] = OrderedDict()

    def wait(self, key: str, *, now: datetime) -> timedelta:
        """How long the key has to wait before the next attempt; zero when it may try."""
        times = self._recent(key, now)
        if len(times) < self.failures:
            return timedelta(0)
        return times[-self.failures] + self.window - now

    def failed(self, key: str, *, now: datetime) -> None:
        """Note a failed attempt."""
        self._failed[key] = [*self._recent(key, now), now][-self.failures :]
        self._failed.move_to_end(key)
        while len(self._failed) > self.capacity:
            self._failed.popitem(last=False)

    def succeeded(self, key: str) -> None:
        """Forget the failures of a key."""
        self._failed.pop(key, None)

    def take_back(self, key: str) -> None:
        """Forget the latest failure of a key: it was none."""
        if times := self._failed.get(key):
            times.pop()

    def _recent(self, key: str, now: datetime) -> list[datetime]:
        times = [at for at in self._failed.get(key, ()) if at > now - self.window]
        if not times:
            self._failed.pop(key, None)
        return times
