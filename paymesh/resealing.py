"""Changing the key of what lies sealed in the databases, while everybody goes on working.

A row is sealed anew by one statement that finds it as it was read, so whoever writes it meanwhile
wins, and the next pass looks again. It is no move of the row's: neither its version nor its events
know of it. All of it can be stopped anywhere and be run again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import LiteralString

import psycopg
from psycopg import sql

from paymesh.db.engine import SERVICE_OPTIONS
from paymesh.db.errors import error_text
from paymesh.db.session import arguments, parse
from paymesh.keyprobe import READ_PROBE, belongs_to
from paymesh.secretbox import Key, SealedColumn, open_with

WINDOW_ROWS = 1000
OPTIONS = f"{SERVICE_OPTIONS} -c statement_timeout=30000"
Progress = Callable[[str], None]
Row = tuple[int, str, bytes]
"""Shard, id, and what is sealed."""

_WINDOW: LiteralString = """
    SELECT shard_key, id, {column} FROM {table}
    WHERE (shard_key, id) > (%s, %s) ORDER BY shard_key, id LIMIT %s
"""
_RESEAL: LiteralString = """
    WITH v AS (
        SELECT * FROM unnest(%s::smallint[], %s::text[], %s::bytea[], %s::bytea[])
            AS v(shard_key, id, old, new)
    ), locked AS MATERIALIZED (
        SELECT v.* FROM {table} t JOIN v ON t.shard_key = v.shard_key AND t.id = v.id
        WHERE t.{column} = v.old FOR NO KEY UPDATE OF t SKIP LOCKED
    )
    UPDATE {table} t SET {column} = l.new FROM locked l
    WHERE t.shard_key = l.shard_key AND t.id = l.id AND t.{column} = l.old
"""
"""Waits for nobody: who holds a row's lock may change it, and it is looked at again."""


class VaultUnreachable(RuntimeError):
    """A database does not answer, or was never prepared; says which."""


@dataclass(frozen=True, slots=True)
class Vault:
    """A service's database, and what it keeps sealed there."""

    service: str
    url: str
    sealed: SealedColumn

    @contextmanager
    def _connected(self) -> Iterator[psycopg.Connection]:
        """In autocommit: each statement is a transaction of its own."""
        try:
            to = arguments(self.url, options=OPTIONS)
            with psycopg.connect(**to, autocommit=True) as connection:
                yield connection
        except psycopg.Error as error:
            where = f"the database {parse(self.url).database} of {self.service}"
            raise VaultUnreachable(f"{where}: {error_text(error)}") from error

    def look(self, keys: Sequence[Key], say: Progress) -> Counter[Key | None]:
        """How many rows each key opens; None: none does."""
        return self._pass(keys, say, anew=False)

    def reseal(self, keys: Sequence[Key], say: Progress) -> Counter[Key | None]:
        """One pass: what older keys seal is sealed by the newest. How it was found: rows that
        somebody else held are as before, so once more until nothing is found of older keys."""
        return self._pass(keys, say, anew=True)

    def _pass(self, keys: Sequence[Key], say: Progress, *, anew: bool) -> Counter[Key | None]:
        found: Counter[Key | None] = Counter()
        statement = self._statement(_RESEAL)
        with self._connected() as connection:
            for window in self._windows(connection, say):
                again = []
                for shard, id_, sealed in window:
                    key, secret = open_with(keys, sealed, belongs_to=id_) or (None, b"")
                    found[key] += 1
                    if anew and key not in (None, keys[-1]):
                        new = keys[-1].seal(secret, belongs_to=id_)
                        again.append((shard, id_, sealed, new))
                if again:
                    connection.execute(statement, [list(c) for c in zip(*again, strict=True)])
        return found

    def probe_key(self, keys: Sequence[Key]) -> Key | None:
        """The key that opens the probe; None if none does, or if there is no probe yet."""
        with self._connected() as connection:
            row = connection.execute(READ_PROBE).fetchone()
        opened = row and open_with(keys, bytes(row[0]), belongs_to=belongs_to(self.service))
        return opened[0] if opened else None

    def reseal_probe(self, keys: Sequence[Key]) -> None:
        owner = belongs_to(self.service)
        with self._connected() as connection:
            row = connection.execute(READ_PROBE).fetchone()
            opened = row and open_with(keys, bytes(row[0]), belongs_to=owner)
            if row and opened and opened[0] != keys[-1]:
                connection.execute(
                    "UPDATE key_probe SET sealed = %s WHERE sealed = %s",
                    (keys[-1].seal(opened[1], belongs_to=owner), row[0]),
                )

    def _windows(self, connection: psycopg.Connection, say: Progress) -> Iterator[list[Row]]:
        """All rows with something sealed, by key. What is added behind us is of the newest key, or
        of the next pass."""
        read, last = 0, (-1, "")
        statement = self._statement(_WINDOW)
        while rows := connection.execute(statement, (*last, WINDOW_ROWS)).fetchall():
            yield [(shard, id_, bytes(sealed)) for shard, id_, sealed in rows if sealed]
            read, last = read + len(rows), rows[-1][:2]
            say(f"{self.service}: {read:,} rows of {self.sealed.table}")

    def _statement(self, text: LiteralString) -> sql.Composed:
        table, column = sql.Identifier(self.sealed.table), sql.Identifier(self.sealed.column)
        return sql.SQL(text).format(table=table, column=column)
