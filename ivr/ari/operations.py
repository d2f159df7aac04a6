"""The requests of ARI that we use, in the groups and words of Asterisk's own documentation.

All raise AriRefused (see its kinds) when Asterisk refuses and AriConnectionError when it cannot be asked. What a
request may be refused for is told in its docstring where it is not obvious.

One rule for all of them. Asterisk serves the requests of a connection one after the other, and three of them wait for
their channel: `channels.answer`, `channels.set_variable` and `bridges.add` return only when a playback that runs on the
channel has ended. Until then **every request of every other call waits, too**. So stop a playback first
(`playbacks.stop` takes effect at once); music and recordings do no harm.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol
from urllib.parse import quote

import orjson

from ivr.ari.errors import AriRefused, NotFound
from ivr.ari.snapshots import Application, Bridge, Channel, DeviceState, Endpoint, Recording

IfExists = Literal["fail", "overwrite", "append"]
TerminateOn = Literal["none", "any", "*", "#"]
Direction = Literal["in", "out", "both"]
Control = Literal["restart", "pause", "unpause", "reverse", "forward"]


class Request(Protocol):
    """How a request is made: `Ari.request`. Returns the body of the answer, JSON text or empty."""

    async def __call__(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: object = None
    ) -> str:
        """Make it."""


def _path(part: str) -> str:
    return quote(part, safe="")


def _list(values: Sequence[str]) -> str:
    """Join a list. Raises ValueError for a value that Asterisk would take apart, and for an empty list."""
    if not values:
        raise ValueError("an empty list means nothing to Asterisk")
    for value in values:
        if any(c in value for c in ',"\\\n\r'):
            raise ValueError(f"not possible in a list for Asterisk: {value!r}")
    return ",".join(values)


def caller_id(number: str, name: str = "") -> str:
    """Write a caller's number and name, whatever text they are, as the value of `caller_id`."""
    number = "".join(c for c in number if c in "+*#0123456789")
    name = "".join(c for c in name if c.isprintable()).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{name}" <{number}>'


class Group:
    """A group of requests."""

    __slots__ = ("_request",)

    def __init__(self, request: Request) -> None:
        self._request = request


