"""Both stores keep the port's promises; and what only PostgreSQL can be asked."""

from __future__ import annotations

import psycopg
import pytest

from paymesh.clock import SystemClock
from paymesh.core import Guard
from paymesh.db.engine import create_engine
from paymesh.db.migrate import differences
from paymesh.money import Money
from paymesh.store.memory import MemoryStore
from paymesh.store.port import (
    Conflict,
    Reads,
    Rejected,
    RequestKey,
    Store,
    StoredAnswer,
    Unreachable,
)
from paymesh.store.postgres import PostgresStore
from tests.runtime.store_contract import StoreContract, insert, write
from tests.runtime.world import Database, attempt, trade, view_of
from trade_svc.store import ATTEMPT, TRADE, TRADES, metadata
from trade_svc.trades.model import TradeView


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore(SystemClock())


class TestPostgresStore(StoreContract):
    @pytest.fixture
    def store(self, postgres_store: PostgresStore) -> Store:
        return postgres_store


def test_the_database_has_the_tables_that_the_code_declares(database: Database) -> None:
    assert differences("trade", database.owner_url, metadata) == []


def test_the_application_cannot_change_the_schema(database: Database) -> None:
    with (
        psycopg.connect(database.app_url) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("CREATE TABLE mine (id int)")


async def test_a_second_active_attempt_conflicts(postgres_store: PostgresStore) -> None:
    """A partial unique index: the database itself knows that one attempt is active."""
    row = trade()
    await insert(postgres_store, row)
    with pytest.raises(Conflict):
        await write(postgres_store, inserts={ATTEMPT: [attempt(row), attempt(row)]})
    assert await view_of(postgres_store, row.id) == TradeView(row)


async def test_text_that_postgresql_cannot_hold_is_rejected(postgres_store: PostgresStore) -> None:
    """NUL fails in the driver, without a code of the database: the data is at fault."""
    with pytest.raises(Rejected):
        await insert(postgres_store, trade(subject="a\x00b"))
    async with postgres_store.transaction() as transaction:
        with pytest.raises(Rejected):
            await transaction.read(TRADES, Reads(guards=[Guard("order", "a\x00b")]))


@pytest.mark.parametrize("key", ["", "x", "trd_", "trd_!!"])
async def test_a_key_that_is_no_id_has_no_state(postgres_store: PostgresStore, key: str) -> None:
    """It comes from outside, such as an event's payload, and must not break its batch."""
    row = trade()
    await insert(postgres_store, row)
    expected = {key: TradeView(None), row.id: TradeView(row)}
    assert await postgres_store.load(TRADES, [key, row.id]) == expected
    async with postgres_store.transaction() as transaction:
        assert (await transaction.read(TRADES, Reads(keys=[key, row.id]))).states == expected


async def test_a_connection_works_after_any_number_of_failed_batches(database: Database) -> None:
    """What a failed pipeline skipped was never prepared, whatever the driver thinks of it."""
    engine = create_engine(database.app_url, pool=1)
    store = PostgresStore(engine)
    for n in range(5):
        bad, good = trade(amount=Money("CNY", 0)), trade()
        request = RequestKey("CreateTrade:mer_1", str(n))
        answers = {request: StoredAnswer(b"", True, b"")}
        with pytest.raises(Rejected):
            await write(store, inserts={TRADE: [bad]}, answers=answers)
        await write(store, inserts={TRADE: [good]}, answers=answers)
        assert await view_of(store, good.id) == TradeView(good)
    await engine.dispose()


async def test_a_server_that_is_away_is_unreachable_and_then_back(
    database: Database, postgres_store: PostgresStore
) -> None:
    """Connections that died in the pool are replaced without anybody noticing."""
    row = trade()
    await insert(postgres_store, row)
    database.query(
        "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity "
        "WHERE datname = %s AND usename = 'paymesh_trade_app'",
        database.name,
    )
    assert await view_of(postgres_store, row.id) == TradeView(row)

    async def killed_while_open() -> None:
        async with postgres_store.transaction() as transaction:
            await transaction.read(TRADES, Reads(keys=[row.id]))
            database.kill_open_transactions()
            await transaction.read(TRADES, Reads(keys=[row.id]))

    with pytest.raises(Unreachable):
        await killed_while_open()
    assert await view_of(postgres_store, row.id) == TradeView(row)
