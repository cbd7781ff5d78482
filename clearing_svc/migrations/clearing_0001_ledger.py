"""Accounts, journals, entries, holds; the chain that seals them; days and snapshots.

Revision ID: ledger_0001
"""

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects import postgresql

revision = "ledger_0001"
down_revision = None
branch_labels = ("clearing",)
depends_on = "rt_0001"

APPEND_ONLY = (
    "journal",
    "entry",
    "block",
    "accounting_day",
    "balance_snapshot",
    "day_total",
    "ledger_act",
)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), autoincrement=False, nullable=False)


def _big(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), autoincrement=False, nullable=nullable)


def _at(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), autoincrement=False, nullable=False)


def _shard() -> sa.Column[int]:
    return sa.Column("shard_key", sa.SmallInteger(), autoincrement=False, nullable=False)


def _posting() -> sa.Column[int]:
    default = sa.text("pg_current_xact_id()::text::bigint")
    return sa.Column(
        "posting", sa.BigInteger(), autoincrement=False, nullable=False, server_default=default
    )


def _context() -> list[sa.Column[str]]:
    names = ("business_id", "merchant_id", "order_type", "sub_type", "pay_org_no", "traffic")
    return [_text(name) for name in (*names, "parent_business_id")]


def upgrade() -> None:
    _accounts()
    _journals()
    _holds()
    _acts()
    _books()
    _append_only()


def _accounts() -> None:
    op.create_table(
        "account",
        _shard(),
        _text("id"),
        *_context(),
        _big("version"),
        _text("status"),
        _text("mode"),
        _text("subject"),
        _text("owner"),
        _text("normal_side"),
        _big("balance_minor"),
        _text("balance_currency"),
        _big("held_minor"),
        _big("minimum_minor", nullable=True),
        _big("maximum_minor", nullable=True),
        _at("opened_at"),
        # The version in which it became DRAINING, while it is.
        _big("draining_since", nullable=True),
        sa.CheckConstraint("balance_currency ~ '^[A-Z]{3}$'", name="account_currency_known"),
        sa.CheckConstraint("normal_side IN ('DEBIT', 'CREDIT')", name="account_side_known"),
        sa.CheckConstraint(
            "status IN ('OPEN', 'FROZEN_IN', 'FROZEN_OUT', 'CLOSED')", name="account_status_known"
        ),
        sa.CheckConstraint("mode IN ('DIRECT', 'BUFFERED', 'DRAINING')", name="account_mode_known"),
        sa.CheckConstraint(
            "balance_minor - CASE normal_side WHEN 'CREDIT' THEN held_minor ELSE 0 END"
            " >= minimum_minor",
            name="account_above_minimum",
        ),
        sa.CheckConstraint(
            "balance_minor + CASE normal_side WHEN 'DEBIT' THEN held_minor ELSE 0 END"
            " <= maximum_minor",
            name="account_below_maximum",
        ),
        sa.CheckConstraint("held_minor >= 0", name="account_held_not_negative"),
        sa.CheckConstraint("version > 0", name="account_version_positive"),
        sa.PrimaryKeyConstraint("shard_key", "id"),
    )
    op.create_index(
        "account_not_direct", "account", ["id"], postgresql_where=sa.text("mode <> 'DIRECT'")
    )
    # Balances change all the time and no index holds them: room for the new row on the same page.
    op.execute("ALTER TABLE account SET (fillfactor = 50)")
    op.create_table(
        "account_delta",
        _shard(),
        _text("account_id"),
        _posting(),
        _big("delta_minor"),
        sa.PrimaryKeyConstraint("account_id", "posting", "shard_key"),
    )
    # Rows live for seconds: vacuum must not wait for a fifth of a table that is mostly dead.
    op.execute(
        "ALTER TABLE account_delta SET (autovacuum_vacuum_scale_factor = 0, "
        "autovacuum_vacuum_threshold = 5000)"
    )
    # All rows first, in key order, for that is how everybody locks them; then what is buffered on
    # them, with a snapshot of its own: at most `rows_max`, or all.
    op.execute("""
        CREATE FUNCTION shard_of(id text) RETURNS smallint IMMUTABLE LANGUAGE sql AS $$
            SELECT ((strpos('abcdefghijklmnopqrstuvwxyz234567', substr(id, 5, 1)) - 1) * 32
                + strpos('abcdefghijklmnopqrstuvwxyz234567', substr(id, 6, 1)) - 1)::smallint
        $$
    """)
    op.execute("""
        CREATE FUNCTION fold_accounts(ids text[], rows_max bigint DEFAULT NULL) RETURNS bigint
        LANGUAGE plpgsql AS $$
        DECLARE
            folded bigint;
        BEGIN
            IF NOT EXISTS (SELECT FROM account a WHERE a.mode <> 'DIRECT' AND a.id = ANY (ids)) THEN
                RETURN 0;
            END IF;
            PERFORM FROM account a JOIN unnest(ids) AS k(id)
                ON a.shard_key = shard_of(k.id) AND a.id = k.id
                ORDER BY a.shard_key, a.id FOR NO KEY UPDATE OF a;
            WITH chosen AS (
                SELECT d.account_id, d.posting, d.shard_key FROM account_delta d JOIN account a
                    ON d.account_id = a.id AND d.shard_key = a.shard_key
                WHERE a.mode <> 'DIRECT' AND a.id = ANY (ids) LIMIT rows_max
            ), taken AS (
                DELETE FROM account_delta d USING chosen s
                WHERE d.account_id = s.account_id AND d.posting = s.posting
                    AND d.shard_key = s.shard_key
                RETURNING d.shard_key, d.account_id, d.delta_minor
            ), sums AS (
                SELECT shard_key, account_id, sum(delta_minor) AS minor, count(*) AS rows
                FROM taken GROUP BY 1, 2
            ), changed AS (
                UPDATE account a SET balance_minor = a.balance_minor + s.minor
                FROM sums s WHERE a.shard_key = s.shard_key AND a.id = s.account_id
                RETURNING s.rows
            )
            SELECT coalesce(sum(rows), 0) INTO folded FROM changed;
            RETURN folded;
        END $$
    """)


