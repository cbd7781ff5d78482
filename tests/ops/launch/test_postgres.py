"""The embedded PostgreSQL starts, stops and survives crashes, and leaves no process behind."""

import os
import secrets
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from paymesh_ops.launch import processes
from paymesh_ops.launch.home import home
from paymesh_ops.launch.postgres import (
    PostgresServer,
    PostgresUnavailable,
    running_postgres,
    start_postgres,
    stop_postgres,
)
from paymesh_ops.launch.servers import ensure_postgres, running_servers, stop_servers

pytestmark = pytest.mark.slow  # each starts servers of its own

_GONE_TIMEOUT_S = 60.0


@pytest.fixture
def directory() -> Iterator[Path]:
    """A folder that the server's user can enter (pytest's own is closed to others than root)."""
    path = home() / f"test-{secrets.token_hex(4)}"
    path.mkdir()
    yield path
    server = running_postgres(path) or running_servers(path).postgres
    if server is not None:
        stop_postgres(server, mode="immediate")
    shutil.rmtree(path)


def value_of(server: PostgresServer, query: str) -> Any:
    with psycopg.connect(server.url, connect_timeout=60) as connection:
        row = connection.execute(query.encode()).fetchone()
    return row[0] if row else None


def write(server: PostgresServer, note: str) -> None:
    with psycopg.connect(server.url, connect_timeout=60) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS notes (note text)")
        connection.execute("INSERT INTO notes VALUES (%s)", [note])


def processes_of(directory: Path) -> list[int]:
    """All processes that work in a folder: a server, its children, what they left behind."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").resolve().is_relative_to(directory):
                found.append(int(entry.name))
        except OSError:
            continue  # it ended while we looked, or is another user's
    return found


def assert_nothing_left(directory: Path) -> None:
    """A killed server's children notice by themselves, so they get a moment."""
    deadline = time.monotonic() + _GONE_TIMEOUT_S
    while processes_of(directory) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert processes_of(directory) == []
    assert running_postgres(directory) is None


def test_start_serves_durably_on_loopback_with_the_given_settings(directory: Path) -> None:
    """A new server takes connections at once, is loopback only, and keeps what is committed."""
    server = start_postgres(directory, settings={"max_connections": "37"})
    assert value_of(server, "SHOW server_version").startswith("18.")
    assert value_of(server, "SHOW listen_addresses") == "127.0.0.1"
    assert value_of(server, "SHOW fsync") == "on"
    assert value_of(server, "SHOW data_checksums") == "on"
    assert value_of(server, "SHOW max_connections") == "37"
    assert (server.bin_dir / "pgbench").exists()
    assert running_postgres(directory) == server


def test_start_returns_the_server_that_already_runs(directory: Path) -> None:
    """Starting twice is starting once."""
    assert start_postgres(directory) == start_postgres(directory)


def test_restart_keeps_port_and_data(directory: Path) -> None:
    """After a clean stop nothing is left running; the next start is where clients look for it."""
    first = start_postgres(directory)
    write(first, "kept")
    stop_postgres(first)
    assert_nothing_left(directory)
    second = start_postgres(directory)
    assert second.url == first.url
    assert value_of(second, "SELECT note FROM notes") == "kept"


def test_stop_of_a_stopped_server_does_nothing(directory: Path) -> None:
    """Stopping is by process id, and a process id that is gone is no error."""
    server = start_postgres(directory)
    stop_postgres(server, mode="immediate")
    stop_postgres(server)
    assert_nothing_left(directory)


def test_killed_server_recovers_on_the_same_port_with_clients_connected(directory: Path) -> None:
    """kill -9, stale postmaster.pid, connections open: an immediate start recovers the data."""
    first = start_postgres(directory)
    write(first, "committed")
    with psycopg.connect(first.url) as open_connection:
        open_connection.execute("INSERT INTO notes VALUES ('not committed')")
        os.kill(first.pid, signal.SIGKILL)
        second = start_postgres(directory)
        open_connection.close()
    assert second.port == first.port
    assert second.pid != first.pid
    assert value_of(second, "SELECT string_agg(note, ',') FROM notes") == "committed"
    stop_postgres(second)
    assert_nothing_left(directory)


def test_lock_of_another_process_is_not_taken_for_a_running_server(directory: Path) -> None:
    """A pid that the system gave to another process neither blocks a start nor is signalled."""
    server = start_postgres(directory)
    lock = directory / "data" / "postmaster.pid"
    text = lock.read_text()
    stop_postgres(server)
    bystander = processes.spawn(
        ["/bin/sleep", "3600"],
        directory=directory,
        log=directory / "sleep.log",
        env={},
        account=processes.unprivileged_account(),
    )
    lock.write_text(text.replace(str(server.pid), str(bystander), 1))
    lock.chmod(0o644)
    try:
        assert running_postgres(directory) is None
        again = start_postgres(directory)
        assert again.port == server.port
        stop_postgres(again)
        assert processes.is_running(bystander, "sleep")
    finally:
        processes.send(bystander, "sleep", signal.SIGKILL)


def test_start_over_an_interrupted_initdb_begins_again(directory: Path) -> None:
    """A half-made cluster is never taken for a cluster."""
    (directory / "data.new").mkdir()
    (directory / "data.new" / "PG_VERSION").write_text("18\n")
    assert value_of(start_postgres(directory), "SELECT 1") == 1


def test_server_that_cannot_start_says_why(directory: Path) -> None:
    """The message carries PostgreSQL's own words; nothing is left running."""
    with pytest.raises(PostgresUnavailable, match="no_such_setting"):
        start_postgres(directory, settings={"no_such_setting": "1"})
    assert_nothing_left(directory)


def test_older_major_version_is_there_and_is_not_mixed_up(directory: Path) -> None:
    """PostgreSQL 16 runs too; its data is started by 16 and refused to 18."""
    server = start_postgres(directory, version=16)
    assert value_of(server, "SHOW server_version").startswith("16.")
    stop_postgres(server)
    with pytest.raises(PostgresUnavailable, match="holds PostgreSQL 16"):
        start_postgres(directory, version=18)
    assert value_of(start_postgres(directory), "SELECT 1") == 1


def test_ensure_starts_once_and_another_process_can_stop_it(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks gets the one server of a home, and its folder is enough to stop it."""
    monkeypatch.delenv("PAYMESH_DATABASE_URL", raising=False)
    database = ensure_postgres(directory)
    assert ensure_postgres(directory) == database
    assert database.server is not None
    assert stop_servers(directory).postgres == database.server
    assert_nothing_left(directory / "postgres")
    assert stop_servers(directory).postgres is None


def test_ensure_takes_the_users_own_server(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With PAYMESH_DATABASE_URL nothing is started, hence nothing will be stopped."""
    monkeypatch.setenv("PAYMESH_DATABASE_URL", "postgresql://elsewhere/paymesh")
    database = ensure_postgres(directory)
    assert (database.url, database.server) == ("postgresql://elsewhere/paymesh", None)
    assert list(directory.iterdir()) == []
