"""The bulk path decides as the rules do: the same verdicts, the same books, for any batch."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import pytest
from google.type.date_pb2 import Date
from hypothesis import given, settings
from hypothesis import strategies as st
from payments.clearing.v1 import ledger_pb2, ledger_service_pb2

from clearing_svc.ledger import bulk
from clearing_svc.ledger.accounts import AccountView
from clearing_svc.ledger.bulk import AccountsUnlocked, JournalRequest, WorkingBalance
from clearing_svc.ledger.domain import post_journals
from clearing_svc.ledger.drafts import JournalDraft
from clearing_svc.posting.batches import LATE
from clearing_svc.posting.items import posting_item
from clearing_svc.posting.parsing import Parser
from paymesh.context import Call, Context
from paymesh.core import Guard, View
from paymesh.errors import DeadlinePassed, PaymentError
from paymesh.money import MINOR_UNITS_MAX
from paymesh.rpc import item_call, validate
from tests.clearing.ledger_messages import asked, call_context, money
from tests.clearing.ledger_world import AT, CONFIG, drafted, line, top_up

Item = ledger_service_pb2.PostJournalsItem
OUTER = Call(Context(business_id=""), deadline=float("inf"))
TODAY = AT.date()
LAST_CLOSED = TODAY - timedelta(days=2)


class ByRules:
    """The books as post_journals leaves them, one journal after the other."""

    def __init__(self) -> None:
        self.states: dict[str, AccountView] = {}
        self.taken: dict[Guard, str] = {}

    def post(self, item: Item) -> str:
        """Posted, again, or the refusal's reason."""
        try:
            call = item_call(item, OUTER, edge=False)
            command = posting_item(call, item.request, chart=CONFIG.chart).command
            state = {key: self.states.get(key, AccountView(None)) for key in command.keys}
            view = View(dict(self.taken), LAST_CLOSED)
            decision = post_journals(state, command, AT, view, chart=CONFIG.chart)
        except PaymentError as refusal:
            return refusal.reason
        self.states.update(decision.state)
        self.taken.update({guard: guard.owner for guard in decision.guards})
        return "again" if decision.answer.replayed else "posted"

    @property
    def balances(self) -> Mapping[str, tuple[int, int]]:
        """Balance and version by account."""
        found = [view.account for view in self.states.values() if view.account is not None]
        return {account.id: (account.balance.minor, account.version) for account in found}


class InBulk:
    """The same by the bulk path, in batches."""

    def __init__(self) -> None:
        self.parser = Parser(CONFIG.chart)
        self.balances: dict[str, tuple[int, int]] = {}
        self.digests: dict[str, str] = {}

    def post(self, items: Sequence[Item]) -> list[str]:
        found: list[str | None] = []
        batch: list[JournalRequest] = []
        for item in items:
            try:
                batch.append(self.parser.parse(item, OUTER, 0.0))
            except PaymentError as refusal:
                found.append(refusal.reason)
            else:
                found.append(None)
        accounts = {}
        for key in {entry[0].id: entry[0] for one in batch for entry in one.entries}.values():
            if key.id in self.balances:
                subject = key.subject
                accounts[key.id] = WorkingBalance(
                    key, self.balances[key.id][0], 0, subject.minimum_in(key.currency),
                    subject.maximum_in(key.currency), "OPEN",
                )  # fmt: skip
        booking = bulk.book(
            batch, accounts, self.digests, AT, last_closed=LAST_CLOSED, now=0.0, late=LATE
        )
        self.digests |= {journal.id: journal.digest for journal, _ in booking.posted}
        for account in booking.changed:
            _, version = self.balances.get(account.key.id, (0, 0))
            self.balances[account.key.id] = (account.balance, version + account.changes)
        verdicts = iter(booking.verdicts)
        return [reason or _verdict(next(verdicts)) for reason in found]


def _verdict(verdict: PaymentError | str) -> str:
    return verdict.reason if isinstance(verdict, PaymentError) else verdict or "posted"


