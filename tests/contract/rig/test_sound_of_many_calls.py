"""The sound of the benchmarks, on real sockets: what arrives is counted at both ends."""

import asyncio

import pytest

from benchmarks.sound import Sound

pytestmark = pytest.mark.contract


async def test_sound_that_arrives_is_counted_at_both_ends() -> None:
    sound = Sound()
    sound.turn_on()
    sound.begin("a call", ("127.0.0.1", sound.caller_port))  # as if Asterisk were a wire
    async with asyncio.timeout(5):
        while len(sound.round_trips) < 3:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.02)
    sound.end("a call")
    (voice,) = sound.voices.values()
    assert 3 <= voice.heard_by_agent <= voice.heard_by_caller <= voice.sent
    sound.close()
