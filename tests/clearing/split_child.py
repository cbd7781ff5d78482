"""A process that posts a split journal and may die of it: `python -m tests.clearing.split_child`.

Arguments: the database's URL, the business key, the flow. FAILPOINT says where it dies.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from clearing_svc.bootstrap import build
from clearing_svc.ledger.drafts import Line
from clearing_svc.ledger.splitting import PostSplit, SplitJournal
from clearing_svc.settings import ClearingSettings
from clearing_svc.splitting import Splits
from paymesh.app import App, Role
from paymesh.bus.inprocess import InProcessBus
from paymesh.bus.topology import Topology
from paymesh.clock import SystemClock
from paymesh.context import Call
from paymesh.process import DEFINITIONS
from tests.clearing.ledger_world import CONTEXT
from tests.clearing.split_world import NAME, PAYROLL, credit, debit

FLOWS: dict[str, tuple[Line, ...]] = {
    "posted": PAYROLL,
    "refused": (
        debit("ann", 7),
        debit("bob", 1_000_000),
        debit("bob", 3),
        credit("cyd", 1_000_010),
    ),
    "suspended": (debit("ann", 5), credit("eve", 3), credit("cyd", 2)),
}
"""eve's account is closed."""


@asynccontextmanager
async def clearing(url: str, *roles: Role) -> AsyncIterator[App]:
    """With clocks that run twenty times as fast."""
    bus = InProcessBus(Topology.load(DEFINITIONS).scaled(0.001))
    await bus.start()
    settings = ClearingSettings(
        clearing_database_url=url, drain_wait_s=0, listen="127.0.0.1:0", time_scale=0.05
    )
    app = build(settings, bus=bus, clock=SystemClock())
    await app.start(set(roles))
    try:
        yield app
    finally:
        await app.stop()
        await bus.close()


async def post(app: App, key: str, flow: str) -> SplitJournal:
    command = PostSplit(CONTEXT, NAME, key, FLOWS[flow])
    clock = SystemClock()
    call = Call(CONTEXT, deadline=clock.monotonic() + 60)
    return await Splits(app.cores[1], clock=clock).post(command, call)


async def main(url: str, key: str, flow: str) -> None:
    async with clearing(url) as app:
        await post(app, key, flow)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
