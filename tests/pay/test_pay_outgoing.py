"""Money that goes out, step by step: withdrawals and refunds; and cancels at every point."""

from __future__ import annotations

from typing import Any

import pytest

from pay_svc.payments.model import InstructionMoved, Purpose
from pay_svc.payments.steps import request_no_of
from tests.pay.drive import (
    BENEFICIARY_ID,
    ORIGINAL_ID,
    TRADE_ID,
    Drive,
    balance,
    channel,
    eur,
)

PURCHASE, TRANSFER = Purpose.PURCHASE, Purpose.TRANSFER
WITHDRAWAL, REFUND = Purpose.WITHDRAWAL, Purpose.REFUND


# Withdrawals


def paid_out() -> Drive:
    pay = Drive(WITHDRAWAL, balance(3000))
    pay.held()
    pay.channel("payout:0", "SUCCEEDED")
    return pay


def test_a_withdrawal_is_held_and_then_paid_out_by_the_beneficiarys_channel() -> None:
    pay = Drive(WITHDRAWAL, balance(3000))
    assert list(pay.asked) == ["RequestHold"]
    pay.held()
    assert (pay.state, list(pay.asked)) == ("PROCESSING", ["SendPayout"])
    ask = pay.asked["SendPayout"]
    assert (ask.channel, ask.beneficiary_id, ask.amount) == ("bank", BENEFICIARY_ID, eur(3000))
    pay.channel("payout:0", "SUCCEEDED")
    assert (pay.state, pay.taken()) == ("SUCCEEDED", 3000)
    assert pay.booked() == [("SUCCEEDED", "CHANNEL_PAYOUT", 3000)]
    assert pay.step("payout:0").hold_id == pay.step("hold:0").hold_id


@pytest.mark.parametrize("outcome", ["FAILED", "CLOSED"])
def test_a_declined_payout_lets_go_of_the_hold(outcome: str) -> None:
    pay = Drive(WITHDRAWAL, balance(3000))
    pay.held()
    pay.channel("payout:0", outcome)
    assert (pay.state, list(pay.asked)) == ("CLOSING", ["RequestRelease"])
    pay.released()
    assert (pay.state, pay.payment.failure_reason) == (outcome, f"WHY_{outcome}")
    assert pay.booked() == []


def test_a_payout_under_way_is_not_called_back() -> None:
    """Unknown is not failure: the hold stays, whatever is asked."""
    pay = Drive(WITHDRAWAL, balance(3000))
    pay.held()
    pay.cancel()
    pay.cancel(give_back=True)
    assert (pay.state, list(pay.asked)) == ("PROCESSING", ["SendPayout"])
    pay.channel("payout:0", "SUCCEEDED")
    pay.cancel(give_back=True)
    assert pay.state == "SUCCEEDED"


def test_a_withdrawal_can_be_called_back_before_its_payout() -> None:
    pay = Drive(WITHDRAWAL, balance(3000))
    pay.cancel()
    pay.held()
    pay.released()
    assert (pay.state, "payout:0" in pay.steps) == ("CLOSED", False)


def test_a_payout_that_comes_back_returns_the_payment() -> None:
    pay = paid_out()
    pay.channel("payout:0", "BOUNCED", reason="ACCOUNT_CLOSED")
    assert (pay.state, pay.payment.failure_reason) == ("RETURNED", "ACCOUNT_CLOSED")
    assert pay.booked() == [
        ("SUCCEEDED", "CHANNEL_PAYOUT", 3000),
        ("BOUNCED", "CHANNEL_PAYOUT", 3000),
    ]
    assert pay.published[-2:] == ["pay.instruction.bounced", "pay.payment.returned"]


def test_a_bounce_that_overtakes_the_success_tells_both() -> None:
    """Both are booked, each by its own event; the success that comes later is known."""
    pay = Drive(WITHDRAWAL, balance(3000))
    pay.held()
    pay.channel("payout:0", "BOUNCED")
    assert (pay.state, pay.steps["payout:0"]) == ("RETURNED", "BOUNCED")
    assert [state for state, _, _ in pay.booked()] == ["SUCCEEDED", "BOUNCED"]
    pay.channel("payout:0", "SUCCEEDED")
    assert pay.state == "RETURNED"


