"""Accounts that are buffered and drained while others book: what the tests share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from paymesh.store.port import Conflict
from paymesh.store.postgres import PostgresStore
from tests.clearing.accounts_world import Process, acc, process
from tests.clearing.conftest import Database
from tests.clearing.ledger_world import top_up
from tests.databases import others_have_ended

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

            transaction.save = gated
            yield transaction

    @asynccontextmanager
    async def held(self, write: Awaitable[Any]) -> AsyncIterator[asyncio.Task[Any]]:
        """While the write stands between what it has read and what it writes."""
        self.gate.clear()
        self.waiting.clear()
        task = asyncio.ensure_future(write)
        await asyncio.wait_for(self.waiting.wait(), 60)
        try:
            yield task
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


async def rounds(p: Process, n: int = 3) -> None:
    for _ in range(n):
        others_have_ended(p.database.app_url)
        await p.draining.round()


async def blocked(database: Database, waiting: int = 1) -> None:
    """Until so many wait for locks."""
    for _ in range(6000):
        if database.waiting() >= waiting:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("they do not wait")
