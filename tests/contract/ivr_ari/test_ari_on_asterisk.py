"""The client against a real Asterisk, with real phones."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeVar

import pytest

from centralino.rig.asterisk import AsteriskServer
from centralino.rig.phone import Event as Rings
from centralino.rig.phone import Phone
from ivr.ari import (
    ApplicationReplaced,
    Ari,
    AriDisconnected,
    AriTimeout,
    ChannelDestroyed,
    ChannelDtmfReceived,
    ChannelStateChange,
    Conflict,
    DeviceStateChanged,
    Event,
    Invalid,
    NotFound,
    PlaybackFinished,
    PlaybackStarted,
    RecordingFailed,
    RecordingFinished,
    RecordingStarted,
    ServerFault,
    StasisEnd,
    StasisStart,
    caller_id,
)

pytestmark = pytest.mark.contract

E = TypeVar("E", bound=Event)
WITHIN = 10.0
CALLER = "+390805551234"
AGENT = "PJSIP/101"


class Client:
    """An Ari and all it heard."""

    def __init__(self, server: AsteriskServer, *, step_down_seconds: float = 60.0, app: str = "centralino") -> None:
        self.heard: list[Event] = []
        self.ups = 0
        self._changed = asyncio.Event()
        self.ari = Ari(
            server.ari_url,
            app,
            server.ari_username,
            server.ari_password,
            on_event=self._hear,
            on_connected=self._up,
            reconnect_seconds=(0.05, 0.2),
            step_down_seconds=step_down_seconds,
        )

    def _hear(self, event: Event) -> None:
        self.heard.append(event)
        self._changed.set()

    def _up(self) -> None:
        self.ups += 1
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WITHIN):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def event(self, kind: type[E], condition: Callable[[E], bool] = lambda event: True) -> E:
        found: list[E] = []

        def look() -> bool:
            found.extend(e for e in self.heard if isinstance(e, kind) and condition(e))
            return bool(found)

        await self.until(look)
        return found[0]


@pytest.fixture
async def client(asterisk: AsteriskServer) -> AsyncIterator[Client]:
    heard = Client(asterisk)
    async with heard.ari as ari:
        await ari.wait_connected(WITHIN)
        yield heard


class Caller:
    """A phone that has called our line, in our hands; answered unless told otherwise."""

    def __init__(self, server: AsteriskServer, client: Client, *, answer: bool = True, name: str | None = None) -> None:
        self.phone = Phone(CALLER, server, caller_name=name)
        self._client, self._answer = client, answer
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "Caller":
        await self._stack.enter_async_context(self.phone)
        calling = asyncio.create_task(self.phone.call("800"))
        self._stack.push_async_callback(asyncio.wait, (calling,))
        self.start = await self._client.event(StasisStart, lambda e: e.args[:1] == ["inbound"])
        self.id = self.start.channel.id
        if self._answer:
            await self._client.ari.channels.answer(self.id)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()


def registered_phone(server: AsteriskServer) -> Phone:
    return Phone("101", server, password="secret-101", answer="manual")


# ------------------------------------------------------------------------------------------------------- requests


async def test_requests_and_answers(client: Client) -> None:
    ari = client.ari
    await ari.asterisk.ping()
    assert (await ari.asterisk.info())["system"]["version"]
    assert await ari.channels.list() == []
    assert await ari.bridges.list() == []
    assert [app.name for app in await ari.applications.list()] == ["centralino"]
    assert "101" in {endpoint.resource for endpoint in await ari.endpoints.list()}
    endpoint = await ari.endpoints.get("PJSIP", "101")
    assert (endpoint.technology, endpoint.state, endpoint.channel_ids) == ("PJSIP", "offline", [])
    assert (await ari.device_states.get(AGENT)).state == "UNAVAILABLE"
    assert await ari.recordings.list_stored() == []


async def test_what_does_not_exist_is_not_found(client: Client) -> None:
    ari = client.ari
    requests: list[Callable[[], Awaitable[object]]] = [
        lambda: ari.channels.get("none"),
        lambda: ari.channels.answer("none"),
        lambda: ari.channels.hangup("none"),
        lambda: ari.channels.play("none", ["sound:beep"], playback_id="p"),
        lambda: ari.channels.get("../asterisk/info?x=#"),
        lambda: ari.channels.get_variable("none", "X"),
        lambda: ari.bridges.destroy("none"),
        lambda: ari.bridges.add("none", ["none"]),
        lambda: ari.playbacks.stop("none"),
        lambda: ari.recordings.get_live("none"),
        lambda: ari.recordings.get_stored("no/ne"),
        lambda: ari.applications.get("none"),
        lambda: ari.endpoints.get("PJSIP", "none"),
    ]
    for request in requests:
        with pytest.raises(NotFound):
            await request()


async def test_many_requests_at_once_get_each_its_own_answer(client: Client) -> None:
    ari = client.ari
    await asyncio.gather(*(ari.bridges.create(f"b{n}", name=f"n{n}") for n in range(100)))
    bridges = await asyncio.gather(*(ari.bridges.get(f"b{n}") for n in range(100)))
    assert [(bridge.id, bridge.name) for bridge in bridges] == [(f"b{n}", f"n{n}") for n in range(100)]
    with pytest.raises(Conflict):
        await ari.bridges.create("b1")
    await asyncio.gather(*(ari.bridges.destroy(f"b{n}") for n in range(100)))


# ---------------------------------------------------------------------------------------------------- a caller


async def test_a_caller_is_answered_hears_a_prompt_presses_keys_and_hangs_up(
    asterisk: AsteriskServer, client: Client
) -> None:
    ari = client.ari
    async with Caller(asterisk, client) as caller:
        assert caller.start.args == ["inbound", "800"]
        assert (caller.start.channel.caller_number, caller.start.channel.extension) == (CALLER, "800")
        await caller.phone.wait_for(Rings.ESTABLISHED)
        await client.event(ChannelStateChange, lambda e: e.channel.state == "Up")
        assert (await ari.channels.get(caller.id)).state == "Up"
        await ari.channels.play(caller.id, ["sound:digits/1", "sound:digits/2"], playback_id="p1")
        assert not (await client.event(PlaybackFinished, lambda e: e.playback_id == "p1")).failed
        await caller.phone.press("4#")
        await client.event(ChannelDtmfReceived, lambda e: e.digit == "#")
        assert [e.digit for e in client.heard if isinstance(e, ChannelDtmfReceived)] == ["4", "#"]
        await caller.phone.hang_up()
        await client.event(StasisEnd)
        assert {event.channel_ids for event in client.heard} == {(caller.id,)}
        with pytest.raises(NotFound) as caught:
            await ari.channels.answer(caller.id)
        assert caught.value.channel_gone


async def test_a_sound_that_does_not_exist_is_a_failed_playback(asterisk: AsteriskServer, client: Client) -> None:
    async with Caller(asterisk, client) as caller:
        await client.ari.channels.play(caller.id, ["sound:none"], playback_id="p1")
        assert (await client.event(PlaybackFinished)).failed


async def test_a_prompt_can_be_stopped_so_that_nobody_waits_for_it(asterisk: AsteriskServer, client: Client) -> None:
    ari = client.ari
    await ari.bridges.create("b1")
    async with Caller(asterisk, client) as caller:
        await ari.channels.play(caller.id, ["sound:demo-congrats"], playback_id="p1")
        await client.event(PlaybackStarted)
        await ari.playbacks.control("p1", "pause")
        await ari.playbacks.control("p1", "unpause")
        await ari.playbacks.stop("p1")
        await ari.bridges.add("b1", [caller.id])  # would wait for the end of the prompt, and all calls with it
        assert (await ari.bridges.get("b1")).channel_ids == [caller.id]
        assert not (await client.event(PlaybackFinished)).failed


async def test_an_unanswered_caller_hears_ringing_and_early_sound(asterisk: AsteriskServer, client: Client) -> None:
    ari = client.ari
    async with Caller(asterisk, client, answer=False) as caller:
        await ari.channels.ring(caller.id)
        await caller.phone.wait_for(Rings.RINGBACK)
        await ari.channels.stop_ringing(caller.id)
        await ari.channels.play(caller.id, ["sound:digits/1"], playback_id="p1")
        assert not (await client.event(PlaybackFinished)).failed
        assert (await ari.channels.get(caller.id)).state == "Ring"
        await ari.channels.hangup(caller.id, reason="busy")
        await caller.phone.wait_for(Rings.CLOSED)


async def test_a_recording_is_kept_when_the_caller_hangs_up(asterisk: AsteriskServer, client: Client) -> None:
    ari = client.ari
    async with Caller(asterisk, client) as caller:
        await ari.channels.record(caller.id, "m1", max_duration_seconds=30, max_silence_seconds=10)
        await client.event(RecordingStarted)
        assert (await ari.recordings.get_live("m1")).state == "recording"
        with pytest.raises(Conflict):
            await ari.channels.record(caller.id, "m1", max_duration_seconds=30, max_silence_seconds=10)
        await caller.phone.hang_up()
        finished = await client.event(RecordingFinished)
        assert (finished.name, finished.duration is not None) == ("m1", True)
    assert (await ari.recordings.get_stored("m1")).format == "wav"
    assert (asterisk.recording_spool / "m1.wav").stat().st_size >= 44
    await ari.recordings.delete_stored("m1")
    assert not (asterisk.recording_spool / "m1.wav").exists()


async def test_a_recording_ends_at_its_key_its_limit_or_our_word(asterisk: AsteriskServer, client: Client) -> None:
    channels, recordings = client.ari.channels, client.ari.recordings
    async with Caller(asterisk, client) as caller:
        await channels.record(caller.id, "key", max_duration_seconds=30, max_silence_seconds=10, terminate_on="#")
        await client.event(RecordingStarted, lambda e: e.name == "key")
        await caller.phone.press("#")
        await client.event(RecordingFinished, lambda e: e.name == "key")
        await channels.record(caller.id, "limit", max_duration_seconds=1, max_silence_seconds=10)
        await client.event(RecordingFinished, lambda e: e.name == "limit")
        await channels.record(caller.id, "stop", max_duration_seconds=30, max_silence_seconds=10)
        await client.event(RecordingStarted, lambda e: e.name == "stop")
        await recordings.stop_live("stop")
        await client.event(RecordingFinished, lambda e: e.name == "stop")
        await channels.record(caller.id, "cancel", max_duration_seconds=30, max_silence_seconds=10)
        await client.event(RecordingStarted, lambda e: e.name == "cancel")
        await recordings.cancel("cancel")
        await client.event(RecordingFinished, lambda e: e.name == "cancel")
        with pytest.raises(Invalid):
            await channels.record(caller.id, "x", max_duration_seconds=1, max_silence_seconds=1, format="none")
    assert {recording.name for recording in await recordings.list_stored()} == {"key", "limit", "stop"}


async def test_hostile_text_reaches_asterisk_and_comes_back_as_it_was(asterisk: AsteriskServer, client: Client) -> None:
    hostile = "x=1&y=%20 +'\"\\\n\t;#è€ ${EXTEN} <b>"
    async with Caller(asterisk, client) as caller:
        await client.ari.channels.set_variable(caller.id, "NOTE", hostile)
        assert await client.ari.channels.get_variable(caller.id, "NOTE") == hostile
        assert await client.ari.channels.get_variable(caller.id, "NOTHING") is None
        assert await client.ari.channels.get_variable(caller.id, "CHANNEL(language)") == "it"


@pytest.mark.parametrize("name", ["Mario Rossi & C. <b>'", "Università è", '{"type":"StasisEnd"}', "%s%n${EXTEN}"])
async def test_a_hostile_caller_name_arrives_whole(asterisk: AsteriskServer, client: Client, name: str) -> None:
    async with Caller(asterisk, client, name=name) as caller:
        # Asterisk leaves the escapes of SIP in place.
        assert caller.start.channel.caller_name == name.replace('"', '\\"')
        assert client.ari.stats.malformed == 0


async def test_a_call_can_be_given_back_to_the_dialplan(asterisk: AsteriskServer, client: Client) -> None:
    async with Caller(asterisk, client) as caller:
        await client.ari.channels.continue_in_dialplan(caller.id, context="centralino-fallback", extension="800")
        await client.event(StasisEnd)
        with pytest.raises(Conflict) as caught:
            await client.ari.channels.answer(caller.id)
        assert caught.value.channel_gone
        assert caller.id in {channel.id for channel in await client.ari.channels.list()}


# --------------------------------------------------------------------------------------------------- agents' phones


async def test_caller_and_agent_are_joined_and_parted(asterisk: AsteriskServer, client: Client) -> None:
    ari = client.ari
    async with registered_phone(asterisk) as agent, Caller(asterisk, client) as caller:
        # Events of the new channel may come before the answer to the request: its id is ours, so nothing is missed.
        channel = await ari.channels.originate(
            AGENT,
            channel_id="agent-1",
            app_args=["agent", "call-1"],
            caller_id=caller_id(CALLER, 'Mario "Super" <Rossi>'),
            originator=caller.id,
            variables={"NOTE": 'a "b" è'},
        )
        assert channel.id == "agent-1"
        rings = await agent.wait_for(Rings.RINGING)
        assert CALLER.lstrip("+") in rings.peer
        await agent.answer()
        start = await client.event(StasisStart, lambda e: e.channel.id == "agent-1")
        assert start.args == ["agent", "call-1"]
        assert (start.channel.caller_name, start.channel.caller_number) == ('Mario "Super" <Rossi>', CALLER)
        assert await ari.channels.get_variable("agent-1", "NOTE") == 'a "b" è'
        await ari.channels.start_moh(caller.id)
        await ari.bridges.create("talk")
        await ari.channels.stop_moh(caller.id)
        await ari.bridges.add("talk", [caller.id, "agent-1"])
        assert set((await ari.bridges.get("talk")).channel_ids) == {caller.id, "agent-1"}
        await ari.channels.record(caller.id, "no", max_duration_seconds=1, max_silence_seconds=1)
        assert (await client.event(RecordingFailed)).channel_ids == (caller.id,)
        await ari.bridges.remove("talk", [caller.id])
        with pytest.raises(Invalid):
            await ari.bridges.remove("talk", [caller.id])
        await ari.channels.hold("agent-1")
        await ari.channels.unhold("agent-1")
        await ari.channels.mute("agent-1", "in")
        await ari.channels.unmute("agent-1", "in")
        await agent.hang_up()
        await client.event(ChannelDestroyed, lambda e: e.channel.id == "agent-1")
        with pytest.raises(Invalid) as caught:
            await ari.bridges.add("talk", [caller.id, "agent-1"])
        assert caught.value.channel_gone
        assert (await ari.bridges.get("talk")).channel_ids == []  # all or nobody
        await ari.bridges.destroy("talk")


async def test_a_phone_that_is_not_registered_cannot_be_called(client: Client) -> None:
    for endpoint in (AGENT, "PJSIP/none", "Nonsense/101"):
        with pytest.raises(ServerFault, match="Allocation failed"):
            await client.ari.channels.originate(endpoint, channel_id="agent-1")
    with pytest.raises(Invalid):
        await client.ari.channels.originate(AGENT, channel_id="agent-1", originator="gone")
    assert client.heard == []


async def rings(client: Client, channel_id: str) -> None:
    await client.ari.channels.originate(AGENT, channel_id=channel_id, timeout_seconds=1)
    await client.event(ChannelStateChange, lambda e: e.channel.id == channel_id and e.channel.state == "Ringing")


async def test_a_phone_that_rejects_or_does_not_answer_tells_so_by_its_cause(
    asterisk: AsteriskServer, client: Client
) -> None:
    async with registered_phone(asterisk) as agent:
        await rings(client, "rejected")
        await agent.reject()
        await client.event(ChannelDestroyed, lambda e: e.channel.id == "rejected")
        await rings(client, "missed")
        await client.event(ChannelDestroyed, lambda e: e.channel.id == "missed")
        await rings(client, "elsewhere")
        await client.ari.channels.hangup("elsewhere", reason="answered_elsewhere")
        await client.event(ChannelDestroyed, lambda e: e.channel.id == "elsewhere")
    causes = {e.channel.id: e.cause for e in client.heard if isinstance(e, ChannelDestroyed)}
    assert causes == {"rejected": 17, "missed": 19, "elsewhere": 26}
    assert not [e for e in client.heard if isinstance(e, StasisStart)]


async def test_a_created_channel_is_called_after_it_has_come_to_us(asterisk: AsteriskServer, client: Client) -> None:
    async with registered_phone(asterisk) as agent:
        await client.ari.channels.create(AGENT, channel_id="agent-1", app_args=["agent"])
        await client.event(StasisStart)
        await client.ari.channels.dial("agent-1", timeout_seconds=10)
        await agent.wait_for(Rings.RINGING)
        await agent.answer()
        await client.event(ChannelStateChange, lambda e: e.channel.state == "Up")
        await client.ari.channels.hangup("agent-1")
        assert (await client.event(ChannelDestroyed)).cause == 16


async def test_whether_a_phone_is_there_and_free_is_told(asterisk: AsteriskServer, client: Client) -> None:
    sources = [f"deviceState:{AGENT}"]
    await client.ari.applications.subscribe("centralino", sources)
    await client.ari.applications.subscribe("centralino", sources)
    assert (await client.ari.applications.get("centralino")).device_names == [AGENT]
    async with registered_phone(asterisk):
        await client.event(DeviceStateChanged, lambda e: e.device.state == "NOT_INUSE")
        await client.ari.channels.originate(AGENT, channel_id="agent-1")
        await client.event(DeviceStateChanged, lambda e: e.device.state not in ("NOT_INUSE", "UNAVAILABLE"))
        await client.ari.channels.hangup("agent-1")
        await client.event(ChannelDestroyed)
    await client.event(DeviceStateChanged, lambda e: e.device.state == "UNAVAILABLE")
    await client.ari.applications.unsubscribe("centralino", sources)
    with pytest.raises(Invalid):
        await client.ari.applications.subscribe("centralino", ["endpoint:PJSIP/none"])


async def test_events_nobody_uses_are_not_sent(asterisk: AsteriskServer, client: Client) -> None:
    await client.ari.applications.filter_events("centralino", disallowed=["ChannelVarset", "PlaybackStarted"])
    async with Caller(asterisk, client) as caller:
        await client.ari.channels.play(caller.id, ["sound:digits/1"], playback_id="p1")
        await client.event(PlaybackFinished)
    assert not {"ChannelVarset", "PlaybackStarted"} & {event.type for event in client.heard}


# ----------------------------------------------------------------------------------------------------- connection


async def test_what_is_under_way_when_the_connection_breaks_goes_on_in_asterisk(
    asterisk: AsteriskServer, client: Client
) -> None:
    async with Caller(asterisk, client) as caller:
        await client.ari.channels.play(caller.id, ["sound:vm-intro"], playback_id="p1")
        await client.event(PlaybackStarted)
        assert client.ari._socket is not None
        client.ari._socket.transport.abort()
        await client.until(lambda: client.ups == 2)
        assert (await client.ari.applications.get("centralino")).channel_ids == [caller.id]
        assert [channel.id for channel in await client.ari.channels.list()] == [caller.id]
        await client.ari.playbacks.stop("p1")
        await client.event(PlaybackFinished)
        await caller.phone.hang_up()
        await client.event(StasisEnd)


async def test_a_restart_of_asterisk_is_survived(asterisk: AsteriskServer, client: Client) -> None:
    await asterisk.kill()
    await client.until(lambda: not client.ari.connected or client.ups > 1)
    with pytest.raises(AriDisconnected):
        await client.ari.asterisk.ping()
    await asterisk.start()
    await client.until(lambda: client.ups == 2)
    await client.ari.asterisk.ping()
    async with Caller(asterisk, client):
        pass


async def test_two_services_do_not_fight_over_one_application(asterisk: AsteriskServer, client: Client) -> None:
    second = Client(asterisk)
    async with second.ari:
        await second.ari.wait_connected(WITHIN)
        await client.event(ApplicationReplaced)
        with pytest.raises(AriTimeout, match="another service has taken over"):
            await client.ari.wait_connected(0.5)
        async with Caller(asterisk, second):
            pass
        assert second.ups == 1
    assert not [event for event in client.heard if isinstance(event, StasisStart)]


async def test_a_wrong_password_is_told(asterisk: AsteriskServer, tmp_path: Path) -> None:
    ari = Ari(asterisk.ari_url, "centralino", "centralino", "wrong", on_event=print)
    async with ari:
        with pytest.raises(AriTimeout, match="refuses the user name or password"):
            await ari.wait_connected(1.0)
