"""The books' first day: no entry is of an earlier one, and days are closed from it on.

Revision ID: ledger_0004
"""

import sqlalchemy as sa
from alembic import context, op

from clearing_svc.settings import ClearingSettings
from paymesh.settings import read

revision = "ledger_0004"
down_revision = "ledger_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "books",
        sa.Column("number", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("first_day", sa.Date(), autoincrement=False, nullable=False),
        sa.CheckConstraint("number = 1", name="books_once"),
        sa.PrimaryKeyConstraint("number"),
    )
    # Books that are older begin where they did.
    wanted = read(ClearingSettings).books_first_day
    told = "(now() AT TIME ZONE 'UTC')::date" if wanted is None else f"DATE '{wanted}'"
    op.execute(f"""
        INSERT INTO books (number, first_day) SELECT 1, least(
            {told},
            (SELECT min(day) FROM accounting_day),
            (SELECT min(accounting_date) FROM journal)
        )
    """)
    app_role = '"' + context.config.attributes["app_role"].replace('"', '""') + '"'
    op.execute(f"REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON books FROM {app_role}")
    op.execute("""
        CREATE OR REPLACE FUNCTION last_closed_day() RETURNS date LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_advisory_xact_lock_shared(7301);
            RETURN coalesce(
                (SELECT max(day) FROM accounting_day), (SELECT first_day - 1 FROM books)
            );
        END $$
    """)
