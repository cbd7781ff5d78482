"""Invariants of trades and their payments: 6 and 21."""

from __future__ import annotations

from paymesh.check.model import Findings, Options, each, found
from paymesh.check.snapshots import Row, Snapshots, merged, money

ATTEMPTS = """
    SELECT a.id COLLATE "C" AS key, a.id, a.state, t.id AS trade_id, t.type, t.state AS trade_state,
        t.paid_payment_id, t.amount_minor AS minor, t.amount_currency AS currency, a.business_id
    FROM attempt a LEFT JOIN trade t ON t.shard_key = a.shard_key AND t.id = a.trade_id ORDER BY 1
"""

REFUNDS = """
    SELECT r.payment_id COLLATE "C" AS key, r.id AS refund, r.state, r.trade_id, t.paid_payment_id,
        r.payment_id, r.amount_minor AS minor, r.amount_currency AS currency, r.business_id
    FROM refund r LEFT JOIN trade t ON t.shard_key = r.shard_key AND t.id = r.trade_id ORDER BY 1
"""

PAYMENTS = """
    SELECT id COLLATE "C" AS key, id, purpose, state, trade_id, original_payment_id, succeeded_at,
        amount_minor AS minor, amount_currency AS currency, business_id
    FROM payment ORDER BY 1
"""

_ATTRIBUTED = """
    SELECT e.reference COLLATE "C" AS key, j.id AS journal, j.business_key AS trade,
        e.amount_minor AS minor, e.amount_currency AS currency, j.business_id
    FROM journal j JOIN entry e ON e.journal_id = j.id
    WHERE j.event_type = 'trade.trade.paid/attribution'
        AND e.subject = 'PAYER_TRANSIT' AND e.side = 'DEBIT' ORDER BY 1
"""

_NOT_PAID_ONCE = """
    SELECT t.id AS trade, t.state, t.paid_payment_id, t.business_id,
        count(a.id) FILTER (WHERE a.state = 'SUCCEEDED') AS succeeded
    FROM trade t LEFT JOIN attempt a ON a.shard_key = t.shard_key AND a.trade_id = t.id
    GROUP BY t.shard_key, t.id
    HAVING count(a.id) FILTER (WHERE a.state = 'SUCCEEDED') <> (t.state = 'PAID')::int
        OR (t.state IN ('PAID', 'RETURNED')) <> (count(a.id) FILTER (
            WHERE a.id = t.paid_payment_id
                AND a.state = CASE t.state WHEN 'PAID' THEN 'SUCCEEDED' ELSE t.state END) = 1)
    ORDER BY 1 LIMIT 200
"""
"""A withdrawal that came back is RETURNED, and so is the attempt that had paid it."""

_TRANSIT = """
    SELECT reference COLLATE "C" AS key, reference AS payment, subject, amount_currency AS currency,
        min(business_id) AS business_id,
        sum(CASE side WHEN 'CREDIT' THEN amount_minor ELSE -amount_minor END) AS left_over
    FROM entry WHERE subject IN ('PAYER_TRANSIT', 'PAYOUT_TRANSIT')
    GROUP BY reference, subject, amount_currency
    HAVING sum(CASE side WHEN 'CREDIT' THEN amount_minor ELSE -amount_minor END) <> 0 ORDER BY 1
"""

_NO_REFERENCE = """
    SELECT id AS entry, journal_id, subject, side, amount_minor AS minor,
        amount_currency AS currency, business_id
    FROM entry WHERE reference = ''
        AND subject IN ('PAYER_TRANSIT', 'PAYOUT_TRANSIT', 'ESCROW', 'SUSPENSE')
    ORDER BY 1 LIMIT 200
"""

ON_ITS_WAY = frozenset({"PROCESSING", "CLOSING", "RETURNING"})


