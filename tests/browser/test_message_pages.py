"""Messages as the people use them who hear sixty in a morning."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from playwright.async_api import Locator, Page, expect
from sqlalchemy.orm import Session

from centralino.rig.desk_server import HOSTILE, DeskServer
from tickets.models import Request, Status
from voicemail.models import Message
from voicemail.operations import correct_transcript, erase_message

pytestmark = pytest.mark.contract

OpenPage = Callable[[str], Awaitable[Page]]

WORDS = "buongiorno non riesco a entrare nel porta le grazie"
AT = "() => document.querySelector('audio').currentTime"


async def opened(served: DeskServer, page: Page, message_id: str = "m1") -> Locator:
    await page.goto(f"{served.url}/#/messages/{message_id}")
    await expect(page.locator(".player")).to_be_visible()
    return page.locator(".player-card")


async def correct(card: Locator, text: str) -> None:
    await card.get_by_role("button", name="Correggi la trascrizione").click()
    await card.get_by_label("Che cosa dice il messaggio").fill(text)
    await card.get_by_role("button", name="Salva la correzione").click()


async def test_a_transcript_is_corrected_and_its_words_go_on_leading_to_the_audio(
    served: DeskServer, log_in: OpenPage
) -> None:
    await served.agent("giulia", "Giulia Ferrante")
    message = await served.message("m1", WORDS, seconds=9)
    page = await log_in("giulia")
    card = await opened(served, page)
    await card.get_by_role("button", name="Correggi la trascrizione").click()
    text = card.get_by_label("Che cosa dice il messaggio")
    await expect(text).to_be_focused()
    await expect(text).to_have_value(f"B{WORDS[1:]}")
    await text.fill("Buongiorno, non riesco a entrare\nnel portale. Grazie")
    await text.press("Control+Enter")
    await expect(card.get_by_role("button", name="Correggi la trascrizione")).to_be_focused()
    await expect(card.locator(".corrected")).to_contain_text("Corretta da Giulia Ferrante")
    await expect(card.locator(".words br")).to_have_count(1)
    await expect(page.locator(".master .row-text")).to_have_text(
        "Buongiorno, non riesco a entrare – nel portale. Grazie"
    )
    await card.get_by_role("button", name="portale.").click()  # in place of "porta le", which begin at 6 s
    await page.wait_for_function("() => document.querySelector('audio').currentTime > 6.05")
    assert 6 < await page.evaluate(AT) < 9
    await page.keyboard.press("Alt+KeyP")
    await expect(card.get_by_role("button", name="Ascolta")).to_be_visible()
    await card.get_by_role("button", name="Mostra l'originale").click()
    await expect(card.get_by_role("button", name="Mostra l'originale")).to_have_attribute("aria-pressed", "true")
    await card.get_by_role("button", name="porta", exact=True).click()
    await page.wait_for_function("() => document.querySelector('audio').currentTime < 7")
    await page.goto(f"{served.url}/#/requests/{message.request_id}")
    await expect(page.locator(".spoken")).to_contain_text("nel portale. Grazie")
    await expect(page.locator(".spoken")).to_contain_text("Trascrizione corretta da Giulia Ferrante")
    await expect(page.locator(".history")).to_contain_text("Trascrizione corretta")
    card = await opened(served, page)
    await card.get_by_role("button", name="Correggi la trascrizione").click()
    await card.get_by_role("button", name="Rimetti l'originale").click()
    await expect(card.locator(".corrected")).to_be_hidden()
    await expect(card.locator(".words")).to_contain_text("porta le")


async def test_who_corrects_second_sees_the_words_of_the_first_and_loses_none_of_their_own(
    served: DeskServer, log_in: OpenPage
) -> None:
    await served.agent("giulia")
    await served.agent("marco", "Marco Neri")
    await served.message("m1", WORDS)
    page = await log_in("giulia")
    card = await opened(served, page)
    await card.get_by_role("button", name="Correggi la trascrizione").click()
    text = card.get_by_label("Che cosa dice il messaggio")
    await text.fill("di Giulia")
    await served.database.run(
        correct_transcript, "m1", f"di Marco {HOSTILE}", corrections=0, actor="marco", now=served.now()
    )
    await expect(card.locator(".corrected")).to_contain_text("Marco Neri")
    await card.get_by_role("button", name="Salva la correzione").click()
    conflict = card.locator(".conflict")
    await expect(conflict).to_be_focused()
    await expect(conflict).to_contain_text("Marco Neri")
    await expect(conflict).to_contain_text("di Marco <img src=x")
    await expect(text).to_have_value("di Giulia")
    await card.get_by_role("button", name="Salva la correzione").click()
    await expect(card.locator(".words")).to_have_text("di Giulia")
    await expect(card.locator(".change")).to_be_hidden()
    assert await page.evaluate("window.hacked") is None
    assert await page.locator("img[src='x']").count() == 0


async def test_what_is_typed_stays_while_another_message_is_looked_at_and_nothing_is_no_correction(
    served: DeskServer, log_in: OpenPage
) -> None:
    await served.agent("giulia")
    await served.message("m1", WORDS)
    await served.message("m2", "pronto")
    page = await log_in("giulia")
    card = await opened(served, page)
    begin = card.get_by_role("button", name="Correggi la trascrizione")
    await begin.click()
    text = card.get_by_label("Che cosa dice il messaggio")
    await text.press("Escape")
    await expect(begin).to_be_focused()
    await begin.click()
    await text.fill("  ")
    await card.get_by_role("button", name="Salva la correzione").click()
    await expect(card.get_by_role("alert")).to_have_text("Da compilare.")
    await text.fill("Buongiorno, sono")
    await text.press("Escape")  # nothing typed is thrown away by a key
    await opened(served, page, "m2")
    await expect(page.locator(".words")).to_have_text("pronto")
    await opened(served, page)
    await expect(text).to_have_value("Buongiorno, sono")
    await card.get_by_role("button", name="Lascia stare").click()
    await expect(card.locator(".words")).to_contain_text("porta le")
    await expect(card.locator(".corrected")).to_have_count(0)


async def test_a_click_in_the_waveform_leads_to_that_place_of_the_audio(served: DeskServer, log_in: OpenPage) -> None:
    await served.agent("giulia")
    await served.message("m1", WORDS, seconds=20)
    page = await log_in("giulia")
    card = await opened(served, page)
    wave = card.locator(".wave")
    await expect(wave).to_be_visible()
    assert (await wave.locator("path").first.get_attribute("d") or "").count("M") == 240
    seek = card.get_by_role("slider", name="Punto del messaggio")
    await expect(seek).to_have_attribute("aria-valuetext", "0:00 di 0:20")
    box = await seek.bounding_box()
    assert box is not None
    await seek.click(position={"x": box["width"] * 0.75, "y": box["height"] / 2})
    await expect(seek).to_have_attribute("aria-valuetext", "0:15 di 0:20")
    assert abs(await page.evaluate(AT) - 15) < 0.4
    played = await wave.locator("svg").get_attribute("width")
    assert abs(float(played or 0) - 180) < 5
    for key, wanted in (
        ("ArrowLeft", 13),
        ("PageDown", 3),
        ("ArrowRight", 5),
        ("Home", 0),
        ("End", 20),
        ("PageUp", 20),
    ):
        await page.keyboard.press(key)
        await expect(seek).to_have_js_property("value", await nearest(seek, wanted))
    await page.keyboard.press("Home")
    await seek.click(position={"x": box["width"] * 0.25, "y": box["height"] / 2})
    await page.keyboard.press("Space")
    await page.wait_for_function("() => document.querySelector('audio').currentTime > 5.3")
    assert await page.evaluate(AT) < 12
    await page.keyboard.press("Space")
    await expect(card.get_by_role("button", name="Ascolta")).to_be_visible()


async def nearest(seek: Locator, wanted: float) -> str:
    """The slider's value once it is where it is wanted, within what a pixel stands for."""
    await expect(seek).not_to_have_js_property("value", "")
    for _ in range(100):
        value = str(await seek.input_value())
        if abs(float(value) - wanted) < 0.4:
            return value
        await seek.page.evaluate("() => new Promise(requestAnimationFrame)")
    raise AssertionError(f"the slider is at {value}, not at {wanted}")


