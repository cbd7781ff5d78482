"""Looks after the embedded servers: what died is started again where it was, until it is back.

A thread for each, for the processes of the mesh are to be tended meanwhile. The threads end with
the process; a start that is cut short then is found by its command line.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from paymesh.bus.topology import Topology, apply
from paymesh_ops.launch import postgres, rabbitmq
from paymesh_ops.launch.postgres import PostgresServer
from paymesh_ops.launch.rabbitmq import RabbitServer
from paymesh_ops.launch.servers import ensure_postgres, ensure_rabbitmq, running_servers

S = TypeVar("S")
_POLL_S = 0.2
_BACK_OFF_S_MAX = 5.0

POSTGRES, RABBITMQ = "PostgreSQL", "RabbitMQ"


def tend_servers(home: Path, topology: Topology) -> tuple[str, ...]:
    """Tends the servers of `home` that are ours, until this process ends; which those are."""

    def start_postgres() -> PostgresServer | None:
        return ensure_postgres(home, same_port=True).server

    def start_rabbitmq() -> RabbitServer | None:
        broker = ensure_rabbitmq(home, same_ports=True)
        # RabbitMQ 3.10 forgets a quorum queue that is killed within a second of its declaration.
        apply(broker.amqp_url, topology)
        return broker.server

    database, broker = ensure_postgres(home).server, ensure_rabbitmq(home).server
    if database is not None:
        _in_background(POSTGRES, database, postgres.is_alive, start_postgres)
    if broker is not None:
        _in_background(RABBITMQ, broker, rabbitmq.is_whole, start_rabbitmq)
    ours = {POSTGRES: database, RABBITMQ: broker}
    return tuple(name for name, server in ours.items() if server is not None)


def dead_servers(home: Path, names: tuple[str, ...]) -> list[str]:
    """Which of these servers of `home` do not answer."""
    found = running_servers(home)
    answers = {
        POSTGRES: found.postgres is not None and postgres.answers(found.postgres),
        RABBITMQ: found.rabbitmq is not None and rabbitmq.answers(found.rabbitmq),
    }
    return [name for name in names if not answers[name]]


def _in_background(
    name: str, server: S, lives: Callable[[S], bool], start: Callable[[], S | None]
) -> None:
    threading.Thread(target=_tend, args=(name, server, lives, start), daemon=True).start()


def _tend(name: str, server: S, lives: Callable[[S], bool], start: Callable[[], S | None]) -> None:
    failures = 0
    while True:
        time.sleep(_POLL_S)
        if not failures and lives(server):
            continue
        print(f"{name} died; it is started again", flush=True)
        began = time.monotonic()
        try:
            server = start() or server
            failures = 0
            print(f"{name} is back after {time.monotonic() - began:.1f} s", flush=True)
        except Exception as error:  # whatever it was: a thread that gives up mends nothing
            failures += 1
            print(f"{name} did not start: {error}", flush=True)
            time.sleep(min(_BACK_OFF_S_MAX, _POLL_S * failures))
