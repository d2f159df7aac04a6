"""What is ours in Asterisk is known by its whole name: whatever else begins like it is left alone."""

import uuid

import pytest

from ivr.flow.talk import OUTSIDE, bridge_of, call_of, is_ours
from ivr.operations import new_offer_id
from tickets.models import SYNTHETIC

pytestmark = pytest.mark.unit


def test_what_we_make_is_ours() -> None:
    assert is_ours(new_offer_id())
    for app in ("centralino", "centralino-uno", "Edotto_2-due"):
        assert is_ours(f"{OUTSIDE}{app}.{uuid.uuid4().hex[:16]}")
    for call_id in (uuid.uuid4().hex, f"{SYNTHETIC}{uuid.uuid4().hex[:31]}"):
        assert call_of(bridge_of(call_id)) == call_id


@pytest.mark.parametrize(
    "name",
    [
        "1795543122.7",
        "centralino-1795543122.7",  # a caller, at an Asterisk whose systemname is `centralino`
        "centralino-out-1795543122.7",
        "centralino-uno-1795543122.7",
        "centralino-monitor",
        "centralino-26afa58d856343df8b37-more",
        "synthetic-caller-zaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "",
    ],
)
def test_what_only_begins_like_ours_is_not(name: str) -> None:
    assert not is_ours(name)
    assert call_of(name) is None
