"""What a batch writes and asks for, as statements with a column an array."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from paymesh.core import Guard
from paymesh.ids import bucket_of, shard_of
from paymesh.store import sql
from paymesh.store.port import (
    CursorKey,
    MessageKey,
    RequestKey,
    StoredEvent,
    Writes,
)


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
        result.append((sql.WRITE_GUARDS, [*guard_keys([g for g, _ in guards]), owners]))
    if writes.answers:
        answers = sorted(writes.answers.items())
        bodies = [(a.request_hash, a.ok, a.body) for _, a in answers]
        columns = [list(column) for column in zip(*bodies, strict=True)]
        result.append((sql.WRITE_ANSWERS, [*request_keys([k for k, _ in answers]), *columns]))
    if writes.cursors:
        cursors = sorted(writes.cursors.items())
        moves = [[new for _, (new, _) in cursors], [old for _, (_, old) in cursors]]
        keys = cursor_keys([key for key, _ in cursors])
        result.append((sql.WRITE_CURSORS, [*keys, *moves, len(cursors)]))
    if writes.messages:
        result.append((sql.WRITE_SEEN, message_keys(sorted(writes.messages))))
    if writes.events:
        result.append((sql.WRITE_EVENTS, _event_columns(writes.events)))
    return result


def sharded(keys: Sequence[str]) -> tuple[list[int], list[str]]:
    """Shards and keys, sorted; without keys that are no ids (from outside): nothing has those."""
    found = []
    for key in set(keys):
        with suppress(LookupError):
            found.append((shard_of(key), key))
    found.sort()
    return [shard for shard, _ in found], [key for _, key in found]


def request_keys(keys: Sequence[RequestKey]) -> list[list[Any]]:
    return [
        [bucket_of(key.request_id) for key in keys],
        [key.scope for key in keys],
        [key.request_id for key in keys],
    ]


def message_keys(keys: Sequence[MessageKey]) -> list[list[Any]]:
    return [
        [bucket_of(key.message_id) for key in keys],
        [key.consumer for key in keys],
        [key.message_id for key in keys],
    ]


def cursor_keys(keys: Sequence[CursorKey]) -> list[list[Any]]:
    return [
        [bucket_of(key.aggregate_id) for key in keys],
        [key.consumer for key in keys],
        [key.aggregate_id for key in keys],
    ]


def guard_keys(guards: Sequence[Guard]) -> list[list[Any]]:
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
