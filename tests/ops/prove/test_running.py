"""Steps are run in processes of their own, ended at their limits with all that they started."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from paymesh.db.migrate import ROOT
from paymesh_ops.launch.processes import command_of
from paymesh_ops.prove import showing
from paymesh_ops.prove.progress import Far
from paymesh_ops.prove.run import Ended, Options, Proof, Verdict, prove
from paymesh_ops.prove.showing import Shown
from paymesh_ops.prove.steps import Step, by_pytest

BOUND_S = 240.0


def shown(*facts: str) -> Callable[[Path, Path], Shown]:
    return lambda result, log: Shown(facts)


def script(name: str, program: str, limit_s: float = BOUND_S, **changes: Any) -> Step:
    """A step that runs a few lines of Python."""
    command = (sys.executable, "-c", program, "{seed}", "{result}")
    values: dict[str, Any] = {"usual_s": 1.0, "shows": shown("seen")} | changes
    return Step(name, f"{name} works.", command, limit_s=limit_s, **values)


class Heard:
    """A display that keeps what it hears."""

    def __init__(self, at: Callable[[Step, Far], None] = lambda step, far: None) -> None:
        self.begun: list[str] = []
        self.far: list[Far] = []
        self.over: list[str] = []
        self._at = at

    def begins(self, step: Step) -> None:
        self.begun.append(step.name)

    def is_at(self, step: Step, far: Far) -> None:
        self.far.append(far)
        self._at(step, far)

    def ended(self, ended: Ended) -> None:
        self.over.append(f"{ended.step.name} {ended.verdict.value}")


def run(tmp_path: Path, *steps: Step, heard: Heard | None = None, **changes: Any) -> Proof:
    options = Options(seed=7, folder=tmp_path, home=tmp_path / "home", **changes)
    return prove(steps, options, heard or Heard())


def verdicts(proof: Proof) -> Sequence[Verdict]:
    return [ended.verdict for ended in proof.ended]


def gone(pid: int) -> bool:
    """Within a bound."""
    deadline = time.monotonic() + BOUND_S
    while command_of(pid) is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    return command_of(pid) is None


LEAVES = (
    "import subprocess, sys, time\n"
    "shell = subprocess.run(['sh', '-c', '\"$@\" </dev/null >&2 & echo $!', 'sh', "
    "sys.executable, '-c', 'import time; time.sleep(600)'], "
    "stdout=subprocess.PIPE, start_new_session=True)\n"
    "open(sys.argv[2], 'wb').write(shell.stdout)\n"
)
"""Starts a server as our launchers do: in a session of its own, nobody's child."""
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux hands on orphans")


def test_a_step_gets_the_seed_a_home_and_a_file_for_its_result(tmp_path: Path) -> None:
    program = (
        "import os, sys; open(sys.argv[2], 'w').write(sys.argv[1] + os.environ['PAYMESH_HOME'])"
    )
    step = script("one", program)
    proof = run(tmp_path, step)
    assert proof.proven
    assert (tmp_path / "one.json").read_text() == f"7{tmp_path / 'home'}"
    assert proof.ended[0].shown.facts == ("seen",)


def test_a_red_step_is_reported_and_the_others_still_run(tmp_path: Path) -> None:
    heard = Heard()
    red = script("one", "import sys; print('the end'); sys.exit(3)")
    proof = run(tmp_path, red, script("two", ""), heard=heard)
    assert verdicts(proof) == [Verdict.RED, Verdict.PROVEN]
    assert not proof.proven
    assert proof.ended[0].why == "exit code 3"
    assert (tmp_path / "one.log").read_text().startswith("the end\n")
    assert heard.over == ["one red", "two proven"]


def test_who_does_not_keep_going_leaves_out_what_comes_after_a_red_step(tmp_path: Path) -> None:
    heard = Heard()
    steps = (script("one", "raise SystemExit(1)"), script("two", ""), script("three", ""))
    proof = run(tmp_path, *steps, heard=heard, keep_going=False)
    assert verdicts(proof) == [Verdict.RED, Verdict.LEFT_OUT, Verdict.LEFT_OUT]
    assert heard.begun == ["one"]
    assert not proof.proven


def test_a_step_that_dies_does_not_take_the_rest_along(tmp_path: Path) -> None:
    proof = run(tmp_path, script("one", "import os; os.kill(os.getpid(), 9)"), script("two", ""))
    assert verdicts(proof) == [Verdict.RED, Verdict.PROVEN]
    assert proof.ended[0].why == f"exit code {128 + signal.SIGKILL}"


def test_a_step_that_says_nothing_of_what_it_did_is_red(tmp_path: Path) -> None:
    """Though its exit code is 0: who runs no test at all has proven nothing."""

    def nothing(result: Path, log: Path) -> Shown:
        raise ValueError("no test was found")

    def missing(result: Path, log: Path) -> Shown:
        return Shown([result.read_text()])

    proof = run(tmp_path, script("one", "", shows=nothing), script("two", "", shows=missing))
    assert verdicts(proof) == [Verdict.RED] * 2
    assert "no test was found" in proof.ended[0].why
    assert "its result is missing" in proof.ended[1].why


