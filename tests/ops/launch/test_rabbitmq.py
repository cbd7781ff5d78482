"""The private RabbitMQ node starts, stops and survives crashes, and leaves no process behind."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import time
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pika
import pytest

from paymesh.http import open_url
from paymesh_ops.launch import processes, rabbitmq
from paymesh_ops.launch.home import home
from paymesh_ops.launch.rabbitmq import (
    RabbitServer,
    RabbitUnavailable,
    running_rabbitmq,
    start_rabbitmq,
    stop_rabbitmq,
)
from paymesh_ops.launch.servers import ensure_rabbitmq

_GONE_TIMEOUT_S = 60.0
_QUEUE_WRITTEN_S = 1.5


@pytest.fixture
def directory() -> Iterator[Path]:
    path = home() / f"test-{secrets.token_hex(4)}"
    path.mkdir()
    yield path
    stop_rabbitmq(path, kill=True)
    shutil.rmtree(path)


def processes_of(directory: Path) -> list[str]:
    """All processes that know the folder from their place, arguments or environment."""
    name = os.fsencode(directory)
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
            known = name in (entry / "environ").read_bytes() or name in command
            if known or (entry / "cwd").resolve().is_relative_to(directory):
                found.append(f"{entry.name} {command!r}")
        except OSError:
            continue  # it ended while we looked, or is another user's
    return found


def assert_nothing_left(directory: Path) -> None:
    """Erlang's helpers notice the machine's death by themselves, so they get a moment."""
    deadline = time.monotonic() + _GONE_TIMEOUT_S
    while processes_of(directory) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert processes_of(directory) == []
    assert running_rabbitmq(directory) is None


def publish(server: RabbitServer, body: bytes) -> None:
    with pika.BlockingConnection(pika.URLParameters(server.amqp_url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("kept", durable=True, arguments={"x-queue-type": "quorum"})
        # A queue that is younger than this is forgotten by kill -9, with all that it confirmed:
        # RabbitMQ 3.10 writes its list of quorum queues 0.5 s late (rabbitmq/ra#443).
        time.sleep(_QUEUE_WRITTEN_S)
        channel.basic_publish("", "kept", body, pika.BasicProperties(delivery_mode=2))


def take(server: RabbitServer) -> bytes | None:
    """The queue's first message; a quorum queue elects its leader first after a crash."""
    with pika.BlockingConnection(pika.URLParameters(server.amqp_url)) as connection:
        channel = connection.channel()
        for _ in range(1200):
            body: bytes | None = channel.basic_get("kept", auto_ack=True)[2]
            if body is not None:
                return body
            time.sleep(0.05)
    return None


def listeners_of(pid: int) -> set[str]:
    """The addresses (hexadecimal, IPv4 and IPv6) that a process listens on."""
    descriptors = Path(f"/proc/{pid}/fd").iterdir()
    sockets = set()
    for descriptor in descriptors:
        with contextlib.suppress(FileNotFoundError):  # it was closed since it was listed
            sockets.add(os.readlink(descriptor).removeprefix("socket:[").removesuffix("]"))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in sockets:
                found.add(fields[1].partition(":")[0])
    return found


@pytest.mark.slow
def test_node_starts_survives_a_kill_and_stops_cleanly(directory: Path) -> None:
    """One story, because each start takes seconds: start, kill -9, restart, stop.

    The node is loopback only; its URLs work and stay the same; a confirmed message survives
    kill -9; after the stop neither the node nor its port mapper nor a helper is left.
    """
    server = start_rabbitmq(directory)
    assert running_rabbitmq(directory) == server
    assert start_rabbitmq(directory) == server
    assert listeners_of(server.pid) == {"0100007F"}
    assert management_says(server)["node"] == server.node
    publish(server, b"confirmed")

    os.kill(server.pid, signal.SIGKILL)
    again = start_rabbitmq(directory)
    assert (again.amqp_url, again.management_url) == (server.amqp_url, server.management_url)
    assert take(again) == b"confirmed"

    stop_rabbitmq(again)
    assert_nothing_left(directory)
    stop_rabbitmq(again)


@pytest.mark.slow
def test_start_that_runs_out_of_time_leaves_nothing_running(directory: Path) -> None:
    """A bound on the wait is a bound on what stays behind, too."""
    with pytest.raises(RabbitUnavailable, match="in time"):
        start_rabbitmq(directory, timeout_s=0.5)
    assert_nothing_left(directory)


def test_missing_broker_is_explained(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without RabbitMQ the message says both ways out."""
    monkeypatch.setattr(rabbitmq, "find_rabbitmq", lambda: None)
    with pytest.raises(RabbitUnavailable, match=r"PAYMESH_AMQP_URL.*setup\.sh --broker"):
        start_rabbitmq(directory)


def test_stop_of_a_node_that_never_ran_does_nothing(directory: Path) -> None:
    """And a recorded pid that belongs to another process by now is left alone."""
    bystander = processes.spawn(
        ["/bin/sleep", "3600"], directory=directory, log=directory / "sleep.log", env={}
    )
    (directory / "rabbitmq.pid").write_text(str(bystander))
    try:
        assert running_rabbitmq(directory) is None
        stop_rabbitmq(directory, kill=True)
        assert processes.is_running(bystander, "sleep")
    finally:
        processes.send(bystander, "sleep", signal.SIGKILL)


def test_ensure_takes_the_users_own_broker(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With PAYMESH_AMQP_URL nothing is started, hence nothing will be stopped."""
    monkeypatch.setenv("PAYMESH_AMQP_URL", "amqp://elsewhere/")
    monkeypatch.setenv("PAYMESH_RABBITMQ_MANAGEMENT_URL", "http://elsewhere:15672")
    broker = ensure_rabbitmq(directory)
    assert (broker.amqp_url, broker.server) == ("amqp://elsewhere/", None)
    assert broker.management_url == "http://elsewhere:15672"
    assert list(directory.iterdir()) == []


def management_says(server: RabbitServer) -> dict[str, object]:
    """The node's own answer to GET /api/overview, with the login that its URL carries."""
    url = urlsplit(server.management_url)
    login = b64encode(f"{url.username}:{url.password}".encode()).decode()
    request = urllib.request.Request(
        f"http://{url.hostname}:{url.port}/api/overview",
        headers={"Authorization": f"Basic {login}"},
    )
    with open_url(request, timeout=10) as response:
        said: dict[str, object] = json.load(response)
    return said
