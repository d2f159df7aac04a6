"""Finding requests while one types, lists of one's own, and the keyboard along them."""

import asyncio
import re
from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import Page, Route, expect

from centralino.rig.desk_server import HOSTILE, DeskServer
from tickets.operations import add_note, close_request, take_in_charge

pytestmark = pytest.mark.contract

OpenPage = Callable[[str], Awaitable[Page]]


async def test_a_request_is_found_while_one_types_and_enter_opens_it(served: DeskServer, log_in: OpenPage) -> None:
    await served.agent("giulia")
    person = await served.contact("Nicolò D'Amico", company="ASL Bari")
    old = await served.request("Etichette storte", actor="giulia", description="Sono tutte di traverso.")
    await served.database.run(
        close_request, old.id, served.notices, solution="Sostituito il rullo", actor="giulia", now=served.now()
    )
    await served.request("Stampante ferma", actor="giulia", contact_id=person, description="Il tòner è finito")
    noted = await served.request("Password", actor="giulia")
    await served.database.run(add_note, noted.id, "Richiamare per il toner", actor="giulia", now=served.now())
    page = await log_in("giulia")
    await page.keyboard.press("/")
    search = page.get_by_role("searchbox", name="Cerca nelle richieste")
    await expect(search).to_be_focused()
    rows = page.locator(".master .row-title")
    await page.keyboard.type("tone")
    await expect(rows).to_have_text(["Password", "Stampante ferma"])
    await expect(page.locator(".row-extract")).to_have_text(
        ["Storia: Richiamare per il toner", "Descrizione: Il tòner è finito"]
    )
    await expect(page.locator("mark")).to_have_text(["tone", "tòne"])
    await page.keyboard.type("r amic")
    await expect(rows).to_have_text(["Stampante ferma"])
    await expect(page.locator("mark")).to_have_text(["Amic", "tòner"])
    await search.fill("rullo")
    await expect(rows).to_have_text(["Etichette storte"])  # closed ones are found as well
    await expect(page.locator(".row-extract")).to_contain_text("Soluzione: Sostituito il rullo")
    await search.fill("niente di simile")
    await expect(page.get_by_text("Nessuna richiesta trovata")).to_be_visible()
    await search.fill("rullo")
    await search.press("Enter")
    await expect(page.get_by_role("heading", name="Etichette storte")).to_be_visible()


async def test_an_answer_that_comes_late_does_not_replace_a_newer_one(served: DeskServer, log_in: OpenPage) -> None:
    await served.agent("giulia")
    await served.request("Stampante", actor="giulia")
    await served.request("Stazione", actor="giulia")
    page = await log_in("giulia")
    held = asyncio.Event()
    asked = asyncio.Event()

    async def hold(route: Route) -> None:
        if route.request.url.partition("q=")[2].startswith("sta&"):
            asked.set()
            await held.wait()
        await route.continue_()

    await page.route(re.compile(r"/api/requests\?"), hold)
    await page.goto(f"{served.url}/#/requests")
    search = page.get_by_role("searchbox", name="Cerca nelle richieste")
    await search.fill("sta")
    await asyncio.wait_for(asked.wait(), 15)
    await search.fill("stam")
    rows = page.locator(".master .row-title")
    await expect(rows).to_have_text(["Stampante"])
    async with page.expect_response(lambda response: "q=sta&" in response.url):
        held.set()
    await expect(page.locator("mark")).to_have_text(["Stam"])
    await expect(rows).to_have_text(["Stampante"])


async def test_what_is_marked_never_runs(served: DeskServer, log_in: OpenPage) -> None:
    await served.agent("giulia")
    person = await served.contact(HOSTILE, company=HOSTILE[:100])
    await served.request(HOSTILE, actor="giulia", contact_id=person, description=f"zz {HOSTILE}")
    page = await log_in("giulia")
    await page.goto(f"{served.url}/#/requests")
    await page.get_by_role("searchbox", name="Cerca nelle richieste").fill("zz img script onerror")
    await expect(page.locator(".master .row")).to_have_count(1)
    await expect(page.locator(".row-title mark")).to_have_text(["img", "onerror", "script"])
    assert await page.evaluate("window.hacked") is None
    assert await page.locator("img[src='x']").count() == 0


