"""A process that dies at any point of the shell loses nothing and does nothing twice."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from payments.trade.v1 import trade_pb2

from paymesh.check import check
from paymesh.cli.shop import Shop
from paymesh.failpoint import POINTS
from paymesh.launch.mesh import Mesh, MeshPlan
from tests.mesh.conftest import shop_of

WRITERS = (
    "clearing-work",
    "gateway-ingress",
    "gateway-serve",
    "pay-serve",
    "pay-work",
    "trade-serve",
    "trade-work",
)
WHERE = {
    "shell.before_commit": WRITERS,
    "shell.after_commit": WRITERS,
    "bus.before_publish": ("gateway-ingress", "pay-work", "trade-work"),
    "bus.after_publish": ("gateway-ingress", "pay-work", "trade-work"),
    "consumer.before_ack": ("clearing-work", "pay-work", "trade-work"),
    "effect.before_call": ("gateway-serve", "pay-serve", "trade-serve", "trade-work"),
    "effect.after_call": ("gateway-serve", "pay-serve", "trade-serve", "trade-work"),
}
"""Every process that passes a point on the way of one purchase."""
PAYMENTS_MAX = 5


@contextlib.asynccontextmanager
async def tended(mesh: Mesh) -> AsyncIterator[None]:
    """Starts again whatever dies."""

    async def tend() -> None:
        while True:
            mesh.tend()
            await asyncio.sleep(0.1)

    task = asyncio.create_task(tend())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def test_every_point_is_killed_somewhere() -> None:
    """A new failpoint without a kill test is noticed."""
    assert set(WHERE) == set(POINTS)


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
async def test_killed_at_every_process_that_passes_it_payments_end_paid_booked_once_notified(
    point: str, real_mesh: Mesh, real_plan: MeshPlan, tmp_path: Path
) -> None:
    """All roles that pass the point die there, once each, as a rule during one payment.

    A death can lead a payment round another process that was to die; then one more payment is
    made, until every process has died.
    """
    fired = tmp_path / "fired"
    fired.touch()
    async with shop_of(real_plan) as shop:
        for name in WHERE[point]:
            real_mesh.extra[name] = {"FAILPOINT": f"{point}:1:kill", "FAILPOINT_LOG": str(fired)}
        real_mesh.restart(WHERE[point])
        async with tended(real_mesh):
            for _ in range(PAYMENTS_MAX):
                await _is_paid_booked_once_and_notified(shop, await shop.purchase())
                died = {line.split()[2] for line in fired.read_text().splitlines()}
                if died == set(WHERE[point]):
                    break
        assert died == set(WHERE[point])
    results = await check(real_plan.reader_urls, grace_s=10)
    assert [finding for result in results for finding in result.findings] == []


async def _is_paid_booked_once_and_notified(shop: Shop, trade: trade_pb2.Trade) -> None:
    await shop.reaches(trade, trade_pb2.TRADE_STATE_PAID, timeout_s=60)
    await shop.hears(trade, "trade.paid", timeout_s=60)
    journals = await shop.journals(trade, 3, timeout_s=60)
    assert sorted(j.event_type for j in journals) == [
        "pay.instruction.succeeded/collect",
        "trade.trade.paid/attribution",
        "trade.trade.paid/fee",
    ]
    numbers = shop.request_nos[trade.trade_id]
    [order] = [o for o in (await shop.book())["orders"] if o["out_trade_no"] in numbers]
    assert (order["state"], order["amount"]) == ("SUCCESS", trade.amount.minor_units)
