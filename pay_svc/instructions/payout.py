"""A channel pays out to a beneficiary."""

from __future__ import annotations

from dataclasses import dataclass

from pay_svc.instructions.handler import InstructionHandler
from pay_svc.payments.model import (
    Instruction,
    InstructionKind,
    InstructionState,
    Payment,
)
from paymesh.context import Context
from paymesh.money import Money


@dataclass(frozen=True, slots=True)
class SendPayout:
    context: Context
    payment_id: str
    request_no: str
    channel: str
    amount: Money
    beneficiary_id: str


def _payout(payment: Payment, i: Instruction) -> SendPayout:
    return SendPayout(
        context=i.context,
        payment_id=payment.id,
        request_no=i.request_no,
        channel=i.channel,
        amount=i.amount,
        beneficiary_id=payment.beneficiary_id,
    )


PAYOUT = InstructionHandler(
    kind=InstructionKind.CHANNEL_PAYOUT,
    draws=True,
    irrevocable=True,
    calls={InstructionState.PROCESSING: _payout},
)
