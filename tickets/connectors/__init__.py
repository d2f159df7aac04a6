"""Other ticket systems that hear of our requests, and what one of them must be able to do.

A connector knows one foreign system and nothing of our database: it is given requests and lines of their history as
plain values, and gives back what the other side knows. `tickets.connectors.sync` decides what is told, in which order,
and what becomes of what it hears.

ConnectorError
+-- Unreachable   nothing gets through for now, whatever it is: all changes wait
+-- Refused       this change is not taken; those of other requests may be
"""

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from tickets.errors import TicketsError
from tickets.models import Status


class ConnectorError(TicketsError):
    """The base of what can go wrong with another ticket system."""


class Unreachable(ConnectorError):
    """The other system cannot be used for now: look at its address, its log-in, or whether it runs.

    `retry_after` is how many seconds it wants to be left alone, where it says so.
    """

    def __init__(self, words: str, retry_after: float | None = None) -> None:
        super().__init__(words)
        self.retry_after = retry_after


class Refused(ConnectorError):
    """The other system does not take this change; `code` is its own, such as BMXAA4195E, or empty."""

    def __init__(self, words: str, code: str = "") -> None:
        super().__init__(words)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A request as it is now, for the eyes of another system."""

    id: int
    ticket: str
    kind: str
    area: str
    channel: str
    level: int
    status: Status
    priority: int
    subject: str
    description: str
    solution: str
    language: str
    contact: str
    user_code: str
    company: str
    email: str
    phone: str
    holder: str
    received_at: datetime
    opened_at: datetime
    closed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A line of a request's history. `key` is the same at every attempt to tell it, and no other's."""

    key: str
    kind: str
    at: datetime
    actor: str
    text: str = ""
    """What a person wrote: a note, a solution, a reason."""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class File:
    """An attachment. `key` is the same at every attempt to hand it over, and no other's."""

    key: str
    name: str
    media_type: str
    path: Path


@dataclass(frozen=True, slots=True)
class RemoteEntry:
    """A line that somebody wrote there. `id` is its alone; a lower one may be stored there after a higher one."""

    id: int
    at: datetime
    by: str
    text: str
    for_user: bool = False
    """Whether it was written for the user to read, and not for colleagues."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """A request as the other system knows it."""

    id: str
    """Its number there, for people."""
    key: str
    """What it is addressed by."""
    ticket: str = ""
    """Our number of it."""
    status: str | None = None
    """Its status there, in their words; None where it is not known."""
    means: tuple[Status, ...] = ()
    """Which of ours that may stand for, the most likely first."""
    subject: str | None = None
    changed_by: str = ""
    entries: tuple[RemoteEntry, ...] = ()
    """What people there wrote into it; without what came from us."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What has changed there, and the mark to ask from the next time."""

    remotes: Sequence[Remote]
    mark: str | None


def trusted(ca_file: Path | None) -> ssl.SSLContext:
    """The certificates to trust: the system's, or those of a file. Raises `Unreachable` where it cannot be read."""
    try:
        return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except OSError as error:  # also what is no certificate
        raise Unreachable(f"ca_file {ca_file} cannot be used: {error.strerror or error}") from error


class Connector(Protocol):
    """One other ticket system. Every method may raise `Unreachable` and `Refused`.

    `repeated` says that the same may have been tried before, with an outcome that nobody knows.
    """

    name: str
    """At most 40 characters; it is the same for ever."""
    answers: bool
    """Whether it can be asked: `find` and `changes_since`. One that only listens gives nothing there."""

    async def find(self, tickets: Sequence[str]) -> Mapping[str, Sequence[Remote]]:
        """Those of our requests that are known there, by our number; more than one where one was made twice."""
        ...

    async def create(self, request: Outgoing, entry: Entry) -> Remote:
        """Make the request known there."""
        ...

    async def update(self, remote: Remote, request: Outgoing, entry: Entry) -> Remote:
        """Tell all fields of the request, as they are now."""
        ...

    async def worklog(self, remote: Remote, request: Outgoing, entry: Entry, *, repeated: bool) -> Remote:
        """Tell what was written into its history."""
        ...

    async def attachment(
        self, remote: Remote, request: Outgoing, entry: Entry, file: File, *, repeated: bool
    ) -> Remote:
        """Hand a file over."""
        ...

    async def status(self, remote: Remote, request: Outgoing, status: Status, entry: Entry) -> Remote:
        """Tell the status that the request had after this entry."""
        ...

    async def changes_since(self, mark: str | None) -> Heard:
        """Those of our requests that changed there since `mark`; None: since now. The same may come again."""
        ...
