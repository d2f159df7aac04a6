"""The pages of administration: people, directory with its tables, areas, groups; each change is in the audit log."""

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from centralino.rig.desk_server import HOSTILE, PASSWORD, DeskServer
from desk.models import AuditEntry
from ivr.models import Presence
from tests.contract.desk.test_desk_live import page as live_page
from tickets.models import Contact

pytestmark = pytest.mark.contract

NEW = {"username": "marco", "name": "Marco Neri", "password": PASSWORD, "endpoint": "PJSIP/201", "queues": ["desk"]}


def lines(session: Session) -> Sequence[AuditEntry]:
    return session.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()


async def acts(served: DeskServer) -> list[tuple[str, str]]:
    return [(one.act, one.subject) for one in await served.database.read(lines)]


def contacts(session: Session) -> list[tuple[str, str | None]]:
    return [(one.name, one.user_code) for one in session.scalars(select(Contact).order_by(Contact.id))]


# ------------------------------------------------------------------------------------------------------------- people


async def test_an_agent_is_added_edited_and_leaves(served: DeskServer) -> None:
    await served.supervisor("sara")
    async with served.browser("sara") as sara:
        added = await sara.post("/admin/people", json=NEW)
        assert added.status_code == 201, added.text
        async with served.browser("marco") as marco:
            assert (await marco.get("/session")).json()["role"] == "agent"
        body = {"name": f"Marco {HOSTILE}"[:60], "queues": ["desk", "specialists"], "role": "supervisor"}
        edited = (await sara.patch("/admin/people/marco", json=body)).json()
        assert (edited["queues"], edited["role"]) == (["desk", "specialists"], "supervisor")
        assert (await sara.patch("/admin/people/marco", json={"endpoint": "PJSIP/202"})).json()[
            "endpoint"
        ] == "PJSIP/202"
        found = (await sara.get("/admin/people")).json()
        assert [one["username"] for one in found] == ["marco", "sara"]
        assert (await sara.delete("/admin/people/marco")).status_code == 204
        assert [one["username"] for one in (await sara.get("/admin/people")).json()] == ["sara"]
        again = await sara.post("/admin/people", json=NEW | {"endpoint": "PJSIP/202"})
        assert again.status_code == 201, again.text
    assert await acts(served) == [
        ("agent_added", "marco"),
        ("agent_edited", "marco"),
        ("agent_edited", "marco"),
        ("agent_removed", "marco"),
        ("agent_added", "marco"),
    ]
    line = (await served.database.read(lines))[2]
    assert (line.old, line.new, line.source) == ({"endpoint": "PJSIP/201"}, {"endpoint": "PJSIP/202"}, "127.0.0.1")


async def test_no_password_is_in_the_audit_log_and_a_new_one_ends_the_log_ins(served: DeskServer) -> None:
    await served.agent("giulia")
    await served.supervisor("sara")
    async with served.browser("sara") as sara, served.browser("giulia") as giulia:
        changed = await sara.post("/admin/people/giulia/password", json={"password": "another horse battery"})
        assert changed.status_code == 204
        assert (await giulia.get("/session")).status_code == 401
        assert (await sara.post("/admin/people/giulia/password", json={"password": "short"})).json()["fields"] == {
            "password": "Almeno 10 caratteri."
        }
        assert (await sara.post("/admin/people/nobody/password", json={"password": PASSWORD})).status_code == 404
        await sara.post("/admin/people", json=NEW)
    async with served.browser("giulia", "another horse battery") as giulia:
        assert (await giulia.get("/session")).status_code == 200
    told = str([(one.old, one.new, one.subject) for one in await served.database.read(lines)])
    assert "horse" not in told
    assert ("password_set", "giulia") in await acts(served)


