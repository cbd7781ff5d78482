"""Runs the command as a person does, and looks for what is left of it in a home."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PAYMESH = Path(sys.executable).parent / "paymesh"
PATIENCE_S = 300.0
MOMENTS = 20
"""So many times is a command interrupted, spread over its whole duration."""
SOME_MOMENTS = pytest.mark.parametrize(
    "moments",
    [range(first, first + 5) for first in range(0, MOMENTS, 5)],
    ids=lambda moments: f"moments {moments.start} to {moments.stop - 1}",
)
"""A quarter of them in each test, so that several workers share them."""
_GONE_WITHIN_S = 60.0


def environment(home: Path) -> dict[str, str]:
    """Servers of its own: what the tests' environment names is not used."""
    ours = {k: v for k, v in os.environ.items() if not k.startswith("PAYMESH_")}
    return {**ours, "PAYMESH_HOME": str(home)}


def begin(home: Path, *words: str) -> subprocess.Popen[str]:
    """`paymesh …` in a process group of its own, as a terminal's job is."""
    return subprocess.Popen(
        [PAYMESH, *words],
        env=environment(home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(job: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and all that it said."""
    said, _ = job.communicate(timeout=PATIENCE_S)
    return job.returncode, said


def run(home: Path, *words: str) -> tuple[int, str]:
    return finish(begin(home, *words))


def runs(home: Path, *words: str) -> str:
    """As run; it must succeed."""
    code, said = run(home, *words)
    assert code == 0, said
    return said


def interrupted(
    job: subprocess.Popen[str], after_s: float, number: signal.Signals
) -> tuple[int, str]:
    """As finish, of a job whose whole group is sent a signal after so long, if it still runs."""
    try:
        job.wait(after_s)
    except subprocess.TimeoutExpired:
        os.killpg(job.pid, number)
    return finish(job)


def moment_of(number: int, lasts_s: float) -> tuple[float, signal.Signals]:
    """After how long the command that lasts so long is sent which signal."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGINT, signal.SIGKILL)
    return max(0.02, lasts_s * number / MOMENTS), signals[number % 4]


def wait_for(what: str, look: Callable[[], bool], *, timeout_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not look():
        assert time.monotonic() < deadline, f"after {timeout_s:g} s still not: {what}"
        time.sleep(0.05)


def lives(home: Path) -> list[str]:
    """Processes that know the home from arguments, environment or place; held locks.

    Not the ports that it kept: one that nobody of ours listens on may be another mesh's by now.
    """
    return [*_processes(home), *_locks(home)]


def assert_nothing_lives(home: Path) -> None:
    """Erlang's helpers notice the machine's death by themselves, so they get a moment."""
    deadline = time.monotonic() + _GONE_WITHIN_S
    while (found := lives(home)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not found, found


def _processes(home: Path) -> Iterator[str]:
    name = os.fsencode(home)
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
            known = name in (entry / "environ").read_bytes() or name in command
            if known or (entry / "cwd").resolve().is_relative_to(home):
                yield f"process {entry.name} {command[:200].replace(bytes(1), b' ')!r}"
        except OSError:
            continue  # it ended while we looked


def _locks(home: Path) -> Iterator[str]:
    for file in (*home.glob("*.lock"), *home.glob("*/*.lock")):
        with file.open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield f"lock {file}"


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """SIGSTOP meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
