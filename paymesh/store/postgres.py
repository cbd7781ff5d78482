"""The store on PostgreSQL: two pipelined round trips a batch, psycopg under SQLAlchemy's pool.

The engine runs in autocommit and the transaction is ours, word by word: BEGIN goes out with the
reads, COMMIT with the writes, and only the answer `COMMIT` means committed (COMMIT of a failed
transaction answers ROLLBACK without an error).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, cast

import psycopg
from psycopg.pq import PipelineStatus, TransactionStatus
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import greenlet_spawn

from paymesh.context import Context, Traffic
from paymesh.core import Guard
from paymesh.db.engine import ANY_PLAN
from paymesh.db.errors import error_text
from paymesh.db.flight import flight
from paymesh.failpoint import failpoint
from paymesh.ids import bucket_of, shard_of
from paymesh.store import sql
from paymesh.store.port import (
    CommitUnknown,
    Conflict,
    CursorKey,
    Due,
    Loaded,
    MessageKey,
    Reads,
    Rejected,
    RequestKey,
    StoredAnswer,
    StoredEvent,
    Unreachable,
    Writes,
)
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
                members = [await _sent(run, member, keys, lock=True) for member, keys in of]
                # What was not there could not be locked. Somebody may have made it while the locks
                # of the later members were waited for, so it is looked for once more.
                later = [await _sent(run, member, keys, lock=False) for member, keys in of[:-1]]
                peeked = [
                    await _sent(run, member, keys, lock=False)
                    for member, keys in aggregate.split(reads.peeks)
                ]
                answers = seen = guards = None
                if reads.requests:
                    answers = await run(sql.READ_ANSWERS, _request_keys(reads.requests))
                if reads.messages:
                    seen = await run(sql.READ_SEEN, _message_keys(reads.messages))
                if reads.guards:
                    guards = await run(sql.READ_GUARDS, _guard_keys(reads.guards))
                records = [
                    (kind, await run(sql.read_record_guards(kind), _sharded([g.key for g in of])))
                    for kind, of in reads.records.items()
                ]
                cursors = None
                if reads.cursors:
                    cursors = await run(sql.READ_CURSORS, _cursor_keys(reads.cursors))
                clock = await run("SELECT clock_timestamp()")
                return Loaded(
                    at=cast(tuple[Any, ...], await clock.fetchone())[0],
                    states=await _states(members, later),
                    peeked=await _states(peeked),
                    answers=await _answers(answers),
                    seen=frozenset(MessageKey(*row) for row in await _rows(seen)),
                    taken={Guard(kind, key): owner for kind, key, owner in await _rows(guards)}
                    | {
                        Guard(cast(tuple[str, str], kind.guard)[0], id_): owner
                        for kind, cursor in records
                        for id_, owner in await cursor.fetchall()
                    },
                    cursors={CursorKey(c, a): at for c, a, at in await _rows(cursors)},
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

    async def save_at_once(
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
                    await _sent(run, member, own, lock=False)
                    for member, own in aggregate.split(keys)
                ]
                await run("COMMIT")
                return await _states(members)
        except psycopg.Error as error:
            raise _translated(error) from error

    async def claim_due(
        self, aggregate: Aggregate[Any], *, limit: int, ladder_s: Sequence[float]
    ) -> Sequence[Due]:
        ladder = list(ladder_s)
        rows = await self._run(sql.claim_due(aggregate), (limit, ladder, ladder))
        return [Due(key, attempts) for key, attempts in rows]

    async def unpublished(self, *, older_than_s: float, limit: int) -> Sequence[StoredEvent]:
        rows = await self._run(sql.UNPUBLISHED, (older_than_s, limit))
        return [_stored_event(row) for row in rows]

    async def keep_outbox(self, *, days_ahead: int, days_kept: int) -> None:
        """Makes the coming days' partitions of the outbox and drops those that are too old, and
        what is too old in the default one."""
        await self._run(sql.KEEP_OUTBOX, (days_ahead, days_kept, days_kept))

    async def publish_again(self, event_ids: Sequence[str]) -> int:
        ids = sorted(event_ids)
        rows = await self._run(sql.PUBLISH_AGAIN, ([shard_of(i) for i in ids], ids))
        return int(rows[0][0])

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


def statements(writes: Writes) -> list[tuple[str, Sequence[Any]]]:
    """What a batch writes: tables in a fixed order, keys sorted, so no two batches deadlock."""
    result: list[tuple[str, Sequence[Any]]] = []
    for kind, changed in sorted(writes.updates.items(), key=lambda item: item[0].table):
        changed = sorted(changed, key=lambda pair: pair[0].id)
        columns = kind.dump_changing([row for row, _ in changed])
        result.append((sql.update(kind), [*columns, [v for _, v in changed], len(changed)]))
    for kind, rows in sorted(writes.inserts.items(), key=lambda item: item[0].table):
        result.append((sql.insert(kind), kind.dump(sorted(rows, key=lambda row: row.id))))
    if writes.guards:
        guards = sorted(writes.guards.items(), key=lambda item: (item[0].kind, item[0].key))
        owners = [owner for _, owner in guards]
        result.append((sql.WRITE_GUARDS, [*_guard_keys([g for g, _ in guards]), owners]))
    if writes.answers:
        answers = sorted(writes.answers.items())
        bodies = [(a.request_hash, a.ok, a.body) for _, a in answers]
        columns = [list(column) for column in zip(*bodies, strict=True)]
        result.append((sql.WRITE_ANSWERS, [*_request_keys([k for k, _ in answers]), *columns]))
    if writes.cursors:
        cursors = sorted(writes.cursors.items())
        moves = [[new for _, (new, _) in cursors], [old for _, (_, old) in cursors]]
        keys = _cursor_keys([key for key, _ in cursors])
        result.append((sql.WRITE_CURSORS, [*keys, *moves, len(cursors)]))
    if writes.messages:
        result.append((sql.WRITE_SEEN, _message_keys(sorted(writes.messages))))
    if writes.events:
        result.append((sql.WRITE_EVENTS, _event_columns(writes.events)))
    return result


def _sharded(keys: Sequence[str]) -> tuple[list[int], list[str]]:
    """Shards and keys, sorted; without keys that are no ids (from outside): nothing has those."""
    found = []
    for key in set(keys):
        with suppress(LookupError):
            found.append((shard_of(key), key))
    found.sort()
    return [shard for shard, _ in found], [key for _, key in found]


def _request_keys(keys: Sequence[RequestKey]) -> list[list[Any]]:
    return [
        [bucket_of(key.request_id) for key in keys],
        [key.scope for key in keys],
        [key.request_id for key in keys],
    ]


def _message_keys(keys: Sequence[MessageKey]) -> list[list[Any]]:
    return [
        [bucket_of(key.message_id) for key in keys],
        [key.consumer for key in keys],
        [key.message_id for key in keys],
    ]


def _cursor_keys(keys: Sequence[CursorKey]) -> list[list[Any]]:
    return [
        [bucket_of(key.aggregate_id) for key in keys],
        [key.consumer for key in keys],
        [key.aggregate_id for key in keys],
    ]


def _guard_keys(guards: Sequence[Guard]) -> list[list[Any]]:
    return [
        [bucket_of(guard.key) for guard in guards],
        [guard.kind for guard in guards],
        [guard.key for guard in guards],
    ]


def _event_columns(events: Sequence[StoredEvent]) -> list[list[Any]]:
    rows = [
        (
            shard_of(e.id), e.occurred_at, e.id, e.type, e.aggregate_id, e.sequence, e.state,
            e.context.business_id, e.context.merchant_id, e.context.order_type, e.context.sub_type,
            e.context.pay_org_no, e.context.traffic.value, e.context.parent_business_id,
            e.traceparent, e.payload, e.published,
        )
        for e in events
    ]  # fmt: skip
    return [list(column) for column in zip(*rows, strict=True)]


def _stored_event(row: tuple[Any, ...]) -> StoredEvent:
    (_, at, id_, type_, aggregate_id, sequence, state, business, merchant, order, sub, org,
     traffic, parent, trace, payload, published) = row  # fmt: skip
    context = Context(business, merchant, order, sub, org, Traffic(traffic), parent)
    return StoredEvent(
        id=id_,
        type=type_,
        aggregate_id=aggregate_id,
        sequence=sequence,
        state=state,
        occurred_at=at,
        context=context,
        traceparent=trace,
        payload=payload,
        published=published,
    )


async def _rows(cursor: psycopg.AsyncCursor[Any] | None) -> list[tuple[Any, ...]]:
    return [] if cursor is None else await cursor.fetchall()


async def _answers(cursor: psycopg.AsyncCursor[Any] | None) -> dict[RequestKey, StoredAnswer]:
    return {
        RequestKey(scope, request_id): StoredAnswer(request_hash, ok, answer)
        for scope, request_id, request_hash, ok, answer in await _rows(cursor)
    }


@dataclass(frozen=True, slots=True)
class _Sent:
    """The queries for one aggregate's states, sent but not yet read."""

    aggregate: Aggregate[Any]
    keys: Sequence[str]
    roots: psycopg.AsyncCursor[Any]
    children: Mapping[str, psycopg.AsyncCursor[Any]]


