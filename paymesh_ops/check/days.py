"""Closed days: their snapshots and totals are sums of entries. A part of invariant 2."""

from __future__ import annotations

from paymesh_ops.check.model import Findings, Options, each
from paymesh_ops.check.snapshots import Snapshots

_DONE = "(SELECT max(day) FROM day_total)"
"""The last day with all of its snapshots."""

_WRONG_SNAPSHOT = f"""
    WITH moved AS (
        SELECT e.account_id, j.accounting_date AS day,
            coalesce(sum(e.amount_minor) FILTER (WHERE e.side = 'DEBIT'), 0) AS debits,
            coalesce(sum(e.amount_minor) FILTER (WHERE e.side = 'CREDIT'), 0) AS credits
        FROM entry e JOIN journal j ON j.id = e.journal_id
        WHERE j.accounting_date <= {_DONE} GROUP BY 1, 2
    ), entries AS (
        SELECT account_id, day, sum(debits) OVER upto AS debits, sum(credits) OVER upto AS credits
        FROM moved WINDOW upto AS (PARTITION BY account_id ORDER BY day)
    ), snapshot AS (
        SELECT account_id, day, debit_minor AS debits, credit_minor AS credits
        FROM balance_snapshot WHERE day <= {_DONE}
    )
    SELECT account_id AS account, day::text, a.subject, a.owner, e.debits, e.credits,
        s.debits AS snapshot_debits, s.credits AS snapshot_credits, a.business_id
    FROM entries e FULL JOIN snapshot s USING (account_id, day) LEFT JOIN account a
        ON a.id = account_id
    WHERE e.debits IS DISTINCT FROM s.debits OR e.credits IS DISTINCT FROM s.credits
    ORDER BY 1, 2 LIMIT 200
"""

_WRONG_TOTAL = """
    WITH step AS (
        SELECT s.day, a.subject, a.balance_currency AS currency,
            s.debit_minor - coalesce(lag(s.debit_minor) OVER upto, 0) AS debits,
            s.credit_minor - coalesce(lag(s.credit_minor) OVER upto, 0) AS credits,
            (lag(s.day) OVER upto IS NULL)::int AS accounts
        FROM balance_snapshot s JOIN account a ON a.shard_key = s.shard_key AND a.id = s.account_id
        WINDOW upto AS (PARTITION BY s.account_id ORDER BY s.day)
    ), moved AS (
        SELECT day, subject, currency, sum(debits) AS debits, sum(credits) AS credits,
            sum(accounts) AS accounts
        FROM step GROUP BY 1, 2, 3
    ), wanted AS (
        SELECT d.day, m.subject, m.currency, sum(m.debits) AS debits, sum(m.credits) AS credits,
            sum(m.accounts) AS accounts
        FROM (SELECT DISTINCT day FROM day_total) d JOIN moved m ON m.day <= d.day GROUP BY 1, 2, 3
    )
    SELECT day::text || ' ' || subject || ' ' || currency AS total, w.accounts, w.debits,
        w.credits, t.accounts AS total_accounts, t.debit_minor AS total_debits,
        t.credit_minor AS total_credits
    FROM wanted w FULL JOIN day_total t USING (day, subject, currency)
    WHERE w.debits IS DISTINCT FROM t.debit_minor OR w.credits IS DISTINCT FROM t.credit_minor
        OR w.accounts IS DISTINCT FROM t.accounts
    ORDER BY 1 LIMIT 200
"""


async def closed_days_are_sums(s: Snapshots, o: Options) -> Findings:
    """Snapshots are sums of entries, and totals, of which exports are made, sums of snapshots."""
    what = "Trust the entries: see who wrote the snapshot, and whether a closed day took journals."
    rows = await s.rows("clearing", _WRONG_SNAPSHOT)
    yield each(2, "a snapshot is not the sum of its entries", rows, what)
    what = "Trust the snapshots: see who wrote the total. Statements and exports of it are wrong."
    rows = await s.rows("clearing", _WRONG_TOTAL)
    yield each(2, "the total of a closed day is not the sum of its snapshots", rows, what)
