"""Channel orders: what may happen to them, as plain functions.

A channel's word is the truth. A timeout is never a failure: the order stays as it is and the query
ladder goes on until the channel says how it ended.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from gateway_svc.orders.model import (
    ENDS,
    EXPIRES_AFTER_MAX,
    Callback,
    CallChannel,
    ChannelOrder,
    ChannelResult,
    OrderKind,
    OrderState,
    OrderTiming,
    OrderView,
    PlaceOrder,
    ReferenceReused,
    Report,
    ReportedState,
    RequestClose,
)
from paymesh.core import Decision, View, event, history, moved
from paymesh.errors import InvalidField, NotFound

D = Decision[OrderView]


def place_order(
    state: OrderView, command: PlaceOrder, at: datetime, view: View, *, timing: OrderTiming
) -> D:
    """Writes the order down; the channel hears of it after the commit."""
    known = state.order
    if known is not None:
        if _terms(known) != _terms(command):
            raise ReferenceReused(f"request_no {command.request_no} stands for another order")
        return Decision(state=state, answer=state)
    if command.expires_at is not None and not at < command.expires_at <= at + EXPIRES_AFTER_MAX:
        raise InvalidField("expire_time", f"must be within {EXPIRES_AFTER_MAX} from now ({at})")
    order = ChannelOrder(
        id=command.key,
        context=command.context,
        version=1,
        state=OrderState.PENDING,
        kind=command.kind,
        channel=command.channel,
        request_no=command.request_no,
        amount=command.amount,
        subject=command.subject,
        expires_at=command.expires_at or at,
        created_at=at,
        reference=command.reference,
        original_request_no=command.original_request_no,
        sealed_payee=command.sealed_payee,
        payee_digest=command.payee_digest,
        next_action_at=at + timing.effect_lease,
    )
    new = OrderView(order)
    return Decision(state=new, events=(history(order, "gateway.channel.placed"),), answer=new)


def _terms(order: ChannelOrder | PlaceOrder) -> tuple[object, ...]:
    """What must be the same when a number is used again."""
    return (order.kind, order.channel, order.amount, order.original_request_no, order.payee_digest)


def request_close(
    state: OrderView, command: RequestClose, at: datetime, view: View, *, timing: OrderTiming
) -> D:
    """From now on the order is to be closed; the channel decides whether it still can be."""
    order = state.order
    if order is None:
        raise NotFound(f"no channel order {command.request_no}")
    if OrderState.CLOSING not in order.moves[order.state]:
        return Decision(state=state, answer=state)
    order = moved(
        order,
        OrderState.CLOSING,
        order.moves,
        next_action_at=at + timing.effect_lease,
        action_attempts=0,
    )
    new = OrderView(order)
    return Decision(state=new, events=(history(order, "gateway.channel.closing"),), answer=new)


def report(
    state: OrderView, command: Report, at: datetime, view: View, *, timing: OrderTiming
) -> D:
    """Takes the channel's word, in any order and any number of times."""
    order = state.order
    records = () if command.callback is None else (_kept(order, command, command.callback, at),)
    # A callback that fits no order of ours (yet) is kept, no more: the ladder will ask.
    if order is None or not all(fact.matched for fact in records):
        return Decision(state=state, records=records)
    if _is_doubtful(order, command):
        asked = replace(order, next_action_at=at, action_attempts=0)
        return Decision(state=OrderView(asked), records=records)
    to = _destination(order, command, at, timing)
    path = _path(order, to)
    if not path:
        # Only an answer to a question about the end itself ends the doubt of it.
        if to in ENDS and order.state in ENDS and command.asked_in is order.state:
            state = OrderView(replace(order, next_action_at=None))
        return Decision(state=state, records=records)
    events = []
    for step in path:
        order = moved(order, step, order.moves, **_changes(order, command, step, at, timing))
        name, published = _EVENTS[step]
        moved_event = (
            event(order, name, ChannelResult(order)) if published else history(order, name)
        )
        events.append(moved_event)
    return Decision(state=OrderView(order), events=tuple(events), records=records)


