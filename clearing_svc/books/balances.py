"""Balances at the end of any day, as they are known now or were known at any past moment.

Everything here reads through a connection that sees one snapshot (PostgresStore.snapshot, or a
reader's own), so what is read together agrees. Amounts are in minor units.

Up to the last day with snapshots, `Front.day`, a balance is its snapshot. Later days are summed:
what was gathered of them when that day was done (day_movement), and the entries posted since.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from clearing_svc.ledger.chart import Chart, Side
from clearing_svc.ledger.domain import Entry
from clearing_svc.ledger.drafts import entry_id_of
from paymesh.context import Context
from paymesh.errors import InvalidField, Unavailable
from paymesh.ids import shard_of
from paymesh.money import Money
from paymesh.store.port import Conflict, Unreachable
from paymesh.store.postgres import PostgresStore

Connection = psycopg.AsyncConnection[Any]
Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Sums:
    """All that was debited and credited."""

    debits: int
    credits: int

    def balance(self, side: Side) -> int:
        """On the normal side."""
        net = self.debits - self.credits
        return net if side is Side.DEBIT else -net


@dataclass(frozen=True, slots=True)
class Front:
    """How far snapshots have come."""

    day: date
    """The last day with snapshots; date.min: none."""
    up_to: int
    """Journals posted below it are in the snapshots, or gathered for days that come."""


@dataclass(frozen=True, slots=True)
class Total:
    """A line of the trial balance: one subject in one currency."""

    subject: str
    currency: str
    accounts: int
    """How many have entries."""
    sums: Sums


@dataclass(frozen=True, slots=True)
class TrialBalance:
    """Every subject in every currency at the end of a day."""

    day: date
    closed: bool
    totals: tuple[Total, ...]
    """By currency, then in the order of the chart."""


@dataclass(frozen=True, slots=True)
class EntryPosition:
    """Where an entry stands in the order of posting."""

    posting: int
    journal_id: str
    line: int


@dataclass(frozen=True, slots=True)
class Booked:
    """An entry with what its journal says."""

    entry: Entry
    position: EntryPosition
    event_type: str
    business_key: str
    day: date
    posted_at: datetime
    is_final: bool
    """Whether no entry can come any more that stands before it."""


class BooksDisagree(Exception):
    """What must be equal in true books is not: nothing is made of them."""


@asynccontextmanager
async def reading(store: PostgresStore) -> AsyncIterator[Connection]:
    """One snapshot of a service's own store. Raises Unavailable."""
    try:
        async with store.snapshot() as connection:
            yield connection
    except (Unreachable, Conflict) as error:
        raise Unavailable("the database does not answer, or not in time") from error


async def rows(connection: Connection, query: str, **parameters: object) -> list[Row]:
    """All rows, as tuples whatever the connection gives; none of what gives none."""
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(query.encode(), parameters)
        return await cursor.fetchall() if cursor.description else []


async def limit(connection: Connection, name: str, seconds: float) -> None:
    """Sets statement_timeout or lock_timeout until the transaction ends."""
    await rows(connection, _LIMIT, name=name, wait=f"{seconds * 1000:.0f}ms")


async def is_closed(connection: Connection, day: date) -> bool:
    [(closed,)] = await rows(connection, _IS_CLOSED, day=day)
    return bool(closed)


async def front(connection: Connection) -> Front:
    [(day, up_to)] = await rows(connection, _FRONT)
    return Front(day or date.min, up_to)


async def sums_of(connection: Connection, account_id: str, day: date = date.max) -> Sums:
    """Of the entries up to the end of `day`: all there are."""
    at = await front(connection)
    [(debits, credits)] = await rows(connection, _SUMS, **_account(account_id), **_at(at, day))
    return Sums(int(debits), int(credits))


async def sums_known(
    connection: Connection, account_id: str, known: datetime, day: date = date.max
) -> tuple[Sums, int]:
    """Of the entries up to the end of `day` that had been sealed by `known`; and the last block
    sealed by then, 0 if there was none. Raises InvalidField for a time that is to come."""
    [(now,)] = await rows(connection, "SELECT clock_timestamp()")
    if known > now:
        raise InvalidField("known_time", f"lies in the future: it is {now.astimezone(UTC)}")
    found = await rows(connection, _BLOCK_AT, known=known)
    if not found:
        return Sums(0, 0), 0
    [(block, up_to, done)] = found
    at = Front(done or date.min, up_to)
    [(debits, credits)] = await rows(connection, _KNOWN, **_account(account_id), **_at(at, day))
    return Sums(int(debits), int(credits)), block


