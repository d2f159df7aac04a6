"""What the events say, read from what a real Asterisk 22.10 sent in two calls."""

from pathlib import Path
from typing import TypeVar

import pytest

from ivr import ari
from ivr.ari.core import decode
from ivr.ari.events import Event, event_from
from ivr.ari.snapshots import Application, Bridge, Channel, DeviceState, Endpoint, Recording

pytestmark = pytest.mark.unit

E = TypeVar("E", bound=Event)


def recorded(name: str) -> list[Event]:
    lines = (Path(__file__).parent / "recorded" / name).read_bytes().splitlines()
    return [message for line in lines if isinstance(message := decode(line), Event)]


VOICEMAIL, AGENT = recorded("voicemail_call.jsonl"), recorded("agent_call.jsonl")


def of(kind: type[E], events: list[Event]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]


def test_a_call_comes_in_with_its_caller() -> None:
    (start,) = of(ari.StasisStart, VOICEMAIL)
    assert start.args == ["inbound", "800"]
    assert start.replace_channel is None
    assert start.channel_ids == (start.channel.id,)
    channel = start.channel
    assert channel.name.startswith("PJSIP/anonymous-")
    assert (channel.state, channel.caller_number, channel.language) == ("Ring", "+390805551234", "it")
    assert channel.caller_name.startswith("Mario ")
    assert (channel.context, channel.extension) == ("centralino-inbound", "800")
    assert (channel.connected_number, channel.connected_name) == ("", "")
    assert channel.created_at.endswith("+0000")
    assert start.timestamp.endswith("+0000")
    assert "Mario" not in repr(channel)


def test_a_channel_that_replaces_another_concerns_both() -> None:
    start = event_from({"type": "StasisStart", "args": [], "channel": {"id": "new"}, "replace_channel": {"id": "old"}})
    assert isinstance(start, ari.StasisStart)
    assert start.channel_ids == ("new", "old")
    assert start.replace_channel is not None
    assert start.replace_channel.id == "old"


def test_playbacks_know_who_hears_them_and_whether_they_failed() -> None:
    call = of(ari.StasisStart, VOICEMAIL)[0].channel.id
    assert [e.playback_id for e in of(ari.PlaybackStarted, VOICEMAIL)] == ["prompt-1", "prompt-2"]
    finished = of(ari.PlaybackFinished, VOICEMAIL)
    assert [(e.playback_id, e.failed, e.channel_ids) for e in finished] == [
        ("prompt-1", False, (call,)),
        ("prompt-2", True, (call,)),
    ]
    assert finished[0].media == "sound:digits/1"


def test_a_playback_to_a_bridge_concerns_no_channel() -> None:
    event = event_from({"type": "PlaybackStarted", "playback": {"id": "p", "target_uri": "bridge:b1"}})
    assert event.channel_ids == ()


def test_a_channel_id_may_hold_a_colon() -> None:
    event = event_from({"type": "PlaybackStarted", "playback": {"id": "p", "target_uri": "channel:a:b"}})
    assert event.channel_ids == ("a:b",)


def test_keys_are_read() -> None:
    (key,) = of(ari.ChannelDtmfReceived, VOICEMAIL)
    assert key.digit == "5"
    assert key.duration_ms > 0


def test_a_recording_tells_its_length_and_how_much_was_speech() -> None:
    call = of(ari.StasisStart, VOICEMAIL)[0].channel.id
    (started,), (finished,) = of(ari.RecordingStarted, VOICEMAIL), of(ari.RecordingFinished, VOICEMAIL)
    assert (started.name, started.channel_ids) == ("message-1", (call,))
    assert (finished.name, finished.duration, finished.channel_ids) == ("message-1", 1, (call,))
    assert finished.talking_duration is not None
    assert finished.silence_duration is not None


def test_a_recording_of_nothing_has_no_length() -> None:
    raw = {"name": "m", "format": "wav", "state": "done", "target_uri": "channel:c1"}
    event = event_from({"type": "RecordingFinished", "recording": raw})
    assert isinstance(event, ari.RecordingFinished)
    assert (event.duration, event.talking_duration, event.silence_duration) == (None, None, None)


def test_a_recording_that_is_not_possible_says_why() -> None:
    (failed,) = of(ari.RecordingFailed, AGENT)
    assert (failed.name, failed.cause) == ("no", "Cannot record channel while in bridge")


