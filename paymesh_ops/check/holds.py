"""Invariant 15: holds hold exactly what they say, for exactly as long as their payment needs it."""

from __future__ import annotations

from paymesh_ops.check.model import Findings, Options, each, found
from paymesh_ops.check.snapshots import Row, Snapshots, merged, money

_PARTS_DIFFER = """
    SELECT h.id AS hold, h.state, h.amount_minor AS minor, h.amount_currency AS currency,
        p.held, p.posted, p.released, h.business_id
    FROM hold h, LATERAL (
        SELECT coalesce(sum(held), 0) AS held, sum(posted) AS posted, sum(released) AS released,
            bool_or(posted < 0 OR released < 0 OR posted + released > held) AS beyond,
            bool_and(posted + released = held) AS ended
        FROM jsonb_to_recordset(h.parts) AS x(held bigint, posted bigint, released bigint)) p
    WHERE p.held <> h.amount_minor OR p.beyond OR p.ended <> (h.state <> 'HELD')
        OR (h.state <> 'RELEASED' AND p.released > 0)
    ORDER BY 1 LIMIT 200
"""

_ACCOUNTS_DIFFER = """
    WITH open AS (
        SELECT x.account_id, sum(x.held - x.posted - x.released) AS minor,
            min(h.business_id) AS business_id, array_agg(DISTINCT h.amount_currency) AS currencies
        FROM hold h, jsonb_to_recordset(h.parts)
            AS x(account_id text, held bigint, posted bigint, released bigint)
        WHERE h.state = 'HELD' GROUP BY 1)
    SELECT coalesce(a.id, o.account_id) AS account, a.subject, a.owner,
        a.balance_currency AS currency, a.held_minor AS held, coalesce(o.minor, 0) AS open_holds,
        coalesce(o.business_id, a.business_id) AS business_id
    FROM account a FULL JOIN open o ON o.account_id = a.id
    WHERE a.id IS NULL OR a.held_minor <> coalesce(o.minor, 0)
        OR o.currencies <> ARRAY[a.balance_currency]
    ORDER BY 1 LIMIT 200
"""

_TAKEN_DIFFER = """
    WITH part AS (
        SELECT h.id, x.account_id, x.posted, h.business_id
        FROM hold h, jsonb_to_recordset(h.parts) AS x(account_id text, posted bigint)),
    taken AS (
        SELECT reference, account_id, sum(amount_minor) AS minor, min(journal_id) AS journal_id
        FROM entry WHERE side = 'DEBIT' AND starts_with(reference, 'hld_') GROUP BY 1, 2)
    SELECT coalesce(p.id, t.reference) AS hold, coalesce(p.account_id, t.account_id) AS account,
        p.posted, t.minor AS booked, coalesce(p.business_id,
            (SELECT min(j.business_id) FROM journal j WHERE j.id = t.journal_id)) AS business_id
    FROM part p FULL JOIN taken t ON t.reference = p.id AND t.account_id = p.account_id
    WHERE coalesce(p.posted, 0) <> coalesce(t.minor, 0)
    ORDER BY 1, 2 LIMIT 200
"""

_HOLDS = """
    SELECT id COLLATE "C" AS key, id, state, amount_minor AS minor, amount_currency AS currency,
        reference, business_id, coalesce(expires_at < now(), false) AS expired,
        (SELECT coalesce(sum(posted), 0)
            FROM jsonb_to_recordset(parts) AS x(posted bigint)) AS posted
    FROM hold ORDER BY 1
"""

_STEPS = """
    SELECT i.hold_id COLLATE "C" AS key, i.id, i.kind, i.state, i.compensates,
        i.amount_minor AS minor, i.amount_currency AS currency, p.id AS payment,
        p.state AS payment_state, i.business_id
    FROM instruction i LEFT JOIN payment p ON p.shard_key = i.shard_key AND p.id = i.payment_id
    WHERE i.hold_id <> '' ORDER BY 1, i.created_at, i.id
"""

_OVER = frozenset({"SUCCEEDED", "FAILED", "CLOSED", "RETURNED"})


async def holds_are_exact(s: Snapshots, o: Options) -> Findings:
    """15: holds add up, to their accounts and to their entries, and end with their payment."""
    what = "Let nobody spend from these accounts; compare the hold's events with its journals."
    for title, sql in (
        ("the parts of a hold do not add up", _PARTS_DIFFER),
        ("what an account has held is not the sum of its open holds", _ACCOUNTS_DIFFER),
        ("what was taken of a hold is not what was booked", _TAKEN_DIFFER),
    ):
        yield each(15, title, await s.rows("clearing", sql), what)
    what = "The instructions say what the hold should be: release it, or book what is missing."
    async for _, (holds, steps) in merged(s.stream("clearing", _HOLDS), s.stream("pay", _STEPS)):
        problem = _problem(holds[0] if holds else None, steps)
        if problem:
            yield [found(15, problem, [*holds, *steps], what)]


def _problem(hold: Row | None, steps: list[Row]) -> str:
    """Between a hold and the instructions that place it, use it, and release it."""
    placing = [step for step in steps if step["kind"] == "HOLD"]
    if not placing:
        return _without_placing(hold, steps)
    [asked] = placing
    if hold is None:
        return "an instruction says that it holds, and there is no hold" if _done(asked) else ""
    if asked["state"] in {"FAILED", "CLOSED"}:
        return "a hold that was refused, or taken back before it was placed"
    if money(asked) != money(hold):
        return "a hold and its instruction differ"
    if not _done(asked):
        return ""
    uses = [s for s in steps if s["kind"] not in {"HOLD", "RELEASE"} and not s["compensates"]]
    taken = sum(int(s["minor"]) for s in uses if s["state"] in {"SUCCEEDED", "BOUNCED"})
    if int(hold["posted"]) != taken:
        return "what was taken of a hold is not what its instructions have moved"
    released = any(step["kind"] == "RELEASE" and _done(step) for step in steps)
    # One that has expired the ledger releases by itself, if its payment is over without it.
    let_go = hold["expired"] and hold["state"] == "RELEASED" and asked["payment_state"] in _OVER
    if released != (hold["state"] == "RELEASED") and not let_go:
        return "a hold and its release differ"
    if hold["state"] == "HELD" and asked["payment_state"] in _OVER:
        return "a hold of a payment that is over"
    return ""


def _without_placing(hold: Row | None, steps: list[Row]) -> str:
    if steps:
        return "a hold is used that no instruction has placed"
    ours = hold is not None and hold["reference"].startswith("pay_")
    return "a hold that no instruction has placed" if ours else ""  # else somebody else's


def _done(step: Row) -> bool:
    return str(step["state"]) == "SUCCEEDED"
