"""The life of a request at the desk: registered, moved, edited, between levels, linked, with files."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from centralino.rig.desk_server import HOSTILE, DeskServer
from desk.request_queries import FOUND
from tickets.levels import add_group
from tickets.lifecycle import TRANSITIONS
from tickets.models import Area, Attachment, Company, Contact, OutboxMail, Phone, Request, Status
from tickets.operations import close_resolved
from tickets.retention import erase_attachments

pytestmark = pytest.mark.contract

FORM = {"kind": "problem", "area": "application", "subject": "Stampante ferma", "channel": "in_person"}
BYTES = {"content-type": "application/octet-stream"}
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100


@pytest.fixture
async def giulia(served: DeskServer) -> AsyncIterator[httpx.AsyncClient]:
    """An agent's browser."""
    await served.agent("giulia")
    async with served.browser("giulia") as page:
        yield page


@pytest.fixture
async def chief(served: DeskServer) -> AsyncIterator[httpx.AsyncClient]:
    """A supervisor's browser."""
    await served.supervisor("capo")
    async with served.browser("capo") as page:
        yield page


async def new(page: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    """A request of the counter, as its page tells it."""
    answer = await page.post("/requests", json=FORM | fields)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = (await page.get(f"/requests/{answer.json()['request']['id']}")).json()
    return found


async def done(page: httpx.AsyncClient, request: dict[str, Any], path: str, **body: Any) -> dict[str, Any]:
    """What the request is after a change that must succeed."""
    answer = await page.post(f"/requests/{request['id']}/{path}", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def refused(page: httpx.AsyncClient, request: dict[str, Any], path: str, **body: Any) -> dict[str, Any]:
    """The problem that a change must end in."""
    answer = await page.post(f"/requests/{request['id']}/{path}", json=body)
    assert 400 <= answer.status_code < 500, answer.text
    problem: dict[str, Any] = answer.json()
    return problem


# ------------------------------------------------------------------------------------------------ at the counter


async def test_who_stands_at_the_counter_is_registered_with_what_they_ask(
    served: DeskServer, giulia: httpx.AsyncClient
) -> None:
    teresa = await served.contact("Teresa Lorusso", company="ASL Bari", email="t@asl.example.org")
    request = await new(giulia, contact_id=teresa, impact=1, urgency=2)
    assert (request["status"], request["holder"], request["channel"]) == ("in_progress", "giulia", "in_person")
    assert (request["contact_name"], request["company_name"]) == ("Teresa Lorusso", "ASL Bari")
    assert (request["email"], request["phone"], request["priority"]) == ("t@asl.example.org", "+390805551234", 2)
    mails = await served.database.read(lambda session: session.scalars(select(OutboxMail.kind)).all())
    assert mails == ["opened"]


async def test_solved_on_the_spot_is_opened_and_closed_in_one_step(giulia: httpx.AsyncClient) -> None:
    request = await new(giulia, channel="phone", solution="Riaccesa")
    assert (request["status"], request["solution"]) == ("closed", "Riaccesa")
    assert [event["kind"] for event in request["events"]] == ["opened", "picked_up", "closed"]


async def test_a_person_who_is_new_is_added_with_the_request_or_neither_is(
    served: DeskServer, giulia: httpx.AsyncClient
) -> None:
    company = await served.database.run(_company)
    person = {"name": "Vito Amoruso", "user_code": "VAMO1", "phone": "080 555 4321", "company_id": company}
    request = await new(giulia, new_contact=person | {"email": "vito@example.org"})
    assert (request["contact_name"], request["company_name"]) == ("Vito Amoruso", "ASL Bari")
    assert (request["email"], request["phone"]) == ("vito@example.org", "+390805554321")

    again = await giulia.post("/requests", json=FORM | {"new_contact": person})
    assert (again.status_code, again.json()["error"]) == (409, "duplicate")
    unread = await giulia.post("/requests", json=FORM | {"new_contact": {"name": "Pia", "phone": "abc"}})
    assert (unread.status_code, list(unread.json()["fields"])) == (422, ["phone"])
    counts = await served.database.read(_count, Request, Contact, Phone)
    assert counts == [1, 1, 1]


async def test_a_form_whose_answer_is_lost_is_sent_again_and_opens_one_request(
    served: DeskServer, giulia: httpx.AsyncClient
) -> None:
    key = {"idempotency-key": "a1"}
    stored = asyncio.Event()
    served.database.subscribe(lambda changes: stored.set() if any(one.kind == "request" for one in changes) else None)
    content = json.dumps(FORM).encode()
    head = {"host": giulia.base_url.netloc.decode(), "content-length": str(len(content)), **giulia.headers, **key}
    head["cookie"] = "; ".join(f"{name}={value}" for name, value in giulia.cookies.items())
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    _, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(f"POST /api/requests HTTP/1.1\r\n{lines}\r\n".encode() + content)
    await writer.drain()
    await asyncio.wait_for(stored.wait(), 20)
    writer.transport.abort()  # whoever asked never hears of it
    again = await giulia.post("/requests", json=FORM, headers=key)
    assert again.status_code == 201
    (ticket,) = await served.database.read(lambda session: session.scalars(select(Request.ticket)).all())
    assert again.json()["request"]["ticket"] == ticket


async def test_a_double_click_opens_one_request_and_a_new_form_another(
    served: DeskServer, giulia: httpx.AsyncClient
) -> None:
    key = {"idempotency-key": "a1"}
    person = {"name": "Vito Amoruso", "phone": "080 555 4321"}
    twice = FORM | {"new_contact": person, "solution": "Riaccesa"}
    answers = await asyncio.gather(*(giulia.post("/requests", json=twice, headers=key) for _ in range(4)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    changed = await giulia.post("/requests", json=twice | {"subject": "Altro"}, headers=key)
    assert (changed.status_code, changed.json()["error"]) == (409, "already_registered")
    assert await served.database.read(_count, Request, Contact) == [1, 1]
    wrong = await giulia.post("/requests", json=FORM | {"area": "moon"}, headers={"idempotency-key": "b2"})
    assert wrong.status_code == 422
    corrected = await giulia.post("/requests", json=FORM, headers={"idempotency-key": "b2"})
    assert corrected.status_code == 201  # what was refused leaves the key free
    await served.agent("marco")
    async with served.browser("marco") as his:  # another's keys are his own
        assert (await his.post("/requests", json=FORM, headers=key)).status_code == 201
    assert (await giulia.post("/requests", json=FORM)).status_code == 201
    assert await served.database.read(_count, Request) == [4]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"subject": " "}, "subject"),
        ({"area": "moon"}, "area"),
        ({"channel": "fax"}, "channel"),
        ({"impact": 4}, "impact"),
        ({"urgency": 0}, "urgency"),
        ({"email": "nobody"}, "email"),
        ({"new_contact": {"name": ""}}, "new_contact.name"),
        ({"level": 2}, "level"),
    ],
)
async def test_what_is_wrong_is_told_at_its_field_and_nothing_is_stored(
    served: DeskServer, giulia: httpx.AsyncClient, change: dict[str, Any], field: str
) -> None:
    answer = await giulia.post("/requests", json=FORM | change)
    assert answer.status_code == 422
    assert list(answer.json()["fields"]) == [field]
    assert await served.database.read(_count, Request) == [0]


