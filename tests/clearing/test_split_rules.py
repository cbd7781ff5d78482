"""The rules of split journals, whatever is lost, late, doubled or refused: money is neither."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clearing_svc.ledger import legs
from clearing_svc.ledger.accounts import AccountStatus, AccountView
from clearing_svc.ledger.chart import Side
from clearing_svc.ledger.domain import Entry, Journal, JournalKeyReused
from clearing_svc.ledger.drafts import Line, account_id_of
from clearing_svc.ledger.splitting import (
    OVER,
    SPLIT_MOVES,
    Fate,
    LegBooked,
    LegRefused,
    PostSplit,
    SplitJournal,
    SplitState,
    SplitTiming,
    SplitView,
    SubmitLeg,
    leg_booked,
    leg_refused,
    post_split,
)
from paymesh.core import View
from paymesh.errors import CurrencyMismatch, NotFound, PaymentError
from paymesh.money import Money
from tests.clearing.ledger_world import AT, CONFIG, CONTEXT, Book, exchange, line, top_up
from tests.clearing.split_world import NAME, PAYROLL, credit, debit

TIMING = SplitTiming()
USERS = ["ann", "bob", "cyd"]
RULES: dict[type, Any] = {
    PostSplit: partial(post_split, chart=CONFIG.chart, timing=TIMING),
    LegBooked: partial(leg_booked, timing=TIMING),
    LegRefused: partial(leg_refused, timing=TIMING),
}


owed = partial(legs.owed, chart=CONFIG.chart)
ASIDE = "USER_RETURNS_PAYABLE"
"""Where what a user's account does not take is kept for him."""


@dataclass
class SplitWorld:
    """A split journal, the ledger in which its legs are booked, and what is on its way between."""

    book: Book = field(default_factory=Book)
    view: SplitView = field(default_factory=lambda: SplitView(None))
    asked: list[SubmitLeg] = field(default_factory=list)
    """All that was ever asked: any of it may arrive again, at any time."""
    reports: list[LegBooked | LegRefused] = field(default_factory=list)
    events: list[Any] = field(default_factory=list)
    top_ups: int = 0

    @property
    def split(self) -> SplitJournal:
        assert self.view.split is not None
        return self.view.split

    def tell(self, command: Any) -> None:
        before = self.view
        decision = RULES[type(command)](before, command, AT, View())
        self.view = decision.state
        self.events += decision.events
        steps = self.split.version - (before.split.version if before.split else 0)
        assert steps == len(decision.events)
        if before.split and before.split.state is not self.split.state:
            assert self.split.state in SPLIT_MOVES[before.split.state]
        assert (self.split.next_action_at is None) == (self.split.state in OVER)

    def post(self, lines: Sequence[Line]) -> None:
        self.tell(PostSplit(CONTEXT, NAME, "1", tuple(lines)))

    def ask(self) -> None:
        self.asked += [ask for ask in owed(self.view, AT) if ask not in self.asked]

    def carry_out(self, ask: SubmitLeg) -> LegBooked | LegRefused:
        of = (ask.split_id, ask.context, ask.number, ask.back)
        try:
            return LegBooked(*of, self.book.do(ask.command).answer)
        except PaymentError as refusal:
            return LegRefused(*of, refusal.reason)

    def top_up(self, user: str, minor: int) -> None:
        self.book.post(top_up(user, minor, key=f"t{self.top_ups}"))
        self.top_ups += 1

    def set_status(self, user: str, status: AccountStatus) -> None:
        key = account_id_of("USER_BALANCE", user, "CNY")
        account = self.book.states[key].account
        self.book.states[key] = AccountView(replace(account, status=status))

    def finish(self) -> None:
        """As the sweeper would, until it is over."""
        for _ in range(50):
            for ask in owed(self.view, AT):
                self.asked.append(ask)
                self.tell(self.carry_out(ask))
            if self.split.state in OVER:
                return
        raise AssertionError(f"does not end: {self.split}")

    @property
    def balances(self) -> dict[str, int]:
        return {a.id: a.balance.minor for a in self.book.accounts}

    @property
    def journals(self) -> dict[str, str]:
        """Ids of the legs' journals with the ends of their types, as they were booked."""
        journals = [fact for fact in self.book.records if isinstance(fact, Journal)]
        return {j.id: j.event_type.removeprefix(NAME) for j in journals if NAME in j.event_type}

    def net(self, subject: str, owner: str = "") -> int:
        """What the split journal has credited to a subject, less its debits."""
        entries = [fact for fact in self.book.records if isinstance(fact, Entry)]
        return sum(
            e.amount.minor if e.side is Side.CREDIT else -e.amount.minor
            for e in entries
            if e.journal_id in self.journals and e.subject == subject and owner in {"", e.owner}
        )


