"""Queries that are no part of a decision."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine

from paymesh.errors import Unavailable


async def rows(engine: AsyncEngine, query: sa.Select[Any]) -> list[tuple[Any, ...]]:
    """All rows, as tuples. Raises Unavailable when the database does not answer."""
    try:
        async with engine.connect() as connection:
            return [tuple(row) for row in await connection.execute(query)]
    except (DBAPIError, PoolTimeout) as error:
        raise Unavailable("the database does not answer") from error
