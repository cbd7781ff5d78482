"""When a hold ends by itself: what the owner's answer means, and the rules."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from payments.pay.v1 import payment_pb2

from clearing_svc.clients import needs
from clearing_svc.ledger.holds import HoldState, HoldView, owed
from pay_svc.wire import view_to
from paymesh.errors import PaymentError
from tests.clearing.expiry_world import PAYMENT, asks, payment
from tests.clearing.ledger_world import (
    AT,
    Book,
    hold_id,
    place,
    release,
    spend,
)
from tests.pay.drive import Drive
from tests.pay.test_pay_random import FORMS, HISTORIES, act, drain

# What the owner's answer means


@pytest.mark.parametrize(
    "of",
    [
        payment("PROCESSING", HOLD="SUCCEEDED"),
        payment("CLOSING", HOLD="SUCCEEDED"),
        payment("RETURNING", HOLD="SUCCEEDED"),
        payment("SUSPENDED", HOLD="SUCCEEDED"),
        payment("UNSPECIFIED"),
        payment("SUCCEEDED", HOLD="SUCCEEDED", TRANSFER="SUCCEEDED"),
        payment("SUCCEEDED", HOLD="SUCCEEDED", CHANNEL_PAYOUT="BOUNCED"),
        payment("RETURNED", HOLD="SUCCEEDED", CHANNEL_PAYOUT="BOUNCED"),
        payment("FAILED", HOLD="SUCCEEDED", CHANNEL_PAYOUT="PROCESSING"),
        payment("FAILED", HOLD="SUCCEEDED", CHANNEL_PAYOUT="SUSPENDED"),
        payment("CLOSED", HOLD="SUCCEEDED", UNSPECIFIED="PROCESSING"),
    ],
    ids=str,
)
def test_a_payment_needs_its_hold(of: payment_pb2.Payment) -> None:
    """Also one that has succeeded: its movement may not be booked yet."""
    assert needs(of, hold_id("h"))


@pytest.mark.parametrize(
    "of",
    [
        payment("FAILED", HOLD="SUCCEEDED"),
        payment("CLOSED", HOLD="SUCCEEDED", RELEASE="SUCCEEDED"),
        payment("FAILED", HOLD="SUCCEEDED", CHANNEL_PAYOUT="FAILED"),
        payment("CLOSED"),
        payment("RETURNED", HOLD="SUCCEEDED", RELEASE="SUCCEEDED"),
    ],
    ids=str,
)
def test_a_payment_that_is_over_and_took_nothing_does_not(of: payment_pb2.Payment) -> None:
    assert not needs(of, hold_id("h"))
    of.instructions.add(kind=5, state=3, hold_id=hold_id("other"))
    assert not needs(of, hold_id("h"))


LATE = {
    key: (*histories, ["FAILED", "SUCCEEDED"]) if key in {"payout:0", "refund:0"} else histories
    for key, histories in HISTORIES.items()
}


@pytest.mark.parametrize("form", FORMS, ids=str)
@settings(max_examples=120, deadline=None)
@given(
    truth=st.fixed_dictionaries({key: st.sampled_from(h) for key, h in LATE.items()}),
    data=st.data(),
)
def test_once_a_payment_does_not_need_its_hold_it_never_takes_from_it(
    form: Any, truth: Any, data: st.DataObject
) -> None:
    """The real payment core, in any order of what its world reports: so the answer may be as old as
    it likes when the hold is released."""
    pay = Drive(*form)
    taken_when_asked: list[int] = []

    def ask() -> None:
        ids = {i.hold_id for i in pay.view.instructions if i.hold_id}
        if any(not needs(view_to(pay.view), id_) for id_ in ids):
            taken_when_asked.append(_takes(pay))

    for _ in range(data.draw(st.integers(0, 8), label="acts")):
        act(pay, truth, data)
        ask()
    drain(pay, truth, data)
    ask()
    assert set(taken_when_asked) <= {0}
    if taken_when_asked:
        assert _takes(pay) == 0


def _takes(pay: Drive) -> int:
    """How many journals that take from a hold the ledger is told of."""
    return sum(
        event.type == "pay.instruction.succeeded" and bool(event.payload.instruction.hold_id)
        for event in pay.events
        if event.published and hasattr(event.payload, "instruction")
    )


# The rules


def test_only_a_payment_can_be_asked(book: Book) -> None:
    with pytest.raises(PaymentError) as refused:
        book.do(place("h", 1, reference="dsp_1", expires_at=AT))
    assert refused.value.fields[0].field == "reference"
    assert book.holds == []


def test_when_to_ask_does_not_make_it_another_hold(book: Book) -> None:
    book.do(place("h", 1, reference=PAYMENT, expires_at=AT))
    book.do(place("h", 1, reference=PAYMENT, expires_at=AT + timedelta(days=1)))
    book.do(place("h", 1, reference=PAYMENT))
    assert book.hold("h").expires_at == AT


def test_nobody_is_asked_about_a_hold_that_has_ended_or_that_never_expires(book: Book) -> None:
    book.do(place("never", 1, reference=PAYMENT))
    assert asks(book.hold("never")) == []
    for name, end in (("released", release), ("taken", None)):
        book.do(place(name, 1, reference=PAYMENT, expires_at=AT))
        assert len(asks(book.hold(name))) == 1
        if end is not None:
            book.do(end(name))
        else:
            book.post(spend(name, 1, key=name))
        assert asks(book.hold(name)) == []
        assert book.hold(name).next_action_at is None
    assert owed(HoldView(None), AT, unknown_ends_after=timedelta()) == []


def test_a_hold_of_which_a_part_was_taken_is_still_asked_about(book: Book) -> None:
    book.do(place("h", 10, reference=PAYMENT, expires_at=AT))
    book.post(spend("h", 4))
    [ask] = asks(book.hold("h"))
    assert (ask.payment_id, ask.unknown_ends) == (PAYMENT, False)
    book.do(ask.expire)
    assert (book.hold("h").state, book.hold("h").left) == (HoldState.RELEASED, 0)
    assert book.account("USER_BALANCE", "ann").held_minor == 0
    book.do(ask.expire)  # again
    assert book.hold("h").version == 3


def test_what_was_taken_between_answer_and_release_stays_taken(book: Book) -> None:
    """The journal came first: there is nothing to release."""
    book.do(place("h", 10, reference=PAYMENT, expires_at=AT))
    [ask] = asks(book.hold("h"))
    book.post(spend("h", 10))
    book.do(ask.expire)
    assert book.hold("h").state is HoldState.POSTED
    assert book.balance("USER_BALANCE", "bob") == 10


def test_one_unknown_to_its_owner_ends_only_after_days(book: Book) -> None:
    book.do(place("h", 1, reference=PAYMENT, expires_at=AT))
    late = [asks(book.hold("h"), timedelta(days=days))[0].unknown_ends for days in (0, 6, 7, 8)]
    assert late == [False, False, True, True]
