"""What tests of several packages share."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from asterisk_conf.render import PhoneAccount
from centralino.rig.asterisk import AsteriskServer
from centralino.rig.errors import PostgresMissing
from centralino.rig.mail import MailCatcher
from centralino.rig.postgres import PostgresServer

DESK_PHONES = ("101", "102", "103")
BROWSER_PHONES = ("201", "202")


@pytest.fixture
def phone_accounts() -> list[PhoneAccount]:
    """The phones that may register at the test's Asterisk: 101 to 103 on a desk, 201 and 202 in a browser."""
    return [
        *(PhoneAccount(name=name, password=SecretStr(f"secret-{name}")) for name in DESK_PHONES),
        *(PhoneAccount(name=name, password=SecretStr(f"secret-{name}"), kind="browser") for name in BROWSER_PHONES),
    ]


@pytest.fixture
async def asterisk(tmp_path: Path, phone_accounts: list[PhoneAccount]) -> AsyncIterator[AsteriskServer]:
    """A fresh Asterisk (ready in under a second); `asterisk.password_of("101")` is what a phone registers with."""
    async with AsteriskServer(tmp_path / "asterisk", phones=phone_accounts) as server:
        yield server


@pytest.fixture
async def mail() -> AsyncIterator[MailCatcher]:
    """A mail server that keeps what it gets."""
    async with MailCatcher() as catcher:
        yield catcher


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the stories first, and a failed test with real phones and servers a second time.

    Stories take longest: begun last, one of them would be waited for alone. Machines that test are shared and may
    stall; the report names every rerun (`R`), so that a test that keeps needing it is seen.
    """
    items.sort(key=lambda item: item.get_closest_marker("story") is None)
    for item in items:
        if item.get_closest_marker("story") or item.get_closest_marker("contract"):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL server for the whole run; each test makes its own database in it."""
    try:
        server = PostgresServer()
    except PostgresMissing as missing:
        pytest.skip(str(missing))
    with server:
        yield server
