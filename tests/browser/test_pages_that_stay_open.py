"""A page that is open for a whole shift, in more than one tab, while people, clocks and versions change."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import BrowserContext, Page, WebSocketRoute, expect

from centralino.rig.desk_server import PASSWORD, DeskServer, withdraw
from desk.pages import version
from tests.browser.conftest import OpenPage

pytestmark = pytest.mark.contract


@pytest.mark.parametrize("address", ["%", "%E0%A4%A/1"])
async def test_an_address_that_nobody_can_read_shows_the_desk_all_the_same(
    served: DeskServer, context: BrowserContext, address: str
) -> None:
    await served.agent("giulia")
    page = await context.new_page()
    await page.goto(f"{served.url}/#/{address}")
    await page.get_by_label("Nome utente").fill("giulia")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("navigation")).to_be_visible()


async def _save_list(page: Page, served: DeskServer, name: str, which: str) -> None:
    await page.get_by_label("Quali richieste").select_option(which)
    await page.get_by_role("button", name="Elenchi salvati").click()
    await page.get_by_role("button", name="Salva questo elenco").click()
    await page.keyboard.type(name)
    await page.keyboard.press("Enter")
    await expect(page.get_by_text(f"Elenco «{name}» salvato.")).to_be_visible()


async def test_lists_that_are_saved_in_two_tabs_are_both_kept(served: DeskServer, log_in: OpenPage) -> None:
    await served.agent("giulia", "Giulia Ferrante")
    first = await log_in("giulia")
    second = await first.context.new_page()
    for page in (first, second):
        await page.goto(f"{served.url}/#/requests")
        await page.get_by_role("heading", name="Richieste di servizio").wait_for()
    await _save_list(first, served, "Aperte", "open")
    await _save_list(second, served, "Chiuse", "closed")
    await first.reload()
    await first.get_by_role("button", name="Elenchi salvati").click()
    for name in ("Aperte", "Chiuse"):
        await expect(first.get_by_role("button", name=name, exact=True)).to_be_visible()


async def test_a_call_that_comes_to_the_same_agent_again_is_announced_again(
    served: DeskServer, log_in: OpenPage
) -> None:
    giulia = await served.agent("giulia")
    page = await log_in("giulia")
    call_id = await served.waiting_call()
    told = page.locator("#announce")
    offer_id = await served.ring(call_id, giulia)
    await expect(told).to_contain_text("Chiamata in arrivo")
    await served.database.run(withdraw, offer_id, now=served.now())
    await expect(page.get_by_role("region", name="Chiamata")).to_be_hidden()
    await expect(told).to_be_empty()
    await served.ring(call_id, giulia)
    await expect(told).to_contain_text("Chiamata in arrivo")


async def test_what_one_person_typed_is_not_there_for_the_next_one_at_the_same_page(
    served: DeskServer, log_in: OpenPage
) -> None:
    await served.agent("giulia", "Giulia Ferrante")
    await served.agent("marco", "Marco Bruno")
    message = await served.message("m1", "buongiorno vorrei informazioni")
    page = await log_in("giulia")

    async def comes_back(username: str) -> None:
        await page.context.clear_cookies()
        for browser in tuple(served.live._browsers):
            await browser.socket.close(4401)
        await page.get_by_label("Nome utente").fill(username)
        await page.get_by_label("Password").fill(PASSWORD)
        await page.keyboard.press("Enter")

    await page.goto(f"{served.url}/#/requests/{message.request_id}")
    note = page.get_by_label("Nota")
    await note.fill("solo per me")
    await comes_back("giulia")
    await expect(note).to_have_value("solo per me")
    await comes_back("marco")
    await expect(note).to_have_value("")


async def test_a_page_of_an_older_version_says_so_and_can_be_loaded_anew(served: DeskServer, log_in: OpenPage) -> None:
    await served.agent("giulia")
    page = await log_in("giulia")
    told = page.get_by_role("status").filter(has_text="C'è una versione nuova.")
    await expect(page.get_by_label("Coda e colleghi")).to_be_visible()
    await expect(told).to_be_hidden()

    def newer(route: WebSocketRoute) -> None:
        route.connect_to_server().on_message(lambda text: route.send(str(text).replace(version(), "v-newer")))

    await page.route_web_socket("**/api/live", newer)
    for browser in tuple(served.live._browsers):
        await browser.socket.close(1012)  # the service is renewed
    await expect(told).to_be_visible()
    await page.unroute_all()
    async with page.expect_navigation():
        await told.get_by_role("button", name="Ricarica").click()


async def test_a_clock_that_is_set_while_the_page_is_open_changes_no_time_that_is_left(
    served: DeskServer, context: BrowserContext
) -> None:
    await served.agent("giulia")
    await served.message("m1", "buongiorno", due=timedelta(minutes=40))
    page = await context.new_page()
    await page.clock.install(time=datetime.now(UTC) - timedelta(hours=3))  # wrong from the beginning
    await page.goto(served.url)
    await page.get_by_label("Nome utente").fill("giulia")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.keyboard.press("Enter")
    left = page.get_by_text(re.compile("(39|40) min")).first
    await expect(left).to_be_visible()
    await page.clock.set_system_time(datetime.now(UTC) + timedelta(minutes=30))
    await page.clock.run_for(1_500)
    await expect(left).to_be_hidden()
    await page.clock.run_for(16_000)
    await expect(left).to_be_visible()


A_NETWORK_THAT_SWALLOWS = """
globalThis.dead = false;
const { WebSocket: Real, fetch: ask } = globalThis;
globalThis.WebSocket = class {
  static OPEN = Real.OPEN;
  constructor(url) { return globalThis.dead ? { readyState: Real.CONNECTING, send() {}, close() {} } : new Real(url); }
};
globalThis.fetch = (...asked) => (globalThis.dead ? new Promise(() => {}) : ask(...asked));
"""


async def test_a_computer_that_wakes_up_in_a_dead_network_comes_back_by_itself(
    served: DeskServer, context: BrowserContext
) -> None:
    """What is sent is swallowed for minutes: no handshake ends, no question is answered, and none fails."""
    await served.agent("giulia")
    page = await context.new_page()
    await page.add_init_script(A_NETWORK_THAT_SWALLOWS)
    await page.clock.install()
    await page.goto(served.url)
    await page.get_by_label("Nome utente").fill("giulia")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("Coda e colleghi")).to_be_visible()
    await page.evaluate("globalThis.dead = true")
    for browser in tuple(served.live._browsers):
        await browser.socket.close(1012)
    banner = page.get_by_role("alert").filter(has_text="Connessione persa")
    await expect(banner).to_be_visible()
    await page.clock.run_for(30_000)
    await page.clock.run_for(30_000)
    await page.evaluate("globalThis.dead = false")
    for _ in range(120):
        if await banner.is_hidden():
            break
        await page.clock.run_for(500)  # in small steps: a handshake takes real time
    await expect(banner).to_be_hidden()
