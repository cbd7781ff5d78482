"""A private RabbitMQ node in a folder of its own: loopback, own ports, own epmd, own user.

It never meets a RabbitMQ that the machine runs already: not its ports, not its Erlang port
mapper, not its cookie, not its configuration.
"""

import shutil
import socket
import time
from dataclasses import dataclass
from pathlib import Path

import pika
import pika.exceptions

from paymesh_ops.launch import processes
from paymesh_ops.launch.home import PortTaken, is_free
from paymesh_ops.launch.rabbitmq_folder import NODE, USER, NodeFolder, search_path

_POLL_S = 0.05
_LOGIN_TIMEOUT_S = 5.0
_EPMD_TIMEOUT_S = 10.0
_KILL_TIMEOUT_S = 10.0

# Not Debian's rabbitmq-server of the PATH: that wrapper changes to the system's user and folder.
_SCRIPTS = (
    "/usr/lib/rabbitmq/bin/rabbitmq-server",
    "/opt/homebrew/opt/rabbitmq/sbin/rabbitmq-server",
    "/usr/local/opt/rabbitmq/sbin/rabbitmq-server",
)
_DEBIAN_WRAPPER = "rabbitmq-script-wrapper"


class RabbitUnavailable(RuntimeError):
    """No RabbitMQ can be had or started; the message says what to do."""


@dataclass(frozen=True)
class RabbitServer:
    """A running node. Both URLs are on loopback and carry its user and password."""

    amqp_url: str
    management_url: str
    pid: int
    directory: Path
    node: str


def find_rabbitmq() -> Path | None:
    """The rabbitmq-server script of an installed RabbitMQ, or None."""
    for candidate in map(Path, _SCRIPTS):
        if candidate.exists():
            return candidate
    on_path = shutil.which("rabbitmq-server", path=search_path())
    if on_path is None or Path(on_path).resolve().name == _DEBIAN_WRAPPER:
        return None
    return Path(on_path)


def start_rabbitmq(
    directory: Path, *, timeout_s: float = 180.0, same_ports: bool = False
) -> RabbitServer:
    """Start the node of `directory` and wait until it accepts an AMQP login.

    User, password and ports are made once and kept; if somebody took a port meanwhile there is a
    new one, or with `same_ports` a refusal. A node that already runs there is returned as it is; a
    port mapper that it has lost is started again. Not to be called by two processes for one
    directory at a time (ensure_rabbitmq may be).
    Raises RabbitUnavailable, also after `timeout_s` seconds; nothing is then left running.
    """
    script = find_rabbitmq()
    epmd = shutil.which("epmd", path=search_path())
    if script is None or epmd is None:
        raise RabbitUnavailable(
            "RabbitMQ is not installed: set PAYMESH_AMQP_URL to the amqp:// URL of a broker, "
            "or run `scripts/setup.sh --broker` as root (elsewhere: `brew install rabbitmq`)"
        )
    folder = _folder(directory)
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.path.chmod(0o700)  # the password and the cookie are in it
    deadline = time.monotonic() + timeout_s
    try:
        if _beam_pid(folder) is None or not _becomes_ready(folder, deadline):
            _stop(folder, kill=True, timeout_s=_KILL_TIMEOUT_S)  # what a killed node left
            _boot(folder, script, epmd, same_ports=same_ports)
            if not _becomes_ready(folder, deadline):
                said = processes.tail(folder.log)
                raise RabbitUnavailable(f"RabbitMQ did not start in {folder.path}:\n{said}")
        elif is_free(folder.ports["epmd"]):
            _start_epmd(folder, epmd)  # else the node would start one that nobody knows
    except BaseException:
        _stop(folder, kill=True, timeout_s=_KILL_TIMEOUT_S)
        raise
    server = running_rabbitmq(directory)
    if server is None:
        raise RabbitUnavailable(f"RabbitMQ ended right after its start; see {folder.log}")
    return server


def running_rabbitmq(directory: Path) -> RabbitServer | None:
    """The node that runs in this directory (started by whatever process), or None."""
    folder = _folder(directory)
    pid = _beam_pid(folder)
    if pid is None:
        return None
    login, ports = f"{USER}:{folder.password}", folder.ports
    return RabbitServer(
        amqp_url=f"amqp://{login}@127.0.0.1:{ports['amqp']}/",
        management_url=f"http://{login}@127.0.0.1:{ports['management']}",
        pid=pid,
        directory=folder.path,
        node=NODE,
    )


def is_whole(server: RabbitServer) -> bool:
    """Whether the node and its port mapper live. Cheap: to be asked all the time."""
    folder = _folder(server.directory)
    return processes.is_running(server.pid, folder.marker) and not is_free(folder.ports["epmd"])


