"""A process of the mesh: one service in one role, from its first log line to its exit code."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

import prometheus_client
import psycopg
import structlog
import uvloop
from sqlalchemy.exc import OperationalError

from paymesh import log as logs
from paymesh import telemetry
from paymesh.app import App, Role
from paymesh.bus.port import Bus
from paymesh.bus.rabbitmq import RabbitBus
from paymesh.bus.topology import Topology, verify
from paymesh.clock import Clock, SystemClock
from paymesh.db.errors import error_text
from paymesh.db.migrate import ROOT, UnknownSchema, migrate
from paymesh.errors import PaymentError
from paymesh.secretbox import KeyUnusable
from paymesh.settings import ServiceSettings, SettingsWrong, read, require

log = structlog.get_logger()

DEFINITIONS = ROOT / "rabbitmq" / "definitions.json"
BROKER = {"amqp_url": "the broker, amqp://user:password@host:5672/vhost"}
OWNER_URL = "the database's owner role, postgresql://user:password@host:5432/database"


def main(
    service: str,
    settings_type: type[ServiceSettings],
    build: Callable[..., App],
    *,
    roles: tuple[str, ...] = ("serve", "work", "migrate"),
) -> None:
    """Runs the role named on the command line until SIGTERM or SIGINT."""
    role = sys.argv[1] if len(sys.argv) == 2 else ""
    if role not in roles:
        sys.exit(f"usage: python -m {service}_svc {'|'.join(roles)}")
    os.environ.setdefault("PAYMESH_ROLE", f"{service}-{role}")
    try:
        settings = read(settings_type)
        migrates = {f"{service}_owner_url": OWNER_URL}
        require(settings, migrates if role == "migrate" else {**BROKER, **settings.needed})
        logs.start(f"{service}-{role}", level=settings.log_level, human=settings.log_human)
        if role == "migrate":
            url = getattr(settings, f"{service}_owner_url")
            migrate(service, url, app_role=f"paymesh_{service}_app")
            return
        if settings.ready_file:
            settings.ready_file.unlink(missing_ok=True)  # of a process before us, which has died
        telemetry.start(f"{service}-{role}", settings.traces)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(cast(Role, role), settings, build))  # one of `roles`
    except KeyUnusable as error:
        sys.exit(f"{service}: {error}")
    except (SettingsWrong, UnknownSchema, PaymentError) as error:
        sys.exit(str(error))
    except (psycopg.OperationalError, OperationalError) as error:
        sys.exit(f"the database of {service} does not answer, or not us: {error_text(error)}")


async def _run(role: Role, settings: ServiceSettings, build: Callable[..., App]) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().set_exception_handler(logs.tell_of_task)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    topology = Topology.load(DEFINITIONS).scaled(settings.time_scale)
    try:
        differences = await asyncio.to_thread(verify, settings.amqp_url, topology)
        if settings.metrics_port:
            prometheus_client.start_http_server(settings.metrics_port, addr="127.0.0.1")
    except ConnectionError as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"PAYMESH_METRICS_PORT is {settings.metrics_port}: {error.strerror}")
    if differences:
        sys.exit("RabbitMQ differs from rabbitmq/definitions.json: " + "; ".join(differences))
    bus: Bus = RabbitBus(settings.amqp_url, topology)
    await bus.start()
    clock: Clock = SystemClock()
    app = build(settings, bus=bus, clock=clock)
    try:
        await app.start({role})
    except OSError as error:  # of a port
        sys.exit(str(error))
    spare_garbage_collection()
    announce(app, role, settings.ready_file)
    await stop.wait()
    log.info("stopping", role=role)
    await app.stop()
    await bus.close()
    telemetry.flush()


def spare_garbage_collection() -> None:
    """What is there at the start stays, and a batch makes thousands of objects that are no cycles:
    looking through all of them every 700 objects costs a tenth of the CPU time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def announce(app: App, role: str, path: Path | None) -> None:
    """Tells whoever started us that we are ready, and on which port: a file, written whole."""
    if path:
        listener = app.server or app.http
        port = listener.port if listener is not None else 0
        temporary = path.with_name(f"{path.name}.new")
        temporary.write_text(f"{role} {os.getpid()} {port}\n")
        temporary.replace(path)
