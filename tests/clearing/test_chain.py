"""The hash chain: it seals everything once, and no change of what it has sealed goes unseen."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from clearing_svc.books import chain as chain_module
from clearing_svc.books.chain import (
    ENTRY_COLUMNS,
    JOURNAL_COLUMNS,
    DatabaseRestored,
    seal,
    seal_block,
    seal_forever,
)
from clearing_svc.books.verify import Damage, first_of_last, verify
from clearing_svc.bootstrap import build
from clearing_svc.settings import ClearingSettings
from clearing_svc.store import BLOCK_TABLE, ENTRY_TABLE, JOURNAL_TABLE
from paymesh.bus.inprocess import InProcessBus
from paymesh.clock import SystemClock
from paymesh.db.migrate import ROOT
from paymesh_ops.launch import provision
from paymesh_ops.launch.postgres import PostgresServer, start_postgres, stop_postgres
from tests.clearing.chain_world import (
    damage,
    odd_texts,
    put,
    put_all,
    sealed,
    store_of,
    under_way,
)
from tests.clearing.conftest import Database
from tests.databases import Databases, database_of, others_have_ended

DIFFERS = "what a block seals is not what was sealed"
UNLINKED = "a block does not follow from the one before"
MISSING = "blocks of the chain are missing"
WAITING = "journals wait to be sealed"


def count(database: Database, table: str) -> int:
    [(number,)] = database.query(f"SELECT count(*) FROM {table}")
    return int(str(number))


def said(found: list[Damage]) -> list[tuple[str, int]]:
    return [(one.title, one.block) for one in found]


# Sealing


async def test_what_was_posted_is_sealed_once_and_verifies(database: Database) -> None:
    put_all(database.app_url, 3, 1, 2)
    assert await sealed(database.app_url) == [6]
    assert await sealed(database.app_url) == []
    put_all(database.app_url, 1)
    assert await sealed(database.app_url) == [1]
    assert database.query(
        "SELECT number, journals, entries, previous_hash = coalesce(lag(hash) OVER "
        "(ORDER BY number), decode(repeat('00', 32), 'hex')) FROM block ORDER BY number"
    ) == [(1, 6, 12, True), (2, 1, 2, True)]
    assert await damage(database.admin_url) == []


async def test_sql_and_python_hash_all_texts_numbers_and_times_alike(database: Database) -> None:
    with psycopg.connect(database.admin_url) as connection:
        for text in odd_texts(300):
            put(connection, text=text)
        connection.execute("DROP TRIGGER journal_append_only ON journal")
        for at in ("'infinity'", "'-infinity'", "'0044-03-15 BC'", "'9999-12-31 23:59:59.9'",
                   "'2026-01-01 00:00:00.120000+05'", "'294276-01-01'"):  # fmt: skip
            id_ = put(connection, minor=2**63 - 1)
            change = f"UPDATE journal SET posted_at = {at}, accounting_date = ({at})::timestamptz"
            connection.execute(
                f"{change}, template_version = -(2^62)::bigint WHERE id = %s".encode(), (id_,)
            )
    assert await sealed(database.app_url, journals_max=100) == [306]
    settings = ["SET TimeZone = 'Asia/Kathmandu'", "SET DateStyle = 'German'"]
    assert await damage(database.admin_url, *settings) == []


def test_every_column_is_sealed() -> None:
    assert set(JOURNAL_COLUMNS) == {column.name for column in JOURNAL_TABLE.columns}
    assert {*ENTRY_COLUMNS, "journal_id"} == {column.name for column in ENTRY_TABLE.columns}


async def test_who_commits_late_is_sealed_when_all_before_him_have_ended(
    database: Database,
) -> None:
    """A younger transaction commits first: nothing from the older one on is sealed until that ends,
    and then each journal is in exactly one block."""
    put_all(database.app_url, 1)
    with under_way(database.app_url):
        put_all(database.app_url, 1)
        assert await sealed(database.app_url) == [1]
        put_all(database.app_url, 1)
        assert await sealed(database.app_url) == []
    assert await sealed(database.app_url) == [3]
    assert await damage(database.admin_url) == []


async def test_who_rolls_back_holds_up_nobody_for_good(database: Database) -> None:
    with under_way(database.app_url) as posting:
        put_all(database.app_url, 1)
        assert await sealed(database.app_url) == []
        posting.rollback()
    assert await sealed(database.app_url) == [1]
    assert await damage(database.admin_url) == []


async def test_blocks_are_bounded_and_hold_whole_transactions(database: Database) -> None:
    put_all(database.app_url, 3, 3, 3, 11, 1, 9, 1, 1)
    assert await sealed(database.app_url, journals_max=10) == [9, 11, 10, 2]
    assert await damage(database.admin_url) == []


async def test_a_day_is_sealed_up_to_the_own_transaction(database: Database) -> None:
    """Who keeps all posters out seals what is there, though an older transaction is under way."""
    with psycopg.connect(database.app_url) as other:
        other.execute("SELECT pg_current_xact_id()")
        put_all(database.app_url, 2, 2)
        assert await sealed(database.app_url) == []
        async with await psycopg.AsyncConnection.connect(database.app_url) as connection:
            await connection.execute("SELECT pg_advisory_xact_lock(7301)")
            [own] = await anext(
                await connection.execute("SELECT pg_current_xact_id()::text::bigint")
            )
            assert await seal(connection, own, journals_max=3) == 2
            assert await seal(connection, own, journals_max=3) == 2
        put_all(database.app_url, 1)
        assert await sealed(database.app_url) == []
    assert await sealed(database.app_url) == [1]
    assert await damage(database.admin_url) == []


async def test_sealing_that_is_rolled_back_seals_nothing(database: Database) -> None:
    put_all(database.app_url, 2)
    async with await psycopg.AsyncConnection.connect(database.app_url) as connection:
        assert await seal(connection) == 1
        await connection.rollback()
    assert count(database, "block") == 0
    assert await sealed(database.app_url) == [2]


async def test_many_sealers_at_once_make_one_chain(database: Database) -> None:
    """Each tries all the time while others post: every journal is in one block, none is empty."""

    def post() -> None:
        with psycopg.connect(database.app_url) as connection:
            for n in range(40):
                for _ in range(1 + n % 4):
                    put(connection)
                connection.commit()

    async def seals(done: asyncio.Event) -> None:
        async with store_of(database.app_url) as store:
            while not done.is_set() or await seal_block(store, journals_max=7):
                await seal_block(store, journals_max=7)

    done = asyncio.Event()
    sealers = [asyncio.create_task(seals(done)) for _ in range(3)]
    await asyncio.gather(*(asyncio.to_thread(post) for _ in range(3)))
    others_have_ended(database.app_url)
    done.set()
    await asyncio.gather(*sealers)
    assert database.query(
        "SELECT sum(journals)::int, min(journals) > 0, max(number) = count(*) FROM block"
    ) == [(300, True, True)]
    assert await damage(database.admin_url) == []


async def test_a_block_that_somebody_else_made_meanwhile_is_not_made_twice(
    database: Database,
) -> None:
    """The lock aside, the keys of the table refuse a second block of one number or one end."""
    put_all(database.app_url, 1)
    await sealed(database.app_url)
    for number in (1, 2):
        with (
            psycopg.connect(database.app_url) as connection,
            pytest.raises(psycopg.errors.UniqueViolation),
        ):
            connection.execute(
                "INSERT INTO block SELECT %s, hash, hash, up_to, 1, 2, now() FROM block", (number,)
            )


CHILD = """
import asyncio, sys
from clearing_svc.books.chain import seal_block
from tests.clearing.chain_world import store_of
async def main():
    async with store_of(sys.argv[1]) as store:
        await seal_block(store)