async def test_a_supervisor_must_be_left_and_nobody_locks_themselves_out(served: DeskServer) -> None:
    await served.agent("giulia")
    await served.supervisor("sara")
    async with served.browser("sara") as sara:
        for answer in (
            await sara.delete("/admin/people/sara"),
            await sara.patch("/admin/people/sara", json={"role": "agent"}),
        ):
            assert (answer.status_code, answer.json()["error"]) == (409, "not_yourself")
        await sara.patch("/admin/people/giulia", json={"role": "supervisor"})
        async with served.browser("giulia") as giulia:
            assert (await giulia.delete("/admin/people/sara")).status_code == 204
            assert (await giulia.patch("/admin/people/giulia", json={"role": "agent"})).status_code == 409
        assert (await sara.get("/admin/people")).status_code == 401


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"username": "Marco Neri"}, "username"),
        ({"username": "giulia"}, "username"),
        ({"endpoint": "PJSIP/giulia"}, "endpoint"),
        ({"endpoint": "not a phone"}, "endpoint"),
        ({"endpoint": None}, "endpoint"),
        ({"queues": ["nowhere"]}, "queues"),
        ({"password": "short"}, "password"),
        ({"name": " "}, "name"),
    ],
)
async def test_what_cannot_be_is_refused_at_its_field(served: DeskServer, change: dict[str, Any], field: str) -> None:
    await served.agent("giulia")
    await served.supervisor("sara")
    async with served.browser("sara") as sara:
        answer = await sara.post("/admin/people", json=NEW | change)
        assert (answer.status_code, list(answer.json()["fields"])) == (422, [field]), answer.text
        assert [one["username"] for one in (await sara.get("/admin/people")).json()] == ["giulia", "sara"]
    assert await acts(served) == []


async def test_nobody_is_removed_in_the_middle_of_a_call(served: DeskServer) -> None:
    giulia = await served.agent("giulia", presence=Presence.FREE)
    await served.supervisor("sara")
    call_id = await served.waiting_call()
    await served.answer(await served.ring(call_id, giulia))
    async with served.browser("sara") as sara:
        assert (await sara.delete("/admin/people/giulia")).status_code == 409
        await served.hang_up(call_id)
        assert (await sara.delete("/admin/people/giulia")).status_code == 204


async def test_a_supervisor_without_a_phone_may_get_one(served: DeskServer) -> None:
    await served.supervisor("sara")
    async with served.browser("sara") as sara:
        added = await sara.post("/admin/people", json=NEW | {"endpoint": None, "role": "supervisor", "queues": []})
        assert (added.status_code, added.json()["takes_calls"]) == (201, False)
        now = (await sara.patch("/admin/people/marco", json={"endpoint": "PJSIP/7", "queues": ["desk"]})).json()
        assert (now["takes_calls"], now["endpoint"], now["role"]) == (True, "PJSIP/7", "supervisor")
    async with served.browser("marco") as marco:
        assert (await marco.get("/session")).json()["agent_id"] is not None


# ---------------------------------------------------------------------------------------------------------- directory


async def test_companies_and_contacts_are_kept_on_pages(served: DeskServer) -> None:
    await served.supervisor("sara")
    async with served.browser("sara") as sara:
        company = (await sara.post("/admin/companies", json={"name": "ASL Bari", "phones": ["0805550000"]})).json()
        changed = await sara.patch(f"/admin/companies/{company['id']}", json={"code": "160101"})
        assert (changed.json()["code"], changed.json()["phones"]) == ("160101", ["+390805550000"])
        body = {"name": f"Teresa {HOSTILE}"[:100], "email": "t@asl.example.org", "company_id": company["id"]}
        contact = (await sara.post("/admin/contacts", json=body)).json()
        edited = await sara.patch(f"/admin/contacts/{contact['id']}", json={"phones": ["0805551234"], "email": ""})
        assert (edited.json()["phones"], edited.json()["email"]) == (["+390805551234"], None)
        found = (await sara.get("/admin/contacts", params={"q": "Teresa"})).json()
        assert [one["company_name"] for one in found] == ["ASL Bari"]
        assert (await sara.patch("/admin/contacts/99999", json={"name": "x"})).status_code == 404
        assert (await sara.post("/admin/companies", json={"name": "ASL Bari"})).status_code == 409
        assert list((await sara.post("/admin/companies", json={})).json()["fields"]) == ["name"]
        assert (await sara.delete(f"/admin/contacts/{contact['id']}")).status_code == 204
    told = await served.database.read(lines)
    assert [one.act for one in told] == [
        "company_added",
        "company_edited",
        "contact_added",
        "contact_edited",
        "contact_removed",
    ]
    assert "Teresa" not in str([(one.subject, one.old, one.new) for one in told])
    assert (told[1].old, told[1].new) == ({"code": None}, {"code": "160101"})


TABLE = "user_code;name;phones\nu1;Anna Rossi;0805551111\nu2;Bruno Verdi;\n"


async def bring(sara: Any, content: bytes, what: str = "contacts", dry_run: bool = True) -> Any:
    return await sara.post(
        f"/admin/import/{what}",
        params={"dry_run": dry_run},
        content=content,
        headers={"content-type": "application/octet-stream"},
    )


