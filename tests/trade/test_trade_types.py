"""Every trade type from its creation to its end, by the rules alone."""

from __future__ import annotations

import pytest

from paymesh.core import View
from paymesh.errors import IllegalMove, NotFound, PaymentError
from tests.trade.deal import BENEFICIARY, CONTEXT, TIMING, Deal, balance, channel
from trade_svc.trades.domain import pay_trade
from trade_svc.trades.model import BookTrade, CancelPayment, CloseReason, PaymentOutcome, PayTrade
from trade_svc.trades.refusals import MerchantShut, TradeExpired
from trade_svc.types import TRADE_TYPES
from trade_svc.types.declaration import AttemptState, Purpose, TradeState, TradeType

T, A, O = TradeState, AttemptState, PaymentOutcome  # noqa: E741
INSTANT, TOP_UP, TRANSFER, WITHDRAWAL = (
    TradeType.INSTANT, TradeType.TOP_UP, TradeType.TRANSFER, TradeType.WITHDRAWAL,
)  # fmt: skip
COLLECTED = [INSTANT, TOP_UP, TRANSFER]
"""Types whose money is taken from a payer, so that it may be tried again and given up."""


# What all types have in common


@pytest.mark.parametrize("type_", TRADE_TYPES)
def test_a_trade_is_paid_by_its_first_success(type_: TradeType) -> None:
    """PENDING, PAYING, PAID; the paying attempt is named; saying it again changes nothing."""
    deal = Deal(type_)
    assert deal.trade.state is T.PENDING
    payment_id = deal.pays()
    assert (deal.trade.state, deal.attempts) == (T.PAYING, [A.PROCESSING])
    happened = deal.hears(payment_id, O.SUCCEEDED)
    assert happened == ["trade.attempt.succeeded", "trade.trade.paid"]
    assert (deal.trade.state, deal.attempts) == (T.PAID, [A.SUCCEEDED])
    assert deal.trade.paid_payment_id == payment_id
    assert deal.owes() == []
    assert deal.hears(payment_id, O.SUCCEEDED) == []


@pytest.mark.parametrize("type_", COLLECTED)
def test_other_money_than_asked_for_is_a_persons_and_the_trade_can_be_paid_anew(
    type_: TradeType,
) -> None:
    """Whatever else is heard of that payment; also while it is taken back."""
    deal = Deal(type_)
    first = deal.pays()
    happened = deal.hears(first, O.SUSPENDED, "AMOUNT_MISMATCH")
    assert happened == ["trade.attempt.suspended", "trade.trade.pending"]
    assert (deal.trade.state, deal.attempts) == (T.PENDING, [A.SUSPENDED])
    assert deal.state.attempts[0].failure_reason == "AMOUNT_MISMATCH"
    for outcome in O:
        assert deal.hears(first, outcome) == []
    second = deal.pays()
    third = deal.pays()
    assert deal.hears(second, O.SUSPENDED) == ["trade.attempt.suspended"]
    deal.hears(third, O.SUCCEEDED)
    assert (deal.trade.state, deal.trade.paid_payment_id) == (T.PAID, third)
    assert deal.hears(third, O.SUSPENDED) == []
    assert deal.owes() == []


def test_what_went_out_otherwise_is_not_sent_again() -> None:
    """A person decides, and the trade is looked at until then."""
    deal = Deal(WITHDRAWAL)
    assert deal.hears(deal.pays(), O.SUSPENDED) == ["trade.attempt.suspended"]
    assert (deal.trade.state, deal.attempts) == (T.PAYING, [A.SUSPENDED])
    assert deal.trade.next_action_at is not None
    with pytest.raises(PaymentError):
        deal.pays()
    deal.expires()
    assert deal.trade.state is T.PAYING


