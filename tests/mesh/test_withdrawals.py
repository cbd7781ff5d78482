"""Withdrawals, business codes and amounts, through the whole mesh."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from payments.gateway.v1 import channel_pb2, channel_service_pb2
from payments.pay.v1 import beneficiary_service_pb2
from payments.trade.v1 import merchant_service_pb2, trade_pb2

from paymesh_ops.clients.requests import (
    RPC_TIMEOUT_S,
    by_balance,
    request_id,
)
from paymesh_ops.clients.shop import Shop
from paymesh_ops.clients.wallet import Wallet
from tests.mesh.flows import PAID, filled
from tests.mesh.refusals import reason_of

pytestmark = pytest.mark.slow


async def test_a_withdrawal_that_stays_unknown_keeps_its_hold(shop: Shop) -> None:
    """The bank never says: the money stays held, and is neither spent nor free."""
    wallet = await filled(shop, 5000)
    trade = await wallet.withdraws(3000, to_account="DE0012340002")
    await wallet.has(5000, held=3000)
    await asyncio.sleep(1.5)
    await wallet.has(5000, held=3000)
    found = await shop.trade(trade.trade_id)
    assert found.state == trade_pb2.TRADE_STATE_PAYING
    close = shop.close_request(trade)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await shop.trades.CloseTrade(close, timeout=RPC_TIMEOUT_S)
    assert reason_of(refused.value) == "ILLEGAL_MOVE"


async def test_a_withdrawal_whose_answer_is_lost_is_paid_out_once(shop: Shop) -> None:
    """The same number is asked for again: one payout in the channel's book."""
    wallet = await filled(shop, 5000)
    await shop.faults({"next": {"payout": {"timeout": 2}}})
    trade = await wallet.withdraws(3000, to_account="DE0099345678")
    await shop.reaches(trade, PAID)
    payouts = [p for p in (await shop.book())["payouts"] if p["amount"] == 3000]
    mine = [p for p in payouts if p["out_payout_no"] in await _numbers(shop, trade)]
    assert [p["state"] for p in mine] == ["SUCCESS"]


async def _numbers(shop: Shop, trade: trade_pb2.Trade) -> set[str]:
    """The payment's request_nos at the channel that the gateway knows."""
    book = await shop.book()
    found = set()
    for payout in book["payouts"]:
        request = channel_service_pb2.GetChannelOrderRequest(request_no=payout["out_payout_no"])
        order = (await shop.gateway.GetChannelOrder(request, timeout=RPC_TIMEOUT_S)).channel_order
        if order.business_id == trade.business_id:
            assert order.kind == channel_pb2.CHANNEL_ORDER_KIND_PAYOUT
            found.add(payout["out_payout_no"])
    return found


async def test_nobody_withdraws_more_than_there_is(shop: Shop) -> None:
    """Refused before the bank hears of it."""
    wallet = await filled(shop, 1000)
    trade = await wallet.withdraws(1001, to_account="DE0012345678")
    await shop.attempt_reaches(trade, trade_pb2.ATTEMPT_STATE_FAILED)
    assert (await shop.trade(trade.trade_id)).attempts[-1].failure_reason == "INSUFFICIENT_FUNDS"
    assert await _numbers(shop, trade) == set()


async def test_somebody_elses_beneficiary_gets_nothing(shop: Shop) -> None:
    """A beneficiary belongs to its owner; one that is deleted meanwhile gets nothing, too."""
    thief, wallet = Wallet(shop), await filled(shop, 1000)
    withdrawal = {"type": trade_pb2.TRADE_TYPE_WITHDRAWAL, "payer_id": wallet.user}
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await shop.order(500, **withdrawal, beneficiary_id=await thief.beneficiary())
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    own = await wallet.beneficiary()
    trade = await shop.order(500, **withdrawal, beneficiary_id=own)
    delete = beneficiary_service_pb2.DeleteBeneficiaryRequest(
        request_id=request_id(), merchant_id=shop.merchant_id, beneficiary_id=own
    )
    await shop.beneficiaries.DeleteBeneficiary(delete, timeout=RPC_TIMEOUT_S)
    await shop.pays(trade, tools=[by_balance(trade.amount)])
    await shop.attempt_reaches(trade, trade_pb2.ATTEMPT_STATE_FAILED)
    found = await shop.trade(trade.trade_id)
    assert found.attempts[-1].failure_reason == "BENEFICIARY_NOT_USABLE"
    await wallet.has(1000)


# Business codes and amounts


async def test_an_unregistered_business_code_is_refused_until_it_is_registered(shop: Shop) -> None:
    """The same request succeeds afterwards: the refusal was not kept."""
    request = shop.create_request(sub_type="magazine")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await shop.trades.CreateTrade(request, timeout=RPC_TIMEOUT_S)
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert reason_of(refused.value) == "BUSINESS_CODE_NOT_REGISTERED"
    await shop.merchants.RegisterBusinessCode(
        merchant_service_pb2.RegisterBusinessCodeRequest(
            request_id=request_id(),
            merchant_id=shop.merchant_id,
            order_type=shop.order_type,
            sub_type="magazine",
            pay_org_no=shop.pay_org_no,
        ),
        timeout=RPC_TIMEOUT_S,
    )
    assert (
        await shop.trades.CreateTrade(request, timeout=RPC_TIMEOUT_S)
    ).trade.sub_type == "magazine"


@pytest.mark.parametrize(
    ("currency", "minor_units"), [("JPY", 1), ("KWD", 1), ("EUR", 2**53 + 1), ("EUR", 10**16)]
)
async def test_edge_amounts_go_in_round_and_out_exactly(
    shop: Shop, currency: str, minor_units: int
) -> None:
    """Topped up, sent to another balance, half withdrawn, the rest spent: not one unit is lost."""
    ada = Wallet(shop, currency=currency)
    bob = Wallet(shop, currency=currency)
    await ada.top_up(minor_units)
    await ada.has(minor_units)
    await shop.reaches(await ada.sends(bob, minor_units), PAID)
    await bob.has(minor_units)
    await ada.has(0)
    half = minor_units // 2
    if half:
        await shop.reaches(await bob.withdraws(half, to_account="DE0012345678"), PAID)
    await bob.has(minor_units - half)
    await shop.reaches(await bob.buys(minor_units - half), PAID)
    await bob.has(0)


@pytest.mark.parametrize("minor_units", [10**16 + 1, 2**63 - 1, 0, -1])
async def test_amounts_beyond_the_edge_are_refused_with_the_field(
    shop: Shop, minor_units: int
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await shop.order(minor_units)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "amount" in str(refused.value.details())
