"""Refunds by the rules alone: what is reserved, what comes back by which tool, what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paymesh.errors import CurrencyMismatch, IllegalMove, NotFound
from paymesh.tools import Tool
from tests.trade.deal import CONTEXT, Deal, balance, channel
from trade_svc.trades.model import PaymentOutcome, Refund
from trade_svc.trades.refusals import NotRefundable, RefundExceeds
from trade_svc.types.declaration import Purpose, RefundState, TradeState, TradeType

R, O = RefundState, PaymentOutcome  # noqa: E741


def parts(refund: Refund) -> list[tuple[str, int]]:
    """Which tool gives back how many cents."""
    return [(tool.channel or "balance", tool.amount.minor) for tool in refund.tools]


def test_a_refund_is_reserved_when_it_begins_and_given_back_when_it_succeeds() -> None:
    """Each step is a version of the trade with its event; only the end is published."""
    deal = Deal().paid()
    refund = deal.gives_back(30_00)
    assert deal.sums == (0, 30_00)
    assert [(e.type, e.published) for e in deal.log[-2:]] == [
        ("trade.refund.processing", False),
        ("trade.trade.refunding", False),
    ]
    assert deal.hears(refund.payment_id, O.SUCCEEDED) == [
        "trade.refund.succeeded",
        "trade.trade.refunded",
    ]
    assert [e.published for e in deal.log[-2:]] == [False, True]
    assert (deal.sums, deal.refunds) == ((30_00, 0), [R.SUCCEEDED])
    assert deal.state.refunds[0].ended_at == deal.at
    assert deal.trade.state is TradeState.PAID
    assert deal.owes() == []


def test_partial_partial_and_the_rest_give_all_back() -> None:
    """Then nothing is left."""
    deal = Deal().paid()
    for minor in (33_33, 33_33, 33_34):
        deal.hears(deal.gives_back(minor).payment_id, O.SUCCEEDED)
    assert deal.sums == (100_00, 0)
    with pytest.raises(RefundExceeds) as refused:
        deal.gives_back(1)
    assert refused.value.metadata == {"refundable_minor_units": "0"}


def test_of_several_at_once_only_those_begin_that_fit() -> None:
    """What is reserved counts as gone, before anybody knows the outcome."""
    deal = Deal().paid()
    for _ in range(3):
        deal.gives_back(30_00)
    for _ in range(7):
        with pytest.raises(RefundExceeds) as refused:
            deal.gives_back(30_00)
        assert refused.value.metadata == {"refundable_minor_units": "1000"}
    assert deal.sums == (0, 90_00)
    deal.gives_back(10_00)
    assert deal.trade.refundable_minor == 0


def test_an_unknown_outcome_keeps_the_reservation_and_is_asked_again() -> None:
    """Always by the same payment: whenever the trade is looked at, the same request is owed."""
    deal = Deal().paid()
    refund = deal.gives_back(60_00)
    asked = deal.asks(refund.payment_id)
    for _ in range(3):
        deal.at = deal.trade.next_action_at or deal.at
        assert deal.owes() == [asked]
        with pytest.raises(RefundExceeds):
            deal.gives_back(40_01)
    assert deal.sums == (0, 60_00)


@pytest.mark.parametrize("outcome", [O.FAILED, O.CLOSED])
def test_a_refund_that_failed_frees_what_it_had_reserved(outcome: PaymentOutcome) -> None:
    """Its reason is kept, the merchant hears of it, and another may follow."""
    deal = Deal().paid()
    refund = deal.gives_back(100_00)
    happened = deal.hears(refund.payment_id, outcome, "INSUFFICIENT_FUNDS")
    assert happened == ["trade.refund.failed", "trade.trade.refund_failed"]
    assert (deal.sums, deal.state.refunds[0].failure_reason) == ((0, 0), "INSUFFICIENT_FUNDS")
    again = deal.gives_back(100_00)
    deal.hears(again.payment_id, O.SUCCEEDED)
    assert (deal.sums, deal.refunds) == ((100_00, 0), [R.FAILED, R.SUCCEEDED])


def test_what_was_heard_already_changes_nothing() -> None:
    """Nothing undoes a success but its coming back; a failure is heard twice like once."""
    deal = Deal().paid()
    done, failed = deal.gives_back(10_00), deal.gives_back(20_00)
    deal.hears(done.payment_id, O.SUCCEEDED)
    deal.hears(failed.payment_id, O.FAILED)
    version = deal.trade.version
    for outcome in set(O) - {O.RETURNED}:
        assert deal.hears(done.payment_id, outcome) == []
    for outcome in (O.FAILED, O.CLOSED):
        assert deal.hears(failed.payment_id, outcome) == []
    assert (deal.sums, deal.trade.version) == ((10_00, 0), version)


@pytest.mark.parametrize("told", [(O.SUCCEEDED, O.RETURNED), (O.RETURNED, O.SUCCEEDED)])
def test_what_came_back_can_be_refunded_again(told: tuple[PaymentOutcome, ...]) -> None:
    """Of a combined one the channel's part; the merchant hears both. Also heard the other way."""
    deal = Deal().paid(channel(80_00), balance(20_00))
    refund = deal.gives_back(90_00)
    happened = [
        type_ for outcome in told for type_ in deal.hears(refund.payment_id, outcome, "GONE")
    ]
    assert happened == [
        "trade.refund.succeeded",
        "trade.trade.refunded",
        "trade.refund.returned",
        "trade.trade.refund_returned",
    ]
    [found] = deal.state.refunds
    assert (found.state, found.returned_minor, found.failure_reason) == (R.RETURNED, 80_00, "GONE")
    assert deal.sums == (10_00, 0)
    for outcome in set(O):
        assert deal.hears(refund.payment_id, outcome) == []
    again = deal.gives_back(90_00)
    assert parts(again) == [("sandbox", 80_00), ("balance", 10_00)]
    deal.hears(again.payment_id, O.SUCCEEDED)
    assert deal.sums == (100_00, 0)


