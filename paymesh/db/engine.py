"""Engines. In autocommit: whoever wants a transaction says BEGIN (see paymesh.store.postgres)."""

from __future__ import annotations

from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

CONNECT_OPTIONS = (
    "-c statement_timeout=5000 -c lock_timeout=2000 -c idle_in_transaction_session_timeout=10000"
)


def create_engine(url: str, *, pool: int) -> AsyncEngine:
    """An engine with exactly `pool` connections at most; waits 3 s for one, then refuses."""
    return create_async_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        isolation_level="AUTOCOMMIT",
        pool_size=pool,
        max_overflow=0,
        pool_timeout=3,
        pool_recycle=1800,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": 3,
            "tcp_user_timeout": 10000,
            "options": CONNECT_OPTIONS,
            "prepare_threshold": 1,
        },
    )
