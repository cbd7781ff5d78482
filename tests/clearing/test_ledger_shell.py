"""The ledger through the batch shell on the store in memory: what one batch does to another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from payments.clearing.v1 import ledger_pb2

from clearing_svc.ledger.domain import Entry
from clearing_svc.ledger.drafts import JournalDraft, account_id_of
from clearing_svc.ledger.holds import HoldState
from clearing_svc.store import ACCOUNT, ENTRY, HOLD, JOURNAL, LEDGER
from clearing_svc.wire import encode
from paymesh.clock import SystemClock
from paymesh.items import Done
from paymesh.rpc import RequestClaim
from paymesh.shell import Shell
from paymesh.store.memory import MemoryStore
from paymesh.store.port import MessageKey, RequestKey, StoredEvent
from tests.clearing.ledger_world import (
    RULES,
    item,
    place,
    post,
    reasons,
    release,
    spend,
    top_up,
    transfer,
)


class _Nobody:
    def offer(self, events: Sequence[StoredEvent]) -> None:
        assert not events, "the ledger publishes nothing"


class Ledger:
    def __init__(self) -> None:
        clock = SystemClock()
        self.store = MemoryStore(clock)
        self.shell: Shell[Any] = Shell(
            store=self.store,
            aggregate=LEDGER,
            rules=RULES,
            records=[JOURNAL, ENTRY],
            encode=encode,
            clock=clock,
            publisher=_Nobody(),
        )

    async def post(self, *drafts: JournalDraft) -> list[str]:
        """Each draft as an item of one batch."""
        return reasons(await self.shell.process([item(post(draft)) for draft in drafts]))

    def balance(self, owner: str) -> int:
        account = self.store.tables[ACCOUNT][account_id_of("USER_BALANCE", owner, "CNY")]
        return int(account.balance.minor)

    def rows(self, kind: Any) -> list[Any]:
        return list(self.store.tables.get(kind, {}).values())


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


async def test_a_refused_overdraft_does_not_fail_its_neighbours(ledger: Ledger) -> None:
    """Admission is exact within a batch: each item sees what the one before it left."""
    assert await ledger.post(
        transfer("ann", "bob", 1, key="0"),
        top_up("ann", 100, key="1"),
        transfer("ann", "bob", 60, key="2"),
        transfer("ann", "bob", 60, key="3"),
        transfer("ann", "bob", 40, key="4"),
        transfer("ann", "bob", 1, key="5"),
        transfer("bob", "ann", 100, key="6"),
    ) == ["INSUFFICIENT_FUNDS", "OK", "OK", "INSUFFICIENT_FUNDS", "OK", "INSUFFICIENT_FUNDS", "OK"]
    assert (ledger.balance("ann"), ledger.balance("bob")) == (100, 0)


async def test_one_journal_twice_in_one_batch_is_booked_once(ledger: Ledger) -> None:
    draft = top_up("ann", 100, key="1")
    assert await ledger.post(draft, draft, top_up("ann", 99, key="1")) == [
        "OK",
        "AGAIN",
        "JOURNAL_KEY_REUSED",
    ]
    assert await ledger.post(draft) == ["AGAIN"]
    assert ledger.balance("ann") == 100
    assert len(ledger.rows(JOURNAL)) == 1


async def test_an_account_is_saved_once_a_batch_in_its_last_version(ledger: Ledger) -> None:
    await ledger.post(*(top_up("ann", 1, key=str(n)) for n in range(50)))
    account = ledger.store.tables[ACCOUNT][account_id_of("USER_BALANCE", "ann", "CNY")]
    assert (account.version, account.balance.minor) == (50, 50)


async def test_each_hold_of_a_batch_sees_what_the_one_before_it_left(ledger: Ledger) -> None:
    """Ten holds of 30 on 100: three are placed; one is released, and the next finds room."""
    await ledger.post(top_up("ann", 100, key="1"))
    commands: list[Any] = [place(f"h{n}", 30) for n in range(10)]
    commands[5] = release("h1")
    found = reasons(await ledger.shell.process([item(command) for command in commands]))
    short = "INSUFFICIENT_FUNDS"
    assert found == ["OK", "OK", "OK", short, short, "OK", "OK", short, short, short]
    [account] = [row for row in ledger.rows(ACCOUNT) if row.owner == "ann"]
    assert (account.held_minor, account.version) == (90, 6)


async def test_a_hold_is_placed_taken_and_released_in_one_batch(ledger: Ledger) -> None:
    """The row is written once in its last version; each version has its event."""
    commands = [
        post(top_up("ann", 100, key="1")),
        place("h", 100),
        post(spend("h", 40)),
        release("h"),
        post(transfer("ann", "bob", 60, key="2")),
        place("h", 100),
    ]
    assert reasons(await ledger.shell.process([item(c) for c in commands])) == ["OK"] * 6
    [hold] = ledger.rows(HOLD)
    assert (hold.version, hold.state) == (3, HoldState.RELEASED)
    told = [(e.type, e.sequence, e.published) for e in ledger.store.events]
    assert told == [
        ("clearing.hold.held", 1, False),
        ("clearing.hold.held", 2, False),
        ("clearing.hold.released", 3, False),
    ]
    assert ledger.balance("bob") == 100


async def test_a_command_without_journals_is_done_and_changes_nothing(ledger: Ledger) -> None:
    key = MessageKey("clearing.ledger", "evt_1")
    [first] = await ledger.shell.process([item(post(), claim=key)])
    [again] = await ledger.shell.process([item(post(), claim=key)])
    assert isinstance(first, Done)
    assert isinstance(again, Done)
    assert (first.state, first.replayed, again.replayed) == (None, False, True)
    assert (ledger.store.seen, ledger.store.tables) == ({key}, {})


async def test_a_refusal_is_kept_for_its_request_id(ledger: Ledger) -> None:
    """A duplicate that comes late, when there is money, must not move it."""
    claim = RequestClaim(RequestKey("PostJournals:mer_1", "r1"), b"hash")
    spend = item(
        post(transfer("ann", "bob", 5, key="2")),
        claim=claim,
        reply=lambda posted: ledger_pb2.Journal(journal_id="x"),
        response=ledger_pb2.Journal,
    )
    assert reasons(await ledger.shell.process([spend])) == ["INSUFFICIENT_FUNDS"]
    await ledger.post(top_up("ann", 5, key="1"))
    assert reasons(await ledger.shell.process([spend])) == ["INSUFFICIENT_FUNDS"]
    assert ledger.balance("ann") == 5


async def test_a_message_counts_once_whatever_it_says(ledger: Ledger) -> None:
    """In one batch, and in the next one."""
    key = MessageKey("clearing.ledger", "evt_1")
    first = item(post(top_up("ann", 5, key="1")), claim=key)
    second = item(post(top_up("ann", 7, key="2")), claim=key)
    outcomes = await ledger.shell.process([first, second])
    outcomes += await ledger.shell.process([second])
    assert [o.replayed for o in outcomes if isinstance(o, Done)] == [False, True, True]
    assert ledger.balance("ann") == 5


NAMES = st.sampled_from(["ann", "bob", "cyd"])
KEYS = st.integers(1, 20).map(str)
HOLDS = st.sampled_from("abc")
COMMANDS = st.one_of(
    st.builds(top_up, NAMES, st.integers(1, 30), key=KEYS).map(post),
    st.builds(transfer, NAMES, NAMES, st.integers(1, 40), key=KEYS).map(post),
    st.builds(place, HOLDS, st.integers(1, 30)),
    st.builds(release, HOLDS),
    st.builds(spend, HOLDS, st.integers(1, 30), key=KEYS).map(post),
)


@settings(deadline=None, max_examples=50)
@given(commands=st.lists(COMMANDS, max_size=30), cuts=st.lists(st.integers(1, 7), max_size=30))
async def test_how_the_items_fall_into_batches_changes_nothing(
    commands: list[Any], cuts: list[int]
) -> None:
    """One by one or in any batches: the same verdicts and the same books."""
    alone, batched = Ledger(), Ledger()
    items = [item(command) for command in commands]
    expected = [verdict for one in items for verdict in reasons(await alone.shell.process([one]))]
    found: list[str] = []
    while len(found) < len(items):
        size = cuts.pop() if cuts else 5
        found += reasons(await batched.shell.process(items[len(found) : len(found) + size]))
    assert found == expected
    balances = [
        {row.id: (row.version, row.balance, row.held_minor) for row in ledger.rows(ACCOUNT)}
        for ledger in (alone, batched)
    ]
    assert balances[0] == balances[1]
    holds = [
        {row.id: (row.version, row.state, row.parts) for row in ledger.rows(HOLD)}
        for ledger in (alone, batched)
    ]
    assert holds[0] == holds[1]
    lines = [
        {(e.id, e.journal_id, e.side, e.amount) for e in ledger.rows(ENTRY) if isinstance(e, Entry)}
        for ledger in (alone, batched)
    ]
    assert lines[0] == lines[1]