def _journals() -> None:
    op.create_table(
        "journal",
        _shard(),
        _text("id"),
        *_context(),
        _text("event_type"),
        _text("business_key"),
        _text("digest"),
        _text("reverses"),
        _big("template_version"),
        sa.Column("accounting_date", sa.Date(), autoincrement=False, nullable=False),
        _at("posted_at"),
        # The transaction that posted it: all below the oldest one under way are there.
        _posting(),
        sa.PrimaryKeyConstraint("id", "shard_key"),
    )
    op.create_index("journal_by_business_id", "journal", ["business_id"])
    op.create_index("journal_by_posting", "journal", ["posting"])
    op.create_index(
        "journal_reversed_once",
        "journal",
        ["shard_key", "reverses"],
        unique=True,
        postgresql_where=sa.text("reverses <> ''"),
    )
    op.create_table(
        "entry",
        _shard(),
        _text("journal_id"),
        _big("line"),
        _text("account_id"),
        _text("side"),
        _big("amount_minor"),
        _text("amount_currency"),
        _text("reference"),
        sa.CheckConstraint("side IN ('DEBIT', 'CREDIT')", name="entry_side_known"),
        sa.CheckConstraint("amount_minor > 0", name="entry_amount_positive"),
        sa.CheckConstraint("line > 0", name="entry_line_positive"),
        sa.PrimaryKeyConstraint("journal_id", "line", "shard_key"),
    )
    op.create_index("entry_by_account", "entry", ["account_id"])
    # An entry with what its journal and its account say of it: for reading.
    op.execute("""
        CREATE VIEW booking AS
        SELECT e.shard_key, e.journal_id, e.line, e.account_id, a.subject, a.owner, e.side,
            e.amount_minor, e.amount_currency, e.reference, j.event_type, j.business_key,
            j.business_id, j.accounting_date, j.posted_at, j.posting
        FROM entry e
        LEFT JOIN journal j ON j.id = e.journal_id
        LEFT JOIN account a ON a.shard_key = e.shard_key AND a.id = e.account_id
    """)