async def test_areas_come_in_the_reader_s_language_with_those_below_them(
    served: DeskServer, giulia: httpx.AsyncClient
) -> None:
    def plant(session: Session) -> None:
        session.add(Area(key="lab", name_it="Laboratorio", name_en="Laboratory", parent="application"))
        session.add(Area(key="old", name_it="Vecchia", name_en="Old", active=False))

    await served.database.run(plant)
    listed = (await giulia.get("/areas")).json()
    names = [area["name"] for area in listed]
    assert names[names.index("Area applicativa") + 1] == "Laboratorio"
    assert {area["key"] for area in listed if not area["active"]} == {"old"}
    await giulia.put("/session/language", json={"language": "en"})
    assert "Laboratory" in [area["name"] for area in (await giulia.get("/areas")).json()]
    assert (await new(giulia, area="lab"))["area"] == "lab"
    old = await giulia.post("/requests", json=FORM | {"area": "old"})
    assert list(old.json()["fields"]) == ["area"]


async def test_hostile_text_is_kept_as_text_in_every_field(giulia: httpx.AsyncClient) -> None:
    person = {"name": HOSTILE, "user_code": HOSTILE[:60]}
    request = await new(giulia, subject=HOSTILE, description=HOSTILE, phone=HOSTILE[:60], new_contact=person)
    request = await done(giulia, request, "move", to="pending_user", text=HOSTILE)
    assert request["events"][-1]["details"]["text"].startswith("<img src=x")
    answer = await giulia.post(
        f"/requests/{request['id']}/attachments",
        params={"name": HOSTILE, "media_type": HOSTILE},
        content=b"x",
        headers=BYTES,
    )
    attachment = answer.json()["attachments"][0]
    assert attachment["media_type"] == "application/octet-stream"
    assert not set('<>"/\\\r\n') & set(attachment["name"])
    assert answer.headers["content-type"] == "application/json"


