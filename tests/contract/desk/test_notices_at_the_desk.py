"""What an agent sees of the notices and does about those that go nowhere."""

import pytest
from sqlalchemy import event, update
from sqlalchemy.orm import Session

from centralino.rig.desk_server import DeskServer
from tickets.alarms import Alarms, AlarmSettings, Words
from tickets.models import DeliveryState, OutboxMail

pytestmark = pytest.mark.contract
WORDS = Words(it="Poco spazio.", en="Little room.")


def stop(session: Session, state: DeliveryState) -> None:
    session.execute(update(OutboxMail).values(state=state, last_error="550 no such user"))


async def test_a_dead_notice_is_seen_and_sent_again_to_another_address(served: DeskServer) -> None:
    await served.agent("giulia")
    request = await served.request("Non stampa", email="wrong@asl.example.org")
    await served.database.run(stop, DeliveryState.DEAD)
    async with served.browser("giulia") as page:
        (notice,) = (await page.get("/notices/stopped")).json()
        assert (notice["state"], notice["ticket"], notice["request_id"]) == ("dead", request.ticket, request.id)
        wrong = await page.post(f"/notices/{notice['id']}/retry", json={"recipient": "no address"})
        assert wrong.status_code == 422
        again = await page.post(f"/notices/{notice['id']}/retry", json={"recipient": "right@asl.example.org"})
        assert (again.status_code, again.json()["state"]) == (200, "pending")
        assert again.json()["recipient"] == "right@asl.example.org"
        twice = await page.post(f"/notices/{notice['id']}/retry", json={})
        assert (twice.status_code, twice.json()["error"]) == (409, "notice_not_stopped")
        detail = (await page.get(f"/requests/{request.id}")).json()
        assert [event["kind"] for event in detail["events"]][-1] == "notice_retried"
        assert detail["events"][-1]["actor"] == "giulia"
        assert (await page.get("/notices/stopped")).json() == []


async def test_many_stopped_notices_are_read_at_once(served: DeskServer) -> None:
    await served.agent("giulia")
    asked: list[str] = []
    event.listen(served.database.engine, "before_cursor_execute", lambda *seen: asked.append(seen[2]))
    async with served.browser("giulia") as page:
        counts = []
        for number in (1, 4):
            for _ in range(number):
                await served.request("Non stampa", email="wrong@asl.example.org")
            await served.database.run(stop, DeliveryState.DEAD)
            asked.clear()
            notices = (await page.get("/notices/stopped")).json()
            counts.append(len(asked))
    assert (len(notices), all(notice["ticket"] for notice in notices)) == (5, True)
    assert counts[0] == counts[1]


async def test_a_held_notice_is_given_up(served: DeskServer) -> None:
    await served.agent("giulia")
    await served.request("Non stampa", email="u@asl.example.org")
    await served.database.run(stop, DeliveryState.HELD)
    async with served.browser("giulia") as page:
        (notice,) = (await page.get("/notices/stopped")).json()
        gone = await page.post(f"/notices/{notice['id']}/dismiss", json={})
        assert (gone.status_code, gone.json()["state"]) == (200, "dead")
        assert (await page.post("/notices/99999/dismiss", json={})).status_code == 404


async def test_mails_of_alarms_are_for_supervisors_only(served: DeskServer) -> None:
    await served.agent("giulia")
    await served.supervisor("marta")
    await served.request("Non stampa", email="u@asl.example.org")
    settings = AlarmSettings(email=("ced@example.org",))
    await Alarms(served.database, settings, served.notices, served.now).sound("disk_space", WORDS)
    await served.database.run(stop, DeliveryState.DEAD)
    async with served.browser("marta") as marta, served.browser("giulia") as giulia:
        both = (await marta.get("/notices/stopped")).json()
        assert {notice["kind"] for notice in both} == {"alarm", "opened"}
        seen = await giulia.get("/notices/stopped")
        assert [notice["kind"] for notice in seen.json()] == ["opened"]
        assert "ced@example.org" not in seen.text
        (alarm,) = (notice["id"] for notice in both if notice["kind"] == "alarm")
        for step in ("retry", "dismiss"):
            refused = await giulia.post(f"/notices/{alarm}/{step}", json={})
            assert (refused.status_code, refused.json()["error"]) == (403, "not_allowed")
        sent = await marta.post(f"/notices/{alarm}/retry", json={})
        assert (sent.status_code, sent.json()["state"]) == (200, "pending")


async def test_a_notice_is_looked_at_before_it_goes_to_anybody(served: DeskServer) -> None:
    await served.agent("giulia")
    async with served.browser("giulia") as page:
        shown = (await page.get("/notices/preview/information?language=en")).json()
        assert shown["sent"] is True
        assert "we need to know" in shown["text"]
        assert shown["html"].startswith("<!DOCTYPE html>")
        assert (await page.get("/notices/preview/nothing")).status_code == 422
    async with served.browser() as nobody:
        assert (await nobody.get("/notices/preview/information")).status_code == 401
        assert (await nobody.get("/notices/stopped")).status_code == 401
