"""Failpoints: nothing when unset, exactly the nth passage when set."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from paymesh.db.migrate import ROOT
from paymesh.failpoint import POINTS, InjectedFault, arm, failpoint


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    arm("")


def in_a_process(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", f"from paymesh.failpoint import failpoint\n{code}"],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_an_unarmed_point_does_nothing() -> None:
    for point in POINTS:
        failpoint(point)


@pytest.mark.parametrize("point", POINTS)
def test_every_point_can_be_armed_and_fires_at_its_passage_only(point: str) -> None:
    arm(f"{point}:3:error")
    failpoint(point)
    failpoint(point)
    with pytest.raises(InjectedFault, match=re.escape(point)):
        failpoint(point)
    failpoint(point)


def test_several_points_count_apart() -> None:
    first, second = POINTS[:2]
    arm(f"{first}:1:error,{second}:2:error")
    failpoint(second)
    for point in (first, second):
        with pytest.raises(InjectedFault):
            failpoint(point)


def test_arming_anew_forgets_the_old() -> None:
    arm(f"{POINTS[0]}:2:error")
    failpoint(POINTS[0])
    arm(f"{POINTS[0]}:2:error")
    failpoint(POINTS[0])
    arm("")
    failpoint(POINTS[0])


@pytest.mark.parametrize(
    "spec",
    ["nowhere:1:error", f"{POINTS[0]}:1:explode", f"{POINTS[0]}:x:kill", POINTS[0], "a:b:c:d"],
)
def test_a_bad_spec_is_refused(spec: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        arm(spec)


def test_every_point_is_in_the_code_once_per_adapter_and_no_other_is() -> None:
    """A point that nobody passes would make its crash test pass for nothing."""
    used: set[str] = set()
    for path in (ROOT / "paymesh").rglob("*.py"):
        used |= set(re.findall(r'failpoint\("([^"]+)"\)', path.read_text(encoding="utf-8")))
    assert used == set(POINTS)


def test_a_kill_ends_the_process_at_once_and_leaves_its_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    ended = in_a_process(
        "failpoint('shell.after_commit'); print('one', flush=True)\n"
        "failpoint('shell.after_commit'); print('two', flush=True)",
        FAILPOINT="shell.after_commit:2:kill",
        FAILPOINT_LOG=str(log),
        PAYMESH_ROLE="trade",
    )
    assert (ended.returncode, ended.stdout) == (-signal.SIGKILL, "one\n")
    assert log.read_text() == "shell.after_commit kill trade\n"


def test_a_running_process_takes_an_order_from_the_folder_once(tmp_path: Path) -> None:
    """The order is gone when it is taken: who starts again is not armed."""
    (tmp_path / "trade").write_text("shell.after_commit:1:kill")
    (tmp_path / "pay").write_text("shell.after_commit:1:kill")
    code = "failpoint('shell.after_commit'); print('alive')"
    environment = {"FAILPOINT_DIR": str(tmp_path), "PAYMESH_ROLE": "trade"}
    assert in_a_process(code, **environment).returncode == -signal.SIGKILL
    assert [order.name for order in tmp_path.iterdir()] == ["pay"]
    assert in_a_process(code, **environment).stdout == "alive\n"


def test_an_error_is_raised_in_a_process_that_was_told_so_by_its_environment() -> None:
    ended = in_a_process("failpoint('bus.before_publish')", FAILPOINT="bus.before_publish:1:error")
    assert ended.returncode == 1
    assert "InjectedFault: bus.before_publish" in ended.stderr


def test_a_process_with_a_bad_spec_does_not_start() -> None:
    assert "no such failpoint" in in_a_process("", FAILPOINT="nowhere:1:kill").stderr
