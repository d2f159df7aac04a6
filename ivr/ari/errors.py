"""What can go wrong between us and Asterisk.

    AriError
    +-- AriConnectionError      the request may or may not have been carried out; trying again later makes sense
    |   +-- AriDisconnected     there is no connection, or it was lost before the answer came
    |   +-- AriTimeout          no answer within the deadline
    +-- AriRefused              Asterisk's own "no", with `status` and `message`
        +-- NotFound     404    channel, bridge, playback ... does not exist (any more)
        +-- Conflict     409    it exists, but not in a state that allows this; also 412
        +-- Invalid      400    the request makes no sense to Asterisk; also 422
        +-- ServerFault  5xx    Asterisk failed; on originate: the phone is not registered or does not exist

    Hangup                      the channel is gone: the normal end of a call, raised by whatever waits for it

`Hangup` stands apart on purpose: whoever tolerates a failed request must not swallow the end of a call.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar


class AriError(Exception):
    """The base of all that can go wrong with a request to Asterisk."""

    retryable: ClassVar[bool] = False
    """Whether the same request may succeed later without anybody changing anything."""


class AriConnectionError(AriError):
    """Asterisk could not be asked, or its answer did not come."""

    retryable = True


class AriDisconnected(AriConnectionError):
    """There is no connection to Asterisk, or it was lost while the answer was awaited."""


class AriTimeout(AriConnectionError):
    """Asterisk did not answer in time."""


_CHANNEL_GONE = ("Channel not found", "Channel not in Stasis", "Provided channel was not found")


class AriRefused(AriError):
    """Asterisk refused the request."""

    def __init__(self, status: int, message: str, request: str = "") -> None:
        super().__init__(f"{request}: {status} {message}" if request else f"{status} {message}")
        self.status = status
        self.message = message

    @property
    def channel_gone(self) -> bool:
        """Whether it was refused because a channel does not exist, or is not in our hands, any more.

        The status does not tell (404, but 400 from addChannel; 409, but 422 from addChannel), so Asterisk's words do.
        """
        return self.message.startswith(_CHANNEL_GONE)


class NotFound(AriRefused):
    """What the request is about does not exist (any more)."""


class Conflict(AriRefused):
    """What the request is about is not in a state that allows it, or its id is taken."""


class Invalid(AriRefused):
    """Asterisk does not understand or accept the parameters."""


class ServerFault(AriRefused):
    """Asterisk failed; for a new channel: the endpoint is unknown or not registered."""


class Hangup(Exception):
    """A channel is gone. `cause` is the Q.850 hangup cause, 0 when unknown."""

    def __init__(self, channel_id: str, cause: int = 0) -> None:
        super().__init__(f"channel {channel_id} is gone (cause {cause})")
        self.channel_id = channel_id
        self.cause = cause


_BY_STATUS: dict[int, type[AriRefused]] = {400: Invalid, 404: NotFound, 409: Conflict, 412: Conflict, 422: Invalid}


def refusal(status: int, message: str, request: str = "") -> AriRefused:
    """Make the error for a status of 400 and above."""
    kind = ServerFault if status >= 500 else _BY_STATUS.get(status, AriRefused)
    return kind(status, message, request)


@contextmanager
def gone_is_hangup(channel_id: str) -> Iterator[None]:
    """Raise Hangup instead of Asterisk's refusal when that says that the channel is gone."""
    try:
        yield
    except AriRefused as error:
        if error.channel_gone:
            raise Hangup(channel_id) from error
        raise
