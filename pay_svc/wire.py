"""Payments, beneficiaries and their events as messages: translation, nothing more."""

from __future__ import annotations

from collections.abc import Sequence

from payments.pay.v1 import beneficiary_pb2, payment_events_pb2, payment_pb2
from payments.type.v1 import account_pb2, instruction_pb2

from pay_svc.beneficiaries.domain import Beneficiary
from pay_svc.payments.model import (
    Instruction,
    InstructionMoved,
    Payment,
    PaymentMoved,
    PaymentView,
    Purpose,
)
from paymesh.core import Event
from paymesh.wire import money_to, time_to, tools_to


def purpose_of(number: payment_pb2.PaymentPurpose) -> Purpose:
    return Purpose(payment_pb2.PaymentPurpose.Name(number).removeprefix("PAYMENT_PURPOSE_"))


def instruction_to(instruction: Instruction) -> instruction_pb2.Instruction:
    return instruction_pb2.Instruction(
        instruction_id=instruction.id,
        payment_id=instruction.payment_id,
        kind=f"INSTRUCTION_KIND_{instruction.kind}",
        state=f"INSTRUCTION_STATE_{instruction.state}",
        amount=money_to(instruction.amount),
        channel=instruction.channel,
        request_no=instruction.request_no,
        compensates=instruction.compensates,
        channel_txn_id=instruction.channel_txn_id,
        success_time=time_to(instruction.succeeded_at),
        version=instruction.version,
        observed_amount=money_to(instruction.observed) if instruction.observed else None,
        hold_id=instruction.hold_id,
        hold_sources=[
            account_pb2.AccountRef(subject=source.subject, owner=source.owner)
            for source in instruction.hold_sources
        ],
        failure_reason=instruction.failure_reason,
    )


def payment_to(payment: Payment, instructions: Sequence[Instruction] = ()) -> payment_pb2.Payment:
    return payment_pb2.Payment(
        payment_id=payment.id,
        business_id=payment.context.business_id,
        trade_id=payment.trade_id,
        purpose=f"PAYMENT_PURPOSE_{payment.purpose}",
        state=f"PAYMENT_STATE_{payment.state}",
        amount=money_to(payment.amount),
        tools=tools_to(payment.tools),
        instructions=[instruction_to(i) for i in instructions],
        expire_time=time_to(payment.expires_at),
        create_time=time_to(payment.created_at),
        success_time=time_to(payment.succeeded_at),
        version=payment.version,
        payer_id=payment.payer_id,
        beneficiary_id=payment.beneficiary_id,
        original_payment_id=payment.original_payment_id,
        failure_reason=payment.failure_reason,
    )


def view_to(view: PaymentView) -> payment_pb2.Payment:
    assert view.payment is not None
    return payment_to(view.payment, sorted(view.instructions, key=lambda i: i.created_at))


def beneficiary_to(beneficiary: Beneficiary) -> beneficiary_pb2.Beneficiary:
    return beneficiary_pb2.Beneficiary(
        beneficiary_id=beneficiary.id,
        owner_id=beneficiary.owner_id,
        channel=beneficiary.channel,
        masked_account_no=beneficiary.masked_account_no,
        account_name=beneficiary.account_name,
        state=f"BENEFICIARY_STATE_{beneficiary.state}",
        usable_time=time_to(beneficiary.usable_at),
        create_time=time_to(beneficiary.created_at),
        version=beneficiary.version,
        merchant_id=beneficiary.context.merchant_id,
    )


def encode(event: Event) -> bytes:
    """The payload of a published event."""
    payload = event.payload
    if isinstance(payload, PaymentMoved):
        return payment_events_pb2.PaymentMoved(
            payment=payment_to(payload.payment)
        ).SerializeToString()
    if isinstance(payload, InstructionMoved):
        return payment_events_pb2.InstructionMoved(
            instruction=instruction_to(payload.instruction),
            trade_id=payload.payment.trade_id,
            payment_state=f"PAYMENT_STATE_{payload.payment.state}",
            purpose=f"PAYMENT_PURPOSE_{payload.payment.purpose}",
            payer_id=payload.payment.payer_id,
            original_payment_id=payload.payment.original_payment_id,
        ).SerializeToString()
    raise TypeError(f"no message for {type(payload).__name__} of {event.type}")
