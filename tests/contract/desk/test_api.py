"""What other programs do through `/api/v1`."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from centralino.rig.desk_server import HOSTILE, DeskServer
from desk import once
from desk.api import tokens
from desk.models import ApiAnswer, ApiToken, Scope
from desk.once import KeyUsed, done_once, forget_answers
from tickets.database import Database
from tickets.directory import edit_contact
from tickets.lifecycle import RequestSettings, Role
from tickets.models import OutboxMail, Request, RequestEvent, Status
from tickets.operations import close_request, move_request

pytestmark = pytest.mark.contract

T = TypeVar("T")

NEW = {"kind": "problem", "area": "application", "subject": "Non stampa", "email": "u@asl.example.org"}
BOTH = (Scope.READ, Scope.WRITE)


def everything(session: Session, table: type[T]) -> Sequence[T]:
    return session.scalars(select(table)).all()


@contextlib.asynccontextmanager
async def program(
    served: DeskServer, *scopes: Scope, name: str = "portale", token: str | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """Another program with a token of these scopes."""
    if token is None:
        token = await served.database.run(tokens.add_token, name, set(scopes or BOTH), now=served.now())
    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=f"{served.url}/api/v1", headers=headers) as client:
        yield client


def key(value: str) -> dict[str, str]:
    return {"idempotency-key": value}


def is_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert (found["status"], found["code"], found["type"]) == (status, code, f"urn:centralino:{code}")
    return found


async def test_a_program_opens_a_request_and_sees_how_it_stands(served: DeskServer) -> None:
    contact = await served.contact("Teresa Bianchi", company="ASL Bari", email="t@asl.example.org")
    async with program(served) as client:
        answer = await client.post("/requests", json=NEW | {"contact_id": contact, "email": None}, headers=key("1"))
        assert answer.status_code == 201, answer.text
        opened = answer.json()
        assert opened["ticket"]
        assert (opened["channel"], opened["status"], opened["holder"]) == ("api", "queued", None)
        assert opened["pickup_due_at"] is not None
        assert answer.headers["location"] == f"/api/v1/requests/{opened['ticket']}"
        assert answer.headers["cache-control"] == "no-store"
        seen = (await client.get(f"/requests/RdS {opened['ticket']}")).json()
        assert {name: seen[name] for name in opened if name != "updated_at"} == {
            name: value for name, value in opened.items() if name != "updated_at"
        }
        assert seen["contact_name"] == "Teresa Bianchi"
        assert [(event["kind"], event["actor"]) for event in seen["events"]] == [("opened", "api:portale")]
    mails = await served.database.read(everything, OutboxMail)
    assert [(mail.kind, mail.recipient) for mail in mails] == [("opened", "t@asl.example.org")]


async def test_the_same_key_does_a_thing_once(served: DeskServer) -> None:
    async with program(served) as client:
        first = await client.post("/requests", json=NEW, headers=key("a"))
        again = await client.post("/requests", json=dict(reversed(NEW.items())), headers=key("a"))
        assert (again.status_code, again.json()) == (201, first.json())
        assert (first.headers.get("idempotency-replayed"), again.headers["idempotency-replayed"]) == (None, "true")
        is_problem(await client.post("/requests", json=NEW | {"subject": "Altro"}, headers=key("a")), 422, "key_reused")
        other = await client.post("/requests", json=NEW, headers=key("b"))
        assert other.json()["ticket"] != first.json()["ticket"]
        ticket = first.json()["ticket"]
        is_problem(
            await client.post(f"/requests/{ticket}/notes", json={"text": "x"}, headers=key("a")), 422, "key_reused"
        )
    async with program(served, name="altro") as client:  # another program's keys are its own
        assert (await client.post("/requests", json=NEW, headers=key("a"))).json()["ticket"] != first.json()["ticket"]
    assert len(await served.database.read(everything, Request)) == 3


async def test_a_refused_request_leaves_its_key_free(served: DeskServer) -> None:
    async with program(served) as client:
        wrong = await client.post("/requests", json=NEW | {"area": "nonsense"}, headers=key("a"))
        assert "area" in is_problem(wrong, 422, "invalid_input")["fields"]
        assert (await client.post("/requests", json=NEW, headers=key("a"))).status_code == 201


async def test_many_at_once_with_one_key_are_one(served: DeskServer) -> None:
    async with program(served) as client:
        answers = await asyncio.gather(*(client.post("/requests", json=NEW, headers=key("a")) for _ in range(12)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert len(await served.database.read(everything, Request)) == 1


async def test_one_key_in_two_processes_does_a_thing_once(database: Database) -> None:
    """On PostgreSQL the second waits for the first; the databases' own locks are what is tried here."""
    from datetime import UTC, datetime

    now = datetime(2026, 11, 23, 9, tzinfo=UTC)
    await database.run(tokens.add_token, "portale", {Scope.WRITE}, now=now)
    worked = 0

    def work(session: Session) -> dict[str, Any]:
        nonlocal worked
        worked += 1
        session.add(ApiToken(name=f"made-{worked}", token_sha256=f"{worked}", scopes=[], created_at=now))
        session.flush()
        return {"number": worked}

    other = Database(database.engine.url.render_as_string(hide_password=False), patience=5)
    try:
        both = [database, other] * 6
        answers = await asyncio.gather(*(done_once(one, ApiAnswer, 1, "k", {"a": 1}, work, now=now) for one in both))
    finally:
        await other.close()
    assert len({json.dumps(answer) for answer, _ in answers}) == 1
    assert sum(not replayed for _, replayed in answers) == 1
    made = [one.name for one in await database.read(everything, ApiToken) if one.name != "portale"]
    assert len(made) == 1
    with pytest.raises(KeyUsed):
        await done_once(database, ApiAnswer, 1, "k", {"a": 2}, work, now=now)
    await database.run(forget_answers, now=now + once.KEPT + timedelta(seconds=1))
    assert (await done_once(database, ApiAnswer, 1, "k", {"a": 2}, work, now=now))[1] is False


