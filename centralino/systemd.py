"""What systemd is told of the service (sd_notify(3)): up, alive, stopping. Without systemd, nothing happens."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable

import structlog

log = structlog.get_logger()


def notify(state: str) -> None:
    """Tell systemd, such as `READY=1`; a datagram to the socket that it named when it started us. Never raises."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.setblocking(False)
            channel.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
    except OSError as error:
        log.warning("systemd could not be told", state=state, error=repr(error))


@contextlib.asynccontextmanager
async def watched(standing_still: Callable[[], list[str]]) -> AsyncIterator[None]:
    """Tell systemd that the service is up, and that it is alive for as long as this lasts (see `watchdog`)."""
    notify("READY=1")
    telling = asyncio.create_task(watchdog(standing_still))
    try:
        yield
    finally:
        telling.cancel()
        await asyncio.wait((telling,))


async def watchdog(standing_still: Callable[[], list[str]]) -> None:
    """Tell systemd that the service is alive, three times within the span it gives (`WatchdogSec=`).

    It is told from the event loop, and only while `standing_still` names nothing: else systemd restarts the service,
    and the next one takes the calls up. Returns at once when nobody watches.
    """
    span = os.environ.get("WATCHDOG_USEC", "")
    if not span.isdecimal() or int(span) <= 0 or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return
    while True:
        if still := standing_still():
            log.error("a vital task stands still: systemd will restart the service", tasks=still)
        else:
            notify("WATCHDOG=1")
        await asyncio.sleep(int(span) / 3e6)
