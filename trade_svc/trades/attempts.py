"""Attempts to pay a trade: what becomes of them, and of the trade, when a payment moves."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

from paymesh.core import Event, event, history, moved
from trade_svc.trades.model import (
    Attempt,
    PaymentMoved,
    PaymentOutcome,
    Trade,
    TradeBooked,
    TradePaid,
    TradeReturned,
    TradeView,
)
from trade_svc.types.declaration import ATTEMPT_MOVES, UNPAID, AttemptState, TradeState, TradeType

UNDER_WAY = frozenset({AttemptState.PROCESSING, AttemptState.CLOSING})
Outcome = tuple[TradeView, list[Event]]


def attempt_moved(
    state: TradeView,
    attempt: Attempt,
    command: PaymentMoved,
    at: datetime,
    *,
    booked_before_paid: Collection[TradeType],
) -> Outcome:
    """The state after what the payment core reports of an attempt; the same state if it knew.

    `booked_before_paid`: the types that are booked before they are said to be paid.
    """
    match command.outcome:
        case PaymentOutcome.SUCCEEDED:
            to = (
                TradeState.BOOKING
                if state.existing("").type in booked_before_paid
                else TradeState.PAID
            )
            return _succeeded(state, attempt, command, at, to=to)
        case PaymentOutcome.RETURNED:
            return _returned(state, attempt, command, at)
        case PaymentOutcome.SUSPENDED:
            return _suspended(state, attempt, command)
    return _without_money(state, attempt, command, AttemptState(command.outcome.value))


def booked(state: TradeView, command: TradeBooked) -> Outcome:
    """The trade is paid now; or its money goes back, and the trade waits for other money."""
    trade = state.existing(command.trade_id)
    if (trade.state, trade.paid_payment_id) != (TradeState.BOOKING, command.payment_id):
        return state, []  # known already
    if not command.refusal:
        trade = moved(trade, TradeState.PAID, trade.declaration.moves)
        return replace(state, trade=trade), [paid(trade)]
    attempt = moved(
        state.attempt(command.payment_id),
        AttemptState.RETURNING,
        ATTEMPT_MOVES,
        failure_reason=command.refusal,
    )
    trade = moved(
        trade, TradeState.PENDING, trade.declaration.moves, paid_at=None, paid_payment_id=""
    )
    return replace(state.with_attempt(attempt), trade=trade), [
        history(attempt, "trade.attempt.returning"),
        history(trade, "trade.trade.pending"),
    ]


def paid(trade: Trade) -> Event:
    """What is booked, and told to the merchant."""
    return event(trade, "trade.trade.paid", TradePaid(trade))


def taken_back(state: TradeView) -> Outcome:
    """The attempt that is under way is taken back; it may still succeed."""
    events, attempts = [], []
    for attempt in state.attempts:
        if attempt.state is AttemptState.PROCESSING:
            attempt = moved(attempt, AttemptState.CLOSING, ATTEMPT_MOVES)
            events.append(history(attempt, "trade.attempt.closing"))
        attempts.append(attempt)
    return replace(state, attempts=tuple(attempts)), events


def _succeeded(
    state: TradeView, attempt: Attempt, command: PaymentMoved, at: datetime, *, to: TradeState
) -> Outcome:
    """The first success pays the trade; every other one is returned.

    That holds for a payout to a trade that was closed, too: it stays RETURNING, and is asked back,
    until the payment core says that its money came back. No such success is ever dropped.
    """
    trade = state.existing(command.trade_id)
    known = {AttemptState.SUCCEEDED, AttemptState.RETURNING, AttemptState.RETURNED}
    if attempt.state in {*known, AttemptState.SUSPENDED}:
        return state, []
    if trade.state not in UNPAID:
        attempt = moved(attempt, AttemptState.RETURNING, ATTEMPT_MOVES, failure_reason="")
        return state.with_attempt(attempt), [history(attempt, "trade.attempt.returning")]
    attempt = moved(attempt, AttemptState.SUCCEEDED, ATTEMPT_MOVES, failure_reason="")
    trade = moved(trade, to, trade.declaration.moves, paid_at=at, paid_payment_id=attempt.id)
    state, closing = taken_back(replace(state.with_attempt(attempt), trade=trade))
    trade_event = paid(trade) if to is TradeState.PAID else history(trade, "trade.trade.booking")
    return state, [history(attempt, "trade.attempt.succeeded"), trade_event, *closing]


def _without_money(
    state: TradeView, attempt: Attempt, command: PaymentMoved, to: AttemptState
) -> Outcome:
    """An attempt ended without money: the trade waits for another, unless one is under way."""
    if attempt.state not in UNDER_WAY:
        return state, []
    attempt = moved(attempt, to, ATTEMPT_MOVES, failure_reason=command.failure_reason)
    state, events = _payable_again(state.with_attempt(attempt), command)
    return state, [history(attempt, f"trade.attempt.{to.lower()}"), *events]


def _returned(state: TradeView, attempt: Attempt, command: PaymentMoved, at: datetime) -> Outcome:
    """The payment's money came and went back: because we asked, or of itself.

    A withdrawal's comes back after it was paid out; that success may not have been heard of yet.
    Others come back before they ever succeeded, when another tool of the same payment failed.
    """
    if attempt.state in {AttemptState.RETURNED, AttemptState.SUSPENDED}:
        return state, []
    events: list[Event] = []
    if state.existing(command.trade_id).declaration.may_come_back:
        state, events = _succeeded(state, attempt, command, at, to=TradeState.PAID)
        attempt = state.attempt(attempt.id)
    if attempt.state is AttemptState.SUCCEEDED:
        trade = state.existing(command.trade_id)
        trade = moved(trade, TradeState.RETURNED, trade.declaration.moves)
        events.append(event(trade, "trade.trade.returned", TradeReturned(trade)))
        state = replace(state, trade=trade)
    elif attempt.state is not AttemptState.RETURNING:
        attempt = moved(attempt, AttemptState.RETURNING, ATTEMPT_MOVES)
        events.append(history(attempt, "trade.attempt.returning"))
    attempt = moved(
        attempt, AttemptState.RETURNED, ATTEMPT_MOVES, failure_reason=command.failure_reason
    )
    events.append(history(attempt, "trade.attempt.returned"))
    state, pending = _payable_again(state.with_attempt(attempt), command)
    return state, [*events, *pending]


def _suspended(state: TradeView, attempt: Attempt, command: PaymentMoved) -> Outcome:
    """Money moved, but not as it should. Other money may come, but what was to go out is not sent
    a second time: that trade waits for the person who decides."""
    if AttemptState.SUSPENDED not in ATTEMPT_MOVES[attempt.state]:
        return state, []
    attempt = moved(
        attempt, AttemptState.SUSPENDED, ATTEMPT_MOVES, failure_reason=command.failure_reason
    )
    state, events = state.with_attempt(attempt), [history(attempt, "trade.attempt.suspended")]
    trade = state.existing(command.trade_id)
    if trade.state in trade.declaration.closable:
        state, pending = _payable_again(state, command)
        events += pending
    return state, events


def _payable_again(state: TradeView, command: PaymentMoved) -> Outcome:
    """A trade that no attempt pays any more waits for the next one."""
    trade = state.existing(command.trade_id)
    if trade.state is not TradeState.PAYING or any(a.state in UNDER_WAY for a in state.attempts):
        return state, []
    trade = moved(trade, TradeState.PENDING, trade.declaration.moves)
    return replace(state, trade=trade), [history(trade, "trade.trade.pending")]
