"""Several requests at once: each is done or refused for itself, and each is told."""

from typing import Any

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from centralino.rig.desk_server import HOSTILE, DeskServer
from desk.views import MOST_AT_ONCE
from tickets.levels import add_group
from tickets.models import OutboxMail, Request, RequestEvent, Status
from tickets.operations import add_note, close_request, edit_request, take_in_charge

pytestmark = pytest.mark.contract


def of(*requests: Request, **more: Any) -> dict[str, Any]:
    return {"requests": [{"id": one.id, "version": one.version} for one in requests], **more}


async def told(page: httpx.AsyncClient, body: dict[str, Any], **headers: str) -> list[dict[str, Any]]:
    answer = await page.post("/requests/several", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


def state(session: Session, request: Request) -> tuple[Status, str | None, int]:
    row = session.get_one(Request, request.id)
    return row.status, row.holder, row.level


def notes(session: Session, request: Request) -> list[str]:
    events = select(RequestEvent).where(RequestEvent.request_id == request.id, RequestEvent.kind == "note")
    return [event.details["text"] for event in session.scalars(events.order_by(RequestEvent.id))]


async def test_those_that_can_be_taken_are_and_each_other_one_says_why_not(served: DeskServer) -> None:
    await served.agent("giulia")
    await served.agent("marco")
    free, his, changed, closed = [await served.request(f"Richiesta {n}") for n in range(4)]
    done: dict[str, Any] = {"actor": "marco", "now": served.now()}
    await served.database.run(take_in_charge, his.id, **done)
    body = of(free, his, changed, closed, act="take")
    body["requests"] += [{"id": 999_999}]
    body["requests"][1]["version"] = None
    await served.database.run(edit_request, changed.id, {"subject": "Un'altra cosa"}, **done)
    await served.database.run(close_request, closed.id, served.notices, solution="Fatto", **done)
    body["requests"][3]["version"] = None
    async with served.browser("giulia") as giulia:
        results = await told(giulia, body)
    assert [(one["id"], one["done"], one["error"]) for one in results] == [
        (free.id, True, ""),
        (his.id, False, "request_taken"),
        (changed.id, False, "conflict"),
        (closed.id, False, "request_closed"),
        (999_999, False, "not_there"),
    ]
    assert results[1]["message"] == "La richiesta è già in carico a un collega."
    assert await served.database.read(state, free) == (Status.IN_PROGRESS, "giulia", 1)
    assert await served.database.read(state, his) == (Status.IN_PROGRESS, "marco", 1)


async def test_several_get_one_note_go_to_one_group_and_are_closed_with_one_solution(served: DeskServer) -> None:
    await served.agent("giulia")
    group = (await served.database.run(add_group, "Reti", 2)).id
    first, second = [await served.request(f"Rete {n}", email=f"u{n}@example.org") for n in range(2)]
    async with served.browser("giulia") as giulia:
        assert all(one["done"] for one in await told(giulia, of(first, second, act="note", text=HOSTILE)))
        given = {"act": "escalate", "group_id": group, "text": "Non è nostro", "handover": "Provato tutto"}
        body = {"requests": [{"id": one.id} for one in (first, second)], **given}
        assert all(one["done"] for one in await told(giulia, body))
        again = await told(giulia, body)
        assert {(one["done"], one["error"]) for one in again} == {(False, "move_refused")}
        closing = {"requests": body["requests"], "act": "close", "text": "Switch cambiato"}
        assert all(one["done"] for one in await told(giulia, closing))

    def mails(session: Session) -> set[int | None]:
        about = select(OutboxMail.request_id).where(OutboxMail.body.contains("Switch cambiato"))
        return set(session.scalars(about))

    assert await served.database.read(mails) == {first.id, second.id}
    for one in (first, second):
        assert len(await served.database.read(notes, one)) == 1
        assert (await served.database.read(state, one))[0] is Status.CLOSED


async def test_what_was_sent_again_is_not_done_twice(served: DeskServer) -> None:
    await served.agent("giulia")
    first, second = await served.request("Prima"), await served.request("Seconda")
    body = of(first, second, act="note", text="Si riparte alle 15")
    async with served.browser("giulia") as giulia:
        for _ in range(2):
            results = await told(giulia, body, **{"idempotency-key": "k1"})
            assert [one["done"] for one in results] == [True, True]
        other = await told(giulia, body | {"text": "altro"}, **{"idempotency-key": "k1"})
        assert [one["done"] for one in other] == [False, False]
    assert await served.database.read(notes, first) == ["Si riparte alle 15"]


async def test_a_fault_of_the_service_is_told_for_what_was_not_done(
    served: DeskServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await served.agent("giulia")
    requests = [await served.request(f"Richiesta {n}") for n in range(3)]

    def failing(session: Session, request_id: int, **words: Any) -> None:
        if request_id == requests[1].id:
            raise RuntimeError("invented")
        add_note(session, request_id, **words)

    monkeypatch.setattr("desk.routes.several.operations.add_note", failing)
    async with served.browser("giulia") as giulia:
        results = await told(giulia, of(*requests, act="note", text="x"))
    assert [(one["done"], one["error"]) for one in results] == [(True, ""), (False, "internal"), (False, "internal")]
    assert [len(await served.database.read(notes, one)) for one in requests] == [1, 0, 0]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"requests": []}, "requests"),
        ({"requests": [{"id": n} for n in range(MOST_AT_ONCE + 1)]}, "requests"),
        ({"requests": [{"id": 1}, {"id": 1}]}, "requests"),
        ({"requests": [{"id": HOSTILE}]}, "requests.0.id"),
        ({"act": "delete"}, "act"),
        ({"act": "close", "text": "  "}, "text"),
        ({"act": "note"}, "text"),
        ({"act": "escalate", "text": "x", "handover": "y"}, "group_id"),
        ({"act": "escalate", "text": "x", "group_id": 1}, "handover"),
    ],
)
async def test_what_makes_no_sense_is_refused_before_any_is_touched(
    served: DeskServer, change: dict[str, Any], field: str
) -> None:
    await served.agent("giulia")
    one = await served.request("Una")
    async with served.browser("giulia") as giulia:
        answer = await giulia.post("/requests/several", json=of(one, act="take") | change)
        assert (answer.status_code, list(answer.json()["fields"])) == (422, [field]), answer.text
    assert (await served.database.read(state, one))[1] is None