# What may be sent: mostly right, and each thing wrong now and then.

ACCOUNTS = st.sampled_from(
    [("BANK", "platform")] * 4
    + [("USER_BALANCE", "ann"), ("USER_BALANCE", "bob"), ("USER_BALANCE", "ann\x1fEUR")] * 3
    + [("MERCHANT_RECEIVABLE", "mer_1"), ("PAYER_TRANSIT", "platform")] * 2
    + [("HEAVEN", "ann"), ("BANK", "ann"), ("USER_BALANCE", ""), ("USER_BALANCE", "x" * 129)]
)
MINORS = st.sampled_from([1, 2, 30, 70, 100, 5000] * 4 + [0, -1, MINOR_UNITS_MAX])
REFERENCES = st.sampled_from(
    [""] * 4 + ["pay_1"] * 8 + ["nul\x00", "x" * 129, "5555555555554444", "hld_1"]
)
CURRENCIES = st.sampled_from(["CNY"] * 12 + ["EUR", "XXX", "cny", ""])


@st.composite
def entries(draw: Any) -> list[ledger_pb2.Entry]:
    currency = draw(CURRENCIES)
    minors = draw(st.lists(MINORS, min_size=1, max_size=3))
    found = []
    for side, parts in (("DEBIT", minors), ("CREDIT", [sum(minors)])):
        for minor in parts:
            subject, owner = draw(ACCOUNTS)
            found.append(
                ledger_pb2.Entry(
                    subject=subject,
                    owner=owner,
                    side=f"ENTRY_SIDE_{side}",
                    amount=money(min(minor, MINOR_UNITS_MAX), currency),
                    reference=draw(REFERENCES),
                )
            )
    match draw(st.integers(0, 20)):
        case 0:
            found[0].amount.minor_units //= 2
        case 1:
            found[-1].amount.currency_code = "JPY"
        case 2:
            found[0].side = ledger_pb2.ENTRY_SIDE_UNSPECIFIED
        case 3:
            found.pop()
        case 4 | 5:
            found += exchanged(found, draw(MINORS))
    return found


def exchanged(entries: Sequence[ledger_pb2.Entry], minor: int) -> list[ledger_pb2.Entry]:
    """Entries that take so much of their currency, and as many yen, through the position."""
    currency = entries[0].amount.currency_code
    return [
        ledger_pb2.Entry(
            subject=subject,
            owner="platform",
            side=f"ENTRY_SIDE_{side}",
            amount=money(minor, of),
        )
        for subject, side, of in (
            ("BANK", "DEBIT", currency),
            ("EXCHANGE_POSITION", "CREDIT", currency),
            ("EXCHANGE_POSITION", "DEBIT", "JPY"),
            ("BANK", "CREDIT", "JPY"),
        )
    ]


DAYS = st.sampled_from(
    [None] * 8
    + [Date(year=d.year, month=d.month, day=d.day) for d in (TODAY, LAST_CLOSED)]
    + [Date(year=2999, month=1, day=1), Date(year=2026, month=2, day=30)]
)


@st.composite
def items(draw: Any) -> Item:
    item = Item(
        call_context=call_context(
            draw(st.sampled_from(["biz_1"] * 9 + ["", "not plain", "4111111111111111"]))
        ),
        request=ledger_service_pb2.PostJournal(
            event_type=draw(st.sampled_from(["t"] * 9 + ["not plain", ""])),
            business_key=draw(st.sampled_from([*"abcdefghi", "nul\x00", "", "x" * 129])),
            entries=draw(entries()),
            accounting_date=draw(DAYS),
        ),
    )
    if draw(st.integers(0, 15)) == 0:
        item.call_context.remaining_ms = -1
    return item


@settings(deadline=None, max_examples=400)
@given(sent=st.lists(items(), max_size=25), cuts=st.lists(st.integers(1, 9), max_size=25))
def test_bulk_and_rules_agree(sent: list[Item], cuts: list[int]) -> None:
    rules, in_bulk = ByRules(), InBulk()
    expected = [rules.post(item) for item in sent]
    found: list[str] = []
    while len(found) < len(sent):
        size = cuts.pop() if cuts else 5
        found += in_bulk.post(sent[len(found) : len(found) + size])
    assert found == expected
    assert in_bulk.balances == rules.balances


