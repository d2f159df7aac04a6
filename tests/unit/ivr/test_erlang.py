"""How many agents a line needs, by formula."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ivr.erlang import erlang_a, erlang_b, erlang_c

pytestmark = pytest.mark.unit

loads = st.floats(0.01, 60)
seconds = st.floats(1, 2000)


def test_ten_erlangs_and_fourteen_agents_are_as_published() -> None:
    """The example of R's package ErlangC: 100 calls of 180 s in half an hour."""
    line = erlang_c(14, 10.0, handling_seconds=180, within_seconds=20)
    assert (line.waiting, line.within) == pytest.approx((0.1741319, 0.88835), abs=1e-6)
    assert line.mean_wait_seconds == pytest.approx(7.83593701, abs=1e-7)
    assert line.occupancy == pytest.approx(0.7142857, abs=1e-6)


def test_fifty_agents_and_callers_who_give_up_are_as_published() -> None:
    """Garnett, Mandelbaum and Reiman 2002, table 1: 48 calls a minute of one minute, patience of two minutes."""
    patient = erlang_c(50, 48.0, handling_seconds=60, within_seconds=20)
    assert (round(patient.mean_wait_seconds, 1), round(patient.occupancy, 2)) == (20.8, 0.96)
    line = erlang_a(50, 48.0, handling_seconds=60, patience_seconds=120, within_seconds=20)
    assert (round(line.abandoned, 3), round(line.mean_wait_seconds, 1), round(line.occupancy, 2)) == (0.031, 3.7, 0.93)


@given(st.integers(1, 80), loads)
def test_the_loss_formula_is_erlangs_sum(agents: int, load: float) -> None:
    terms = [k * math.log(load) - math.lgamma(k + 1) for k in range(agents + 1)]
    expected = 1 / sum(math.exp(term - terms[-1]) for term in terms)
    assert erlang_b(agents, load) == pytest.approx(expected, rel=1e-9)


@given(st.integers(1, 80), loads, seconds, st.floats(0, 600))
def test_one_agent_more_never_makes_callers_wait_longer(
    agents: int, load: float, handling: float, within: float
) -> None:
    few, more = (erlang_c(n, load, handling_seconds=handling, within_seconds=within) for n in (agents, agents + 1))
    assert more.waiting <= few.waiting
    assert more.mean_wait_seconds <= few.mean_wait_seconds
    assert 0 <= few.within <= more.within <= 1


@given(st.integers(1, 60), loads, seconds, seconds, st.floats(0, 600))
@settings(max_examples=30, deadline=None)
def test_so_it_is_when_callers_give_up(
    agents: int, load: float, handling: float, patience: float, within: float
) -> None:
    few, more = (
        erlang_a(n, load, handling_seconds=handling, patience_seconds=patience, within_seconds=within)
        for n in (agents, agents + 1)
    )
    assert more.abandoned <= few.abandoned + 1e-6
    assert more.mean_wait_seconds <= few.mean_wait_seconds + 1e-6
    assert -1e-6 <= few.within <= more.within + 1e-6 <= 1 + 2e-6
    assert few.within <= 1 - few.abandoned + 1e-6
    assert few.occupancy <= 1 + 1e-6


def in_the_long_run(agents: int, load: float, handling: float, patience: float) -> tuple[float, float]:
    """Who waits and who gives up, by the long way: the probability of every number of callers, one by one."""
    arrivals, weights = load / handling, [0.0]
    while len(weights) < agents + 5 or weights[-1] > max(weights) - 50:
        callers = len(weights)
        leave = min(callers, agents) / handling + max(callers - agents, 0) / patience
        weights.append(weights[-1] + math.log(arrivals / leave))
    shares = [math.exp(weight - max(weights)) for weight in weights]
    waiting = sum((callers - agents) * share for callers, share in enumerate(shares) if callers > agents)
    return sum(shares[agents:]) / sum(shares), waiting / patience / arrivals / sum(shares)


@given(st.integers(1, 60), loads, seconds, seconds)
@settings(max_examples=30, deadline=None)
def test_callers_who_give_up_are_as_many_as_by_counting_every_state(
    agents: int, load: float, handling: float, patience: float
) -> None:
    line = erlang_a(agents, load, handling_seconds=handling, patience_seconds=patience, within_seconds=math.inf)
    assert (line.waiting, line.abandoned) == pytest.approx(in_the_long_run(agents, load, handling, patience), abs=1e-6)
    assert line.within == pytest.approx(1 - line.abandoned, abs=1e-6)


@given(st.integers(1, 40), st.floats(0.05, 0.9), seconds, st.floats(0, 600))
@settings(max_examples=20, deadline=None)
def test_callers_of_endless_patience_are_erlang_c(
    agents: int, occupancy: float, handling: float, within: float
) -> None:
    load = occupancy * agents
    patient = erlang_c(agents, load, handling_seconds=handling, within_seconds=within)
    line = erlang_a(agents, load, handling_seconds=handling, patience_seconds=handling * 1e7, within_seconds=within)
    assert (line.waiting, line.within) == pytest.approx((patient.waiting, patient.within), abs=1e-4)


def test_a_line_that_only_grows_is_endless_and_one_that_is_given_up_is_not() -> None:
    assert erlang_c(4, 4.0, handling_seconds=240, within_seconds=20).mean_wait_seconds == math.inf
    line = erlang_a(50, 480.0, handling_seconds=60, patience_seconds=10_000, within_seconds=20)
    assert line.abandoned == pytest.approx(1 - 50 / 480)


def test_hundreds_of_agents_for_hardly_a_call_are_no_error() -> None:
    assert erlang_a(400, 3.0, handling_seconds=60, patience_seconds=100, within_seconds=0).waiting == 0
