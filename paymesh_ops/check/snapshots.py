"""One read-only snapshot a database, rows out of it, and the merging of rows by key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from itertools import count
from typing import Any

import psycopg
from psycopg.rows import dict_row

from paymesh.db.session import arguments

Row = dict[str, Any]
Connection = psycopg.AsyncConnection[Row]

CHUNK_ROWS = 5_000
PLANNING = "-c work_mem=64MB -c cursor_tuple_fraction=1"
"""Whole tables are sorted and joined here, and what a cursor has is always read to its end."""
SERVICES = ("trade", "pay", "gateway", "clearing")


class DatabaseUnreadable(RuntimeError):
    """A service's database cannot be read; says which one and why."""


class Snapshots:
    """One REPEATABLE READ, READ ONLY transaction in each service's database."""

    def __init__(
        self, connections: Mapping[str, Connection], taken_at: Mapping[str, datetime]
    ) -> None:
        self._connections, self.taken_at = connections, taken_at
        self._names = count(1)
        self._tell: Callable[[int, int], None] | None = None
        self._read = self._expected = 0

    def count_rows(self, tell: Callable[[int, int], None]) -> None:
        """`tell` hears from now on how many rows the streams gave, and how many will come."""
        self._tell, self._read, self._expected = tell, 0, 0

    def connection(self, service: str) -> Connection:
        """For who reads by himself."""
        return self._connections[service]

    async def rows(self, service: str, sql: str, **parameters: Any) -> list[Row]:
        """All rows: for queries that find few."""
        cursor = await self._connections[service].execute(sql.encode(), parameters)
        return await cursor.fetchall()

    async def stream(self, service: str, sql: str, **parameters: Any) -> AsyncIterator[Row]:
        """Row by row through a cursor of the server: for queries that give whole tables."""
        if self._tell is not None:
            [plan] = await self.rows(service, f"EXPLAIN (FORMAT JSON) {sql}", **parameters)
            self._expected += plan["QUERY PLAN"][0]["Plan"]["Plan Rows"]
        name = f"check_{next(self._names)}"
        async with self._connections[service].cursor(name) as cursor:
            cursor.itersize = CHUNK_ROWS
            await cursor.execute(sql.encode(), parameters)
            async for row in cursor:
                self._read += 1
                if self._tell is not None and self._read % CHUNK_ROWS == 0:
                    self._tell(self._read, self._expected)
                yield row


async def connected(service: str, url: str) -> Connection:
    """A connection that can only read, all of it one snapshot. Raises DatabaseUnreadable."""
    try:
        connection = await psycopg.AsyncConnection.connect(
            **arguments(url, options=PLANNING), row_factory=dict_row
        )
    except psycopg.Error as error:
        raise DatabaseUnreadable(f"the database of {service} does not answer: {error}") from error
    await connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
    await connection.set_read_only(True)
    return connection


@asynccontextmanager
async def snapshots(reader_urls: Mapping[str, str], first: str = "") -> AsyncIterator[Snapshots]:
    """Opens one snapshot per service, all within milliseconds of each other.

    `first` names a service whose snapshot is taken before the others: whatever it knows of what
    has happened there, they know too.
    """
    missing = set(SERVICES) - reader_urls.keys()
    if missing:
        raise DatabaseUnreadable(f"no reader URL for {', '.join(sorted(missing))}")
    async with AsyncExitStack() as stack:
        connections: dict[str, Connection] = {}
        for service in SERVICES:
            connection = await connected(service, reader_urls[service])
            stack.push_async_callback(connection.close)
            connections[service] = connection
        taken_at: dict[str, datetime] = {}

        async def take(service: str) -> None:
            # The first statement takes the snapshot.
            cursor = await connections[service].execute(b"SELECT now() AS at")
            [row] = await cursor.fetchall()
            taken_at[service] = row["at"]

        if first:
            await take(first)
        await asyncio.gather(*(take(service) for service in SERVICES if service != first))
        yield Snapshots(connections, {service: taken_at[service] for service in SERVICES})


def money(row: Row) -> tuple[str, int]:
    """What the row's columns `currency` and `minor` say."""
    return (str(row["currency"]), int(row["minor"] or 0))


async def merged(
    *streams: AsyncIterator[Row],
) -> AsyncIterator[tuple[str, Sequence[list[Row]]]]:
    """Each key with its rows from every stream. Streams are sorted by `key COLLATE "C"`."""
    heads = [await anext(stream, None) for stream in streams]
    while keys := [head["key"] for head in heads if head is not None]:
        key = min(keys)
        groups: list[list[Row]] = []
        for index, stream in enumerate(streams):
            group = []
            while (head := heads[index]) is not None and head["key"] == key:
                group.append(head)
                heads[index] = await anext(stream, None)
            groups.append(group)
        yield key, groups
