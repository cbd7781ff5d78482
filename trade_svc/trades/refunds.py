"""Refunds: what a paid trade gives back, reserved on the trade in the same move.

`refunded + refunding <= amount` holds at every version of the trade; the table's CHECK says so,
too. What is reserved stays so until the outcome is known.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from paymesh.core import Event, event, history, moved
from paymesh.errors import IllegalMove
from paymesh.money import Money
from paymesh.tools import Tool, ToolKind
from trade_svc.trades.model import (
    PaymentMoved,
    PaymentOutcome,
    Refund,
    RefundTrade,
    Trade,
    TradeRefundEnded,
    TradeView,
)
from trade_svc.trades.refusals import NotRefundable, RefundExceeds
from trade_svc.types.declaration import REFUND_MOVES, RefundState, TradeState


def begun(
    state: TradeView, command: RefundTrade, at: datetime
) -> tuple[TradeView, Refund, list[Event]]:
    """A new refund, its amount reserved. Raises NotRefundable, CurrencyMismatch, RefundExceeds."""
    if command.trade_id.startswith("rfd_"):
        raise NotRefundable(f"{command.trade_id} is a refund: that is not given back")
    trade = state.of_merchant(command.trade_id, command.merchant_id)
    if trade.state is not TradeState.PAID or not trade.declaration.refundable:
        raise NotRefundable(
            f"{trade.id} is {trade.type} and {trade.state}; only a purchase that is PAID is "
            "refunded",
            metadata={"type": trade.type, "state": trade.state},
        )
    command.amount.require_same_currency(trade.amount)
    if command.amount.minor > trade.refundable_minor:
        left = Money(trade.amount.currency, trade.refundable_minor)
        raise RefundExceeds(
            f"of {trade.id} {left} can still be refunded, not {command.amount}",
            metadata={"refundable_minor_units": str(left.minor)},
        )
    refund = Refund(
        id=command.refund_id,
        context=replace(
            trade.context,
            business_id=command.business_id,
            parent_business_id=trade.context.business_id,
        ),
        version=1,
        state=RefundState.PROCESSING,
        trade_id=trade.id,
        payment_id=command.payment_id,
        amount=command.amount,
        tools=split(state.attempt(trade.paid_payment_id).tools, state.refunds, command.amount),
        reason=command.reason,
        created_at=at,
    )
    trade = moved(
        trade,
        TradeState.PAID,
        trade.declaration.moves,
        refunding_minor=trade.refunding_minor + command.amount.minor,
    )
    new = replace(state, trade=trade, refunds=(*state.refunds, refund))
    return new, refund, [
        history(refund, "trade.refund.processing"),
        history(trade, "trade.trade.refunding"),
    ]  # fmt: skip


def split(paid: Iterable[Tool], refunds: Iterable[Refund], amount: Money) -> tuple[Tool, ...]:
    """By which tools an amount goes back: through the channel first, then onto the balance, up to
    what `refunds` have left of each tool that had `paid`."""
    left = {(tool.kind, tool.channel): tool for tool in paid}
    for tool in (tool for refund in refunds for tool in refund.given):
        rest = left[tool.kind, tool.channel]
        left[tool.kind, tool.channel] = replace(rest, amount=rest.amount - tool.amount)
    parts: list[Tool] = []
    for tool in sorted(left.values(), key=lambda tool: tool.kind is ToolKind.BALANCE):
        part = min(tool.amount, amount)
        amount -= part
        if part.minor > 0:
            parts.append(replace(tool, amount=part))
    assert amount.minor == 0, "no more is refunded than the tools had paid"
    return tuple(parts)


ENDED_EVENTS = {
    RefundState.SUCCEEDED: "trade.trade.refunded",
    RefundState.FAILED: "trade.trade.refund_failed",
    RefundState.RETURNED: "trade.trade.refund_returned",
}
OUTCOMES = {
    PaymentOutcome.SUCCEEDED: RefundState.SUCCEEDED,
    PaymentOutcome.RETURNED: RefundState.RETURNED,
}
"""Where a payment's outcome takes its refund; all others are failures."""


def refund_moved(
    state: TradeView, refund: Refund, command: PaymentMoved, at: datetime
) -> tuple[TradeView, list[Event]]:
    """What the payment core reports of a refund's payment, in any order.

    What comes back has been given before, even if that is heard of later. A success after a
    failure breaks what was promised when its amount was freed: IllegalMove, so that its event is
    parked for a person.
    """
    if command.outcome is PaymentOutcome.SUSPENDED:
        return state, []  # its amount stays reserved until a person has decided
    to = OUTCOMES.get(command.outcome, RefundState.FAILED)
    if refund.state is to or (
        to is not RefundState.RETURNED
        and refund.state in {RefundState.SUCCEEDED, RefundState.RETURNED}
    ):
        return state, []
    if to is not RefundState.RETURNED:
        return _ended(state, refund, to, command, at)
    events: list[Event] = []
    if refund.state is not RefundState.SUCCEEDED:
        state, events = _ended(state, refund, RefundState.SUCCEEDED, command, at)
    given = next(r for r in state.refunds if r.id == refund.id)
    state, more = _came_back(state, given, command, at)
    return state, [*events, *more]


def _ended(
    state: TradeView, refund: Refund, to: RefundState, command: PaymentMoved, at: datetime
) -> tuple[TradeView, list[Event]]:
    """What was reserved is given back, or free again."""
    reason = command.failure_reason if to is RefundState.FAILED else ""
    refund = moved(refund, to, REFUND_MOVES, ended_at=at, failure_reason=reason)
    trade, back = state.existing(command.trade_id), refund.amount.minor
    trade = moved(
        trade,
        TradeState.PAID,
        trade.declaration.moves,
        refunding_minor=trade.refunding_minor - back,
        refunded_minor=trade.refunded_minor + (back if to is RefundState.SUCCEEDED else 0),
    )
    return _with_event(state, trade, refund)


def _came_back(
    state: TradeView, refund: Refund, command: PaymentMoved, at: datetime
) -> tuple[TradeView, list[Event]]:
    """The channel's part was given, and came back: it can be refunded again."""
    back = sum(tool.amount.minor for tool in refund.tools if tool.kind is ToolKind.CHANNEL)
    if not back:
        raise IllegalMove(f"{refund.id} gave nothing back by a channel that could come back")
    refund = moved(
        refund,
        RefundState.RETURNED,
        REFUND_MOVES,
        ended_at=at,
        failure_reason=command.failure_reason,
        returned_minor=back,
    )
    trade = state.existing(command.trade_id)
    trade = moved(
        trade, TradeState.PAID, trade.declaration.moves, refunded_minor=trade.refunded_minor - back
    )
    return _with_event(state, trade, refund)


def _with_event(state: TradeView, trade: Trade, refund: Refund) -> tuple[TradeView, list[Event]]:
    """With the new rows, and what everybody hears of them."""
    return replace(state.with_refund(refund), trade=trade), [
        history(refund, f"trade.refund.{refund.state.lower()}"),
        event(trade, ENDED_EVENTS[refund.state], TradeRefundEnded(trade, refund)),
    ]
