"""`centralino maximo`: how it stands with Maximo, and with every other system that follows our requests."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.markup import escape
from rich.table import Table
from sqlalchemy import select
from sqlalchemy.orm import Session

from centralino.command import ConfigOption, on_database, read_settings, run_in_loop, run_operation
from centralino.connectors import in_step
from centralino.settings import DEFAULT_FILE, Settings
from centralino.terminal import fail, terminal
from schedules.clock import utc_now
from tickets.connectors.maximo import Maximo, MaximoSettings, mapping
from tickets.connectors.sync import Standings, SyncState, dead_letters, retry, skip, standings, tell_again
from tickets.database import Database
from tickets.errors import NotFound
from tickets.models import Request, Status
from tickets.notices import Notices

maximo_app = typer.Typer(no_args_is_help=True, help="Maximo, and other systems that follow the requests.")
console = terminal()

ConnectorOption = Annotated[
    str, typer.Option("--connector", help="Another one than Maximo, such as webhook-NAME: `status` shows the names.")
]


@maximo_app.command("check")
def check(config: ConfigOption = DEFAULT_FILE) -> None:
    """Log in to Maximo without changing anything there, and show what would be written where."""
    settings = _maximo(read_settings(config))

    async def try_it() -> str:
        async with Maximo(settings) as maximo:
            return await maximo.check()

    who = run_in_loop(try_it())
    user = f" as {who}" if who else ""
    console.print(f"{settings.url} lets us in{user}; its object structure {settings.object_structure} can be read.")
    fields = Table("Maximo's field", "what is written", "at most")
    for name, text in mapping(settings):
        longest = settings.longest(name)
        fields.add_row(escape(name), escape(text.replace("\n", " / ")), str(longest or ""))
    console.print(fields)
    statuses = Table("our status", "written there")
    for status in Status:
        statuses.add_row(status.value, escape(settings.status_word(status)) or "(is not told)")
    console.print(statuses)


@maximo_app.command("status")
def show_status(config: ConfigOption = DEFAULT_FILE) -> None:
    """Show what waits, what is refused, and since when; exit code 1 when somebody has to look."""
    settings = read_settings(config)
    if not settings.connectors:
        fail("the settings name no other system: see [maximo] and [[webhooks]] in docs/settings.md")

    def look(session: Session) -> tuple[list[Standings], list[tuple[str, str, str]]]:
        dead = [
            (name, request.ticket or "", change.last_error or "")
            for name in settings.connectors
            for request, change in dead_letters(session, name)
        ]
        return standings(session, settings.connectors), dead

    all_, dead = run_operation(settings, look)
    table = Table("system", "reached", "waiting", "oldest", "refused for good", "differing", "compared", "last error")
    for one in all_:
        reached = _when(one.reached_at) if one.away_since is None else f"away since {_when(one.away_since)}"
        counts = (str(one.waiting), _when(one.oldest), str(one.dead), str(one.differing), _when(one.compared_at))
        table.add_row(*map(escape, (one.connector, reached, *counts, one.error or "")))
    console.print(table)
    if dead:
        refused = Table("system", "ticket", "refused, because")
        for row in dead:
            refused.add_row(*map(escape, row))
        console.print(refused)
    raise typer.Exit(bool(dead) or any(one.away_since for one in all_))


@maximo_app.command("drift")
def show_drift(config: ConfigOption = DEFAULT_FILE) -> None:
    """Compare open requests, and those closed in the last 30 days, with Maximo; exit code 1 when some differ."""
    settings = read_settings(config)
    _maximo(settings)

    async def compare(database: Database) -> Sequence[SyncState]:
        async with in_step(settings, database, Notices(settings.notices), None, None) as all_:
            return await all_[0].sync.compare(now=utc_now())

    found = run_in_loop(on_database(settings, compare))
    table = Table("Maximo's number", "field", "here", "there")
    for state in found:
        for one in state.differences:
            table.add_row(*map(escape, (state.remote_id or "", one["field"], one["here"], one["there"])))
    console.print(table if table.rows else "Everything is the same there.")
    raise typer.Exit(bool(table.rows))


@maximo_app.command("retry")
def retry_refused(
    ticket: Annotated[str | None, typer.Argument(help="Only this request; else all.")] = None,
    connector: ConnectorOption = "maximo",
    config: ConfigOption = DEFAULT_FILE,
) -> None:
    """Have what was refused tried again at once, after its cause was removed."""

    def again(session: Session, now: datetime) -> int:
        request_id = _request(session, ticket).id if ticket else None
        return retry(session, connector, request_id=request_id, now=now)

    tried = run_operation(read_settings(config), again, utc_now())
    console.print(f"{tried} refused change(s) are tried again." if tried else "Nothing was refused.")


@maximo_app.command("skip")
def skip_refused(ticket: str, connector: ConnectorOption = "maximo", config: ConfigOption = DEFAULT_FILE) -> None:
    """Leave the refused change of a request out, so that its later ones are told; it is shown as a difference."""

    def leave_out(session: Session) -> None:
        skip(session, connector, _request(session, ticket).id)

    run_operation(read_settings(config), leave_out)
    console.print(f"The refused change of {ticket} is left out.", markup=False)


@maximo_app.command("send")
def send_whole(ticket: str, connector: ConnectorOption = "maximo", config: ConfigOption = DEFAULT_FILE) -> None:
    """Bring a whole request in step: its fields and status are written there as they are here."""

    def whole(session: Session, now: datetime) -> None:
        tell_again(session, connector, _request(session, ticket).id, now=now)

    run_operation(read_settings(config), whole, utc_now())
    console.print(f"{ticket} is told anew.", markup=False)


def run_fake(
    port: Annotated[int, typer.Option(help="Where it listens.")] = 9080,
    host: Annotated[str, typer.Option(help="Its address.")] = "127.0.0.1",
    api_key: Annotated[str, typer.Option(help="The key that it knows.")] = "chiave-di-prova",
    file: Annotated[Path | None, typer.Option(help="Keep its service requests in this file (JSON).")] = None,
    version_7: Annotated[
        bool, typer.Option("--version-7", help="Know /maximo/oslc and the user maxadmin, password maxadmin, too.")
    ] = False,
) -> None:
    """Run a Maximo that is none, to see what would be written to a real one; it knows service requests only."""
    from centralino.rig.fake_maximo import FakeMaximo

    async def run() -> None:
        users = {"maxadmin": "maxadmin"} if version_7 else {}
        fake = FakeMaximo(api_key=api_key, users=users, suite=not version_7, file=file, host=host, port=port)
        async with fake:
            console.print(f"A Maximo that is none listens at {fake.url} with the key {api_key}.", markup=False)
            told = 0
            while True:
                await asyncio.sleep(0.5)
                for done in fake.journal[told:]:
                    told += 1
                    console.print(f"{done.ticketid}  {done.what:10}  {done.reference}  {done.detail}", markup=False)

    try:
        uvloop.run(run())
    except OSError as error:
        fail(f"cannot listen on {host}, port {port}: {error.strerror}")
    except KeyboardInterrupt:
        raise typer.Exit from None


def _maximo(settings: Settings) -> MaximoSettings:
    if settings.maximo is None:
        fail("the settings have no section [maximo]: see docs/maximo.md")
    return settings.maximo


def _request(session: Session, ticket: str) -> Request:
    request = session.scalar(select(Request).where(Request.ticket == ticket))
    if request is None:
        raise NotFound(f"there is no request with the ticket number {ticket}")
    return request


def _when(at: datetime | None) -> str:
    return at.astimezone().isoformat(sep=" ", timespec="minutes") if at else "-"
