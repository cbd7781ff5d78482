"""An embedded PostgreSQL: real binaries from a wheel, started and stopped by our own launcher.

The wheel's own start function would, as root, add a user and open parent folders of the checkout.
This one, as root, copies the binaries out of the checkout and runs them as nobody; as an ordinary
user it runs them where they are.
"""

import os
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psycopg

from paymesh.db.session import arguments
from paymesh_ops.launch import processes
from paymesh_ops.launch.home import PortTaken, kept_ports
from paymesh_ops.launch.postgres_binaries import VERSIONS, bin_dir_of
from paymesh_ops.launch.postgres_binaries import PostgresUnavailable as PostgresUnavailable
from paymesh_ops.launch.processes import Account

CLOCK = {"LD_PRELOAD", "FAKETIME", "FAKETIME_DONT_FAKE_MONOTONIC", "DONT_FAKE_MONOTONIC"}
"""libfaketime's: a test's whole mesh, PostgreSQL included, lives at another time."""
_NEWEST = max(VERSIONS)
_ENV = {
    "PATH": os.defpath,
    "LC_ALL": "C",
    # Not ours: PGDATA, PGPORT and so on must not leak in. What changes the clock of all does.
    **{name: value for name, value in os.environ.items() if name in CLOCK},
}
_INITDB_OPTIONS = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-k"]
_INITDB_TIMEOUT_S = 120.0
_KILLED_TIMEOUT_S = 10.0
_POLL_S = 0.02
_LOG_BYTES_MAX = 16 * 1024 * 1024
_SOCKET_PATH_BYTES_MAX = 100  # sun_path holds 104 (macOS) or 108

_CHILD = "postgres: "  # what all but the postmaster call themselves
_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}

