"""From BUFFERED through DRAINING to DIRECT: whoever waits, dies or races."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from clearing_svc.ledger.administering import EndDraining
from paymesh.failpoint import arm
from paymesh.ids import shard_of
from tests.clearing.accounts_world import Process, acc
from tests.clearing.conftest import Database
from tests.clearing.ledger_world import post, top_up, transfer
from tests.clearing.modes.conftest import (
    ANN,
    BANK,
    Gated,
    Make,
    blocked,
    gated_process,
    rounds,
    row,
)

pytestmark = pytest.mark.slow


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