def test_a_refund_onto_a_balance_does_not_come_back() -> None:
    deal = Deal().paid(balance(100_00))
    refund = deal.gives_back(1_00)
    with pytest.raises(IllegalMove):
        deal.hears(refund.payment_id, O.RETURNED)
    assert deal.sums == (0, 1_00)


def test_a_success_after_a_failure_is_refused_for_good() -> None:
    """Its amount may be promised to another refund by now: its event is parked for a person."""
    deal = Deal().paid()
    refund = deal.gives_back(100_00)
    deal.hears(refund.payment_id, O.FAILED)
    deal.gives_back(100_00)
    with pytest.raises(IllegalMove):
        deal.hears(refund.payment_id, O.SUCCEEDED)
    assert deal.sums == (0, 100_00)


def test_outcomes_come_in_any_order() -> None:
    """The refund that began last may end first."""
    deal = Deal().paid()
    first, second, third = (deal.gives_back(minor) for minor in (10_00, 20_00, 30_00))
    deal.hears(third.payment_id, O.SUCCEEDED)
    assert deal.sums == (30_00, 30_00)
    deal.hears(first.payment_id, O.FAILED)
    deal.hears(second.payment_id, O.SUCCEEDED)
    assert deal.sums == (50_00, 0)


# What is asked of the payment core


def test_a_refund_asks_for_a_payment_of_its_own_chain() -> None:
    """It gives back the payment that paid the trade; its parent is the trade's chain."""
    deal = Deal().paid(channel(80_00), balance(20_00))
    refund = deal.gives_back(90_00)
    asked = deal.asks(refund.payment_id)
    assert (asked.purpose, asked.trade_id) == (Purpose.REFUND, deal.trade.id)
    assert asked.original_payment_id == deal.trade.paid_payment_id
    assert (asked.amount, asked.tools, asked.payer_id) == (refund.amount, refund.tools, "ann")
    assert asked.context == refund.context
    assert asked.context.parent_business_id == CONTEXT.business_id
    assert asked.context.business_id not in {"", CONTEXT.business_id}
    assert asked.context.merchant_id == CONTEXT.merchant_id
    assert asked.expires_at > deal.at


def test_a_refund_through_the_channel_alone_names_no_payer() -> None:
    """No balance takes part."""
    deal = Deal().paid(channel(100_00))
    assert deal.asks(deal.gives_back(1).payment_id).payer_id == ""


# By which tools


def test_money_goes_back_through_the_channel_first() -> None:
    """80.00 by channel and 20.00 by balance: of 90.00 back, 10.00 go onto the balance."""
    deal = Deal().paid(balance(20_00), channel(80_00))
    assert parts(deal.gives_back(50_00)) == [("sandbox", 50_00)]
    assert parts(deal.gives_back(40_00)) == [("sandbox", 30_00), ("balance", 10_00)]
    assert parts(deal.gives_back(10_00)) == [("balance", 10_00)]


