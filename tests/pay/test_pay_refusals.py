"""What is refused when a payment is to begin, and when a beneficiary is."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pay_svc.beneficiaries.domain import (
    Beneficiary,
    BeneficiaryNotUsable,
    BeneficiaryState,
    looks_like_a_card,
    masked,
)
from pay_svc.instructions import HANDLERS
from pay_svc.payments import domain
from pay_svc.payments.model import (
    InstructionKind,
    InstructionState,
    PaymentView,
    Purpose,
    ToolsNotOffered,
)
from pay_svc.purposes import PURPOSES
from pay_svc.tools import TOOLS
from paymesh.core import View
from paymesh.errors import AmountMismatch, InvalidField, PaymentError, Refused
from paymesh.status import from_status, to_status
from paymesh.tools import Tool, ToolKind
from tests.pay.drive import (
    AT,
    BENEFICIARY_ID,
    CONTEXT,
    ORIGINAL_ID,
    TIMING,
    balance,
    beneficiary,
    channel,
    create,
    eur,
)

MIXES: dict[str, tuple[Tool, ...]] = {
    "channel": (channel(100),),
    "balance": (balance(100),),
    "both": (channel(60), balance(40)),
    "two channels": (channel(60), channel(40)),
    "two balances": (balance(60), balance(40)),
    "none": (),
}
TAKEN = {
    Purpose.PURCHASE: {"channel", "balance", "both"},
    Purpose.TOP_UP: {"channel"},
    Purpose.TRANSFER: {"balance"},
    Purpose.WITHDRAWAL: {"balance"},
    Purpose.REFUND: {"channel", "balance", "both"},
}


def refusal(command: Any) -> PaymentError | None:
    """What the rule says to a payment that is new; None: it begins."""
    try:
        domain.create_payment(PaymentView(None), command, AT, View(), timing=TIMING)
    except PaymentError as error:
        return error
    return None


def final(error: PaymentError) -> bool:
    """Whether a caller in another service sees that the answer stands."""
    told = from_status(to_status(error))
    assert isinstance(told, Refused)
    return told.final


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("purpose", Purpose)
def test_each_purpose_takes_its_tools_and_no_others(purpose: Purpose, mix: str) -> None:
    """One channel and one balance at most; the refusal names the field and is final."""
    error = refusal(create(purpose, *MIXES[mix], amount=eur(100)))
    if mix in TAKEN[purpose]:
        assert error is None
        return
    assert isinstance(error, ToolsNotOffered)
    assert (error.reason, error.metadata["field"]) == ("TOOLS_NOT_OFFERED", "tools")
    assert final(error)


def test_every_purpose_says_which_tools_it_takes() -> None:
    assert set(PURPOSES) == set(Purpose)
    assert {kind for declared in PURPOSES.values() for kind in declared.tools} == set(ToolKind)
    assert set(TOOLS) == set(ToolKind)


def test_every_kind_of_instruction_has_its_handler() -> None:
    """Whatever undoes one is a kind itself, and needs no undoing but by hand."""
    assert set(HANDLERS) == set(InstructionKind)
    assert {kind: handler.kind for kind, handler in HANDLERS.items()} == {k: k for k in HANDLERS}
    for handler in HANDLERS.values():
        assert handler.undone_by is None or handler.undone_by[1] in HANDLERS
        assert handler.immediate or InstructionState.PROCESSING in handler.calls


def test_tools_sum_to_the_amount() -> None:
    error = refusal(create(Purpose.PURCHASE, channel(60), balance(40), amount=eur(101)))
    assert isinstance(error, AmountMismatch)


@pytest.mark.parametrize(
    ("purpose", "tool", "changes", "field"),
    [
        (Purpose.PURCHASE, balance(100), {"payer_id": ""}, "payer_id"),
        (Purpose.TRANSFER, balance(100), {"payer_id": ""}, "payer_id"),
        (Purpose.WITHDRAWAL, balance(100), {"payer_id": ""}, "payer_id"),
        (Purpose.REFUND, balance(100), {"payer_id": ""}, "payer_id"),
        (Purpose.WITHDRAWAL, balance(100), {"beneficiary_id": ""}, "beneficiary_id"),
        (Purpose.REFUND, channel(100), {"original_payment_id": ""}, "original_payment_id"),
        (Purpose.PURCHASE, channel(100), {"beneficiary_id": BENEFICIARY_ID}, "beneficiary_id"),
        (Purpose.REFUND, channel(100), {"beneficiary_id": BENEFICIARY_ID}, "beneficiary_id"),
        (Purpose.TOP_UP, channel(100), {"original_payment_id": ORIGINAL_ID}, "original_payment_id"),
        (
            Purpose.WITHDRAWAL,
            balance(100),
            {"original_payment_id": ORIGINAL_ID},
            "original_payment_id",
        ),
    ],
)
def test_who_is_missing_or_does_not_belong_is_refused_by_field(
    purpose: Purpose, tool: Tool, changes: dict[str, str], field: str
) -> None:
    error = refusal(create(purpose, tool, **changes))
    assert isinstance(error, InvalidField)
    assert [violation.field for violation in error.fields] == [field]


def test_a_payer_without_a_balance_is_not_kept() -> None:
    """payer_id says whose balance takes part; a channel's payer is known to the trade."""
    command = create(Purpose.PURCHASE, channel(100), payer_id="ann")
    made = domain.create_payment(PaymentView(None), command, AT, View(), timing=TIMING).state
    assert made.payment is not None
    assert made.payment.payer_id == ""


@pytest.mark.parametrize(
    "payee",
    [
        None,
        beneficiary(owner_id="bob"),
        beneficiary(context=replace(CONTEXT, merchant_id="mer_2")),
        beneficiary(state=BeneficiaryState.DELETED),
        beneficiary(usable_at=AT + timedelta(microseconds=1)),
    ],
    ids=["unknown", "somebody else's", "another merchant's", "deleted", "too new"],
)
def test_a_beneficiary_that_cannot_be_paid_is_refused_for_good(payee: Beneficiary | None) -> None:
    """Decided by the database's time; a caller does not ask again."""
    error = refusal(create(Purpose.WITHDRAWAL, balance(100), beneficiary=payee))
    assert isinstance(error, BeneficiaryNotUsable)
    assert (error.reason, error.decided) == ("BENEFICIARY_NOT_USABLE", True)
    assert final(error)
    assert "bob" not in error.message


def test_a_beneficiary_can_be_paid_from_the_end_of_its_cooling_off_on() -> None:
    assert refusal(create(Purpose.WITHDRAWAL, balance(100))) is None


# Account numbers


@pytest.mark.parametrize(
    ("account_no", "shown"),
    [("DE0012345678", "********5678"), ("12345", "*2345"), ("1234", "1234")],
)
def test_all_but_the_last_four_characters_are_hidden(account_no: str, shown: str) -> None:
    assert masked(account_no) == shown


@pytest.mark.parametrize(
    ("account_no", "card"),
    [
        ("4111111111111111", True),
        ("378282246310005", True),
        ("4222222222222", True),
        ("6304000000000000000", True),
        ("4111111111111112", False),
        ("411111111116", False),  # 12 digits
        ("DE4111111111111111", False),
        ("DE0012345678", False),
    ],
)
def test_card_numbers_are_recognised_by_length_and_check_digit(account_no: str, card: bool) -> None:
    assert looks_like_a_card(account_no) == card
