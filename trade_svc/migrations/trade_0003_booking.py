"""trades that are booked before they are paid

Revision ID: trade_0003
"""

from alembic import op

revision = "trade_0003"
down_revision = "trade_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_constraint("trade_paid_has_its_payment", "trade", type_="check")
    op.create_check_constraint(
        "trade_paid_has_its_payment",
        "trade",
        "(state IN ('BOOKING', 'PAID', 'RETURNED')) = (paid_payment_id <> '')",
    )
