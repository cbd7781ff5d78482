"""Verifies the hash chain: recomputes every block in Python from the plain columns.

Independent of the SQL that seals (clearing_svc/books/chain.py says what is hashed). Rows are
streamed: memory does not grow with the ledger.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import count
from typing import Any, NamedTuple

from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.rows import tuple_row

from clearing_svc.books.balances import Connection, Row, rows
from clearing_svc.books.chain import ENTRY_COLUMNS, GENESIS, JOURNAL_COLUMNS

STREAM_ROWS = 5_000
BLOCKS_AT_ONCE = 1_000
JOURNALS_AT_ONCE = 10_000
"""Small blocks are read together."""
NAMED_MAX = 20
UNSEALED_S = 60


@dataclass(frozen=True, slots=True)
class Damage:
    """What is wrong: with a block, or (0) with what has none. `facts` are for people."""

    title: str
    block: int
    facts: Mapping[str, Any]
    what_to_do: str


class Block(NamedTuple):
    """As its row says. `sealed_at` is text, as it is hashed."""

    number: int
    previous_hash: bytes
    hash: bytes
    up_to: int
    journals: int
    entries: int
    sealed_at: str


class _Found(NamedTuple):
    hash: bytes
    journals: int
    entries: int


_COMPARE = (
    "Compare the journals named with their events and the accounts' balances, or with a backup; "
    "set right what was changed with the owner's role. Then find out who could."
)
_CHAIN = "Find out who could write to the table block. Restore its rows from a backup."
_UNSEALED = (
    "Start a clearing process in the role work and read what it logs as chain.*; a transaction "
    "that stays open anywhere on the server holds sealing up, too."
)


async def verify(
    connection: Connection, progress: Callable[[str], None] = lambda text: None, *, first: int = 1
) -> AsyncIterator[Damage]:
    """All damage of the blocks from `first` on, whose predecessor is taken as it is.

    Reads only, in transactions or in the one that is open; sets TimeZone and DateStyle in them.
    `progress` hears how far it is. What nobody has sealed for UNSEALED_S counts as damage, too.
    """
    [(last, journals)] = await rows(connection, _EXTENT, first=first)
    before = await _blocks(connection, first - 1, 1)
    previous = before[0] if before and before[0].number == first - 1 else None
    if previous is None and first == 1:
        previous = Block(0, GENESIS, GENESIS, 0, 0, 0, "")
    elif previous is None:
        yield _missing(first - 1, first - 1)
    done = 0
    while blocks := await _blocks(connection, previous.number + 1 if previous else first,
                                  BLOCKS_AT_ONCE):  # fmt: skip
        whole: list[tuple[int, Block]] = []
        for block in blocks:
            if previous is not None and block.number == previous.number + 1:
                if block.previous_hash != previous.hash:
                    yield Damage(
                        "a block does not follow from the one before", block.number,
                        _of(block, previous.up_to), _CHAIN,
                    )  # fmt: skip
                whole.append((previous.up_to, block))
            elif previous is not None:  # where the block behind a gap begins is not known
                yield _missing(previous.number + 1, block.number - 1)
            previous = block
        async for low, block, found in _recomputed(connection, whole):
            done += block.journals
            if found != (block.hash, block.journals, block.entries):
                yield await _differs(connection, low, block, found)
            progress(f"block {block.number:,} of {last:,}, {done:,} of {journals:,} journals")
    async for damage in _unsealed(connection):
        yield damage


async def first_of_last(connection: Connection, journals: int) -> int:
    """The number of the first of the last blocks that have at most so many journals in all."""
    [(number,)] = await rows(connection, _LAST, journals=journals)
    return int(number or 1)


_EXTENT = """
    SELECT coalesce(max(number), 0), coalesce(sum(journals), 0) FROM block
    WHERE number >= %(first)s