class Channels(Group):
    """Legs of calls; new ones come to the application `app` unless told otherwise."""

    __slots__ = ("_app",)

    def __init__(self, request: Request, app: str) -> None:
        super().__init__(request)
        self._app = app

    async def list(self) -> "list[Channel]":
        """All channels of this Asterisk, ours or not."""
        return [Channel(raw) for raw in orjson.loads(await self._request("GET", "channels"))]

    async def get(self, channel_id: str) -> Channel:
        """One channel as it is now. Raises NotFound."""
        return Channel(orjson.loads(await self._request("GET", f"channels/{_path(channel_id)}")))

    async def originate(
        self,
        endpoint: str,
        *,
        channel_id: str,
        other_channel_id: str | None = None,
        app: str | None = None,
        app_args: Sequence[str] = (),
        caller_id: str = "",
        timeout_seconds: int = 30,
        originator: str | None = None,
        variables: Mapping[str, str] | None = None,
        formats: Sequence[str] = (),
    ) -> Channel:
        """Call a phone; it comes to us (StasisStart) when it answers. Returns while it rings.

        `app` is our own unless told otherwise; `other_channel_id` is for the far half of a `Local/...` channel, which
        goes through the dialplan. Events of the new channel may come before this returns: await them by
        `channel_id`, which you choose. A phone that does not answer gives no StasisStart and no StasisEnd, only
        ChannelDestroyed (cause 17 rejected, 19 not answered). `originator` is the channel for which it is called.
        Raises ServerFault when the phone is not registered or unknown, Invalid when the originator is gone, Conflict
        when the id is taken (never reuse one: Asterisk then cannot shut down in order any more).
        """
        query = {"endpoint": endpoint, "channelId": channel_id, "timeout": str(timeout_seconds)}
        _add_new_channel(query, app or self._app, app_args, originator, formats)
        if other_channel_id:
            query["otherChannelId"] = other_channel_id
        if caller_id:
            query["callerId"] = caller_id
        return Channel(orjson.loads(await self._request("POST", "channels", query, _variables(variables))))

    async def originate_into_dialplan(
        self,
        endpoint: str,
        *,
        channel_id: str,
        context: str,
        extension: str,
        caller_id: str = "",
        timeout_seconds: int = 30,
        variables: Mapping[str, str] | None = None,
    ) -> Channel:
        """Call a phone that goes on in the dialplan when it answers, and never comes to us. Raises as `originate`."""
        query = {"endpoint": endpoint, "channelId": channel_id, "timeout": str(timeout_seconds), "priority": "1"}
        query |= {"context": context, "extension": extension}
        if caller_id:
            query["callerId"] = caller_id
        return Channel(orjson.loads(await self._request("POST", "channels", query, _variables(variables))))

    async def create(
        self,
        endpoint: str,
        *,
        channel_id: str,
        app: str | None = None,
        app_args: Sequence[str] = (),
        originator: str | None = None,
        variables: Mapping[str, str] | None = None,
        formats: Sequence[str] = (),
    ) -> Channel:
        """Make a channel without calling yet; it comes to us (StasisStart) at once, and then `dial` calls.

        Raises as `originate`.
        """
        query = {"endpoint": endpoint, "channelId": channel_id}
        _add_new_channel(query, app or self._app, app_args, originator, formats)
        return Channel(orjson.loads(await self._request("POST", "channels/create", query, _variables(variables))))

    async def dial(self, channel_id: str, *, timeout_seconds: int, caller: str | None = None) -> None:
        """Call on a created channel, once its StasisStart has come (Conflict before that)."""
        query = {"timeout": str(timeout_seconds)}
        if caller is not None:
            query["caller"] = caller
        await self._request("POST", f"channels/{_path(channel_id)}/dial", query)

    async def answer(self, channel_id: str) -> None:
        """Pick up. Waits for a running playback (see the module)."""
        await self._request("POST", f"channels/{_path(channel_id)}/answer")

    async def hangup(self, channel_id: str, *, reason: str = "normal", reason_code: int | None = None) -> None:
        """Hang up, with a reason in ARI's words (such as `busy`, `answered_elsewhere`) or a Q.850 cause.

        Raises NotFound when it is gone already, Invalid for an unknown reason.
        """
        query = {"reason": reason} if reason_code is None else {"reason_code": str(reason_code)}
        await self._request("DELETE", f"channels/{_path(channel_id)}", query)

    async def ring(self, channel_id: str) -> None:
        """Let an unanswered caller hear ringing."""
        await self._request("POST", f"channels/{_path(channel_id)}/ring")

    async def stop_ringing(self, channel_id: str) -> None:
        """Stop that."""
        await self._request("DELETE", f"channels/{_path(channel_id)}/ring")

    async def start_moh(self, channel_id: str, moh_class: str | None = None) -> None:
        """Play music on hold. It goes on inside a bridge, instead of the others' voices: stop it before."""
        query = {"mohClass": moh_class} if moh_class else None
        await self._request("POST", f"channels/{_path(channel_id)}/moh", query)

    async def stop_moh(self, channel_id: str) -> None:
        """Stop the music."""
        await self._request("DELETE", f"channels/{_path(channel_id)}/moh")

    async def play(
        self, channel_id: str, media: Sequence[str], *, playback_id: str, language: str | None = None
    ) -> None:
        """Play media URIs (`sound:welcome`, `recording:name`) one after the other, after what is being played already.

        An unanswered caller hears them, too (early media). The end is PlaybackFinished; sounds that do not exist are
        skipped, and `failed` tells only of the last one. An id that is in use is not refused.
        """
        query = {"media": _list(media), "playbackId": playback_id}
        if language:
            query["lang"] = language
        await self._request("POST", f"channels/{_path(channel_id)}/play", query)

    async def record(
        self,
        channel_id: str,
        name: str,
        *,
        max_duration_seconds: int,
        max_silence_seconds: int,
        format: str = "wav",  # noqa: A002
        if_exists: IfExists = "fail",
        beep: bool = False,
        terminate_on: TerminateOn = "none",
    ) -> None:
        """Record what the channel says into `<name>.<format>` in Asterisk's recording folder.

        Both limits must be given, since Asterisk's default is no limit at all; it measures speech only when it listens
        for silence. Begins when what is being played has ended; the end is RecordingFinished, also after a hangup, or
        RecordingFailed (a channel in a bridge). A `beep` that does not exist gives RecordingFinished at once, without
        duration and file. Raises Conflict when the name exists and `if_exists` is `fail`.
        """
        query = {
            "name": name,
            "format": format,
            "maxDurationSeconds": str(max_duration_seconds),
            "maxSilenceSeconds": str(max_silence_seconds),
            "ifExists": if_exists,
            "beep": "true" if beep else "false",
            "terminateOn": terminate_on,
        }
        await self._request("POST", f"channels/{_path(channel_id)}/record", query)

    async def get_variable(self, channel_id: str, name: str) -> str | None:
        """Read a variable or a function such as `CHANNEL(language)`; None when it is not set."""
        try:
            answer = await self._request("GET", f"channels/{_path(channel_id)}/variable", {"variable": name})
        except NotFound as error:
            if error.channel_gone:
                raise
            return None
        return str(orjson.loads(answer)["value"])

    async def set_variable(self, channel_id: str, name: str, value: str) -> None:
        """Set a variable or a function such as `CHANNEL(language)`. Waits for a running playback (see the module)."""
        await self._request("POST", f"channels/{_path(channel_id)}/variable", {"variable": name, "value": value})

    async def continue_in_dialplan(self, channel_id: str, *, context: str, extension: str, priority: int = 1) -> None:
        """Give the channel back to the dialplan (StasisEnd); takes effect when a running playback has ended."""
        query = {"context": context, "extension": extension, "priority": str(priority)}
        await self._request("POST", f"channels/{_path(channel_id)}/continue", query)

    async def move(self, channel_id: str, app: str, app_args: Sequence[str] = ()) -> None:
        """Hand the channel to another application."""
        query = {"app": app} | ({"appArgs": _list(app_args)} if app_args else {})
        await self._request("POST", f"channels/{_path(channel_id)}/move", query)

    async def hold(self, channel_id: str) -> None:
        """Tell the phone that it is held."""
        await self._request("POST", f"channels/{_path(channel_id)}/hold")

    async def unhold(self, channel_id: str) -> None:
        """Tell the phone that it is held no more."""
        await self._request("DELETE", f"channels/{_path(channel_id)}/hold")

    async def mute(self, channel_id: str, direction: Direction = "both") -> None:
        """Let no sound through: `in` is what the channel says."""
        await self._request("POST", f"channels/{_path(channel_id)}/mute", {"direction": direction})

    async def unmute(self, channel_id: str, direction: Direction = "both") -> None:
        """Let sound through again."""
        await self._request("DELETE", f"channels/{_path(channel_id)}/mute", {"direction": direction})

    async def send_dtmf(self, channel_id: str, digits: str) -> None:
        """Press keys towards the channel."""
        await self._request("POST", f"channels/{_path(channel_id)}/dtmf", {"dtmf": digits})


