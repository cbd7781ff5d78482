"""A channel gives back what it had collected."""

from __future__ import annotations

from dataclasses import dataclass

from pay_svc.instructions.handler import InstructionHandler
from pay_svc.payments.model import (
    Instruction,
    InstructionKind,
    InstructionState,
    Payment,
)
from pay_svc.payments.steps import COLLECT, request_no_of
from paymesh.context import Context
from paymesh.ids import body_of
from paymesh.money import Money


@dataclass(frozen=True, slots=True)
class SendRefund:
    context: Context
    payment_id: str
    request_no: str
    original_request_no: str
    amount: Money


def _refund(payment: Payment, i: Instruction) -> SendRefund:
    original = (
        body_of(i.compensates)
        if i.compensates
        else request_no_of(payment.original_payment_id, COLLECT)
    )
    return SendRefund(i.context, payment.id, i.request_no, original, i.amount)


REFUND = InstructionHandler(
    kind=InstructionKind.CHANNEL_REFUND,
    draws=True,
    irrevocable=True,
    calls={InstructionState.PROCESSING: _refund},
)
