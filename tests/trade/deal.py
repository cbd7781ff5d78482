"""One trade and what happens to it, by the rules alone; what always holds is checked each time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from paymesh.context import Context
from paymesh.core import Decision, Event, View
from paymesh.ids import new_id
from paymesh.money import Money
from paymesh.tools import Tool, ToolKind
from trade_svc import wire
from trade_svc.store import REFUND, TRADE
from trade_svc.trades import domain
from trade_svc.trades.model import (
    Attempt,
    CloseReason,
    CloseTrade,
    CreateTrade,
    PaymentMoved,
    PaymentOutcome,
    PayTrade,
    Refund,
    RefundTrade,
    StartPayment,
    Trade,
    TradeBooked,
    TradeTiming,
    TradeView,
)
from trade_svc.types.declaration import (
    ATTEMPT_MOVES,
    OPEN_ATTEMPTS,
    REFUND_MOVES,
    AttemptState,
    RefundState,
    TradeState,
    TradeType,
)

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
BUCKET = 77
CONTEXT = Context("biz_1", "mer_cnaaaaaaaaaaaaaaaaaaaaaaaaaa", "web", "shoes", "2088")
BENEFICIARY = "ben_" + "a" * 28
TIMING = TradeTiming()
Rule = Callable[..., Decision[TradeView]]

PARTIES: dict[TradeType, dict[str, str]] = {
    TradeType.INSTANT: {"payer_id": "ann"},
    TradeType.TOP_UP: {"payee_id": "ann"},
    TradeType.TRANSFER: {"payer_id": "ann", "payee_id": "bob"},
    TradeType.WITHDRAWAL: {"payer_id": "ann", "beneficiary_id": BENEFICIARY},
}
"""Who takes part in a trade of each type."""


def channel(minor: int, *, name: str = "sandbox", currency: str = "EUR") -> Tool:
    return Tool(name, Money(currency, minor))


def balance(minor: int) -> Tool:
    return Tool("", Money("EUR", minor), ToolKind.BALANCE)


def new_payment_id() -> str:
    return new_id("pay", bucket=BUCKET)


@dataclass
class Deal:
    """A trade of some type over `minor` cents, and all events of its life."""

    type: TradeType = TradeType.INSTANT
    minor: int = 100_00
    changes: dict[str, Any] = field(default_factory=dict)
    """Of the command that creates it."""
    booked_before_paid: bool = False
    """Whether it is booked before it is said to be paid."""
    state: TradeView = field(default_factory=lambda: TradeView(None))
    at: datetime = AT
    log: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        command = CreateTrade(
            trade_id=new_id("trd", bucket=BUCKET),
            context=CONTEXT,
            type=self.type,
            merchant_order_no="order-1",
            amount=Money("EUR", self.minor),
            subject="Shoes",
            expires_at=None,
            **{"payer_id": "", **PARTIES[self.type], **self.changes},
        )
        self._decided(domain.create_trade, command)

    @property
    def trade(self) -> Trade:
        assert self.state.trade is not None
        return self.state.trade

    @property
    def attempts(self) -> list[AttemptState]:
        return [attempt.state for attempt in self.state.attempts]

    @property
    def refunds(self) -> list[RefundState]:
        return [refund.state for refund in self.state.refunds]

    @property
    def sums(self) -> tuple[int, int]:
        """Refunded and refunding, in cents."""
        return self.trade.refunded_minor, self.trade.refunding_minor

    def whole(self) -> Tool:
        """A tool that its type takes, for the whole amount."""
        by_channel = ToolKind.CHANNEL in self.trade.declaration.tools
        return (channel if by_channel else balance)(self.minor)

    def pays(self, *tools: Tool) -> str:
        """The payment that is started."""
        command = PayTrade(
            self.trade.id, CONTEXT.merchant_id, new_payment_id(), tools or (self.whole(),)
        )
        self._decided(partial(domain.pay_trade, timing=TIMING), command)
        return command.payment_id

    def closes(self, reason: CloseReason = CloseReason.REQUESTED) -> None:
        command = CloseTrade(self.trade.id, CONTEXT.merchant_id, reason, CONTEXT)
        self._decided(partial(domain.close_trade, timing=TIMING), command)

    def expires(self) -> None:
        """Its time is over, and the sweeper comes by."""
        self.at = max(self.at, self.trade.expires_at)
        for effect in self.owes():
            if isinstance(effect, CloseTrade):
                self.closes(effect.reason)

    def hears(self, payment_id: str, outcome: PaymentOutcome, why: str = "") -> list[str]:
        """What the payment core reports. The types of the events that follow from it."""
        amount = Money("EUR", self.minor)
        command = PaymentMoved(self.trade.id, payment_id, outcome, amount, CONTEXT, why)
        booked_before_paid = {self.type} if self.booked_before_paid else set()
        rule = partial(domain.payment_moved, timing=TIMING, booked_before_paid=booked_before_paid)
        return self._decided(rule, command)

    def booked(self, payment_id: str, refusal: str = "") -> list[str]:
        """What the ledger answers. The types of the events that follow from it."""
        command = TradeBooked(self.trade.id, payment_id, CONTEXT, refusal)
        return self._decided(partial(domain.trade_booked, timing=TIMING), command)

    def paid(self, *tools: Tool) -> Deal:
        """It, once it is paid so."""
        self.hears(self.pays(*tools), PaymentOutcome.SUCCEEDED)
        return self

    def gives_back(self, minor: int, *, currency: str = "EUR", trade_id: str = "") -> Refund:
        """The refund that begins."""
        command = RefundTrade(
            trade_id=trade_id or self.trade.id,
            merchant_id=CONTEXT.merchant_id,
            refund_id=new_id("rfd", bucket=BUCKET),
            payment_id=new_payment_id(),
            business_id=new_id("biz", bucket=BUCKET),
            amount=Money(currency, minor),
            reason="too small",
        )
        self._decided(partial(domain.refund_trade, timing=TIMING), command)
        return self.state.refunds[-1]

    def owes(self) -> list[Any]:
        return domain.owed(self.state, self.at, timing=TIMING)

    def asks(self, payment_id: str) -> StartPayment:
        """How the payment core is asked to carry this payment out."""
        [found] = [
            effect
            for effect in self.owes()
            if isinstance(effect, StartPayment) and effect.payment_id == payment_id
        ]
        return found

    def _decided(self, rule: Rule, command: Any) -> list[str]:
        self.at += timedelta(seconds=1)
        decision = rule(self.state, command, self.at, View())
        _followed(self.state, decision.state, decision.events)
        self.state = decision.state
        self.log += decision.events
        self._sound()
        return [event.type for event in decision.events]

    def _sound(self) -> None:
        """What holds after every step, whatever it was."""
        trade, here = self.trade, {TradeState.BOOKING, TradeState.PAID}
        paid = {*here, TradeState.RETURNED}
        assert TRADE.check is not None
        assert TRADE.check(trade)
        assert (trade.state in paid) == bool(trade.paid_payment_id)
        assert self.attempts.count(AttemptState.PROCESSING) <= 1
        wanted = 1 if trade.state in here else 0
        assert self.attempts.count(AttemptState.SUCCEEDED) == wanted
        by_state = dict.fromkeys(RefundState, 0)
        for refund in self.state.refunds:
            by_state[refund.state] += refund.amount.minor
            assert REFUND.check is not None
            assert REFUND.check(refund)
            assert sum(tool.amount.minor for tool in refund.tools) == refund.amount.minor
            assert (refund.state is RefundState.RETURNED) == (refund.returned_minor > 0)
            if refund.state is RefundState.RETURNED:
                by_state[RefundState.SUCCEEDED] += refund.amount.minor - refund.returned_minor
        assert self.sums == (by_state[RefundState.SUCCEEDED], by_state[RefundState.PROCESSING])
        unfinished = (
            trade.state in {*trade.declaration.closable, TradeState.PAYING, TradeState.BOOKING}
            or OPEN_ATTEMPTS.intersection(self.attempts)
            or RefundState.PROCESSING in self.refunds
        )
        assert (trade.next_action_at is not None) == bool(unfinished)


def _followed(before: TradeView, after: TradeView, events: tuple[Event, ...]) -> None:
    """Each row's versions and states follow from its events, one legal move each."""
    steps: dict[str, list[Event]] = {}
    for event in events:
        steps.setdefault(event.aggregate_id, []).append(event)
        if event.published:
            assert wire.encode(event)
    old = {row.id: row for row in _rows(before)}
    for row in _rows(after):
        first = old.get(row.id)
        version, state = (0, None) if first is None else (first.version, first.state)
        for step in steps.pop(row.id, []):
            assert step.sequence == version + 1
            assert state is None or step.state in _moves(row)[state]
            version, state = step.sequence, step.state
        assert (version, state) == (row.version, row.state), row
    assert not steps, "events of rows that are not there"


def _rows(view: TradeView) -> list[Trade | Attempt | Refund]:
    root = [] if view.trade is None else [view.trade]
    return [*root, *view.attempts, *view.refunds]


def _moves(row: Trade | Attempt | Refund) -> Any:
    if isinstance(row, Trade):
        return row.declaration.moves
    return ATTEMPT_MOVES if isinstance(row, Attempt) else REFUND_MOVES