asyncio.run(main())
"""


@pytest.mark.parametrize(("point", "left"), [("before", 0), ("after", 1)])
async def test_a_sealer_that_dies_leaves_a_true_chain(
    database: Database, point: str, left: int
) -> None:
    put_all(database.app_url, 2, 1)
    environment = {**os.environ, "FAILPOINT": f"shell.{point}_commit:1:kill",
                   "PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}"}  # fmt: skip
    died = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", CHILD, database.app_url],
        env=environment, cwd=ROOT, check=False, timeout=600, capture_output=True,
    )  # fmt: skip
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert count(database, "block") == left
    put_all(database.app_url, 1)
    assert await sealed(database.app_url) == ([1] if left else [4])
    assert await damage(database.admin_url) == []


async def test_the_chore_seals_what_comes_and_outlives_a_database_that_goes(
    database: Database,
) -> None:
    async with store_of(database.app_url) as store:
        chore = asyncio.create_task(seal_forever(store, clock=SystemClock(), every_s=0.02))
        for expected in (1, 2, 3):
            put_all(database.app_url, 1)
            async with asyncio.timeout(60):
                while count(database, "block") < expected:
                    await asyncio.sleep(0.01)
            database.query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        chore.cancel()
        with suppress(asyncio.CancelledError):
            await chore
    assert await damage(database.admin_url) == []


class Rounds:
    """A clock that ends the chore after so many waits."""

    def __init__(self, waits: int) -> None:
        self.waits: list[float] = []
        self._left = waits

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        if len(self.waits) == self._left:
            raise asyncio.CancelledError


TIMES_OUT = """
    CREATE FUNCTION times_out(it_does boolean) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
        IF it_does THEN
            RAISE query_canceled USING MESSAGE = 'canceling statement due to statement timeout';
        END IF;
    END $$
