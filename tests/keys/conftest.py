"""A payment core's database for each test, and a folder of keys."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from paymesh.db import provision
from paymesh.db.engine import create_engine
from paymesh.db.migrate import migrate
from paymesh.launch.postgres import PostgresServer
from paymesh.secretbox import make_key
from paymesh.store.postgres import PostgresStore
from tests.conftest import PASSWORD
from tests.keys.keys_world import Database

TEMPLATE = "keys_template"


def _database(server: PostgresServer, name: str) -> Database:
    return Database(
        name,
        *(
            provision.url_for(server.url, role=role, password=PASSWORD, database=name)
            for role in ("postgres", "paymesh_pay_app")
        ),
    )


@pytest.fixture(scope="session")
def migrated(postgres: PostgresServer) -> Database:
    provision.create_database(postgres.url, "pay", database=TEMPLATE)
    owner_url = provision.url_for(
        postgres.url, role="paymesh_pay_owner", password=PASSWORD, database=TEMPLATE
    )
    migrate("pay", owner_url, app_role="paymesh_pay_app")
    return _database(postgres, TEMPLATE)


@pytest.fixture
def database(postgres: PostgresServer, migrated: Database) -> Database:
    """With nothing in it."""
    name = f"keys_{secrets.token_hex(4)}"
    provision.create_database(postgres.url, "pay", database=name, template=TEMPLATE)
    return _database(postgres, name)


@pytest.fixture
async def store(database: Database) -> AsyncIterator[PostgresStore]:
    """As the service has it: by the role that owns nothing."""
    engine = create_engine(database.app_url, pool=10)
    yield PostgresStore(engine)
    await engine.dispose()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With one key."""
    keys = tmp_path / "keys"
    keys.mkdir()
    make_key(keys)
    return keys
