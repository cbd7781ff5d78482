"""A channel collects money from the payer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

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
class SendPrepay:
    context: Context
    payment_id: str
    request_no: str
    channel: str
    amount: Money
    subject: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class SendClose:
    context: Context
    payment_id: str
    request_no: str
    prepay: SendPrepay
    """What is to be closed: perhaps the gateway has not heard of it yet."""


def prepay(payment: Payment, i: Instruction) -> SendPrepay:
    return SendPrepay(
        context=payment.context,
        payment_id=payment.id,
        request_no=i.request_no,
        channel=i.channel,
        amount=i.amount,
        subject=payment.subject,
        expires_at=payment.expires_at,
    )


def _close(payment: Payment, i: Instruction) -> SendClose:
    return SendClose(i.context, payment.id, i.request_no, prepay(payment, i))


COLLECTION = InstructionHandler(
    kind=InstructionKind.CHANNEL_COLLECT,
    collects=True,
    awaited=True,
    undone_by=("return", InstructionKind.CHANNEL_REFUND),
    calls={InstructionState.PROCESSING: prepay, InstructionState.CLOSING: _close},
)