async def test_a_speed_chosen_once_holds_for_the_next_message(served: DeskServer, log_in: OpenPage) -> None:
    await served.agent("giulia")
    await served.message("m1", WORDS)
    await served.message("m2", "pronto")
    page = await log_in("giulia")
    card = await opened(served, page)
    await card.get_by_role("button", name="Velocità 1×").click()
    await card.get_by_role("button", name="Velocità 1.25×").click()
    await opened(served, page, "m2")
    await expect(card.get_by_role("button", name="Velocità 1.5×")).to_be_visible()
    await card.get_by_role("button", name="pronto").click()
    await page.wait_for_function("() => document.querySelector('audio').currentTime > 0")
    assert await page.evaluate("() => document.querySelector('audio').playbackRate") == 1.5


async def test_an_erased_message_says_so_and_shows_no_waveform(served: DeskServer, log_in: OpenPage) -> None:
    await served.agent("giulia")
    await served.message("m1", WORDS)
    await served.database.run(erase_message, "m1", now=served.now())
    page = await log_in("giulia")
    await page.goto(f"{served.url}/#/messages/m1")
    await expect(page.get_by_text("cancellato allo scadere dei termini")).to_be_visible()
    await expect(page.locator(".player, .wave, .words")).to_have_count(0)
    await expect(page.get_by_role("button", name="Correggi la trascrizione")).to_have_count(0)


