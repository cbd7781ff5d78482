"""The ledger's rule by itself: no store, no clock."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clearing_svc.ledger.accounts import (
    AccountNotOpen,
    AccountStatus,
    AccountView,
    BalanceTooLarge,
    InsufficientFunds,
    UnknownSubject,
)
from clearing_svc.ledger.chart import Side
from clearing_svc.ledger.domain import Entry, Journal, JournalKeyReused, Unbalanced, check
from clearing_svc.ledger.drafts import JournalDraft, Line, account_id_of, drafted
from paymesh.errors import CurrencyMismatch, InvalidField, PaymentError
from paymesh.ids import bucket_of, shard_of
from paymesh.money import MINOR_UNITS_MAX, Money
from tests.clearing.ledger_world import AT, CONFIG, Book, exchange, line, top_up, transfer

PLATFORM = "platform"


def test_a_balanced_journal_moves_both_accounts() -> None:
    """Both balances grow: the bank is an asset, a user's balance a liability."""
    book = Book()
    book.post(top_up("ann", 500, key="1"))
    assert book.balance("BANK", PLATFORM) == 500
    assert book.balance("USER_BALANCE", "ann") == 500


def test_the_first_entry_opens_the_account_at_version_one() -> None:
    book = Book()
    book.post(top_up("ann", 500, key="1"))
    account = book.account("USER_BALANCE", "ann")
    assert (account.version, account.status, account.minimum_minor) == (1, AccountStatus.OPEN, 0)
    assert account.opened_at == AT


def test_an_account_has_one_id_in_the_shard_of_its_owner() -> None:
    ids = {account_id_of("BANK", PLATFORM, "CNY") for _ in range(2)}
    assert len(ids) == 1
    assert shard_of(ids.pop()) == bucket_of(PLATFORM)
    assert account_id_of("BANK", PLATFORM, "EUR") != account_id_of("BANK", PLATFORM, "CNY")


def test_the_journal_belongs_to_the_utc_day_on_which_it_is_posted() -> None:
    [(journal, entries)] = Book().post(top_up("ann", 500, key="1")).answer.journals
    assert journal.accounting_date == date(2026, 11, 22)
    assert [entry.line for entry in entries] == [1, 2]
    assert {entry.journal_id for entry in entries} == {journal.id}
    assert all(shard_of(entry.id) == shard_of(entry.account_id) for entry in entries)


def test_the_same_journal_again_is_answered_and_not_booked() -> None:
    book = Book()
    [(journal, _)] = book.post(top_up("ann", 500, key="1")).answer.journals
    again = book.post(top_up("ann", 500, key="1"))
    assert again.answer.replayed == (journal.id,)
    assert (again.state, again.records, again.guards) == ({}, (), ())
    assert book.balance("USER_BALANCE", "ann") == 500


@pytest.mark.parametrize(
    "other",
    [
        top_up("ann", 501, key="1"),
        top_up("bob", 500, key="1"),
        top_up("ann", 500, key="1", cur="EUR"),
    ],
)
def test_another_journal_under_a_used_key_is_refused(other: JournalDraft) -> None:
    book = Book()
    book.post(top_up("ann", 500, key="1"))
    with pytest.raises(JournalKeyReused) as refusal:
        book.post(other)
    assert refusal.value.metadata["journal_id"].startswith("jrn_")
    assert book.balance("USER_BALANCE", "ann") == 500


def test_debits_that_differ_from_credits_are_refused() -> None:
    lines = [
        line("DEBIT", "BANK", PLATFORM, 500),
        line("CREDIT", "USER_BALANCE", "ann", 499),
    ]
    with pytest.raises(Unbalanced):
        Book().post(drafted("t", "1", lines))


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (line("CREDIT", "NO_SUCH_SUBJECT", "ann", 5), UnknownSubject),
        (line("CREDIT", "USER_BALANCE", "ann", 0), InvalidField),
        (line("CREDIT", "USER_BALANCE", "ann", -5), InvalidField),
        (line("CREDIT", "USER_BALANCE", "ann", MINOR_UNITS_MAX + 1), InvalidField),
        (line("CREDIT", "USER_BALANCE", "", 5), InvalidField),
        (line("CREDIT", "FEE_INCOME", "ann", 5), InvalidField),
        (line("CREDIT", "CHANNEL_FUNDS", "ann", 5), InvalidField),
        (line("CREDIT", "PAYER_TRANSIT", PLATFORM, 5), InvalidField),
        (line("CREDIT", "USER_BALANCE", "ann", 5, cur="EUR"), CurrencyMismatch),
        (line("CREDIT", "USER_BALANCE", "ann", 5, cur="XQQ"), InvalidField),
    ],
    ids=str,
)
def test_an_entry_that_no_journal_can_have_is_refused(
    bad: object, error: type[PaymentError]
) -> None:
    """Unknown subject, no amount, not its owner, no reference, another currency."""
    book = Book()
    with pytest.raises(error):
        book.post(drafted("t", "1", [line("DEBIT", "BANK", PLATFORM, 5), bad]))
    assert book.accounts == []