async def test_a_table_is_looked_at_first_and_then_taken(served: DeskServer) -> None:
    await served.supervisor("sara")
    async with served.browser("sara") as sara:
        seen = (await bring(sara, TABLE.encode("cp1252"))).json()
        assert (seen["stored"], seen["added"], seen["errors"]) == (False, 2, [])
        assert [(one["line"], one["name"], one["fields"]) for one in seen["changes"]] == [
            (2, "Anna Rossi", None),
            (3, "Bruno Verdi", None),
        ]
        assert await served.database.read(contacts) == []
        done = (await bring(sara, TABLE.encode(), dry_run=False)).json()
        assert (done["stored"], done["added"]) == (True, 2)
        assert await served.database.read(contacts) == [("Anna Rossi", "u1"), ("Bruno Verdi", "u2")]
        again = (await bring(sara, TABLE.replace("Bruno", "Bruna").encode(), dry_run=False)).json()
        assert (again["added"], again["changed"], again["unchanged"]) == (0, 1, 1)
    assert await acts(served) == [("contacts_imported", "csv")] * 2


async def test_a_table_with_errors_names_each_line_and_changes_nothing(served: DeskServer) -> None:
    await served.supervisor("sara")
    wrong = "user_code;name;phones\nu1;Anna;0805551111\nu2;;\nu3;Carla;no number\nu4;Dario\n"
    async with served.browser("sara") as sara:
        for dry_run in (True, False):
            told = (await bring(sara, wrong.encode(), dry_run=dry_run)).json()
            assert told["stored"] is False
            assert told["errors"] == [
                [3, "name: u2 è una voce nuova: serve il nome."],
                [4, "phone: «no number»: Non è un numero di telefono: per esempio 080 5551234 o +39 080 5551234."],
                [5, "Ha 2 celle, la prima riga ne ha 3."],
            ]
        assert await served.database.read(contacts) == []
        for content in (b"", b"nonsense", b"\xff\xfe\x00", b"a" * 100):
            answer = await bring(sara, content)
            assert (answer.status_code, answer.json()["error"]) == (422, "not_readable"), content
        assert (await bring(sara, b"x", what="nothing")).status_code == 422
        plain = await sara.post("/admin/import/contacts", content=b"x", headers={"content-type": "text/plain"})
        assert plain.status_code == 415
    assert await acts(served) == []


async def test_every_fault_of_a_table_has_words_in_both_languages_and_runs_nowhere(served: DeskServer) -> None:
    await served.supervisor("sara")
    await served.contact("Anna", company="ASL Bari")
    row = "{code};{name};{email};{emails};{phones};{language};{role};{company};{credentials};{trained_on}\n"
    good = {"name": "N", "email": "", "emails": "", "phones": "", "language": "", "role": "", "company": ""}
    good |= {"credentials": "", "trained_on": ""}
    wrong = ("a@", "{0.__class__}|a@", f"{HOSTILE}|{{x}}".replace(";", ""), "de", "boss", "Nowhere {}", "some", "ieri")
    fields = ("email", "emails", "phones", "language", "role", "company", "credentials", "trained_on")
    table = "user_code;name;email;emails;phones;language;role;company;credentials;trained_on\n"
    for number, (field, value) in enumerate(zip(fields, wrong, strict=True)):
        table += row.format(code=f"u{number}", **(good | {field: value}))
    table += row.format(code="u0", **good) + row.format(code="", **good) + row.format(code="x" * 80, **good)
    companies = f"code;name\n1;ASL Bari\n2;ASL Bari\n3;\n4;{'y' * 300}\n".encode()
    async with served.browser("sara") as sara:
        for language in ("it", "en"):
            await sara.put("/session/language", json={"language": language})
            told = (await bring(sara, table.encode())).json()["errors"]
            assert {line for line, _ in told} == set(range(2, 13))
            told += (await bring(sara, companies, what="companies")).json()["errors"]
            assert [words for _, words in told if "Valore non valido" in words] == []
            assert any(
                ("è già nella riga 2" if language == "it" else "is in line 2 already") in words for _, words in told
            )


