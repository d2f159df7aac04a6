"""Requests as they are sent: paths, parameters, bodies."""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from ivr.ari import operations
from ivr.ari.errors import NotFound, refusal
from ivr.ari.operations import caller_id

pytestmark = pytest.mark.unit

Sent = tuple[str, str, dict[str, str], object]


class Recorder:
    """Takes requests and answers with what it is told."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.answer: object = {"id": "x"}

    async def __call__(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: object = None
    ) -> str:
        self.sent.append((method, path, dict(query or {}), body))
        if isinstance(self.answer, Exception):
            raise self.answer
        return json.dumps(self.answer)


@pytest.fixture
def request_() -> Recorder:
    return Recorder()


@pytest.fixture
def channels(request_: Recorder) -> operations.Channels:
    return operations.Channels(request_, "centralino")


CHANNEL_REQUESTS: list[tuple[Callable[[operations.Channels], Awaitable[Any]], Sent]] = [
    (lambda c: c.get("c1"), ("GET", "channels/c1", {}, None)),
    (lambda c: c.answer("c1"), ("POST", "channels/c1/answer", {}, None)),
    (lambda c: c.hangup("c1"), ("DELETE", "channels/c1", {"reason": "normal"}, None)),
    (lambda c: c.hangup("c1", reason_code=17), ("DELETE", "channels/c1", {"reason_code": "17"}, None)),
    (lambda c: c.ring("c1"), ("POST", "channels/c1/ring", {}, None)),
    (lambda c: c.stop_ringing("c1"), ("DELETE", "channels/c1/ring", {}, None)),
    (lambda c: c.start_moh("c1"), ("POST", "channels/c1/moh", {}, None)),
    (lambda c: c.start_moh("c1", "jazz"), ("POST", "channels/c1/moh", {"mohClass": "jazz"}, None)),
    (lambda c: c.stop_moh("c1"), ("DELETE", "channels/c1/moh", {}, None)),
    (
        lambda c: c.play("c1", ["sound:a", "sound:b"], playback_id="p1", language="it"),
        ("POST", "channels/c1/play", {"media": "sound:a,sound:b", "playbackId": "p1", "lang": "it"}, None),
    ),
    (
        lambda c: c.record("c1", "m1", max_duration_seconds=180, max_silence_seconds=10, terminate_on="#", beep=True),
        (
            "POST",
            "channels/c1/record",
            {
                "name": "m1",
                "format": "wav",
                "maxDurationSeconds": "180",
                "maxSilenceSeconds": "10",
                "ifExists": "fail",
                "beep": "true",
                "terminateOn": "#",
            },
            None,
        ),
    ),
    (
        lambda c: c.originate(
            "PJSIP/101",
            channel_id="a1",
            app_args=["agent", "call-1"],
            caller_id="800",
            timeout_seconds=20,
            originator="c1",
            variables={"NOTE": "x"},
            formats=["alaw"],
        ),
        (
            "POST",
            "channels",
            {
                "endpoint": "PJSIP/101",
                "channelId": "a1",
                "timeout": "20",
                "app": "centralino",
                "appArgs": "agent,call-1",
                "originator": "c1",
                "formats": "alaw",
                "callerId": "800",
            },
            {"variables": {"NOTE": "x"}},
        ),
    ),
    (
        lambda c: c.create("PJSIP/101", channel_id="a1", app="other"),
        ("POST", "channels/create", {"endpoint": "PJSIP/101", "channelId": "a1", "app": "other"}, None),
    ),
    (
        lambda c: c.dial("a1", timeout_seconds=20, caller="c1"),
        ("POST", "channels/a1/dial", {"timeout": "20", "caller": "c1"}, None),
    ),
    (
        lambda c: c.continue_in_dialplan("c1", context="x", extension="800"),
        ("POST", "channels/c1/continue", {"context": "x", "extension": "800", "priority": "1"}, None),
    ),
    (lambda c: c.move("c1", "other", ["a"]), ("POST", "channels/c1/move", {"app": "other", "appArgs": "a"}, None)),
    (lambda c: c.hold("c1"), ("POST", "channels/c1/hold", {}, None)),
    (lambda c: c.unhold("c1"), ("DELETE", "channels/c1/hold", {}, None)),
    (lambda c: c.mute("c1", "in"), ("POST", "channels/c1/mute", {"direction": "in"}, None)),
    (lambda c: c.unmute("c1"), ("DELETE", "channels/c1/mute", {"direction": "both"}, None)),
    (lambda c: c.send_dtmf("c1", "12#"), ("POST", "channels/c1/dtmf", {"dtmf": "12#"}, None)),
    (
        lambda c: c.set_variable("c1", "N", "a&b=c"),
        ("POST", "channels/c1/variable", {"variable": "N", "value": "a&b=c"}, None),
    ),
]


@pytest.mark.parametrize(("act", "sent"), CHANNEL_REQUESTS, ids=[sent[1] for _, sent in CHANNEL_REQUESTS])
async def test_channel_requests(
    request_: Recorder, channels: operations.Channels, act: Callable[[operations.Channels], Awaitable[Any]], sent: Sent
) -> None:
    await act(channels)
    assert request_.sent == [sent]


async def test_bridge_requests(request_: Recorder) -> None:
    bridges = operations.Bridges(request_)
    await bridges.create("b1", name="talk")
    await bridges.add("b1", ["c1", "a1"])
    await bridges.remove("b1", ["c1"])
    await bridges.start_moh("b1")
    await bridges.stop_moh("b1")
    await bridges.play("b1", ["sound:x"], playback_id="p1")
    await bridges.destroy("b1")
    assert request_.sent == [
        ("POST", "bridges", {"bridgeId": "b1", "type": "mixing", "name": "talk"}, None),
        ("POST", "bridges/b1/addChannel", {"channel": "c1,a1"}, None),
        ("POST", "bridges/b1/removeChannel", {"channel": "c1"}, None),
        ("POST", "bridges/b1/moh", {}, None),
        ("DELETE", "bridges/b1/moh", {}, None),
        ("POST", "bridges/b1/play", {"media": "sound:x", "playbackId": "p1"}, None),
        ("DELETE", "bridges/b1", {}, None),
    ]


async def test_other_requests(request_: Recorder) -> None:
    await operations.Playbacks(request_).control("p1", "pause")
    await operations.Recordings(request_).get_live("m1")
    await operations.Recordings(request_).delete_stored("folder/m 1")
    await operations.Applications(request_).unsubscribe("app", ["deviceState:PJSIP/101"])
    await operations.Applications(request_).filter_events("app", disallowed=["ChannelVarset"])
    await operations.Endpoints(request_).get("PJSIP", "101")
    await operations.DeviceStates(request_).get("PJSIP/101")
    await operations.System(request_).info()
    assert request_.sent == [
        ("POST", "playbacks/p1/control", {"operation": "pause"}, None),
        ("GET", "recordings/live/m1", {}, None),
        ("DELETE", "recordings/stored/folder%2Fm%201", {}, None),
        ("DELETE", "applications/app/subscription", {"eventSource": "deviceState:PJSIP/101"}, None),
        ("PUT", "applications/app/eventFilter", {}, {"disallowed": [{"type": "ChannelVarset"}]}),
        ("GET", "endpoints/PJSIP/101", {}, None),
        ("GET", "deviceStates/PJSIP%2F101", {}, None),
        ("GET", "asterisk/info", {}, None),
    ]


@pytest.mark.parametrize("hostile", ["../../asterisk/modules", "a?b=c", "a#b", "a/b", "è\n", ""])
async def test_an_id_cannot_leave_its_place_in_the_path(
    request_: Recorder, channels: operations.Channels, hostile: str
) -> None:
    await channels.answer(hostile)
    ((_, path, _, _),) = request_.sent
    assert path.count("/") == 2
    assert not set("?#\n") & set(path)


@pytest.mark.parametrize("bad", [[], ["a,b"], ['a"b'], ["a\\b"], ["a\nb"]])
async def test_a_list_asterisk_would_take_apart_is_not_sent(
    request_: Recorder, channels: operations.Channels, bad: list[str]
) -> None:
    with pytest.raises(ValueError, match=r"(for|to) Asterisk"):
        await channels.play("c1", bad, playback_id="p1")
    assert request_.sent == []


async def test_a_variable_that_is_not_set_is_none(request_: Recorder, channels: operations.Channels) -> None:
    request_.answer = refusal(404, "Provided variable was not found")
    assert await channels.get_variable("c1", "N") is None


async def test_a_variable_of_a_gone_channel_is_not_found(request_: Recorder, channels: operations.Channels) -> None:
    request_.answer = refusal(404, "Provided channel was not found")
    with pytest.raises(NotFound):
        await channels.get_variable("c1", "N")


@pytest.mark.parametrize(("status", "taken"), [(None, True), (404, False), (409, False)])
async def test_an_offered_call_is_taken_by_the_first(request_: Recorder, status: int | None, taken: bool) -> None:
    if status is not None:
        request_.answer = refusal(status, "gone or taken")
    assert await operations.Events(request_).claim("c1", "worker-1") is taken


@pytest.mark.parametrize(
    ("number", "name", "written"),
    [
        ("+390805551234", "", '"" <+390805551234>'),
        ("080> <evil@host", 'Mario "Super" \\ Rossi\r\nX: y', '"Mario \\"Super\\" \\\\ RossiX: y" <080>'),
        ("", "", '"" <>'),
    ],
)
def test_a_hostile_caller_stays_a_number_and_a_name(number: str, name: str, written: str) -> None:
    assert caller_id(number, name) == written
