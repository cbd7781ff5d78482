"""Snapshots: what each account that moved on a closed day had been debited and credited by its end.

For each closed day, in order: journals are read once, in the order of posting, and what they move
is gathered by account and day (day_movement); then each account's snapshot is its last one and the
day's movement; then the day's totals are written, and with them the day is done. All in bounded
batches, each a transaction that does nothing if it was done before: so dying anywhere, and running
twice or two at a time, is harmless.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date

import structlog

from clearing_svc.books.balances import (
    Connection,
    Front,
    front,
    limit,
    require_balanced,
    rows,
    totals_at,
)
from paymesh.clock import Clock
from paymesh.store.port import CommitUnknown, Conflict, Unreachable
from paymesh.store.postgres import PostgresStore

LOCK = 7303
"""Who gathers and who finishes a day, one at a time."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class SnapshotLimits:
    journals_max: int = 20_000
    """Gathered in one transaction; more, if one transaction posted more."""
    accounts_max: int = 20_000
    """Snapshots, or rows of work that are cleared, in one transaction."""
    statement_timeout_s: int = 60


class Snapshots:
    """Writes the snapshots of closed days."""

    def __init__(self, store: PostgresStore, *, limits: SnapshotLimits = SnapshotLimits()) -> None:
        self._store, self._limits = store, limits

    async def run(self) -> int:
        """Does all closed days that are not done; how many that were.

        Raises Unreachable, Conflict, and BooksDisagree where a day's debits are not its credits.
        """
        async with self._store.snapshot() as connection:
            days = await rows(connection, _NOT_DONE)
            [(to_clear,)] = await rows(connection, _TO_CLEAR)
        for day, up_to in days:
            while await self._gather(up_to):
                pass
            after: str | None = ""
            while after is not None:
                after = await self._snapshot(day, after)
            await self._finish(day, up_to)
            log.info("books.day_done", day=str(day))
        while (days or to_clear) and await self._clear():
            pass
        return len(days)

    async def _gather(self, up_to: int) -> bool:
        """The next journals below `up_to`, in the order of posting. False: there are no more."""
        async with self._writing(alone=True) as connection:
            journals = self._limits.journals_max
            found = await rows(connection, _NEXT, up_to=up_to, limit=journals)
            for first, to in found:
                await rows(connection, _GATHER, first=first, to=to)
        return bool(found)

    async def _snapshot(self, day: date, after: str) -> str | None:
        """Of the next accounts behind `after`. The last one's id; None: there are no more."""
        async with self._writing() as connection:
            accounts = self._limits.accounts_max
            [(last,)] = await rows(connection, _LAST_OF_NEXT, day=day, after=after, limit=accounts)
            if last is not None:
                await rows(connection, _SNAPSHOT, day=day, after=after, last=last)
        return None if last is None else str(last)

    async def _finish(self, day: date, up_to: int) -> None:
        """Writes the totals, if they balance, unless they are there."""
        async with self._writing(alone=True) as connection:
            before = await front(connection)
            if before.day >= day:
                return
            totals = await totals_at(connection, day, Front(before.day, up_to))
            require_balanced(totals, f"at the end of {day}: it gets no snapshots")
            await rows(
                connection,
                _WRITE_TOTALS,
                day=day,
                subjects=[total.subject for total in totals],
                currencies=[total.currency for total in totals],
                accounts=[total.accounts for total in totals],
                debits=[total.sums.debits for total in totals],
                credits=[total.sums.credits for total in totals],
            )

    async def _clear(self) -> bool:
        """Some of the work of days that are done. False: there is no more."""
        async with self._writing() as connection:
            return bool(await rows(connection, _CLEAR, limit=self._limits.accounts_max))

    @asynccontextmanager
    async def _writing(self, *, alone: bool = False) -> AsyncIterator[Connection]:
        async with self._store.writing() as connection:
            await limit(connection, "statement_timeout", self._limits.statement_timeout_s)
            if alone:
                await rows(connection, "SELECT pg_advisory_xact_lock(%(lock)s)", lock=LOCK)
            yield connection