async def trial_balance(connection: Connection, chart: Chart, day: date) -> TrialBalance:
    """Raises BooksDisagree where debits are not credits."""
    totals = await totals_at(connection, day, await front(connection))
    require_balanced(totals, f"at the end of {day}")
    order = {subject: position for position, subject in enumerate(chart)}
    totals.sort(key=lambda t: (t.currency, order.get(t.subject, len(order)), t.subject))
    return TrialBalance(day, await is_closed(connection, day), tuple(totals))


async def totals_at(connection: Connection, day: date, at: Front) -> list[Total]:
    found = await rows(connection, TOTALS, **_at(at, day))
    return [total_of(row) for row in found]


def total_of(row: Sequence[Any]) -> Total:
    subject, currency, accounts, debits, credits = row
    return Total(subject, currency, int(accounts), Sums(int(debits), int(credits)))


def require_balanced(totals: Sequence[Total], when: str) -> None:
    """Raises BooksDisagree unless debits are credits in each currency."""
    for currency in sorted({total.currency for total in totals}):
        of = [total.sums for total in totals if total.currency == currency]
        debits, credits = sum(s.debits for s in of), sum(s.credits for s in of)
        if debits != credits:
            raise BooksDisagree(
                f"debits are {Money(currency, debits)}, credits {Money(currency, credits)} {when}; "
                "`paymesh check` says where"
            )


async def entries_of(
    connection: Connection,
    account_id: str,
    *,
    first: date,
    last: date,
    after: EntryPosition | None,
    limit: int,
) -> list[Booked]:
    """Of an account, in the order of posting, with accounting dates from `first` to `last`."""
    position = after or EntryPosition(-1, "", 0)
    found = await rows(
        connection, _ENTRIES, **_account(account_id), first=first, last=last, limit=limit,
        posting=position.posting, journal=position.journal_id, line=position.line,
    )  # fmt: skip
    return [booked(row) for row in found]


def booked(row: Sequence[Any]) -> Booked:
    """A row of BOOKED_COLUMNS."""
    (posting, journal_id, line, account_id, subject, owner, side, minor, currency, reference,
     event_type, business_key, business_id, day, posted_at, is_final) = row  # fmt: skip
    entry = Entry(
        id=entry_id_of(journal_id, line, account_id),
        context=Context(business_id),
        journal_id=journal_id,
        line=line,
        account_id=account_id,
        subject=subject,
        owner=owner,
        side=Side(side),
        amount=Money(currency, minor),
        reference=reference,
    )
    position = EntryPosition(posting, journal_id, line)
    return Booked(entry, position, event_type, business_key, day, posted_at, is_final)


def _account(account_id: str) -> Mapping[str, object]:
    return {"shard": shard_of(account_id), "account": account_id}


def _at(at: Front, day: date) -> Mapping[str, object]:
    return {"day": day, "done": at.day, "up_to": at.up_to}


# SQL. %(done)s is the last day with snapshots that counts, %(up_to)s what is gathered with it.

