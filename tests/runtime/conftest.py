"""A PostgreSQL of our own, a fresh trade database a test, and the store on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
import structlog
import uvloop

from paymesh.bus.inprocess import InProcessBus, InProcessLimits
from paymesh.bus.topology import Topology
from paymesh.db.engine import create_engine
from paymesh.db.migrate import ROOT
from paymesh.shell import Shell
from paymesh.store.postgres import PostgresStore
from tests.databases import Databases
from trade_svc.trades.model import TradeView

pytest.register_assert_rewrite("tests.runtime.store_contract", "tests.runtime.world")

from tests.runtime.world import (  # noqa: E402  (after its asserts are registered)
    Database,
    shell_on,
)


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """As in production."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session", autouse=True)
def _short_log_lines() -> Iterator[None]:
    renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[structlog.processors.add_log_level, renderer])
    yield
    structlog.reset_defaults()


@pytest.fixture
def database(databases: Databases) -> Iterator[Database]:
    """The runtime's and trade's tables, and nothing in them."""
    with databases.lent("trade", Database) as database:
        yield database


@pytest.fixture
async def postgres_store(database: Database) -> AsyncIterator[PostgresStore]:
    """The store as the service has it: by the role that owns nothing."""
    engine = create_engine(database.app_url, pool=4)
    yield PostgresStore(engine)
    await engine.dispose()


@pytest.fixture
async def other_store(database: Database) -> AsyncIterator[PostgresStore]:
    """The same database as another process would reach it."""
    engine = create_engine(database.app_url, pool=4)
    yield PostgresStore(engine)
    await engine.dispose()


@pytest.fixture
async def bus() -> AsyncIterator[InProcessBus]:
    topology = Topology.load(ROOT / "rabbitmq" / "definitions.json").scaled(0.001)
    limits = InProcessLimits(reopen_min_s=0.01, reopen_max_s=0.05, consumer_wait_s=0.1)
    bus = InProcessBus(topology, limits=limits)
    await bus.start()
    yield bus
    await bus.close()


@pytest.fixture
def shell(postgres_store: PostgresStore) -> Shell[TradeView]:
    return shell_on(postgres_store)