async def test_companies_come_from_a_table_too(served: DeskServer) -> None:
    await served.supervisor("sara")
    async with served.browser("sara") as sara:
        done = (await bring(sara, b"code;name\n160101;ASL Bari\n", what="companies", dry_run=False)).json()
        assert (done["stored"], done["added"]) == (True, 1)
        assert [one["name"] for one in (await sara.get("/admin/companies")).json()] == ["ASL Bari"]


# --------------------------------------------------------------------------------------------------- areas and groups


async def test_areas_and_groups_are_kept_on_pages(served: DeskServer) -> None:
    await served.supervisor("sara")
    async with served.browser("sara") as sara:
        top = {"key": "hardware", "name_it": "Postazioni", "name_en": "Workstations"}
        assert (await sara.post("/admin/areas", json=top)).status_code == 201
        below = {"key": "printers", "name_it": "Stampanti", "name_en": "Printers", "parent": "hardware"}
        assert (await sara.post("/admin/areas", json=below)).json()["parent"] == "hardware"
        raised = await sara.patch("/admin/areas/printers", json={"parent": ""})
        assert raised.json()["parent"] is None
        retired = await sara.patch("/admin/areas/hardware", json={"active": False})
        assert retired.json()["active"] is False
        assert (await sara.patch("/admin/areas/nowhere", json={"name_it": "x"})).status_code == 404
        assert list((await sara.post("/admin/areas", json=top | {"key": "UP"})).json()["fields"]) == ["key"]
        group = (await sara.post("/admin/groups", json={"name": "DBA", "level": 2})).json()
        edited = await sara.patch(f"/admin/groups/{group['id']}", json={"email": "dba@example.org", "level": 3})
        assert (edited.json()["email"], edited.json()["level"]) == ("dba@example.org", 3)
        assert (await sara.post("/admin/groups", json={"name": "DBA", "level": 2})).status_code == 409
        assert (await sara.post("/admin/groups", json={"name": "X", "level": 9})).status_code == 422
        assert [one["name"] for one in (await sara.get("/admin/groups")).json()] == ["DBA"]
        assert {one["key"] for one in (await sara.get("/admin/areas")).json()} >= {"hardware", "printers"}
    assert [act for act, _ in await acts(served)] == [
        "area_added",
        "area_added",
        "area_edited",
        "area_edited",
        "group_added",
        "group_edited",
    ]


# -------------------------------------------------------------------------------------------- hours, queues and lines


async def put(sara: Any, kind: str, name: str, definition: dict[str, Any]) -> Any:
    return await sara.put(f"/admin/site/{kind}/{name}", json={"definition": definition})


async def test_hours_queues_and_menus_are_edited_and_given_back_to_the_file(served: DeskServer) -> None:
    await served.supervisor("sara")
    number = served.calls.lines[0].number
    async with served.browser("sara") as sara:
        edited = await put(sara, "calendar", "desk", {"weekly": {"monday": ["08:00-13:00"]}, "patron_saint": "12-06"})
        assert edited.status_code == 200, edited.text
        assert edited.json()["edited_by"] == "sara"
        assert dict(served.calls.calendars["desk"].weekly) == {"monday": ("08:00-13:00",)}
        await put(sara, "queue", "desk", {"max_wait_seconds": 90, "max_waiting": 5})
        assert (served.calls.queues["desk"].max_wait_seconds, served.calls.queues["desk"].max_waiting) == (90, 5)
        menu = {"prompt": "menu-main", "choices": {"1": {"area": "credentials", "queue": "specialists"}}}
        await put(sara, "line", number, {"menu": menu, "queue": "specialists"})
        line = served.calls.line(number)
        assert line is not None
        assert (line.queue, line.menu and line.menu.choices["1"].queue) == ("specialists", "specialists")
        parts = {(part["kind"], part["name"]): part for part in (await sara.get("/admin/site")).json()}
        assert parts["queue", "desk"]["of_file"]["max_wait_seconds"] == 180
        assert parts["queue", "specialists"]["edited_by"] is None
        back = await sara.delete("/admin/site/queue/desk")
        assert (back.json()["edited_by"], served.calls.queues["desk"].max_wait_seconds) == (None, 180)
        assert (await sara.delete("/admin/site/queue/desk")).status_code == 422
        same = await put(sara, "calendar", "desk", parts["calendar", "desk"]["of_file"])
        assert same.json()["edited_by"] is None
    told = await served.database.read(lines)
    assert [one.act for one in told] == ["hours_edited", "queue_edited", "line_edited", "queue_edited", "hours_edited"]
    assert (told[1].old, told[1].new) == (
        {"max_wait_seconds": 180.0, "max_waiting": None},
        {"max_wait_seconds": 90.0, "max_waiting": 5},
    )


