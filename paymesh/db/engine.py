"""Engines. In autocommit: whoever wants a transaction says BEGIN (see paymesh.store.postgres)."""

from __future__ import annotations

import select
from typing import Any

import psycopg
from sqlalchemy import event
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from paymesh.db.arrays import ArrayDumper
from paymesh.db.session import arguments

SERVICE_OPTIONS = (
    "-c statement_timeout=5000 -c lock_timeout=2000 -c idle_in_transaction_session_timeout=10000 "
    "-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off"
)
"""What is asked by key is found by an index, also while the planner takes the tables for empty; see
docs/adr/0020. Who reads much begins with ANY_PLAN."""
ANY_PLAN = (
    "SELECT set_config('enable_seqscan', 'on', true), set_config('enable_hashjoin', 'on', true), "
    "set_config('enable_mergejoin', 'on', true)"
)
"""For the rest of a transaction."""


def create_engine(url: str, *, pool: int) -> AsyncEngine:
    """An engine with exactly `pool` connections at most; waits 3 s for one, then refuses."""
    engine = create_async_engine(
        "postgresql+psycopg://",
        hide_parameters=True,
        isolation_level="AUTOCOMMIT",
        pool_size=pool,
        max_overflow=0,
        pool_timeout=3,
        pool_recycle=1800,
        connect_args={
            **arguments(url, options=SERVICE_OPTIONS),
            "connect_timeout": 3,
            "tcp_user_timeout": 10000,
            "prepare_threshold": 1,
        },
    )

    @event.listens_for(engine.sync_engine, "connect")
    def adapt(connection: Any, record: Any) -> None:
        connection.driver_connection.adapters.register_dumper(list, ArrayDumper)
        record.info["new"] = True

    @event.listens_for(engine.sync_engine, "checkout")
    def require_alive(connection: Any, record: Any, proxy: object) -> None:
        new = record.info.pop("new", False)
        if _is_alive(connection.driver_connection):
            return
        if new:  # another one would not be better: the server is going away
            raise psycopg.OperationalError("the server has closed a connection that was new")
        raise InvalidatePoolError("the server has closed the connection")

    return engine


def _is_alive(connection: psycopg.AsyncConnection[Any]) -> bool:
    """Whether the server has said nothing since the last statement: its last words are an error, or
    that it hangs up. To ask it would be a round trip before every transaction."""
    try:
        socket = connection.fileno()
    except psycopg.OperationalError:
        return False
    poller = select.poll()
    poller.register(socket, select.POLLIN)
    return not poller.poll(0)
