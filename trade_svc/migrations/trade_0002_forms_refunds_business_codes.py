"""payees and beneficiaries, refunds, business codes

Revision ID: trade_0002
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "trade_0002"
down_revision = "trade_0001"
branch_labels = None
depends_on = None


def _row(*columns: sa.Column[Any]) -> list[sa.Column[Any]]:
    """The columns that every row has, and its own."""
    texts = (
        "id",
        "business_id",
        "merchant_id",
        "order_type",
        "sub_type",
        "pay_org_no",
        "traffic",
        "parent_business_id",
    )
    return [
        sa.Column("shard_key", sa.SmallInteger(), autoincrement=False, nullable=False),
        *(sa.Column(name, sa.Text(), autoincrement=False, nullable=False) for name in texts),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        *columns,
    ]


def upgrade() -> None:
    for table, name, type_, old in (
        ("trade", "payee_id", sa.Text(), ""),
        ("trade", "beneficiary_id", sa.Text(), ""),
        ("trade", "refunded_minor", sa.BigInteger(), "0"),
        ("trade", "refunding_minor", sa.BigInteger(), "0"),
        ("attempt", "failure_reason", sa.Text(), ""),
    ):
        # The rows that are there get a value; new ones bring their own.
        op.add_column(table, sa.Column(name, type_, nullable=False, server_default=old))
        op.alter_column(table, name, server_default=None)
    op.drop_constraint("trade_paid_has_its_payment", "trade", type_="check")
    op.create_check_constraint(
        "trade_paid_has_its_payment",
        "trade",
        "(state IN ('PAID', 'RETURNED')) = (paid_payment_id <> '')",
    )
    op.create_check_constraint(
        "trade_refunds_fit",
        "trade",
        "refunded_minor >= 0 AND refunding_minor >= 0 "
        "AND refunded_minor + refunding_minor <= amount_minor",
    )
    op.create_table(
        "refund",
        *_row(
            sa.Column("state", sa.Text(), nullable=False),
            sa.Column("trade_id", sa.Text(), nullable=False),
            sa.Column("payment_id", sa.Text(), nullable=False),
            sa.Column("amount_minor", sa.BigInteger(), nullable=False),
            sa.Column("amount_currency", sa.Text(), nullable=False),
            sa.Column("tools", postgresql.JSONB(), nullable=False),
            sa.Column("reason", sa.Text(), nullable=False),
            sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
            sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
            sa.Column("failure_reason", sa.Text(), nullable=False),
        ),
        sa.PrimaryKeyConstraint("shard_key", "id"),
        sa.UniqueConstraint("shard_key", "payment_id", name="refund_one_payment"),
        sa.CheckConstraint("amount_minor > 0", name="refund_amount_positive"),
    )
    op.create_index("refund_by_trade", "refund", ["shard_key", "trade_id"])
    op.create_index("refund_by_business_id", "refund", ["business_id"])
    op.create_table(
        "business_code",
        *_row(
            sa.Column("description", sa.Text(), nullable=False),
            sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        ),
        sa.PrimaryKeyConstraint("shard_key", "id"),
        sa.UniqueConstraint(
            "shard_key",
            "merchant_id",
            "order_type",
            "sub_type",
            "pay_org_no",
            name="business_code_once",
        ),
    )
