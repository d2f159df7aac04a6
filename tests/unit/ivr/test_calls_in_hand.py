"""A call is in hand as long as somebody serves it, and not a moment longer."""

import asyncio
from typing import Any, cast

import pytest

from ivr.ari import Ari
from ivr.calls_in_hand import CallsInHand
from ivr.config import CallsConfig
from ivr.flow.call import ActiveCall, Command, Services
from ivr.models import Outcome
from tickets.phone_numbers import parse_phone_number

pytestmark = pytest.mark.unit

CONFIG = CallsConfig.model_validate(
    {
        "calendars": {"sempre": {"weekly": {}}},
        "queues": {"edotto": {}},
        "lines": [{"number": "800", "name": "Edotto", "calendar": "sempre", "queue": "edotto"}],
    }
)


@pytest.fixture
def services() -> Services:
    """What calls share; a call that goes no step needs none of it but the legs."""
    nothing = cast("Any", None)
    return Services(
        ari=cast("Ari", nothing),
        app="centralino",
        database=nothing,
        config=CONFIG,
        prompts=nothing,
        screen=nothing,
        audio=nothing,
        attachments=nothing,
        room=nothing,
        recordings=nothing,
        transcripts=None,
        notices=nothing,
        legs={},
        now=nothing,
    )


def new_call(services: Services) -> ActiveCall:
    return ActiveCall(
        id="c1",
        leg=services.new_leg("channel-1"),
        line=CONFIG.lines[0],
        caller=parse_phone_number("0805551234"),
        services=services,
    )


async def talk_for_long() -> Outcome:
    await asyncio.sleep(3600)
    return Outcome.ANSWERED


@pytest.mark.parametrize("steps", [0, 1])
async def test_a_call_that_is_interrupted_can_be_taken_up_again(services: Services, steps: int) -> None:
    """Also one whose coroutine never came to its first step: the connection is lost as the call begins."""
    calls = CallsInHand(services, on_lost_sight=lambda: None)
    call = new_call(services)
    command = Command("hold", "", asyncio.get_running_loop().create_future())
    call.commands.put(command)
    calls.go_on(call, talk_for_long())
    for _ in range(steps):
        await asyncio.sleep(0)
    assert "c1" in calls
    calls.interrupt()
    await calls.interrupted()
    await asyncio.sleep(0)
    assert ("c1" in calls, len(calls), services.legs) == (False, 0, {})
    assert command.done.cancelled()


async def test_a_leg_of_before_is_not_confused_with_the_one_of_now(services: Services) -> None:
    before = new_call(services)
    services.legs.clear()  # the connection was lost
    now = new_call(services)
    assert (services.hears(before.leg), services.hears(now.leg)) == (False, True)
    services.drop_leg(before.leg)
    assert services.hears(now.leg)
