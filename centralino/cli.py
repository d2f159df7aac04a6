"""The command line."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Literal

import typer
import uvloop
from rich.markup import escape
from rich.table import Table

import centralino
from centralino import log
from centralino.agent_command import agent_app
from centralino.alarms_command import show_alarms
from centralino.area_command import area_app
from centralino.asterisk_command import write_asterisk_conf
from centralino.check_call_command import check_call
from centralino.command import ConfigOption, read_settings, run_in_loop
from centralino.company_command import company_app
from centralino.contact_command import contact_app
from centralino.group_command import group_app
from centralino.ledger_command import show_ledger
from centralino.mail_command import mail_app
from centralino.maximo_command import maximo_app, run_fake
from centralino.memory import share_arenas
from centralino.migrate import migrate
from centralino.migrate_database_command import migrate_database
from centralino.models_command import models_app
from centralino.notices_command import notices_app
from centralino.prompts_command import prompts_app
from centralino.report_command import show_report
from centralino.serve import CannotListen, serve_pages
from centralino.serve import serve as run_service
from centralino.settings import DEFAULT_FILE, what_is_broken, what_is_left_out
from centralino.staffing_command import staffing_table
from centralino.terminal import fail, terminal
from centralino.token_command import token_app

app = typer.Typer(no_args_is_help=True, help="The help-desk phone line as one service on Asterisk.")
app.command("alarms")(show_alarms)
app.command("check-call")(check_call)
app.command("asterisk-conf")(write_asterisk_conf)
app.command("migrate-database")(migrate_database)
app.command("staffing")(staffing_table)
app.command("ledger")(show_ledger)
app.command("fake-maximo")(run_fake)
app.command("report")(show_report)
app.add_typer(agent_app, name="agent")
app.add_typer(area_app, name="area")
app.add_typer(company_app, name="company")
app.add_typer(contact_app, name="contact")
app.add_typer(maximo_app, name="maximo")
app.add_typer(mail_app, name="mail")
app.add_typer(group_app, name="group")
app.add_typer(models_app, name="models")
app.add_typer(notices_app, name="notices")
app.add_typer(prompts_app, name="prompts")
app.add_typer(token_app, name="token")

console = terminal()
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


@app.command()
def serve(
    config: ConfigOption = DEFAULT_FILE,
    log_level: Annotated[LogLevel, typer.Option(case_sensitive=False, help="How much is logged.")] = "INFO",
) -> None:
    """Run the service against an Asterisk."""
    log.configure(log_level)
    _until_stopped(run_service(read_settings(config)))


@app.command()
def desk(
    config: ConfigOption = DEFAULT_FILE,
    log_level: Annotated[LogLevel, typer.Option(case_sensitive=False, help="How much is logged.")] = "INFO",
) -> None:
    """Serve the desk's pages by themselves, beside workers that serve the calls."""
    log.configure(log_level)
    settings = read_settings(config, only_pages=True)
    if not settings.asterisk.worker:
        fail("the desk by itself needs PostgreSQL (storage.database) and a name of its own (asterisk.worker)")
    _until_stopped(serve_pages(settings))


def _until_stopped(serving: Coroutine[None, None, None]) -> None:
    share_arenas()
    try:
        run_in_loop(serving)
    except CannotListen as error:
        fail(str(error))


@app.command()
def check(config: ConfigOption = DEFAULT_FILE) -> None:
    """Check the settings file, and what it points to, without starting anything."""
    settings = read_settings(config)
    table = Table("line", "name", "language", "opening hours", "queue", "menu")
    for line in settings.calls.lines:
        menu = ", ".join(sorted(line.menu.choices)) if line.menu else "-"
        table.add_row(*map(escape, (line.number, line.name, line.language, line.calendar, line.queue, menu)))
    console.print(table)
    console.print("The settings make sense.")
    if to_look_at := what_is_broken(settings) + what_is_left_out(settings):
        console.print("To look at (as seen by this user on this machine):")
        for text in to_look_at:
            console.print(f"* {text}", markup=False, soft_wrap=True)


@app.command()
def demo(
    report: Annotated[Path | None, typer.Option(help="Also write the results to this file, as JSON.")] = None,
    keep: Annotated[bool, typer.Option(help="Leave everything running afterwards, to go on by hand.")] = False,
) -> None:
    """Watch six stories: a private Asterisk, real SIP phones, fax and mail, the whole service."""
    try:
        from centralino.demo.run import run_demo
        from centralino.rig.errors import RigError
    except ImportError as error:
        fail(f"the demo needs the optional dependencies: pip install 'centralino[rig]' ({error.name} is missing)")
    try:
        raise typer.Exit(uvloop.run(run_demo(report=report, keep=keep)))
    except RigError as error:
        fail(str(error))


@app.command("migrate")
def migrate_tables(config: ConfigOption = DEFAULT_FILE) -> None:
    """Bring the database to this version's tables (`serve` does the same when it starts)."""
    settings = read_settings(config)
    run_in_loop(asyncio.to_thread(migrate, settings.storage.database))
    console.print("The database is up to date.")


@app.callback(invoke_without_command=True)
def main(version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False) -> None:
    """The help-desk phone line as one service on Asterisk."""
    if version:
        console.print(f"centralino {centralino.__version__}")
        raise typer.Exit
