"""PostgreSQL of our own, an empty database a test, the trade core as it really runs."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from paymesh.bus.inprocess import InProcessBus
from paymesh.bus.topology import Topology
from paymesh.db.migrate import ROOT

pytest.register_assert_rewrite("tests.trade.actors", "tests.trade.deal", "tests.trade.trade_world")

from tests.databases import Databases  # noqa: E402
from tests.trade.actors import Books, Merchant, PaymentCore  # noqa: E402  (asserts are registered)
from tests.trade.trade_world import (  # noqa: E402
    Database,
    Shop,
    Trades,
)
from trade_svc.store import metadata  # noqa: E402


@pytest.fixture(scope="session")
def migrated(databases: Databases) -> Database:
    """A database with our schema, as an operator makes it."""
    return databases.new("trade", Database)


@pytest.fixture
def database(migrated: Database) -> Database:
    """With nothing in it."""
    migrated.execute(f"TRUNCATE {', '.join(metadata.tables)}")
    return migrated


@pytest.fixture(scope="session")
def secret_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trade") / "secret.key"
    path.write_bytes(secrets.token_bytes(32))
    return path


@pytest.fixture
async def bus() -> AsyncIterator[InProcessBus]:
    bus = InProcessBus(Topology.load(ROOT / "rabbitmq" / "definitions.json").scaled(0.001))
    await bus.start()
    yield bus
    await bus.close()


@pytest.fixture
async def books(bus: InProcessBus) -> AsyncIterator[Books]:
    """Where what was paid is booked."""
    books = Books()
    await books.start()
    await bus.consume("clearing.ledger", books)
    yield books
    await books.stop()


@pytest.fixture
async def payments(bus: InProcessBus) -> AsyncIterator[PaymentCore]:
    """Where the trade core has its payments carried out."""
    payments = PaymentCore(bus)
    await payments.start()
    yield payments
    await payments.stop()


@pytest.fixture
async def trades(
    database: Database, bus: InProcessBus, books: Books, payments: PaymentCore, secret_key: Path
) -> AsyncIterator[Trades]:
    """Starts trade cores: `await trades.start("serve", "work")`."""
    trades = Trades(
        database,
        bus,
        pay_target=payments.target,
        clearing_target=books.target,
        secret_key=secret_key,
    )
    yield trades
    await trades.stop()


@pytest.fixture(autouse=True)
def _answers_when_asked_of_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not only as far as it has come by then, on a machine that is busy."""
    monkeypatch.setattr("trade_svc.rpc.START_WAIT_S", 30.0)


@pytest.fixture
async def shop(trades: Trades) -> Shop:
    """A merchant with a registered business code, at a trade core that serves and works."""
    app = await trades.start("serve", "work")
    return await Shop.opened(trades.caller(app))


@pytest.fixture
async def merchant() -> AsyncIterator[Merchant]:
    """A merchant's own HTTP endpoint."""
    merchant = Merchant()
    await merchant.start()
    yield merchant
    await merchant.stop()
