"""What a check finds, and what it may look at."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, overload

from paymesh_ops.check.snapshots import Row, Snapshots

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
    exact: bool = False
    """Seen in one snapshot of one database, so it is true however busy its chain may be."""

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
    say: Callable[[str], None] = lambda text: None
    """Hears how far a long pass is."""


Findings = AsyncIterator[Sequence[Finding]]
"""As they are found, one or many at once: a check is an async generator."""
Check = Callable[[Snapshots, Options], Findings]


@dataclass(frozen=True, slots=True)
class Invariant:
    number: int
    sentence: str
    check: Check


@dataclass(frozen=True, slots=True)
class Result:
    """How one invariant came out."""

    number: int
    sentence: str
    findings: tuple[Finding, ...]
    milliseconds: float


@dataclass(frozen=True, slots=True)
class Report(Sequence[Result]):
    """How all invariants came out, and what of each service was compared with the others."""

    results: tuple[Result, ...]
    watermarks: Mapping[str, datetime]
    """By service: what had happened there by then was compared; younger chains were let be."""

    @overload
    def __getitem__(self, index: int) -> Result: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Result]: ...
    def __getitem__(self, index: int | slice) -> Result | Sequence[Result]:
        return self.results[index]

    def __len__(self) -> int:
        return len(self.results)


def found(
    invariant: int, title: str, rows: Sequence[Row], what_to_do: str, business_id: str = ""
) -> Finding:
    """A difference between services. Its business_id is the first that any of the rows has."""
    ids = [business_id, *(str(row.get("business_id") or "") for row in rows)]
    shown = tuple({k: v for k, v in r.items() if k not in {"business_id", "key"}} for r in rows)
    return Finding(invariant, title, shown, next(filter(None, ids), ""), what_to_do)


def each(invariant: int, title: str, rows: Sequence[Row], what_to_do: str) -> list[Finding]:
    """One finding a row, of rows that were read by one query."""
    return [replace(found(invariant, title, [row], what_to_do), exact=True) for row in rows]
