"""Invariants between what moved money and what is booked: 5 and 14."""

from __future__ import annotations

from paymesh_ops.check.ledger import BALANCES, on
from paymesh_ops.check.model import Findings, Options, each, found
from paymesh_ops.check.snapshots import Row, Snapshots, merged, money

_MOVED = """
    SELECT id COLLATE "C" AS key, id, kind, state, business_id, amount_minor AS minor,
        amount_currency AS currency, observed_minor, observed_currency
    FROM instruction
    WHERE state IN ('SUCCEEDED', 'SUSPENDED', 'BOUNCED')
        AND kind IN ('CHANNEL_COLLECT', 'CHANNEL_REFUND', 'CHANNEL_PAYOUT', 'TRANSFER') ORDER BY 1
"""

_BOOKED = """
    SELECT j.business_key COLLATE "C" AS key, j.id AS journal, j.event_type,
        split_part(split_part(j.event_type, '/', 1), '.', 3) AS name,
        e.amount_currency AS currency, min(j.business_id) AS business_id,
        coalesce(sum(e.amount_minor) FILTER (WHERE e.side = 'DEBIT'), 0) AS minor
    FROM journal j LEFT JOIN entry e ON e.journal_id = j.id
    WHERE starts_with(j.event_type, 'pay.instruction.')
    GROUP BY j.business_key, j.id, j.event_type, e.amount_currency ORDER BY 1
"""

_NOT_ZERO = f"""
    SELECT balance_currency AS currency,
        sum(CASE normal_side WHEN 'DEBIT' THEN balance ELSE -balance END) AS total
    FROM ({BALANCES}) a GROUP BY 1
    HAVING sum(CASE normal_side WHEN 'DEBIT' THEN balance ELSE -balance END) <> 0
    ORDER BY 1
"""

_AT_CHANNELS = f"""
    SELECT split_part(business_key, '_', 2) COLLATE "C" AS key, subject, owner AS account,
        amount_currency AS currency, min(business_id) AS business_id,
        sum(CASE side WHEN 'DEBIT' THEN amount_minor ELSE -amount_minor END) AS minor
    FROM booking
    WHERE {on("CHANNEL_RECEIVABLE", "PAYOUT_TRANSIT")}
        AND starts_with(event_type, 'pay.instruction.')
    GROUP BY 1, 2, 3, 4 ORDER BY 1
"""

_BY_CHANNELS = """
    SELECT request_no COLLATE "C" AS key,
        CASE kind WHEN 'PAYOUT' THEN 'PAYOUT_TRANSIT' ELSE 'CHANNEL_RECEIVABLE' END AS subject,
        channel || ':' || pay_org_no AS account, moved_amount_currency AS currency, business_id,
        CASE kind WHEN 'COLLECT' THEN moved_amount_minor ELSE -moved_amount_minor END AS minor
    FROM channel_order WHERE state = 'SUCCEEDED' AND moved_amount_minor > 0 ORDER BY 1
"""
"""As net debits. What bounced was given out and came back: nothing."""


async def movements_are_booked(s: Snapshots, o: Options) -> Findings:
    """5: an instruction has moved money if and only if its journals say so."""
    async for _, (moved, booked) in merged(s.stream("pay", _MOVED), s.stream("clearing", _BOOKED)):
        problem = _booking_problem(moved, booked)
        if problem:
            what = _EMIT if moved else _REVERSE
            yield [found(5, problem, [*moved, *booked], what)]


_EMIT = "Emit the instruction's event again; look into dead.clearing.ledger for why."
_REVERSE = "Ask the channel; if it moved nothing, take the journal back by another journal."


def _booking_problem(moved: list[Row], booked: list[Row]) -> str:
    if not moved:
        return "a journal of an instruction that has not moved money"
    [instruction] = moved
    wanted = _movements(instruction)
    if not booked:
        return "money moved without exactly its journal"
    if sorted(row["name"] for row in booked) != sorted(wanted):
        return "booked otherwise"
    as_moved = all(money(row) == wanted[row["name"]] for row in booked)
    return "" if as_moved else "booked with another amount"


def _movements(instruction: Row) -> dict[str, tuple[str, int]]:
    """What it moved, by the name of the event that tells of it. What bounced moved twice."""
    amount, state = money(instruction), instruction["state"]
    if state == "SUSPENDED":
        observed = instruction["observed_currency"], instruction["observed_minor"]
        return {"suspended": (str(observed[0]), int(observed[1] or 0))}
    return {"succeeded": amount} | ({"bounced": amount} if state == "BOUNCED" else {})


async def sums_to_zero(s: Snapshots, o: Options) -> Findings:
    """14: all accounts sum to zero; what channels owe us, and have paid out, is what they moved."""
    rows = await s.rows("clearing", _NOT_ZERO)
    what = "See invariants 1 and 2."
    yield each(14, "the accounts of a currency do not sum to zero", rows, what)
    booked, happened = s.stream("clearing", _AT_CHANNELS), s.stream("gateway", _BY_CHANNELS)
    async for request_no, (ours, theirs) in merged(booked, happened):
        if _sums(ours) == _sums(theirs):
            continue
        row = {
            "request_no": request_no,
            "accounts": " ".join(sorted({_account(r) for r in (*ours, *theirs)})),
            "booked": _text(ours),
            "moved": _text(theirs),
        }
        what = "Ask the channel what it moved; book what is missing, or correct what is wrong."
        title = "what a channel owes us or has paid out is not what it moved"
        yield [found(14, title, [row], what, business_id=(ours or theirs)[0]["business_id"])]


def _account(row: Row) -> str:
    return f"{row['subject']}:{row['account']}"


def _sums(rows: list[Row]) -> list[tuple[str, str, int]]:
    return sorted((_account(r), r["currency"], int(r["minor"])) for r in rows if r["minor"])


def _text(rows: list[Row]) -> str:
    return ", ".join(f"{r['currency']} {r['minor']}" for r in rows if r["minor"]) or "nothing"
