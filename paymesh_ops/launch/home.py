"""Where the launchers keep binaries and data, and which ports their servers keep."""

import hashlib
import json
import os
import random
import socket
from collections.abc import Sequence
from pathlib import Path

# Below the range that Linux, macOS and BSD take outgoing ports from: a port that was ours
# yesterday is then not somebody's client socket when the server comes back.
_PORTS = range(20_000, 32_000)
_PORT_ATTEMPTS_MAX = 200
_CHOOSE = "Set PAYMESH_HOME to a folder that you may write"


class PortTaken(RuntimeError):
    """A port that has to stay the same is somebody else's now; the message names it."""


class HomeUnusable(RuntimeError):
    """The folder that Paymesh would keep its servers in is not ours, or cannot be written."""


def home() -> Path:
    """The folder of this checkout's servers and data: PAYMESH_HOME, or one made from its path.

    As root it lies outside root's home, because PostgreSQL refuses to run as root and another
    user cannot enter that. Created with mode 0755 if missing. Raises HomeUnusable if it cannot be
    made or written, and if the default folder exists and is not ours: in a place that everybody can
    write to, somebody else's folder is not to be trusted.
    """
    chosen = os.environ.get("PAYMESH_HOME")
    if chosen:
        path = Path(chosen).expanduser().absolute()
        _make(path)
        return path
    checkout = Path(__file__).resolve().parents[2]
    name = hashlib.sha256(str(checkout).encode()).hexdigest()[:12]
    if os.geteuid() == 0:
        path = Path("/var/tmp") / f"paymesh-{name}"
    else:
        path = Path.home() / ".local" / "state" / "paymesh" / name
    _make(path)
    if path.is_symlink() or path.stat().st_uid != os.geteuid():
        raise HomeUnusable(f"{path} is not yours: remove it, or set PAYMESH_HOME to another folder")
    return path


def free_port() -> int:
    """A TCP port that nothing listens on at 127.0.0.1 at this moment."""
    for port in random.sample(_PORTS, _PORT_ATTEMPTS_MAX):
        if is_free(port):
            return port
    raise OSError(f"no free port found in {_PORT_ATTEMPTS_MAX} attempts")


def kept_ports(
    file: Path, names: Sequence[str], *, in_use: bool = False, must_stay: bool = False
) -> dict[str, int]:
    """The port of each name, the same ones as last time (JSON in `file`) where still free.

    A server that is restarted is found where it was; a port that somebody else took meanwhile is
    replaced by a new one, and the file says so. `in_use`: it is our own servers that hold them.
    `must_stay`: others look for the server there. Raises PortTaken if that cannot be.
    """
    kept: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
    ports: dict[str, int] = {}
    for name in names:
        port = kept.get(name, 0)
        if must_stay and port and not is_free(port):
            raise PortTaken(f"port {port}, where it is looked for, is taken by another program")
        while not port or port in ports.values() or not (in_use or is_free(port)):
            port = free_port()
        ports[name] = port
    if ports != kept:
        write_atomically(file, json.dumps(ports))
    return ports


def write_atomically(file: Path, text: str, *, mode: int = 0o644) -> None:
    """Replace `file`: a reader sees the old text or the new one, never a part of it."""
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as out:
        out.write(text)
    fresh.replace(file)


def is_free(port: int) -> bool:
    """Whether nothing listens on the port at 127.0.0.1; asked without a connection to it."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the servers do: connections in TIME_WAIT are no obstacle, a listener is.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _make(path: Path) -> None:
    try:
        if not path.exists():
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(0o755)
    except OSError as error:
        raise HomeUnusable(f"{path} cannot be made: {error.strerror}. {_CHOOSE}") from error
    if not path.is_dir():
        raise HomeUnusable(f"{path} is no folder. {_CHOOSE}")
    if not os.access(path, os.W_OK | os.X_OK):
        raise HomeUnusable(f"{path} cannot be written. {_CHOOSE}")
