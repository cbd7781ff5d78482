"""The store on PostgreSQL: two pipelined round trips a batch, psycopg under SQLAlchemy's pool.

The engine runs in autocommit and the transaction is ours, word by word: BEGIN goes out with the
reads, COMMIT with the writes, and only the answer `COMMIT` means committed (COMMIT of a failed
transaction answers ROLLBACK without an error).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import psycopg
from psycopg.pq import PipelineStatus, TransactionStatus
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import greenlet_spawn

from paymesh.core import Guard
from paymesh.db.engine import ANY_PLAN
from paymesh.db.errors import error_text
from paymesh.db.flight import flight
from paymesh.failpoint import failpoint
from paymesh.ids import shard_of
from paymesh.store import sql
from paymesh.store.columns import (
    cursor_keys,
    guard_keys,
    message_keys,
    request_keys,
    sharded,
    statements,
)
from paymesh.store.port import (
    CommitUnknown,
    Conflict,
    CursorKey,
    Due,
    Loaded,
    MessageKey,
    Reads,
    Rejected,
    StoredEvent,
    Unreachable,
    Writes,
)
from paymesh.store.reading import answers_of, rows, sent, states_of, stored_event
from paymesh.store.rowtypes import Aggregate, AggregateSet

Connection = psycopg.AsyncConnection[tuple[Any, ...]]
FAILED_COUNT = "22012"


def _translated(error: psycopg.Error) -> Exception:
    """A database error as what it means for the batch."""
    state = error.sqlstate or ""
    if state.startswith("40") or state in {"55P03", "23505", FAILED_COUNT}:
        return Conflict(error_text(error))
    if state.startswith(("22", "23")):
        constraint, why = error.diag.constraint_name or "", error.diag.message_primary or ""
        return Rejected(error_text(error), constraint=constraint, why=why)
    if isinstance(error, psycopg.DataError):  # the driver's own, such as NUL in a text
        return Rejected(error_text(error))
    if isinstance(error, psycopg.OperationalError) or state[:2] in {"08", "53", "57", "25"}:
        return Unreachable(error_text(error))
    return error


class PostgresTransaction:
    """One transaction on one connection: read, then commit."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def read(self, aggregate: Aggregate[Any] | AggregateSet[Any], reads: Reads) -> Loaded:
        run = self._connection.execute
        try:
            async with flight(self._connection):
                await run("BEGIN")
                shared = await run(aggregate.shared) if aggregate.shared else None
                of = aggregate.split(reads.keys)
                members = [await sent(run, member, keys, lock=True) for member, keys in of]
                # What was not there could not be locked. Somebody may have made it while the locks
                # of the later members were waited for, so it is looked for once more.
                later = [await sent(run, member, keys, lock=False) for member, keys in of[:-1]]
                peeked = [
                    await sent(run, member, keys, lock=False)
                    for member, keys in aggregate.split(reads.peeks)
                ]
                answers = seen = guards = None
                if reads.requests:
                    answers = await run(sql.READ_ANSWERS, request_keys(reads.requests))
                if reads.messages:
                    seen = await run(sql.READ_SEEN, message_keys(reads.messages))
                if reads.guards:
                    guards = await run(sql.READ_GUARDS, guard_keys(reads.guards))
                records = [
                    (kind, await run(sql.read_record_guards(kind), sharded([g.key for g in of])))
                    for kind, of in reads.records.items()
                ]
                cursors = None
                if reads.cursors:
                    cursors = await run(sql.READ_CURSORS, cursor_keys(reads.cursors))
                clock = await run("SELECT clock_timestamp()")
                return Loaded(
                    at=cast(tuple[Any, ...], await clock.fetchone())[0],
                    states=await states_of(members, later),
                    peeked=await states_of(peeked),
                    answers=await answers_of(answers),
                    seen=frozenset(MessageKey(*row) for row in await rows(seen)),
                    taken={Guard(kind, key): owner for kind, key, owner in await rows(guards)}
                    | {
                        Guard(cast(tuple[str, str], kind.guard)[0], id_): owner
                        for kind, cursor in records
                        for id_, owner in await cursor.fetchall()
                    },
                    cursors={CursorKey(c, a): at for c, a, at in await rows(cursors)},
                    shared=None
                    if shared is None
                    else cast(tuple[Any, ...], await shared.fetchone())[0],
                )
        except psycopg.Error as error:
            raise _translated(error) from error

    async def query(
        self, queries: Sequence[tuple[str, Sequence[Any]]]
    ) -> list[list[tuple[Any, ...]]]:
        """Begins, with queries that leave together; their rows. For who writes his SQL himself."""
        run = self._connection.execute
        try:
            async with flight(self._connection):
                await run("BEGIN")
                sent = [await run(query, parameters) for query, parameters in queries]
                return [await cursor.fetchall() for cursor in sent]
        except psycopg.Error as error:
            raise _translated(error) from error

    async def commit(self, writes: Writes) -> None:
        await self.save(statements(writes))

    async def save(self, statements: Sequence[tuple[str, Sequence[Any]]]) -> None:
        """Runs the statements and commits. Raises as commit does."""
        await self._saved(None, statements)

    async def save_in_one_flight(
        self, first: tuple[str, Sequence[Any]], statements: Sequence[tuple[str, Sequence[Any]]]
    ) -> tuple[Any, ...]:
        """Begins, runs the statements and commits in one round trip; the row that the first one
        gives. Raises as commit does."""
        row = await self._saved(first, statements)
        assert row is not None, "the first statement gives a row"
        return row

    async def _saved(
        self,
        first: tuple[str, Sequence[Any]] | None,
        statements: Sequence[tuple[str, Sequence[Any]]],
    ) -> tuple[Any, ...] | None:
        failpoint("shell.before_commit")
        run = self._connection.execute
        row = None
        try:
            async with flight(self._connection) as pipeline:
                if first is not None:
                    await run("BEGIN")
                    cursor = await run(*first)
                for statement, parameters in statements:
                    await run(statement, parameters)
                # In the same flight: after an error the server skips everything up to the sync,
                # COMMIT too.
                done = await run("COMMIT")
                await pipeline.sync()
                if first is not None:
                    row = await cursor.fetchone()
        except psycopg.Error as error:
            translated = _translated(error)
            if isinstance(translated, Unreachable):  # COMMIT may have arrived
                raise CommitUnknown(error_text(error)) from error
            raise translated from error
        if done.statusmessage != "COMMIT":
            raise Conflict(f"the commit answered {done.statusmessage}")
        failpoint("shell.after_commit")
        return row


