"""`paymesh demo`: every form of payment on embedded defaults, told as it happens.

One Python process with all roles as tasks, the bus in memory; PostgreSQL and the sandbox channel
are its children and end with it.
"""

from __future__ import annotations

import asyncio
import logging
import shutil

import uvloop
from payments.trade.v1 import trade_pb2
from rich.console import Console

from paymesh import log as logs
from paymesh_ops.check import check, print_findings
from paymesh_ops.cli import acts
from paymesh_ops.cli.acts import Steps
from paymesh_ops.cli.atwork import Interrupted, interrupt_the_loop
from paymesh_ops.clients.shop import Shop
from paymesh_ops.clients.wallet import Wallet
from paymesh_ops.inproc import whole_mesh
from paymesh_ops.launch.home import home
from paymesh_ops.launch.mesh import Mesh, MeshPlan, prepare
from paymesh_ops.launch.provision import SERVICES, drop_databases
from paymesh_ops.launch.servers import ensure_postgres, stop_servers
from paymesh_ops.trace import print_story, story

PREFIX = "paymesh_demo_"
"""Of its databases: on a server that is yours those of a mesh may lie beside them."""
TIME_SCALE = 0.1
"""The demo's clocks run ten times as fast: the query ladder starts at half a second."""

PATIENCE_S = 120.0
"""A busy machine is slow, and no reason to fail."""


def run(console: Console) -> bool:
    """True if every step was done and every invariant holds."""
    folder = home() / "demo"
    steps = Steps(console)
    logs.start("demo", level="ERROR", human=True)
    console.rule("[bold]Paymesh demo")
    shutil.rmtree(folder / "sandbox", ignore_errors=True)
    with steps.step("PostgreSQL, four databases with their own roles, keys"):
        admin_url = ensure_postgres(folder).url
        # Without the book that they were used with they would contradict the new one.
        drop_databases(admin_url, (f"{PREFIX}{service}" for service in SERVICES))
        plan = prepare(
            folder, amqp=False, time_scale=TIME_SCALE, prefix=PREFIX, admin_url=admin_url
        )
    sandbox = Mesh(plan)
    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    try:
        with steps.step("The sandbox channel, a separate HTTP program with its own book"):
            sandbox.start(["sandbox"])
        ok = runner.run(_tell(console, steps, plan))
    except Interrupted:
        # The loop is left as it is, for the process ends: nobody asks what becomes of its tasks.
        logging.disable()
        steps.leave()
        raise
    finally:
        sandbox.stop()
        stop_servers(folder)
    runner.close()
    return ok


async def _tell(console: Console, steps: Steps, plan: MeshPlan) -> bool:
    interrupt_the_loop()
    async with (
        whole_mesh(plan),
        Shop(
            trade_target=plan.target("trade"),
            pay_target=plan.target("pay"),
            gateway_target=plan.target("gateway"),
            clearing_target=plan.target("clearing"),
            sandbox_url=plan.sandbox_url,
            patience_s=PATIENCE_S,
        ) as shop,
    ):
        bought = await _all_acts(steps, shop)
        await asyncio.sleep(1.0)  # what is on its way arrives: the check below allows no delay
        console.rule("The story of the purchase with two tools", align="left")
        print_story(console, await story(plan.reader_urls, bought.business_id))
        console.rule("The invariants", align="left")
        results = await check(plan.reader_urls, grace_s=0.5)
        print_findings(console, results)
    return not any(result.findings for result in results)


async def _all_acts(steps: Steps, shop: Shop) -> trade_pb2.Trade:
    trade = await acts.purchase(steps, shop)
    await acts.refunds(steps, shop, trade)
    await acts.lost_callback(steps, shop)
    await acts.late_money(steps, shop)
    ada, bob = Wallet(shop), Wallet(shop)
    await acts.balances(steps, ada, bob)
    bought = await acts.combined(steps, ada)
    await acts.withdrawals(steps, ada)
    return bought
