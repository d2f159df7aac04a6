"""The list of calls, and those that nobody served as work with an owner."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from centralino.rig.desk_server import CALLS, HOSTILE, DeskServer
from desk.call_queries import PAGE
from ivr import call_backs, operations
from ivr.models import Agent, Call, CallBack, CallBackResult, CallBackWay, OfferResult, Outcome, Phase

pytestmark = pytest.mark.contract

ROSSI, AMATO = "+390805551234", "+393331234567"
WAY_OUT = CALLS.model_copy(
    update={"outbound_endpoint": "PJSIP/{number}@carrier", "outbound_allowed": ("[03][0-9]{5,10}",)}
)


async def over(served: DeskServer, outcome: Outcome, caller: str | None = ROSSI, **passed: Any) -> str:
    """A call that has come in and is over."""
    call_id = await served.waiting_call(caller, **passed)
    await served.database.run(operations.end_call, call_id, outcome, now=served.now())
    return call_id


async def talked(served: DeskServer, agent_id: int, caller: str | None = ROSSI) -> str:
    """A call that an agent answered and that is over."""
    call_id = await served.waiting_call(caller)
    await served.answer(await served.ring(call_id, agent_id, pop=False))
    await served.hang_up(call_id)
    await served.database.run(operations.go_free, agent_id, now=served.now())
    return call_id


async def listed(page: httpx.AsyncClient, which: str = "all", **query: str) -> list[str]:
    answer = await page.get("/calls", params={"which": which, **query})
    assert answer.status_code == 200, answer.text
    return [call["id"] for call in answer.json()["calls"]]


async def test_each_list_has_its_calls_and_each_call_is_told_whole(served: DeskServer) -> None:
    giulia, marco = await served.agent("giulia"), await served.agent("marco")
    teresa = await served.contact("Teresa", company="ASL Bari")
    answered = await talked(served, giulia)
    gave_up = await over(served, Outcome.ABANDONED_QUEUE)
    in_vain = await served.waiting_call(AMATO)
    rang = await served.ring(in_vain, marco, pop=False)
    await served.database.run(operations.end_offer, rang, OfferResult.MISSED, misses_before_pause=1, now=served.now())
    await served.database.run(operations.end_call, in_vain, Outcome.VOICEMAIL, now=served.now())
    withheld = await over(served, Outcome.ABANDONED_MENU, None)
    under_way = await served.waiting_call(HOSTILE[:60])
    await served.database.run(_is_of, gave_up, teresa)
    async with served.browser("giulia") as page:
        await page.post(f"/calls/{answered}/code", json={"code": "solved"})
        assert set(await listed(page)) == {answered, gave_up, in_vain, withheld, under_way}
        assert await listed(page, "to_do") == [gave_up]
        assert await listed(page, "missed") == [in_vain]
        assert set(await listed(page, "abandoned")) == {gave_up, withheld}
        assert await listed(page, "mine") == [answered]
        one = (await page.get(f"/calls/{answered}")).json()
        assert (one["outcome"], one["agent"], one["code"], one["line_name"]) == (
            *("answered", "giulia", "solved", "Help Desk Edotto"),
        )
        assert 39 < one["waited"] < 60
        assert one["talked"] is not None
        assert [(offer["agent"], offer["result"], offer["code"]) for offer in one["offers"]] == [
            ("giulia", "answered", "solved")
        ]
        one = (await page.get(f"/calls/{gave_up}")).json()
        assert (one["contact_name"], one["company_name"], one["owner"]) == ("Teresa", "ASL Bari", None)
        assert (await page.get(f"/calls/{under_way}")).json()["outcome"] is None
        assert (await page.get("/calls/none")).status_code == 404
        assert (await page.get("/calls", params={"which": "x"})).status_code == 422


async def test_the_list_goes_back_page_by_page_and_day_by_day(served: DeskServer) -> None:
    await served.agent("giulia")
    yesterday = [await over(served, Outcome.ABANDONED_QUEUE, waited=86_400.0 + n) for n in range(3)]
    today = [await over(served, Outcome.ABANDONED_QUEUE) for _ in range(PAGE)]
    async with served.browser("giulia") as page:
        for which in ("all", "abandoned", "to_do"):
            first = (await page.get("/calls", params={"which": which})).json()
            second = (await page.get("/calls", params={"which": which, "before": first["earlier"]})).json()
            ids = [call["id"] for answer in (first, second) for call in answer["calls"]]
            assert (len(first["calls"]), second["earlier"]) == (PAGE, None)
            assert sorted(ids) == sorted([*yesterday, *today])
        started = first["calls"][-1]["started_at"]
        assert started
        day = (served.now() - timedelta(days=1)).astimezone().date()
        found = await listed(page, day=str(day)) + await listed(page, day=str(day + timedelta(days=1)))
        assert set(yesterday) <= set(found)
        assert await listed(page, day="2001-01-01") == []
        for odd in ("nonsense", HOSTILE[:60], "0001-01-01T00:00:00+23:00~x", "9999-12-31T23:59:59-23:00"):
            assert len(await listed(page, before=odd)) == PAGE
        for odd in ("0001-01-01", "9999-12-31", "x"):
            assert (await page.get("/calls", params={"day": odd})).status_code == 422


async def test_a_call_that_nobody_served_is_taken_by_one_and_done_with_a_reason(served: DeskServer) -> None:
    await served.agent("giulia")
    await served.agent("marco")
    await served.supervisor("capo")
    calls = [await over(served, Outcome.ABANDONED_QUEUE) for _ in range(3)]
    answered = await over(served, Outcome.ANSWERED)
    async with served.browser("giulia") as hers, served.browser("marco") as his, served.browser("capo") as chief:
        taken = (await hers.post("/calls/take", json={"ids": [*calls[:2], answered, "none"]})).json()
        assert (sorted(taken["handled"]), taken["left"]) == (sorted(calls[:2]), [answered, "none"])
        late = (await his.post("/calls/take", json={"ids": calls})).json()
        assert (late["handled"], late["left"]) == ([calls[2]], calls[:2])
        assert (await his.post("/calls/done", json={"ids": [calls[0]], "reason": "not_needed"})).json()["handled"] == []
        assert (await his.post("/calls/done", json={"ids": [calls[0]], "reason": "x"})).status_code == 422
        assert (await hers.post("/calls/give-back", json={"ids": [calls[1]]})).json()["handled"] == [calls[1]]
        assert set(await listed(hers, "mine")) == {calls[0]}
        done = await his.post("/calls/done", json={"ids": [calls[1], calls[2]], "reason": "called_again"})
        assert sorted(done.json()["handled"]) == sorted(calls[1:])
        one = (await hers.get(f"/calls/{calls[1]}")).json()
        assert (one["owner"], one["done_by"], one["done_reason"], one["to_do_since"]) == (
            *("marco", "marco", "called_again", None),
        )
        assert (await chief.post("/calls/take", json={"ids": calls})).json()["handled"] == [calls[0]]
        assert (await hers.get(f"/calls/{calls[0]}")).json()["owner"] == "capo"
    async with served.browser() as nobody:
        for path in ("take", "give-back", "done", f"{calls[0]}/call-back"):
            assert (await nobody.post(f"/calls/{path}", json={})).status_code == 401


async def test_what_an_agent_looked_after_who_leaves_is_there_for_others(served: DeskServer) -> None:
    await served.agent("giulia")
    await served.agent("marco")
    open_one, done = await over(served, Outcome.ABANDONED_QUEUE), await over(served, Outcome.ABANDONED_QUEUE)
    async with served.browser("giulia") as hers, served.browser("marco") as his:
        await his.post("/calls/take", json={"ids": [open_one, done]})
        await his.post("/calls/done", json={"ids": [done], "reason": "not_needed"})
        await served.database.run(operations.remove_agent, "marco", now=served.now())
        assert (await hers.post("/calls/take", json={"ids": [open_one]})).json()["handled"] == [open_one]
        assert (await hers.get(f"/calls/{done}")).json()["owner"] == "marco"


async def test_who_has_called_again_and_was_answered_is_marked(served: DeskServer) -> None:
    giulia = await served.agent("giulia")
    first = await over(served, Outcome.ABANDONED_QUEUE, waited=90.0)
    other = await over(served, Outcome.ABANDONED_QUEUE, AMATO, waited=90.0)
    await talked(served, giulia)
    last = await over(served, Outcome.ABANDONED_QUEUE, waited=1.0)
    async with served.browser("giulia") as page:
        again = {call["id"]: call["called_again"] for call in (await page.get("/calls?which=to_do")).json()["calls"]}
        assert again == {first: True, other: False, last: False}


async def test_who_was_not_served_is_called_back_by_one_and_it_is_done_with_the_answer(served: DeskServer) -> None:
    giulia, _ = await served.agent("giulia"), await served.agent("marco")
    missed = await over(served, Outcome.ABANDONED_QUEUE)
    served.app.state.desk = replace(served.app.state.desk, calls=WAY_OUT)
    async with served.browser("giulia") as hers, served.browser("marco") as his:
        off_duty = await hers.post(f"/calls/{missed}/call-back", json={})
        assert (off_duty.status_code, off_duty.json()["error"]) == (409, "command_refused")
        assert (await hers.get(f"/calls/{missed}")).json()["owner"] is None
        for page in (hers, his):
            await page.post("/presence/free", json={})
        asked = await hers.post(f"/calls/{missed}/call-back", json={"first": "contact"})
        assert (asked.status_code, asked.json()["number"], asked.json()["request_id"]) == (202, ROSSI, None)
        assert (await his.post(f"/calls/{missed}/call-back", json={})).status_code == 409
        assert (await hers.post(f"/calls/{missed}/call-back", json={})).status_code == 409
        one = (await hers.get(f"/calls/{missed}")).json()
        assert (one["owner"], one["calling"], one["attempts"]) == ("giulia", True, 1)
        begun = await served.database.run(
            call_backs.begin,
            asked.json()["id"],
            app="centralino",
            call_id="back",
            channel_id="back",
            language="it",
            now=served.now(),
        )
        assert begun is not None
        await served.database.run(call_backs.answered, asked.json()["id"], giulia, now=served.now())
        one = (await hers.get(f"/calls/{missed}")).json()
        assert (one["done_by"], one["done_reason"], one["calling"]) == ("giulia", "called_back", False)
        assert [attempt["result"] for attempt in one["call_backs"]] == ["answered"]
        assert (await hers.post(f"/calls/{missed}/call-back", json={})).status_code == 409
        assert (await hers.post("/calls/none/call-back", json={})).status_code == 404


async def test_a_call_back_that_reached_nobody_leaves_the_call_with_its_owner(served: DeskServer) -> None:
    giulia = await served.agent("giulia")
    missed = await over(served, Outcome.ABANDONED_QUEUE)

    def ask(session: Session) -> CallBack:
        session.get_one(Agent, giulia).desk_connected = True
        operations.go_free(session, giulia, now=served.now())
        return call_backs.ask_for_call(
            session, missed, WAY_OUT, agent_id=giulia, way=CallBackWay.AGENT, now=served.now()
        )

    asked = await served.database.run(ask)
    await served.database.run(call_backs.end, asked.id, CallBackResult.NO_ANSWER, now=served.now())
    async with served.browser("giulia") as page:
        (one,) = (await page.get("/calls?which=to_do")).json()["calls"]
        assert (one["id"], one["owner"], one["calling"], one["attempts"]) == (missed, "giulia", False, 1)


async def test_who_is_named_in_one_call_is_named_in_the_others_from_the_same_number(served: DeskServer) -> None:
    giulia, marco = await served.agent("giulia"), await served.agent("marco")
    teresa = await served.contact("Teresa", phone="+390801112222")
    earlier = await over(served, Outcome.ABANDONED_QUEUE, AMATO)
    open_pop = await served.waiting_call(AMATO)
    await served.ring(open_pop, marco)
    call_id = await served.waiting_call(AMATO)
    await served.answer(await served.ring(call_id, giulia))
    other = await over(served, Outcome.ABANDONED_QUEUE, ROSSI)
    async with served.browser("giulia") as page:
        await page.post(f"/calls/{call_id}/contact", json={"contact_id": teresa})
        names = {call["id"]: call["contact_name"] for call in (await page.get("/calls")).json()["calls"]}
        assert names == {earlier: "Teresa", open_pop: "Teresa", call_id: "Teresa", other: None}
        # a number that is somebody else's as well says nothing of its other calls
        vito = await served.contact("Vito", phone=ROSSI)
        await served.answer(await served.ring(await served.waiting_call(ROSSI), giulia))
        assert vito
        shared = (await page.get("/calls?which=mine")).json()["calls"][0]["id"]
        await page.post(f"/calls/{shared}/contact", json={"contact_id": teresa})
        names = {call["id"]: call["contact_name"] for call in (await page.get("/calls")).json()["calls"]}
        assert (names[shared], names[other]) == ("Teresa", None)


async def test_a_call_that_counted_as_lost_and_went_on_is_no_work(served: DeskServer) -> None:
    await served.agent("giulia")
    call_id = await over(served, Outcome.LOST)
    turned_out = await over(served, Outcome.FAILED)
    await served.database.run(operations.correct_outcome, turned_out, {Outcome.FAILED}, Outcome.FALLBACK)
    async with served.browser("giulia") as page:
        assert await listed(page, "to_do") == [call_id]
        await page.post("/calls/take", json={"ids": [call_id]})
        assert await served.database.run(operations.reopen_call, call_id, Phase.WAITING, now=served.now())
        assert await listed(page, "to_do") == []
    await served.database.run(operations.end_call, call_id, Outcome.ANSWERED, now=served.now())

    def look(session: Session) -> tuple[Any, ...]:
        return tuple(session.execute(select(Call.to_do_since, Call.owner).where(Call.id == call_id)).one())

    assert await served.database.read(look) == (None, None)


def _is_of(session: Session, call_id: str, contact_id: int) -> None:
    session.get_one(Call, call_id).contact_id = contact_id
