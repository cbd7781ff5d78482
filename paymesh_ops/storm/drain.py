"""After the storm: waits until nothing is under way any more, and says what still is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from paymesh_ops.check.snapshots import SERVICES, snapshots

_UNDER_WAY: dict[str, dict[str, str]] = {
    "trade": {
        "trades": "SELECT count(*) FROM trade WHERE state IN ('PENDING', 'PAYING', 'BOOKING')",
        "refunds": "SELECT count(*) FROM refund WHERE state = 'PROCESSING'",
        "notifications": "SELECT count(*) FROM notification WHERE state = 'PENDING'",
    },
    "pay": {
        "payments": "SELECT count(*) FROM payment "
        "WHERE state IN ('PROCESSING', 'CLOSING', 'RETURNING')",
    },
    "gateway": {
        "channel orders": "SELECT count(*) FROM channel_order "
        "WHERE state NOT IN ('SUCCEEDED', 'FAILED', 'CLOSED', 'BOUNCED')",
    },
    "clearing": {
        "holds": "SELECT count(*) FROM hold WHERE state = 'HELD'",
        "returns": "SELECT count(*) FROM returns_payable WHERE parts <> '[]'",
    },
}
_OPEN_ATTEMPTS = "SELECT id FROM attempt WHERE state IN ('PROCESSING', 'CLOSING', 'RETURNING')"
_WITH_A_PERSON = "SELECT id FROM payment WHERE state = 'SUSPENDED'"
_UNSENT = "SELECT count(*) FROM outbox_due"


async def under_way(reader_urls: Mapping[str, str]) -> dict[str, int]:
    """What has not come to its end, by kind; empty when all has."""
    found: dict[str, int] = {}
    async with snapshots(reader_urls) as s:
        for service in SERVICES:
            for what, sql in {**_UNDER_WAY[service], f"{service} events": _UNSENT}.items():
                [row] = await s.rows(service, sql)
                if row["count"]:
                    found[what] = int(row["count"])
        attempts = {row["id"] for row in await s.rows("trade", _OPEN_ATTEMPTS)}
        attempts -= {row["id"] for row in await s.rows("pay", _WITH_A_PERSON)}
        if attempts:
            found["attempts"] = len(attempts)
    return found


async def drained(
    reader_urls: Mapping[str, str], *, limit_s: float, progress: Callable[[str], None]
) -> tuple[float, dict[str, int]]:
    """Seconds until nothing was under way, and what still is if that took too long."""
    started = time.monotonic()
    while True:
        left = await under_way(reader_urls)
        elapsed = time.monotonic() - started
        if not left or elapsed > limit_s:
            return elapsed, left
        progress(", ".join(f"{count} {what}" for what, count in left.items()))
        await asyncio.sleep(0.5)
