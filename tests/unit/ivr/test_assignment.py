"""Who gets which call."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ivr.assignment import FreeAgent, WaitingCall, assign

pytestmark = pytest.mark.unit

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def call(
    name: str, *, waited: int = 0, queue: str = "edotto", priority: int = 0, tried: tuple[int, ...] = ()
) -> WaitingCall:
    return WaitingCall(name, queue, priority, NOON - timedelta(seconds=waited), tried)


def agent(number: int, *, idle: int = 0, queues: tuple[str, ...] = ("edotto",)) -> FreeAgent:
    return FreeAgent(number, queues, NOON - timedelta(seconds=idle))


def decide(calls: list[WaitingCall], agents: list[FreeAgent], **ring_agents: int) -> dict[str, list[int]]:
    return {a.call.id: [agent.id for agent in a.agents] for a in assign(calls, agents, ring_agents or {"edotto": 1})}


def test_the_caller_who_waited_longest_gets_the_agent_who_is_idle_longest() -> None:
    assert decide([call("late", waited=5), call("early", waited=60)], [agent(1, idle=10), agent(2, idle=90)]) == {
        "early": [2],
        "late": [1],
    }


def test_a_higher_priority_goes_before_a_longer_wait() -> None:
    assert decide([call("early", waited=60), call("urgent", priority=1)], [agent(1)]) == {"urgent": [1]}


def test_a_call_only_goes_to_an_agent_who_serves_its_queue() -> None:
    assert decide([call("help", queue="other")], [agent(1)]) == {}
    assert decide([call("help", queue="other"), call("next", waited=-1)], [agent(1)]) == {"next": [1]}


def test_an_agent_who_missed_the_call_is_asked_again_only_when_nobody_else_is_free() -> None:
    assert decide([call("again", tried=(1,))], [agent(1, idle=90), agent(2)]) == {"again": [2]}
    assert decide([call("again", tried=(1,))], [agent(1)]) == {"again": [1]}


def test_every_caller_gets_one_phone_before_any_gets_a_second() -> None:
    calls, agents = [call("first", waited=9), call("second", waited=5)], [agent(1, idle=9), agent(2, idle=8), agent(3)]
    assert decide(calls, agents, edotto=2) == {"first": [1, 3], "second": [2]}


@given(
    st.lists(st.tuples(st.integers(0, 99), st.integers(0, 2), st.sampled_from("ab")), max_size=8),
    st.lists(st.tuples(st.integers(0, 99), st.sets(st.sampled_from("ab"))), max_size=8),
    st.integers(1, 3),
)
def test_no_agent_rings_twice_and_nobody_waits_while_an_able_agent_is_idle(
    calls: list[tuple[int, int, str]], agents: list[tuple[int, set[str]]], at_once: int
) -> None:
    waiting = [call(str(n), waited=w, priority=p, queue=q) for n, (w, p, q) in enumerate(calls)]
    free = [agent(n, idle=i, queues=tuple(q)) for n, (i, q) in enumerate(agents)]
    decided = decide(waiting, free, a=at_once, b=at_once)
    rung = [one for agents in decided.values() for one in agents]
    assert len(rung) == len(set(rung))
    for waits in waiting:
        if waits.id not in decided:
            assert not [one for one in free if waits.queue in one.queues and one.id not in rung]