async def paid_once(s: Snapshots, o: Options) -> Findings:
    """6: a paid trade has exactly one payment; every other success goes back."""
    what = "Return what is too much through CancelPayment; replay the event that was lost."
    rows = await s.rows("trade", _NOT_PAID_ONCE)
    yield each(6, "a trade and its succeeded attempt differ", rows, what)
    streams = (
        s.stream("trade", ATTEMPTS),
        s.stream("trade", REFUNDS),
        s.stream("pay", PAYMENTS),
        s.stream("clearing", _ATTRIBUTED),
    )
    async for _, (attempts, refunds, payments, journals) in merged(*streams):
        problem = _payment_problem(attempts, refunds, payments, journals)
        if problem:
            rows = [*attempts, *refunds, *payments, *journals]
            yield [found(6, problem, rows, what)]


def _payment_problem(
    attempts: list[Row], refunds: list[Row], payments: list[Row], journals: list[Row]
) -> str:
    payment = payments[0] if payments else {}
    if payment.get("purpose") == "REFUND" or refunds:
        return _refund_problem(attempts, refunds, payment, journals)
    attempt = attempts[0] if attempts else {}
    if not attempt or not attempt["trade_id"]:
        return "a payment that no trade knows" if payments else "attributed for no payment"
    if payment and payment["trade_id"] != attempt["trade_id"]:
        return "a payment of another trade"
    if attempt["paid_payment_id"] == attempt["id"]:
        return _paid_problem(attempt, payment, journals)
    if journals:
        return "attributed to a trade that it does not pay"
    if payment.get("state") == "SUCCEEDED" and attempt["state"] not in ON_ITS_WAY:
        return "a success that neither pays its trade nor is returned"
    return ""


def _refund_problem(
    attempts: list[Row], refunds: list[Row], payment: Row, journals: list[Row]
) -> str:
    if not refunds:
        return "a refund's payment that no trade knows"
    if attempts or journals or len(refunds) > 1:
        return "a payment that gives back, and does something else as well"
    return "" if payment.get("purpose", "REFUND") == "REFUND" else "a refund by another payment"


def _paid_problem(attempt: Row, payment: Row, journals: list[Row]) -> str:
    """Of the payment that paid its trade."""
    state = payment.get("state", "missing")
    wanted = {"PAID": "SUCCEEDED", "RETURNED": "RETURNED"}.get(attempt["trade_state"])
    if state != wanted:
        return f"a trade that is {attempt['trade_state']} by a payment that is {state}"
    if attempt["type"] == "WITHDRAWAL":  # its payout has taken the money from its owner
        return "a withdrawal is attributed to somebody" if journals else ""
    if len(journals) != 1:
        return f"a paid trade is attributed {len(journals)} times"
    [journal] = journals
    if journal["trade"] != attempt["trade_id"]:
        return "attributed to another trade"
    return "" if money(journal) == money(attempt) else "attributed with another amount"


async def transit_comes_out_even(s: Snapshots, o: Options) -> Findings:
    """21: what passed through transit for a payment is zero once that is over."""
    what = "Find the event whose entry it is, and correct it by another journal."
    rows = await s.rows("clearing", _NO_REFERENCE)
    yield each(21, "an entry that does not say what it is for", rows, what)
    what = "Find the journal that is missing: collection, attribution or refund of this payment."
    attempts, payments = s.stream("trade", ATTEMPTS), s.stream("pay", PAYMENTS)
    async for _, (mine, theirs, left) in merged(attempts, payments, s.stream("clearing", _TRANSIT)):
        for row in left:
            if _over(row["subject"], mine, theirs):
                yield [found(21, f"{row['subject']} keeps money", [row, *theirs, *mine], what)]


def _over(subject: str, attempts: list[Row], payments: list[Row]) -> bool:
    """Whether nothing more will come: a suspended payment waits for its operator."""
    state = payments[0]["state"] if payments else "unknown"
    if state == "SUCCEEDED":
        if subject == "PAYOUT_TRANSIT":
            return False  # until it is on the channel's statement
        return not attempts or attempts[0]["state"] not in ON_ITS_WAY
    return state in {"FAILED", "CLOSED", "RETURNED", "unknown"}