@pytest.mark.parametrize("type_", COLLECTED)
def test_a_trade_that_is_booked_first_is_paid_when_the_ledger_has_it(type_: TradeType) -> None:
    """Nobody is told before; meanwhile it cannot be paid, closed or expire."""
    deal = Deal(type_, booked_before_paid=True)
    payment_id = deal.pays()
    happened = deal.hears(payment_id, O.SUCCEEDED)
    assert happened == ["trade.attempt.succeeded", "trade.trade.booking"]
    assert deal.owes() == [BookTrade(deal.trade.context, payment_id, deal.trade)]
    paid_at = deal.trade.paid_at
    for act in (deal.pays, deal.closes, lambda: deal.gives_back(1)):
        with pytest.raises(PaymentError):
            act()
    deal.expires()
    assert deal.hears(payment_id, O.SUCCEEDED) == []
    assert deal.booked(payment_id) == ["trade.trade.paid"]
    assert (deal.trade.state, deal.trade.paid_payment_id) == (T.PAID, payment_id)
    assert deal.trade.paid_at == paid_at
    assert deal.booked(payment_id) == deal.booked(payment_id, "ACCOUNT_NOT_OPEN") == []
    assert deal.owes() == []


@pytest.mark.parametrize("type_", COLLECTED)
def test_what_the_ledger_does_not_take_goes_back_and_other_money_may_come(
    type_: TradeType,
) -> None:
    deal = Deal(type_, booked_before_paid=True)
    first = deal.pays()
    deal.hears(first, O.SUCCEEDED)
    happened = deal.booked(first, "ACCOUNT_NOT_OPEN")
    assert happened == ["trade.attempt.returning", "trade.trade.pending"]
    assert (deal.trade.state, deal.trade.paid_payment_id, deal.trade.paid_at) == (
        T.PENDING, "", None,
    )  # fmt: skip
    [back] = deal.owes()
    assert (back.payment_id, back.return_if_succeeded) == (first, True)
    assert deal.state.attempts[0].failure_reason == "ACCOUNT_NOT_OPEN"
    assert deal.booked(first) == []  # an answer to the same request, come late
    second = deal.pays()
    deal.hears(second, O.SUCCEEDED)
    deal.hears(first, O.RETURNED)
    assert deal.booked(first, "ACCOUNT_NOT_OPEN") == []
    assert deal.booked(second) == ["trade.trade.paid"]
    assert deal.attempts == [A.RETURNED, A.SUCCEEDED]


def test_a_second_success_while_the_first_is_being_booked_goes_back() -> None:
    deal = Deal(INSTANT, booked_before_paid=True)
    first, second = deal.pays(), deal.pays()
    deal.hears(second, O.SUCCEEDED)
    deal.hears(first, O.SUCCEEDED)
    assert deal.attempts == [A.RETURNING, A.SUCCEEDED]
    deal.booked(second, "ACCOUNT_NOT_OPEN")
    assert deal.attempts == [A.RETURNING, A.RETURNING]
    deal.expires()
    assert deal.trade.state is T.CLOSED


@pytest.mark.parametrize("type_", TRADE_TYPES)
def test_an_attempt_that_failed_leaves_the_trade_payable(type_: TradeType) -> None:
    """Its reason is kept; the next attempt pays; a later word about the first is old news."""
    deal = Deal(type_)
    first = deal.pays()
    happened = deal.hears(first, O.FAILED, "INSUFFICIENT_FUNDS")
    assert happened == ["trade.attempt.failed", "trade.trade.pending"]
    assert deal.trade.state is T.PENDING
    assert deal.state.attempts[0].failure_reason == "INSUFFICIENT_FUNDS"
    deal.paid()
    assert deal.hears(first, O.CLOSED) == []
    assert deal.attempts == [A.FAILED, A.SUCCEEDED]


