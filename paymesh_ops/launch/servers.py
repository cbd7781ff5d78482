"""The servers of this checkout: the user's own where the environment names them, else ours.

There is no record of what runs: each server is looked up by its own folder and living process.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from paymesh_ops.launch import locks
from paymesh_ops.launch.postgres import (
    PostgresServer,
    end_postgres,
    running_postgres,
    start_postgres,
)
from paymesh_ops.launch.rabbitmq import (
    RabbitServer,
    running_rabbitmq,
    start_rabbitmq,
    stop_rabbitmq,
)

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


def ensure_postgres(home: Path, *, same_port: bool = False) -> Database:
    """PAYMESH_DATABASE_URL if set, else our own server in `home`, started if it is not running.

    Any number of processes may call it at once. `same_port`: as for start_postgres.
    Raises PostgresUnavailable.
    """
    url = os.environ.get("PAYMESH_DATABASE_URL")
    if url:
        return Database(url=url, server=None)
    with locks.waited(home / "postgres.lock", "paymesh"):
        server = start_postgres(home / "postgres", same_port=same_port)
    return Database(url=server.url, server=server)


def ensure_rabbitmq(home: Path, *, same_ports: bool = False) -> Broker:
    """PAYMESH_AMQP_URL if set, else our own node in `home`, started if it is not running.

    With PAYMESH_AMQP_URL, PAYMESH_RABBITMQ_MANAGEMENT_URL may name the broker's HTTP interface.
    Any number of processes may call it at once. `same_ports`: as for start_rabbitmq.
    Raises RabbitUnavailable.
    """
    url = os.environ.get("PAYMESH_AMQP_URL")
    if url:
        management_url = os.environ.get("PAYMESH_RABBITMQ_MANAGEMENT_URL") or None
        return Broker(amqp_url=url, management_url=management_url, server=None)
    with locks.waited(home / "rabbitmq.lock", "paymesh"):
        server = start_rabbitmq(
            home / "rabbitmq", timeout_s=_FIRST_BOOT_TIMEOUT_S, same_ports=same_ports
        )
    return Broker(amqp_url=server.amqp_url, management_url=server.management_url, server=server)


def running_servers(home: Path) -> Servers:
    """Our servers of `home` that run now, whoever started them."""
    return Servers(
        postgres=running_postgres(home / "postgres"),
        rabbitmq=running_rabbitmq(home / "rabbitmq"),
    )


def stop_servers(home: Path) -> Servers:
    """Stop our servers of `home`; returns those that ran. Their data stays.

    Also what a killed server or a start that was cut short left behind.
    Raises PostgresUnavailable or RabbitUnavailable if one cannot be stopped.
    """
    stopped = running_servers(home)
    try:
        _stop(home / "rabbitmq", stop_rabbitmq)
    finally:
        _stop(home / "postgres", end_postgres)
    return stopped


def _stop(folder: Path, stop: Callable[[Path], None]) -> None:
    if folder.exists():
        with locks.waited(folder.with_suffix(".lock"), "paymesh"):
            stop(folder)
