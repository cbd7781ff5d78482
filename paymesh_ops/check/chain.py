"""Invariants of trades and their payments: 6 and 21."""

from __future__ import annotations

from paymesh_ops.check.ledger import on
from paymesh_ops.check.model import Findings, Options, each, found
from paymesh_ops.check.snapshots import Row, Snapshots, merged, money

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

_ATTRIBUTED = f"""
    SELECT reference COLLATE "C" AS key, journal_id AS journal, business_key AS trade,
        amount_minor AS minor, amount_currency AS currency, business_id
    FROM booking
    WHERE event_type = 'trade.trade.paid/attribution'
        AND {on("PAYER_TRANSIT")} AND side = 'DEBIT' ORDER BY 1
"""

_NOT_PAID_ONCE = """
    SELECT t.id AS trade, t.state, t.paid_payment_id, t.business_id,
        count(a.id) FILTER (WHERE a.state = 'SUCCEEDED') AS succeeded
    FROM trade t LEFT JOIN attempt a ON a.shard_key = t.shard_key AND a.trade_id = t.id
    GROUP BY t.shard_key, t.id
    HAVING count(a.id) FILTER (WHERE a.state = 'SUCCEEDED')
            <> (t.state IN ('BOOKING', 'PAID'))::int
        OR (t.state IN ('BOOKING', 'PAID', 'RETURNED')) <> (count(a.id) FILTER (
            WHERE a.id = t.paid_payment_id AND a.state = CASE t.state
                WHEN 'RETURNED' THEN 'RETURNED' ELSE 'SUCCEEDED' END) = 1)
    ORDER BY 1 LIMIT 200
"""
"""A withdrawal that came back is RETURNED, and so is the attempt that had paid it."""

_TRANSIT = """
    WITH uneven AS (
        SELECT e.reference, a.subject, e.amount_currency, min(e.journal_id) AS journal_id,
            sum(CASE e.side WHEN 'CREDIT' THEN e.amount_minor ELSE -e.amount_minor END) AS minor
        FROM entry e JOIN account a ON a.shard_key = e.shard_key AND a.id = e.account_id
        WHERE a.subject IN ('PAYER_TRANSIT', 'PAYOUT_TRANSIT')
        GROUP BY 1, 2, 3
        HAVING sum(CASE e.side WHEN 'CREDIT' THEN e.amount_minor ELSE -e.amount_minor END) <> 0)
    SELECT u.reference COLLATE "C" AS key, u.reference AS payment, u.subject,
        u.amount_currency AS currency, u.minor AS left_over, j.business_id
    FROM uneven u LEFT JOIN journal j ON j.id = u.journal_id ORDER BY 1
"""
"""Few are uneven, so only theirs is the chain looked up."""

_SPLIT = f"""
    WITH transit AS (
        SELECT reference, min(journal_id) AS journal_id,
            sum(amount_minor) FILTER (WHERE side = 'CREDIT') AS credits,
            sum(amount_minor) FILTER (WHERE side = 'DEBIT') AS debits
        FROM entry WHERE {on("SPLIT_TRANSIT")} GROUP BY 1),
    split AS (
        SELECT s.id, s.state, s.business_id, (SELECT sum((leg ->> 'minor')::bigint)
            FROM jsonb_array_elements(s.legs) leg WHERE leg ->> 'side' = 'DEBIT') AS amount
        FROM split_journal s)
    SELECT coalesce(s.id, t.reference) AS split_journal, s.state, s.amount, t.credits, t.debits,
        coalesce(s.business_id,
            (SELECT j.business_id FROM journal j WHERE j.id = t.journal_id)) AS business_id
    FROM split s FULL JOIN transit t ON t.reference = s.id
    WHERE s.id IS NULL
        OR (s.state IN ('POSTED', 'REFUSED')
            AND coalesce(t.credits, 0) <> coalesce(t.debits, 0))
        OR (s.state = 'POSTED' AND coalesce(t.credits, 0) <> s.amount)
    ORDER BY 1 LIMIT 200
"""

_NO_REFERENCE = """
    SELECT journal_id AS journal, line, subject, side, amount_minor AS minor,
        amount_currency AS currency, business_id
    FROM booking WHERE reference = ''
        AND subject IN ('PAYER_TRANSIT', 'PAYOUT_TRANSIT', 'SPLIT_TRANSIT', 'ESCROW', 'SUSPENSE',
            'DISPUTED')
    ORDER BY 1, 2 LIMIT 200
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
    if attempt["state"] == "SUSPENDED" and payment and payment["state"] != "SUSPENDED":
        return f"an attempt that is SUSPENDED by a payment that is {payment['state']}"
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
    wanted = {"BOOKING": "SUCCEEDED", "PAID": "SUCCEEDED", "RETURNED": "RETURNED"}
    if state != wanted.get(attempt["trade_state"]):
        return f"a trade that is {attempt['trade_state']} by a payment that is {state}"
    if attempt["type"] == "WITHDRAWAL":  # its payout has taken the money from its owner
        return "a withdrawal is attributed to somebody" if journals else ""
    if attempt["trade_state"] == "BOOKING" and not journals:
        return ""  # the ledger is being asked
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
    rows = await s.rows("clearing", _SPLIT)
    yield each(21, "a split journal is over and its transit is not what it should be", rows, what)
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
