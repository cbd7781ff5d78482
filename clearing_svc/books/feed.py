"""Entries as they are sealed, for who watches: in the order of the chain, behind a cursor.

What a block has sealed never changes and nothing comes between, so a position in that order is
enough to go on from, in any process. All watchers of a process share one look at the chain each
POLL_S, and the pages that they read at the same positions.
"""

from __future__ import annotations

import asyncio
import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import structlog
from payments.clearing.v1 import books_service_pb2, ledger_pb2

from clearing_svc.books.balances import BOOKED_COLUMNS, booked, reading, rows
from clearing_svc.books.wire import booked_to
from paymesh.clock import Clock
from paymesh.errors import InvalidField, Overloaded, Unavailable
from paymesh.store.postgres import PostgresStore

log = structlog.get_logger()

POLL_S = 0.5
HEARTBEAT_S = 5.0
WATCHERS_MAX = 500
ENTRIES_MAX = 1_000
"""In a response."""
JOURNALS_MAX = 500
"""Looked at for a page; more only if one transaction has posted more."""
CHOSEN_JOURNALS_MAX = 5_000
"""As above, where only some subjects are asked for."""
PAGES_KEPT_MAX = 16
READERS_MAX = 2
"""Connections for pages: who replays years leaves the others to who posts."""


class FeedPosition(NamedTuple):
    """Behind this entry; without a journal: behind all postings below this one."""

    posting: int
    journal_id: str = ""
    line: int = 0


class _Page(NamedTuple):
    entries: Sequence[ledger_pb2.BookedEntry]
    end: FeedPosition


Response = books_service_pb2.WatchEntriesResponse