"""


async def test_a_block_that_takes_too_long_is_tried_smaller(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to the statement's timeout; and when all is sealed, the next one may be large again.

    More than two journals run into it at once here: what is slow depends on the machine.
    """
    put_all(database.app_url, *[1] * 8)
    monkeypatch.setattr(chain_module, "JOURNALS_MAX", 8)
    monkeypatch.setattr(chain_module, "JOURNALS_LEAST", 1)
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute(TIMES_OUT)
    late = "LATERAL (SELECT times_out(journals > 2)) late"
    slow = chain_module._SEAL.replace("FROM content, now", f"FROM content, now, {late}")
    assert late in slow
    monkeypatch.setattr(chain_module, "_SEAL", slow)
    clock: Any = Rounds(5)
    async with store_of(database.app_url) as store:
        with suppress(asyncio.CancelledError):
            await seal_forever(store, clock=clock, every_s=0.01)
    blocks = database.query("SELECT journals FROM block ORDER BY number")
    assert blocks[0] == (2,)
    assert max(blocks) == (2,)
    assert await damage(database.admin_url) == []


# Tampering: each way on a chain of five blocks, taken back when it was found


@pytest.fixture(scope="module")
def chain(databases: Databases) -> Database:
    """Five blocks of two transactions with two journals each."""
    database = databases.new("clearing", Database)
    for _ in range(5):
        put_all(database.app_url, 2, 2)
        assert asyncio.run(sealed(database.app_url)) == [4]
    with psycopg.connect(database.admin_url) as connection:
        for table in ("journal", "entry", "block"):
            connection.execute(f"DROP TRIGGER {table}_append_only ON {table}".encode())
    return database


def nth_of(block: int, nth: int) -> str:
    """SQL: the id of a block's nth journal, from 0."""
    return (
        "(SELECT id FROM journal WHERE posting < (SELECT up_to FROM block "
        f"WHERE number = {block}) AND posting >= (SELECT up_to FROM block "
        f'WHERE number = {block} - 1) ORDER BY posting, id COLLATE "C" OFFSET {nth} LIMIT 1)'
    )