def test_a_payout_of_another_amount_keeps_the_hold_for_a_person() -> None:
    """The money has left: what is held for it is not free."""
    pay = Drive(WITHDRAWAL, balance(3000))
    pay.held()
    pay.channel("payout:0", "SUCCEEDED", moved=eur(2999))
    assert (pay.state, "-hold:0" in pay.steps) == ("SUSPENDED", False)
    assert pay.booked() == [("SUSPENDED", "CHANNEL_PAYOUT", 2999)]


def test_a_payout_that_succeeds_after_it_had_failed_is_suspended() -> None:
    """Its hold was released: only a person can say who pays for it."""
    for released in (False, True):
        pay = Drive(WITHDRAWAL, balance(3000))
        pay.held()
        pay.channel("payout:0", "FAILED")
        if released:
            pay.released()
        pay.channel("payout:0", "SUCCEEDED")
        if not released:
            assert pay.state == "CLOSING"
            pay.released()
        assert (pay.state, pay.payment.failure_reason) == ("SUSPENDED", "HOLD_ENDED")
        assert pay.booked() == [("SUSPENDED", "CHANNEL_PAYOUT", 3000)]


# Refunds


def test_a_refund_holds_on_the_merchant_after_the_trade_was_booked() -> None:
    """What came to a shut account, pending, available, then what it may owe us; all at once."""
    pay = Drive(REFUND, channel(8000), balance(2000))
    assert list(pay.asked) == ["RequestHold"]
    ask = pay.asked["RequestHold"]
    assert ask.amount == eur(10000)
    assert ask.after == ("trade.trade.paid/attribution", TRADE_ID)
    assert [(s.subject, s.owner) for s in ask.sources] == [
        ("MERCHANT_RETURNS_PAYABLE", "mer_1"),
        ("MERCHANT_PENDING", "mer_1"),
        ("MERCHANT_AVAILABLE", "mer_1"),
        ("MERCHANT_RECEIVABLE", "mer_1"),
    ]


def test_a_refund_goes_through_the_channel_first_and_then_to_the_balance() -> None:
    """The channel may say no; a transfer cannot fail, and has nothing after it."""
    pay = Drive(REFUND, channel(8000), balance(2000))
    pay.held()
    assert list(pay.asked) == ["SendRefund"]
    ask = pay.asked["SendRefund"]
    assert (ask.amount, pay.step("refund:0").channel) == (eur(8000), "sandbox")
    assert ask.original_request_no == request_no_of(ORIGINAL_ID, "collect:0")
    assert "transfer:0" not in pay.steps
    pay.channel("refund:0", "SUCCEEDED")
    assert (pay.state, pay.taken()) == ("SUCCEEDED", 10000)
    assert pay.booked() == [
        ("SUCCEEDED", "CHANNEL_REFUND", 8000),
        ("SUCCEEDED", "TRANSFER", 2000),
    ]
    moved = [e.payload for e in pay.events if isinstance(e.payload, InstructionMoved)]
    assert {m.payment.original_payment_id for m in moved} == {ORIGINAL_ID}
    assert {m.payment.payer_id for m in moved} == {"ann"}


@pytest.mark.parametrize(
    ("tools", "steps"),
    [
        ((channel(800),), {"hold:0": "SUCCEEDED", "refund:0": "SUCCEEDED"}),
        ((balance(200),), {"hold:0": "SUCCEEDED", "transfer:0": "SUCCEEDED"}),
    ],
)
def test_a_refund_by_one_tool_has_only_its_step(tools: Any, steps: dict[str, str]) -> None:
    pay = Drive(REFUND, *tools)
    pay.held()
    if "refund:0" in steps:
        pay.channel("refund:0", "SUCCEEDED")
    assert (pay.state, pay.steps) == ("SUCCEEDED", steps)


