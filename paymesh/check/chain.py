"""Invariants along the chain trade, payment, instruction, channel order, journal: 5, 6, 8, 21."""

from __future__ import annotations

from paymesh.check.model import FINDINGS_MAX, Finding, Options, each, found
from paymesh.check.snapshots import Row, Snapshots, merged

_MOVED = """
    SELECT id COLLATE "C" AS key, id, kind, state, business_id,
        CASE state WHEN 'SUSPENDED' THEN observed_minor ELSE amount_minor END AS minor,
        CASE state WHEN 'SUSPENDED' THEN observed_currency ELSE amount_currency END AS currency
    FROM instruction WHERE state IN ('SUCCEEDED', 'SUSPENDED') ORDER BY 1
"""

_BOOKED = """
    SELECT j.business_key COLLATE "C" AS key, j.id AS journal, j.event_type,
        e.amount_currency AS currency, min(j.business_id) AS business_id,
        coalesce(sum(e.amount_minor) FILTER (WHERE e.side = 'DEBIT'), 0) AS minor
    FROM journal j LEFT JOIN entry e ON e.journal_id = j.id
    WHERE starts_with(j.event_type, 'pay.instruction.')
    GROUP BY j.business_key, j.id, j.event_type, e.amount_currency ORDER BY 1
"""

_ATTEMPTS = """
    SELECT a.id COLLATE "C" AS key, a.id, a.state, t.id AS trade, t.state AS trade_state,
        t.paid_payment_id, t.amount_minor AS minor, t.amount_currency AS currency, a.business_id
    FROM attempt a LEFT JOIN trade t ON t.shard_key = a.shard_key AND t.id = a.trade_id ORDER BY 1
"""

_PAYMENTS = """
    SELECT id COLLATE "C" AS key, id, state, trade_id, amount_minor AS minor,
        amount_currency AS currency, business_id
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
        OR (t.state = 'PAID') <> (count(a.id) FILTER (WHERE a.id = t.paid_payment_id) = 1)
    ORDER BY 1 LIMIT 200
"""

_NOT_POSITIVE = {
    "trade": ("trade",),
    "pay": ("payment", "instruction"),
    "gateway": ("channel_order",),
    "clearing": ("entry",),
}

_TOOLS_DIFFER = """
    SELECT a.id, t.amount_minor AS minor, t.amount_currency AS currency, a.tools, a.business_id
    FROM attempt a JOIN trade t ON t.shard_key = a.shard_key AND t.id = a.trade_id
    WHERE t.amount_minor <> (SELECT coalesce(sum((x->>'minor')::numeric), 0)
            FROM jsonb_array_elements(a.tools) x)
        OR EXISTS (SELECT FROM jsonb_array_elements(a.tools) x
            WHERE x->>'currency' <> t.amount_currency)
    ORDER BY 1 LIMIT 200
"""

_INSTRUCTIONS_DIFFER = """
    SELECT p.id, p.amount_minor AS minor, p.amount_currency AS currency, p.business_id,
        sum(i.amount_minor) FILTER (WHERE i.kind = 'CHANNEL_COLLECT') AS collect,
        array_agg(DISTINCT i.amount_currency) AS currencies
    FROM payment p LEFT JOIN instruction i
        ON i.shard_key = p.shard_key AND i.payment_id = p.id
    GROUP BY p.shard_key, p.id
    HAVING array_agg(DISTINCT i.amount_currency) <> ARRAY[p.amount_currency]
        OR p.amount_minor IS DISTINCT FROM
            sum(i.amount_minor) FILTER (WHERE i.kind = 'CHANNEL_COLLECT')
    ORDER BY 1 LIMIT 200
"""

_ASKED = """
    SELECT request_no COLLATE "C" AS key, id, state, business_id, amount_minor AS minor,
        amount_currency AS currency, observed_minor, observed_currency
    FROM instruction ORDER BY 1
"""

_ORDERED = """
    SELECT request_no COLLATE "C" AS key, id, state, business_id, amount_minor AS minor,
        amount_currency AS currency, moved_amount_minor, moved_amount_currency
    FROM channel_order ORDER BY 1
"""

_TRANSIT = """
    SELECT reference COLLATE "C" AS key, reference AS payment, amount_currency AS currency,
        min(business_id) AS business_id,
        sum(CASE side WHEN 'CREDIT' THEN amount_minor ELSE -amount_minor END) AS left_over
    FROM entry WHERE subject = 'PAYER_TRANSIT' GROUP BY reference, amount_currency
    HAVING sum(CASE side WHEN 'CREDIT' THEN amount_minor ELSE -amount_minor END) <> 0 ORDER BY 1
"""


async def movements_are_booked(s: Snapshots, o: Options) -> list[Finding]:
    """5: an instruction has moved money if and only if its journal says so."""
    result: list[Finding] = []
    async for _, (moved, booked) in merged(s.stream("pay", _MOVED), s.stream("clearing", _BOOKED)):
        problem = _booking_problem(moved, booked)
        if problem and len(result) < FINDINGS_MAX:
            what = "Emit the instruction's event again; look into dead.clearing.ledger for why."
            result.append(found(5, problem, [*moved, *booked], what))
    return result


def _booking_problem(moved: list[Row], booked: list[Row]) -> str:
    if not moved:
        return "a journal of an instruction that has not moved money"
    (instruction,) = moved
    name = f"pay.instruction.{instruction['state'].lower()}/"
    if len(booked) != 1 or not booked[0]["event_type"].startswith(name):
        return "money moved without exactly its journal" if not booked else "booked otherwise"
    return "" if _money(instruction) == _money(booked[0]) else "booked with another amount"


