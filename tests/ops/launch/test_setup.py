"""The set-up in a copy of the checkout: interrupted, killed, two at once; the next run works."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ops.launch.lives import PATIENCE_S, SOME_MOMENTS, interrupted, moment_of, wait_for

ROOT = Path(__file__).parents[3]


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    """What git knows, as it is now."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    copy = tmp_path / "checkout"
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file() and not name.startswith(("tests/", "docs/")):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    yield copy
    wait_for("the set-up's processes end", lambda: not processes_of(copy))


def begin(checkout: Path) -> subprocess.Popen[str]:
    """As somebody who has nothing of ours on the PATH."""
    ours = str(ROOT / ".venv" / "bin")
    path = os.pathsep.join(p for p in os.environ["PATH"].split(os.pathsep) if p != ours)
    environment = {k: v for k, v in os.environ.items() if k != "VIRTUAL_ENV"}
    return subprocess.Popen(
        [checkout / "scripts" / "setup.sh"],
        env={**environment, "PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def processes_of(checkout: Path) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
            if os.fsencode(checkout) in command or (entry / "cwd").resolve() == checkout:
                found.append(f"{entry.name} {command!r}")
        except OSError:
            continue  # it ended while we looked
    return found


def assert_it_is_whole(checkout: Path) -> None:
    """The command starts, and every package is as its wheel was."""
    helped = subprocess.run(
        [checkout / ".venv" / "bin" / "paymesh", "--help"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert helped.returncode == 0, helped.stderr
    missing = [
        f"{distribution.name}: {line}"
        for distribution in (checkout / ".venv").glob("lib/*/site-packages/*.dist-info")
        for line in (distribution / "RECORD").read_text().splitlines()
        if not line.split(",")[0].endswith(".pyc")
        if not (distribution.parent / line.split(",")[0].strip('"')).exists()
    ]
    assert missing == []


def set_up(checkout: Path) -> str:
    job = begin(checkout)
    said, _ = job.communicate(timeout=PATIENCE_S)
    assert job.returncode == 0, said
    return said


def assert_interrupted(checkout: Path, after_s: float, number: signal.Signals) -> None:
    code, said = interrupted(begin(checkout), after_s, number)
    print(f"setup: {number.name} after {after_s:.2f} s: {code}", flush=True)
    assert "Traceback" not in said, said
    if number is signal.SIGKILL:
        assert code in {0, -number}, said
        return
    assert code in {0, 130, -number}, said
    if code == 130:
        assert said.count("interrupted; ") == 1, said
        assert processes_of(checkout) == []


@pytest.mark.slow
def test_a_set_up_that_was_interrupted_or_killed_is_made_whole_by_two_at_once(
    checkout: Path,
) -> None:
    """Two begin at once on what is left: one waits for the other, and both are right."""
    assert_interrupted(checkout, 0.02, signal.SIGINT)
    assert_interrupted(checkout, 1.0, signal.SIGINT)
    assert_interrupted(checkout, 2.0, signal.SIGKILL)
    (checkout / ".venv" / "paymesh-stamp").unlink(missing_ok=True)  # what was killed went on
    jobs = [begin(checkout), begin(checkout)]
    said = [job.communicate(timeout=PATIENCE_S)[0] for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0], said
    assert any("is at work here: waiting for it" in words for words in said)
    assert_it_is_whole(checkout)
    assert set_up(checkout) == ""


@pytest.mark.prove
def test_a_package_that_is_half_there_without_a_stamp_is_made_anew(checkout: Path) -> None:
    """An installer that was killed leaves what looks installed."""
    set_up(checkout)
    (checkout / ".venv" / "paymesh-stamp").unlink()
    [grpc] = (checkout / ".venv").glob("lib/*/site-packages/grpc")
    (grpc / "__init__.py").unlink()
    set_up(checkout)
    assert_it_is_whole(checkout)


@pytest.mark.prove
@SOME_MOMENTS
def test_a_set_up_is_interrupted_at_any_moment(checkout: Path, moments: range) -> None:
    """At each, the next run works."""
    began = time.monotonic()
    set_up(checkout)
    lasts_s = time.monotonic() - began
    for moment in moments:
        (checkout / ".venv" / "paymesh-stamp").unlink(missing_ok=True)
        assert_interrupted(checkout, *moment_of(moment, lasts_s))
        set_up(checkout)
        assert_it_is_whole(checkout)