@settings(max_examples=300)
@given(item=items())
def test_what_is_taken_as_plain_is_valid_by_the_contract(item: Item) -> None:
    """The short look must never pass what protovalidate refuses."""
    try:
        Parser(CONFIG.chart).parse(item, OUTER, 0.0)
    except PaymentError:
        return
    validate(item.call_context)
    validate(item.request)


def test_the_name_and_the_digest_are_those_of_the_rules() -> None:
    """So a journal that came by one path is known by the other."""
    item = asked(top_up("ann", 500, key="1"))
    item.request.accounting_date.CopyFrom(Date(year=2026, month=11, day=22))
    call = item_call(item, OUTER, edge=False)
    [draft] = posting_item(call, item.request, chart=CONFIG.chart).command.journals
    one = Parser(CONFIG.chart).parse(item, OUTER, 0.0)
    assert (one.id, one.digest) == (draft.id, draft.digest)
    assert one.accounting_date == date(2026, 11, 22)


def test_what_comes_too_late_is_not_booked() -> None:
    item = asked(top_up("ann", 500, key="1"))
    item.call_context.remaining_ms = 50
    now = time.monotonic()
    one = Parser(CONFIG.chart).parse(item, OUTER, now)
    booking = bulk.book([one], {}, {}, AT, last_closed=LAST_CLOSED, now=now + 0.06, late=LATE)
    assert [type(verdict) for verdict in booking.verdicts] == [DeadlinePassed]
    assert (booking.posted, booking.changed) == ([], [])


# Buffered accounts, whose rows are not locked


def _buffered(draft: JournalDraft, subject: str, balance: int) -> WorkingBalance:
    """The account of the subject in the draft after it was booked on unlocked."""
    one = Parser(CONFIG.chart).parse(asked(draft), OUTER, 0.0)
    [key] = [entry[0] for entry in one.entries if entry[0].subject.name == subject]
    found = WorkingBalance(
        key, balance, 0, key.subject.minimum_in(key.currency),
        key.subject.maximum_in(key.currency), "OPEN",
        buffered=True,
    )  # fmt: skip
    bulk.book([one], {key.id: found}, {}, AT, last_closed=LAST_CLOSED, now=0.0, late=LATE)
    return found


def test_what_adds_to_a_buffered_account_needs_no_lock() -> None:
    assert _buffered(top_up("ann", 5, key="1"), "USER_BALANCE", 100).delta == 5


def test_what_takes_from_a_buffered_account_with_a_limit_needs_its_lock() -> None:
    """Also where the row itself has enough: others may be taking it."""
    out = drafted(
        "t", "1", [line("DEBIT", "USER_BALANCE", "ann", 5), line("CREDIT", "BANK", "platform", 5)]
    )
    with pytest.raises(AccountsUnlocked):
        _buffered(out, "USER_BALANCE", 100)


def test_without_a_limit_both_directions_are_buffered() -> None:
    assert _buffered(top_up("ann", 5, key="1"), "BANK", 0).delta == 5
    out = drafted(
        "t", "1", [line("DEBIT", "USER_BALANCE", "ann", 5), line("CREDIT", "BANK", "platform", 5)]
    )
    one = Parser(CONFIG.chart).parse(asked(out), OUTER, 0.0)
    user, bank = (entry[0] for entry in one.entries)
    accounts = {
        user.id: WorkingBalance(user, 9, 0, 0, None, "OPEN"),
        bank.id: WorkingBalance(bank, 0, 0, None, None, "OPEN", buffered=True),
    }
    bulk.book([one], accounts, {}, AT, last_closed=LAST_CLOSED, now=0.0, late=LATE)
    assert (accounts[bank.id].delta, accounts[user.id].delta) == (-5, -5)