async def test_a_program_adds_notes(served: DeskServer) -> None:
    async with program(served) as client:
        ticket = (await client.post("/requests", json=NEW, headers=key("1"))).json()["ticket"]
        answer = await client.post(f"/requests/{ticket}/notes", json={"text": "Visto\nanche qui"}, headers=key("2"))
        assert answer.status_code == 201
        note = answer.json()
        assert (note["kind"], note["actor"], note["text"]) == ("note", "api:portale", "Visto\nanche qui")
        again = await client.post(f"/requests/{ticket}/notes", json={"text": "Visto\nanche qui"}, headers=key("2"))
        assert again.json() == note
        is_problem(
            await client.post(f"/requests/{ticket}/notes", json={"text": " "}, headers=key("3")), 422, "invalid_input"
        )
        is_problem(await client.post("/requests/1000173/notes", json={"text": "x"}, headers=key("4")), 404, "not_there")
    notes = [event for event in await served.database.read(everything, RequestEvent) if event.kind == "note"]
    assert len(notes) == 1


async def test_a_user_answers_through_a_program(served: DeskServer) -> None:
    request = await served.request("Non stampa", channel="voicemail", email="u@asl.example.org")
    at = {"actor": "giulia", "role": Role.AGENT}
    path = f"/requests/{request.ticket}/replies"

    async def status() -> str:
        return str((await client.get(f"/requests/{request.ticket}")).json()["status"])

    async def move(to: Status, text: str) -> None:
        await served.database.run(
            move_request,
            request.id,
            to,
            served.notices,
            text=text,
            now=served.now(),
            **at,  # type: ignore[arg-type]
        )

    async with program(served) as client:
        await move(Status.IN_PROGRESS, "")
        await move(Status.PENDING_USER, "Da quale PC?")
        assert await status() == "pending_user"
        answer = await client.post(path, json={"text": "Dal mio"}, headers=key("1"))
        assert (answer.status_code, answer.json()["kind"], answer.json()["text"]) == (201, "reply", "Dal mio")
        assert (await client.post(path, json={"text": "Dal mio"}, headers=key("1"))).json() == answer.json()
        assert await status() == "in_progress"
        await move(Status.RESOLVED, "Riavviato")
        assert (await client.post(path, json={"text": "Non va"}, headers=key("2"))).status_code == 201
        assert await status() == "in_progress"
        await move(Status.CLOSED, "Sostituita")
        served.now.ahead += timedelta(days=365)
        is_problem(await client.post(path, json={"text": "Di nuovo"}, headers=key("3")), 409, "request_closed")
        new = NEW | {"follow_up_of": request.ticket}
        follow_up = await client.post("/requests", json=new, headers=key("4"))
        assert follow_up.status_code == 201
        wrong = await client.post("/requests", json=NEW | {"follow_up_of": "1000173"}, headers=key("5"))
        assert list(is_problem(wrong, 422, "invalid_input")["fields"]) == ["follow_up_of"]
    rows = await served.database.read(everything, Request)
    assert [row.follow_up_of_id for row in rows] == [None, request.id]


