"""PostgreSQL and sandbox of our own, an empty database a test, the gateway as it really runs."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from gateway_svc.store import metadata
from paymesh.bus.inprocess import InProcessBus
from paymesh.bus.topology import Topology
from paymesh.db.migrate import ROOT
from paymesh.signing import generate_key_pair
from tests.databases import Databases
from tests.gateway.gateway_world import (
    Database,
    Events,
    Gateways,
)
from tests.ops.sandbox.sandbox_actors import Keys, Program, World


@pytest.fixture(scope="session")
def migrated(databases: Databases) -> Database:
    """A database with our schema, as an operator makes it."""
    return databases.new("gateway", Database)


@pytest.fixture
def database(migrated: Database) -> Database:
    """With nothing in it."""
    migrated.execute(f"TRUNCATE {', '.join(metadata.tables)}")
    return migrated


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    folder = tmp_path_factory.mktemp("keys")
    made = Keys(*generate_key_pair(), *generate_key_pair(), folder)
    (folder / "merchant.pem").write_bytes(made.merchant_private)
    (folder / "merchant.pub.pem").write_bytes(made.merchant_public)
    (folder / "channel.pem").write_bytes(made.channel_private)
    (folder / "channel.pub.pem").write_bytes(made.channel_public)
    (folder / "secret.key").write_bytes(secrets.token_bytes(32))
    return made


@pytest.fixture(scope="session")
def program(keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder = tmp_path_factory.mktemp("sandbox")
    program = Program(keys, folder / "book", folder / "log")
    program.start()
    yield program
    assert program.stop() == 0


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=60)
    # A server ends a connection that was idle, and on a busy machine between any two requests.
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        yield session


@pytest.fixture
async def sandbox(program: Program, keys: Keys, session: aiohttp.ClientSession) -> World:
    """The sandbox channel, healed."""
    world = World(program.url, keys, session)
    await world.faults()
    return world


@pytest.fixture
async def bus() -> AsyncIterator[InProcessBus]:
    bus = InProcessBus(Topology.load(ROOT / "rabbitmq" / "definitions.json").scaled(0.001))
    await bus.start()
    yield bus
    await bus.close()


@pytest.fixture
async def events(bus: InProcessBus) -> Events:
    """What the payment core would hear."""
    events = Events()
    await bus.consume("pay.channel-results", events)
    return events


@pytest.fixture
async def gateways(
    database: Database, bus: InProcessBus, events: Events, program: Program, keys: Keys
) -> AsyncIterator[Gateways]:
    """Starts gateways: `await gateways.start("serve", "ingress")`."""
    gateways = Gateways(database, bus, sandbox_url=program.url, keys=keys)
    yield gateways
    await gateways.stop()