@pytest.mark.parametrize("type_", TRADE_TYPES)
def test_a_pending_trade_can_be_closed_and_expires(type_: TradeType) -> None:
    """On request, or when its time is over; then it can neither be paid nor closed again."""
    for how in ("on request", "by itself"):
        deal = Deal(type_)
        if how == "on request":
            deal.closes()
        else:
            deal.expires()
        assert deal.trade.state is T.CLOSED
        with pytest.raises(IllegalMove):
            deal.pays()
        with pytest.raises(IllegalMove):
            deal.closes()
        assert deal.owes() == []


@pytest.mark.parametrize("type_", TRADE_TYPES)
def test_a_paid_trade_can_neither_be_paid_nor_closed(type_: TradeType) -> None:
    deal = Deal(type_).paid()
    with pytest.raises(IllegalMove):
        deal.pays()
    with pytest.raises(IllegalMove):
        deal.closes()
    deal.closes(CloseReason.EXPIRED)  # the sweeper was late: nothing happens
    assert deal.trade.state is T.PAID


@pytest.mark.parametrize("type_", TRADE_TYPES)
def test_nothing_is_started_once_the_time_to_pay_is_over(type_: TradeType) -> None:
    deal = Deal(type_)
    deal.at = deal.trade.expires_at
    with pytest.raises(TradeExpired):
        deal.pays()


@pytest.mark.parametrize("type_", TRADE_TYPES)
def test_a_payment_that_is_not_of_this_trade_is_not_found(type_: TradeType) -> None:
    """It may be heard of too early: whoever reported it tries again."""
    deal = Deal(type_)
    with pytest.raises(NotFound):
        deal.hears("pay_of_somebody_else", O.SUCCEEDED)


@pytest.mark.parametrize("type_", TRADE_TYPES)
def test_each_type_asks_for_its_own_kind_of_payment(type_: TradeType) -> None:
    """With the payer only where a balance pays, and the beneficiary only of a withdrawal."""
    deal = Deal(type_)
    asked = deal.asks(deal.pays())
    purposes = {
        INSTANT: Purpose.PURCHASE,
        TOP_UP: Purpose.TOP_UP,
        TRANSFER: Purpose.TRANSFER,
        WITHDRAWAL: Purpose.WITHDRAWAL,
    }
    assert asked.purpose is purposes[type_]
    assert asked.payer_id == ("ann" if type_ in {TRANSFER, WITHDRAWAL} else "")
    assert asked.beneficiary_id == (BENEFICIARY if type_ is WITHDRAWAL else "")
    assert asked.original_payment_id == ""
    assert deal.trade.declaration.product_code == type_.value


def test_a_merchant_that_is_shut_sells_nothing() -> None:
    """In that currency; and what it does not sell, it does not receive."""
    shut = frozenset({(CONTEXT.merchant_id, "EUR")})
    with pytest.raises(MerchantShut):
        Deal(INSTANT, changes={"shut": shut})
    elsewhere = frozenset({(CONTEXT.merchant_id, "USD"), ("mer_other", "EUR")})
    deal = Deal(INSTANT, changes={"shut": elsewhere})
    command = PayTrade(deal.trade.id, CONTEXT.merchant_id, "pay_1", (channel(100_00),), shut)
    with pytest.raises(MerchantShut):
        pay_trade(deal.state, command, deal.at, View(), timing=TIMING)
    for type_ in (TOP_UP, TRANSFER, WITHDRAWAL):
        assert Deal(type_, changes={"shut": shut}).trade.state is T.PENDING


def test_a_type_without_declaration_is_not_offered() -> None:
    """A refund is no trade of its own: it is a part of the trade that it gives back."""
    assert set(TRADE_TYPES) == {INSTANT, TOP_UP, TRANSFER, WITHDRAWAL}
    assert [t for t, kind in TRADE_TYPES.items() if kind.refundable] == [INSTANT]
    assert [t for t, kind in TRADE_TYPES.items() if kind.may_come_back] == [WITHDRAWAL]


# Types that take money from a payer