THIRD = nth_of(3, 1)
NEW_VALUES = {
    "side": "CASE side WHEN 'DEBIT' THEN 'CREDIT' ELSE 'DEBIT' END",
    "amount_currency": "'USD'",
    "accounting_date": "accounting_date + 1",
    "posted_at": "posted_at + interval '1 microsecond'",
    "sealed_at": "sealed_at - interval '1 microsecond'",
    "hash": "sha256(hash)",
    "previous_hash": "sha256(previous_hash)",
    **dict.fromkeys(
        ("shard_key", "line", "amount_minor", "template_version", "journals", "entries"), "{} + 1"
    ),
}
"""Any other is a text, which gets a letter more."""


def changing(column: str) -> str:
    return f"{column} = " + NEW_VALUES.get(column, "{} || 'x'").format(column)


def columns_of(table: Any, *without: str) -> list[str]:
    return [column.name for column in table.columns if column.name not in without]


@pytest.mark.parametrize("column", columns_of(JOURNAL_TABLE, "posting"))
async def test_a_changed_journal_is_found(chain: Database, column: str) -> None:
    [named] = chain.query(f"SELECT {THIRD}")
    [found] = await damage(
        chain.admin_url, f"UPDATE journal SET {changing(column)} WHERE id = {THIRD}"
    )
    assert (found.title, found.block) == (DIFFERS, 3)
    suspect = str(named[0]) + ("x" if column == "id" else "")
    assert (found.facts["suspect"], found.facts["journals"]) == (1, suspect)
    assert found.facts["block"] == 3
    assert str(found.facts["business_id"]).startswith("biz_")


@pytest.mark.parametrize("line", [1, 2])
@pytest.mark.parametrize("column", columns_of(ENTRY_TABLE))
async def test_a_changed_entry_is_found(chain: Database, column: str, line: int) -> None:
    [(named,)] = chain.query(f"SELECT {THIRD}")
    where = f"WHERE journal_id = {THIRD} AND line = {line}"
    new = "line + 2" if column == "line" else changing(column).split(" = ", 1)[1]
    [found] = await damage(chain.admin_url, f"UPDATE entry SET {column} = {new} {where}")
    assert (found.title, found.block) == (DIFFERS, 3)
    assert (found.facts["suspect"], found.facts["journals"]) == (1, named)
    low, high = chain.query("SELECT up_to FROM block WHERE number IN (2, 3) ORDER BY number")
    assert found.facts["postings"] == f"{low[0]} to {int(str(high[0])) - 1}"


