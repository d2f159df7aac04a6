"""`centralino agent`: who takes calls, with which phone and for which queues.

A service that runs takes changes up with the next call; pages that are open show them when they are loaded again.
"""

import getpass
import os
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table
from sqlalchemy.orm import Session

from centralino.command import ConfigOption, read_settings, run_operation
from centralino.settings import DEFAULT_FILE, Settings
from centralino.terminal import fail, terminal
from desk import administration, audit
from desk import operations as desk_operations
from desk import queries as desk_queries
from desk.models import Role
from ivr import operations, queries, site
from ivr.models import Agent
from schedules.clock import utc_now
from tickets.errors import InvalidInput
from tickets.notices import Notices
from tickets.operations import take_from_leaver

agent_app = typer.Typer(no_args_is_help=True, help="Agents: the people who take calls.")
console = terminal()

PHONE_HELP = "The agent's phone in Asterisk, such as PJSIP/101."
BROWSER_HELP = "The phone is the one in the browser (see desk.phone_url)."


@agent_app.command("add")
def add_agent(
    username: str,
    name: Annotated[str, typer.Option(help="As shown at the desk.")],
    phone: Annotated[str, typer.Option(help=PHONE_HELP)],
    queue: Annotated[list[str], typer.Option(help="A queue to serve; may be given several times.")],
    browser: Annotated[bool, typer.Option("--browser", help=BROWSER_HELP)] = False,
    supervisor: Annotated[bool, typer.Option(help="Give the role of a supervisor.")] = False,
    config: ConfigOption = DEFAULT_FILE,
) -> None:
    """Add an agent with a log-in; the password is asked for (or read from standard input)."""
    settings = read_settings(config)
    password = _password()

    def add(session: Session, now: datetime) -> None:
        _check_queues(session, settings, queue)
        agent = operations.add_agent(session, username, name, phone, queue, browser_phone=browser, now=now)
        desk_operations.create_account(session, username, password, role=_role(supervisor), agent_id=agent.id)
        view = administration.person(session, username)
        audit.note(session, _by(), "agent_added", username, None, administration.told_of_person(view), now=now)

    run_operation(settings, add, utc_now())
    console.print(f"{name} can log in as {username}.", markup=False)


@agent_app.command("edit")
def edit_agent(
    username: str,
    name: Annotated[str | None, typer.Option(help="As shown at the desk.")] = None,
    phone: Annotated[str | None, typer.Option(help=PHONE_HELP)] = None,
    queue: Annotated[
        list[str] | None, typer.Option(help="A queue to serve, in place of all so far; may be given several times.")
    ] = None,
    browser: Annotated[bool | None, typer.Option("--browser/--no-browser", help=BROWSER_HELP)] = None,
    supervisor: Annotated[
        bool | None, typer.Option("--supervisor/--no-supervisor", help="Give or take the role of a supervisor.")
    ] = None,
    config: ConfigOption = DEFAULT_FILE,
) -> None:
    """Change what is given; all else stays."""
    settings = read_settings(config)
    if not queue and (name, phone, browser, supervisor) == (None, None, None, None):
        fail("nothing to change: give --name, --phone, --browser, --queue or --supervisor")

    def edit(session: Session, now: datetime) -> None:
        _check_queues(session, settings, queue or ())
        agent = operations.change_agent(session, username)  # refuses who is not there
        old = administration.told_of_person(administration.person(session, agent.username))
        operations.change_agent(
            session, username, name=name, endpoint=phone, queues=queue or None, browser_phone=browser
        )
        if supervisor is not None:
            desk_operations.set_role(session, username, _role(supervisor))
        session.flush()
        new = administration.told_of_person(administration.person(session, username))
        audit.note(session, _by(), "agent_edited", username, old, new, now=now)

    run_operation(settings, edit, utc_now())
    console.print(f"{username} is changed.", markup=False)


@agent_app.command("remove")
def remove_agent(username: str, config: ConfigOption = DEFAULT_FILE) -> None:
    """Take log-in, phone, queues and requests from someone who leaves; what they did stays in the history."""
    settings = read_settings(config)

    def remove(session: Session, now: datetime) -> int:
        operations.remove_agent(session, username, now=now)
        desk_operations.remove_account(session, username)
        audit.note(session, _by(), "agent_removed", username, now=now)
        return take_from_leaver(
            session, username, Notices(settings.notices), now=now, reopen_within=settings.requests.reopen_within
        )

    put_back = run_operation(settings, remove, utc_now())
    console.print(f"{username} cannot log in any more; the phone is free for somebody else.", markup=False)
    if put_back:
        console.print(f"{put_back} {'request is' if put_back == 1 else 'requests are'} in the queue again.")


@agent_app.command("password")
def set_password(username: str, config: ConfigOption = DEFAULT_FILE) -> None:
    """Set a new password; it ends every log-in of that user."""
    settings = read_settings(config)
    password = _password()

    def change(session: Session, now: datetime) -> None:
        desk_operations.set_password(session, username, password)
        audit.note(session, _by(), "password_set", username, now=now)

    run_operation(settings, change, utc_now())
    console.print("The password is set.")


@agent_app.command("list")
def list_agents(config: ConfigOption = DEFAULT_FILE) -> None:
    """List the agents."""
    table = Table("user name", "name", "role", "phone", "queues", "presence")

    def read(session: Session) -> list[tuple[str, ...]]:
        roles = desk_queries.roles(session)
        return [
            (one.username, one.name, roles.get(one.id, "-"), _phone(one), ", ".join(one.queues), one.presence)
            for one in queries.agents(session)
        ]

    for cells in run_operation(read_settings(config), read):
        table.add_row(*map(escape, cells))
    console.print(table if table.rows else "There are no agents yet: `centralino agent add --help`")


def _phone(agent: Agent) -> str:
    return f"{agent.endpoint or '-'}{' (browser)' if agent.browser_phone else ''}"


def _by() -> audit.By:
    """Who types this, for the audit log: the user of the machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # in a container it may have no name
        user = str(os.getuid())
    return audit.By(audit.COMMAND_LINE, user)


def _role(supervisor: bool) -> Role:
    return Role.SUPERVISOR if supervisor else Role.AGENT


def _check_queues(session: Session, settings: Settings, queues: Sequence[str]) -> None:
    known = site.in_force(session, settings.calls).queues
    if unknown := [queue for queue in queues if queue not in known]:
        raise InvalidInput("queue", f"there is no queue {unknown[0]!r}; there are {', '.join(known)}")


def _password() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    password = sys.stdin.readline().rstrip("\n")
    if not password:
        fail("no password came: type it at a terminal, or give it as the first line of the standard input")
    return password
