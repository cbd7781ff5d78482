"""Trades as data: states and moves, trade types, entities, commands, effects, events.

Plain Python without I/O. What may happen to a trade is in domain.py.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from paymesh.context import Context
from paymesh.core import Guard, Moves
from paymesh.errors import (
    Code,
    NotFound,
    PaymentError,
)
from paymesh.money import Money
from paymesh.tools import Tool


class TradeType(StrEnum):
    INSTANT = "INSTANT"
    ESCROW = "ESCROW"
    PREAUTH = "PREAUTH"
    TOP_UP = "TOP_UP"
    WITHDRAWAL = "WITHDRAWAL"
    TRANSFER = "TRANSFER"
    REFUND = "REFUND"
    COMBINED = "COMBINED"


class TradeState(StrEnum):
    PENDING = "PENDING"
    PAYING = "PAYING"
    PAID = "PAID"
    CLOSED = "CLOSED"


class AttemptState(StrEnum):
    PROCESSING = "PROCESSING"
    CLOSING = "CLOSING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CLOSED = "CLOSED"
    RETURNING = "RETURNING"
    RETURNED = "RETURNED"


class CloseReason(StrEnum):
    EXPIRED = "EXPIRED"
    REQUESTED = "REQUESTED"


def _moves(table: dict[StrEnum, set[StrEnum]]) -> Moves:
    return {state: frozenset(after) for state, after in table.items()}


_T, _A = TradeState, AttemptState

ATTEMPT_MOVES = _moves(
    {
        _A.PROCESSING: {_A.SUCCEEDED, _A.FAILED, _A.CLOSED, _A.CLOSING, _A.RETURNING},
        _A.CLOSING: {_A.SUCCEEDED, _A.FAILED, _A.CLOSED, _A.RETURNING},
        _A.SUCCEEDED: set(),
        # Late success: the money came after all. It pays the trade or is returned, never dropped.
        _A.FAILED: {_A.SUCCEEDED, _A.RETURNING},
        _A.CLOSED: {_A.SUCCEEDED, _A.RETURNING},
        _A.RETURNING: {_A.RETURNED},
        _A.RETURNED: set(),
    }
)
OPEN_ATTEMPTS = frozenset({_A.PROCESSING, _A.CLOSING, _A.RETURNING})


@dataclass(frozen=True, slots=True)
class TradeKind:
    """One trade type as a declaration."""

    product_code: str
    """Selects the accounting templates."""
    moves: Moves
    payable: frozenset[TradeState]
    """States from which a payment may be started."""
    expires_after: timedelta
    expires_after_max: timedelta


TRADE_KINDS: dict[TradeType, TradeKind] = {
    TradeType.INSTANT: TradeKind(
        product_code="INSTANT",
        moves=_moves(
            {
                _T.PENDING: {_T.PAYING, _T.PAID, _T.CLOSED},  # PAID: a late success
                # PAYING → PAYING: the payer starts anew with another tool.
                _T.PAYING: {_T.PAYING, _T.PENDING, _T.PAID, _T.CLOSED},
                _T.PAID: set(),
                _T.CLOSED: set(),
            }
        ),
        payable=frozenset({_T.PENDING, _T.PAYING}),
        expires_after=timedelta(minutes=30),
        expires_after_max=timedelta(days=7),
    ),
}
"""The types on offer. A new type is a new declaration here."""


class TradeTypeNotOffered(PaymentError):
    code, reason, decided = Code.FAILED_PRECONDITION, "TRADE_TYPE_NOT_OFFERED", False


class OrderExists(PaymentError):
    code, reason = Code.ALREADY_EXISTS, "ORDER_EXISTS"


class TradeExpired(PaymentError):
    code, reason = Code.FAILED_PRECONDITION, "TRADE_EXPIRED"


@dataclass(frozen=True, slots=True)
class Trade:
    id: str
    context: Context
    version: int
    state: TradeState
    type: TradeType
    merchant_order_no: str
    amount: Money
    subject: str
    payer_id: str
    expires_at: datetime
    created_at: datetime
    paid_at: datetime | None = None
    closed_at: datetime | None = None
    paid_payment_id: str = ""
    next_action_at: datetime | None = None
    action_attempts: int = 0

    @property
    def kind(self) -> TradeKind:
        return TRADE_KINDS[self.type]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One payment made for a trade; its id is the payment's."""

    id: str
    context: Context
    version: int
    state: AttemptState
    trade_id: str
    tools: tuple[Tool, ...]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class TradeView:
    """A trade with its attempts: what every decision on it sees."""

    trade: Trade | None
    attempts: tuple[Attempt, ...] = ()

    def attempt(self, payment_id: str) -> Attempt:
        for attempt in self.attempts:
            if attempt.id == payment_id:
                return attempt
        raise NotFound(f"no payment {payment_id} of this trade")

    def with_attempt(self, changed: Attempt) -> TradeView:
        return replace(
            self, attempts=tuple(changed if a.id == changed.id else a for a in self.attempts)
        )


