"""Invariant 22: what came to an account that took nothing in is kept for that account."""

from __future__ import annotations

from clearing_svc.ledger.chart import RETURNS
from paymesh_ops.check.ledger import BALANCES
from paymesh_ops.check.model import Findings, Options, each
from paymesh_ops.check.snapshots import Snapshots

_DIFFERS = f"""
    WITH kept AS (
        SELECT r.shard_key, substr(r.id, 5) AS body, r.subject, r.owner, r.currency, r.business_id,
            (SELECT coalesce(sum(minor), 0) FROM jsonb_to_recordset(r.parts) AS p(minor bigint))
                AS minor
        FROM returns_payable r),
    there AS (SELECT * FROM ({BALANCES}) a WHERE subject = ANY(%(subjects)s))
    SELECT coalesce(a.id, 'acc_' || k.body) AS account, coalesce(a.subject, k.subject) AS subject,
        coalesce(a.owner, k.owner) AS owner, coalesce(a.balance_currency, k.currency) AS currency,
        coalesce(a.balance, 0) AS balance, coalesce(k.minor, 0) AS kept,
        coalesce(k.business_id, a.business_id) AS business_id
    FROM there a FULL JOIN kept k ON k.shard_key = a.shard_key AND k.body = substr(a.id, 5)
    WHERE coalesce(a.balance, 0) <> coalesce(k.minor, 0) ORDER BY 1 LIMIT 200
"""


async def what_came_is_kept(s: Snapshots, o: Options) -> Findings:
    """22: a RETURNS_PAYABLE has what is kept of its owner's, account by account."""
    what = "Its entries say what came and for whom: set the parts of its row to what is left."
    rows = await s.rows("clearing", _DIFFERS, subjects=sorted(RETURNS.values()))
    yield each(22, "what lies on RETURNS_PAYABLE is not what is kept there", rows, what)
