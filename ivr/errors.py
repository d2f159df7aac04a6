"""What can go wrong between callers and agents, beside ARI itself (`ivr.ari.errors`).

IvrError
+-- PresenceRefused   an agent's change of state that is not possible now
+-- WrapUpRefused     a wrap-up that cannot be made longer (any more)
+-- AgentRefused      an agent cannot be added, changed or removed that way
+-- CommandRefused    a steer of a call (hold, transfer ...) that is not possible now
+-- SiteChanged       an edit of what somebody else has edited meanwhile
+-- StillUsed         a queue, calendar or line that cannot be removed, since something uses it
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


class SiteChanged(IvrError):
    """A colleague has edited the queue, calendar or line since it was looked at."""


class StillUsed(IvrError):
    """A queue, calendar or line is used: `uses` are pairs of a kind of thing and its name, or a number of them.

    The kinds are `line`, `key` (of a menu), `agent`, `closure`, `calls` and `call_backs`.
    """

    def __init__(self, uses: tuple[tuple[str, str], ...]) -> None:
        super().__init__("is used by " + "; ".join(f"{kind} {name}" for kind, name in uses))
        self.uses = uses
