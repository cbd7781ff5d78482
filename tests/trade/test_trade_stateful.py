"""One trade under everything that can happen to it, in any order, against a small model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from paymesh.errors import PaymentError
from tests.trade.deal import Deal, balance, channel
from trade_svc.trades.model import PaymentOutcome
from trade_svc.types.declaration import AttemptState, RefundState, TradeState

pytestmark = pytest.mark.slow

A, O, R, T = AttemptState, PaymentOutcome, RefundState, TradeState  # noqa: E741
OUTCOMES = st.sampled_from(PaymentOutcome)


@dataclass
class Model:
    """What a trade is to the people: who paid it, and what of it went back."""

    amount: int
    booked_before_paid: bool
    """Whether it is paid only when the ledger says so."""
    state: TradeState = T.PENDING
    winner: str = ""
    money_of: dict[str, str] = field(default_factory=dict)
    """By attempt: `open`, `none`, `here` (it pays the trade), `too much`, `gone back`,
    `a person's`."""
    refunds: dict[str, tuple[int, RefundState]] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)
    """By refund that came back: what of it stays on a balance."""

    def total(self, state: RefundState) -> int:
        return sum(minor for minor, refund in self.refunds.values() if refund is state)

    def is_booked(self, attempt: str, taken: bool) -> None:
        if (self.state, self.winner) == (T.BOOKING, attempt):
            self.state = T.PAID if taken else T.PENDING
            if not taken:
                self.money_of[attempt], self.winner = "too much", ""

    @property
    def left(self) -> int:
        return self.amount - self.given_back - self.total(R.PROCESSING)

    @property
    def given_back(self) -> int:
        return self.total(R.SUCCEEDED) + sum(self.kept.values())

    def hears(self, attempt: str, outcome: PaymentOutcome) -> None:
        money, unpaid = self.money_of[attempt], self.state in {T.PENDING, T.PAYING}
        if outcome is O.SUCCEEDED and money in {"open", "none"}:
            self.money_of[attempt] = "here" if unpaid else "too much"
            if unpaid:
                self.state, self.winner = T.BOOKING if self.booked_before_paid else T.PAID, attempt
        elif outcome is O.RETURNED and money not in {"here", "a person's"}:
            self.money_of[attempt] = "gone back"
        elif outcome is O.SUSPENDED and money != "here":
            self.money_of[attempt] = "a person's"
        elif outcome in {O.FAILED, O.CLOSED} and money == "open":
            self.money_of[attempt] = "none"
        if self.state is T.PAYING and "open" not in self.money_of.values():
            self.state = T.PENDING


MONEY = {
    A.PROCESSING: "open",
    A.CLOSING: "open",
    A.FAILED: "none",
    A.CLOSED: "none",
    A.SUCCEEDED: "here",
    A.RETURNING: "too much",
    A.RETURNED: "gone back",
    A.SUSPENDED: "a person's",
}


class OneTrade(RuleBasedStateMachine):
    attempts: Bundle[str] = Bundle("attempts")
    refunds: Bundle[str] = Bundle("refunds")

    @initialize(
        amount=st.one_of(st.integers(1, 20), st.integers(1, 10**16)),
        booked_before_paid=st.booleans(),
    )
    def begins(self, amount: int, booked_before_paid: bool) -> None:
        self.deal, self.model = (
            Deal(minor=amount, booked_before_paid=booked_before_paid),
            Model(amount, booked_before_paid),
        )

    @rule(target=attempts, by_balance=st.floats(0, 1))
    def pays(self, by_balance: float) -> Any:
        """By channel, by balance, or by both."""
        part = min(int(self.model.amount * by_balance), self.model.amount)
        rest = self.model.amount - part
        tools = [channel(rest)] * (rest > 0) + [balance(part)] * (part > 0)
        if self.model.state not in {T.PENDING, T.PAYING}:
            self._refused(lambda: self.deal.pays(*tools))
            return multiple()
        payment_id = self.deal.pays(*tools)
        self.model.state, self.model.money_of[payment_id] = T.PAYING, "open"
        return payment_id

    @rule(payment_id=attempts, outcome=OUTCOMES)
    def an_attempt_is_heard_of(self, payment_id: str, outcome: PaymentOutcome) -> None:
        """Anything, any number of times, in any order."""
        if (outcome, payment_id) == (O.RETURNED, self.model.winner):
            self._refused(lambda: self.deal.hears(payment_id, outcome))
            return
        self.deal.hears(payment_id, outcome)
        self.model.hears(payment_id, outcome)

    @rule(payment_id=attempts, taken=st.booleans())
    def the_ledger_answers(self, payment_id: str, taken: bool) -> None:
        """Of any payment, any number of times."""
        self.deal.booked(payment_id, "" if taken else "ACCOUNT_NOT_OPEN")
        self.model.is_booked(payment_id, taken)

    @precondition(lambda self: self.model.state in {T.PENDING, T.PAYING})
    @rule(by_itself=st.booleans())
    def closes(self, by_itself: bool) -> None:
        if by_itself:
            self.deal.expires()
        else:
            self.deal.closes()
        self.model.state = T.CLOSED

    @rule(target=refunds, minor=st.one_of(st.integers(1, 20), st.integers(1, 2**63 - 1)))
    def gives_back(self, minor: int) -> Any:
        if self.model.state is not T.PAID or minor > self.model.left:
            self._refused(lambda: self.deal.gives_back(minor))
            return multiple()
        return self._begun(minor)

    @precondition(lambda self: self.model.state is T.PAID and self.model.left)
    @rule(target=refunds)
    def gives_the_rest_back(self) -> str:
        return self._begun(self.model.left)

    def _begun(self, minor: int) -> str:
        refund = self.deal.gives_back(minor)
        self.model.refunds[refund.payment_id] = (minor, R.PROCESSING)
        return refund.payment_id

    @rule(payment_id=refunds, outcome=OUTCOMES)
    def a_refund_is_heard_of(self, payment_id: str, outcome: PaymentOutcome) -> None:
        minor, before = self.model.refunds[payment_id]
        refund = self.deal.state.refund_by(payment_id)
        assert refund is not None
        kept = sum(tool.amount.minor for tool in refund.tools if not tool.channel)
        given = outcome in {O.SUCCEEDED, O.RETURNED}
        by_balance = outcome is O.RETURNED and kept == minor
        if given and (before is R.FAILED or by_balance):
            self._refused(lambda: self.deal.hears(payment_id, outcome))
            return
        self.deal.hears(payment_id, outcome)
        if outcome is O.RETURNED:
            self.model.refunds[payment_id] = (minor, R.RETURNED)
            self.model.kept[payment_id] = kept
        elif before is R.PROCESSING and outcome is not O.SUSPENDED:
            self.model.refunds[payment_id] = (minor, R.SUCCEEDED if given else R.FAILED)

    def _refused(self, act: Any) -> None:
        """Nothing has changed."""
        before = self.deal.state
        with pytest.raises(PaymentError) as refused:
            act()
        assert self.deal.state is before
        assert refused.value.decided, "a verdict, not an accident"

    @invariant()
    def it_is_as_the_model_says(self) -> None:
        if not hasattr(self, "deal"):
            return
        deal, model = self.deal, self.model
        assert (deal.trade.state, deal.trade.paid_payment_id) == (model.state, model.winner)
        assert {a.id: MONEY[a.state] for a in deal.state.attempts} == model.money_of
        assert deal.sums == (model.given_back, model.total(R.PROCESSING))
        found = {r.payment_id: (r.amount.minor, r.state) for r in deal.state.refunds}
        assert found == model.refunds

    @invariant()
    def no_tool_gives_back_more_than_it_paid(self) -> None:
        if not hasattr(self, "deal") or not self.model.winner:
            return
        paid = {t.kind: t.amount.minor for t in self.deal.state.attempt(self.model.winner).tools}
        for refund in self.deal.state.refunds:
            for tool in refund.tools:
                came_back = refund.state is R.RETURNED and tool.channel
                if refund.state is not R.FAILED and not came_back:
                    paid[tool.kind] -= tool.amount.minor
        assert min(paid.values()) >= 0
        assert sum(paid.values()) == self.model.left


OneTrade.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestOneTrade = OneTrade.TestCase
