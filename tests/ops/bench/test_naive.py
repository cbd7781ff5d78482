"""The reference does a purchase right, so that measuring it beside ours means something."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest
from payments.trade.v1 import trade_pb2, trade_service_pb2, trade_service_pb2_grpc
from sqlalchemy import make_url

from paymesh.channel import DIRECT
from paymesh_ops.bench.naive import Naive
from paymesh_ops.clients.requests import RPC_TIMEOUT_S, by_channel, eventually, money, request_id
from paymesh_ops.launch.servers import Broker

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def naive(servers_home: Path, admin_url: str, rabbit: Broker) -> Iterator[Naive]:
    home = servers_home / "naive"
    home.mkdir()
    naive = Naive(home, admin_url=admin_url, amqp_url=rabbit.amqp_url)
    naive.start()
    yield naive
    naive.stop()


@pytest.fixture
async def trades(naive: Naive) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(naive.trade_target, options=[DIRECT]) as channel:
        yield trade_service_pb2_grpc.TradeServiceStub(channel)


def _order() -> trade_service_pb2.CreateTradeRequest:
    return trade_service_pb2.CreateTradeRequest(
        request_id=request_id(),
        merchant_id="mer_1",
        order_type="shop",
        sub_type="book",
        pay_org_no="contract-1",
        merchant_order_no=secrets.token_hex(8),
        type=trade_pb2.TRADE_TYPE_INSTANT,
        amount=money(1234),
        subject="One book",
    )


async def _create(trades: Any, order: trade_service_pb2.CreateTradeRequest) -> trade_pb2.Trade:
    response = await trades.CreateTrade(order, timeout=RPC_TIMEOUT_S)
    trade: trade_pb2.Trade = response.trade
    return trade


async def _pay(trades: Any, trade: trade_pb2.Trade) -> str:
    request = trade_service_pb2.PayTradeRequest(
        request_id=request_id(),
        merchant_id=trade.merchant_id,
        trade_id=trade.trade_id,
        tools=[by_channel(trade.amount)],
    )
    response = await trades.PayTrade(request, timeout=RPC_TIMEOUT_S)
    return str(response.credential_id)


async def _until_booked(naive: Naive, count: int) -> None:
    async def look() -> bool | None:
        return True if naive.booked() >= count else None

    await eventually(f"{count} booked purchases", look, timeout_s=120)


async def test_twenty_purchases_are_booked_once_each(naive: Naive, trades: Any) -> None:
    """One order is created twice by the same request_id: both get the same trade."""
    before = naive.booked()
    orders = [_order() for _ in range(20)]
    created = [await _create(trades, order) for order in [*orders, orders[0]]]
    assert created[20] == created[0]

    for trade in created[:20]:
        assert (await _pay(trades, trade)).startswith("crd_")
    await _until_booked(naive, before + 20)

    assert naive.booked() == before + 20
    assert naive.wrong() == []


async def test_a_changed_balance_is_noticed(naive: Naive, trades: Any, admin_url: str) -> None:
    """A minor unit more on one account, without an entry."""
    before = naive.booked()
    await _pay(trades, await _create(trades, _order()))
    await _until_booked(naive, before + 1)
    change = b"UPDATE account SET balance = balance + %s WHERE id = 'FEE_INCOME:platform:EUR'"
    url = make_url(admin_url).set(database="paymesh_naive_clearing")
    with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as clearing:
        assert clearing.execute(change, [1]).rowcount == 1
        found = naive.wrong()
        clearing.execute(change, [-1])

    assert found == ["balances that are not the sum of entries: 1, such as FEE_INCOME:platform:EUR"]
    assert naive.wrong() == []


async def test_a_trade_that_nobody_paid_is_noticed(naive: Naive, trades: Any) -> None:
    before = naive.booked()
    trade = await _create(trades, _order())
    found = naive.wrong()
    await _pay(trades, trade)
    await _until_booked(naive, before + 1)

    assert found == [f"trades that are not PAID: 1, such as {trade.trade_id}:NEW"]
    assert naive.wrong() == []
