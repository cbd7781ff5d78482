"""Reading journals back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from clearing_svc.ledger.domain import Entry, Journal
from clearing_svc.store import ENTRY, ENTRY_TABLE, JOURNAL, JOURNAL_TABLE
from paymesh.errors import Unavailable
from paymesh.ids import shard_of

Posting = tuple[Journal, tuple[Entry, ...]]
"""A journal with its entries in the order of their lines."""


class Journals:
    """Journals from the tables. Raises Unavailable when the database does not answer."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def by_id(self, journal_id: str) -> Posting | None:
        table = JOURNAL_TABLE
        found = await self._find(
            sa.select(table).where(
                table.c.shard_key == shard_of(journal_id), table.c.id == journal_id
            )
        )
        return found[0] if found else None

    async def of_chain(
        self, business_id: str, *, after: tuple[datetime, str] | None, limit: int
    ) -> Sequence[Posting]:
        """At most `limit`, oldest first, behind `after` (posted_at, id)."""
        table = JOURNAL_TABLE
        query = sa.select(table).where(table.c.business_id == business_id)
        if after is not None:
            query = query.where(sa.tuple_(table.c.posted_at, table.c.id) > sa.tuple_(*after))
        return await self._find(query.order_by(table.c.posted_at, table.c.id).limit(limit))

    async def _find(self, query: sa.Select[tuple[object, ...]]) -> Sequence[Posting]:
        try:
            async with self._engine.connect() as connection:
                journals = [JOURNAL.load(tuple(row)) for row in await connection.execute(query)]
                entries = await _entries(connection, [journal.id for journal in journals])
        except (DBAPIError, PoolTimeout) as error:
            raise Unavailable("the database does not answer") from error
        return [(journal, tuple(entries[journal.id])) for journal in journals]


async def _entries(
    connection: AsyncConnection, journal_ids: Sequence[str]
) -> dict[str, list[Entry]]:
    """By journal, in the order of their lines. Journals never change: no snapshot is needed."""
    found: dict[str, list[Entry]] = {journal_id: [] for journal_id in journal_ids}
    if not journal_ids:
        return found
    table = ENTRY_TABLE
    query = sa.select(table).where(table.c.journal_id.in_(journal_ids)).order_by(table.c.line)
    for row in await connection.execute(query):
        entry = ENTRY.load(tuple(row))
        found[entry.journal_id].append(entry)
    return found
