"""All forms of payment through the whole mesh: what a business system sees, and what is booked."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from payments.trade.v1 import trade_pb2

from paymesh_ops.clients.requests import (
    RPC_TIMEOUT_S,
    by_balance,
    by_channel,
    eventually,
    money,
)
from paymesh_ops.clients.shop import Shop
from paymesh_ops.clients.wallet import Wallet
from tests.mesh.flows import FLOWS, PAID, REFUNDED, Flow, expiring, filled, lines
from tests.mesh.refusals import reason_of

pytestmark = pytest.mark.slow  # all of them together; a purchase is in test_purchase.py


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.__name__)
async def test_a_flow_runs_to_its_end(flow: Flow, shop: Shop) -> None:
    """As its docstring says."""
    await flow(shop)


# Booked at once


async def test_a_transfer_that_is_answered_paid_is_in_the_payees_balance(shop: Shop) -> None:
    """At once: nobody waits for an event."""
    ada, bob = await filled(shop, 5000), Wallet(shop)
    for n in range(1, 6):
        trade = await ada.sends(bob, 100)
        assert trade.state == PAID
        account = await bob.account()
        assert account is not None
        assert account.balance.minor_units == 100 * n
        [transfer, attribution] = await shop.journals(trade, 2)
        assert {transfer.event_type, attribution.event_type} == {
            "pay.instruction.succeeded/transfer",
            "trade.trade.paid/attribution",
        }
    await ada.has(4500)


# Refunds


async def test_partial_partial_and_the_rest_give_all_back(shop: Shop) -> None:
    """3.00, 4.00 and 3.00 of 10.00: the merchant owes the fee, for it had only 9.94 of it."""
    trade = await shop.purchase(1000)
    await shop.reaches(trade, PAID)
    for part in (300, 400, 300):
        refund = await shop.refund(trade, part)
        await shop.refund_reaches(trade, refund, REFUNDED)
    found = await shop.trade(trade.trade_id)
    assert (found.refunded_amount.minor_units, found.refunding_amount.minor_units) == (1000, 0)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await shop.refund(trade, 1)
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert reason_of(refused.value) == "REFUND_EXCEEDS"
    booked = [lines(*await shop.journals(r, 1)) for r in found.refunds]
    assert ("MERCHANT_RECEIVABLE", "debit", 6) in booked[-1]


async def test_a_refund_waits_for_a_channel_that_does_not_answer(shop: Shop) -> None:
    """Unknown is never failure: the reservation stays, the same number is asked again."""
    trade = await shop.purchase(1000)
    await shop.reaches(trade, PAID)
    silent = {"timeout_rate": 1}
    await shop.faults({"refund": silent, "query_refund": silent, "callback": {"lost_rate": 1}})
    refund = await shop.refund(trade, 600)
    await asyncio.sleep(1.5)
    found = await shop.trade(trade.trade_id)
    assert (found.refunded_amount.minor_units, found.refunding_amount.minor_units) == (0, 600)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await shop.refund(trade, 401)
    assert reason_of(refused.value) == "REFUND_EXCEEDS"
    await shop.faults({})
    await shop.refund_reaches(trade, refund, REFUNDED)
    book = await shop.book()
    mine = [r for r in book["refunds"] if r["out_trade_no"] in shop.request_nos[trade.trade_id]]
    assert [(r["state"], r["amount"]) for r in mine] == [("SUCCESS", 600)]


async def test_a_refund_that_the_channel_declines_frees_what_it_reserved(shop: Shop) -> None:
    """The merchant's money is released, and another refund may follow."""
    trade = await shop.purchase(1000)
    await shop.reaches(trade, PAID)
    await shop.faults({"next": {"refund": {"decline": 1}}})
    refund = await shop.refund(trade, 1000)
    failed = await shop.refund_reaches(trade, refund, trade_pb2.REFUND_STATE_FAILED)
    assert failed.failure_reason
    assert await shop.journals(refund, 0) == []
    again = await shop.refund(trade, 500)
    await shop.refund_reaches(trade, again, REFUNDED)


