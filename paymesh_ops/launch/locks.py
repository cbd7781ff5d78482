"""Who is at work in a folder: one at a time, and the next one is told who.

The kernel lets go of a lock when its holder ends, however it ends. What the holder starts does not
inherit it, for Python opens files so that exec closes them. Standard library only: the set-up
uses this before there are packages.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

_NAMED_WITHIN_S = 1.0
_POLL_S = 0.01


@dataclass(frozen=True)
class Holder:
    """Who holds a lock: what it runs, its process id, since when (local time)."""

    command: str
    pid: int
    since: str

    def __str__(self) -> str:
        return f"`{self.command}` (process {self.pid}, since {self.since})"


class InUse(RuntimeError):
    """Another process is at work there; the message says which and what to do."""

    def __init__(self, file: Path) -> None:
        super().__init__(f"{who_holds(file)} is at work in {file.parent}; wait for it, or end it")


@contextmanager
def held(file: Path, command: str) -> Iterator[None]:
    """Holds the lock of `file` meanwhile. Raises InUse at once if another process holds it."""
    lock = take(file, command)
    if lock is None:
        raise InUse(file)
    with lock:
        yield


@contextmanager
def waited(file: Path, command: str) -> Iterator[None]:
    """As `held`, but waits for as long as another process holds it."""
    lock = take(file, command, wait=True)
    assert lock is not None
    with lock:
        yield


def take(file: Path, command: str, *, wait: bool = False) -> BinaryIO | None:
    """The locked file, signed by us; None if another process has it locked and we don't `wait`."""
    while True:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock = file.open("ab")
        except FileNotFoundError:
            continue  # the folder was removed that very moment
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            lock.close()
            return None
        except BaseException:
            lock.close()
            raise
        # Who removes a folder holds its locks and removes them too: then ours locks nothing.
        if _is_still(file, lock):
            _sign(lock, command)
            return lock
        lock.close()


def _is_still(file: Path, lock: BinaryIO) -> bool:
    try:
        return os.path.samestat(file.stat(), os.fstat(lock.fileno()))
    except FileNotFoundError:
        return False


def _sign(lock: BinaryIO, command: str) -> None:
    me = Holder(command, os.getpid(), time.strftime("%Y-%m-%d %H:%M:%S"))
    lock.truncate(0)
    lock.write(json.dumps(asdict(me)).encode())
    lock.flush()


def who_holds(file: Path) -> str:
    """Who has signed the lock; it is locked a moment before that, so this waits a little."""
    deadline = time.monotonic() + _NAMED_WITHIN_S
    while time.monotonic() < deadline:
        try:
            signed = Holder(**json.loads(file.read_bytes()))
            os.kill(signed.pid, 0)
            return str(signed)
        except PermissionError:  # it lives, as another user
            return str(signed)
        except (FileNotFoundError, ProcessLookupError, json.JSONDecodeError):
            time.sleep(_POLL_S)  # not signed yet, or by the one before, who was killed
    return "another process"
