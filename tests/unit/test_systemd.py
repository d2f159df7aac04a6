"""What systemd is told: up, alive while nothing vital stands still, stopping."""

import asyncio
import socket
from pathlib import Path

import pytest

from centralino import systemd

pytestmark = pytest.mark.unit


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> socket.socket:
    """The socket of a service manager."""
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(tmp_path / "notify"))
    manager.setblocking(False)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    return manager


async def test_the_watchdog_is_fed_while_all_is_alive_and_starves_when_a_task_stands_still(
    told: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "3000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    looks: list[list[str]] = [[], [], ["decisions"], ["decisions"]]
    looked_all = asyncio.Event()

    def standing_still() -> list[str]:
        if len(looks) == 1:
            looked_all.set()
            return looks[0]
        return looks.pop(0)

    watching = asyncio.create_task(systemd.watchdog(standing_still))
    await asyncio.wait_for(looked_all.wait(), 10)
    watching.cancel()
    assert [told.recv(100), told.recv(100)] == [b"WATCHDOG=1", b"WATCHDOG=1"]
    with pytest.raises(BlockingIOError):
        told.recv(100)
    told.close()


async def test_nobody_is_told_anything_where_there_is_no_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC"):
        monkeypatch.delenv(name, raising=False)
    systemd.notify("READY=1")
    await asyncio.wait_for(systemd.watchdog(list), 10)


def test_a_manager_that_is_gone_does_no_harm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    systemd.notify("READY=1")
