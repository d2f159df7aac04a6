"""What can go wrong between callers and agents, beside ARI itself (`ivr.ari.errors`).

IvrError
+-- PresenceRefused   an agent's change of state that is not possible now
+-- WrapUpRefused     a wrap-up that cannot be made longer (any more)
+-- AgentRefused      an agent cannot be added, changed or removed that way
+-- CommandRefused    a steer of a call (hold, transfer ...) that is not possible now
"""


class IvrError(Exception):
    """The base of this package's errors; its text tells a person what to do."""


class PresenceRefused(IvrError):
    """The agent cannot change to that state now."""


class WrapUpRefused(IvrError):
    """The wrap-up cannot be made longer."""


class AgentRefused(IvrError):
    """The agent cannot be added, changed or removed that way.

    `field` is the one of a form that is wrong; `code` is a word for why, where a page has words of its own.
    """

    def __init__(self, message: str, field: str = "username", code: str = "") -> None:
        super().__init__(message)
        self.field, self.code = field, code


class CommandRefused(IvrError):
    """The call cannot be steered that way now."""
