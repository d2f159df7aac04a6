"""indexes for years of rows."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

KEPT = sa.text("audio IS NOT NULL")
UNHEARD = sa.text("heard_at IS NULL")


def upgrade() -> None:
    op.create_index("ix_offer_agent_offered", "offer", ["agent_id", "offered_at"])
    op.drop_index("ix_offer_agent_id", "offer")
    op.create_index("ix_offer_call_agent", "offer", ["call_id", "agent_id"])
    op.drop_index("ix_offer_call_id", "offer")
    op.create_index("ix_request_contact_closed", "request", ["contact_id", "closed_at"])
    op.drop_index("ix_request_contact_opened", "request")
    op.create_index("ix_request_company_closed", "request", ["company_id", "closed_at"])
    op.drop_index("ix_request_company_id", "request")
    op.create_index("ix_request_phone_closed", "request", ["phone", "closed_at"])
    op.drop_index("ix_request_phone", "request")
    op.create_index("ix_request_holder_status", "request", ["holder", "status"])
    op.drop_index("ix_request_holder", "request")
    op.create_index("ix_message_kept", "message", ["started_at"], sqlite_where=KEPT, postgresql_where=KEPT)
    op.create_index(
        "ix_message_unheard",
        "message",
        ["request_id", "started_at"],
        sqlite_where=UNHEARD,
        postgresql_where=UNHEARD,
    )


def downgrade() -> None:
    op.drop_index("ix_message_unheard", "message")
    op.drop_index("ix_message_kept", "message")
    op.create_index("ix_request_holder", "request", ["holder"])
    op.drop_index("ix_request_holder_status", "request")
    op.create_index("ix_request_phone", "request", ["phone"])
    op.drop_index("ix_request_phone_closed", "request")
    op.create_index("ix_request_company_id", "request", ["company_id"])
    op.drop_index("ix_request_company_closed", "request")
    op.create_index("ix_request_contact_opened", "request", ["contact_id", "opened_at"])
    op.drop_index("ix_request_contact_closed", "request")
    op.create_index("ix_offer_call_id", "offer", ["call_id"])
    op.drop_index("ix_offer_call_agent", "offer")
    op.create_index("ix_offer_agent_id", "offer", ["agent_id"])
    op.drop_index("ix_offer_agent_offered", "offer")
