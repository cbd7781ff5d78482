"""Trades as data: entities, commands, effects, events.

Plain Python without I/O. What kinds there are is in kinds.py, what may happen in domain.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from paymesh.context import Context
from paymesh.core import Guard
from paymesh.errors import NotFound, PaymentError
from paymesh.money import Money
from paymesh.tools import Tool, ToolKind
from paymesh.wallets import SHARED, wallet_id
from trade_svc.types import TRADE_TYPES
from trade_svc.types.declaration import (
    AttemptState,
    Declaration,
    Purpose,
    RefundState,
    TradeState,
    TradeType,
)


class CloseReason(StrEnum):
    EXPIRED = "EXPIRED"
    REQUESTED = "REQUESTED"


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
    payee_id: str = ""
    """Whose balance gets the money of a top-up or a transfer."""
    beneficiary_id: str = ""
    """Who gets the money of a withdrawal."""
    refunded_minor: int = 0
    """What succeeded refunds gave back, in minor units of the amount's currency."""
    refunding_minor: int = 0
    """What refunds that are under way have reserved, likewise."""
    wallet_scope: str = SHARED
    """Of its merchant: see paymesh.wallets."""

    def wallet(self, payer_id: str) -> str:
        """What a payer of its merchant's is called in the ledger."""
        return wallet_id(self.wallet_scope, payer_id)

    @property
    def declaration(self) -> Declaration:
        return TRADE_TYPES[self.type]

    @property
    def refundable_minor(self) -> int:
        """What is neither refunded nor reserved."""
        return self.amount.minor - self.refunded_minor - self.refunding_minor


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
    failure_reason: str = ""
    """In the words of payments.type.v1.ErrorReason or of the channel."""


@dataclass(frozen=True, slots=True)
class Refund:
    """A part or all of a trade's money on its way back: a chain of its own, below the trade's."""

    id: str
    context: Context
    version: int
    state: RefundState
    trade_id: str
    payment_id: str
    """The payment that carries it out."""
    amount: Money
    tools: tuple[Tool, ...]
    reason: str
    """The merchant's own words."""
    created_at: datetime
    ended_at: datetime | None = None
    failure_reason: str = ""
    """As an attempt's."""
    returned_minor: int = 0
    """What of it came back, in minor units of its amount's currency."""

    @property
    def given(self) -> tuple[Tool, ...]:
        """What it gives back by each tool, or is about to: nothing of one that failed."""
        if self.state is RefundState.FAILED:
            return ()
        if self.state is RefundState.RETURNED:
            return tuple(tool for tool in self.tools if tool.kind is not ToolKind.CHANNEL)
        return self.tools


@dataclass(frozen=True, slots=True)
class TradeView:
    """A trade with its attempts and refunds: what every decision on it sees."""

    trade: Trade | None
    attempts: tuple[Attempt, ...] = ()
    refunds: tuple[Refund, ...] = ()

    def existing(self, trade_id: str) -> Trade:
        """The trade; raises NotFound where there is none."""
        if self.trade is None:
            raise NotFound(f"no trade {trade_id}")
        return self.trade

    def of_merchant(self, trade_id: str, merchant_id: str) -> Trade:
        """The trade, for who names it from outside: another merchant's is NotFound, as none is."""
        if self.trade is None or self.trade.context.merchant_id != merchant_id:
            raise NotFound(f"no trade {trade_id}", metadata={"field": "trade_id"})
        return self.trade

    def attempt(self, payment_id: str) -> Attempt:
        for attempt in self.attempts:
            if attempt.id == payment_id:
                return attempt
        raise NotFound(f"no payment {payment_id} of this trade")

    def with_attempt(self, changed: Attempt) -> TradeView:
        return replace(
            self, attempts=tuple(changed if a.id == changed.id else a for a in self.attempts)
        )

    def refund_by(self, payment_id: str) -> Refund | None:
        """The refund that this payment carries out."""
        return next((r for r in self.refunds if r.payment_id == payment_id), None)

    def with_refund(self, changed: Refund) -> TradeView:
        return replace(
            self, refunds=tuple(changed if r.id == changed.id else r for r in self.refunds)
        )


@dataclass(frozen=True, slots=True)
class TradeTiming:
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
    payee_id: str = ""
    beneficiary_id: str = ""
    beneficiary_refused: PaymentError | None = None
    """Why its merchant's payer cannot withdraw to it, as far as that is known."""
    shut: Shut = frozenset()
    wallet_scope: str = SHARED

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


Shut = frozenset[tuple[str, str]]
"""Merchants with the currencies in which they sell nothing now, as they were known a moment ago."""


@dataclass(frozen=True, slots=True)
class PayTrade:
    trade_id: str
    merchant_id: str
    payment_id: str
    """Chosen by us before the payment core is asked, so that a retry is the same payment."""
    tools: tuple[Tool, ...]
    shut: Shut = frozenset()

    @property
    def key(self) -> str:
        return self.trade_id


@dataclass(frozen=True, slots=True)
class CloseTrade:
    trade_id: str
    merchant_id: str
    reason: CloseReason
    context: Context

    @property
    def key(self) -> str:
        return self.trade_id


@dataclass(frozen=True, slots=True)
class RefundTrade:
    trade_id: str
    merchant_id: str
    refund_id: str
    payment_id: str
    """Chosen by us, as an attempt's."""
    business_id: str
    """The refund's own chain."""
    amount: Money
    reason: str

    @property
    def key(self) -> str:
        return self.trade_id


class PaymentOutcome(StrEnum):
    """What the payment core says of a payment."""

    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CLOSED = "CLOSED"
    RETURNED = "RETURNED"
    SUSPENDED = "SUSPENDED"


@dataclass(frozen=True, slots=True)
class PaymentMoved:
    trade_id: str
    payment_id: str
    outcome: PaymentOutcome
    amount: Money
    context: Context
    failure_reason: str = ""

    @property
    def key(self) -> str:
        return self.trade_id


@dataclass(frozen=True, slots=True)
class TradeBooked:
    """What the ledger says of a trade that it was asked to book."""

    trade_id: str
    payment_id: str
    """The payment that pays it."""
    context: Context
    refusal: str = ""
    """Why nothing was booked, and never will be for this payment; empty: it is booked."""

    @property
    def key(self) -> str:
        return self.trade_id


# Effects


@dataclass(frozen=True, slots=True)
class StartPayment:
    """Ask the payment core to carry out an attempt or a refund (idempotent by payment_id)."""

    context: Context
    trade_id: str
    payment_id: str
    purpose: Purpose
    amount: Money
    tools: tuple[Tool, ...]
    expires_at: datetime
    subject: str
    payer_id: str = ""
    """Whose balance takes part."""
    beneficiary_id: str = ""
    beneficiary_owner_id: str = ""
    original_payment_id: str = ""
    """What a refund gives back."""
    payee_id: str = ""
    """Whose balance a transfer is for."""


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


@dataclass(frozen=True, slots=True)
class BookTrade:
    """Ask the ledger to book that a trade is paid (idempotent by payment_id)."""

    context: Context
    payment_id: str
    trade: Trade = field(compare=False)


# Payloads of published events


@dataclass(frozen=True, slots=True)
class TradePaid:
    trade: Trade


@dataclass(frozen=True, slots=True)
class TradeClosed:
    trade: Trade
    reason: CloseReason


@dataclass(frozen=True, slots=True)
class TradeRefundEnded:
    trade: Trade
    refund: Refund


@dataclass(frozen=True, slots=True)
class TradeReturned:
    trade: Trade
