"""Four migrated databases of our own, and in them one chain that went well."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from paymesh.launch.mesh import prepare
from paymesh.launch.servers import stop_servers
from tests.check.check_world import World


@pytest.fixture(scope="session")
def mesh() -> Iterator[World]:
    # Not in pytest's folder: as root the server runs as nobody, who cannot enter that.
    home = Path(tempfile.mkdtemp(prefix="paymesh-check-", dir="/var/tmp"))
    home.chmod(0o755)
    try:
        world = World(prepare(home, amqp=False, prefix="check_"))
        yield world
        world.close()
    finally:
        stop_servers(home)
        shutil.rmtree(home)


@pytest.fixture
def empty(mesh: World) -> World:
    mesh.clear()
    return mesh


@pytest.fixture
def world(empty: World) -> World:
    """With a trade that was paid ten minutes ago, at its second attempt; the first was returned."""
    empty.restore()
    return empty
