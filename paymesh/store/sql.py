"""SQL made once per table: set-based, over unnest arrays, with counts asserted inside.

A failed count divides by zero (22012) and so aborts the whole transaction: in a pipeline a row
count would be seen only after COMMIT was sent.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from paymesh.store.rowtypes import Aggregate, RowType


def _unnest(names: list[str], types: list[str]) -> str:
    """`unnest(...) AS v(...)`: one array parameter per column; jsonb travels as text."""
    arrays = ", ".join(f"%s::{'text' if t == 'jsonb' else t}[]" for t in types)
    return f"unnest({arrays}) AS v({', '.join(names)})"


@cache
def insert(kind: RowType[Any]) -> str:
    names = kind.names
    values = ", ".join(f"v.{c.name}::jsonb" if c.type == "jsonb" else f"v.{c.name}"
                       for c in kind.columns)  # fmt: skip
    source = _unnest(names, [c.type for c in kind.columns])
    return f"INSERT INTO {kind.table} ({', '.join(names)}) SELECT {values} FROM {source}"


@cache
def update(kind: RowType[Any]) -> str:
    """Parameters: arrays of shard keys, ids, what may change, expected versions; the count."""
    assignments = ", ".join(
        f"{c.name} = v.{c.name}::jsonb" if c.type == "jsonb" else f"{c.name} = v.{c.name}"
        for c in kind.changing
    )
    columns = [*kind.columns[:2], *kind.changing]
    source = _unnest(
        [*(c.name for c in columns), "expected_version"], [*(c.type for c in columns), "bigint"]
    )
    return (
        f"WITH u AS (UPDATE {kind.table} t SET {assignments} FROM {source} "
        "WHERE t.shard_key = v.shard_key AND t.id = v.id AND t.version = v.expected_version "
        "RETURNING 1) SELECT 1 / (count(*) = %s)::int FROM u"
    )


@cache
def load(kind: RowType[Any], *, lock: bool) -> str:
    """Rows by (shard_key, id), in key order. Parameters: shard keys, ids."""
    columns = ", ".join(f"t.{name}" for name in kind.names)
    return (
        f"SELECT {columns} FROM {kind.table} t "
        "JOIN unnest(%s::smallint[], %s::text[]) AS k(shard_key, id) "
        "ON t.shard_key = k.shard_key AND t.id = k.id ORDER BY t.shard_key, t.id"
        + (" FOR NO KEY UPDATE OF t" if lock else "")
    )


@cache
def load_children(kind: RowType[Any]) -> str:
    """Rows by (shard_key, parent), in id order. Parameters: shard keys, parents' ids."""
    columns = ", ".join(f"t.{name}" for name in kind.names)
    return (
        f"SELECT {columns} FROM {kind.table} t "
        "JOIN unnest(%s::smallint[], %s::text[]) AS k(shard_key, parent) "
        f"ON t.shard_key = k.shard_key AND t.{kind.parent} = k.parent ORDER BY t.id"
    )


@cache
def claim_due(aggregate: Aggregate[Any]) -> str:
    """Parameters: limit, ladder in seconds (twice). Returns (id, attempts before this one)."""
    table = aggregate.root.table
    rung = (
        "now() + make_interval(secs => (%s::float8[])[least(t.action_attempts + 1, "
        "cardinality(%s::float8[]))])"
    )
    if aggregate.deadline:
        at = f"t.{aggregate.deadline}"
        rung = f"least({rung}, CASE WHEN {at} > now() THEN {at} END)"
    return (
        f"WITH d AS (SELECT shard_key, id FROM {table} WHERE next_action_at <= now() "
        "ORDER BY next_action_at LIMIT %s FOR NO KEY UPDATE SKIP LOCKED) "
        f"UPDATE {table} t SET action_attempts = t.action_attempts + 1, next_action_at = {rung} "
        "FROM d WHERE t.shard_key = d.shard_key AND t.id = d.id "
        "RETURNING t.id, t.action_attempts - 1"
    )


READ_ANSWERS = (
    "SELECT t.scope, t.request_id, t.request_hash, t.ok, t.answer FROM request_answer t "
    "JOIN unnest(%s::smallint[], %s::text[], %s::text[]) AS k(shard_key, scope, request_id) "
    "ON t.shard_key = k.shard_key AND t.scope = k.scope AND t.request_id = k.request_id"
)
READ_SEEN = (
    "SELECT t.consumer, t.message_id FROM inbox t "
    "JOIN unnest(%s::smallint[], %s::text[], %s::text[]) AS k(shard_key, consumer, message_id) "
    "ON t.shard_key = k.shard_key AND t.consumer = k.consumer AND t.message_id = k.message_id"
)
READ_GUARDS = (
    "SELECT t.kind, t.key, t.owner_id FROM guard t "
    "JOIN unnest(%s::smallint[], %s::text[], %s::text[]) AS k(shard_key, kind, key) "
    "ON t.shard_key = k.shard_key AND t.kind = k.kind AND t.key = k.key"
)


