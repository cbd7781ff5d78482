"""Money that comes in, step by step: what is asked of whom, what moves, what is booked."""

from __future__ import annotations

from itertools import permutations

import pytest

from pay_svc.payments.model import Purpose
from paymesh.errors import IllegalMove
from paymesh.ids import body_of
from paymesh.money import Money
from tests.pay.drive import (
    PAYMENT_ID,
    Drive,
    balance,
    channel,
    eur,
)

PURCHASE, TOP_UP, TRANSFER = Purpose.PURCHASE, Purpose.TOP_UP, Purpose.TRANSFER
WITHDRAWAL, REFUND = Purpose.WITHDRAWAL, Purpose.REFUND


def combined() -> Drive:
    return Drive(PURCHASE, channel(8000), balance(2000))


# One channel: as it always was


@pytest.mark.parametrize("purpose", [PURCHASE, TOP_UP])
def test_a_channel_collects_and_the_payment_has_succeeded(purpose: Purpose) -> None:
    """One instruction, two published events, nothing else."""
    pay = Drive(purpose, channel(1234))
    assert list(pay.asked) == ["SendPrepay"]
    pay.channel("collect:0", "SUCCEEDED")
    assert (pay.state, pay.steps) == ("SUCCEEDED", {"collect:0": "SUCCEEDED"})
    assert sorted(pay.published) == ["pay.instruction.succeeded", "pay.payment.succeeded"]
    assert [(e.type, e.sequence) for e in pay.events] == [
        ("pay.payment.created", 1),
        ("pay.instruction.started", 1),
        ("pay.instruction.succeeded", 2),
        ("pay.payment.succeeded", 2),
    ]
    assert pay.asked == {}


@pytest.mark.parametrize("outcome", ["FAILED", "CLOSED"])
def test_a_collection_without_money_ends_the_payment_at_once(outcome: str) -> None:
    """In one move, with the channel's reason."""
    pay = Drive(PURCHASE, channel(1234))
    pay.channel("collect:0", outcome)
    assert (pay.state, pay.payment.version) == (outcome, 2)
    assert pay.payment.failure_reason == f"WHY_{outcome}"
    assert pay.published == [f"pay.payment.{outcome.lower()}"]


@pytest.mark.parametrize("outcome", ["SUCCEEDED", "FAILED", "CLOSED"])
def test_a_cancelled_collection_ends_as_the_channel_says(outcome: str) -> None:
    """It is closed first, and may still succeed."""
    pay = Drive(PURCHASE, channel(1234))
    pay.cancel()
    assert (pay.state, pay.steps) == ("CLOSING", {"collect:0": "CLOSING"})
    assert list(pay.asked) == ["SendClose"]
    pay.channel("collect:0", outcome)
    assert (pay.state, pay.payment.version) == (outcome, 3)


@pytest.mark.parametrize("outcome", ["FAILED", "CLOSED"])
def test_late_money_makes_a_success_of_an_end_without_money(outcome: str) -> None:
    pay = Drive(PURCHASE, channel(1234))
    pay.channel("collect:0", outcome)
    pay.channel("collect:0", "SUCCEEDED")
    assert (pay.state, pay.payment.failure_reason) == ("SUCCEEDED", "")
    pay.channel("collect:0", outcome)  # told once more, late
    assert pay.state == "SUCCEEDED"


def test_a_success_that_is_not_wanted_goes_back_through_its_channel() -> None:
    """By a number that follows from the collection's."""
    pay = Drive(PURCHASE, channel(1234))
    pay.channel("collect:0", "SUCCEEDED")
    pay.cancel()
    assert pay.state == "SUCCEEDED"
    pay.cancel(give_back=True)
    assert (pay.state, list(pay.asked)) == ("RETURNING", ["SendRefund"])
    ask = pay.asked["SendRefund"]
    assert ask.original_request_no == pay.step("collect:0").request_no
    assert ask.request_no == pay.step(pay.undoing("collect:0")).request_no
    pay.channel(pay.undoing("collect:0"), "SUCCEEDED")
    assert pay.state == "RETURNED"
    assert pay.in_transit() == 0