AMOUNT = "UPDATE entry SET amount_minor = amount_minor + {} WHERE journal_id = {}"
OF_JOURNAL = "WHERE {} = (SELECT j FROM gone)"
GONE = f"CREATE TEMP TABLE gone ON COMMIT DROP AS SELECT {THIRD} AS j"
SAME = ", ".join(columns_of(JOURNAL_TABLE, "id", "shard_key", "posted_at", "posting"))
TAMPERINGS: dict[str, tuple[list[str], list[int]]] = {
    "a journal that is gone": ([GONE, f"DELETE FROM journal {OF_JOURNAL.format('id')}"], [3]),
    "an entry that is gone": ([f"DELETE FROM entry WHERE journal_id = {THIRD} AND line = 2"], [3]),
    "a journal that is gone with its entries": (
        [GONE, f"DELETE FROM entry {OF_JOURNAL.format('journal_id')}",
         f"DELETE FROM journal {OF_JOURNAL.format('id')}"], [3]),
    "all journals of a block that are gone": (
        ["CREATE TEMP TABLE gone ON COMMIT DROP AS SELECT id AS j FROM journal WHERE posting < "
         "(SELECT up_to FROM block WHERE number = 3) AND posting >= "
         "(SELECT up_to FROM block WHERE number = 2)",
         "DELETE FROM entry WHERE journal_id IN (SELECT j FROM gone)",
         "DELETE FROM journal WHERE id IN (SELECT j FROM gone)"], [3]),
    "an entry more": (
        [f"INSERT INTO entry SELECT shard_key, journal_id, 3, account_id, side, 1, "
         f"amount_currency, '' FROM entry WHERE journal_id = {THIRD} AND line = 1"], [3]),
    "a journal more": (
        [f"INSERT INTO journal (shard_key, id, {SAME}, posted_at, posting) SELECT shard_key, "
         f"'jrn_x', {SAME}, posted_at, posting FROM journal WHERE id = {THIRD}"], [3]),
    "a journal of the first posting": (
        [f"INSERT INTO journal (shard_key, id, {SAME}, posted_at, posting) SELECT shard_key, "
         f"'jrn_x', {SAME}, posted_at, 3 FROM journal WHERE id = {THIRD}"], [1]),
    "two amounts swapped in a block": (
        [AMOUNT.format(1, nth_of(3, 0)), AMOUNT.format(-1, nth_of(3, 1))], [3]),
    "two amounts swapped between blocks": (
        [AMOUNT.format(1, nth_of(2, 0)), AMOUNT.format(-1, nth_of(3, 1))], [2, 3]),
    "two entries that changed places": (
        [f"UPDATE entry SET line = line + 9 WHERE journal_id = {THIRD}",
         f"UPDATE entry SET line = 12 - line WHERE journal_id = {THIRD}"], [3]),
    "entries of two journals that changed places": (
        [f"UPDATE entry SET line = 7, journal_id = {nth_of(3, 0)} "
         f"WHERE journal_id = {THIRD} AND line = 1"], [3]),
    "a posting of another block": (
        [f"UPDATE journal SET posting = (SELECT up_to FROM block WHERE number = 4) - 1 "
         f"WHERE id = {THIRD}"], [3, 4]),
    "a posting within its block": (
        [f"UPDATE journal SET posting = posting + 1 WHERE id = {THIRD}"], [3]),
    "one amount in the last block": ([AMOUNT.format(1, nth_of(5, 3))], [5]),
}  # fmt: skip


@pytest.mark.parametrize("name", TAMPERINGS)
async def test_a_change_of_what_is_sealed_is_found(chain: Database, name: str) -> None:
    changes, blocks = TAMPERINGS[name]
    found = await damage(chain.admin_url, *changes)
    assert said(found) == [(DIFFERS, block) for block in blocks]


async def test_what_is_missing_or_too_much_is_counted(chain: Database) -> None:
    [found] = await damage(chain.admin_url, *TAMPERINGS["a journal that is gone"][0])
    assert found.facts["journals sealed"] == 4
    assert found.facts["journals found"] == 3
    [found] = await damage(chain.admin_url, *TAMPERINGS["an entry more"][0])
    assert (found.facts["entries sealed"], found.facts["entries found"]) == (8, 9)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("previous_hash", [(UNLINKED, 3), (DIFFERS, 3)]),
        ("hash", [(UNLINKED, 4), (DIFFERS, 3)]),
        ("journals", [(DIFFERS, 3)]),
        ("entries", [(DIFFERS, 3)]),
        ("sealed_at", [(DIFFERS, 3)]),
        ("up_to", [(DIFFERS, 3), (DIFFERS, 4)]),
        ("number", [(MISSING, 3), (MISSING, 6)]),
    ],
)
async def test_a_changed_block_is_found(
    chain: Database, column: str, expected: list[tuple[str, int]]
) -> None:
    last = "(SELECT max(posting) FROM journal WHERE posting < block.up_to)"
    new = {"up_to": last, "number": "number + 5"}.get(column)
    change = f"{column} = {new}" if new else changing(column)
    found = await damage(chain.admin_url, f"UPDATE block SET {change} WHERE number = 3")
    assert sorted(said(found)) == sorted(expected)


