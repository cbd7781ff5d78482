"""The whole mesh on one machine: which processes there are, what they are told, who restarts them.

`prepare` makes everything that lasts (servers, databases, roles, keys, topology, ports) and can be
repeated; `Mesh` starts the processes, starts again what dies, and stops them in order.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from sqlalchemy.exc import DBAPIError

from paymesh.bus.topology import Topology, TopologyError, apply
from paymesh.db.errors import error_text
from paymesh.db.migrate import ROOT, UnknownSchema
from paymesh.db.session import arguments, parse
from paymesh.process import DEFINITIONS
from paymesh.secretbox import KeyUnusable, key_files, make_key
from paymesh.signing import generate_key_pair
from paymesh_ops.launch import processes
from paymesh_ops.launch.home import kept_ports, write_atomically
from paymesh_ops.launch.living import process_options
from paymesh_ops.launch.postgres import PostgresUnavailable
from paymesh_ops.launch.provision import (
    READER,
    SERVICES,
    credentials,
    provision,
    remember_sandbox,
    url_for,
)
from paymesh_ops.launch.rabbitmq import RabbitUnavailable
from paymesh_ops.launch.servers import ensure_postgres, ensure_rabbitmq
from paymesh_ops.sandbox.book import book_id

READY_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 30.0
STEADY_S = 60.0
"""What has lived so long and dies is started again at once."""
POLL_S = 0.05

Progress = Callable[[str], None]
"""Is told what is being done now."""


def _nobody(_now: str) -> None:
    """Nobody wants to know."""


REFUSALS = (
    ConnectionError,  # of the broker
    PostgresUnavailable,
    RabbitUnavailable,
    TopologyError,
    UnknownSchema,
    KeyUnusable,
)
"""Of `prepare`: what an operator can put right, and how."""


@dataclass(frozen=True)
class Process:
    """One process of the mesh by name (`trade-serve`), with its command line."""

    name: str
    argv: tuple[str, ...]


PROCESSES = (
    "sandbox",
    "clearing-serve",
    "clearing-work",
    "gateway-serve",
    "gateway-work",
    "gateway-ingress",
    "pay-serve",
    "pay-work",
    "trade-serve",
    "trade-work",
)
"""In the order in which they are started: callees first."""
OURS = tuple(name for name in PROCESSES if name != "sandbox")
"""Without the channel."""

PORTS = ("trade", "pay", "gateway", "clearing", "ingress", "sandbox")


@dataclass(frozen=True)
class MeshPlan:
    """Everything that the processes are told; `reader_urls` may read all databases."""

    home: Path
    environment: Mapping[str, str]
    ports: Mapping[str, int]
    amqp_url: str
    admin_url: str
    databases: Mapping[str, str]
    reader_urls: Mapping[str, str]

    def target(self, service: str) -> str:
        """Where a service answers gRPC."""
        return f"127.0.0.1:{self.ports[service]}"

    @property
    def sandbox_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['sandbox']}"

    @property
    def ingress_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['ingress']}"


def prepare(
    home: Path,
    *,
    amqp: bool = True,
    time_scale: float = 1.0,
    prefix: str = "paymesh_",
    admin_url: str | None = None,
    amqp_url: str | None = None,
    running: bool = False,
    progress: Progress = _nobody,
) -> MeshPlan:
    """Servers up, databases migrated, keys made, topology applied: safe to repeat.

    `admin_url` and `amqp_url` name servers that run already. Without `amqp` no broker is needed.
    `running`: the mesh is up, its ports are its own.
    Raises one of REFUSALS, saying what to do.
    """
    home.mkdir(parents=True, exist_ok=True)
    progress("PostgreSQL")
    admin_url = admin_url or ensure_postgres(home).url
    progress("databases")
    passwords = credentials(home / "credentials.json")
    try:
        databases = provision(admin_url, passwords, prefix=prefix)
        remember_sandbox(admin_url, databases["gateway"], book_id(home / "sandbox"))
    except (psycopg.OperationalError, psycopg.errors.InsufficientPrivilege, DBAPIError) as error:
        where = parse(admin_url).set(password=None)
        raise PostgresUnavailable(
            f"{where} does not do what we need: {error_text(error)}"
        ) from error
    if amqp:
        progress("RabbitMQ")
        amqp_url = amqp_url or ensure_rabbitmq(home).amqp_url
        progress("exchanges and queues")
        apply(amqp_url, Topology.load(DEFINITIONS).scaled(time_scale))
    ports = kept_ports(home / "ports.json", PORTS, in_use=running)

    def url(service: str, role: str) -> str:
        return url_for(admin_url, role=role, password=passwords[role], database=databases[service])

    reader_urls = {service: url(service, READER) for service in SERVICES}
    keys = _keys(home / "keys", reader_urls.values())
    environment = {
        "PAYMESH_AMQP_URL": amqp_url or "",
        "PAYMESH_TIME_SCALE": str(time_scale),
        "PAYMESH_DRAIN_WAIT_S": "0",
        "PAYMESH_RELAY_OLDER_THAN_S": str(5 * time_scale),
        "PAYMESH_SECRET_KEY_FILE": str(keys),
        "PAYMESH_NOTIFY_ALLOW_PRIVATE": "true",
        "PAYMESH_SANDBOX_URL": f"http://127.0.0.1:{ports['sandbox']}",
        "PAYMESH_SANDBOX_PUBLIC_KEY_FILE": str(keys / "sandbox.pub.pem"),
        "PAYMESH_SANDBOX_MERCHANT_KEY_FILE": str(keys / "merchant.pem"),
        "PAYMESH_CALLBACK_BASE_URL": f"http://127.0.0.1:{ports['ingress']}",
        "PAYMESH_INGRESS_LISTEN": f"127.0.0.1:{ports['ingress']}",
        "PAYMESH_PAY_TARGET": f"127.0.0.1:{ports['pay']}",
        "PAYMESH_GATEWAY_TARGET": f"127.0.0.1:{ports['gateway']}",
        "PAYMESH_CLEARING_TARGET": f"127.0.0.1:{ports['clearing']}",
    }
    for service in SERVICES:
        environment[f"PAYMESH_{service.upper()}_DATABASE_URL"] = url(
            service, f"paymesh_{service}_app"
        )
    return MeshPlan(
        home=home,
        environment=environment,
        ports=ports,
        amqp_url=amqp_url or "",
        admin_url=admin_url,
        databases=databases,
        reader_urls=reader_urls,
    )


def _keys(folder: Path, databases: Iterable[str]) -> Path:
    """The keys of sandbox and merchant and the key that encrypts secrets: made once, ours alone.

    Databases that were in use need the key that they had: none is made, and who needs it says so.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    for name in ("sandbox", "merchant"):
        if not (folder / f"{name}.pub.pem").exists():
            private, public = generate_key_pair()
            write_atomically(folder / f"{name}.pem", private.decode(), mode=0o600)
            write_atomically(folder / f"{name}.pub.pem", public.decode(), mode=0o600)
    if not key_files(folder) and not any(map(_was_used, databases)):
        with suppress(FileExistsError):  # who prepares at the same moment has made it
            make_key(folder)
    return folder


