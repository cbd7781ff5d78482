"""Batches that are written in one round trip: which, and that the others are decided as ever."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clearing_svc.ledger import bulk
from clearing_svc.ledger.accounts import AccountStatus
from clearing_svc.ledger.administering import SetAccountStatus
from clearing_svc.ledger.bulk import AccountKey, JournalRequest, WorkingBalance
from clearing_svc.ledger.drafts import JournalDraft
from clearing_svc.posting import batches as posting
from paymesh.errors import PaymentError
from paymesh.failpoint import InjectedFault, arm
from paymesh.ids import id_of
from tests.clearing.accounts_world import Process, acc, process
from tests.clearing.conftest import Database
from tests.clearing.ledger_world import AT, CONFIG, CONTEXT, place, top_up, transfer

ANN, BOB = "USER_BALANCE:ann", "USER_BALANCE:bob"


class AtOnce:
    """Counts the batches that were written at once, and those that could not be."""

    def __init__(self, of: posting.Posting, monkeypatch: pytest.MonkeyPatch) -> None:
        self.written = self.tried = 0
        write = of._in_one_flight

        async def counted(*arguments: Any) -> Any:
            self.tried += 1
            result = await write(*arguments)
            self.written += 1
            return result

        monkeypatch.setattr(of, "_in_one_flight", counted)


@pytest.fixture
async def ledger(database: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Process]:
    """Ann has 101, bob has an account."""
    monkeypatch.setattr(posting, "CAREFUL_S", 0.0)
    async with process(database) as found:
        assert (
            await found.post(top_up("ann", 100, key="a"), top_up("bob", 1, key="b")) == ["OK"] * 2
        )
        assert await found.post(transfer("bob", "ann", 1, key="c")) == ["OK"]
        assert await found.post(transfer("ann", "bob", 1, key="d")) == ["OK"]
        assert await found.post(transfer("bob", "ann", 1, key="e")) == ["OK"]
        yield found


@pytest.fixture
def at_once(ledger: Process, monkeypatch: pytest.MonkeyPatch) -> AtOnce:
    return AtOnce(ledger.posting, monkeypatch)


async def balances(ledger: Process) -> list[int]:
    return [(await ledger.account(name)).balance.minor for name in (ANN, BOB)]


async def test_a_batch_of_which_nothing_can_be_refused(
    ledger: Process, at_once: AtOnce, database: Database
) -> None:
    """Down to the minimum, and no further."""
    before = (await ledger.account(ANN)).version
    drafts = [transfer("ann", "bob", minor, key=f"{minor}") for minor in (50, 30, 21)]
    assert await ledger.post(*drafts) == ["OK"] * 3
    assert (at_once.tried, at_once.written) == (1, 1)
    assert await balances(ledger) == [0, 101]
    assert (await ledger.account(ANN)).version == before + 3
    rows = database.query(
        "SELECT accounting_date = (posted_at AT TIME ZONE 'UTC')::date FROM journal "
        "WHERE business_key IN ('50', '30', '21')"
    )
    assert rows == [(True,)] * 3
    assert database.books_are_true()


def _frozen(status: AccountStatus) -> Callable[[Process], Any]:
    return lambda ledger: ledger.do(SetAccountStatus(CONTEXT, acc(BOB), status, "test"))


async def _as_it_is(ledger: Process) -> None:
    pass


TEN = [transfer("ann", "bob", 10, key="x")]
CASES: dict[str, tuple[Callable[[Process], Any], Sequence[JournalDraft], list[str]]] = {
    "more than there is": (
        _as_it_is,
        [transfer("ann", "bob", minor, key=f"x{minor}") for minor in (90, 20, 11)],
        ["OK", "INSUFFICIENT_FUNDS", "OK"],
    ),
    "too early in the batch": (
        _as_it_is,
        [transfer("bob", "ann", 5, key="x"), top_up("bob", 5, key="y")],
        ["INSUFFICIENT_FUNDS", "OK"],
    ),
    "what is held": (
        lambda ledger: ledger.do(place("h", 95, ANN)),
        TEN,
        ["INSUFFICIENT_FUNDS"],
    ),
    "a journal that was posted": (
        _as_it_is,
        [transfer("ann", "bob", 3, key="x"), top_up("ann", 100, key="a")],
        ["OK", "OK"],
    ),
    "another one under its name": (_as_it_is, [top_up("ann", 7, key="a")], ["JOURNAL_KEY_REUSED"]),
    "twice in the batch": (_as_it_is, [*TEN, *TEN], ["OK", "OK"]),
    "an account that is not there": (
        _as_it_is,
        [transfer("ann", "eve", 10, key="x")],
        ["OK"],
    ),
    "frozen": (_frozen(AccountStatus.FROZEN_IN), TEN, ["ACCOUNT_NOT_OPEN"]),
    "frozen the other way": (_frozen(AccountStatus.FROZEN_OUT), TEN, ["OK"]),
    "buffered": (lambda ledger: ledger.mode(BOB, "BUFFERED"), TEN, ["OK"]),
}


@pytest.mark.parametrize("case", CASES)
async def test_what_is_not_so_plain_is_decided_journal_by_journal(
    ledger: Process, at_once: AtOnce, database: Database, case: str
) -> None:
    prepare, drafts, verdicts = CASES[case]
    await prepare(ledger)
    assert await ledger.post(*drafts) == verdicts
    assert at_once.written == 0
    assert database.books_are_true()
    keys = {(draft.event_type, draft.business_key) for draft in drafts}
    [(kept,)] = database.query(
        "SELECT count(*) FROM journal WHERE (event_type || ' ' || business_key) = ANY (%s)",
        [f"{event} {key}" for event, key in keys],
    )
    assert kept == len(keys) - sum(v not in {"OK", "JOURNAL_KEY_REUSED"} for v in verdicts)


async def test_a_day_that_is_closed_already(
    ledger: Process, at_once: AtOnce, database: Database
) -> None:
    """As at midnight, when one process's clock is ahead: the next open day takes it.

    Closed is the day to come, so that the midnight of the test changes nothing.
    """
    [(closed,)] = database.query(
        "INSERT INTO accounting_day (day, block, closed_at) "
        "VALUES ((now() AT TIME ZONE 'UTC')::date + 1, 0, now()) RETURNING day"
    )
    assert isinstance(closed, date)
    assert await ledger.post(*TEN) == ["OK"]
    assert (at_once.tried, at_once.written) == (1, 0)
    rows = database.query("SELECT accounting_date FROM journal WHERE business_key = 'x'")
    assert rows == [(closed + timedelta(days=1),)]


async def test_for_a_while_nothing_is_tried_again(
    ledger: Process, at_once: AtOnce, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posting, "CAREFUL_S", 60.0)
    assert await ledger.post(transfer("ann", "eve", 1, key="x")) == ["OK"]
    assert await ledger.post(transfer("ann", "eve", 1, key="y")) == ["OK"]
    assert (at_once.tried, at_once.written) == (1, 0)


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_dying_beside_the_commit_leaves_all_or_nothing(
    ledger: Process, at_once: AtOnce, database: Database, moment: str
) -> None:
    """And the same message, sent again, is carried out once."""
    drafts = [transfer("ann", "bob", minor, key=f"x{minor}") for minor in (5, 6)]
    arm(f"shell.{moment}_commit:1:error")
    try:
        with pytest.raises((PaymentError, InjectedFault)):
            await ledger.post(*drafts)
    finally:
        arm("")
    left = [101, 0] if moment == "before" else [90, 11]
    assert await balances(ledger) == left
    assert await ledger.post(*drafts) == ["OK", "OK"]
    assert await balances(ledger) == [90, 11]
    assert at_once.tried == 2
    assert database.books_are_true()


# The plain functions: what is plain is what `book` would post as a whole


SUBJECT = CONFIG.chart["USER_BALANCE"]
ACCOUNTS = [
    AccountKey(n, id_of("acc", bucket=n, payload=bytes([n] * 16)), SUBJECT, f"u{n}", "CNY", n < 2)
    for n in range(3)
]
"""Two whose credits add to their balance, and one whose debits do."""
LEGS = st.lists(
    st.tuples(st.sampled_from(ACCOUNTS), st.booleans(), st.integers(1, 20), st.just("")),
    min_size=1,
    max_size=3,
)
LIMIT = st.none() | st.integers(-30, 60)
STATES = st.tuples(st.integers(-20, 50), st.integers(0, 20), LIMIT, LIMIT)


def _request(n: int, entries: Sequence[bulk.EntryRequest]) -> JournalRequest:
    return JournalRequest(f"jrn_{n}", 0, "t", f"{n}", "", entries, ("biz",), None, 1.0)


@settings(deadline=None, max_examples=500)
@given(journals=st.lists(LEGS, min_size=1, max_size=6), states=st.tuples(STATES, STATES, STATES))
def test_who_bears_the_swing_bears_each_journal(
    journals: list[list[bulk.EntryRequest]],
    states: Sequence[tuple[int, int, int | None, int | None]],
) -> None:
    batch = [_request(n, entries) for n, entries in enumerate(journals)]
    balance_changes = bulk.balance_changes(batch, now=0.0)
    assert balance_changes is not None
    accounts = {
        key.id: WorkingBalance(key, *state, "OPEN")
        for key, state in zip(ACCOUNTS, states, strict=True)
    }
    borne = all(
        accounts[change.key.id].least <= accounts[change.key.id].balance + change.lowest
        and accounts[change.key.id].balance + change.highest <= accounts[change.key.id].greatest
        for change in balance_changes
    )
    booking = bulk.book(
        batch,
        accounts,
        {},
        AT,
        last_closed=AT.date() - timedelta(days=1),
        now=0.0,
        late=posting.LATE,
    )
    if borne:
        assert booking.verdicts == [""] * len(batch)
        assert {(a.key.id, a.delta, a.changes) for a in booking.changed} == {
            (s.key.id, s.delta, s.changes) for s in balance_changes
        }
    assert [s.key for s in balance_changes] == sorted(s.key for s in balance_changes)


def test_days_of_their_own_and_what_is_late_are_looked_at() -> None:
    leg = (ACCOUNTS[0], True, 1, "")
    one = _request(1, [leg])
    assert bulk.balance_changes([one], now=0.5) is not None
    assert bulk.balance_changes([one], now=1.5) is None
    assert bulk.balance_changes([one._replace(accounting_date=AT.date())], now=0.5) is None
    assert bulk.balance_changes([one, _request(1, [leg])], now=0.5) is None
