"""What becomes of holds: journals take them part by part, and the rest is released."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from clearing_svc.ledger.accounts import AccountNotOpen, AccountStatus, AccountView
from clearing_svc.ledger.chart import Side
from clearing_svc.ledger.domain import Entry, JournalKeyReused
from clearing_svc.ledger.drafts import JournalDraft
from clearing_svc.ledger.holds import HOLD_MOVES, HoldEnded, HoldState
from paymesh.errors import CurrencyMismatch, InvalidField, NotFound, PaymentError
from tests.clearing.ledger_world import (
    PAYEE,
    Book,
    earned,
    place,
    refused,
    release,
    spend,
    top_up,
    transfer,
)


def told(book: Book) -> list[tuple[str, int, str]]:
    return [(event.type, event.sequence, event.state) for event in book.events]


def test_a_journal_takes_what_is_held_and_nothing_can_refuse_it(book: Book) -> None:
    book.do(place("h", 500))
    [(_, entries)] = book.post(spend("h", 500)).answer.journals
    assert [(e.side, e.subject, e.owner, e.amount.minor) for e in entries] == [
        (Side.DEBIT, "USER_BALANCE", "ann", 500),
        (Side.CREDIT, "USER_BALANCE", "bob", 500),
    ]
    assert entries[0].reference == book.hold("h").id
    account = book.account("USER_BALANCE", "ann")
    assert (account.balance.minor, account.held_minor) == (0, 0)
    assert book.hold("h").state is HoldState.POSTED


def test_a_hold_is_taken_from_its_parts_in_order(book: Book) -> None:
    book.post(earned(70, 20))
    book.do(place("h", 100, *PAYEE))

    def parts() -> list[tuple[int, int]]:
        return [(part.posted, part.left) for part in book.hold("h").parts]

    [(_, entries)] = book.post(spend("h", 80, *PAYEE, key="1")).answer.journals
    assert [(e.subject, e.amount.minor) for e in entries[:-1]] == [
        ("MERCHANT_PENDING", 70),
        ("MERCHANT_AVAILABLE", 10),
    ]
    assert parts() == [(70, 0), (10, 10), (0, 10)]
    assert book.hold("h").state is HoldState.HELD
    [(_, entries)] = book.post(spend("h", 15, *PAYEE, key="2")).answer.journals
    assert [e.subject for e in entries[:-1]] == ["MERCHANT_AVAILABLE", "MERCHANT_RECEIVABLE"]
    book.do(release("h", *PAYEE))
    assert parts() == [(70, 0), (20, 0), (5, 0)]
    assert [part.released for part in book.hold("h").parts] == [0, 0, 5]
    assert book.balance("MERCHANT_RECEIVABLE", "mer_1") == 5
    assert all(account.held_minor == 0 for account in book.accounts)


def test_each_version_of_a_hold_has_one_event(book: Book) -> None:
    book.do(place("h", 100))
    book.post(spend("h", 40, key="1"))
    book.post(spend("h", 60, key="2"))
    book.do(place("i", 100))
    book.do(release("i"))
    assert told(book) == [
        ("clearing.hold.held", 1, "HELD"),
        ("clearing.hold.held", 2, "HELD"),
        ("clearing.hold.posted", 3, "POSTED"),
        ("clearing.hold.held", 1, "HELD"),
        ("clearing.hold.released", 2, "RELEASED"),
    ]
    assert not any(event.published for event in book.events)


def test_two_journals_of_one_command_may_take_of_one_hold(book: Book) -> None:
    book.do(place("h", 100))
    book.post(spend("h", 40, key="1"), spend("h", 60, key="2"))
    assert (book.hold("h").state, book.hold("h").version) == (HoldState.POSTED, 3)
    refused(HoldEnded, lambda: book.post(spend("h", 1, key="3")), book)


def test_a_journal_that_was_posted_is_answered_even_when_its_hold_has_ended(book: Book) -> None:
    book.do(place("h", 100))
    [(journal, _)] = book.post(spend("h", 100)).answer.journals
    assert book.post(spend("h", 100)).answer.replayed == (journal.id,)
    refused(JournalKeyReused, lambda: book.post(spend("h", 99)), book)


def test_nothing_is_taken_of_a_hold_that_has_ended_or_has_less(book: Book) -> None:
    book.do(place("h", 100))
    refused(HoldEnded, lambda: book.post(spend("h", 101)), book)
    book.do(release("h"))
    refused(HoldEnded, lambda: book.post(spend("h", 1)), book)


def test_a_hold_that_is_not_there_may_still_come(book: Book) -> None:
    assert refused(NotFound, lambda: book.post(spend("h", 1)), book).decided is False


def test_a_hold_is_taken_in_its_own_currency_and_where_it_lies(book: Book) -> None:
    book.do(place("h", 100))
    refused(CurrencyMismatch, lambda: book.post(spend("h", 100, cur="EUR")), book)
    refused(InvalidField, lambda: book.post(spend("h", 100, "USER_BALANCE:bob")), book)


def test_a_closed_account_still_lets_go_of_a_hold_but_is_not_booked_on(book: Book) -> None:
    book.do(place("h", 100))
    account = book.account("USER_BALANCE", "ann")
    book.states[account.id] = AccountView(replace(account, status=AccountStatus.CLOSED))
    refused(AccountNotOpen, lambda: book.post(spend("h", 100)), book)
    book.do(release("h"))
    assert book.account("USER_BALANCE", "ann").held_minor == 0


def test_a_journal_may_bring_back_what_it_takes_of_a_hold(book: Book) -> None:
    """A wash on the same account: the hold is spent, the balance is as it was."""
    book.do(place("h", 500))
    book.post(spend("h", 500, to="ann"))
    assert book.account("USER_BALANCE", "ann").available_minor == 500


# Letting go


def test_a_released_hold_gives_its_money_free(book: Book) -> None:
    book.do(place("h", 500))
    book.do(release("h"))
    account = book.account("USER_BALANCE", "ann")
    assert (account.balance.minor, account.held_minor) == (500, 0)
    book.post(transfer("ann", "bob", 500, key="1"))


def test_releasing_again_or_what_was_posted_changes_nothing(book: Book) -> None:
    book.do(place("h", 100))
    book.do(place("i", 100))
    book.do(release("h"))
    book.post(spend("i", 100))
    for name, state in (("h", HoldState.RELEASED), ("i", HoldState.POSTED)):
        again = book.do(release(name))
        assert (again.state, again.events, again.answer.hold.state) == ({}, (), state)


def test_a_release_names_the_hold_and_where_it_lies(book: Book) -> None:
    refused(NotFound, lambda: book.do(release("h")), book)
    book.do(place("h", 100))
    refused(InvalidField, lambda: book.do(release("h", "USER_BALANCE:bob")), book)
    refused(InvalidField, lambda: book.do(release("h", cur="EUR")), book)


# Any mix

NAMES = st.sampled_from(["ann", "bob"])
HOLDS = st.sampled_from("abcd")
AMOUNTS = st.integers(1, 60)
KEYS = st.integers(0, 12).map(str)
FROM = st.sampled_from(
    [("USER_BALANCE:ann",), ("USER_BALANCE:bob", "USER_BALANCE:ann"), PAYEE, PAYEE[1:]]
)
ACTS = st.one_of(
    st.builds(top_up, NAMES, AMOUNTS, key=KEYS),
    st.builds(transfer, NAMES, NAMES, AMOUNTS, key=KEYS),
    st.builds(earned, AMOUNTS, AMOUNTS, key=KEYS),
    st.builds(lambda name, minor, of: place(name, minor, *of), HOLDS, AMOUNTS, FROM),
    st.builds(lambda name, of: release(name, *of), HOLDS, FROM),
    st.builds(
        lambda name, minor, of, to, key: spend(name, minor, *of, to=to, key=key),
        HOLDS, AMOUNTS, FROM, NAMES, KEYS,
    ),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(ACTS, max_size=40))
def test_any_mix_of_journals_and_holds_keeps_the_books_true(acts: list[Any]) -> None:
    """Balances are sums of entries; held is what open holds have left; no limit is passed; what a
    hold had is posted and released in the end; each version is told once, by a legal move."""
    book = Book()
    for act in acts:
        try:
            book.post(act) if isinstance(act, JournalDraft) else book.do(act)
        except PaymentError:
            continue
    by_account: dict[str, int] = defaultdict(int)
    for entry in (fact for fact in book.records if isinstance(fact, Entry)):
        by_account[entry.account_id] += entry.amount.minor * (1 if entry.side is Side.DEBIT else -1)
    held: dict[str, int] = defaultdict(int)
    for hold in book.holds:
        open_ = hold.state is HoldState.HELD
        assert (hold.left > 0) == open_
        assert sum(part.held for part in hold.parts) == hold.amount.minor
        for part in hold.parts:
            assert min(part.posted, part.released, part.left) >= 0
            held[part.account_id] += part.left
    for account in book.accounts:
        sign = 1 if account.normal_side is Side.DEBIT else -1
        assert account.balance.minor * sign == by_account[account.id]
        assert account.held_minor == held[account.id]
        least, greatest = account.span
        assert account.minimum_minor is None or least >= account.minimum_minor
        assert account.maximum_minor is None or greatest <= account.maximum_minor
    for hold in book.holds:
        states = [HoldState(e.state) for e in book.events if e.aggregate_id == hold.id]
        assert len(states) == hold.version
        assert all(to in HOLD_MOVES[of] for of, to in pairwise(states))
    assert sum(by_account.values()) == 0
