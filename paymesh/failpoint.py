"""Named points where a test makes the process die, stall or fail; nothing at all when unset.

`FAILPOINT=name:nth:act[,…]`: at the nth passage (from 1) do `kill` (SIGKILL to ourselves), `error`
(raise InjectedFault) or `stall` (sleep 5 s without yielding). When `FAILPOINT_LOG` names a file, a
line is appended to it before the act, so that a test can show that it happened. In a folder that
`FAILPOINT_DIR` names, a file with the process's PAYMESH_ROLE as its name arms it while it runs: it
is taken away as it is read, so a process that starts again is not armed.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from pathlib import Path

POINTS = (
    "shell.before_commit",
    "shell.after_commit",
    "bus.before_publish",
    "bus.after_publish",
    "consumer.before_ack",
    "effect.before_call",
    "effect.after_call",
)
"""Every point in the code: a test arms each."""


class InjectedFault(Exception):
    """Raised by an `error` failpoint."""


_armed: dict[str, tuple[int, str]] = {}
_passed: Counter[str] = Counter()


def arm(spec: str) -> None:
    """Reads `name:nth:act[,…]`; raises ValueError for a point or an act that does not exist."""
    _armed.clear()
    _passed.clear()
    for part in filter(None, spec.split(",")):
        name, nth, act = part.split(":")
        if name not in POINTS or act not in {"kill", "error", "stall"}:
            raise ValueError(f"no such failpoint: {part}")
        _armed[name] = (int(nth), act)


def failpoint(name: str) -> None:
    """Passes a point: does nothing unless it is armed."""
    if _ORDERS is not None:
        _take_order(_ORDERS)
    if not _armed or name not in _armed:
        return
    _passed[name] += 1
    nth, act = _armed[name]
    if _passed[name] != nth:
        return
    log = os.environ.get("FAILPOINT_LOG")
    if log:
        with open(log, "a", encoding="utf-8") as file:
            file.write(f"{name} {act} {os.environ.get('PAYMESH_ROLE', '')}\n")
            file.flush()
            os.fsync(file.fileno())
    if act == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if act == "stall":
        time.sleep(5)
        return
    raise InjectedFault(name)


def _take_order(folder: Path) -> None:
    order = folder / os.environ.get("PAYMESH_ROLE", "")
    if order.is_file():
        arm(order.read_text())
        order.unlink()


_ORDERS = Path(os.environ["FAILPOINT_DIR"]) if "FAILPOINT_DIR" in os.environ else None
arm(os.environ.get("FAILPOINT", ""))
