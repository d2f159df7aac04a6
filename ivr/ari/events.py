"""What Asterisk tells: one small class per event we use, `Event` for all others.

Every event knows the channels it concerns (`channel_ids`), so that a router can hand it on without looking inside.
Times in an event are Asterisk's; durations of recordings are whole seconds.
"""

from typing import Any

from ivr.ari.snapshots import Bridge, Channel, DeviceState, Endpoint, View


class Event(View):
    """Any event; kinds without a class of their own are read through `raw`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{self.type} {' '.join(self.channel_ids)}>"

    @property
    def type(self) -> str:
        """Asterisk's name of the event."""
        return str(self.raw["type"])

    @property
    def timestamp(self) -> str:
        """ISO 8601 with milliseconds and offset; empty when Asterisk gave none."""
        return str(self.raw.get("timestamp", ""))

    @property
    def channel_ids(self) -> tuple[str, ...]:
        """The channels it concerns; empty when none."""
        channel = self.raw.get("channel")
        return (channel["id"],) if channel else ()


class ChannelEvent(Event):
    """Something happened to one channel."""

    __slots__ = ()

    @property
    def channel(self) -> Channel:
        """The channel after it."""
        return Channel(self.raw["channel"])


class StasisStart(ChannelEvent):
    """A channel has come into our hands."""

    __slots__ = ()

    @property
    def args(self) -> list[str]:
        """Arguments of the dialplan's `Stasis()`, or `app_args` of who made it."""
        return list(self.raw["args"])

    @property
    def replace_channel(self) -> Channel | None:
        """The channel whose place this one takes, after a transfer made on the phone."""
        replaced = self.raw.get("replace_channel")
        return Channel(replaced) if replaced else None

    @property
    def channel_ids(self) -> tuple[str, ...]:
        """The channel, and the one it replaces."""
        replaced = self.raw.get("replace_channel")
        return (self.raw["channel"]["id"], replaced["id"]) if replaced else (self.raw["channel"]["id"],)


class StasisEnd(ChannelEvent):
    """A channel has left our hands: hung up, or gone on in the dialplan.

    For a call that came from the dialplan this is the last event; ChannelDestroyed comes only for channels we made.
    """

    __slots__ = ()


class ChannelDestroyed(ChannelEvent):
    """A channel exists no more; for a phone that never answered, this is the only sure sign."""

    __slots__ = ()

    @property
    def cause(self) -> int:
        """Q.850: 16 normal, 17 busy or rejected, 19 not answered, 26 answered elsewhere; 0 when unknown."""
        return int(self.raw.get("cause", 0))

    @property
    def cause_text(self) -> str:
        """The cause in words."""
        return str(self.raw.get("cause_txt", ""))

    @property
    def tech_cause(self) -> int | None:
        """The SIP status behind it, such as 486."""
        return self.raw.get("tech_cause")


class ChannelHangupRequest(ChannelEvent):
    """Somebody hangs up: the other side, or (`soft`) we."""

    __slots__ = ()

    @property
    def cause(self) -> int:
        """Q.850; 0 when unknown, which is usual for a plain hangup."""
        return int(self.raw.get("cause", 0))

    @property
    def soft(self) -> bool:
        """Whether it was asked for on this side."""
        return bool(self.raw.get("soft", False))


class ChannelStateChange(ChannelEvent):
    """A channel rings, or was answered."""

    __slots__ = ()


class ChannelDtmfReceived(ChannelEvent):
    """A key was pressed and released."""

    __slots__ = ()

    @property
    def digit(self) -> str:
        """0-9, *, #, A-D."""
        return str(self.raw["digit"])

    @property
    def duration_ms(self) -> int:
        """How long it was held."""
        return int(self.raw["duration_ms"])


class _BridgeAndChannel(ChannelEvent):
    __slots__ = ()

    @property
    def bridge(self) -> Bridge:
        """The bridge after it."""
        return Bridge(self.raw["bridge"])


class ChannelEnteredBridge(_BridgeAndChannel):
    """A channel has joined a bridge."""

    __slots__ = ()


class ChannelLeftBridge(_BridgeAndChannel):
    """A channel has left a bridge."""

    __slots__ = ()


class BridgeDestroyed(Event):
    """A bridge is gone."""

    __slots__ = ()

    @property
    def bridge(self) -> Bridge:
        """As it was."""
        return Bridge(self.raw["bridge"])

    @property
    def channel_ids(self) -> tuple[str, ...]:
        """Who was still in it."""
        return tuple(self.raw["bridge"]["channels"])


class ChannelTalkingStarted(ChannelEvent):
    """Sound has begun to come from a channel with the function TALK_DETECT set."""

    __slots__ = ()


class ChannelHold(ChannelEvent):
    """The phone has put its call on hold."""

    __slots__ = ()


class ChannelUnhold(ChannelEvent):
    """The phone goes on talking."""

    __slots__ = ()


class ChannelUserevent(Event):
    """The dialplan's `UserEvent()`."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """Name of the user's event."""
        return str(self.raw["eventname"])

    @property
    def fields(self) -> dict[str, Any]:
        """What it carries."""
        return dict(self.raw["userevent"])


class Dial(Event):
    """A call to a phone goes on."""

    __slots__ = ()

    @property
    def peer(self) -> Channel:
        """The phone that is called."""
        return Channel(self.raw["peer"])

    @property
    def status(self) -> str:
        """Empty (begins), RINGING, PROGRESS, ANSWER, BUSY, NOANSWER (also when we gave up), CANCEL, CONGESTION."""
        return str(self.raw["dialstatus"])

    @property
    def channel_ids(self) -> tuple[str, ...]:
        """The phone, and who calls it when that is a channel."""
        caller = self.raw.get("caller")
        return (self.raw["peer"]["id"], caller["id"]) if caller else (self.raw["peer"]["id"],)


