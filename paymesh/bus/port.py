"""What the rest of the program knows of a message bus.

A bus carries opaque bodies. Whoever publishes learns, message by message, whether the bus has taken
it durably; whoever consumes gets batches and says, delivery by delivery, what became of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

ATTEMPT_HEADER = "payments-attempt"
"""How many times a consumer has already given this message to the retry ladder (int, from 0)."""

REASON_HEADER = "payments-reason"
"""Why the message was last retried or parked (text, at most 500 characters)."""


PARKED_HEADER = "payments-parked-at"
"""When the message was parked (int, seconds since 1970)."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message: an id that stays the same on every retry, a routing key, a body, headers."""

    id: str
    routing_key: str
    body: bytes
    headers: Mapping[str, str | int | bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message as a consumer gets it."""

    message: Message
    queue: str
    attempt: int
    """From ATTEMPT_HEADER: 0 on the first way through the queue, 1 after the first rung, …"""
    delivery_count: int
    """How often the broker delivered it before without an ack (x-delivery-count), from 0."""


@dataclass(frozen=True, slots=True)
class Leftover:
    """A part of a delivery that could not be handled: the whole body, or a smaller one."""

    message_id: str
    body: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one delivery: nothing left over means it was handled and is acked.

    `retry` climbs the retry ladder of the queue; past its last rung it is parked. `dead` is parked
    at once in the queue's dead letters. A delivery is acked only when its leftovers are confirmed.
    """

    retry: tuple[Leftover, ...] = ()
    dead: tuple[Leftover, ...] = ()


HANDLED = Verdict()

Handler = Callable[[Sequence[Delivery]], Awaitable[Sequence[Verdict]]]
"""Takes a batch, gives one verdict a delivery, in the same order. If it raises, nothing of the
batch is acked and the deliveries come again."""


@dataclass(frozen=True, slots=True)
class ConsumerOptions:
    prefetch: int = 500
    """Deliveries the broker may send ahead of our acks."""
    batch_deliveries_max: int = 200
    handler_timeout_s: float = 10.0
    """A handler past it is cancelled; its batch comes again."""


DEFAULT_OPTIONS = ConsumerOptions()


class PublishFailed(Exception):
    """The bus did not take the message: nacked, unroutable, or not confirmed in time."""


class Subscription(Protocol):
    async def stop(self) -> None:
        """Take no more; wait for the batch under way (at most the handler's timeout)."""


class Bus(Protocol):
    async def start(self) -> None:
        """Connect, and reconnect until closed. Returns once the first connection stands."""

    async def publish(self, messages: Sequence[Message]) -> Sequence[PublishFailed | None]:
        """Send a batch; the outcome of each, in order: None when durably taken."""

    async def consume(
        self, queue: str, handler: Handler, options: ConsumerOptions = DEFAULT_OPTIONS
    ) -> Subscription:
        """Feed the queue's deliveries to the handler, one batch at a time."""

    async def parked(self, queue: str) -> int:
        """How many messages lie in the dead letters of this consumer queue. Raises
        ConnectionError."""

    async def close(self) -> None:
        """Stop the subscriptions, flush what is being published (at most 5 s), disconnect."""
