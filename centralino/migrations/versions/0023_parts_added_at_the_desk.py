"""parts added at the desk, and from where people logged in."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("site_edit", sa.Column("added", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("desk_session", sa.Column("browser", sa.String(length=200), nullable=True))
    op.add_column("desk_session", sa.Column("address", sa.String(length=80), nullable=True))


def downgrade() -> None:
    op.drop_column("desk_session", "address")
    op.drop_column("desk_session", "browser")
    op.drop_column("site_edit", "added")
