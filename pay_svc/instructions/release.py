"""The ledger releases what a hold still has."""

from __future__ import annotations

from dataclasses import dataclass

from pay_svc.instructions.handler import InstructionHandler
from pay_svc.payments.model import (
    AccountRef,
    Instruction,
    InstructionKind,
    InstructionState,
    Payment,
)
from paymesh.context import Context


@dataclass(frozen=True, slots=True)
class RequestRelease:
    context: Context
    payment_id: str
    request_no: str
    hold_id: str
    sources: tuple[AccountRef, ...]
    currency: str


def _release(payment: Payment, i: Instruction) -> RequestRelease:
    return RequestRelease(
        i.context, payment.id, i.request_no, i.hold_id, i.hold_sources, i.amount.currency
    )


RELEASE = InstructionHandler(
    kind=InstructionKind.RELEASE,
    moves_money=False,
    calls={InstructionState.PROCESSING: _release},
)
