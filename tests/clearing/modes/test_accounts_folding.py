"""What waits beside accounts is folded into them: nothing is lost, doubled or seen twice."""

from __future__ import annotations

import asyncio
import random
from itertools import count

import pytest

from clearing_svc.draining import DrainLimits
from paymesh.failpoint import arm
from tests.clearing.accounts_world import Process
from tests.clearing.conftest import Database
from tests.clearing.ledger_world import place, post, release, top_up, transfer
from tests.clearing.modes.conftest import (
    ANN,
    BANK,
    Make,
    rounds,
    row,
)

pytestmark = pytest.mark.slow


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
