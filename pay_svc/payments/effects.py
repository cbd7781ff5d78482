"""What remains to be asked of the channel gateway and the ledger, as plain data.

It follows from the state alone: the same state always owes the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pay_svc.payments.model import (
    AccountRef,
    Instruction,
    InstructionKind,
    InstructionState,
    Payment,
    PaymentView,
    Purpose,
)
from pay_svc.payments.plan import COLLECT, payees_of, request_no_of
from paymesh.context import Context
from paymesh.ids import body_of
from paymesh.money import Money

ATTRIBUTION = "trade.trade.paid/attribution"
"""The journal that gives a paid trade's money to its payee, of whom a refund then takes it."""
HOLD_MARGIN = timedelta(hours=1)
"""So long after a payment's expiry the ledger asks whether it still needs its hold."""
LATEST = datetime.max.replace(tzinfo=UTC)


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


@dataclass(frozen=True, slots=True)
class SendRefund:
    context: Context
    payment_id: str
    request_no: str
    original_request_no: str
    amount: Money


@dataclass(frozen=True, slots=True)
class SendPayout:
    context: Context
    payment_id: str
    request_no: str
    channel: str
    amount: Money
    beneficiary_id: str


@dataclass(frozen=True, slots=True)
class RequestHold:
    context: Context
    payment_id: str
    request_no: str
    hold_id: str
    amount: Money
    sources: tuple[AccountRef, ...]
    after: tuple[str, str] | None
    """The journal that has to be posted before: event_type and business_key."""
    expires_at: datetime
    payees: tuple[AccountRef, ...]


@dataclass(frozen=True, slots=True)
class RequestRelease:
    context: Context
    payment_id: str
    request_no: str
    hold_id: str
    sources: tuple[AccountRef, ...]
    currency: str


def owed(state: PaymentView, at: datetime) -> list[object]:
    """What every open instruction asks. A TRANSFER asks nobody."""
    payment = state.payment
    if payment is None:
        return []
    owing = ((_EFFECTS.get((i.kind, i.state)), i) for i in state.instructions)
    return [effect(payment, i) for effect, i in owing if effect is not None]


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


def _refund(payment: Payment, i: Instruction) -> SendRefund:
    original = (
        body_of(i.compensates)
        if i.compensates
        else request_no_of(payment.original_payment_id, COLLECT)
    )
    return SendRefund(i.context, payment.id, i.request_no, original, i.amount)


def _payout(payment: Payment, i: Instruction) -> SendPayout:
    return SendPayout(
        context=i.context,
        payment_id=payment.id,
        request_no=i.request_no,
        channel=i.channel,
        amount=i.amount,
        beneficiary_id=payment.beneficiary_id,
    )


def _hold(payment: Payment, i: Instruction) -> RequestHold:
    # A refund may be faster than the booking of the trade that it gives back.
    after = (ATTRIBUTION, payment.trade_id) if payment.purpose is Purpose.REFUND else None
    return RequestHold(
        context=i.context,
        payment_id=payment.id,
        request_no=i.request_no,
        hold_id=i.hold_id,
        amount=i.amount,
        sources=i.hold_sources,
        after=after,
        # Whatever CreatePayment said: past the last year there is no margin.
        expires_at=min(payment.expires_at, LATEST - HOLD_MARGIN) + HOLD_MARGIN,
        payees=payees_of(payment),
    )


def _release(payment: Payment, i: Instruction) -> RequestRelease:
    return RequestRelease(
        i.context, payment.id, i.request_no, i.hold_id, i.hold_sources, i.amount.currency
    )


_K, _I = InstructionKind, InstructionState
_EFFECTS: dict[
    tuple[InstructionKind, InstructionState], Callable[[Payment, Instruction], object]
] = {
    (_K.CHANNEL_COLLECT, _I.PROCESSING): prepay,
    (_K.CHANNEL_COLLECT, _I.CLOSING): _close,
    (_K.CHANNEL_REFUND, _I.PROCESSING): _refund,
    (_K.CHANNEL_PAYOUT, _I.PROCESSING): _payout,
    (_K.HOLD, _I.PROCESSING): _hold,
    (_K.RELEASE, _I.PROCESSING): _release,
}
