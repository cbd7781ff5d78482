"""what of a refund came back

Revision ID: trade_0006
"""

import sqlalchemy as sa
from alembic import op

revision = "trade_0006"
down_revision = "trade_0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The default stays: old processes do not write it.
    column = sa.Column("returned_minor", sa.BigInteger(), nullable=False, server_default="0")
    op.add_column("refund", column)
    op.create_check_constraint(
        "refund_returned_within_amount", "refund", "returned_minor BETWEEN 0 AND amount_minor"
    )
