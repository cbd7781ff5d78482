"""What a caller dates back leaves no day between with a balance beyond its account's limits.

Revision ID: ledger_0005
"""

from alembic import op

revision = "ledger_0005"
down_revision = "ledger_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # What the end of each day was: all that there is, less what was booked for later days. It is
    # looked at when the transaction commits: its entries are there by then, and who else books on
    # an account that has come nearer to its limit waits for that account's row.
    op.execute("""
        CREATE FUNCTION require_past_within_limits() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE
            today date := (NEW.posted_at AT TIME ZONE 'UTC')::date;
            beyond record;
        BEGIN
            WITH moved AS (
                SELECT e.shard_key, e.account_id, sum(
                    CASE WHEN e.side = a.normal_side THEN e.amount_minor ELSE -e.amount_minor END
                ) AS minor
                FROM entry e JOIN account a ON a.shard_key = e.shard_key AND a.id = e.account_id
                WHERE e.journal_id = NEW.id GROUP BY 1, 2
            ), nearer AS (
                SELECT a.id, a.shard_key, a.subject, a.normal_side, a.minimum_minor,
                    a.maximum_minor, a.balance_minor + coalesce((
                        SELECT sum(d.delta_minor) FROM account_delta d
                        WHERE d.account_id = a.id AND d.shard_key = a.shard_key
                    ), 0) AS minor
                FROM moved m JOIN account a ON a.shard_key = m.shard_key AND a.id = m.account_id
                WHERE (m.minor < 0 AND a.minimum_minor IS NOT NULL)
                    OR (m.minor > 0 AND a.maximum_minor IS NOT NULL)
            ), days AS (
                SELECT n.id, NEW.accounting_date AS day, 0 AS minor FROM nearer n
                UNION ALL
                SELECT n.id, j.accounting_date, sum(
                    CASE WHEN e.side = n.normal_side THEN e.amount_minor ELSE -e.amount_minor END
                )
                FROM nearer n
                JOIN entry e ON e.account_id = n.id AND e.shard_key = n.shard_key
                JOIN journal j ON j.id = e.journal_id
                WHERE j.accounting_date > NEW.accounting_date GROUP BY 1, 2
            ), ends AS (
                SELECT d.id, d.day, coalesce(sum(d.minor) OVER (
                    PARTITION BY d.id ORDER BY d.day DESC
                    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                ), 0) AS later
                FROM days d
            )
            SELECT INTO beyond n.subject, n.id, e.day, n.minor - e.later < n.minimum_minor AS below
            FROM nearer n JOIN ends e ON e.id = n.id
            WHERE e.day < today AND (
                n.minor - e.later < n.minimum_minor OR n.minor - e.later > n.maximum_minor
            )
            ORDER BY e.day, n.id LIMIT 1;
            IF FOUND THEN
                RAISE EXCEPTION '% (%) would have been % at the end of %', beyond.subject,
                    beyond.id,
                    CASE WHEN beyond.below THEN 'below its minimum' ELSE 'above its maximum' END,
                    beyond.day
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'journal_past_within_limits';
            END IF;
            RETURN NULL;
        END $$
    """)
    # What a business event tells has happened: it is booked, and names no day.
    op.execute("""
        CREATE CONSTRAINT TRIGGER journal_past_within_limits AFTER INSERT ON journal
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
        WHEN (NEW.template_version = 0
            AND NEW.accounting_date < (NEW.posted_at AT TIME ZONE 'UTC')::date)
        EXECUTE FUNCTION require_past_within_limits()
    """)
