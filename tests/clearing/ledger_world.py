"""What the ledger's tests are made of: short ways to say accounts, journals and events."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from payments.clearing.v1 import ledger_service_pb2

from clearing_svc import bootstrap, consumers
from clearing_svc.ledger import loading
from clearing_svc.ledger.accounts import Account, AccountView
from clearing_svc.ledger.chart import Side
from clearing_svc.ledger.diverting import ReturnsView
from clearing_svc.ledger.domain import PostJournals
from clearing_svc.ledger.drafts import (
    AccountRef,
    Draw,
    JournalDraft,
    Line,
    account_id_of,
    drafted,
)
from clearing_svc.ledger.holds import Hold, HoldView, PlaceHold, ReleaseHold, States
from paymesh.context import Call, Context
from paymesh.core import Decision, Event, Guard, View
from paymesh.errors import PaymentError
from paymesh.ids import derived_id
from paymesh.items import Item, Outcome
from paymesh.money import Money

if TYPE_CHECKING:
    from tests.clearing.conftest import Stub

AT = datetime(2026, 11, 22, 23, 59, tzinfo=UTC)
CONTEXT = Context(business_id="biz_1", merchant_id="mer_1", pay_org_no="2088")
CONFIG = loading.load()
RULES = bootstrap.rules(CONFIG.chart)
BOOKINGS = consumers.bookings(CONFIG.templates)
CHANNEL = "sandbox:2088"
OWNERS = {
    "CHANNEL_RECEIVABLE": CHANNEL,
    "PAYOUT_TRANSIT": CHANNEL,
    "MERCHANT_PENDING": "mer_1",
    "MERCHANT_AVAILABLE": "mer_1",
    "MERCHANT_RECEIVABLE": "mer_1",
    "USER_BALANCE": "ann",
}
"""Whose accounts the tests mean; without: the platform's."""


def line(
    side: str, subject: str, owner: str, minor: int, *, ref: str = "", cur: str = "CNY"
) -> Line:
    return Line(subject, owner, Side(side), Money(cur, minor), ref)


def top_up(user: str, minor: int, *, key: str, cur: str = "CNY") -> JournalDraft:
    """A journal that gives a user a balance."""
    lines = (
        line("DEBIT", "BANK", "platform", minor, cur=cur),
        line("CREDIT", "USER_BALANCE", user, minor, cur=cur),
    )
    return drafted("test/top-up", key, lines)


def transfer(payer: str, payee: str, minor: int, *, key: str, cur: str = "CNY") -> JournalDraft:
    lines = (
        line("DEBIT", "USER_BALANCE", payer, minor, cur=cur),
        line("CREDIT", "USER_BALANCE", payee, minor, cur=cur),
    )
    return drafted("test/transfer", key, lines)


def exchange(user: str, gives: Money, gets: Money, *, key: str) -> JournalDraft:
    """A journal by which a user changes money into another currency."""
    lines = (
        Line("USER_BALANCE", user, Side.DEBIT, gives),
        Line("EXCHANGE_POSITION", "platform", Side.CREDIT, gives),
        Line("EXCHANGE_POSITION", "platform", Side.DEBIT, gets),
        Line("USER_BALANCE", user, Side.CREDIT, gets),
    )
    return drafted("test/exchange", key, lines)


def earned(pending: int, available: int = 0, *, key: str = "earned") -> JournalDraft:
    """A journal that gives the merchant money."""
    lines = [line("DEBIT", "BANK", "platform", pending + available)]
    for subject, minor in (("MERCHANT_PENDING", pending), ("MERCHANT_AVAILABLE", available)):
        if minor:
            lines.append(line("CREDIT", subject, "mer_1", minor))
    return drafted("test/earned", key, lines)


def post(*drafts: JournalDraft, context: Context = CONTEXT) -> PostJournals:
    return PostJournals(context, drafts)


# Holds

PAYEE = ("MERCHANT_PENDING:mer_1", "MERCHANT_AVAILABLE:mer_1", "MERCHANT_RECEIVABLE:mer_1")
"""Where a refund's money comes from."""
OWED_MAX = CONFIG.chart["MERCHANT_RECEIVABLE"].maximum_in("CNY") or 0


def hold_id(name: str) -> str:
    """The same name, the same id."""
    return derived_id("hld", bucket=7, key=name)


