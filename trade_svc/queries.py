"""Reading lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine

from paymesh.chains import found
from paymesh.errors import Unavailable
from paymesh.ids import bucket_of, shard_of
from trade_svc.business_codes import BusinessCode
from trade_svc.model import Shut
from trade_svc.store import (
    BUSINESS_CODE,
    BUSINESS_CODE_TABLE,
    MERCHANT_TABLE,
    REFUND_TABLE,
    TRADE_TABLE,
)

Place = tuple[str, str, str]
"""Where a code stands among its merchant's: order_type, sub_type, pay_org_no."""


def place_of(code: BusinessCode) -> Place:
    return (code.context.order_type, code.context.sub_type, code.context.pay_org_no)


class RegisteredCodes:
    """Business codes from the table. Raises Unavailable when the database does not answer."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def of_merchant(
        self, merchant_id: str, *, after: Place | None, limit: int
    ) -> Sequence[BusinessCode]:
        """At most `limit`, by their place, behind `after`."""
        c = BUSINESS_CODE_TABLE.c
        place = sa.tuple_(c.order_type, c.sub_type, c.pay_org_no)
        query = sa.select(BUSINESS_CODE_TABLE).where(
            c.shard_key == bucket_of(merchant_id), c.merchant_id == merchant_id
        )
        if after is not None:
            query = query.where(place > sa.tuple_(*after))
        query = query.order_by(c.order_type, c.sub_type, c.pay_org_no).limit(limit)
        return [BUSINESS_CODE.load(row) for row in await _rows(self._engine, query)]


async def shut_merchants(engine: AsyncEngine) -> Shut:
    """All of them. Raises Unavailable when the database does not answer."""
    c = MERCHANT_TABLE.c
    rows = await _rows(engine, sa.select(c.id, c.shut).where(sa.text("shut <> '[]'::jsonb")))
    return frozenset((id_, currency) for id_, shut in rows for currency in shut)


async def chain_of_merchant(engine: AsyncEngine, business_id: str, merchant_id: str) -> bool:
    """Whether a chain is one of this merchant's. Raises Unavailable."""
    own = [
        sa.select(table.c.id).where(
            table.c.business_id == business_id, table.c.merchant_id == merchant_id, *narrow
        )
        for table, narrow in (
            (TRADE_TABLE, ()),
            (REFUND_TABLE, ()),
            (BUSINESS_CODE_TABLE, (BUSINESS_CODE_TABLE.c.shard_key == bucket_of(merchant_id),)),
            (
                MERCHANT_TABLE,
                (
                    MERCHANT_TABLE.c.shard_key == shard_of(merchant_id),
                    MERCHANT_TABLE.c.id == merchant_id,
                ),
            ),
        )
    ]
    return await found(engine, *own)


async def _rows(engine: AsyncEngine, query: sa.Select[Any]) -> list[tuple[Any, ...]]:
    try:
        async with engine.connect() as connection:
            return [tuple(row) for row in await connection.execute(query)]
    except (DBAPIError, PoolTimeout) as error:
        raise Unavailable("the database does not answer") from error
