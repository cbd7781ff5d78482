"""Memory of processes, from /proc (Linux; elsewhere nothing is told)."""

from __future__ import annotations

import re
from pathlib import Path

from paymesh_ops.bench.cpu import Groups

_RESIDENT = re.compile(r"^VmRSS:\s+(\d+) kB$", re.MULTILINE)


def resident_mib(groups: Groups) -> dict[str, float]:
    """What the processes of each group have in memory, in MiB; what they share counts for each.

    Raises RuntimeError if one of them has ended.
    """
    if not Path("/proc/self/status").exists():
        return {}
    return {name: sum(map(_of, pids())) for name, pids in groups.items()}


def _of(pid: int) -> float:
    try:
        found = _RESIDENT.search(Path(f"/proc/{pid}/status").read_text())
    except (FileNotFoundError, ProcessLookupError):
        found = None
    if found is None:  # a zombie has none
        raise RuntimeError(f"process {pid} has ended")
    return int(found[1]) / 1024