def test_every_column_of_a_block_is_tried() -> None:
    tried = test_a_changed_block_is_found.pytestmark[0].args[1]  # type: ignore[attr-defined]
    assert {column for column, _ in tried} == {column.name for column in BLOCK_TABLE.columns}


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        ("= 3", [(MISSING, 3)]),
        ("IN (1, 2)", [(MISSING, 1)]),
        ("= 5", [(WAITING, 0)]),
        ("> 0", [(WAITING, 0)]),
    ],
)
async def test_a_removed_block_is_found(
    chain: Database, which: str, expected: list[tuple[str, int]]
) -> None:
    found = await damage(chain.admin_url, f"DELETE FROM block WHERE number {which}")
    assert said(found) == expected


async def test_a_chain_shorter_than_a_closed_day_says_is_found(chain: Database) -> None:
    """Its last blocks were removed, and the sealer made it true again as far as it goes."""
    changes = ["INSERT INTO accounting_day VALUES ('2026-11-22', 5, now())"]
    assert await damage(chain.admin_url, *changes) == []
    changes += ["DELETE FROM block WHERE number = 5", "DELETE FROM entry WHERE journal_id IN "
                "(SELECT id FROM journal WHERE posting >= (SELECT max(up_to) FROM block))",
                "DELETE FROM journal WHERE posting >= (SELECT max(up_to) FROM block)"]  # fmt: skip
    found = await damage(chain.admin_url, *changes)
    assert said(found) == [("a day was closed upon a block that is not there", 5)]


async def test_a_block_forged_with_what_it_seals_breaks_the_chain_behind_it(
    chain: Database,
) -> None:
    """Whoever changes an entry and its block's hash would have to do all later blocks, too."""
    change = AMOUNT.format(1, THIRD)
    async with await psycopg.AsyncConnection.connect(chain.admin_url) as connection:
        await connection.execute(change.encode())
        await connection.execute("DELETE FROM block WHERE number > 2")
        assert await seal(connection, journals_max=4) == 5
        blocks = await connection.execute("SELECT number, hash FROM block WHERE number > 2")
        forged = dict(await blocks.fetchall())
        assert [one async for one in verify(connection)] == []
        await connection.rollback()
    hash_ = f"UPDATE block SET hash = '\\x{forged[3].hex()}', sealed_at = now() WHERE number = 3"
    assert (UNLINKED, 4) in said(await damage(chain.admin_url, change, hash_))


async def test_a_verification_from_a_block_on_leaves_the_earlier_ones(chain: Database) -> None:
    change = AMOUNT.format(1, THIRD)
    assert said(await damage(chain.admin_url, change, first=3)) == [(DIFFERS, 3)]
    assert await damage(chain.admin_url, change, first=4) == []
    assert said(await damage(chain.admin_url, "DELETE FROM block WHERE number = 3", first=4)) == [
        (MISSING, 3)
    ]


async def test_the_first_of_the_last_blocks_is_chosen_by_their_journals(chain: Database) -> None:
    async with await psycopg.AsyncConnection.connect(chain.admin_url) as connection:
        firsts = [await first_of_last(connection, n) for n in (1, 4, 8, 11, 20, 1000)]
    assert firsts == [5, 5, 4, 4, 1, 1]


async def test_the_verifier_tells_how_far_it_is_and_only_reads(chain: Database) -> None:
    told: list[str] = []
    async with await psycopg.AsyncConnection.connect(chain.admin_url) as connection:
        await connection.set_read_only(True)
        assert [one async for one in verify(connection, told.append)] == []
    assert told[-1] == "block 5 of 5, 20 of 20 journals"


