"""Channel orders as data: what they are, how they may move, what may be asked of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from paymesh.context import Context
from paymesh.core import Moves
from paymesh.errors import Code, PaymentError
from paymesh.money import Money


class OrderKind(StrEnum):
    COLLECT = "COLLECT"
    REFUND = "REFUND"
    PAYOUT = "PAYOUT"


class OrderState(StrEnum):
    PENDING = "PENDING"
    AWAITING_PAYER = "AWAITING_PAYER"
    PROCESSING = "PROCESSING"
    CLOSING = "CLOSING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CLOSED = "CLOSED"
    BOUNCED = "BOUNCED"
    """A payout or refund had succeeded, and the money came back."""


_O = OrderState
ENDS = frozenset({_O.SUCCEEDED, _O.FAILED, _O.CLOSED, _O.BOUNCED})
_RESULTS = frozenset({_O.SUCCEEDED, _O.FAILED, _O.CLOSED})
COLLECT_MOVES: Moves = {
    _O.PENDING: _RESULTS | {_O.AWAITING_PAYER, _O.PROCESSING, _O.CLOSING},
    _O.AWAITING_PAYER: _RESULTS | {_O.CLOSING},
    _O.PROCESSING: _RESULTS,
    _O.CLOSING: _RESULTS,
    _O.SUCCEEDED: frozenset(),
    # Late success: the channel says after all that money moved.
    _O.FAILED: frozenset({_O.SUCCEEDED}),
    _O.CLOSED: frozenset({_O.SUCCEEDED}),
}
OUTGOING_MOVES: Moves = {
    _O.PENDING: _RESULTS | {_O.PROCESSING},
    _O.PROCESSING: _RESULTS,
    _O.SUCCEEDED: frozenset({_O.BOUNCED}),
    _O.FAILED: frozenset(),
    _O.CLOSED: frozenset(),
    _O.BOUNCED: frozenset(),
}
"""Of refunds and payouts. Late success is a thing of collections, coming back one of these."""
ORDER_MOVES: Mapping[OrderKind, Moves] = {
    OrderKind.COLLECT: COLLECT_MOVES,
    OrderKind.REFUND: OUTGOING_MOVES,
    OrderKind.PAYOUT: OUTGOING_MOVES,
}
EXPIRES_AFTER_MAX = timedelta(days=30)


class ReportedState(StrEnum):
    """What a channel says of an order, in our words."""

    AWAITING_PAYER = "AWAITING_PAYER"
    """The order stands and may still be paid. Not a doubt: the channel said so."""
    PROCESSING = "PROCESSING"
    """The channel is at work (refund, payout)."""
    SUCCEEDED = "SUCCEEDED"
    """The money moved; amount, currency and channel_txn_id are known."""
    FAILED = "FAILED"
    """The channel refused or it failed for good. Of a refund it may follow SUCCEEDED: the money
    came back."""
    BOUNCED = "BOUNCED"
    """A payout had left, and the money came back: follows SUCCEEDED, after minutes or days."""
    CLOSED = "CLOSED"
    """Closed unpaid. A late success may still follow."""
    NOT_FOUND = "NOT_FOUND"
    """The channel does not know the number (yet): inconclusive soon after a timeout."""
    WAITING_FUNDS = "WAITING_FUNDS"
    """The channel took nothing because our money there does not suffice; the same number may be
    sent again (refund, payout)."""
    UNKNOWN = "UNKNOWN"
    """Nothing is known; ask again."""


class ReferenceReused(PaymentError):
    code, reason = Code.ALREADY_EXISTS, "REQUEST_ID_REUSED"


@dataclass(frozen=True, slots=True)
class ChannelOrder:
    id: str
    context: Context
    version: int
    state: OrderState
    kind: OrderKind
    channel: str
    request_no: str
    amount: Money
    subject: str
    expires_at: datetime
    created_at: datetime
    reference: str = ""
    """The caller's own id of what the order is for."""
    original_request_no: str = ""
    sealed_payee: bytes = field(default=b"", repr=False)
    """Whom a payout goes to, encrypted (`gateway_svc.orders.payees`); empty for the other kinds."""
    payee_digest: str = field(default="", repr=False)
    """By which two payees are compared without being opened."""
    moved_amount: Money | None = None
    channel_txn_id: str = ""
    succeeded_at: datetime | None = None
    failure_reason: str = ""
    credential: dict[str, str] = field(default_factory=dict)
    """What the payer's device needs, in the channel's own words."""
    next_action_at: datetime | None = None
    action_attempts: int = 0

    @property
    def moves(self) -> Moves:
        return ORDER_MOVES[self.kind]


@dataclass(frozen=True, slots=True)
class Callback:
    """A verified callback, kept as it was understood. Only ever inserted."""

    id: str
    context: Context
    version: int
    channel: str
    callback_id: str
    request_no: str
    reported: str
    body_sha256: str
    matched: bool
    """Whether its channel's order of that number and kind was known when it came."""
    received_at: datetime


@dataclass(frozen=True, slots=True)
class OrderView:
    order: ChannelOrder | None


@dataclass(frozen=True, slots=True)
class OrderTiming:
    """How long the gateway waits before it asks the channel."""

    effect_lease: timedelta = timedelta(seconds=5)
    """After a commit its own process acts; after this the sweeper does."""
    first_query: timedelta = timedelta(seconds=5)
    unseen_margin: timedelta = timedelta(minutes=5)
    """So long after its expiry an order that the channel never saw is closed."""


def order_id_of(request_no: str) -> str:
    return f"chn_{request_no}"


# Commands


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """A new order at a channel: a collection, the refund of one (where that one went), a payout."""

    context: Context
    kind: OrderKind
    channel: str
    request_no: str
    amount: Money
    subject: str
    expires_at: datetime | None
    reference: str
    original_request_no: str = ""
    sealed_payee: bytes = field(default=b"", repr=False)
    payee_digest: str = field(default="", repr=False)

    @property
    def key(self) -> str:
        return order_id_of(self.request_no)


@dataclass(frozen=True, slots=True)
class RequestClose:
    request_no: str

    @property
    def key(self) -> str:
        return order_id_of(self.request_no)


@dataclass(frozen=True, slots=True)
class Report:
    """What the channel said, in answer to a call of ours or in a callback of its own."""

    context: Context
    request_no: str
    reported: ReportedState
    asked_in: OrderState | None = None
    """The state in which the order was when the channel was asked; None: it spoke by itself."""
    moved: Money | None = None
    channel_txn_id: str = ""
    occurred_at: datetime | None = None
    reason: str = ""
    credential: dict[str, str] = field(default_factory=dict)
    callback: Callback | None = None
    """As it came; the decision adds context, time and whether it fits an order."""
    callback_kind: str = ""
    """What it speaks of: COLLECT, REFUND, …"""

    @property
    def key(self) -> str:
        return order_id_of(self.request_no)


# Effects


@dataclass(frozen=True, slots=True)
class CallChannel:
    """Call the channel for an order: announce, query, close, refund or pay it out, as its state
    says."""

    context: Context
    order_id: str
    state: OrderState
    asked: bool
    """Whether the channel was asked before (then: query first)."""


# Payloads of published events


@dataclass(frozen=True, slots=True)
class ChannelResult:
    order: ChannelOrder
