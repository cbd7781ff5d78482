"""The port of the bus, in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial

from paymesh.bus.dead import Taken, again, dead_queues, letter_of
from paymesh.bus.envelope import Envelope, delivery_of, first_envelope
from paymesh.bus.inprocess.consumer import InProcessConsumer
from paymesh.bus.inprocess.limits import DEFAULT_LIMITS, InProcessLimits
from paymesh.bus.inprocess.queues import MemoryQueue, Publication
from paymesh.bus.port import (
    DEFAULT_OPTIONS,
    ConsumerOptions,
    Delivery,
    Handler,
    Message,
    PublishFailed,
    Subscription,
)
from paymesh.bus.topology import DEAD_QUEUE_PREFIX, Queue, Topology
from paymesh.failpoint import InjectedFault, failpoint


class InProcessBus:
    """A Bus in memory. All its users live in the event loop that it was started in."""

    def __init__(self, topology: Topology, *, limits: InProcessLimits = DEFAULT_LIMITS) -> None:
        self._topology = topology
        self._limits = limits
        self._queues = {queue.name: MemoryQueue(queue) for queue in topology.queues}
        self._route = lru_cache(maxsize=1024)(topology.route)
        self._timers: set[asyncio.TimerHandle] = set()
        self._publications: set[Publication] = set()
        self._consumers: list[InProcessConsumer] = []
        self._closing = False

    async def start(self) -> None:
        """There is nothing to connect to."""

    async def publish(self, messages: Sequence[Message]) -> Sequence[PublishFailed | None]:
        if self._closing:
            return [PublishFailed("the bus is closed") for _ in messages]
        publication = Publication(len(messages))
        self._publications.add(publication)
        try:
            failpoint("bus.before_publish")
            for position, message in enumerate(messages):
                self._publish_one(message, publication, position)
            if publication.waits_for:
                await self._resolved(publication)
            failpoint("bus.after_publish")
        except InjectedFault as fault:
            return [PublishFailed(repr(fault)) for _ in messages]
        finally:
            publication.give_up("nobody waits for it any more")
            self._publications.discard(publication)
        return publication.outcomes

    async def consume(
        self, queue: str, handler: Handler, options: ConsumerOptions = DEFAULT_OPTIONS
    ) -> Subscription:
        """Raises TopologyError when there is no such queue, RuntimeError after close()."""
        self._topology.queue(queue)
        if self._closing:
            raise RuntimeError("the bus is closed")
        consumer = InProcessConsumer(
            queue=self._queues[queue],
            store=self._store,
            topology=self._topology,
            handler=handler,
            options=options,
            limits=self._limits,
        )
        self._consumers.append(consumer)
        return consumer

    def dead_letters(self, queue: str) -> Sequence[Delivery]:
        """What is parked for this consumer queue; why is in REASON_HEADER."""
        name = DEAD_QUEUE_PREFIX + queue
        return [delivery_of(held.envelope, name) for held in self._queues[name].waiting]

    async def parked(self, queue: str) -> int:
        return len(self._dead(queue).waiting)

    def depths(self) -> Mapping[str, int]:
        """As of DeadLetters: the bus is that port, too."""
        found = {q: len(self._dead(q).waiting) for q in dead_queues(self._topology)}
        return {queue: count for queue, count in found.items() if count}

    def each(self, queue: str) -> Iterator[Taken]:
        dead = self._dead(queue)
        for held in list(dead.waiting):
            letter = letter_of(held.envelope, queue)
            remove = partial(dead.waiting.remove, held)
            replay = partial(self._replay, again(held.envelope, letter), remove)
            yield Taken(letter, replay, remove)

    def _dead(self, queue: str) -> MemoryQueue:
        return self._queues[DEAD_QUEUE_PREFIX + queue]

    def _replay(self, envelope: Envelope, remove: Callable[[], None]) -> None:
        failure = self._store(envelope)
        if failure:
            raise ConnectionError(f"the bus did not take {envelope.message_id} back: {failure}")
        remove()

    async def close(self) -> None:
        self._closing = True
        await asyncio.gather(*(consumer.stop() for consumer in self._consumers))
        for timer in self._timers:
            timer.cancel()
        for publication in list(self._publications):
            publication.give_up("the bus is closed")

    def _publish_one(self, message: Message, publication: Publication, position: int) -> None:
        envelope = first_envelope(message)
        names = self._route(envelope.exchange, envelope.routing_key)
        failure = None if names else f"unroutable: no queue is bound for {message.routing_key}"
        failure = failure or self._full(names)
        if failure:
            publication.outcomes[position] = PublishFailed(failure)
            return
        publication.waits_for[position] = set(names)
        for name in names:
            self._queues[name].publish(envelope, publication, position)

    async def _resolved(self, publication: Publication) -> None:
        """Waits for the handlers, as long as there is one to wait for."""
        limits = self._limits
        first_s = min(limits.consumer_wait_s, limits.publish_timeout_s)
        await asyncio.wait({publication.resolved}, timeout=first_s)
        names = {name for queues in publication.waits_for.values() for name in queues}
        if any(self._queues[name].consumers for name in names):
            left_s = limits.publish_timeout_s - first_s
            await asyncio.wait({publication.resolved}, timeout=left_s)
        publication.give_up("it is held in memory only")

    def _store(self, envelope: Envelope) -> PublishFailed | None:
        """Puts a leftover where the topology says: a rung of the ladder, or the dead letters."""
        names = self._route(envelope.exchange, envelope.routing_key)
        full = self._full(names)
        if full:
            return PublishFailed(full)
        for name in names:
            queue = self._queues[name]
            if queue.definition.ttl_ms is None:
                queue.put(envelope)
            else:
                self._expire_later(envelope, queue.definition, queue.definition.ttl_ms)
        return None

    def _full(self, names: Sequence[str]) -> str | None:
        for name in names:
            queue = self._queues[name]
            on_ladder = queue.definition.ttl_ms is not None
            held = len(self._timers) if on_ladder else len(queue.waiting)
            if held >= self._limits.queue_messages_max:
                return f"queue {name} is full"
        return None

    def _expire_later(self, envelope: Envelope, definition: Queue, ttl_ms: int) -> None:
        exchange = definition.arguments["x-dead-letter-exchange"]

        def expire() -> None:
            self._timers.discard(timer)
            failure = self._store(replace(envelope, exchange=exchange))
            if failure:  # as a broker does: it stays on its rung
                self._expire_later(envelope, definition, max(ttl_ms, 1000))

        timer = asyncio.get_running_loop().call_later(ttl_ms / 1000, expire)
        self._timers.add(timer)