def answers(server: RabbitServer) -> bool:
    """Whether the node is whole and lets our user in."""
    folder = _folder(server.directory)
    return is_whole(server) and _accepts_login(folder.ports["amqp"], folder.password)


def stop_rabbitmq(
    server: RabbitServer | Path, *, kill: bool = False, timeout_s: float = 60.0
) -> None:
    """Stop the directory's node and its port mapper by process id, and wait until they are gone.

    A polite stop takes RabbitMQ 3.10 about 6 s; `kill` crashes it at once (SIGKILL; the next start
    recovers). A polite stop that takes longer than `timeout_s` seconds becomes a kill. A node that
    is gone already is no error; given its directory, what it left is stopped as well.
    Raises RabbitUnavailable if even a kill left it running.
    """
    directory = server if isinstance(server, Path) else server.directory
    _stop(_folder(directory), kill=kill, timeout_s=timeout_s)


def _folder(directory: Path) -> NodeFolder:
    return NodeFolder(directory.absolute())


def _beam_pid(folder: NodeFolder) -> int | None:
    """The process id of the folder's living Erlang machine."""
    pid = folder.pid()
    return pid if pid is not None and processes.is_running(pid, folder.marker) else None


def _boot(folder: NodeFolder, script: Path, epmd: str, *, same_ports: bool) -> None:
    try:
        folder.configure(same_ports=same_ports)
    except PortTaken as error:
        raise RabbitUnavailable(f"RabbitMQ cannot start in {folder.path}: {error}") from error
    _start_epmd(folder, epmd)
    pid = processes.spawn(
        # The script hands its arguments on to Erlang: the marker is there from the first moment.
        [script, *folder.marker.split()],
        directory=folder.path,
        log=folder.log,
        env=folder.environment(),
    )
    # The script becomes the Erlang machine by exec, keeping its pid. Should another version's
    # script stay its parent instead, the node corrects this with the pid that it writes itself.
    folder.pid_file.write_text(str(pid))


def _becomes_ready(folder: NodeFolder, deadline: float) -> bool:
    """True once the node accepts a login, False if it ended; raises past the deadline."""
    while not _accepts_login(folder.ports["amqp"], folder.password):
        pid = folder.pid()
        if pid is not None and processes.command_of(pid) is None:
            return False
        if time.monotonic() > deadline:
            raise RabbitUnavailable(f"RabbitMQ did not start in time; see {folder.path / 'log'}")
        time.sleep(_POLL_S)
    folder.was_ready.touch()
    return True


def _accepts_login(port: int, password: str) -> bool:
    """Whether the node lets our user in. It listens only once it is ready to serve."""
    if not _listens(port):
        return False
    try:
        pika.BlockingConnection(
            pika.ConnectionParameters(
                host="127.0.0.1",
                port=port,
                credentials=pika.PlainCredentials(USER, password),
                socket_timeout=_LOGIN_TIMEOUT_S,
                stack_timeout=_LOGIN_TIMEOUT_S,
                blocked_connection_timeout=_LOGIN_TIMEOUT_S,
            )
        ).close()
    except pika.exceptions.AMQPError:
        return False
    return True


def _listens(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(_LOGIN_TIMEOUT_S)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _stop(folder: NodeFolder, *, kill: bool, timeout_s: float) -> None:
    """By the marker, not by the recorded pid: also a start that was cut short before it."""
    try:
        processes.end(folder.marker, polite_s=0.0 if kill else timeout_s, kill_s=_KILL_TIMEOUT_S)
        _stop_epmd(folder)
    except TimeoutError as error:
        raise RabbitUnavailable(f"RabbitMQ stays in {folder.path}: {error}") from error


def _start_epmd(folder: NodeFolder, epmd: str) -> None:
    """Start Erlang's port mapper as a process that we know; else the node starts one that stays."""
    pid = processes.spawn(
        [epmd, *folder.epmd_marker.split()],
        directory=folder.path,
        log=folder.log,
        env={"PATH": search_path()},
    )
    deadline = time.monotonic() + _EPMD_TIMEOUT_S
    while is_free(folder.ports["epmd"]):
        if processes.command_of(pid) is None or time.monotonic() > deadline:
            raise RabbitUnavailable(f"Erlang's epmd did not start; see {folder.log}")
        time.sleep(_POLL_S / 5)


def _stop_epmd(folder: NodeFolder) -> None:
    if folder.has_ports:
        processes.end(folder.epmd_marker, kill_s=_KILL_TIMEOUT_S)