async def test_a_refund_that_comes_back_is_the_merchants_again(shop: Shop) -> None:
    """Of a combined one the channel's part; it can be refunded anew."""
    wallet = await filled(shop, 5000)
    trade = await wallet.buys_combined(from_channel=8000, from_balance=2000)
    await shop.reaches(trade, PAID)
    await shop.faults({"next": {"refund": {"bounce": 1}}, "refund": {"bounce_ms": 300}})
    back = await shop.refund(trade, 9000)
    back = await shop.refund_reaches(trade, back, trade_pb2.REFUND_STATE_RETURNED)
    assert back.failure_reason
    assert back.returned_amount.minor_units == 8000
    assert (await shop.trade(trade.trade_id)).refunded_amount.minor_units == 1000
    told = await shop.hears(trade, "trade.refund_returned")
    refund = told["trade"]["refund"]
    assert (refund["state"], refund["returned_amount"]["minor_units"]) == ("RETURNED", 8000)
    await wallet.has(4000)
    assert lines(*await shop.journals(back, 3)) == [
        ("CHANNEL_RECEIVABLE", "credit", 8000),
        ("CHANNEL_RECEIVABLE", "debit", 8000),
        ("MERCHANT_PENDING", "credit", 8000),
        ("MERCHANT_PENDING", "debit", 1000),
        ("MERCHANT_PENDING", "debit", 8000),
        ("USER_BALANCE", "credit", 1000),
    ]
    await shop.faults({})
    again = await shop.refund(trade, 9000)
    await shop.refund_reaches(trade, again, REFUNDED)
    await wallet.has(5000)


async def test_a_channel_short_of_funds_delays_a_refund_and_does_not_fail_it(shop: Shop) -> None:
    """NOT_ENOUGH: the same number is sent again once there is money."""
    trade = await shop.purchase(1000)
    await shop.reaches(trade, PAID)
    await shop.faults({"next": {"refund": {"short": 2}}})
    refund = await shop.refund(trade, 1000)
    await shop.refund_reaches(trade, refund, REFUNDED)


async def test_the_same_refund_request_moves_money_once(shop: Shop) -> None:
    """Five times at once and once later: one refund."""
    trade = await shop.purchase(1000)
    await shop.reaches(trade, PAID)
    request = shop.refund_request(trade.trade_id, money(250))
    calls = [shop.trades.RefundTrade(request, timeout=RPC_TIMEOUT_S) for _ in range(5)]
    answers = await asyncio.gather(*calls)
    await shop.refund_reaches(trade, answers[0].refund, REFUNDED)
    answers.append(await shop.trades.RefundTrade(request, timeout=RPC_TIMEOUT_S))
    assert len({answer.refund.refund_id for answer in answers}) == 1
    found = await shop.trade(trade.trade_id)
    assert (len(found.refunds), found.refunded_amount.minor_units) == (1, 250)


async def test_what_cannot_be_refunded_is_refused(shop: Shop) -> None:
    """A refund, a top-up, a trade that is not paid, another currency."""
    trade = await shop.purchase(1000)
    await shop.reaches(trade, PAID)
    refund = await shop.refund(trade, 100)
    top_up = await Wallet(shop).top_up(1000)
    unpaid = await shop.order(1000)

    async def refused(trade_id: str, currency: str = "EUR") -> tuple[grpc.StatusCode, str]:
        request = shop.refund_request(trade_id, money(100, currency))
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await shop.trades.RefundTrade(request, timeout=RPC_TIMEOUT_S)
        return error.value.code(), reason_of(error.value)

    not_refundable = (grpc.StatusCode.FAILED_PRECONDITION, "NOT_REFUNDABLE")
    assert await refused(refund.refund_id) == not_refundable
    assert await refused(top_up.trade_id) == not_refundable
    assert await refused(unpaid.trade_id) == not_refundable
    mismatch = (grpc.StatusCode.FAILED_PRECONDITION, "CURRENCY_MISMATCH")
    assert await refused(trade.trade_id, "USD") == mismatch


# Balances


async def test_a_balance_that_does_not_suffice_pays_nothing(shop: Shop) -> None:
    """The attempt fails with the reason, the trade can still be paid, nothing is held or booked."""
    wallet = await filled(shop, 1000)
    trade = await wallet.buys(1001)
    await shop.attempt_reaches(trade, trade_pb2.ATTEMPT_STATE_FAILED)
    found = await shop.trade(trade.trade_id)
    assert found.state == trade_pb2.TRADE_STATE_PENDING
    assert found.attempts[-1].failure_reason == "INSUFFICIENT_FUNDS"
    await wallet.has(1000)
    assert await shop.journals(trade, 0) == []


