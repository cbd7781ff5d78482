"""Channel orders: what may happen to them, as plain functions.

A channel's word is the truth. A timeout is never a failure: the order stays as it is and the query
ladder goes on until the channel says how it ended.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from paymesh.context import Context
from paymesh.core import Decision, Moves, View, event, history, moved
from paymesh.errors import Code, InvalidField, NotFound, PaymentError
from paymesh.money import Money


class OrderKind(StrEnum):
    COLLECT = "COLLECT"
    REFUND = "REFUND"


class OrderState(StrEnum):
    PENDING = "PENDING"
    AWAITING_PAYER = "AWAITING_PAYER"
    PROCESSING = "PROCESSING"
    CLOSING = "CLOSING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CLOSED = "CLOSED"


_O = OrderState
MOVES: Moves = {
    _O.PENDING: frozenset(set(_O) - {_O.PENDING}),
    _O.AWAITING_PAYER: frozenset({_O.CLOSING, _O.SUCCEEDED, _O.FAILED, _O.CLOSED}),
    _O.PROCESSING: frozenset({_O.SUCCEEDED, _O.FAILED, _O.CLOSED}),
    _O.CLOSING: frozenset({_O.SUCCEEDED, _O.FAILED, _O.CLOSED}),
    _O.SUCCEEDED: frozenset(),
    # Late success: the channel says after all that money moved.
    _O.FAILED: frozenset({_O.SUCCEEDED}),
    _O.CLOSED: frozenset({_O.SUCCEEDED}),
}
REFUND_MOVES: Moves = {**MOVES, _O.FAILED: frozenset(), _O.CLOSED: frozenset()}
"""Late success is a thing of collections."""
EXPIRES_AFTER_MAX = timedelta(days=30)
ENDS = frozenset({_O.SUCCEEDED, _O.FAILED, _O.CLOSED})


class Reported(StrEnum):
    """What a channel says of an order, in our words."""

    AWAITING_PAYER = "AWAITING_PAYER"
    PROCESSING = "PROCESSING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CLOSED = "CLOSED"
    NOT_FOUND = "NOT_FOUND"
    UNKNOWN = "UNKNOWN"


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
        return MOVES if self.kind is OrderKind.COLLECT else REFUND_MOVES


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
class Timing:
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
class Place:
    """A new order at a channel: a collection, or the refund of one (where that one went)."""

    context: Context
    kind: OrderKind
    channel: str
    request_no: str
    amount: Money
    subject: str
    expires_at: datetime | None
    reference: str
    original_request_no: str = ""

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
    reported: Reported
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
class AskChannel:
    """Call the channel for an order: announce, query, close or refund it, as its state says."""

    order_id: str
    state: OrderState
    asked: bool
    """Whether the channel was asked before (then: query first)."""


# Payloads of published events


@dataclass(frozen=True, slots=True)
class ChannelResult:
    order: ChannelOrder


D = Decision[OrderView]


def place(state: OrderView, c: Place, at: datetime, view: View, *, timing: Timing) -> D:
    """Writes the order down; the channel hears of it after the commit."""
    known = state.order
    if known is not None:
        if (known.kind, known.channel, known.amount, known.original_request_no) != (
            c.kind,
            c.channel,
            c.amount,
            c.original_request_no,
        ):
            raise ReferenceReused(f"request_no {c.request_no} stands for another order")
        return Decision(state=state, answer=state)
    if c.expires_at is not None and not at < c.expires_at <= at + EXPIRES_AFTER_MAX:
        raise InvalidField("expire_time", f"must be within {EXPIRES_AFTER_MAX} from now ({at})")
    order = ChannelOrder(
        id=c.key,
        context=c.context,
        version=1,
        state=OrderState.PENDING,
        kind=c.kind,
        channel=c.channel,
        request_no=c.request_no,
        amount=c.amount,
        subject=c.subject,
        expires_at=c.expires_at or at,
        created_at=at,
        reference=c.reference,
        original_request_no=c.original_request_no,
        next_action_at=at + timing.effect_lease,
    )
    new = OrderView(order)
    return Decision(state=new, events=(history(order, "gateway.channel.placed"),), answer=new)


def request_close(
    state: OrderView, c: RequestClose, at: datetime, view: View, *, timing: Timing
) -> D:
    """From now on the order is to be closed; the channel decides whether it still can be."""
    order = state.order
    if order is None:
        raise NotFound(f"no channel order {c.request_no}")
    if OrderState.CLOSING not in MOVES[order.state] or order.kind is not OrderKind.COLLECT:
        return Decision(state=state, answer=state)
    order = moved(
        order,
        OrderState.CLOSING,
        MOVES,
        next_action_at=at + timing.effect_lease,
        action_attempts=0,
    )
    new = OrderView(order)
    return Decision(state=new, events=(history(order, "gateway.channel.closing"),), answer=new)


def report(state: OrderView, c: Report, at: datetime, view: View, *, timing: Timing) -> D:
    """Takes the channel's word, in any order and any number of times."""
    order = state.order
    facts = () if c.callback is None else (_kept(order, c, c.callback, at),)
    # A callback that fits no order of ours (yet) is kept, no more: the ladder will ask.
    if order is None or not all(fact.matched for fact in facts):
        return Decision(state=state, facts=facts)
    if _is_doubtful(order, c):
        asked = replace(order, next_action_at=at, action_attempts=0)
        return Decision(state=OrderView(asked), facts=facts)
    to = _destination(order, c, at, timing)
    if to is None or to not in order.moves[order.state]:
        if to is not None and order.state in ENDS and order.next_action_at is not None:
            state = OrderView(replace(order, next_action_at=None))  # the doubt is over
        return Decision(state=state, facts=facts)
    order = moved(order, to, order.moves, **_changes(order, c, to, at, timing))
    name, published = _EVENTS[to]
    happened = event(order, name, ChannelResult(order)) if published else history(order, name)
    return Decision(state=OrderView(order), events=(happened,), facts=facts)


