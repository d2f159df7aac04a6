"""Mails as people at the desk see them: what became no request, and what level 0 answers."""

from collections.abc import Awaitable, Callable
from email.message import EmailMessage

import pytest
from playwright.async_api import Page, expect
from sqlalchemy.orm import Session

from centralino.rig.desk_server import HOSTILE, DeskServer
from tickets import directory, levels
from tickets.lifecycle import Role
from tickets.models import Request

pytestmark = pytest.mark.contract

OpenPage = Callable[[str], Awaitable[Page]]
DESK = "livello0@asl.example"


async def take(served: DeskServer, sender: str, subject: str, text: str, **headers: str) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = sender, "desk@example.org", subject
    for name, value in headers.items():
        mail[name] = value
    mail.set_content(text)
    await served.intake.take(mail.as_bytes(), served.now())


async def test_a_supervisor_makes_a_request_of_a_mail_that_was_filed_wrongly(
    served: DeskServer, log_in: OpenPage
) -> None:
    await served.supervisor("capo")
    await served.contact("Teresa Lorusso", company="ASL Bari", email="t.lorusso@asl.example")
    text = f"Il modulo non si apre.\n{HOSTILE}"
    await take(served, "T <t.lorusso@asl.example>", "Modulo", text, Precedence="bulk")
    await take(served, "robot@lista.example", "Notizie", "Novità.", Precedence="list")
    page = await log_in("capo")
    await page.get_by_role("link", name="Posta").click()
    await expect(page.get_by_role("heading", name="Mail senza richiesta")).to_be_visible()
    await expect(page.get_by_text("2 mail")).to_be_visible()
    await page.get_by_label("Cerca mittente e oggetto").fill("lorusso")
    await expect(page.get_by_text("1 mail")).to_be_visible()
    await page.get_by_role("link", name="Modulo").press("Enter")
    body = page.locator(".detail .prose")
    await expect(body).to_contain_text("Il modulo non si apre.")
    await expect(body).to_contain_text("<img src=x")  # as words
    assert await page.evaluate("window.hacked") is None
    await page.get_by_role("button", name="Aprine una richiesta").press("Enter")
    await expect(page.get_by_text("il mittente non riceve avvisi")).to_be_visible()
    await expect(page.get_by_role("heading", name="Modulo")).to_be_visible()
    await expect(page.get_by_role("definition").filter(has_text="Teresa Lorusso")).to_be_visible()
    await page.get_by_role("link", name="Posta").click()
    await expect(page.get_by_text("Nessuna mail corrisponde.")).to_be_visible()
    await page.get_by_label("Cerca mittente e oggetto").fill("")
    await page.get_by_label("Che cos'è").select_option("held")
    await expect(page.get_by_text("Nessuna mail corrisponde.")).to_be_visible()
    await page.get_by_label("Che cos'è").select_option("automatic")
    await expect(page.get_by_role("link", name="Notizie")).to_be_visible()


async def test_agents_have_no_such_section(served: DeskServer, log_in: OpenPage) -> None:
    await served.agent("giulia")
    page = await log_in("giulia")
    await expect(page.get_by_role("link", name="Richieste")).to_be_visible()
    await expect(page.get_by_role("link", name="Posta")).to_have_count(0)


async def test_what_level_0_answers_by_mail_is_in_my_work_until_somebody_looks(
    served: DeskServer, log_in: OpenPage
) -> None:
    await served.agent("giulia")
    await served.contact("Teresa Lorusso", company="ASL Bari", email="t.lorusso@asl.example")
    opened = await served.request("Niente rete", area="network")

    def refer(session: Session) -> Request:
        company = directory.company_named(session, "ASL Bari")
        company.level_0_email = DESK
        session.get_one(Request, opened.id).company = company
        session.flush()
        return levels.refer_to_level_0(
            session, opened.id, served.notices, reason="Presa", actor="giulia", role=Role.AGENT, now=served.now()
        )

    request = await served.database.run(refer)
    page = await log_in("giulia")
    await page.get_by_role("link", name="Richieste").click()
    await take(served, DESK, f"R: [RdS {request.ticket}] Niente rete", "Arriviamo alle 15.")
    await expect(page.get_by_role("heading", name="Il livello 0 ha risposto")).to_be_visible()
    await page.get_by_role("link", name="Niente rete").click()
    history = page.locator(".history")
    await expect(history).to_contain_text("Arriviamo alle 15.")
    await expect(history).to_contain_text("help desk di livello 0")
    await page.get_by_label("Nota", exact=True).fill("Visto, aspettiamo.")
    await page.get_by_role("button", name="Aggiungi", exact=True).click()
    await expect(page.get_by_role("heading", name="Il livello 0 ha risposto")).to_have_count(0)
    await take(served, DESK, f"R: [RdS {request.ticket}] Niente rete", "RISOLTO\n\nCambiata la presa.")
    await expect(page.locator(".solved")).to_contain_text("Cambiata la presa.")
    await take(served, DESK, f"R: [RdS {request.ticket}] Niente rete", "PRESO IN CARICO\n\nAncora noi.")
    await expect(history).to_contain_text("«Preso in carico» non è possibile")
