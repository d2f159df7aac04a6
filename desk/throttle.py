"""Slowing down people who guess passwords: failed log-ins are counted in the database, for all workers together."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from desk.models import FailedLogIns

FAILURES_BY_ADDRESS = 10
"""An address may fail this many times as often as one user name there: a health company may share one address."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """Somebody wants to log in."""

    username: str
    address: str
    failures: int
    """So many of one user name from one address, within the window, and it has to wait."""
    window: timedelta

    @property
    def limits(self) -> Sequence[tuple[str, int]]:
        """What it counts for (SHA-256), the name at the address before the address, and how often that may fail."""
        return (
            (_digest(f"{self.username} {self.address}"), self.failures),
            (_digest(self.address), self.failures * FAILURES_BY_ADDRESS),
        )


def wait_of(session: Session, attempt: Attempt, *, now: datetime) -> timedelta:
    """How long to wait before the attempt may be made; zero when it may be made now."""
    keys = [key for key, _ in attempt.limits]
    rows = session.scalars(select(FailedLogIns).where(FailedLogIns.key_sha256.in_(keys)))
    times = {row.key_sha256: row.times for row in rows}
    return max(_wait(times.get(key, []), most, attempt.window, now) for key, most in attempt.limits)


def count_attempt(session: Session, attempt: Attempt, *, now: datetime) -> timedelta:
    """Count an attempt as failed, until it is forgiven; gives how long to wait instead where there were too many."""
    rows = {key: _locked(session, key, now) for key in sorted(key for key, _ in attempt.limits)}
    wait = max(_wait(rows[key].times, most, attempt.window, now) for key, most in attempt.limits)
    if not wait:
        for key, most in attempt.limits:
            row = rows[key]
            row.times = [*_recent(row.times, attempt.window, now), now.timestamp()][-most:]
            row.until = now + attempt.window
    return wait


def forgive(session: Session, attempt: Attempt, *, now: datetime) -> None:
    """The password was right: forget the failures of the name, and of its address this one, since many share it.

    What counts no more, of whomever, is forgotten as well.
    """
    (name, _), (address, _) = attempt.limits
    session.execute(delete(FailedLogIns).where((FailedLogIns.key_sha256 == name) | (FailedLogIns.until <= now)))
    row = session.get(FailedLogIns, address, with_for_update=True)
    if row is not None:
        row.times = row.times[:-1]


def _wait(times: Sequence[float], most: int, window: timedelta, now: datetime) -> timedelta:
    recent = _recent(times, window, now)
    return timedelta(seconds=recent[-most] - now.timestamp()) + window if len(recent) >= most else timedelta(0)


def _recent(times: Sequence[float], window: timedelta, now: datetime) -> list[float]:
    begin = (now - window).timestamp()
    return [at for at in times if at > begin]


def _locked(session: Session, key: str, now: datetime) -> FailedLogIns:
    """The row of a key, made where there is none, for this transaction only."""
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    new = {"key_sha256": key, "times": [], "until": now}
    session.execute(insert(FailedLogIns).values(new).on_conflict_do_nothing())
    return session.get_one(FailedLogIns, key, with_for_update=True)


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()
