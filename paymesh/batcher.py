"""The batcher: concurrent callers share one transaction (group commit).

A lone caller pays no waiting; under load a batch lingers for company. A second one sets out beside
the first only if that takes long: what waits meanwhile makes it larger, and cheaper for each.
The batcher's own task owns the transaction; a caller that goes away while queued takes its item
along, later its item runs unheard.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from paymesh.clock import Clock
from paymesh.errors import Internal, Overloaded, PaymentError
from paymesh.linger import Linger

I = TypeVar("I")  # noqa: E741  (item)
O = TypeVar("O")  # noqa: E741  (outcome)


@dataclass(frozen=True, slots=True)
class BatchLimits:
    items_max: int = 200
    queue_items_max: int = 5000
    """Beyond it, submit raises Overloaded: nothing was written."""
    linger_max_s: float = 0.020
    in_flight_max: int = 2
    beside_after_s: float = 0.050
    """So long a batch waits for the one before to end; then it sets out beside it."""


class Batcher(Generic[I, O]):
    """Collects items and hands them in batches to `process`, which gives one outcome an item."""

    def __init__(
        self,
        process: Callable[[Sequence[I]], Awaitable[Sequence[O]]],
        *,
        clock: Clock,
        limits: BatchLimits = BatchLimits(),
        size: Callable[[I], int] = lambda _: 1,
    ) -> None:
        """`size`: what an item counts in the limits."""
        self._process, self._clock, self._limits, self._size = process, clock, limits, size
        self._waiting = 0
        self._queue: deque[tuple[I, asyncio.Future[O]]] = deque()
        self._context = contextvars.copy_context()  # not the first caller's
        self._arrived = asyncio.Event()
        self._slots = asyncio.Semaphore(limits.in_flight_max)
        self._linger = Linger(limits.linger_max_s)
        self._batches: set[asyncio.Task[None]] = set()
        self._loop_task: asyncio.Task[None] | None = None
        self._closed = False

    async def submit(self, item: I) -> O:
        """The item's outcome. Raises Overloaded when too much is waiting or we are closing."""
        [future] = self._queued([item])
        return await future

    async def submit_all(self, items: Sequence[I]) -> list[O | PaymentError]:
        """The items' outcomes, in order; a batch that broke is the error of those in it.

        They are queued all or not at all: raises Overloaded, as submit.
        """
        futures = self._queued(items)
        outcomes: list[O | PaymentError] = []
        try:
            for future in futures:
                try:
                    outcomes.append(await future)
                except PaymentError as error:
                    outcomes.append(error)
        except asyncio.CancelledError:
            for future in futures:
                future.cancel()
            raise
        return outcomes

    def _queued(self, items: Sequence[I]) -> list[asyncio.Future[O]]:
        arriving = sum(map(self._size, items))
        if self._closed or self._waiting + arriving > self._limits.queue_items_max:
            raise Overloaded("too much is waiting; repeat the same request later")
        self._waiting += arriving
        if self._loop_task is None:
            self._loop_task = asyncio.create_task(self._loop(), context=self._context)
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in items]
        self._queue.extend(zip(items, futures, strict=True))
        self._arrived.set()
        return futures

    async def close(self) -> None:
        """Takes no more; what is queued is done."""
        self._closed = True
        while self._queue or self._batches:
            await asyncio.sleep(0.005)
        if self._loop_task is not None:
            self._loop_task.cancel()

    async def _loop(self) -> None:
        while True:
            await self._arrived.wait()
            await self._slots.acquire()
            if self._batches and self._limits.beside_after_s:
                await asyncio.wait(self._batches, timeout=self._limits.beside_after_s)
            elif pause_s := self._linger.seconds(self._waiting):
                await self._clock.sleep(pause_s)
            batch = self._take()
            if not batch:
                self._slots.release()
                continue
            self._linger.began(len(batch))
            task = asyncio.create_task(self._run(batch))
            self._batches.add(task)
            task.add_done_callback(self._batches.discard)

    def _take(self) -> list[tuple[I, asyncio.Future[O]]]:
        batch: list[tuple[I, asyncio.Future[O]]] = []
        taken = 0
        while self._queue:
            size = self._size(self._queue[0][0])
            if batch and taken + size > self._limits.items_max:
                break
            item, future = self._queue.popleft()
            self._waiting -= size
            if not future.cancelled():
                batch.append((item, future))
                taken += size
        if not self._queue:
            self._arrived.clear()
        return batch

    async def _run(self, batch: list[tuple[I, asyncio.Future[O]]]) -> None:
        started = self._clock.monotonic()
        try:
            outcomes = await self._process([item for item, _ in batch])
            for (_, future), outcome in zip(batch, outcomes, strict=True):
                if not future.done():
                    future.set_result(outcome)
        except BaseException as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(Internal(f"the batch broke: {type(error).__name__}"))
            raise
        finally:
            self._linger.ended(self._clock.monotonic() - started)
            self._slots.release()
