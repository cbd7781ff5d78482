"""What remains to be asked of the channel gateway and the ledger, as plain data.

It follows from the state alone: the same state always owes the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pay_svc.model import (
    AccountRef,
    Instruction,
    InstructionKind,
    InstructionState,
    Payment,
    PaymentView,
    Purpose,
)
from pay_svc.plan import COLLECT, payees_of, request_no_of
from paymesh.context import Context
from paymesh.ids import body_of
from paymesh.money import Money

ATTRIBUTION = "trade.trade.paid/attribution"
"""The journal that gives a paid trade's money to its payee, of whom a refund then takes it."""
HOLD_MARGIN = timedelta(hours=1)
"""So long after a payment's expiry the ledger asks whether it still needs its hold."""
LATEST = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class AskPrepay:
    context: Context
    payment_id: str
    request_no: str
    channel: str
    amount: Money
    subject: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class AskClose:
    context: Context
    payment_id: str
    request_no: str
    prepay: AskPrepay
    """What is to be closed: perhaps the gateway has not heard of it yet."""


@dataclass(frozen=True, slots=True)
class AskRefund:
    context: Context
    payment_id: str
    request_no: str
    original_request_no: str
    amount: Money


@dataclass(frozen=True, slots=True)
class AskPayout:
    context: Context
    payment_id: str
    request_no: str
    channel: str
    amount: Money
    beneficiary_id: str


@dataclass(frozen=True, slots=True)
class AskHold:
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
class AskRelease:
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
    asking = ((_ASK.get((i.kind, i.state)), i) for i in state.instructions)
    return [ask(payment, i) for ask, i in asking if ask is not None]


def ask_prepay(payment: Payment, i: Instruction) -> AskPrepay:
    return AskPrepay(
        context=payment.context,
        payment_id=payment.id,
        request_no=i.request_no,
        channel=i.channel,
        amount=i.amount,
        subject=payment.subject,
        expires_at=payment.expires_at,
    )


def _ask_close(payment: Payment, i: Instruction) -> AskClose:
    return AskClose(i.context, payment.id, i.request_no, ask_prepay(payment, i))


def _ask_refund(payment: Payment, i: Instruction) -> AskRefund:
    original = (
        body_of(i.compensates)
        if i.compensates
        else request_no_of(payment.original_payment_id, COLLECT)
    )
    return AskRefund(i.context, payment.id, i.request_no, original, i.amount)


def _ask_payout(payment: Payment, i: Instruction) -> AskPayout:
    return AskPayout(
        context=i.context,
        payment_id=payment.id,
        request_no=i.request_no,
        channel=i.channel,
        amount=i.amount,
        beneficiary_id=payment.beneficiary_id,
    )


def _ask_hold(payment: Payment, i: Instruction) -> AskHold:
    # A refund may be faster than the booking of the trade that it gives back.
    after = (ATTRIBUTION, payment.trade_id) if payment.purpose is Purpose.REFUND else None
    return AskHold(
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


def _ask_release(payment: Payment, i: Instruction) -> AskRelease:
    return AskRelease(
        i.context, payment.id, i.request_no, i.hold_id, i.hold_sources, i.amount.currency
    )


_K, _I = InstructionKind, InstructionState
_ASK: dict[tuple[InstructionKind, InstructionState], Callable[[Payment, Instruction], object]] = {
    (_K.CHANNEL_COLLECT, _I.PROCESSING): ask_prepay,
    (_K.CHANNEL_COLLECT, _I.CLOSING): _ask_close,
    (_K.CHANNEL_REFUND, _I.PROCESSING): _ask_refund,
    (_K.CHANNEL_PAYOUT, _I.PROCESSING): _ask_payout,
    (_K.HOLD, _I.PROCESSING): _ask_hold,
    (_K.RELEASE, _I.PROCESSING): _ask_release,
}