@pytest.mark.parametrize("type_", COLLECTED)
def test_the_payer_may_start_anew_and_the_first_success_wins(type_: TradeType) -> None:
    """The former attempt is taken back; if it succeeds all the same, its money is returned."""
    deal = Deal(type_)
    first, second = deal.pays(), deal.pays()
    assert deal.attempts == [A.CLOSING, A.PROCESSING]
    deal.hears(second, O.SUCCEEDED)
    assert deal.hears(first, O.SUCCEEDED) == ["trade.attempt.returning"]
    [asked] = deal.owes()
    assert isinstance(asked, CancelPayment)
    assert asked.return_if_succeeded
    assert deal.hears(first, O.RETURNED) == ["trade.attempt.returned"]
    assert deal.attempts == [A.RETURNED, A.SUCCEEDED]
    assert deal.trade.paid_payment_id == second


@pytest.mark.parametrize("type_", COLLECTED)
def test_an_attempt_that_is_being_taken_back_may_still_pay(type_: TradeType) -> None:
    """Then the newer one is taken back; it ends without money."""
    deal = Deal(type_)
    first, second = deal.pays(), deal.pays()
    happened = deal.hears(first, O.SUCCEEDED)
    assert happened == ["trade.attempt.succeeded", "trade.trade.paid", "trade.attempt.closing"]
    assert deal.attempts == [A.SUCCEEDED, A.CLOSING]
    assert deal.hears(second, O.CLOSED) == ["trade.attempt.closed"]
    assert deal.trade.paid_payment_id == first


@pytest.mark.parametrize("type_", COLLECTED)
def test_late_success_pays_an_open_trade_and_is_returned_by_a_closed_one(
    type_: TradeType,
) -> None:
    """Of an attempt that had failed: its reason is forgotten."""
    deal = Deal(type_)
    payment_id = deal.pays()
    deal.hears(payment_id, O.FAILED, "TIMED_OUT")
    deal.hears(payment_id, O.SUCCEEDED)
    assert (deal.trade.state, deal.state.attempts[0].failure_reason) == (T.PAID, "")

    closed = Deal(type_)
    payment_id = closed.pays()
    closed.closes()
    assert closed.attempts == [A.CLOSING]
    closed.hears(payment_id, O.CLOSED)
    assert closed.hears(payment_id, O.SUCCEEDED) == ["trade.attempt.returning"]
    closed.hears(payment_id, O.RETURNED)
    assert (closed.trade.state, closed.attempts) == (T.CLOSED, [A.RETURNED])


@pytest.mark.parametrize("type_", COLLECTED)
def test_a_trade_under_way_expires_and_takes_its_attempt_back(type_: TradeType) -> None:
    deal = Deal(type_)
    deal.pays()
    deal.expires()
    assert (deal.trade.state, deal.attempts) == (T.CLOSED, [A.CLOSING])
    [asked] = deal.owes()
    assert isinstance(asked, CancelPayment)


def test_a_payment_that_gave_its_money_back_by_itself_leaves_the_trade_payable() -> None:
    """The channel had paid, the balance did not suffice: it never succeeded, and it is over."""
    deal = Deal()
    payment_id = deal.pays(channel(80_00), balance(20_00))
    happened = deal.hears(payment_id, O.RETURNED, "INSUFFICIENT_FUNDS")
    assert happened == [
        "trade.attempt.returning", "trade.attempt.returned", "trade.trade.pending",
    ]  # fmt: skip
    assert (deal.trade.state, deal.attempts) == (T.PENDING, [A.RETURNED])
    assert deal.state.attempts[0].failure_reason == "INSUFFICIENT_FUNDS"
    assert deal.hears(payment_id, O.SUCCEEDED) == []
    deal.paid()


def test_money_of_a_paid_purchase_does_not_come_back_by_itself() -> None:
    """Such a report contradicts the trade: it is refused for good, so that a person reads it."""
    deal = Deal().paid()
    with pytest.raises(IllegalMove):
        deal.hears(deal.trade.paid_payment_id, O.RETURNED)