@on_linux
def test_a_hanging_step_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    """It is asked first; and a server that has left it goes too."""
    hangs = LEAVES + "time.sleep(600)"
    proof = run(tmp_path, script("one", hangs, limit_s=3), script("two", ""))
    assert verdicts(proof) == [Verdict.LATE, Verdict.PROVEN]
    assert "3 s" in proof.ended[0].why
    assert gone(int((tmp_path / "one.json").read_text()))
    assert "KeyboardInterrupt" in (tmp_path / "one.log").read_text()


def test_what_a_step_leaves_of_its_share_is_the_next_ones(tmp_path: Path) -> None:
    """The shares are an hour together, whoever needs more of it than usual."""
    slow = script("two", "import time; time.sleep(3)", limit_s=1)
    proof = run(tmp_path, script("one", "", limit_s=BOUND_S), slow)
    assert verdicts(proof) == [Verdict.PROVEN] * 2
    assert proof.ended[1].limit_s == pytest.approx(BOUND_S + 1 - proof.ended[0].seconds)
    assert proof.limit_s == BOUND_S + 1


@on_linux
def test_what_a_step_leaves_running_is_ended(tmp_path: Path) -> None:
    proof = run(tmp_path, script("one", LEAVES))
    assert proof.proven
    assert gone(int((tmp_path / "one.json").read_text()))
    assert "ended what was left running: 1" in (tmp_path / "one.log").read_text()


@on_linux
def test_ctrl_c_ends_the_step_and_what_it_started_and_leaves_out_the_rest(tmp_path: Path) -> None:
    """One that is deaf is not waited for when it comes a second time."""
    deaf = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n" + LEAVES

    def interrupted(step: Step, far: Far) -> None:
        if (tmp_path / "one.json").exists() and (tmp_path / "one.json").read_text():
            signal.setitimer(signal.ITIMER_REAL, 1)
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        steps = (script("one", deaf + "time.sleep(600)"), script("two", ""))
        started = time.monotonic()
        proof = run(tmp_path, *steps, heard=Heard(interrupted))
    finally:
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - started < 40
    assert verdicts(proof) == [Verdict.LEFT_OUT] * 2
    assert [ended.why for ended in proof.ended] == ["interrupted"] * 2
    assert gone(int((tmp_path / "one.json").read_text()))


@on_linux
def test_when_who_proves_is_killed_the_step_ends_too(tmp_path: Path) -> None:
    """kill -9 of the parent: nobody is left to end it but its warden."""
    file = tmp_path / "pid"
    program = f"{LEAVES.replace('sys.argv[2]', repr(str(file)))}time.sleep(600)"
    parent = (
        "import subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-m', 'paymesh_ops.prove.warden', sys.executable, '-c', "
        "sys.argv[1]], start_new_session=True)\n"
        "time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", parent, program], cwd=ROOT)
    deadline = time.monotonic() + BOUND_S
    while not (file.exists() and file.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    server = int(file.read_text())
    assert command_of(server) is not None
    process.kill()
    process.wait()
    assert gone(server)


FEW_TESTS = """
import sys, time
import pytest

def test_proves(record_property):
    record_property("proved", {"things": 20})
    record_property("died", ("purchase", "bus.after_publish", ["pay-work"]))

def test_is_red():
    left = 1
    assert left == 2

@pytest.mark.skip(reason="why not")
def test_is_skipped():
    raise AssertionError

@pytest.fixture
def broken():
    raise RuntimeError("no server")

def test_cannot_begin(broken):
    pass
"""


def test_tests_are_written_down_while_they_run(tmp_path: Path) -> None:
    """Here by a worker of xdist: what passed, what did not and why, what was recorded."""
    (tmp_path / "test_few.py").write_text(FEW_TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = by_pytest(str(tmp_path), "-c", str(tmp_path / "pytest.ini"), "-n", "1")
    heard = Heard()
    step = Step("few", "Few.", command, usual_s=5, limit_s=BOUND_S, shows=showing.tests)
    [ended] = run(tmp_path, step, heard=heard).ended
    assert ended.verdict is Verdict.RED, (tmp_path / "few.log").read_text()
    assert list(ended.shown.facts) == ["1 tests passed", "2 failed", "1 skipped", "20 things"]
    whys = {title.rpartition("::")[2]: text for title, text in ended.shown.wrong}
    assert "assert 1 == 2" in whys["test_is_red"]
    assert "no server" in whys["test_cannot_begin"]
    assert ended.why.endswith("test_is_red; exit code 1")


def test_a_test_that_hangs_is_named(tmp_path: Path) -> None:
    """What passed before it was ended is known all the same."""
    (tmp_path / "test_few.py").write_text(
        "import time\ndef test_passes(): pass\ndef test_hangs(): time.sleep(600)\n"
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    record = tmp_path / "few.json"

    def when_it_hangs(step: Step, far: Far) -> None:
        if record.exists() and "test_hangs" in record.read_text():
            raise KeyboardInterrupt

    command = by_pytest(str(tmp_path), "-c", str(tmp_path / "pytest.ini"))
    step = Step("few", "Few.", command, usual_s=5, limit_s=BOUND_S, shows=showing.tests)
    [ended] = run(tmp_path, step, heard=Heard(when_it_hangs)).ended
    assert ended.verdict is Verdict.LEFT_OUT
    assert ended.shown.facts[0] == "1 tests passed"
