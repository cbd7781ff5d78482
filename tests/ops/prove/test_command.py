"""The command itself: `paymesh prove`, with steps that take no time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from paymesh.db.migrate import ROOT

BOUND_S = 120.0
PROGRAM = """
import sys
from pathlib import Path
from paymesh_ops.cli import main, proving
from paymesh_ops.prove import steps
from paymesh_ops.prove.showing import Shown

def step(name, program, limit_s=60):
    shows = lambda result, log: Shown([f"{name} was seen"])
    command = (sys.executable, "-c", program, "{seed}")
    return steps.Step(name, "It works.", command, 1, limit_s, shows)

proving.ROOT = Path(sys.argv.pop(1))
steps.STEPS = (
    step("quick", "import sys; print('the seed is', sys.argv[1])"),
    step("red", "print('something broke'); raise SystemExit(3)"),
    step("hangs", "import time; time.sleep(600)"),
    step("last", ""),
)
main.app()
"""


def started(tmp_path: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path), "prove", *words],
        cwd=ROOT,
        env={**os.environ, "PAYMESH_HOME": str(tmp_path / "home")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_proof_prints_its_steps_its_seed_and_its_page(tmp_path: Path) -> None:
    """And ends with 0, for all is proven."""
    process = started(tmp_path, "quick", "last", "--seed", "11")
    said, _ = process.communicate(timeout=BOUND_S)
    assert process.returncode == 0, said
    assert "2 of 2 steps proven" in said
    assert "paymesh prove quick last --seed 11" in said
    page = Path(said.splitlines()[-1].removeprefix("page: "))
    assert "quick was seen" in page.read_text()
    assert "the seed is 11" in (page.parent / "quick.log").read_text()


def test_a_red_step_ends_it_with_1_and_the_end_of_its_log(tmp_path: Path) -> None:
    process = started(tmp_path, "quick", "red", "last")
    said, _ = process.communicate(timeout=BOUND_S)
    assert process.returncode == 1, said
    assert "something broke" in said
    assert "exit code 3" in said
    assert "2 of 3 steps proven" in said


def test_ctrl_c_says_what_was_left_out_and_writes_the_page(tmp_path: Path) -> None:
    """What was proven before stays proven."""
    process = started(tmp_path)
    log = None
    deadline = time.monotonic() + BOUND_S
    while log is None and time.monotonic() < deadline:
        log = next((tmp_path / "build").rglob("hangs.log"), None)
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=BOUND_S)
    assert process.returncode == 1, said
    assert "1 of 4 steps proven" in said
    assert "hangs left out" in said
    assert "last left out (interrupted)" in said
    assert "left out" in Path(said.splitlines()[-1].removeprefix("page: ")).read_text()
