"""top-ups, transfers, withdrawals, refunds; holds; beneficiaries

Revision ID: pay_0002
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "pay_0002"
down_revision = "pay_0001"
branch_labels = None
depends_on = None

NEW_COLUMNS = {
    "payment": (
        "payer_id",
        "beneficiary_id",
        "payout_channel",
        "original_payment_id",
        "failure_reason",
    ),
    "instruction": ("hold_id", "failure_reason"),
}
CHECKS = {
    "payment_withdrawal_has_beneficiary": (
        "payment",
        "(purpose = 'WITHDRAWAL') = (beneficiary_id <> '')",
    ),
    "payment_refund_has_original": (
        "payment",
        "(purpose = 'REFUND') = (original_payment_id <> '')",
    ),
    "instruction_hold_has_id": ("instruction", "kind NOT IN ('HOLD', 'RELEASE') OR hold_id <> ''"),
}


def upgrade() -> None:
    for table, names in NEW_COLUMNS.items():
        for name in names:
            # The rows that are there get a value; new ones bring their own.
            op.add_column(table, sa.Column(name, sa.Text(), nullable=False, server_default=""))
            op.alter_column(table, name, server_default=None)
    sources = sa.Column("hold_sources", postgresql.JSONB(), nullable=False, server_default="[]")
    op.add_column("instruction", sources)
    op.alter_column("instruction", "hold_sources", server_default=None)
    for name, (table, rule) in CHECKS.items():
        op.create_check_constraint(name, table, rule)
    op.create_table(
        "beneficiary",
        sa.Column("shard_key", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("business_id", sa.Text(), nullable=False),
        sa.Column("merchant_id", sa.Text(), nullable=False),
        sa.Column("order_type", sa.Text(), nullable=False),
        sa.Column("sub_type", sa.Text(), nullable=False),
        sa.Column("pay_org_no", sa.Text(), nullable=False),
        sa.Column("traffic", sa.Text(), nullable=False),
        sa.Column("parent_business_id", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("owner_id", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("sealed_account_no", sa.LargeBinary(), nullable=False),
        sa.Column("masked_account_no", sa.Text(), nullable=False),
        sa.Column("account_name", sa.Text(), nullable=False),
        sa.Column("usable_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("sealed_account_no <> ''", name="beneficiary_has_its_number"),
        sa.PrimaryKeyConstraint("shard_key", "id"),
    )
    op.create_index(
        "beneficiary_by_owner", "beneficiary", ["shard_key", "owner_id", "created_at", "id"]
    )
    op.create_index("beneficiary_by_business_id", "beneficiary", ["business_id"])