@pytest.mark.parametrize("outcome", ["FAILED", "CLOSED"])
def test_a_return_that_is_refused_waits_for_a_person(outcome: str) -> None:
    pay = Drive(PURCHASE, channel(1234))
    pay.channel("collect:0", "SUCCEEDED")
    pay.cancel(give_back=True)
    pay.channel(pay.undoing("collect:0"), outcome)
    assert (pay.state, pay.payment.owner) == ("SUSPENDED", "operator")
    assert pay.payment.failure_reason == f"WHY_{outcome}"


@pytest.mark.parametrize(
    ("moved", "reason"),
    [(eur(1235), "AMOUNT_MISMATCH"), (Money("USD", 1234), "CURRENCY_MISMATCH")],
)
def test_other_money_than_asked_for_is_suspended(moved: Money, reason: str) -> None:
    """At what really moved; also when it comes after an end without money."""
    for late in (False, True):
        pay = Drive(PURCHASE, channel(1234))
        if late:
            pay.channel("collect:0", "CLOSED")
        pay.channel("collect:0", "SUCCEEDED", moved=moved)
        assert (pay.state, pay.payment.failure_reason) == ("SUSPENDED", reason)
        assert pay.step("collect:0").observed == moved
        assert pay.booked() == [("SUSPENDED", "CHANNEL_COLLECT", moved.minor)]


def test_a_collection_does_not_bounce() -> None:
    """Nobody knows what that would mean: the report is parked, nothing changes."""
    pay = Drive(PURCHASE, channel(1234))
    pay.channel("collect:0", "SUCCEEDED")
    with pytest.raises(IllegalMove):
        pay.channel("collect:0", "BOUNCED")


def test_the_numbers_of_steps_never_change() -> None:
    """They stand at channels and in the ledger: another number would be another order or hold."""
    pay = combined()
    pay.held()
    pay.channel("collect:0", "SUCCEEDED")
    pay.cancel(give_back=True)
    assert PAYMENT_ID == "pay_cn2kbzuqd7ukb35lnvicwejz6tew"
    assert {
        i.kind + (" back" if i.compensates else ""): i.request_no for i in pay.view.instructions
    } == {
        "HOLD": "cnulrv4peowzowwazuydarfl2wz2",
        "CHANNEL_COLLECT": "cnqshyootzxdeeboerwf2dtsicuc",
        "TRANSFER": "cnjy7iheclio6rffqp25tpr2uknw",
        "TRANSFER back": "cnfcj44v4yq4qsidj3logus45x5c",
        "CHANNEL_REFUND back": "cn6zbb2qxpcoyou6yk2qdewzftvs",
    }


# Balances


def test_whom_held_money_is_for_is_told_where_his_account_may_take_nothing() -> None:
    """A merchant's purchase, a user's transfer; nobody else could still be refused."""
    asked = [
        Drive(PURCHASE, balance(500)),
        Drive(TRANSFER, balance(500), payee_id="bob"),
        Drive(TRANSFER, balance(500)),
        Drive(WITHDRAWAL, balance(500)),
        Drive(REFUND, balance(500)),
    ]
    payees = [[(p.subject, p.owner) for p in pay.asked["RequestHold"].payees] for pay in asked]
    assert payees == [[("MERCHANT_PENDING", "mer_1")], [("USER_BALANCE", "bob")], [], [], []]


@pytest.mark.parametrize("purpose", [PURCHASE, TRANSFER])
def test_a_balance_is_held_and_then_moved_into_transit(purpose: Purpose) -> None:
    """The transfer asks nobody: it is done with its event. A hold is no movement."""
    pay = Drive(purpose, balance(500))
    ask = pay.asked["RequestHold"]
    assert [(s.subject, s.owner) for s in ask.sources] == [("USER_BALANCE", "ann")]
    assert (ask.amount, ask.after) == (eur(500), None)
    assert ask.hold_id == "hld_" + body_of(pay.step("hold:0").id)
    pay.held()
    assert pay.state == "SUCCEEDED"
    assert pay.steps == {"hold:0": "SUCCEEDED", "transfer:0": "SUCCEEDED"}
    assert pay.booked() == [("SUCCEEDED", "TRANSFER", 500)]
    transfer = pay.step("transfer:0")
    assert (transfer.version, transfer.hold_id) == (2, ask.hold_id)
    assert transfer.hold_sources == ask.sources
    told = [(e.type, e.sequence, e.published) for e in pay.events if e.aggregate_id == transfer.id]
    assert told == [
        ("pay.instruction.started", 1, False),
        ("pay.instruction.succeeded", 2, True),
    ]
    assert (pay.in_transit(), pay.taken()) == (500, 500)