def sources(*accounts: str) -> tuple[AccountRef, ...]:
    """Such as "USER_BALANCE:ann"."""
    return tuple(AccountRef(*account.split(":")) for account in accounts)


def place(name: str, minor: int, *accounts: str, cur: str = "CNY", **changes: Any) -> PlaceHold:
    """Holds so much on the accounts; without any, on ann's balance."""
    of = sources(*(accounts or ("USER_BALANCE:ann",)))
    return PlaceHold(CONTEXT, hold_id(name), Money(cur, minor), of, **changes)


def release(name: str, *accounts: str, cur: str = "CNY") -> ReleaseHold:
    return ReleaseHold(hold_id(name), sources(*(accounts or ("USER_BALANCE:ann",))), cur)


def spend(
    name: str, minor: int, *accounts: str, to: str = "bob", key: str = "1", cur: str = "CNY"
) -> JournalDraft:
    """A journal that takes so much of a hold for somebody's balance."""
    of = sources(*(accounts or ("USER_BALANCE:ann",)))
    credit = line("CREDIT", "USER_BALANCE", to, minor, cur=cur)
    draw = Draw(hold_id(name), Money(cur, minor), of)
    return JournalDraft("test/spend", key, (credit,), f"{name} {minor} {to} {cur}", draw)


class Book:
    """The rules with a memory, for tests without a store."""

    def __init__(self) -> None:
        self.states: dict[str, Any] = {}
        self.taken: dict[Guard, str] = {}
        self.records: list[Any] = []
        self.events: list[Event] = []

    def do(self, command: Any) -> Decision[States]:
        empty = {"acc": AccountView(None), "hld": HoldView(None), "rtn": ReturnsView(None)}
        state = {key: self.states.get(key, empty[key[:3]]) for key in command.keys}
        decision = RULES[type(command)](state, command, AT, View(dict(self.taken)))
        self.states.update(decision.state)
        self.taken.update({guard: guard.owner for guard in decision.guards})
        self.records += decision.records
        self.events += decision.events
        return decision

    def post(self, *drafts: JournalDraft) -> Decision[States]:
        return self.do(post(*drafts))

    @property
    def accounts(self) -> list[Account]:
        return [view.account for key, view in self.states.items() if key.startswith("acc")]

    def account(self, subject: str, owner: str, cur: str = "CNY") -> Account:
        account = self.states[account_id_of(subject, owner, cur)].account
        assert isinstance(account, Account)
        return account

    def balance(self, subject: str, owner: str, cur: str = "CNY") -> int:
        known = account_id_of(subject, owner, cur) in self.states
        return self.account(subject, owner, cur).balance.minor if known else 0

    @property
    def holds(self) -> list[Hold]:
        return [view.hold for key, view in self.states.items() if key.startswith("hld")]

    def hold(self, name: str) -> Hold:
        hold = self.states[hold_id(name)].hold
        assert isinstance(hold, Hold)
        return hold


def refused(error: type[PaymentError], act: Callable[[], Any], book: Book) -> PaymentError:
    """The refusal; and that nothing changed."""
    before = dict(book.states), list(book.records), list(book.events)
    with pytest.raises(error) as refusal:
        act()
    assert (dict(book.states), list(book.records), list(book.events)) == before
    return refusal.value


def item(command: Any, **parts: Any) -> Item:
    return Item(command=command, call=Call(CONTEXT, deadline=float("inf")), **parts)


def reasons(outcomes: Sequence[Outcome]) -> list[str]:
    """Each outcome as OK, AGAIN (replayed) or the refusal's reason."""
    return [
        o.reason if isinstance(o, PaymentError) else "AGAIN" if _replayed(o.reply) else "OK"
        for o in outcomes
    ]


def _replayed(answer: Any) -> bool:
    return bool(getattr(answer, "replayed", ()))


def signed_sum(balances: Mapping[str, int]) -> int:
    """The sum of balances by subject, debit-normal ones positive: 0 in every true book."""
    chart = CONFIG.chart
    return sum(
        minor if chart[subject].normal_side is Side.DEBIT else -minor
        for subject, minor in balances.items()
    )


async def send(stub: Stub, *items: Item) -> list[Any]:
    request = ledger_service_pb2.PostJournalsRequest(items=items)
    return list((await stub.PostJournals(request, timeout=60)).results)
