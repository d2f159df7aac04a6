"""What the packages below refuse, as the desk answers it: a status, a code, and words for the person."""

from sqlalchemy.orm.exc import StaleDataError

from desk.errors import DeskError
from desk.views import ChangeView, Problem
from desk.words import say, say_uses, say_why
from ivr.errors import CommandRefused, IvrError, PresenceRefused, SiteChanged, StillUsed, WrapUpRefused
from tickets.errors import (
    CredentialsRefused,
    DuplicateEntry,
    EntryInUse,
    InvalidInput,
    MoveRefused,
    NotFound,
    NoticeNotStopped,
    RequestChanged,
    RequestClosed,
    RequestTaken,
    TicketsError,
    UnknownConnector,
)
from voicemail.errors import MessageNotFound, NothingToCorrect, TranscriptChanged, VoicemailError

REFUSED: tuple[type[Exception], ...] = (TicketsError, VoicemailError, IvrError, StaleDataError)
"""What is no fault of the service."""
_REFUSALS: dict[type[Exception], tuple[int, str]] = {
    NotFound: (404, "not_there"),
    MessageNotFound: (404, "not_there"),
    NothingToCorrect: (409, "nothing_to_correct"),
    TranscriptChanged: (409, "conflict"),
    InvalidInput: (422, "invalid_input"),
    DuplicateEntry: (409, "duplicate"),
    EntryInUse: (409, "in_use"),
    CredentialsRefused: (409, "credentials_refused"),
    RequestClosed: (409, "request_closed"),
    RequestTaken: (409, "request_taken"),
    MoveRefused: (409, "move_refused"),
    NoticeNotStopped: (409, "notice_not_stopped"),
    UnknownConnector: (409, "unknown_connector"),
    RequestChanged: (409, "conflict"),
    StaleDataError: (409, "conflict"),
    PresenceRefused: (409, "presence_refused"),
    WrapUpRefused: (409, "wrap_up_refused"),
    CommandRefused: (409, "command_refused"),
    SiteChanged: (409, "conflict"),
    StillUsed: (409, "still_used"),
}
"""What the lower packages refuse, as status and code."""


def refusal(error: Exception, language: str) -> tuple[int, Problem]:
    """The answer to one of `REFUSED`, or to a `DeskError`: its status and what it says."""
    if isinstance(error, DeskError):
        return error.status, Problem(error=error.code, message=say(error.code, language))
    status, code = next((found for kind, found in _REFUSALS.items() if isinstance(error, kind)), (409, "refused"))
    message = say(error.reason if isinstance(error, MoveRefused) else code, language)
    if isinstance(error, StillUsed):
        message = f"{message} {say_uses(error.uses, language)}"
    fields = {error.field: say_why(error, language)} if isinstance(error, InvalidInput) else {}
    changes = error.edits if isinstance(error, (RequestChanged, TranscriptChanged)) else ()
    return status, Problem(
        error=code,
        message=message,
        fields=fields,
        changes=[ChangeView.model_validate(change) for change in changes],
    )