_SETTINGS = {
    "shared_buffers": "256MB",
    "max_connections": "200",
    # Money: what was committed is on the disk.
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_compression": "on",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "10min",
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    # No row's content in the log: not in DETAIL, not in a statement, not as its parameters. The
    # price: a deadlock's line does not name the statements.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}


@dataclass(frozen=True)
class PostgresServer:
    """A running server. `url` names its database `postgres`, as superuser, on loopback.

    `directory` holds its data, log and port; `bin_dir` has psql, pg_dump and pgbench.
    """

    url: str
    port: int
    pid: int
    directory: Path
    bin_dir: Path


def start_postgres(
    directory: Path,
    *,
    settings: Mapping[str, str] = {},
    version: int | None = None,
    timeout_s: float = 120.0,
    same_port: bool = False,
) -> PostgresServer:
    """Start the server of `directory` on 127.0.0.1 and wait until it accepts connections.

    A new directory gets a cluster of major `version` (18 or 16; None: 18, or what is there).
    `settings` are added to the command line over our own. It keeps its port from start to start;
    if somebody took it meanwhile there is a new one, or with `same_port` a refusal. A directory
    that was not shut down cleanly is recovered; one that already runs is returned as it is. Not to
    be called by two processes for one directory at a time (ensure_postgres may be).
    Raises PostgresUnavailable, also after `timeout_s` seconds.
    """
    directory = directory.absolute()
    account = processes.unprivileged_account()
    _prepare(directory, account)
    major = _major_of(directory, version)
    bin_dir = bin_dir_of(major, account)
    if not _data(directory).exists():
        _initialise(directory, bin_dir, account)
    deadline = time.monotonic() + timeout_s
    pid = _postmaster_pid(directory)
    if pid is not None and _becomes_ready(directory, pid, deadline):
        return _server(directory, pid)
    _clear_after_crash(directory)
    port = _port_for(directory, same_port=same_port)
    while True:
        log_start = _rotated_log_size(directory)
        pid = processes.spawn(
            _command_line(directory, bin_dir, port, {**_SETTINGS, **settings}),
            directory=directory,
            log=_log(directory),
            env=_ENV,
            account=account,
        )
        if _becomes_ready(directory, pid, deadline):
            return _server(directory, pid)
        said = processes.tail(_log(directory), offset=log_start)
        # After kill -9 the old server's children take a moment to notice that it is gone.
        if "still in use" not in said or time.monotonic() > deadline:
            raise PostgresUnavailable(f"PostgreSQL did not start in {directory}:\n{said}")
        time.sleep(5 * _POLL_S)


def running_postgres(directory: Path) -> PostgresServer | None:
    """The server that runs on this directory's data (started by whatever process), or None."""
    directory = directory.absolute()
    pid = _postmaster_pid(directory)
    return None if pid is None else _server(directory, pid)


def is_alive(server: PostgresServer) -> bool:
    """Whether the postmaster lives. Cheap: to be asked all the time."""
    return processes.is_running(server.pid, _marker(server.directory))


def answers(server: PostgresServer) -> bool:
    """Whether it accepts a connection."""
    return _answers(server.port)


def stop_postgres(
    server: PostgresServer,
    *,
    mode: Literal["fast", "immediate", "smart"] = "fast",
    timeout_s: float = 60.0,
) -> None:
    """Stop by process id and wait until it is gone; one that is gone already is no error.

    smart waits for clients to leave; fast disconnects them; immediate crashes the server (the
    next start recovers). Raises PostgresUnavailable if it still runs after `timeout_s` seconds.
    """
    marker = _marker(server.directory)
    processes.send(server.pid, marker, _SIGNALS[mode])
    if not processes.wait_until_gone(server.pid, marker, timeout_s=timeout_s):
        raise PostgresUnavailable(
            f"PostgreSQL (pid {server.pid}) did not stop within {timeout_s:g} s of a {mode} stop"
        )


def end_postgres(directory: Path) -> None:
    """Stop what runs of the directory's server, also if it is only starting or an orphan of it.

    Raises PostgresUnavailable if something stays.
    """
    directory = directory.absolute()
    server = running_postgres(directory)
    if server is not None:
        try:
            stop_postgres(server)
        except PostgresUnavailable:
            # What was committed is on the disk: a crash loses nothing, the next start recovers.
            stop_postgres(server, mode="immediate")
    _clear_after_crash(directory)


def _data(directory: Path) -> Path:
    return directory / "data"


def _log(directory: Path) -> Path:
    return directory / "server.log"


def _marker(directory: Path) -> str:
    """What only this directory's server has in its command line."""
    return f"-D {_data(directory)} -h 127.0.0.1"


def _server(directory: Path, pid: int) -> PostgresServer:
    port = int(_pid_file_lines(directory)[3])
    return PostgresServer(
        url=_url(port),
        port=port,
        pid=pid,
        directory=directory,
        bin_dir=bin_dir_of(_major_of(directory, None), processes.unprivileged_account()),
    )


def _command_line(
    directory: Path, bin_dir: Path, port: int, settings: Mapping[str, str]
) -> list[str | Path]:
    socket_directory = directory / "run"
    if len(os.fsencode(socket_directory)) + len("/.s.PGSQL.65535") > _SOCKET_PATH_BYTES_MAX:
        socket_name = ""  # no Unix socket then; everything connects over TCP
    else:
        socket_name = str(socket_directory)
    arguments = ["-D", str(_data(directory)), "-h", "127.0.0.1", "-p", str(port), "-k", socket_name]
    for name, value in settings.items():
        arguments += ["-c", f"{name}={value}"]
    return [bin_dir / "postgres", *arguments]


def _pid_file_lines(directory: Path) -> list[str]:
    try:
        return (_data(directory) / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def _recorded_pid(directory: Path) -> int | None:
    lines = _pid_file_lines(directory)
    return int(lines[0]) if lines and lines[0].strip().isdigit() else None


def _port_for(directory: Path, *, same_port: bool) -> int:
    try:
        ports = kept_ports(directory / "ports.json", ["postgres"], must_stay=same_port)
    except PortTaken as error:
        raise PostgresUnavailable(f"PostgreSQL cannot start in {directory}: {error}") from error
    return ports["postgres"]


def _postmaster_pid(directory: Path) -> int | None:
    """The pid of a living postmaster of this directory, starting up or ready."""
    pid = _recorded_pid(directory)
    return pid if pid is not None and processes.is_running(pid, _marker(directory)) else None


def _clear_after_crash(directory: Path) -> None:
    """Let go of what a killed server left: its children, a start that was cut short, its port, and
    locks that name a taken pid.

    PostgreSQL itself ignores a lock of a pid that is free; but a zombie that nobody reaps, or
    another process that was given the pid, it would take for the old server. What may be left of
    that still guards the data: its shared memory does.
    """
    try:
        processes.end(_marker(directory), kill_s=_KILLED_TIMEOUT_S)
    except TimeoutError as error:
        raise PostgresUnavailable(f"PostgreSQL's processes stay in {directory}: {error}") from error
    # One that computes does not notice that its postmaster is gone, and no other may start then.
    for child in processes.working_in(_data(directory)):
        processes.send(child, _CHILD, signal.SIGKILL)
        processes.wait_until_gone(child, _CHILD, timeout_s=_KILLED_TIMEOUT_S)
    pid = _recorded_pid(directory)
    if pid is None:
        return
    processes.wait_until_gone(pid, _marker(directory), timeout_s=_KILLED_TIMEOUT_S)
    if processes.exists(pid):
        for lock in [_data(directory) / "postmaster.pid", *(directory / "run").glob(".s.PGSQL.*")]:
            lock.unlink(missing_ok=True)


def _becomes_ready(directory: Path, pid: int, deadline: float) -> bool:
    """True once `pid` accepts connections, False if it ended; raises past the deadline."""
    while processes.command_of(pid) is not None:
        lines = _pid_file_lines(directory)
        # As pg_ctl does: the eighth line is the postmaster's state. But a server that was killed
        # this very moment still looks ready, so it also has to answer.
        says_ready = len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"
        if says_ready and _answers(int(lines[3])):
            return True
        if time.monotonic() > deadline:
            processes.send(pid, _marker(directory), signal.SIGQUIT)
            said = processes.tail(_log(directory))
            raise PostgresUnavailable(f"PostgreSQL was not ready in time in {directory}:\n{said}")
        time.sleep(_POLL_S)
    return False


def _answers(port: int) -> bool:
    try:
        psycopg.connect(**arguments(_url(port))).close()
    except psycopg.OperationalError:
        return False
    return True


def _url(port: int) -> str:
    return f"postgresql://postgres@127.0.0.1:{port}/postgres"


def _rotated_log_size(directory: Path) -> int:
    """The log's size in bytes; a log that grew too long is put aside first (one old one stays)."""
    log = _log(directory)
    if not log.exists():
        return 0
    size = log.stat().st_size
    if size < _LOG_BYTES_MAX:
        return size
    log.replace(log.with_suffix(".log.1"))
    return 0


def _major_of(directory: Path, wanted: int | None) -> int:
    """The major version of the cluster that is there, or the wanted one for a new cluster."""
    file = _data(directory) / "PG_VERSION"
    major = int(file.read_text()) if file.exists() else wanted or _NEWEST
    if wanted not in (None, major):
        raise PostgresUnavailable(f"{directory} holds PostgreSQL {major}, not {wanted}")
    return major


def _prepare(directory: Path, account: Account | None) -> None:
    """Make the directory and the folder of its socket, owned by whom the server runs as."""
    run = directory / "run"
    run.mkdir(parents=True, exist_ok=True)
    if account is not None:
        os.chown(run, account.uid, account.gid)
        run.chmod(0o755)
        directory.chmod(0o755)
        for folder in [directory, *directory.parents]:
            if not folder.stat().st_mode & stat.S_IXOTH:
                raise PostgresUnavailable(
                    f"as root PostgreSQL runs as nobody, who cannot enter {folder}: "
                    f"set PAYMESH_HOME to a folder that everybody can enter"
                )


def _initialise(directory: Path, bin_dir: Path, account: Account | None) -> None:
    """Make a new cluster, complete or not at all: initdb works aside, a rename puts it in place."""
    fresh = directory / "data.new"
    processes.end(f"-D {fresh}")  # somebody's who was killed meanwhile
    if fresh.exists():
        shutil.rmtree(fresh)
    fresh.mkdir(mode=0o700)
    if account is not None:
        os.chown(fresh, account.uid, account.gid)
    made = subprocess.run(
        [bin_dir / "initdb", "-D", fresh, *_INITDB_OPTIONS],
        cwd=directory,
        env=_ENV,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        timeout=_INITDB_TIMEOUT_S,
        check=False,
    )
    if made.returncode != 0:
        raise PostgresUnavailable(f"initdb failed in {directory}:\n{made.stdout}{made.stderr}")
    fresh.rename(_data(directory))
