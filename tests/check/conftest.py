"""Four migrated databases of our own, and in them chains that went well."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from paymesh.check import INVARIANTS
from paymesh.launch.mesh import prepare
from paymesh.launch.servers import stop_servers
from tests.check.check_chains import plant
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
    """With what happened ten minutes ago: purchases, a refund, balances, withdrawals."""
    empty.restore(plant)
    return empty


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paymesh.check.runner.READ_AGAIN_AFTER_S", 0.0)


@pytest.fixture
def only(impatient: None, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Leaves one invariant: with it alone, a case takes a fifth of the time."""

    def choose(number: int) -> None:
        chosen = [i for i in INVARIANTS if i.number == number]
        monkeypatch.setattr("paymesh.check.runner.INVARIANTS", chosen)

    return choose
