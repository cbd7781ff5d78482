"""BUFFERED accounts on a real PostgreSQL: what waits beside the row, and how it comes into it.

Each race that the modes allow is brought about on purpose: a writer is held at the one moment that
matters, and let go when the others have done what they do.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import psycopg
import pytest

from clearing_svc.draining import DrainLimits
from clearing_svc.ledger.administering import EndDraining
from clearing_svc.ledger.bulk import UNLOCKED_NET_MAX
from paymesh.failpoint import arm
from paymesh.ids import shard_of
from paymesh.money import MINOR_UNITS_MAX
from paymesh.store.port import Conflict
from paymesh.store.postgres import PostgresStore
from tests.clearing.accounts_world import Process, acc, process
from tests.clearing.conftest import Database
from tests.clearing.ledger_world import place, post, release, top_up, transfer
from tests.databases import others_have_ended

pytestmark = pytest.mark.slow

ANN, BANK = "USER_BALANCE:ann", "BANK:platform"


class GatedStore(PostgresStore):
    """Whoever writes waits until the gate is open."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.gate, self.waiting = asyncio.Event(), asyncio.Event()
        self.gate.set()
        self.conflicts: list[str] = []

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        async with super().transaction() as transaction:
            save = transaction.save

            async def gated(statements: Any) -> None:
                self.waiting.set()
                await self.gate.wait()
                try:
                    await save(statements)
                except Conflict as conflict:
                    self.conflicts.append(str(conflict))
                    raise

            transaction.save = gated  # type: ignore[method-assign]
            yield transaction

    @asynccontextmanager
    async def held(self, write: Awaitable[Any]) -> AsyncIterator[asyncio.Task[Any]]:
        """While the write stands between what it has read and what it writes."""
        self.gate.clear()
        self.waiting.clear()
        task = asyncio.ensure_future(write)
        await asyncio.wait_for(self.waiting.wait(), 60)
        try:
            yield task  # type: ignore[misc]
        finally:
            self.gate.set()
        await task


Make = Callable[..., Awaitable[Process]]


@pytest.fixture
async def make(database: Database) -> AsyncIterator[Make]:
    """Makes processes."""
    async with AsyncExitStack() as stack:

        async def make(**options: Any) -> Process:
            return await stack.enter_async_context(process(database, **options))

        yield make


@dataclass
class Gated:
    """A process that can be held before it writes."""

    late: Process
    store: GatedStore

    def held(self, write: Awaitable[Any]) -> AbstractAsyncContextManager[asyncio.Task[Any]]:
        return self.store.held(write)


@pytest.fixture
async def gated(make: Make) -> Gated:
    return await gated_process(make)


async def gated_process(make: Make) -> Gated:
    late = await make(store_type=GatedStore)
    assert isinstance(late.store, GatedStore)
    return Gated(late, late.store)


@pytest.fixture
async def p(make: Make) -> Process:
    """A process; ann has 100, her account and the bank's are BUFFERED."""
    p = await make()
    assert await p.post(top_up("ann", 100, key="0")) == ["OK"]
    assert await p.mode(ANN, "BUFFERED") + await p.mode(BANK, "BUFFERED") == ["OK", "OK"]
    return p


def row(database: Database, account: str = ANN) -> tuple[object, ...]:
    """Balance in the row, what is buffered beside it, mode."""
    [found] = database.query(
        "SELECT balance_minor, coalesce((SELECT sum(delta_minor)::bigint FROM account_delta "
        "WHERE account_id = a.id), 0), mode FROM account a WHERE id = %s",
        acc(account),
    )
    return found


async def test_credits_wait_beside_the_row_and_every_reader_counts_them(
    p: Process, database: Database
) -> None:
    for n in range(3):
        assert await p.post(top_up("ann", 10, key=f"c{n}")) == ["OK"]
    assert row(database) == (100, 30, "BUFFERED")
    assert (await p.account(ANN)).balance.minor == 130


