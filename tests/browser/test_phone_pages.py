"""The phone in the browser, as far as it needs no Asterisk: what it says when something is missing, its arithmetic."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import BrowserContext, Page, Route, async_playwright, expect

from centralino.rig.browser import ARGUMENTS, CHROMIUM
from centralino.rig.desk_server import PASSWORD, DeskServer
from ivr.models import Presence

pytestmark = pytest.mark.contract

OpenPage = Callable[[str], Awaitable[Page]]

QUALITY = """(reports) => import("/static/js/phone/quality.js").then(({ counted, Listener }) => {
    const listener = new Listener(0);
    return reports.map(({ at, expected, report }) => listener.next(counted(report), at, expected));
})"""


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[DeskServer]:
    """The desk of a site that has phones in the browser."""
    async with DeskServer(tmp_path, phone_url="/ws") as server:
        yield server


async def test_who_has_another_phone_sees_nothing_of_the_one_in_the_browser(
    served: DeskServer, log_in: OpenPage
) -> None:
    await served.agent("giulia")
    page = await log_in("giulia")
    await page.get_by_role("button", name="Entra in servizio").click()
    await expect(page.locator(".presence-word")).to_have_text("Libero")
    await expect(page.locator(".phone-button")).to_have_count(0)
    loaded = await page.evaluate("performance.getEntriesByType('resource').map((one) => one.name)")
    assert not [name for name in loaded if "jssip" in name or "/phone/" in name]


async def test_without_a_microphone_nobody_goes_on_duty(served: DeskServer, log_in: OpenPage) -> None:
    await served.agent("giulia", browser_phone=True)
    page = await log_in("giulia")
    await page.get_by_role("button", name="Entra in servizio").click()
    dialog = page.get_by_role("dialog", name="Entrata in servizio")
    await expect(dialog.get_by_role("alert")).to_contain_text("Non c'è un microfono")
    await expect(dialog.get_by_role("button", name="Prova di nuovo")).to_be_enabled()
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await expect(page.locator(".presence-word")).to_have_text("Fuori servizio")


async def test_a_microphone_that_is_not_allowed_is_told_so(served: DeskServer) -> None:
    await served.agent("giulia", browser_phone=True)
    async with async_playwright() as playwright:
        arguments = [*ARGUMENTS, "--use-fake-device-for-media-stream"]  # there is one, and nobody allows it
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        context = await browser.new_context(locale="it-IT", permissions=[])
        page = await context.new_page()
        await page.goto(served.url)
        await page.get_by_label("Nome utente").fill("giulia")
        await page.get_by_label("Password").fill(PASSWORD)
        await page.keyboard.press("Enter")
        await page.get_by_role("button", name="Entra in servizio").click()
        await expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("Il microfono non è permesso")
        await browser.close()


NO_ASTERISK = """
const heard = () => {
  const listeners = {};
  return {
    on: (name, listener) => (listeners[name] ??= []).push(listener),
    emit: (name, event = {}) => (listeners[name] ?? []).forEach((listener) => listener(event)),
  };
};
class UA {
  constructor() { Object.assign(this, heard(), { stopped: false }); globalThis.theUA = this; }
  start() { setTimeout(() => { this.emit("registered"); document.body.dataset.registered = ""; }); }
  stop() { this.stopped = true; }
  register() {}
  isConnected() { return true; }
  isRegistered() { return true; }
}
class Talk {
  constructor() { Object.assign(this, heard(), { over: false }); globalThis.theTalk = this; }
  isEnded() { return this.over; }
  terminate() { this.over = true; this.emit("ended"); }
}
export default { UA, Talk, WebSocketInterface: class {} };
"""
RINGS_AND_TALKS = """() => import("jssip").then(({ default: { Talk } }) => {
    const session = new Talk();
    theUA.emit("newRTCSession", { session, originator: "remote" });
    session.emit("confirmed");
})"""
REFUSED = (
    """() => { for (let n = 0; n < 20; n++) theUA.emit("registrationFailed", { response: { status_code: 401 } }); }"""
)


async def test_a_log_out_somewhere_else_does_not_hang_up_on_the_caller(
    served: DeskServer, log_in: OpenPage, context: BrowserContext
) -> None:
    """It makes the key worthless that this page registers with; who talks goes on, and takes the phone again later."""
    await served.agent("giulia", presence=Presence.FREE, browser_phone=True)

    async def no_asterisk(route: Route) -> None:
        await route.fulfill(body=NO_ASTERISK, content_type="text/javascript")

    await context.route("**/vendor/jssip.js", no_asterisk)
    page = await log_in("giulia")
    await page.locator("body[data-registered]").wait_for()
    await page.evaluate(RINGS_AND_TALKS)
    await page.evaluate(REFUSED)
    assert await page.evaluate("theTalk.over") is False
    await page.evaluate("theTalk.terminate()")
    await page.evaluate(REFUSED)
    assert await page.evaluate("theUA.stopped") is True
    await expect(page.locator(".phone-button")).to_be_visible()


async def test_devices_and_switches_are_remembered(served: DeskServer, log_in: OpenPage) -> None:
    await served.agent("giulia", browser_phone=True)
    page = await log_in("giulia")
    await page.get_by_role("button", name="Telefono spento").click()
    answers = page.get_by_label("Rispondi da solo alle chiamate")
    await expect(answers).not_to_be_checked()
    await answers.check()
    await page.reload()
    await page.get_by_role("button", name="Telefono spento").click()
    await expect(answers).to_be_checked()


async def test_the_quality_of_a_call_is_told_in_three_words(served: DeskServer, log_in: OpenPage) -> None:
    await served.agent("giulia")
    page = await log_in("giulia")

    def report(packets: int, lost: int = 0, jitter: float = 0.002, trip: float = 0.02) -> list[dict[str, Any]]:
        return [
            {"type": "inbound-rtp", "kind": "audio", "packetsReceived": packets, "packetsLost": lost, "jitter": jitter},
            {"type": "candidate-pair", "nominated": True, "currentRoundTripTime": trip},
            {"type": "outbound-rtp", "packetsSent": 50},
        ]

    reports = [
        report(50),
        report(100, lost=2),  # 2 of 52
        report(150, lost=12),  # 10 of 60
        report(200, lost=12, jitter=0.04),
        report(250, lost=12, trip=0.7),
        report(300, lost=12),
    ]
    told = await page.evaluate(
        QUALITY, [{"at": 1000 * at, "expected": True, "report": one} for at, one in enumerate(reports)]
    )
    assert [one["grade"] for one in told] == ["good", "weak", "bad", "weak", "bad", "good"]
    assert told[1]["loss"] == pytest.approx(2 / 52)
    assert not any(one["silent"] for one in told)


async def test_nothing_heard_for_four_seconds_is_said_unless_nothing_is_expected(
    served: DeskServer, log_in: OpenPage
) -> None:
    await served.agent("giulia")
    page = await log_in("giulia")
    nothing = [{"type": "inbound-rtp", "kind": "audio", "packetsReceived": 10, "packetsLost": 0}]
    times = [(0, True), (3000, True), (4000, True), (5000, False), (8000, True), (9500, True)]
    told = await page.evaluate(QUALITY, [{"at": at, "expected": expected, "report": nothing} for at, expected in times])
    assert [one["silent"] for one in told] == [False, False, True, False, False, True]
