"""call backs and faxes."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

OPEN = sa.text("ended_at IS NULL")


def upgrade() -> None:
    # not as a batch: that would copy the table on SQLite, which rows that refer to it forbid
    op.add_column("call", sa.Column("outbound", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("call", sa.Column("tickets_keyed", sa.Integer(), nullable=False, server_default="0"))
    op.create_table(
        "fax",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("call_id", sa.String(length=32), nullable=False),
        sa.Column("request_id", sa.Integer(), nullable=True),
        sa.Column("station", sa.String(length=64), nullable=False),
        sa.Column("pages", sa.Integer(), nullable=False),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["call_id"], ["call.id"], name=op.f("fk_fax_call_id_call")),
        sa.ForeignKeyConstraint(["request_id"], ["request.id"], name=op.f("fk_fax_request_id_request")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fax")),
    )
    op.create_index("ix_fax_call_id", "fax", ["call_id"])
    op.create_index("ix_fax_request_id", "fax", ["request_id"])
    op.create_index("ix_fax_received_at", "fax", ["received_at"])
    op.create_table(
        "call_back",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("request_id", sa.Integer(), nullable=True),
        sa.Column("message_id", sa.String(length=32), nullable=True),
        sa.Column("asked_in_call", sa.String(length=32), nullable=True),
        sa.Column("call_id", sa.String(length=32), nullable=True),
        sa.Column("way", sa.String(length=32), nullable=False),
        sa.Column("agent_id", sa.Integer(), nullable=True),
        sa.Column("asked_by", sa.String(length=64), nullable=False),
        sa.Column("number", sa.String(length=64), nullable=False),
        sa.Column("line", sa.String(length=40), nullable=False),
        sa.Column("queue", sa.String(length=40), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("result", sa.String(length=32), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["agent_id"], ["agent.id"], name=op.f("fk_call_back_agent_id_agent")),
        sa.ForeignKeyConstraint(["asked_in_call"], ["call.id"], name=op.f("fk_call_back_asked_in_call_call")),
        sa.ForeignKeyConstraint(["call_id"], ["call.id"], name=op.f("fk_call_back_call_id_call")),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"], name=op.f("fk_call_back_message_id_message")),
        sa.ForeignKeyConstraint(["request_id"], ["request.id"], name=op.f("fk_call_back_request_id_request")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_call_back")),
    )
    op.create_index("ix_call_back_request_id", "call_back", ["request_id"])
    op.create_index("ix_call_back_asked_in_call", "call_back", ["asked_in_call"])
    op.create_index("ix_call_back_call_id", "call_back", ["call_id"])
    op.create_index("ix_call_back_open", "call_back", ["asked_at"], sqlite_where=OPEN, postgresql_where=OPEN)


def downgrade() -> None:
    op.drop_table("call_back")
    op.drop_table("fax")
    with op.batch_alter_table("call", schema=None) as batch_op:
        batch_op.drop_column("tickets_keyed")
        batch_op.drop_column("outbound")
