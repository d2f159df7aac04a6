"""results of synthetic calls."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "synthetic_result",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("steps", sa.JSON(), nullable=False),
        sa.Column("failed", sa.String(length=20), nullable=True),
        sa.Column("why", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_synthetic_result")),
    )
    with op.batch_alter_table("synthetic_result", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_synthetic_result_at"), ["at"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("synthetic_result", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_synthetic_result_at"))
    op.drop_table("synthetic_result")
