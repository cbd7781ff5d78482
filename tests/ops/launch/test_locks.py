"""One at a time is at work in a folder; whoever comes second is told who."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from paymesh_ops.launch import work
from paymesh_ops.launch.locks import InUse, held, take, waited
from paymesh_ops.launch.work import HomeInUse, alone_at_home, at_work, purge

PURGE = "paymesh down --purge"

HOLD = """
import sys, time
from pathlib import Path
from paymesh_ops.launch.locks import take
import subprocess
lock = take(Path(sys.argv[1]), "paymesh up")
child = subprocess.Popen(["/bin/sleep", "600"])
print(child.pid, flush=True)
time.sleep(600)
"""


def test_the_second_is_refused_and_told_who_the_first_is(tmp_path: Path) -> None:
    file = tmp_path / "mesh.lock"
    with held(file, "paymesh up"):
        said = rf"`paymesh up` \(process {os.getpid()}, since .*\) is at work in {tmp_path}; wait"
        with pytest.raises(InUse, match=said), held(file, "paymesh down"):
            pass
    with held(file, "paymesh down"):
        assert '"paymesh down"' in file.read_text()


def test_a_killed_holder_holds_nothing_and_what_it_started_neither(tmp_path: Path) -> None:
    """The kernel lets go at kill -9, although a child of the holder lives on."""
    file = tmp_path / "mesh.lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(file)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    child = int(holder.stdout.readline())
    try:
        assert take(file, "paymesh up") is None
        holder.kill()
        holder.wait()
        os.kill(child, 0)
        with held(file, "paymesh up"):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        holder.stdout.close()


def test_who_waits_for_a_lock_that_is_removed_meanwhile_locks_the_new_file(tmp_path: Path) -> None:
    """Else two would be at work: one on the removed file, one on a new one of the same name."""
    file = tmp_path / "home" / "mesh.lock"
    first = take(file, PURGE)
    assert first is not None
    got: list[bool] = []

    def wait() -> None:
        with waited(file, "paymesh up"):
            got.append(take(file, "paymesh up") is None)

    waiter = threading.Thread(target=wait)
    waiter.start()
    time.sleep(0.2)
    file.unlink()
    file.parent.rmdir()
    first.close()
    waiter.join(60)
    assert got == [True]


def test_a_purge_that_was_interrupted_is_finished_before_anybody_begins(tmp_path: Path) -> None:
    """Half of the data is no data: keys without their database, or the other way round."""
    (tmp_path / "postgres" / "data").mkdir(parents=True)
    (tmp_path / "purging").touch()
    with at_work(tmp_path, "demo", "paymesh demo"):
        left = {entry.name for entry in tmp_path.iterdir()}
    assert left == {f"{name}.lock" for name in ("mesh", "demo", "storm", "bench", "supervisor")}


def test_a_purge_removes_the_home_with_the_lock_that_it_holds(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "keys").mkdir(parents=True)
    with at_work(home, "mesh", PURGE), alone_at_home(home, PURGE):
        purge(home, PURGE)
    assert not home.exists()


def test_what_databases_elsewhere_need_survives_a_purge_that_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their keys above all: nobody has another copy."""
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "secret.key").write_bytes(bytes(32))
    (tmp_path / "run").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(work.shutil, "rmtree", _killed)
        with at_work(tmp_path, "mesh", PURGE), pytest.raises(KeyboardInterrupt):
            purge(tmp_path, PURGE, stays=work.OF_DATABASES)
    with at_work(tmp_path, "mesh", "paymesh up"):
        assert not (tmp_path / "run").exists()
    assert (tmp_path / "keys" / "secret.key").exists()


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_home_in_which_a_strange_server_lives_is_not_purged(tmp_path: Path) -> None:
    """A server in a folder that no command of ours works in is not ours to end."""
    marker = ["-D", str(tmp_path / "test-1" / "data"), "-h", "127.0.0.1"]
    stray = subprocess.Popen([sys.executable, "-c", "input()", *marker], stdin=subprocess.PIPE)
    try:
        with (
            at_work(tmp_path, "mesh", PURGE),
            alone_at_home(tmp_path, PURGE),
            pytest.raises(HomeInUse, match=f"process {stray.pid} lives in {tmp_path}"),
        ):
            purge(tmp_path, PURGE)
    finally:
        stray.communicate()
    assert tmp_path.exists()
