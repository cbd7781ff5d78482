"""Trades: what may happen to them, as plain functions.

`decide` functions take the state, a command and the database's time, and give the new state with
its events; they refuse by raising. They do no I/O and know neither clock nor chance.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta

from paymesh.core import Decision, Event, View, event, history, moved
from paymesh.errors import FieldViolation, IllegalMove, InvalidField, InvalidFields
from paymesh.tools import Tool, ToolKind, require_sum
from paymesh.wallets import imitates
from trade_svc.trades import refunds
from trade_svc.trades.attempts import attempt_moved, booked, taken_back
from trade_svc.trades.model import (
    Attempt,
    BookTrade,
    CancelPayment,
    CloseReason,
    CloseTrade,
    CreateTrade,
    PaymentMoved,
    PayTrade,
    Refund,
    RefundTrade,
    Shut,
    StartPayment,
    Trade,
    TradeBooked,
    TradeClosed,
    TradeTiming,
    TradeView,
)
from trade_svc.trades.refusals import MerchantShut, OrderExists, ToolsNotOffered, TradeExpired
from trade_svc.types import TRADE_TYPES
from trade_svc.types.declaration import (
    OPEN_ATTEMPTS,
    AttemptState,
    Declaration,
    Party,
    Purpose,
    RefundState,
    TradeState,
    TradeType,
)

D = Decision[TradeView]

REFUND_TIME = timedelta(days=30)
"""The payment core wants to know until when a payer can pay; for a refund it means nothing."""


def create_trade(state: TradeView, command: CreateTrade, at: datetime, view: View) -> D:
    """A new trade for a business order that has none."""
    taken_by = view.taken.get(command.order_guard)
    if taken_by is not None:
        raise OrderExists(
            f"order {command.merchant_order_no!r} already has trade {taken_by}",
            metadata={"trade_id": taken_by},
        )
    _require_parties(command)
    if command.beneficiary_refused is not None:
        raise command.beneficiary_refused
    declared = TRADE_TYPES[command.type]
    _require_open(declared, command.context.merchant_id, command.amount.currency, command.shut)
    expires_at = command.expires_at or at + declared.expires_after
    if not at + timedelta(seconds=1) <= expires_at <= at + declared.expires_after_max:
        raise InvalidField(
            "expire_time",
            f"must be 1 second to {declared.expires_after_max.days} days from now ({at:%FT%TZ})",
        )
    trade = Trade(
        id=command.trade_id,
        context=command.context,
        version=1,
        state=TradeState.PENDING,
        type=command.type,
        merchant_order_no=command.merchant_order_no,
        amount=command.amount,
        subject=command.subject,
        payer_id=command.payer_id,
        payee_id=command.payee_id,
        beneficiary_id=command.beneficiary_id,
        expires_at=expires_at,
        created_at=at,
        next_action_at=expires_at,
        wallet_scope=command.wallet_scope,
    )
    new = TradeView(trade)
    return Decision(
        state=new,
        events=(history(trade, "trade.trade.created"),),
        answer=new,
        guards=(command.order_guard,),
    )


def _require_parties(command: CreateTrade) -> None:
    """Raises InvalidFields, naming who is missing and who has no part in such a trade."""
    wanted = TRADE_TYPES[command.type].parties
    named = {
        Party.PAYER: command.payer_id,
        Party.PAYEE: command.payee_id,
        Party.BENEFICIARY: command.beneficiary_id,
    }
    wrong = [
        FieldViolation(party.value, f"is required for a trade of type {command.type}")
        for party in Party
        if party in wanted and not named[party]
    ]
    wrong += [
        FieldViolation(party.value, f"must be empty for a trade of type {command.type}")
        for party in Party
        if party not in {*wanted, Party.PAYER} and named[party]
    ]
    if (
        {Party.PAYER, Party.PAYEE} <= wanted
        and command.payer_id
        and command.payer_id == command.payee_id
    ):
        wrong.append(FieldViolation(Party.PAYEE.value, "must be somebody else than payer_id"))
    wrong += [
        FieldViolation(party.value, "must not begin as another merchant's wallets do")
        for party in (Party.PAYER, Party.PAYEE)
        if imitates(command.wallet_scope, named[party])
    ]
    if wrong:
        raise InvalidFields(tuple(wrong))


def pay_trade(
    state: TradeView, command: PayTrade, at: datetime, view: View, *, timing: TradeTiming
) -> D:
    """A new attempt; the former one is taken back (it may still succeed: the first wins)."""
    trade = state.of_merchant(command.trade_id, command.merchant_id)
    if trade.state not in trade.declaration.payable:
        raise IllegalMove(
            f"{trade.id} is {trade.state} and cannot be paid", metadata={"state": trade.state}
        )
    if at >= trade.expires_at:
        raise TradeExpired(f"{trade.id} could be paid until {trade.expires_at}")
    _require_open(trade.declaration, trade.context.merchant_id, trade.amount.currency, command.shut)
    require_sum(command.tools, trade.amount)
    _require_offered(trade, command.tools)
    state, events = taken_back(state)
    attempt = Attempt(
        id=command.payment_id,
        context=trade.context,
        version=1,
        state=AttemptState.PROCESSING,
        trade_id=trade.id,
        tools=command.tools,
        created_at=at,
    )
    trade = moved(trade, TradeState.PAYING, trade.declaration.moves)
    events += [history(attempt, "trade.attempt.started"), history(trade, "trade.trade.paying")]
    new = replace(state, trade=trade, attempts=(*state.attempts, attempt))
    new = _scheduled(new, at, timing)
    return Decision(state=new, events=tuple(events), answer=(new, command.payment_id))


def _require_open(declared: Declaration, merchant_id: str, currency: str, shut: Shut) -> None:
    """Raises MerchantShut for what would be sold by a merchant whose account takes nothing in."""
    if declared.purpose is Purpose.PURCHASE and (merchant_id, currency) in shut:
        why = f"takes no {currency} now: its account is closed or frozen"
        raise MerchantShut(
            f"{merchant_id} {why}",
            fields=(FieldViolation("merchant_id", why),),
            metadata={"merchant_id": merchant_id, "currency_code": currency},
        )


def _require_offered(trade: Trade, tools: tuple[Tool, ...]) -> None:
    """Raises ToolsNotOffered, saying what such a trade may be paid with."""
    kinds, offered = [tool.kind for tool in tools], trade.declaration.tools
    wrong = ""
    if not offered.issuperset(kinds):
        wrong = f"a trade of type {trade.type} is paid by {' or '.join(sorted(offered))}"
    elif len(set(kinds)) < len(kinds):
        wrong = "at most one channel and one balance pay a trade"
    elif ToolKind.BALANCE in kinds and not trade.payer_id:
        wrong = "a balance pays only a trade that was created with its payer_id"
    if wrong:
        raise ToolsNotOffered(wrong, fields=(FieldViolation("tools", wrong),))


def close_trade(
    state: TradeView, command: CloseTrade, at: datetime, view: View, *, timing: TradeTiming
) -> D:
    """An unpaid trade ends; what was started is taken back, late money is returned."""
    trade = state.of_merchant(command.trade_id, command.merchant_id)
    if command.reason is CloseReason.EXPIRED and (
        trade.state not in trade.declaration.closable or at < trade.expires_at
    ):
        return Decision(state=_scheduled(state, at, timing), answer=state)  # nothing to do any more
    trade = moved(trade, TradeState.CLOSED, trade.declaration.moves, closed_at=at)
    closed = event(trade, "trade.trade.closed", TradeClosed(trade, command.reason))
    state, events = taken_back(replace(state, trade=trade))
    new = _scheduled(state, at, timing)
    return Decision(state=new, events=(closed, *events), answer=new)


def refund_trade(
    state: TradeView, command: RefundTrade, at: datetime, view: View, *, timing: TradeTiming
) -> D:
    """A part or all of a paid purchase goes back; its amount is reserved in the same move."""
    state, refund, events = refunds.begun(state, command, at)
    new = _scheduled(state, at, timing)
    return Decision(state=new, events=tuple(events), answer=(new, refund))


def payment_moved(
    state: TradeView,
    command: PaymentMoved,
    at: datetime,
    view: View,
    *,
    timing: TradeTiming,
    booked_before_paid: Collection[TradeType] = (),
) -> D:
    """What the payment core reports, in any order and any number of times.

    `booked_before_paid`: the types that are booked before they are said to be paid.
    """
    state.existing(command.trade_id)
    refund = state.refund_by(command.payment_id)
    events: list[Event]
    if refund is not None:
        new, events = refunds.refund_moved(state, refund, command, at)
    else:
        attempt = state.attempt(command.payment_id)
        new, events = attempt_moved(
            state, attempt, command, at, booked_before_paid=booked_before_paid
        )
    if new is not state:  # what was known already must not shorten the ladder
        new = _scheduled(new, at, timing)
    return Decision(state=new, events=tuple(events), answer=new)


def trade_booked(
    state: TradeView, command: TradeBooked, at: datetime, view: View, *, timing: TradeTiming
) -> D:
    """What the ledger answers, any number of times."""
    new, events = booked(state, command)
    if new is not state:
        new = _scheduled(new, at, timing)
    return Decision(state=new, events=tuple(events), answer=new)


def owed(state: TradeView, at: datetime, *, timing: TradeTiming) -> list[object]:
    """What remains to be asked elsewhere, or to be decided because its time has come."""
    trade = state.trade
    if trade is None:
        return []
    result: list[object] = []
    if trade.state in trade.declaration.closable and at >= trade.expires_at:
        merchant_id = trade.context.merchant_id
        return [CloseTrade(trade.id, merchant_id, CloseReason.EXPIRED, trade.context)]
    if trade.state is TradeState.BOOKING:
        result.append(BookTrade(trade.context, trade.paid_payment_id, trade))
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
    result += [_start_refund(trade, r) for r in state.refunds if r.state is RefundState.PROCESSING]
    return result


def start_payment(trade: Trade, attempt: Attempt) -> StartPayment:
    return StartPayment(
        context=trade.context,
        trade_id=trade.id,
        payment_id=attempt.id,
        purpose=trade.declaration.purpose,
        amount=trade.amount,
        tools=attempt.tools,
        expires_at=trade.expires_at,
        subject=trade.subject,
        payer_id=_whose_balance(trade, attempt.tools),
        beneficiary_id=trade.beneficiary_id,
        beneficiary_owner_id=trade.payer_id if trade.beneficiary_id else "",
        payee_id=trade.wallet(trade.payee_id)
        if trade.declaration.purpose is Purpose.TRANSFER
        else "",
    )


def _start_refund(trade: Trade, refund: Refund) -> StartPayment:
    return StartPayment(
        context=refund.context,
        trade_id=trade.id,
        payment_id=refund.payment_id,
        purpose=Purpose.REFUND,
        amount=refund.amount,
        tools=refund.tools,
        expires_at=refund.created_at + REFUND_TIME,
        subject=trade.subject,
        payer_id=_whose_balance(trade, refund.tools),
        original_payment_id=trade.paid_payment_id,
    )


def _whose_balance(trade: Trade, tools: tuple[Tool, ...]) -> str:
    """The payer where a balance takes part: a channel's payer is no business of the payment's."""
    pays = any(tool.kind is ToolKind.BALANCE for tool in tools)
    return trade.wallet(trade.payer_id) if pays else ""


def _scheduled(state: TradeView, at: datetime, timing: TradeTiming) -> TradeView:
    """Sets when somebody has to look at the trade again; never for one that is done."""
    trade = state.existing("")
    times = []
    if (
        trade.state in {TradeState.PAYING, TradeState.BOOKING}
        or any(attempt.state in OPEN_ATTEMPTS for attempt in state.attempts)
        or any(refund.state is RefundState.PROCESSING for refund in state.refunds)
    ):
        times.append(at + timing.effect_lease)
    if trade.state in trade.declaration.closable:
        times.append(max(trade.expires_at, at))
    due = min(times) if times else None
    if due == trade.next_action_at and trade.action_attempts == 0:
        return state
    return replace(state, trade=replace(trade, next_action_at=due, action_attempts=0))
