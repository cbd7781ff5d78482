"""Runs the invariants: one pass over fresh snapshots, a second one over what was found."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from paymesh_ops.check import (
    amounts,
    append_only,
    booking,
    cards,
    chain,
    delivery,
    holds,
    ledger,
    moves,
    refunds,
    returns,
)
from paymesh_ops.check.model import FINDINGS_MAX, Finding, Invariant, Options, Report, Result
from paymesh_ops.check.rest import at_rest
from paymesh_ops.check.snapshots import Snapshots, snapshots

READ_AGAIN_AFTER_S = 0.5
CANDIDATES_MAX = 1_000
"""How many differences are gathered before it is asked which of their chains are at rest."""

INVARIANTS = (
    Invariant(1, "Every journal balances, with at least two entries.", ledger.journals_balance),
    Invariant(2, "Every balance is the sum of its entries.", ledger.balances_are_sums),
    Invariant(3, "No balance, less what is held, is beyond its limits.", ledger.within_limits),
    Invariant(4, "Every business event is booked once.", ledger.journals_once),
    Invariant(5, "Money moved if and only if it is booked.", booking.movements_are_booked),
    Invariant(6, "A paid trade has one payment; the rest goes back.", chain.paid_once),
    Invariant(7, "Refunds stay within what was paid.", refunds.within_what_was_paid),
    Invariant(8, "Amounts agree from trade to journal.", amounts.amounts_agree),
    Invariant(9, "Every state move is a legal one.", moves.moves_are_legal),
    Invariant(10, "Channel, request and order numbers are unique.", delivery.numbers_are_unique),
    Invariant(11, "Every request has one answer.", delivery.requests_have_one_answer),
    Invariant(12, "Every version is in the log, and published.", moves.versions_are_told),
    Invariant(13, "Every event reached every consumer, once.", delivery.events_arrive_once),
    Invariant(14, "The books sum to zero, and channels agree.", booking.sums_to_zero),
    Invariant(15, "Holds hold what they say, and end with their payment.", holds.holds_are_exact),
    Invariant(16, "Channel orders ended as the channel says.", delivery.channel_agrees),
    Invariant(17, "What was booked cannot be changed.", append_only.booked_is_booked),
    Invariant(18, "Whatever is unfinished has an owner.", moves.everything_has_an_owner),
    Invariant(19, "Every callback that was answered is kept.", delivery.callbacks_are_kept),
    Invariant(20, "There is no card number in any database.", cards.no_card_numbers),
    Invariant(21, "Transit is empty once a payment is over.", chain.transit_comes_out_even),
    Invariant(22, "What came to a shut account is kept for it.", returns.what_came_is_kept),
)


async def check(
    reader_urls: Mapping[str, str],
    *,
    grace_s: float = 60.0,
    sandbox_book: dict[str, Any] | None = None,
    parked: Mapping[str, set[str]] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Report:
    """Checks all invariants; `progress` hears which one is next and how far a long one is.

    The books are right if no result has findings. Without `sandbox_book`, which must not be younger
    than the call, nothing is said about invariant 16. Raises DatabaseUnreadable.
    """
    options = Options(grace_s=grace_s, parked=parked or {}, sandbox_book=sandbox_book)
    chosen = [i for i in INVARIANTS if i.number != 16 or sandbox_book is not None]
    results: dict[int, Result] = {}

    async def one_pass(invariants: Iterable[Invariant], again: str = "") -> Snapshots:
        async with snapshots(reader_urls) as s:
            for i in invariants:
                now = options
                if progress is not None:
                    name = f"{i.number}  {i.sentence}{again}"
                    progress(name)
                    now = replace(options, say=partial(_say, progress, name))
                    s.count_rows(partial(_count, now.say))
                results[i.number] = await _checked(i, s, now, results.get(i.number))
        return s

    first = await one_pass(chosen)
    doubted = [i for i in chosen if results[i.number].findings]
    if doubted:
        await asyncio.sleep(READ_AGAIN_AFTER_S)
        await one_pass(doubted, " (again)")
    return Report(
        tuple(results[i.number] for i in chosen),
        {service: at - timedelta(seconds=grace_s) for service, at in first.taken_at.items()},
    )


def _say(progress: Callable[[str], None], name: str, text: str) -> None:
    progress(f"{name}  {text}")


def _count(say: Callable[[str], None], read: int, expected: int) -> None:
    # The planner's estimate: near enough, unless it is behind the truth already.
    percent = f", about {100 * read // expected} %" if read < expected else ""
    say(f"{read:,} rows{percent}")


async def _checked(
    invariant: Invariant, s: Snapshots, options: Options, before: Result | None
) -> Result:
    """One invariant on one snapshot; what an earlier pass did not see either is dropped."""
    started = time.perf_counter()
    findings: list[Finding] = []
    candidates: list[Finding] = []
    async for some in invariant.check(s, options):
        # A busy mesh has many differences that are none: they must not crowd out the others.
        if len(findings) < FINDINGS_MAX:
            candidates += some
        if len(candidates) >= CANDIDATES_MAX:
            findings += await at_rest(candidates, s, options.grace_s)
            candidates.clear()
    findings += await at_rest(candidates, s, options.grace_s)
    elapsed = (time.perf_counter() - started) * 1000
    if before is not None:
        seen = {finding.identity for finding in before.findings}
        findings = [finding for finding in findings if finding.identity in seen]
        elapsed += before.milliseconds
    return Result(invariant.number, invariant.sentence, tuple(findings[:FINDINGS_MAX]), elapsed)
