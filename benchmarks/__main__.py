"""`python -m benchmarks [COMMAND]`: measure, show tables, and on request write the figures as JSON."""

import asyncio
import json
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType
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


def _add(name: str, what: ModuleType, words: str) -> None:
    """Make a command of what a module measures."""

    @app.command(name, help=words)
    def measure(json_file: JsonFile = None, quick: Quick = False) -> None:
        _measure(what.run, what.QUICK if quick else what.FULL, json_file)


_add("in-progress", in_progress, "Whether a call costs more, or waits longer, while 400 others are in progress.")
_add("full-tables", full_tables, "Whether a call takes longer with a million calls and requests in the database.")
_add("limit", limit, "How many calls this machine carries; and 60 calls with sound for five minutes.")
_add("soak", soak, "Whether anything grows over 20,000 calls.")
_add("desks", desks, "How soon an event is at 500 open desks, and what a desk costs in memory.")
_add("page", page, "How much of the page comes over the wire, how soon it can be used, and 20 pops at once.")
_add("painted", painted, "How soon a call is painted in a browser, and whether that is before the phone rings.")
_add("search", search, "How soon one of a million requests is found while its words are typed.")

if __name__ == "__main__":
    app()
