"""Statements: an account over closed days, as text that is the same whenever it is printed.

Closed days take no journals any more, so what is printed of them once is printed again to the byte,
whatever has been posted since. The last line is the SHA-256 of all lines above it.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, timedelta
from itertools import count

from psycopg.rows import tuple_row

from clearing_svc.books.balances import (
    BOOKED_OF_ACCOUNT,
    Booked,
    BooksDisagree,
    Connection,
    Sums,
    booked,
    rows,
    sums_of,
)
from clearing_svc.ledger.chart import Side
from paymesh.ids import shard_of
from paymesh.money import Money
from paymesh.text import plain

CHUNK_ROWS = 5_000
_RULE = "-" * 100
_names = count(1)


class NotClosed(Exception):
    """The period is not made of closed days; says which days are."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose statement it is."""

    account_id: str
    subject: str
    owner: str
    currency: str
    normal_side: Side


async def statement(
    connection: Connection, holder: Holder, first: date, last: date
) -> AsyncIterator[str]:
    """The text, line by line, each with its newline: bounded memory however long it is.

    The connection reads one snapshot. Raises NotClosed before the first line, and BooksDisagree
    behind the lines if they do not lead to the closing balance.
    """
    block = await _require_closed(connection, first, last)
    opening = await sums_of(connection, holder.account_id, first - timedelta(days=1))
    closing = await sums_of(connection, holder.account_id, last)
    digest = hashlib.sha256()
    debits, credits, lines = opening.debits, opening.credits, 0

    def said(line: str = "") -> str:
        text = f"{plain(line).rstrip()}\n"
        digest.update(text.encode())
        return text

    for line in _header(holder, first, last, block):
        yield said(line)
    yield said(_row(str(first), "opening balance", "", "", _amount(holder, opening)))
    async for entry in _entries(connection, holder, first, last):
        minor = entry.entry.amount.minor
        if entry.entry.side is Side.DEBIT:
            debits += minor
        else:
            credits += minor
        lines += 1
        for line in _lines(holder, entry, Sums(debits, credits)):
            yield said(line)
    if Sums(debits, credits) != closing:
        raise BooksDisagree(
            f"the entries of {holder.account_id} lead to {_amount(holder, Sums(debits, credits))}, "
            f"its balance is {_amount(holder, closing)}; `paymesh check` says more"
        )
    debited = _plain(Money(holder.currency, debits - opening.debits))
    credited = _plain(Money(holder.currency, credits - opening.credits))
    ending = f"closing balance, {lines:,} entries"
    yield said(_RULE)
    yield said(_row(str(last), ending, debited, credited, _amount(holder, closing)))
    yield f"SHA-256 of the lines above: {digest.hexdigest()}\n"


async def _require_closed(connection: Connection, first: date, last: date) -> int:
    """The last block that has entries of the period. Raises NotClosed."""
    if first > last:
        raise NotClosed(f"a period ends after it begins: {first} to {last} does not")
    [(earliest, latest)] = await rows(connection, _CLOSED_DAYS)
    if latest is None:
        raise NotClosed("no day is closed yet; `paymesh ledger close-day` closes one")
    if last > latest:
        raise NotClosed(f"{last} is open: {latest} is the last closed day")
    if first < earliest:
        raise NotClosed(f"{first} is before the books: {earliest} is their first day")
    [(block,)] = await rows(connection, _BLOCK_OF, day=last)
    return int(block)


async def _entries(
    connection: Connection, holder: Holder, first: date, last: date
) -> AsyncIterator[Booked]:
    """In the order of days, and within a day of posting."""
    async with connection.cursor(f"statement_{next(_names)}", row_factory=tuple_row) as cursor:
        cursor.itersize = CHUNK_ROWS
        shard = shard_of(holder.account_id)
        what = {"account": holder.account_id, "shard": shard, "first": first, "last": last}
        await cursor.execute(_IN_ORDER.encode(), what)
        async for row in cursor:
            yield booked(row)


def _header(holder: Holder, first: date, last: date, block: int) -> list[str]:
    return [
        f"Statement of account {holder.subject}:{holder.owner}:{holder.currency}",
        f"{holder.account_id}, {holder.normal_side.lower()}s increase it",
        f"{first} to {last}, closed; sealed in blocks up to {block}; times are UTC; "
        f"amounts in {holder.currency}",
        _RULE,
        _row("date", "booked for", "debit", "credit", "balance"),
        _RULE,
    ]


def _lines(holder: Holder, booked_: Booked, after: Sums) -> list[str]:
    """What was booked, and below it by which names it is found elsewhere."""
    entry = booked_.entry
    amount = _plain(entry.amount)
    debit = entry.side is Side.DEBIT
    posted = f"{booked_.posted_at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"
    names = list(dict.fromkeys(filter(None, (booked_.business_key, entry.reference))))
    return [
        _row(
            str(booked_.day),
            booked_.event_type,
            amount if debit else "",
            "" if debit else amount,
            _amount(holder, after),
        ),
        f"            {entry.journal_id}/{entry.line}  {posted}",
        f"            {'  '.join(names)}",
    ]


def _row(day: str, what: str, debit: str, credit: str, balance: str) -> str:
    return f"{day:<10}  {what:<39} {debit:>15} {credit:>15} {balance:>16}"


def _amount(holder: Holder, sums: Sums) -> str:
    return _plain(Money(holder.currency, sums.balance(holder.normal_side)))


def _plain(money: Money) -> str:
    """Without its currency."""
    return str(money).partition(" ")[2]


_CLOSED_DAYS = "SELECT min(day), max(day) FROM accounting_day"
_BLOCK_OF = "SELECT block FROM accounting_day WHERE day = %(day)s"
_IN_ORDER = f"""{BOOKED_OF_ACCOUNT}
    ORDER BY j.accounting_date, j.posting, e.journal_id COLLATE "C", e.line
"""
