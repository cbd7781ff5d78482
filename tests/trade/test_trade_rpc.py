"""Trades of every type over real calls: what is answered, what is asked, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from payments.pay.v1 import payment_pb2
from payments.trade.v1 import trade_pb2

from paymesh.errors import Code, Refused, Unavailable
from tests.trade.actors import Books, PaymentCore, fails, succeeds
from tests.trade.trade_world import (
    BENEFICIARY,
    RPC_TIMEOUT_S,
    Database,
    Refusal,
    Shop,
    Trades,
    by_balance,
    by_channel,
    money,
    refusal,
    wallet,
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
        answer = await shop.trades.PayTrade(request, timeout=RPC_TIMEOUT_S)
        assert answer.trade.state == T.TRADE_STATE_PAID
        assert answer.trade.paid_payment_id == answer.payment_id
        assert answer.credential_id == ""
    asked = payments.asked[answer.payment_id]
    assert asked.payer_id == wallet(trade, "ann")
    withdrawn_to = changes.get("beneficiary_id", "")
    assert asked.beneficiary_id == withdrawn_to
    assert asked.beneficiary_owner_id == ("ann" if withdrawn_to else "")


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
    assert paid.payer_id == wallet(trade, trade.payer_id)
    assert paid.payee_id == wallet(trade, trade.payee_id)
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
    assert asked.payer_id == wallet(trade, "ann")


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
    ("a blank behind an id", TRANSFER | {"payee_id": "bob "}, ("payee_id",)),
    ("a line break", {"subject": "two\nlines"}, ("subject",)),
    ("a text that runs backwards", {"subject": "abc\u202edcba"}, ("subject",)),
    ("an escape", {"merchant_order_no": "\x1b[31m7"}, ("merchant_order_no",)),
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
    trade = (await other.trades.CreateTrade(request, timeout=RPC_TIMEOUT_S)).trade
    assert (await shop.trades.CreateTrade(request, timeout=RPC_TIMEOUT_S)).trade == trade


async def test_a_business_code_is_its_merchants_own(shop: Shop, trades: Trades) -> None:
    """What one has registered another cannot use."""
    other = await Shop.opened(trades.caller(await trades.start("serve")))
    await other.registers("app")
    wanted = Refusal(PRECONDITION, "BUSINESS_CODE_NOT_REGISTERED")
    assert await refusal(shop.orders(order_type="app")) == wanted