def _add_new_channel(
    query: dict[str, str], app: str, app_args: Sequence[str], originator: str | None, formats: Sequence[str]
) -> None:
    query["app"] = app
    if app_args:
        query["appArgs"] = _list(app_args)
    if originator:
        query["originator"] = originator
    if formats:
        query["formats"] = _list(formats)


def _variables(variables: Mapping[str, str] | None) -> dict[str, Any] | None:
    # Asterisk takes them from the body only, and ignores them silently without this outer key.
    return {"variables": dict(variables)} if variables else None


class Bridges(Group):
    """Rooms in which channels hear each other."""

    __slots__ = ()

    async def list(self) -> "list[Bridge]":
        """All bridges of this Asterisk, ours or not."""
        return [Bridge(raw) for raw in orjson.loads(await self._request("GET", "bridges"))]

    async def get(self, bridge_id: str) -> Bridge:
        """One bridge as it is now. Raises NotFound."""
        return Bridge(orjson.loads(await self._request("GET", f"bridges/{_path(bridge_id)}")))

    async def create(self, bridge_id: str, *, type: str = "mixing", name: str = "") -> None:  # noqa: A002
        """Make a bridge. Raises Conflict when the id is taken."""
        await self._request("POST", "bridges", {"bridgeId": bridge_id, "type": type, "name": name})

    async def destroy(self, bridge_id: str) -> None:
        """Remove a bridge; who is in it stays with us, alone. Raises NotFound."""
        await self._request("DELETE", f"bridges/{_path(bridge_id)}")

    async def add(self, bridge_id: str, channel_ids: Sequence[str]) -> None:
        """Let channels join; one that is in another bridge moves over. Waits for running playbacks (see the module).

        When one of them cannot join, none does: Invalid (`channel_gone`) when it is gone or not in our hands, Conflict
        while it is recorded. Raises NotFound when the bridge is gone.
        """
        await self._request("POST", f"bridges/{_path(bridge_id)}/addChannel", {"channel": _list(channel_ids)})

    async def remove(self, bridge_id: str, channel_ids: Sequence[str]) -> None:
        """Take channels out; they stay with us. Raises Invalid when one is not in it, NotFound without the bridge."""
        await self._request("POST", f"bridges/{_path(bridge_id)}/removeChannel", {"channel": _list(channel_ids)})

    async def start_moh(self, bridge_id: str, moh_class: str | None = None) -> None:
        """Play music to all in it."""
        query = {"mohClass": moh_class} if moh_class else None
        await self._request("POST", f"bridges/{_path(bridge_id)}/moh", query)

    async def stop_moh(self, bridge_id: str) -> None:
        """Stop the music."""
        await self._request("DELETE", f"bridges/{_path(bridge_id)}/moh")

    async def play(
        self, bridge_id: str, media: Sequence[str], *, playback_id: str, language: str | None = None
    ) -> None:
        """Play media URIs to all in it."""
        query = {"media": _list(media), "playbackId": playback_id}
        if language:
            query["lang"] = language
        await self._request("POST", f"bridges/{_path(bridge_id)}/play", query)


