"""What a transaction reads: rows of aggregates that are sent for together, and what they become."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import psycopg

from paymesh.context import Context, Traffic
from paymesh.store import sql
from paymesh.store.columns import sharded
from paymesh.store.port import (
    RequestKey,
    StoredAnswer,
    StoredEvent,
)
from paymesh.store.rowtypes import Aggregate


def stored_event(row: tuple[Any, ...]) -> StoredEvent:
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


async def rows(cursor: psycopg.AsyncCursor[Any] | None) -> list[tuple[Any, ...]]:
    return [] if cursor is None else await cursor.fetchall()


async def answers_of(cursor: psycopg.AsyncCursor[Any] | None) -> dict[RequestKey, StoredAnswer]:
    return {
        RequestKey(scope, request_id): StoredAnswer(request_hash, ok, answer)
        for scope, request_id, request_hash, ok, answer in await rows(cursor)
    }


@dataclass(frozen=True, slots=True)
class _Sent:
    """The queries for one aggregate's states, sent but not yet read."""

    aggregate: Aggregate[Any]
    keys: Sequence[str]
    roots: psycopg.AsyncCursor[Any]
    children: Mapping[str, psycopg.AsyncCursor[Any]]


async def sent(
    run: Callable[..., Awaitable[psycopg.AsyncCursor[Any]]],
    aggregate: Aggregate[Any],
    keys: Sequence[str],
    *,
    lock: bool,
) -> _Sent:
    at = sharded(keys)
    if lock and aggregate.prelude:
        await run(aggregate.prelude, (at[1],))
    roots = await run(sql.load(aggregate.root, lock=lock), at)
    children = {
        name: await run(sql.load_children(kind), at) for name, kind in aggregate.children.items()
    }
    return _Sent(aggregate, keys, roots, children)


async def states_of(members: Sequence[_Sent], later: Sequence[_Sent] = ()) -> dict[str, Any]:
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
