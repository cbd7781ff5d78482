"""What the tests of the chain and its feed are made of: rows as they are posted, and blocks."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from typing import Any

import psycopg

from clearing_svc.books.chain import seal, seal_block
from clearing_svc.books.verify import Damage, verify
from paymesh.db.engine import create_engine
from paymesh.ids import derived_id, shard_of
from paymesh.store.postgres import PostgresStore
from tests.clearing.conftest import Database
from tests.databases import others_have_ended

_keys = count()
MINUTES_AGO = "now() - interval '10 minutes'"
JOURNAL = f"""
    INSERT INTO journal (shard_key, id, business_id, merchant_id, order_type, sub_type, pay_org_no,
        traffic, parent_business_id, event_type, business_key, digest, reverses, template_version,
        accounting_date, posted_at)
    VALUES (%s, %s, %s, 'mer_1', 'INSTANT', 'QR', '2088', 'LIVE', '', 'test', %s, %s, '', 1,
        '2026-11-23', {MINUTES_AGO})
"""
ENTRY = """
    INSERT INTO entry (shard_key, journal_id, line, account_id, side, amount_minor,
        amount_currency, reference)
    VALUES (%s, %s, %s, %s, %s, %s, 'CNY', %s)
"""


def put(connection: psycopg.Connection[Any], *, text: str = "", minor: int = 100) -> str:
    """A journal of two entries, ten minutes old; its id."""
    number = next(_keys)
    id_ = derived_id("jrn", bucket=number % 1024, key=str(number))
    connection.execute(
        JOURNAL.encode(), (shard_of(id_), id_, f"biz_{number}", f"{number}{text}", text)
    )
    for line, side in enumerate(("DEBIT", "CREDIT"), start=1):
        account = derived_id("acc", bucket=line, key=side)
        connection.execute(
            ENTRY.encode(), (shard_of(account), id_, line, account, side, minor, text)
        )
    return id_


def put_all(url: str, *postings: int) -> list[str]:
    """Transactions with so many journals each, ready to be sealed; the journals' ids."""
    ids = []
    with psycopg.connect(url) as connection:
        for journals in postings:
            ids += [put(connection, minor=100 + n) for n in range(journals)]
            connection.commit()
    others_have_ended(url)
    return ids


@contextmanager
def under_way(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A transaction that has posted one journal, and commits when its block ends."""
    with psycopg.connect(url) as connection:
        put(connection)
        yield connection


@asynccontextmanager
async def store_of(url: str) -> AsyncIterator[PostgresStore]:
    engine = create_engine(url, pool=4)
    yield PostgresStore(engine)
    await engine.dispose()


async def sealed(url: str, *, journals_max: int = 10_000) -> list[int]:
    """Seals what there is; how many journals each new block has."""
    blocks: list[int] = []
    others_have_ended(url)
    async with store_of(url) as store:
        while journals := await seal_block(store, journals_max=journals_max):
            blocks.append(journals)
    return blocks


async def damage(url: str, *changes: str, first: int = 1) -> list[Damage]:
    """What a verifier finds after the changes, which are taken back; as superuser."""
    async with await psycopg.AsyncConnection.connect(url) as connection:
        for change in changes:
            await connection.execute(change.encode())
        found = [one async for one in verify(connection, first=first)]
        await connection.rollback()
    return found


async def seal_in(connection: psycopg.AsyncConnection[Any], up_to: int | None = None) -> int:
    return await seal(connection, up_to)


def odd_texts(number: int) -> list[str]:
    """Texts of characters with which encodings go wrong; always the same."""
    chance = random.Random(17)
    alphabet = [chr(code) for code in range(1, 0xA1)]
    alphabet += [
        "\u2028",
        "\u2029",
        "\ufeff",
        "\uffff",
        "é",
        "金",
        "😀",
        '"',
        "\\",
        "\\n",
        ", ",
        "]\n[",
    ]
    return ["".join(chance.choices(alphabet, k=chance.randrange(30))) for _ in range(number)]


DIFFERS = "what a block seals is not what was sealed"


UNLINKED = "a block does not follow from the one before"


MISSING = "blocks of the chain are missing"


WAITING = "journals wait to be sealed"


def count(database: Database, table: str) -> int:
    [(number,)] = database.query(f"SELECT count(*) FROM {table}")
    return int(str(number))


def said(found: list[Damage]) -> list[tuple[str, int]]:
    return [(one.title, one.block) for one in found]
