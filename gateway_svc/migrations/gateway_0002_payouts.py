"""payouts, and money that comes back

Revision ID: gateway_0002
"""

import sqlalchemy as sa
from alembic import op

revision = "gateway_0002"
down_revision = "gateway_0001"
branch_labels = None
depends_on = None

ENDS = "'SUCCEEDED', 'FAILED', 'CLOSED', 'BOUNCED'"
CHECKS = {
    "channel_order_is_looked_after": f"state IN ({ENDS}) OR next_action_at IS NOT NULL",
    "channel_order_succeeded_has_amount": (
        "(state IN ('SUCCEEDED', 'BOUNCED')) = (moved_amount_minor IS NOT NULL)"
    ),
    "channel_order_payout_has_payee": (
        "(kind = 'PAYOUT') = (sealed_payee <> '' AND payee_digest <> '')"
    ),
}


def upgrade() -> None:
    op.add_column(
        "channel_order",
        sa.Column("sealed_payee", sa.LargeBinary(), nullable=False, server_default=sa.text("''")),
    )
    op.add_column(
        "channel_order",
        sa.Column("payee_digest", sa.Text(), nullable=False, server_default=sa.text("''")),
    )
    op.alter_column("channel_order", "sealed_payee", server_default=None)
    op.alter_column("channel_order", "payee_digest", server_default=None)
    op.drop_constraint("channel_order_is_looked_after", "channel_order")
    op.drop_constraint("channel_order_succeeded_has_amount", "channel_order")
    for name, rule in CHECKS.items():
        op.create_check_constraint(name, "channel_order", rule)