async def test_a_list_is_saved_and_is_there_after_log_in(served: DeskServer, log_in: OpenPage) -> None:
    await served.agent("giulia", "Giulia Ferrante")
    await served.request("Toner", actor="marco")
    await served.request("Rete", actor="marco")
    page = await log_in("giulia")
    await page.goto(f"{served.url}/#/requests")
    await page.get_by_label("Quali richieste").select_option("open")
    await page.get_by_label("Ordine").select_option("oldest")
    rows = page.locator(".master .row-title")
    await expect(rows).to_have_text(["Toner", "Rete"])
    await page.get_by_role("button", name="Elenchi salvati").click()
    await page.get_by_role("button", name="Salva questo elenco").click()
    await page.keyboard.type("Le più vecchie")
    await page.get_by_label("Mostralo dopo l'accesso").check()
    await page.get_by_role("button", name="Salva", exact=True).click()
    await expect(page.get_by_text("Elenco «Le più vecchie» salvato.")).to_be_visible()
    await page.get_by_label("Quali richieste").select_option("work")
    await page.reload()
    await page.get_by_role("heading", name="Richieste di servizio").wait_for()
    await expect(page.get_by_label("Quali richieste")).to_have_value("open")
    await expect(rows).to_have_text(["Toner", "Rete"])
    await page.get_by_role("button", name="Le più vecchie", exact=True).click()
    await page.get_by_role("button", name="Cosa mostrano le righe").click()
    await page.get_by_role("button", name="Area").click()
    await expect(page.get_by_role("button", name="Area")).to_have_attribute("aria-pressed", "false")
    await page.keyboard.press("Escape")
    await expect(page.locator(".master .row").first).not_to_contain_text("Area applicativa")
    await page.get_by_role("button", name="Le più vecchie", exact=True).click()
    await page.get_by_role("button", name="Elimina «Le più vecchie»").click()
    await expect(page.get_by_role("button", name="Elenchi salvati")).to_be_visible()
    await page.reload()
    await expect(page.get_by_label("Quali richieste")).to_have_value("work")


async def test_the_list_is_walked_with_single_keys_which_can_be_changed_or_switched_off(
    served: DeskServer, log_in: OpenPage
) -> None:
    await served.agent("giulia")
    for subject in ("Terza", "Seconda", "Prima"):
        await served.request(subject, actor="giulia")
    page = await log_in("giulia")
    await page.goto(f"{served.url}/#/requests")
    await page.get_by_label("Quali richieste").select_option("mine")
    await page.get_by_label("Ordine").select_option("newest")
    rows = page.locator(".master .row")
    await expect(rows).to_have_count(3)
    await page.get_by_role("heading", name="Richieste di servizio").click()
    await page.evaluate("document.activeElement.blur()")
    await page.keyboard.press("j")
    await expect(rows.nth(0)).to_be_focused()
    await page.keyboard.press("j")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("j")  # stays at the last
    await expect(rows.nth(2)).to_be_focused()
    await page.keyboard.press("k")
    await expect(rows.nth(1)).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Seconda")).to_be_visible()
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Terza")).to_be_visible()
    await page.get_by_label("Nota").fill("j/k?")  # typed, and nothing else
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await page.evaluate("document.activeElement.blur()")

    await page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Tasti rapidi")
    await expect(keys).to_be_visible()
    await keys.get_by_label("Riga dopo").fill("k")
    await keys.get_by_role("button", name="Salva").click()
    await expect(keys.get_by_role("alert")).to_have_text("Ogni tasto fa una cosa sola.")
    await keys.get_by_label("Riga dopo").fill("n")
    await keys.get_by_role("button", name="Salva").click()
    await expect(keys).to_have_count(0)
    await page.get_by_role("link", name="Prima").focus()
    await page.keyboard.press("n")
    await expect(rows.nth(1)).to_be_focused()
    await page.keyboard.press("j")
    await expect(rows.nth(1)).to_be_focused()

    await page.keyboard.press("?")
    await keys.get_by_label("Tasti singoli, quando non si scrive").uncheck()
    await keys.get_by_role("button", name="Salva").click()
    await expect(keys).to_have_count(0)
    await page.reload()
    await expect(rows).to_have_count(3)
    await rows.nth(0).focus()
    await page.keyboard.press("n")
    await page.keyboard.press("/")
    await page.keyboard.press("?")
    await expect(rows.nth(0)).to_be_focused()
    await page.keyboard.press("ArrowDown")  # arrows are no single letters
    await expect(rows.nth(1)).to_be_focused()


