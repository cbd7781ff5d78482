"""Trades of every type over real calls: what is answered, what is asked, what is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from payments.pay.v1 import payment_pb2
from payments.trade.v1 import trade_pb2

from paymesh.errors import Code, Refused, Unavailable
from tests.trade.actors import Books, PaymentCore, fails, succeeds
from tests.trade.trade_world import (
    BENEFICIARY,
    Database,
    Refusal,
    Shop,
    Trades,
    by_balance,
    by_channel,
    money,
    refusal,
    until,
)

P, T = payment_pb2.PaymentState, trade_pb2.TradeState
A, R = trade_pb2.AttemptState, trade_pb2.RefundState
TOP_UP = {"type": trade_pb2.TRADE_TYPE_TOP_UP, "payee_id": "ann"}
TRANSFER = {"type": trade_pb2.TRADE_TYPE_TRANSFER, "payer_id": "ann", "payee_id": "bob"}
WITHDRAWAL = {
    "type": trade_pb2.TRADE_TYPE_WITHDRAWAL,
    "payer_id": "ann",
    "beneficiary_id": BENEFICIARY,
}
INVALID, PRECONDITION = "INVALID_ARGUMENT", "FAILED_PRECONDITION"


# Paying


async def test_a_purchase_by_channel_is_answered_with_its_credential(
    shop: Shop, payments: PaymentCore
) -> None:
    """The answer shows the trade as it was accepted; the money's coming is heard of later."""
    trade = await shop.orders(payer_id="")
    answer = await shop.pays(trade)
    assert answer.trade.state == T.TRADE_STATE_PAYING
    assert answer.credential_id == f"crd_{answer.payment_id.removeprefix('pay_')}"
    asked = payments.asked[answer.payment_id]
    assert asked.purpose == payment_pb2.PAYMENT_PURPOSE_PURCHASE
    assert (asked.payer_id, asked.beneficiary_id, asked.original_payment_id) == ("", "", "")
    await payments.tells(answer.payment_id, "SUCCEEDED")
    paid = await shop.reaches(trade, "PAID")
    assert paid.paid_payment_id == answer.payment_id
    assert paid.refunded_amount == paid.refunding_amount == money(0)


@pytest.mark.parametrize("changes", [{}, TRANSFER, WITHDRAWAL],
                         ids=["purchase", "transfer", "withdrawal"])  # fmt: skip
async def test_a_payment_by_balance_is_answered_paid(
    changes: dict[str, Any], shop: Shop, payments: PaymentCore
) -> None:
    """PayTrade waits for the balance as it waits for a credential; asked again it says the same."""
    payments.decides = succeeds
    trade = await shop.orders(**changes)
    request = shop.pay_request(trade, by_balance(100_00))
    for _ in range(2):
        answer = await shop.trades.PayTrade(request, timeout=5)
        assert answer.trade.state == T.TRADE_STATE_PAID
        assert answer.trade.paid_payment_id == answer.payment_id
        assert answer.credential_id == ""
    asked = payments.asked[answer.payment_id]
    assert asked.payer_id == "ann"
    assert asked.beneficiary_id == changes.get("beneficiary_id", "")


@pytest.mark.parametrize("changes", [{}, TOP_UP, TRANSFER, WITHDRAWAL],
                         ids=["INSTANT", "TOP_UP", "TRANSFER", "WITHDRAWAL"])  # fmt: skip
async def test_the_books_hear_what_was_paid_and_between_whom(
    changes: dict[str, Any], shop: Shop, payments: PaymentCore, books: Books
) -> None:
    """The product selects how it is booked; the parties, on whose accounts."""
    payments.decides = succeeds
    trade = await shop.orders(**changes)
    by = by_channel if trade.type == trade_pb2.TRADE_TYPE_TOP_UP else by_balance
    answer = await shop.pays(trade, by(100_00))
    paid = await books.hears(trade)
    assert paid.product_code == trade_pb2.TradeType.Name(trade.type).removeprefix("TRADE_TYPE_")
    assert (paid.payer_id, paid.payee_id) == (trade.payer_id, trade.payee_id)
    assert (paid.merchant_id, paid.amount) == (shop.merchant_id, money(100_00))
    assert paid.payment_id == answer.payment_id


async def test_a_balance_that_does_not_suffice_is_answered_with_the_reason(
    shop: Shop, payments: PaymentCore
) -> None:
    """The trade is PENDING again; another tool may pay it."""
    payments.decides = fails
    trade = await shop.orders()
    answer = await shop.pays(trade, by_balance(100_00))
    assert answer.trade.state == T.TRADE_STATE_PENDING
    [attempt] = answer.trade.attempts
    assert attempt.state == A.ATTEMPT_STATE_FAILED
    assert attempt.failure_reason == "INSUFFICIENT_FUNDS"
    payments.decides = succeeds
    assert (await shop.pays(trade, by_balance(100_00))).trade.state == T.TRADE_STATE_PAID


