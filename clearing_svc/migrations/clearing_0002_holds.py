"""Holds, and accounts with a maximum.

Revision ID: clearing_0002
"""

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects import postgresql

revision = "clearing_0002"
down_revision = "clearing_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "hold",
        sa.Column("shard_key", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("business_id", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("merchant_id", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("order_type", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("sub_type", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("pay_org_no", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("traffic", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("parent_business_id", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("state", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("amount_currency", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("reference", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("parts", postgresql.JSONB(), autoincrement=False, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), autoincrement=False, nullable=False),
        sa.CheckConstraint("amount_minor > 0", name="hold_amount_positive"),
        sa.CheckConstraint("version > 0", name="hold_version_positive"),
        sa.CheckConstraint("state IN ('HELD', 'POSTED', 'RELEASED')", name="hold_state_known"),
        sa.CheckConstraint("amount_currency ~ '^[A-Z]{3}$'", name="hold_currency_known"),
        sa.CheckConstraint("jsonb_array_length(parts) > 0", name="hold_has_parts"),
        sa.PrimaryKeyConstraint("shard_key", "id"),
    )
    op.create_index("hold_by_business_id", "hold", ["business_id"], unique=False)
    # A hold changes twice or thrice in its life, and no index holds what changes.
    op.execute("ALTER TABLE hold SET (fillfactor = 70)")
    app_role = '"' + context.config.attributes["app_role"].replace('"', '""') + '"'
    op.execute(f"REVOKE DELETE, TRUNCATE ON hold FROM {app_role}")

    op.add_column("account", sa.Column("maximum_minor", sa.BigInteger(), nullable=True))
    op.add_column(
        "account", sa.Column("held_minor", sa.BigInteger(), nullable=False, server_default="0")
    )
    op.alter_column("account", "held_minor", server_default=None)
    op.drop_constraint("account_above_minimum", "account")
    op.create_check_constraint(
        "account_above_minimum",
        "account",
        "balance_minor - CASE normal_side WHEN 'CREDIT' THEN held_minor ELSE 0 END"
        " >= minimum_minor",
    )
    op.create_check_constraint(
        "account_below_maximum",
        "account",
        "balance_minor + CASE normal_side WHEN 'DEBIT' THEN held_minor ELSE 0 END <= maximum_minor",
    )
    op.create_check_constraint("account_held_not_negative", "account", "held_minor >= 0")