async def _sent(
    run: Callable[..., Awaitable[psycopg.AsyncCursor[Any]]],
    aggregate: Aggregate[Any],
    keys: Sequence[str],
    *,
    lock: bool,
) -> _Sent:
    sharded = _sharded(keys)
    if lock and aggregate.prelude:
        await run(aggregate.prelude, (sharded[1],))
    roots = await run(sql.load(aggregate.root, lock=lock), sharded)
    children = {
        name: await run(sql.load_children(kind), sharded)
        for name, kind in aggregate.children.items()
    }
    return _Sent(aggregate, keys, roots, children)


async def _states(members: Sequence[_Sent], later: Sequence[_Sent] = ()) -> dict[str, Any]:
    """`later`: asked again, it counts for what was not there at first."""
    states: dict[str, Any] = {}
    for sent in (*later, *members):
        aggregate = sent.aggregate
        found = {root.id: root for root in map(aggregate.root.load, await sent.roots.fetchall())}
        below: dict[str, dict[str, list[Any]]] = {}
        for name, cursor in sent.children.items():
            kind = aggregate.children[name]
            for child in map(kind.load, await cursor.fetchall()):
                of = below.setdefault(getattr(child, cast(str, kind.parent)), {})
                of.setdefault(name, []).append(child)
        states |= {
            key: aggregate.build(found.get(key), below.get(key, {}))
            for key in sent.keys
            if key in found or key not in states
        }
    return states
