"""answers of level-0 desks that wait for somebody to look at them."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # not as a batch: that would copy the table on SQLite, which rows that refer to it forbid
    op.add_column("request", sa.Column("level_0_answered_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("request", "level_0_answered_at")