def test_money_is_exchanged_through_a_position_in_each_currency() -> None:
    """The customer gives 8.00 CNY for 160 JPY; what we have over and what we lack is to be seen."""
    book = Book()
    book.post(top_up("ann", 800, key="1"))
    book.post(exchange("ann", Money("CNY", 800), Money("JPY", 160), key="1"))
    balances = {(a.subject, a.balance.currency): a.balance.minor for a in book.accounts}
    assert balances == {
        ("BANK", "CNY"): 800,
        ("USER_BALANCE", "CNY"): 0,
        ("EXCHANGE_POSITION", "CNY"): 800,
        ("EXCHANGE_POSITION", "JPY"): -160,
        ("USER_BALANCE", "JPY"): 160,
    }


CNY_IN = [line("DEBIT", "BANK", PLATFORM, 5), line("CREDIT", "EXCHANGE_POSITION", PLATFORM, 5)]
JPY_OUT = [
    line("DEBIT", "EXCHANGE_POSITION", PLATFORM, 100, cur="JPY"),
    line("CREDIT", "USER_BALANCE", "ann", 100, cur="JPY"),
]


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        # Even in each currency, but one pays for the other.
        ([*CNY_IN, JPY_OUT[0]._replace(subject="BANK"), JPY_OUT[1]], CurrencyMismatch),
        ([CNY_IN[1]._replace(subject="SUSPENSE", reference="x"), CNY_IN[0], *JPY_OUT],
         CurrencyMismatch),
        # Even in all, in no currency by itself.
        ([CNY_IN[0], JPY_OUT[1], CNY_IN[1], JPY_OUT[0]._replace(amount=Money("JPY", 99)),
          line("DEBIT", "EXCHANGE_POSITION", PLATFORM, 1)], Unbalanced),
        ([CNY_IN[0], JPY_OUT[1]._replace(amount=Money("JPY", 5))], CurrencyMismatch),
        # A third currency without a position of its own.
        ([*CNY_IN, *JPY_OUT, line("DEBIT", "BANK", PLATFORM, 1, cur="EUR"),
          line("CREDIT", "USER_BALANCE", "ann", 1, cur="EUR")], CurrencyMismatch),
    ],
)  # fmt: skip
def test_one_currency_does_not_pay_for_another(
    lines: list[Line], error: type[PaymentError]
) -> None:
    book = Book()
    with pytest.raises(error):
        book.post(drafted("t", "1", lines))
    assert book.accounts == []
    book.post(drafted("t", "1", [*CNY_IN, *JPY_OUT]))


def test_a_chart_without_an_exchange_position_says_so() -> None:
    chart = {name: s for name, s in CONFIG.chart.items() if not s.exchanges}
    lines = [line("DEBIT", "BANK", PLATFORM, 5), line("CREDIT", "BANK", PLATFORM, 5, cur="JPY")]
    with pytest.raises(CurrencyMismatch, match="which the chart does not have"):
        check(lines, chart)


def test_a_journal_of_one_entry_is_refused() -> None:
    with pytest.raises(InvalidField):
        Book().post(drafted("t", "1", [line("DEBIT", "BANK", PLATFORM, 5)]))


def test_nobody_spends_what_he_does_not_have() -> None:
    book = Book()
    book.post(top_up("ann", 500, key="1"))
    book.post(transfer("ann", "bob", 500, key="2"))
    with pytest.raises(InsufficientFunds):
        book.post(transfer("ann", "bob", 1, key="3"))
    assert book.balance("USER_BALANCE", "bob") == 500


