"""browser phones."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # not as a batch: that would copy the table on SQLite, which rows that refer to it forbid
    op.add_column("agent", sa.Column("browser_phone", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("agent", sa.Column("phone_key", sa.String(length=64), nullable=True))
    op.add_column("agent", sa.Column("phone_ready_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("agent", schema=None) as batch_op:
        batch_op.drop_column("phone_ready_at")
        batch_op.drop_column("phone_key")
        batch_op.drop_column("browser_phone")