async def test_a_combined_payment_has_a_credential_for_its_channel(
    shop: Shop, payments: PaymentCore
) -> None:
    """80.00 by channel and 20.00 by balance: the payment core gets both, and the payer."""
    trade = await shop.orders()
    answer = await shop.pays(trade, by_channel(80_00), by_balance(20_00))
    assert (answer.trade.state, bool(answer.credential_id)) == (T.TRADE_STATE_PAYING, True)
    asked = payments.asked[answer.payment_id]
    assert list(asked.tools) == [by_channel(80_00), by_balance(20_00)]
    assert asked.payer_id == "ann"


async def test_a_refusal_of_the_payment_core_fails_the_attempt_with_its_reason(
    shop: Shop, payments: PaymentCore
) -> None:
    """A verdict ends it; what only says "not now" is asked again, as the same request."""
    code = Code.FAILED_PRECONDITION
    payments.decides = lambda request: Refused(
        code=code, reason="BENEFICIARY_NOT_USABLE", message="deleted"
    )
    trade = await shop.orders(**WITHDRAWAL)
    answer = await shop.pays(trade, by_balance(100_00))
    assert answer.trade.attempts[0].failure_reason == "BENEFICIARY_NOT_USABLE"
    payments.decides = lambda request: Unavailable("not now")
    answer = await shop.pays(trade, by_balance(100_00))
    assert answer.trade.state == T.TRADE_STATE_PAYING
    payments.decides = succeeds
    await shop.reaches(trade, "PAID")
    assert payments.times[answer.payment_id] > 1


async def test_a_top_up_names_whose_balance_it_is(shop: Shop, payments: PaymentCore) -> None:
    payments.decides = succeeds
    trade = await shop.orders(**TOP_UP)
    assert trade.payee_id == "ann"
    answer = await shop.pays(trade)
    assert payments.asked[answer.payment_id].purpose == payment_pb2.PAYMENT_PURPOSE_TOP_UP
    await shop.reaches(trade, "PAID")


async def test_a_withdrawal_that_comes_back_is_returned(shop: Shop, payments: PaymentCore) -> None:
    """And while it is under way it can neither be closed nor paid again."""
    trade = await shop.orders(**WITHDRAWAL)
    answer = await shop.pays(trade, by_balance(100_00))
    assert answer.trade.state == T.TRADE_STATE_PAYING
    illegal = Refusal(PRECONDITION, "ILLEGAL_MOVE")
    assert await refusal(shop.closes(trade)) == illegal
    assert await refusal(shop.pays(trade, by_balance(100_00))) == illegal
    await payments.tells(answer.payment_id, "SUCCEEDED")
    await shop.reaches(trade, "PAID")
    await payments.tells(answer.payment_id, "RETURNED", "BOUNCED")
    found = await shop.reaches(trade, "RETURNED")
    assert found.attempts[0].state == A.ATTEMPT_STATE_RETURNED
    assert found.attempts[0].failure_reason == "BOUNCED"


# Creating


BAD_CREATES: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    ("a purchase with a payee", {"payee_id": "bob"}, ("payee_id",)),
    ("a purchase with a beneficiary", {"beneficiary_id": BENEFICIARY}, ("beneficiary_id",)),
    ("a top-up to nobody", TOP_UP | {"payee_id": ""}, ("payee_id",)),
    ("a transfer of nobody", TRANSFER | {"payer_id": ""}, ("payer_id",)),
    ("a transfer to oneself", TRANSFER | {"payee_id": "ann"}, ("payee_id",)),
    ("a withdrawal to nobody", WITHDRAWAL | {"beneficiary_id": ""}, ("beneficiary_id",)),
    ("no beneficiary's id", WITHDRAWAL | {"beneficiary_id": "bob"}, ("beneficiary_id",)),
    ("NUL in an id", TRANSFER | {"payee_id": "b\0b"}, ("payee_id",)),
    ("a long id", TRANSFER | {"payee_id": "b" * 65}, ("payee_id",)),
    ("nothing", {"amount": money(0)}, ("amount",)),
    ("less than nothing", {"amount": money(-1)}, ("amount",)),
    ("one cent too much", {"amount": money(10**16 + 1)}, ("amount",)),
    ("the largest integer", {"amount": money(2**63 - 1)}, ("amount",)),
    ("the smallest integer", {"amount": money(-(2**63))}, ("amount",)),
]


