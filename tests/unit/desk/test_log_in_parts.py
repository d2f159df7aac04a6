"""Passwords, tokens, slowing down, and the policy for pages."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

import desk
from desk.guard import content_policy
from desk.passwords import hash_password, new_token, token_hash, verify_password
from desk.settings import DeskSettings
from desk.throttle import Throttle

pytestmark = pytest.mark.unit

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
STATIC = Path(desk.__file__).parent / "static"


async def test_only_the_right_password_fits() -> None:
    password_hash = hash_password("correct horse battery")
    assert await verify_password(password_hash, "correct horse battery")
    assert not await verify_password(password_hash, "Correct horse battery")
    assert not await verify_password(None, "correct horse battery")
    assert not await verify_password("not a hash", "correct horse battery")


def test_tokens_are_long_and_only_their_hash_tells_them_apart() -> None:
    one, other = new_token(), new_token()
    assert one != other
    assert len(one) >= 43
    assert token_hash(one) != token_hash(other)


def test_a_key_waits_after_too_many_failures_until_the_window_is_over() -> None:
    throttle = Throttle(failures=3, window=timedelta(minutes=15))
    for minute in range(3):
        assert throttle.wait("mara 10.0.0.1", now=NOON + timedelta(minutes=minute)) == timedelta(0)
        throttle.failed("mara 10.0.0.1", now=NOON + timedelta(minutes=minute))
    assert throttle.wait("mara 10.0.0.1", now=NOON + timedelta(minutes=3)) == timedelta(minutes=12)
    assert throttle.wait("mara 10.0.0.2", now=NOON + timedelta(minutes=3)) == timedelta(0)
    assert throttle.wait("mara 10.0.0.1", now=NOON + timedelta(minutes=15, seconds=1)) == timedelta(0)


def test_success_forgets_failures_and_memory_is_bounded() -> None:
    throttle = Throttle(failures=1, window=timedelta(minutes=15), capacity=10)
    throttle.failed("mara", now=NOON)
    throttle.succeeded("mara")
    throttle.failed("an address", now=NOON)
    throttle.take_back("an address")
    assert throttle.wait("an address", now=NOON) == timedelta(0)
    throttle.take_back("never seen")
    assert throttle.wait("mara", now=NOON) == timedelta(0)
    for number in range(50):
        throttle.failed(str(number), now=NOON)
    assert len(throttle._failed) == 10


def test_the_policy_lets_only_our_own_scripts_and_the_import_map_run() -> None:
    policy = content_policy((STATIC / "index.html").read_text(encoding="utf-8"))
    assert "unsafe" not in policy
    assert policy.count("'sha256-") == 1
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize(
    ("url", "elsewhere"),
    [
        (None, "connect-src 'self';"),
        ("/ws", "connect-src 'self';"),
        ("wss://pbx.example.org:8089/ws", "connect-src 'self' wss://pbx.example.org:8089;"),
    ],
)
def test_only_the_websocket_of_the_phones_may_be_elsewhere(url: str | None, elsewhere: str) -> None:
    assert DeskSettings(phone_url=url).phone_url == url
    assert elsewhere in content_policy("", url)


@pytest.mark.parametrize(
    "url", ["ws", "https://pbx.example.org/ws", "wss://pbx.example.org", "wss://pbx/ws; script-src *", "wss://a,b/ws"]
)
def test_what_is_no_websocket_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="is no websocket"):
        DeskSettings(phone_url=url)


def test_every_vendored_file_has_its_version_and_licence() -> None:
    licences = (STATIC / "vendor" / "LICENSES.txt").read_text(encoding="utf-8")
    script = (STATIC / "vendor" / "update.sh").read_text(encoding="utf-8")
    for file in STATIC.joinpath("vendor").iterdir():
        if file.suffix in (".js", ".woff2"):
            assert f"== {file.name}: " in licences
            assert f" {file.name}\n" in script
