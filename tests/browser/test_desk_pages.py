"""The desk as a person uses it."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from playwright.async_api import BrowserContext, Page, expect
from sqlalchemy import select
from sqlalchemy.orm import Session

from centralino.rig.desk_server import HOSTILE, PASSWORD, DeskServer
from ivr.models import Agent, OfferResult, Presence
from ivr.operations import end_offer
from tickets.models import Request
from tickets.operations import close_request
from voicemail.models import Message, TranscriptState

pytestmark = pytest.mark.contract

OpenPage = Callable[[str], Awaitable[Page]]

BEYOND_THE_WINDOW = """() => [document.scrollingElement, ...document.querySelectorAll(".frame *")]
    .filter((one) => one.getBoundingClientRect().right > innerWidth + 0.5 || one.getBoundingClientRect().left < 0)
    .map((one) => one.outerHTML.slice(0, 120))"""


async def top(page: Page, selector: str) -> float:
    box = await page.locator(selector).bounding_box()
    assert box is not None
    return box["y"]


async def test_a_call_is_answered_and_solved_on_the_spot(served: DeskServer, log_in: OpenPage) -> None:
    giulia = await served.agent("giulia", "Giulia Ferrante")
    contact = await served.contact("Teresa Lorusso", company="ASL Bari", email="t.lorusso@asl.example.org")
    await served.request("Referto bloccato", contact_id=contact, actor="marco")
    page = await log_in("giulia")
    await page.get_by_role("button", name="Entra in servizio").click()
    await expect(page.locator(".presence-word")).to_have_text("Libero")

    call_id = await served.waiting_call(choice="credentials")
    offer = await served.ring(call_id, giulia)
    panel = page.get_by_role("region", name="Chiamata")
    await expect(panel.get_by_role("heading", name="Teresa Lorusso")).to_be_visible()
    await expect(panel.get_by_text("Riconosciuto")).to_be_visible()
    await expect(panel.get_by_text("Referto bloccato")).to_be_visible()
    await expect(page).to_have_title("☎ Teresa Lorusso")
    await expect(page.locator("#announce")).to_contain_text("Chiamata in arrivo: Teresa Lorusso, ASL Bari")
    await served.answer(offer)
    await expect(panel.get_by_text("In conversazione")).to_be_visible()

    form = panel.get_by_role("form", name="Nuova richiesta")
    await expect(form.get_by_label("Area")).to_have_value("credentials")
    await expect(form.get_by_label("E-mail")).to_have_value("t.lorusso@asl.example.org")
    await panel.get_by_role("button", name="Registra").click()
    await expect(form.get_by_text("Da compilare.").first).to_be_visible()
    await form.get_by_text("Problema", exact=True).click()
    await form.get_by_label("Oggetto").fill("Password scaduta")
    await expect(form.get_by_label("Alcuni")).to_be_checked()
    await form.get_by_text("Molti", exact=True).click()
    await form.get_by_text("Subito", exact=True).click()
    await expect(form.get_by_text("Priorità 1: critica")).to_be_attached()
    await form.get_by_text("Risolta subito").click()
    await expect(form.get_by_label("Soluzione")).to_be_focused()
    await page.keyboard.type("Reimpostata")
    await panel.get_by_role("button", name="Registra e chiudi").click()
    await expect(panel.get_by_text("Comunica il numero di ticket")).to_be_visible()
    ticket = await panel.locator(".big-ticket").inner_text()

    def priorities(session: Session) -> list[int]:
        found = session.scalars(select(Request).where(Request.subject == "Password scaduta"))
        return [request.priority for request in found]

    assert await served.database.read(priorities) == [1]

    async with page.expect_response("**/hang-up"):
        await panel.get_by_role("button", name="Riaggancia").click()
    assert ("hang_up", call_id, "") in served.control.commands
    await served.hang_up(call_id)
    await expect(page.locator(".call-panel")).to_be_hidden()
    outcome = page.get_by_role("region", name="Com'è andata la chiamata?")
    await page.keyboard.press("Alt+KeyE")
    await expect(outcome.get_by_role("button").first).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(outcome.get_by_role("button", name="Risolto al telefono")).to_have_attribute("aria-pressed", "true")
    for _ in range(2):
        async with page.expect_response("**/extend-wrap-up"):
            await page.get_by_role("button", name="Più tempo").click()
    await expect(page.get_by_role("button", name="Più tempo")).to_be_hidden()
    await page.get_by_role("button", name="Ho finito").click()
    await expect(outcome).to_be_hidden()
    await expect(page.locator(".presence-word")).to_have_text("Libero")
    assert len("".join(c for c in ticket if c.isdigit())) == 7


async def test_calls_that_nobody_served_are_taken_and_done_several_at_once_with_the_keyboard(
    served: DeskServer, log_in: OpenPage
) -> None:
    await served.agent("giulia", "Giulia Ferrante")
    await served.agent("marco", "Marco Neri")
    await served.contact("Teresa Lorusso", company="ASL Bari")
    first, second = await served.missed_call(), await served.missed_call("+393331112222")
    page = await log_in("giulia")
    keys = page.keyboard
    await expect(page.get_by_role("link", name="Chiamate")).to_contain_text("2")
    await keys.press("Alt+Digit3")
    await expect(page.get_by_role("heading", name="Chiamate")).to_be_visible()
    rows = page.locator(".ticking")
    await expect(rows).to_have_count(2)
    third = await served.missed_call(HOSTILE[:60])
    await expect(rows).to_have_count(3)
    async with served.browser("marco") as his:
        await his.post("/calls/take", json={"ids": [third]})
    await expect(rows.filter(has_text="Marco Neri")).to_have_count(1)
    every = page.get_by_label("Tutte quelle della pagina")
    await every.focus()
    await keys.press("Space")
    await expect(page.get_by_text("3 scelte")).to_be_visible()
    await keys.press("Tab")
    await expect(page.get_by_role("button", name="Me ne occupo io")).to_be_focused()
    await keys.press("Enter")
    await expect(page.get_by_text("2 chiamate sono tue. Una no: è di un collega")).to_be_visible()
    await expect(rows.filter(has_text="tua")).to_have_count(2)
    await expect(every).to_be_focused()
    await page.get_by_label("Scegli la chiamata di +39 333 111 2222").check()
    await page.get_by_role("button", name="Fatto").click()
    await keys.press("ArrowDown")
    await expect(page.get_by_role("button", name="richiamato", exact=True)).to_be_focused()
    await keys.press("Enter")
    await expect(rows).to_have_count(2)
    await expect(page.get_by_role("link", name="Chiamate")).to_contain_text("2")
    await page.goto(f"{served.url}/#/calls/{second}")
    await expect(page.get_by_role("definition").filter(has_text="Giulia Ferrante,")).to_be_visible()
    await page.goto(f"{served.url}/#/calls/{first}")
    await expect(page.get_by_role("button", name="Richiama")).to_be_visible()
    await page.get_by_role("group", name="Cosa si può fare").get_by_role("button", name="Lascia").click()
    await expect(page.locator(".held")).to_contain_text("in carico a nessuno")
    assert await page.evaluate("window.hacked") is None


async def test_every_call_is_found_with_its_outcome_and_that_can_be_put_right(
    served: DeskServer, log_in: OpenPage
) -> None:
    giulia = await served.agent("giulia")
    call_id = await served.waiting_call()
    await served.answer(await served.ring(call_id, giulia, pop=False))
    await served.hang_up(call_id)
    async with served.browser("giulia") as hers:
        await hers.post(f"/calls/{call_id}/dismiss", json={"reason": "no_request"})
    page = await log_in("giulia")
    await page.goto(f"{served.url}/#/calls")
    await expect(page.get_by_text("finché qualcuno se ne occupa")).to_be_visible()
    await page.get_by_label("Quali chiamate").select_option("mine")
    await page.locator(".row").filter(has_text="risposta").click()
    await expect(page.locator(".detail")).to_contain_text("ha risposto")
    await page.get_by_role("button", name="Indica l'esito").click()
    await page.locator(".detail").get_by_role("button", name="Informazione data").click()
    await expect(page.locator(".detail .badge").filter(has_text="Informazione data")).to_be_visible()
    await page.get_by_label("Giorno").fill("2001-01-01")
    await expect(page.get_by_text("Nessuna chiamata di questo elenco.")).to_be_visible()
    await page.get_by_role("button", name="Giulia").click()
    await page.get_by_role("button", name="English").click()
    await expect(page.get_by_role("heading", name="Calls", exact=True)).to_be_visible()


async def test_a_pop_does_not_take_the_focus_from_what_is_being_typed(served: DeskServer, log_in: OpenPage) -> None:
    giulia = await served.agent("giulia")
    message = await served.message("m1", "buongiorno vorrei informazioni")
    page = await log_in("giulia")
    await page.goto(f"{served.url}/#/requests/{message.request_id}")
    note = page.get_by_label("Nota")
    await note.click()
    await page.keyboard.type("prima ")
    await served.ring(await served.waiting_call(), giulia)
    await expect(page.get_by_role("region", name="Chiamata")).to_be_visible()
    await expect(note).to_be_focused()
    await page.keyboard.type("e dopo")
    await expect(note).to_have_value("prima e dopo")
    await page.keyboard.press("Alt+KeyC")
    await expect(page.locator("#call-panel :focus")).to_have_count(1)


async def test_a_second_call_stacks_and_what_was_typed_survives_even_a_reload(
    served: DeskServer, log_in: OpenPage
) -> None:
    giulia = await served.agent("giulia")
    page = await log_in("giulia")
    first = await served.waiting_call("+393331112222")
    await served.answer(await served.ring(first, giulia))
    subject = page.get_by_role("form", name="Nuova richiesta").get_by_label("Oggetto")
    await subject.fill("Stampante")
    await expect(page.get_by_text("bozza salvata")).to_be_visible()
    second = await served.waiting_call("+393333334444")
    await served.ring(second, giulia)
    tab = page.get_by_role("button", name="+39 333 333 4444")
    await expect(tab).to_be_visible()
    await expect(subject).to_have_value("Stampante")
    await tab.click()
    await expect(subject).to_have_value("")
    await page.reload()
    await page.get_by_role("button", name="+39 333 111 2222").click()
    await expect(subject).to_have_value("Stampante")


CLICK_WHEN_IT_APPEARS = """
name => new MutationObserver((_, observer) => {
    const tab = [...document.querySelectorAll(".call-tab")].find((button) => button.textContent.includes(name));
    if (tab) { observer.disconnect(); tab.click(); }
}).observe(document.body, { childList: true, subtree: true })
"""


async def test_a_call_chosen_the_very_moment_it_appears_is_the_one_in_front(
    served: DeskServer, log_in: OpenPage
) -> None:
    giulia = await served.agent("giulia")
    page = await log_in("giulia")
    await served.answer(await served.ring(await served.waiting_call("+393331112222"), giulia))
    await expect(page.get_by_role("region", name="Chiamata")).to_be_visible()
    await page.evaluate(CLICK_WHEN_IT_APPEARS, "+39 333 333 4444")
    await served.ring(await served.waiting_call("+393333334444"), giulia)
    await expect(page.locator(".call-panel .caller")).to_have_text("+39 333 333 4444")
    await expect(page.get_by_role("button", name="+39 333 333 4444")).to_have_attribute("aria-pressed", "true")


async def test_a_message_is_heard_read_and_closed(served: DeskServer, log_in: OpenPage) -> None:
    await served.agent("giulia")
    teresa = await served.contact("Teresa Lorusso")
    await served.message(
        "m1", "buongiorno non riesco a entrare grazie", contact_id=teresa, due=timedelta(minutes=-5), seconds=6
    )
    await served.message("m2", caller=None)
    await served.message("m3", speech=0.1)
    page = await log_in("giulia")
    rows = page.locator(".master .row")
    await expect(rows.nth(0)).to_contain_text("Teresa Lorusso")
    await expect(rows.nth(0)).to_contain_text("scaduto da 5 min")
    await expect(rows.nth(1)).to_contain_text("Numero riservato")
    await expect(rows.nth(1)).to_contain_text("Trascrizione in attesa")
    await page.get_by_text("Senza parole").click()
    await page.get_by_role("button", name="Segna tutti come ascoltati").click()
    await expect(page.get_by_text("Senza parole")).to_be_hidden()

    await rows.nth(0).click()
    doubtful = page.get_by_role("button", name="riesco (incerta)")
    await expect(doubtful).to_have_class("word doubtful ")
    await doubtful.click()
    audio = page.locator("audio")
    await page.wait_for_function("() => document.querySelector('audio').currentTime > 2.05")
    assert 2.0 < await audio.evaluate("a => a.currentTime") < 6
    await page.get_by_role("button", name="Ferma").click()
    seek = page.get_by_label("Punto del messaggio")
    await seek.evaluate("s => { s.value = 4.5; s.dispatchEvent(new Event('input', {bubbles: true})); }")
    await page.wait_for_function("() => !document.querySelector('audio').seeking")
    assert abs(await audio.evaluate("a => a.currentTime") - 4.5) < 0.05
    await expect(page.locator(".word.now")).to_have_count(1)
    await expect(page.get_by_text("non ancora ascoltato")).to_be_hidden()

    await page.get_by_role("button", name="Prendi in carico").click()
    await page.get_by_label("Soluzione").fill("Richiamata e risolto")
    await page.get_by_role("button", name="Chiudi la richiesta").click()
    await expect(page.locator(".master .row")).to_have_count(1)


async def test_a_closed_request_is_found_by_the_number_a_user_quotes(served: DeskServer, log_in: OpenPage) -> None:
    await served.agent("giulia", "Giulia Ferrante")
    request = await served.request("Stampante ferma", actor="giulia")
    closed = await served.database.run(
        close_request, request.id, served.notices, solution="Riavviata", actor="giulia", now=served.now()
    )
    page = await log_in("giulia")
    await page.goto(f"{served.url}/#/requests")
    number = page.get_by_role("searchbox", name="Cerca nelle richieste")
    await number.fill("9999999")
    await number.press("Enter")
    await expect(page.get_by_text("Nessuna richiesta ha questo numero: controlla le cifre.")).to_be_visible()
    ticket = closed.ticket or ""
    await number.fill(f"{ticket[:3]} {ticket[3:]}")
    await number.press("Enter")
    await expect(page.get_by_role("heading", name="Stampante ferma")).to_be_visible()
    await expect(page.get_by_text("Riavviata").first).to_be_visible()
    await expect(page.get_by_role("definition").filter(has_text="Giulia Ferrante")).to_be_visible()


async def test_the_language_chosen_at_the_log_in_is_kept(served: DeskServer, context: BrowserContext) -> None:
    await served.agent("giulia")
    page = await context.new_page()
    await page.goto(served.url)
    await page.get_by_role("button", name="English").click()
    await page.get_by_label("User name").fill("Giulia")
    await page.get_by_label("Password").fill("non questa qui")
    await page.get_by_role("button", name="Log in").click()
    await expect(page.get_by_text("User name or password is not right.")).to_be_visible()
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Log in").click()
    await expect(page.get_by_role("button", name="Go on duty")).to_be_visible()
    await page.reload()
    await expect(page.get_by_role("button", name="Go on duty")).to_be_visible()


async def test_a_transcript_that_was_given_up_is_asked_for_again(served: DeskServer, log_in: OpenPage) -> None:
    await served.agent("giulia")
    await served.message("m1")

    def give_up(session: Session) -> None:
        message = session.get_one(Message, "m1")
        message.transcript_state, message.transcript_error = TranscriptState.FAILED, "recogniser died"

    await served.database.run(give_up)
    page = await log_in("giulia")
    await page.goto(f"{served.url}/#/messages/m1")
    state = page.locator(".transcript-state")
    await expect(state).to_have_text("Trascrizione non riuscita: fa fede l'audio (recogniser died)")
    await page.get_by_role("button", name="Trascrivi di nuovo").click()
    await expect(state).to_have_text("Trascrizione in attesa")
    await expect(page.get_by_role("button", name="Trascrivi di nuovo")).to_be_hidden()
    await expect(page.locator(".toast")).to_have_count(0)


async def test_a_missed_call_pauses_says_why_and_one_click_comes_back(served: DeskServer, log_in: OpenPage) -> None:
    giulia = await served.agent("giulia", presence=Presence.FREE)
    page = await log_in("giulia")
    call_id = await served.waiting_call()
    offer = await served.ring(call_id, giulia)
    await expect(page.locator(".call-panel")).to_be_visible()
    await served.database.run(end_offer, offer, OfferResult.MISSED, misses_before_pause=1, now=served.now())
    await expect(page.locator(".call-panel")).to_be_hidden()
    banner = page.get_by_role("alert").filter(has_text="chiamata non risposta")
    await expect(banner).to_be_visible()
    await banner.get_by_role("button", name="Torna libero").click()
    await expect(banner).to_be_hidden()
    assert (await served.database.read(Session.get_one, Agent, giulia)).presence is Presence.FREE


async def test_who_calls_is_said_with_the_keyboard_alone(served: DeskServer, log_in: OpenPage) -> None:
    giulia = await served.agent("giulia")
    await served.contact("Vito Amoruso", phone="+390801112222", company="Policlinico di Bari")
    page = await log_in("giulia")
    await served.answer(await served.ring(await served.waiting_call("+393331234567"), giulia))
    await expect(page.get_by_text("Sconosciuto")).to_be_visible()
    await page.get_by_role("button", name="Indica chi chiama").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("searchbox")).to_be_focused()
    await page.keyboard.type("amor")
    choose = page.get_by_role("dialog").get_by_role("button", name="Scegli")
    await expect(choose).to_be_visible()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.locator(".caller")).to_have_text("Vito Amoruso")
    await expect(page.get_by_text("+39 333 123 4567 è ora un numero di Vito Amoruso.")).to_be_visible()
    await expect(page.get_by_role("dialog")).to_be_hidden()


async def test_a_lost_connection_is_said_and_comes_back_by_itself(
    served: DeskServer, log_in: OpenPage, context: BrowserContext
) -> None:
    await served.agent("giulia")
    page = await log_in("giulia")
    blocked = True

    async def gone(route: object) -> None:
        if blocked:
            await route.close()  # type: ignore[attr-defined]
        else:
            route.connect_to_server()  # type: ignore[attr-defined]

    await page.route_web_socket("**/api/live", gone)
    for browser in tuple(served.live._browsers):
        await browser.socket.close(1012)
    banner = page.get_by_role("alert").filter(has_text="Connessione persa")
    await expect(banner).to_be_visible()
    await served.waiting_call("+393331234567")
    blocked = False
    await expect(banner).to_be_hidden()
    await expect(page.get_by_label("Coda e colleghi").get_by_text("+39 333 123 4567")).to_be_visible()


async def test_hostile_names_are_shown_as_text_and_run_nowhere(served: DeskServer, log_in: OpenPage) -> None:
    giulia = await served.agent("giulia", HOSTILE)
    contact = await served.contact(HOSTILE, company=HOSTILE[:100], email="x@example.org")
    request = await served.request(HOSTILE, contact_id=contact, description=HOSTILE, actor="giulia")
    await served.message("m1", HOSTILE, contact_id=contact)
    page = await log_in("giulia")
    await served.ring(await served.waiting_call(), giulia)
    await expect(page.locator(".caller")).to_contain_text("<img src=x onerror=")
    await page.goto(f"{served.url}/#/messages/m1")
    await expect(page.locator(".words")).to_contain_text("</script>")
    await page.goto(f"{served.url}/#/requests/{request.id}")
    await expect(page.locator(".page h2")).to_contain_text("<img src=x onerror=")
    assert await page.evaluate("window.hacked") is None
    assert await page.locator("img[src='x']").count() == 0


async def test_the_language_can_be_changed_and_stays(served: DeskServer, log_in: OpenPage) -> None:
    await served.agent("giulia", "Giulia Ferrante")
    page = await log_in("giulia")
    await page.get_by_role("button", name="Giulia Ferrante").click()
    await page.get_by_role("button", name="English").click()
    await expect(page.get_by_role("heading", name="Messages", exact=True)).to_be_visible()
    await page.reload()
    await expect(page.get_by_role("button", name="Go on duty")).to_be_visible()
    assert await page.locator("html").get_attribute("lang") == "en"


async def test_logging_out_leads_to_the_log_in_form(served: DeskServer, log_in: OpenPage) -> None:
    await served.agent("giulia", "Giulia Ferrante")
    page = await log_in("giulia")
    await page.get_by_role("button", name="Giulia Ferrante").click()
    await page.get_by_role("button", name="Esci", exact=True).click()
    await expect(page.get_by_label("Nome utente")).to_be_focused()
    assert served.live.connected == 0


@pytest.mark.parametrize("width", [900, 640, 390])
async def test_in_a_narrow_window_all_is_in_sight_and_what_was_opened_comes_first(
    served: DeskServer, log_in: OpenPage, width: int
) -> None:
    giulia = await served.agent("giulia", presence=Presence.PAUSED)
    await served.agent("marco", "Marco Antonio Lo Russo", presence=Presence.FREE)
    teresa = await served.contact("Teresa Lorusso", company="ASL Bari", email="t.lorusso@asl.example.org")
    title = "Stampa del referto bloccata dopo l'aggiornamento della postazione di cardiologia"
    request = await served.request(title, contact_id=teresa, actor="giulia")
    await served.message("m1", "buongiorno non riesco a entrare grazie", contact_id=teresa)
    await served.waiting_call("+390883555777", choice="credentials")
    page = await log_in("giulia")
    await page.set_viewport_size({"width": width, "height": 844})
    await page.emulate_media(reduced_motion="reduce")  # a panel on its way in is beyond the window for a moment

    async def look_at_every_view() -> None:
        for view, shown in {
            "messages": ".row",
            "messages/m1": ".words",
            "requests": ".row",
            f"requests/{request.id}": ".history",
        }.items():
            await page.goto(f"{served.url}/#/{view}")
            await expect(page.locator(shown).first).to_be_visible()
            assert await page.evaluate(BEYOND_THE_WINDOW) == []

    await look_at_every_view()
    assert await top(page, "main") < await top(page, ".side")
    await page.get_by_role("link", name="Richieste di servizio").click()
    assert await page.locator(".row-title > span", has_text=title).evaluate("e => e.scrollWidth <= e.clientWidth")

    await served.answer(await served.ring(await served.waiting_call(choice="credentials"), giulia))
    await expect(page.get_by_role("button", name="Riaggancia")).to_be_visible()
    await look_at_every_view()
    assert await top(page, ".call-panel") < await top(page, "main")
    await page.locator(".call-panel").get_by_text("Problema", exact=True).click()
    await page.get_by_label("Oggetto").fill("Password scaduta")
    await page.get_by_role("button", name="Registra").click()
    await expect(page.get_by_text("Comunica il numero di ticket")).to_be_visible()
    await look_at_every_view()


async def test_a_request_opened_from_a_call_in_a_narrow_window_comes_into_sight(
    served: DeskServer, log_in: OpenPage
) -> None:
    giulia = await served.agent("giulia")
    teresa = await served.contact("Teresa Lorusso")
    await served.request("Referto bloccato", contact_id=teresa, actor="giulia")
    page = await log_in("giulia")
    await page.set_viewport_size({"width": 390, "height": 844})
    await served.answer(await served.ring(await served.waiting_call(), giulia))
    link = page.locator(".call-panel").get_by_role("link", name="Referto bloccato")
    await link.dispatch_event("click")  # a click of Playwright's would scroll by itself
    await expect(page.get_by_role("heading", name="Referto bloccato")).to_be_in_viewport()


async def test_times_are_those_the_caller_was_told_wherever_the_browser_is(
    served: DeskServer, log_in: OpenPage
) -> None:
    await served.agent("giulia")
    message = await served.message("m1", "buongiorno")
    page = await log_in("giulia")
    await page.locator(".row").click()
    received = f"{message.started_at.astimezone(ZoneInfo('Europe/Rome')):%H:%M}"
    await expect(page.locator(".promise")).to_contain_text(f" {received}, più un'ora lavorativa")
    await expect(page.locator(".page-head")).to_contain_text(received)
    await expect(page.locator(".row-when")).to_contain_text(received)


async def test_a_number_looks_the_same_wherever_it_is_shown(served: DeskServer, log_in: OpenPage) -> None:
    giulia = await served.agent("giulia")
    await served.message("m1", "buongiorno", caller="+390883555777")
    page = await log_in("giulia")
    await expect(page.locator(".row-title")).to_contain_text("+39 0883 555777")
    await page.get_by_role("link", name="Richieste").click()
    await expect(page.locator(".row-title")).to_have_text("Messaggio vocale da +39 0883 555777")
    await expect(page.locator(".row-sub")).to_contain_text("+39 0883 555777")
    call_id = await served.waiting_call("+390883555777")
    await expect(page.locator(".waiting .who")).to_have_text("+39 0883 555777")
    await served.ring(call_id, giulia)
    await expect(page.locator(".caller")).to_have_text("+39 0883 555777")


async def test_the_own_log_ins_are_seen_and_one_is_ended(served: DeskServer, log_in: OpenPage) -> None:
    await served.agent("giulia")
    page = await log_in("giulia")
    async with served.browser() as elsewhere:
        agent = {b"user-agent": f"Mozilla/5.0 (Windows NT 10.0) Firefox/140.0 {HOSTILE}".encode()}
        await elsewhere.post("/session", json={"username": "giulia", "password": PASSWORD}, headers=agent)
        await page.locator(".top button.me").click()
        await page.get_by_role("button", name="I tuoi accessi").click()
        dialog = page.get_by_role("dialog", name="I tuoi accessi")
        rows = dialog.get_by_role("listitem")
        await expect(rows).to_have_count(2)
        await expect(rows.first).to_contain_text("questo")
        await expect(rows.last).to_contain_text("Firefox · Windows")
        await expect(rows.last).to_contain_text("127.0.0.1 · dal ")
        await rows.last.get_by_role("button", name="Esci").click()
        await expect(rows).to_have_count(1)
        assert (await elsewhere.get("/session")).status_code == 401
    await rows.first.get_by_role("button", name="Esci").click()
    await expect(page.get_by_label("Nome utente")).to_be_visible()


@pytest.mark.parametrize(("width", "height"), [(1600, 900), (1180, 700), (900, 700), (600, 800), (390, 640)])
async def test_what_is_told_covers_nothing(served: DeskServer, log_in: OpenPage, width: int, height: int) -> None:
    await served.agent("giulia")
    page = await log_in("giulia")
    await page.set_viewport_size({"width": width, "height": height})
    await page.goto(f"{served.url}/#/new")
    register = page.locator(".counter-form .primary")
    await page.route(
        "**/api/requests", lambda route: route.fulfill(status=409, json={"error": "conflict", "message": "x"})
    )
    await page.get_by_label("Domanda").check()
    await page.get_by_label("Area").select_option("credentials")
    await page.get_by_label("Oggetto").fill("Password scaduta")
    for told in (1, 2):
        await register.click()  # which has nothing over it, or this fails
        await expect(page.locator(".toast")).to_have_count(told)
    await register.scroll_into_view_if_needed()
    at = await register.bounding_box()
    assert at is not None
    over = "([x, y]) => document.elementFromPoint(x, y)?.closest('button')?.className"
    for x, y in ((at["width"] / 2, 2), (at["width"] / 2, at["height"] - 2), (2, at["height"] / 2)):
        assert "primary" in str(await page.evaluate(over, [at["x"] + x, at["y"] + y]))
    await expect(page.locator(".toast").last).to_be_in_viewport(ratio=1)
