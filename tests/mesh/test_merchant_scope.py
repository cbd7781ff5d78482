"""A merchant's client that names what is another's finds nothing, and changes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest
from payments.trade.v1 import merchant_service_pb2, trade_pb2, trade_service_pb2

from paymesh.app import App
from paymesh.cli.asking import RPC_TIMEOUT_S, money, request_id
from paymesh.cli.shop import Shop
from paymesh.context import Context
from paymesh.launch.mesh import MeshPlan
from paymesh.server import CONTEXT_METADATA
from paymesh.wire import context_to
from tests.mesh.conftest import shop_of
from tests.mesh.refusals import Refusal, read_refusal, refusal

pytestmark = pytest.mark.slow

NOT_FOUND = Refusal(grpc.StatusCode.NOT_FOUND, "NOT_FOUND", ())
SECRET = bytes(range(32))


@pytest.fixture
async def other(apps: dict[str, App], sandboxed_plan: MeshPlan) -> AsyncIterator[Shop]:
    """Another merchant's business system."""
    async with shop_of(sandboxed_plan) as other:
        yield other


@pytest.fixture
async def trade(shop: Shop) -> trade_pb2.Trade:
    """One that is paid, and at rest."""
    return await shop.reaches(await shop.purchase(1000), trade_pb2.TRADE_STATE_PAID)


@pytest.fixture
async def unpaid(shop: Shop) -> trade_pb2.Trade:
    return await shop.order(1000)


Asks = Callable[[Shop, trade_pb2.Trade], Awaitable[Any]]


def gets(shop: Shop, trade: trade_pb2.Trade) -> Awaitable[Any]:
    return shop.trade(trade.trade_id)


def pays(shop: Shop, trade: trade_pb2.Trade) -> Awaitable[Any]:
    return shop.trades.PayTrade(shop.pay_request(trade), timeout=RPC_TIMEOUT_S)


def closes(shop: Shop, trade: trade_pb2.Trade) -> Awaitable[Any]:
    return shop.trades.CloseTrade(shop.close_request(trade), timeout=RPC_TIMEOUT_S)


def refunds(shop: Shop, trade: trade_pb2.Trade) -> Awaitable[Any]:
    request = shop.refund_request(trade.trade_id, money(10))
    return shop.trades.RefundTrade(request, timeout=RPC_TIMEOUT_S)


@pytest.mark.parametrize("asks", [gets, pays, closes, refunds])
async def test_another_merchants_trade_is_not_found(
    asks: Asks,
    other: Shop,
    trade: trade_pb2.Trade,
    unpaid: trade_pb2.Trade,
    nothing_written: None,
) -> None:
    for of in (trade, unpaid):
        assert await refusal(asks(other, of)) == NOT_FOUND


async def test_in_a_batch_it_is_its_item_alone(
    shop: Shop, other: Shop, unpaid: trade_pb2.Trade
) -> None:
    own = await other.order(500)
    item = trade_service_pb2.BatchPayTradesItem
    request = trade_service_pb2.BatchPayTradesRequest(
        items=[item(request=other.pay_request(of)) for of in (unpaid, own)]
    )
    first, second = (await other.trades.BatchPayTrades(request, timeout=RPC_TIMEOUT_S)).results
    assert read_refusal(first.error, grpc.StatusCode.NOT_FOUND) == NOT_FOUND
    assert second.response.payment_id
    assert (await shop.trade(unpaid.trade_id)).version == unpaid.version


async def test_the_answer_to_anothers_request_is_not_given_again(
    shop: Shop, other: Shop, trade: trade_pb2.Trade
) -> None:
    """Also to who has learned its request_id."""
    request = shop.refund_request(trade.trade_id, money(10))
    await shop.trades.RefundTrade(request, timeout=RPC_TIMEOUT_S)
    request.merchant_id = other.merchant_id
    asked = other.trades.RefundTrade(request, timeout=RPC_TIMEOUT_S)
    assert await refusal(asked) == NOT_FOUND


async def test_a_call_for_one_merchant_is_about_no_other(shop: Shop, other: Shop) -> None:
    """Where the context says for whom it is: its endpoint, its secret, its codes, new trades."""
    context = context_to(Context("", other.merchant_id), caller="other").SerializeToString()
    asked: dict[str, Any] = {"metadata": [(CONTEXT_METADATA, context)], "timeout": RPC_TIMEOUT_S}
    of: dict[str, Any] = {"request_id": request_id(), "merchant_id": shop.merchant_id}
    pb = merchant_service_pb2
    code = {"order_type": "web", "sub_type": "x", "pay_org_no": "1"}
    calls = [
        shop.merchants.GetMerchant(pb.GetMerchantRequest(merchant_id=shop.merchant_id), **asked),
        shop.merchants.UpdateMerchant(
            pb.UpdateMerchantRequest(**of, display_name="Mine now"),
            **asked,
        ),
        shop.merchants.RotateSecret(pb.RotateSecretRequest(**of, notify_secret=SECRET), **asked),
        shop.merchants.RegisterBusinessCode(pb.RegisterBusinessCodeRequest(**of, **code), **asked),
        shop.trades.CreateTrade(shop.create_request(), **asked),
    ]
    for call in calls:
        assert await refusal(call) == NOT_FOUND
    get = pb.GetMerchantRequest(merchant_id=shop.merchant_id)
    found = (await shop.merchants.GetMerchant(get, timeout=RPC_TIMEOUT_S)).merchant
    assert found.display_name != "Mine now"
    item = trade_service_pb2.BatchCreateTradesItem(request=shop.create_request())
    item.call_context.context.merchant_id = other.merchant_id
    batch = trade_service_pb2.BatchCreateTradesRequest(items=[item])
    [result] = (await shop.trades.BatchCreateTrades(batch, timeout=RPC_TIMEOUT_S)).results
    assert read_refusal(result.error, grpc.StatusCode.NOT_FOUND) == NOT_FOUND