async def add(client: Any, kind: str, name: str, definition: dict[str, Any] | None = None) -> Any:
    return await client.post(f"/admin/site/{kind}", json={"name": name, "definition": definition or {}})


async def test_new_hours_a_queue_and_a_line_are_added_and_removed_once_nothing_uses_them(served: DeskServer) -> None:
    giulia = await served.agent("giulia")
    await served.supervisor("sara")
    async with served.browser("sara") as sara:
        for kind, name, definition in (
            ("calendar", "Sportello CUP", {"weekly": {"monday": ["08:00-13:00"]}}),
            ("queue", "cup", {"ring_seconds": 12}),
            ("line", "+390805559999", {"name": "CUP", "calendar": "Sportello CUP", "queue": "cup"}),
        ):
            added = await add(sara, kind, name, definition)
            assert (added.status_code, added.json()["of_file"]) == (201, None), added.text
            assert (await add(sara, kind, name, definition)).status_code == 422
        line = served.calls.line("+390805559999")
        assert line is not None
        assert (line.queue, line.language, served.calls.queues["cup"].ring_seconds) == ("cup", "it", 12)
        menu = {"choices": {"2": {"queue": "cup"}}}
        assert (await put(sara, "line", LINE, {"menu": menu})).status_code == 200
        await sara.patch("/admin/people/giulia", json={"queues": ["desk", "cup"]})
        used = await sara.delete("/admin/site/queue/cup")
        assert (used.status_code, used.json()["error"]) == (409, "still_used")
        for words in ("tasto", "2, Help Desk Edotto", "linea", "CUP (+390805559999)", "operatore", "Giulia"):
            assert words in used.json()["message"]
        await sara.post("/closures", json={"calendar": "Sportello CUP", "words": f"Trasloco {HOSTILE}"})
        hours = await sara.delete("/admin/site/calendar/Sportello CUP")
        assert "CUP (+390805559999)" in hours.json()["message"]
        assert "Trasloco" in hours.json()["message"]
        assert (await sara.delete("/admin/site/queue/desk")).status_code == 422
        assert (await put(sara, "queue", "cup", {"ring_seconds": 15})).json()["definition"]["ring_seconds"] == 15
        await put(sara, "line", LINE, {"menu": None})
        await sara.patch("/admin/people/giulia", json={"queues": ["desk"]})
        (closed,) = (await sara.get("/closures")).json()
        await sara.post(f"/closures/{closed['id']}/end", json={})
        for kind, name in (("line", "+390805559999"), ("queue", "cup"), ("calendar", "Sportello CUP")):
            gone = await sara.delete(f"/admin/site/{kind}/{name}")
            assert (gone.status_code, gone.json()) == (200, None), gone.text
            assert (await sara.delete(f"/admin/site/{kind}/{name}")).status_code == 422
    assert (served.calls.line("+390805559999"), "cup" in served.calls.queues) == (None, False)
    assert giulia
    told = [one for one in await served.database.read(lines) if one.subject == "queue cup"]
    assert [one.act for one in told] == ["queue_added", "queue_edited", "queue_removed"]
    assert (told[0].old, told[0].new and told[0].new["ring_seconds"]) == (None, 12)
    assert (told[2].old and told[2].old["ring_seconds"], told[2].new) == (15, None)


async def test_the_second_of_two_supervisors_is_told_and_overwrites_nothing(served: DeskServer) -> None:
    for name in ("sara", "paola"):
        await served.supervisor(name)
    async with served.browser("sara") as sara, served.browser("paola") as paola:
        for kind, name in (("queue", "desk"), ("queue", "cup")):
            await add(sara, "queue", "cup")
            parts = (await paola.get("/admin/site")).json()
            (seen,) = (part["edited_at"] for part in parts if (part["kind"], part["name"]) == (kind, name))
            first = {"definition": {"ring_seconds": 7}, "edited_at": seen}
            assert (await sara.put(f"/admin/site/{kind}/{name}", json=first)).status_code == 200
            second = {"definition": {"ring_seconds": 9}, "edited_at": seen}
            told = await paola.put(f"/admin/site/{kind}/{name}", json=second)
            assert (told.status_code, told.json()["error"]) == (409, "conflict")
            assert served.calls.queues[name].ring_seconds == 7
            parts = (await paola.get("/admin/site")).json()
            (seen,) = (part["edited_at"] for part in parts if (part["kind"], part["name"]) == (kind, name))
            again = await paola.put(f"/admin/site/{kind}/{name}", json=second | {"edited_at": seen})
            assert (again.status_code, served.calls.queues[name].ring_seconds) == (200, 9)


