"""Invariants of the ledger by itself: 1 to 4."""

from __future__ import annotations

from paymesh_ops.check.days import closed_days_are_sums
from paymesh_ops.check.model import Findings, Options, each
from paymesh_ops.check.snapshots import Snapshots

BALANCES = """
    SELECT a.*, coalesce(d.minor, 0) AS buffered, a.balance_minor + coalesce(d.minor, 0) AS balance
    FROM account a LEFT JOIN (
        SELECT shard_key, account_id, sum(delta_minor) AS minor FROM account_delta GROUP BY 1, 2) d
        ON d.shard_key = a.shard_key AND d.account_id = a.id
"""
"""Accounts with what they have: a BUFFERED one's is in its row and in the deltas beside it. One
query, so one snapshot: folding moves amounts from the one to the other."""


def on(*subjects: str) -> str:
    """SQL: the entry is on an account of these subjects. So it is known how many entries they have,
    which a join would hide from the planner."""
    names = ", ".join(f"'{subject}'" for subject in subjects)
    return f"account_id = ANY (ARRAY(SELECT id FROM account WHERE subject IN ({names})))"


_UNBALANCED = """
    WITH sums AS (
        SELECT journal_id, amount_currency, count(*) AS entries,
            coalesce(sum(amount_minor) FILTER (WHERE side = 'DEBIT'), 0) AS debits,
            coalesce(sum(amount_minor) FILTER (WHERE side = 'CREDIT'), 0) AS credits
        FROM entry GROUP BY journal_id, amount_currency)
    SELECT coalesce(j.id, s.journal_id) AS journal, j.event_type, s.amount_currency AS currency,
        s.debits, s.credits, coalesce(s.entries, 0) AS entries, j.business_id,
        CASE WHEN j.id IS NULL THEN (SELECT array_agg(DISTINCT e.reference)
            FROM entry e WHERE e.journal_id = s.journal_id) END AS references
    FROM journal j FULL JOIN sums s ON s.journal_id = j.id
    WHERE j.id IS NULL OR s.journal_id IS NULL OR s.debits <> s.credits OR s.entries < 2
    ORDER BY 1, 3 LIMIT 200
"""
"""Entries without a journal know no chain: what they refer to leads there."""

_WRONG_BALANCE = f"""
    WITH sums AS (
        SELECT shard_key, account_id, min(amount_currency) AS first, max(amount_currency) AS last,
            sum(CASE side WHEN 'DEBIT' THEN amount_minor ELSE -amount_minor END) AS debits
        FROM entry GROUP BY shard_key, account_id)
    SELECT coalesce(a.id, s.account_id) AS account, a.subject, a.owner,
        a.balance_currency AS currency, a.balance, a.buffered,
        coalesce(CASE a.normal_side WHEN 'CREDIT' THEN -s.debits ELSE s.debits END, 0) AS entries,
        CASE WHEN a.id IS NULL THEN (SELECT min(b.business_id)
            FROM booking b WHERE b.account_id = s.account_id) ELSE a.business_id END AS business_id
    FROM ({BALANCES}) a
    FULL JOIN sums s ON s.shard_key = a.shard_key AND s.account_id = a.id
    WHERE a.id IS NULL
        OR a.balance <>
            coalesce(CASE a.normal_side WHEN 'DEBIT' THEN s.debits ELSE -s.debits END, 0)
        OR s.first <> a.balance_currency OR s.last <> a.balance_currency
    ORDER BY 1 LIMIT 200
"""

_NEVER_FOLDED = """
    SELECT d.account_id AS account, a.subject, a.owner, a.mode, sum(d.delta_minor) AS buffered,
        min(a.business_id) AS business_id
    FROM account_delta d LEFT JOIN account a ON a.shard_key = d.shard_key AND a.id = d.account_id
    WHERE a.id IS NULL OR a.mode = 'DIRECT'
    GROUP BY 1, 2, 3, 4 ORDER BY 1 LIMIT 200
"""

_BEYOND_LIMITS = f"""
    SELECT id AS account, subject, owner, balance_currency AS currency, balance, buffered,
        held_minor AS held, minimum_minor AS minimum, maximum_minor AS maximum, business_id
    FROM ({BALANCES}) a
    WHERE held_minor < 0
        OR balance - CASE normal_side WHEN 'CREDIT' THEN held_minor ELSE 0 END < minimum_minor
        OR balance + CASE normal_side WHEN 'DEBIT' THEN held_minor ELSE 0 END > maximum_minor
    ORDER BY 1 LIMIT 200
"""
"""A hold is a debit to come: it takes from a credit-normal balance, and adds to a debit-normal."""

_BOOKED_TWICE = """
    SELECT business_key, event_type, array_agg(id ORDER BY posted_at, id) AS journals,
        min(business_id) AS business_id
    FROM journal GROUP BY event_type, business_key HAVING count(*) > 1 ORDER BY 1, 2 LIMIT 200
"""


async def journals_balance(s: Snapshots, o: Options) -> Findings:
    """1: debits = credits per journal and currency, at least two entries."""
    what = "Stop postings, compare the journal with its event; correct it by another journal."
    yield each(1, "a journal does not balance", await s.rows("clearing", _UNBALANCED), what)


async def balances_are_sums(s: Snapshots, o: Options) -> Findings:
    """2: an account's balance, with what is buffered, is the sum of its entries on its normal side.

    Nothing is buffered where nobody would ever look for it. So it is at the end of closed days.
    """
    what = "Trust the entries: find who wrote the balance without them, then set it to their sum."
    rows = await s.rows("clearing", _WRONG_BALANCE)
    yield each(2, "a balance is not the sum of its entries", rows, what)
    what = "Find who wrote it; where the mode is DIRECT, it is folded once that is DRAINING."
    rows = await s.rows("clearing", _NEVER_FOLDED)
    yield each(2, "a delta beside an account that folds none", rows, what)
    async for some in closed_days_are_sums(s, o):
        yield some


async def within_limits(s: Snapshots, o: Options) -> Findings:
    """3: no balance below its minimum or above its maximum, also once its holds are taken."""
    what = "Hold payouts of this owner; find the journal or the hold that took too much."
    rows = await s.rows("clearing", _BEYOND_LIMITS)
    yield each(3, "a balance is beyond its limits", rows, what)


async def journals_once(s: Snapshots, o: Options) -> Findings:
    """4: one journal per (event_type, business_key)."""
    what = "Reverse the later journal; find out why the guard did not hold."
    yield each(4, "an event was booked twice", await s.rows("clearing", _BOOKED_TWICE), what)
