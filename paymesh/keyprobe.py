"""The probe: a sealed value in a service's database that says whether its keys are there.

A process opens it before it does anything else. What it seals is the key of all fingerprints, so
these outlast the key that it is sealed under. While the process runs, a watch looks at the files of
the keys: new ones count only if they open the probe, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import Any

import psycopg
import structlog

from paymesh.clock import Clock
from paymesh.secretbox import Key, KeyUnusable, SealedColumn, SecretBox, open_with, read_keys
from paymesh.store.port import CommitUnknown, Conflict, Unreachable
from paymesh.store.postgres import Connection, PostgresStore

LOOK_EVERY_S = 1.0
DATABASE_WAIT_S = 30.0
ROWS_TRIED_MAX = 100
READ_PROBE = "SELECT sealed FROM key_probe"

log = structlog.get_logger()


def belongs_to(service: str) -> str:
    """The probe's owner: that of another service does not open."""
    return f"key_probe:{service}"


class KeyProbe:
    """Keeps a box's keys those of the service's database."""

    def __init__(
        self,
        store: PostgresStore,
        box: SecretBox,
        *,
        service: str,
        sealed: SealedColumn,
        clock: Clock,
    ) -> None:
        self._store, self._box, self._clock = store, box, clock
        self._service, self._sealed = service, sealed
        self._watching: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Opens the probe, or makes it if there is none; then watches. Raises KeyUnusable."""
        keys = self._box.keys
        self._box.use(keys, fingerprint_key=await self._proved(keys))
        self._watching = asyncio.create_task(self._watch())

    async def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching

    async def _proved(self, keys: tuple[Key, ...]) -> bytes:
        """What the probe seals. Waits a while for a database that does not answer."""
        until = self._clock.monotonic() + DATABASE_WAIT_S
        while True:
            try:
                return await self._opened(keys)
            except (Unreachable, Conflict, CommitUnknown) as error:
                if self._clock.monotonic() > until:
                    raise KeyUnusable(
                        f"the database of {self._service} does not answer, so nobody knows whether "
                        f"its keys are there: {error}"
                    ) from error
                log.warning("keys.unasked", error=str(error))
                await self._clock.sleep(LOOK_EVERY_S)

    async def _opened(self, keys: tuple[Key, ...]) -> bytes:
        async with self._store.snapshot() as connection:
            probe = await self._probe(connection)
        if probe is None:
            async with self._store.writing() as connection:
                await self._make(connection, keys)
                probe = await self._probe(connection)
        assert probe is not None, "it was written a moment ago"
        database, sealed = probe
        opened = open_with(keys, sealed, belongs_to=belongs_to(self._service))
        if opened is None:
            raise self._foreign(database)
        return opened[1]

    async def _probe(self, connection: Connection) -> tuple[str, bytes] | None:
        """The database's name, and its probe; None without one."""
        try:
            row = await (await connection.execute(READ_PROBE)).fetchone()
        except psycopg.errors.UndefinedTable as error:
            raise KeyUnusable(
                f"the database {connection.info.dbname} has an older schema: run "
                f"`python -m {self._service}_svc migrate` first"
            ) from error
        return None if row is None else (connection.info.dbname, bytes(row[0]))

    async def _make(self, connection: Connection, keys: tuple[Key, ...]) -> None:
        """Whoever is first makes it; the others' is dropped."""
        content = await self._first_content(connection, keys)
        await connection.execute(
            "INSERT INTO key_probe (sealed) VALUES (%s) ON CONFLICT DO NOTHING",
            (keys[-1].seal(content, belongs_to=belongs_to(self._service)),),
        )

    async def _first_content(self, connection: Connection, keys: tuple[Key, ...]) -> bytes:
        """Random for a database that is new. One from before there were probes has fingerprints of
        the key that sealed its rows, and a key that opens none of them must not become its own."""
        await connection.execute("SELECT set_config('statement_timeout', '60000', true)")
        table, column = self._sealed.table, self._sealed.column
        query: Any = (
            f"SELECT id, {column} FROM {table} WHERE {column} <> '' "
            "ORDER BY created_at DESC LIMIT %s"
        )
        rows = await (await connection.execute(query, (ROWS_TRIED_MAX,))).fetchall()
        if not rows:
            return os.urandom(32)
        for id_, sealed in rows:
            if opened := open_with(keys, bytes(sealed), belongs_to=id_):
                return opened[0].fingerprint_key
        raise self._foreign(connection.info.dbname)

    def _foreign(self, database: str) -> KeyUnusable:
        path = self._box.path
        where = "as one more *.key there" if path and path.is_dir() else "there"
        return KeyUnusable(
            f"no key in {path} (PAYMESH_SECRET_KEY_FILE) opens what the database {database} keeps: "
            f"put the key that was used before back {where}, from your copy; a new one cannot "
            "replace it (docs/OPERATIONS.md, Keys)"
        )

    async def _watch(self) -> None:
        """Looks for ever at which keys there are."""
        while True:
            await self._clock.sleep(LOOK_EVERY_S)
            try:
                keys = read_keys(self._box.path)
                if keys != self._box.keys:
                    await self._opened(keys)
                    log.info("keys.changed", keys=[f"{key.name} {key.id}" for key in keys])
                self._box.use(keys)
            except KeyUnusable as error:
                self._box.refuse(str(error))
            except (Unreachable, Conflict, CommitUnknown) as error:
                log.warning("keys.unasked", error=str(error))
            except Exception:  # a defect in one look must not end all looking
                log.exception("keys.defect")
