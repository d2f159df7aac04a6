"""the life of a request: levels, areas, groups, links, attachments."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

AREAS = (
    ("application", "Area applicativa", "Application", False),
    ("use", "Utilizzo", "Use of the software", False),
    ("training", "Formazione", "Training", False),
    ("credentials", "Credenziali", "Credentials", False),
    ("change", "Richieste di modifica", "Change requests", False),
    ("network", "Rete o postazione di lavoro", "Network or workstation", True),
)

REFERENCES = (
    ("group_id", "support_group"),
    ("parent_id", "request"),
    ("merged_into_id", "request"),
    ("follow_up_of_id", "request"),
)


def upgrade() -> None:
    area = op.create_table(
        "area",
        sa.Column("key", sa.String(length=40), nullable=False),
        sa.Column("name_it", sa.String(length=120), nullable=False),
        sa.Column("name_en", sa.String(length=120), nullable=False),
        sa.Column("parent", sa.String(length=40), nullable=True),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("back_to_level_0", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_area")),
        sa.ForeignKeyConstraint(["parent"], ["area.key"], name=op.f("fk_area_parent_area")),
    )
    op.bulk_insert(
        area,
        [
            {"key": key, "name_it": italian, "name_en": english, "active": True, "back_to_level_0": back}
            for key, italian, english, back in AREAS
        ],
    )
    op.create_table(
        "support_group",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=True),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_support_group")),
        sa.UniqueConstraint("name", name=op.f("uq_support_group_name")),
    )
    op.add_column("company", sa.Column("code", sa.String(length=40), nullable=True))
    op.add_column("company", sa.Column("level_0_email", sa.String(length=254), nullable=True))
    op.add_column("company", sa.Column("level_0_phone", sa.String(length=64), nullable=True))
    op.add_column("company", sa.Column("level_0_hours", sa.String(length=200), nullable=True))
    op.create_index(op.f("ix_company_code"), "company", ["code"], unique=True)
    op.add_column("contact", sa.Column("role", sa.String(length=32), nullable=False, server_default="user"))
    op.add_column("contact", sa.Column("credentials", sa.String(length=32), nullable=False, server_default="none"))
    op.add_column("contact", sa.Column("trained_on", sa.Date(), nullable=True))
    op.create_table(
        "email_address",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("contact_id", sa.Integer(), nullable=False),
        sa.Column("address", sa.String(length=254), nullable=False),
        sa.ForeignKeyConstraint(["contact_id"], ["contact.id"], name=op.f("fk_email_address_contact_id_contact")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_email_address")),
    )
    op.execute(
        "INSERT INTO email_address (contact_id, address) SELECT id, lower(email) FROM contact WHERE email IS NOT NULL"
    )
    op.create_index(op.f("ix_email_address_contact_id"), "email_address", ["contact_id"])
    op.create_index(op.f("ix_email_address_address"), "email_address", ["address"])
    op.add_column("request", sa.Column("impact", sa.Integer(), nullable=False, server_default="2"))
    op.add_column("request", sa.Column("urgency", sa.Integer(), nullable=False, server_default="2"))
    op.add_column("request", sa.Column("held_since", sa.DateTime(timezone=True), nullable=True))
    for column, table in REFERENCES:
        # by hand, since Alembic would copy the whole table on SQLite, which rows that refer to it forbid
        name = f"fk_request_{column}_{table}"
        op.execute(f"ALTER TABLE request ADD COLUMN {column} INTEGER CONSTRAINT {name} REFERENCES {table} (id)")
    for name, which, column in (
        ("ix_request_parent", "parent_id IS NOT NULL", "parent_id"),
        ("ix_request_merged", "merged_into_id IS NOT NULL", "merged_into_id"),
        ("ix_request_follow_up", "follow_up_of_id IS NOT NULL", "follow_up_of_id"),
        ("ix_request_resolved", "status = 'resolved'", "closed_at"),
    ):
        op.create_index(name, "request", [column], sqlite_where=sa.text(which), postgresql_where=sa.text(which))
    op.create_index("ix_request_status_closed", "request", ["status", "closed_at"])
    op.execute("UPDATE request SET held_since = coalesce(picked_up_at, opened_at)")
    op.create_table(
        "attachment",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("request_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("media_type", sa.String(length=100), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("path", sa.String(length=200), nullable=False),
        sa.Column("added_by", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["request_id"], ["request.id"], name=op.f("fk_attachment_request_id_request")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attachment")),
    )
    op.create_index(op.f("ix_attachment_request_id"), "attachment", ["request_id"])
    op.create_index(op.f("ix_attachment_path"), "attachment", ["path"], unique=True)


def downgrade() -> None:
    raise NotImplementedError("restore the backup made before the upgrade")
