"""The pool: a connection that the server has closed is never given to anybody."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from psycopg.pq import PipelineStatus
from sqlalchemy.ext.asyncio import AsyncEngine

from paymesh.db.engine import create_engine
from paymesh.db.flight import flight
from paymesh.shell import Shell
from paymesh.store import sql
from paymesh.store.port import Unreachable
from paymesh.store.postgres import PostgresStore
from paymesh.store.rowtypes import RowType
from tests.runtime.world import Database, create
from trade_svc.store import TRADES
from trade_svc.trades.model import TradeView

POOL = 4


@pytest.fixture
async def engine(database: Database) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database.app_url, pool=POOL)
    yield engine
    await engine.dispose()


async def backends(engine: AsyncEngine) -> set[int]:
    """The processes that serve the pool's connections; each is kept until all are in use."""
    all_have_one = asyncio.Barrier(POOL)

    async def backend() -> int:
        async with engine.connect() as connection:
            pid: int = (await connection.execute(sa.text("SELECT pg_backend_pid()"))).scalar_one()
            await all_have_one.wait()
            return pid

    return set(await asyncio.gather(*(backend() for _ in range(POOL))))


async def test_connections_are_kept(engine: AsyncEngine) -> None:
    first = await backends(engine)
    assert len(first) == POOL
    assert await backends(engine) == first


async def test_connections_that_the_server_closed_are_replaced_unseen(
    engine: AsyncEngine, database: Database
) -> None:
    """All of them at once, as after a restart; and one alone."""
    first = await backends(engine)
    database.query("SELECT pg_terminate_backend(pid, 60000) FROM unnest(%s) AS pid", sorted(first))
    second = await backends(engine)
    assert len(second) == POOL
    assert not first & second
    database.query("SELECT pg_terminate_backend(%s, 60000)", min(second))
    assert len(await backends(engine)) == POOL


async def test_a_server_that_hangs_up_at_once_is_away(
    engine: AsyncEngine, database: Database
) -> None:
    """As while it stops, or when sessions are ended again and again: that is no defect of ours."""
    first = await backends(engine)
    terminate = "SELECT pg_terminate_backend(pid, 60000) FROM unnest(%s) AS pid"
    database.query(terminate, sorted(first))

    @sa.event.listens_for(engine.sync_engine, "connect")
    def hang_up(connection: Any, record: object) -> None:
        database.query(terminate, [connection.driver_connection.info.backend_pid])

    with pytest.raises(Unreachable):
        await PostgresStore(engine).keep_outbox(days_ahead=1, days_kept=1)
    sa.event.remove(engine.sync_engine, "connect", hang_up)
    assert len(await backends(engine)) == POOL


@pytest.mark.parametrize(
    "kind", [TRADES.root, *TRADES.children.values()], ids=lambda kind: kind.table
)
async def test_what_is_asked_by_key_is_found_by_its_index(
    engine: AsyncEngine, shell: Shell[TradeView], kind: RowType[Any]
) -> None:
    """Also while there is little, of which the planner knows nothing yet: who prepares a statement
    then would read all of the table, each time, however much it grows."""
    await shell.process([create(f"order {n}") for n in range(200)])
    statement = sql.load_children(kind) if kind.parent else sql.load(kind, lock=True)
    numbered = statement.replace("%s", "$1", 1).replace("%s", "$2")
    async with engine.connect() as connection:
        raw = (await connection.get_raw_connection()).driver_connection
        assert raw is not None
        await raw.execute("BEGIN")
        await raw.execute("SET LOCAL plan_cache_mode = 'force_generic_plan'")
        await raw.execute(f"PREPARE asked AS {numbered}")
        cursor = await raw.execute("EXPLAIN EXECUTE asked ('{1,2}', '{a,b}')")
        plan = "\n".join(row[0] for row in await cursor.fetchall())
        await raw.execute("ROLLBACK")
    assert "Index" in plan
    assert not re.search("Seq Scan|Hash|Merge", plan), plan


async def test_who_reads_much_is_left_to_the_planner(engine: AsyncEngine) -> None:
    async with PostgresStore(engine).snapshot() as connection:
        cursor = await connection.execute("SHOW enable_seqscan")
        assert await cursor.fetchone() == ("on",)
    async with engine.connect() as again:
        assert (await again.execute(sa.text("SHOW enable_seqscan"))).scalar_one() == "off"


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


@pytest.mark.parametrize("synced", [True, False])
async def test_a_flight_whose_errors_come_while_it_is_still_leaving_ends_all_the_same(
    synced: bool, engine: AsyncEngine
) -> None:
    """More than fits into the sockets: the server answers, with an error and then with what it
    skipped, before all has been sent. The connection can be used again, and nobody waits."""
    much = "x" * 1_000_000
    async with asyncio.timeout(60), engine.connect() as checked_out:
        raw = (await checked_out.get_raw_connection()).driver_connection
        assert raw is not None

        async def flies() -> None:
            async with flight(raw) as pipeline:
                await raw.execute("BEGIN")
                await raw.execute("SELECT 1 / 0")
                for n in range(30):
                    await raw.execute(f"SELECT {n}, length(%s)", [much])
                if synced:
                    await pipeline.sync()

        with pytest.raises(psycopg.errors.DivisionByZero):
            await flies()
        assert raw.pgconn.pipeline_status == PipelineStatus.OFF
        await raw.execute("ROLLBACK")
        again = await raw.execute("SELECT 6")
        assert await again.fetchone() == (6,)


async def test_a_connection_that_is_left_in_pipeline_mode_is_given_to_nobody(
    database: Database,
) -> None:
    """What is sent on it would never be answered. The next caller gets another one, at once."""
    engine = create_engine(database.app_url, pool=1)
    store = PostgresStore(engine)
    async with asyncio.timeout(60):
        async with store.writing() as connection:
            [old] = await (await connection.execute("SELECT pg_backend_pid()")).fetchone() or ()

        async def breaks_off() -> None:
            async with store.snapshot() as connection:
                await connection.execute("COMMIT")
                connection.pgconn.enter_pipeline_mode()
                raise RuntimeError("in the middle of it")

        with pytest.raises(RuntimeError, match="in the middle of it"):
            await breaks_off()
        async with store.writing() as connection:
            [new] = await (await connection.execute("SELECT pg_backend_pid()")).fetchone() or ()
    assert new != old
    await engine.dispose()
