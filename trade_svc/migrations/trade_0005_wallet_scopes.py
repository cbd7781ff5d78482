"""which payers of which merchants share their wallets

Revision ID: trade_0005
"""

import sqlalchemy as sa
from alembic import op

revision = "trade_0005"
down_revision = "trade_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # All merchants that are there share one scope, whose name is empty: no balance moves. The
    # default stays: old processes do not write it.
    for table in ("merchant", "trade"):
        column = sa.Column("wallet_scope", sa.Text(), nullable=False, server_default="")
        op.add_column(table, column)
