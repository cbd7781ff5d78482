"""Invariants of the ledger itself: 1 to 4 and 14."""

from __future__ import annotations

from paymesh.check.model import FINDINGS_MAX, Finding, Options, each, found
from paymesh.check.snapshots import Row, Snapshots, merged

_UNBALANCED = """
    WITH sums AS (
        SELECT journal_id, amount_currency, min(business_id) AS business_id, count(*) AS entries,
            coalesce(sum(amount_minor) FILTER (WHERE side = 'DEBIT'), 0) AS debits,
            coalesce(sum(amount_minor) FILTER (WHERE side = 'CREDIT'), 0) AS credits
        FROM entry GROUP BY journal_id, amount_currency)
    SELECT coalesce(j.id, s.journal_id) AS journal, j.event_type, s.amount_currency AS currency,
        s.debits, s.credits, coalesce(s.entries, 0) AS entries,
        coalesce(j.business_id, s.business_id) AS business_id
    FROM journal j FULL JOIN sums s ON s.journal_id = j.id
    WHERE j.id IS NULL OR s.journal_id IS NULL OR s.debits <> s.credits OR s.entries < 2
    ORDER BY 1, 3 LIMIT 200
"""

_WRONG_BALANCE = """
    WITH sums AS (
        SELECT account_id, min(business_id) AS business_id,
            array_agg(DISTINCT amount_currency) AS currencies,
            sum(CASE side WHEN 'DEBIT' THEN amount_minor ELSE -amount_minor END) AS debits
        FROM entry GROUP BY account_id)
    SELECT coalesce(a.id, s.account_id) AS account, a.subject, a.owner,
        a.balance_currency AS currency, a.balance_minor AS balance,
        coalesce(CASE a.normal_side WHEN 'CREDIT' THEN -s.debits ELSE s.debits END, 0) AS entries,
        coalesce(a.business_id, s.business_id) AS business_id
    FROM account a FULL JOIN sums s ON s.account_id = a.id
    WHERE a.id IS NULL
        OR a.balance_minor <>
            coalesce(CASE a.normal_side WHEN 'DEBIT' THEN s.debits ELSE -s.debits END, 0)
        OR s.currencies <> ARRAY[a.balance_currency]
    ORDER BY 1 LIMIT 200
"""

_BELOW_MINIMUM = """
    SELECT id AS account, subject, owner, balance_currency AS currency, balance_minor AS balance,
        minimum_minor AS minimum, business_id
    FROM account WHERE balance_minor < minimum_minor ORDER BY 1 LIMIT 200
"""

_BOOKED_TWICE = """
    SELECT business_key, event_type, array_agg(id ORDER BY posted_at, id) AS journals,
        min(business_id) AS business_id
    FROM journal GROUP BY event_type, business_key HAVING count(*) > 1 ORDER BY 1, 2 LIMIT 200
"""

_NOT_ZERO = """
    SELECT balance_currency AS currency,
        sum(CASE normal_side WHEN 'DEBIT' THEN balance_minor ELSE -balance_minor END) AS total
    FROM account GROUP BY 1
    HAVING sum(CASE normal_side WHEN 'DEBIT' THEN balance_minor ELSE -balance_minor END) <> 0
    ORDER BY 1
"""

_RECEIVABLE = """
    SELECT split_part(j.business_key, '_', 2) COLLATE "C" AS key, e.owner AS account,
        e.amount_currency AS currency, min(j.business_id) AS business_id,
        sum(CASE e.side WHEN 'DEBIT' THEN e.amount_minor ELSE -e.amount_minor END) AS minor
    FROM entry e JOIN journal j ON j.id = e.journal_id
    WHERE e.subject = 'CHANNEL_RECEIVABLE' AND starts_with(j.event_type, 'pay.instruction.')
    GROUP BY 1, 2, 3 ORDER BY 1
"""

_MOVED = """
    SELECT request_no COLLATE "C" AS key, channel || ':' || pay_org_no AS account,
        moved_amount_currency AS currency, business_id,
        CASE kind WHEN 'REFUND' THEN -moved_amount_minor ELSE moved_amount_minor END AS minor
    FROM channel_order WHERE state = 'SUCCEEDED' AND moved_amount_minor > 0 ORDER BY 1
"""

_LOOK = "Stop postings, compare the journal with its event; correct it by another journal."


async def journals_balance(s: Snapshots, o: Options) -> list[Finding]:
    """1: debits = credits per journal and currency, at least two entries."""
    rows = await s.rows("clearing", _UNBALANCED)
    return each(1, "a journal does not balance", rows, _LOOK)


async def balances_are_sums(s: Snapshots, o: Options) -> list[Finding]:
    """2: an account's balance is the sum of its entries on its normal side."""
    rows = await s.rows("clearing", _WRONG_BALANCE)
    what = "Trust the entries: find who wrote the balance without them, then set it to their sum."
    return each(2, "a balance is not the sum of its entries", rows, what)


async def balances_above_minimum(s: Snapshots, o: Options) -> list[Finding]:
    """3: no balance below its account's minimum."""
    rows = await s.rows("clearing", _BELOW_MINIMUM)
    what = "Hold payouts of this owner; find the journal that took too much."
    return each(3, "a balance is below its minimum", rows, what)


async def journals_once(s: Snapshots, o: Options) -> list[Finding]:
    """4: one journal per (event_type, business_key)."""
    rows = await s.rows("clearing", _BOOKED_TWICE)
    what = "Reverse the later journal; find out why the guard did not hold."
    return each(4, "an event was booked twice", rows, what)


async def sums_to_zero(s: Snapshots, o: Options) -> list[Finding]:
    """14: all accounts sum to zero; what a channel owes is what it collected less refunds."""
    result = each(14, "the accounts of a currency do not sum to zero",
                  await s.rows("clearing", _NOT_ZERO), "See invariants 1 and 2.")  # fmt: skip
    booked, happened = s.stream("clearing", _RECEIVABLE), s.stream("gateway", _MOVED)
    async for request_no, (ours, theirs) in merged(booked, happened):
        if _sums(ours) != _sums(theirs) and len(result) < FINDINGS_MAX:
            row = {
                "request_no": request_no,
                "channel": " ".join(sorted({r["account"] for r in (*ours, *theirs)})),
                "booked": _text(ours),
                "moved": _text(theirs),
            }
            ids = [r["business_id"] for r in (*ours, *theirs)]
            what = "Ask the channel what it moved; book what is missing, or correct what is wrong."
            title = "CHANNEL_RECEIVABLE is not collected less refunded"
            result.append(found(14, title, [row], what, business_id=ids[0]))
    return result


def _sums(rows: list[Row]) -> list[tuple[str, str, int]]:
    return sorted((r["account"], r["currency"], int(r["minor"])) for r in rows if r["minor"])


def _text(rows: list[Row]) -> str:
    return ", ".join(f"{r['currency']} {r['minor']}" for r in rows) or "nothing"