# ------------------------------------------------------------------------------------------------------- moves


async def test_every_move_told_is_possible_and_every_other_is_refused(
    served: DeskServer, giulia: httpx.AsyncClient, chief: httpx.AsyncClient
) -> None:
    """From each status: what `moves` tells is done, what it does not tell is refused with a reason."""
    for page, role in ((giulia, "agent"), (chief, "supervisor")):
        for before in Status:
            allowed = [after for (was, after), roles in TRANSITIONS.items() if was == before and role in roles]
            request = await new(page)
            await served.database.run(_put_into, request["id"], before)
            request = (await page.get(f"/requests/{request['id']}")).json()
            assert sorted(move["to"] for move in request["moves"]) == sorted(allowed)
            for to in Status:
                await served.database.run(_put_into, request["id"], before)
                answer = await page.post(f"/requests/{request['id']}/move", json={"to": to, "text": "perché sì"})
                if to in allowed:
                    assert (answer.status_code, answer.json()["status"]) == (200, to), (before, to)
                else:
                    assert (answer.status_code, answer.json()["error"]) == (409, "move_refused"), (before, to)
                    assert answer.json()["message"]


async def test_a_move_that_needs_a_text_says_which_and_is_refused_without(giulia: httpx.AsyncClient) -> None:
    request = await new(giulia)
    needed = {move["to"]: move["text"] for move in request["moves"]}
    assert needed == {
        "queued": None,
        "pending_user": "question",
        "pending_third_party": "text",
        "resolved": "solution",
        "closed": "solution",
    }
    for to, field in needed.items():
        if field is not None:
            assert list((await refused(giulia, request, "move", to=to))["fields"].items()) == [(field, "Da compilare.")]


async def test_only_a_supervisor_cancels_what_somebody_works_on(
    giulia: httpx.AsyncClient, chief: httpx.AsyncClient
) -> None:
    request = await new(giulia)
    problem = await refused(giulia, request, "move", to="cancelled", text="doppia")
    assert problem["message"] == "Questo passaggio non spetta a te: chiedi a un supervisore."
    cancelled = await done(chief, request, "move", to="cancelled", text="doppia")
    assert (cancelled["status"], cancelled["moves"], cancelled["level_moves"]) == ("cancelled", [], [])


async def test_a_system_that_is_not_connected_any_more_is_told_nothing_and_that_is_said(
    served: DeskServer, giulia: httpx.AsyncClient
) -> None:
    request = await new(giulia)
    problem = await refused(giulia, request, "connectors/maximo/retry")
    assert (problem["error"], problem["message"][:26]) == ("unknown_connector", "Questo sistema non è più c")