def wanted(split: SplitJournal, owner: str) -> int:
    """What its end says that it has done to a user, credits less debits."""
    total = 0
    for leg in split.legs:
        if leg.owner == owner and leg.fate is Fate.BOOKED and leg.back is not Fate.BOOKED:
            total += leg.minor if leg.side is Side.CREDIT else -leg.minor
    return total


amounts = st.integers(1, 60)
acts = st.one_of(
    st.tuples(st.just("ask"), st.integers(0, 99)),
    st.tuples(st.just("carry out"), st.integers(0, 99)),
    st.tuples(st.just("report"), st.integers(0, 99)),
    st.tuples(st.just("crash"), st.just(0)),
    st.tuples(st.just("top up"), st.integers(0, 99)),
    st.tuples(st.just("status"), st.integers(0, 99)),
)


@settings(max_examples=400, deadline=None)
@given(
    debits=st.lists(st.tuples(st.sampled_from(USERS), amounts), min_size=1, max_size=4),
    payees=st.lists(st.sampled_from(USERS), min_size=1, max_size=3),
    doings=st.lists(acts, max_size=60),
)
def test_whatever_is_lost_late_or_doubled_transit_comes_out_even(
    debits: list[tuple[str, int]], payees: list[str], doings: list[tuple[str, int]]
) -> None:
    """Reports get lost and come twice; what was asked is carried out again, however late; accounts
    are frozen, closed and opened meanwhile, and money comes."""
    world = SplitWorld()
    for user in USERS:
        world.top_up(user, 50)
    share, rest = divmod(sum(minor for _, minor in debits), len(payees))
    credits = [(user, share + (rest if n == 0 else 0)) for n, user in enumerate(payees)]
    lines = [debit(*x) for x in debits] + [credit(u, m) for u, m in credits if m]
    world.post(lines)
    for act, number in doings:
        if act == "ask":
            world.ask()
        elif act == "carry out" and world.asked:
            world.reports.append(world.carry_out(world.asked[number % len(world.asked)]))
        elif act == "report" and world.reports:
            world.tell(world.reports[number % len(world.reports)])
        elif act == "crash":
            world.reports.clear()
        elif act == "top up":
            user = USERS[number % 3]
            world.set_status(user, AccountStatus.OPEN)
            world.top_up(user, 1 + number)
        elif act == "status":
            world.set_status(USERS[number % 3], list(AccountStatus)[number % 4])
    world.finish()
    split = world.split
    assert world.net("SPLIT_TRANSIT") == 0
    total = sum(minor for _, minor in debits)
    if split.state is SplitState.POSTED:
        assert sum(leg.minor for leg in split.legs if leg.side is Side.DEBIT) == total
        assert {leg.fate for leg in split.legs if leg.side is Side.DEBIT} == {Fate.BOOKED}
    else:
        assert split.refusal
        assert not [
            end for end in world.journals.values() if "leg-" in end and _is_credit(split, end)
        ]
    for user in USERS:
        assert world.net("USER_BALANCE", user) == wanted(split, user)
    assert world.net(ASIDE) == sum(leg.minor for leg, _ in split.suspended)
    assert set(split.journal_ids) == set(world.journals)
    _debits_came_first(world)

    # What is still on its way arrives after the end, and finds all of it over.
    for user in USERS:
        world.set_status(user, AccountStatus.OPEN)
        world.top_up(user, 1_000)
    before = world.balances
    for ask in [*world.asked]:
        world.tell(world.carry_out(ask))
    assert world.balances == before
    assert world.split == split


def _is_credit(split: SplitJournal, end: str) -> bool:
    return split.legs[int(end.split("/")[1].removeprefix("leg-")) - 1].side is Side.CREDIT


