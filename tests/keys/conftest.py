"""A payment core's database for each test, and a folder of keys."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from paymesh.db.engine import create_engine
from paymesh.secretbox import make_key
from paymesh.store.postgres import PostgresStore
from tests.databases import Databases
from tests.keys.keys_world import Database


@pytest.fixture
def database(databases: Databases) -> Iterator[Database]:
    """With nothing in it."""
    with databases.lent("pay", Database) as database:
        yield database


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
