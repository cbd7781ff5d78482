"""beneficiaries belong to a merchant

Revision ID: pay_0004
"""

from alembic import op

revision = "pay_0004"
down_revision = "pay_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Their merchant was not asked for. Who withdrew to one first keeps it; one that nobody used is
    # found by nobody, and is created anew.
    op.execute("""
        UPDATE beneficiary b SET merchant_id = p.merchant_id
        FROM (
            SELECT DISTINCT ON (beneficiary_id) beneficiary_id, merchant_id
            FROM payment WHERE beneficiary_id <> '' ORDER BY beneficiary_id, created_at, id
        ) p
        WHERE b.merchant_id = '' AND p.beneficiary_id = b.id
    """)
