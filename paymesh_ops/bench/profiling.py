"""Where the CPU time goes: py-spy looks into every process of a trial while it has a turn.

It counts the thread that holds Python's lock. What runs without it (the core of gRPC, the kernel)
is not seen, and its CPU time is shared out over what is.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from paymesh_ops.bench.cpu import at_rest, spent
from paymesh_ops.bench.measure import Trial

SAMPLES_PER_S = 100
SHOWN = 10
"""The costliest functions and modules of a process that are told."""
ATTACHED_AFTER_S = 1.0
_TRY_TIMEOUT_S = 10.0
_WRITES_WITHIN_S = 30.0
_FRAME = re.compile(r"(?P<function>.+) \((?P<module>[^()]*)\)")


class ProfilingUnavailable(RuntimeError):
    """No process can be looked into here; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Profile:
    """CPU milliseconds a thing of one process, and on what it spent them."""

    process: str
    cpu_ms: float
    functions: Sequence[tuple[str, float]]
    """By own time, without what they call in turn: the costliest first."""
    modules: Sequence[tuple[str, float]]
    areas: Mapping[str, float]
    """All of it, by what the code is for."""


AREAS = (
    ("rules, messages and rows of the services", r".*_svc/"),
    ("checks of the contract", r"validate .*paymesh/rpc"),
    ("messages of the bus", r".*(pika/|paymesh/bus/|paymesh/outbox|paymesh/consumer)"),
    ("shell, batches and store", r".*paymesh/"),
    ("database driver and pool", r".*(psycopg|sqlalchemy|greenlet)"),
    ("gRPC and protobuf", r".*(grpc|google/|payments/)"),
    ("making rows and commands", r".*(<string>|dataclasses)"),
    ("event loop, and what it runs in C", r".*(asyncio|uvloop|concurrent|threading|contextlib)"),
)
"""Own time counts for the first that a frame, `function (module)`, fits; else for OTHER."""
OTHER = "the rest"


def area_of(frame: str) -> str:
    return next((name for name, pattern in AREAS if re.match(pattern, frame)), OTHER)


def folder_of(home: Path) -> Path:
    """Where the stacks are kept, one file for each trial and process: made if missing."""
    folder = home / "profile"
    folder.mkdir(exist_ok=True)
    return folder


def require_profiling() -> None:
    """Raises ProfilingUnavailable if py-spy is missing or may not look into processes."""
    tried = subprocess.run(
        [_py_spy(), "dump", "--pid", str(os.getpid())],
        capture_output=True,
        text=True,
        timeout=_TRY_TIMEOUT_S,
    )
    if tried.returncode:
        raise ProfilingUnavailable(
            f"py-spy may not look into processes here ({tried.stderr.strip().splitlines()[0]}): "
            "run as root, in a container with the capability SYS_PTRACE, or on Linux "
            "once `sysctl kernel.yama.ptrace_scope=0`"
        )


def _py_spy() -> str:
    beside = Path(sys.executable).parent
    found = shutil.which("py-spy", path=f"{beside}{os.pathsep}{os.environ.get('PATH', os.defpath)}")
    if found is None:
        raise ProfilingUnavailable(f"py-spy is missing: `{beside}/pip install py-spy`")
    return found


async def profiled(trial: Trial, folder: Path) -> Sequence[Profile]:
    """One turn under py-spy; its figure is of no use, for that slows everything down.

    Writes each process's stacks as `folder/TRIAL-PROCESS.txt`, one stack a line with its samples:
    what flame graphs are made of.
    """
    files = {
        name: folder / f"{re.sub(r'[^a-z0-9]+', '-', f'{trial.name} {name}'.lower())}.txt"
        for name in trial.groups
        if name not in {"PostgreSQL", "RabbitMQ"}
    }
    await trial.prepare()
    spies = [
        _record(pid, file) for name, file in files.items() for pid in list(trial.groups[name]())[:1]
    ]
    try:
        await asyncio.sleep(ATTACHED_AFTER_S)
        before = spent(trial.groups)
        done = await trial.turn()
        await at_rest(trial.groups)
        after = spent(trial.groups)
    finally:
        for spy in spies:
            spy.send_signal(signal.SIGINT)
        for spy in spies:
            await asyncio.to_thread(spy.wait, _WRITES_WITHIN_S)
    return [
        profile_of(name, 1000 * (after[name] - before[name]) / done.count, _lines(file))
        for name, file in files.items()
    ]


def _record(pid: int, file: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            *(_py_spy(), "record", "--pid", str(pid), "--rate", str(SAMPLES_PER_S)),
            *("--format", "raw", "--gil", "--nolineno", "--output", str(file)),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _lines(file: Path) -> Iterable[str]:
    return file.read_text().splitlines() if file.exists() else ()


def profile_of(process: str, cpu_ms: float, stacks: Iterable[str]) -> Profile:
    """The profile of py-spy's raw stacks: `outermost;…;innermost samples` a line."""
    functions: Counter[str] = Counter()
    modules: Counter[str] = Counter()
    areas: Counter[str] = Counter()
    for line in stacks:
        stack, _, samples = line.rpartition(" ")
        frame = stack.rsplit(";", 1)[-1]
        found = _FRAME.fullmatch(frame)
        functions[frame] += int(samples)
        modules[found["module"] if found else frame] += int(samples)
        areas[area_of(frame)] += int(samples)
    return Profile(
        process,
        cpu_ms,
        _shares(functions, cpu_ms)[:SHOWN],
        _shares(modules, cpu_ms)[:SHOWN],
        dict(_shares(areas, cpu_ms)),
    )


def _shares(samples: Counter[str], cpu_ms: float) -> Sequence[tuple[str, float]]:
    """The CPU time by samples, the most first."""
    total = samples.total()
    return [(name, cpu_ms * n / total) for name, n in samples.most_common()]
