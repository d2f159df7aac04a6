"""Alembic's environment: runs on the connection that `centralino.migrate` hands over."""

from typing import Any, Literal

import sqlalchemy as sa
from alembic import context
from alembic.autogenerate.api import AutogenContext

import desk.models  # noqa: F401 - its tables
import ivr.models  # noqa: F401 - its tables
import voicemail.models  # noqa: F401 - its tables
from tickets.database import Base, UTCDateTime
from tickets.search import is_derived


def render_item(kind: str, item: Any, _autogenerate: AutogenContext) -> str | Literal[False]:
    """Write our own column types as plain ones, so that a revision stands without today's code."""
    if kind == "type" and isinstance(item, UTCDateTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(item, sa.Enum):
        return f"sa.String({item.length})"
    return False


def include_name(name: str | None, kind: str, _parents: Any) -> bool:
    """Leave out tables that no model tells of."""
    return not (kind == "table" and is_derived(name))


def run() -> None:
    """Migrate on the given connection, inside its transaction."""
    connection: sa.Connection = context.config.attributes["connection"]
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_item=render_item,
        include_name=include_name,
        # SQLite cannot alter a column in place: its tables are copied.
        render_as_batch=True,
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()


run()
