"""`centralino alarms`: what has to be looked after now."""

import typer
from rich.markup import escape
from rich.table import Table

from centralino.command import ConfigOption, read_settings, run_operation
from centralino.settings import DEFAULT_FILE
from centralino.terminal import terminal
from tickets.alarms import open_alarms


def show_alarms(config: ConfigOption = DEFAULT_FILE) -> None:
    """Show the open alarms; exit code 1 when there are any."""
    table = Table("since", "alarm", "about", "what to do")
    for alarm in run_operation(read_settings(config), open_alarms):
        since = alarm.sounded_at.astimezone().isoformat(sep=" ", timespec="minutes")
        table.add_row(*map(escape, (since, alarm.kind, alarm.subject, alarm.words)))
    terminal().print(table if table.rows else "No alarms.")
    raise typer.Exit(bool(table.rows))
