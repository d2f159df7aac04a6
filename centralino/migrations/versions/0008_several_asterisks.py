"""several Asterisks."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "node_beat",
        sa.Column("node", sa.String(length=40), nullable=False),
        sa.Column("beats", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("node", name=op.f("pk_node_beat")),
    )
    with op.batch_alter_table("agent", schema=None) as batch_op:
        batch_op.add_column(sa.Column("phone_node", sa.String(length=40), nullable=False, server_default=""))
    with op.batch_alter_table("offer", schema=None) as batch_op:
        batch_op.alter_column("endpoint", existing_type=sa.String(length=80), type_=sa.String(length=130))


def downgrade() -> None:
    with op.batch_alter_table("offer", schema=None) as batch_op:
        batch_op.alter_column("endpoint", existing_type=sa.String(length=130), type_=sa.String(length=80))
    with op.batch_alter_table("agent", schema=None) as batch_op:
        batch_op.drop_column("phone_node")

    op.drop_table("node_beat")
