"""Payments as data: states and moves, entities, commands, payloads of events.

Plain Python without I/O. What may happen to a payment is in domain.py and progress.py, of which
steps it consists say its purpose and its tools, what a step owes says its instruction's handler.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from pay_svc.beneficiaries.domain import Beneficiary
from paymesh.context import Context
from paymesh.core import Moves
from paymesh.errors import Code, PaymentError
from paymesh.money import Money
from paymesh.tools import Tool


class Purpose(StrEnum):
    PURCHASE = "PURCHASE"
    TOP_UP = "TOP_UP"
    TRANSFER = "TRANSFER"
    WITHDRAWAL = "WITHDRAWAL"
    REFUND = "REFUND"


class PaymentState(StrEnum):
    PROCESSING = "PROCESSING"
    CLOSING = "CLOSING"
    """A step failed, or it was cancelled: what is under way comes to rest, holds are released."""
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CLOSED = "CLOSED"
    RETURNING = "RETURNING"
    RETURNED = "RETURNED"
    SUSPENDED = "SUSPENDED"


class InstructionKind(StrEnum):
    CHANNEL_COLLECT = "CHANNEL_COLLECT"
    CHANNEL_REFUND = "CHANNEL_REFUND"
    CHANNEL_PAYOUT = "CHANNEL_PAYOUT"
    HOLD = "HOLD"
    RELEASE = "RELEASE"
    TRANSFER = "TRANSFER"


class InstructionState(StrEnum):
    PROCESSING = "PROCESSING"
    CLOSING = "CLOSING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CLOSED = "CLOSED"
    SUSPENDED = "SUSPENDED"
    BOUNCED = "BOUNCED"


_P, _I = PaymentState, InstructionState

PAYMENT_MOVES: Moves = {
    _P.PROCESSING: frozenset({_P.SUCCEEDED, _P.FAILED, _P.CLOSED, _P.CLOSING, _P.SUSPENDED}),
    _P.CLOSING: frozenset({_P.SUCCEEDED, _P.FAILED, _P.CLOSED, _P.SUSPENDED, _P.RETURNING}),
    # Late success: the channel's word is the truth, even after an end without money.
    _P.FAILED: frozenset({_P.SUCCEEDED, _P.SUSPENDED, _P.RETURNING}),
    _P.CLOSED: frozenset({_P.SUCCEEDED, _P.SUSPENDED, _P.RETURNING}),
    # A payout may come back, and so may a refund; SUSPENDED: one that did before it was RETURNED.
    _P.SUCCEEDED: frozenset({_P.RETURNING, _P.RETURNED, _P.SUSPENDED}),
    _P.RETURNING: frozenset({_P.RETURNED, _P.SUSPENDED}),
    _P.RETURNED: frozenset({_P.SUSPENDED}),
    _P.SUSPENDED: frozenset(),
}
INSTRUCTION_MOVES: Moves = {
    _I.PROCESSING: frozenset({_I.SUCCEEDED, _I.FAILED, _I.CLOSED, _I.CLOSING, _I.SUSPENDED}),
    _I.CLOSING: frozenset({_I.SUCCEEDED, _I.FAILED, _I.CLOSED, _I.SUSPENDED}),
    _I.FAILED: frozenset({_I.SUCCEEDED, _I.SUSPENDED}),
    _I.CLOSED: frozenset({_I.SUCCEEDED, _I.SUSPENDED}),
    _I.SUCCEEDED: frozenset({_I.BOUNCED}),
    _I.SUSPENDED: frozenset(),
    _I.BOUNCED: frozenset(),
}
UNDER_WAY = frozenset({_P.PROCESSING, _P.CLOSING, _P.RETURNING})
OPEN = frozenset({_I.PROCESSING, _I.CLOSING})

PUBLISHED_PAYMENTS = frozenset({_P.SUCCEEDED, _P.FAILED, _P.CLOSED, _P.RETURNED, _P.SUSPENDED})
"""States of a payment that others hear of: pay.payment.<state>."""
PUBLISHED_MOVEMENTS = frozenset({_I.SUCCEEDED, _I.SUSPENDED, _I.BOUNCED})
"""States in which an instruction has moved money: pay.instruction.<state> is booked."""


class ToolsNotOffered(PaymentError):
    code, reason = Code.FAILED_PRECONDITION, "TOOLS_NOT_OFFERED"


@dataclass(frozen=True, slots=True)
class AccountRef:
    """Names an account of the ledger together with a currency."""

    subject: str
    owner: str


def dump_sources(sources: Sequence[AccountRef]) -> list[dict[str, str]]:
    """As JSON data."""
    return [{"subject": source.subject, "owner": source.owner} for source in sources]


def load_sources(data: Sequence[dict[str, Any]]) -> tuple[AccountRef, ...]:
    """From JSON data."""
    return tuple(AccountRef(source["subject"], source["owner"]) for source in data)


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
    payer_id: str = ""
    """Whose balance takes part; empty: none does."""
    beneficiary_id: str = ""
    payout_channel: str = ""
    """The beneficiary's."""
    original_payment_id: str = ""
    """What a refund gives back."""
    failure_reason: str = ""
    payee_id: str = ""
    """Whose balance a transfer is for; empty: not said."""


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
    hold_id: str = ""
    """The hold that it places, releases, or takes its money from."""
    hold_sources: tuple[AccountRef, ...] = ()
    """Where that hold may lie."""
    failure_reason: str = ""


@dataclass(frozen=True, slots=True)
class PaymentView:
    payment: Payment | None
    instructions: tuple[Instruction, ...] = ()


@dataclass(frozen=True, slots=True)
class PaymentTiming:
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
    payer_id: str = ""
    beneficiary_id: str = ""
    beneficiary: Beneficiary | None = None
    """As it was read just before; None: there is none of that id."""
    beneficiary_owner_id: str = ""
    """What the beneficiary's merchant calls its owner; empty: the payer_id."""
    original_payment_id: str = ""
    payee_id: str = ""

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
    BOUNCED = "BOUNCED"
    """It had succeeded, and the money came back."""


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
    reason: str = ""

    @property
    def key(self) -> str:
        return self.payment_id


class HoldOutcome(StrEnum):
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class HoldMoved:
    """What the ledger answered to a HOLD or a RELEASE."""

    payment_id: str
    context: Context
    request_no: str
    outcome: HoldOutcome
    reason: str = ""

    @property
    def key(self) -> str:
        return self.payment_id


# Payloads of published events


@dataclass(frozen=True, slots=True)
class PaymentMoved:
    payment: Payment


@dataclass(frozen=True, slots=True)
class InstructionMoved:
    instruction: Instruction
    payment: Payment
