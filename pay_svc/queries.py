"""Reading beneficiaries back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from pay_svc.beneficiaries.domain import Beneficiary, BeneficiaryState
from pay_svc.store import BENEFICIARY, BENEFICIARY_TABLE, PAYMENT_TABLE
from paymesh.chains import found
from paymesh.db.reading import rows
from paymesh.ids import bucket_of


class Beneficiaries:
    """Beneficiaries from their table. Raises Unavailable when the database does not answer."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def of_owner(
        self,
        owner_id: str,
        *,
        merchant_id: str,
        after: tuple[datetime, str] | None,
        limit: int,
    ) -> Sequence[Beneficiary]:
        """At most `limit` active ones, oldest first, behind `after` (created_at, id)."""
        table = BENEFICIARY_TABLE
        query = sa.select(table).where(
            table.c.shard_key == bucket_of(owner_id),
            table.c.owner_id == owner_id,
            table.c.merchant_id == merchant_id,
            table.c.state == BeneficiaryState.ACTIVE.value,
        )
        if after is not None:
            query = query.where(sa.tuple_(table.c.created_at, table.c.id) > sa.tuple_(*after))
        query = query.order_by(table.c.created_at, table.c.id).limit(limit)
        return [BENEFICIARY.load(row) for row in await rows(self._engine, query)]


async def chain_of_merchant(engine: AsyncEngine, business_id: str, merchant_id: str) -> bool:
    """Whether a chain is one of this merchant's. Raises Unavailable."""
    own = [
        sa.select(table.c.id).where(
            table.c.business_id == business_id, table.c.merchant_id == merchant_id
        )
        for table in (BENEFICIARY_TABLE, PAYMENT_TABLE)
    ]
    return await found(engine, *own)
