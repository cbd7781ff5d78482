"""The mesh in one process (quick), and as real processes on RabbitMQ (for what must die)."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psycopg
import pytest

from paymesh.app import App
from paymesh_ops.clients.shop import Shop
from paymesh_ops.inproc import whole_mesh
from paymesh_ops.launch.mesh import Mesh, MeshPlan, prepare
from paymesh_ops.launch.servers import Broker
from tests.bus.contract import Management, in_vhost
from tests.databases import Databases

TIME_SCALE = 0.1
"""Every ladder runs ten times as fast: the first query after half a second."""


def shop_of(plan: MeshPlan, *, patience_s: float = 60.0) -> Shop:
    return Shop(
        trade_target=plan.target("trade"),
        pay_target=plan.target("pay"),
        gateway_target=plan.target("gateway"),
        clearing_target=plan.target("clearing"),
        sandbox_url=plan.sandbox_url,
        patience_s=patience_s,
    )


@pytest.fixture(autouse=True)
def _answers_when_asked_of_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not only as far as it has come by then, on a machine that is busy."""
    monkeypatch.setattr("trade_svc.rpc.START_WAIT_S", 30.0)
    monkeypatch.setattr("pay_svc.rpc.CREDENTIAL_WAIT_S", 30.0)


Sandboxed = Callable[[str], AbstractContextManager[MeshPlan]]


@pytest.fixture(scope="session")
def sandboxed(plan_home: Callable[[str], Path], databases: Databases) -> Sandboxed:
    """Databases and a sandbox of their own for a mesh in one process."""

    @contextmanager
    def plan_of(name: str) -> Iterator[MeshPlan]:
        plan = prepare(
            plan_home(name),
            amqp=False,
            time_scale=TIME_SCALE,
            prefix=databases.four(),
            admin_url=databases.admin_url,
        )
        sandbox = Mesh(plan)
        sandbox.start(["sandbox"])
        try:
            yield plan
        finally:
            sandbox.stop()

    return plan_of


@pytest.fixture(scope="session")
def sandboxed_plan(sandboxed: Sandboxed) -> Iterator[MeshPlan]:
    with sandboxed("quick") as plan:
        yield plan


@pytest.fixture
async def apps(sandboxed_plan: MeshPlan) -> AsyncIterator[dict[str, App]]:
    """All services with all roles in this process, on real PostgreSQL and a real sandbox."""
    async with whole_mesh(sandboxed_plan) as running:
        yield running


@pytest.fixture
async def shop(apps: dict[str, App], sandboxed_plan: MeshPlan) -> AsyncIterator[Shop]:
    async with shop_of(sandboxed_plan) as shop:
        await shop.faults({})
        yield shop


@pytest.fixture(scope="module")
def real_plan(
    plan_home: Callable[[str], Path],
    databases: Databases,
    rabbit: Broker,
    management: Management,
) -> Iterator[MeshPlan]:
    """Databases and a vhost of its own: what waits for a mesh before it must not reach it."""
    name = f"real_{secrets.token_hex(3)}"
    management.create_vhost(name)
    yield prepare(
        plan_home("real"),
        time_scale=TIME_SCALE,
        prefix=databases.four(),
        admin_url=databases.admin_url,
        amqp_url=in_vhost(rabbit.amqp_url, name),
    )
    management.delete_vhost(name)


@pytest.fixture(scope="module")
def real_mesh(real_plan: MeshPlan) -> Iterator[Mesh]:
    """Every role a process, on real RabbitMQ."""
    mesh = Mesh(real_plan)
    try:
        mesh.start()
        yield mesh
    finally:
        mesh.stop()


TABLES = {
    "trade": ("trade", "attempt", "guard", "outbox", "request_answer"),
    "pay": ("payment", "instruction", "outbox", "request_answer"),
    "gateway": ("channel_order", "callback", "inbox", "outbox", "request_answer"),
    "clearing": ("account", "entry", "hold", "journal", "outbox", "request_answer"),
}


def count_rows(plan: MeshPlan) -> dict[str, int]:
    counts = {}
    for service, tables in TABLES.items():
        with psycopg.connect(plan.reader_urls[service]) as connection:
            for table in tables:
                row = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
                assert row is not None
                counts[f"{service}.{table}"] = row[0]
    return counts


@pytest.fixture
async def nothing_written(shop: Shop, sandboxed_plan: MeshPlan) -> AsyncIterator[None]:
    """The test leaves no row in any database."""
    before: dict[str, int] = {}
    while before != (before := count_rows(sandboxed_plan)):
        await asyncio.sleep(0.3)  # what former tests left under way comes to its end
    yield
    assert count_rows(sandboxed_plan) == before
