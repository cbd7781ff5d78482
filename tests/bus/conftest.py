"""A vhost for every test, and both buses behind one fixture."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator

import pytest

from paymesh_ops.launch.servers import Broker
from tests.bus.contract import Harness, InProcessHarness, Management, RabbitHarness, in_vhost
from tests.bus.proxy import Proxy


@pytest.fixture
def vhost(management: Management) -> Iterator[str]:
    name = f"paymesh-test-{secrets.token_hex(4)}"
    management.create_vhost(name)
    yield name
    management.delete_vhost(name)


@pytest.fixture
def amqp_url(rabbit: Broker, vhost: str) -> str:
    """An empty vhost."""
    return in_vhost(rabbit.amqp_url, vhost)


@pytest.fixture
async def rabbit_harness(amqp_url: str) -> AsyncIterator[RabbitHarness]:
    harness = RabbitHarness(amqp_url)
    await harness.open()
    yield harness
    await harness.close()


@pytest.fixture
async def proxy(amqp_url: str) -> AsyncIterator[Proxy]:
    """Between a bus and the broker, to disturb them."""
    proxy = Proxy(amqp_url)
    await proxy.open()
    yield proxy
    await proxy.close()


@pytest.fixture
async def disturbed(proxy: Proxy) -> AsyncIterator[RabbitHarness]:
    """A bus that speaks through the proxy."""
    harness = RabbitHarness(proxy.amqp_url)
    await harness.open()
    yield harness
    await harness.close()


@pytest.fixture
async def impatient(proxy: Proxy) -> AsyncIterator[RabbitHarness]:
    """Another one, which soon gives up."""
    harness = RabbitHarness(proxy.amqp_url, confirm_timeout_s=0.5, admission_timeout_s=0.5)
    await harness.open()
    yield harness
    await harness.close()


@pytest.fixture
async def inprocess_harness() -> AsyncIterator[InProcessHarness]:
    harness = InProcessHarness()
    await harness.bus.start()
    yield harness
    await harness.close()


@pytest.fixture(params=["inprocess", "rabbit"])
def harness(request: pytest.FixtureRequest) -> Harness:
    """Both buses, one after the other."""
    found: Harness = request.getfixturevalue(f"{request.param}_harness")
    return found
