"""Things as Asterisk describes them: read-only views over its JSON, which decode a field when it is asked for.

A call makes dozens of events of which a few fields are looked at; so nothing is copied or converted ahead of time.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class View:
    """A view over one JSON object; `raw` is all that Asterisk said."""

    raw: dict[str, Any]

    def __repr__(self) -> str:
        # never the whole: it holds callers' names and numbers
        return f"<{type(self).__name__} {self.raw.get('id') or self.raw.get('name') or ''}>"


class Channel(View):
    """One leg of a call: a phone, the caller's line."""

    __slots__ = ()

    @property
    def id(self) -> str:
        """Unique for ever; chosen by us for the channels we make."""
        return str(self.raw["id"])

    @property
    def name(self) -> str:
        """Technology, endpoint and a number, such as `PJSIP/101-0000002a`."""
        return str(self.raw["name"])

    @property
    def state(self) -> str:
        """`Down`, `Ring` (calls us), `Ringing` (we call it), `Up` (answered) ..."""
        return str(self.raw["state"])

    @property
    def caller_number(self) -> str:
        """The caller's number as the network gave it; empty when it was withheld. Any text is possible."""
        return str(self.raw["caller"]["number"])

    @property
    def caller_name(self) -> str:
        """The caller's name as the network gave it. Any text is possible."""
        return str(self.raw["caller"]["name"])

    @property
    def connected_number(self) -> str:
        """The number of whom this channel talks to."""
        return str(self.raw["connected"]["number"])

    @property
    def connected_name(self) -> str:
        """The name of whom this channel talks to."""
        return str(self.raw["connected"]["name"])

    @property
    def context(self) -> str:
        """Where it is in the dialplan."""
        return str(self.raw["dialplan"]["context"])

    @property
    def extension(self) -> str:
        """The dialled number by which it came into its context."""
        return str(self.raw["dialplan"]["exten"])

    @property
    def created_at(self) -> str:
        """ISO 8601 with milliseconds and offset."""
        return str(self.raw["creationtime"])

    @property
    def language(self) -> str:
        """Language of its prompts, such as `it`."""
        return str(self.raw["language"])


class Bridge(View):
    """A room in which channels hear each other."""

    __slots__ = ()

    @property
    def id(self) -> str:
        """Chosen by us."""
        return str(self.raw["id"])

    @property
    def name(self) -> str:
        """Free text."""
        return str(self.raw["name"])

    @property
    def channel_ids(self) -> list[str]:
        """Who is in it."""
        return list(self.raw["channels"])


class Endpoint(View):
    """A phone or trunk that Asterisk knows."""

    __slots__ = ()

    @property
    def technology(self) -> str:
        """Such as `PJSIP`."""
        return str(self.raw["technology"])

    @property
    def resource(self) -> str:
        """Its name within the technology, such as `101`."""
        return str(self.raw["resource"])

    @property
    def state(self) -> str:
        """`online` (registered and reachable), `offline` or `unknown`."""
        return str(self.raw["state"])

    @property
    def channel_ids(self) -> list[str]:
        """Its calls, ours or not."""
        return list(self.raw["channel_ids"])


class DeviceState(View):
    """Whether a phone is in use."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """Such as `PJSIP/101`."""
        return str(self.raw["name"])

    @property
    def state(self) -> str:
        """`NOT_INUSE`, `INUSE`, `BUSY`, `RINGING`, `RINGINUSE`, `ONHOLD`, `UNAVAILABLE` (not registered) ..."""
        return str(self.raw["state"])


class Application(View):
    """A Stasis application and what it is subscribed to. The lists outlive our connection, but not Asterisk."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """The name it connected with."""
        return str(self.raw["name"])

    @property
    def channel_ids(self) -> list[str]:
        """Channels in its hands."""
        return list(self.raw["channel_ids"])

    @property
    def bridge_ids(self) -> list[str]:
        """Bridges it made or follows."""
        return list(self.raw["bridge_ids"])

    @property
    def device_names(self) -> list[str]:
        """Phones whose state it follows."""
        return list(self.raw["device_names"])

    @property
    def endpoint_ids(self) -> list[str]:
        """Endpoints it follows."""
        return list(self.raw["endpoint_ids"])


class Recording(View):
    """A recording, under way or finished."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """Its file without the ending, relative to Asterisk's recording folder."""
        return str(self.raw["name"])

    @property
    def format(self) -> str:
        """The file's ending, such as `wav`."""
        return str(self.raw["format"])

    @property
    def state(self) -> str:
        """`queued`, `recording`, `paused`, `done`, `failed` or `canceled`; empty for a stored one."""
        return str(self.raw.get("state", ""))