async def test_several_requests_are_chosen_with_keys_and_each_that_is_refused_stays_in_sight(
    served: DeskServer, log_in: OpenPage
) -> None:
    await served.agent("giulia")
    await served.agent("marco")
    requests = [await served.request(f"Richiesta {n} {HOSTILE}") for n in range(5)]
    page = await log_in("giulia")
    keys = page.keyboard
    await page.goto(f"{served.url}/#/requests")
    boxes = page.locator(".master li input")
    await expect(boxes).to_have_count(5)
    await page.evaluate("document.activeElement.blur()")
    await keys.press("j")
    await keys.press("x")
    await expect(page.get_by_text("1 scelta")).to_be_visible()
    for _ in range(3):
        await keys.press("j")
    await keys.press("Shift+X")
    await expect(page.get_by_text("4 scelte")).to_be_visible()
    await expect(page.locator(".master .row").nth(3)).to_be_focused()
    await keys.press("x")
    await expect(page.get_by_text("3 scelte")).to_be_visible()
    await boxes.nth(4).click(modifiers=["Shift"])
    await expect(page.get_by_text("5 scelte")).to_be_visible()  # from the one before on
    for number in (3, 4):
        await boxes.nth(number).click()
    await expect(page.get_by_text("3 scelte")).to_be_visible()
    bar = page.get_by_role("group", name="Più richieste insieme")
    chosen = [
        str(one)
        for one in await boxes.evaluate_all("boxes => boxes.filter((b) => b.checked).map((b) => b.dataset.row)")
    ]
    first = next(one for one in requests if str(one.id) == chosen[0])
    await served.database.run(take_in_charge, first.id, actor="marco", now=served.now())
    await bar.get_by_role("button", name="Prendi in carico").click()
    told = page.get_by_role("region", name="fatte, ")
    await expect(told).to_contain_text("fatte, una rifiutata:")
    await expect(told.get_by_role("listitem")).to_have_count(1)
    await expect(told.locator("p")).to_be_focused()
    await expect(told.get_by_role("link")).to_contain_text(first.subject[:11])
    await told.get_by_role("button").click()
    await expect(told).to_have_count(0)

    await page.get_by_label("Quali richieste").select_option("mine")
    await expect(boxes).to_have_count(len(chosen) - 1)
    await bar.get_by_label("Tutte quelle dell'elenco").check()
    await bar.get_by_role("button", name="Chiudi…").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("button", name="Chiudi 2").click()
    await expect(dialog.get_by_role("alert")).to_have_text("Da compilare.")
    await dialog.get_by_label("Soluzione").fill("Tutto riparte")
    await dialog.get_by_role("button", name="Chiudi 2").click()
    await expect(page.get_by_text("2 fatte.")).to_be_visible()
    await expect(boxes).to_have_count(0)
    assert await page.evaluate("window.hacked") is None
