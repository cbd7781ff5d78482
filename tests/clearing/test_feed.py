"""The feed of entries over the real gRPC server: in the order of the chain, each exactly once."""

from __future__ import annotations

import asyncio
import random
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import grpc
import pytest
from grpc_status import rpc_status
from payments.clearing.v1 import books_service_pb2, books_service_pb2_grpc, ledger_service_pb2

from clearing_svc.books import feed
from clearing_svc.books.feed import Feed, FeedPosition, cursor_to, position_of
from paymesh.app import App
from paymesh.channel import DIRECT
from paymesh.clock import SystemClock
from tests.clearing.chain_world import put_all, sealed, store_of, under_way
from tests.clearing.conftest import Database, Stub
from tests.clearing.ledger_messages import asked, fields_of
from tests.clearing.ledger_world import earned, top_up

pytestmark = pytest.mark.slow

Watch = Callable[..., AsyncIterator[Any]]
Key = tuple[str, int]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "POLL_S", 0.02)
    monkeypatch.setattr(feed, "HEARTBEAT_S", 0.2)


@pytest.fixture
async def books(app: App) -> AsyncIterator[Any]:
    assert app.server is not None
    async with grpc.aio.insecure_channel(
        f"127.0.0.1:{app.server.port}", options=[DIRECT]
    ) as channel:
        yield books_service_pb2_grpc.BooksServiceStub(channel)


async def post(stub: Stub, prefix: str, journals: int) -> None:
    items = [asked(top_up("ann", 1 + n, key=f"{prefix}-{n}")) for n in range(journals)]
    await stub.PostJournals(ledger_service_pb2.PostJournalsRequest(items=items), timeout=60)


def request_of(cursor: str = "", *subjects: str) -> Any:
    return books_service_pb2.WatchEntriesRequest(cursor=cursor, subjects=subjects)


def keys_of(response: Any) -> list[Key]:
    return [(entry.journal_id, entry.line) for entry in response.entries]


async def watched(books: Any, entries: int, cursor: str = "", *subjects: str) -> list[Any]:
    """Responses until so many entries came; the first one if none are asked for."""
    responses: list[Any] = []
    call = books.WatchEntries(request_of(cursor, *subjects), timeout=60)
    async for response in call:
        responses.append(response)
        if sum(len(r.entries) for r in responses) >= entries:
            break
    call.cancel()
    return responses


def in_chain(database: Database) -> list[Key]:
    return [
        (str(journal), int(str(line)))
        for journal, line in database.query(
            "SELECT j.id, e.line FROM journal j JOIN entry e ON e.journal_id = j.id "
            "WHERE j.posting < (SELECT max(up_to) FROM block) "
            'ORDER BY j.posting, j.id COLLATE "C", e.line'
        )
    ]


async def refusal(books: Any, cursor: str) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await anext(aiter(books.WatchEntries(request_of(cursor), timeout=60)))
    return refused.value


async def test_an_entry_comes_as_it_was_booked(books: Any, stub: Stub) -> None:
    posted = asked(top_up("ann", 500, key="1"))
    request = ledger_service_pb2.PostJournalsRequest(items=[posted])
    [result] = (await stub.PostJournals(request, timeout=60)).results
    [response] = await watched(books, 2)
    journal = result.journal
    assert [entry.entry for entry in response.entries] == list(journal.entries)
    for line, entry in enumerate(response.entries, start=1):
        assert (entry.journal_id, entry.line) == (journal.journal_id, line)
        assert entry.account_id.startswith("acc_")
        assert (entry.event_type, entry.business_key) == ("test/top-up", "1")
        assert entry.business_id == "biz_1"
        assert entry.accounting_date == journal.accounting_date
        assert entry.post_time == journal.post_time


