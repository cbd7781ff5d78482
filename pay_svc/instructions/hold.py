"""The ledger holds money for a debit that is to come."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pay_svc.instructions.handler import InstructionHandler
from pay_svc.payments.model import (
    AccountRef,
    Instruction,
    InstructionKind,
    InstructionState,
    Payment,
)
from pay_svc.purposes import PURPOSES
from paymesh.context import Context
from paymesh.money import Money

HOLD_MARGIN = timedelta(hours=1)
"""So long after a payment's expiry the ledger asks whether it still needs its hold."""
LATEST = datetime.max.replace(tzinfo=UTC)


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


def _hold(payment: Payment, i: Instruction) -> RequestHold:
    declared = PURPOSES[payment.purpose]
    return RequestHold(
        context=i.context,
        payment_id=payment.id,
        request_no=i.request_no,
        hold_id=i.hold_id,
        amount=i.amount,
        sources=i.hold_sources,
        after=declared.held_after(payment),
        # Whatever CreatePayment said: past the last year there is no margin.
        expires_at=min(payment.expires_at, LATEST - HOLD_MARGIN) + HOLD_MARGIN,
        payees=declared.payees(payment),
    )


HOLD = InstructionHandler(
    kind=InstructionKind.HOLD,
    moves_money=False,
    holds=True,
    awaited=True,
    undone_by=("release", InstructionKind.RELEASE),
    calls={InstructionState.PROCESSING: _hold},
)