class Playbacks(Group):
    """What is being played."""

    __slots__ = ()

    async def stop(self, playback_id: str) -> None:
        """Stop it at once. Raises NotFound when it is over (a moment after its end this may succeed, too)."""
        await self._request("DELETE", f"playbacks/{_path(playback_id)}")

    async def control(self, playback_id: str, operation: Control) -> None:
        """Pause, go on, wind. Raises NotFound, or Conflict when it has not begun."""
        await self._request("POST", f"playbacks/{_path(playback_id)}/control", {"operation": operation})


class Recordings(Group):
    """Recordings under way (live) and finished (stored)."""

    __slots__ = ()

    async def get_live(self, name: str) -> Recording:
        """A recording under way. Raises NotFound."""
        return Recording(orjson.loads(await self._request("GET", f"recordings/live/{_path(name)}")))

    async def stop_live(self, name: str) -> None:
        """Stop and keep it (RecordingFinished). Raises NotFound.

        Ignored silently while it has not begun (before RecordingStarted, and while its beep is played).
        """
        await self._request("POST", f"recordings/live/{_path(name)}/stop")

    async def cancel(self, name: str) -> None:
        """Stop and throw it away (RecordingFinished comes all the same). Raises NotFound."""
        await self._request("DELETE", f"recordings/live/{_path(name)}")

    async def list_stored(self) -> list[Recording]:
        """All finished recordings in Asterisk's recording folder."""
        return [Recording(raw) for raw in orjson.loads(await self._request("GET", "recordings/stored"))]

    async def get_stored(self, name: str) -> Recording:
        """A finished recording. Raises NotFound."""
        return Recording(orjson.loads(await self._request("GET", f"recordings/stored/{_path(name)}")))

    async def delete_stored(self, name: str) -> None:
        """Delete a finished recording's file. Raises NotFound."""
        await self._request("DELETE", f"recordings/stored/{_path(name)}")


