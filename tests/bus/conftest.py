"""A broker of our own, a vhost for every test, and both buses behind one fixture."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
import structlog
import uvloop

from paymesh.launch.rabbitmq import find_rabbitmq, stop_rabbitmq
from paymesh.launch.servers import Broker, ensure_rabbitmq
from tests.bus.contract import Harness, InProcessHarness, Management, RabbitHarness, in_vhost
from tests.bus.proxy import Proxy


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes more than a few seconds")
    # We log what matters of a connection's end; pika logs each with a traceback.
    logging.getLogger("pika").setLevel(logging.CRITICAL)


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """As in production."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session", autouse=True)
def _short_log_lines() -> Iterator[None]:
    renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[structlog.processors.add_log_level, renderer])
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """PAYMESH_AMQP_URL with PAYMESH_RABBITMQ_MANAGEMENT_URL, or a private node for this session.

    Of a broker that somebody named only vhosts of our own are touched, never what is in it.
    """
    if not os.environ.get("PAYMESH_AMQP_URL") and find_rabbitmq() is None:
        pytest.skip("RabbitMQ is not installed: scripts/setup.sh --broker, or set PAYMESH_AMQP_URL")
    broker = ensure_rabbitmq(tmp_path_factory.mktemp("servers"))
    if broker.management_url is None:
        pytest.skip("PAYMESH_AMQP_URL is set without PAYMESH_RABBITMQ_MANAGEMENT_URL")
    yield broker
    if broker.server is not None:
        stop_rabbitmq(broker.server, kill=True)


@pytest.fixture(scope="session")
def management(rabbit: Broker) -> Management:
    assert rabbit.management_url is not None
    return Management(rabbit.management_url)


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
    """A bus that speaks through the proxy and is soon out of patience."""
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