async def test_what_was_solved_too_long_ago_is_not_reopened(served: DeskServer, giulia: httpx.AsyncClient) -> None:
    request = await new(giulia, solution="Riaccesa")
    assert {move["event"] for move in request["moves"]} == {"reopened"}
    served.now.ahead = timedelta(days=8)
    await served.agent("marco")
    async with served.browser("marco") as later:
        assert (await later.get(f"/requests/{request['id']}")).json()["moves"] == []
        problem = await refused(later, request, "move", to="queued")
        assert problem["message"].startswith("È stata risolta troppo tempo fa")


async def test_the_second_of_two_is_told_what_changed_and_by_whom(
    served: DeskServer, giulia: httpx.AsyncClient
) -> None:
    await served.agent("marco")
    request = await new(giulia)
    async with served.browser("marco") as marco:
        changed = await marco.patch(
            f"/requests/{request['id']}", json={"subject": "Due stampanti", "urgency": 1, "version": request["version"]}
        )
        assert (changed.status_code, changed.json()["priority"]) == (200, 2)
        await done(marco, request, "move", to="pending_user", text="Quale?")
    late = await giulia.patch(f"/requests/{request['id']}", json={"kind": "question", "version": request["version"]})
    problem = late.json()
    assert (late.status_code, problem["error"]) == (409, "conflict")
    told = [(change["actor"], change["kind"], change["fields"]) for change in problem["changes"]]
    assert told == [("marco", "edited", ["subject", "urgency"]), ("marco", "asked", [])]
    stale = await refused(giulia, request, "move", to="resolved", text="fatto", version=request["version"])
    assert [change["kind"] for change in stale["changes"]] == ["edited", "asked"]


async def test_fields_are_edited_and_only_those_that_are_given(served: DeskServer, giulia: httpx.AsyncClient) -> None:
    teresa = await served.contact("Teresa Lorusso", company="ASL Bari", email="t@asl.example.org")
    request = await new(giulia, phone="080 555 9999")
    changed = (await giulia.patch(f"/requests/{request['id']}", json={"contact_id": teresa, "phone": None})).json()
    assert (changed["company_name"], changed["email"], changed["phone"]) == ("ASL Bari", "t@asl.example.org", None)
    assert changed["subject"] == request["subject"]
    for change, field in (({"subject": None}, "subject"), ({"area": "moon"}, "area"), ({"status": "closed"}, "status")):
        answer = await giulia.patch(f"/requests/{request['id']}", json=change)
        assert (answer.status_code, list(answer.json()["fields"])) == (422, [field])
    await done(giulia, request, "close", solution="Fatto")
    closed = await giulia.patch(f"/requests/{request['id']}", json={"subject": "x"})
    assert (closed.status_code, closed.json()["error"]) == (409, "request_closed")


async def test_without_a_log_in_nothing_is_told_or_done(served: DeskServer, giulia: httpx.AsyncClient) -> None:
    request = await new(giulia)
    async with served.browser() as nobody:
        for method, path in (
            ("GET", "/requests"),
            ("POST", "/requests"),
            ("GET", "/areas"),
            ("GET", "/support-groups"),
            ("PATCH", f"/requests/{request['id']}"),
            *(
                ("POST", f"/requests/{request['id']}/{what}")
                for what in ("move", "escalate", "hand-back", "refer", "recall", "parent", "unlink", "merge")
            ),
            ("POST", f"/requests/{request['id']}/attachments"),
            ("GET", f"/requests/{request['id']}/attachments/1"),
            ("GET", f"/requests/{request['id']}/attachments/1/preview"),
        ):
            answer = await nobody.request(method, path, json={} if method != "GET" else None)
            assert (answer.status_code, answer.json()["error"]) == (401, "not_logged_in"), path


# ------------------------------------------------------------------------------------------------------ levels


