"""What the payment core has to know of a kind of instruction. It asks its handler, and nothing else
tells kinds apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pay_svc.payments.model import Instruction, InstructionKind, InstructionState, Payment

Call = Callable[[Payment, Instruction], object]
"""The effect that an open instruction owes, as plain data: it follows from the rows alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstructionHandler:
    kind: InstructionKind
    moves_money: bool = True
    """What it has done is booked. Else what becomes of it is our own history."""
    collects: bool = False
    """It brings money in, if the payer will: what he could still pay can be closed."""
    holds: bool = False
    """It reserves money: what is reserved and not taken is released, not returned."""
    draws: bool = False
    """Its money comes from a hold."""
    irrevocable: bool = False
    """As a step forward it cannot be called back once it was sent; its money may come back by
    itself."""
    immediate: bool = False
    """It is done when it is started: nobody has to be called."""
    awaited: bool = False
    """Whoever creates a payment is answered when it has answered, if that is in time."""
    undone_by: tuple[str, InstructionKind] | None = None
    """What undoes it: the first part of that step's key, and its kind. None: nothing can."""
    calls: Mapping[InstructionState, Call] = field(default_factory=dict)
    """What it owes, by its state."""
