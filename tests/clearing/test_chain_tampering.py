"""Tampering with what is sealed: each way is found."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

from clearing_svc.books.chain import (
    seal,
)
from clearing_svc.books.verify import first_of_last, verify
from clearing_svc.store import BLOCK_TABLE, ENTRY_TABLE, JOURNAL_TABLE
from tests.clearing.chain_world import (
    DIFFERS,
    MISSING,
    UNLINKED,
    WAITING,
    damage,
    put_all,
    said,
    sealed,
)
from tests.clearing.conftest import Database
from tests.databases import Databases


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
    tried = test_a_changed_block_is_found.pytestmark[0].args[1]
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