class Feed:
    """What BooksService.WatchEntries streams."""

    def __init__(self, store: PostgresStore, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._sealed = 0
        """All postings below it are sealed, as far as is known here."""
        self._moved = asyncio.Event()
        """Set, and another one put in its place, when that changes or we close."""
        self._watchers = 0
        self._closing = False
        self._poller: asyncio.Task[None] | None = None
        self._pages: dict[tuple[FeedPosition, tuple[str, ...]], asyncio.Task[_Page]] = {}
        self._readers = asyncio.Semaphore(READERS_MAX)

    async def watch(
        self, request: books_service_pb2.WatchEntriesRequest
    ) -> AsyncIterator[books_service_pb2.WatchEntriesResponse]:
        """Responses until the server drains (then it just ends) or nobody listens any more.

        Raises InvalidField for a cursor that is not of this chain, Overloaded, Unavailable.
        """
        position = position_of(request.cursor) if request.cursor else FeedPosition(0)
        subjects = tuple(sorted(set(request.subjects)))
        if self._closing:
            raise Unavailable("this server is stopping; watch at another one")
        if self._watchers >= WATCHERS_MAX:
            raise Overloaded(f"{WATCHERS_MAX} watch the entries here already")
        self._watchers += 1
        try:
            await self._look()
            if position > FeedPosition(self._sealed):
                raise InvalidField("cursor", "is ahead of the chain: it is of another database")
            if self._poller is None or self._poller.done():
                self._poller = asyncio.create_task(self._poll())
            async for page in self._pages_from(position, subjects):
                yield Response(entries=page.entries, cursor=cursor_to(page.end))
        finally:
            self._watchers -= 1

    async def _pages_from(
        self, position: FeedPosition, subjects: tuple[str, ...]
    ) -> AsyncIterator[_Page]:
        """Pages with entries; and one without, when there were none for long but others passed."""
        reported, reported_at = position, self._clock.monotonic()
        while not self._closing:
            moved = self._moved
            page = _Page((), position)
            if position < FeedPosition(self._sealed):
                page = await self._page(position, subjects)
                position = page.end
            silent_s = self._clock.monotonic() - reported_at
            if page.entries or (position != reported and silent_s >= HEARTBEAT_S):
                yield page
                reported, reported_at = position, self._clock.monotonic()
            elif position >= FeedPosition(self._sealed):
                with suppress(TimeoutError):
                    wait_s = max(0.0, HEARTBEAT_S - silent_s) if position != reported else None
                    await asyncio.wait_for(moved.wait(), wait_s)

    # What all watchers share

    async def _poll(self) -> None:
        while self._watchers and not self._closing:
            await self._clock.sleep(POLL_S)
            try:
                await self._look()
            except Unavailable as error:
                log.warning("feed.unreachable", error=str(error))
            except Exception:  # the one task of all watchers must outlive a defect
                log.exception("feed.defect")

    async def _look(self) -> None:
        async with reading(self._store) as connection:
            [(found,)] = await rows(connection, "SELECT max(up_to) FROM block")
        sealed = int(found or 0)
        if sealed > self._sealed:
            self._sealed = sealed
            self._wake()

    def _wake(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    async def _page(self, position: FeedPosition, subjects: tuple[str, ...]) -> _Page:
        """Read once for all who are at the position. Raises Unavailable."""
        key = (position, subjects)
        task = self._pages.get(key)
        if task is None:
            while len(self._pages) >= PAGES_KEPT_MAX:
                del self._pages[next(iter(self._pages))]
            task = self._pages[key] = asyncio.create_task(self._read(position, subjects))
            task.add_done_callback(lambda done: self._forget_failed(key, done))
        return await asyncio.shield(task)

    def _forget_failed(self, key: Any, task: asyncio.Task[_Page]) -> None:
        failed = task.cancelled() or task.exception() is not None
        if failed and self._pages.get(key) is task:
            del self._pages[key]

    async def _read(self, position: FeedPosition, subjects: tuple[str, ...]) -> _Page:
        low, high = position.posting, self._sealed
        journals = CHOSEN_JOURNALS_MAX if subjects else JOURNALS_MAX
        async with self._readers, reading(self._store) as connection:
            for (posting,) in await rows(connection, _BOUND, low=low, high=high, journals=journals):
                high = max(posting, low + 1)  # whole transactions, and at least the first one
            found = await rows(
                connection, _PAGE, low=low, high=high, subjects=list(subjects) or None,
                journal=position.journal_id, line=position.line, entries=ENTRIES_MAX,
            )  # fmt: skip
        end = FeedPosition(*found[-1][:3]) if len(found) == ENTRIES_MAX else FeedPosition(high)
        return _Page([booked_to(booked(row)) for row in found], end)

    async def close(self) -> None:
        """Ends all streams, each behind what it has sent."""
        self._closing = True
        self._wake()
        if self._poller is not None:
            self._poller.cancel()
            with suppress(asyncio.CancelledError):
                await self._poller
        await asyncio.gather(*self._pages.values(), return_exceptions=True)


_BOUND = """
    SELECT posting FROM journal WHERE posting >= %(low)s AND posting < %(high)s
    ORDER BY posting OFFSET %(journals)s LIMIT 1
"""
_PAGE = f"""
    SELECT {BOOKED_COLUMNS} FROM journal j JOIN entry e ON e.journal_id = j.id
    LEFT JOIN account a ON a.shard_key = e.shard_key AND a.id = e.account_id
    WHERE j.posting >= %(low)s AND j.posting < %(high)s
        AND (j.posting, j.id COLLATE "C") >= (%(low)s, %(journal)s)
        AND (j.posting, j.id COLLATE "C", e.line) > (%(low)s, %(journal)s, %(line)s)
        AND (%(subjects)s::text[] IS NULL OR a.subject = ANY (%(subjects)s))
    ORDER BY j.posting, j.id COLLATE "C", e.line LIMIT %(entries)s
"""


# Cursors


def cursor_to(position: FeedPosition) -> str:
    return urlsafe_b64encode(
        f"{position.posting} {position.journal_id} {position.line}".encode()
    ).decode()


_PLACE = re.compile(r"(\d{1,18}) (?:(jrn_[a-z2-7]{28}) ([1-9]\d{0,17})|() (0))", re.ASCII)


def position_of(cursor: str) -> FeedPosition:
    """Raises InvalidField for a cursor that no response had."""
    try:
        found = _PLACE.fullmatch(urlsafe_b64decode(cursor.encode("ascii")).decode("ascii"))
    except (binascii.Error, ValueError) as error:
        raise InvalidField("cursor", "is not from a WatchEntries response") from error
    position = None
    if found is not None:
        posting, *behind = (part for part in found.groups() if part is not None)
        position = FeedPosition(int(posting), behind[0], int(behind[1]))
    if position is None or cursor_to(position) != cursor:
        raise InvalidField("cursor", "is not from a WatchEntries response")
    return position