@pytest.mark.parametrize(("changes", "fields"), [case[1:] for case in BAD_CREATES],
                         ids=[case[0] for case in BAD_CREATES])  # fmt: skip
async def test_a_bad_trade_is_refused_with_the_field(
    changes: dict[str, Any], fields: tuple[str, ...], shop: Shop, database: Database
) -> None:
    """Nothing is written, so the request_id stays free."""
    before = database.counts()
    call = shop.trades.CreateTrade(shop.create_request(**changes))
    assert await refusal(call) == Refusal(INVALID, "INVALID_FIELD", fields)
    assert database.counts() == before


@pytest.mark.parametrize("minor", [1, 10**16])
async def test_the_smallest_and_the_largest_amount_are_taken(
    minor: int, shop: Shop, payments: PaymentCore
) -> None:
    """And paid, and refunded, to the last cent."""
    payments.decides = succeeds
    trade = await shop.orders(amount=money(minor))
    await shop.pays(trade)
    await shop.reaches(trade, "PAID")
    await shop.gives_back(trade, minor)
    assert (await shop.refunded(trade, "SUCCEEDED")).refunded_amount == money(minor)


UNREGISTERED: list[dict[str, str]] = [
    {"order_type": "app"},
    {"sub_type": "shoes"},
    {"pay_org_no": "2088"},
]


@pytest.mark.parametrize("changes", UNREGISTERED, ids=["order_type", "sub_type", "pay_org_no"])
async def test_an_unregistered_business_code_is_refused_until_it_is_registered(
    changes: dict[str, str], shop: Shop, trades: Trades, database: Database
) -> None:
    """All four elements count. The refusal is not kept: the same request succeeds afterwards, at
    once, here and at another process that has just refused it, too."""
    other = Shop.at(trades.caller(await trades.start("serve")), shop.merchant_id)
    request = shop.create_request(**changes)
    wanted = Refusal(PRECONDITION, "BUSINESS_CODE_NOT_REGISTERED")
    before = database.counts()
    for caller in (shop, other):
        assert await refusal(caller.trades.CreateTrade(request)) == wanted
    assert database.counts() == before
    await shop.registers(**changes)
    trade = (await other.trades.CreateTrade(request, timeout=5)).trade
    assert (await shop.trades.CreateTrade(request, timeout=5)).trade == trade


async def test_a_business_code_is_its_merchants_own(shop: Shop, trades: Trades) -> None:
    """What one has registered another cannot use."""
    other = await Shop.opened(trades.caller(await trades.start("serve")))
    await other.registers("app")
    wanted = Refusal(PRECONDITION, "BUSINESS_CODE_NOT_REGISTERED")
    assert await refusal(shop.orders(order_type="app")) == wanted


# Refunds


async def paid(shop: Shop, payments: PaymentCore, *tools: Any) -> Any:
    """A purchase of 100.00 that is paid; refunds of it stay under way."""
    payments.decides = lambda request: (
        (P.PAYMENT_STATE_PROCESSING, "") if request.original_payment_id else succeeds(request)
    )
    trade = await shop.orders()
    await shop.pays(trade, *tools)
    return await shop.reaches(trade, "PAID")


async def test_a_refund_is_accepted_at_once_and_carried_out_by_itself(
    shop: Shop, payments: PaymentCore
) -> None:
    """The answer has the reservation; the end is in GetTrade."""
    trade = await paid(shop, payments, by_channel(80_00), by_balance(20_00))
    request = shop.refund_request(trade.trade_id, 90_00)
    answer = await shop.trades.RefundTrade(request, timeout=5)
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
    assert (asked.amount, asked.payer_id) == (refund.amount, "ann")
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


async def _known(payments: PaymentCore, payment_id: str) -> bool:
    return payment_id in payments.states


async def test_the_same_refund_request_is_one_refund(shop: Shop, payments: PaymentCore) -> None:
    """Ten times at once and once later, when it has ended: one answer, as it was first given."""
    trade = await paid(shop, payments)
    request = shop.refund_request(trade.trade_id, 30_00)
    calls = [shop.trades.RefundTrade(request, timeout=5) for _ in range(10)]
    answers = await asyncio.gather(*calls)
    await payments_succeed(payments, answers[0].refund.payment_id)
    await shop.refunded(trade, "SUCCEEDED")
    answers.append(await shop.trades.RefundTrade(request, timeout=5))
    assert all(answer == answers[0] for answer in answers)
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
    top_up = await shop.orders(**TOP_UP)
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