async def snapshots_forever(snapshots: Snapshots, *, clock: Clock, idle_s: float) -> None:
    """Looks for closed days until cancelled. A store that is away is waited for."""
    while True:
        try:
            await snapshots.run()
        except (Unreachable, Conflict, CommitUnknown) as error:
            log.warning("books.snapshots_later", error=str(error))
        except Exception:  # told whole; books that disagree are for a person, and the rest goes on
            log.exception("books.snapshots_defect")
        await clock.sleep(idle_s)


_NOT_DONE = """
    SELECT a.day, coalesce(b.up_to, 0) FROM accounting_day a LEFT JOIN block b ON b.number = a.block
    WHERE a.day > coalesce((SELECT max(day) FROM day_total), '-infinity') ORDER BY a.day
"""
# What was gathered last, or belongs to a day that is done, ends where the next begins.
_NEXT = """
    WITH start AS (
        SELECT greatest(
            (SELECT coalesce(max(up_to), 0) FROM day_movement),
            (SELECT coalesce(max(b.up_to), 0) FROM accounting_day a JOIN block b
                ON b.number = a.block WHERE a.day = (SELECT max(day) FROM day_total))
        ) AS posting
    )
    SELECT start.posting, max(next.posting) + 1 FROM start, LATERAL (
        SELECT j.posting FROM journal j WHERE j.posting >= start.posting AND j.posting < %(up_to)s
        ORDER BY j.posting LIMIT %(limit)s) next
    GROUP BY 1
"""
_GATHER = """
    INSERT INTO day_movement (shard_key, account_id, day, up_to, debit_minor, credit_minor)
    SELECT e.shard_key, e.account_id, j.accounting_date, %(to)s,
        coalesce(sum(e.amount_minor) FILTER (WHERE e.side = 'DEBIT'), 0),
        coalesce(sum(e.amount_minor) FILTER (WHERE e.side = 'CREDIT'), 0)
    FROM journal j JOIN entry e ON e.journal_id = j.id
    WHERE j.posting >= %(first)s AND j.posting < %(to)s GROUP BY 1, 2, 3
"""
_LAST_OF_NEXT = """
    SELECT max(account_id) FROM (SELECT DISTINCT account_id FROM day_movement
        WHERE day = %(day)s AND account_id > %(after)s
        ORDER BY account_id LIMIT %(limit)s) next
"""
_SNAPSHOT = """
    INSERT INTO balance_snapshot (shard_key, account_id, day, debit_minor, credit_minor)
    SELECT m.shard_key, m.account_id, %(day)s, coalesce(s.debit_minor, 0) + m.debits,
        coalesce(s.credit_minor, 0) + m.credits
    FROM (SELECT shard_key, account_id, sum(debit_minor) AS debits, sum(credit_minor) AS credits
        FROM day_movement
        WHERE day = %(day)s AND account_id > %(after)s AND account_id <= %(last)s
        GROUP BY 1, 2) m
    LEFT JOIN LATERAL (SELECT b.debit_minor, b.credit_minor FROM balance_snapshot b
        WHERE b.account_id = m.account_id AND b.shard_key = m.shard_key AND b.day < %(day)s
        ORDER BY b.day DESC LIMIT 1) s ON true
    ON CONFLICT DO NOTHING
"""
_WRITE_TOTALS = """
    INSERT INTO day_total (day, subject, currency, accounts, debit_minor, credit_minor)
    SELECT %(day)s, v.* FROM unnest(%(subjects)s::text[], %(currencies)s::text[],
        %(accounts)s::bigint[], %(debits)s::bigint[], %(credits)s::bigint[]) AS v
"""
_TO_CLEAR = "SELECT EXISTS (SELECT FROM day_movement WHERE day <= (SELECT max(day) FROM day_total))"
_CLEAR = """
    DELETE FROM day_movement WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM day_movement WHERE day <= (SELECT max(day) FROM day_total)
        LIMIT %(limit)s)) RETURNING 1
"""
