"""What the repair does about channels that nobody seems to serve."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast
from unittest.mock import AsyncMock, Mock

import pytest

from ivr.ari import Ari
from ivr.calls_in_hand import CallsInHand
from ivr.flow.call import Services
from ivr.flow.repair import Found
from ivr.models import Call, Outcome
from ivr.reconciler import Reconciler

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("outcome", "minutes_ago", "hung_up"),
    [
        (Outcome.FALLBACK, 0.5, False),  # it was given to the dialplan while the repair was under way
        (Outcome.FALLBACK, 2, True),
        (Outcome.ANSWERED, 0.5, True),
    ],
)
async def test_a_caller_who_was_given_to_the_dialplan_this_moment_is_not_cut_off(
    outcome: Outcome, minutes_ago: float, hung_up: bool
) -> None:
    ended = NOW - timedelta(minutes=minutes_ago)
    nothing, ari, database = cast("Any", None), Mock(channels=AsyncMock()), AsyncMock()
    database.read.return_value = Call(id="c1", channel_id="1.1", ended_at=ended, outcome=outcome)
    names = ("prompts", "screen", "audio", "attachments", "room", "recordings")
    shared = dict.fromkeys(names, nothing)
    services = Services(
        ari=cast("Ari", ari),
        app="centralino",
        database=database,
        config=nothing,
        transcripts=None,
        notices=nothing,
        now=lambda: NOW,
        **shared,
    )
    reconciler = Reconciler(CallsInHand(services, on_lost_sight=lambda: None))
    await reconciler._begin_unseen(Found(channels={"1.1"}, held={"1.1"}, bridges={}))
    assert ari.channels.hangup.await_count == hung_up
