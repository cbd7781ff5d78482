"""The pool: a connection that the server has closed is never given to anybody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from paymesh.db.engine import create_engine
from paymesh.db.flight import flight
from paymesh.store.port import Unreachable
from paymesh.store.postgres import PostgresStore
from tests.runtime.world import Database

POOL = 4


@pytest.fixture
async def engine(database: Database) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database.app_url, pool=POOL)
    yield engine
    await engine.dispose()


async def backend(engine: AsyncEngine) -> int:
    """The process that serves a connection; it is kept so long that others need another."""
    async with engine.connect() as connection:
        pid: int = (await connection.execute(sa.text("SELECT pg_backend_pid()"))).scalar_one()
        await asyncio.sleep(0.05)
        return pid


async def backends(engine: AsyncEngine) -> set[int]:
    return set(await asyncio.gather(*(backend(engine) for _ in range(POOL))))


async def test_connections_are_kept(engine: AsyncEngine) -> None:
    first = await backends(engine)
    assert len(first) == POOL
    assert await backends(engine) == first


async def test_connections_that_the_server_closed_are_replaced_unseen(
    engine: AsyncEngine, database: Database
) -> None:
    """All of them at once, as after a restart; and one alone."""
    first = await backends(engine)
    database.query("SELECT pg_terminate_backend(pid, 2000) FROM unnest(%s) AS pid", sorted(first))
    second = await backends(engine)
    assert len(second) == POOL
    assert not first & second
    database.query("SELECT pg_terminate_backend(%s, 2000)", min(second))
    assert len(await backends(engine)) == POOL


async def test_a_server_that_hangs_up_at_once_is_away(
    engine: AsyncEngine, database: Database
) -> None:
    """As while it stops, or when sessions are ended again and again: that is no defect of ours."""
    first = await backends(engine)
    terminate = "SELECT pg_terminate_backend(pid, 2000) FROM unnest(%s) AS pid"
    database.query(terminate, sorted(first))

    @sa.event.listens_for(engine.sync_engine, "connect")
    def hang_up(connection: Any, record: object) -> None:
        database.query(terminate, [connection.driver_connection.info.backend_pid])

    with pytest.raises(Unreachable):
        await PostgresStore(engine).keep_outbox(days_ahead=1, days_kept=1)
    sa.event.remove(engine.sync_engine, "connect", hang_up)
    assert len(await backends(engine)) == POOL


async def test_statements_of_a_flight_leave_together(engine: AsyncEngine) -> None:
    """Nothing has left before somebody wants a result; then all has, and in order."""
    async with engine.connect() as checked_out:
        raw = (await checked_out.get_raw_connection()).driver_connection
        assert raw is not None
        async with flight(raw) as pipeline:
            cursors = [await raw.execute("SELECT %s::int", [n]) for n in range(5)]
            assert len(pipeline.command_queue) >= len(cursors)
            last = await cursors[-1].fetchone()
            assert not pipeline.command_queue
            assert [await cursor.fetchone() for cursor in cursors[:-1]] + [last] == [
                (n,) for n in range(5)
            ]
        again = await raw.execute("SELECT 6")
        assert await again.fetchone() == (6,)