# Withdrawals


def test_a_withdrawal_under_way_can_neither_be_stopped_nor_tried_again() -> None:
    """Nor does it expire: what the bank may have carried out is waited for."""
    deal = Deal(WITHDRAWAL)
    payment_id = deal.pays()
    with pytest.raises(IllegalMove):
        deal.pays()
    with pytest.raises(IllegalMove):
        deal.closes()
    deal.expires()
    deal.closes(CloseReason.EXPIRED)
    assert (deal.trade.state, deal.attempts) == (T.PAYING, [A.PROCESSING])
    deal.hears(payment_id, O.SUCCEEDED)
    assert deal.trade.state is T.PAID


def test_a_withdrawal_that_failed_after_its_time_is_closed() -> None:
    """It is PENDING again, and the sweeper finds that its time is over."""
    deal = Deal(WITHDRAWAL)
    payment_id = deal.pays()
    deal.expires()
    deal.hears(payment_id, O.FAILED, "BENEFICIARY_NOT_USABLE")
    assert deal.trade.state is T.PENDING
    assert deal.trade.next_action_at == deal.at
    deal.expires()
    assert deal.trade.state is T.CLOSED


@pytest.mark.parametrize("heard", [[O.SUCCEEDED, O.RETURNED], [O.RETURNED, O.SUCCEEDED]])
def test_a_payout_that_bounces_returns_the_withdrawal(heard: list[PaymentOutcome]) -> None:
    """Also when the bounce is heard of before the success: both are told, in their order."""
    deal = Deal(WITHDRAWAL)
    payment_id = deal.pays()
    happened = [name for outcome in heard for name in deal.hears(payment_id, outcome, "BOUNCED")]
    assert happened == [
        "trade.attempt.succeeded",
        "trade.trade.paid",
        "trade.trade.returned",
        "trade.attempt.returned",
    ]
    assert (deal.trade.state, deal.attempts) == (T.RETURNED, [A.RETURNED])
    assert deal.trade.paid_payment_id == payment_id
    assert deal.state.attempts[0].failure_reason == "BOUNCED"
    assert deal.hears(payment_id, O.RETURNED) == []
    assert deal.owes() == []


def test_a_payout_that_succeeds_for_a_closed_withdrawal_stays_open_until_it_is_back() -> None:
    """It cannot be, but if it is, it is never forgotten: asked back until the payment says so."""
    deal = Deal(WITHDRAWAL)
    payment_id = deal.pays()
    deal.hears(payment_id, O.FAILED, "BENEFICIARY_NOT_USABLE")
    deal.closes()
    assert deal.hears(payment_id, O.SUCCEEDED) == ["trade.attempt.returning"]
    assert deal.trade.state is T.CLOSED
    [asked] = deal.owes()
    assert isinstance(asked, CancelPayment)
    assert asked.return_if_succeeded
    # The payment core answers what it knows already: the ladder goes on as it was.
    due = deal.trade.next_action_at
    assert deal.hears(payment_id, O.SUCCEEDED) == []
    assert deal.trade.next_action_at == due
    assert deal.hears(payment_id, O.RETURNED) == ["trade.attempt.returned"]
    assert deal.owes() == []


def test_a_payout_that_succeeds_late_pays_an_open_withdrawal() -> None:
    """And one that was under way beside it is returned."""
    deal = Deal(WITHDRAWAL)
    first = deal.pays()
    deal.hears(first, O.FAILED)
    second = deal.pays()
    deal.hears(first, O.SUCCEEDED)
    assert (deal.trade.state, deal.attempts) == (T.PAID, [A.SUCCEEDED, A.CLOSING])
    deal.hears(second, O.SUCCEEDED)
    assert deal.attempts == [A.SUCCEEDED, A.RETURNING]
    assert deal.hears(second, O.RETURNED) == ["trade.attempt.returned"]
    assert deal.trade.state is T.PAID
