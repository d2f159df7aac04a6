"""Searching at the desk, saved lists and keys: what the pages are told, and what is remembered."""

from collections.abc import AsyncIterator

import httpx
import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from centralino.rig.desk_server import HOSTILE, DeskServer
from desk.models import Account
from desk.request_queries import FOUND_BY_WORDS
from tickets.operations import add_note, close_request

pytestmark = pytest.mark.contract


@pytest.fixture
async def giulia(served: DeskServer) -> AsyncIterator[httpx.AsyncClient]:
    """An agent's browser."""
    await served.agent("giulia")
    async with served.browser("giulia") as page:
        yield page


async def test_the_number_that_is_written_comes_first_then_open_ones_then_the_newest(
    served: DeskServer, giulia: httpx.AsyncClient
) -> None:
    requests = [await served.request(f"Stampa {n}", actor="giulia") for n in range(4)]
    closed = requests[1]
    await served.database.run(
        close_request, closed.id, served.notices, solution="Fatto", actor="giulia", now=served.now()
    )
    note = f"come la {closed.ticket}"
    await served.database.run(add_note, requests[2].id, note, actor="giulia", now=served.now())
    found = (await giulia.get("/requests", params={"which": "all", "q": "stampa"})).json()
    assert [one["subject"] for one in found["requests"]] == ["Stampa 3", "Stampa 2", "Stampa 0", "Stampa 1"]
    found = (await giulia.get("/requests", params={"which": "all", "q": closed.ticket or ""})).json()
    assert [one["subject"] for one in found["requests"]] == ["Stampa 1", "Stampa 2"]
    assert found["requests"][1]["extract"] == {"where": "history", "text": note}
    assert found["words"] == [closed.ticket]


async def test_an_extract_says_where_the_words_are(served: DeskServer, giulia: httpx.AsyncClient) -> None:
    text = f"{'prima ' * 30}il tòner è finito {'dopo ' * 60}"
    await served.request("Stampante", actor="giulia", description=text, email="anna@asl.example", phone="+390805551234")
    for typed, where, begins in (
        ("toner", "description", "…"),
        ("stampante finito", "description", "…"),
        ("anna@asl", "contact", "anna@asl.example · +39 080 555 1234"),
        ("stampante", None, ""),
    ):
        (one,) = (await giulia.get("/requests", params={"which": "all", "q": typed})).json()["requests"]
        extract = one["extract"]
        assert (extract and extract["where"]) == where
        assert extract is None or (extract["text"].startswith(begins) and len(extract["text"]) < 200)
        assert where != "description" or "tòner è finito" in extract["text"]


async def test_lists_are_narrowed_by_the_same_words(served: DeskServer, giulia: httpx.AsyncClient) -> None:
    await served.request("Mia", actor="giulia", description="toner")
    await served.request("Sua", actor="marco", description="toner")
    await served.request("Nuova", channel="email", description="toner")
    over = await served.request("Finita", actor="giulia", description="toner")
    await served.database.run(
        close_request, over.id, served.notices, solution="Fatto", actor="giulia", now=served.now()
    )
    for which, meant in (
        ("open", {"Mia", "Sua", "Nuova"}),
        ("mine", {"Mia"}),
        ("untaken", {"Nuova"}),
        ("waiting", set()),
        ("closed", {"Finita"}),
        ("all", {"Mia", "Sua", "Nuova", "Finita"}),
    ):
        found = (await giulia.get("/requests", params={"which": which, "q": "tone"})).json()
        assert {one["subject"] for one in found["requests"]} == meant, which
        found = (await giulia.get("/requests", params={"which": which, "q": "tone", "level": 2})).json()
        assert found["requests"] == [], which
    for order, wanted in (("newest", ["Nuova", "Sua", "Mia"]), ("oldest", ["Mia", "Sua", "Nuova"])):
        found = (await giulia.get("/requests", params={"which": "open", "order": order})).json()
        assert [one["subject"] for one in found["requests"]] == wanted


async def test_a_search_gives_few_and_says_that_there_are_more(served: DeskServer, giulia: httpx.AsyncClient) -> None:
    for number in range(FOUND_BY_WORDS + 1):
        await served.request(f"Stampa {number}", actor="giulia")
    found = (await giulia.get("/requests", params={"which": "all", "q": "stampa"})).json()
    assert (len(found["requests"]), found["more"]) == (FOUND_BY_WORDS, True)


@pytest.mark.parametrize(
    "typed", [HOSTILE, "'" * 10_000, '"', "\x00", "NEAR(", " ", "*"], ids=lambda one: repr(one)[:12]
)
async def test_whatever_is_typed_there_is_an_answer(served: DeskServer, giulia: httpx.AsyncClient, typed: str) -> None:
    await served.request("Stampa", actor="giulia")
    for which in ("all", "open", "closed"):
        answer = await giulia.get("/requests", params={"which": which, "q": typed})
        assert answer.status_code == 200, answer.text


LIST = {"name": "Toner del piano", "which": "closed", "level": 1, "q": "toner", "days": 90, "order": "newest"}


async def test_saved_lists_columns_and_keys_are_remembered_with_the_account(
    served: DeskServer, giulia: httpx.AsyncClient
) -> None:
    before = (await giulia.get("/session")).json()["preferences"]
    assert (before["filters"], before["keys"]["on"]) == ([], True)
    wanted = {
        "filters": [LIST],
        "begin_with": LIST["name"],
        "columns": ["company"],
        "keys": {"on": False, "next": "n", "previous": "p", "search": "s", "help": "h", "choose": "v"},
    }
    answer = await giulia.put("/session/preferences", json=wanted)
    assert (answer.status_code, answer.json()["preferences"]) == (200, wanted)
    async with served.browser("giulia") as elsewhere:
        assert (await elsewhere.get("/session")).json()["preferences"] == wanted
    await served.agent("marco")
    async with served.browser("marco") as colleague:
        assert (await colleague.get("/session")).json()["preferences"] == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"filters": [LIST, LIST | {"name": "TONER DEL PIANO"}]},
        {"filters": [LIST | {"name": " "}]},
        {"filters": [LIST | {"days": 0}]},
        {"filters": [LIST] * 31},
        {"columns": ["password_hash"]},
        {"keys": {"next": "jj"}},
        {"keys": {"next": " "}},
        {"keys": {"next": "j", "previous": "J"}},
        {"anything": 1},
    ],
    ids=lambda one: repr(one)[:40],
)
async def test_preferences_that_make_no_sense_are_refused(giulia: httpx.AsyncClient, wrong: dict[str, object]) -> None:
    answer = await giulia.put("/session/preferences", json=wrong)
    assert answer.status_code == 422, answer.text


async def test_preferences_of_another_version_lock_nobody_out(served: DeskServer, giulia: httpx.AsyncClient) -> None:
    def spoil(session: Session) -> None:
        session.execute(update(Account).values(preferences={"columns": "all", "new": 1}))

    await served.database.run(spoil)
    assert (await giulia.get("/session")).json()["preferences"]["keys"]["next"] == "j"
