"""Alarms in Italian; entries of other systems by their numbers; the desk's answers by key; no request of who has left."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # not as batches: these would copy tables on SQLite, which rows that refer to them forbid
    op.add_column("alarm", sa.Column("words_it", sa.Text(), nullable=True))
    op.add_column("connector_link", sa.Column("seen_entries", sa.JSON(), nullable=False, server_default="[]"))
    op.create_table(
        "desk_answer",
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("asked_sha256", sa.String(length=64), nullable=False),
        sa.Column("answer", sa.JSON(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_desk_answer_account_id_account"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", "key", name=op.f("pk_desk_answer")),
    )
    op.create_index(op.f("ix_desk_answer_at"), "desk_answer", ["at"], unique=False)
    # who has left before would get these back with the user's next mail
    op.execute(
        "UPDATE request SET holder = NULL WHERE status IN ('pending_user', 'resolved', 'closed') "
        "AND holder IN (SELECT username FROM agent WHERE endpoint IS NULL)"
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_desk_answer_at"), table_name="desk_answer")
    op.drop_table("desk_answer")
    op.drop_column("connector_link", "seen_entries")
    op.drop_column("alarm", "words_it")
