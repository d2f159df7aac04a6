"""What the commands share: the settings file, and one transaction on the database it names."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec, TypeVar

import typer
import uvloop
from sqlalchemy.exc import DatabaseError, DataError, IntegrityError
from sqlalchemy.orm import Session

from centralino.migrate import DatabaseBehind, DatabaseNewer, migrate
from centralino.settings import Settings, SettingsError, load
from centralino.terminal import fail
from desk.errors import DeskError
from ivr.errors import IvrError
from tickets.database import Database
from tickets.errors import TicketsError

P = ParamSpec("P")
T = TypeVar("T")

ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", envvar="CENTRALINO_CONFIG", help="The settings file (TOML).")
]


def read_settings(config: Path, *, only_pages: bool = False) -> Settings:
    """Read the settings file, as `load` does; what is wrong with it ends the command."""
    try:
        return load(config, only_pages=only_pages)
    except SettingsError as error:
        fail(str(error))


@contextlib.contextmanager
def said_plainly() -> Iterator[None]:
    """An error whose text tells a person what to do is said, and ends the command."""
    try:
        yield
    except (DatabaseNewer, DatabaseBehind, DeskError, IvrError, TicketsError) as error:
        fail(str(error))
    except (DataError, IntegrityError) as error:
        fail(f"the database refuses this, and nothing is changed: {error.orig}")
    except DatabaseError as error:
        fail(
            f"the database cannot be used: {error.orig}\n"
            "Look at storage.database in the settings: it must be Centralino's own. The folder of a file must exist "
            "and be this user's to write in; a server must run and let this user in."
        )


def run_in_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run to the end, with errors `said_plainly`."""
    with said_plainly():
        return uvloop.run(coroutine)


def run_operation(
    settings: Settings,
    operation: Callable[Concatenate[Session, P], T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """Run `operation(session, ...)` in one transaction on the settings' database."""

    return run_in_loop(on_database(settings, lambda database: database.run(operation, *args, **kwargs)))


def run_query(settings: Settings, query: Callable[[Session], T]) -> T:
    """Run `query(session)`, which must not write, on one state of the settings' database; nobody waits for it."""
    return run_in_loop(on_database(settings, lambda database: database.read(query)))


async def on_database(
    settings: Settings, work: Callable[[Database], Awaitable[T]], *, prepare: Callable[[str], None] = migrate
) -> T:
    """Do some work on the settings' database, which is prepared before and closed afterwards."""
    await asyncio.to_thread(prepare, settings.storage.database)
    database = Database(settings.storage.database, connectors=settings.connectors)
    try:
        return await work(database)
    finally:
        await database.close()
