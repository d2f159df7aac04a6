"""Passwords, tokens, and the policy for pages."""

from pathlib import Path

import pytest
from pydantic import ValidationError

import desk
from desk.guard import content_policy
from desk.passwords import hash_password, new_token, token_hash, verify_password
from desk.settings import DeskSettings

pytestmark = pytest.mark.unit

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
