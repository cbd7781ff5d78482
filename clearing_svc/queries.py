"""Reading journals and accounts back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from clearing_svc.ledger.accounts import Account
from clearing_svc.ledger.chart import Side
from clearing_svc.ledger.domain import Entry, Journal
from clearing_svc.ledger.drafts import entry_id_of
from clearing_svc.store import (
    ACCOUNT,
    ACCOUNT_TABLE,
    DELTA_TABLE,
    ENTRY_TABLE,
    JOURNAL,
    JOURNAL_TABLE,
)
from paymesh.db.reading import rows
from paymesh.ids import shard_of
from paymesh.money import Money

Posting = tuple[Journal, tuple[Entry, ...]]
"""A journal with its entries in the order of their lines."""


class Books:
    """What is in the books. Raises Unavailable when the database does not answer."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def account(self, account_id: str) -> Account | None:
        """As it is now, with what is buffered: one query, so exact at one moment."""
        a, d = ACCOUNT_TABLE.c, DELTA_TABLE.c
        buffered = (
            sa.select(sa.func.coalesce(sa.func.sum(d.delta_minor), 0))
            .where(d.account_id == a.id, d.shard_key == a.shard_key)
            .scalar_subquery()
        )
        mine = (a.shard_key == shard_of(account_id)) & (a.id == account_id)
        columns = [a[name] for name in ACCOUNT.names]
        for *row, minor in await rows(self._engine, sa.select(*columns, buffered).where(mine)):
            account = ACCOUNT.load(row)
            balance = Money(account.balance.currency, account.balance.minor + int(minor))
            return replace(account, balance=balance)
        return None

    async def by_ids(self, journal_ids: Sequence[str]) -> Mapping[str, Posting]:
        table = JOURNAL_TABLE
        keys = [(shard_of(journal_id), journal_id) for journal_id in journal_ids]
        query = _journals().where(sa.tuple_(table.c.shard_key, table.c.id).in_(keys))
        return {posting[0].id: posting for posting in await self._postings(query)}

    async def of_chain(
        self, business_id: str, *, after: tuple[datetime, str] | None, limit: int
    ) -> Sequence[Posting]:
        """At most `limit`, oldest first, behind `after` (posted_at, id)."""
        table = JOURNAL_TABLE
        query = _journals().where(table.c.business_id == business_id)
        if after is not None:
            query = query.where(sa.tuple_(table.c.posted_at, table.c.id) > sa.tuple_(*after))
        return await self._postings(query.order_by(table.c.posted_at, table.c.id).limit(limit))

    async def _postings(self, query: sa.Select[Any]) -> Sequence[Posting]:
        """Journals never change, so no snapshot is needed between them and their entries."""
        journals = [JOURNAL.load(row) for row in await rows(self._engine, query)]
        entries: dict[str, list[Entry]] = {journal.id: [] for journal in journals}
        contexts = {journal.id: journal.context for journal in journals}
        if journals:
            e, a = ENTRY_TABLE.c, ACCOUNT_TABLE.c
            of_account = (a.shard_key == e.shard_key) & (a.id == e.account_id)
            found = (
                sa.select(
                    e.journal_id, e.line, e.account_id, a.subject, a.owner, e.side,
                    e.amount_currency, e.amount_minor, e.reference,
                )
                .join_from(ENTRY_TABLE, ACCOUNT_TABLE, of_account)
                .where(e.journal_id.in_(entries))
                .order_by(e.journal_id, e.line)
            )  # fmt: skip
            for (
                journal_id,
                line,
                account,
                subject,
                owner,
                side,
                cur,
                minor,
                ref,
            ) in await rows(self._engine, found):
                entries[journal_id].append(
                    Entry(
                        id=entry_id_of(journal_id, line, account),
                        context=contexts[journal_id],
                        journal_id=journal_id,
                        line=line,
                        account_id=account,
                        subject=subject,
                        owner=owner,
                        side=Side(side),
                        amount=Money(cur, minor),
                        reference=ref,
                    )
                )
        return [(journal, tuple(entries[journal.id])) for journal in journals]


def _journals() -> sa.Select[Any]:
    return sa.select(*(JOURNAL_TABLE.c[name] for name in JOURNAL.names))
