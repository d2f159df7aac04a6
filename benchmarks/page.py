"""`make bench ARGS=page`: how much of the page comes over the wire, and how soon it can be used; and pops painted.

A real Chromium at a real service on the loopback address. "Can be used" is when the first list stands on the screen and
the page has had a moment to answer keys (two frames after the live snapshot was drawn), counted from the beginning of
the navigation.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
from playwright.async_api import Browser, CDPSession, Page
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.measure import percentile
from benchmarks.site import AGENTS, site_calls
from benchmarks.tables import ms, verdict
from centralino.rig.browser import chromium
from centralino.rig.desk_server import DeskServer
from centralino.rig.world import PASSWORD, World

MOST_BYTES, MOST_MS = 300_000, 1000.0
"""Our aims for the first view."""
OPEN_REQUESTS = 100
BURST = 20

USABLE = """() => {
    const seen = (selector) => {
        if (!document.querySelector(selector)) return false;
        requestAnimationFrame(() => requestAnimationFrame(() => (window.usable ??= performance.now())));
        return true;
    };
    const look = (_, watching) => {
        if (seen("input[name=username]") || seen("main .row, main .empty")) watching.disconnect();
    };
    new MutationObserver(look).observe(document, { childList: true, subtree: true });
}"""
"""Notes when the log-in form, or the first list, can be used."""

PAINTED = """() => {
    window.painted = {};
    const digits = (text) => text.replace(/[^0-9]/g, "");
    new MutationObserver(() => {
        for (const one of document.querySelectorAll("#call-panel .caller, #call-panel .call-tab span")) {
            const caller = digits(one.textContent);
            if (caller.length < 8 || caller in window.painted) continue;
            window.painted[caller] = 0;
            const note = () => (window.painted[caller] = performance.timeOrigin + performance.now());
            requestAnimationFrame(() => setTimeout(note)); // the frame that shows it is drawn when the next task runs
        }
    }).observe(document, { childList: true, subtree: true, characterData: true });
}"""
"""Notes when each caller's number was painted (milliseconds since 1970), by its digits."""


@dataclass(frozen=True)
class Plan:
    """How often each way is loaded."""

    rounds: int


FULL = Plan(15)
QUICK = Plan(3)


@dataclass(frozen=True)
class Loaded:
    """One view, loaded several times; the bytes are those of the wire, headers included."""

    view: str
    answers: int
    bytes: int
    usable_p50_ms: float | None
    usable_p95_ms: float | None


async def run(folder: Path, plan: Plan, console: Console) -> dict[str, Any]:
    """Measure, show a table, and give all figures."""
    loaded: list[Loaded] = []
    async with (
        World(folder, site_calls(), colleagues=AGENTS[:20], benchmarks=True) as world,
        world.process() as process,
    ):
        await process.start()
        await _fill(world.desk_url)
        async with chromium() as browser:
            with Progress(console=console, transient=True) as progress:
                task = progress.add_task("page", total=3 * plan.rounds)
                for view in ("log-in", "first view", "first view again"):
                    loaded.append(await _load(browser, world.desk_url, view, plan.rounds))
                    progress.advance(task, plan.rounds)
            burst = await _burst(browser, folder)
    figures = {
        "plan": asdict(plan),
        "views": [asdict(one) for one in loaded],
        "burst_of_pops_ms": burst,
        "failed": loaded[1].bytes > MOST_BYTES,
    }
    _show(console, loaded, burst)
    return figures


async def _fill(url: str) -> None:
    """Some work, as on any morning."""
    async with httpx.AsyncClient(base_url=url, headers={"origin": url}, trust_env=False) as http:
        credentials = {"username": AGENTS[0].username, "password": PASSWORD}
        (await http.post("/api/session", json=credentials)).raise_for_status()
        for number in range(OPEN_REQUESTS):
            form = {"kind": "problem", "area": "application", "channel": "in_person", "subject": f"Stampante {number}"}
            headers = {"content-type": "application/json"}
            (await http.post("/api/requests", content=orjson.dumps(form), headers=headers)).raise_for_status()


class _Wire:
    """Counts what comes over the wire."""

    def __init__(self) -> None:
        self.answers = self.bytes = 0

    async def listen(self, page: Page) -> CDPSession:
        session = await page.context.new_cdp_session(page)
        session.on("Network.loadingFinished", self._finished)
        session.on("Network.webSocketFrameReceived", self._frame)
        await session.send("Network.enable")
        return session

    def _finished(self, event: dict[str, Any]) -> None:
        self.answers += 1
        self.bytes += round(event["encodedDataLength"])

    def _frame(self, event: dict[str, Any]) -> None:
        self.bytes += len(event["response"]["payloadData"])  # before its compression, which is not told


async def _load(browser: Browser, url: str, view: str, rounds: int) -> Loaded:
    times: list[float] = []
    wire = _Wire()
    for _ in range(rounds):
        context = await browser.new_context(locale="it-IT", viewport={"width": 1366, "height": 768})
        await context.add_init_script(f"({USABLE})()")
        if view != "log-in":
            credentials = {"username": AGENTS[0].username, "password": PASSWORD}
            await context.request.post(f"{url}/api/session", data=credentials, headers={"origin": url})
        page = await context.new_page()
        if view == "first view again":  # with all that a browser keeps
            await page.goto(f"{url}/#/requests")
            await page.wait_for_function("() => window.usable")
            await page.goto("about:blank")
        wire = _Wire()
        await wire.listen(page)
        await page.goto(f"{url}/#/requests")
        times.append(float(await (await page.wait_for_function("() => window.usable")).json_value()))
        await page.wait_for_load_state("networkidle")
        await context.close()
    return Loaded(view, wire.answers, wire.bytes, percentile(times, 50), percentile(times, 95))


async def _burst(browser: Browser, folder: Path) -> float:
    """Milliseconds from the first of 20 calls that ring at once for one agent to the last of them painted."""
    place = folder / "burst"
    place.mkdir()
    async with DeskServer(place) as served:
        agent = await served.agent("giulia")
        context = await browser.new_context(locale="it-IT", viewport={"width": 1366, "height": 768})
        await context.add_init_script(f"({PAINTED})()")
        credentials = {"username": "giulia", "password": "correct horse battery"}
        await context.request.post(f"{served.url}/api/session", data=credentials, headers={"origin": served.url})
        page = await context.new_page()
        await page.goto(served.url)
        await page.locator("main .empty, main .row").first.wait_for()
        calls = [await served.waiting_call(f"+3933300000{number:02d}") for number in range(BURST)]
        began = served.now().timestamp() * 1000
        await asyncio.gather(*(served.ring(call_id, agent) for call_id in calls))
        await page.wait_for_function(
            "count => Object.values(window.painted).filter(Boolean).length >= count", arg=BURST
        )
        painted: Sequence[float] = await page.evaluate("Object.values(window.painted)")
        await context.close()
    return max(painted) - began


def _show(console: Console, loaded: Sequence[Loaded], burst: float) -> None:
    table = Table("view", "answers", "kB over the wire", "usable p50 ms", "usable p95 ms")
    for one in loaded:
        p95 = "-" if one.usable_p95_ms is None else verdict(one.usable_p95_ms < MOST_MS, f"{one.usable_p95_ms:.0f}")
        kilobytes = verdict(one.bytes < MOST_BYTES, f"{one.bytes / 1000:.0f}")
        table.add_row(one.view, str(one.answers), kilobytes, ms(one.usable_p50_ms), p95)
    console.print(table)
    console.print(f"{BURST} pops at once: all painted after {burst:.0f} ms")