async def test_a_request_is_escalated_with_reason_and_note_and_comes_back(
    served: DeskServer, giulia: httpx.AsyncClient
) -> None:
    group = (await served.database.run(add_group, "Applicativi", 2, "l2@example.org")).id
    assert (await giulia.get("/support-groups")).json() == [{"id": group, "name": "Applicativi", "level": 2}]
    request = await new(giulia)
    assert request["level_moves"] == ["escalate"]
    missing = await giulia.post(f"/requests/{request['id']}/escalate", json={"group_id": group})
    assert set(missing.json()["fields"]) == {"reason", "handover"}
    away = await done(giulia, request, "escalate", group_id=group, reason="serve il codice", handover="provato tutto")
    assert (away["level"], away["group_name"], away["holder"]) == (2, "Applicativi", None)
    assert away["held_since"] == away["events"][-1]["at"]
    assert away["level_moves"] == ["hand_back"]
    problem = await refused(giulia, away, "escalate", group_id=group, reason="x", handover="y")
    assert problem["message"] == "Non è possibile dal livello in cui è la richiesta."
    back = await done(giulia, away, "hand-back", note="configurazione sbagliata")
    assert (back["level"], back["group_name"], back["status"]) == (1, None, "queued")


async def test_what_is_for_the_company_s_own_desk_goes_there_and_is_recalled(
    served: DeskServer, giulia: httpx.AsyncClient
) -> None:
    teresa = await served.contact("Teresa", company="ASL Bari")
    request = await new(giulia, contact_id=teresa)
    wrong = await refused(giulia, request, "refer", reason="rete")
    assert wrong["fields"] == {"area": "Quest'area non torna al livello 0: correggi prima l'area."}
    await giulia.patch(f"/requests/{request['id']}", json={"area": "network"})
    assert "refer" in (await giulia.get(f"/requests/{request['id']}")).json()["level_moves"]
    assert list((await refused(giulia, request, "refer", reason="rete"))["fields"]) == ["company"]
    await served.database.run(_give_desk)
    away = await done(giulia, request, "refer", reason="è la rete")
    assert (away["level"], away["status"], away["level_moves"]) == (0, "pending_third_party", ["recall"])
    assert away["company_desk"] == {
        "name": "ASL Bari",
        "email": "ced@asl.example.org",
        "phone": "+390805550000",
        "phone_shown": "+39 080 555 0000",
        "hours": "lun-ven 8-14",
    }
    assert (await done(giulia, away, "recall", note="non è la rete"))["level"] == 1


# ------------------------------------------------------------------------------------------------------- links


async def test_requests_are_put_below_another_and_closed_with_it(giulia: httpx.AsyncClient) -> None:
    fault, one, two = await new(giulia, subject="Guasto"), await new(giulia), await new(giulia)
    for child in (one, two):
        linked = await done(giulia, child, "parent", ticket=fault["ticket"])
        assert linked["parent"]["subject"] == "Guasto"
    children = (await giulia.get(f"/requests/{fault['id']}")).json()["children"]
    assert [child["ticket"] for child in children] == [one["ticket"], two["ticket"]]
    wrong = f"{fault['ticket'][:-1]}{(int(fault['ticket'][-1]) + 1) % 10}"
    assert list((await refused(giulia, one, "parent", ticket=wrong))["fields"]) == ["ticket"]
    itself = await refused(giulia, one, "parent", ticket=one["ticket"])
    assert itself["fields"] == {"request": "È la stessa richiesta: indicane un'altra."}
    await done(giulia, fault, "close", solution="Riparato")
    assert (await giulia.get(f"/requests/{two['id']}")).json()["status"] == "closed"


async def test_what_was_put_below_another_by_mistake_is_taken_from_there(giulia: httpx.AsyncClient) -> None:
    fault, child = await new(giulia, subject="Guasto"), await new(giulia)
    below = await done(giulia, child, "parent", ticket=fault["ticket"])
    late = await refused(giulia, child, "unlink", version=child["version"])
    assert (late["error"], late["changes"][0]["kind"]) == ("conflict", "linked")
    alone = await done(giulia, child, "unlink", version=below["version"])
    assert alone["parent"] is None
    assert (alone["events"][-1]["kind"], alone["events"][-1]["details"]) == ("unlinked", {"parent": fault["ticket"]})
    assert len((await done(giulia, child, "unlink"))["events"]) == len(alone["events"])
    above = await done(giulia, fault, "close", solution="Riparato")
    assert (above["children"], above["events"][-2]["kind"]) == ([], "unlinked")
    assert (await giulia.get(f"/requests/{child['id']}")).json()["status"] == "in_progress"


