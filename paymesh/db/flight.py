"""A psycopg pipeline that sends its statements together.

psycopg's own sends each statement by itself and waits for the socket each time: 15 writes and turns
of the event loop for a small transaction, and as many wake-ups of the server. Here they are queued
until somebody wants a result or the sync goes out, and then leave in one write.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg.abc import PQGen
from psycopg.generators import send


class Flight(psycopg.AsyncPipeline):
    """What psycopg does after each statement waits until results are wanted."""

    _departing = False

    def _communicate_gen(self) -> PQGen[None]:
        if self._departing:
            yield from super()._communicate_gen()

    def _fetch_gen(self, *, flush: bool) -> PQGen[None]:
        """Raises the first error once all results are here: one that comes while it still leaves
        has those of all that the server skips behind it."""
        first: psycopg.Error | None = None
        for part in (self._depart(), super()._fetch_gen(flush=flush)):
            try:
                yield from part
            except psycopg.Error as error:
                first = first or error
        if first is not None:
            raise first

    def _sync_gen(self) -> PQGen[None]:
        self._enqueue_sync()
        yield from self._fetch_gen(flush=False)

    def _exit_gen(self) -> PQGen[None]:
        self._enqueue_sync()
        yield from self._fetch_gen(flush=True)

    def _depart(self) -> PQGen[None]:
        self._departing = True
        try:
            yield from self._communicate_gen()
            yield from send(self.pgconn)
        finally:
            self._departing = False


@asynccontextmanager
async def flight(connection: psycopg.AsyncConnection[Any]) -> AsyncIterator[Flight]:
    """As connection.pipeline(), on a connection that is in none."""
    assert connection._pipeline is None, "one flight at a time"
    connection._pipeline = Flight(connection)
    async with connection.pipeline() as pipeline:
        assert isinstance(pipeline, Flight)
        yield pipeline
