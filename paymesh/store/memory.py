"""The store in memory: the same promises on dictionaries, for simulations and quick tests.

One transaction runs at a time. Rows are frozen, so a snapshot is a shallow copy and a rollback is
to forget it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from paymesh.clock import Clock
from paymesh.core import Guard
from paymesh.failpoint import failpoint
from paymesh.store.port import (
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
    Writes,
)
from paymesh.store.rowtypes import Aggregate, AggregateSet, RowType


class MemoryStore:
    """The store port over dictionaries. `clock` is the database's time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = asyncio.Lock()
        self.tables: dict[RowType[Any], dict[str, Any]] = {}
        self.answers: dict[RequestKey, StoredAnswer] = {}
        self.seen: set[MessageKey] = set()
        self.guards: dict[Guard, str] = {}
        self.cursors: dict[CursorKey, int] = {}
        self.events: list[StoredEvent] = []
        self.due: dict[str, datetime] = {}

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[MemoryTransaction]:
        async with self._lock:
            yield MemoryTransaction(self, self._clock.now())

    async def load(
        self, aggregate: Aggregate[Any] | AggregateSet[Any], keys: Sequence[str]
    ) -> Mapping[str, Any]:
        return self.states(aggregate, keys)

    def states(
        self, aggregate: Aggregate[Any] | AggregateSet[Any], keys: Sequence[str]
    ) -> dict[str, Any]:
        return {
            key: self.state(member, key) for member, own in aggregate.split(keys) for key in own
        }

    def state(self, aggregate: Aggregate[Any], key: str) -> Any:
        children = {
            name: [
                row
                for _, row in sorted(self.tables.get(kind, {}).items())
                if getattr(row, str(kind.parent)) == key
            ]
            for name, kind in aggregate.children.items()
        }
        return aggregate.build(self.tables.get(aggregate.root, {}).get(key), children)

    async def claim_due(
        self, aggregate: Aggregate[Any], *, limit: int, ladder_s: Sequence[float]
    ) -> Sequence[Due]:
        async with self._lock:
            now, found = self._clock.now(), []
            table = self.tables.get(aggregate.root, {})
            due = [r for r in table.values() if r.next_action_at and r.next_action_at <= now]
            for row in sorted(due, key=lambda row: row.next_action_at)[:limit]:
                wait = ladder_s[min(row.action_attempts, len(ladder_s) - 1)]
                next_at = now + timedelta(seconds=wait)
                deadline = getattr(row, aggregate.deadline) if aggregate.deadline else None
                if deadline is not None and deadline > now:
                    next_at = min(next_at, deadline)
                table[row.id] = replace(
                    row,
                    next_action_at=next_at,
                    action_attempts=row.action_attempts + 1,
                )
                found.append(Due(row.id, row.action_attempts))
            return found

    async def unpublished(self, *, older_than_s: float, limit: int) -> Sequence[StoredEvent]:
        async with self._lock:
            now = self._clock.now()
            limit_at = now - timedelta(seconds=older_than_s)
            ids = sorted((at, i) for i, at in self.due.items() if at < limit_at)[:limit]
            for _, event_id in ids:
                self.due[event_id] = now + timedelta(seconds=30)
            wanted = {event_id for _, event_id in ids}
            found = [event for event in self.events if event.id in wanted]
            return sorted(found, key=lambda event: (event.occurred_at, event.id))

    async def keep_outbox(self, *, days_ahead: int, days_kept: int) -> None:
        """Memory has no partitions."""

    async def publish_again(self, event_ids: Sequence[str]) -> int:
        async with self._lock:
            found = [e for e in self.events if e.id in set(event_ids) and e.published]
            for event in found:
                self.due.setdefault(event.id, event.occurred_at)
            return len(found)

    async def confirm(self, event_ids: Sequence[str]) -> None:
        async with self._lock:
            for event_id in event_ids:
                self.due.pop(event_id, None)


class MemoryTransaction:
    def __init__(self, store: MemoryStore, at: datetime) -> None:
        self._store, self._at = store, at

    async def read(self, aggregate: Aggregate[Any] | AggregateSet[Any], reads: Reads) -> Loaded:
        store = self._store
        return Loaded(
            at=self._at,
            states=store.states(aggregate, reads.keys),
            peeked=store.states(aggregate, reads.peeks),
            answers={key: store.answers[key] for key in reads.requests if key in store.answers},
            seen=frozenset(key for key in reads.messages if key in store.seen),
            taken={g: store.guards[g] for g in reads.guards if g in store.guards}
            | {
                guard: getattr(row, kind.guard[1])
                for kind, guards in reads.records.items()
                for guard in guards
                if kind.guard and (row := store.tables.get(kind, {}).get(guard.key)) is not None
            },
            cursors={key: store.cursors[key] for key in reads.cursors if key in store.cursors},
        )

    async def commit(self, writes: Writes) -> None:
        failpoint("shell.before_commit")
        store = self._store
        tables = {kind: dict(rows) for kind, rows in store.tables.items()}
        for kind, changed in writes.updates.items():
            for row, expected in changed:
                old = tables.get(kind, {}).get(row.id)
                if old is None or old.version != expected:
                    raise Conflict(f"{row.id} is not at version {expected}")
                tables[kind][row.id] = row
        for kind, rows in writes.inserts.items():
            table = tables.setdefault(kind, {})
            for row in rows:
                if row.id in table:
                    raise Conflict(f"{row.id} exists")
                table[row.id] = row
        for kind in {*writes.updates, *writes.inserts}:
            _check(kind, list(tables[kind].values()))
        taken: list[object] = [key for key in writes.answers if key in store.answers]
        taken += [key for key in writes.messages if key in store.seen]
        taken += [guard for guard in writes.guards if guard in store.guards]
        if taken or len(set(writes.messages)) < len(writes.messages):
            raise Conflict(f"taken: {taken}")
        for cursor, (_, expected) in writes.cursors.items():
            if store.cursors.get(cursor, 0) != expected:
                raise Conflict(f"{cursor} is not at {expected}")
        store.tables = tables
        store.answers.update(writes.answers)
        store.seen.update(writes.messages)
        store.guards.update(writes.guards)
        store.cursors.update({key: new for key, (new, _) in writes.cursors.items()})
        store.events.extend(writes.events)
        store.due.update({e.id: e.occurred_at for e in writes.events if e.published})
        failpoint("shell.after_commit")


def _check(kind: RowType[Any], rows: list[Any]) -> None:
    """CHECK constraints and unique keys, as the database would."""
    if kind.check is not None and not all(map(kind.check, rows)):
        raise Rejected(f"a row of {kind.table} breaks its CHECK")
    for fields in kind.unique:
        keys = [tuple(getattr(row, name) for name in fields) for row in rows]
        if len(set(keys)) < len(keys):
            raise Conflict(f"{kind.table}: {fields} is not unique")
