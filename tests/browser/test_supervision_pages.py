"""The pages of supervisors as a person uses them."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.async_api import BrowserContext, Page, expect

from centralino.rig.desk_server import HOSTILE, PASSWORD, DeskServer
from ivr.models import Presence
from schedules.hours import is_open

pytestmark = pytest.mark.contract

OpenPage = Callable[[str], Awaitable[Page]]

BEYOND_THE_WINDOW = """() => [document.scrollingElement, ...document.querySelectorAll("main *")]
    .filter((one) => one.getBoundingClientRect().right > innerWidth + 0.5 && !one.closest(".table-scroll"))
    .map((one) => one.outerHTML.slice(0, 120))"""


async def supervising(served: DeskServer, log_in: OpenPage, where: str) -> Page:
    await served.supervisor("sara")
    page = await log_in("sara")
    await page.goto(f"{served.url}/#/{where}")
    return page


async def test_agents_have_no_pages_of_supervisors(served: DeskServer, log_in: OpenPage) -> None:
    await served.agent("giulia")
    page = await log_in("giulia")
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url))
    for where in ("board", "history", "admin/people"):
        await page.goto(f"{served.url}/#/{where}")
        await expect(page.get_by_role("heading", name="Messaggi")).to_be_visible()
    await expect(page.get_by_role("link", name="Quadro")).to_have_count(0)
    assert [url for url in loaded if "supervision" in url or "/api/board" in url] == []


async def test_the_wallboard_shows_the_line_and_steers_it(served: DeskServer, log_in: OpenPage) -> None:
    giulia = await served.agent("giulia", f"Giulia {HOSTILE}"[:100], presence=Presence.FREE)
    page = await supervising(served, log_in, "board")
    tiles = page.locator(".tile")
    await expect(tiles).to_have_count(8)
    await expect(tiles.nth(0)).to_contain_text("Nessuno in coda.")
    await expect(tiles.nth(1)).to_contain_text("risposte entro 20 s / (risposte + abbandonate in attesa) = 0 / 0")
    call_id = await served.waiting_call("+390805551234", waited=75)
    await expect(tiles.nth(0).locator("dd").first).to_have_text("1")
    row = page.locator(".board-rows li", has_text="080 555 1234")
    await row.get_by_role("button", name="Sposta").click()
    await page.get_by_role("button", name="Coda: specialists").click()
    await expect(page.get_by_text("Chiamata spostata.")).to_be_visible()
    assert served.control.commands == [("move", call_id, "queue:specialists")]

    agent = page.locator(".board-rows li", has_text="Giulia")
    await expect(agent).to_contain_text("Libero")
    await agent.get_by_role("button", name="Cambia stato").focus()
    await page.keyboard.press("Enter")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    await expect(agent).to_contain_text("In pausa")
    await expect(agent).to_contain_text("da sara")
    assert giulia
    await page.get_by_role("button", name="Ferma").click()
    await expect(page.get_by_text("Fermo: i valori non si aggiornano.")).to_be_visible()
    await served.waiting_call("+390805559999")
    await page.get_by_role("button", name="Riprendi").click()
    await expect(tiles.nth(0).locator("dd").first).to_have_text("2")
    await page.get_by_role("button", name="Schermo intero").click()
    await expect(page.locator(".board:fullscreen")).to_have_count(1)
    await expect(agent.get_by_role("button", name="Cambia stato")).to_be_hidden()
    await page.evaluate("document.exitFullscreen()")


async def test_an_agent_is_told_who_changed_the_state(served: DeskServer, log_in: OpenPage) -> None:
    giulia = await served.agent("giulia", presence=Presence.FREE)
    await served.supervisor("sara")
    page = await log_in("giulia")
    async with served.browser("sara") as sara:
        await sara.post(f"/steering/agents/{giulia}/presence", json={"presence": "paused", "reason": "meeting"})
    await expect(page.get_by_role("alert").filter(has_text="sara ti ha messo in pausa: riunione")).to_be_visible()
    await page.get_by_role("button", name="Torna libero").click()
    await expect(page.get_by_text("ti ha messo in pausa")).to_have_count(0)


async def test_the_line_is_closed_at_once_and_opened_again(
    served: DeskServer, log_in: OpenPage, context: BrowserContext
) -> None:
    await served.agent("giulia")
    assert context.browser is not None
    elsewhere = await context.browser.new_context(locale="it-IT")
    colleague = await elsewhere.new_page()
    await colleague.goto(served.url)
    await colleague.get_by_label("Nome utente").fill("giulia")
    await colleague.get_by_label("Password").fill(PASSWORD)
    await colleague.keyboard.press("Enter")
    await colleague.get_by_role("heading", name="Messaggi").wait_for()
    page = await supervising(served, log_in, "board")
    await page.get_by_role("button", name="Chiudi la linea").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("button", name="Chiudi", exact=True).last.click()
    await expect(dialog.get_by_text("Da compilare.")).to_be_visible()
    await dialog.get_by_label("Motivo").fill(f"Evacuazione {HOSTILE}")
    await dialog.get_by_label("Messaggio per chi chiama").select_option("technical-problem")
    await dialog.locator(".dialog-foot button").last.click()
    await expect(dialog).to_have_count(0)
    for seen in (page, colleague):
        await expect(seen.locator(".banner", has_text="Linea chiusa:")).to_contain_text("Evacuazione")
    assert not is_open(served.calls.calendars["desk"], served.now())
    await page.get_by_role("button", name="Riapri").click()
    for seen in (page, colleague):
        await expect(seen.get_by_text("Linea chiusa:")).to_have_count(0)
    assert is_open(served.calls.calendars["desk"], served.now())
    assert await page.evaluate("window.hacked") is None
    await elsewhere.close()


async def test_history_has_bars_a_table_and_a_file(served: DeskServer, log_in: OpenPage) -> None:
    page = await supervising(served, log_in, "history")
    await expect(page.get_by_text("Nulla in questo periodo")).to_be_visible()
    await served.waiting_call()
    await page.get_by_role("combobox").select_option("hour")
    await expect(page.get_by_text("7 giorni per ora").or_(page.locator(".chart")).first).to_be_visible()
    await expect(page.locator(".chart svg")).to_have_count(5)
    await page.get_by_text("Tabella", exact=True).click()
    await expect(page.get_by_role("row").last).to_contain_text("In tutto")
    async with page.expect_download() as download:
        await page.get_by_role("link", name="Scarica CSV").click()
    assert (await download.value).suggested_filename.startswith("history-")
    await page.get_by_label("Dal").fill("2020-01-01")
    await page.keyboard.press("Tab")
    await expect(page.get_by_text("Al massimo 92 giorni")).to_be_visible()


async def test_a_person_is_added_edited_and_removed_with_the_keyboard(served: DeskServer, log_in: OpenPage) -> None:
    page = await supervising(served, log_in, "admin/people")
    await page.get_by_role("button", name="Nuova persona").focus()
    await page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_label("Nome utente")).to_be_focused()
    await page.keyboard.type("Marco Neri")
    await page.keyboard.press("Tab")
    await page.keyboard.type(f"Marco {HOSTILE}"[:100])
    await dialog.get_by_label("Telefono", exact=True).fill("PJSIP/201")
    await dialog.get_by_label("Password").fill(PASSWORD)
    await dialog.get_by_role("button", name="Salva").click()
    await expect(dialog.get_by_role("alert")).to_contain_text("Lettere minuscole")
    await dialog.get_by_label("Nome utente").fill("marco")
    await dialog.get_by_role("button", name="Salva").click()
    await expect(dialog).to_have_count(0)
    row = page.get_by_role("row", name="marco")
    await expect(row).to_contain_text("PJSIP/201")
    await row.get_by_role("button", name="Modifica").click()
    await dialog.get_by_label("specialists").check()
    await dialog.get_by_role("button", name="Salva").click()
    await expect(row).to_contain_text("desk, specialists")
    await row.get_by_role("button", name="Modifica").click()
    await dialog.get_by_role("button", name="Togli l'accesso").click()
    await dialog.get_by_role("button", name="Togli l'accesso").click()
    await expect(row).to_have_count(0)
    await page.goto(f"{served.url}/#/admin/audit")
    await expect(page.get_by_role("row")).to_have_count(4)
    await page.get_by_label("Che cosa").select_option("agent_edited")
    await expect(page.get_by_role("row")).to_have_count(2)
    await expect(page.get_by_role("row").last).to_contain_text("Code: desk → desk, specialists")
    assert await page.evaluate("window.hacked") is None


async def test_a_table_is_looked_at_and_then_imported(served: DeskServer, log_in: OpenPage, tmp_path: Path) -> None:
    page = await supervising(served, log_in, "admin/contacts")
    wrong, right = tmp_path / "wrong.csv", tmp_path / "right.csv"
    wrong.write_text("user_code;name\nu1;\n", encoding="utf-8")
    right.write_text(f'user_code;name\nu1;"Anna {HOSTILE.replace(chr(34), chr(34) * 2)}"\n', encoding="utf-8")
    await page.get_by_text("Importa da CSV").click()
    await page.get_by_label("File CSV").set_input_files(wrong)
    await expect(page.get_by_text("riga 2:")).to_be_visible()
    await expect(page.get_by_role("button", name="Importa", exact=True)).to_have_count(0)
    await page.get_by_label("File CSV").set_input_files(right)
    await expect(page.get_by_text("Anteprima:")).to_be_visible()
    await page.get_by_role("button", name="Importa", exact=True).click()
    await expect(page.get_by_text("Importato:")).to_be_visible()
    await page.get_by_placeholder("Cerca").fill("Anna")
    await expect(page.get_by_role("row")).to_have_count(2)
    assert await page.evaluate("window.hacked") is None


async def test_hours_are_edited_and_given_back_to_the_file(served: DeskServer, log_in: OpenPage) -> None:
    page = await supervising(served, log_in, "admin/site")
    part = page.locator("details", has_text="desk").first
    await part.locator("summary").click()
    await part.get_by_label("Lunedì").fill("13:00-08:00")
    await part.get_by_role("button", name="Salva").click()
    await expect(part.get_by_role("alert")).to_contain_text("weekly")
    await part.get_by_label("Lunedì").fill("08:30-13:00, 14:00-18:00")
    await part.get_by_role("button", name="Salva").click()
    await expect(page.get_by_text("modificato da sara").first).to_be_visible()
    assert list(served.calls.calendars["desk"].weekly["monday"]) == ["08:30-13:00", "14:00-18:00"]
    await page.locator("details", has_text="desk").first.locator("summary").click()
    await page.get_by_role("button", name="Torna al file delle impostazioni").click()
    await expect(page.get_by_text("modificato da")).to_have_count(0)
    assert list(served.calls.calendars["desk"].weekly["monday"]) == ["00:00-24:00"]


async def test_a_queue_and_a_line_are_added_and_what_is_used_is_not_removed(
    served: DeskServer, log_in: OpenPage
) -> None:
    page = await supervising(served, log_in, "admin/site")
    keys = page.keyboard
    await page.get_by_role("button", name="Nuova coda").focus()
    await keys.press("Enter")
    new = page.get_by_role("region", name="Nuova coda")
    await expect(new.get_by_label("Nome", exact=True)).to_be_focused()
    await new.get_by_role("button", name="Aggiungi").click()
    await expect(new.get_by_role("alert")).to_have_text("Da compilare.")
    await new.get_by_label("Nome", exact=True).fill("a/b")
    await keys.press("Tab")
    await keys.type("15")
    await new.get_by_role("button", name="Aggiungi").click()
    await expect(new.get_by_role("alert")).to_contain_text("Lettere e cifre")
    await new.get_by_label("Nome", exact=True).fill("CUP")
    await new.get_by_role("button", name="Aggiungi").click()
    await expect(new).to_have_count(0)
    queue = page.locator("details", has=page.locator("summary", has_text="CUP"))
    await expect(queue).to_contain_text("aggiunto da sara")
    assert "CUP" in served.calls.queues

    await page.get_by_role("button", name="Nuova linea").click()
    line = page.get_by_role("region", name="Nuova linea")
    await expect(line).to_contain_text("quando il gestore manda qui le chiamate")
    await line.get_by_label("Numero chiamato").fill("0805559999")
    await line.get_by_label("Nome", exact=True).fill(f"Sportello {HOSTILE}")
    await line.get_by_label("Coda").select_option("CUP")
    await line.get_by_role("button", name="Aggiungi", exact=True).click()
    await expect(page.get_by_text("Linea aggiunta")).to_be_visible()
    assert served.calls.line("0805559999") is not None

    await queue.locator("summary").click()
    for _ in range(2):
        await queue.get_by_role("button", name="Togli la coda").click()
    await expect(queue.get_by_role("alert")).to_contain_text("Non si può togliere, si usa ancora: linea")
    added = page.locator("details", has=page.locator("summary", has_text="0805559999"))
    await added.locator("summary").click()
    for _ in range(2):
        await added.get_by_role("button", name="Togli la linea").click()
    await expect(added).to_have_count(0)
    await queue.get_by_role("button", name="Togli la coda").click()
    await expect(queue).to_have_count(0)
    assert (served.calls.line("0805559999"), "CUP" in served.calls.queues) == (None, False)
    assert await page.evaluate("window.hacked") is None


async def test_who_saves_second_is_told_and_sees_how_it_is_now(served: DeskServer, log_in: OpenPage) -> None:
    await served.supervisor("paola")
    page = await supervising(served, log_in, "admin/site")
    part = page.locator("details", has_text="specialists").first
    await part.locator("summary").click()
    async with served.browser("paola") as paola:
        await paola.put("/admin/site/queue/specialists", json={"definition": {"ring_seconds": 7}})
    await part.get_by_label("Squillo (s)").fill("9")
    await part.get_by_role("button", name="Salva").click()
    await expect(part.get_by_role("alert")).to_contain_text("modificata nel frattempo")
    assert served.calls.queues["specialists"].ring_seconds == 7
    await part.get_by_role("button", name="Guarda com'è ora").click()
    await expect(part).to_contain_text("modificato da paola")
    await part.locator("summary").click()
    await expect(part.get_by_label("Squillo (s)")).to_have_value("7")
    await part.get_by_label("Squillo (s)").fill("9")
    await part.get_by_role("button", name="Salva").click()
    await expect(part).to_contain_text("modificato da sara")
    assert served.calls.queues["specialists"].ring_seconds == 9


@pytest.mark.parametrize("where", ["board", "history", "admin/people", "admin/areas", "admin/site", "admin/audit"])
async def test_nothing_leaves_a_narrow_window(served: DeskServer, log_in: OpenPage, where: str) -> None:
    await served.agent("giulia", "Giulia " + "x" * 60)
    await served.waiting_call(waited=timedelta(hours=2).total_seconds())
    page = await supervising(served, log_in, where)
    await page.set_viewport_size({"width": 390, "height": 844})
    await expect(page.locator("main h2").first).to_be_visible()
    await expect(page.locator(".loading")).to_have_count(0)
    assert await page.evaluate(BEYOND_THE_WINDOW) == []
