"""in which currencies a merchant's account takes nothing in

Revision ID: trade_0004
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "trade_0004"
down_revision = "trade_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Of the rows that are there it is heard when it changes. The default stays: old processes do
    # not write it.
    column = sa.Column("shut", postgresql.JSONB(), nullable=False, server_default="[]")
    op.add_column("merchant", column)
    op.create_index(
        "merchant_shut", "merchant", ["id"], postgresql_where=sa.text("shut <> '[]'::jsonb")
    )
