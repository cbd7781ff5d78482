"""A database that was restored elsewhere: the chain says so."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from clearing_svc.books.chain import (
    DatabaseRestored,
    seal,
    seal_block,
)
from clearing_svc.bootstrap import build
from clearing_svc.settings import ClearingSettings
from paymesh.bus.inprocess import InProcessBus
from paymesh.clock import SystemClock
from paymesh_ops.launch import provision
from paymesh_ops.launch.postgres import PostgresServer, start_postgres, stop_postgres
from tests.clearing.chain_world import (
    count,
    damage,
    put_all,
    sealed,
    store_of,
)
from tests.clearing.conftest import Database
from tests.databases import database_of


async def test_a_server_behind_the_chain_is_refused(database: Database, bus: InProcessBus) -> None:
    """Nobody seals, and nobody serves: whatever were posted would look as if it were sealed."""
    put_all(database.app_url, 1)
    await sealed(database.app_url)
    with psycopg.connect(database.app_url) as connection:
        connection.execute(
            "INSERT INTO block SELECT 2, hash, hash, (3::bigint << 32) + 5, 1, 2, now() FROM block"
        )
    put_all(database.app_url, 1)
    async with store_of(database.app_url) as store:
        with pytest.raises(DatabaseRestored, match="pg_resetwal --epoch=4"):
            await seal_block(store)
    async with await psycopg.AsyncConnection.connect(database.app_url) as connection:
        with pytest.raises(DatabaseRestored):
            await seal(connection)
    settings = ClearingSettings(clearing_database_url=database.app_url, drain_wait_s=0)
    for role in ("serve", "work"):
        app = build(settings, bus=bus, clock=SystemClock())
        with pytest.raises(DatabaseRestored):
            await app.start({role})
        await app.stop()
    assert count(database, "block") == 2


@pytest.fixture
def other_server() -> Iterator[PostgresServer]:
    """Whose transactions begin from the start."""
    folder = Path(tempfile.mkdtemp(prefix="paymesh-restored-"))
    server = start_postgres(folder, settings={"fsync": "off"})
    yield server
    stop_postgres(server, mode="immediate")
    shutil.rmtree(folder)


def restore(database: Database, server: PostgresServer) -> Database:
    """A copy on the other server, by way of a dump."""
    passwords = dict.fromkeys(provision.ROLES, "unused")  # the server trusts its own host
    provision.create_roles(server.url, passwords)
    provision.create_database(server.url, "clearing", database="restored")
    restored = database_of(server.url, passwords, "clearing", "restored", Database)
    dump = subprocess.run(
        [server.bin_dir / "pg_dump", "--clean", database.admin_url], capture_output=True, check=True
    ).stdout
    load = [server.bin_dir / "psql", "-q", restored.admin_url]
    loaded = subprocess.run(load, input=dump, capture_output=True, check=False)
    assert loaded.returncode == 0, loaded.stderr
    return restored


def reset_epoch(server: PostgresServer, epoch: int) -> PostgresServer:
    """The procedure of the runbook."""
    stop_postgres(server)
    data = server.directory / "data"
    reset = [server.bin_dir / "pg_resetwal", f"--epoch={epoch}", data]
    done = subprocess.run(reset, capture_output=True, check=False, user=data.stat().st_uid)
    assert done.returncode == 0, done.stderr
    return start_postgres(server.directory, settings={"fsync": "off"})


@pytest.mark.slow
async def test_a_dump_restored_elsewhere_is_sealed_on_after_pg_resetwal(
    database: Database, other_server: PostgresServer
) -> None:
    put_all(database.app_url, 2, 1)
    with psycopg.connect(database.admin_url, autocommit=True) as connection:
        for _ in range(3000):
            connection.execute("SELECT pg_current_xact_id()")
    put_all(database.app_url, 1)
    assert await sealed(database.app_url) == [4]
    restored = restore(database, other_server)
    assert await damage(restored.admin_url) == []
    async with store_of(restored.app_url) as store:
        with pytest.raises(DatabaseRestored, match="pg_resetwal --epoch=1 "):
            await seal_block(store)
    reset_epoch(other_server, 1)
    put_all(restored.app_url, 1)
    assert await sealed(restored.app_url) == [1]
    assert await damage(restored.admin_url) == []
