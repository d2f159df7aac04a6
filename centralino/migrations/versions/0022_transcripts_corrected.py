"""transcripts that people correct.

`message.transcript` holds the words that count, whoever wrote them; `message.words` goes on holding what was recognised.
So the search, which is made of `transcript` (migration 0019), finds corrected words without a change of its own.
"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("message", sa.Column("corrections", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("message", sa.Column("corrected_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("message", sa.Column("corrected_by", sa.String(64), nullable=True))


def downgrade() -> None:
    for column in ("corrected_by", "corrected_at", "corrections"):
        op.drop_column("message", column)
