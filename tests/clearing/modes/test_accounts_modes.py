"""BUFFERED accounts on a real PostgreSQL: what waits beside the row, and how it comes into it.

Each race that the modes allow is brought about on purpose: a writer is held at the one moment that
matters, and let go when the others have done what they do.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from clearing_svc.ledger.bulk import UNLOCKED_NET_MAX
from paymesh.money import MINOR_UNITS_MAX
from tests.clearing.accounts_world import Process, acc
from tests.clearing.conftest import Database
from tests.clearing.ledger_world import place, post, top_up, transfer
from tests.clearing.modes.conftest import (
    ANN,
    row,
)

pytestmark = pytest.mark.slow


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
