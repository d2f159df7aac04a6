"""What the desk answers when it cannot do what was asked.

    DeskError (400)
    +-- NotLoggedIn (401)          no valid cookie
    |   +-- WrongPassword          user name and password do not fit
    +-- NotAllowed (403)
    |   +-- ForeignOrigin          the request comes from another site's page
    |   +-- NotYourCall            the call was never offered to this agent
    |   +-- NoAgent                the account is not bound to an agent
    |   +-- NoListening            the site does not let anybody listen to talks
    +-- NotThere (404)             no such row
    +-- Conflict (409)
    |   +-- AlreadyBound           the call has its request already
    |   +-- AlreadyRegistered      this form was taken before, with other words
    |   +-- NoBrowserPhone         this agent's phone is another one
    |   +-- NoPhoneAddress         the site has no phones in the browser
    |   +-- AgentBusy              an agent cannot be put into that state now
    +-- NotJson (415)              a changing request without a JSON content type
    +-- TooManyAttempts (429)      failed log-ins, with `retry_after` in seconds

Each has a `code`; the words for people are in `desk.words`, by code and language.
"""


class DeskError(Exception):
    """The base of this package's errors."""

    status = 400
    code = "bad_request"


class NotLoggedIn(DeskError):
    """There is no valid log-in."""

    status = 401
    code = "not_logged_in"


class WrongPassword(NotLoggedIn):
    """User name and password do not fit; which of the two is wrong is not told."""

    code = "wrong_password"


class NotAllowed(DeskError):
    """This account may not do that."""

    status = 403
    code = "not_allowed"


class ForeignOrigin(NotAllowed):
    """The request comes from a page of another site."""

    code = "foreign_origin"


class NotYourCall(NotAllowed):
    """The call is not this agent's."""

    code = "not_your_call"


class NoAgent(NotAllowed):
    """The account is not bound to an agent, so it takes no calls."""

    code = "no_agent"


class NoListening(NotAllowed):
    """The site does not let anybody listen to talks (`desk.listen_to_calls`)."""

    code = "no_listening"


class NotThere(DeskError):
    """There is no such thing (any more)."""

    status = 404
    code = "not_there"


class Conflict(DeskError):
    """Someone else was faster."""

    status = 409
    code = "conflict"


class AlreadyBound(Conflict):
    """The call is bound to a request already."""

    code = "already_bound"


class AlreadyRegistered(Conflict):
    """The form was taken before, but its answer was lost, and it has been changed since."""

    code = "already_registered"


class NoBrowserPhone(Conflict):
    """The agent's phone is not the one in the browser."""

    code = "no_browser_phone"


class NoPhoneAddress(Conflict):
    """The site's settings do not tell where phones in the browser register (`desk.phone_url`)."""

    code = "no_phone_address"


class AgentBusy(Conflict):
    """The agent is in a call, or only the agent may change that state."""

    code = "agent_busy"


class NotJson(DeskError):
    """A changing request must say that it is JSON: pages of other sites cannot."""

    status = 415
    code = "not_json"


class TooManyAttempts(DeskError):
    """Too many failed log-ins; `retry_after` is in seconds."""

    status = 429
    code = "too_many_attempts"

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"try again in {retry_after:.0f} s")
        self.retry_after = retry_after


class WeakPassword(DeskError):
    """The password is too short; raised by the operations behind the command line."""

    code = "weak_password"


class UsernameTaken(DeskError):
    """There is an account of that name; raised by the operations behind the command line."""

    code = "username_taken"


class TokenNameTaken(DeskError):
    """There is a token of that name; raised by the operations behind the command line."""

    code = "token_name_taken"