@cache
def read_record_guards(kind: RowType[Any]) -> str:
    """Who holds the names that records have taken. Parameters: shard keys, ids."""
    assert kind.guard is not None, f"a {kind.table} guards no name"
    return (
        f"SELECT t.id, t.{kind.guard[1]} FROM {kind.table} t "
        "JOIN unnest(%s::smallint[], %s::text[]) AS k(shard_key, id) "
        "ON t.shard_key = k.shard_key AND t.id = k.id"
    )


READ_CURSORS = (
    "SELECT t.consumer, t.aggregate_id, t.sequence FROM inbox_cursor t "
    "JOIN unnest(%s::smallint[], %s::text[], %s::text[]) AS k(shard_key, consumer, aggregate_id) "
    "ON t.shard_key = k.shard_key AND t.consumer = k.consumer AND t.aggregate_id = k.aggregate_id"
)
WRITE_CURSORS = (
    "WITH v AS (SELECT * FROM unnest(%s::smallint[], %s::text[], %s::text[], %s::bigint[], "
    "%s::bigint[]) AS v(shard_key, consumer, aggregate_id, sequence, expected)), "
    "u AS (UPDATE inbox_cursor t SET sequence = v.sequence FROM v WHERE v.expected > 0 "
    "AND t.shard_key = v.shard_key AND t.consumer = v.consumer "
    "AND t.aggregate_id = v.aggregate_id AND t.sequence = v.expected RETURNING 1), "
    "i AS (INSERT INTO inbox_cursor SELECT shard_key, consumer, aggregate_id, sequence FROM v "
    "WHERE expected = 0 RETURNING 1) "
    "SELECT 1 / ((SELECT count(*) FROM u) + (SELECT count(*) FROM i) = %s)::int"
)
WRITE_ANSWERS = (
    "INSERT INTO request_answer (shard_key, scope, request_id, request_hash, ok, answer) "
    "SELECT * FROM unnest(%s::smallint[], %s::text[], %s::text[], %s::bytea[], %s::boolean[], "
    "%s::bytea[])"
)
WRITE_SEEN = (
    "INSERT INTO inbox (shard_key, consumer, message_id) "
    "SELECT * FROM unnest(%s::smallint[], %s::text[], %s::text[])"
)
WRITE_GUARDS = (
    "INSERT INTO guard (shard_key, kind, key, owner_id) "
    "SELECT * FROM unnest(%s::smallint[], %s::text[], %s::text[], %s::text[])"
)
_OUTBOX_COLUMNS = (
    "shard_key, occurred_at, event_id, type, aggregate_id, sequence, state, business_id, "
    "merchant_id, order_type, sub_type, pay_org_no, traffic, parent_business_id, traceparent, "
    "payload, published"
)
WRITE_EVENTS = (
    f"WITH o AS (INSERT INTO outbox ({_OUTBOX_COLUMNS}) SELECT * FROM unnest(%s::smallint[], "
    "%s::timestamptz[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::text[], %s::text[], "
    "%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], "
    "%s::bytea[], %s::boolean[]) RETURNING shard_key, event_id, occurred_at, published) "
    "INSERT INTO outbox_due (shard_key, event_id, occurred_at, due_at) "
    "SELECT shard_key, event_id, occurred_at, occurred_at FROM o WHERE published"
)
UNPUBLISHED = (
    "WITH d AS (SELECT shard_key, event_id, occurred_at FROM outbox_due "
    "WHERE due_at < now() - make_interval(secs => %s) ORDER BY due_at LIMIT %s "
    "FOR UPDATE SKIP LOCKED), "
    "u AS (UPDATE outbox_due t SET due_at = now() + interval '30 seconds' FROM d "
    "WHERE t.shard_key = d.shard_key AND t.event_id = d.event_id) "
    f"SELECT o.{_OUTBOX_COLUMNS.replace(', ', ', o.')} FROM outbox o JOIN d "
    "ON o.shard_key = d.shard_key AND o.occurred_at = d.occurred_at AND o.event_id = d.event_id "
    "ORDER BY o.occurred_at, o.event_id"
)
KEEP_OUTBOX = "SELECT outbox_partitions(%s, %s), outbox_default_pruned(%s, 100000)"
PUBLISH_AGAIN = (
    "WITH e AS (SELECT o.shard_key, o.event_id, o.occurred_at FROM outbox o "
    "JOIN unnest(%s::smallint[], %s::text[]) AS k(shard_key, event_id) "
    "ON o.shard_key = k.shard_key AND o.event_id = k.event_id WHERE o.published), "
    "i AS (INSERT INTO outbox_due (shard_key, event_id, occurred_at, due_at) "
    "SELECT shard_key, event_id, occurred_at, occurred_at FROM e ON CONFLICT DO NOTHING) "
    "SELECT count(*) FROM e"
)
CONFIRM = (
    "DELETE FROM outbox_due t USING unnest(%s::smallint[], %s::text[]) AS k(shard_key, event_id) "
    "WHERE t.shard_key = k.shard_key AND t.event_id = k.event_id"
)
