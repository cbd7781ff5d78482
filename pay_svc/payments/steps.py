"""Steps of plans: their keys, and the ids and numbers that follow from them."""

from __future__ import annotations

from dataclasses import dataclass

from pay_svc.payments.model import AccountRef, InstructionKind, Payment
from paymesh.ids import body_of, derived_id, shard_of
from paymesh.money import Money

COLLECT, HOLD, TRANSFER, PAYOUT, REFUND = (
    "collect:0",
    "hold:0",
    "transfer:0",
    "payout:0",
    "refund:0",
)
"""Keys of steps. A payment takes at most one channel and one balance, so there is one of each."""


@dataclass(frozen=True, slots=True)
class Step:
    """An instruction to be. `key` names it within its payment for ever."""

    key: str
    kind: InstructionKind
    amount: Money
    channel: str = ""
    hold_id: str = ""
    hold_sources: tuple[AccountRef, ...] = ()
    compensates: str = ""


Stage = tuple[Step, ...]
"""They run side by side; the next stage begins when all of them have succeeded."""
Plan = tuple[Stage, ...]


def instruction_id(payment_id: str, key: str) -> str:
    """Always follows from payment and step, and so does all that has its 28 characters."""
    return derived_id("ins", bucket=shard_of(payment_id), key=f"{payment_id}:{key}")


def request_no_of(payment_id: str, key: str) -> str:
    """The step's reference at its channel."""
    return body_of(instruction_id(payment_id, key))


def hold_step(payment: Payment, amount: Money, sources: tuple[AccountRef, ...]) -> Step:
    """Reserves so much on the sources; a payment has one hold."""
    hold_id = f"hld_{request_no_of(payment.id, HOLD)}"
    return Step(HOLD, InstructionKind.HOLD, amount, hold_id=hold_id, hold_sources=sources)


def taking_step(
    hold: Step, key: str, kind: InstructionKind, amount: Money, *, channel: str = ""
) -> Step:
    """A step whose money comes from the hold."""
    return Step(key, kind, amount, channel, hold.hold_id, hold.hold_sources)