def _debits_came_first(world: SplitWorld) -> None:
    ends = list(world.journals.values())
    sides = [_is_credit(world.split, end) for end in ends if "back" not in end]
    assert sides == sorted(sides)


def test_a_late_process_finds_the_leg_barred() -> None:
    """It was refused here; there, money came, and it is tried once more: too late."""
    world = SplitWorld()
    world.top_up("ann", 10)
    world.post([debit("ann", 50), credit("bob", 50)])
    [late] = owed(world.view, AT)
    world.tell(world.carry_out(late))
    world.finish()
    assert (world.split.state, world.split.refusal) == (SplitState.REFUSED, "INSUFFICIENT_FUNDS")
    world.top_up("ann", 100)
    report = world.carry_out(late)
    assert isinstance(report, LegBooked)
    assert report.fate is Fate.BARRED
    assert world.journals == {}


def test_a_leg_that_a_late_process_has_booked_is_found_and_taken_back() -> None:
    """Refused here, booked there, and the report from there is lost."""
    world = SplitWorld()
    world.top_up("ann", 10)
    world.post([debit("ann", 50), credit("bob", 50)])
    [ask] = owed(world.view, AT)
    refused = world.carry_out(ask)
    world.top_up("ann", 100)
    world.carry_out(ask)  # nobody hears of it
    world.tell(refused)
    assert list(world.journals.values()) == ["/leg-1"]
    world.finish()
    assert list(world.journals.values()) == ["/leg-1", "/leg-1/back"]
    assert world.net("USER_BALANCE", "ann") == world.net("SPLIT_TRANSIT") == 0


def test_a_credit_is_booked_or_suspended_never_both() -> None:
    """Its account is opened again between two processes."""
    world = SplitWorld()
    world.top_up("ann", 50)
    world.top_up("bob", 1)
    world.post([debit("ann", 50), credit("bob", 50)])
    [first] = owed(world.view, AT)
    world.tell(world.carry_out(first))
    [normally] = owed(world.view, AT)
    world.set_status("bob", AccountStatus.CLOSED)
    world.tell(world.carry_out(normally))
    [instead] = owed(world.view, AT)
    world.set_status("bob", AccountStatus.OPEN)
    world.carry_out(normally)
    world.tell(world.carry_out(instead))
    assert world.split.state is SplitState.POSTED
    assert world.split.suspended == []
    assert (world.net("USER_BALANCE", "bob"), world.net(ASIDE)) == (50, 0)


def test_a_report_for_one_that_nobody_posted_is_not_found() -> None:
    world = SplitWorld()
    with pytest.raises(NotFound):
        world.tell(LegBooked("spl_1", CONTEXT, 1, False, Fate.BOOKED))


def test_another_currency_or_reference_is_another_body() -> None:
    world = SplitWorld()
    world.post(PAYROLL)
    world.post(PAYROLL)
    assert world.split.version == 1
    other = [debit("ann", 30, ref="x"), *PAYROLL[1:]]
    with pytest.raises(JournalKeyReused):
        world.post(other)


def test_a_split_journal_does_not_exchange() -> None:
    """Its transit comes out even in one currency, or nobody sees that it does not."""
    legs = exchange("ann", Money("CNY", 5), Money("JPY", 100), key="1").lines
    with pytest.raises(CurrencyMismatch, match="exchange in one of its own"):
        SplitWorld().post(legs)


def test_names_of_legs_fit_into_the_contract() -> None:
    """The longest name that the contract takes, with a hundred legs, of which all is refused."""
    world = SplitWorld()
    world.top_up("ann", 1_000)
    name = "e" * 48
    lines = [debit("ann", 1)] * 99 + [line("CREDIT", "USER_BALANCE", "bob", 99)]
    world.tell(PostSplit(CONTEXT, name, "1", tuple(lines)))
    split = world.split
    longest = max(
        (a.command.draft.event_type for a in owed(world.view, AT) if a.command.draft),
        key=len,
    )
    assert len(longest) <= 64
    worst = replace(split.legs[-1], refusal="X")
    view = SplitView(replace(split, state=SplitState.CREDITING, legs=(*split.legs[:-1], worst)))
    [ask] = owed(view, AT)
    assert ask.command.draft is not None
    assert len(ask.command.draft.event_type) == 64
