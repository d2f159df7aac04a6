"""A caller keys the number of a request and hears how it stands, or is put through with it."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from centralino.rig.audio import similarity
from centralino.rig.phone import Event
from centralino.rig.world import World
from centralino.serve import Service
from ivr.flow.read_aloud import MOST_A_DAY
from ivr.models import Call, Outcome, Phase
from ivr.operations import begin_call, end_call
from schedules.clock import utc_now
from tests.stories.conftest import (
    AMATO,
    ANNA,
    ROSSI,
    Duty,
    answered_by,
    calls,
    dial,
    nothing_left,
    outcome_of,
    prompt,
)
from tickets.models import Channel, Kind, Request, RequestEvent
from tickets.notices import Notices
from tickets.operations import NewRequest, open_request, take_in_charge

pytestmark = pytest.mark.story

LINE = "850"
"""Its menu has one key: 9 for a request's state."""


@pytest.fixture
def more_calls() -> dict[str, Any]:
    line = {
        "number": LINE,
        "name": "Edotto",
        "calendar": "sempre",
        "queue": "edotto",
        "greeting": "",
        "notice": "",
        "menu": {"prompt": "beep", "choices": {"9": {"ticket": True}, "0": {}}, "timeout_seconds": 5},
    }
    return {"lines": [*calls()["lines"], line]}


async def asked(world: World) -> Request:
    """A request of Luigi Amato's that is promised to be taken in charge in an hour."""
    now = utc_now()
    new = NewRequest(
        kind=Kind.PROBLEM,
        area="application",
        channel=Channel.EMAIL,
        subject="Riservato: esame del signor Bianchi",
        received_at=now,
        pickup_due_at=now + timedelta(hours=1),
    )
    return await world.database.run(open_request, new, Notices(world.settings.notices), now=now)


async def keyed(world: World, call: Call, times: int) -> None:
    await world.call_until(call.id, lambda row: row.tickets_keyed == times)


async def in_menu(world: World, call: Call) -> None:
    await world.call_until(call.id, lambda row: row.phase is Phase.MENU)


async def test_a_caller_hears_how_a_request_stands_and_nothing_else(world: World, service: Service) -> None:
    request = await asked(world)
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, LINE)
        await in_menu(world, call)
        await rossi.press("9" + (request.ticket or "") + "#")
        await rossi.wait_for(Event.CLOSED, within=60)
        heard = rossi.heard()
        for name in ("status-queued", "held-by-level-1", "picked-up-by", "ticket-menu", "goodbye"):
            assert similarity(prompt(name), heard) > 0.8, name
    assert await outcome_of(world, call) is Outcome.TICKET_TOLD

    def history(session: Session) -> list[tuple[str, dict[str, Any]]]:
        events = session.scalars(select(RequestEvent).where(RequestEvent.request_id == request.id))
        return [(event.kind, event.details) for event in events]

    assert ("read_aloud", {"call_id": call.id}) in await world.read(history)
    await nothing_left(world, service)


async def test_a_wrong_number_is_asked_again_and_then_an_agent_has_the_request_on_the_screen(
    world: World, service: Service, on_duty: Duty
) -> None:
    anna, request = await on_duty(ANNA), await asked(world)
    await world.database.run(take_in_charge, request.id, actor="bruno", now=utc_now())
    ticket = request.ticket or ""
    wrong = ticket[:-1] + str((int(ticket[-1]) + 1) % 10)
    async with world.caller(AMATO.phone) as amato:
        call = await dial(world, amato, LINE)
        await in_menu(world, call)
        await amato.press("9" + wrong + "#")
        await keyed(world, call, 1)
        await amato.press(ticket + "#")
        await keyed(world, call, 2)
        await amato.press("1")
        await answered_by(world, anna, call)
        await anna.desk.until_item("pops", call.id, lambda pop: pop["request"] and pop["request"]["ticket"] == ticket)
        await amato.hang_up()
        await amato.wait_for(Event.CLOSED)
        assert similarity(prompt("ticket-not-found"), amato.heard()) > 0.8
    assert await outcome_of(world, call) is Outcome.ANSWERED
    await nothing_left(world, service)


async def test_who_keys_too_many_numbers_in_a_day_hears_no_more(world: World, service: Service) -> None:
    request = await asked(world)

    def earlier(session: Session) -> None:
        begin_call(
            session,
            call_id="earlier",
            app="centralino",
            channel_id="earlier",
            line=LINE,
            language="it",
            caller=ROSSI.phone,
            now=utc_now() - timedelta(seconds=1),
        )
        end_call(session, "earlier", Outcome.TICKET_TOLD, now=utc_now())
        session.get_one(Call, "earlier").tickets_keyed = MOST_A_DAY

    await world.database.run(earlier)
    async with world.caller(ROSSI.phone) as rossi:
        call = await dial(world, rossi, LINE)
        await in_menu(world, call)
        await rossi.press("9" + (request.ticket or "") + "#")
        await world.call_until(call.id, lambda row: row.phase is Phase.WAITING)
        await rossi.hang_up()
        await rossi.wait_for(Event.CLOSED)
        assert similarity(prompt("ticket-no-more"), rossi.heard()) > 0.8
    assert (await world.call_from(ROSSI.phone)).tickets_keyed == 0
    await nothing_left(world, service)
