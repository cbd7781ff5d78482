"""Reading lists."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from paymesh.chains import found
from paymesh.db.reading import rows
from paymesh.ids import bucket_of, shard_of
from trade_svc.merchants.business_codes import BusinessCode
from trade_svc.store import (
    BUSINESS_CODE,
    BUSINESS_CODE_TABLE,
    MERCHANT_TABLE,
    REFUND_TABLE,
    TRADE_TABLE,
)
from trade_svc.trades.model import Shut

CodeKey = tuple[str, str, str]
"""Where a code stands among its merchant's: order_type, sub_type, pay_org_no."""


def key_of(code: BusinessCode) -> CodeKey:
    return (code.context.order_type, code.context.sub_type, code.context.pay_org_no)


class RegisteredCodes:
    """Business codes from the table. Raises Unavailable when the database does not answer."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def of_merchant(
        self, merchant_id: str, *, after: CodeKey | None, limit: int
    ) -> Sequence[BusinessCode]:
        """At most `limit`, by their key, behind `after`."""
        c = BUSINESS_CODE_TABLE.c
        key = sa.tuple_(c.order_type, c.sub_type, c.pay_org_no)
        query = sa.select(BUSINESS_CODE_TABLE).where(
            c.shard_key == bucket_of(merchant_id), c.merchant_id == merchant_id
        )
        if after is not None:
            query = query.where(key > sa.tuple_(*after))
        query = query.order_by(c.order_type, c.sub_type, c.pay_org_no).limit(limit)
        return [BUSINESS_CODE.load(row) for row in await rows(self._engine, query)]


async def shut_merchants(engine: AsyncEngine) -> Shut:
    """All of them. Raises Unavailable when the database does not answer."""
    c = MERCHANT_TABLE.c
    query = sa.select(c.id, c.shut).where(sa.text("shut <> '[]'::jsonb"))
    return frozenset(
        (id_, currency) for id_, shut in await rows(engine, query) for currency in shut
    )


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
