"""Four migrated databases, and in them chains that went well."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from paymesh_ops.check import INVARIANTS
from paymesh_ops.launch.mesh import prepare
from tests.databases import Databases
from tests.ops.check.check_chains import plant
from tests.ops.check.check_world import World


@pytest.fixture(scope="session")
def mesh(plan_home: Callable[[str], Path], databases: Databases) -> Iterator[World]:
    plan = prepare(
        plan_home("check"), amqp=False, prefix=databases.four(), admin_url=databases.admin_url
    )
    world = World(plan)
    yield world
    world.close()


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
    monkeypatch.setattr("paymesh_ops.check.runner.READ_AGAIN_AFTER_S", 0.0)


@pytest.fixture
def only(impatient: None, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Leaves one invariant: with it alone, a case takes a fifth of the time."""

    def choose(number: int) -> None:
        chosen = [i for i in INVARIANTS if i.number == number]
        monkeypatch.setattr("paymesh_ops.check.runner.INVARIANTS", chosen)

    return choose
