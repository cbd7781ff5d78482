"""Placing holds: what may be held, and where it comes to lie."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from clearing_svc.ledger.accounts import (
    AccountNotOpen,
    AccountStatus,
    AccountView,
    BalanceTooLarge,
    InsufficientFunds,
    UnknownSubject,
)
from clearing_svc.ledger.drafts import JournalDraft, drafted, journal_guard
from clearing_svc.ledger.holds import HoldIdReused, HoldState, NotBookedYet
from paymesh.errors import InvalidField, PaymentError
from paymesh.money import MINOR_UNITS_MAX
from tests.clearing.ledger_world import (
    OWED_MAX,
    PAYEE,
    Book,
    earned,
    line,
    place,
    refused,
    release,
    spend,
    top_up,
    transfer,
)


def test_what_is_held_stays_on_its_account_and_can_be_spent_by_nobody_else(book: Book) -> None:
    book.do(place("h", 400))
    account = book.account("USER_BALANCE", "ann")
    assert (account.balance.minor, account.held_minor, account.available_minor) == (500, 400, 100)
    refused(InsufficientFunds, lambda: book.post(transfer("ann", "bob", 101, key="1")), book)
    book.post(transfer("ann", "bob", 100, key="1"))
    assert book.account("USER_BALANCE", "ann").available_minor == 0


def test_a_hold_is_placed_exactly_or_not_at_all(book: Book) -> None:
    book.do(place("a", 300))
    refused(InsufficientFunds, lambda: book.do(place("b", 201)), book)
    book.do(place("b", 200))
    refused(InsufficientFunds, lambda: book.do(place("c", 1)), book)


def test_a_hold_on_an_account_that_was_never_booked_finds_nothing() -> None:
    book = Book()
    refused(InsufficientFunds, lambda: book.do(place("h", 1)), book)


def test_what_the_first_source_does_not_have_is_held_on_the_next() -> None:
    book = Book()
    book.post(earned(70, 20))
    book.do(place("h", 100, *PAYEE))
    parts = [(p.subject, p.owner, p.held) for p in book.hold("h").parts]
    assert parts == [
        ("MERCHANT_PENDING", "mer_1", 70),
        ("MERCHANT_AVAILABLE", "mer_1", 20),
        ("MERCHANT_RECEIVABLE", "mer_1", 10),
    ]


def test_a_source_that_has_nothing_is_no_part_of_the_hold() -> None:
    book = Book()
    book.post(earned(0, 20))
    book.do(place("h", 20, *PAYEE))
    assert [part.subject for part in book.hold("h").parts] == ["MERCHANT_AVAILABLE"]


def test_a_source_that_is_shut_is_said_to_be_where_the_others_do_not_suffice() -> None:
    """Else whoever has the money would be told that he has none."""
    book = Book()
    book.post(earned(70, 20))
    pending = book.account("MERCHANT_PENDING", "mer_1")
    frozen = replace(pending, status=AccountStatus.FROZEN_OUT)
    book.states[pending.id] = AccountView(frozen)
    refused(AccountNotOpen, lambda: book.do(place("h", 21 + OWED_MAX, *PAYEE)), book)
    book.do(place("h", 20, *PAYEE))
    assert [part.subject for part in book.hold("h").parts] == ["MERCHANT_AVAILABLE"]


def test_what_a_merchant_may_come_to_owe_us_has_a_limit() -> None:
    """A hold opens the account: balance 0, version 1. Holds count towards the maximum."""
    book = Book()
    book.post(earned(70, 20))
    refused(InsufficientFunds, lambda: book.do(place("h", 91 + OWED_MAX, *PAYEE)), book)
    book.do(place("h", 90 + OWED_MAX - 1, *PAYEE))
    owed = book.account("MERCHANT_RECEIVABLE", "mer_1")
    assert (owed.version, owed.balance.minor, owed.held_minor) == (1, 0, OWED_MAX - 1)
    assert owed.available_minor == 1
    book.do(place("i", 1, *PAYEE))
    refused(InsufficientFunds, lambda: book.do(place("j", 1, *PAYEE)), book)


def test_room_that_is_held_on_a_receivable_is_kept_free_for_its_hold() -> None:
    """Nobody else may raise it that far; how far it may fall is a matter of its minimum only."""
    book = Book()
    book.do(place("h", OWED_MAX, *PAYEE))

    def owe(minor: int, key: str) -> JournalDraft:
        lines = [
            line("DEBIT" if minor > 0 else "CREDIT", "MERCHANT_RECEIVABLE", "mer_1", abs(minor)),
            line("CREDIT" if minor > 0 else "DEBIT", "BANK", "platform", abs(minor)),
        ]
        return drafted("test/owe", key, lines)

    refused(InsufficientFunds, lambda: book.post(owe(1, "1")), book)
    refused(InsufficientFunds, lambda: book.post(owe(-1, "2")), book)
    book.post(spend("h", OWED_MAX, *PAYEE))
    assert book.balance("MERCHANT_RECEIVABLE", "mer_1") == OWED_MAX
    refused(InsufficientFunds, lambda: book.post(owe(1, "3")), book)
    book.post(owe(-OWED_MAX, "4"))
    assert book.account("MERCHANT_RECEIVABLE", "mer_1").available_minor == OWED_MAX


def test_an_account_without_limit_can_hold_anything(book: Book) -> None:
    book.do(place("h", 10_000, "BANK:platform"))
    account = book.account("BANK", "platform")
    assert (account.held_minor, account.available_minor) == (10_000, None)
    more = MINOR_UNITS_MAX - 10_000
    refused(BalanceTooLarge, lambda: book.do(place("i", more, "BANK:platform")), book)


def test_money_comes_in_whatever_is_held(book: Book) -> None:
    book.do(place("h", 500))
    book.post(top_up("ann", 1, key="1"))
    assert book.account("USER_BALANCE", "ann").available_minor == 1


def test_nothing_is_held_on_a_closed_account(book: Book) -> None:
    account = book.account("USER_BALANCE", "ann")
    closed = replace(account, status=AccountStatus.CLOSED)
    book.states[account.id] = AccountView(closed)
    assert closed.available_minor == 0
    refused(AccountNotOpen, lambda: book.do(place("h", 1)), book)


def test_the_same_hold_again_is_answered_as_it_stands_now(book: Book) -> None:
    book.do(place("h", 100))
    book.post(spend("h", 40))
    again = book.do(place("h", 100))
    assert (again.state, again.events) == ({}, ())
    assert again.answer.hold == book.hold("h")
    assert book.account("USER_BALANCE", "ann").held_minor == 60
    book.do(release("h"))
    assert book.do(place("h", 100)).answer.hold.state is HoldState.RELEASED


@pytest.mark.parametrize(
    "other",
    [
        place("h", 101),
        place("h", 100, cur="EUR"),
        place("h", 100, "USER_BALANCE:bob"),
        place("h", 100, "USER_BALANCE:ann", "USER_BALANCE:bob"),
        place("h", 100, reference="something else"),
    ],
)
def test_one_hold_id_stands_for_one_hold_for_ever(book: Book, other: Any) -> None:
    book.do(place("h", 100))
    refused(HoldIdReused, lambda: book.do(other), book)
    book.do(release("h"))
    refused(HoldIdReused, lambda: book.do(other), book)


def test_a_hold_can_wait_for_a_journal(book: Book) -> None:
    """Not booked is no verdict: nothing is kept of it, and the same request may succeed later."""
    after = journal_guard("test/earned", "order-1")
    wanted = place("h", 50, *PAYEE, after=after)
    assert refused(NotBookedYet, lambda: book.do(wanted), book).decided is False
    book.post(earned(60, key="order-1"))
    assert book.do(wanted).answer.hold.amount.minor == 50


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (place("h", 1, "HEAVEN:ann"), UnknownSubject),
        (place("h", 1, "USER_BALANCE:"), InvalidField),
        (place("h", 1, "BANK:ann"), InvalidField),
        (place("h", 1, "CHANNEL_FUNDS:ann"), InvalidField),
        (place("h", 1, "PAYER_TRANSIT:platform"), InvalidField),
        (place("h", 1, "USER_BALANCE:ann", "USER_BALANCE:ann"), InvalidField),
        (place("h", 1, cur="XXX"), InvalidField),
        (place("h", 0), InvalidField),
        (place("h", -1), InvalidField),
        (place("h", MINOR_UNITS_MAX + 1), InvalidField),
        (place("h", 1, *(f"USER_BALANCE:{n}" for n in range(5))), InvalidField),
        (replace(place("h", 1), sources=()), InvalidField),
    ],
)
def test_a_hold_that_cannot_be_is_refused(book: Book, bad: Any, error: type[PaymentError]) -> None:
    """Unknown subject, wrong owner, an account of references, twice, no currency, no amount."""
    assert refused(error, lambda: book.do(bad), book).decided is False
