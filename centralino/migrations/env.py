"""Alembic's environment: runs on the connection that `centralino.migrate` hands over."""

from typing import Any, Literal

import sqlalchemy as sa
from alembic import context
from alembic.autogenerate.api import AutogenContext

import desk.models  # noqa: F401 - its tables
import ivr.models  # noqa: F401 - its tables
import voicemail.models  # noqa: F401 - its tables
from tickets.database import Base, UTCDateTime


def render_item(kind: str, item: Any, _autogenerate: AutogenContext) -> str | Literal[False]:
    """Write our own column types as plain ones, so that a revision stands without today's code."""
    if kind == "type" and isinstance(item, UTCDateTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(item, sa.Enum):
        return f"sa.String({item.length})"
    return False


def run() -> None:
    """Migrate on the given connection, inside its transaction."""
    connection: sa.Connection = context.config.attributes["connection"]
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_item=render_item,
        # SQLite cannot alter a column in place: its tables are copied.
        render_as_batch=True,
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()


run()
