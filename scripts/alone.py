"""Runs a command alone in this checkout: `python3 scripts/alone.py NAME COMMAND …`.

Waits for another run of the same name to end. When interrupted (Ctrl-C, SIGTERM) it ends the whole
group of what the command has started. Standard library only: there may be no packages yet.

The command inherits the lock. So if this process is killed, the next one waits for what is left.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from paymesh_ops.launch.locks import take, who_holds  # noqa: E402  (found by the line above)

ENDS_WITHIN_S = 20.0


def main() -> int:
    name, command = sys.argv[1], sys.argv[2:]
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupted)
    running: subprocess.Popen[bytes] | None = None
    try:
        file = ROOT / f".{name}.lock"
        lock = take(file, name)
        if lock is None:
            print(f"{name}: {who_holds(file)} is at work here: waiting for it", file=sys.stderr)
            lock = take(file, name, wait=True)
        assert lock is not None
        # A session of its own: a signal of the terminal reaches us alone, and we end all of it.
        running = subprocess.Popen(command, start_new_session=True, pass_fds=[lock.fileno()])
        return running.wait()
    except KeyboardInterrupt:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        if running is not None:
            _end(running)
        print(f"{name}: interrupted; the next run begins anew", file=sys.stderr)
        return 130


def _interrupted(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _end(running: subprocess.Popen[bytes]) -> None:
    """SIGTERM to its group, so that it can restore what it has to; then SIGKILL."""
    deadline = time.monotonic() + ENDS_WITHIN_S
    os.killpg(running.pid, signal.SIGTERM)
    while running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    with suppress(ProcessLookupError):  # all of it has ended
        os.killpg(running.pid, signal.SIGKILL)
    running.wait()


if __name__ == "__main__":
    sys.exit(main())
