"""outcome codes, and calls that nobody served as work with an owner."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

TO_DO = sa.text("to_do_since IS NOT NULL")
IN_VAIN = sa.text("result IN ('missed', 'rejected', 'unreachable')")


def upgrade() -> None:
    op.add_column("agent", sa.Column("wrap_up_extended", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("offer", sa.Column("code", sa.String(length=40), nullable=True))
    for column, kind in (
        ("to_do_since", sa.DateTime(timezone=True)),
        ("owner", sa.String(length=64)),
        ("owned_since", sa.DateTime(timezone=True)),
        ("done_at", sa.DateTime(timezone=True)),
        ("done_by", sa.String(length=64)),
        ("done_reason", sa.String(length=32)),
    ):
        op.add_column("call", sa.Column(column, kind, nullable=True))
    # by hand, since Alembic would copy the whole table on SQLite, which rows that refer to it forbid
    op.execute(
        "ALTER TABLE call_back ADD COLUMN for_call_id VARCHAR(32)"
        " CONSTRAINT fk_call_back_for_call_id_call REFERENCES call (id)"
    )
    op.create_index("ix_call_back_for_call_id", "call_back", ["for_call_id"])
    op.create_index("ix_call_to_do", "call", ["to_do_since"], sqlite_where=TO_DO, postgresql_where=TO_DO)
    op.create_index("ix_call_outcome_started", "call", ["outcome", "started_at"])
    op.create_index("ix_offer_in_vain", "offer", ["offered_at"], sqlite_where=IN_VAIN, postgresql_where=IN_VAIN)


def downgrade() -> None:
    raise NotImplementedError("restore the backup made before the upgrade")
