"""Trades: what may happen to them, as plain functions.

`decide` functions take the state, a command and the database's time, and give the new state with
its events; they refuse by raising. They do no I/O and know neither clock nor chance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from paymesh.core import Decision, Event, View, event, history, moved
from paymesh.errors import (
    IllegalMove,
    InvalidField,
    NotFound,
)
from paymesh.tools import require_sum
from trade_svc.model import (
    ATTEMPT_MOVES,
    OPEN_ATTEMPTS,
    TRADE_KINDS,
    Attempt,
    AttemptState,
    CancelPayment,
    CloseReason,
    CloseTrade,
    CreateTrade,
    OrderExists,
    PaymentMoved,
    PaymentOutcome,
    PayTrade,
    StartPayment,
    Timing,
    Trade,
    TradeClosed,
    TradeExpired,
    TradePaid,
    TradeState,
    TradeView,
)

D = Decision[TradeView]


def create_trade(state: TradeView, c: CreateTrade, at: datetime, view: View) -> D:
    """A new trade for a business order that has none."""
    taken_by = view.taken.get(c.order_guard)
    if taken_by is not None:
        raise OrderExists(
            f"order {c.merchant_order_no!r} already has trade {taken_by}",
            metadata={"trade_id": taken_by},
        )
    kind = TRADE_KINDS[c.type]
    expires_at = c.expires_at or at + kind.expires_after
    if not at + timedelta(seconds=1) <= expires_at <= at + kind.expires_after_max:
        longest = kind.expires_after_max
        raise InvalidField("expire_time", f"must be 1 second to {longest} from now ({at})")
    trade = Trade(
        id=c.trade_id,
        context=c.context,
        version=1,
        state=TradeState.PENDING,
        type=c.type,
        merchant_order_no=c.merchant_order_no,
        amount=c.amount,
        subject=c.subject,
        payer_id=c.payer_id,
        expires_at=expires_at,
        created_at=at,
        next_action_at=expires_at,
    )
    new = TradeView(trade)
    return Decision(
        state=new,
        events=(history(trade, "trade.trade.created"),),
        answer=new,
        guards=(c.order_guard,),
    )


def pay_trade(state: TradeView, c: PayTrade, at: datetime, view: View, *, timing: Timing) -> D:
    """A new attempt; the former one is taken back (it may still succeed: the first wins)."""
    trade = _existing(state, c.trade_id)
    if trade.state not in trade.kind.payable:
        raise IllegalMove(
            f"{trade.id} is {trade.state} and cannot be paid", metadata={"state": trade.state}
        )
    if at >= trade.expires_at:
        raise TradeExpired(f"{trade.id} could be paid until {trade.expires_at}")
    require_sum(c.tools, trade.amount)
    events: list[Event] = []
    attempts = []
    for old in state.attempts:
        if old.state is AttemptState.PROCESSING:
            old = moved(old, AttemptState.CLOSING, ATTEMPT_MOVES)
            events.append(history(old, "trade.attempt.closing"))
        attempts.append(old)
    attempt = Attempt(
        id=c.payment_id,
        context=trade.context,
        version=1,
        state=AttemptState.PROCESSING,
        trade_id=trade.id,
        tools=c.tools,
        created_at=at,
    )
    trade = moved(trade, TradeState.PAYING, trade.kind.moves)
    events += [history(attempt, "trade.attempt.started"), history(trade, "trade.trade.paying")]
    new = _scheduled(TradeView(trade, (*attempts, attempt)), at, timing)
    return Decision(state=new, events=tuple(events), answer=(new, c.payment_id))


def close_trade(state: TradeView, c: CloseTrade, at: datetime, view: View, *, timing: Timing) -> D:
    """An unpaid trade ends; what was started is taken back, late money is returned."""
    trade = _existing(state, c.trade_id)
    if c.reason is CloseReason.EXPIRED and (
        trade.state not in trade.kind.payable or at < trade.expires_at
    ):
        return Decision(state=_scheduled(state, at, timing), answer=state)  # nothing to do any more
    trade = moved(trade, TradeState.CLOSED, trade.kind.moves, closed_at=at)
    events = [event(trade, "trade.trade.closed", TradeClosed(trade, c.reason))]
    attempts = []
    for attempt in state.attempts:
        if attempt.state is AttemptState.PROCESSING:
            attempt = moved(attempt, AttemptState.CLOSING, ATTEMPT_MOVES)
            events.append(history(attempt, "trade.attempt.closing"))
        attempts.append(attempt)
    new = _scheduled(TradeView(trade, tuple(attempts)), at, timing)
    return Decision(state=new, events=tuple(events), answer=new)


def payment_moved(
    state: TradeView, c: PaymentMoved, at: datetime, view: View, *, timing: Timing
) -> D:
    """What the payment core reports, in any order and any number of times."""
    _existing(state, c.trade_id)
    attempt = state.attempt(c.payment_id)
    handle = _OUTCOMES[c.outcome]
    new, events = handle(state, attempt, at)
    return Decision(state=_scheduled(new, at, timing), events=tuple(events), answer=new)


def _succeeded(state: TradeView, attempt: Attempt, at: datetime) -> tuple[TradeView, list[Event]]:
    """The first success pays the trade; every other one is returned."""
    trade = _existing(state, attempt.trade_id)
    if attempt.state in {AttemptState.SUCCEEDED, AttemptState.RETURNING, AttemptState.RETURNED}:
        return state, []
    if trade.state not in trade.kind.payable:
        attempt = moved(attempt, AttemptState.RETURNING, ATTEMPT_MOVES)
        return state.with_attempt(attempt), [history(attempt, "trade.attempt.returning")]
    attempt = moved(attempt, AttemptState.SUCCEEDED, ATTEMPT_MOVES)
    trade = moved(trade, TradeState.PAID, trade.kind.moves, paid_at=at, paid_payment_id=attempt.id)
    events = [
        history(attempt, "trade.attempt.succeeded"),
        event(trade, "trade.trade.paid", TradePaid(trade)),
    ]
    attempts = []
    for other in state.with_attempt(attempt).attempts:
        if other.state is AttemptState.PROCESSING:
            other = moved(other, AttemptState.CLOSING, ATTEMPT_MOVES)
            events.append(history(other, "trade.attempt.closing"))
        attempts.append(other)
    return TradeView(trade, tuple(attempts)), events


def _without_money(
    to: AttemptState, name: str
) -> Callable[[TradeView, Attempt, datetime], tuple[TradeView, list[Event]]]:
    """An attempt ended without money: the trade waits for another, unless one is under way."""

    def handle(state: TradeView, attempt: Attempt, at: datetime) -> tuple[TradeView, list[Event]]:
        trade = _existing(state, attempt.trade_id)
        if attempt.state not in {AttemptState.PROCESSING, AttemptState.CLOSING}:
            return state, []
        attempt = moved(attempt, to, ATTEMPT_MOVES)
        state, events = state.with_attempt(attempt), [history(attempt, name)]
        active = any(
            a.state in {AttemptState.PROCESSING, AttemptState.CLOSING} for a in state.attempts
        )
        if trade.state is TradeState.PAYING and not active:
            trade = moved(trade, TradeState.PENDING, trade.kind.moves)
            events.append(history(trade, "trade.trade.pending"))
        return replace(state, trade=trade), events

    return handle


def _returned(state: TradeView, attempt: Attempt, at: datetime) -> tuple[TradeView, list[Event]]:
    if attempt.state is AttemptState.RETURNED:
        return state, []
    events = []
    if attempt.state is not AttemptState.RETURNING:  # the report of the success is still on its way
        attempt = moved(attempt, AttemptState.RETURNING, ATTEMPT_MOVES)
        events.append(history(attempt, "trade.attempt.returning"))
    attempt = moved(attempt, AttemptState.RETURNED, ATTEMPT_MOVES)
    events.append(history(attempt, "trade.attempt.returned"))
    return state.with_attempt(attempt), events


_OUTCOMES = {
    PaymentOutcome.SUCCEEDED: _succeeded,
    PaymentOutcome.FAILED: _without_money(AttemptState.FAILED, "trade.attempt.failed"),
    PaymentOutcome.CLOSED: _without_money(AttemptState.CLOSED, "trade.attempt.closed"),
    PaymentOutcome.RETURNED: _returned,
}


def owed(state: TradeView, at: datetime, *, timing: Timing) -> list[object]:
    """What remains to be asked elsewhere, or to be decided because its time has come."""
    trade = state.trade
    if trade is None:
        return []
    result: list[object] = []
    if trade.state in trade.kind.payable and at >= trade.expires_at:
        return [CloseTrade(trade.id, CloseReason.EXPIRED, trade.context)]
    for attempt in state.attempts:
        if attempt.state is AttemptState.PROCESSING:
            result.append(start_payment(trade, attempt))
        elif attempt.state in {AttemptState.CLOSING, AttemptState.RETURNING}:
            old = at - attempt.created_at > timing.cancel_gives_up
            result.append(
                CancelPayment(
                    context=trade.context,
                    trade_id=trade.id,
                    payment_id=attempt.id,
                    amount=trade.amount,
                    return_if_succeeded=attempt.state is AttemptState.RETURNING,
                    unknown_means_closed=old,
                )
            )
    return result


def start_payment(trade: Trade, attempt: Attempt) -> StartPayment:
    return StartPayment(
        context=trade.context,
        trade_id=trade.id,
        payment_id=attempt.id,
        amount=trade.amount,
        tools=attempt.tools,
        expires_at=trade.expires_at,
        subject=trade.subject,
    )


def _scheduled(state: TradeView, at: datetime, timing: Timing) -> TradeView:
    """Sets when somebody has to look at the trade again; never for one that is done."""
    trade = _existing(state, "")
    times = []
    if any(attempt.state in OPEN_ATTEMPTS for attempt in state.attempts):
        times.append(at + timing.effect_lease)
    if trade.state in trade.kind.payable:
        times.append(max(trade.expires_at, at))
    due = min(times) if times else None
    if due == trade.next_action_at and trade.action_attempts == 0:
        return state
    return replace(state, trade=replace(trade, next_action_at=due, action_attempts=0))


def _existing(state: TradeView, trade_id: str) -> Trade:
    if state.trade is None:
        raise NotFound(f"no trade {trade_id}")
    return state.trade
