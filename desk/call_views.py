"""The JSON shapes of the list of calls."""

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from desk.views import CallBackView, RequestLink, _Input, _View
from ivr.models import DoneReason, OfferResult, Outcome, Phase

CallIds = Annotated[list[Annotated[str, StringConstraints(pattern=r"^[\w.-]{1,32}$")]], Field(max_length=500)]


class CallEntry(_View):
    """A call as a line of the list. Lengths are seconds."""

    id: str
    started_at: datetime
    ended_at: datetime | None
    line: str
    line_name: str
    caller: str | None
    """Of a call that we made: whom we called."""
    caller_shown: str | None
    caller_name: str | None
    contact_name: str | None
    company_name: str | None
    language: str
    choice: str | None
    queue: str | None
    outbound: bool
    phase: Phase
    outcome: Outcome | None
    outcome_note: str | None
    agent: str | None
    """User name of the agent who talked last."""
    waited: float | None
    """In the waiting line, or since the beginning without one, until somebody answered or the call ended."""
    talked: float | None
    code: str | None
    """What the agent said of the last talk."""
    request: RequestLink | None
    message_id: str | None
    to_do_since: datetime | None
    """Since when it waits for somebody to look after it."""
    owner: str | None
    owned_since: datetime | None
    done_at: datetime | None
    done_by: str | None
    done_reason: DoneReason | None
    attempts: int
    """How often the caller was called back, or is to be."""
    calling: bool
    """The caller is being called back just now."""
    called_again: bool
    """The same number has called since, and an agent answered."""


class OfferView(_View):
    """One agent's phone that rang for a call."""

    agent: str
    offered_at: datetime
    ended_at: datetime | None
    result: OfferResult | None
    code: str | None


class CallDetail(CallEntry):
    """A call with all that is known of it."""

    offers: list[OfferView]
    call_backs: list[CallBackView]


class FoundCalls(_View):
    """Calls that fit what was asked for, the latest first."""

    calls: list[CallEntry]
    earlier: str | None
    """What to ask for as `before` to have the next ones; null: there are none."""


class CallsForm(_Input):
    """Several calls at once."""

    ids: CallIds


class DoneForm(CallsForm):
    """Nothing is left to do for these calls."""

    reason: DoneReason


class Handled(_View):
    """What became of several calls."""

    handled: list[str]
    left: list[str]
    """Those that a colleague looks after, or that wait for nobody (any more)."""