def _target(about: dict[str, Any]) -> tuple[str, ...]:
    kind, _, target_id = str(about.get("target_uri", "")).partition(":")
    return (target_id,) if kind == "channel" else ()


class _PlaybackEvent(Event):
    __slots__ = ()

    @property
    def playback_id(self) -> str:
        """Chosen by us."""
        return str(self.raw["playback"]["id"])

    @property
    def media(self) -> str:
        """What is, or was last, played."""
        return str(self.raw["playback"]["media_uri"])

    @property
    def channel_ids(self) -> tuple[str, ...]:
        """Who hears it; empty when it is played to a bridge."""
        return _target(self.raw["playback"])


class PlaybackStarted(_PlaybackEvent):
    """A playback has begun, or the next of its media has."""

    __slots__ = ()


class PlaybackContinuing(_PlaybackEvent):
    """One of a playback's media is over, the next one follows."""

    __slots__ = ()


class PlaybackFinished(_PlaybackEvent):
    """A playback is over: played, stopped, or `failed`."""

    __slots__ = ()

    @property
    def failed(self) -> bool:
        """Nothing was played: the (last) sound does not exist, or the channel was hung up."""
        return bool(self.raw["playback"]["state"] == "failed")


class _RecordingEvent(Event):
    __slots__ = ()

    @property
    def name(self) -> str:
        """Name of the recording, chosen by us."""
        return str(self.raw["recording"]["name"])

    @property
    def channel_ids(self) -> tuple[str, ...]:
        """Who is recorded; empty when it is a bridge."""
        return _target(self.raw["recording"])


class RecordingStarted(_RecordingEvent):
    """A recording has begun; a beep that was asked for is still to be played."""

    __slots__ = ()


class RecordingFinished(_RecordingEvent):
    """A recording is over. This does not prove that there is usable sound: look at the file."""

    __slots__ = ()

    def _seconds(self, what: str) -> int | None:
        seconds: int | None = self.raw["recording"].get(what)
        return seconds

    @property
    def duration(self) -> int | None:
        """Whole seconds; None when nothing was recorded, as when the beep that was asked for does not exist."""
        return self._seconds("duration")

    @property
    def talking_duration(self) -> int | None:
        """Seconds of it that were not silent, as Asterisk measures; None when it did not listen for silence."""
        return self._seconds("talking_duration")

    @property
    def silence_duration(self) -> int | None:
        """Seconds of it that were silent, as Asterisk measures; None when it did not listen for silence."""
        return self._seconds("silence_duration")


class RecordingFailed(_RecordingEvent):
    """A recording could not be made."""

    __slots__ = ()

    @property
    def cause(self) -> str:
        """Why, in Asterisk's words."""
        return str(self.raw["recording"].get("cause", ""))


class _EndpointEvent(Event):
    __slots__ = ()

    @property
    def endpoint(self) -> Endpoint:
        """The phone or trunk after it."""
        return Endpoint(self.raw["endpoint"])


class EndpointStateChange(_EndpointEvent):
    """A phone came or went, or has one call more or less (needs a subscription to `endpoint:`)."""

    __slots__ = ()


class PeerStatusChange(_EndpointEvent):
    """A phone came or went (needs a subscription to `endpoint:`)."""

    __slots__ = ()

    @property
    def status(self) -> str:
        """`Reachable`, `Unreachable` ..."""
        return str(self.raw["peer"]["peer_status"])


class ContactStatusChange(_EndpointEvent):
    """One contact of a phone came, went or was tested (needs a subscription to `endpoint:`)."""

    __slots__ = ()

    @property
    def status(self) -> str:
        """`NonQualified`, `Reachable`, `Unreachable`, `Removed` ..."""
        return str(self.raw["contact_info"]["contact_status"])

    @property
    def uri(self) -> str:
        """Its SIP address."""
        return str(self.raw["contact_info"]["uri"])


class DeviceStateChanged(Event):
    """A phone is used, free, or not reachable (needs a subscription to `deviceState:`)."""

    __slots__ = ()

    @property
    def device(self) -> DeviceState:
        """The phone's state after it."""
        return DeviceState(self.raw["device_state"])


class CallBroadcast(ChannelEvent):
    """A call is offered to every application that matches; the first to claim it has it."""

    __slots__ = ()


class ApplicationRegistered(Event):
    """Asterisk knows the application (said on connections that Asterisk itself opens)."""

    __slots__ = ()


class ApplicationReplaced(Event):
    """Another connection has taken this application over; no more events will come here."""

    __slots__ = ()


_KINDS: dict[str, type[Event]] = {
    kind.__name__: kind
    for kind in (
        *(StasisStart, StasisEnd, ChannelDestroyed, ChannelHangupRequest, ChannelStateChange, ChannelDtmfReceived),
        *(ChannelEnteredBridge, ChannelLeftBridge, BridgeDestroyed, ChannelHold, ChannelUnhold, ChannelUserevent, Dial),
        *(PlaybackStarted, PlaybackContinuing, PlaybackFinished, RecordingStarted, RecordingFinished, RecordingFailed),
        *(EndpointStateChange, PeerStatusChange, ContactStatusChange, DeviceStateChanged, CallBroadcast),
        *(ApplicationRegistered, ApplicationReplaced, ChannelTalkingStarted),
    )
}


def event_from(raw: dict[str, Any]) -> Event:
    """Give an event its class; unknown kinds are plain `Event`s."""
    return _KINDS.get(raw["type"], Event)(raw)