async def test_a_program_may_reopen_as_long_as_the_site_says(tmp_path: Path) -> None:
    server = DeskServer(tmp_path)
    server.request_rules = RequestSettings(reopen_days=30)
    async with server as served, program(served) as client:
        request = await served.request("Non stampa", channel="voicemail", email="u@asl.example.org")

        async def close() -> None:
            told = partial(close_request, solution="Riavviato", actor="giulia", now=served.now())
            await served.database.run(told, request.id, served.notices)

        await close()
        path = f"/requests/{request.ticket}/replies"
        served.now.ahead += timedelta(days=29)
        assert (await client.post(path, json={"text": "Non va"}, headers=key("1"))).status_code == 201
        await close()
        served.now.ahead += timedelta(days=31)
        is_problem(await client.post(path, json={"text": "Di nuovo"}, headers=key("2")), 409, "request_closed")


async def test_a_program_follows_what_changes_and_misses_nothing(served: DeskServer) -> None:
    begun = served.now()
    tickets = []
    async with program(served) as client:
        for n in range(7):
            served.now.ahead += timedelta(minutes=10)
            tickets.append((await client.post("/requests", json=NEW, headers=key(f"{n}"))).json()["ticket"])

        async def pages(since: Any) -> list[str]:
            found, cursor = [], None
            while True:
                params = {"limit": 3} | ({"cursor": cursor} if cursor else {"updated_since": since.isoformat()})
                page = (await client.get("/requests", params=params)).json()
                assert len(page["requests"]) <= 3
                found += [one["ticket"] for one in page["requests"]]
                if (cursor := page["next"]) is None:
                    return found

        assert await pages(begun) == tickets
        as_of = (await client.get("/requests")).json()["as_of"]
        served.now.ahead += timedelta(minutes=10)
        await client.post(f"/requests/{tickets[0]}/notes", json={"text": "x"}, headers=key("n"))
        later = (await client.get("/requests", params={"updated_since": as_of})).json()["requests"]
        assert [one["ticket"] for one in later] == [tickets[6], tickets[0]]
        assert (await client.get("/requests", params={"status": "closed"})).json()["requests"] == []
        assert len((await client.get("/requests", params={"status": ["closed", "queued"]})).json()["requests"]) == 7


@pytest.mark.parametrize(
    "params",
    [
        *({"updated_since": "2026-11-20T10:00:00"}, {"updated_since": "0001-01-01T00:00:00+14:00"}),
        *({"updated_since": "9999-12-31T23:59:59-14:00"}, {"limit": 0}, {"limit": 10**30}, {"cursor": "x"}),
        *({"update_since": "2026-11-20T10:00:00Z"}, {"Limit": "3"}),
        *({"cursor": "WzEsMl0"}, {"cursor": "Wy0xXQ"}, {"cursor": "\x00"}, {"cursor": "è"}, {"status": "nonsense"}),
        {"cursor": "WyIwMDAxLTAxLTAxVDAwOjAwOjAwKzE0OjAwIiwxXQ"},
    ],
)
async def test_odd_questions_are_told_what_is_wrong(served: DeskServer, params: dict[str, Any]) -> None:
    async with program(served) as client:
        found = is_problem(await client.get("/requests", params=params), 422, "invalid_input")
        assert [field.split(".")[0] for field in found["fields"]] == list(params)


async def test_contacts_are_looked_up(served: DeskServer) -> None:
    await served.contact("Teresa Bianchi", phone="+390805551234", company="ASL Bari", email="T.Bianchi@asl.example.org")
    await served.contact("Carlo Neri", phone="+390805559999")
    async with program(served, Scope.READ) as client:
        for params in ({"q": "bianchi bari"}, {"email": "t.bianchi@ASL.example.org"}, {"phone": "080 5551234"}):
            (found,) = (await client.get("/contacts", params=params)).json()
            assert (found["name"], found["company"]["name"]) == ("Teresa Bianchi", "ASL Bari")
            assert found["phones"] == ["+390805551234"]
        assert (await client.get("/contacts", params={"q": "neri", "phone": "080 5551234"})).json() == []
        assert (await client.get("/contacts", params={"user_code": "x"})).json() == []
        is_problem(await client.get("/contacts"), 422, "invalid_input")
        is_problem(await client.get("/contacts", params={"phone": "casa"}), 422, "invalid_input")


