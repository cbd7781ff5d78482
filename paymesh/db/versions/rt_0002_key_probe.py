"""The probe by which a service knows that its encryption keys are there.

Revision ID: rt_0002
"""

from alembic import op

revision = "rt_0002"
down_revision = "rt_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE key_probe (
            one boolean PRIMARY KEY DEFAULT true CONSTRAINT key_probe_once CHECK (one),
            sealed bytea NOT NULL, created_at timestamptz NOT NULL DEFAULT now())
    """)
