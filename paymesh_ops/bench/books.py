"""Whether the books are right after a benchmark: figures of wrong books are no figures."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from paymesh_ops.bench.measure import Progress
from paymesh_ops.check import check
from paymesh_ops.check.snapshots import snapshots

ARRIVES_WITHIN_S = 60.0
"""The last messages are on their way so long at most."""


class Books:
    """The books of one mesh. All its trials share them, so they are checked once.

    `invariants`: the numbers of those that must hold; None: of all. `progress` hears of long ones.
    """

    def __init__(
        self,
        reader_urls: Mapping[str, str],
        *,
        invariants: Collection[int] | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._reader_urls, self._invariants, self._progress = reader_urls, invariants, progress
        self._found: tuple[str, ...] | None = None

    async def number(self, service: str, sql: str, **parameters: Any) -> int:
        """The one number that a query finds."""
        async with snapshots(self._reader_urls) as s:
            [row] = await s.rows(service, sql, **parameters)
        [value] = row.values()
        return int(value or 0)

    async def wrong(self) -> Sequence[str]:
        """What the invariants find once everything has arrived."""
        if self._found is None:
            deadline = time.monotonic() + ARRIVES_WITHIN_S
            while True:
                report = await check(self._reader_urls, grace_s=1, progress=self._progress)
                self._found = tuple(
                    f"invariant {finding.invariant}: {finding.title}"
                    for result in report
                    if self._invariants is None or result.number in self._invariants
                    for finding in result.findings
                )
                if not self._found or time.monotonic() > deadline:
                    break
                await asyncio.sleep(2)
        return self._found
