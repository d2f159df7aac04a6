"""`python -m benchmarks [COMMAND]`: measure, show tables, and on request write the figures as JSON."""

import asyncio
import json
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console

from benchmarks import desks, full_tables, in_progress, limit, page, painted, search, side_by_side, soak
from benchmarks.tables import machine
from centralino.terminal import terminal

Plan = TypeVar("Plan")
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write all figures there as well.")]
Quick = Annotated[bool, typer.Option(help="Fewer calls: a first look.")]

app = typer.Typer(add_completion=False)


@app.callback(invoke_without_command=True)
def default(context: typer.Context, json_file: JsonFile = None, quick: Quick = False) -> None:
    """Measure Centralino on an Asterisk of its own; without a command beside Asterisk's own queue and voicemail."""
    if context.invoked_subcommand is None:
        _measure(side_by_side.run, side_by_side.QUICK if quick else side_by_side.FULL, json_file)


@app.command("in-progress")
def calls_in_progress(json_file: JsonFile = None, quick: Quick = False) -> None:
    """Whether a call costs more, or waits longer, while 400 others are in progress."""
    _measure(in_progress.run, in_progress.QUICK if quick else in_progress.FULL, json_file)


@app.command("full-tables")
def tables_that_are_full(json_file: JsonFile = None, quick: Quick = False) -> None:
    """Whether a call takes longer with a million calls and requests in the database."""
    _measure(full_tables.run, full_tables.QUICK if quick else full_tables.FULL, json_file)


@app.command("limit")
def as_many_as_possible(json_file: JsonFile = None, quick: Quick = False) -> None:
    """How many calls this machine carries; and 60 calls with sound for five minutes."""
    _measure(limit.run, limit.QUICK if quick else limit.FULL, json_file)


@app.command("soak")
def for_a_long_time(json_file: JsonFile = None, quick: Quick = False) -> None:
    """Whether anything grows over 20,000 calls."""
    _measure(soak.run, soak.QUICK if quick else soak.FULL, json_file)


@app.command("desks")
def many_desks(json_file: JsonFile = None, quick: Quick = False) -> None:
    """How soon an event is at 500 open desks, and what a desk costs in memory."""
    _measure(desks.run, desks.QUICK if quick else desks.FULL, json_file)


@app.command("page")
def the_first_view(json_file: JsonFile = None, quick: Quick = False) -> None:
    """How much of the page comes over the wire, how soon it can be used, and 20 pops at once."""
    _measure(page.run, page.QUICK if quick else page.FULL, json_file)


@app.command("painted")
def pops_on_the_screen(json_file: JsonFile = None, quick: Quick = False) -> None:
    """How soon a call is painted in a browser, and whether that is before the phone rings."""
    _measure(painted.run, painted.QUICK if quick else painted.FULL, json_file)


@app.command("search")
def while_somebody_types(json_file: JsonFile = None, quick: Quick = False) -> None:
    """How soon one of a million requests is found while its words are typed."""
    _measure(search.run, search.QUICK if quick else search.FULL, json_file)


def _measure(
    run: Callable[[Path, Plan, Console], Awaitable[dict[str, Any]]], plan: Plan, json_file: Path | None
) -> None:
    console = terminal()
    of = machine()
    console.print(" | ".join(of.values()))
    console.print("Starting Asterisk, the service and the agents' phones ...")
    began = time.monotonic()

    async def measured() -> dict[str, Any]:
        if (me := asyncio.current_task()) is not None:  # ended by a signal, too, it leaves nothing running
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, me.cancel)
        with tempfile.TemporaryDirectory(prefix="centralino-bench-") as folder:
            return await run(Path(folder), plan, console)

    figures = {"machine": of, **asyncio.run(measured()), "seconds": round(time.monotonic() - began)}
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        console.print(f"The same as JSON: {json_file}")
    raise typer.Exit(bool(figures.get("failed")))


if __name__ == "__main__":
    app()
