"""Phones in the browser on a real database of either kind: their keys, and a phone that is lost in a talk."""

from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from ivr import browser_phones, operations
from ivr.browser_phones import KEY_MADE
from ivr.models import Offer, OfferResult, Outcome, PauseReason, Phase, Presence
from tests.contract.ivr_calls.test_call_operations import NOW, agent, call, offers_for, on_duty, waiting
from tickets.changes import Change
from tickets.database import Database

pytestmark = pytest.mark.contract

LATER = NOW + timedelta(seconds=5)


async def with_browser_phone(database: Database, username: str) -> int:
    agent_id = await on_duty(database, username, "edotto")

    def change(session: Session) -> None:
        operations.change_agent(session, username, browser_phone=True)

    await database.run(change)
    return agent_id


async def talking(database: Database) -> tuple[int, Offer]:
    """Anna, with the phone in the browser, talks in the call c1, which has lost its phone now."""
    anna = await with_browser_phone(database, "anna")
    await waiting(database, "c1", "edotto")
    (offer,) = await offers_for(database, "c1")
    await database.run(operations.answer_offer, offer, bridge_id="b1", now=NOW)
    await database.run(operations.bookmark, "c1", Phase.RINGING)
    kept = await database.run(browser_phones.keep_for, "c1", anna, now=NOW)
    assert kept is not None
    return anna, kept


async def offer_now(database: Database, offer_id: str) -> Offer:
    def look(session: Session) -> Offer:
        return session.get_one(Offer, offer_id)

    return await database.read(look)


async def test_each_key_is_another_and_only_phones_in_the_browser_have_one(database: Database) -> None:
    anna = await with_browser_phone(database, "anna")
    bruno = await on_duty(database, "bruno", "edotto")
    told: list[Change] = []
    stop = database.subscribe(told.extend)
    first = await database.run(browser_phones.new_key, anna)
    second = await database.run(browser_phones.new_key, anna)
    stop()
    assert first is not None
    assert second is not None
    assert first[0] == second[0] == "anna"
    assert first[1] != second[1]
    assert len(second[1]) >= 43
    assert [change for change in told if change.kind == KEY_MADE] == [Change(KEY_MADE, anna)] * 2
    assert await database.run(browser_phones.new_key, bruno) is None
    assert await database.read(browser_phones.keys) == [second]
    assert await database.read(browser_phones.keys, {bruno}) == []


async def test_another_phone_or_leaving_forgets_the_key(database: Database) -> None:
    anna = await with_browser_phone(database, "anna")
    await database.run(browser_phones.new_key, anna)
    await database.run(lambda session: operations.change_agent(session, "anna", browser_phone=False))
    assert await database.read(browser_phones.keys) == []
    assert not await database.read(browser_phones.has_browser_phone, anna)
    await database.run(lambda session: operations.change_agent(session, "anna", browser_phone=True))
    await database.run(browser_phones.new_key, anna)
    await database.run(operations.remove_agent, "anna", now=NOW)
    assert await database.read(browser_phones.keys) == []


async def test_a_phone_that_comes_back_rings_for_the_call_it_was_lost_in_and_no_other(database: Database) -> None:
    anna, kept = await talking(database)
    assert (await agent(database, anna)).presence is Presence.TALKING
    await waiting(database, "c2", "edotto")
    assert await offers_for(database, "c2") == []
    assert not await database.read(browser_phones.is_back, anna, since=NOW)
    await database.run(operations.set_phone_reachable, "PJSIP/anna", True, now=NOW)  # the page before, for a moment
    assert not await database.read(browser_phones.is_back, anna, since=NOW)
    await database.run(browser_phones.phone_ready, anna, now=LATER)
    assert await database.read(browser_phones.is_back, anna, since=NOW)
    assert await offers_for(database, "c2") == []
    rung = await database.run(browser_phones.ring_again, kept.id, now=LATER)
    assert (rung.id, rung.endpoint) == (kept.id, "PJSIP/anna")
    assert (await agent(database, anna)).presence is Presence.RINGING
    await database.run(operations.answer_offer, rung, bridge_id="b1", now=LATER)
    row = await call(database, "c1")
    assert (row.phase, row.agent_id, row.agent_channel_id, row.answered_at) == (Phase.TALKING, anna, kept.id, NOW)
    assert (await agent(database, anna)).presence is Presence.TALKING


async def test_a_phone_that_does_not_come_back_pauses_its_agent_until_it_is_there(database: Database) -> None:
    anna, kept = await talking(database)
    await database.run(browser_phones.did_not_come_back, kept.id, now=LATER)
    row = await agent(database, anna)
    assert (row.presence, row.pause_reason, row.call_id) == (Presence.PAUSED, PauseReason.PHONE_UNREACHABLE, None)
    assert (await offer_now(database, kept.id)).result is OfferResult.UNREACHABLE
    await database.run(operations.set_phone_reachable, "PJSIP/anna", True, now=LATER)
    assert (await agent(database, anna)).presence is Presence.FREE


async def test_a_caller_who_does_not_wait_leaves_the_agent_to_the_wrap_up(database: Database) -> None:
    anna, kept = await talking(database)
    await database.run(browser_phones.give_up, kept.id, now=LATER)
    await database.run(operations.end_call, "c1", Outcome.ANSWERED, wrap_up_seconds=30, now=LATER)
    assert (await agent(database, anna)).presence is Presence.WRAP_UP
    assert (await offer_now(database, kept.id)).result is OfferResult.WITHDRAWN


async def test_an_agent_who_is_not_in_the_talk_any_more_is_not_kept(database: Database) -> None:
    anna, kept = await talking(database)
    await database.run(browser_phones.did_not_come_back, kept.id, now=LATER)
    assert await database.run(browser_phones.keep_for, "c1", anna, now=LATER) is None