@pytest.mark.parametrize(
    ("kind", "name", "definition", "field"),
    [
        ("calendar", "CUP", {}, "weekly"),
        ("calendar", "desk", {"weekly": {}}, "name"),
        ("calendar", "DESK", {"weekly": {}}, "name"),
        ("calendar", HOSTILE[:40], {"weekly": {}}, "name"),
        ("calendar", "a/b", {"weekly": {}}, "name"),
        ("calendar", "CUP", {"weekly": {}, "name": "other"}, "name"),
        ("calendar", "CUP", {"weekly": {}, "timezone": "Nowhere/At all"}, "timezone"),
        ("queue", "..", {}, "name"),
        ("queue", "", {}, "name"),
        ("queue", "x" * 41, {}, "name"),
        ("queue", "cup", {"ring_seconds": HOSTILE}, "ring_seconds"),
        ("queue", "cup", {"call_back": True}, "queues.cup.call_back"),
        ("line", "123", {"name": "CUP", "calendar": "nowhere", "queue": "desk"}, "lines.1.calendar"),
        ("line", "123", {"name": "CUP", "calendar": "desk", "queue": "desk", "fax": True}, "fax"),
        ("line", "123", {"name": "CUP", "calendar": "desk", "queue": "desk", "language": "en"}, "language"),
        ("line", "12a", {"name": "CUP", "calendar": "desk", "queue": "desk"}, "number"),
        ("line", "123", {"name": "", "calendar": "desk", "queue": "desk"}, "name"),
    ],
)
async def test_what_cannot_be_added_is_refused_at_its_field(
    served: DeskServer, kind: str, name: str, definition: dict[str, Any], field: str
) -> None:
    await served.supervisor("sara")
    before = served.calls.model_dump()
    async with served.browser("sara") as sara:
        answer = await add(sara, kind, name, definition)
        assert answer.status_code == 422, answer.text
        assert list(answer.json()["fields"]) == [field]
    assert served.calls.model_dump() == before
    assert await acts(served) == []


async def test_pages_that_are_open_have_a_new_queue_at_once(served: DeskServer) -> None:
    await served.agent("giulia")
    await served.supervisor("sara")
    async with live_page(served, "giulia") as (page, snapshot), served.browser("sara") as sara:
        assert snapshot["data"]["queues"] == ["desk", "specialists"]
        await add(sara, "queue", "cup")
        while (event := await page.next())["type"] != "snapshot":
            pass
        assert event["data"]["queues"] == ["cup", "desk", "specialists"]


@pytest.mark.parametrize(
    ("kind", "name", "definition"),
    [
        ("calendar", "desk", {"weekly": {"monday": ["13:00-08:00"]}}),
        ("calendar", "desk", {"weekly": {"someday": ["08:00-13:00"]}}),
        ("calendar", "desk", {"unplanned": []}),
        ("calendar", "desk", {"nonsense": HOSTILE}),
        ("calendar", "nowhere", {"holidays": False}),
        ("queue", "desk", {"ring_seconds": 0}),
        ("queue", "desk", {"call_back": True}),
        ("line", LINE := "0805551000", {"queue": "nowhere"}),
        ("line", LINE, {"calendar": "nowhere"}),
        ("line", LINE, {"number": "1"}),
        ("line", LINE, {"menu": {"choices": {"x": {}}}}),
        ("line", LINE, {"menu": {"choices": {"1": {"queue": "nowhere"}}}}),
        ("line", LINE, {"menu": {"choices": {}}}),
    ],
)
async def test_what_makes_no_sense_is_refused_and_changes_nothing(
    served: DeskServer, kind: str, name: str, definition: dict[str, Any]
) -> None:
    await served.supervisor("sara")
    before = served.calls.model_dump()
    async with served.browser("sara") as sara:
        answer = await put(sara, kind, name, definition)
        assert answer.status_code == 422, answer.text
        assert answer.json()["fields"]
        assert (await put(sara, "nonsense", name, definition)).status_code == 422
    assert served.calls.model_dump() == before
    assert await acts(served) == []