async def test_what_waits_to_be_sealed_for_a_minute_is_found(database: Database) -> None:
    put_all(database.app_url, 1)
    [found] = await damage(database.admin_url)
    assert (found.title, found.facts["journals"]) == (WAITING, 1)
    changes = ["DROP TRIGGER journal_append_only ON journal",
               "UPDATE journal SET posted_at = now() - interval '59 seconds'"]  # fmt: skip
    assert await damage(database.admin_url, *changes) == []


# A database that was restored


async def test_a_server_behind_the_chain_is_refused(database: Database, bus: InProcessBus) -> None:
    """Nobody seals, and nobody serves: whatever were posted would look as if it were sealed."""
    put_all(database.app_url, 1)
    await sealed(database.app_url)
    with psycopg.connect(database.app_url) as connection:
        connection.execute(
            "INSERT INTO block SELECT 2, hash, hash, (3::bigint << 32) + 5, 1, 2, now() FROM block"
        )
    put_all(database.app_url, 1)
    async with store_of(database.app_url) as store:
        with pytest.raises(DatabaseRestored, match="pg_resetwal --epoch=4"):
            await seal_block(store)
    async with await psycopg.AsyncConnection.connect(database.app_url) as connection:
        with pytest.raises(DatabaseRestored):
            await seal(connection)
    settings = ClearingSettings(clearing_database_url=database.app_url, drain_wait_s=0)
    for role in ("serve", "work"):
        app = build(settings, bus=bus, clock=SystemClock())
        with pytest.raises(DatabaseRestored):
            await app.start({role})  # type: ignore[arg-type]
        await app.stop()
    assert count(database, "block") == 2


@pytest.fixture
def other_server() -> Iterator[PostgresServer]:
    """Whose transactions begin from the start."""
    folder = Path(tempfile.mkdtemp(prefix="paymesh-restored-"))
    server = start_postgres(folder, settings={"fsync": "off"})
    yield server
    stop_postgres(server, mode="immediate")
    shutil.rmtree(folder)


def restore(database: Database, server: PostgresServer) -> Database:
    """A copy on the other server, by way of a dump."""
    passwords = dict.fromkeys(provision.ROLES, "unused")  # the server trusts its own host
    provision.create_roles(server.url, passwords)
    provision.create_database(server.url, "clearing", database="restored")
    restored = database_of(server.url, passwords, "clearing", "restored", Database)
    dump = subprocess.run(
        [server.bin_dir / "pg_dump", "--clean", database.admin_url], capture_output=True, check=True
    ).stdout
    load = [server.bin_dir / "psql", "-q", restored.admin_url]
    loaded = subprocess.run(load, input=dump, capture_output=True, check=False)
    assert loaded.returncode == 0, loaded.stderr
    return restored


def reset_epoch(server: PostgresServer, epoch: int) -> PostgresServer:
    """The procedure of the runbook."""
    stop_postgres(server)
    data = server.directory / "data"
    reset = [server.bin_dir / "pg_resetwal", f"--epoch={epoch}", data]
    done = subprocess.run(reset, capture_output=True, check=False, user=data.stat().st_uid)
    assert done.returncode == 0, done.stderr
    return start_postgres(server.directory, settings={"fsync": "off"})


@pytest.mark.slow
async def test_a_dump_restored_elsewhere_is_sealed_on_after_pg_resetwal(
    database: Database, other_server: PostgresServer
) -> None:
    put_all(database.app_url, 2, 1)
    with psycopg.connect(database.admin_url, autocommit=True) as connection:
        for _ in range(3000):
            connection.execute("SELECT pg_current_xact_id()")
    put_all(database.app_url, 1)
    assert await sealed(database.app_url) == [4]
    restored = restore(database, other_server)
    assert await damage(restored.admin_url) == []
    async with store_of(restored.app_url) as store:
        with pytest.raises(DatabaseRestored, match="pg_resetwal --epoch=1 "):
            await seal_block(store)
    reset_epoch(other_server, 1)
    put_all(restored.app_url, 1)
    assert await sealed(restored.app_url) == [1]
    assert await damage(restored.admin_url) == []
