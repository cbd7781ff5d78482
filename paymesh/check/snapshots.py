"""One read-only snapshot a database, rows out of it, and the merging of rows by key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from typing import Any

import psycopg
from psycopg.rows import dict_row
from sqlalchemy import make_url

Row = dict[str, Any]
Connection = psycopg.AsyncConnection[Row]

CHUNK_ROWS = 5_000
CONNECT_TIMEOUT_S = 5
SERVICES = ("trade", "pay", "gateway", "clearing")


class DatabaseUnreadable(RuntimeError):
    """A service's database cannot be read; says which one and why."""


class Snapshots:
    """One REPEATABLE READ, READ ONLY transaction in each service's database."""

    def __init__(self, connections: Mapping[str, Connection]) -> None:
        self._connections = connections
        self._names = count(1)

    async def rows(self, service: str, sql: str, **parameters: Any) -> list[Row]:
        """All rows: for queries that find few."""
        cursor = await self._connections[service].execute(sql.encode(), parameters)
        return await cursor.fetchall()

    async def stream(self, service: str, sql: str, **parameters: Any) -> AsyncIterator[Row]:
        """Row by row through a cursor of the server: for queries that give whole tables."""
        name = f"check_{next(self._names)}"
        async with self._connections[service].cursor(name) as cursor:
            cursor.itersize = CHUNK_ROWS
            await cursor.execute(sql.encode(), parameters)
            async for row in cursor:
                yield row


async def connected(service: str, url: str) -> Connection:
    """A connection that can only read, all of it one snapshot. Raises DatabaseUnreadable."""
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        connection = await psycopg.AsyncConnection.connect(
            plain, row_factory=dict_row, connect_timeout=CONNECT_TIMEOUT_S
        )
    except psycopg.Error as error:
        raise DatabaseUnreadable(f"the database of {service} does not answer: {error}") from error
    await connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
    await connection.set_read_only(True)
    return connection


@asynccontextmanager
async def snapshots(reader_urls: Mapping[str, str]) -> AsyncIterator[Snapshots]:
    """Opens one snapshot per service, all within milliseconds of each other."""
    missing = set(SERVICES) - reader_urls.keys()
    if missing:
        raise DatabaseUnreadable(f"no reader URL for {', '.join(sorted(missing))}")
    async with AsyncExitStack() as stack:
        connections = {}
        for service in SERVICES:
            connection = await connected(service, reader_urls[service])
            stack.push_async_callback(connection.close)
            connections[service] = connection
        # The first statement takes the snapshot.
        await asyncio.gather(*(c.execute(b"SELECT now()") for c in connections.values()))
        yield Snapshots(connections)


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
