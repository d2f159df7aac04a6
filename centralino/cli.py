"""The command line."""

import sys
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec, TypeVar

import typer
import uvloop
from rich.table import Table
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncSession

import centralino
from centralino import log
from centralino.asterisk_command import write_asterisk_conf
from centralino.migrate import DatabaseBehind, DatabaseNewer, migrate
from centralino.models_command import models_app
from centralino.prompts_command import prompts_app
from centralino.serve import serve as run_service
from centralino.serve import utc_now
from centralino.settings import DEFAULT_FILE, Settings, SettingsError, load
from centralino.terminal import fail, terminal
from desk import operations as desk_operations
from desk.errors import DeskError
from desk.models import Role
from ivr import operations, queries
from tickets import operations as ticket_operations
from tickets.database import Database
from tickets.errors import TicketsError

P = ParamSpec("P")
T = TypeVar("T")

app = typer.Typer(no_args_is_help=True, help="The help-desk phone line as one service on Asterisk.")
agent_app = typer.Typer(no_args_is_help=True, help="Agents: the people who take calls.")
contact_app = typer.Typer(no_args_is_help=True, help="Contacts: the people who call.")
app.command("asterisk-conf")(write_asterisk_conf)
app.add_typer(agent_app, name="agent")
app.add_typer(contact_app, name="contact")
app.add_typer(models_app, name="models")
app.add_typer(prompts_app, name="prompts")

console = terminal()
ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", envvar="CENTRALINO_CONFIG", help="The settings file (TOML).")
]


@app.command()
def serve(
    config: ConfigOption = DEFAULT_FILE,
    log_level: Annotated[str, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")] = "INFO",
) -> None:
    """Run the service against an Asterisk."""
    log.configure(log_level.upper())
    settings = _settings(config)
    _in_loop(run_service(settings))


@app.command()
def check(config: ConfigOption = DEFAULT_FILE) -> None:
    """Check the settings file without starting anything."""
    settings = _settings(config)
    table = Table("line", "name", "language", "opening hours", "queue", "menu")
    for line in settings.calls.lines:
        menu = ", ".join(sorted(line.menu.choices)) if line.menu else "-"
        table.add_row(line.number, line.name, line.language, line.calendar, line.queue, menu)
    console.print(table)
    console.print("The settings make sense.")


@app.command()
def demo(
    report: Annotated[Path | None, typer.Option(help="Also write the results to this file, as JSON.")] = None,
    keep: Annotated[bool, typer.Option(help="Leave everything running afterwards, to go on by hand.")] = False,
) -> None:
    """Watch real calls: a private Asterisk, real SIP phones, the whole service."""
    try:
        from centralino.demo import run_demo
    except ImportError as error:
        fail(f"the demo needs the optional dependencies: pip install 'centralino[rig]' ({error.name} is missing)")
    raise typer.Exit(uvloop.run(run_demo(report=report, keep=keep)))


@app.command("migrate")
def migrate_database(config: ConfigOption = DEFAULT_FILE) -> None:
    """Bring the database to this version's tables (`serve` does the same when it starts)."""
    settings = _settings(config)
    _in_loop(migrate(settings.storage.database))
    console.print("The database is up to date.")


@agent_app.command("add")
def add_agent(
    username: str,
    name: Annotated[str, typer.Option(help="As shown at the desk.")],
    phone: Annotated[str, typer.Option(help="The agent's phone in Asterisk, such as PJSIP/101.")],
    queue: Annotated[list[str], typer.Option(help="A queue to serve; may be given several times.")],
    supervisor: Annotated[bool, typer.Option(help="Give the role of a supervisor.")] = False,
    config: ConfigOption = DEFAULT_FILE,
) -> None:
    """Add an agent with a log-in; the password is asked for (or read from standard input)."""
    settings = _settings(config)
    unknown = [q for q in queue if q not in settings.calls.queues]
    if unknown:
        fail(f"there is no queue {unknown[0]!r}; the settings describe {', '.join(settings.calls.queues)}")
    password = _password()

    async def add(session: AsyncSession, now: datetime) -> None:
        agent = await operations.add_agent(session, username, name, phone, queue, now=now)
        role = Role.SUPERVISOR if supervisor else Role.AGENT
        await desk_operations.create_account(session, username, password, role=role, agent_id=agent.id)

    try:
        _run(settings, add, utc_now())
    except IntegrityError:
        fail(f"there is an agent with the user name {username!r} or the phone {phone!r} already")
    console.print(f"{name} can log in as {username}.")


@agent_app.command("password")
def set_password(username: str, config: ConfigOption = DEFAULT_FILE) -> None:
    """Set a new password; it ends every log-in of that user."""
    settings = _settings(config)
    password = _password()
    _run(settings, desk_operations.set_password, username, password)
    console.print("The password is set.")


@agent_app.command("list")
def list_agents(config: ConfigOption = DEFAULT_FILE) -> None:
    """List the agents."""
    settings = _settings(config)
    table = Table("user name", "name", "phone", "queues", "presence")
    for agent in _run(settings, queries.agents):
        table.add_row(agent.username, agent.name, agent.endpoint, ", ".join(agent.queues), agent.presence)
    console.print(table)


@contact_app.command("add")
def add_contact(
    name: str,
    phone: Annotated[list[str], typer.Option(help="A telephone number; may be given several times.")],
    email: Annotated[str | None, typer.Option(help="Where notices go.")] = None,
    company: Annotated[str | None, typer.Option(help="The health company; added when it is new.")] = None,
    config: ConfigOption = DEFAULT_FILE,
) -> None:
    """Add a contact, so that calls are recognised and notices have an address."""
    settings = _settings(config)

    async def add(session: AsyncSession) -> None:
        company_id = (await ticket_operations.add_company(session, company)).id if company else None
        await ticket_operations.add_contact(session, name, company_id=company_id, email=email, phones=phone)

    _run(settings, add)
    console.print(f"{name} is in the directory.")


def _run(
    settings: Settings,
    operation: Callable[Concatenate[AsyncSession, P], Awaitable[T]],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    async def once() -> T:
        await migrate(settings.storage.database)
        database = Database(settings.storage.database)
        try:
            return await database.run(operation, *args, **kwargs)
        finally:
            await database.close()

    return _in_loop(once())


def _in_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    try:
        return uvloop.run(coroutine)
    except (DatabaseNewer, DatabaseBehind, DeskError, TicketsError) as error:
        fail(str(error))
    except OperationalError as error:
        fail(
            f"the database cannot be used: {error.orig}\n"
            "Look at storage.database in the settings: the folder must exist and be this user's to write in, "
            "or the server must run and let this user in."
        )


def _settings(config: Path) -> Settings:
    try:
        return load(config)
    except SettingsError as error:
        fail(str(error))


def _password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))


@app.callback(invoke_without_command=True)
def main(version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False) -> None:
    """The help-desk phone line as one service on Asterisk."""
    if version:
        console.print(f"centralino {centralino.__version__}")
        raise typer.Exit
