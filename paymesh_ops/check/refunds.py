"""Invariant 7: what is refunded, or reserved for it, stays within what was paid."""

from __future__ import annotations

from paymesh_ops.check.chain import ON_ITS_WAY, PAYMENTS, REFUNDS
from paymesh_ops.check.model import Findings, Options, each, found
from paymesh_ops.check.snapshots import Row, Snapshots, merged

_SUMS = """
    SELECT t.id AS trade, t.state, t.type, t.amount_minor AS minor, t.amount_currency AS currency,
        t.refunded_minor, t.refunding_minor, r.succeeded, r.processing, t.business_id
    FROM trade t LEFT JOIN LATERAL (
        SELECT coalesce(sum(amount_minor - returned_minor)
                FILTER (WHERE state IN ('SUCCEEDED', 'RETURNED')), 0) AS succeeded,
            coalesce(sum(amount_minor) FILTER (WHERE state = 'PROCESSING'), 0) AS processing,
            count(*) FILTER (WHERE returned_minor <> CASE state WHEN 'RETURNED' THEN (
                    SELECT coalesce(sum((x->>'minor')::bigint), 0)
                    FROM jsonb_array_elements(tools) x
                    WHERE coalesce(x->>'kind', 'CHANNEL') = 'CHANNEL') ELSE 0 END) AS otherwise,
            array_agg(DISTINCT amount_currency) AS currencies
        FROM refund WHERE shard_key = t.shard_key AND trade_id = t.id) r ON true
    WHERE t.refunded_minor <> r.succeeded OR t.refunding_minor <> r.processing
        OR r.succeeded + r.processing > t.amount_minor
        OR (r.succeeded + r.processing > 0 AND t.state <> 'PAID')
        OR r.currencies <> ARRAY[t.amount_currency] OR r.otherwise > 0
    ORDER BY 1 LIMIT 200
"""

_BY_TOOL = """
    WITH back AS (
        SELECT r.shard_key, r.trade_id, x->>'kind' AS kind, x->>'channel' AS channel,
            sum((x->>'minor')::bigint) AS minor
        FROM refund r, jsonb_array_elements(r.tools) x WHERE r.state <> 'FAILED'
            AND (r.state <> 'RETURNED' OR coalesce(x->>'kind', 'CHANNEL') <> 'CHANNEL')
        GROUP BY 1, 2, 3, 4)
    SELECT t.id AS trade, t.paid_payment_id, b.kind, b.channel, b.minor AS given_back,
        p.minor AS paid, t.business_id
    FROM back b JOIN trade t ON t.shard_key = b.shard_key AND t.id = b.trade_id
    LEFT JOIN LATERAL (
        SELECT sum((x->>'minor')::bigint) AS minor
        FROM attempt a, jsonb_array_elements(a.tools) x
        WHERE a.shard_key = t.shard_key AND a.id = t.paid_payment_id
            AND coalesce(x->>'kind', 'CHANNEL') = b.kind AND x->>'channel' = b.channel) p ON true
    WHERE b.minor > coalesce(p.minor, 0)
    ORDER BY 1 LIMIT 200
"""
"""Before there were balances a tool had no kind: it was a channel."""

_ENDS = {
    # suspended: it came back when that was for a person to decide
    "SUCCEEDED": frozenset({"SUCCEEDED", "SUSPENDED"}),
    "RETURNED": frozenset({"RETURNED"}),
    # suspended: the channel gave the money back after it had said that it would not
    "FAILED": frozenset({"FAILED", "CLOSED", "SUSPENDED", "missing"}),
    "PROCESSING": ON_ITS_WAY | {"SUSPENDED", "missing"},
}
"""Where a refund's payment may stand, by where the refund does."""


async def within_what_was_paid(s: Snapshots, o: Options) -> Findings:
    """7: refunds sum to what their trade says and to no more than it took; so do their payments."""
    what = "Refund nothing more of this trade; compare its refunds with their payments."
    rows = await s.rows("trade", _SUMS)
    yield each(7, "a trade and the sums of its refunds differ", rows, what)
    rows = await s.rows("trade", _BY_TOOL)
    yield each(7, "more is given back by a tool than was paid by it", rows, what)
    what = "Replay the event of the payment's end; if it ended otherwise, ask the channel first."
    refunds, payments = s.stream("trade", REFUNDS), s.stream("pay", PAYMENTS)
    async for _, (mine, theirs) in merged(refunds, payments):
        problem = _problem(mine[0], theirs[0] if theirs else {}) if mine else ""
        if problem:
            yield [found(7, problem, [*mine, *theirs], what)]


def _problem(refund: Row, payment: Row) -> str:
    state = payment.get("state", "missing")
    if state not in _ENDS.get(refund["state"], frozenset()):
        return f"a refund that is {refund['state']} by a payment that is {state}"
    if refund["state"] in {"SUCCEEDED", "RETURNED"} and payment["succeeded_at"] is None:
        return f"a refund that is {refund['state']} by a payment that never succeeded"
    if payment and payment["trade_id"] != refund["trade_id"]:
        return "a refund by a payment of another trade"
    if payment and payment["original_payment_id"] != refund["paid_payment_id"]:
        return "a refund of another payment than the one that paid"
    return ""