async def test_everything_comes_in_order_and_by_the_thousand(
    books: Any, stub: Stub, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Transactions longer than a response and many short ones, before and while one watches."""
    await post(stub, "long", 1000)
    for n in range(5):
        await post(stub, f"short-{n}", 3)
    watching = asyncio.create_task(watched(books, 2 * 1615))
    for n in range(20):
        await post(stub, f"later-{n}", 30)
    responses = await watching
    found = [key for response in responses for key in keys_of(response)]
    assert max(len(response.entries) for response in responses) == feed.ENTRIES_MAX
    assert found == in_chain(database)
    assert len(found) == len(set(found)) == 2 * 1615


async def test_only_what_is_sealed_comes_and_late_commits_come_in_their_place(
    books: Any, stub: Stub, database: Database
) -> None:
    """The feed waits for who began before, so his entries never come behind a younger cursor."""
    await post(stub, "first", 1)
    [response] = await watched(books, 2)
    with under_way(database.app_url):
        await post(stub, "younger", 1)
        with suppress(TimeoutError):
            async with asyncio.timeout(1.5):
                await watched(books, 1, response.cursor)
                raise AssertionError("the younger one came first")
    found = await watched(books, 2, response.cursor)
    assert [key for r in found for key in keys_of(r)] == in_chain(database)[2:]


async def test_who_leaves_at_any_entry_and_comes_again_has_no_gap_and_no_double(
    books: Any, stub: Stub, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that is killed after any response, while others post, keeps what it worked off."""
    monkeypatch.setattr(feed, "ENTRIES_MAX", 7)
    monkeypatch.setattr(feed, "JOURNALS_MAX", 4)
    chance = random.Random(3)
    batches, total = [1 + n % 9 for n in range(30)], 2 * sum(1 + n % 9 for n in range(30))

    async def others() -> None:
        for n, journals in enumerate(batches):
            await post(stub, f"b-{n}", journals)

    posting = asyncio.create_task(others())
    worked_off: list[Key] = []
    cursor, lives = "", 0
    while len(worked_off) < total:
        lives += 1
        call = books.WatchEntries(request_of(cursor), timeout=60)
        left = chance.randrange(6)
        async for response in call:
            if chance.random() < 0.1:  # it dies before it has worked this off
                break
            worked_off += keys_of(response)
            cursor = response.cursor
            if not left or len(worked_off) >= total:
                break
            left -= 1
        call.cancel()
    await posting
    assert lives > 5
    assert worked_off == in_chain(database)


async def test_a_cursor_is_good_at_another_server(
    books: Any, stub: Stub, database: Database
) -> None:
    await post(stub, "a", 30)
    [response] = await watched(books, 60)
    await post(stub, "b", 10)
    async with store_of(database.app_url) as store:
        other = Feed(store, SystemClock())
        found = await anext(aiter(other.watch(request_of(response.cursor))))
        await other.close()
    assert keys_of(response) + keys_of(found) == in_chain(database)


async def test_only_the_subjects_asked_for_come_and_the_others_move_the_cursor(
    books: Any, app: App, stub: Stub, database: Database
) -> None:
    await post(stub, "a", 20)
    [heartbeat] = await watched(books, 0, "", "MERCHANT_PENDING")
    assert list(heartbeat.entries) == []
    assert position_of(heartbeat.cursor) > FeedPosition(0)
    item = asked(earned(5, 7))
    await stub.PostJournals(ledger_service_pb2.PostJournalsRequest(items=[item]), timeout=60)
    chosen = ("MERCHANT_AVAILABLE", "MERCHANT_PENDING")
    for cursor in ("", heartbeat.cursor):
        *_, response = await watched(books, 2, cursor, *chosen)
        assert sorted(entry.entry.subject for entry in response.entries) == sorted(chosen)
    [rest] = await watched(books, 1, heartbeat.cursor)
    assert len(rest.entries) == 3


def forged(text: str) -> str:
    return urlsafe_b64encode(text.encode()).decode()


JOURNAL = "jrn_" + "a" * 28


@pytest.mark.parametrize(
    "cursor",
    ["x", "ÿ", "====", forged("1"), forged("1  1"), forged("-1  0"), forged("1 x 1"),
     forged(f"1 {JOURNAL} 0"), forged(f"1 {JOURNAL}\x00 1"), forged(f"1 {JOURNAL} 1 "),
     forged("01  0"), forged("1  0") + "\n", forged("٣  0"), forged("9" * 19 + "  0"),
     "A" * 129],
)  # fmt: skip
async def test_a_cursor_that_is_not_ours_is_refused(books: Any, cursor: str) -> None:
    error = await refusal(books, cursor)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    status = rpc_status.from_call(error)
    assert status is not None
    assert fields_of(status) == ["cursor"]


async def test_a_cursor_ahead_of_the_chain_is_refused(
    books: Any, stub: Stub, database: Database
) -> None:
    """It is of another database, or of this one before an older backup took its position."""
    await post(stub, "a", 1)
    [response] = await watched(books, 2)
    position = position_of(response.cursor)
    assert position_of(cursor_to(FeedPosition(position.posting, JOURNAL, 3))) == FeedPosition(
        position.posting, JOURNAL, 3
    )
    error = await refusal(books, cursor_to(FeedPosition(position.posting + 10_000)))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_server_that_stops_ends_streams_in_order_and_at_once(
    books: Any, app: App, stub: Stub, database: Database
) -> None:
    await post(stub, "a", 3)
    call = books.WatchEntries(request_of(), timeout=60)
    responses = aiter(call)
    first = await anext(responses)
    async with asyncio.timeout(60):
        stopping = asyncio.create_task(app.stop())
        assert [r async for r in responses if r.entries] == []
        assert await call.code() is grpc.StatusCode.OK
        await stopping
    assert keys_of(first) == in_chain(database)


class CountedStore:
    """How often the store is asked."""

    def __init__(self, store: Any) -> None:
        self._store, self.asked = store, 0

    def snapshot(self) -> Any:
        self.asked += 1
        return self._store.snapshot()


class Polls(SystemClock):
    """Each wait between polls lasts until the test lets it pass."""

    def __init__(self) -> None:
        self.waiting = self.begun = 0
        self._passes = asyncio.Semaphore(0)

    async def sleep(self, seconds: float) -> None:
        assert seconds == feed.POLL_S
        self.waiting += 1
        self.begun += 1
        await self._passes.acquire()
        self.waiting -= 1

    def let_pass(self) -> None:
        self._passes.release()

    async def next(self) -> None:
        """One poll, from the wait before it to the wait behind it."""
        async with asyncio.timeout(60):
            while not self.waiting:
                await asyncio.sleep(0.001)
            begun = self.begun
            self.let_pass()
            while self.begun == begun:
                await asyncio.sleep(0.001)


async def test_watchers_share_their_polls_and_their_pages_and_leave_nothing_behind(
    database: Database,
) -> None:
    put_all(database.app_url, 3)
    await sealed(database.app_url)
    async with store_of(database.app_url) as store:
        counted: Any = CountedStore(store)
        clock = Polls()
        shared = Feed(counted, clock)
        watchers = [aiter(shared.watch(request_of())) for _ in range(50)]
        found = await asyncio.gather(*(anext(watcher) for watcher in watchers))
        assert counted.asked == 50 + 1, "each at its start, and a page for all"
        waiting = [asyncio.ensure_future(anext(watcher)) for watcher in watchers]
        counted.asked = 0
        for polls in range(1, 11):
            await clock.next()
            assert counted.asked == polls
        put_all(database.app_url, 1)
        await sealed(database.app_url)
        await clock.next()
        again = await asyncio.gather(*waiting)
        assert counted.asked == 10 + 1 + 1, "one poll and one page for all"
        assert len({r.cursor for r in found}) == len({r.cursor for r in again}) == 1
        for watcher in watchers:
            await watcher.aclose()
        clock.let_pass()
        assert shared._poller is not None
        await asyncio.wait_for(shared._poller, 60)
        await shared.close()


async def test_too_many_watchers_are_refused_and_those_who_left_make_room(
    books: Any, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "WATCHERS_MAX", 1)
    await post(stub, "a", 1)
    call = books.WatchEntries(request_of(), timeout=60)
    await anext(aiter(call))  # so it is there
    assert (await refusal(books, "")).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    call.cancel()
    async with asyncio.timeout(60):
        while True:
            try:
                assert await watched(books, 2)
                return
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                    raise


async def test_a_database_that_goes_and_comes_back_ends_streams_or_lets_them_wait(
    books: Any, stub: Stub, database: Database
) -> None:
    """Whoever is told UNAVAILABLE goes on behind his cursor."""
    await post(stub, "a", 3)
    worked_off: list[Key] = []
    cursor = ""
    for n in range(5):
        database.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await post(stub, f"b-{n}", 2)
        while len(worked_off) < 2 * (5 + 2 * n):
            with suppress(grpc.aio.AioRpcError):
                for response in await watched(books, 1, cursor):
                    worked_off += keys_of(response)
                    cursor = response.cursor
    assert worked_off == in_chain(database)
