"""What a run shares: one PostgreSQL and one RabbitMQ, started when first used; its seed."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path

import pytest
import structlog
import uvloop
from hypothesis import HealthCheck, settings

from paymesh import signing
from paymesh_ops.launch.postgres import PostgresServer, start_postgres
from paymesh_ops.launch.provision import create_roles, credentials
from paymesh_ops.launch.rabbitmq import stop_rabbitmq
from paymesh_ops.launch.servers import Broker, ensure_rabbitmq, stop_servers
from tests.bus.contract import Management
from tests.databases import Databases, locked

HOME = pytest.StashKey[Path]()
SEED = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    # We log what matters of a connection's end; pika logs each with a traceback.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    # A key's primes are proven as it is read. Tests read the same few keys hundreds of times.
    signing._load_private = lru_cache(signing._load_private)
    # How long an example takes says how busy the machine is.
    slow = [HealthCheck.too_slow]
    settings.register_profile("any machine", deadline=None, suppress_health_check=slow)
    settings.load_profile("any machine")
    told = getattr(config, "workerinput", None)
    if told is None:
        home = Path(tempfile.mkdtemp(prefix="paymesh-tests-", dir="/var/tmp"))
        home.chmod(0o755)  # another user may enter it: as root, PostgreSQL runs as nobody
        given = config.getoption("hypothesis_seed")
        config.stash[HOME], config.stash[SEED] = home, int(given or time.time())
    else:
        config.stash[HOME], config.stash[SEED] = Path(told["servers_home"]), told["seed"]
    config.option.hypothesis_seed = config.stash[SEED]


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node) -> None:
    """What xdist tells each worker."""
    node.workerinput["servers_home"] = str(node.config.stash[HOME])
    node.workerinput["seed"] = node.config.stash[SEED]


def pytest_report_header(config: pytest.Config) -> str:
    seed = config.stash[SEED]
    return f"random tests drew from the seed {seed}; the same again: --hypothesis-seed={seed}"


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """With -q there is no header."""
    terminalreporter.line(pytest_report_header(config))


def pytest_unconfigure(config: pytest.Config) -> None:
    """The last one out stops the servers."""
    if hasattr(config, "workerinput") or HOME not in config.stash:
        return
    home = config.stash[HOME]
    stop_rabbitmq(home / "rabbitmq", kill=True)
    stop_servers(home)
    shutil.rmtree(home)


LONGEST = (
    *("test_up.py", "test_kills.py", "test_storm.py", "test_flows.py", "test_interrupted.py"),
    *("test_withdrawals.py", "test_keys.py", "test_hostile_environment.py", "test_busy.py"),
    "test_telemetry.py",
    *("test_wrong_settings.py", "test_split_crashes.py", "test_ledger_stateful.py"),
)
"""Of the files; each of the first starts a mesh."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: a file stays with one worker, and the others fill in beside it."""
    rank = {name: n for n, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """As in production."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session", autouse=True)
def _short_log_lines() -> None:
    renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[structlog.processors.add_log_level, renderer])


@pytest.fixture(scope="session")
def seed(pytestconfig: pytest.Config) -> int:
    """What random tests draw from; another one each run."""
    return pytestconfig.stash[SEED]


@pytest.fixture(scope="session")
def servers_home(pytestconfig: pytest.Config) -> Path:
    """The run's folder, which all workers share."""
    return pytestconfig.stash[HOME]


@pytest.fixture
def own_home() -> Iterator[Path]:
    """A PAYMESH_HOME for a command that starts its own servers; what is left of them is stopped."""
    with tempfile.TemporaryDirectory(prefix="paymesh-own-", dir="/var/tmp") as name:
        home = Path(name)
        home.chmod(0o755)  # as root, PostgreSQL runs as nobody
        yield home
        for folder in filter(Path.is_dir, home.iterdir()):
            stop_rabbitmq(folder / "rabbitmq", kill=True)
            stop_servers(folder)


@pytest.fixture(scope="session")
def postgres(servers_home: Path) -> PostgresServer:
    """The run's own server."""
    # No power is cut here: what is killed is processes of ours, and the kernel keeps their writes.
    settings = {"fsync": "off", "full_page_writes": "off", "max_connections": "500"}
    with locked(servers_home, "postgres"):
        return start_postgres(servers_home / "postgres", settings=settings)


@pytest.fixture(scope="session")
def admin_url(request: pytest.FixtureRequest) -> str:
    """A PostgreSQL administrator: PAYMESH_DATABASE_URL, or that of the run's own server."""
    named = os.environ.get("PAYMESH_DATABASE_URL")
    return named or request.getfixturevalue("postgres").url


@pytest.fixture(scope="session")
def passwords(servers_home: Path, admin_url: str) -> Mapping[str, str]:
    """Of our roles, which belong to the server: by name."""
    with locked(servers_home, "roles"):
        first = not (servers_home / "credentials.json").exists()
        found = credentials(servers_home / "credentials.json")
        if first:
            create_roles(admin_url, found)
    return found


@pytest.fixture(scope="session")
def databases(
    servers_home: Path, admin_url: str, passwords: Mapping[str, str], worker_id: str
) -> Iterator[Databases]:
    """Makes databases."""
    run = "t" + servers_home.name.removeprefix("paymesh-tests-")
    databases = Databases(servers_home, admin_url, passwords, run, worker_id)
    yield databases
    if "PAYMESH_DATABASE_URL" in os.environ:  # else they go with the server
        databases.drop()


@pytest.fixture(scope="session")
def plan_home(
    servers_home: Path, passwords: Mapping[str, str], worker_id: str
) -> Callable[[str], Path]:
    """A mesh's own folder; all share the roles' passwords, for there is one server."""

    def make(name: str) -> Path:
        folder = servers_home / worker_id / name
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(servers_home / "credentials.json", folder / "credentials.json")
        return folder

    return make


@pytest.fixture(scope="session")
def rabbit(servers_home: Path) -> Broker:
    """PAYMESH_AMQP_URL (with PAYMESH_RABBITMQ_MANAGEMENT_URL), or the run's own node.

    Of a broker that somebody named only vhosts of our own are touched, never what is in it.
    """
    return ensure_rabbitmq(servers_home)


@pytest.fixture(scope="session")
def management(rabbit: Broker) -> Management:
    assert rabbit.management_url is not None, "set PAYMESH_RABBITMQ_MANAGEMENT_URL too"
    return Management(rabbit.management_url)