"""
_LAST = """
    SELECT min(number) FROM (
        SELECT number, sum(journals) OVER (ORDER BY number DESC) AS total FROM (
            SELECT number, journals FROM block ORDER BY number DESC LIMIT %(journals)s) b) s
    WHERE total <= %(journals)s OR number = (SELECT max(number) FROM block)
"""


# Recomputing


def journal_hash(journal: Sequence[Any], entries: Sequence[Sequence[Any]]) -> bytes:
    """SHA-256 of a journal's columns and of its entries', in the order of the chain."""
    return hashlib.sha256("".join(map(_line, (journal, *entries))).encode()).digest()


def block_header(block: Block, journals: int, entries: int) -> bytes:
    """What is hashed before the journals' hashes."""
    values = (
        block.number, block.previous_hash.hex(), block.up_to, journals, entries, block.sealed_at,
    )  # fmt: skip
    return _line(values).encode()


def _line(values: Sequence[Any]) -> str:
    return json.dumps(values, ensure_ascii=False) + "\n"


_KEY = 'j.posting, j.id COLLATE "C", j.shard_key'
_RANGE = f"WHERE j.posting >= %(low)s AND j.posting < %(high)s ORDER BY {_KEY}"
_JOURNALS = f"SELECT {', '.join(f'j.{name}' for name in JOURNAL_COLUMNS)} FROM journal j {_RANGE}"
_ENTRIES = (
    f"SELECT {_KEY}, {', '.join(f'e.{name}' for name in ENTRY_COLUMNS)} "
    f"FROM journal j JOIN entry e ON e.journal_id = j.id {_RANGE}, e.line, e.shard_key"
)


async def _recomputed(
    connection: Connection, blocks: Sequence[tuple[int, Block]]
) -> AsyncIterator[tuple[int, Block, _Found]]:
    """Blocks, each with the up_to of the one before: as they must be."""
    start = 0
    while start < len(blocks):
        end, journals = start + 1, blocks[start][1].journals
        while end < len(blocks):
            low, block = blocks[end]
            journals += block.journals
            if low != blocks[end - 1][1].up_to or block.up_to <= low or journals > JOURNALS_AT_ONCE:
                break
            end += 1
        async with connection.transaction():
            async for found in _read_through(connection, blocks[start:end]):
                yield found
        start = end


async def _read_through(
    connection: Connection, blocks: Sequence[tuple[int, Block]]
) -> AsyncIterator[tuple[int, Block, _Found]]:
    """Blocks that follow each other, in one pass."""
    span = {"low": blocks[0][0], "high": blocks[-1][1].up_to}
    async with (
        aclosing(_stream(connection, _JOURNALS, **span)) as journals,
        aclosing(_stream(connection, _ENTRIES, **span)) as entries,
    ):
        journal, entry = await anext(journals, None), await anext(entries, None)
        for low, block in blocks:
            leaves, entries_found = [], 0
            while journal is not None and journal[0] < block.up_to:
                own = []
                while entry is not None and entry[:3] == journal[:3]:
                    own.append(entry[3:])
                    entry = await anext(entries, None)
                leaves.append(journal_hash(journal, own))
                entries_found += len(own)
                journal = await anext(journals, None)
            header = block_header(block, len(leaves), entries_found)
            hash_ = hashlib.sha256(header + b"".join(leaves)).digest()
            yield low, block, _Found(hash_, len(leaves), entries_found)


class _AsHashed(Loader):
    """A timestamptz as it is hashed: of any value, in UTC, as a session in UTC tells it."""

    def load(self, data: Buffer) -> str:
        return bytes(data).decode().replace("+00", "", 1).replace(" ", "T", 1)


class _AsText(Loader):
    def load(self, data: Buffer) -> str:
        return bytes(data).decode()


_names = count(1)


