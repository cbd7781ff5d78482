"""Whatever comes in whatever order: a payment ends, and its end and its money agree.

The outside world is drawn first: what the ledger and the channel will have said of each step in the
end. Then their reports come in any order and any number of times, mixed with cancels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pay_svc.payments.model import InstructionKind, InstructionState, Purpose
from paymesh.tools import Tool
from tests.pay.drive import Drive, balance, channel, eur

FORMS = (
    (Purpose.PURCHASE, channel(8000)),
    (Purpose.PURCHASE, balance(2000)),
    (Purpose.PURCHASE, channel(8000), balance(2000)),
    (Purpose.TOP_UP, channel(8000)),
    (Purpose.TRANSFER, balance(2000)),
    (Purpose.WITHDRAWAL, balance(3000)),
    (Purpose.REFUND, channel(8000)),
    (Purpose.REFUND, balance(2000)),
    (Purpose.REFUND, balance(2000), channel(8000)),
)
LATE = (["CLOSED", "SUCCEEDED"], ["FAILED", "SUCCEEDED"], ["CLOSED", "OTHER"])
HISTORIES: Mapping[str, Sequence[list[str]]] = {
    "collect:0": (["SUCCEEDED"], ["FAILED"], ["CLOSED"], ["OTHER"], *LATE),
    "payout:0": (["SUCCEEDED"], ["FAILED"], ["SUCCEEDED", "BOUNCED"], ["OTHER"]),
    "refund:0": (["SUCCEEDED"], ["FAILED"], ["SUCCEEDED", "BOUNCED"], ["OTHER"]),
    "hold:0": (["SUCCEEDED"], ["FAILED"]),
    "-hold:0": (["SUCCEEDED"],),
    "-collect:0": (["SUCCEEDED"], ["FAILED"], ["SUCCEEDED", "BOUNCED"]),
}
"""What may become of a step outside; OTHER: another amount than was asked for."""

World = dict[str, list[str]]
world: st.SearchStrategy[World] = st.fixed_dictionaries(
    {step: st.sampled_from(histories) for step, histories in HISTORIES.items()}
)
KEYS = {"-hold:0": "hold:0", "-collect:0": "collect:0"}


def _name(part: Purpose | Tool) -> str:
    return (part if isinstance(part, Purpose) else part.kind).lower()


def report(pay: Drive, step: str, word: str) -> None:
    """One report about a step, in the words of HISTORIES."""
    key = pay.undoing(KEYS[step]) if step in KEYS else step
    if step.endswith("hold:0"):
        pay.ledger(key, word, "" if word == "SUCCEEDED" else "INSUFFICIENT_FUNDS")
    elif word == "OTHER":
        pay.channel(key, "SUCCEEDED", moved=eur(1))
    else:
        pay.channel(key, word)


def sayable(pay: Drive, truth: World) -> list[tuple[str, str]]:
    """The reports that can come now: of steps that were started and that somebody is asked for."""
    return [(step, word) for step in pay.steps if step in truth for word in truth[step]]


def act(pay: Drive, truth: World, data: st.DataObject) -> None:
    reports: list[tuple[str, str]] = sayable(pay, truth)
    acts: list[Any] = [*reports, *reports, *reports, "cancel", "give back"]
    what = data.draw(st.sampled_from(acts), label="act")
    if isinstance(what, tuple):
        report(pay, *what)
    else:
        pay.cancel(give_back=what == "give back")


def drain(pay: Drive, truth: World, data: st.DataObject) -> None:
    """All that there is to say is said, at last in the order in which it happened."""
    said: set[tuple[str, str]] = set()
    while missing := [it for it in sayable(pay, truth) if it not in said]:
        step = data.draw(st.sampled_from(sorted({step for step, _ in missing})), label="step")
        word = next(word for s, word in missing if s == step)
        report(pay, step, word)
        said.add((step, word))


@pytest.mark.parametrize("form", FORMS, ids=lambda form: "-".join(map(_name, form)))
@settings(max_examples=150, deadline=None)
@given(truth=world, data=st.data())
def test_any_interleaving_ends_and_its_end_and_its_money_agree(
    form: tuple[Any, ...], truth: World, data: st.DataObject
) -> None:
    """No step stays open; a hold is released or used; transit has the amount, or nothing."""
    pay = Drive(*form)
    for _ in range(data.draw(st.integers(0, 8), label="acts")):
        act(pay, truth, data)
    drain(pay, truth, data)
    assert pay.state in {"SUCCEEDED", "FAILED", "CLOSED", "RETURNED", "SUSPENDED"}
    assert pay.open() == []
    assert pay.asked == {}
    states = [i.state for i in pay.view.instructions]
    trouble = {InstructionState.SUSPENDED, InstructionState.BOUNCED}
    if pay.state == "SUSPENDED":
        assert pay.payment.owner == "operator"
        # For a reason: other money, money that came back, or a return that was refused.
        lost = [i for i in pay.view.instructions if i.compensates and i.state == "FAILED"]
        assert lost or trouble & set(states)
    assert hold_is_even(pay)
    assert money_is_even(pay)
    before = pay.view
    for step, word in sayable(pay, truth):
        report(pay, step, word)
    assert pay.view is before


def hold_is_even(pay: Drive) -> bool:
    """A hold that succeeded was released, or movements took all of it, or a person decides."""
    steps = pay.steps
    if steps.get("hold:0") != "SUCCEEDED":
        return pay.taken() == 0 and "-hold:0" not in steps
    held = pay.step("hold:0").amount.minor
    movers = (InstructionKind.CHANNEL_PAYOUT, InstructionKind.CHANNEL_REFUND)
    kept = any(
        i.state is InstructionState.SUSPENDED
        for i in pay.view.instructions
        if i.kind in movers and not i.compensates
    )
    took = sum(
        i.amount.minor
        for i in pay.view.instructions
        if i.hold_id
        and i.kind not in {InstructionKind.HOLD, InstructionKind.RELEASE}
        and i.state in {InstructionState.SUCCEEDED, InstructionState.BOUNCED}
    )
    released = steps.get("-hold:0") == "SUCCEEDED"
    return (released, took) in {(True, 0), (False, held)} or (kept and not released)


def money_is_even(pay: Drive) -> bool:
    """A payment has moved its amount if and only if it has SUCCEEDED."""
    whole = pay.payment.amount.minor
    outgoing = pay.payment.purpose in {Purpose.WITHDRAWAL, Purpose.REFUND}
    moved = pay.taken() if outgoing else pay.in_transit()
    if pay.state == "SUCCEEDED":
        return moved == whole
    if pay.state == "RETURNED" and pay.payment.purpose is Purpose.REFUND:
        # What the channel gave came back; a balance keeps what it got.
        return moved == sum(t.amount.minor for t in pay.payment.tools if not t.channel)
    # What a person has to decide may be anywhere between; all else left nothing behind.
    return moved == 0 or pay.state == "SUSPENDED"
