"""Runs a command and ends with it whatever it started.

`python -m paymesh_ops.prove.warden COMMAND …`. Servers leave their parents on purpose (a session of
their own, nobody's child), so a process group does not hold them. On Linux the warden is who
inherits them: all that a step started stays below it, and when the step is over, or the warden is
told to end it (SIGTERM), nothing of it stays. Where that is not possible it ends the command's own
process group.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType

GRACE_S = 45.0
"""To put away its servers and folders, after it was asked to end."""
_POLL_S = 0.05
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h


class _Told(Exception):
    """To end the command now."""


def main(command: list[str]) -> int:
    """The command's exit code; as in a shell, 128 and the number where a signal ended it."""
    parent = os.getppid()
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:
            return 1  # who started us died before we could hear of it
    signal.signal(signal.SIGTERM, _tell)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # else a command started in the background is deaf
    # Kept: what is forgotten is reaped by itself, before we hear how it ended.
    running: subprocess.Popen[bytes] | None = None
    group, status = 0, None
    try:
        running = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0)
        group = running.pid
        status = _reaped(group, None)
    except _Told:
        group = running.pid if running is not None else 0
        status = _asked(group) if group else None
    left = _end_all(group)
    if left:
        print(f"\nended what was left running: {left} processes", flush=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"\n{used.ru_utime + used.ru_stime:.0f} s of CPU time", flush=True)
    if status is None:
        return 128 + signal.SIGKILL
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _tell(_signum: int, _frame: FrameType | None) -> None:
    raise _Told


def _asked(group: int) -> int | None:
    """As Ctrl-C does; who is told a second time does not wait."""
    try:
        os.killpg(group, signal.SIGINT)
        return _reaped(group, time.monotonic() + GRACE_S)
    except _Told:
        return None


def _reaped(pid: int, deadline: float | None) -> int | None:
    """How the child ended; None at the deadline. Those that were inherited are reaped too: a server
    that is restarted must not find its own zombie."""
    while deadline is None or time.monotonic() < deadline:
        found, status = os.waitpid(-1, 0 if deadline is None else os.WNOHANG)
        if found == pid:
            return status
        if not found:
            time.sleep(_POLL_S)
    return None


def _end_all(group: int) -> int:
    """kill -9, until nobody is left below us; how many those were."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ended: set[int] = set()
    while below := _descendants():
        for pid in below:
            _kill(pid)
        ended |= below
        time.sleep(_POLL_S)
        _reap_all()
    if group:
        _kill(-group)  # where descendants are not known
    return len(ended)


def _kill(pid: int) -> None:
    """A process, or with a minus a group."""
    with suppress(ProcessLookupError):  # it ended by itself
        os.kill(pid, signal.SIGKILL)


def _reap_all() -> None:
    with suppress(ChildProcessError):  # nobody is left
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _descendants() -> set[int]:
    """Living processes below this one, from /proc; where there is none, nobody is known."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # After the name in parentheses: state, parent, …
            state, parent = (folder / "stat").read_bytes().rpartition(b")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        if state not in (b"Z", b"X"):
            parents[int(folder.name)] = int(parent)
    found: set[int] = set()
    new = {os.getpid()}
    while new:
        new = {pid for pid, parent in parents.items() if parent in new} - found
        found |= new
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
