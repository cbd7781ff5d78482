"""The hash chain: blocks that seal what was posted, each with the hash of the one before.

A block seals the journals of all transactions ("postings") from the last block's `up_to` to its
own. Below the oldest transaction under way every one has ended, so nothing comes later. What is
hashed, SHA-256 over UTF-8, is lines of JSON, each an array with a newline behind it:

- a journal: `JOURNAL_COLUMNS` as one line, then `ENTRY_COLUMNS` of its entries, by line;
- a block: number, previous hash in hex, up_to, journals, entries, sealed_at; then, without
  newlines, the 32 bytes of each of its journals, by posting, id and shard_key (as bytes).

Dates and times (UTC, without a zone) are text as in JSON of PostgreSQL. Here it is SQL, because it
runs while others post; clearing_svc/books/verify.py does the same in Python.
"""

from __future__ import annotations

import structlog

from clearing_svc.books.balances import Connection, rows
from paymesh.clock import Clock
from paymesh.errors import Unavailable
from paymesh.store.port import CommitUnknown, Conflict, Unreachable
from paymesh.store.postgres import PostgresStore

log = structlog.get_logger()

SEAL_LOCK = 7302
"""Who seals holds this advisory lock until his transaction ends: also by his death."""
JOURNALS_MAX = 10_000
"""In one block; more only if one transaction has posted more."""
JOURNALS_LEAST = 100
SEAL_EVERY_S = 0.5
RESTORED_AGAIN_S = 10.0
GENESIS = bytes(32)
"""What the first block has for a previous hash."""

JOURNAL_COLUMNS = (
    "posting", "id", "shard_key", "business_id", "merchant_id", "order_type", "sub_type",
    "pay_org_no", "traffic", "parent_business_id", "event_type", "business_key", "digest",
    "reverses", "template_version", "accounting_date", "posted_at",
)  # fmt: skip
ENTRY_COLUMNS = (
    "line", "shard_key", "account_id", "side", "amount_minor", "amount_currency", "reference",
)  # fmt: skip
"""Without journal_id: that is its journal's."""


class DatabaseRestored(Unavailable):
    """The server counts transactions from below what the chain has sealed.

    Whatever is posted now would look as if it had been sealed, so nobody may post or seal.
    """

    def __init__(self, *, sealed: int, now: int) -> None:
        epoch = (sealed >> 32) + 1
        super().__init__(
            f"the server is at transaction {now}, but the chain has sealed all below {sealed}: "
            "it was restored from a dump. Stop the server, run "
            f"pg_resetwal --epoch={epoch} on its data directory, and start it again"
        )


_HERE = """
    SELECT coalesce(l.number, 0), coalesce(l.hash, %(genesis)s::bytea), coalesce(l.up_to, 0),
        coalesce(%(up_to)s::bigint, pg_snapshot_xmin(pg_current_snapshot())::text::bigint),
        greatest(pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
            pg_current_xact_id_if_assigned()::text::bigint)
    FROM (VALUES (1)) AS one(row) LEFT JOIN (
        SELECT number, hash, up_to FROM block ORDER BY number DESC LIMIT 1) l ON true
"""
"""The last block, up to where may be sealed, and which transaction the server is at."""

_NTH = """
    SELECT posting FROM journal WHERE posting >= %(low)s AND posting < %(high)s
    ORDER BY posting OFFSET %(nth)s LIMIT 1
"""


def _line(table: str, columns: tuple[str, ...]) -> str:
    values = [f"{table}.{name}" for name in columns]
    values = [f"{v} AT TIME ZONE 'UTC'" if v.endswith("_at") else v for v in values]
    return f"json_build_array({', '.join(values)})::text || E'\\n'"


_SEAL = f"""
    WITH leaf AS MATERIALIZED (
        SELECT j.posting, j.id, j.shard_key, e.entries,
            sha256(convert_to({_line("j", JOURNAL_COLUMNS)} || e.lines, 'UTF8')) AS hash
        FROM journal j CROSS JOIN LATERAL (
            SELECT count(*) AS entries, coalesce(
                string_agg({_line("e", ENTRY_COLUMNS)}, '' ORDER BY e.line, e.shard_key), ''
            ) AS lines
            FROM entry e WHERE e.journal_id = j.id) e
        WHERE j.posting >= %(low)s AND j.posting < %(high)s
    ), content AS (
        SELECT count(*) AS journals, sum(entries)::bigint AS entries,
            string_agg(hash, ''::bytea ORDER BY posting, id COLLATE "C", shard_key) AS hashes
        FROM leaf
    ), now AS (
        SELECT greatest(statement_timestamp(), max(sealed_at)) AS at
        FROM block WHERE number = %(number)s - 1
    )
    INSERT INTO block (number, previous_hash, hash, up_to, journals, entries, sealed_at)
    SELECT %(number)s::bigint, %(previous)s::bytea, sha256(convert_to(
            json_build_array(%(number)s::bigint, encode(%(previous)s::bytea, 'hex'),
                %(high)s::bigint, journals, entries, at AT TIME ZONE 'UTC')::text || E'\\n',
            'UTF8') || hashes),
        %(high)s, journals, entries, at
    FROM content, now RETURNING journals
"""
"""Leaves are hashed before they are sorted: 32 bytes a journal, however long it is. Blocks are not
sealed before the one before, also if the clock was set back."""


