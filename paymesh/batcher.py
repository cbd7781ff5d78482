"""The batcher: concurrent callers share one transaction (group commit).

A lone caller pays no waiting: the batcher lingers only when the last batch held more than one, and
longer the fuller it was. At most two batches are in flight. The batcher's own task owns the
transaction; a caller that goes away while queued takes its item along, later its item runs unheard.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from paymesh.clock import Clock
from paymesh.errors import Internal, Overloaded

I = TypeVar("I")  # noqa: E741  (item)
O = TypeVar("O")  # noqa: E741  (outcome)


@dataclass(frozen=True, slots=True)
class BatchLimits:
    items_max: int = 200
    queue_items_max: int = 5000
    """Beyond it, submit raises Overloaded: nothing was written."""
    linger_max_s: float = 0.010
    in_flight_max: int = 2


class Batcher(Generic[I, O]):
    """Collects items and hands them in batches to `process`, which gives one outcome an item."""

    def __init__(
        self,
        process: Callable[[Sequence[I]], Awaitable[Sequence[O]]],
        *,
        clock: Clock,
        limits: BatchLimits = BatchLimits(),
    ) -> None:
        self._process, self._clock, self._limits = process, clock, limits
        self._queue: deque[tuple[I, asyncio.Future[O]]] = deque()
        self._context = contextvars.copy_context()  # not the first caller's
        self._arrived = asyncio.Event()
        self._slots = asyncio.Semaphore(limits.in_flight_max)
        self._last_batch_items = 1
        self._batches: set[asyncio.Task[None]] = set()
        self._loop_task: asyncio.Task[None] | None = None
        self._closed = False

    async def submit(self, item: I) -> O:
        """The item's outcome. Raises Overloaded when too much is waiting or we are closing."""
        if self._closed or len(self._queue) >= self._limits.queue_items_max:
            raise Overloaded("too much is waiting; repeat the same request later")
        if self._loop_task is None:
            self._loop_task = asyncio.create_task(self._loop(), context=self._context)
        future: asyncio.Future[O] = asyncio.get_running_loop().create_future()
        self._queue.append((item, future))
        self._arrived.set()
        return await future

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
            if self._last_batch_items > 1 and len(self._queue) < self._limits.items_max:
                fullness = min(1.0, 4 * self._last_batch_items / self._limits.items_max)
                await self._clock.sleep(self._limits.linger_max_s * fullness)
            batch = self._take()
            if not batch:
                self._slots.release()
                continue
            self._last_batch_items = len(batch)
            task = asyncio.create_task(self._run(batch))
            self._batches.add(task)
            task.add_done_callback(self._batches.discard)

    def _take(self) -> list[tuple[I, asyncio.Future[O]]]:
        batch: list[tuple[I, asyncio.Future[O]]] = []
        while self._queue and len(batch) < self._limits.items_max:
            item, future = self._queue.popleft()
            if not future.cancelled():
                batch.append((item, future))
        if not self._queue:
            self._arrived.clear()
        return batch

    async def _run(self, batch: list[tuple[I, asyncio.Future[O]]]) -> None:
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
            self._slots.release()
