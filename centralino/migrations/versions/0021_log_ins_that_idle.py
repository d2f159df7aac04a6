"""log-ins that idle."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("desk_session", sa.Column("used_at", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "failed_log_ins",
        sa.Column("key_sha256", sa.String(length=64), nullable=False),
        sa.Column("times", sa.JSON(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key_sha256", name=op.f("pk_failed_log_ins")),
    )
    op.create_index(op.f("ix_failed_log_ins_until"), "failed_log_ins", ["until"])
