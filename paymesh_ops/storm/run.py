"""One storm from calm to verdict: prepare, load under faults, heal, drain, check."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from paymesh.bus.topology import DEAD_QUEUE_PREFIX, Topology, depths
from paymesh.db.migrate import ROOT
from paymesh_ops.check import Report, check
from paymesh_ops.check.snapshots import snapshots
from paymesh_ops.clients.shop import Shop
from paymesh_ops.launch.mesh import Mesh, MeshPlan, prepare, tended
from paymesh_ops.storm.accounts import Accounts, returns
from paymesh_ops.storm.chaos import Chaos
from paymesh_ops.storm.customers import Customers
from paymesh_ops.storm.drain import drained
from paymesh_ops.storm.plan import SANDBOX_FAULTS, FaultKind, StormPlan, schedule
from paymesh_ops.storm.servers import Servers

TIME_SCALE = 0.1
"""Ladders run ten times as fast: a storm of minutes sees what takes an hour."""
PATIENCE_S = 30.0
TOPOLOGY_SETTLES_S = 1.5
"""RabbitMQ 3.10 may lose a quorum queue that is killed within a second of its declaration."""
ARRIVES_WITHIN_S = 30.0
"""After everything has ended, the last messages are on their way so long at most."""

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """What happened. The storm is passed if nothing is left and nothing was found."""

    plan: StormPlan
    load_s: float
    tally: Counter[str]
    faults: Mapping[FaultKind, list[float]]
    """By kind: how long each took until what it hit was back, in seconds."""
    channel_faults: Mapping[str, int]
    drain_s: float
    left: Mapping[str, int]
    payments: Mapping[str, int]
    """How many payments ended in which state."""
    returns: Mapping[str, int]
    """How often money was diverted from shut accounts, and how often it moved on."""
    parked: Mapping[str, int]
    """Events that lie in dead-letter queues, by queue: it must be none."""
    report: Report
    """What the invariants say at rest."""

    @property
    def passed(self) -> bool:
        found = any(result.findings for result in self.report)
        return not self.left and not self.parked and not found


def storm(home: Path, plan: StormPlan, *, progress: Progress) -> Outcome:
    """Blocking. `home` is emptied first; its servers are stopped at the end, their data is kept."""
    progress("PostgreSQL, RabbitMQ, databases, topology")
    if home.exists():
        shutil.rmtree(home)
    home.mkdir(parents=True)
    home.chmod(0o755)  # as root, PostgreSQL runs as another user, who must get in
    servers = Servers(home)
    try:
        mesh_plan = prepare(
            home,
            time_scale=TIME_SCALE,
            admin_url=servers.postgres.url,
            amqp_url=servers.rabbit.amqp_url,
        )
        time.sleep(TOPOLOGY_SETTLES_S)
        mesh = Mesh(mesh_plan)
        try:
            progress("ten processes")
            mesh.start()
            return asyncio.run(_rage(mesh, mesh_plan, servers, plan, progress))
        finally:
            mesh.stop()
    finally:
        servers.stop()


async def _rage(
    mesh: Mesh, mesh_plan: MeshPlan, servers: Servers, plan: StormPlan, progress: Progress
) -> Outcome:
    shop = Shop(
        trade_target=mesh_plan.target("trade"),
        pay_target=mesh_plan.target("pay"),
        gateway_target=mesh_plan.target("gateway"),
        clearing_target=mesh_plan.target("clearing"),
        sandbox_url=mesh_plan.sandbox_url,
        patience_s=PATIENCE_S,
    )
    async with tended(mesh), shop:
        customers = Customers(shop, plan)
        accounts = Accounts(shop, customers.all_wallets)
        chaos = Chaos(mesh, servers, list(mesh_plan.databases.values()), accounts)
        progress("wallets are filled")
        await customers.fill_wallets()
        await shop.faults(SANDBOX_FAULTS)
        started = time.monotonic()
        async with _reporting(customers, chaos, plan, progress):
            await asyncio.gather(customers.come(), chaos.rage(schedule(plan)))
        load_s = time.monotonic() - started
        fired = await shop.faults_fired()
        await shop.faults({})
        await _callbacks_again(shop)
        drain_s, left = await drained(
            mesh_plan.reader_urls,
            limit_s=plan.drain_limit_s,
            progress=lambda text: progress(f"drains: {text}"),
        )
        progress("all invariants, and the channel's own book")
        report = await _checked(mesh_plan, shop)
        payments = await _payments(mesh_plan)
        kept = await returns(mesh_plan.reader_urls)
        parked = await asyncio.to_thread(_parked, servers.rabbit.amqp_url)
    return Outcome(
        plan=plan,
        load_s=load_s,
        tally=customers.tally,
        faults=dict(chaos.done),
        channel_faults=fired,
        drain_s=drain_s,
        left=left,
        payments=payments,
        returns=kept,
        parked=parked,
        report=report,
    )


@asynccontextmanager
async def _reporting(
    customers: Customers, chaos: Chaos, plan: StormPlan, progress: Progress
) -> AsyncIterator[None]:
    """Says every second how far it is."""

    async def tell() -> None:
        while True:
            faults = sum(map(len, chaos.done.values()))
            progress(
                f"{customers.started} of {plan.payments} flows started, "
                f"{customers.tally.total()} over, {faults} faults"
            )
            await asyncio.sleep(1)

    task = asyncio.create_task(tell())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _callbacks_again(shop: Shop) -> None:
    """What changes after its end and is told by a lost callback, only a statement would tell: late
    money, payouts and refunds that came back. There are no statements yet: the channel says it
    again."""
    book = await shop.book()
    late = [o["out_trade_no"] for o in book["orders"] if o["closed_at"] and o["state"] == "SUCCESS"]
    bounced = [p["out_payout_no"] for p in book["payouts"] if p["state"] == "BOUNCED"]
    came_back = [
        r["out_refund_no"] for r in book["refunds"] if r["state"] == "FAILED" and r["success_time"]
    ]
    for number in (*late, *bounced, *came_back):
        await shop.call_back_again(number)


async def _checked(mesh_plan: MeshPlan, shop: Shop) -> Report:
    """All invariants at rest, against the channel's book; what is still on its way may arrive."""
    deadline = time.monotonic() + ARRIVES_WITHIN_S
    while True:
        report = await check(mesh_plan.reader_urls, grace_s=1, sandbox_book=await shop.book())
        found = any(result.findings for result in report)
        if not found or time.monotonic() > deadline:
            return report
        await asyncio.sleep(2)


def _parked(amqp_url: str) -> dict[str, int]:
    topology = Topology.load(ROOT / "rabbitmq" / "definitions.json")
    names = [q.name for q in topology.queues if q.name.startswith(DEAD_QUEUE_PREFIX)]
    return {name: count for name, count in depths(amqp_url, names).items() if count}


async def _payments(mesh_plan: MeshPlan) -> dict[str, int]:
    sql = (
        "SELECT purpose || ' ' || state AS name, count(*) FROM payment "
        "GROUP BY purpose, state ORDER BY purpose, state"
    )
    async with snapshots(mesh_plan.reader_urls) as s:
        return {row["name"]: int(row["count"]) for row in await s.rows("pay", sql)}