async def test_a_request_that_tells_the_same_goes_on_in_another(giulia: httpx.AsyncClient) -> None:
    first, second = await new(giulia, subject="Prima"), await new(giulia, subject="Seconda")
    merged = await done(giulia, second, "merge", ticket=first["ticket"], version=second["version"])
    assert (merged["status"], merged["merged_into"]["ticket"]) == ("closed", first["ticket"])
    kept = (await giulia.get(f"/requests/{first['id']}")).json()
    assert [link["ticket"] for link in kept["merged"]] == [second["ticket"]]
    assert (await refused(giulia, first, "merge", ticket=second["ticket"]))["error"] == "request_closed"


# ------------------------------------------------------------------------------------------------- attachments


async def upload(
    page: httpx.AsyncClient, request: dict[str, Any], name: str, content: Any, media_type: str = "text/html"
) -> httpx.Response:
    """Add a file as a browser does."""
    return await page.post(
        f"/requests/{request['id']}/attachments",
        params={"name": name, "media_type": media_type},
        content=content,
        headers=BYTES,
    )


async def test_a_file_is_added_and_saved_as_it_was_and_never_opened_as_a_page(
    served: DeskServer, giulia: httpx.AsyncClient
) -> None:
    request = await new(giulia)
    content = b"<script>window.hacked = 1</script>" + os.urandom(300_000)
    answer = await upload(giulia, request, "relazione più.html", content)
    assert answer.status_code == 201
    attachment = answer.json()["attachments"][0]
    assert (attachment["name"], attachment["size"], attachment["added_by"]) == (
        "relazione più.html",
        len(content),
        "giulia",
    )
    assert attachment["preview"] is None
    assert answer.json()["events"][-1]["kind"] == "attached"
    saved = await giulia.get(f"/requests/{request['id']}/attachments/{attachment['id']}")
    assert saved.content == content
    assert saved.headers["content-disposition"].startswith("attachment; filename*=utf-8''relazione%20pi%C3%B9.html")
    assert saved.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in saved.headers["content-security-policy"]
    shown = await giulia.get(f"/requests/{request['id']}/attachments/{attachment['id']}/preview")
    assert (shown.status_code, shown.json()["error"]) == (415, "not_shown")
    other = await new(giulia)
    assert (await giulia.get(f"/requests/{other['id']}/attachments/{attachment['id']}")).status_code == 404
    assert os.listdir(served.folder / "attachments")


async def test_only_a_real_image_or_pdf_is_shown(giulia: httpx.AsyncClient) -> None:
    request = await new(giulia)
    for content, media_type, status in (
        (PNG, "image/png", 200),
        (b"%PDF-1.7\n", "application/pdf", 200),
        (b"<html><script>1</script>", "image/png", 415),
        (b"<html>", "application/pdf", 415),
        (b"<svg onload='alert(1)'/>", "image/svg+xml", 415),
    ):
        attachment = (await upload(giulia, request, "x", content, media_type)).json()["attachments"][-1]
        shown = await giulia.get(f"/requests/{request['id']}/attachments/{attachment['id']}/preview")
        assert shown.status_code == status, media_type
        if status == 200:
            assert shown.headers["content-disposition"].startswith("inline")
            assert "sandbox" in shown.headers["content-security-policy"]
            assert shown.headers["content-type"] == media_type


