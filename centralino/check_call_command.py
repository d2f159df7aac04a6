"""`centralino check-call`: let the service call itself now, and see whether a message arrives."""

from functools import partial
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from centralino.command import ConfigOption, on_database, read_settings, run_in_loop, run_operation
from centralino.migrate import check
from centralino.settings import DEFAULT_FILE, Settings
from centralino.synthetic import report, synthetic_call
from centralino.terminal import terminal
from ivr.synthetic_call import STEPS, SyntheticOutcome, last_result
from schedules.clock import utc_now
from tickets.alarms import Alarms
from tickets.database import Database
from tickets.notices import Notices


def check_call(
    config: ConfigOption = DEFAULT_FILE,
    last: Annotated[bool, typer.Option("--last", help="Only show how the last one went.")] = False,
) -> None:
    """Make a synthetic call to the running service, and show how long each step took; exit code 1 when one failed."""
    settings = read_settings(config)
    if last:
        stored = run_operation(settings, last_result)
        if stored is None:
            terminal().print("No synthetic call has been made.")
            raise typer.Exit(1)
        outcome = SyntheticOutcome(stored.at, stored.steps, stored.failed, stored.why)
    else:
        outcome = run_in_loop(on_database(settings, partial(_call, settings), prepare=check))
    table = Table("step", "ms", title=outcome.at.astimezone().isoformat(sep=" ", timespec="seconds"))
    for step in STEPS:
        if step in outcome.steps or step == outcome.failed:
            table.add_row(step, "failed" if step == outcome.failed else str(outcome.steps[step]))
    terminal().print(table)
    if outcome.failed is not None:
        terminal().print(f"It failed at step {outcome.failed}: {escape(outcome.why or '')}")
        raise typer.Exit(1)
    if skipped := set(STEPS) - outcome.steps.keys():
        terminal().print(f"Not part of it, by the settings: {', '.join(sorted(skipped))}.")


async def _call(settings: Settings, database: Database) -> SyntheticOutcome:
    outcome = await synthetic_call(settings, database, role="-by-hand").run()
    await report(outcome, Alarms(database, settings.alarms, Notices(settings.notices), utc_now))
    return outcome
