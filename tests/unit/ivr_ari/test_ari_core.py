"""The protocol without a socket, fed with what a real Asterisk 22.10 sent."""

import contextlib
import json
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ivr.ari.core import Answer, Malformed, Pending, decode, encode_request
from ivr.ari.events import Event, PlaybackFinished

pytestmark = pytest.mark.unit

RECORDED = Path(__file__).parent / "recorded"
LINES = [line for file in sorted(RECORDED.glob("*.jsonl")) for line in file.read_bytes().splitlines()]


def test_everything_asterisk_sent_is_read() -> None:
    for line in LINES:
        message = decode(line)
        assert isinstance(message, Event | Answer)
        if isinstance(message, Event):
            assert message.type == json.loads(line)["type"]
            assert all(isinstance(channel_id, str) and channel_id for channel_id in message.channel_ids)


def test_answers_tell_their_status_and_reason() -> None:
    answers = [message for line in LINES if isinstance(message := decode(line), Answer)]
    assert {answer.status for answer in answers} == {200, 201, 204, 404, 500}
    assert {answer.message for answer in answers if answer.status >= 400} == {"Channel not found", "Allocation failed"}


@pytest.mark.parametrize(
    ("body", "message"),
    [("", "Teapot"), ("not JSON", "Teapot"), ("[]", "Teapot"), ("{}", "Teapot"), ('{"message":"No"}', "No")],
)
def test_a_refusal_always_has_an_explanation(body: str, message: str) -> None:
    assert Answer("1", 418, body, "Teapot").message == message


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"garbage",
        b"\xff\xfe",
        b"null",
        b"7",
        b"[]",
        b'"text"',
        b"{}",
        b'{"type":null}x',
        b'{"type":[]}',
        b'{"type":"RESTResponse"}',
        b'{"type":"RESTResponse","request_id":"1","status_code":"x"}',
        b'{"type":"StasisStart"',
    ],
)
def test_what_is_no_ari_message_is_malformed(text: bytes) -> None:
    with pytest.raises(Malformed):
        decode(text)


@given(st.binary())
def test_no_bytes_break_the_reader(text: bytes) -> None:
    with contextlib.suppress(Malformed):
        decode(text)


def test_an_unknown_kind_of_event_is_kept_whole() -> None:
    event = decode(b'{"type":"ChannelTeleported","channel":{"id":"c1"},"to":"Mars"}')
    assert isinstance(event, Event)
    assert (event.type, event.channel_ids, event.raw["to"]) == ("ChannelTeleported", ("c1",), "Mars")


def test_an_unknown_kind_of_event_may_concern_no_channel() -> None:
    event = decode(b'{"type":"Weather"}')
    assert isinstance(event, Event)
    assert event.channel_ids == ()


@given(st.dictionaries(st.text(min_size=1), st.text()), st.text())
def test_any_text_reaches_asterisk_as_it_is(query: dict[str, str], value: str) -> None:
    sent = orjson.loads(encode_request("7", "POST", "channels/c1/variable", query, {"value": value}))
    assert {item["name"]: item["value"] for item in sent.get("query_strings", [])} == query
    assert orjson.loads(sent["message_body"]) == {"value": value}


def test_a_request_without_parameters_is_short() -> None:
    assert orjson.loads(encode_request("1", "GET", "channels")) == {
        "type": "RESTRequest",
        "request_id": "1",
        "method": "GET",
        "uri": "channels",
    }


def test_a_lone_surrogate_cannot_be_sent() -> None:
    with pytest.raises(TypeError):
        encode_request("1", "POST", "channels", {"callerId": "\ud800"})


def test_each_answer_finds_its_waiter_once() -> None:
    pending: Pending[str] = Pending()
    (one, _), (two, _) = (pending.add(name, "GET", "channels") for name in ("one", "two"))
    assert one != two
    assert (pending.take(two), pending.take(two), pending.take(""), len(pending)) == ("two", None, None, 1)


def test_a_loss_takes_all_waiters_and_ids_go_on() -> None:
    pending: Pending[str] = Pending()
    before, _ = pending.add("one", "GET", "channels")
    assert (pending.drain(), len(pending)) == (["one"], 0)
    after, _ = pending.add("two", "GET", "channels")
    assert after != before


def test_an_unencodable_request_is_not_waited_for() -> None:
    pending: Pending[str] = Pending()
    with pytest.raises(TypeError):
        pending.add("one", "POST", "channels", {"callerId": "\ud800"})
    assert len(pending) == 0


def test_an_event_shows_nobody_s_number_in_the_log() -> None:
    shown = [repr(message) for line in LINES if isinstance(message := decode(line), Event)]
    assert not [text for text in shown if "39080" in text or "Rossi" in text]
    assert repr(decode(LINES[-1]))
    finished = next(message for line in LINES if isinstance(message := decode(line), PlaybackFinished))
    assert repr(finished).startswith("<PlaybackFinished ")