def test_a_balance_that_does_not_suffice_fails_the_payment_at_once() -> None:
    pay = Drive(PURCHASE, balance(500))
    pay.not_held()
    assert (pay.state, pay.payment.version) == ("FAILED", 2)
    assert pay.payment.failure_reason == "INSUFFICIENT_FUNDS"
    assert pay.published == ["pay.payment.failed"]


def test_a_cancelled_balance_payment_lets_go_of_what_is_held_meanwhile() -> None:
    """Holding has moved nothing: it is called back, not carried out."""
    pay = Drive(TRANSFER, balance(500))
    pay.cancel()
    assert (pay.state, list(pay.asked)) == ("CLOSING", ["RequestHold"])
    pay.held()
    assert (pay.state, list(pay.asked)) == ("CLOSING", ["RequestRelease"])
    ask = pay.asked["RequestRelease"]
    assert (ask.hold_id, ask.currency) == (pay.step("hold:0").hold_id, "EUR")
    assert ask.sources == pay.step("hold:0").hold_sources
    pay.released()
    assert (pay.state, pay.booked()) == ("CLOSED", [])


def test_a_balance_payment_that_is_not_wanted_goes_back_out_of_transit() -> None:
    """The way back has no hold: transit has the money."""
    pay = Drive(PURCHASE, balance(500))
    pay.held()
    pay.cancel(give_back=True)
    assert pay.state == "RETURNED"
    assert pay.booked() == [("SUCCEEDED", "TRANSFER", 500), ("SUCCEEDED", "-TRANSFER", 500)]
    assert pay.step(pay.undoing("transfer:0")).hold_id == ""
    assert "-hold:0" not in pay.steps


def test_a_hold_that_cannot_be_let_go_of_waits_for_a_person() -> None:
    pay = Drive(PURCHASE, balance(500))
    pay.cancel()
    pay.held()
    pay.ledger(pay.undoing("hold:0"), "FAILED", "HOLD_ENDED")
    assert (pay.state, pay.payment.failure_reason) == ("SUSPENDED", "HOLD_ENDED")


# Combined


@pytest.mark.parametrize("order", list(permutations(["hold", "collect"])))
def test_a_combination_succeeds_when_both_parts_are_there(order: tuple[str, ...]) -> None:
    """In either order; one success, and 100.00 in transit."""
    pay = combined()
    assert sorted(pay.asked) == ["RequestHold", "SendPrepay"]
    for part in order:
        assert pay.state == "PROCESSING"
        pay.held() if part == "hold" else pay.channel("collect:0", "SUCCEEDED")
    assert (pay.state, pay.in_transit()) == ("SUCCEEDED", 10000)
    assert sorted(pay.booked()) == [
        ("SUCCEEDED", "CHANNEL_COLLECT", 8000),
        ("SUCCEEDED", "TRANSFER", 2000),
    ]


def test_the_collection_of_a_combination_is_number_0_wherever_it_stands() -> None:
    """A refund finds it by the payment's id alone."""
    one, other = combined(), Drive(PURCHASE, balance(2000), channel(8000))
    assert one.step("collect:0").request_no == other.step("collect:0").request_no
    assert one.step("collect:0").amount == other.step("collect:0").amount == eur(8000)


def test_a_refused_hold_closes_the_collection_that_is_pending() -> None:
    """The payment fails with the hold's reason once the channel has closed it."""
    pay = combined()
    pay.not_held()
    assert (pay.state, list(pay.asked)) == ("CLOSING", ["SendClose"])
    assert pay.payment.failure_reason == "INSUFFICIENT_FUNDS"
    pay.channel("collect:0", "CLOSED")
    assert (pay.state, pay.payment.failure_reason) == ("FAILED", "INSUFFICIENT_FUNDS")
    assert pay.booked() == []


