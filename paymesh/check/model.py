"""What a check finds, and what it may look at."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from paymesh.check.snapshots import Row, Snapshots

FINDINGS_MAX = 200
"""Per invariant: who has more has one cause, and enough to find it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One violation. `rows` are what was seen, the row in question first."""

    invariant: int
    title: str
    rows: tuple[Mapping[str, Any], ...]
    business_id: str
    what_to_do: str

    @property
    def identity(self) -> tuple[int, str, str, str]:
        """The same violation, seen again, is equal in this (amounts may have moved on)."""
        first = str(next(iter(self.rows[0].values()), "")) if self.rows else ""
        return (self.invariant, self.title, self.business_id, first)


@dataclass(frozen=True, slots=True)
class Options:
    """What checks need to know beside the databases."""

    grace_s: float = 60.0
    parked: Mapping[str, set[str]] = field(default_factory=dict)
    """By queue: ids of events that are parked, so not lost."""
    sandbox_book: Mapping[str, Any] | None = None
    """The sandbox channel's own book, as GET /admin/book answers it."""


Check = Callable[[Snapshots, Options], Awaitable[list[Finding]]]


@dataclass(frozen=True, slots=True)
class Invariant:
    """`crosses`: it compares services, so chains that moved within the grace period are skipped."""

    number: int
    sentence: str
    check: Check
    crosses: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """How one invariant came out."""

    number: int
    sentence: str
    findings: tuple[Finding, ...]
    milliseconds: float


def found(
    invariant: int, title: str, rows: Sequence[Row], what_to_do: str, business_id: str = ""
) -> Finding:
    """A finding; its business_id is the first that any of the rows has."""
    ids = [business_id, *(str(row.get("business_id") or "") for row in rows)]
    shown = tuple({k: v for k, v in r.items() if k not in {"business_id", "key"}} for r in rows)
    return Finding(invariant, title, shown, next(filter(None, ids), ""), what_to_do)


def each(invariant: int, title: str, rows: Sequence[Row], what_to_do: str) -> list[Finding]:
    """One finding a row."""
    return [found(invariant, title, [row], what_to_do) for row in rows]
