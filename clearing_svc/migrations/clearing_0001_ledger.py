"""Accounts, journals, entries.

Revision ID: clearing_0001
"""

import sqlalchemy as sa
from alembic import context, op

revision = "clearing_0001"
down_revision = None
branch_labels = ("clearing",)
depends_on = "rt_0001"


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("shard_key", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("business_id", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("merchant_id", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("order_type", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("sub_type", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("pay_org_no", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("traffic", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("parent_business_id", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("status", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("subject", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("owner", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("normal_side", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("balance_minor", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("balance_currency", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("minimum_minor", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), autoincrement=False, nullable=False),
        sa.CheckConstraint("balance_currency ~ '^[A-Z]{3}$'", name="account_currency_known"),
        sa.CheckConstraint("normal_side IN ('DEBIT', 'CREDIT')", name="account_side_known"),
        sa.CheckConstraint("status IN ('OPEN', 'CLOSED')", name="account_status_known"),
        sa.CheckConstraint("balance_minor >= minimum_minor", name="account_above_minimum"),
        sa.CheckConstraint("version > 0", name="account_version_positive"),
        sa.PrimaryKeyConstraint("shard_key", "id"),
    )
    op.create_table(
        "entry",
        sa.Column("shard_key", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("business_id", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("merchant_id", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("order_type", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("sub_type", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("pay_org_no", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("traffic", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("parent_business_id", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("journal_id", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("line", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("account_id", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("subject", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("owner", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("side", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("amount_currency", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("reference", sa.Text(), autoincrement=False, nullable=False),
        sa.CheckConstraint("side IN ('DEBIT', 'CREDIT')", name="entry_side_known"),
        sa.CheckConstraint("amount_minor > 0", name="entry_amount_positive"),
        sa.CheckConstraint("line > 0", name="entry_line_positive"),
        sa.PrimaryKeyConstraint("shard_key", "id"),
    )
    op.create_index("entry_by_account", "entry", ["shard_key", "account_id"], unique=False)
    op.create_index("entry_by_journal", "entry", ["journal_id"], unique=False)
    op.create_table(
        "journal",
        sa.Column("shard_key", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("business_id", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("merchant_id", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("order_type", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("sub_type", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("pay_org_no", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("traffic", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("parent_business_id", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("event_type", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("business_key", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("accounting_date", sa.Date(), autoincrement=False, nullable=False),
        sa.Column("posted_at", sa.DateTime(timezone=True), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("shard_key", "id"),
        sa.UniqueConstraint("shard_key", "event_type", "business_key", name="journal_once"),
    )
    op.create_index(
        "journal_by_business_id", "journal", ["business_id", "posted_at", "id"], unique=False
    )
    # Balances change all the time and no index holds them: room for the new row on the same page.
    op.execute("ALTER TABLE account SET (fillfactor = 50)")
    _append_only()


def _append_only() -> None:
    """Two walls around what was booked: the application has no right, and nobody gets through."""
    app_role = '"' + context.config.attributes["app_role"].replace('"', '""') + '"'
    op.execute(f"REVOKE UPDATE, DELETE, TRUNCATE ON journal, entry FROM {app_role}")
    op.execute(f"REVOKE DELETE, TRUNCATE ON account FROM {app_role}")
    op.execute("""
        CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP
                USING ERRCODE = 'restrict_violation',
                      HINT = 'Correct a journal with another journal.';
        END $$
    """)
    for table in ("journal", "entry"):
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
        # Also where session_replication_role = replica silences ordinary triggers.
        op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_append_only")