async def test_a_balance_payment_is_answered_paid(shop: Shop) -> None:
    """PayTrade waits for the ledger's answer, as it waits for a credential."""
    wallet = await filled(shop, 1000)
    assert (await wallet.buys(400)).state == PAID


async def test_ten_purchases_at_once_spend_a_balance_exactly(shop: Shop) -> None:
    """10.00 pay three of ten purchases of 3.00; 1.00 is left."""
    wallet = await filled(shop, 1000)
    trades = await asyncio.gather(*(wallet.order(300) for _ in range(10)))
    await asyncio.gather(*(shop.pays(t, tools=[by_balance(t.amount)]) for t in trades))
    await wallet.has(100)
    states = [(await shop.trade(t.trade_id)).state for t in trades]
    assert sorted(states) == sorted([PAID] * 3 + [trade_pb2.TRADE_STATE_PENDING] * 7)


async def test_no_credential_is_released_before_the_balance_is_held(shop: Shop) -> None:
    """The balance does not suffice: the payer never gets to pay the channel's part."""
    wallet = await filled(shop, 100)
    trade = await wallet.order(1000)
    tools = [by_channel(money(800)), by_balance(money(200))]
    response = await shop.trades.PayTrade(
        shop.pay_request(trade, tools=tools), timeout=RPC_TIMEOUT_S
    )
    assert response.credential_id == ""
    await shop.attempt_reaches(trade, trade_pb2.ATTEMPT_STATE_FAILED)
    await wallet.has(100)


async def test_a_combined_payment_that_the_payer_gives_up_lets_go_of_the_balance(
    shop: Shop,
) -> None:
    """The trade expires: the order is closed at the channel first, then the hold is released."""
    wallet = await filled(shop, 500)
    tools = [by_channel(money(800)), by_balance(money(200))]
    trade, _ = await expiring(shop, 1000, payer_id=wallet.user, tools=tools)
    await wallet.has(500, held=200)
    await shop.reaches(trade, trade_pb2.TRADE_STATE_CLOSED)
    await wallet.has(500)


async def test_late_money_of_a_combined_payment_is_returned(shop: Shop) -> None:
    """The hold is gone: the channel's part goes back, and the trade stays closed."""
    await shop.faults({"next": {"pay": {"late_success": 1}}})
    wallet = await filled(shop, 500)
    tools = [by_channel(money(800)), by_balance(money(200))]
    trade, credential = await expiring(shop, 1000, payer_id=wallet.user, tools=tools)
    await shop.reaches(trade, trade_pb2.TRADE_STATE_CLOSED)
    await shop.attempt_reaches(trade, trade_pb2.ATTEMPT_STATE_CLOSED)
    await shop.customer_pays(credential)
    await shop.attempt_reaches(trade, trade_pb2.ATTEMPT_STATE_RETURNED)
    await wallet.has(500)
    booked = lines(*await shop.journals(trade, 2))
    assert ("CHANNEL_RECEIVABLE", "credit", 800) in booked


async def test_a_second_payment_by_balance_is_given_back(shop: Shop) -> None:
    """The payer pays by channel and by balance: the first success wins, the other is returned."""
    wallet = await filled(shop, 5000)
    trade = await wallet.order(2000)
    await shop.faults({"close": {"error_rate": 1}})  # the first attempt stays payable
    credential = await shop.credential(await shop.start_payment(trade))
    await shop.pays(trade, tools=[by_balance(trade.amount)])
    await shop.reaches(trade, PAID)
    await wallet.has(3000)
    await shop.customer_pays(credential)

    wanted = [trade_pb2.ATTEMPT_STATE_RETURNED, trade_pb2.ATTEMPT_STATE_SUCCEEDED]

    async def are_over() -> bool | None:
        attempts = (await shop.trade(trade.trade_id)).attempts
        return [attempt.state for attempt in attempts] == wanted or None

    await eventually("end of both attempts", are_over, timeout_s=shop.patience_s)
