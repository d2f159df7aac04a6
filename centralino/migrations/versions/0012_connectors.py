"""connectors."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "connector_state",
        sa.Column("connector", sa.String(length=40), nullable=False),
        sa.Column("mark", sa.String(length=100), nullable=True),
        sa.Column("away_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("reached_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("compared_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("connector", name=op.f("pk_connector_state")),
    )
    op.create_table(
        "connector_link",
        sa.Column("connector", sa.String(length=40), nullable=False),
        sa.Column("request_id", sa.Integer(), nullable=False),
        sa.Column("remote_id", sa.String(length=100), nullable=False),
        sa.Column("remote_key", sa.String(length=500), nullable=False),
        sa.Column("remote_status", sa.String(length=40), nullable=True),
        sa.Column("told_status", sa.String(length=32), nullable=True),
        sa.Column("remote_entry", sa.BigInteger(), nullable=False),
        sa.Column("told_file", sa.Integer(), nullable=False),
        sa.Column("differences", sa.JSON(), nullable=False),
        sa.Column("look_again", sa.Boolean(), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["request_id"], ["request.id"], name=op.f("fk_connector_link_request_id_request")),
        sa.PrimaryKeyConstraint("connector", "request_id", name=op.f("pk_connector_link")),
    )
    with op.batch_alter_table("connector_link", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_connector_link_request_id"), ["request_id"], unique=False)
    op.create_table(
        "connector_outbox",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("connector", sa.String(length=40), nullable=False),
        sa.Column("request_id", sa.Integer(), nullable=False),
        sa.Column("event_id", sa.Integer(), nullable=True),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("refusals", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["event_id"], ["request_event.id"], name=op.f("fk_connector_outbox_event_id_request_event")
        ),
        sa.ForeignKeyConstraint(["request_id"], ["request.id"], name=op.f("fk_connector_outbox_request_id_request")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_connector_outbox")),
    )
    with op.batch_alter_table("connector_outbox", schema=None) as batch_op:
        batch_op.create_index("ix_connector_outbox_next", ["connector", "state", "next_attempt_at"], unique=False)
        batch_op.create_index("ix_connector_outbox_order", ["connector", "request_id", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_connector_outbox_request_id"), ["request_id"], unique=False)


def downgrade() -> None:
    op.drop_table("connector_outbox")
    op.drop_table("connector_link")
    op.drop_table("connector_state")
