"""How often a program may ask."""

from collections import OrderedDict
from datetime import datetime

KEYS = 10_000


class Rate:
    """A bucket for each key that holds a minute's worth and fills again steadily; in memory, each process its own."""

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._buckets: OrderedDict[str, tuple[float, datetime]] = OrderedDict()

    def wait(self, key: str, *, now: datetime) -> float:
        """Take one from the bucket and give 0; or, where it is empty, take none and give the seconds to wait."""
        left, at = self._buckets.get(key, (float(self.per_minute), now))
        left = min(self.per_minute, left + max(0.0, (now - at).total_seconds()) * self.per_minute / 60)
        enough = left >= 1
        self._buckets[key] = (left - 1 if enough else left, now)
        self._buckets.move_to_end(key)
        while len(self._buckets) > KEYS:
            self._buckets.popitem(last=False)
        return 0.0 if enough else (1 - left) * 60 / self.per_minute