async def test_a_token_may_only_do_what_it_was_made_for(served: DeskServer) -> None:
    async with (
        program(served, Scope.READ, name="lettore") as reader,
        program(served, Scope.WRITE, name="autore") as writer,
    ):
        ticket = (await writer.post("/requests", json=NEW, headers=key("0"))).json()["ticket"]
        asked = {
            ("GET", "/requests"): Scope.READ,
            ("GET", "/requests/{ticket}"): Scope.READ,
            ("GET", "/contacts"): Scope.READ,
            ("POST", "/requests"): Scope.WRITE,
            ("POST", "/requests/{ticket}/notes"): Scope.WRITE,
            ("POST", "/requests/{ticket}/replies"): Scope.WRITE,
        }
        described = (await reader.get("/openapi.json")).json()["paths"]
        assert {(how.upper(), path) for path, hows in described.items() for how in hows} == asked.keys()
        for number, ((how, path), scope) in enumerate(asked.items()):
            for mine, client in ((Scope.READ, reader), (Scope.WRITE, writer)):
                answer = await client.request(
                    how,
                    path.format(ticket=ticket),
                    params={"q": "bianchi"} if path == "/contacts" else None,
                    json=None if how == "GET" else NEW if path == "/requests" else {"text": "Provato"},
                    headers=key(f"{number}-{mine}") if how == "POST" else None,
                )
                if mine is scope:
                    assert answer.is_success, (how, path, mine, answer.text)
                else:
                    assert "Non stampa" not in answer.text
                    is_problem(answer, 403, "scope_missing")


async def test_a_token_that_may_only_write_learns_nothing_of_the_directory(served: DeskServer) -> None:
    contact = await served.contact("Teresa Bianchi", company="ASL Bari", email="t@asl.example.org")
    await served.database.run(edit_contact, contact, {"user_code": "BNCTRS"}, actor="system", now=served.now())
    new = {name: value for name, value in NEW.items() if name != "email"}
    async with program(served, Scope.WRITE, name="autore") as writer:
        by_code = await writer.post("/requests", json=new | {"user_code": "BNCTRS"}, headers=key("1"))
        again = await writer.post("/requests", json=new | {"user_code": "BNCTRS"}, headers=key("1"))
        for answer in (by_code, again):
            assert answer.status_code == 201
            assert "Bianchi" not in answer.text
            assert "ASL Bari" not in answer.text
            assert "t@asl.example.org" not in answer.text
            assert answer.json()["contact_id"] is None
        by_id = (await writer.post("/requests", json=NEW | {"contact_id": contact}, headers=key("2"))).json()
        assert (by_id["contact_id"], by_id["contact_name"], by_id["email"]) == (contact, None, NEW["email"])
        wrong = await writer.post("/requests", json=NEW | {"contact_id": contact, "user_code": "X"}, headers=key("3"))
        assert "Bianchi" not in wrong.text
        reply = await writer.post(f"/requests/{by_id['ticket']}/replies", json={"text": "Provato"}, headers=key("4"))
        assert "Bianchi" not in reply.text
    async with program(served, Scope.READ, Scope.WRITE, name="entrambi") as both:
        known = (await both.post("/requests", json=new | {"user_code": "BNCTRS"}, headers=key("1"))).json()
        assert (known["contact_name"], known["email"]) == ("Teresa Bianchi", "t@asl.example.org")
    assert [one.contact_id for one in await served.database.read(everything, Request)] == [contact] * 3


async def test_nobody_is_let_in_without_a_token_that_holds(served: DeskServer) -> None:
    token = await served.database.run(tokens.add_token, "portale", {Scope.READ}, now=served.now())
    async with program(served, token=token) as client:
        assert (await client.get("/requests")).status_code == 200
        await served.database.run(tokens.remove_token, "portale")
        answer = await client.get("/requests")
        is_problem(answer, 401, "no_token")
        assert answer.headers["www-authenticate"] == "Bearer"
        for wrong in ("Bearer", "Bearer x", "Basic eDp5", "", "Bearer \xe8"):
            answer = await client.get("/requests", headers=[(b"authorization", wrong.encode("latin-1"))])
            is_problem(answer, 401, "no_token")
    rows = json.dumps([one.token_sha256 for one in await served.database.read(everything, ApiToken)])
    assert token not in rows
    await served.agent("giulia")
    async with served.browser("giulia") as page:  # a person's log-in is no token
        is_problem(await page.get("/v1/requests"), 401, "no_token")


async def test_guessing_tokens_slows_down_but_locks_no_program_out(served: DeskServer) -> None:
    async with program(served) as client:
        assert (await client.get("/requests")).status_code == 200
        codes = [
            (await client.get("/requests", headers={"authorization": f"Bearer {n}"})).status_code for n in range(40)
        ]
        assert set(codes) == {401, 429}
        assert (await client.get("/requests")).status_code == 200


