"""Dead letters: what consumers could not take lies here until a person has decided what of it.

Both buses show them through the same port, oldest first. A letter that is looked at stays; it goes
back to its consumer, who knows by the ids of its events what counted before, or it is removed by
who has kept it elsewhere (see paymesh.bus.dropping).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from google.protobuf.message import DecodeError
from payments.type.v1.event_pb2 import Event, EventBatch

from paymesh.bus.envelope import ROUTING_KEY_HEADER, Envelope, delivery_of
from paymesh.bus.port import ATTEMPT_HEADER, PARKED_HEADER, REASON_HEADER
from paymesh.bus.topology import (
    DEAD_QUEUE_PREFIX,
    EVENTS_EXCHANGE,
    REDELIVER_EXCHANGE,
    Topology,
)

UNROUTED = "unrouted"
"""In place of a queue: what was for a queue that is gone."""


@dataclass(frozen=True, slots=True)
class Letter:
    queue: str
    """The consumer's, or UNROUTED."""
    message_id: str
    body: bytes
    routing_key: str
    """What it was first published with."""
    reason: str
    attempts: int
    """How often it was on the retry ladder."""
    parked_at: datetime | None
    """None: nobody has noted it."""
    events: tuple[Event, ...]
    """Empty for a body that nobody can read."""

    @property
    def digest(self) -> str:
        """Tells letters of one message apart: a part of it may have been parked before another."""
        return hashlib.sha256(self.body).hexdigest()


@dataclass(frozen=True, slots=True)
class Taken:
    """A letter, and what can be done with it, once, before the next one is taken. Raises
    ConnectionError."""

    letter: Letter
    replay: Callable[[], None]
    """Back to its consumer: confirmed there before it is removed here."""
    remove: Callable[[], None]


class DeadLetters(Protocol):
    def depths(self) -> Mapping[str, int]:
        """How many letters lie there, by queue; without queues that have none."""

    def each(self, queue: str) -> Iterator[Taken]:
        """Those that lie there now, each once. What nothing is done with stays."""


def dead_queues(topology: Topology) -> list[str]:
    """By what their letters' `queue` is."""
    names = (queue.name for queue in topology.queues)
    return [n.removeprefix(DEAD_QUEUE_PREFIX) for n in names if n.startswith(DEAD_QUEUE_PREFIX)]


def letter_of(envelope: Envelope, queue: str) -> Letter:
    delivery = delivery_of(envelope, DEAD_QUEUE_PREFIX + queue)
    headers = delivery.message.headers
    parked = headers.get(PARKED_HEADER)
    try:
        events = tuple(EventBatch.FromString(envelope.body).events)
    except DecodeError:
        events = ()
    return Letter(
        queue=queue,
        message_id=envelope.message_id,
        body=envelope.body,
        routing_key=delivery.message.routing_key,
        reason=str(headers.get(REASON_HEADER, "")),
        attempts=delivery.attempt,
        parked_at=datetime.fromtimestamp(parked, UTC) if isinstance(parked, int) else None,
        events=events,
    )


def again(envelope: Envelope, letter: Letter) -> Envelope:
    """The letter on its way back, as if it had never been tried; what lost its queue goes to all
    that its events are for."""
    gone = {ATTEMPT_HEADER, REASON_HEADER, PARKED_HEADER}
    headers = {
        k: v for k, v in envelope.headers.items() if k not in gone and not k.startswith("x-")
    }
    if letter.queue == UNROUTED:
        key = letter.events[0].type if letter.events else letter.routing_key
        return Envelope(EVENTS_EXCHANGE, key, letter.message_id, letter.body, headers)
    headers[ROUTING_KEY_HEADER] = letter.routing_key
    return Envelope(REDELIVER_EXCHANGE, letter.queue, letter.message_id, letter.body, headers)