def _was_used(database: str) -> bool:
    """Whether something may be encrypted there: it has a probe, or answered before there were."""
    with psycopg.connect(**arguments(database)) as connection:
        row = connection.execute(
            "SELECT EXISTS (SELECT FROM key_probe) OR EXISTS (SELECT FROM request_answer)"
        ).fetchone()
        return row is not None and bool(row[0])


@dataclass
class _Child:
    popen: subprocess.Popen[bytes]
    ready_file: Path
    started: float
    log_start: int
    """Where its own words begin in the log."""
    restarts: int = 0


@dataclass
class Mesh:
    """The processes of a plan. `extra` are variables for single processes, by name."""

    plan: MeshPlan
    extra: dict[str, dict[str, str]] = field(default_factory=dict)
    children: dict[str, _Child] = field(default_factory=dict)
    deaths: list[tuple[str, int]] = field(default_factory=list)
    """(process, exit code) of everything that ended without being told to."""
    exit_codes: dict[str, int] = field(default_factory=dict)
    """How each process ended when it was told to."""

    def start(self, names: Iterable[str] = PROCESSES, *, progress: Progress = _nobody) -> None:
        """Starts processes and waits until each is ready. Raises MeshNotReady, saying why not."""
        names = list(names)
        for name in names:
            self._spawn(name)
        for name in names:
            progress(name)
            self.wait_ready(name)

    def _spawn(self, name: str, restarts: int = 0) -> None:
        folder = self.plan.home / "run"
        folder.mkdir(exist_ok=True)
        ready = _ready_file(self.plan.home, name)
        ready.unlink(missing_ok=True)
        log = (folder / f"{name}.log").open("ab")
        log_start = log.tell()
        environment = {
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            **self.plan.environment,
            "PAYMESH_ROLE": name,
            "PAYMESH_READY_FILE": str(ready),
            **self.extra.get(name, {}),
        }
        # Ten processes that import the same modules: compile them once, whatever the shell says.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        if name.endswith("-serve"):
            service = name.removesuffix("-serve")
            environment["PAYMESH_LISTEN"] = self.plan.target(service)
        popen = subprocess.Popen(
            self._argv(name),
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log if name != "sandbox" else ready.open("wb"),
            stderr=log,
            start_new_session=True,
        )
        log.close()
        self.children[name] = _Child(popen, ready, time.monotonic(), log_start, restarts)

    def _argv(self, name: str) -> list[str]:
        python = [sys.executable, *process_options(self.plan.home)]
        if name != "sandbox":
            service, role = name.split("-")
            return [*python, f"{service}_svc", role]
        keys = self.plan.home / "keys"
        return [
            *(*python, "paymesh_ops.sandbox"),
            *("--port", str(self.plan.ports["sandbox"])),
            *("--book", str(self.plan.home / "sandbox")),
            *("--key", str(keys / "sandbox.pem")),
            *("--merchant-key", str(keys / "merchant.pub.pem")),
        ]

    def wait_ready(self, name: str) -> None:
        child = self.children[name]
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not is_ready(self.plan.home, name):
            code = child.popen.poll()
            if code is not None or time.monotonic() > deadline:
                state = f"exited with {code}" if code is not None else "is not ready"
                log = self.plan.home / "run" / f"{name}.log"
                said = processes.first_helpful_line(processes.tail(log, offset=child.log_start))
                raise MeshNotReady(f"{name} {state}: {said or 'it said nothing'}; see {log}")
            time.sleep(POLL_S)

    def restart(self, names: Iterable[str]) -> None:
        """kill -9, then start anew with what `extra` says now."""
        names = list(names)
        for name in names:
            self.children[name].popen.kill()
            self.children[name].popen.wait()
        self.start(names)

    def kill(self, name: str) -> None:
        """kill -9; `tend` starts it again."""
        self.children[name].popen.kill()

    def tend(self) -> list[str]:
        """Starts again what has died; which that were. A process that keeps dying waits longer."""
        revived = []
        for name, child in list(self.children.items()):
            code = child.popen.poll()
            if code is None:
                continue
            if time.monotonic() - child.started < min(5.0, 0.2 * child.restarts):
                continue
            self.deaths.append((name, code))
            self.extra.get(name, {}).pop("FAILPOINT", None)  # it has fired
            steady = time.monotonic() - child.started > STEADY_S
            self._spawn(name, 1 if steady else child.restarts + 1)
            revived.append(name)
        return revived

    def stop(self) -> None:
        """SIGTERM, callers first; what does not end in time is killed. Keeps the exit codes."""
        for name in reversed(list(self.children)):
            popen = self.children[name].popen
            if popen.poll() is None:
                popen.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for child in self.children.values():
            try:
                child.popen.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.popen.kill()
                child.popen.wait()
        self.exit_codes = {name: child.popen.returncode for name, child in self.children.items()}
        self.children.clear()


@asynccontextmanager
async def tended(mesh: Mesh, *, restart_always: bool = False) -> AsyncIterator[None]:
    """Meanwhile, whatever dies is started again; `restart_always`: also what keeps dying."""

    async def tend() -> None:
        while True:
            for name in mesh.tend():
                if restart_always:
                    mesh.children[name].restarts = 0
            await asyncio.sleep(POLL_S)

    task = asyncio.create_task(tend())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def is_ready(home: Path, name: str) -> bool:
    """Whether the process has said that it is ready."""
    file = _ready_file(home, name)
    return file.exists() and file.stat().st_size > 0


def _ready_file(home: Path, name: str) -> Path:
    return home / "run" / f"{name}.ready"


class MeshNotReady(RuntimeError):
    """A process of the mesh did not come up; the message has what it said, and where its log is."""
