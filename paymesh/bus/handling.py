"""How both buses treat a handler: its time is limited, and its failures cost a growing pause."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from paymesh.bus.port import Delivery, Handler, Verdict

SUSPICIOUS_DELIVERY_COUNT = 3
"""From here on a delivery is handled alone: it, or one that came with it, may be what kills."""


class HandlerFailed(Exception):
    """The handler raised, took too long, or gave too few verdicts: its batch comes again."""


async def handle(
    handler: Handler, deliveries: Sequence[Delivery], timeout_s: float
) -> Sequence[Verdict]:
    """The handler's verdicts, one a delivery. Raises HandlerFailed."""
    try:
        async with asyncio.timeout(timeout_s) as limit:
            verdicts = await handler(deliveries)
    except Exception as error:
        late = f"not done within {timeout_s} s" if limit.expired() else repr(error)
        raise HandlerFailed(late) from error
    if len(verdicts) != len(deliveries):
        raise HandlerFailed(f"{len(verdicts)} verdicts on {len(deliveries)} deliveries")
    return verdicts


def backoff_s(failures: int, least_s: float, most_s: float) -> float:
    """The pause after so many failures in a row (from 1): doubling, jittered by half.

    The first is a tenth, since most connections that drop can be had again at once.
    """
    if failures <= 1:
        return least_s * random.uniform(0.1, 0.5)
    return float(min(most_s, least_s * 2 ** min(failures - 2, 20)) * random.uniform(0.5, 1.0))