def _path(order: ChannelOrder, to: OrderState | None) -> tuple[OrderState, ...]:
    """The moves that lead there; none: nothing follows from the word."""
    if to is OrderState.BOUNCED and order.state is not OrderState.SUCCEEDED:
        # It had succeeded, even if nobody told us: the bank's statement will show both.
        path = (OrderState.SUCCEEDED, OrderState.BOUNCED)
        return path if OrderState.SUCCEEDED in order.moves[order.state] else ()
    return (to,) if to is not None and to in order.moves[order.state] else ()


def _is_doubtful(order: ChannelOrder, command: Report) -> bool:
    """A word that cannot simply be believed: the channel is asked (again) and its answer counts.

    A callback whose money does not fit, or that comes after the end; and, after the success of a
    refund or payout, that it failed or came back: answers overtake each other too, so that is
    believed only when it was asked of the success itself.
    """
    if order.state is OrderState.SUCCEEDED:
        takes_back = command.reported in {ReportedState.FAILED, ReportedState.BOUNCED}
        may_bounce = OrderState.BOUNCED in order.moves[order.state]
        return takes_back and may_bounce and command.asked_in is not order.state
    if command.callback is None or command.reported is not ReportedState.SUCCEEDED:
        return False
    return order.state in ENDS or (command.moved is not None and command.moved != order.amount)


def _kept(
    order: ChannelOrder | None, command: Report, callback: Callback, at: datetime
) -> Callback:
    """The callback's row. A channel speaks for its own orders only."""
    fits = (callback.channel, command.callback_kind)
    if order is None or (order.channel, order.kind.value) != fits:
        return replace(callback, received_at=at, matched=False)
    return replace(callback, received_at=at, matched=True, context=order.context)


_EVENTS: dict[OrderState, tuple[str, bool]] = {
    OrderState.AWAITING_PAYER: ("gateway.channel.awaiting_payer", False),
    OrderState.PROCESSING: ("gateway.channel.processing", False),
    OrderState.SUCCEEDED: ("gateway.channel.result", True),
    OrderState.FAILED: ("gateway.channel.result", True),
    OrderState.CLOSED: ("gateway.channel.result", True),
    OrderState.BOUNCED: ("gateway.channel.result", True),
}


def _destination(
    order: ChannelOrder, command: Report, at: datetime, timing: OrderTiming
) -> OrderState | None:
    """Where the channel's word leads; None: nowhere, ask again."""
    outgoing = order.kind is not OrderKind.COLLECT
    match command.reported:
        case ReportedState.UNKNOWN | ReportedState.WAITING_FUNDS:
            return None
        case ReportedState.NOT_FOUND:
            # Inconclusive: it may still be on its way. Final only for a collection long expired.
            gone = not outgoing and at > order.expires_at + timing.unseen_margin
            return OrderState.CLOSED if gone else None
        case ReportedState.AWAITING_PAYER if outgoing:
            return None
        case ReportedState.BOUNCED if not outgoing:
            return None
        case ReportedState.FAILED if outgoing and order.state is OrderState.SUCCEEDED:
            return OrderState.BOUNCED
    return OrderState(command.reported.value)


def _changes(
    order: ChannelOrder, command: Report, to: OrderState, at: datetime, timing: OrderTiming
) -> dict[str, object]:
    changes: dict[str, object] = {
        "channel_txn_id": command.channel_txn_id or order.channel_txn_id,
        "credential": command.credential or order.credential,
        "next_action_at": None if to in ENDS else at + timing.first_query,
        "action_attempts": 0,
    }
    if to is OrderState.SUCCEEDED:
        changes["moved_amount"] = command.moved or order.amount
        changes["succeeded_at"] = command.occurred_at or at
        changes["failure_reason"] = ""
    elif to in ENDS:
        changes["failure_reason"] = command.reason[:100]
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
    return [CallChannel(order.context, order.id, order.state, asked=order.action_attempts > 0)]
