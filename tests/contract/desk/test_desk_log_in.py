"""Who gets in, and what a browser is told."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from centralino.rig.desk_server import PASSWORD, DeskServer
from centralino.rig.postgres import PostgresServer
from desk.models import DeskSession, FailedLogIns, Role
from desk.operations import end_unused, remove_account, set_password, set_role
from desk.passwords import token_hash, verify_password
from desk.throttle import Attempt, count_attempt, forgive, wait_of
from ivr.browser_phones import KEY_MADE, keys
from tests.contract.desk.test_desk_live import live_socket
from tickets.changes import Change
from tickets.database import Base, Database

pytestmark = pytest.mark.contract


async def test_a_log_in_gives_a_cookie_that_only_the_server_can_use(served: DeskServer) -> None:
    await served.agent("giulia", "Giulia Ferrante")
    async with served.browser() as page:
        answer = await page.post("/session", json={"username": "giulia", "password": PASSWORD})
        assert answer.json()["name"] == "Giulia Ferrante"
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        token = page.cookies["centralino"]
        assert await served.database.read(Session.get, DeskSession, token) is None
        assert await served.database.read(Session.get, DeskSession, token_hash(token)) is not None
        assert (await page.get("/session")).json()["username"] == "giulia"


async def test_with_https_the_cookie_is_secure_and_bound_to_the_host(tmp_path_factory: pytest.TempPathFactory) -> None:
    async with DeskServer(tmp_path_factory.mktemp("secure"), secure_cookie=True) as served:
        await served.agent("giulia")
        async with served.browser() as page:
            answer = await page.post("/session", json={"username": "giulia", "password": PASSWORD})
            cookie = answer.headers["set-cookie"]
            assert cookie.startswith("__Host-centralino=")
            assert "; secure" in cookie.lower()
            assert answer.headers["strict-transport-security"]


async def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(served: DeskServer) -> None:
    await served.agent("giulia")
    async with served.browser() as page:
        wrong = await page.post("/session", json={"username": "giulia", "password": "wrong"})
        unknown = await page.post("/session", json={"username": "nobody", "password": "wrong"})
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.json() == unknown.json()
    assert wrong.json()["error"] == "wrong_password"


@pytest.mark.parametrize("meanwhile", [remove_account, partial(set_password, password="another long password")])
async def test_an_account_that_is_changed_during_the_log_in_lets_nobody_in(
    served: DeskServer, meanwhile: Callable[[Session, str], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    await served.agent("giulia")

    async def slow(password_hash: str | None, password: str) -> bool:
        right = await verify_password(password_hash, password)
        await served.database.run(meanwhile, "giulia")
        return right

    monkeypatch.setattr("desk.routes.session.verify_password", slow)
    async with served.browser() as page:
        answer = await page.post("/session", json={"username": "giulia", "password": PASSWORD})
        assert answer.status_code == 401
        assert answer.json()["error"] == "wrong_password"
        assert "set-cookie" not in answer.headers


async def test_messages_are_in_the_readers_language(served: DeskServer) -> None:
    async with served.browser() as page:
        wrong = {"username": "x", "password": "y"}
        italian = await page.post("/session", json=wrong)
        english = await page.post("/session", json=wrong, headers={"accept-language": "en-GB,en;q=0.9"})
    assert italian.json()["message"] == "Nome utente o password non corretti."
    assert english.json()["message"] == "User name or password is not right."


async def test_guessing_is_slowed_down_even_with_the_right_password_at_last(served: DeskServer) -> None:
    await served.agent("giulia")
    await served.agent("marco")
    async with served.browser() as page:
        for _ in range(5):
            assert (await page.post("/session", json={"username": "Giulia", "password": "no"})).status_code == 401
        blocked = await page.post("/session", json={"username": "giulia", "password": PASSWORD})
        assert blocked.status_code == 429
        assert blocked.json()["error"] == "too_many_attempts"
        assert 0 < int(blocked.headers["retry-after"]) <= 901
        assert (await page.post("/session", json={"username": "marco", "password": PASSWORD})).status_code == 200
        served.now.ahead = timedelta(minutes=16)
        assert (await page.post("/session", json={"username": "giulia", "password": PASSWORD})).status_code == 200


async def test_without_a_log_in_nothing_is_told(served: DeskServer) -> None:
    await served.message("m1", "buongiorno")
    async with served.browser() as page:
        schema = (await page.get("/openapi.json")).json()
        for path, methods in schema["paths"].items():
            for method in methods:
                if (path, method) == ("/api/session", "post") or path.startswith("/api/health"):
                    continue
                url = path.removeprefix("/api")
                for name in ("call_id", "message_id", "ticket"):
                    url = url.replace(f"{{{name}}}", "m1")
                answer = await page.request(method, url.replace("{request_id}", "1"), json={})
                assert answer.status_code == 401, (method, path, answer.text)


async def test_logging_out_ends_the_cookie_and_a_new_password_ends_all_log_ins(served: DeskServer) -> None:
    await served.agent("giulia")
    async with served.browser("giulia") as one, served.browser("giulia") as other:
        token = one.cookies["centralino"]
        assert (await one.delete("/session")).status_code == 204
        one.cookies.set("centralino", token)
        assert (await one.get("/session")).status_code == 401
        assert (await other.get("/session")).status_code == 200
        await served.database.run(set_password, "giulia", "another long password")
        assert (await other.get("/session")).status_code == 401


async def test_a_log_in_is_over_after_its_hours_however_it_is_used(served: DeskServer) -> None:
    await served.agent("giulia")
    async with served.browser("giulia") as page:
        while served.now.ahead < timedelta(hours=11, minutes=35):
            served.now.ahead += timedelta(minutes=25)
            assert (await page.get("/session")).status_code == 200
        served.now.ahead = timedelta(hours=12, seconds=1)
        assert (await page.get("/session")).status_code == 401


async def test_a_log_in_whose_pages_are_closed_is_over_sooner(served: DeskServer) -> None:
    await served.agent("giulia")
    async with served.browser("giulia") as page:
        served.now.ahead = timedelta(minutes=29)
        assert (await page.get("/session")).status_code == 200
        served.now.ahead = timedelta(minutes=58)  # 29 after the last use
        assert (await page.get("/session")).status_code == 200
        served.now.ahead = timedelta(minutes=89)
        answer = await page.get("/session")
        assert (answer.status_code, answer.json()["error"]) == (401, "not_logged_in")


async def test_failed_log_ins_are_counted_for_all_workers_together(served: DeskServer, tmp_path: Path) -> None:
    await served.agent("giulia")
    wrong, right = {"username": "giulia", "password": "no"}, {"username": "giulia", "password": PASSWORD}
    async with DeskServer(tmp_path) as other, served.browser() as here, other.browser() as there:
        for page in (here, there, here, there, here):
            assert (await page.post("/session", json=wrong)).status_code == 401
        for page in (here, there):
            answer = await page.post("/session", json=right)
            assert answer.status_code == 429
            assert 0 < int(answer.headers["retry-after"]) <= 901
        served.now.ahead = other.now.ahead = timedelta(minutes=16)
        assert (await there.post("/session", json=right)).status_code == 200
        assert await served.database.read(_failed) == [[]]  # the name is forgiven, its address keeps what counts


async def test_two_workers_on_a_server_count_attempts_made_at_the_same_time(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    url = postgres_server.create_database(f"attempts_{tmp_path.name}"[:60])
    async with contextlib.AsyncExitStack() as stack:
        workers = [Database(url), Database(url)]
        for worker in workers:
            stack.push_async_callback(worker.close)
        Base.metadata.create_all(workers[0].engine)
        attempt, now = Attempt("giulia", "10.0.0.1", 5, timedelta(minutes=15)), datetime.now(UTC)
        counted = (workers[n % 2].run(count_attempt, attempt, now=now) for n in range(12))
        waits = sorted(await asyncio.gather(*counted))
        assert waits == [timedelta(0)] * 5 + [timedelta(minutes=15)] * 7
        assert await workers[1].read(wait_of, attempt, now=now) == timedelta(minutes=15)
        await workers[0].run(forgive, attempt, now=now)
        assert await workers[1].read(wait_of, attempt, now=now) == timedelta(0)


async def test_attempts_made_at_the_same_time_count_as_well(served: DeskServer) -> None:
    await served.agent("giulia")
    async with served.browser() as page:
        attempts = (page.post("/session", json={"username": "giulia", "password": "no"}) for _ in range(12))
        answers = [answer.status_code for answer in await asyncio.gather(*attempts)]
    assert sorted(answers) == [401] * 5 + [429] * 7


async def test_one_address_may_not_try_every_name(served: DeskServer) -> None:
    await served.agent("giulia")
    async with served.browser() as page:
        for number in range(10):
            assert (await page.post("/session", json={"username": "giulia", "password": PASSWORD})).status_code == 200
            for _ in range(5):
                answer = await page.post("/session", json={"username": f"agent{number}", "password": "no"})
                assert answer.status_code == 401
        answer = await page.post("/session", json={"username": "giulia", "password": PASSWORD})
        assert answer.status_code == 429


async def test_logging_out_everywhere_ends_all_log_ins_of_this_person_only(served: DeskServer, tmp_path: Path) -> None:
    await served.agent("giulia")
    await served.agent("marco")
    async with (
        served.browser("giulia") as one,
        served.browser("giulia") as other,
        served.browser("marco") as his,
    ):
        answer = await one.delete("/session/everywhere")
        assert answer.status_code == 204
        assert 'centralino="";' in answer.headers["set-cookie"]
        assert (await other.get("/session")).status_code == 401
        assert (await his.get("/session")).status_code == 200


@pytest.mark.parametrize(
    "end",
    [
        partial(set_password, username="giulia", password="another long password"),
        partial(set_role, username="giulia", role=Role.SUPERVISOR),
        partial(remove_account, username="giulia"),
    ],
)
async def test_a_key_of_the_phone_in_the_browser_is_worth_nothing_once_all_log_ins_are_ended(
    tmp_path: Path, end: Callable[[Session], object]
) -> None:
    async with DeskServer(tmp_path, phone_url="/ws") as served:
        await served.agent("giulia", browser_phone=True)
        async with served.browser("giulia") as page:
            key = (await page.post("/phone/key")).json()["key"]
        told: list[Change] = []
        stop = served.database.subscribe(told.extend)
        await served.database.run(end)
        stop()
        assert KEY_MADE in {change.kind for change in told}
        ((_, now),) = await served.database.read(keys)
        assert now != key


async def test_a_key_of_the_phone_ends_with_the_last_log_in_that_is_over(tmp_path: Path) -> None:
    async with DeskServer(tmp_path, phone_url="/ws") as served:
        await served.agent("giulia", browser_phone=True)
        async with served.browser("giulia"), served.browser("giulia") as page:
            key = (await page.post("/phone/key")).json()["key"]
            end = partial(end_unused, idle=served.settings.idle)
            served.now.ahead = timedelta(minutes=20)
            await page.get("/session")
            served.now.ahead = timedelta(minutes=40)  # the other one is over
            await served.database.run(end, now=served.now())
            assert await served.database.read(keys) == [("giulia", key)]
            served.now.ahead = timedelta(minutes=70)
            await served.database.run(end, now=served.now())
            ((_, now),) = await served.database.read(keys)
            assert now != key
            await served.database.run(end, now=served.now())
            assert await served.database.read(keys) == [("giulia", now)]
        assert await served.database.read(_log_ins) == 0


async def test_another_role_needs_another_log_in(served: DeskServer) -> None:
    await served.agent("giulia")
    async with served.browser("giulia") as page:
        await served.database.run(set_role, "giulia", Role.SUPERVISOR)
        assert (await page.get("/session")).status_code == 401
    async with served.browser("giulia") as page:
        assert (await page.get("/session")).json()["role"] == "supervisor"


def _log_ins(session: Session) -> int:
    return len(session.scalars(select(DeskSession)).all())


def _failed(session: Session) -> list[list[float]]:
    return [row.times for row in session.scalars(select(FailedLogIns))]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://["}, 403),
        ({"origin": "http://a]b"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({}, 200),
    ],
)
async def test_pages_of_other_sites_cannot_change_anything(
    served: DeskServer, headers: dict[str, str], status: int
) -> None:
    await served.agent("giulia")
    async with served.browser("giulia") as page:
        answer = await page.post("/presence/pause", content=b'{"reason":"break"}', headers=headers)
        assert answer.status_code == status, answer.text


@pytest.mark.parametrize("media_type", ["application/json", "application/octet-stream"])
async def test_nobody_fills_the_memory_without_a_log_in(served: DeskServer, media_type: str) -> None:
    async def untold() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield b" " * 100_000

    headers = {"content-type": media_type}
    async with served.browser() as page:
        told = await page.post("/session", content=b" " * 1_000_001, headers=headers)
        assert told.status_code == 413
        refused = await page.post("/session", content=untold(), headers=headers)
        assert (refused.status_code, refused.json()["error"]) == (413, "too_large")


async def test_every_answer_carries_the_security_headers(served: DeskServer) -> None:
    async with served.browser() as page:
        for url in ("/", "/static/js/app.js", "/api/session", "/api/nothing"):
            answer = await page.get(f"{served.url}{url}")
            assert "script-src 'self'" in answer.headers["content-security-policy"]
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["x-frame-options"] == "DENY"
            expected = "no-store" if url.startswith("/api") else "no-cache"
            assert answer.headers["cache-control"] == expected


async def test_the_language_is_remembered_with_the_account(served: DeskServer) -> None:
    await served.agent("giulia")
    async with served.browser("giulia") as page:
        assert (await page.put("/session/language", json={"language": "en"})).json()["language"] == "en"
        assert (await page.put("/session/language", json={"language": "fr"})).status_code == 422
    async with served.browser("giulia") as page:
        assert (await page.get("/session")).json()["language"] == "en"


async def test_the_own_log_ins_are_listed_and_ended_one_by_one(served: DeskServer) -> None:
    await served.agent("giulia")
    await served.agent("marco")
    firefox = {b"user-agent": f"Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0 {'x' * 300}\u202e".encode()}
    async with (
        served.browser("giulia") as here,
        served.browser() as there,
        served.browser("marco") as his,
    ):
        credentials = {"username": "giulia", "password": PASSWORD}
        assert (await there.post("/session", json=credentials, headers=firefox)).status_code == 200
        served.now.ahead = timedelta(minutes=5)
        await here.get("/session")
        found = (await here.get("/session/log-ins")).json()
        assert [(one["this"], one["address"]) for one in found] == [(True, "127.0.0.1"), (False, "127.0.0.1")]
        assert found[0]["used_at"] > found[0]["since"]
        assert found[1]["browser"].startswith("Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0 x")
        assert len(found[1]["browser"]) == 200
        assert [one["this"] for one in (await there.get("/session/log-ins")).json()] == [True, False]
        assert len((await his.get("/session/log-ins")).json()) == 1
        tokens = token_hash(here.cookies["centralino"]), token_hash(there.cookies["centralino"])
        assert all(token not in str(found) for token in tokens)
        for wrong in ("nothing", found[1]["id"][:-1], tokens[1], "%00"):
            assert (await here.delete(f"/session/log-ins/{wrong}")).status_code == 404
        assert (await his.delete(f"/session/log-ins/{found[1]['id']}")).status_code == 404  # nobody else's
        assert (await there.get("/session")).status_code == 200
        assert (await here.delete(f"/session/log-ins/{found[1]['id']}")).status_code == 204
        assert (await there.get("/session")).status_code == 401
        assert (await here.get("/session")).status_code == 200
        assert [one["this"] for one in (await here.get("/session/log-ins")).json()] == [True]
        assert (await here.delete(f"/session/log-ins/{found[0]['id']}")).status_code == 204
        assert (await here.get("/session")).status_code == 401


async def test_a_log_in_that_is_ended_closes_its_pages(served: DeskServer) -> None:
    await served.agent("giulia")
    async with (
        served.browser("giulia") as there,
        served.browser("giulia") as here,
        live_socket(served, there) as socket,
    ):
        await socket.recv()
        other = next(one for one in (await here.get("/session/log-ins")).json() if not one["this"])
        assert (await here.delete(f"/session/log-ins/{other['id']}")).status_code == 204
        async with asyncio.timeout(5):
            await socket.wait_closed()
        assert socket.close_code == 4401
