"""CPU time of processes with their children, from /proc (Linux; elsewhere nothing is told)."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

Groups = Mapping[str, Callable[[], Iterable[int]]]
"""By name: the process ids at the moment. A child that has ended counts with its parent."""

AT_REST_CORES = 0.1
"""A tenth of a core: sweepers and relays that look and find nothing take less."""
AT_REST_FOR_S = 0.4
AT_REST_WITHIN_S = 10.0

_TICKS = os.sysconf("SC_CLK_TCK")


def spent(groups: Groups) -> dict[str, float]:
    """CPU seconds so far, by group; children included.

    Of our own process without them: what it has started is told under a name of its own.
    """
    if not Path("/proc/self/stat").exists():
        return {}
    seconds, children = _processes()
    return {
        name: sum(seconds.get(pid, 0.0) for pid in _family(pids(), children))
        for name, pids in groups.items()
    }


async def at_rest(groups: Groups) -> None:
    """Returns once the groups do hardly anything any more, or take too long over it."""
    deadline = time.monotonic() + AT_REST_WITHIN_S
    before = sum(spent(groups).values())
    while time.monotonic() < deadline:
        await asyncio.sleep(AT_REST_FOR_S)
        now = sum(spent(groups).values())
        if now - before <= AT_REST_CORES * AT_REST_FOR_S:
            return
        before = now


def _processes() -> tuple[dict[int, float], dict[int, list[int]]]:
    """Of every process: its CPU seconds with those of ended children, and its children."""
    seconds: dict[int, float] = {}
    children: dict[int, list[int]] = {}
    own = os.getpid()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            stat = (folder / "stat").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        # After the name in parentheses: state, parent, …; the 12th to 15th are user, system,
        # and both of ended children, in ticks.
        fields = stat.rpartition(b")")[2].split()
        pid, parent = int(folder.name), int(fields[1])
        seconds[pid] = sum(map(int, fields[11 : 13 if pid == own else 15])) / _TICKS
        if parent != own:
            children.setdefault(parent, []).append(pid)
    return seconds, children


def _family(pids: Iterable[int], children: Mapping[int, list[int]]) -> set[int]:
    found: set[int] = set()
    waiting = list(pids)
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting += children.get(pid, [])
    return found
