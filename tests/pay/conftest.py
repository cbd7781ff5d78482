"""The payment core on a database of its own, between neighbours that do what a test wants."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pay_svc.store import metadata
from paymesh.bus.inprocess import InProcessBus
from paymesh.bus.topology import Topology
from paymesh.db.migrate import ROOT
from paymesh.secretbox import KEY_BYTES
from paymesh.server import Server
from tests.databases import Database, Databases
from tests.pay.neighbours import (
    GatewayStandIn,
    LedgerStandIn,
    gateway_service,
    ledger_service,
)
from tests.pay.pay_world import BALANCE, Caller, Heard, World


@pytest.fixture(scope="session")
def migrated(databases: Databases) -> Database:
    return databases.new("pay")


@pytest.fixture
def database(migrated: Database) -> Database:
    """With nothing in it."""
    migrated.query(f"TRUNCATE {', '.join(metadata.tables)}")
    return migrated


@pytest.fixture(scope="session")
def secret_key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "secret.key"
    path.write_bytes(os.urandom(KEY_BYTES))
    return path


@pytest.fixture
async def bus() -> AsyncIterator[InProcessBus]:
    bus = InProcessBus(Topology.load(ROOT / "rabbitmq" / "definitions.json").scaled(0.001))
    await bus.start()
    yield bus
    await bus.close()


@pytest.fixture
async def world(
    database: Database, bus: InProcessBus, secret_key_file: Path
) -> AsyncIterator[World]:
    """Neighbours that answer; `await world.start("serve", "work")` starts the payment core."""
    heard = Heard()
    await bus.consume("clearing.ledger", heard)
    await bus.consume("trade.payments", heard)
    gateway, ledger = GatewayStandIn(bus), LedgerStandIn()
    servers = (
        Server([gateway_service(gateway)], listen="127.0.0.1:0"),
        Server([ledger_service(ledger)], listen="127.0.0.1:0"),
    )
    for server in servers:
        await server.start()
    world = World(database, bus, gateway, ledger, servers, secret_key_file, heard)
    yield world
    await world.stop()


@pytest.fixture(autouse=True)
def _answers_when_asked_of_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not only as far as it has come by then, on a machine that is busy."""
    monkeypatch.setattr("pay_svc.rpc.CREDENTIAL_WAIT_S", 30.0)


@pytest.fixture
async def trade(world: World) -> Caller:
    """The trade core, at a payment core with all its roles; Ann has 50.00."""
    world.ledger.balances[BALANCE] = 5000
    return await world.start("serve", "work")
