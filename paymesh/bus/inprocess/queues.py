"""What the in-process bus holds: queues of messages, and the publications that wait for them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from paymesh.bus.envelope import Envelope
from paymesh.bus.handling import SUSPICIOUS_DELIVERY_COUNT
from paymesh.bus.port import PublishFailed
from paymesh.bus.topology import Queue


class Publication:
    """One call of publish: which queues each message still waits for."""

    def __init__(self, messages: int) -> None:
        self.outcomes: list[PublishFailed | None] = [None] * messages
        self.waits_for: dict[int, set[str]] = {}
        self.resolved: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def resolve(self, position: int, queue: str) -> None:
        queues = self.waits_for.get(position, set())
        queues.discard(queue)
        if not queues:
            self.waits_for.pop(position, None)
        if not self.waits_for and not self.resolved.done():
            self.resolved.set_result(None)

    def give_up(self, reason: str) -> None:
        for position, queues in self.waits_for.items():
            names = ", ".join(sorted(queues))
            self.outcomes[position] = PublishFailed(f"not handled yet by {names}: {reason}")
        self.waits_for.clear()
        if not self.resolved.done():
            self.resolved.set_result(None)


@dataclass(slots=True, eq=False)
class Held:
    """A message in a queue or in a handler's hands, and the publications that wait for it."""

    envelope: Envelope
    delivery_count: int = 0
    waiters: list[tuple[Publication, int]] = field(default_factory=list)


class MemoryQueue:
    def __init__(self, definition: Queue) -> None:
        self.definition = definition
        self.waiting: deque[Held] = deque()
        self.published: dict[str, Held] = {}
        """By id, those that came from publish and are not resolved."""
        self.arrived = asyncio.Event()
        self.consumers = 0

    def put(self, envelope: Envelope) -> Held:
        held = Held(envelope)
        self.waiting.append(held)
        self.arrived.set()
        return held

    def publish(self, envelope: Envelope, publication: Publication, position: int) -> None:
        held = self.published.get(envelope.message_id)
        if held is None or held.envelope.body != envelope.body:
            held = self.put(envelope)
            self.published.setdefault(envelope.message_id, held)
        held.waiters = [w for w in held.waiters if not w[0].resolved.done()]
        held.waiters.append((publication, position))

    def acknowledge(self, held: Held) -> None:
        if self.published.get(held.envelope.message_id) is held:
            del self.published[held.envelope.message_id]
        for publication, position in held.waiters:
            publication.resolve(position, self.definition.name)

    def take(self, most: int) -> list[Held]:
        """The next batch; a suspicious delivery comes alone."""
        batch: list[Held] = []
        while self.waiting and len(batch) < most:
            alone = self.waiting[0].delivery_count >= SUSPICIOUS_DELIVERY_COUNT
            if alone and batch:
                break
            batch.append(self.waiting.popleft())
            if alone:
                break
        return batch

    def put_back(self, batch: Iterable[Held]) -> None:
        """At the head, in their order: what a handler took and did not acknowledge."""
        self.waiting.extendleft(reversed(list(batch)))
        self.arrived.set()
