"""`centralino staffing`: how many agents a queue needs, by formula and by a run of the service's own waiting line."""

import itertools
import json
import math
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from typing import Annotated, Any

import typer
from rich.table import Table

from centralino.command import ConfigOption, read_settings
from centralino.settings import DEFAULT_FILE
from centralino.terminal import fail, terminal
from ivr import staffing
from ivr.config import Queue
from ivr.erlang import Line, erlang_a, erlang_c
from ivr.staffing import Demand, Estimate

console = terminal()

MOST_LOAD = 500.0
"""Erlangs. The formulas go further; the simulation would take hours, and no such queue is one desk's."""
ROWS_BEYOND = 8
"""How many agents more than the formula says are tried when the simulation does not reach the target."""


@dataclass(frozen=True, slots=True)
class Row:
    """What a number of agents brings."""

    agents: int
    erlang_c: Line
    erlang_a: Line | None
    """None where nobody gives up."""
    simulation: dict[str, Estimate]


def staffing_table(
    calls_per_hour: Annotated[float, typer.Option(min=0.1, max=100_000, help="Calls for agents in the busiest hour.")],
    talk_seconds: Annotated[float, typer.Option(min=1, max=7200, help="How long a talk takes, in the mean.")],
    wrap_up_seconds: Annotated[
        float | None, typer.Option(min=0, max=3600, help="Wrap-up after a call; the queue's own when left out.")
    ] = None,
    patience_seconds: Annotated[
        float | None,
        typer.Option(min=1, max=7200, help="After how long callers give up, in the mean; left out: never."),
    ] = None,
    answer_seconds: Annotated[
        float, typer.Option(min=0, max=120, help="How long agents take to pick up, in the mean.")
    ] = 4.0,
    target: Annotated[float, typer.Option(min=1, max=99.9, help="Percent of callers to be answered in time.")] = 80.0,
    within: Annotated[float, typer.Option(min=0, max=3600, help="In time: within so many seconds.")] = 20.0,
    queue: Annotated[str | None, typer.Option(help="A queue of the settings; left out: one with the defaults.")] = None,
    agents: Annotated[
        list[int] | None, typer.Option(min=1, max=1000, help="Show this number of agents; may be given several times.")
    ] = None,
    calls: Annotated[int, typer.Option(min=20, max=100_000, help="Callers counted in each of the ten runs.")] = 500,
    seed: Annotated[int, typer.Option(help="Another seed draws other callers.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Write the figures as JSON.")] = False,
    config: ConfigOption = DEFAULT_FILE,
) -> None:
    """Show how many agents a queue needs: Erlang's formulas beside runs of the service's own waiting line."""
    rules = Queue()
    if queue is not None:
        queues = read_settings(config).calls.queues
        if queue not in queues:
            fail(f"there is no queue {queue!r}; the settings describe {', '.join(queues)}")
        rules = queues[queue]
    if wrap_up_seconds is not None:
        rules = rules.model_copy(update={"wrap_up_seconds": wrap_up_seconds})
    demand = Demand(calls_per_hour, talk_seconds, rules, patience_seconds, answer_seconds)
    if demand.load > MOST_LOAD:
        fail(f"{demand.load:.0f} erlangs are too much for one queue: at most {MOST_LOAD:.0f}; divide it")
    rows: list[Row] = []
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool, console.status("calling ...") as status:
        for number in agents or _numbers(demand, target / 100, within, rows):
            status.update(f"calling {number} agents ...")
            rows.append(_row(demand, number, within, calls, seed, pool))
    if as_json:
        typer.echo(json.dumps(_figures(demand, rows, target, within, calls, seed), indent=2))
        return
    _show(demand, rows, target / 100, within, calls, seed)


def _row(demand: Demand, agents: int, within: float, calls: int, seed: int, pool: Executor) -> Row:
    return Row(
        agents,
        by_erlang_c(demand, agents, within),
        by_erlang_a(demand, agents, within),
        staffing.simulate(demand, agents, within_seconds=within, calls=calls, seed=seed, run_all=pool.map),
    )


def by_erlang_c(demand: Demand, agents: int, within: float) -> Line:
    """Erlang C for a demand; the time for which the phone rings is handling time, as wrap-up is."""
    return erlang_c(agents, demand.load, handling_seconds=demand.handling_seconds, within_seconds=within)


def by_erlang_a(demand: Demand, agents: int, within: float) -> Line | None:
    """Erlang A for a demand; None where nobody gives up."""
    if demand.patience_seconds is None:
        return None
    return erlang_a(
        agents,
        demand.load,
        handling_seconds=demand.handling_seconds,
        patience_seconds=demand.patience_seconds,
        within_seconds=within,
    )


