"""Whose chain it is: at the edge only who began one goes on with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from paymesh.context import Context
from paymesh.db.reading import rows
from paymesh.errors import NotFound

Look = Callable[[str, str], Awaitable[bool]]
"""Whether a business_id is found in a merchant's own rows."""


async def require_own_chain(look: Look, context: Context, merchant_id: str) -> None:
    """Raises NotFound for a business_id that no row of this merchant's has; none begins one."""
    if context.business_id and not await look(context.business_id, merchant_id):
        raise NotFound(
            f"no chain {context.business_id} of this merchant's; an empty one begins a chain",
            metadata={"field": "business_id"},
        )


async def found(engine: AsyncEngine, *wanted: sa.Select[tuple[str]]) -> bool:
    """Whether any of them finds a row. Raises Unavailable when the database does not answer."""
    [(any_,)] = await rows(engine, sa.select(sa.or_(*(sa.exists(one) for one in wanted))))
    return bool(any_)
