"""Consuming in memory: one batch at a time; what is not acknowledged goes back to the head."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

import structlog

from paymesh.bus.envelope import Envelope, delivery_of, leftovers_of, parked_by_limit
from paymesh.bus.handling import HandlerFailed, backoff_s, handle
from paymesh.bus.inprocess.limits import InProcessLimits
from paymesh.bus.inprocess.queues import Held, MemoryQueue
from paymesh.bus.port import ConsumerOptions, Delivery, Handler, PublishFailed, Verdict
from paymesh.bus.topology import Topology
from paymesh.failpoint import failpoint

log = structlog.get_logger()

Store = Callable[[Envelope], PublishFailed | None]
"""Puts a message where the topology routes it."""


class InProcessConsumer:
    """A subscription. `prefetch` means nothing here: there is no broker to send ahead."""

    def __init__(
        self,
        *,
        queue: MemoryQueue,
        store: Store,
        topology: Topology,
        handler: Handler,
        options: ConsumerOptions,
        limits: InProcessLimits,
    ) -> None:
        self._queue = queue
        self._store = store
        self._topology = topology
        self._handler = handler
        self._options = options
        self._limits = limits
        self._log = log.bind(queue=queue.definition.name)
        self._stopping = asyncio.Event()
        queue.consumers += 1
        self._task = asyncio.create_task(self._run(), name=f"consumer of {queue.definition.name}")

    async def stop(self) -> None:
        """Takes no more; ends the batch under way, leaves the rest where it is."""
        self._stopping.set()
        self._queue.arrived.set()
        patience_s = self._options.handler_timeout_s + 1.0
        await asyncio.wait({self._task}, timeout=patience_s)
        if not self._task.done():
            self._log.error("bus.handler_cannot_be_cancelled", waited_s=patience_s)
            self._task.cancel()

    async def _run(self) -> None:
        failures = 0
        try:
            while not self._stopping.is_set():
                batch = self._queue.take(self._options.batch_deliveries_max)
                if not batch:
                    self._queue.arrived.clear()
                    await self._queue.arrived.wait()
                    continue
                again = await self._work(batch)
                failures = failures + 1 if again else 0
                if again:
                    self._give_back(again)
                    limits = self._limits
                    await self._pause(backoff_s(failures, limits.reopen_min_s, limits.reopen_max_s))
                await asyncio.sleep(0)  # a handler that never waits must not keep the loop
        finally:
            self._queue.consumers -= 1

    async def _work(self, batch: Sequence[Held]) -> Sequence[Held]:
        """Handles a batch; what must come again."""
        try:
            deliveries = [self._delivery(held) for held in batch]
            verdicts = await handle(self._handler, deliveries, self._options.handler_timeout_s)
            return self._finish(batch, deliveries, verdicts)
        except HandlerFailed as failed:
            self._log.error("bus.handler_failed", exc_info=failed)
        except Exception:
            # Not a way out for errors: all of it comes again, and is parked in the end.
            self._log.exception("bus.consumer_failed")
        except asyncio.CancelledError:
            self._queue.put_back(batch)
            raise
        return batch

    def _delivery(self, held: Held) -> Delivery:
        delivery = delivery_of(held.envelope, self._queue.definition.name)
        return replace(delivery, delivery_count=held.delivery_count)

    def _finish(
        self, batch: Sequence[Held], deliveries: Sequence[Delivery], verdicts: Sequence[Verdict]
    ) -> Sequence[Held]:
        """Stores the leftovers, then acknowledges; returns those whose leftovers found no room."""
        unstored = []
        for held, delivery, verdict in zip(batch, deliveries, verdicts, strict=True):
            moves = leftovers_of(self._topology, delivery, verdict)
            refusals = [refusal for move in moves if (refusal := self._store(move))]
            if refusals:
                self._log.warning("bus.leftovers_not_stored", reason=str(refusals[0]))
                unstored.append(held)
        failpoint("consumer.before_ack")
        for held in batch:
            if held not in unstored:
                self._queue.acknowledge(held)
        return unstored

    def _give_back(self, batch: Sequence[Held]) -> None:
        """To the head of the queue; to the dead letters what came too often, as a broker does."""
        definition = self._queue.definition
        limit = definition.arguments.get("x-delivery-limit")
        kept = []
        for held in batch:
            held.delivery_count += 1
            if limit is not None and held.delivery_count > limit:
                parked = parked_by_limit(held.envelope, definition)
                if parked is None or not self._store(parked):
                    self._queue.acknowledge(held)
                    continue
            kept.append(held)
        self._queue.put_back(kept)

    async def _pause(self, pause_s: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), pause_s)
        except TimeoutError:
            return
