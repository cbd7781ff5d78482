"""Runs the invariants: one pass over fresh snapshots, a second one over what was found."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from paymesh.check import chain, delivery, ledger, moves
from paymesh.check.model import Finding, Invariant, Options, Result
from paymesh.check.snapshots import Snapshots, snapshots

READ_AGAIN_AFTER_S = 0.5

INVARIANTS = (
    Invariant(1, "Every journal balances, with at least two entries.", ledger.journals_balance),
    Invariant(2, "Every balance is the sum of its entries.", ledger.balances_are_sums),
    Invariant(3, "No balance is below its minimum.", ledger.balances_above_minimum),
    Invariant(4, "Every business event is booked once.", ledger.journals_once),
    Invariant(5, "Money moved if and only if it is booked.", chain.movements_are_booked, True),
    Invariant(6, "A paid trade has one payment; the rest goes back.", chain.paid_once, True),
    Invariant(8, "Amounts agree from trade to journal.", chain.amounts_agree, True),
    Invariant(9, "Every state move is a legal one.", moves.moves_are_legal),
    Invariant(10, "Channel, request and order numbers are unique.", delivery.numbers_are_unique),
    Invariant(11, "Every request has one answer.", delivery.requests_have_one_answer),
    Invariant(12, "Every version is in the log, and published.", moves.versions_are_told),
    Invariant(13, "Every event reached every consumer, once.", delivery.events_arrive_once, True),
    Invariant(14, "The books sum to zero; channels owe the rest.", ledger.sums_to_zero, True),
    Invariant(16, "Channel orders ended as the channel says.", delivery.channel_agrees, True),
    Invariant(18, "Whatever is unfinished has an owner.", moves.everything_has_an_owner),
    Invariant(19, "Every callback that was answered is kept.", delivery.callbacks_are_kept),
    Invariant(21, "Transit is empty once a payment is over.", chain.transit_comes_out_even, True),
)  # fmt: skip

_BUSY = """
    SELECT DISTINCT business_id FROM outbox
    WHERE business_id = ANY(%(ids)s) AND NOT starts_with(type, 'trade.notification.')
        AND (occurred_at > now() - make_interval(secs => %(grace)s)
            OR (shard_key, event_id) IN (SELECT shard_key, event_id FROM outbox_due))
"""
_BUSY_LEDGER = """
    SELECT DISTINCT business_id FROM journal WHERE business_id = ANY(%(ids)s)
        AND posted_at > now() - make_interval(secs => %(grace)s)
"""


async def check(
    reader_urls: Mapping[str, str],
    *,
    grace_s: float = 60.0,
    sandbox_book: dict[str, Any] | None = None,
    parked: Mapping[str, set[str]] | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[Result]:
    """Checks all invariants; `progress` hears which one is next. The books are right if no result
    has findings. Without `sandbox_book` nothing is said about invariant 16.

    Raises DatabaseUnreadable.
    """
    options = Options(grace_s=grace_s, parked=parked or {}, sandbox_book=sandbox_book)
    chosen = [i for i in INVARIANTS if i.number != 16 or sandbox_book is not None]
    results: dict[int, Result] = {}

    async def one_pass(invariants: Iterable[Invariant], again: str = "") -> None:
        async with snapshots(reader_urls) as s:
            for i in invariants:
                if progress is not None:
                    progress(f"{i.number}  {i.sentence}{again}")
                results[i.number] = await _checked(i, s, options, results.get(i.number))

    await one_pass(chosen)
    doubted = [i for i in chosen if results[i.number].findings]
    if doubted:
        await asyncio.sleep(READ_AGAIN_AFTER_S)
        await one_pass(doubted, " (again)")
    return [results[i.number] for i in chosen]


async def _checked(
    invariant: Invariant, s: Snapshots, options: Options, before: Result | None
) -> Result:
    """One invariant on one snapshot; what an earlier pass did not see either is dropped."""
    started = time.perf_counter()
    findings: Sequence[Finding] = await invariant.check(s, options)
    if findings and invariant.crosses:
        findings = await _at_rest(findings, s, options)
    elapsed = (time.perf_counter() - started) * 1000
    if before is not None:
        seen = {finding.identity for finding in before.findings}
        findings = [finding for finding in findings if finding.identity in seen]
        elapsed += before.milliseconds
    return Result(invariant.number, invariant.sentence, tuple(findings), elapsed)


async def _at_rest(findings: Sequence[Finding], s: Snapshots, options: Options) -> list[Finding]:
    """Without chains that moved within the grace period, or have something still to be sent."""
    ids = sorted({finding.business_id for finding in findings})
    busy: set[str] = set()
    for service in ("trade", "pay", "gateway", "clearing"):
        sql = _BUSY_LEDGER if service == "clearing" else _BUSY
        rows = await s.rows(service, sql, ids=ids, grace=options.grace_s)
        busy.update(row["business_id"] for row in rows)
    return [finding for finding in findings if finding.business_id not in busy - {""}]