def test_a_call_from_the_dialplan_ends_without_channel_destroyed() -> None:
    assert len(of(ari.StasisEnd, VOICEMAIL)) == 1
    assert of(ari.ChannelDestroyed, VOICEMAIL) == []


def test_a_rejected_call_ends_with_its_cause() -> None:
    rejected = next(e for e in of(ari.ChannelDestroyed, AGENT) if e.channel.id == "agent-0")
    assert (rejected.cause, rejected.cause_text, rejected.tech_cause) == (17, "User busy", 486)
    request = next(e for e in of(ari.ChannelHangupRequest, AGENT) if e.channel.id == "agent-0")
    assert (request.cause, request.soft) == (17, False)


def test_a_hangup_by_us_is_soft_and_a_plain_one_has_no_cause() -> None:
    requests = of(ari.ChannelHangupRequest, AGENT)
    assert any(event.soft for event in requests)
    assert any(event.cause == 0 and not event.soft for event in requests)


def test_ringing_is_followed_on_the_phone_that_is_called() -> None:
    assert [e.status for e in of(ari.Dial, AGENT) if e.peer.id == "agent-1"][-1] == "ANSWER"
    assert all(e.channel_ids == (e.peer.id,) for e in of(ari.Dial, AGENT))
    assert "Ringing" in {e.channel.state for e in of(ari.ChannelStateChange, AGENT)}


def test_a_call_between_two_channels_concerns_both() -> None:
    event = event_from({"type": "Dial", "dialstatus": "", "peer": {"id": "b"}, "caller": {"id": "a"}})
    assert event.channel_ids == ("b", "a")


def test_bridges_tell_who_is_in_them() -> None:
    entered, left = of(ari.ChannelEnteredBridge, AGENT), of(ari.ChannelLeftBridge, AGENT)
    assert entered[-1].bridge.id == "talk-1"
    assert set(entered[-1].bridge.channel_ids) == {entered[0].channel.id, "agent-1"}
    assert left[-1].bridge.name == "talk"
    (destroyed,) = of(ari.BridgeDestroyed, AGENT)
    assert destroyed.bridge.id == "talk-1"
    assert destroyed.channel_ids == tuple(destroyed.bridge.channel_ids)


def test_the_state_of_a_phone_is_told() -> None:
    states = [(e.device.name, e.device.state) for e in of(ari.DeviceStateChanged, AGENT)]
    assert states[0] == ("PJSIP/101", "NOT_INUSE")
    assert states[-1] == ("PJSIP/101", "UNAVAILABLE")
    changes = of(ari.EndpointStateChange, AGENT)
    assert (changes[0].endpoint.technology, changes[0].endpoint.resource) == ("PJSIP", "101")
    assert (changes[0].endpoint.state, changes[-1].endpoint.state) == ("online", "offline")
    assert [e.status for e in of(ari.PeerStatusChange, AGENT)] == ["Reachable", "Unreachable"]
    contacts = of(ari.ContactStatusChange, AGENT)
    assert [e.status for e in contacts] == ["NonQualified", "Reachable", "Removed"]
    assert contacts[0].uri.startswith("sip:101")
    assert contacts[0].channel_ids == ()


def test_a_user_event_of_the_dialplan_carries_its_fields() -> None:
    (event,) = of(ari.ChannelUserevent, AGENT)
    assert (event.name, event.fields["a"]) == ("Note", "b")
    assert len(event.channel_ids) == 1


def test_a_takeover_is_seen() -> None:
    assert isinstance(AGENT[-1], ari.ApplicationReplaced)


def test_events_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        AGENT[0].raw = {}  # type: ignore[misc]


def test_snapshots_read_what_asterisk_answers() -> None:
    app = Application(
        {"name": "centralino", "channel_ids": ["c"], "bridge_ids": ["b"], "device_names": ["d"], "endpoint_ids": ["e"]}
    )
    assert (app.name, app.channel_ids, app.bridge_ids) == ("centralino", ["c"], ["b"])
    assert (app.device_names, app.endpoint_ids) == (["d"], ["e"])
    stored = Recording({"name": "m", "format": "wav"})
    assert (stored.name, stored.format, stored.state) == ("m", "wav", "")
    assert Endpoint({"channel_ids": ["x"]}).channel_ids == ["x"]
    assert DeviceState({"name": "PJSIP/101", "state": "BUSY"}).state == "BUSY"
    assert Bridge({"channels": ["x"]}).channel_ids == ["x"]
    assert Channel({"id": "x"}).id == "x"
