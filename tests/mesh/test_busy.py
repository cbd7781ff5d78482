"""Many at once on real processes: refunds that race, and invariants that hold while it is busy."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from payments.trade.v1 import trade_pb2, trade_service_pb2_grpc

from paymesh.channel import open_channel
from paymesh.db.migrate import ROOT
from paymesh_ops.check import check
from paymesh_ops.clients.requests import money
from paymesh_ops.launch.home import free_port
from paymesh_ops.launch.mesh import Mesh, MeshPlan
from tests.mesh.conftest import shop_of
from tests.mesh.flows import FLOWS, PAID, REFUNDED, lines
from tests.mesh.test_flows import reason_of

pytestmark = pytest.mark.slow

BUSY_S = 120.0
CUSTOMERS = 4
GRACE_S = 30.0
"""What is under way for so long is amiss, on the slowest machine."""


@pytest.fixture(scope="module")
def second_trade_serve(
    real_mesh: Mesh, real_plan: MeshPlan, tmp_path_factory: Path
) -> Iterator[str]:
    """Another process that serves trades beside the mesh's own; its address."""
    target = f"127.0.0.1:{free_port()}"
    folder = tmp_path_factory.mktemp("second")
    ready = folder / "ready"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "trade_svc", "serve"],
            cwd=ROOT,
            env={
                **os.environ,
                **real_plan.environment,
                "PAYMESH_ROLE": "trade-serve-2",
                "PAYMESH_LISTEN": target,
                "PAYMESH_READY_FILE": str(ready),
            },
            stdout=log,
            stderr=log,
        )
    try:
        for _ in range(600):
            if ready.exists():
                break
            assert process.poll() is None, (folder / "log").read_text()[-2000:]
            asyncio.run(asyncio.sleep(0.05))
        yield target
    finally:
        process.terminate()
        process.wait(timeout=30)


async def test_of_100_refunds_of_30_on_100_through_two_processes_three_succeed(
    real_plan: MeshPlan, second_trade_serve: str
) -> None:
    """The others are refused as too much; the ledger and the channel's own book agree."""
    async with (
        shop_of(real_plan, patience_s=60) as shop,
        open_channel(second_trade_serve) as channel,
    ):
        second = trade_service_pb2_grpc.TradeServiceStub(channel)
        trade = await shop.purchase(10_000)
        await shop.reaches(trade, PAID)

        async def ask(number: int) -> str:
            request = shop.refund_request(trade.trade_id, money(3000))
            stub = shop.trades if number % 2 else second
            try:
                response = await stub.RefundTrade(request, timeout=60)
            except grpc.aio.AioRpcError as error:
                return reason_of(error)
            return str(response.refund.refund_id)

        answers = await asyncio.gather(*(ask(number) for number in range(100)))
        accepted = [answer for answer in answers if answer.startswith("rfd_")]
        assert Counter(a for a in answers if a not in accepted) == {"REFUND_EXCEEDS": 97}
        assert len(set(accepted)) == 3
        for refund_id in accepted:
            refund = trade_pb2.Refund(refund_id=refund_id)
            refund = await shop.refund_reaches(trade, refund, REFUNDED)
            booked = lines(*await shop.journals(refund, 1))
            assert ("CHANNEL_RECEIVABLE", "credit", 3000) in booked
        found = await shop.trade(trade.trade_id)
        assert found.refunded_amount.minor_units == 9000
        book = await shop.book()
        mine = [r for r in book["refunds"] if r["out_trade_no"] in shop.request_nos[trade.trade_id]]
        assert [(r["state"], r["amount"]) for r in mine] == [("SUCCESS", 3000)] * 3


@pytest.mark.prove
async def test_a_healthy_busy_mesh_gives_no_false_alarm_for_two_minutes(
    real_mesh: Mesh,
    real_plan: MeshPlan,
    record_property: Callable[[str, object], None],
) -> None:
    """All flows, again and again, by several customers; all invariants, again and again."""
    loop = asyncio.get_running_loop()
    until = loop.time() + BUSY_S
    done = checks = 0

    def goes_on() -> bool:
        """So long, and until enough has been done and looked at."""
        return loop.time() < until or done <= 50 or checks <= 10

    async def customer(first: int) -> None:
        nonlocal done
        async with shop_of(real_plan, patience_s=60) as shop:
            number = first
            while goes_on():
                await FLOWS[number % len(FLOWS)](shop)
                number, done = number + 1, done + 1

    customers = [asyncio.create_task(customer(2 * n)) for n in range(CUSTOMERS)]
    async with shop_of(real_plan) as shop, asyncio.timeout(10 * BUSY_S):
        while goes_on() and not any(task.done() for task in customers):
            results = await check(
                real_plan.reader_urls, grace_s=GRACE_S, sandbox_book=await shop.book()
            )
            assert [finding for result in results for finding in result.findings] == []
            checks += 1
            await asyncio.sleep(1)
    await asyncio.gather(*customers)
    record_property("proved", {"flows": done, "checks of all invariants while it was busy": checks})
