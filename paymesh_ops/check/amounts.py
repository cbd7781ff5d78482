"""Invariant 8: amounts are positive, and the same from the trade to the channel."""

from __future__ import annotations

from paymesh_ops.check.chain import PAYMENTS
from paymesh_ops.check.model import Findings, Options, each, found
from paymesh_ops.check.snapshots import Row, Snapshots, merged, money

_AMOUNTS = {
    "trade": ("trade", "refund"),
    "pay": ("payment", "instruction"),
    "gateway": ("channel_order",),
    "clearing": ("entry", "hold"),
}
_ENTRIES = ("booking", "journal_id AS journal, line")
"""Where they and their chains are, and what names them: they have no id of their own."""

_NOT_POSITIVE = """
    SELECT {name}, amount_minor, amount_currency, business_id FROM {rows}
    WHERE amount_minor <= 0 OR amount_currency !~ '^[A-Z]{{3}}$' ORDER BY 1 LIMIT 200
"""

_TOOLS_DIFFER = """
    SELECT r.id, {owner}.amount_minor AS minor, {owner}.amount_currency AS currency, r.tools,
        r.business_id
    FROM {tables}
    WHERE {owner}.amount_minor <> (SELECT coalesce(sum((x->>'minor')::numeric), 0)
            FROM jsonb_array_elements(r.tools) x)
        OR EXISTS (SELECT FROM jsonb_array_elements(r.tools) x
            WHERE x->>'currency' <> {owner}.amount_currency)
    ORDER BY 1 LIMIT 200
"""
_TOOLS = (
    ("trade", "their trade", "t",
     "attempt r JOIN trade t ON t.shard_key = r.shard_key AND t.id = r.trade_id"),
    ("trade", "their refund", "r", "refund r"),
    ("pay", "their payment", "r", "payment r"),
)  # fmt: skip

_INSTRUCTIONS_DIFFER = """
    WITH steps AS (
        SELECT shard_key, payment_id, array_agg(DISTINCT amount_currency) AS currencies,
            coalesce(sum(amount_minor) FILTER (WHERE kind = 'CHANNEL_COLLECT'), 0) AS collects,
            coalesce(sum(amount_minor) FILTER (WHERE kind = 'HOLD'), 0) AS holds,
            coalesce(sum(amount_minor) FILTER (WHERE kind = 'TRANSFER'), 0) AS transfers,
            coalesce(sum(amount_minor) FILTER (WHERE kind = 'CHANNEL_PAYOUT'), 0) AS payouts,
            coalesce(sum(amount_minor) FILTER (WHERE kind = 'CHANNEL_REFUND'), 0) AS refunds
        FROM instruction WHERE compensates = '' GROUP BY 1, 2)
    SELECT p.id, p.purpose, p.state, p.amount_minor AS minor, p.amount_currency AS currency,
        s.currencies, s.collects, s.holds, s.transfers, s.payouts, s.refunds, p.business_id
    FROM payment p LEFT JOIN steps s ON s.shard_key = p.shard_key AND s.payment_id = p.id
    WHERE s.currencies IS DISTINCT FROM ARRAY[p.amount_currency] OR CASE p.purpose
        WHEN 'WITHDRAWAL' THEN s.holds <> p.amount_minor
            OR s.payouts NOT IN (CASE p.state WHEN 'SUCCEEDED' THEN s.holds ELSE 0 END, s.holds)
        WHEN 'REFUND' THEN s.holds <> p.amount_minor OR s.refunds + s.transfers > s.holds
            OR (p.state = 'SUCCEEDED' AND s.refunds + s.transfers <> s.holds)
        ELSE s.collects + s.holds <> p.amount_minor
            OR s.transfers NOT IN (CASE p.state WHEN 'SUCCEEDED' THEN s.holds ELSE 0 END, s.holds)
        END
    ORDER BY 1 LIMIT 200
"""
"""The steps forward. What belongs to a later stage is there once the payment has succeeded."""

_ASKED_FOR = """
    SELECT key COLLATE "C" AS key, key AS payment, of, minor, currency, business_id FROM (
        SELECT a.id AS key, t.id AS of, t.amount_minor AS minor, t.amount_currency AS currency,
            a.business_id
        FROM attempt a JOIN trade t ON t.shard_key = a.shard_key AND t.id = a.trade_id
        UNION ALL SELECT payment_id, id, amount_minor, amount_currency, business_id FROM refund) x
    ORDER BY 1
"""

_ASKED = """
    SELECT request_no COLLATE "C" AS key, id, kind, state, business_id, amount_minor AS minor,
        amount_currency AS currency, observed_minor, observed_currency
    FROM instruction WHERE starts_with(kind, 'CHANNEL_') ORDER BY 1
"""

_ORDERED = """
    SELECT request_no COLLATE "C" AS key, id, kind, state, business_id, amount_minor AS minor,
        amount_currency AS currency, moved_amount_minor, moved_amount_currency
    FROM channel_order ORDER BY 1
"""


async def amounts_agree(s: Snapshots, o: Options) -> Findings:
    """8: amounts are positive, amount and currency are the same along the chain."""
    what = "Freeze the chain; the trade's amount is what the merchant asked for."
    for service, tables in _AMOUNTS.items():
        for table in tables:
            of, name = _ENTRIES if table == "entry" else (table, "id")
            rows = await s.rows(service, _NOT_POSITIVE.format(rows=of, name=name))
            yield each(8, f"no amount of money in {table}", rows, what)
    for service, whose, owner, from_ in _TOOLS:
        rows = await s.rows(service, _TOOLS_DIFFER.format(owner=owner, tables=from_))
        yield each(8, f"tools that do not sum to {whose}", rows, what)
    rows = await s.rows("pay", _INSTRUCTIONS_DIFFER)
    yield each(8, "instructions that do not sum to their payment", rows, what)
    asked_for, payments = s.stream("trade", _ASKED_FOR), s.stream("pay", PAYMENTS)
    async for _, (mine, theirs) in merged(asked_for, payments):
        if mine and theirs and money(mine[0]) != money(theirs[0]):
            yield [found(8, "trade and payment differ", [*mine, *theirs], what)]
    asked, ordered = s.stream("pay", _ASKED), s.stream("gateway", _ORDERED)
    async for _, (mine, theirs) in merged(asked, ordered):
        problem = _order_problem(mine, theirs)
        if problem:
            yield [found(8, problem, [*mine, *theirs], what)]


def _order_problem(instructions: list[Row], orders: list[Row]) -> str:
    if not instructions:
        return "a channel order without its instruction"
    instruction = instructions[0]
    state, order = instruction["state"], orders[0] if orders else None
    if order is None:
        return "money moved without a channel order" if state in _MOVED else ""
    if money(instruction) != money(order) or instruction["kind"] != f"CHANNEL_{order['kind']}":
        return "instruction and channel order differ"
    if _MOVED.get(state) != (order["state"] if order["state"] in _MOVED.values() else None):
        return "instruction and channel order do not agree whether money moved"
    if state not in _MOVED:
        return ""
    observed = (instruction["observed_currency"], instruction["observed_minor"])
    thought = observed if state == "SUSPENDED" else money(instruction)
    moved = (order["moved_amount_currency"], order["moved_amount_minor"])
    return "" if thought == moved else "instruction and channel order moved different amounts"


_MOVED = {"SUCCEEDED": "SUCCEEDED", "SUSPENDED": "SUCCEEDED", "BOUNCED": "BOUNCED"}
"""Where a channel order stands whose instruction has moved money."""