@pytest.mark.parametrize("path", ["bulk", "core", "hold"])
async def test_a_debit_and_a_hold_see_all_that_is_buffered(
    p: Process, database: Database, path: str
) -> None:
    """All but the last unit, then one too many: refused, for it is exact."""
    await p.post(top_up("ann", 30, key="c"))

    async def take(minor: int, key: str) -> list[str]:
        if path == "bulk":
            return await p.post(transfer("ann", "bob", minor, key=key))
        if path == "core":
            return await p.do(post(transfer("ann", "bob", minor, key=key)))
        return await p.do(place(key, minor))

    assert await take(131, "a") == ["INSUFFICIENT_FUNDS"]
    assert await take(130, "b") == ["OK"]
    assert await take(1, "c") == ["INSUFFICIENT_FUNDS"]
    assert row(database)[1] == 0
    assert database.query("SELECT count(*) FROM account_delta WHERE account_id = %s", acc(ANN)) == [
        (0,)
    ]


async def test_an_account_that_was_debited_is_locked_only_for_a_moment(
    p: Process, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One debit must not make every later credit wait for the row."""
    monkeypatch.setattr("clearing_svc.posting.batches.FOLD_AHEAD_S", 0.05)
    assert await p.post(transfer("ann", "bob", 1, key="d")) == ["OK"]
    await asyncio.sleep(0.1)
    await p.post(top_up("ann", 10, key="c"))
    assert row(database) == (99, 10, "BUFFERED")


async def test_a_batch_that_debits_many_buffered_accounts_is_tried_twice(
    p: Process, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"u{n}" for n in range(20)]
    await p.post(*(top_up(name, 10, key=name) for name in names))
    for name in names:
        await p.mode(f"USER_BALANCE:{name}", "BUFFERED")
    tries = 0
    transaction = p.posting._transaction

    async def counted(asked: Any) -> Any:
        nonlocal tries
        tries += 1
        return await transaction(asked)

    monkeypatch.setattr(p.posting, "_transaction", counted)
    drafts = [transfer(name, "bob", 10, key=f"d{name}") for name in names]
    assert await p.post(*drafts) == ["OK"] * 20
    assert tries == 2


async def test_what_could_leave_64_bits_is_booked_under_the_lock(
    p: Process, database: Database
) -> None:
    """Two great amounts without a look at the row would wait beside it for ever, unfoldable."""
    assert await p.post(top_up("ann", UNLOCKED_NET_MAX, key="a")) == ["OK"]
    assert row(database)[1] == UNLOCKED_NET_MAX
    assert await p.post(top_up("ann", MINOR_UNITS_MAX - UNLOCKED_NET_MAX - 100, key="b")) == ["OK"]
    assert row(database) == (MINOR_UNITS_MAX, 0, "BUFFERED")
    assert await p.post(top_up("ann", 1, key="c")) == ["INVALID_FIELD"]
    assert row(database) == (MINOR_UNITS_MAX, 0, "BUFFERED")


# Draining


async def rounds(p: Process, n: int = 3) -> None:
    for _ in range(n):
        others_have_ended(p.database.app_url)
        await p.draining.round()


async def test_a_buffered_account_becomes_direct_through_draining(
    p: Process, database: Database
) -> None:
    await p.post(top_up("ann", 30, key="c"))
    assert await p.mode(ANN, "DIRECT") == ["OK"]
    assert row(database)[2] == "DRAINING"
    await rounds(p)
    assert row(database) == (130, 0, "DIRECT")
    await rounds(p)
    assert row(database) == (130, 0, "DIRECT")
    acts = "SELECT what FROM ledger_act WHERE about = %s ORDER BY acted_at"
    kept = [what for (what,) in database.query(acts, acc(ANN))]
    assert kept == ["BUFFERED", "DRAINING", "DIRECT"]
    assert await p.mode(BANK, "DIRECT") == ["OK"]
    await rounds(p)
    assert database.books_are_true()


async def test_draining_waits_for_who_has_read_that_it_is_buffered(
    p: Process, gated: Gated, database: Database
) -> None:
    """All accounts of his batch are BUFFERED, so he holds no lock and has written nothing."""
    async with gated.held(gated.late.post(top_up("ann", 30, key="late"))) as writing:
        assert await p.mode(ANN, "DIRECT") == ["OK"]
        await rounds(p, 5)
        assert row(database) == (100, 0, "DRAINING")
    assert writing.result() == ["OK"]
    await rounds(p)
    assert row(database) == (130, 0, "DIRECT")


async def test_draining_waits_for_who_began_between_the_switch_and_its_commit(
    p: Process, gated: Gated, database: Database
) -> None:
    """His number is greater than that of the switch, and yet he reads what was before it."""
    with psycopg.connect(database.admin_url) as switch:
        switch.execute(
            "UPDATE account SET mode = 'DRAINING', version = version + 1, "
            "draining_since = version + 1 WHERE id = %s",
            (acc(ANN),),
        )
        async with gated.held(gated.late.post(top_up("ann", 30, key="late"))):
            switch.commit()
            await rounds(p, 5)
            assert row(database) == (100, 0, "DRAINING")
    await rounds(p)
    assert row(database) == (130, 0, "DIRECT")


async def test_a_draining_is_ended_only_by_what_was_found_of_itself(
    p: Process, gated: Gated, database: Database
) -> None:
    """Somebody finds that a first draining has drained and sleeps over it, while the account is
    ended, buffered and drained anew."""
    await p.mode(ANN, "DIRECT")
    since = (await p.account(ANN)).draining_since
    assert since is not None
    found = EndDraining(acc(ANN), since)
    await rounds(p)
    assert await p.mode(ANN, "BUFFERED") == ["OK"]
    async with gated.held(gated.late.post(top_up("ann", 30, key="late"))):
        await p.mode(ANN, "DIRECT")
        assert await p.do(found) == ["OK"]
        assert row(database) == (100, 0, "DRAINING")
    await rounds(p)
    assert row(database) == (130, 0, "DIRECT")


async def test_nothing_more_is_added_beside_a_draining_account(
    p: Process, gated: Gated, database: Database
) -> None:
    """But what was under way: whoever reads the new mode books in the row."""
    async with gated.held(gated.late.post(top_up("ann", 30, key="late"))):
        await p.mode(ANN, "DIRECT")
    assert row(database) == (100, 30, "DRAINING")
    await p.post(top_up("ann", 5, key="f"))
    assert row(database) == (135, 0, "DRAINING")


async def test_a_debit_of_a_draining_account_sees_what_came_beside_it_after_the_switch(
    p: Process, gated: Gated, database: Database
) -> None:
    async with gated.held(gated.late.post(top_up("ann", 30, key="late"))):
        await p.mode(ANN, "DIRECT")
    assert row(database) == (100, 30, "DRAINING")
    assert await p.post(transfer("ann", "bob", 131, key="d")) == ["INSUFFICIENT_FUNDS"]
    assert await p.post(transfer("ann", "bob", 130, key="e")) == ["OK"]
    assert row(database) == (0, 0, "DRAINING")


async def blocked(database: Database, waiting: int = 1) -> None:
    """Until so many wait for locks."""
    for _ in range(6000):
        if database.waiting() >= waiting:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("they do not wait")


async def test_a_mode_that_changes_between_two_reads_hides_no_account(
    p: Process, database: Database
) -> None:
    """He skips ann as BUFFERED and waits for bob's row; when he looks for buffered accounts, ann is
    DRAINING. An account that is in neither read would count as new, and empty."""
    await p.post(top_up("bob", 1, key="b"))
    with psycopg.connect(database.admin_url) as other:
        lock = "SELECT FROM account WHERE id = %s FOR UPDATE"
        other.execute(lock, (acc("USER_BALANCE:bob"),))
        paying = asyncio.create_task(p.post(transfer("ann", "bob", 100, key="t")))
        await blocked(database)
        assert await p.mode(ANN, "DIRECT") == ["OK"]
        other.rollback()
        assert await paying == ["OK"]
    assert row(database) == (0, 0, "DRAINING")


async def test_an_account_that_becomes_buffered_waits_for_who_has_it_locked(
    make: Make, gated: Gated, database: Database
) -> None:
    p = await make()
    await p.post(top_up("ann", 100, key="0"))
    async with gated.held(gated.late.post(transfer("ann", "bob", 100, key="t"))):
        switching = asyncio.create_task(p.mode(ANN, "BUFFERED"))
        await blocked(database)
    assert await switching == ["OK"]
    assert await p.post(transfer("ann", "bob", 1, key="u")) == ["INSUFFICIENT_FUNDS"]
    assert row(database) == (0, 0, "BUFFERED")


async def test_accounts_are_locked_in_one_order_whatever_their_mode(
    p: Process, database: Database
) -> None:
    """Who debits a buffered account locks it among the others, not before them."""
    names = sorted("abcdefgh", key=lambda name: shard_of(acc(f"USER_BALANCE:{name}")))
    first, last = names[0], names[-1]
    await p.post(*(top_up(name, 100, key=name) for name in (first, last)))
    await p.mode(f"USER_BALANCE:{last}", "BUFFERED")
    with psycopg.connect(database.admin_url) as other:
        lock = "SELECT FROM account WHERE id = %s FOR UPDATE"
        for command in (
            p.post(transfer(last, first, 1, key="bulk")),
            p.do(post(transfer(last, first, 1, key="core"))),
        ):
            other.execute(lock, (acc(f"USER_BALANCE:{first}"),))
            paying = asyncio.create_task(command)
            await blocked(database)
            other.execute(f"{lock} NOWAIT".encode(), (acc(f"USER_BALANCE:{last}"),))
            other.rollback()
            assert await paying == ["OK"]


async def test_nobody_holds_an_account_while_he_waits_for_the_day(
    p: Process, database: Database
) -> None:
    """Who closes the day waits for all who post: whoever waits for him must hold nothing yet."""
    assert await p.post(transfer("ann", "bob", 1, key="a")) == ["OK"]  # folds ahead from now on
    with psycopg.connect(database.admin_url) as closing:
        closing.execute("SELECT pg_advisory_xact_lock(7301)")
        paying = asyncio.create_task(p.post(transfer("ann", "bob", 1, key="b")))
        await blocked(database)
        closing.execute("SELECT FROM account FOR UPDATE NOWAIT")
        closing.rollback()
        assert await paying == ["OK"]


COPY = (
    "INSERT INTO {table} SELECT (jsonb_populate_record(t, jsonb_build_object('id', %s::text, "
    "'shard_key', shard_of(%s)))).* FROM {table} t LIMIT 1"
)


@pytest.mark.parametrize("table", ["account", "journal"])
async def test_the_same_rows_in_another_order_at_once_are_no_deadlock(
    p: Process, make: Make, database: Database, table: str
) -> None:
    """New accounts, or new journals on accounts that nobody locks: somebody is inserting the middle
    one, and who comes from the one end must not wait for who comes from the other."""
    names = [f"u{n}" for n in range(41)]
    if table == "account":
        mine = [top_up(name, 1, key=f"a{name}") for name in names]
        theirs = [top_up(name, 1, key=f"b{name}") for name in reversed(names)]
        ids = sorted(acc(f"USER_BALANCE:{name}") for name in names)
    else:
        mine = [top_up("ann", 1, key=name) for name in names]
        theirs = mine[::-1]
        ids = [draft.id for draft in mine]
    one, other = await gated_process(make), await gated_process(make)
    with psycopg.connect(database.admin_url) as middle:
        middle.execute(COPY.format(table=table).encode(), (ids[20], ids[20]))
        tasks = [asyncio.create_task(one.late.post(*mine))]
        await blocked(database)
        core = other.late.do(*map(post, theirs)) if table == "account" else None
        tasks.append(asyncio.create_task(core or other.late.post(*theirs)))
        await blocked(database, waiting=2)
        middle.rollback()
        found = await asyncio.gather(*tasks)
    assert {verdict for verdicts in found for verdict in verdicts} == {"OK"}
    conflicts = one.store.conflicts + other.store.conflicts
    assert conflicts
    assert [conflict for conflict in conflicts if "40P01" in conflict] == []


# Crashes


@pytest.mark.parametrize("point", ["shell.before_commit", "shell.after_commit"])
async def test_draining_that_dies_around_its_commit_is_finished_by_the_next(
    p: Process, make: Make, gated: Gated, database: Database, point: str
) -> None:
    async with gated.held(gated.late.post(top_up("ann", 30, key="late"))):
        await p.mode(ANN, "DIRECT")
    arm(f"{point}:1:error")
    try:
        with pytest.raises(Exception, match="the batch broke: InjectedFault"):
            await rounds(p)
    finally:
        arm("")
    dead = (100, 30, "DRAINING") if point == "shell.before_commit" else (130, 0, "DIRECT")
    assert row(database) == dead
    successor = await make()
    await rounds(successor)
    assert row(database) == (130, 0, "DIRECT")
    assert (await successor.account(ANN)).balance.minor == 130


async def test_who_takes_over_knows_nothing_and_waits_anew(
    p: Process, make: Make, gated: Gated, database: Database
) -> None:
    """Each round is another process; only one that lives for two of them ends it."""
    async with gated.held(gated.late.post(top_up("ann", 30, key="late"))):
        await p.mode(ANN, "DIRECT")
        for _ in range(3):
            await rounds(await make(), 1)
        await rounds(p)
        assert row(database) == (100, 0, "DRAINING")
    await asyncio.gather(rounds(p), rounds(await make()))
    assert row(database) == (130, 0, "DIRECT")
    acts = "SELECT count(*) FROM ledger_act WHERE about = %s AND what = 'DIRECT'"
    assert database.query(acts, acc(ANN)) == [(1,)]


# Folding


async def test_what_waits_beside_an_account_is_folded_when_it_is_much(
    p: Process, make: Make, database: Database
) -> None:
    chore = await make(limits=DrainLimits(deltas_kept=5, fold_rows_max=4))
    for n in range(5):
        await p.post(top_up("ann", 1, key=f"c{n}"))
    await chore.draining.round()
    assert row(database) == (100, 5, "BUFFERED")
    await p.post(top_up("ann", 1, key="c5"))
    await chore.draining.round()
    assert row(database) == (106, 0, "BUFFERED")
    assert row(database, BANK) == (106, 0, "BUFFERED")
    assert database.books_are_true()


@pytest.mark.parametrize("point", ["shell.before_commit", "shell.after_commit"])
@pytest.mark.parametrize("passage", range(1, 4))
async def test_folding_that_dies_between_its_parts_loses_nothing(
    p: Process, make: Make, database: Database, point: str, passage: int
) -> None:
    chore = await make(limits=DrainLimits(deltas_kept=1, fold_rows_max=2))
    for n in range(6):
        await p.post(top_up("ann", 1, key=f"c{n}"))
    arm(f"{point}:{passage}:error")
    try:
        with pytest.raises(Exception, match=r"shell\."):
            await chore.draining.round()
    finally:
        arm("")
    assert (await p.account(ANN)).balance.minor == 106
    await chore.draining.round()
    assert row(database) == (106, 0, "BUFFERED")


async def test_a_reader_sees_every_credit_once_while_others_fold(
    p: Process, make: Make, database: Database
) -> None:
    """Balances that are read only grow, and never beyond what was credited."""
    chore = await make(limits=DrainLimits(deltas_kept=0, fold_rows_max=3))
    seen, begun, done = [100], 100, False

    async def credit(writer: int) -> None:
        nonlocal begun
        for n in range(30):
            begun += 1
            assert await p.post(top_up("ann", 1, key=f"{writer}-{n}")) == ["OK"]

    async def fold() -> None:
        while not done:
            await chore.draining.round()

    async def read() -> None:
        while not done:
            seen.append((await p.account(ANN)).balance.minor)
            assert seen[-2] <= seen[-1] <= begun

    others = [asyncio.create_task(each) for each in (fold(), read())]
    await asyncio.gather(*map(credit, range(4)))
    done = True
    await asyncio.gather(*others)
    assert (await p.account(ANN)).balance.minor == 220
    assert len(set(seen)) > 10


WRONG = """
    SELECT a.subject, a.owner FROM account a WHERE
        a.balance_minor + coalesce((SELECT sum(d.delta_minor) FROM account_delta d
            WHERE d.shard_key = a.shard_key AND d.account_id = a.id), 0)
        <> coalesce((SELECT sum(CASE WHEN e.side = a.normal_side THEN e.amount_minor
            ELSE -e.amount_minor END) FROM entry e WHERE e.account_id = a.id), 0)
"""


async def test_nothing_is_refused_that_was_credited_before_whatever_the_mode_does(
    p: Process, make: Make, database: Database
) -> None:
    """Six callers in three processes each credit ann's account and then take the same amount, as a
    debit or as a hold: so each finds what it needs. Meanwhile the account is switched to and fro,
    drained and folded by two at once; at every moment balances are the sums of their entries."""
    writers = [p, await make(), await make()]
    limits = DrainLimits(deltas_kept=2, fold_rows_max=5)
    chores = [await make(limits=limits), await make(limits=limits)]
    done, modes, chance = False, set(), random.Random(7)

    async def caller(number: int) -> None:
        """Goes on until the account was seen in all modes."""
        mine, next_ = writers[number % 3], writers[(number + 1) % 3]
        for turn in count():
            if turn >= 15 and (len(modes) == 3 or turn >= 500):
                return
            key, minor = f"{number}-{turn}", 10 + number
            assert await mine.post(top_up("ann", minor, key=key)) == ["OK"], key
            if turn % 3 == 0:
                assert await next_.post(transfer("ann", "bob", minor, key=key)) == ["OK"], key
            elif turn % 3 == 1:
                assert await next_.do(post(transfer("ann", "bob", minor, key=key))) == ["OK"], key
            else:
                assert await next_.do(place(key, minor)) == ["OK"], key
                assert (
                    await mine.do(release(key), post(transfer("ann", "bob", minor, key=key)))
                    == ["OK"] * 2
                ), key

    async def switch() -> None:
        while not done:
            modes.add(row(database)[2])
            assert set(await chores[0].mode(ANN, "DIRECT")) <= {"OK"}
            for _ in range(chance.choice([1, 1, 30])):
                modes.add(row(database)[2])
                await asyncio.sleep(0.01)
            assert set(await chores[0].mode(ANN, "BUFFERED")) <= {"OK"}
            await asyncio.sleep(0.03)

    async def drain(chore: Process) -> None:
        while not done:
            await chore.draining.round()
            await asyncio.sleep(0.005)

    async def watch() -> None:
        while not done:
            assert database.query(WRONG) == []
            await asyncio.sleep(0.01)

    others = [asyncio.create_task(each) for each in (switch(), watch(), *map(drain, chores))]
    try:
        await asyncio.gather(*map(caller, range(6)))
    finally:
        done = True
        await asyncio.gather(*others)
    assert modes == {"DIRECT", "BUFFERED", "DRAINING"}
    for account in (ANN, BANK):
        await p.mode(account, "DIRECT")
    await rounds(p)
    assert row(database) == (100, 0, "DIRECT")
    assert database.books_are_true()
