"""`paymesh demo`: the main job on embedded defaults, told as it happens.

One Python process with all roles as tasks, the bus in memory; PostgreSQL and the sandbox channel
are its children and end with it.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvloop
from payments.trade.v1 import trade_pb2
from rich.console import Console

from paymesh import log as logs
from paymesh.check import check, print_findings
from paymesh.cli.shop import Shop
from paymesh.inproc import whole_mesh
from paymesh.launch.home import home
from paymesh.launch.mesh import Mesh, MeshPlan, prepare
from paymesh.launch.servers import stop_servers
from paymesh.trace import print_story, story

TIME_SCALE = 0.1
"""The demo's clocks run ten times as fast: the query ladder starts at half a second."""


class Steps:
    """Prints what is done and how long it took."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        started = time.monotonic()
        with self._console.status(what):
            yield
        took = f"[dim]{time.monotonic() - started:6.2f} s[/dim]"
        self._console.print(f"[green]✓[/green] {what:<82} {took}")


def run(console: Console) -> bool:
    """True if every step was done and every invariant holds."""
    folder = home() / "demo"
    steps = Steps(console)
    logs.start("demo", level="ERROR", human=True)
    console.rule("[bold]Paymesh demo")
    shutil.rmtree(folder / "sandbox", ignore_errors=True)
    with steps.step("PostgreSQL, four databases with their own roles, keys"):
        plan = prepare(folder, amqp=False, time_scale=TIME_SCALE)
    sandbox = Mesh(plan)
    try:
        with steps.step("The sandbox channel, a separate HTTP program with its own book"):
            sandbox.start(["sandbox"])
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_tell(console, steps, plan))
    finally:
        sandbox.stop()
        stop_servers(folder)


async def _tell(console: Console, steps: Steps, plan: MeshPlan) -> bool:
    async with (
        whole_mesh(plan),
        Shop(
            trade_target=plan.target("trade"),
            gateway_target=plan.target("gateway"),
            clearing_target=plan.target("clearing"),
            sandbox_url=plan.sandbox_url,
        ) as shop,
    ):
        console.rule("1  A purchase", align="left")
        bought = await _purchase(steps, shop)
        console.rule("2  The channel's callback is lost", align="left")
        await _lost_callback(steps, shop)
        console.rule("3  The order expires, and the money comes after all", align="left")
        returned = await _late_money(steps, shop)
        await asyncio.sleep(1.0)  # what is on its way arrives: the check below allows no delay
        console.rule("The story of the purchase", align="left")
        print_story(console, await story(plan.reader_urls, bought.business_id))
        console.rule("The story of the late money", align="left")
        print_story(console, await story(plan.reader_urls, returned.business_id))
        console.rule("The invariants", align="left")
        results = await check(plan.reader_urls, grace_s=0.5)
        print_findings(console, results)
    return not any(result.findings for result in results)


async def _purchase(steps: Steps, shop: Shop) -> trade_pb2.Trade:
    with steps.step("CreateTrade: the business order becomes a trade of EUR 12.34"):
        trade = await shop.order(1234)
    with steps.step("PayTrade: answered at once with an internal credential"):
        credential_id = await shop.start_payment(trade)
    with steps.step("GetCredential: the gateway has asked the channel in the background"):
        credential = await shop.credential(credential_id)
    with steps.step("The customer pays at the channel, which calls the gateway back, signed"):
        await shop.customer_pays(credential)
    with steps.step("Callback, event, instruction, payment, trade: the trade is PAID"):
        await shop.reaches(trade, trade_pb2.TRADE_STATE_PAID)
    with steps.step("Collection, attribution and fee are booked by accounting templates"):
        await shop.journals(trade, 3)
    with steps.step("The merchant got its signed notification"):
        await shop.hears(trade, "trade.paid")
    return trade


async def _lost_callback(steps: Steps, shop: Shop) -> None:
    await shop.faults({"next": {"callback": {"lost": 1}}})
    with steps.step("The customer pays; nobody calls us back"):
        trade = await shop.purchase(599)
    with steps.step("The resolver asks the channel by our own reference: PAID, booked, notified"):
        await shop.reaches(trade, trade_pb2.TRADE_STATE_PAID)
        await shop.journals(trade, 3)
        await shop.hears(trade, "trade.paid")
    await shop.faults({})


async def _late_money(steps: Steps, shop: Shop) -> trade_pb2.Trade:
    await shop.faults({"next": {"pay": {"late_success": 1}}})
    with steps.step("A trade with 2 seconds to pay; the customer hesitates"):
        trade = await shop.order(2500, expires_in_s=2)
        credential = await shop.credential(await shop.start_payment(trade))
    with steps.step("It expires by itself: the trade and its channel order are closed"):
        await shop.reaches(trade, trade_pb2.TRADE_STATE_CLOSED)
        await shop.attempt_reaches(trade, trade_pb2.ATTEMPT_STATE_CLOSED)
        await shop.hears(trade, "trade.closed")
    with steps.step("The channel takes the customer's money all the same"):
        await shop.customer_pays(credential)
    with steps.step("A closed trade takes no money: it is returned to the customer"):
        await shop.attempt_reaches(trade, trade_pb2.ATTEMPT_STATE_RETURNED)
        await shop.journals(trade, 2)
    return trade
