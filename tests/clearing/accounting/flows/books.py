"""Works a case through: the real templates give the journals, the real rules apply them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from clearing_svc.ledger.accounts import Account, AccountView, booked, opened
from clearing_svc.ledger.chart import PLATFORM, OwnerKind, Side
from clearing_svc.ledger.drafts import AccountRef, JournalDraft, Line
from clearing_svc.ledger.facts import EVENTS, HOLD_ID, BusinessEvent
from clearing_svc.ledger.holds import (
    HoldView,
    PlaceHold,
    ReleaseHold,
    place_hold,
    release_hold,
    taken,
)
from clearing_svc.ledger.loading import LedgerConfig
from paymesh.context import Context
from paymesh.core import View
from paymesh.ids import derived_id
from paymesh.money import Money
from tests.clearing.accounting.flows.steps import CURRENCY, Case, Happens, Hold, Release, Step

AT = datetime(2026, 11, 22, tzinfo=UTC)
CONTEXT = Context(business_id="biz_1", merchant_id="shop", pay_org_no="2088")
OWNERS = {
    OwnerKind.PLATFORM: PLATFORM,
    OwnerKind.CHANNEL: "sandbox:2088",
    OwnerKind.MERCHANT: "shop",
}
"""Whose an account is if its name does not say it."""
USUAL = {
    PLATFORM: PLATFORM,
    "channel_account": OWNERS[OwnerKind.CHANNEL],
    "merchant_id": OWNERS[OwnerKind.MERCHANT],
    "payer_id": "ann",
    "payee_id": "ann",
    "trade_id": "trd_1",
    "payment_id": "pay_1",
    "origin_payment_id": "pay_1",
    "settlement_id": "stl_1",
    "statement_id": "stm_1",
    "dispute_id": "dsp_1",
    HOLD_ID: "",
}
"""The facts of an event that does not say otherwise."""


@dataclass(frozen=True, slots=True)
class Done:
    """A step, and the journals that it gave: their event_types and entries."""

    step: Step
    journals: tuple[tuple[str, tuple[Line, ...]], ...] = ()


@dataclass(slots=True)
class Books:
    """Accounts and holds in memory. Raises what the rules raise."""

    config: LedgerConfig
    states: dict[str, Any] = field(default_factory=dict)
    """An AccountView by account id, a HoldView by hold id."""
    placed: dict[str, PlaceHold] = field(default_factory=dict)
    """By name."""
    done: list[Done] = field(default_factory=list)

    @property
    def accounts(self) -> list[Account]:
        """In the order of the chart."""
        views = self.states.values()
        found = [v.account for v in views if isinstance(v, AccountView) and v.account]
        order = list(self.config.chart)
        return sorted(found, key=lambda account: (order.index(account.subject), account.owner))

    @property
    def balances(self) -> dict[str, int]:
        """What is not at zero, in minor units on the normal side, by the account's name."""
        return {self.name(a): a.balance.minor for a in self.accounts if a.balance.minor}

    def name(self, account: Account | Line) -> str:
        """An account's name in the cases: users are named, others are always the same."""
        of_user = self.config.chart[account.subject].owner is OwnerKind.USER
        return f"{account.subject} {account.owner}" if of_user else account.subject

    def take(self, step: Step) -> None:
        match step:
            case Hold():
                self._hold(step)
                self.done.append(Done(step))
            case Release():
                self._release(step)
                self.done.append(Done(step))
            case Happens():
                drafts = self.config.templates.drafts(self._event(step))
                journals = tuple((draft.event_type, self._post(draft)) for draft in drafts)
                self.done.append(Done(step, journals))

    def _hold(self, step: Hold) -> None:
        sources = tuple(self._account_ref(name) for name in step.accounts)
        hold_id = derived_id("hld", bucket=0, key=step.name)
        command = PlaceHold(CONTEXT, hold_id, Money(CURRENCY, step.minor), sources)
        state = {
            hold_id: HoldView(None),
            **{key: self.states.get(key, AccountView(None)) for key in command.account_ids},
        }
        decision = place_hold(state, command, AT, View(), chart=self.config.chart)
        self.states.update(decision.state)
        self.placed[step.name] = command

    def _release(self, step: Release) -> None:
        placed = self.placed[step.name]
        command = ReleaseHold(placed.hold_id, placed.sources, CURRENCY)
        self.states.update(release_hold(self.states, command, AT, View()).state)

    def _event(self, step: Happens) -> BusinessEvent:
        names = {fact: USUAL[fact] for fact in EVENTS[step.type].names} | dict(step.names)
        placed = self.placed.get(step.hold)
        if placed is not None:
            names[HOLD_ID] = placed.hold_id
        return BusinessEvent(
            type=step.type,
            kind=step.kind,
            product=step.product,
            business_key=f"step_{len(self.done)}",
            occurred_at=AT,
            amounts={fact: Money(CURRENCY, minor) for fact, minor in step.amounts.items()},
            names=names,
            hold_sources=placed.sources if placed else (),
        )

    def _post(self, draft: JournalDraft) -> tuple[Line, ...]:
        """The journal's entries, booked."""
        drawn: tuple[Line, ...] = ()
        if draft.draw is not None:
            hold, drawn = taken(self.states[draft.draw.hold_id].hold, draft.draw)
            self.states[hold.id] = HoldView(hold)
        lines = (*drawn, *draft.lines)
        for key in dict.fromkeys(line.account_id for line in lines):
            mine = [line for line in lines if line.account_id == key]
            view = self.states.get(key)
            account = view.account if view else self._opened(mine[0].subject, mine[0].owner)
            of_hold = sum(line.amount.minor for line in drawn if line.account_id == key)
            self.states[key] = AccountView(booked(account, net_debits(mine), drawn=of_hold))
        return lines

    def _opened(self, subject: str, owner: str) -> Account:
        return opened(self.config.chart, subject, owner, CURRENCY, context=CONTEXT, at=AT)

    def _account_ref(self, name: str) -> AccountRef:
        subject, _, owner = name.partition(" ")
        return AccountRef(subject, owner or OWNERS[self.config.chart[subject].owner])


def net_debits(lines: list[Line]) -> int:
    """Debits less credits, in minor units."""
    return sum(line.amount.minor * (1 if line.side is Side.DEBIT else -1) for line in lines)


def worked(case: Case, config: LedgerConfig) -> tuple[Books, int]:
    """The books after the case; and how many of its steps were before it."""
    steps: list[Step] = []
    before = case.after
    while before is not None:
        steps[:0] = before.steps
        before = before.after
    books = Books(config)
    for step in (*steps, *case.steps):
        books.take(step)
    return books, len(steps)
