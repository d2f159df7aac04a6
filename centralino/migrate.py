"""Bringing the database's tables to the state that this version needs.

A developer who changed a model writes the next revision with `python -m centralino.migrate "what changed"`.
"""

import sys
import tempfile
from collections.abc import Callable

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, func, select
from sqlalchemy.pool import NullPool

from tickets.database import create_engine

# Any constant: it makes services that start together on one PostgreSQL migrate one after the other.
_LOCK = 0x63656E7472


class DatabaseNewer(Exception):
    """The database was written by a newer Centralino: install that version, or restore an older backup."""


class DatabaseBehind(Exception):
    """The database was written by an older Centralino: run `centralino migrate`."""


def migrate(url: str) -> None:
    """Bring the database at `url` to this version's tables; does nothing when it is there already.

    All or nothing, in one transaction; services that start at the same time wait for each other. Raises
    `DatabaseNewer` without touching anything when the database knows changes that this version does not.
    """
    _within(url, upgrade)


def check(url: str) -> None:
    """Raise `DatabaseNewer` or `DatabaseBehind` unless the database has exactly this version's tables."""
    _within(url, check_tables)


def upgrade(connection: Connection) -> None:
    """As `migrate`, in the transaction that `connection` is in."""
    config = _config(connection)
    if connection.dialect.name != "sqlite":
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    if _current(connection, config) != _head(config):
        command.upgrade(config, "head")


def check_tables(connection: Connection) -> None:
    """As `check`, in the transaction that `connection` is in."""
    config = _config(connection)
    if (current := _current(connection, config)) != (head := _head(config)):
        raise DatabaseBehind(
            f"the database is at revision {current or 'none'}, this Centralino needs {head}: run `centralino migrate`"
        )


def write_revision(message: str) -> None:
    """Write the next revision file: the difference between the latest revision and the models."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/latest.db"
        migrate(url)

        def write(connection: Connection) -> None:
            config = _config(connection)
            number = int(_head(config) or 0) + 1
            command.revision(config, message, autogenerate=True, rev_id=f"{number:04}")

        _within(url, write)


def _within(url: str, action: Callable[[Connection], None]) -> None:
    """Run `action` in one transaction; on SQLite nobody else writes meanwhile."""
    engine = create_engine(url, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("PRAGMA busy_timeout=20000")
                connection.commit()
            with connection.execution_options(writes=True).begin():
                action(connection)
    finally:
        engine.dispose()


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", "centralino:migrations")
    config.set_main_option("path_separator", "os")
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    config.attributes["connection"] = connection
    return config


def _head(config: Config) -> str | None:
    return ScriptDirectory.from_config(config).get_current_head()


def _current(connection: Connection, config: Config) -> str | None:
    current = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if current is not None and current not in known:
        raise DatabaseNewer(
            f"the database was written by a newer Centralino: this version does not know its revision {current}. "
            "Install the newer version again, or restore a backup made before the upgrade"
        )
    return current


if __name__ == "__main__":
    write_revision(" ".join(sys.argv[1:]))