def _holds() -> None:
    op.create_table(
        "hold",
        _shard(),
        _text("id"),
        *_context(),
        _big("version"),
        _text("state"),
        _big("amount_minor"),
        _text("amount_currency"),
        _text("reference"),
        _text("digest"),
        sa.Column("parts", postgresql.JSONB(), autoincrement=False, nullable=False),
        _at("created_at"),
        sa.CheckConstraint("amount_minor > 0", name="hold_amount_positive"),
        sa.CheckConstraint("version > 0", name="hold_version_positive"),
        sa.CheckConstraint("state IN ('HELD', 'POSTED', 'RELEASED')", name="hold_state_known"),
        sa.CheckConstraint("amount_currency ~ '^[A-Z]{3}$'", name="hold_currency_known"),
        sa.CheckConstraint("jsonb_array_length(parts) > 0", name="hold_has_parts"),
        sa.PrimaryKeyConstraint("shard_key", "id"),
    )
    op.create_index("hold_by_business_id", "hold", ["business_id"])
    # A hold changes twice or thrice in its life, and no index holds what changes.
    op.execute("ALTER TABLE hold SET (fillfactor = 70)")


def _acts() -> None:
    op.create_table(
        "ledger_act",
        _shard(),
        _text("id"),
        *_context(),
        _text("about"),
        _text("what"),
        _text("why"),
        _at("acted_at"),
        sa.PrimaryKeyConstraint("shard_key", "id"),
    )
    op.create_index("ledger_act_about", "ledger_act", ["about"])


def _books() -> None:
    op.create_table(
        "block",
        _big("number"),
        sa.Column("previous_hash", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        _big("up_to"),
        _big("journals"),
        _big("entries"),
        _at("sealed_at"),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("up_to", name="block_up_to"),
    )
    op.create_table(
        "accounting_day",
        sa.Column("day", sa.Date(), nullable=False),
        _big("block"),
        _at("closed_at"),
        sa.PrimaryKeyConstraint("day"),
    )
    op.create_table(
        "day_movement",
        _shard(),
        _text("account_id"),
        sa.Column("day", sa.Date(), nullable=False),
        _big("up_to"),
        _big("debit_minor"),
        _big("credit_minor"),
        sa.PrimaryKeyConstraint("account_id", "day", "up_to", "shard_key"),
    )
    op.create_table(
        "balance_snapshot",
        _shard(),
        _text("account_id"),
        sa.Column("day", sa.Date(), nullable=False),
        _big("debit_minor"),
        _big("credit_minor"),
        sa.PrimaryKeyConstraint("account_id", "day", "shard_key"),
    )
    op.create_table(
        "day_total",
        sa.Column("day", sa.Date(), nullable=False),
        _text("subject"),
        _text("currency"),
        _big("accounts"),
        _big("debit_minor"),
        _big("credit_minor"),
        sa.PrimaryKeyConstraint("day", "subject", "currency"),
    )
    # Who posts holds the day open until he has committed; who closes it waits for them.
    op.execute("""
        CREATE FUNCTION last_closed_day() RETURNS date LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_advisory_xact_lock_shared(7301);
            RETURN (SELECT max(day) FROM accounting_day);
        END $$
    """)


def _append_only() -> None:
    """Two walls around what was booked: the application has no right, and nobody gets through."""
    app_role = '"' + context.config.attributes["app_role"].replace('"', '""') + '"'
    op.execute(f"REVOKE UPDATE, DELETE, TRUNCATE ON {', '.join(APPEND_ONLY)} FROM {app_role}")
    op.execute(f"REVOKE DELETE, TRUNCATE ON account, hold FROM {app_role}")
    op.execute("""
        CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP
                USING ERRCODE = 'restrict_violation',
                      HINT = 'Correct a journal with another journal.';
        END $$
    """)
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
        # Also where session_replication_role = replica silences ordinary triggers.
        op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_append_only")
