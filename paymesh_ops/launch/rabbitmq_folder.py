"""The folder of a private RabbitMQ node: its configuration, secrets, ports and process ids."""

import json
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from paymesh_ops.launch.home import kept_ports, write_atomically

NODE = "paymesh@localhost"  # an epmd of its own makes the name unique
USER = "paymesh"

_PORT_NAMES = ("amqp", "management", "prometheus", "distribution", "epmd")
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/opt/homebrew/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_CONFIGURATION = """\
listeners.tcp.default = 127.0.0.1:{amqp}
management.tcp.ip = 127.0.0.1
management.tcp.port = {management}
prometheus.tcp.ip = 127.0.0.1
prometheus.tcp.port = {prometheus}
default_user = {user}
default_pass = {password}
log.console = false
log.file.rotation.size = 16777216
log.file.rotation.count = 1
"""


def search_path() -> str:
    """Where programs are looked for: our PATH, then where systems put those of servers."""
    return f"{os.environ.get('PATH', os.defpath)}:{_SYSTEM_PATH}"


@dataclass(frozen=True)
class NodeFolder:
    """What is where in a node's folder."""

    path: Path

    @property
    def log(self) -> Path:
        """What the processes printed; the node's own log is in the folder `log`."""
        return self.path / "server.log"

    @property
    def pid_file(self) -> Path:
        """The Erlang machine's process id."""
        return self.path / "rabbitmq.pid"

    @property
    def epmd_marker(self) -> str:
        """The arguments of the node's Erlang port mapper: only this node has its port."""
        return f"-port {self.ports['epmd']} -address 127.0.0.1"

    @property
    def was_ready(self) -> Path:
        """Exists once the node was ready for the first time: its user and vhost are made."""
        return self.path / "was_ready"

    @property
    def marker(self) -> str:
        """A flag that Erlang ignores, and only this folder's node has in its command line."""
        return f"-paymesh_directory {quote(str(self.path))}"

    @property
    def password(self) -> str:
        """The user's password, made by configure()."""
        return (self.path / "password").read_text()

    @property
    def ports(self) -> dict[str, int]:
        """By name (amqp, management, prometheus, distribution, epmd), chosen by configure()."""
        ports: dict[str, int] = json.loads((self.path / "ports.json").read_text())
        return ports

    @property
    def has_ports(self) -> bool:
        """Whether it was ever configured."""
        return (self.path / "ports.json").exists()

    def pid(self) -> int | None:
        """The process id that is recorded, whatever became of it."""
        text = self.pid_file.read_text().strip() if self.pid_file.exists() else ""
        return int(text) if text.isdigit() else None

    def configure(self, *, same_ports: bool = False) -> None:
        """Write the configuration. Secrets are made at the first time, ports kept where free.

        Raises PortTaken if one is not and they have to be the `same_ports`.
        """
        if not self.was_ready.exists() and (self.path / "mnesia").exists():
            # Interrupted at its very first start: such a node would never make its user.
            shutil.rmtree(self.path / "mnesia")
        for name in ("home", "mnesia", "log"):
            (self.path / name).mkdir(exist_ok=True)
        cookie = self.path / "home" / ".erlang.cookie"
        for file, mode in {self.path / "password": 0o600, cookie: 0o400}.items():
            if not file.exists():
                write_atomically(file, secrets.token_hex(16), mode=mode)
        ports = kept_ports(self.path / "ports.json", _PORT_NAMES, must_stay=same_ports)
        text = _CONFIGURATION.format(**ports, user=USER, password=self.password)
        write_atomically(self.path / "rabbitmq.conf", text, mode=0o600)
        plugins = "[rabbitmq_management, rabbitmq_prometheus].\n"
        write_atomically(self.path / "enabled_plugins", plugins)

    def environment(self) -> dict[str, str]:
        """All of the node's environment: nothing of ours, such as another node's, leaks in."""
        return {
            "PATH": search_path(),
            "LANG": "C.UTF-8",
            "HOME": str(self.path / "home"),  # Erlang's cookie is there
            "ERL_EPMD_PORT": str(self.ports["epmd"]),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": NODE,
            "RABBITMQ_DIST_PORT": str(self.ports["distribution"]),
            "RABBITMQ_CONF_ENV_FILE": str(self.path / "rabbitmq-env.conf"),
            "RABBITMQ_CONFIG_FILE": str(self.path / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.path / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.path / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.path / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.path / "log"),
            "RABBITMQ_PID_FILE": str(self.pid_file),
            # Makes the start script exec the Erlang machine instead of staying its parent.
            "RUNNING_UNDER_SYSTEMD": "true",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none"
            ),
        }
