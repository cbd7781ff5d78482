"""Invariants of the ledger by itself: 1 to 4."""

from __future__ import annotations

from paymesh.check.model import Findings, Options, each
from paymesh.check.snapshots import Snapshots

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

_BEYOND_LIMITS = """
    SELECT id AS account, subject, owner, balance_currency AS currency, balance_minor AS balance,
        held_minor AS held, minimum_minor AS minimum, maximum_minor AS maximum, business_id
    FROM account
    WHERE held_minor < 0
        OR balance_minor - CASE normal_side WHEN 'CREDIT' THEN held_minor ELSE 0 END < minimum_minor
        OR balance_minor + CASE normal_side WHEN 'DEBIT' THEN held_minor ELSE 0 END > maximum_minor
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
    """2: an account's balance is the sum of its entries on its normal side."""
    what = "Trust the entries: find who wrote the balance without them, then set it to their sum."
    rows = await s.rows("clearing", _WRONG_BALANCE)
    yield each(2, "a balance is not the sum of its entries", rows, what)


async def within_limits(s: Snapshots, o: Options) -> Findings:
    """3: no balance below its minimum or above its maximum, also once its holds are taken."""
    what = "Hold payouts of this owner; find the journal or the hold that took too much."
    rows = await s.rows("clearing", _BEYOND_LIMITS)
    yield each(3, "a balance is beyond its limits", rows, what)


async def journals_once(s: Snapshots, o: Options) -> Findings:
    """4: one journal per (event_type, business_key)."""
    what = "Reverse the later journal; find out why the guard did not hold."
    yield each(4, "an event was booked twice", await s.rows("clearing", _BOOKED_TWICE), what)