def test_what_a_failed_refund_had_reserved_of_a_tool_is_free_again() -> None:
    deal = Deal().paid(channel(80_00), balance(20_00))
    first = deal.gives_back(90_00)
    assert parts(first) == [("sandbox", 80_00), ("balance", 10_00)]
    deal.hears(first.payment_id, O.FAILED)
    second = deal.gives_back(70_00)
    assert parts(second) == [("sandbox", 70_00)]
    deal.hears(second.payment_id, O.SUCCEEDED)
    assert parts(deal.gives_back(30_00)) == [("sandbox", 10_00), ("balance", 20_00)]


def test_only_the_tools_of_the_attempt_that_paid_count() -> None:
    """A former attempt by channel was given up; the balance paid, so the balance gets it back."""
    deal = Deal()
    former = deal.pays(channel(100_00))
    deal.hears(former, O.FAILED)
    deal.paid(balance(100_00))
    assert parts(deal.gives_back(60_00)) == [("balance", 60_00)]


@given(
    by_channel=st.integers(0, 10**16),
    by_balance=st.integers(0, 10**16),
    shares=st.lists(st.integers(1, 10**16), max_size=6),
)
def test_tools_give_back_exactly_what_they_had_paid(
    by_channel: int, by_balance: int, shares: list[int]
) -> None:
    """However the whole is cut into refunds."""
    tools: list[Tool] = [channel(by_channel)] * (by_channel > 0)
    tools += [balance(by_balance)] * (by_balance > 0)
    total = by_channel + by_balance
    if not total:
        return
    deal = Deal(minor=total).paid(*tools)
    given_back: dict[str, int] = {}
    for share in [*shares, total]:
        left = deal.trade.refundable_minor
        if left:
            for tool, minor in parts(deal.gives_back(min(share, left))):
                given_back[tool] = given_back.get(tool, 0) + minor
    assert given_back == {tool.channel or "balance": tool.amount.minor for tool in tools}


# What is refused


@pytest.mark.parametrize("type_", [TradeType.TOP_UP, TradeType.TRANSFER, TradeType.WITHDRAWAL])
def test_other_types_are_not_refunded(type_: TradeType) -> None:
    """A top-up is undone by a withdrawal, a transfer by another."""
    with pytest.raises(NotRefundable):
        Deal(type_).paid().gives_back(1)


def test_a_trade_that_is_not_paid_is_not_refunded() -> None:
    deal = Deal()
    with pytest.raises(NotRefundable):
        deal.gives_back(1)
    deal.pays()
    with pytest.raises(NotRefundable):
        deal.gives_back(1)
    deal.closes()
    with pytest.raises(NotRefundable):
        deal.gives_back(1)


def test_a_refund_is_not_refunded() -> None:
    deal = Deal().paid()
    refund = deal.gives_back(50_00)
    with pytest.raises(NotRefundable):
        deal.gives_back(1, trade_id=refund.id)


def test_an_unknown_trade_is_not_found() -> None:
    deal = Deal()
    deal.state = type(deal.state)(None)
    with pytest.raises(NotFound):
        deal.gives_back(1, trade_id="trd_unknown")


def test_another_currency_is_refused() -> None:
    deal = Deal().paid()
    with pytest.raises(CurrencyMismatch):
        deal.gives_back(1, currency="USD")
    assert deal.sums == (0, 0)


@pytest.mark.parametrize("minor", [100_01, 10**16, 2**63 - 1])
def test_more_than_was_paid_is_refused(minor: int) -> None:
    """However large: integers here do not overflow, and the largest is refused like the rest."""
    deal = Deal().paid()
    with pytest.raises(RefundExceeds) as refused:
        deal.gives_back(minor)
    assert refused.value.metadata == {"refundable_minor_units": "10000"}
    assert deal.sums == (0, 0)


def test_the_largest_trade_is_refunded_to_the_last_cent() -> None:
    deal = Deal(minor=10**16).paid()
    deal.hears(deal.gives_back(10**16 - 1).payment_id, O.SUCCEEDED)
    with pytest.raises(RefundExceeds):
        deal.gives_back(2)
    deal.hears(deal.gives_back(1).payment_id, O.SUCCEEDED)
    assert deal.sums == (10**16, 0)
