"""The capacity page says what its own figures say."""

import re

import pytest

from benchmarks.capacity import PAGE, TABLES, computed, desk, figures, most_agents
from centralino.staffing_command import by_erlang_a, by_erlang_c, formula_cells
from ivr.config import Queue
from ivr.staffing import Demand

pytestmark = pytest.mark.unit

TEXT = PAGE.read_text(encoding="utf-8")


def test_every_table_is_what_its_figures_give() -> None:
    assert re.findall(r"<!-- computed: (\w+) -->", TEXT) == list(TABLES)
    assert computed(TEXT) == TEXT, "run `python -m benchmarks.capacity`"
    slower = TEXT.replace("| `asterisk_long` | ", "| `asterisk_long` | 1")
    assert computed(slower) != slower


def test_the_largest_desk_fits_and_one_agent_more_does_not() -> None:
    given = figures(TEXT)
    for cores, workers in ((1, 1), (8, 4)):
        most = most_agents(given, cores, workers)
        for agents, fits in ((most, True), (most + 1, False)):
            _, _, asterisk, service = desk(given, agents)
            room = asterisk + service <= given["load"] * cores and service <= given["load"] * workers
            assert room is fits


def test_the_example_shows_what_the_formulas_give() -> None:
    given = figures(TEXT)
    assert (given["talk_seconds"], given["wrap_up_seconds"], given["answer_seconds"]) == (240, 30, 4)
    demand = Demand(60, 240, Queue(), patience_seconds=300, answer_seconds=4)
    for agents in (6, 7):
        patient, impatient = by_erlang_c(demand, agents, 20), by_erlang_a(demand, agents, 20)
        assert impatient is not None
        for head, name, line in ((f"{agents}", "Erlang C", patient), ("", "Erlang A", impatient)):
            row = " | ".join((head, name, *formula_cells(line)))
            assert re.sub(r" +", " ", f"| {row} |") in TEXT