async def test_a_program_that_asks_too_often_is_told_when_to_come_back(tmp_path: Any) -> None:
    async with DeskServer(tmp_path, api_per_minute=5) as served, program(served) as client:
        codes = [(await client.get("/requests")).status_code for _ in range(8)]
        assert codes[:5] == [200] * 5
        assert 429 in codes
        answer = await client.get("/requests")
        is_problem(answer, 429, "too_often")
        served.now.ahead += timedelta(seconds=int(answer.headers["retry-after"]))
        assert (await client.get("/requests")).status_code == 200
        async with program(served, name="altro") as other:
            assert (await other.get("/requests")).status_code == 200


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"[]", b"null", b"1", b'{"kind":NaN}', b"\xff\xfe", b"[" * 100_000, b'"\\ud800"'),
        json.dumps(NEW | {"unknown": 1}).encode(),
        json.dumps(NEW | {"subject": "x" * 201}).encode(),
        json.dumps(NEW | {"description": "x" * 20_001}).encode(),
        json.dumps(NEW | {"subject": "\x00\u202e "}).encode(),
        json.dumps(NEW | {"subject": "\ud800"}).encode(),
        json.dumps(NEW | {"contact_id": 10**30}).encode(),
        json.dumps(NEW | {"contact_id": -1}).encode(),
        json.dumps(NEW | {"contact_id": True}).encode(),
        json.dumps(NEW | {"contact_id": 999}).encode(),
        json.dumps(NEW | {"user_code": "nobody"}).encode(),
        json.dumps(NEW | {"email": "a@b.example\r\nBcc: c@d.example"}).encode(),
        json.dumps(NEW | {"kind": None}).encode(),
    ],
    ids=lambda content: content[:40].decode("latin-1"),
)
async def test_what_cannot_be_read_is_refused_and_nothing_done(served: DeskServer, content: bytes) -> None:
    async with program(served) as client:
        answer = await client.post(
            "/requests", content=content, headers=key("1") | {"content-type": "application/json"}
        )
        assert answer.status_code in (400, 422), answer.text
        assert answer.headers["content-type"] == "application/problem+json"
    assert await served.database.read(everything, Request) == []
    assert await served.database.read(everything, ApiAnswer) == []


async def test_hostile_words_come_back_as_they_were_sent(served: DeskServer) -> None:
    async with program(served) as client:
        hostile = NEW | {"subject": HOSTILE, "description": HOSTILE, "phone": HOSTILE[:60]}
        ticket = (await client.post("/requests", json=hostile, headers=key("1"))).json()["ticket"]
        seen = (await client.get(f"/requests/{ticket}")).json()
        assert "<img src=x" in seen["subject"]
        assert "\u202e" not in seen["subject"]


async def test_too_much_content_or_none_that_is_json_is_refused(served: DeskServer) -> None:
    async with program(served) as client:
        much = await client.post("/requests", json=NEW | {"description": "x" * 300_000}, headers=key("1"))
        is_problem(much, 413, "too_large")

        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(100):
                yield b" " * 10_000

        headers = key("1") | {"content-type": "application/json"}
        is_problem(await client.post("/requests", content=pieces(), headers=headers), 413, "too_large")
        is_problem(await client.post("/requests", data=NEW, headers=key("1")), 415, "not_json")
        is_problem(await client.post("/requests", json=NEW), 422, "invalid_input")  # no key
        for odd in ("", "a b", "x" * 256, "\xe8"):
            headers = {"idempotency-key": odd.encode("latin-1")}  # type: ignore[dict-item]
            is_problem(await client.post("/requests", json=NEW, headers=headers), 422, "invalid_input")
        is_problem(await client.put("/requests", json=NEW), 405, "no_such_method")
        is_problem(await client.get("/nothing"), 404, "no_such_path")
        for ticket in ("x", "%00", "1%0A2", "%2e%2e%2f", "1000173", "9" * 50):
            is_problem(
                await client.get(f"/requests/{ticket}"), 404, "not_there" if ticket != "%2e%2e%2f" else "no_such_path"
            )


async def test_the_api_describes_itself(served: DeskServer) -> None:
    async with program(served) as client:
        described = (await client.get("/openapi.json")).json()
    assert {"/requests", "/requests/{ticket}", "/requests/{ticket}/notes", "/contacts"} <= described["paths"].keys()
    assert described["servers"] == [{"url": "/api/v1"}]
    assert "Problem" in described["components"]["schemas"]
    for path in described["paths"].values():
        for operation in path.values():
            assert operation["security"] == [{"HTTPBearer": []}]
            assert "application/problem+json" in operation["responses"]["4XX"]["content"]
