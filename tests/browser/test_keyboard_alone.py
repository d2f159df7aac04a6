"""A whole call without a mouse, from the log-in to the end of the wrap-up; and many calls while somebody types."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import BrowserContext, Locator, Page, expect
from sqlalchemy import select
from sqlalchemy.orm import Session

from centralino.rig.desk_server import PASSWORD, DeskServer
from ivr.models import Agent, Presence
from tickets.models import Request

pytestmark = pytest.mark.contract

OpenPage = Callable[[str], Awaitable[Page]]

MOST_TABS = 60
FOCUS_IS_SEEN = """() => {
    const one = document.activeElement, box = one.getBoundingClientRect(), style = getComputedStyle(one);
    const inSight = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
    const ring = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
    if (one === document.body) return true; // the browser's own buttons come next
    return inSight && one.matches(":focus-visible") && (ring || one.matches("input, select, textarea, main"));
}"""


async def tab_to(page: Page, wanted: Locator, key: str = "Tab") -> None:
    """Press Tab until something has the focus, as somebody does who sees where it is."""
    for _ in range(MOST_TABS):
        if await wanted.evaluate("one => one === document.activeElement"):
            return
        await page.keyboard.press(key)
        assert await page.evaluate(FOCUS_IS_SEEN), await page.evaluate("document.activeElement.outerHTML.slice(0, 200)")
    raise AssertionError(f"{wanted} is not reached with {key}")


def _only_request(session: Session) -> Request:
    return session.scalars(select(Request)).one()


async def test_a_whole_call_with_the_keyboard_alone(served: DeskServer, context: BrowserContext) -> None:
    giulia = await served.agent("giulia", "Giulia Ferrante")
    teresa = await served.contact("Teresa Lorusso", company="ASL Bari", email="t.lorusso@asl.example.org")
    page = await context.new_page()
    keys = page.keyboard
    await page.goto(served.url)
    await expect(page.get_by_label("Nome utente")).to_be_focused()
    await keys.type("giulia")
    await keys.press("Tab")
    await keys.type(PASSWORD)
    await keys.press("Enter")

    on_duty = page.get_by_role("button", name="Entra in servizio")
    await expect(on_duty).to_be_visible()
    await keys.press("Tab")
    await expect(page.get_by_role("link", name="Vai al contenuto")).to_be_focused()
    await tab_to(page, on_duty)
    await keys.press("Enter")
    await expect(page.locator(".presence-word")).to_have_text("Libero")

    call_id = await served.waiting_call()
    offer = await served.ring(call_id, giulia)
    panel = page.get_by_role("region", name="Chiamata", exact=True)
    await expect(panel.get_by_role("heading", name="Teresa Lorusso")).to_be_visible()
    await served.answer(offer)
    await expect(panel.get_by_text("In conversazione")).to_be_visible()
    await keys.press("Alt+KeyC")
    form = panel.get_by_role("form", name="Nuova richiesta")
    await expect(page.locator("#call-panel :focus")).to_have_count(1)
    await tab_to(page, form.get_by_label("Domanda"))
    await keys.press("Space")
    await tab_to(page, form.get_by_label("Area"))
    await keys.type("Cred")
    await tab_to(page, form.get_by_label("Oggetto"))
    await keys.type("Password scaduta")
    await tab_to(page, form.get_by_label("Descrizione"))
    await keys.type("dalle otto")
    await tab_to(page, form.get_by_label("Risolta subito"))
    await keys.press("Space")
    await expect(form.get_by_label("Soluzione")).to_be_focused()
    await keys.type("Reimpostata")
    await tab_to(page, panel.get_by_role("button", name="Registra e chiudi"))
    await keys.press("Enter")
    await expect(panel.get_by_text("Comunica il numero di ticket")).to_be_visible()

    await expect(panel.locator(".registered")).to_be_focused()
    hold = panel.get_by_role("button", name="Attesa", exact=True)
    await tab_to(page, hold)
    async with page.expect_response("**/hold"):
        await keys.press("Enter")
    transfer = panel.get_by_role("button", name="Trasferisci")
    await tab_to(page, transfer)
    await keys.press("Enter")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await keys.press("Escape")
    await expect(page.get_by_role("dialog")).to_be_hidden()
    await expect(transfer).to_be_focused()  # where it was opened
    await tab_to(page, panel.get_by_role("button", name="Riaggancia"))
    async with page.expect_response("**/hang-up"):
        await keys.press("Enter")
    assert [name for name, _, _ in served.control.commands] == ["hold", "hang_up"]
    await served.hang_up(call_id)
    await expect(panel).to_be_hidden()

    done = page.get_by_role("button", name="Ho finito")
    await tab_to(page, done)
    await keys.press("Enter")
    await expect(page.locator(".presence-word")).to_have_text("Libero")
    request = await served.database.read(_only_request)
    assert (request.subject, request.solution, request.contact_id) == ("Password scaduta", "Reimpostata", teresa)
    agent = await served.database.read(Session.get_one, Agent, giulia)
    assert agent.presence is Presence.FREE


async def test_twenty_calls_at_once_are_all_there_and_the_one_in_front_stays(
    served: DeskServer, context: BrowserContext
) -> None:
    giulia = await served.agent("giulia", presence=Presence.FREE)
    page = await context.new_page()
    await page.goto(served.url)
    await expect(page.get_by_label("Nome utente")).to_be_focused()
    await page.keyboard.type("giulia")
    await page.keyboard.press("Tab")
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.locator(".presence-word")).to_have_text("Libero")
    first = await served.waiting_call("+393330000000")
    await served.answer(await served.ring(first, giulia))
    subject = page.get_by_role("form", name="Nuova richiesta").get_by_label("Oggetto")
    await expect(subject).to_be_visible()
    await page.keyboard.press("Alt+KeyC")
    await subject.focus()
    calls = [await served.waiting_call(f"+3933300000{number:02d}") for number in range(1, 21)]
    typing = asyncio.create_task(page.keyboard.type("Stampante ferma al pronto soccorso", delay=20))
    await asyncio.gather(*(served.ring(call_id, giulia) for call_id in calls))
    await expect(page.locator(".call-tab")).to_have_count(21)
    await typing
    await expect(subject).to_be_focused()
    await expect(subject).to_have_value("Stampante ferma al pronto soccorso")
    await expect(page.locator(".call-panel .caller")).to_have_text("+39 333 000 0000")


async def test_the_keyboard_stays_where_the_work_is_when_what_was_pressed_has_gone(
    served: DeskServer, log_in: OpenPage
) -> None:
    await served.agent("giulia", presence=Presence.FREE)
    message = await served.message("m1", "buongiorno non si stampa")
    page = await log_in("giulia")
    await page.goto(f"{served.url}/#/messages/m1")
    await page.get_by_role("button", name="Prendi in carico").press("Enter")
    await expect(page.locator("#message-title")).to_be_focused()
    await page.goto(f"{served.url}/#/requests/{message.request_id}")
    note = page.get_by_role("textbox", name="Nota")
    await note.fill("Richiamare domani")
    await page.get_by_role("button", name="Aggiungi", exact=True).press("Enter")
    await expect(note).to_have_value("")
    await expect(note).to_be_focused()
    await page.get_by_role("button", name="Richiama").press("Enter")
    await page.get_by_role("button", name="Lascia stare").press("Enter")
    await expect(page.get_by_role("button", name="Richiama")).to_be_focused()
    await page.get_by_role("button", name="Cambia stato").press("Enter")
    await page.get_by_role("button", name="Pausa: riposo").press("Enter")
    await expect(page.get_by_role("button", name="Cambia stato")).to_be_focused()
    await page.get_by_role("button", name="Torna libero").press("Enter")
    await expect(page.locator("#main")).to_be_focused()
