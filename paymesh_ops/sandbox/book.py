"""The book: an append-only file of JSON lines, on disk before anybody gets an answer.

`append` puts a record in line; `sync` returns when everything appended before it is on disk.
Writing and fsync run in one thread; what arrives during an fsync shares the next one, so a hundred
concurrent requests cost one or two, not a hundred.

A line is whole or it does not count: a kill can leave a torn last line, which was never answered
to anybody, and is cut off at start. Anything else that does not parse is corruption and is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import secrets
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from paymesh_ops.sandbox.rows import Json

BOOK_FILE = "book.jsonl"
ID_FILE = "id"
BOOK_BYTES_MAX = 4 * 1024**3


class BookError(Exception):
    """The book cannot be read or written; nothing may be answered from it."""


class BookLocked(BookError):
    """Another process has the book open."""


class BookCorrupt(BookError):
    """A line in the middle of the file is not a record."""


class BookFailed(BookError):
    """A write or fsync failed. Memory is now ahead of the disk: the process must end."""


def book_id(folder: Path) -> str:
    """What tells the book of a folder from every other; made once, by whoever asks first."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ID_FILE
    if not path.exists():
        fresh = folder / f".{ID_FILE}.{os.getpid()}"
        fresh.write_text(secrets.token_hex(8))
        with contextlib.suppress(FileExistsError):
            os.link(fresh, path)  # whole, and only the first one's
        fresh.unlink()
    return path.read_text()


class Book:
    """One open book. Create it with `Book.open`; one event loop owns it."""

    def __init__(self, fd: int, size_bytes: int, *, bytes_max: int) -> None:
        self._fd = fd
        self._bytes_max = bytes_max
        self._appended_bytes = size_bytes
        self._durable_bytes = size_bytes
        self._pending: list[bytes] = []
        self._flushing: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()
        """Who waits for which size to be on disk, in that order."""
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="book")
        self.flushes = 0
        """How many fsyncs there were: fewer than records under load."""

    @classmethod
    def open(
        cls, folder: Path, replay: Callable[[Json], None], *, bytes_max: int = BOOK_BYTES_MAX
    ) -> Book:
        """Open or create the book in a folder, and replay its records in order.

        Raises BookLocked if another process has it, BookCorrupt if a line that is not the last
        is no record, OSError if it cannot be read or created.
        """
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / BOOK_FILE
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BookLocked(f"{path} is open in another process") from error
            whole_bytes = _replay(path, replay)
            # Cut the torn line off, or the next record would be glued to it.
            os.ftruncate(fd, whole_bytes)
            os.fsync(fd)
            _sync_folder(folder)
        except BaseException:
            os.close(fd)
            raise
        return cls(fd, whole_bytes, bytes_max=bytes_max)

    def append(self, record: Json) -> None:
        """Put a record in line. Raises BookFailed if the book is full or has failed before."""
        self._check()
        line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        if self._appended_bytes + len(line) > self._bytes_max:
            raise BookFailed(f"the book is full: {self._bytes_max} bytes")
        self._pending.append(line)
        self._appended_bytes += len(line)
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().create_task(self._flush())

    async def sync(self) -> None:
        """Return when everything appended so far is on disk. Raises BookFailed."""
        self._check()
        if self._durable_bytes == self._appended_bytes:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append((self._appended_bytes, waiter))
        await waiter

    async def close(self) -> None:
        """Write what is pending and close the file. Raises BookFailed if that cannot be."""
        try:
            await self.sync()
        finally:
            self._thread.shutdown(wait=True)
            os.close(self._fd)

    def _check(self) -> None:
        if self._failure is not None:
            raise BookFailed("the book has failed") from self._failure

    async def _flush(self) -> None:
        """Write until nothing is pending, waking whoever has waited for it."""
        loop = asyncio.get_running_loop()
        try:
            while self._pending:
                chunk = b"".join(self._pending)
                self._pending.clear()
                await loop.run_in_executor(self._thread, self._write, chunk)
                self._durable_bytes += len(chunk)
                self.flushes += 1
                while self._waiters and self._waiters[0][0] <= self._durable_bytes:
                    _, waiter = self._waiters.popleft()
                    if not waiter.done():
                        waiter.set_result(None)
        except BaseException as error:
            # Whatever it was, a part may be on disk and a part not: nobody may rely on it again.
            self._failure = error
            for _, waiter in self._waiters:
                if not waiter.done():
                    waiter.set_exception(BookFailed(f"the book cannot be written: {error!r}"))
            self._waiters.clear()
            if not isinstance(error, OSError):
                raise
        finally:
            self._flushing = None

    def _write(self, chunk: bytes) -> None:
        left = memoryview(chunk)
        while left:
            left = left[os.write(self._fd, left) :]
        os.fsync(self._fd)


def _replay(path: Path, replay: Callable[[Json], None]) -> int:
    """Feed every whole line to `replay`; the number of bytes they take."""
    whole_bytes = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                break
            try:
                replay(json.loads(line))
            except (ValueError, KeyError, TypeError, StopIteration) as error:
                raise BookCorrupt(f"{path}, line {number}: {error!r}") from error
            whole_bytes += len(line)
    return whole_bytes


def _sync_folder(folder: Path) -> None:
    # Without it a power cut may forget that the file was ever created.
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
