"""The real waiting line in virtual time, beside what theory says of such a line."""

import pytest

from ivr.config import Queue
from ivr.erlang import erlang_a, erlang_c
from ivr.staffing import Demand, run_once, simulate

pytestmark = pytest.mark.unit

PURE = Queue(wrap_up_seconds=0, max_wait_seconds=3600)
"""A queue as theory has it: no wrap-up, and (nearly) endless waiting."""


def test_with_endless_patience_the_line_does_what_erlang_c_says() -> None:
    demand = Demand(60, 240, PURE)
    measured = simulate(demand, 6, within_seconds=20, calls=120, seed=6)
    theory = erlang_c(6, demand.load, handling_seconds=240, within_seconds=20)
    for name in ("waiting", "mean_wait_seconds", "within", "occupancy"):
        assert measured[name].mean == pytest.approx(getattr(theory, name), abs=measured[name].margin), name
    assert measured["within"].margin < 0.15
    assert (measured["abandoned"].mean, measured["messages"].mean, measured["missed"].mean) == (0, 0, 0)


def test_with_callers_who_give_up_it_does_what_erlang_a_says() -> None:
    demand = Demand(60, 240, PURE, patience_seconds=300)
    measured = simulate(demand, 4, within_seconds=20, calls=120, seed=6)
    theory = erlang_a(4, demand.load, handling_seconds=240, patience_seconds=300, within_seconds=20)
    for name in ("waiting", "mean_wait_seconds", "within", "abandoned", "occupancy"):
        assert measured[name].mean == pytest.approx(getattr(theory, name), abs=measured[name].margin), name
    assert measured["abandoned"].margin < 0.1


def test_the_queues_own_rules_count_wrap_up_missed_calls_and_the_longest_wait() -> None:
    queue = Queue(wrap_up_seconds=60, max_wait_seconds=90, ring_seconds=10)
    run = run_once(Demand(60, 180, queue, answer_seconds=6), 5, 20, 150, "1")
    assert run.missed > 0.05
    assert run.messages > 0.02
    assert run.abandoned == 0
    at_once = queue.model_copy(update={"wrap_up_seconds": 0})
    plain = run_once(Demand(60, 180, at_once, answer_seconds=6), 5, 20, 150, "1")
    assert run.mean_wait_seconds > 1.5 * plain.mean_wait_seconds


def test_the_same_seed_gives_the_same_figures_and_another_does_not() -> None:
    demand = Demand(60, 240, Queue(), patience_seconds=120, answer_seconds=4)
    assert run_once(demand, 4, 20, 40, "1") == run_once(demand, 4, 20, 40, "1") != run_once(demand, 4, 20, 40, "2")
