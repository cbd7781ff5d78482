"""Refunds over real calls: what is reserved, what is asked, how they end, what is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from payments.pay.v1 import payment_pb2
from payments.trade.v1 import trade_pb2

from paymesh.errors import Code, Refused, Unavailable
from tests.trade.actors import PaymentCore, fails, succeeds
from tests.trade.trade_world import (
    RPC_TIMEOUT_S,
    Database,
    Refusal,
    Shop,
    by_balance,
    by_channel,
    money,
    refusal,
    until,
    wallet,
)

P, R = payment_pb2.PaymentState, trade_pb2.RefundState
INVALID, PRECONDITION = "INVALID_ARGUMENT", "FAILED_PRECONDITION"


async def paid(shop: Shop, payments: PaymentCore, *tools: Any) -> Any:
    """A purchase of 100.00 that is paid; refunds of it stay under way."""
    payments.decides = lambda request: (
        (P.PAYMENT_STATE_PROCESSING, "") if request.original_payment_id else succeeds(request)
    )
    trade = await shop.orders()
    await shop.pays(trade, *tools)
    return await shop.reaches(trade, "PAID")


async def test_the_answer_tells_the_refund_alone_and_the_totals(
    shop: Shop, payments: PaymentCore
) -> None:
    """There may be hundreds of others: GetTrade tells them."""
    trade = await paid(shop, payments, by_channel(100_00))
    for n in (1, 2):
        request = shop.refund_request(trade.trade_id, 10_00)
        answer = await shop.trades.RefundTrade(request, timeout=RPC_TIMEOUT_S)
        assert list(answer.trade.refunds) == [answer.refund]
        assert answer.trade.refunding_amount == money(n * 10_00)
    assert len((await shop.trade(trade)).refunds) == 2


async def test_a_refund_is_accepted_at_once_and_carried_out_by_itself(
    shop: Shop, payments: PaymentCore
) -> None:
    """The answer has the reservation; the end is in GetTrade."""
    trade = await paid(shop, payments, by_channel(80_00), by_balance(20_00))
    request = shop.refund_request(trade.trade_id, 90_00)
    answer = await shop.trades.RefundTrade(request, timeout=RPC_TIMEOUT_S)
    refund = answer.refund
    assert (answer.trade.refunded_amount, answer.trade.refunding_amount) == (money(0), money(90_00))
    assert list(answer.trade.refunds) == [refund]
    assert (refund.state, refund.amount) == (R.REFUND_STATE_PROCESSING, money(90_00))
    assert list(refund.tools) == [by_channel(80_00), by_balance(10_00)]
    assert refund.reason == "too small"

    async def is_asked() -> Any:
        return payments.asked.get(refund.payment_id)

    asked = await until(is_asked)
    assert asked.purpose == payment_pb2.PAYMENT_PURPOSE_REFUND
    assert (asked.trade_id, asked.original_payment_id) == (trade.trade_id, trade.paid_payment_id)
    assert (asked.amount, asked.payer_id) == (refund.amount, wallet(trade, "ann"))
    context = payments.contexts[refund.payment_id]
    assert context.business_id == refund.business_id != trade.business_id
    assert context.parent_business_id == trade.business_id
    assert (context.merchant_id, context.order_type) == (shop.merchant_id, "web")

    await payments.tells(refund.payment_id, "SUCCEEDED")
    found = await shop.refunded(trade, "SUCCEEDED")
    assert (found.refunded_amount, found.refunding_amount) == (money(90_00), money(0))
    assert found.refunds[0].HasField("end_time")


async def test_an_unknown_refund_is_asked_for_again_by_the_same_payment(
    shop: Shop, payments: PaymentCore
) -> None:
    """Meanwhile its amount stays reserved."""
    trade = await paid(shop, payments)
    payments.decides = lambda request: Unavailable("not now")
    refund = await shop.gives_back(trade, 60_00)

    async def is_asked_again() -> bool:
        return payments.times.get(refund.payment_id, 0) >= 3

    await until(is_asked_again)
    found = await refusal(shop.gives_back(trade, 40_01))
    assert found == Refusal(PRECONDITION, "REFUND_EXCEEDS")
    assert found.metadata == {"refundable_minor_units": "4000"}
    payments.decides = succeeds
    await shop.refunded(trade, "SUCCEEDED")


async def test_a_refused_refund_fails_with_the_reason_and_frees_its_amount(
    shop: Shop, payments: PaymentCore
) -> None:
    """Refused by the payment core at once, or told later that it failed."""
    trade = await paid(shop, payments)
    payments.decides = lambda request: Refused(
        code=Code.FAILED_PRECONDITION, reason="TOOLS_NOT_OFFERED", message="no"
    )
    await shop.gives_back(trade, 100_00)
    found = await shop.refunded(trade, "FAILED")
    assert found.refunds[0].failure_reason == "TOOLS_NOT_OFFERED"
    payments.decides = lambda request: (P.PAYMENT_STATE_PROCESSING, "")
    second = await shop.gives_back(trade, 100_00)
    await until(lambda: _known(payments, second.payment_id))
    await payments.tells(second.payment_id, "FAILED", "INSUFFICIENT_FUNDS")
    found = await shop.refunded(trade, "FAILED", "FAILED")
    assert found.refunds[1].failure_reason == "INSUFFICIENT_FUNDS"
    assert (found.refunded_amount, found.refunding_amount) == (money(0), money(0))


async def test_that_the_merchants_money_does_not_suffice_is_in_the_answer(
    shop: Shop, payments: PaymentCore
) -> None:
    """Its amount is free again by then."""
    trade = await paid(shop, payments)
    payments.decides = fails
    request = shop.refund_request(trade.trade_id, 100_00)
    answer = await shop.trades.RefundTrade(request, timeout=RPC_TIMEOUT_S)
    assert answer.refund.state == R.REFUND_STATE_FAILED
    assert answer.refund.failure_reason == "INSUFFICIENT_FUNDS"
    assert (answer.trade.refunded_amount, answer.trade.refunding_amount) == (money(0), money(0))


async def _known(payments: PaymentCore, payment_id: str) -> bool:
    return payment_id in payments.states


async def test_the_same_refund_request_is_one_refund(shop: Shop, payments: PaymentCore) -> None:
    """Ten times at once and once later, when it has ended: then the answer says so."""
    trade = await paid(shop, payments)
    request = shop.refund_request(trade.trade_id, 30_00)
    calls = [shop.trades.RefundTrade(request, timeout=RPC_TIMEOUT_S) for _ in range(10)]
    answers = await asyncio.gather(*calls)
    await payments_succeed(payments, answers[0].refund.payment_id)
    await shop.refunded(trade, "SUCCEEDED")
    assert all(answer == answers[0] for answer in answers)
    later = await shop.trades.RefundTrade(request, timeout=RPC_TIMEOUT_S)
    assert later.refund.refund_id == answers[0].refund.refund_id
    assert later.refund.state == R.REFUND_STATE_SUCCEEDED
    changed = shop.refund_request(trade.trade_id, 31_00, request_id=request.request_id)
    wanted = Refusal(INVALID, "REQUEST_ID_REUSED", ("request_id",))
    assert await refusal(shop.trades.RefundTrade(changed)) == wanted


async def payments_succeed(payments: PaymentCore, payment_id: str) -> None:
    await until(lambda: _known(payments, payment_id))
    await payments.tells(payment_id, "SUCCEEDED")


async def test_what_cannot_be_refunded_is_refused(
    shop: Shop, payments: PaymentCore, database: Database
) -> None:
    """A refund, another type, an unpaid trade, another currency, more than there is."""
    trade = await paid(shop, payments)
    refund = await shop.gives_back(trade, 1)
    top_up = await shop.orders(type=trade_pb2.TRADE_TYPE_TOP_UP, payee_id="ann")
    await shop.pays(top_up)
    await shop.reaches(top_up, "PAID")
    unpaid = await shop.orders()

    async def refused(trade_id: str, minor: int = 1, **changes: Any) -> Refusal:
        request = shop.refund_request(trade_id, minor, **changes)
        first = await refusal(shop.trades.RefundTrade(request))
        assert await refusal(shop.trades.RefundTrade(request)) == first, "a refusal is an answer"
        return first

    not_refundable = Refusal(PRECONDITION, "NOT_REFUNDABLE")
    for trade_id in (refund.refund_id, top_up.trade_id, unpaid.trade_id):
        assert await refused(trade_id) == not_refundable
    mismatch = Refusal(PRECONDITION, "CURRENCY_MISMATCH")
    assert await refused(trade.trade_id, amount=money(1, "USD")) == mismatch
    for minor in (100_00, 2**63 - 1):
        found = await refused(trade.trade_id, minor)
        assert found == Refusal(PRECONDITION, "REFUND_EXCEEDS")
        assert found.metadata == {"refundable_minor_units": "9999"}
    assert database.counts()["refund"] == 1


BAD_REFUNDS: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    ("no request_id", {"request_id": ""}, ("request_id",)),
    ("no trade", {"trade_id": ""}, ("trade_id",)),
    ("a payment", {"trade_id": "pay_" + "a" * 28}, ("trade_id",)),
    ("no amount", {"amount": None}, ("amount",)),
    ("nothing", {"amount": money(0)}, ("amount",)),
    ("less than nothing", {"amount": money(-1)}, ("amount",)),
    ("no currency of this world", {"amount": money(1, "EUX")}, ("amount.currency_code",)),
    ("NUL in the reason", {"reason": "\0"}, ("reason",)),
    ("a long reason", {"reason": "a" * 129}, ("reason",)),
]


@pytest.mark.parametrize(("changes", "fields"), [case[1:] for case in BAD_REFUNDS],
                         ids=[case[0] for case in BAD_REFUNDS])  # fmt: skip
async def test_a_bad_refund_is_refused_with_the_field(
    changes: dict[str, Any], fields: tuple[str, ...], shop: Shop, database: Database
) -> None:
    """Nothing is written."""
    before = database.counts()
    values = {"trade_id": "trd_" + "a" * 28, "minor": 1, **changes}
    call = shop.trades.RefundTrade(shop.refund_request(**values))
    assert await refusal(call) == Refusal(INVALID, "INVALID_FIELD", fields)
    assert database.counts() == before


async def test_an_unknown_trade_is_not_refunded(shop: Shop, database: Database) -> None:
    before = database.counts()
    request = shop.refund_request("trd_" + "a" * 28, 1)
    found = await refusal(shop.trades.RefundTrade(request))
    assert found == Refusal("NOT_FOUND", "NOT_FOUND")
    assert database.counts() == before
