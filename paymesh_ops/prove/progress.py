"""How far a step is, from what it has written so far."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from paymesh_ops.launch.processes import tail
from paymesh_ops.prove import recording
from paymesh_ops.prove.steps import Step

TELLING_TESTS = 10
"""So many tests say how far a step is; of fewer, one may take all the time."""
SURE_FROM = 0.1


@dataclass(frozen=True, slots=True)
class Far:
    """`part`: from 0 to 1; `rest_s`: what is expected to be left."""

    elapsed_s: float
    part: float
    rest_s: float
    says: str


def far(step: Step, elapsed_s: float, result: Path, log: Path) -> Far:
    """By its tests, if it has many; else by the time that it usually takes."""
    part = min(0.99, elapsed_s / step.usual_s)
    rest_s = max(0.0, step.usual_s - elapsed_s)
    if not (step.recorded and result.exists()):
        return Far(elapsed_s, part, rest_s, _last_line(log))
    found = recording.read(result)
    over = len({test.name for test in found.tests})
    if found.expected >= TELLING_TESTS:
        part = min(0.99, over / found.expected)
        if part >= SURE_FROM:
            by_tests_s = elapsed_s * (1 - part) / part
            # The longest ones are begun first: as long as it is on time, they say too much.
            rest_s = min(by_tests_s, rest_s) if rest_s else by_tests_s
    bad = f", {len(found.bad)} RED" if found.bad else ""
    now = found.running[-1].rpartition("/")[2] if found.running else ""
    return Far(elapsed_s, part, rest_s, f"{over} of {found.expected} tests{bad}  {now}".rstrip())


def _last_line(log: Path) -> str:
    lines = tail(log, bytes_max=500).splitlines()
    return lines[-1].strip() if lines else ""
