"""Payments as data: states and moves, entities, commands, effects, events.

Plain Python without I/O. What may happen to a payment is in domain.py.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from paymesh.context import Context
from paymesh.core import Moves
from paymesh.errors import Code, NotFound, PaymentError
from paymesh.money import Money
from paymesh.tools import Tool


class Purpose(StrEnum):
    PURCHASE = "PURCHASE"


class PaymentState(StrEnum):
    PROCESSING = "PROCESSING"
    CLOSING = "CLOSING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CLOSED = "CLOSED"
    RETURNING = "RETURNING"
    RETURNED = "RETURNED"
    SUSPENDED = "SUSPENDED"


class InstructionKind(StrEnum):
    CHANNEL_COLLECT = "CHANNEL_COLLECT"
    CHANNEL_REFUND = "CHANNEL_REFUND"


class InstructionState(StrEnum):
    PROCESSING = "PROCESSING"
    CLOSING = "CLOSING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CLOSED = "CLOSED"
    SUSPENDED = "SUSPENDED"


_P, _I = PaymentState, InstructionState

PAYMENT_MOVES: Moves = {
    _P.PROCESSING: frozenset({_P.SUCCEEDED, _P.FAILED, _P.CLOSED, _P.CLOSING, _P.SUSPENDED}),
    _P.CLOSING: frozenset({_P.SUCCEEDED, _P.FAILED, _P.CLOSED, _P.SUSPENDED}),
    # Late success: the channel's word is the truth, even after an end without money.
    _P.FAILED: frozenset({_P.SUCCEEDED, _P.SUSPENDED}),
    _P.CLOSED: frozenset({_P.SUCCEEDED, _P.SUSPENDED}),
    _P.SUCCEEDED: frozenset({_P.RETURNING}),
    _P.RETURNING: frozenset({_P.RETURNED, _P.SUSPENDED}),
    _P.RETURNED: frozenset(),
    _P.SUSPENDED: frozenset(),
}
INSTRUCTION_MOVES: Moves = {
    _I.PROCESSING: frozenset({_I.SUCCEEDED, _I.FAILED, _I.CLOSED, _I.CLOSING, _I.SUSPENDED}),
    _I.CLOSING: frozenset({_I.SUCCEEDED, _I.FAILED, _I.CLOSED, _I.SUSPENDED}),
    _I.FAILED: frozenset({_I.SUCCEEDED, _I.SUSPENDED}),
    _I.CLOSED: frozenset({_I.SUCCEEDED, _I.SUSPENDED}),
    _I.SUCCEEDED: frozenset(),
    _I.SUSPENDED: frozenset(),
}
UNDER_WAY = frozenset({_P.PROCESSING, _P.CLOSING, _P.RETURNING})


class ToolsNotOffered(PaymentError):
    code, reason = Code.FAILED_PRECONDITION, "CHANNEL_NOT_OFFERED"


@dataclass(frozen=True, slots=True)
class Payment:
    id: str
    context: Context
    version: int
    state: PaymentState
    trade_id: str
    purpose: Purpose
    amount: Money
    tools: tuple[Tool, ...]
    subject: str
    expires_at: datetime
    created_at: datetime
    succeeded_at: datetime | None = None
    owner: str = ""
    """Who acts on it when no clock does: `operator` for a suspended payment."""
    next_action_at: datetime | None = None
    action_attempts: int = 0


@dataclass(frozen=True, slots=True)
class Instruction:
    id: str
    context: Context
    version: int
    state: InstructionState
    payment_id: str
    kind: InstructionKind
    amount: Money
    channel: str
    request_no: str
    """Our reference at the channel; committed before the channel hears of it."""
    created_at: datetime
    compensates: str = ""
    channel_txn_id: str = ""
    succeeded_at: datetime | None = None
    observed: Money | None = None
    """What the channel moved, where that differs from the amount."""


@dataclass(frozen=True, slots=True)
class PaymentView:
    payment: Payment | None
    instructions: tuple[Instruction, ...] = ()

    def by_request_no(self, request_no: str) -> Instruction:
        for instruction in self.instructions:
            if instruction.request_no == request_no:
                return instruction
        raise NotFound(f"no instruction with request_no {request_no}")

    def with_instruction(self, changed: Instruction) -> PaymentView:
        return replace(
            self,
            instructions=tuple(changed if i.id == changed.id else i for i in self.instructions),
        )


@dataclass(frozen=True, slots=True)
class Timing:
    """How long the payment core waits before it asks again."""

    effect_lease: timedelta = timedelta(seconds=5)
    """After a commit its own process acts; after this the sweeper does."""


# Commands


@dataclass(frozen=True, slots=True)
class CreatePayment:
    payment_id: str
    context: Context
    trade_id: str
    purpose: Purpose
    amount: Money
    tools: tuple[Tool, ...]
    subject: str
    expires_at: datetime

    @property
    def key(self) -> str:
        return self.payment_id


@dataclass(frozen=True, slots=True)
class CancelPayment:
    payment_id: str
    return_if_succeeded: bool

    @property
    def key(self) -> str:
        return self.payment_id


class ChannelOutcome(StrEnum):
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CLOSED = "CLOSED"


@dataclass(frozen=True, slots=True)
class ChannelMoved:
    """The end that a channel order has reached: a fact, whatever we had planned."""

    payment_id: str
    context: Context
    request_no: str
    outcome: ChannelOutcome
    moved: Money | None
    channel_txn_id: str
    succeeded_at: datetime | None

    @property
    def key(self) -> str:
        return self.payment_id


# Effects


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


@dataclass(frozen=True, slots=True)
class AskRefund:
    context: Context
    payment_id: str
    request_no: str
    original_request_no: str
    amount: Money


# Payloads of published events


@dataclass(frozen=True, slots=True)
class PaymentMoved:
    payment: Payment


@dataclass(frozen=True, slots=True)
class InstructionMoved:
    instruction: Instruction
    payment: Payment
