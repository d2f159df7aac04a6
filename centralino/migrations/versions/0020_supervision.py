"""supervision."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

OPEN = sa.text("ends_at IS NULL")


def upgrade() -> None:
    # not as a batch: that would copy the table on SQLite, which rows that refer to it forbid
    op.add_column("agent", sa.Column("presence_by", sa.String(length=64), nullable=True))
    op.add_column("call", sa.Column("listened_by", sa.String(length=64), nullable=True))
    op.create_table(
        "closed_now",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("calendar", sa.String(length=80), nullable=True),
        sa.Column("words", sa.String(length=200), nullable=False),
        sa.Column("prompt", sa.String(length=200), nullable=True),
        sa.Column("begins_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("opened_by", sa.String(length=64), nullable=False),
        sa.Column("ended_by", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_closed_now")),
    )
    op.create_index("ix_closed_now_open", "closed_now", ["begins_at"], sqlite_where=OPEN, postgresql_where=OPEN)
    op.create_index("ix_closed_now_ends_at", "closed_now", ["ends_at"])
    op.create_table(
        "site_edit",
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("definition", sa.JSON(), nullable=False),
        sa.Column("edited_by", sa.String(length=64), nullable=False),
        sa.Column("edited_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("kind", "name", name=op.f("pk_site_edit")),
    )
    op.create_table(
        "audit_entry",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("act", sa.String(length=40), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("old", sa.JSON(), nullable=True),
        sa.Column("new", sa.JSON(), nullable=True),
        sa.Column("source", sa.String(length=80), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entry")),
    )
    op.create_index("ix_audit_entry_at", "audit_entry", ["at"])
    op.create_index("ix_audit_entry_actor_at", "audit_entry", ["actor", "at"])
    op.create_index("ix_audit_entry_act_at", "audit_entry", ["act", "at"])


def downgrade() -> None:
    op.drop_table("audit_entry")
    op.drop_table("site_edit")
    op.drop_table("closed_now")
    op.drop_column("call", "listened_by")
    op.drop_column("agent", "presence_by")
