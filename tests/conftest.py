"""Servers of our own for the session: one PostgreSQL, one RabbitMQ, started when first used."""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
import uvloop

from paymesh.launch.rabbitmq import stop_rabbitmq
from paymesh.launch.servers import Broker, ensure_postgres, ensure_rabbitmq, stop_servers


def pytest_configure(config: pytest.Config) -> None:
    # We log what matters of a connection's end; pika logs each with a traceback.
    logging.getLogger("pika").setLevel(logging.CRITICAL)


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """As in production."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session", autouse=True)
def _short_log_lines() -> None:
    renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[structlog.processors.add_log_level, renderer])


@pytest.fixture(scope="session")
def servers_home() -> Iterator[Path]:
    """A folder that another user may enter: as root, PostgreSQL runs as nobody."""
    folder = Path(tempfile.mkdtemp(prefix="paymesh-tests-", dir="/var/tmp"))
    folder.chmod(0o755)
    yield folder
    stop_rabbitmq(folder / "rabbitmq", kill=True)
    stop_servers(folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def admin_url(servers_home: Path) -> str:
    """A PostgreSQL administrator: PAYMESH_DATABASE_URL, or a private server for this session."""
    return ensure_postgres(servers_home).url


@pytest.fixture(scope="session")
def rabbit(servers_home: Path) -> Broker:
    """PAYMESH_AMQP_URL (with PAYMESH_RABBITMQ_MANAGEMENT_URL), or a private node.

    Of a broker that somebody named only vhosts of our own are touched, never what is in it.
    """
    return ensure_rabbitmq(servers_home)
