"""Notifications that nobody took for a day, for who decides about them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import psycopg

from paymesh.clock import SystemClock
from paymesh.context import Call, Context
from paymesh.db.engine import create_engine
from paymesh.db.session import arguments
from paymesh.errors import PaymentError
from paymesh.items import Item
from paymesh.shell import Shell
from paymesh.store.port import StoredEvent
from paymesh.store.postgres import PostgresStore
from paymesh_ops.dlq.parked import Parked
from trade_svc import wire
from trade_svc.notifications.domain import DecideDead, NotificationState, StreamView, decide_dead
from trade_svc.store import STREAMS

NOTIFICATIONS = "notifications"
"""In place of a queue."""
DECIDES_WITHIN_S = 30.0


def notifications(url: str) -> Iterator[Parked]:
    """Those that are DEAD, oldest first. `url`: of the trade core's database, as its own role."""
    with psycopg.connect(**arguments(url)) as connection:
        rows = connection.execute(_DEAD).fetchall()
    for id_, stream_id, business_id, merchant_id, body, error, version, created in rows:
        context = Context(business_id=business_id, merchant_id=merchant_id)
        of = partial(DecideDead, stream_id, id_, context)
        yield Parked(
            queue=NOTIFICATIONS,
            id=id_,
            event_ids=(),
            types=("notification",),
            business_ids=(business_id,),
            reason=error,
            attempts=version - 1,
            since=created,
            body=body.encode(),
            replay=partial(_decide, url, of(NotificationState.PENDING, "")),
            drop=partial(_drop, url, of),
        )


def _drop(url: str, of: Callable[..., DecideDead], why: str) -> None:
    _decide(url, of(NotificationState.CANCELLED, why))


def depth(url: str) -> int:
    with psycopg.connect(**arguments(url)) as connection:
        row = connection.execute(
            "SELECT count(*) FROM notification WHERE state = 'DEAD'"
        ).fetchone()
    return int(row[0]) if row else 0


def _decide(url: str, command: DecideDead) -> None:
    """By the trade core's own rule. Raises PaymentError."""
    asyncio.run(_decided(url, command))


@dataclass(frozen=True, slots=True)
class _Nobody:
    """A notification's events are history: nobody is told of them."""

    def offer(self, events: Sequence[StoredEvent]) -> None:
        return None


async def _decided(url: str, command: DecideDead) -> None:
    engine, clock = create_engine(url, pool=1), SystemClock()
    try:
        shell: Shell[StreamView] = Shell(
            store=PostgresStore(engine),
            aggregate=STREAMS,
            rules={DecideDead: decide_dead},
            encode=wire.encode,
            clock=clock,
            publisher=_Nobody(),
        )
        call = Call(command.context, deadline=clock.monotonic() + DECIDES_WITHIN_S)
        [outcome] = await shell.process([Item(command, call)])
    finally:
        await engine.dispose()
    if isinstance(outcome, PaymentError):
        raise outcome


_DEPTH = "SELECT count(*) FROM notification WHERE state = 'DEAD'"
_DEAD = """
    SELECT id, stream_id, business_id, merchant_id, body, last_error, version, created_at
    FROM notification WHERE state = 'DEAD' ORDER BY created_at, id
"""