async def seal(
    connection: Connection, up_to: int | None = None, *, journals_max: int = JOURNALS_MAX
) -> int:
    """Seals in the caller's transaction all that there is; the last block's number, 0 if none.

    READ COMMITTED, or a block of another sealer is met as a duplicate key. Waits while another one
    seals. With `up_to` everything of transactions below it is sealed, though some be under way: the
    caller vouches that none of these will post. Who holds the lock that posters share, which each
    of them takes before his transaction has a number, may give his own transaction's number. He
    should seal once before he takes that lock, for others wait while he catches up. Raises
    DatabaseRestored.
    """
    await rows(connection, "SELECT pg_advisory_xact_lock(%(lock)s)", lock=SEAL_LOCK)
    while True:
        number, journals = await _next_block(connection, up_to, journals_max)
        if not journals:
            return number


async def seal_block(store: PostgresStore, *, journals_max: int = JOURNALS_MAX) -> int:
    """Seals one block in a transaction of its own; how many journals are in it.

    0 if there is nothing to seal, or another one is sealing. Raises DatabaseRestored, and what the
    store raises.
    """
    async with store.snapshot() as connection:
        *_, low, high = await _here(connection)
        if not await rows(connection, _NTH, low=low, high=high, nth=0):
            return 0
    async with store.writing() as connection:
        [(mine,)] = await rows(
            connection, "SELECT pg_try_advisory_xact_lock(%(lock)s)", lock=SEAL_LOCK
        )
        return (await _next_block(connection, None, journals_max))[1] if mine else 0


async def _next_block(
    connection: Connection, up_to: int | None, journals_max: int
) -> tuple[int, int]:
    """The last block's number, and the journals of a new one. Under the lock, which was taken by a
    statement of its own: what others have sealed is seen by a later snapshot only."""
    number, previous, low, high = await _here(connection, up_to)
    first = await rows(connection, _NTH, low=low, high=high, nth=0)
    if not first:
        return number, 0
    for (behind,) in await rows(connection, _NTH, low=low, high=high, nth=journals_max):
        # Up to the transaction that does not fit any more, unless the first is as long as that.
        high = max(behind, first[0][0] + 1)
    [(journals,)] = await rows(
        connection, _SEAL, number=number + 1, previous=previous, low=low, high=high
    )
    return number + 1, int(journals)


async def _here(connection: Connection, up_to: int | None = None) -> tuple[int, bytes, int, int]:
    """The last block's number, hash and up_to, and up to where may be sealed now."""
    [(number, previous, low, high, now)] = await rows(
        connection, _HERE, genesis=GENESIS, up_to=up_to
    )
    if now < low:
        raise DatabaseRestored(sealed=low, now=now)
    return number, previous, low, high


async def require_not_restored(store: PostgresStore) -> None:
    """Before anything is posted. Raises DatabaseRestored.

    A database that does not answer is let be: who seals asks again.
    """
    try:
        async with store.snapshot() as connection:
            await _here(connection)
    except (Unreachable, Conflict) as error:
        log.warning("chain.unasked", error=str(error))


async def seal_forever(
    store: PostgresStore, *, clock: Clock, every_s: float = SEAL_EVERY_S
) -> None:
    """Seals what is there, a block a transaction, until cancelled; any number of processes may."""
    most = JOURNALS_MAX
    while True:
        wait_s, journals = every_s, 0
        try:
            journals = await seal_block(store, journals_max=most)
            most = min(2 * most, JOURNALS_MAX)
        except DatabaseRestored as error:
            log.error("chain.database_restored", error=error.message)
            wait_s = RESTORED_AGAIN_S
        except (Unreachable, CommitUnknown, Conflict) as error:
            # Maybe it took too long, for journals have up to 100 entries.
            most = max(most // 2, JOURNALS_LEAST)
            log.warning("chain.later", error=str(error), journals_max=most)
        except Exception:  # a defect in one round must not end sealing
            log.exception("chain.defect")
        if journals < most // 2:  # what is full may have fewer, for transactions are whole
            await clock.sleep(wait_s)
