"""What remains to be called of the channel gateway and the ledger, as plain data.

It follows from the state alone: the same state always owes the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pay_svc.instructions import HANDLERS
from pay_svc.payments.model import Instruction, PaymentView


def owed(state: PaymentView, at: datetime) -> list[object]:
    """What every open instruction owes."""
    return _calls(state, state.instructions)


def awaited(state: PaymentView) -> list[object]:
    """Of that, what whoever creates the payment waits for a moment."""
    return _calls(state, [i for i in state.instructions if HANDLERS[i.kind].awaited])


def _calls(state: PaymentView, instructions: Sequence[Instruction]) -> list[object]:
    payment = state.payment
    if payment is None:
        return []
    owing = ((HANDLERS[i.kind].calls.get(i.state), i) for i in instructions)
    return [call(payment, i) for call, i in owing if call is not None]
