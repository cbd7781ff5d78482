"""A mesh that is half dead is mended, by its supervisor or by the next `up`; nothing is left over.

One mesh for the file.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from paymesh_ops.clients.shop import Shop
from paymesh_ops.launch.living import living
from paymesh_ops.launch.locks import held
from paymesh_ops.launch.servers import ensure_postgres, running_servers
from paymesh_ops.launch.state import want
from paymesh_ops.launch.work import MESH, lock_of
from tests.mesh.flows import purchase
from tests.ops.launch.lives import (
    PATIENCE_S,
    assert_nothing_lives,
    begin,
    environment,
    finish,
    run,
    runs,
    stopped,
    wait_for,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def once_up(mesh_home: Path) -> Iterator[Path]:
    """A mesh that is up. It was begun where a server lived alone."""
    server = ensure_postgres(mesh_home).server
    assert server is not None
    said = runs(mesh_home, "up")
    assert "found without a supervisor: PostgreSQL" in said
    found = running_servers(mesh_home).postgres
    assert found is not None
    assert found.pid == server.pid
    yield mesh_home
    runs(mesh_home, "down", "--purge")
    assert not mesh_home.exists()
    assert_nothing_lives(mesh_home)


@pytest.fixture
def home(once_up: Path) -> Path:
    """A mesh that is up, whatever the test before has done to it."""
    if not living(once_up).supervisors:
        runs(once_up, "up")
    return once_up


def supervisor(home: Path) -> int:
    [pid] = living(home).supervisors
    return pid


@asynccontextmanager
async def shop_at(home: Path) -> AsyncIterator[Shop]:
    at = {
        name: f"127.0.0.1:{p}" for name, p in json.loads((home / "ports.json").read_text()).items()
    }
    async with Shop(
        trade_target=at["trade"],
        pay_target=at["pay"],
        gateway_target=at["gateway"],
        clearing_target=at["clearing"],
        sandbox_url=f"http://{at['sandbox']}",
        patience_s=PATIENCE_S,
    ) as shop:
        yield shop


async def seconds_without_payments(home: Path, pid: int) -> float:
    """Kills a process under load; how long until a purchase that was begun later is complete."""
    over = asyncio.Event()
    ends: list[tuple[float, float]] = []

    async def customer(shop: Shop) -> None:
        while not over.is_set():
            began = time.monotonic()
            await purchase(shop)
            ends.append((began, time.monotonic()))

    async with shop_at(home) as shop, asyncio.TaskGroup() as customers:
        for _ in range(4):
            customers.create_task(customer(shop))
        while len(ends) < 4:
            await asyncio.sleep(0.1)
        killed = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        while not (back := [end for began, end in ends if began > killed]):
            await asyncio.sleep(0.1)
        over.set()
    return min(back) - killed


def assert_books_are_right(home: Path) -> None:
    """What is still on its way arrives; then every invariant holds."""
    said = ""

    def holds() -> bool:
        nonlocal said
        code, said = run(home, "check", "--grace-s", "2")
        return code == 0

    try:
        wait_for("all invariants hold", holds)
    except AssertionError:
        pytest.fail(said)


def test_up_again_says_that_it_is_up_and_where(home: Path) -> None:
    """Exit code 0, the addresses again, the same processes."""
    before = living(home)
    said = runs(home, "up")
    assert "the mesh is up already" in said
    assert f"gRPC 127.0.0.1:{json.loads((home / 'ports.json').read_text())['trade']}" in said
    assert living(home) == before


@pytest.mark.parametrize("words", [["up"], ["down"], ["down", "--purge"]])
def test_a_second_command_is_refused_and_told_who_is_at_work(home: Path, words: list[str]) -> None:
    """One sentence: which command, which process, since when; the mesh is as it was."""
    before = living(home)
    with held(lock_of(home, MESH), "paymesh up"):
        code, said = run(home, *words)
    assert code == 1
    assert f"`paymesh up` (process {os.getpid()}, since " in said
    assert f"is at work in {home}; wait for it, or end it" in said
    assert "Traceback" not in said
    assert living(home) == before


def test_a_home_is_not_removed_while_a_demo_is_at_work_in_it(home: Path) -> None:
    """`down --purge` says who is at work; the mesh is as it was."""
    before = living(home)
    with held(lock_of(home, "demo"), "paymesh demo"):
        code, said = run(home, "down", "--purge")
    assert code == 1
    assert f"`paymesh demo` (process {os.getpid()}, since " in said
    assert living(home) == before


def test_a_second_supervisor_does_not_run(home: Path) -> None:
    """One that nobody wants ends at once; one that is wanted is refused by the lock."""
    before = living(home)
    command = [sys.executable, "-m", "paymesh_ops.launch.supervisor", str(home)]
    wanted = (home / "supervisor.wanted").read_text()
    for ticket, code, words in (("another", 0, ""), (wanted, 1, "is at work in")):
        done = subprocess.run(
            [*command, ticket],
            env=environment(home),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert done.returncode == code, done.stderr
        assert words in done.stderr
    assert living(home) == before


@pytest.mark.parametrize("what", ["postgres", "rabbitmq"])
async def test_a_server_that_is_killed_under_load_is_back_by_itself(
    home: Path, what: str, record_property: object
) -> None:
    """kill -9: the same ports, payments flow again without a hand, and the books are right."""
    before = running_servers(home)
    gap_s = await seconds_without_payments(home, getattr(before, what).pid)
    print(f"{what}: payments flow again after {gap_s:.1f} s")
    after = running_servers(home)
    assert after.postgres is not None
    assert after.rabbitmq is not None
    assert (after.postgres.url, after.rabbitmq.amqp_url) == (
        before.postgres.url if before.postgres else "",
        before.rabbitmq.amqp_url if before.rabbitmq else "",
    )
    assert getattr(after, what).pid != getattr(before, what).pid
    runs(home, "topology", "verify")
    await asyncio.to_thread(assert_books_are_right, home)


def test_up_says_what_is_dead_and_waits_until_it_is_mended(home: Path) -> None:
    """The supervisor lives; both servers and a process are dead."""
    before = living(home)
    assert before.servers.postgres is not None
    assert before.servers.rabbitmq is not None
    with stopped(supervisor(home)):
        for pid in (
            before.processes["pay-work"],
            before.servers.postgres.pid,
            before.servers.rabbitmq.pid,
        ):
            os.kill(pid, signal.SIGKILL)
        job = begin(home, "up")
        assert job.stdout is not None
        said = job.stdout.readline()
    assert "dead: PostgreSQL, RabbitMQ, pay-work" in said
    code, said = finish(job)
    assert code == 0, said
    assert "the mesh is up again" in said
    assert living(home).processes.keys() == before.processes.keys()


def test_up_takes_over_what_a_killed_supervisor_left(home: Path) -> None:
    """Orphans are ended and started anew, servers are used as they are."""
    before = living(home)
    os.kill(supervisor(home), signal.SIGKILL)
    said = runs(home, "up")
    assert "found without a supervisor: PostgreSQL, RabbitMQ, 10 processes" in said
    after = living(home)
    assert after.servers == before.servers
    assert after.processes.keys() == before.processes.keys()
    assert not set(after.processes.values()) & set(before.processes.values())


@pytest.mark.prove
def test_a_supervisor_that_is_not_wanted_any_more_ends_what_it_started(home: Path) -> None:
    """So one that began late, after its `up` was killed and `down` was done, does no harm."""
    before = living(home)
    want(home)
    wait_for("no process", lambda: not living(home).processes and not living(home).supervisors)
    assert living(home).servers == before.servers


def test_down_ends_what_a_killed_supervisor_left(home: Path) -> None:
    """Nothing lives, though nobody was there to be told."""
    os.kill(supervisor(home), signal.SIGKILL)
    runs(home, "down")
    assert_nothing_lives(home)


def test_a_process_that_does_not_start_is_named_with_its_reason(once_up: Path) -> None:
    """`up` fails in one sentence; nothing is left running."""
    home = once_up
    if living(home).supervisors:
        runs(home, "down")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        job = subprocess.run(
            [sys.executable, "-m", "paymesh_ops.cli.main", "up"],
            env={**environment(home), "PAYMESH_METRICS_PORT": port},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
    assert job.returncode == 1, job.stdout
    assert "clearing-serve exited with 1" in job.stdout
    assert "Address already in use" in job.stdout
    assert "Nothing is left running" in job.stdout
    assert_nothing_lives(home)