@pytest.mark.parametrize("order", list(permutations(["hold", "collect"])))
def test_money_beside_a_refused_hold_goes_back(order: tuple[str, ...]) -> None:
    pay = combined()
    for part in order:
        pay.not_held() if part == "hold" else pay.channel("collect:0", "SUCCEEDED")
    assert (pay.state, list(pay.asked)) == ("RETURNING", ["SendRefund"])
    pay.channel(pay.undoing("collect:0"), "SUCCEEDED")
    assert (pay.state, pay.in_transit()) == ("RETURNED", 0)
    assert pay.payment.failure_reason == "INSUFFICIENT_FUNDS"


@pytest.mark.parametrize("outcome", ["FAILED", "CLOSED"])
@pytest.mark.parametrize("order", list(permutations(["hold", "collect"])))
def test_a_collection_without_money_lets_go_of_the_hold(
    order: tuple[str, ...], outcome: str
) -> None:
    pay = combined()
    for part in order:
        pay.held() if part == "hold" else pay.channel("collect:0", outcome)
    assert (pay.state, list(pay.asked)) == ("CLOSING", ["RequestRelease"])
    pay.released()
    assert (pay.state, pay.booked()) == (outcome, [])


def test_both_parts_fail_and_nothing_is_left_to_undo() -> None:
    pay = combined()
    pay.channel("collect:0", "FAILED")
    assert pay.state == "CLOSING"
    pay.not_held()
    assert (pay.state, pay.payment.failure_reason) == ("FAILED", "WHY_FAILED")


@pytest.mark.parametrize("when", ["before", "after"])
def test_money_that_comes_late_to_a_combination_goes_back(when: str) -> None:
    """Before or after the hold has been let go of: without it the payment cannot come about."""
    pay = combined()
    pay.held()
    pay.cancel()
    pay.channel("collect:0", "CLOSED")
    if when == "after":
        pay.released()
        assert pay.state == "CLOSED"
    pay.channel("collect:0", "SUCCEEDED")
    assert pay.state == "RETURNING"
    if when == "before":
        pay.released()
    pay.channel(pay.undoing("collect:0"), "SUCCEEDED")
    assert (pay.state, pay.in_transit(), pay.taken()) == ("RETURNED", 0, 0)
    assert pay.steps["-hold:0"] == "SUCCEEDED"


@pytest.mark.parametrize("order", list(permutations(["hold", "collect"])))
def test_a_cancelled_combination_comes_about_if_all_its_parts_do(order: tuple[str, ...]) -> None:
    """The payer has paid: the trade decides whether it takes it."""
    pay = combined()
    pay.cancel()
    for part in order:
        pay.held() if part == "hold" else pay.channel("collect:0", "SUCCEEDED")
    assert (pay.state, pay.in_transit()) == ("SUCCEEDED", 10000)


def test_a_combination_that_is_not_wanted_goes_back_by_both_ways() -> None:
    """The balance at once, the channel when it says so."""
    pay = combined()
    pay.held()
    pay.channel("collect:0", "SUCCEEDED")
    pay.cancel(give_back=True)
    assert (pay.state, list(pay.asked)) == ("RETURNING", ["SendRefund"])
    assert pay.in_transit() == 8000
    pay.channel(pay.undoing("collect:0"), "SUCCEEDED")
    assert (pay.state, pay.in_transit()) == ("RETURNED", 0)


@pytest.mark.parametrize("order", list(permutations(["hold", "collect"])))
def test_other_money_in_a_combination_is_suspended_without_the_hold(order: tuple[str, ...]) -> None:
    """What the balance was to give is free again; what came is in suspense."""
    pay = combined()
    for part in order:
        if part == "hold":
            pay.held()
        else:
            pay.channel("collect:0", "SUCCEEDED", moved=eur(8001))
    assert (pay.state, list(pay.asked)) == ("CLOSING", ["RequestRelease"])
    pay.released()
    assert (pay.state, pay.payment.failure_reason) == ("SUSPENDED", "AMOUNT_MISMATCH")
    assert pay.payment.owner == "operator"
