"""What can go wrong with requests and the directory; each message says what the person can do."""

from dataclasses import dataclass
from datetime import datetime


class TicketsError(Exception):
    """The base of all errors of this package."""


class NotFound(TicketsError):
    """There is no such request, contact or company."""


class InvalidInput(TicketsError):
    """A field cannot be taken as it is; nothing was stored.

    `words` say why; `code` is a word for it where a page has words of its own, and `given` what these words name.
    Without a field it is about the whole of what was given.
    """

    def __init__(self, field: str, message: str, code: str = "", **given: object) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field, self.words, self.code, self.given = field, message, code, given


class DuplicateEntry(TicketsError):
    """The directory already holds an entry with this name or code."""


class EntryInUse(TicketsError):
    """An entry cannot be taken away, since something refers to it."""


class CredentialsRefused(TicketsError):
    """Credentials may not go this step now.

    `reason` is `not_requested`, `not_trained`, `not_authorised`, `no_user_code`, `not_a_referent`, `another_company` or
    `too_far`; the message says what to do.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class RequestClosed(TicketsError):
    """A closed request is history: open a new one, or add a note."""


class MoveRefused(TicketsError):
    """A request may not go from the one status to the other.

    `reason` is `no_such_move`, `not_by_this_role` or `too_late`; `words` say what can be done instead.
    """

    def __init__(self, before: str, after: str, reason: str, words: str) -> None:
        super().__init__(f"a request that is {before} cannot become {after}: {words}")
        self.before, self.after, self.reason, self.words = before, after, reason, words


class RequestTaken(TicketsError):
    """Somebody else has the request in charge."""


class UnknownConnector(TicketsError):
    """The settings name no other ticket system of this name."""


class NoticeNotStopped(TicketsError):
    """The notice is sent or on its way: there is nothing to be done again."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One change made by somebody meanwhile: `fields` names what was edited."""

    at: datetime
    actor: str
    kind: str
    fields: tuple[str, ...] = ()


class RequestChanged(TicketsError):
    """The request was changed since it was loaded: look at `edits`, load it again and repeat the change."""

    def __init__(self, ticket: str | None, edits: tuple[Edit, ...]) -> None:
        told = "; ".join(f"{e.actor}: {e.kind}{' ' + ', '.join(e.fields) if e.fields else ''}" for e in edits)
        super().__init__(f"request {ticket} was changed meanwhile ({told}): load it again and repeat your change")
        self.edits = edits
