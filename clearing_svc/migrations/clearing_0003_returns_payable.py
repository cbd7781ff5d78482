"""What lies on RETURNS_PAYABLE accounts, and for which account it came.

Revision ID: ledger_0003
"""

from typing import Any

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects import postgresql

revision = "ledger_0003"
down_revision = "ledger_0002"
branch_labels = None
depends_on = None

CONTEXT = (
    "business_id",
    "merchant_id",
    "order_type",
    "sub_type",
    "pay_org_no",
    "traffic",
    "parent_business_id",
)


def _column(name: str, type_: Any, *, null: bool = False) -> sa.Column[Any]:
    return sa.Column(name, type_, autoincrement=False, nullable=null)


def upgrade() -> None:
    op.create_table(
        "returns_payable",
        _column("shard_key", sa.SmallInteger()),
        _column("id", sa.Text()),
        *(_column(name, sa.Text()) for name in CONTEXT),
        _column("version", sa.BigInteger()),
        _column("subject", sa.Text()),
        _column("owner", sa.Text()),
        _column("currency", sa.Text()),
        _column("parts", postgresql.JSONB()),
        _column("next_action_at", sa.DateTime(timezone=True), null=True),
        _column("action_attempts", sa.BigInteger()),
        sa.CheckConstraint("version > 0", name="returns_payable_version_positive"),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name="returns_payable_currency_known"),
        sa.CheckConstraint(
            "(next_action_at IS NULL) = (parts = '[]'::jsonb)",
            name="returns_payable_is_looked_after",
        ),
        sa.PrimaryKeyConstraint("shard_key", "id"),
    )
    op.create_index(
        "returns_payable_due",
        "returns_payable",
        ["next_action_at"],
        postgresql_where=sa.text("next_action_at IS NOT NULL"),
    )
    app_role = '"' + context.config.attributes["app_role"].replace('"', '""') + '"'
    op.execute(f"REVOKE DELETE, TRUNCATE ON returns_payable FROM {app_role}")
