"""All services in one process: every role a task, the bus in memory, PostgreSQL for real.

The demo runs on it, and tests that need no process to die.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

from clearing_svc.bootstrap import build as build_clearing
from clearing_svc.settings import ClearingSettings
from gateway_svc.bootstrap import build as build_gateway
from gateway_svc.settings import GatewaySettings
from pay_svc.bootstrap import build as build_pay
from pay_svc.settings import PaySettings
from paymesh.app import App
from paymesh.bus.inprocess import InProcessBus
from paymesh.bus.port import Bus
from paymesh.bus.topology import Topology
from paymesh.clock import SystemClock
from paymesh.process import DEFINITIONS
from paymesh_ops.launch.mesh import MeshPlan
from trade_svc.bootstrap import build as build_trade
from trade_svc.settings import TradeSettings


@asynccontextmanager
async def whole_mesh(plan: MeshPlan, *, bus: Bus | None = None) -> AsyncIterator[dict[str, App]]:
    """The four services of a plan, serving, working and taking callbacks, by name."""
    clock = SystemClock()
    scale = float(plan.environment["PAYMESH_TIME_SCALE"])
    bus = bus or InProcessBus(Topology.load(DEFINITIONS).scaled(scale))
    await bus.start()
    with _environment(plan.environment):
        apps = {
            "clearing": build_clearing(
                ClearingSettings(listen=plan.target("clearing")), bus=bus, clock=clock
            ),
            "gateway": build_gateway(
                GatewaySettings(listen=plan.target("gateway")), bus=bus, clock=clock
            ),
            "pay": build_pay(PaySettings(listen=plan.target("pay")), bus=bus, clock=clock),
            "trade": build_trade(TradeSettings(listen=plan.target("trade")), bus=bus, clock=clock),
        }
    started: list[App] = []
    try:
        for app in apps.values():
            started.append(app)
            await app.start({"serve", "work", "ingress"})
        yield apps
    finally:
        for app in reversed(started):
            await app.stop()
        await bus.close()


@contextmanager
def _environment(overrides: Mapping[str, str]) -> Iterator[None]:
    """What the services read as they are built. Others in this process have theirs back then."""
    before = {name: os.environ.get(name) for name in overrides}
    os.environ.update(overrides)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
