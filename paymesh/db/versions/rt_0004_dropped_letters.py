"""Dead letters that a person dropped, with his reason.

Revision ID: rt_0004
"""

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects import postgresql

revision = "rt_0004"
down_revision = "rt_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "dropped_letter",
        sa.Column("shard_key", sa.SmallInteger(), nullable=False),
        sa.Column("consumer", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("routing_key", sa.Text(), nullable=False),
        sa.Column("business_ids", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column(
            "dropped_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.func.now(),
        ),
        sa.CheckConstraint("why <> ''", name="dropped_letter_says_why"),
        sa.PrimaryKeyConstraint("shard_key", "consumer", "message_id", "digest"),
    )
    app_role = '"' + context.config.attributes["app_role"].replace('"', '""') + '"'
    op.execute(f"REVOKE UPDATE, DELETE, TRUNCATE ON dropped_letter FROM {app_role}")
