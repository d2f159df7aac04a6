"""Pages in a real Chromium on a served desk."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from playwright.async_api import BrowserContext, ConsoleMessage, Page, expect

from centralino.rig.browser import chromium
from centralino.rig.desk_server import PASSWORD, DeskServer

OpenPage = Callable[[str], Awaitable[Page]]

expect.set_options(timeout=15_000)  # ms; a machine that tests other things as well is slow at times


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[DeskServer]:
    """The desk on a free port, with an empty database."""
    async with DeskServer(tmp_path) as server:
        yield server


def _is_an_answer(message: ConsoleMessage) -> bool:
    """An answer that a page expects and shows, noted by Chromium all the same.

    Not logged in, no such ticket, a field that is wrong, somebody else was faster, no picture although it says so, an
    answer lost on its way.
    """
    url = message.location["url"]
    return (
        "401 (Unauthorized)" in message.text
        or "504 (Gateway Timeout)" in message.text
        or ("404 (Not Found)" in message.text and "/by-ticket/" in url)
        or (
            any(status in message.text for status in ("409 (Conflict)", "422 (Unprocessable"))
            and any(
                part in url for part in ("/api/requests", "/api/admin/", "/api/history", "/api/closures", "/transcript")
            )
        )
        or ("415 (Unsupported" in message.text and url.endswith("/preview"))
    )


@pytest.fixture
async def context() -> AsyncIterator[BrowserContext]:
    """A fresh browser; what any page's console says is an error fails the test."""
    async with chromium() as browser:
        context = await browser.new_context(
            locale="it-IT",
            viewport={"width": 1366, "height": 768},
            timezone_id="America/New_York",  # not the site's: nothing shown may depend on where the browser is
        )
        context.set_default_timeout(10_000)
        wrong: list[str] = []
        context.on("weberror", lambda error: wrong.append(str(error.error)))
        context.on(
            "console",
            lambda message: (
                wrong.append(message.text)
                if message.type in ("error", "warning") and not _is_an_answer(message)
                else None
            ),
        )
        yield context
        await context.close()
    assert wrong == []


@pytest.fixture
async def log_in(served: DeskServer, context: BrowserContext) -> OpenPage:
    """Open the desk and log in as a person does."""

    async def open_page(username: str) -> Page:
        page = await context.new_page()
        await page.goto(served.url)
        await page.get_by_label("Nome utente").fill(username)
        await page.get_by_label("Password").fill(PASSWORD)
        await page.keyboard.press("Enter")
        await page.get_by_role("heading", name="Messaggi").wait_for()
        return page

    return open_page
