"""What a balance is made of: every open item, and whether what it comes from has happened."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from clearing_svc.ledger.chart import Chart
from paymesh.money import Money
from paymesh_ops.check.snapshots import snapshots
from paymesh_ops.explain.accounts import (
    Account,
    UnknownAccount,
    account_named,
    lines_of,
    open_holds,
)
from paymesh_ops.explain.facts import Verdict, verdict_on, verdicts_on
from paymesh_ops.explain.items import Item, Line, Netted, open_items

__all__ = ["Explanation", "Item", "Line", "UnknownAccount", "Verdict", "explain"]


@dataclass(frozen=True, slots=True)
class Explanation:
    account: Account
    at: datetime
    is_now: bool
    balance: Money
    """As stored; at a time that has passed: the sum of the entries until then."""
    items: tuple[tuple[Item, Verdict], ...]
    """Oldest first."""
    holds: int
    """How many lie on the account now."""
    held_since: datetime | None

    def sum(self, *, confirmed: bool | None = None) -> Money:
        """Of all items, or of those that are confirmed or not."""
        chosen = (
            item.minor
            for item, verdict in self.items
            if confirmed is None or verdict.confirmed == confirmed
        )
        return Money(self.balance.currency, sum(chosen))

    @property
    def unexplained(self) -> Money:
        """What of the balance no confirmed item accounts for: zero while the books are right."""
        return self.balance - self.sum(confirmed=True)


async def explain(
    reader_urls: Mapping[str, str],
    name: str,
    *,
    chart: Chart,
    at: datetime | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> Explanation:
    """The account's balance now, or at a time that has passed, by its open items.

    Raises UnknownAccount, DatabaseUnreadable.
    """
    # What is booked has happened before: so its owners, read later, know of it.
    async with snapshots(reader_urls, first="clearing") as s:
        account = await account_named(s, name)
        holds, held_since = await open_holds(s, account) if account.held.minor else (0, None)
        netted = Netted()
        async for line in lines_of(s, account, at, progress):
            netted.add(line)
        subject = chart.get(account.subject)
        items = open_items(netted, per_reference=subject is not None and subject.needs_reference)
        progress(f"{account.name}  {len(items):,} open items: did they happen?")
        verdicts = await verdicts_on(items, s)
        return Explanation(
            account=account,
            at=at or s.taken_at["clearing"],
            is_now=at is None,
            balance=Money(account.balance.currency, netted.total) if at else account.balance,
            items=tuple((item, verdict_on(item, verdicts)) for item in items),
            holds=holds,
            held_since=held_since,
        )