def _numbers(demand: Demand, target: float, within: float, rows: list[Row]) -> Iterator[int]:
    """Numbers of agents to show: from one that is too few, until formula and simulation (`rows`) reach the target."""
    lines = (
        by_erlang_a(demand, number, within) or by_erlang_c(demand, number, within) for number in itertools.count(1)
    )
    first = next(number for number, line in enumerate(lines, start=1) if line.within >= target)
    enough = next(n for n in itertools.count(first) if by_erlang_c(demand, n, within).within >= target)
    for number in range(max(first - 1, 1), enough + ROWS_BEYOND):
        yield number
        if number >= enough and rows[-1].simulation["within"].mean >= target:
            return


def least(rows: Iterable[Row], target: float) -> int | None:
    """The least number of agents with which the simulation reaches the target (a share); None: none of them does."""
    return min((row.agents for row in rows if row.simulation["within"].mean >= target), default=None)


def _show(demand: Demand, rows: list[Row], target: float, within: float, calls: int, seed: int) -> None:
    rules = demand.queue
    gives_up = "nobody gives up"
    if demand.patience_seconds is not None:
        gives_up = f"callers give up after {demand.patience_seconds:g} s in the mean"
    console.print(
        f"{demand.calls_per_hour:g} calls an hour; agents pick up after {demand.answer_seconds:g} s, talk for "
        f"{demand.talk_seconds:g} s, wrap up for {rules.wrap_up_seconds:g} s: {demand.load:.2f} erlangs; {gives_up}.\n"
        f"The queue: a phone rings for {rules.ring_seconds:g} s, {rules.ring_agents} at once; after "
        f"{rules.max_wait_seconds:g} s of waiting, a message.\n"
        f"Simulation: {staffing.RUNS} runs of {calls} callers, seed {seed}; ± is the interval of 95 %.",
        highlight=False,
        soft_wrap=True,
    )
    table = Table()
    for name in ("agents", "", "waiting", "mean wait", f"within {within:g} s", "gave up", "message", "busy"):
        table.add_column(name, justify="left" if not name else "right")
    enough = least(rows, target)
    for row in rows:
        marked = f"{row.agents} *" if row.agents == enough else f"{row.agents}  "
        for way, line in (("Erlang C", row.erlang_c), ("Erlang A", row.erlang_a)):
            if line is not None:
                table.add_row(marked, way, *formula_cells(line))
                marked = ""
        table.add_row(marked, "simulation", *_simulation_cells(row.simulation), end_section=True)
    console.print(table)
    if enough is None:
        console.print(f"With none of these are {target:.0%} answered within {within:g} s in the simulation.")
    else:
        console.print(f"* the least number with which {target:.0%} are answered within {within:g} s in the simulation")


def formula_cells(line: Line) -> tuple[str, ...]:
    """A formula's row of the table, after its name."""
    wait = "endless" if math.isinf(line.mean_wait_seconds) else f"{line.mean_wait_seconds:.1f} s"
    return (_percent(line.waiting), wait, _percent(line.within), _percent(line.abandoned), "", _percent(line.occupancy))


def _simulation_cells(measured: dict[str, Estimate]) -> tuple[str, ...]:
    wait = measured["mean_wait_seconds"]
    shares = {name: f"{_percent(one.mean)} ± {100 * one.margin:.1f}" for name, one in measured.items()}
    return (
        shares["waiting"],
        f"{wait.mean:.1f} s ± {wait.margin:.1f}",
        shares["within"],
        shares["abandoned"],
        shares["messages"],
        shares["occupancy"],
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _figures(demand: Demand, rows: list[Row], target: float, within: float, calls: int, seed: int) -> dict[str, Any]:
    """The same as JSON: shares from 0 to 1; a wait without end is null."""
    queue = demand.queue.model_dump()
    return {
        "demand": asdict(demand) | {"queue": queue, "load_erlangs": demand.load},
        "target": {"percent": target, "within_seconds": within},
        "simulation": {"runs": staffing.RUNS, "calls": calls, "seed": seed},
        "least_agents": least(rows, target / 100),
        "rows": [
            {
                "agents": row.agents,
                "erlang_c": _finite(asdict(row.erlang_c)),
                "erlang_a": row.erlang_a and asdict(row.erlang_a),
                "simulation": {name: asdict(one) for name, one in row.simulation.items()},
            }
            for row in rows
        ],
    }


def _finite(figures: dict[str, float]) -> dict[str, float | None]:
    return {name: None if math.isinf(value) else value for name, value in figures.items()}
