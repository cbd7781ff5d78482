"""A PostgreSQL of our own, a fresh database a test, and clearing as it really runs."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import psycopg
import pytest
from payments.clearing.v1 import ledger_service_pb2_grpc

from clearing_svc.bootstrap import build
from clearing_svc.settings import ClearingSettings
from paymesh.app import App, Core
from paymesh.bus.inprocess import InProcessBus
from paymesh.bus.topology import Topology
from paymesh.clock import SystemClock
from paymesh.db import provision
from paymesh.db.migrate import ROOT, migrate
from paymesh.launch.postgres import PostgresServer, start_postgres, stop_postgres

TEMPLATE = "clearing_template"
PASSWORD = "unused"  # the server trusts its own host, and nobody else reaches it


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    # Not in pytest's folder: as root the server runs as nobody, who cannot enter that.
    folder = Path(tempfile.mkdtemp(prefix="paymesh-clearing-"))
    server = start_postgres(folder, settings={"fsync": "off"})  # no power cuts here
    yield server
    stop_postgres(server, mode="immediate")
    shutil.rmtree(folder)


@dataclass(frozen=True)
class Database:
    """One database, by the URLs of those who may enter it."""

    admin_url: str
    owner_url: str
    app_url: str

    def query(self, statement: str, *parameters: object) -> list[tuple[object, ...]]:
        """As superuser."""
        with psycopg.connect(self.admin_url) as connection:
            return connection.execute(statement.encode(), parameters).fetchall()


def _database(server: PostgresServer, name: str) -> Database:
    return Database(
        *(
            provision.url_for(server.url, role=role, password=PASSWORD, database=name)
            for role in ("postgres", "paymesh_clearing_owner", "paymesh_clearing_app")
        )
    )


@pytest.fixture(scope="session")
def migrated(postgres: PostgresServer) -> Database:
    """The template: a database with our schema and nothing in it."""
    provision.create_roles(postgres.url, dict.fromkeys(provision.ROLES, PASSWORD))
    provision.create_database(postgres.url, "clearing", database=TEMPLATE)
    database = _database(postgres, TEMPLATE)
    migrate("clearing", database.owner_url, app_role="paymesh_clearing_app")
    return database


@pytest.fixture
def database(postgres: PostgresServer, migrated: Database) -> Database:
    name = f"clearing_{secrets.token_hex(4)}"
    provision.create_database(postgres.url, "clearing", database=name, template=TEMPLATE)
    return _database(postgres, name)


@pytest.fixture
async def bus() -> AsyncIterator[InProcessBus]:
    topology = Topology.load(ROOT / "rabbitmq" / "definitions.json").scaled(0.001)
    bus = InProcessBus(topology)
    await bus.start()
    yield bus
    await bus.close()


@pytest.fixture
async def app(database: Database, bus: InProcessBus) -> AsyncIterator[App]:
    """Clearing in both roles, put together by its own bootstrap."""
    settings = ClearingSettings(
        clearing_database_url=database.app_url, drain_wait_s=0, listen="127.0.0.1:0"
    )
    app = build(settings, bus=bus, clock=SystemClock())
    await app.start({"serve", "work"})
    yield app
    await app.stop()


@pytest.fixture
def core(app: App) -> Core[object]:
    return app.cores[0]


Stub = ledger_service_pb2_grpc.LedgerServiceStub


@pytest.fixture
async def stub(app: App) -> AsyncIterator[Stub]:
    """A client over a real connection."""
    assert app.server is not None
    async with grpc.aio.insecure_channel(f"127.0.0.1:{app.server.port}") as channel:
        yield Stub(channel)
