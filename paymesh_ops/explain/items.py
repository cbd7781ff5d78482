"""What a balance is made of: entries netted by reference, then first in, first out.

Plain data and functions. Amounts are signed in minor units: positive is what increases the balance.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Line:
    """One entry of the account, with its journal."""

    minor: int
    posted_at: datetime
    reference: str
    journal_id: str
    event_type: str
    """Of the journal; empty: the entry has none."""
    business_key: str
    business_id: str


@dataclass(frozen=True, slots=True)
class Item:
    """A part of the balance that nothing has taken away yet."""

    minor: int
    """What is open of it."""
    lines: tuple[Line, ...]
    """The entries that it comes from, oldest first; their sum is `minor`, or more that was used."""

    @property
    def main(self) -> Line:
        """The entry that gave most of it."""
        return max(self.lines, key=lambda line: line.minor if self.minor > 0 else -line.minor)

    @property
    def since(self) -> datetime:
        return self.lines[0].posted_at


@dataclass(slots=True)
class _Group:
    """What was booked for one reference since it was last even."""

    minor: int = 0
    lines: list[Line] = field(default_factory=list)


@dataclass(slots=True)
class Netted:
    """Entries as they were booked, one after the other: those of one reference are netted."""

    total: int = 0
    alone: list[Item] = field(default_factory=list)
    """Of entries without a reference."""
    groups: dict[str, _Group] = field(default_factory=dict)

    def add(self, line: Line) -> None:
        self.total += line.minor
        if not line.reference:
            self.alone.append(Item(line.minor, (line,)))
            return
        group = self.groups.setdefault(line.reference, _Group())
        group.minor += line.minor
        group.lines.append(line)
        if group.minor == 0:
            del self.groups[line.reference]


def open_items(netted: Netted, *, per_reference: bool) -> list[Item]:
    """The open items, oldest first; their sum is that of all entries, whatever these are.

    What is left of the references, and the entries without one, is matched: the oldest is used
    first, so that only one side remains. `per_reference`: each reference must come out even by
    itself (as in transit), so it is not matched with others, nor with entries that have none.
    """
    groups = [Item(group.minor, tuple(group.lines)) for group in netted.groups.values()]
    if per_reference:
        items = [*groups, *_matched(netted.alone)]
    else:
        items = _matched([*groups, *netted.alone])
    return sorted(items, key=lambda item: item.since)


def _matched(items: Iterable[Item]) -> list[Item]:
    """Debits against credits, the oldest first: what remains is all on one side."""
    ordered = sorted((item for item in items if item.minor), key=lambda item: item.since)
    total = sum(item.minor for item in ordered)
    if total == 0:
        return []
    sign = 1 if total > 0 else -1
    used = -sign * sum(item.minor for item in ordered if item.minor * sign < 0)
    result = []
    for item in ordered:
        if item.minor * sign < 0:
            continue
        taken = min(used, abs(item.minor))
        used -= taken
        if taken < abs(item.minor):
            result.append(replace(item, minor=item.minor - sign * taken))
    return result
