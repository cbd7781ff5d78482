"""Split journals, and holds that are asked for once they have expired.

Revision ID: ledger_0002
"""

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects import postgresql

revision = "ledger_0002"
down_revision = "ledger_0001"
branch_labels = None
depends_on = None


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), autoincrement=False, nullable=False)


def _big(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), autoincrement=False, nullable=False)


def _at(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), autoincrement=False, nullable=nullable)


def _context() -> list[sa.Column[str]]:
    names = ("business_id", "merchant_id", "order_type", "sub_type", "pay_org_no", "traffic")
    return [_text(name) for name in (*names, "parent_business_id")]


def upgrade() -> None:
    _split_journals()
    _expiring_holds()


def _split_journals() -> None:
    op.create_table(
        "split_journal",
        sa.Column("shard_key", sa.SmallInteger(), autoincrement=False, nullable=False),
        _text("id"),
        *_context(),
        _big("version"),
        _text("state"),
        _text("event_type"),
        _text("business_key"),
        _text("digest"),
        _text("currency"),
        sa.Column("legs", postgresql.JSONB(), autoincrement=False, nullable=False),
        _text("refusal"),
        _at("created_at"),
        _at("next_action_at", nullable=True),
        _big("action_attempts"),
        sa.CheckConstraint("version > 0", name="split_journal_version_positive"),
        sa.CheckConstraint(
            "state IN ('DEBITING', 'CREDITING', 'POSTED', 'REVERSING', 'REFUSED')",
            name="split_journal_state_known",
        ),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name="split_journal_currency_known"),
        sa.CheckConstraint(
            "(next_action_at IS NULL) = (state IN ('POSTED', 'REFUSED'))",
            name="split_journal_is_looked_after",
        ),
        sa.CheckConstraint(
            "(refusal <> '') = (state IN ('REVERSING', 'REFUSED'))",
            name="split_journal_refusal_told",
        ),
        sa.CheckConstraint("jsonb_array_length(legs) > 1", name="split_journal_has_legs"),
        sa.PrimaryKeyConstraint("shard_key", "id"),
    )
    op.create_index("split_journal_by_business_id", "split_journal", ["business_id"])
    _due("split_journal")
    app_role = '"' + context.config.attributes["app_role"].replace('"', '""') + '"'
    op.execute(f"REVOKE DELETE, TRUNCATE ON split_journal FROM {app_role}")


def _expiring_holds() -> None:
    op.add_column("hold", _at("expires_at", nullable=True))
    op.add_column("hold", _at("next_action_at", nullable=True))
    # The rows that are there get a value; new ones bring their own.
    attempts = sa.Column("action_attempts", sa.BigInteger(), nullable=False, server_default="0")
    op.add_column("hold", attempts)
    op.alter_column("hold", "action_attempts", server_default=None)
    op.create_check_constraint(
        "hold_is_looked_after",
        "hold",
        "expires_at IS NULL OR (next_action_at IS NOT NULL) = (state = 'HELD')",
    )
    _due("hold")


def _due(table: str) -> None:
    op.create_index(
        f"{table}_due",
        table,
        ["next_action_at"],
        postgresql_where=sa.text("next_action_at IS NOT NULL"),
    )