def _is_doubtful(order: ChannelOrder, c: Report) -> bool:
    """A callback whose money does not fit, or that comes after the end: the channel is asked."""
    if c.callback is None or c.reported is not Reported.SUCCEEDED:
        return False
    differs = c.moved is not None and c.moved != order.amount
    return order.state is not OrderState.SUCCEEDED and (differs or order.state in ENDS)


def _kept(order: ChannelOrder | None, c: Report, callback: Callback, at: datetime) -> Callback:
    """The callback's row. A channel speaks for its own orders only."""
    fits = (callback.channel, c.callback_kind)
    if order is None or (order.channel, order.kind.value) != fits:
        return replace(callback, received_at=at, matched=False)
    return replace(callback, received_at=at, matched=True, context=order.context)


_EVENTS: dict[OrderState, tuple[str, bool]] = {
    OrderState.AWAITING_PAYER: ("gateway.channel.awaiting_payer", False),
    OrderState.PROCESSING: ("gateway.channel.processing", False),
    OrderState.SUCCEEDED: ("gateway.channel.result", True),
    OrderState.FAILED: ("gateway.channel.result", True),
    OrderState.CLOSED: ("gateway.channel.result", True),
}


def _destination(order: ChannelOrder, c: Report, at: datetime, timing: Timing) -> OrderState | None:
    """Where the channel's word leads; None: nowhere, ask again."""
    if c.reported is Reported.UNKNOWN:
        return None
    if c.reported is Reported.NOT_FOUND:
        # Inconclusive: it may still be on its way. Final only for a collection long expired.
        gone = order.kind is OrderKind.COLLECT and at > order.expires_at + timing.unseen_margin
        return OrderState.CLOSED if gone else None
    if c.reported is Reported.AWAITING_PAYER and order.kind is OrderKind.REFUND:
        return None
    return OrderState(c.reported.value)


def _changes(
    order: ChannelOrder, c: Report, to: OrderState, at: datetime, timing: Timing
) -> dict[str, object]:
    changes: dict[str, object] = {
        "channel_txn_id": c.channel_txn_id or order.channel_txn_id,
        "credential": c.credential or order.credential,
        "next_action_at": None if to in ENDS else at + timing.first_query,
        "action_attempts": 0,
    }
    if to is OrderState.SUCCEEDED:
        changes["moved_amount"] = c.moved or order.amount
        changes["succeeded_at"] = c.occurred_at or at
        changes["failure_reason"] = ""
    elif to in ENDS:
        changes["failure_reason"] = c.reason[:100]
    return changes


def owed(state: OrderView, at: datetime) -> list[object]:
    """An order that has not ended, or whose end is in doubt, is to be asked after."""
    order = state.order
    if order is None or (order.state in ENDS and order.next_action_at is None):
        return []
    # Straight after a commit only what the channel has not been told is told; the rest waits for
    # its time on the ladder.
    due = order.next_action_at is None or order.next_action_at <= at or order.action_attempts > 0
    fresh = order.state in {OrderState.PENDING, OrderState.CLOSING}
    if not fresh and not due:
        return []
    return [AskChannel(order.id, order.state, asked=order.action_attempts > 0)]