async def test_too_large_a_file_is_refused_while_it_comes_and_leaves_nothing(
    served: DeskServer, giulia: httpx.AsyncClient
) -> None:
    request = await new(giulia)

    async def untold() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield b"x" * 100_000

    for content in (b"x" * 1_000_001, untold()):
        answer = await upload(giulia, request, "gross.bin", content)
        assert (answer.status_code, answer.json()["fields"]) == (422, {"attachment": "Il file è troppo grande."})
    program = await upload(giulia, request, "fattura.pdf.EXE", b"MZ")
    assert (program.status_code, list(program.json()["fields"])) == (422, ["attachment"])
    exact = await upload(giulia, request, "giusto.bin", b"x" * 1_000_000)
    assert exact.status_code == 201
    files = list((served.folder / "attachments").glob("*/*/*"))
    assert len(files) == 1


async def test_a_file_whose_sender_leaves_in_the_middle_is_not_there(
    served: DeskServer, giulia: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    request = await new(giulia)
    cookies = "; ".join(f"{name}={value}" for name, value in giulia.cookies.items())
    head = (
        f"POST /api/requests/{request['id']}/attachments?name=x HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n"
        f"Cookie: {cookies}\r\nContent-Type: application/octet-stream\r\nContent-Length: 900000\r\n\r\n"
    )
    _, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(head.encode() + b"x" * 200_000)
    await writer.drain()
    folder = served.folder / "attachments"
    async with asyncio.timeout(20):
        while not list(folder.glob("*/*/*")):  # noqa: ASYNC110 - no event tells of a file
            await asyncio.sleep(0.01)
        writer.close()
        while list(folder.glob("*/*/*")):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert (await giulia.get(f"/requests/{request['id']}")).json()["attachments"] == []
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_form_of_another_site_cannot_add_a_file(giulia: httpx.AsyncClient) -> None:
    request = await new(giulia)
    for content_type in ("text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"):
        answer = await giulia.post(
            f"/requests/{request['id']}/attachments?name=x", content=b"x", headers={"content-type": content_type}
        )
        assert answer.status_code == 415
    as_bytes = await giulia.post("/requests", content=b'{"kind": "problem"}', headers=BYTES)
    assert (as_bytes.status_code, as_bytes.json()["error"]) == (422, "invalid_input")
    foreign = await giulia.post(
        f"/requests/{request['id']}/attachments?name=x",
        content=b"x",
        headers=BYTES | {"origin": "https://evil.example"},
    )
    assert foreign.status_code == 403
    assert (await upload(giulia, {"id": 9999}, "x", b"x")).status_code == 404


@pytest.mark.parametrize("path", ["../desk.db", "/etc/hostname"])
async def test_a_file_comes_from_the_folder_of_attachments_only(
    served: DeskServer, giulia: httpx.AsyncClient, path: str
) -> None:
    request = await new(giulia)
    attachment = (await upload(giulia, request, "x", b"x")).json()["attachments"][0]

    def change(session: Session) -> None:
        session.get_one(Attachment, attachment["id"]).path = path

    await served.database.run(change)
    answer = await giulia.get(f"/requests/{request['id']}/attachments/{attachment['id']}")
    assert (answer.status_code, answer.json()["error"]) == (404, "file_missing")


async def test_files_are_erased_after_their_time_and_those_of_nobody_too(
    served: DeskServer, giulia: httpx.AsyncClient
) -> None:
    closed, still_open = await new(giulia), await new(giulia)
    for request in (closed, still_open):
        await upload(giulia, request, "x", b"x")
    await done(giulia, closed, "close", solution="Fatto")
    store, keep = served.app.state.desk.attachments, timedelta(days=30)
    store.keep(b"left of a crash", served.now())
    assert await erase_attachments(served.database, store, keep, now=served.now()) == 0
    later = served.now() + timedelta(days=31)
    assert await erase_attachments(served.database, store, keep, now=later) == 2
    page = (await giulia.get(f"/requests/{closed['id']}")).json()
    assert page["attachments"] == []
    assert page["events"][-1]["kind"] == "attachment_erased"
    assert len((await giulia.get(f"/requests/{still_open['id']}")).json()["attachments"]) == 1
    assert len(list((served.folder / "attachments").glob("*/*/*"))) == 1


# ------------------------------------------------------------------------------------------------------- lists


async def test_lists_show_what_is_asked_for_by_promise_and_priority(
    served: DeskServer, giulia: httpx.AsyncClient
) -> None:
    now = served.now()
    await served.request("calma", channel="email", pickup_due_at=now + timedelta(hours=5))
    await served.request("subito", channel="email", pickup_due_at=now + timedelta(hours=1))
    mine = await new(giulia, subject="mia", impact=3, urgency=3)
    urgent = await new(giulia, subject="mia urgente", impact=1, urgency=1)
    asked = await done(giulia, await new(giulia, subject="chiesta"), "move", to="pending_user", text="Quale?")
    closed = await new(giulia, subject="chiusa", solution="Fatto")

    async def subjects(**query: Any) -> list[str]:
        answer = await giulia.get("/requests", params=query)
        assert answer.status_code == 200, answer.text
        return [request["subject"] for request in answer.json()["requests"]]

    assert await subjects() == ["subito", "calma", "mia urgente", "chiesta", "mia"]
    assert await subjects(which="mine") == ["mia urgente", "chiesta", "mia"]
    assert await subjects(which="untaken") == ["subito", "calma"]
    assert await subjects(which="waiting") == [asked["subject"]]
    assert await subjects(which="closed") == [closed["subject"]]
    assert await subjects(level=2) == []
    group = (await served.database.run(add_group, "Applicativi", 2)).id
    away = await new(giulia, subject="lontana")
    await done(giulia, away, "escalate", group_id=group, reason="serve il codice", handover="provato tutto")
    listed = (await giulia.get("/requests", params={"level": 2})).json()["requests"]
    assert [(one["subject"], one["group_name"]) for one in listed] == [("lontana", "Applicativi")]
    assert await subjects(q="MIA urg") == [urgent["subject"]]
    assert await subjects(q=mine["ticket"]) == [mine["subject"]]
    assert await subjects(q="fotocop%_") == []
    assert (await giulia.get("/requests", params={"which": "elsewhere"})).status_code == 422


async def test_a_list_says_that_there_is_more(served: DeskServer, giulia: httpx.AsyncClient) -> None:
    def plant(session: Session) -> None:
        request = session.scalars(select(Request)).one()
        values = {column.key: getattr(request, column.key) for column in Request.__table__.columns}
        for number in range(250):
            session.add(Request(**values | {"id": 1000 + number, "ticket": f"{2000000 + number}"}))

    await new(giulia)
    await served.database.run(plant)
    answer = (await giulia.get("/requests")).json()
    assert (len(answer["requests"]), answer["more"]) == (FOUND, True)


async def test_what_was_resolved_is_closed_when_its_time_is_over(served: DeskServer, giulia: httpx.AsyncClient) -> None:
    request = await done(giulia, await new(giulia), "move", to="resolved", text="Fatto")
    within = served.app.state.desk.request_rules.reopen_within

    def close(session: Session, ahead: timedelta) -> int:
        return close_resolved(session, served.notices, now=served.now() + ahead, reopen_within=within, limit=100)

    assert await served.database.run(close, timedelta(days=6)) == 0
    assert await served.database.run(close, timedelta(days=8)) == 1
    assert (await giulia.get(f"/requests/{request['id']}")).json()["status"] == "closed"


def _put_into(session: Session, request_id: int, status: Status) -> None:
    request = session.get_one(Request, request_id)
    request.status = status
    over = status in (Status.RESOLVED, Status.CLOSED, Status.CANCELLED)
    request.closed_at = request.opened_at if over else None


def _company(session: Session) -> int:
    company = Company(name="ASL Bari")
    session.add(company)
    session.flush()
    return company.id


def _give_desk(session: Session) -> None:
    company = session.scalars(select(Company)).one()
    company.level_0_email, company.level_0_phone = "ced@asl.example.org", "+390805550000"
    company.level_0_hours = "lun-ven 8-14"


def _count(session: Session, *tables: Any) -> list[int]:
    return [len(session.scalars(select(table)).all()) for table in tables]