def _money(row: Row) -> tuple[str, int]:
    return (str(row["currency"]), int(row["minor"] or 0))


async def paid_once(s: Snapshots, o: Options) -> list[Finding]:
    """6: a paid trade has exactly one payment; every other success goes back."""
    what = "Return what is too much through CancelPayment; replay the event that was lost."
    rows = await s.rows("trade", _NOT_PAID_ONCE)
    result = each(6, "a trade and its succeeded attempt differ", rows, what)
    streams = s.stream("trade", _ATTEMPTS), s.stream("pay", _PAYMENTS)
    async for _, found_ in merged(*streams, s.stream("clearing", _ATTRIBUTED)):
        problem = _payment_problem(*found_)
        if problem and len(result) < FINDINGS_MAX:
            result.append(found(6, problem, [row for rows in found_ for row in rows], what))
    return result


def _payment_problem(attempts: list[Row], payments: list[Row], journals: list[Row]) -> str:
    attempt = attempts[0] if attempts else {}
    state = payments[0]["state"] if payments else ""
    if not attempt or not attempt["trade"]:
        return "a payment that no trade knows" if payments else "attributed for no payment"
    if attempt["trade_state"] == "PAID" and attempt["paid_payment_id"] == attempt["id"]:
        if state != "SUCCEEDED":
            return f"a paid trade whose payment is {state or 'missing'}"
        if len(journals) != 1:
            return f"a paid trade is attributed {len(journals)} times"
        return "" if _money(journals[0]) == _money(attempt) else "attributed with another amount"
    if journals:
        return "attributed to a trade that it does not pay"
    on_its_way = {"PROCESSING", "CLOSING", "RETURNING"}
    if state == "SUCCEEDED" and attempt["state"] not in on_its_way:
        return "a success that neither pays its trade nor is returned"
    return ""


async def amounts_agree(s: Snapshots, o: Options) -> list[Finding]:
    """8: amounts are positive, amount and currency are the same along the chain."""
    result: list[Finding] = []
    what = "Freeze the chain; the trade's amount is what the merchant asked for."
    for service, tables in _NOT_POSITIVE.items():
        for table in tables:
            sql = f"""SELECT id, amount_minor, amount_currency, business_id FROM {table}
                WHERE amount_minor <= 0 OR amount_currency !~ '^[A-Z]{{3}}$'
                ORDER BY 1 LIMIT 200"""
            result += each(8, f"no amount of money in {table}", await s.rows(service, sql), what)
    rows = await s.rows("trade", _TOOLS_DIFFER)
    result += each(8, "tools that do not sum to their trade", rows, what)
    rows = await s.rows("pay", _INSTRUCTIONS_DIFFER)
    result += each(8, "instructions that do not sum to their payment", rows, what)
    async for _, (mine, theirs) in merged(s.stream("trade", _ATTEMPTS), s.stream("pay", _PAYMENTS)):
        differ = mine and theirs and _money(mine[0]) != _money(theirs[0])
        if differ and len(result) < FINDINGS_MAX:
            result.append(found(8, "trade and payment differ", [*mine, *theirs], what))
    asked, ordered = s.stream("pay", _ASKED), s.stream("gateway", _ORDERED)
    async for _, (mine, theirs) in merged(asked, ordered):
        problem = _order_problem(mine, theirs)
        if problem and len(result) < 2 * FINDINGS_MAX:
            result.append(found(8, problem, [*mine, *theirs], what))
    return result


def _order_problem(instructions: list[Row], orders: list[Row]) -> str:
    if not instructions:
        return "a channel order without its instruction"
    instruction = instructions[0]
    state, order = instruction["state"], orders[0] if orders else None
    if order is not None and _money(instruction) != _money(order):
        return "instruction and channel order differ"
    if state not in {"SUCCEEDED", "SUSPENDED"}:
        return ""
    if order is None or order["state"] != "SUCCEEDED":
        return "an instruction says that money moved, the channel order does not"
    observed = (instruction["observed_currency"], instruction["observed_minor"])
    thought = _money(instruction) if state == "SUCCEEDED" else observed
    moved = (order["moved_amount_currency"], order["moved_amount_minor"])
    return "" if thought == moved else "instruction and channel order moved different amounts"


async def transit_comes_out_even(s: Snapshots, o: Options) -> list[Finding]:
    """21: what passed through PAYER_TRANSIT for a payment is zero once that is over."""
    result: list[Finding] = []
    what = "Find the journal that is missing: collection, attribution or refund of this payment."
    attempts, payments = s.stream("trade", _ATTEMPTS), s.stream("pay", _PAYMENTS)
    async for _, (mine, theirs, left) in merged(attempts, payments, s.stream("clearing", _TRANSIT)):
        if left and _over(mine, theirs) and len(result) < FINDINGS_MAX:
            result.append(
                found(21, "PAYER_TRANSIT keeps money", [*left, *theirs, *mine], what)
            )  # fmt: skip
    return result


def _over(attempts: list[Row], payments: list[Row]) -> bool:
    """Whether nothing more will come: a suspended payment waits for its operator."""
    state = payments[0]["state"] if payments else "unknown"
    if state == "SUCCEEDED":
        return not attempts or attempts[0]["state"] not in {"PROCESSING", "CLOSING", "RETURNING"}
    return state in {"FAILED", "CLOSED", "RETURNED", "unknown"}
