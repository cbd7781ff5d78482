"""whose balance a transfer is for

Revision ID: pay_0003
"""

import sqlalchemy as sa
from alembic import op

revision = "pay_0003"
down_revision = "pay_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Nobody said it of the rows that are there. The default stays: old processes do not write it.
    column = sa.Column("payee_id", sa.Text(), nullable=False, server_default="")
    op.add_column("payment", column)