class Applications(Group):
    """Stasis applications: what is in their hands and what they hear of."""

    __slots__ = ()

    async def list(self) -> "list[Application]":
        """All applications, also those whose service is away."""
        return [Application(raw) for raw in orjson.loads(await self._request("GET", "applications"))]

    async def get(self, app: str) -> Application:
        """One application. Raises NotFound."""
        return Application(orjson.loads(await self._request("GET", f"applications/{_path(app)}")))

    async def subscribe(self, app: str, event_sources: Sequence[str]) -> None:
        """Hear of `deviceState:PJSIP/101`, `endpoint:PJSIP/101`, `channel:ID` or `bridge:ID`; twice does no harm.

        `deviceState:` is the lean way to follow a phone: an `endpoint:` subscription also brings every event of each
        of its calls a second time. Raises Invalid when a source does not exist.
        """
        query = {"eventSource": _list(event_sources)}
        await self._request("POST", f"applications/{_path(app)}/subscription", query)

    async def unsubscribe(self, app: str, event_sources: Sequence[str]) -> None:
        """Hear no more of it. Raises Conflict when it was not subscribed."""
        query = {"eventSource": _list(event_sources)}
        await self._request("DELETE", f"applications/{_path(app)}/subscription", query)

    async def filter_events(self, app: str, *, disallowed: Sequence[str]) -> None:
        """Name the kinds of events that shall not be sent; the list replaces the one before, and dies with Asterisk."""
        body = {"disallowed": [{"type": kind} for kind in disallowed]}
        await self._request("PUT", f"applications/{_path(app)}/eventFilter", body=body)


class Endpoints(Group):
    """Phones and trunks."""

    __slots__ = ()

    async def list(self) -> "list[Endpoint]":
        """All of them."""
        return [Endpoint(raw) for raw in orjson.loads(await self._request("GET", "endpoints"))]

    async def get(self, technology: str, resource: str) -> Endpoint:
        """One, such as `PJSIP`, `101`. Raises NotFound."""
        path = f"endpoints/{_path(technology)}/{_path(resource)}"
        return Endpoint(orjson.loads(await self._request("GET", path)))


class DeviceStates(Group):
    """Whether phones are in use."""

    __slots__ = ()

    async def get(self, name: str) -> DeviceState:
        """The state of a phone such as `PJSIP/101`; an unknown one is `UNAVAILABLE` or `INVALID`."""
        return DeviceState(orjson.loads(await self._request("GET", f"deviceStates/{_path(name)}")))


class Events(Group):
    """Calls that are offered to several applications."""

    __slots__ = ()

    async def claim(self, channel_id: str, application: str) -> bool:
        """Take a call of a CallBroadcast; False when another was faster or the call is gone."""
        query = {"channelId": channel_id, "application": application}
        try:
            await self._request("POST", "events/claim", query)
        except AriRefused as error:
            if error.status in (404, 409):
                return False
            raise
        return True


class System(Group):
    """Asterisk itself."""

    __slots__ = ()

    async def ping(self) -> None:
        """Returns when Asterisk answers."""
        await self._request("GET", "asterisk/ping")

    async def info(self) -> dict[str, Any]:
        """Version, build, configuration, status, as Asterisk tells them."""
        info: dict[str, Any] = orjson.loads(await self._request("GET", "asterisk/info"))
        return info

    async def configure(self, module: str, kind: str, name: str, fields: Mapping[str, str]) -> None:
        """Make or change one object of its configuration, such as `res_pjsip`, `auth`, `201`.

        Raises AriRefused where Asterisk has no place for it: its `sorcery.conf` must name one for that kind.
        """
        path = f"asterisk/config/dynamic/{_path(module)}/{_path(kind)}/{_path(name)}"
        told = [{"attribute": attribute, "value": value} for attribute, value in fields.items()]
        await self._request("PUT", path, None, {"fields": told})