_LIMIT = "SELECT set_config(%(name)s, %(wait)s, true)"
_FRONT = """
    SELECT d.day, coalesce(b.up_to, 0) FROM (SELECT max(day) AS day FROM day_total) d
    LEFT JOIN accounting_day a ON a.day = d.day LEFT JOIN block b ON b.number = a.block
"""
_IS_CLOSED = "SELECT EXISTS (SELECT FROM accounting_day WHERE day = %(day)s)"
_BLOCK_AT = """
    SELECT b.number, b.up_to, (SELECT max(t.day) FROM accounting_day a JOIN day_total t
        ON t.day = a.day WHERE a.block <= b.number)
    FROM block b WHERE b.sealed_at <= %(known)s ORDER BY b.number DESC LIMIT 1
"""
_ENTRY_SIDES = """
    coalesce(CASE e.side WHEN 'DEBIT' THEN e.amount_minor END, 0) AS debit_minor,
    coalesce(CASE e.side WHEN 'CREDIT' THEN e.amount_minor END, 0) AS credit_minor
"""
_SNAPSHOT = """(
    SELECT s.debit_minor, s.credit_minor FROM balance_snapshot s
    WHERE s.account_id = %(account)s AND s.shard_key = %(shard)s
        AND s.day <= least(%(day)s::date, %(done)s::date)
    ORDER BY s.day DESC LIMIT 1
)"""
_SUMS = f"""
    SELECT coalesce(sum(debit_minor), 0), coalesce(sum(credit_minor), 0) FROM (
        {_SNAPSHOT}
        UNION ALL
        SELECT m.debit_minor, m.credit_minor FROM day_movement m
        WHERE m.account_id = %(account)s AND m.shard_key = %(shard)s
            AND m.day > %(done)s::date AND m.day <= %(day)s::date AND m.up_to <= %(up_to)s
        UNION ALL
        SELECT {_ENTRY_SIDES} FROM entry e JOIN journal j ON j.id = e.journal_id
        WHERE %(day)s::date > %(done)s::date AND e.account_id = %(account)s
            AND e.shard_key = %(shard)s
            AND j.posting >= %(up_to)s AND j.accounting_date <= %(day)s::date
    ) part
"""
_KNOWN = f"""
    SELECT coalesce(sum(debit_minor), 0), coalesce(sum(credit_minor), 0) FROM (
        {_SNAPSHOT}
        UNION ALL
        SELECT {_ENTRY_SIDES} FROM entry e JOIN journal j ON j.id = e.journal_id
        WHERE %(day)s::date > %(done)s::date AND e.account_id = %(account)s
            AND e.shard_key = %(shard)s AND j.posting < %(up_to)s
            AND j.accounting_date > %(done)s::date AND j.accounting_date <= %(day)s::date
    ) part
"""
TOTALS = f"""
    WITH moved AS (
        SELECT account_id, shard_key, sum(debit_minor) AS debits, sum(credit_minor) AS credits
        FROM (
            SELECT m.account_id, m.shard_key, m.debit_minor, m.credit_minor FROM day_movement m
            WHERE m.day > %(done)s::date AND m.day <= %(day)s::date AND m.up_to <= %(up_to)s
            UNION ALL
            SELECT e.account_id, e.shard_key, {_ENTRY_SIDES}
            FROM entry e JOIN journal j ON j.id = e.journal_id
            WHERE %(day)s::date > %(done)s::date
                AND j.posting >= %(up_to)s AND j.accounting_date <= %(day)s::date
        ) part GROUP BY 1, 2
    )
    SELECT subject, currency, sum(accounts), sum(debits), sum(credits) FROM (
        SELECT t.subject, t.currency, t.accounts, t.debit_minor AS debits,
            t.credit_minor AS credits
        FROM day_total t WHERE t.day = least(%(day)s::date, %(done)s::date)
        UNION ALL
        SELECT a.subject, a.balance_currency, count(*) FILTER (WHERE NOT EXISTS (
                SELECT FROM balance_snapshot s WHERE s.account_id = m.account_id
                    AND s.shard_key = m.shard_key AND s.day <= %(done)s::date)),
            sum(m.debits), sum(m.credits)
        FROM moved m JOIN account a ON a.shard_key = m.shard_key AND a.id = m.account_id
        GROUP BY 1, 2
    ) part GROUP BY 1, 2
"""
BOOKED_COLUMNS = """
    j.posting, e.journal_id, e.line, e.account_id, a.subject, a.owner, e.side, e.amount_minor,
    e.amount_currency, e.reference, j.event_type, j.business_key, j.business_id,
    j.accounting_date, j.posted_at,
    j.posting < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
"""
BOOKED_OF_ACCOUNT = f"""
    SELECT {BOOKED_COLUMNS} FROM entry e JOIN journal j ON j.id = e.journal_id
    JOIN account a ON a.shard_key = e.shard_key AND a.id = e.account_id
    WHERE e.account_id = %(account)s AND e.shard_key = %(shard)s
        AND j.accounting_date >= %(first)s AND j.accounting_date <= %(last)s
"""
_ENTRIES = f"""{BOOKED_OF_ACCOUNT}
    AND j.posting >= %(posting)s
    AND (j.posting, e.journal_id COLLATE "C", e.line) > (%(posting)s, %(journal)s, %(line)s)
    ORDER BY j.posting, e.journal_id COLLATE "C", e.line LIMIT %(limit)s
"""