def test_a_refund_beyond_what_the_merchant_has_fails() -> None:
    pay = Drive(REFUND, channel(8000), balance(2000))
    pay.not_held()
    assert (pay.state, pay.payment.failure_reason) == ("FAILED", "INSUFFICIENT_FUNDS")


def test_a_refund_that_the_channel_declines_lets_go_of_the_whole_hold() -> None:
    pay = Drive(REFUND, channel(8000), balance(2000))
    pay.held()
    pay.cancel()  # too late to change anything
    pay.channel("refund:0", "FAILED")
    pay.released()
    assert (pay.state, pay.payment.failure_reason) == ("FAILED", "WHY_FAILED")
    assert pay.booked() == []


@pytest.mark.parametrize("heard_first", [True, False])
def test_a_refund_that_comes_back_is_returned(heard_first: bool) -> None:
    """The payer's account is gone: the channel's part is the merchant's again; the balance keeps
    its own. Where the bounce overtakes the success, both are told all the same."""
    pay = Drive(REFUND, channel(8000), balance(2000))
    pay.held()
    if not heard_first:
        pay.channel("refund:0", "SUCCEEDED")
    pay.channel("refund:0", "BOUNCED", reason="ACCOUNT_CLOSED")
    assert (pay.state, pay.payment.owner) == ("RETURNED", "")
    assert pay.payment.failure_reason == "ACCOUNT_CLOSED"
    assert pay.payment.succeeded_at is not None
    assert pay.booked() == [
        ("SUCCEEDED", "CHANNEL_REFUND", 8000),
        ("SUCCEEDED", "TRANSFER", 2000),
        ("BOUNCED", "CHANNEL_REFUND", 8000),
    ]
    assert pay.published[-1] == "pay.payment.returned"


def test_a_return_that_comes_back_waits_for_a_person() -> None:
    """Also after the payment was RETURNED."""
    pay = Drive(PURCHASE, channel(1234))
    pay.channel("collect:0", "SUCCEEDED")
    pay.cancel(give_back=True)
    pay.channel(pay.undoing("collect:0"), "SUCCEEDED")
    assert pay.state == "RETURNED"
    pay.channel(pay.undoing("collect:0"), "BOUNCED")
    assert (pay.state, pay.payment.owner) == ("SUSPENDED", "operator")


# Cancelled at every point


POINTS: dict[str, tuple[tuple[Any, ...], tuple[str, ...]]] = {
    "purchase": ((PURCHASE, channel(1234)), ("collect",)),
    "balance": ((TRANSFER, balance(500)), ("hold",)),
    "combined": ((PURCHASE, channel(8000), balance(2000)), ("hold", "collect")),
    "withdrawal": ((WITHDRAWAL, balance(3000)), ("hold", "payout")),
    "refund": ((REFUND, channel(8000), balance(2000)), ("hold", "refund")),
}


@pytest.mark.parametrize("give_back", [False, True])
@pytest.mark.parametrize("form", POINTS)
def test_a_payment_that_is_cancelled_at_any_point_ends_with_all_or_nothing(
    form: str, give_back: bool
) -> None:
    """Whatever had succeeded by then: it comes about, or what was done is undone."""
    payment, way = POINTS[form]
    for point in range(len(way) + 1):
        pay = Drive(*payment)
        for index, part in enumerate(way):
            if index == point:
                pay.cancel(give_back=give_back)
            if f"{part}:0" in pay.steps:
                pay.held() if part == "hold" else pay.channel(f"{part}:0", "SUCCEEDED")
        if point == len(way):
            pay.cancel(give_back=give_back)
        for i in pay.open():
            assert i.compensates, (form, point, i.kind)
            if i.kind == "RELEASE":
                pay.released()
            else:
                pay.channel(pay.undoing("collect:0"), "SUCCEEDED")
        came_about = pay.state == "SUCCEEDED"
        assert came_about or pay.state in {"CLOSED", "RETURNED"}, (form, point)
        whole = pay.payment.amount.minor
        if payment[0] in {WITHDRAWAL, REFUND}:
            assert pay.taken() == (whole if came_about else 0)
        else:
            assert pay.in_transit() == (whole if came_about else 0)
