"""promises."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "promise_calendar",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("definition", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promise_calendar")),
    )
    op.create_table(
        "promise",
        sa.Column("request_id", sa.Integer(), nullable=False),
        sa.Column(
            "clock",
            sa.Enum("pickup", "first_answer", "solution", name="clock", native_enum=False, length=32),
            nullable=False,
        ),
        sa.Column("working_seconds", sa.Integer(), nullable=False),
        sa.Column("warn_seconds", sa.Integer(), nullable=False),
        sa.Column("calendar_id", sa.String(length=32), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("counted_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("told_due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("warn_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("paused_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("pauses", sa.JSON(), nullable=False),
        sa.Column("paused_seconds", sa.Integer(), nullable=False),
        sa.Column("met_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("dropped_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("warned_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("breached_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["calendar_id"], ["promise_calendar.id"], name=op.f("fk_promise_calendar_id_promise_calendar")
        ),
        sa.ForeignKeyConstraint(["request_id"], ["request.id"], name=op.f("fk_promise_request_id_request")),
        sa.PrimaryKeyConstraint("request_id", "clock", name=op.f("pk_promise")),
    )
    running = "met_at IS NULL AND dropped_at IS NULL AND breached_at IS NULL"
    op.create_index(
        "ix_promise_running",
        "promise",
        ["warn_at"],
        unique=False,
        sqlite_where=sa.text(running),
        postgresql_where=sa.text(running),
    )


def downgrade() -> None:
    op.drop_index("ix_promise_running", table_name="promise")
    op.drop_table("promise")
    op.drop_table("promise_calendar")
