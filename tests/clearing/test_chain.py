"""The hash chain: it seals everything once, and no change of what it has sealed goes unseen."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import Any

import psycopg
import pytest

from clearing_svc.books import chain as chain_module
from clearing_svc.books.chain import (
    ENTRY_COLUMNS,
    JOURNAL_COLUMNS,
    seal,
    seal_block,
    seal_forever,
)
from clearing_svc.store import ENTRY_TABLE, JOURNAL_TABLE
from paymesh.clock import SystemClock
from paymesh.db.migrate import ROOT
from tests.clearing.chain_world import (
    count,
    damage,
    odd_texts,
    put,
    put_all,
    sealed,
    store_of,
    under_way,
)
from tests.clearing.conftest import Database
from tests.databases import others_have_ended

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
