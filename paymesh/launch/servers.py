"""The servers of this checkout: the user's own where the environment names them, else ours.

`home/servers.json` says what we started, so that another process can find it and stop it. It is a
record, not the truth: each server is looked up by its own folder and its living process.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from paymesh.launch.home import write_atomically
from paymesh.launch.postgres import (
    PostgresServer,
    PostgresUnavailable,
    running_postgres,
    start_postgres,
    stop_postgres,
)
from paymesh.launch.rabbitmq import RabbitServer, running_rabbitmq, start_rabbitmq, stop_rabbitmq

# Usually 4 s; 41 s were seen where nothing of Erlang was in the disk cache yet. One that dies is
# noticed at once, so patience costs nothing.
_FIRST_BOOT_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Database:
    """Where PostgreSQL is. `server` is None if it is the user's own, which we never stop."""

    url: str
    server: PostgresServer | None


@dataclass(frozen=True)
class Broker:
    """Where RabbitMQ is. `server` is None if it is the user's own, which we never stop.

    `management_url` carries user and password; None if the user named a broker without it.
    """

    amqp_url: str
    management_url: str | None
    server: RabbitServer | None


@dataclass(frozen=True)
class Servers:
    """What of ours is running."""

    postgres: PostgresServer | None
    rabbitmq: RabbitServer | None


def ensure_postgres(home: Path) -> Database:
    """PAYMESH_DATABASE_URL if set, else our own server in `home`, started if it is not running.

    Any number of processes may call it at once. Raises PostgresUnavailable.
    """
    url = os.environ.get("PAYMESH_DATABASE_URL")
    if url:
        return Database(url=url, server=None)
    with _locked(home):
        server = start_postgres(home / "postgres")
        _record(home)
    return Database(url=server.url, server=server)


def ensure_rabbitmq(home: Path) -> Broker:
    """PAYMESH_AMQP_URL if set, else our own node in `home`, started if it is not running.

    With PAYMESH_AMQP_URL, PAYMESH_RABBITMQ_MANAGEMENT_URL may name the broker's HTTP interface.
    Any number of processes may call it at once. Raises RabbitUnavailable.
    """
    url = os.environ.get("PAYMESH_AMQP_URL")
    if url:
        management_url = os.environ.get("PAYMESH_RABBITMQ_MANAGEMENT_URL") or None
        return Broker(amqp_url=url, management_url=management_url, server=None)
    with _locked(home):
        server = start_rabbitmq(home / "rabbitmq", timeout_s=_FIRST_BOOT_TIMEOUT_S)
        _record(home)
    return Broker(amqp_url=server.amqp_url, management_url=server.management_url, server=server)


def running_servers(home: Path) -> Servers:
    """Our servers of `home` that run now, whoever started them."""
    return Servers(
        postgres=running_postgres(home / "postgres"),
        rabbitmq=running_rabbitmq(home / "rabbitmq"),
    )


def stop_servers(home: Path) -> Servers:
    """Stop our servers of `home`, by process id; returns those that ran. Their data stays.

    Raises PostgresUnavailable or RabbitUnavailable if one cannot be stopped.
    """
    with _locked(home):
        stopped = running_servers(home)
        try:
            stop_rabbitmq(home / "rabbitmq")  # also what a node that was killed left behind
        finally:
            if stopped.postgres is not None:
                _stop_postgres(stopped.postgres)
            _record(home)
    return stopped


def _stop_postgres(server: PostgresServer) -> None:
    try:
        stop_postgres(server)
    except PostgresUnavailable:
        # What was committed is on the disk: a crash loses nothing, the next start recovers.
        stop_postgres(server, mode="immediate")


def _record(home: Path) -> None:
    running = running_servers(home)
    entries: dict[str, dict[str, str | int]] = {}
    if running.postgres is not None:
        entries["postgres"] = {"pid": running.postgres.pid, "url": running.postgres.url}
    if running.rabbitmq is not None:
        entries["rabbitmq"] = {
            "pid": running.rabbitmq.pid,
            "url": running.rabbitmq.amqp_url,
            "management_url": running.rabbitmq.management_url,
        }
    # Readable by us alone: the broker's password is in it.
    write_atomically(home / "servers.json", json.dumps(entries, indent=2) + "\n", mode=0o600)


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """One process at a time starts or stops servers of `home`; released even by kill -9."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "servers.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