async def _stream(connection: Connection, query: str, **parameters: int) -> AsyncGenerator[Row]:
    """Rows through a cursor of the server."""
    await connection.execute(
        "SELECT set_config('TimeZone', 'UTC', true), set_config('DateStyle', 'ISO', true)"
    )
    async with connection.cursor(f"chain_{next(_names)}", row_factory=tuple_row) as cursor:
        cursor.adapters.register_loader("timestamptz", _AsHashed)
        cursor.adapters.register_loader("date", _AsText)
        cursor.itersize = STREAM_ROWS
        await cursor.execute(query.encode(), parameters)
        async for row in cursor:
            yield row


_BLOCKS = (
    f"SELECT {', '.join(Block._fields)} FROM block WHERE number >= %(first)s "
    "ORDER BY number LIMIT %(limit)s"
)


async def _blocks(connection: Connection, first: int, limit: int) -> list[Block]:
    async with connection.transaction():
        return [Block(*row) async for row in _stream(connection, _BLOCKS, first=first, limit=limit)]


# What is told of damage


def _of(block: Block, low: int) -> dict[str, Any]:
    return {
        "block": block.number, "postings": f"{low} to {block.up_to - 1}",
        "sealed_at": block.sealed_at,
    }  # fmt: skip


def _missing(first: int, last: int) -> Damage:
    facts = {"block": first, "last missing": last}
    return Damage("blocks of the chain are missing", first, facts, _CHAIN)


_SUSPECTS = """
    SELECT j.id, j.business_id, count(*) OVER () FROM journal j CROSS JOIN LATERAL (
        SELECT count(*) AS entries, max(line) AS last,
            sum(CASE side WHEN 'DEBIT' THEN amount_minor ELSE -amount_minor END) AS debits,
            bool_or(e.xmin::text::bigint <> j.posting & 4294967295) AS written_later
        FROM entry e WHERE e.journal_id = j.id) e
    WHERE j.posting >= %(low)s AND j.posting < %(high)s AND (
        j.xmin::text::bigint <> j.posting & 4294967295 OR e.written_later
        OR e.entries < 2 OR e.last <> e.entries OR e.debits <> 0)
    ORDER BY j.posting, j.id LIMIT %(limit)s
"""
"""Journals that cannot have been posted as they are, or whose rows another transaction wrote than
the one that posted them. (After a restore from a dump that is true of all: then it tells nothing.)
"""


async def _differs(connection: Connection, low: int, block: Block, found: _Found) -> Damage:
    async with connection.transaction():
        suspects = await rows(connection, _SUSPECTS, low=low, high=block.up_to, limit=NAMED_MAX)
    if suspects and suspects[0][2] == found.journals > 1:
        suspects = []
    facts = _of(block, low)
    for what, sealed, now in (
        ("journals", block.journals, found.journals), ("entries", block.entries, found.entries),
    ):  # fmt: skip
        if sealed != now:
            facts |= {f"{what} sealed": sealed, f"{what} found": now}
    if suspects:
        facts |= {
            "suspect": suspects[0][2],
            "journals": ", ".join(id_ for id_, *_ in suspects),
            "business_id": suspects[0][1],
        }
    return Damage("what a block seals is not what was sealed", block.number, facts, _COMPARE)


_WAITING = """
    SELECT count(*), min(posted_at)::text, min(posting) FROM journal
    WHERE posting >= (SELECT coalesce(max(up_to), 0) FROM block)
        AND posted_at < now() - make_interval(secs => %(seconds)s)
"""
_DAYS = """
    SELECT max(day)::text, max(block) FROM accounting_day
    WHERE block > (SELECT coalesce(max(number), 0) FROM block)
"""


async def _unsealed(connection: Connection) -> AsyncIterator[Damage]:
    """What no block has, though it should."""
    [(count_, oldest, posting)] = await rows(connection, _WAITING, seconds=UNSEALED_S)
    if count_:
        facts = {"first posting": posting, "journals": count_, "oldest": oldest}
        yield Damage("journals wait to be sealed", 0, facts, _UNSEALED)
    [(day, block)] = await rows(connection, _DAYS)
    if day is not None:
        facts = {"block": block, "day": day}
        yield Damage("a day was closed upon a block that is not there", block, facts, _CHAIN)
