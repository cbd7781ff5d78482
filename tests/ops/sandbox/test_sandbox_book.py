"""The book: what was answered is there, whatever happens to the process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway_svc.channels.port import (
    PrepayOrder,
)
from gateway_svc.orders.model import ReportedState
from paymesh_ops.sandbox.book import BOOK_FILE, Book, BookCorrupt, BookFailed, BookLocked
from tests.ops.sandbox.sandbox_actors import PATIENCE_S

MakeOrder = Callable[..., PrepayOrder]


async def eventually(
    ask: Callable[[], Awaitable[Any]], good: Callable[[Any], bool], timeout_s: float = PATIENCE_S
) -> None:
    """Ask again and again until the answer is good."""
    async with asyncio.timeout(timeout_s):
        # Another process: there is no event to wait for.
        while not good(await ask()):
            await asyncio.sleep(0.02)


async def buy_until_it_dies(
    world: Any, channel: Any, new_order: MakeOrder, answered: set[str]
) -> None:
    """One buyer after the other; `answered`: the orders of which the payer was told that they are
    paid."""
    while True:
        order = new_order()
        prepaid = await channel.prepay(order)
        if prepaid.state is not ReportedState.AWAITING_PAYER:
            return
        try:
            answer = await world.pay(prepaid.channel_credential["prepay_id"])
        except aiohttp.ClientError:
            return
        if answer.status == 200:
            answered.add(order.request_no)


async def test_what_was_answered_survives_kill_9_under_load(
    own_program: Any,
    world_of: Any,
    channel_of: Any,
    new_order: MakeOrder,
    new_refund: Any,
) -> None:
    """Orders, payments and refunds are back as they were, and what was under way goes on."""
    world, channel = world_of(own_program), await channel_of(own_program.url)
    await world.faults(refund={"processing_ms": 600_000}, callback={"lost_rate": 1})
    orders = [new_order() for _ in range(10)]
    prepaid = await asyncio.gather(*(channel.prepay(order) for order in orders))
    await asyncio.gather(*(world.pay(p.channel_credential["prepay_id"]) for p in prepaid[:5]))
    refund = new_refund(orders[0], 34)
    assert (await channel.refund(refund)).state is ReportedState.PROCESSING
    before = {order.request_no: await channel.query(order.request_no) for order in orders}
    answered: set[str] = set()
    buyers = [
        asyncio.ensure_future(buy_until_it_dies(world, channel, new_order, answered))
        for _ in range(16)
    ]
    async with asyncio.timeout(PATIENCE_S):
        while len(answered) < 50:
            await asyncio.sleep(0.01)
    own_program.kill()
    await asyncio.gather(*buyers)
    ready = own_program.start()

    assert {no: await channel.query(no) for no in before} == before
    assert [await channel.prepay(order) for order in orders] == list(prepaid)
    rows = (await world.book())["orders"]
    assert ready.rstrip().endswith(f"orders={len(rows)}")
    paid = {row["out_trade_no"] for row in rows if row["state"] == "SUCCESS"}
    assert answered <= paid
    # The knobs are not in the book: healed by the restart, the refund ends.
    await eventually(
        lambda: channel.query_refund(refund.refund_no, refund.request_no),
        lambda result: result.state is ReportedState.SUCCEEDED,
    )
    await eventually(world.book, lambda book: book["callbacks"]["owed"] == 0)


async def test_a_callback_that_was_owed_at_the_kill_comes_after_the_restart(
    own_program: Any, world_of: Any, channel_of: Any, new_order: MakeOrder, receiver: Any
) -> None:
    """With the id that it had."""
    world, channel = world_of(own_program), await channel_of(own_program.url)
    counts = (await world.book())["callbacks"]
    receiver.statuses = [500] * 100
    prepaid = await channel.prepay(new_order())
    await world.pay(prepaid.channel_credential["prepay_id"])
    await receiver.wait_for(1)
    own_program.kill()
    tries = len(receiver.tries)
    receiver.statuses = []
    own_program.start()
    bodies = await receiver.wait_for(tries + 1)
    assert len({body["id"] for body in bodies}) == 1
    done = {**counts, "owed": 0, "delivered": counts["delivered"] + 1}
    await eventually(world.book, lambda book: book["callbacks"] == done)


async def test_a_torn_last_line_is_cut_off_and_the_book_goes_on(tmp_path: Path) -> None:
    """It was never answered to anybody; the next record starts on a line of its own."""
    first: list[Any] = []
    book = Book.open(tmp_path, first.append)
    book.append({"n": 1})
    await book.close()
    with (tmp_path / BOOK_FILE).open("ab") as file:
        file.write(b'{"n": 2, "torn')
    second: list[Any] = []
    book = Book.open(tmp_path, second.append)
    book.append({"n": 3})
    await book.close()
    third: list[Any] = []
    await Book.open(tmp_path, third.append).close()
    assert (first, second, third) == ([], [{"n": 1}], [{"n": 1}, {"n": 3}])


def test_a_broken_line_in_the_middle_is_refused(tmp_path: Path) -> None:
    """A book with a hole is no truth."""
    (tmp_path / BOOK_FILE).write_bytes(b'{"n": 1}\n{"n": \n{"n": 3}\n')
    with pytest.raises(BookCorrupt, match="line 2"):
        Book.open(tmp_path, lambda record: None)


async def test_a_book_has_one_process(tmp_path: Path) -> None:
    """Two would write two truths."""
    book = Book.open(tmp_path, lambda record: None)
    with pytest.raises(BookLocked):
        Book.open(tmp_path, lambda record: None)
    await book.close()


async def test_concurrent_records_share_an_fsync(tmp_path: Path) -> None:
    """Group commit: far fewer fsyncs than records, and all of them on disk."""
    book = Book.open(tmp_path, lambda record: None)

    async def write(number: int) -> None:
        book.append({"n": number})
        await book.sync()

    await asyncio.gather(*(write(number) for number in range(200)))
    assert book.flushes <= 20
    lines = (tmp_path / BOOK_FILE).read_bytes().splitlines()
    assert [json.loads(line)["n"] for line in lines] == list(range(200))
    await book.close()


async def test_a_book_that_cannot_be_written_fails_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits is told, and so is everybody after: no answer from a book that failed."""
    book = Book.open(tmp_path, lambda record: None)

    def disk_full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("paymesh_ops.sandbox.book.os.fsync", disk_full)
    book.append({"n": 1})
    outcomes = await asyncio.gather(book.sync(), book.sync(), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [BookFailed, BookFailed]
    monkeypatch.undo()
    with pytest.raises(BookFailed):
        book.append({"n": 2})
    with pytest.raises(BookFailed):
        await book.sync()
    with pytest.raises(BookFailed):
        await book.close()


async def test_a_full_book_takes_no_more(tmp_path: Path) -> None:
    """Bounded, like everything."""
    book = Book.open(tmp_path, lambda record: None, bytes_max=20)
    book.append({"n": 1})
    with pytest.raises(BookFailed, match="full"):
        book.append({"n": "much too long for it"})
    await book.close()