async def test_a_message_that_tells_the_same_as_another_request_is_merged_where_it_is_heard(
    served: DeskServer, log_in: OpenPage
) -> None:
    await served.agent("giulia")
    teresa = await served.contact("Teresa Lorusso")
    fault = await served.request("Stampante ferma", contact_id=teresa, actor="giulia")
    message = await served.message("m1", WORDS, contact_id=teresa, due=timedelta(minutes=-5))
    page = await log_in("giulia")
    await opened(served, page)
    await expect(page.locator(".page .promise")).to_contain_text("scaduto da 5 min")
    await page.get_by_role("button", name="Unisci a un'altra").click()
    form = page.get_by_role("region", name="Unisci a un'altra")
    await form.get_by_role("button", name="Stampante ferma").click()
    await form.get_by_role("button", name="Unisci", exact=True).click()
    await expect(page.locator(".toast")).to_contain_text("Unita alla richiesta")
    await expect(page.locator(".master .row")).to_have_count(0)
    closed = await served.database.read(Session.get_one, Request, message.request_id)
    assert (closed.status, closed.merged_into_id) == (Status.CLOSED, fault.id)


async def test_a_message_taken_for_silence_is_called_back_or_made_a_request(
    served: DeskServer, log_in: OpenPage
) -> None:
    await served.agent("giulia")
    await served.message("m1", speech=1.5)
    page = await log_in("giulia")
    card = await opened(served, page)
    await expect(page.get_by_role("button", name="Richiama")).to_be_visible()
    await card.get_by_role("button", name="Scrivi che cosa dice").click()
    await card.get_by_label("Che cosa dice il messaggio").fill("Aiuto, sono Teresa")
    await card.get_by_role("button", name="Salva la correzione").click()
    await expect(card.locator(".words")).to_have_text("Aiuto, sono Teresa")
    await page.get_by_role("button", name="Apri una richiesta").click()
    await expect(page.get_by_role("button", name="Prendi in carico")).to_be_visible()
    stored = await served.database.read(Session.get_one, Message, "m1")
    assert (stored.request_id is not None, stored.transcript) == (True, "Aiuto, sono Teresa")


async def test_numbers_that_were_said_stand_beside_the_one_that_was_keyed(served: DeskServer, log_in: OpenPage) -> None:
    await served.agent("giulia")
    await served.message(
        "m1", "tre quattro sette cinque due otto uno due tre quattro interno uno due tre quattro cinque"
    )

    def key(session: Session) -> None:
        session.get_one(Message, "m1").callback = "+393475281234"

    await served.database.run(key)
    page = await log_in("giulia")
    await opened(served, page)
    facts = page.locator(".facts")
    await expect(facts).to_contain_text("+39 347 528 1234 digitato da chi ha chiamato")
    await expect(facts.locator("dd", has_text="come quello digitato")).to_contain_text("3475281234")
    await expect(facts.locator("dd", has_text="da verificare con l'audio")).to_contain_text("12345")
    await page.get_by_role("button", name="Richiama").click()
    offered = page.locator("datalist option")
    assert await offered.evaluate_all("all => all.map((one) => one.value)") == ["3475281234", "12345"]


@pytest.mark.parametrize("width", [1366, 390])
async def test_the_longest_word_and_the_form_fit_the_window(served: DeskServer, log_in: OpenPage, width: int) -> None:
    await served.agent("giulia")
    await served.message("m1", WORDS)
    page = await log_in("giulia")
    await page.set_viewport_size({"width": width, "height": 844})
    card = await opened(served, page)
    await correct(card, f"{'x' * 5000} {'parola ' * 1500}")
    await expect(card.locator(".words")).to_contain_text("xxxx")
    await card.get_by_role("button", name="Correggi la trascrizione").click()
    assert await page.evaluate("() => document.scrollingElement.scrollWidth <= innerWidth")
    for inside in (".words", ".change", ".player", ".seek"):
        box = await card.locator(inside).first.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width + 0.5, inside
