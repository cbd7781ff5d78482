"""The batcher: who comes at once goes together, who is alone doesn't wait."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from paymesh.batcher import Batcher, BatchLimits
from paymesh.clock import SystemClock
from paymesh.errors import Internal, Overloaded
from paymesh.linger import ENOUGH


class NotingClock(SystemClock):
    """Notes how long somebody wanted to wait. Its time passes only when it is told."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        await super().sleep(0)


class Doubler:
    """Processes batches of numbers; each waits until the gate is open."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.running = self.most_running = 0

    async def __call__(self, items: Sequence[int]) -> Sequence[int]:
        self.batches.append(list(items))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        await self.gate.wait()
        self.running -= 1
        if -1 in items:
            raise ZeroDivisionError
        return [2 * item for item in items]


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_callers_of_one_moment_share_a_batch_and_get_their_own_outcome() -> None:
    doubler = Doubler()
    batcher = Batcher(doubler, clock=SystemClock())
    assert await asyncio.gather(*map(batcher.submit, range(5))) == [0, 2, 4, 6, 8]
    assert doubler.batches == [[0, 1, 2, 3, 4]]
    await batcher.close()


async def test_items_of_one_message_are_queued_together_all_or_none() -> None:
    doubler = Doubler()
    batcher = Batcher(doubler, clock=SystemClock(), limits=BatchLimits(3, queue_items_max=5))
    assert await batcher.submit_all(range(5)) == [0, 2, 4, 6, 8]
    assert doubler.batches == [[0, 1, 2], [3, 4]]
    with pytest.raises(Overloaded):
        await batcher.submit_all(range(6))
    assert len(doubler.batches) == 2
    await batcher.close()


async def test_a_batch_that_breaks_is_the_error_of_its_items_only() -> None:
    batcher = Batcher(Doubler(), clock=SystemClock(), limits=BatchLimits(items_max=2))
    [one, bad, three] = await batcher.submit_all([1, -1, 3])
    assert isinstance(one, Internal)
    assert isinstance(bad, Internal)
    assert three == 6
    await batcher.close()


async def test_a_caller_of_many_that_goes_away_takes_along_what_is_queued() -> None:
    doubler = Doubler()
    doubler.gate.clear()
    limits = BatchLimits(items_max=2, in_flight_max=1)
    batcher = Batcher(doubler, clock=SystemClock(), limits=limits)
    caller = asyncio.create_task(batcher.submit_all(range(4)))
    await turns()
    caller.cancel()
    await turns()
    doubler.gate.set()
    await batcher.close()
    assert doubler.batches == [[0, 1]]


async def test_a_lone_caller_never_waits() -> None:
    clock = NotingClock()
    batcher = Batcher(Doubler(), clock=clock)
    for number in range(3):
        assert await batcher.submit(number) == 2 * number
    assert clock.waits == []
    await batcher.close()


async def test_after_a_batch_of_many_it_lingers_as_long_as_that_took_up_to_a_limit() -> None:
    """A batch takes as many milliseconds as it has items; the waits are those before the next. One
    that is large already does not wait."""
    clock = NotingClock()

    async def slow(items: Sequence[int]) -> Sequence[int]:
        clock.now += 0.001 * len(items)
        return items

    batcher = Batcher(slow, clock=clock, limits=BatchLimits(items_max=100, linger_max_s=0.02))
    for size in (1, 5, 40, 2, ENOUGH, 1, 1):
        await asyncio.gather(*map(batcher.submit, range(size)))
    assert clock.waits == pytest.approx([0.005, 0.02, 0.02])
    await batcher.close()


async def test_a_batch_has_at_most_so_many_items_and_so_many_are_in_flight() -> None:
    doubler = Doubler()
    doubler.gate.clear()
    limits = BatchLimits(items_max=3, in_flight_max=2, linger_max_s=0, beside_after_s=0)
    batcher = Batcher(doubler, clock=SystemClock(), limits=limits)
    callers = asyncio.gather(*map(batcher.submit, range(10)))
    await turns()
    assert doubler.batches == [[0, 1, 2], [3, 4, 5]]
    doubler.gate.set()
    assert await callers == [2 * n for n in range(10)]
    assert [len(batch) for batch in doubler.batches] == [3, 3, 3, 1]
    assert doubler.most_running == 2
    await batcher.close()


async def test_what_comes_meanwhile_goes_together_and_beside_a_batch_only_if_that_is_slow() -> None:
    doubler = Doubler()
    doubler.gate.clear()
    limits = BatchLimits(linger_max_s=0, beside_after_s=0.5)
    batcher = Batcher(doubler, clock=SystemClock(), limits=limits)
    callers = [asyncio.create_task(batcher.submit(0))]
    await turns()
    for n in (1, 2):
        callers.append(asyncio.create_task(batcher.submit(n)))
        await turns()
    assert doubler.batches == [[0]]
    async with asyncio.timeout(60):
        while len(doubler.batches) < 2:
            await asyncio.sleep(0.01)
    assert doubler.batches == [[0], [1, 2]]
    doubler.gate.set()
    assert await asyncio.gather(*callers) == [0, 2, 4]
    await batcher.close()


async def test_too_long_a_queue_is_overload_and_nothing_else_suffers() -> None:
    doubler = Doubler()
    doubler.gate.clear()
    limits = BatchLimits(items_max=1, in_flight_max=1, queue_items_max=2)
    batcher = Batcher(doubler, clock=SystemClock(), limits=limits)
    running = asyncio.create_task(batcher.submit(0))
    await turns()
    queued = [asyncio.create_task(batcher.submit(n)) for n in (1, 2)]
    await turns()
    with pytest.raises(Overloaded):
        await batcher.submit(3)
    doubler.gate.set()
    assert await asyncio.gather(running, *queued) == [0, 2, 4]
    await batcher.close()


async def test_a_caller_that_leaves_takes_a_queued_item_along_but_not_a_running_one() -> None:
    doubler = Doubler()
    doubler.gate.clear()
    batcher = Batcher(doubler, clock=SystemClock(), limits=BatchLimits(in_flight_max=1))
    running = asyncio.create_task(batcher.submit(1))
    await turns()
    leaving, staying = (asyncio.create_task(batcher.submit(n)) for n in (2, 3))
    await turns()
    for task in (running, leaving):
        task.cancel()
    await turns()
    doubler.gate.set()
    assert await staying == 6
    assert doubler.batches == [[1], [3]]
    await batcher.close()


async def test_a_batch_that_breaks_is_told_to_each_of_its_callers_only() -> None:
    doubler = Doubler()
    batcher = Batcher(doubler, clock=SystemClock(), limits=BatchLimits(in_flight_max=1))
    outcomes = await asyncio.gather(batcher.submit(1), batcher.submit(-1), return_exceptions=True)
    assert {*map(str, outcomes)} == {"the batch broke: ZeroDivisionError"}
    assert all(isinstance(outcome, Internal) for outcome in outcomes)
    assert await batcher.submit(2) == 4
    await batcher.close()


async def test_closing_does_what_is_queued_and_takes_no_more() -> None:
    doubler = Doubler()
    batcher = Batcher(doubler, clock=SystemClock(), limits=BatchLimits(items_max=1))
    callers = [asyncio.create_task(batcher.submit(n)) for n in range(5)]
    await turns(2)
    await batcher.close()
    with pytest.raises(Overloaded):
        await batcher.submit(9)
    assert await asyncio.gather(*callers) == [0, 2, 4, 6, 8]
