"""Mails that became no request, as supervisors see them at the desk."""

from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from centralino.rig.desk_server import DeskServer
from tickets.level_0 import level_0_answered
from tickets.models import Request

pytestmark = pytest.mark.contract

CORPUS = Path(__file__).parents[2] / "mail_corpus"


async def came(served: DeskServer, *names: str) -> None:
    for name in names:
        await served.intake.take((CORPUS / f"{name}.eml").read_bytes(), served.now())


async def test_a_supervisor_reads_what_was_filed_and_makes_a_request_of_it(served: DeskServer) -> None:
    await served.supervisor("capo")
    await came(served, "plain_ascii", "precedence_bulk", "html_with_scripts", "vacation_subject_it")
    async with served.browser("capo") as page:
        found = (await page.get("/mails")).json()
        assert (found["more"], [mail["result"] for mail in found["mails"]]) == (False, ["automatic", "automatic"])
        filed = next(mail for mail in found["mails"] if mail["why"] == "Precedence")
        assert (filed["request_id"], filed["ticket"]) == (None, None)
        mail = (await page.get(f"/mails/{filed['id']}")).json()
        assert mail["may_open"] is True
        assert mail["text"]
        made = await page.post(f"/mails/{filed['id']}/open", json={})
        assert made.status_code == 201
        request = (await page.get(f"/requests/{made.json()['request']['id']}")).json()
        assert (request["channel"], request["status"], request["notices"]) == ("email", "queued", [])
        assert [(one["kind"], one["actor"]) for one in request["events"]] == [("opened", "system"), ("note", "capo")]
        again = await page.post(f"/mails/{filed['id']}/open", json={})  # pressed twice
        assert again.json()["request"]["id"] == request["id"]
        left = (await page.get("/mails")).json()["mails"]
        assert filed["id"] not in [mail["id"] for mail in left]
        opened = (await page.get(f"/mails/{filed['id']}")).json()
        assert (opened["may_open"], opened["ticket"]) == (False, request["ticket"])


async def test_mails_are_found_by_kind_sender_and_subject(served: DeskServer) -> None:
    await served.supervisor("capo")
    await came(served, "precedence_bulk", "bounce_postfix", "pec_accepted")
    async with served.browser("capo") as page:
        for query, count in (
            ("", 3),
            ("?result=bounce", 1),
            ("?result=held", 0),
            ("?q=%25", 0),
            ("?q=precedence%20nobody", 0),
        ):
            assert len((await page.get(f"/mails{query}")).json()["mails"]) == count, query
        (bounce,) = (await page.get("/mails?result=bounce")).json()["mails"]
        word = bounce["subject"].split()[0]
        assert bounce in (await page.get("/mails", params={"q": word.upper()})).json()["mails"]
        assert (await page.get("/mails?result=odd")).status_code == 422


async def test_markup_comes_as_text_only(served: DeskServer) -> None:
    await served.supervisor("capo")
    bulk = (CORPUS / "html_with_scripts.eml").read_bytes()
    await served.intake.take(b"Precedence: bulk\r\n" + bulk, served.now())
    async with served.browser("capo") as page:
        (filed,) = (await page.get("/mails")).json()["mails"]
        mail = (await page.get(f"/mails/{filed['id']}")).json()
        assert "<script" not in mail["text"]
        assert "onerror" not in mail["text"]


async def test_a_mail_whose_file_is_gone_is_told_and_nothing_is_opened(served: DeskServer) -> None:
    await served.supervisor("capo")
    await came(served, "precedence_bulk")
    for file in (served.folder / "mail").rglob("*.eml"):
        file.unlink()
    async with served.browser("capo") as page:
        (filed,) = (await page.get("/mails")).json()["mails"]
        for answer in (await page.get(f"/mails/{filed['id']}"), await page.post(f"/mails/{filed['id']}/open", json={})):
            assert (answer.status_code, answer.json()["error"]) == (404, "mail_missing")
        assert (await page.get("/mails/99")).json()["error"] == "not_there"
        assert (await page.post("/mails/99/open", json={})).status_code == 404
        assert (await page.get("/requests")).json()["requests"] == []


async def test_agents_do_not_read_other_peoples_mail(served: DeskServer) -> None:
    await served.agent("giulia")
    await came(served, "precedence_bulk")
    async with served.browser("giulia") as page:
        for answer in (await page.get("/mails"), await page.get("/mails/1"), await page.post("/mails/1/open", json={})):
            assert (answer.status_code, answer.json()["error"]) == (403, "not_allowed")
    async with served.browser() as nobody:
        assert (await nobody.get("/mails")).status_code == 401


async def test_what_level_0_answered_is_in_the_list_until_somebody_looks(served: DeskServer) -> None:
    await served.agent("giulia")
    request = await served.request("Niente rete", area="network")
    async with served.browser("giulia") as page:
        assert (await page.get("/requests")).json()["requests"][0]["level_0_answered_at"] is None

        def answered(session: Session) -> None:
            row = session.get_one(Request, request.id)
            row.level = 0
            level_0_answered(session, request.id, served.notices, "Domani.", details={}, now=served.now())

        await served.database.run(answered)
        assert (await page.get("/requests")).json()["requests"][0]["level_0_answered_at"] is not None
        await page.post(f"/requests/{request.id}/notes", json={"text": "Visto"})
        assert (await page.get("/requests")).json()["requests"][0]["level_0_answered_at"] is None