def test_only_the_net_of_a_journal_counts_for_admission() -> None:
    """In and out of one account in one journal is a wash, in whatever order it is written."""
    book = Book()
    wash = [
        line("DEBIT", "USER_BALANCE", "ann", 7),
        line("CREDIT", "USER_BALANCE", "ann", 7),
    ]
    book.post(drafted("t", "1", wash))
    assert book.balance("USER_BALANCE", "ann") == 0


def test_a_transit_account_may_stand_below_zero_while_events_come_in_any_order() -> None:
    book = Book()
    lines = [
        line("DEBIT", "PAYER_TRANSIT", PLATFORM, 5, ref="pay_1"),
        line("CREDIT", "MERCHANT_PENDING", "mer_1", 5, ref="trd_1"),
    ]
    book.post(drafted("t", "1", lines))
    assert book.balance("PAYER_TRANSIT", PLATFORM) == -5


def test_a_balance_beyond_64_bits_is_refused() -> None:
    book = Book()
    book.post(top_up("ann", MINOR_UNITS_MAX, key="1"))
    with pytest.raises(BalanceTooLarge):
        book.post(top_up("ann", 1, key="2"))


def test_a_closed_account_is_not_booked_on() -> None:
    book = Book()
    book.post(top_up("ann", 500, key="1"))
    account = book.account("USER_BALANCE", "ann")
    book.states[account.id] = AccountView(replace(account, status=AccountStatus.CLOSED))
    with pytest.raises(AccountNotOpen):
        book.post(top_up("ann", 500, key="2"))


def test_journals_of_one_command_are_posted_together_or_not_at_all() -> None:
    book = Book()
    with pytest.raises(InsufficientFunds):
        book.post(top_up("ann", 5, key="1"), transfer("ann", "bob", 6, key="1"))
    assert (book.accounts, book.records) == ([], [])
    book.post(top_up("ann", 5, key="1"), transfer("ann", "bob", 5, key="1"))
    assert book.balance("USER_BALANCE", "bob") == 5


NAMES = st.sampled_from(["ann", "bob", "cyd"])
CURRENCIES = st.sampled_from(["CNY", "JPY"])
AMOUNTS = st.one_of(st.integers(1, 50), st.just(MINOR_UNITS_MAX))
KEYS = st.integers(1, 8).map(str)
DRAFTS = st.one_of(
    st.builds(top_up, NAMES, AMOUNTS, key=KEYS, cur=CURRENCIES),
    st.builds(transfer, NAMES, NAMES, AMOUNTS, key=KEYS, cur=CURRENCIES),
    st.builds(
        exchange,
        NAMES,
        st.builds(Money, st.just("CNY"), AMOUNTS),
        st.builds(Money, st.just("JPY"), AMOUNTS),
        key=KEYS,
    ),
)


@settings(max_examples=300)
@given(st.lists(st.lists(DRAFTS, min_size=1, max_size=3, unique_by=lambda d: d.guard), max_size=25))
def test_any_mix_of_journals_keeps_the_books_true(commands: list[list[JournalDraft]]) -> None:
    """Per currency all accounts sum to 0; each balance is the sum of its entries and never below
    its minimum; there is one journal per key; versions count the changes."""
    book = Book()
    changes: Counter[str] = Counter()
    for drafts in commands:
        try:
            changes.update(key for key in book.post(*drafts).state if key.startswith("acc"))
        except PaymentError:
            continue
    entries = [fact for fact in book.records if isinstance(fact, Entry)]
    journals = [fact for fact in book.records if isinstance(fact, Journal)]
    by_account: dict[str, int] = defaultdict(int)
    for entry in entries:
        by_account[entry.account_id] += entry.amount.minor * (1 if entry.side is Side.DEBIT else -1)
    sums: dict[str, int] = defaultdict(int)
    for account in book.accounts:
        sign = 1 if account.normal_side is Side.DEBIT else -1
        assert account.balance.minor * sign == by_account[account.id]
        assert account.minimum_minor is None or account.balance.minor >= account.minimum_minor
        assert account.version == changes[account.id]
        sums[account.balance.currency] += account.balance.minor * sign
    assert not any(sums.values())
    assert len({(j.event_type, j.business_key) for j in journals}) == len(journals)
    assert len({entry.id for entry in entries}) == len(entries)
