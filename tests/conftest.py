"""Servers of our own for the session: one PostgreSQL, one RabbitMQ, started when first used."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
import uvloop

from paymesh.db.provision import ROLES, create_roles, credentials
from paymesh.launch.postgres import PostgresServer, start_postgres
from paymesh.launch.rabbitmq import stop_rabbitmq
from paymesh.launch.servers import Broker, ensure_rabbitmq, stop_servers
from tests.bus.contract import Management


def pytest_configure(config: pytest.Config) -> None:
    # We log what matters of a connection's end; pika logs each with a traceback.
    logging.getLogger("pika").setLevel(logging.CRITICAL)


LONGEST = {"test_kills.py", "test_busy.py", "test_storm.py", "test_bench.py"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: a file stays with one worker, and the others fill in beside it."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


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


@pytest.fixture
def own_home() -> Iterator[Path]:
    """A PAYMESH_HOME for a command that starts its own servers; what is left of them is stopped."""
    with tempfile.TemporaryDirectory(prefix="paymesh-own-", dir="/var/tmp") as name:
        home = Path(name)
        home.chmod(0o755)  # as root, PostgreSQL runs as nobody
        yield home
        for folder in home.iterdir():
            stop_rabbitmq(folder / "rabbitmq", kill=True)
            stop_servers(folder)


PASSWORD = "unused"  # the server trusts its own host, and nobody else reaches it


@pytest.fixture(scope="session")
def postgres(servers_home: Path) -> PostgresServer:
    """A private server with our roles, for this session: each makes databases of its own in it."""
    # No power is cut here: what is killed is processes of ours, and the kernel keeps their writes.
    server = start_postgres(servers_home / "postgres", settings={"fsync": "off"})
    create_roles(server.url, dict.fromkeys(ROLES, PASSWORD))
    return server


@pytest.fixture(scope="session")
def admin_url(request: pytest.FixtureRequest) -> str:
    """A PostgreSQL administrator: PAYMESH_DATABASE_URL, or that of the private server."""
    named = os.environ.get("PAYMESH_DATABASE_URL")
    return named or request.getfixturevalue("postgres").url


@pytest.fixture(scope="session")
def plan_home(servers_home: Path) -> Callable[[str], Path]:
    """A mesh's own folder; all share the roles' passwords, for there is one server."""

    def make(name: str) -> Path:
        folder = servers_home / name
        folder.mkdir(exist_ok=True)
        passwords = servers_home / "credentials.json"
        credentials(passwords)
        shutil.copy(passwords, folder / "credentials.json")
        return folder

    return make


@pytest.fixture(scope="session")
def rabbit(servers_home: Path) -> Broker:
    """PAYMESH_AMQP_URL (with PAYMESH_RABBITMQ_MANAGEMENT_URL), or a private node.

    Of a broker that somebody named only vhosts of our own are touched, never what is in it.
    """
    return ensure_rabbitmq(servers_home)


@pytest.fixture(scope="session")
def management(rabbit: Broker) -> Management:
    assert rabbit.management_url is not None, "set PAYMESH_RABBITMQ_MANAGEMENT_URL too"
    return Management(rabbit.management_url)
