"""What an agent does with calls, requests and messages."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from centralino.rig.desk_server import HOSTILE, DeskServer
from desk.models import DismissedPop
from ivr.models import Call, Offer
from tickets.models import OutboxMail, Phone, Request, Status

pytestmark = pytest.mark.contract

T = TypeVar("T")

FORM = {"kind": "problem", "area": "credentials", "subject": "Password scaduta", "email": "t@asl.example.org"}


def everything(session: Session, table: type[T]) -> Sequence[T]:
    """All rows of a table."""
    return session.scalars(select(table)).all()


async def talking(served: DeskServer, agent_id: int, caller: str | None = "+390805551234") -> str:
    call_id = await served.waiting_call(caller)
    await served.answer(await served.ring(call_id, agent_id))
    return call_id


async def test_a_request_is_registered_with_its_ticket_and_the_call_bound_to_it(served: DeskServer) -> None:
    giulia = await served.agent("giulia")
    contact = await served.contact("Teresa")
    call_id = await talking(served, giulia)
    async with served.browser("giulia") as page:
        form = FORM | {"contact_id": contact, "impact": 1, "urgency": 1}
        wrong = await page.post(f"/calls/{call_id}/request", json=form | {"urgency": 4})
        assert (wrong.status_code, list(wrong.json()["fields"])) == (422, ["urgency"])
        answer = await page.post(f"/calls/{call_id}/request", json=form)
        assert answer.status_code == 201, answer.text
        request = answer.json()["request"]
        assert request["ticket"]
        assert request["status"] == "in_progress"
        assert request["holder"] == "giulia"
        assert request["contact_name"] == "Teresa"
        assert (request["impact"], request["urgency"], request["priority"]) == (1, 1, 1)
        again = await page.post(f"/calls/{call_id}/request", json=FORM)
        assert (again.status_code, again.json()["error"]) == (409, "already_bound")
        assert (await page.get(f"/requests/by-ticket/{request['ticket']}")).json()["id"] == request["id"]
    assert (await served.database.read(Session.get_one, Call, call_id)).request_id == request["id"]
    mails = await served.database.read(everything, OutboxMail)
    assert [(mail.kind, mail.recipient) for mail in mails] == [("opened", "t@asl.example.org")]


async def test_solved_on_the_spot_is_opened_and_closed_in_one(served: DeskServer) -> None:
    giulia = await served.agent("giulia")
    call_id = await talking(served, giulia)
    async with served.browser("giulia") as page:
        answer = await page.post(f"/calls/{call_id}/request", json=FORM | {"solution": "Reimpostata"})
        request = answer.json()["request"]
        assert request["status"] == "closed"
        detail = (await page.get(f"/requests/{request['id']}")).json()
    kinds = [event["kind"] for event in detail["events"]]
    assert [kind for kind in kinds if kind in ("opened", "picked_up", "closed")] == ["opened", "picked_up", "closed"]
    assert [notice["kind"] for notice in detail["notices"]] == ["opened", "closed"]
    assert {notice["state"] for notice in detail["notices"]} == {"pending"}


async def test_a_call_is_attached_to_a_request_that_exists(served: DeskServer) -> None:
    giulia = await served.agent("giulia")
    request = await served.request("Referto", channel="voicemail")
    call_id = await talking(served, giulia)
    async with served.browser("giulia") as page:
        answer = await page.post(f"/calls/{call_id}/attach", json={"request_id": request.id, "note": "sollecita"})
        assert answer.json()["request"]["holder"] == "giulia"
        detail = (await page.get(f"/requests/{request.id}")).json()
        assert [event["kind"] for event in detail["events"]] == ["opened", "called", "note", "picked_up"]
        missing = await page.post(f"/calls/{call_id}/attach", json={"request_id": 99999})
        assert missing.status_code == 409


async def test_who_calls_is_put_right_in_one_click_and_remembered(served: DeskServer) -> None:
    giulia = await served.agent("giulia")
    teresa = await served.contact("Teresa", phone="+390801112222")
    first = await talking(served, giulia, "+393331234567")
    second = await talking(served, giulia, "+393337654321")
    withheld = await talking(served, giulia, None)
    async with served.browser("giulia") as page:
        assert (await page.post(f"/calls/{first}/contact", json={"contact_id": teresa})).json()["phones"] == [
            "+390801112222",
            "+393331234567",
        ]
        new = await page.post(f"/calls/{second}/contact", json={"new": {"name": "Vito", "user_code": "VAMO1"}})
        assert new.json()["user_code"] == "VAMO1"
        assert (await page.post(f"/calls/{withheld}/contact", json={"contact_id": teresa})).status_code == 200
        twice = await page.post(f"/calls/{second}/contact", json={"new": {"name": "Vito", "user_code": "VAMO1"}})
        assert (twice.status_code, twice.json()["error"]) == (409, "duplicate")
        found = await page.get("/contacts", params={"q": "vamo"})
        assert [contact["name"] for contact in found.json()] == ["Vito"]
    phones = await served.database.read(everything, Phone)
    assert [phone.e164 for phone in phones if phone.contact_id == teresa] == ["+390801112222", "+393331234567"]
    assert (await served.database.read(Session.get_one, Call, withheld)).contact_id == teresa


async def test_a_draft_survives_and_a_dismissal_keeps_its_reason(served: DeskServer) -> None:
    giulia = await served.agent("giulia")
    call_id = await talking(served, giulia)
    async with served.browser("giulia") as page:
        draft = {"subject": "Non stamp", "kind": "problem", "email": "not yet an addr", "impact": 1}
        assert (await page.put(f"/calls/{call_id}/draft", json=draft)).status_code == 204
        assert (await page.post(f"/calls/{call_id}/dismiss", json={"reason": "test"})).status_code == 204
    call = await served.database.read(Session.get_one, Call, call_id)
    assert call.draft is not None
    assert (call.draft["subject"], call.draft["impact"]) == ("Non stamp", 1)
    assert (await served.database.read(Session.get_one, DismissedPop, (call_id, giulia))).reason == "test"


async def test_another_agents_call_cannot_be_touched(served: DeskServer) -> None:
    giulia = await served.agent("giulia")
    await served.agent("marco")
    call_id = await talking(served, giulia)
    async with served.browser("marco") as page:
        for path, body in [
            ("hang-up", {}),
            ("request", FORM),
            ("dismiss", {"reason": "test"}),
            ("transfer", {"target": "agent:1"}),
        ]:
            answer = await page.post(f"/calls/{call_id}/{path}", json=body)
            assert (answer.status_code, answer.json()["error"]) == (403, "not_your_call"), path
    assert served.control.commands == []


async def test_the_call_is_steered_through_call_control(served: DeskServer) -> None:
    giulia = await served.agent("giulia")
    call_id = await talking(served, giulia)
    steps: list[tuple[str, dict[str, Any]]] = [
        ("hold", {}),
        ("unhold", {}),
        ("transfer", {"target": "queue:specialists"}),
        ("transfer", {"target": "number:+390805559999", "attended": True}),
        ("transfer/swap", {}),
        ("transfer/join", {}),
        ("transfer/cancel", {}),
        ("transfer/complete", {}),
        ("hang-up", {}),
    ]
    async with served.browser("giulia") as page:
        for path, body in steps:
            assert (await page.post(f"/calls/{call_id}/{path}", json=body)).status_code == 204
        bad = await page.post(f"/calls/{call_id}/transfer", json={"target": "number:1;DROP"})
        assert bad.status_code == 422
        served.control.refuse = True
        refused = await page.post(f"/calls/{call_id}/hold", json={})
        assert (refused.status_code, refused.json()["error"]) == (409, "command_refused")
    assert served.control.commands == [
        ("hold", call_id, ""),
        ("unhold", call_id, ""),
        ("blind_transfer", call_id, "queue:specialists"),
        ("start_attended_transfer", call_id, "number:+390805559999"),
        ("swap", call_id, ""),
        ("join", call_id, ""),
        ("cancel_transfer", call_id, ""),
        ("complete_transfer", call_id, ""),
        ("hang_up", call_id, ""),
    ]


async def test_presence_changes_and_refusals_have_words(served: DeskServer) -> None:
    giulia = await served.agent("giulia")
    async with served.browser("giulia") as page:
        assert (await page.post("/presence/free", json={})).json()["presence"] == "free"
        paused = (await page.post("/presence/pause", json={"reason": "meeting"})).json()
        assert (paused["presence"], paused["pause_reason"]) == ("paused", "meeting")
        assert (await page.post("/presence/pause", json={"reason": "missed_call"})).status_code == 422
        await served.ring(await served.waiting_call(), giulia)
        refused = await page.post("/presence/offline", json={})
        assert (refused.status_code, refused.json()["error"]) == (409, "presence_refused")
        assert "telefono" in refused.json()["message"]


async def test_after_a_call_its_outcome_is_told_and_there_is_more_time(served: DeskServer) -> None:
    giulia = await served.agent("giulia")
    call_id = await talking(served, giulia)
    async with served.browser("giulia") as page:
        early = await page.post("/presence/extend-wrap-up", json={})
        assert (early.status_code, early.json()["error"]) == (409, "wrap_up_refused")
        await served.hang_up(call_id)
        for wrong in ("timed_out", "x", HOSTILE[:40]):
            answer = await page.post(f"/calls/{call_id}/code", json={"code": wrong})
            assert (answer.status_code, list(answer.json()["fields"])) == (422, ["code"])
        assert (await page.post(f"/calls/{call_id}/code", json={"code": "solved"})).status_code == 204
        for times in (1, 2):
            longer = (await page.post("/presence/extend-wrap-up", json={})).json()
            assert (longer["presence"], longer["wrap_up_extended"]) == ("wrap_up", times)
        assert (await page.post("/presence/extend-wrap-up", json={})).status_code == 409
        assert (await page.post("/presence/end-wrap-up", json={})).json()["presence"] == "free"
    codes = [offer.code for offer in await served.database.read(everything, Offer)]
    assert codes == ["solved"]


async def test_the_second_of_two_people_is_told(served: DeskServer) -> None:
    await served.agent("giulia")
    await served.agent("marco")
    message = await served.message("m1", "buongiorno")
    async with served.browser("giulia") as hers, served.browser("marco") as his:
        seen = (await his.get("/messages/m1")).json()["request"]
        taken = await hers.post(f"/requests/{message.request_id}/take", json={"version": seen["version"]})
        assert taken.json()["holder"] == "giulia"
        late = await his.post(f"/requests/{message.request_id}/take", json={"version": seen["version"]})
        assert (late.status_code, late.json()["error"]) == (409, "conflict")
        blind = await his.post(f"/requests/{message.request_id}/take", json={})
        assert (blind.status_code, blind.json()["error"]) == (409, "request_taken")
        closed = await hers.post(f"/requests/{message.request_id}/close", json={"solution": "Richiamato"})
        assert closed.json()["status"] == Status.CLOSED
        over = await hers.post(f"/requests/{message.request_id}/close", json={"solution": "x"})
        assert over.json()["error"] == "request_closed"
        assert (await hers.get("/messages")).json() == []


async def test_messages_come_by_promised_time_with_empty_ones_to_be_heard(served: DeskServer) -> None:
    await served.agent("giulia")
    await served.message("late", "più tardi", due=timedelta(minutes=50))
    await served.message("soon", "presto", due=timedelta(minutes=5))
    await served.message("silent", speech=0.2)
    async with served.browser("giulia") as page:
        listed = (await page.get("/messages")).json()
        assert [message["id"] for message in listed if message["request"]] == ["soon", "late"]
        assert [message["id"] for message in listed if not message["request"]] == ["silent"]
        one = (await page.get("/messages/soon")).json()
        assert one["words"] == [{"word": "presto", "start": 0.0, "end": pytest.approx(4.8), "confidence": 0.98}]
        assert (await page.post("/messages/heard", json={"ids": ["silent", "gone"]})).status_code == 204
        assert all(message["request"] for message in (await page.get("/messages")).json())


async def test_audio_can_be_read_from_any_place_and_listening_is_noted(served: DeskServer) -> None:
    await served.agent("giulia")
    await served.message("m1", "buongiorno", seconds=2)
    async with served.browser("giulia") as page:
        whole = await page.get("/messages/m1/audio")
        assert whole.headers["content-type"] == "audio/wav"
        assert whole.headers["accept-ranges"] == "bytes"
        part = await page.get("/messages/m1/audio", headers={"range": "bytes=16000-16099"})
        assert part.status_code == 206
        assert part.content == whole.content[16000:16100]
        detail = (await page.get("/messages/m1")).json()
        assert detail["heard_by"] == "giulia"
        (served.audio / "m1.wav").unlink()
        gone = await page.get("/messages/m1/audio")
        assert (gone.status_code, gone.json()["error"]) == (404, "audio_missing")


@pytest.mark.parametrize("path", ["../desk.db", "/etc/hostname"])
async def test_audio_comes_from_the_audio_folder_only(served: DeskServer, path: str) -> None:
    await served.agent("giulia")
    message = await served.message("m1", "buongiorno")

    def change(session: Session) -> None:
        session.merge(message).audio = path

    await served.database.run(change)
    async with served.browser("giulia") as page:
        assert (await page.get("/messages/m1/audio")).json()["error"] == "audio_missing"


async def test_hostile_text_is_kept_as_it_is_in_every_field(served: DeskServer) -> None:
    giulia = await served.agent("giulia")
    call_id = await talking(served, giulia)
    plain = HOSTILE.replace("\u202e", "")
    async with served.browser("giulia") as page:
        form = FORM | {"subject": HOSTILE, "description": HOSTILE, "solution": HOSTILE}
        request = (await page.post(f"/calls/{call_id}/request", json=form)).json()["request"]
        note = await page.post(f"/requests/{request['id']}/notes", json={"text": HOSTILE})
        detail = note.json()
        assert " ".join(detail["subject"].split()) == " ".join(plain.split())
        assert "<img src=x" in detail["description"]
        assert detail["events"][-1]["details"]["text"].startswith("<img src=x")
        assert note.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"subject": "  "}, "subject"),
        ({"subject": "x" * 201}, "subject"),
        ({"kind": "wish"}, "kind"),
        ({"area": "moon"}, "area"),
        ({"email": "nobody"}, "email"),
        ({"extra": 1}, "extra"),
    ],
)
async def test_bad_input_names_the_field_and_stores_nothing(
    served: DeskServer, change: dict[str, Any], field: str
) -> None:
    giulia = await served.agent("giulia")
    call_id = await talking(served, giulia)
    async with served.browser("giulia") as page:
        answer = await page.post(f"/calls/{call_id}/request", json=FORM | change)
        assert answer.status_code == 422
        assert list(answer.json()["fields"]) == [field]
    assert await served.database.read(everything, Request) == []