@dataclass(frozen=True, slots=True)
class Timing:
    """How long the trade core waits before it asks again."""

    effect_lease: timedelta = timedelta(seconds=5)
    """After a commit its own process acts; after this the sweeper does."""
    cancel_gives_up: timedelta = timedelta(minutes=10)
    """A payment that its core does not know so long after its start never existed."""


# Commands


@dataclass(frozen=True, slots=True)
class CreateTrade:
    trade_id: str
    context: Context
    type: TradeType
    merchant_order_no: str
    amount: Money
    subject: str
    payer_id: str
    expires_at: datetime | None

    @property
    def key(self) -> str:
        return self.trade_id

    @property
    def order_guard(self) -> Guard:
        """One trade per business order: (merchant, order_type, sub_type, merchant_order_no)."""
        c = self.context
        parts = (c.merchant_id, c.order_type, c.sub_type, self.merchant_order_no)
        return Guard("order", "\x1f".join(parts))

    @property
    def guards(self) -> tuple[Guard, ...]:
        return (self.order_guard,)


@dataclass(frozen=True, slots=True)
class PayTrade:
    trade_id: str
    payment_id: str
    """Chosen by us before the payment core is asked, so that a retry is the same payment."""
    tools: tuple[Tool, ...]

    @property
    def key(self) -> str:
        return self.trade_id


@dataclass(frozen=True, slots=True)
class CloseTrade:
    trade_id: str
    reason: CloseReason
    context: Context

    @property
    def key(self) -> str:
        return self.trade_id


class PaymentOutcome(StrEnum):
    """What the payment core says of a payment."""

    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CLOSED = "CLOSED"
    RETURNED = "RETURNED"


@dataclass(frozen=True, slots=True)
class PaymentMoved:
    trade_id: str
    payment_id: str
    outcome: PaymentOutcome
    amount: Money
    context: Context

    @property
    def key(self) -> str:
        return self.trade_id


# Effects


@dataclass(frozen=True, slots=True)
class StartPayment:
    """Ask the payment core to carry this attempt out (idempotent by payment_id)."""

    context: Context
    trade_id: str
    payment_id: str
    amount: Money
    tools: tuple[Tool, ...]
    expires_at: datetime
    subject: str


@dataclass(frozen=True, slots=True)
class CancelPayment:
    """Ask the payment core to take this attempt back."""

    context: Context
    trade_id: str
    payment_id: str
    amount: Money
    return_if_succeeded: bool
    """False while the trade would still take its money: a success must not be undone then."""
    unknown_means_closed: bool
    """The payment core had time enough: if it knows nothing of it, nothing happened."""


# Payloads of published events


@dataclass(frozen=True, slots=True)
class TradePaid:
    trade: Trade


@dataclass(frozen=True, slots=True)
class TradeClosed:
    trade: Trade
    reason: CloseReason
