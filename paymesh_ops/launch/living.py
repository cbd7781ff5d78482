"""What lives of a folder's mesh, whoever started it, and its end.

Nothing here trusts a record: who was killed left none, or a false one. Everything that we start has
its folder in its command line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from paymesh_ops.launch import processes
from paymesh_ops.launch.servers import Servers, running_servers, stop_servers

SUPERVISOR = "paymesh_ops.launch.supervisor"
_SUPERVISOR_ENDS_S = 45.0
_PROCESSES_END_S = 30.0


def process_options(home: Path) -> list[str]:
    """How Python starts a process of the mesh: an option that it ignores names the folder."""
    return ["-X", f"paymesh={home}", "-m"]


def process_marker(home: Path) -> str:
    """What only this folder's processes have in their command line; module and role follow."""
    return " ".join([*process_options(home), ""])


def supervisor_marker(home: Path) -> str:
    """What only this folder's supervisors have in their command line; more arguments follow."""
    return f"-m {SUPERVISOR} {home} "


@dataclass(frozen=True)
class Living:
    """What lives: process ids of supervisors, those of the mesh's processes by name, servers."""

    supervisors: tuple[int, ...]
    processes: dict[str, int]
    servers: Servers

    def __bool__(self) -> bool:
        found = self.servers.postgres or self.servers.rabbitmq
        return bool(self.supervisors or self.processes or found)

    def __str__(self) -> str:
        """Such as `PostgreSQL, RabbitMQ, 10 processes`."""
        count = len(self.processes)
        parts = {
            "the supervisor": self.supervisors,
            "PostgreSQL": self.servers.postgres,
            "RabbitMQ": self.servers.rabbitmq,
            "1 process" if count == 1 else f"{count} processes": self.processes,
        }
        return ", ".join(name for name, found in parts.items() if found) or "nothing"


def living(home: Path) -> Living:
    """What lives of the mesh in `home` at this moment."""
    marker = process_marker(home)
    found = processes.find(marker)
    return Living(
        supervisors=tuple(processes.find(supervisor_marker(home))),
        processes={_name(command.partition(marker)[2]): pid for pid, command in found.items()},
        servers=running_servers(home),
    )


def end_all(home: Path, *, progress: Callable[[str], None] = lambda _now: None) -> None:
    """Ends all of it: the supervisor, which stops its processes, then orphans, then servers.

    For who holds the lock of `home`. Raises TimeoutError, PostgresUnavailable or RabbitUnavailable
    if something stays even after SIGKILL.
    """
    progress("processes end")
    end_supervisors(home)
    end_processes(home)
    progress("servers end")
    stop_servers(home)


def end_supervisors(home: Path) -> None:
    """Ends the supervisor politely: it stops its processes."""
    processes.end(supervisor_marker(home), polite_s=_SUPERVISOR_ENDS_S)


def end_processes(home: Path) -> None:
    """Ends the processes of a mesh whose supervisor is gone."""
    processes.end(process_marker(home), polite_s=_PROCESSES_END_S)


def _name(arguments: str) -> str:
    """`trade_svc serve` is trade-serve."""
    module, role = (*arguments.split(), "")[:2]
    return "sandbox" if module == "paymesh_ops.sandbox" else f"{module.removesuffix('_svc')}-{role}"