class PostgresStore:
    """The store port over an AsyncEngine (see paymesh.db.engine)."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        """One of the pool's, without SQLAlchemy's own connection around it: that takes as long as a
        statement does. Raises Unreachable."""
        try:
            pooled = await self._engine.raw_connection()
        except (psycopg.OperationalError, DBAPIError, PoolTimeout) as error:
            raise Unreachable(error_text(error)) from error
        try:
            raw = cast(Connection, pooled.driver_connection)
            if raw.info.transaction_status != TransactionStatus.IDLE:
                raise Unreachable("the pool gave a connection with an open transaction")
            failed = True
            try:
                yield raw
                failed = False
            finally:
                await _make_idle(raw, failed=failed)
        finally:
            await greenlet_spawn(pooled.close)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[PostgresTransaction]:
        async with self._connection() as connection:
            yield PostgresTransaction(connection)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Connection]:
        """A connection that reads one snapshot, maybe much. For who writes his SQL himself."""
        try:
            async with self._connection() as connection:
                await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                await connection.execute(ANY_PLAN)
                yield connection
        except psycopg.Error as error:
            raise _translated(error) from error

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Connection]:
        """A connection whose transaction is committed at the end, if nothing is raised until then.
        For who writes his SQL himself. Raises as commit does."""
        try:
            async with self._connection() as connection:
                await connection.execute("BEGIN")
                await connection.execute(ANY_PLAN)
                yield connection
                failpoint("shell.before_commit")
                try:
                    done = await connection.execute("COMMIT")
                except psycopg.OperationalError as error:
                    raise CommitUnknown(error_text(error)) from error
                if done.statusmessage != "COMMIT":
                    raise Conflict(f"the commit answered {done.statusmessage}")
                failpoint("shell.after_commit")
        except psycopg.Error as error:
            raise _translated(error) from error

    async def _run(self, statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """One statement in its own transaction."""
        try:
            async with self._connection() as connection:
                cursor = await connection.execute(statement, parameters)
                return await cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            raise _translated(error) from error

    async def load(
        self, aggregate: Aggregate[Any] | AggregateSet[Any], keys: Sequence[str]
    ) -> Mapping[str, Any]:
        try:
            async with self._connection() as connection, flight(connection):
                run = connection.execute
                # One snapshot, or a root could be older than its children.
                await run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                members = [
                    await sent(run, member, own, lock=False)
                    for member, own in aggregate.split(keys)
                ]
                await run("COMMIT")
                return await states_of(members)
        except psycopg.Error as error:
            raise _translated(error) from error

    async def claim_due(
        self, aggregate: Aggregate[Any], *, limit: int, ladder_s: Sequence[float]
    ) -> Sequence[Due]:
        ladder = list(ladder_s)
        found = await self._run(sql.claim_due(aggregate), (limit, ladder, ladder))
        return [Due(key, attempts) for key, attempts in found]

    async def unpublished(self, *, older_than_s: float, limit: int) -> Sequence[StoredEvent]:
        found = await self._run(sql.UNPUBLISHED, (older_than_s, limit))
        return [stored_event(row) for row in found]

    async def keep_outbox(self, *, days_ahead: int, days_kept: int) -> None:
        """Makes the coming days' partitions of the outbox and drops those that are too old, and
        what is too old in the default one."""
        await self._run(sql.KEEP_OUTBOX, (days_ahead, days_kept, days_kept))

    async def publish_again(self, event_ids: Sequence[str]) -> int:
        ids = sorted(event_ids)
        found = await self._run(sql.PUBLISH_AGAIN, ([shard_of(i) for i in ids], ids))
        return int(found[0][0])

    async def confirm(self, event_ids: Sequence[str]) -> None:
        ids = sorted(event_ids)
        await self._run(sql.CONFIRM, ([shard_of(i) for i in ids], ids))


async def _make_idle(raw: Connection, *, failed: bool) -> None:
    """Leaves the connection idle for the next user, or closed.

    After a pipeline that failed psycopg counts statements as prepared that the server, skipping
    them, never saw. Only a prepared DEALLOCATE ALL always makes both forget them all.
    """
    if raw.closed:
        return
    if raw.pgconn.pipeline_status != PipelineStatus.OFF:
        await raw.close()  # what is sent on it now would never be answered
        return
    try:
        if raw.info.transaction_status != TransactionStatus.IDLE:
            await raw.execute("ROLLBACK")
        if failed:
            await raw.execute("DEALLOCATE ALL", prepare=True)
    except psycopg.Error:
        await raw.close()  # the pool opens another; an open transaction must not survive in it
