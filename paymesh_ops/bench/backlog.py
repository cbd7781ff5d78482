"""Things that go on after they were answered: bounded, and awaited until the last one is over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import psycopg

from paymesh.db.session import arguments

Look = Callable[[], Awaitable[int]]
"""How many are over so far: counted from any beginning, never less than before."""

STALLED_AFTER_S = 60.0
"""Longer than the rungs of the retry ladder that a passing fault may need."""


class Backlog:
    """What was begun and is not over yet."""

    def __init__(self, look: Look, *, most: int, every_s: float, before: int) -> None:
        self._look, self._most, self._every_s, self._before = look, most, every_s, before
        self._begun = self._over = 0
        self._looked = asyncio.Event()

    async def begin(self, count: int = 1) -> None:
        """Returns once there is room for so many more."""
        while self._begun - self._over + count > self._most:
            await self._looked.wait()
        self._begun += count

    async def over(self) -> None:
        """Returns once all that was begun is over."""
        while self._over < self._begun:
            await self._looked.wait()

    async def watch(self) -> None:
        """Looks for ever. Raises RuntimeError when nothing becomes over any more."""
        moved_at = time.monotonic()
        while True:
            over = await self._look() - self._before
            if over != self._over or self._over == self._begun:
                moved_at = time.monotonic()
            if time.monotonic() - moved_at > STALLED_AFTER_S:
                raise RuntimeError(f"{over} of {self._begun} are over, and no other one becomes so")
            self._over = over
            self._looked.set()
            self._looked = asyncio.Event()
            await asyncio.sleep(self._every_s)


@asynccontextmanager
async def backlog(look: Look, *, most: int, every_s: float = 0.05) -> AsyncIterator[Backlog]:
    """Meanwhile it is looked `every_s` seconds what is over; at most `most` are under way."""
    found = Backlog(look, most=most, every_s=every_s, before=await look())
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(found.watch())
        yield found
        watching.cancel()


@asynccontextmanager
async def looking(url: str, sql: str, **parameters: Any) -> AsyncIterator[Look]:
    """A look at the one number that a query finds, on a connection that stays open."""
    connecting = psycopg.AsyncConnection.connect(**arguments(url), autocommit=True)
    async with await connecting as connection:

        async def look() -> int:
            cursor = await connection.execute(sql.encode(), parameters, prepare=True)
            row = await cursor.fetchone()
            assert row is not None
            return int(row[0])

        yield look
