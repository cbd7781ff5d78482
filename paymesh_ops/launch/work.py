"""One command at a time works in a home; and a home is removed whole, or the next one does it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from paymesh_ops.launch import processes
from paymesh_ops.launch.home import write_atomically
from paymesh_ops.launch.living import end_all, living
from paymesh_ops.launch.locks import held

MESH, DEMO, STORM, BENCH = "mesh", "demo", "storm", "bench"
"""What is worked on, each with a lock of its own; all but the mesh live in a folder of the home."""
SUPERVISOR = "supervisor"

OF_DATABASES = frozenset({"keys", "credentials.json", "sandbox"})
"""What nobody can open or compare the databases without."""

_LOCKS = (MESH, DEMO, STORM, BENCH, SUPERVISOR)
_PURGING = "purging"


class HomeInUse(RuntimeError):
    """Something lives in a home that shall be removed; the message says what."""


def lock_of(home: Path, work: str) -> Path:
    """Who works on the mesh (`up`, `down`), on the demo and so on holds its lock."""
    return home / f"{work}.lock"


@contextmanager
def at_work(home: Path, work: str, command: str) -> Iterator[None]:
    """Alone at `work` in `home`. Raises InUse, naming who is.

    A purge that was interrupted is finished first: nobody is to start on half of the data.
    """
    with held(lock_of(home, work), command):
        if (home / _PURGING).exists():
            with _locks(home, set(_LOCKS) - {work}, command):
                _empty(home)
        yield


def alone_at_home(home: Path, command: str) -> AbstractContextManager[None]:
    """For who is at work on the mesh: no demo, storm or benchmark is. Raises InUse if one is."""
    return _locks(home, {DEMO, STORM, BENCH}, command)


def purge(home: Path, command: str, *, stays: frozenset[str] = frozenset()) -> None:
    """Removes `home` but for what `stays`; for who is alone there, and has ended its mesh.

    What a killed demo, storm or benchmark left is ended first. Raises HomeInUse if something else
    lives there, InUse if that is a supervisor.
    """
    with held(lock_of(home, SUPERVISOR), command):
        for work in (DEMO, STORM, BENCH):
            end_all(home / work)
        _refuse_strays(home)
        _empty(home, stays)
        for work in reversed(_LOCKS):
            lock_of(home, work).unlink()
        with suppress(OSError):  # it is not empty if somebody begins anew this very moment
            home.rmdir()


@contextmanager
def _locks(home: Path, works: set[str], command: str) -> Iterator[None]:
    with ExitStack() as stack:
        for work in sorted(works):
            stack.enter_context(held(lock_of(home, work), command))
        yield


def _refuse_strays(home: Path) -> None:
    """Servers of tests, for example, live in folders of the home that nobody locks."""
    for marker in (f"-D {home}/", f"-paymesh_directory {quote(str(home))}/", f"-X paymesh={home}"):
        for pid, command in processes.find(marker).items():
            raise HomeInUse(f"process {pid} lives in {home}; end it first: {command[:200]}")
    if found := living(home):
        raise HomeInUse(f"{found} live in {home}")


def _empty(home: Path, stays: frozenset[str] = frozenset()) -> None:
    purging = home / _PURGING
    if not purging.exists():  # else an earlier one said what stays
        write_atomically(purging, "\n".join(stays))
    keep = {purging, *(lock_of(home, work) for work in _LOCKS)}
    keep |= {home / name for name in purging.read_text().splitlines()}
    for entry in home.iterdir():
        if entry in keep:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    purging.unlink()
