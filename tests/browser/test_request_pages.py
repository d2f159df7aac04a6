"""The life of a request as agents see it: at the counter, moved, between levels, linked, with files."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.async_api import Page, Route, expect
from sqlalchemy import select
from sqlalchemy.orm import Session

from centralino.rig.desk_server import HOSTILE, PASSWORD, DeskServer
from tickets.attachments import add_attachment
from tickets.levels import add_group
from tickets.lifecycle import Role
from tickets.models import Channel, Company, DeliveryState, OutboxMail, Request, Status
from tickets.operations import edit_request, link_child, move_request

pytestmark = pytest.mark.contract

OpenPage = Callable[[str], Awaitable[Page]]

BEYOND_THE_WINDOW = """() => [document.scrollingElement, ...document.querySelectorAll(".frame *")]
    .filter((one) => !one.closest(".sr-only") && one.getClientRects().length)
    .filter((one) => one.getBoundingClientRect().right > innerWidth + 0.5 || one.getBoundingClientRect().left < 0)
    .map((one) => one.outerHTML.slice(0, 120))"""


async def only_request(served: DeskServer) -> Request:
    """The one request there is."""

    def read(session: Session) -> Request:
        return session.scalars(select(Request)).one()

    return await served.database.read(read)


async def test_somebody_at_the_counter_is_registered_with_the_keyboard_alone(
    served: DeskServer, log_in: OpenPage
) -> None:
    await served.agent("giulia")
    await served.contact("Teresa Lorusso", company="ASL Bari", email="t.lorusso@asl.example.org")
    page = await log_in("giulia")
    keys = page.keyboard
    await keys.press("Alt+KeyN")
    who = page.get_by_role("combobox", name="Chi chiede")
    await expect(who).to_be_focused()
    await keys.type("loru")
    await expect(page.get_by_role("option", name="Teresa Lorusso")).to_have_attribute("aria-selected", "true")
    await keys.press("Enter")
    await expect(page.get_by_label("Di persona")).to_be_focused()
    await keys.press("Tab")
    await keys.press("ArrowRight")  # question, request
    await expect(page.get_by_label("Richiesta", exact=True)).to_be_checked()
    await keys.press("Tab")
    await expect(page.get_by_label("Area")).to_be_focused()
    await keys.type("Cred")
    await keys.press("Tab")
    await keys.type("Password scaduta")
    await keys.press("Tab")
    await keys.type("dalle otto")
    await keys.press("Tab")
    await keys.press("ArrowLeft")  # many
    await keys.press("Tab")
    await keys.press("ArrowLeft")  # at once
    await expect(page.get_by_text("Priorità 1: critica")).to_be_attached()
    await keys.press("Tab")
    await expect(page.get_by_label("E-mail")).to_be_focused()
    await expect(page.get_by_label("E-mail")).to_have_value("t.lorusso@asl.example.org")
    await keys.press("Tab")
    await keys.press("Tab")
    await keys.press("Space")  # solved on the spot
    await expect(page.get_by_label("Soluzione")).to_be_focused()
    await keys.type("Reimpostata")
    await keys.press("Control+Enter")
    await expect(page.get_by_text("Comunica il numero di ticket")).to_be_visible()
    request = await only_request(served)
    assert (request.subject, request.description, request.solution) == ("Password scaduta", "dalle otto", "Reimpostata")
    assert (request.area, request.kind, request.channel) == ("credentials", "request", Channel.IN_PERSON)
    assert (request.status, request.priority, request.contact_id is not None) == (Status.CLOSED, 1, True)
    await keys.press("Enter")  # the next in the queue
    await expect(who).to_be_focused()
    await expect(page.get_by_label("Oggetto")).to_have_value("")


async def test_what_is_missing_or_wrong_is_told_at_its_field_and_the_first_is_gone_to(
    served: DeskServer, log_in: OpenPage
) -> None:
    await served.agent("giulia")
    page = await log_in("giulia")
    await page.get_by_role("link", name="Nuova richiesta").click()
    await page.get_by_role("combobox", name="Chi chiede").fill("Vito Amoruso")
    await page.get_by_role("button", name="Registra", exact=True).click()
    await expect(page.get_by_role("combobox", name="Chi chiede")).to_be_focused()
    await expect(page.get_by_text("Scegli una persona dall'elenco")).to_be_visible()
    await page.keyboard.type(" ")
    await page.get_by_role("option", name="Nuova persona: Vito Amoruso").click()
    await expect(page.get_by_label("Nome e cognome")).to_have_value("Vito Amoruso")
    await page.get_by_text("Domanda", exact=True).click()
    await page.get_by_label("Area").select_option("use")
    await page.get_by_label("Oggetto").fill("Come si stampa")
    await page.get_by_label("Telefono", exact=True).fill("non lo so")
    await page.get_by_role("button", name="Registra", exact=True).click()
    await expect(page.get_by_label("Telefono", exact=True)).to_be_focused()
    described = await page.get_by_label("Telefono", exact=True).get_attribute("aria-describedby")
    told = "Non è un numero di telefono: per esempio 080 5551234 o +39 080 5551234."
    await expect(page.locator(f"[id='{described}']")).to_have_text(told)
    await page.goto(f"{served.url}/#/messages")  # what is typed stays while something else is looked at
    await page.keyboard.press("Alt+KeyN")
    await expect(page.get_by_label("Oggetto")).to_have_value("Come si stampa")
    await page.get_by_label("Telefono", exact=True).fill("080 555 4321")
    await page.get_by_role("button", name="Registra", exact=True).click()
    await expect(page.get_by_text("Comunica il numero di ticket")).to_be_visible()
    await page.get_by_role("link", name="Apri la richiesta").click()
    await expect(page.get_by_role("definition").filter(has_text="+39 080 555 4321")).to_be_visible()


async def test_registering_again_after_a_lost_answer_shows_the_one_request(
    served: DeskServer, log_in: OpenPage
) -> None:
    await served.agent("giulia")
    page = await log_in("giulia")
    await page.keyboard.press("Alt+KeyN")
    await page.get_by_text("Domanda", exact=True).click()
    await page.get_by_label("Area").select_option("use")
    await page.get_by_label("Oggetto").fill("Come si stampa")

    async def lose_the_answer(route: Route) -> None:
        await route.fetch()
        await route.fulfill(status=504, body="Gateway Timeout")

    await page.route("**/api/requests", lose_the_answer, times=1)
    await page.get_by_role("button", name="Registra", exact=True).click()
    await expect(page.locator(".toast.bad")).to_be_visible()
    await page.get_by_label("Oggetto").press("Control+Enter")
    await expect(page.get_by_text("Comunica il numero di ticket")).to_be_visible()
    request = await only_request(served)
    await expect(page.locator(".big-ticket")).to_have_attribute("aria-label", " ".join(request.ticket or ""))


async def test_what_is_typed_at_the_counter_outlives_the_log_in_but_not_the_log_out(
    served: DeskServer, log_in: OpenPage
) -> None:
    await served.agent("giulia", "Giulia Ferrante")
    page = await log_in("giulia")
    await page.keyboard.press("Alt+KeyN")
    await page.get_by_label("Oggetto").fill("Come si stampa")

    async def log_in_again() -> None:
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_label("Nome utente").fill("giulia")
        await page.keyboard.press("Enter")

    await page.context.clear_cookies()
    await page.get_by_text("Domanda", exact=True).click()
    await page.get_by_label("Area").select_option("use")
    await page.get_by_role("button", name="Registra", exact=True).click()
    await expect(page.get_by_label("Nome utente")).to_be_visible()
    await log_in_again()
    await expect(page.get_by_label("Oggetto")).to_have_value("Come si stampa")
    await page.get_by_role("button", name="Giulia Ferrante").click()
    await page.get_by_role("button", name="Esci", exact=True).click()
    await expect(page.get_by_label("Nome utente")).to_be_focused()
    await log_in_again()
    await expect(page.get_by_label("Oggetto")).to_have_value("")


async def test_the_user_is_asked_and_the_request_goes_on(served: DeskServer, log_in: OpenPage) -> None:
    await served.agent("giulia")
    request = await served.request("Referto bloccato", actor="giulia", email="t@example.org")
    page = await log_in("giulia")
    await page.goto(f"{served.url}/#/requests/{request.id}")
    ask = page.get_by_role("button", name="Chiedi all'utente")
    await ask.click()
    form = page.get_by_role("region", name="Chiedi all'utente")
    await expect(form.get_by_label("Domanda all'utente")).to_be_focused()
    await form.get_by_role("button", name="Chiedi all'utente").click()
    await expect(form.get_by_text("Da compilare.")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(ask).to_be_focused()
    await ask.click()
    await expect(form.get_by_label("Domanda all'utente")).to_be_focused()
    await page.keyboard.type("Quale referto?")
    await form.get_by_role("button", name="Chiedi all'utente").click()
    await expect(page.locator(".eyebrow")).to_contain_text("attesa utente")
    await expect(page.get_by_role("heading", name="Referto bloccato")).to_be_focused()
    await expect(page.locator(".history")).to_contain_text("Quale referto?")
    await page.get_by_role("button", name="Riprendi", exact=True).click()
    await expect(page.locator(".eyebrow")).to_contain_text("in carico")
    await expect(page.get_by_role("button", name="Annulla la richiesta")).to_have_count(0)  # a supervisor's
    await page.get_by_role("button", name="Risolvi").click()
    await page.get_by_label("Soluzione").fill("Sbloccato")
    await page.get_by_role("region", name="Risolvi").get_by_role("button", name="Risolvi").click()
    await expect(page.locator(".prose.solved")).to_contain_text("Sbloccato")
    await expect(page.get_by_role("button", name="Riapri in coda")).to_be_visible()


async def test_who_edits_second_is_shown_what_changed_and_keeps_what_was_typed(
    served: DeskServer, log_in: OpenPage
) -> None:
    await served.agent("giulia")
    await served.agent("marco", "Marco Neri")
    request = await served.request("Stampante ferma", actor="giulia", description="al primo piano")
    page = await log_in("giulia")
    await page.goto(f"{served.url}/#/requests/{request.id}")
    await page.get_by_role("button", name="Modifica").click()
    form = page.get_by_role("region", name="Modifica")
    await form.get_by_label("Descrizione").fill("al secondo piano")
    await served.database.run(
        edit_request, request.id, {"subject": "Due stampanti ferme"}, actor="marco", now=served.now()
    )
    await expect(page.get_by_role("heading", name="Due stampanti ferme")).to_be_visible()
    await form.get_by_role("button", name="Salva le modifiche").click()
    conflict = form.get_by_role("alert")
    await expect(conflict).to_contain_text("Marco Neri")
    await expect(conflict).to_contain_text("Modificata: Oggetto")
    await expect(form.get_by_label("Descrizione")).to_have_value("al secondo piano")
    await form.get_by_role("button", name="Salva le modifiche").click()
    await expect(form).to_be_hidden()
    stored = await only_request(served)
    assert (stored.subject, stored.description) == ("Due stampanti ferme", "al secondo piano")


async def test_a_request_goes_to_the_specialists_and_comes_back(served: DeskServer, log_in: OpenPage) -> None:
    await served.agent("giulia")
    await served.database.run(add_group, "Applicativi", 2)
    request = await served.request("Referto bloccato", actor="giulia")
    page = await log_in("giulia")
    await page.goto(f"{served.url}/#/requests/{request.id}")
    await page.get_by_role("button", name="Passa a uno specialista").click()
    form = page.get_by_role("region", name="Passa a uno specialista")
    await form.get_by_label("Gruppo").select_option("livello 2 · Applicativi")
    await form.get_by_label("Motivo del passaggio").fill("serve il codice")
    await form.get_by_label("Che cosa si sa e si è provato").fill("riavviato due volte")
    await form.get_by_role("button", name="Passa a uno specialista").click()
    held = page.locator(".held")
    await expect(held).to_contain_text("livello 2 · Applicativi")
    await expect(held).to_contain_text("da 0 s")
    await page.get_by_label("Livello", exact=True).select_option("2")
    row = page.locator(".master .row")
    await expect(row).to_contain_text("livello 2 · Applicativi")
    await page.get_by_role("button", name="Restituisci al livello 1").click()
    await page.get_by_label("Che cosa è emerso").fill("era la cache")
    await page.get_by_role("region", name="Restituisci").get_by_role("button", name="Restituisci al livello 1").click()
    await expect(held).to_contain_text("in carico a nessuno")
    await expect(page.get_by_text("0 richieste")).to_be_visible()
    await page.get_by_label("Livello", exact=True).select_option("")
    await expect(page.locator(".master")).to_contain_text("Da prendere in carico")
    await expect(row).to_contain_text("da riprendere")
    await page.get_by_role("button", name="Prendi in carico").click()
    await expect(held).to_contain_text("livello 1 · Giulia")


async def test_a_request_for_the_company_s_own_desk_goes_there(served: DeskServer, log_in: OpenPage) -> None:
    await served.agent("giulia")
    teresa = await served.contact("Teresa", company="ASL Bari")
    request = await served.request("Rete lenta", actor="giulia", contact_id=teresa, area="network")

    def give_desk(session: Session, email: str | None) -> None:
        company = session.scalars(select(Company)).one()
        company.level_0_email, company.level_0_phone, company.level_0_hours = email, "+390805550000", "lun-ven 8-14"

    await served.database.run(give_desk, None)
    page = await log_in("giulia")
    await page.goto(f"{served.url}/#/requests/{request.id}")
    await page.get_by_role("button", name="Passa al livello 0").click()
    form = page.get_by_role("region", name="Passa al livello 0")
    await expect(form).to_contain_text("+39 080 555 0000 · lun-ven 8-14")
    await form.get_by_label("Motivo del passaggio").fill("è la rete del presidio")
    await form.get_by_role("button", name="Passa al livello 0").click()
    await expect(form.get_by_role("alert")).to_contain_text("L'azienda non ha un indirizzo e-mail")
    await expect(form.get_by_label("Motivo del passaggio")).to_have_value("è la rete del presidio")
    await served.database.run(give_desk, "ced@asl.example.org")
    await form.get_by_role("button", name="Passa al livello 0").click()
    await expect(page.locator(".held")).to_contain_text("livello 0 · Help desk aziendale ASL Bari")
    await expect(page.locator(".company-desk")).to_contain_text("ced@asl.example.org")
    await expect(page.get_by_role("button", name="Riprendi dal livello 0")).to_be_visible()


async def test_two_that_tell_the_same_are_shown_with_both_subjects_and_joined(
    served: DeskServer, log_in: OpenPage
) -> None:
    await served.agent("giulia")
    first = await served.request("Stampante ferma al pronto soccorso", actor="giulia")
    second = await served.request("Non si stampa", actor="giulia")
    page = await log_in("giulia")
    await page.goto(f"{served.url}/#/requests/{second.id}")
    await page.get_by_role("button", name="Collegamenti").click()
    await page.get_by_role("button", name="Unisci a un'altra").click()
    form = page.get_by_role("region", name="Unisci a un'altra")
    number = form.get_by_label("Numero della RdS")
    await number.fill("9999999")
    await form.get_by_role("button", name="Cerca").click()
    await expect(form.get_by_text("Nessuna richiesta ha questo numero")).to_be_visible()
    await number.fill(first.ticket or "")
    await form.get_by_role("button", name="Cerca").click()
    await expect(form).to_contain_text("Non si stampa")
    await expect(form).to_contain_text("Stampante ferma al pronto soccorso")
    await form.get_by_role("button", name="Unisci", exact=True).click()
    await expect(page.get_by_text("Prosegue in")).to_be_visible()
    await page.locator(".links").get_by_role("link", name="Stampante ferma al pronto soccorso").click()
    await expect(page.get_by_text("1 richiesta unita a questa")).to_be_visible()


async def test_a_request_put_below_the_wrong_one_is_taken_from_there(served: DeskServer, log_in: OpenPage) -> None:
    await served.agent("giulia")
    fault, child = [await served.request(subject, actor="giulia") for subject in ("Rete ferma", "Non si stampa")]
    await served.database.run(link_child, child.id, fault.id, actor="giulia", now=served.now())
    page = await log_in("giulia")
    await page.goto(f"{served.url}/#/requests/{child.id}")
    await expect(page.get_by_text("Fa parte di")).to_be_visible()
    await page.get_by_role("button", name="Togli da sotto").click()
    await expect(page.get_by_text("Fa parte di")).to_be_hidden()
    await expect(page.locator("#request-title")).to_be_focused()
    await expect(page.locator(".history")).to_contain_text("Scollegata")


async def test_a_file_is_added_and_saved_and_too_large_a_one_is_not(
    served: DeskServer, log_in: OpenPage, tmp_path: Path
) -> None:
    await served.agent("giulia")
    request = await served.request("Referto bloccato", actor="giulia")
    page = await log_in("giulia")
    await page.goto(f"{served.url}/#/requests/{request.id}")
    small, large = tmp_path / "schermata <b>.html", tmp_path / "grande.bin"
    content = b"<script>window.hacked = 1</script>"
    small.write_bytes(content)
    large.write_bytes(b"x" * 1_000_001)
    add = page.get_by_label("Aggiungi un allegato")
    await add.set_input_files(large)
    await expect(page.get_by_text("grande.bin supera 1 MB.")).to_be_visible()
    await add.set_input_files(small)
    link = page.get_by_role("link", name="schermata")
    await expect(link).to_be_visible()
    async with page.expect_download() as waiting:
        await link.click()
    download = await waiting.value
    assert (await asyncio.to_thread((await download.path()).read_bytes)) == content
    assert await page.evaluate("window.hacked") is None
    await expect(page.locator(".history")).to_contain_text("Allegato aggiunto")


async def test_lists_are_narrowed_and_follow_what_happens(served: DeskServer, log_in: OpenPage) -> None:
    await served.agent("giulia")
    await served.request("Calma", channel="email", pickup_due_at=served.now() + timedelta(hours=5))
    await served.request("Subito", channel="email", pickup_due_at=served.now() + timedelta(hours=1))
    await served.request("Di un altro", actor="marco")
    page = await log_in("giulia")
    await page.goto(f"{served.url}/#/requests")
    rows = page.locator(".master .row-title")
    await expect(rows).to_have_text(["Subito", "Calma"])
    await page.get_by_label("Quali richieste").select_option("open")
    await expect(rows).to_have_text(["Subito", "Calma", "Di un altro"])
    await page.get_by_label("Cerca nelle richieste").fill("ALTRO")
    await expect(rows).to_have_text(["Di un altro"])
    await expect(page.get_by_role("status").filter(has_text="1 richiesta")).to_be_visible()
    await served.request("Un altro ancora", actor="marco", impact=1, urgency=1)
    await expect(rows).to_have_text(["Un altro ancora", "Di un altro"])
    await expect(page.locator(".row").first).to_contain_text("P1")


async def test_a_notice_that_was_not_delivered_is_sent_again_with_one_click(
    served: DeskServer, log_in: OpenPage
) -> None:
    await served.agent("giulia")
    request = await served.request("Referto bloccato", actor="giulia", email="t@example.org")

    def kill(session: Session) -> None:
        mail = session.scalars(select(OutboxMail)).one()
        mail.state, mail.last_error = DeliveryState.DEAD, "550 no such user"

    await served.database.run(kill)
    page = await log_in("giulia")
    await page.goto(f"{served.url}/#/requests/{request.id}")
    await expect(page.get_by_text("550 no such user")).to_be_visible()
    await page.get_by_role("button", name="Invia di nuovo").click()
    await expect(page.locator(".notices").get_by_text("in partenza")).to_be_visible()


async def test_nothing_of_a_hostile_request_runs(served: DeskServer, log_in: OpenPage) -> None:
    await served.agent("giulia", HOSTILE)
    contact = await served.contact(HOSTILE, company=HOSTILE[:100], email="x@example.org")
    group = await served.database.run(add_group, HOSTILE[:100], 2)
    parent = await served.request(HOSTILE, contact_id=contact, description=HOSTILE, actor="giulia", phone=HOSTILE[:60])
    request = await served.request(HOSTILE, contact_id=contact, actor="giulia", area="network")
    store = served.app.state.desk.attachments

    def fill(session: Session) -> None:
        child = session.get_one(Request, request.id)
        child.parent_id, child.group_id, child.level = parent.id, group.id, 2
        kept = store.keep(b"<svg onload='alert(1)'>", served.now())
        add_attachment(session, child, kept, name=HOSTILE, media_type="image/png", actor="giulia", now=served.now())

    await served.database.run(fill)
    await served.database.run(
        edit_request, request.id, {"subject": f"{HOSTILE} 2"}, actor=HOSTILE[:60], now=served.now()
    )
    page = await log_in("giulia")
    await page.goto(f"{served.url}/#/requests/{request.id}")
    await expect(page.locator(".page h2")).to_contain_text("<img src=x onerror=")
    for opener in ("Modifica", "Chiedi all'utente", "Restituisci al livello 1"):
        await page.get_by_role("button", name=opener).first.click()
        await expect(page.locator(".change")).to_be_visible()
    await page.get_by_label("Quali richieste").select_option("open")
    await expect(page.locator(".master .row")).to_have_count(2)
    await page.goto(f"{served.url}/#/new")
    await page.get_by_role("combobox", name="Chi chiede").fill("<img")
    await page.locator(".combo [role=option]").first.click()
    assert await page.evaluate("window.hacked") is None
    assert await page.locator("img[src='x']").count() == 0


async def test_what_was_closed_too_long_ago_is_followed_by_a_new_one(served: DeskServer, log_in: OpenPage) -> None:
    await served.agent("giulia")
    old = await served.request("Stampante ferma", actor="giulia")
    served.now.ahead = timedelta(days=-9)
    await served.database.run(_close, old.id, served)
    served.now.ahead = timedelta(0)
    page = await log_in("giulia")
    await page.goto(f"{served.url}/#/requests/{old.id}")
    await page.get_by_role("button", name="Apri una richiesta che la segue").click()
    await expect(page.get_by_text("che non si può più riaprire")).to_be_visible()
    await page.get_by_role("button", name="Registra", exact=True).click()
    await page.get_by_role("link", name="Apri la richiesta").click()
    await expect(page.get_by_text("È il seguito di")).to_be_visible()
    await page.locator(".links").get_by_role("link", name="Stampante ferma").click()
    await expect(page.get_by_text("1 richiesta la segue")).to_be_visible()


async def test_a_call_back_that_cannot_be_made_says_what_to_look_at(served: DeskServer, log_in: OpenPage) -> None:
    await served.agent("giulia")
    request = await served.request("Referto bloccato", actor="giulia", phone="+390805551234")
    page = await log_in("giulia")
    await page.goto(f"{served.url}/#/requests/{request.id}")
    await page.get_by_role("button", name="Richiama").click()
    await expect(page.get_by_label("Numero da chiamare")).to_have_attribute("placeholder", "+39 080 555 1234")
    await page.get_by_role("button", name="Squilla prima il mio telefono").click()
    await expect(page.get_by_role("alert").filter(has_text="entra in servizio")).to_be_visible()


NAMELESS = """() => [...document.querySelectorAll("main :is(input, select, textarea, button)")]
    .filter((one) => one.getClientRects().length)
    .filter((one) => !one.labels?.length && !one.getAttribute("aria-label") && !one.textContent.trim())
    .map((one) => one.outerHTML.slice(0, 120))"""


@pytest.mark.parametrize("width", [1366, 900, 390])
async def test_every_form_fits_the_window_and_every_field_has_a_name(
    served: DeskServer, log_in: OpenPage, width: int
) -> None:
    await served.agent("giulia")
    await served.database.run(add_group, "Gruppo applicativo cartella clinica elettronica", 2)
    title = "Stampa del referto bloccata dopo l'aggiornamento della postazione di cardiologia"
    request = await served.request(title, actor="giulia", area="network")
    page = await log_in("giulia")
    await page.set_viewport_size({"width": width, "height": 844})
    await page.emulate_media(reduced_motion="reduce")
    await page.goto(f"{served.url}/#/new")
    await page.get_by_role("combobox", name="Chi chiede").fill("Vito")
    await page.locator(".combo [role=option]").last.click()
    await page.get_by_text("Risolta subito").click()
    assert await page.evaluate(BEYOND_THE_WINDOW) == []
    assert await page.evaluate(NAMELESS) == []
    await page.goto(f"{served.url}/#/requests/{request.id}")
    for opener in ("Modifica", "Passa a uno specialista", "Passa al livello 0", "Chiedi all'utente", "Risolvi"):
        await page.get_by_role("button", name=opener).first.click()
        await expect(page.locator(".change")).to_have_count(1)
        assert await page.evaluate(BEYOND_THE_WINDOW) == [], opener
        assert await page.evaluate(NAMELESS) == [], opener


def _close(session: Session, request_id: int, served: DeskServer) -> None:
    move_request(
        session, request_id, Status.CLOSED, served.notices, actor="giulia", role=Role.AGENT, text="ok", now=served.now()
    )
