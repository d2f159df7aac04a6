"""Errors: their tree, what is worth trying again, and when a refusal means that the caller has gone."""

import pytest

from ivr import ari
from ivr.ari.errors import refusal

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ari.Invalid),
        (403, ari.AriRefused),
        (404, ari.NotFound),
        (409, ari.Conflict),
        (412, ari.Conflict),
        (422, ari.Invalid),
        (500, ari.ServerFault),
        (503, ari.ServerFault),
    ],
)
def test_each_status_has_its_kind(status: int, kind: type[ari.AriRefused]) -> None:
    error = refusal(status, "because", "GET channels")
    assert type(error) is kind
    assert (error.status, error.message, str(error)) == (status, "because", f"GET channels: {status} because")
    assert isinstance(error, ari.AriError)
    assert not error.retryable


def test_only_a_lost_connection_is_worth_a_retry() -> None:
    assert ari.AriDisconnected.retryable
    assert ari.AriTimeout.retryable
    assert issubclass(ari.AriTimeout, ari.AriConnectionError)
    assert issubclass(ari.AriDisconnected, ari.AriConnectionError)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (404, "Channel not found"),
        (404, "Provided channel was not found"),
        (400, "Channel not found"),
        (409, "Channel not in Stasis application"),
        (422, "Channel not in Stasis application"),
    ],
)
def test_a_gone_channel_becomes_a_hangup(status: int, message: str) -> None:
    with pytest.raises(ari.Hangup) as caught, ari.gone_is_hangup("c1"):
        raise refusal(status, message)
    assert (caught.value.channel_id, caught.value.cause) == ("c1", 0)


@pytest.mark.parametrize(
    ("status", "message"),
    [(404, "Bridge not found"), (404, "Provided variable was not found"), (409, "Channel c1 currently recording")],
)
def test_other_refusals_stay_what_they_are(status: int, message: str) -> None:
    with pytest.raises(ari.AriRefused), ari.gone_is_hangup("c1"):
        raise refusal(status, message)


def test_who_tolerates_a_failed_request_does_not_swallow_a_hangup() -> None:
    assert not issubclass(ari.Hangup, ari.AriError)
