"""A message with what the bus itself must remember of it, and how a failed part climbs the ladder.

Both buses write and read messages through these functions, so they cannot differ in them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from paymesh.bus.port import (
    ATTEMPT_HEADER,
    PARKED_HEADER,
    REASON_HEADER,
    Delivery,
    Leftover,
    Message,
    Verdict,
)
from paymesh.bus.topology import DEAD_EXCHANGE, EVENTS_EXCHANGE, Queue, Topology

ROUTING_KEY_HEADER = "payments-routing-key"
"""The key that the message was first published with: on the ladder its key is a queue's name."""

DELIVERY_COUNT_HEADER = "x-delivery-count"
DELIVERY_LIMIT_REASON = "delivery_limit: taken again and again without an ack"
REASON_CHARS_MAX = 500

_OURS = frozenset({ATTEMPT_HEADER, ROUTING_KEY_HEADER})


@dataclass(frozen=True, slots=True)
class Envelope:
    """What goes over the wire: where to, and the message with its bookkeeping headers."""

    exchange: str
    routing_key: str
    message_id: str
    body: bytes
    headers: Mapping[str, Any]


def first_envelope(message: Message) -> Envelope:
    """A message on its first way, to whoever has bound its routing key."""
    return Envelope(EVENTS_EXCHANGE, message.routing_key, message.id, message.body, message.headers)


def delivery_of(envelope: Envelope, queue: str) -> Delivery:
    """What a consumer of the queue sees: the broker's headers and our counters taken away.

    REASON_HEADER stays among the headers, so that a person can read why a message was parked; if
    the broker itself parked it (x-delivery-limit), it is made up here.
    """
    headers = envelope.headers
    seen = {k: v for k, v in headers.items() if k not in _OURS and not k.startswith("x-")}
    deaths = _deaths(headers)
    if deaths and deaths[0].get("reason") == "delivery_limit":
        seen[REASON_HEADER] = DELIVERY_LIMIT_REASON
    return Delivery(
        message=Message(envelope.message_id, _original_key(envelope), envelope.body, seen),
        queue=queue,
        attempt=_count(headers.get(ATTEMPT_HEADER)),
        delivery_count=_count(headers.get(DELIVERY_COUNT_HEADER)),
    )


def leftovers_of(topology: Topology, delivery: Delivery, verdict: Verdict) -> Sequence[Envelope]:
    """What must be stored elsewhere before the delivery may be acked.

    `retry` goes to the rung that comes next, past the last one to the dead letters with `dead`.
    """
    rungs = topology.rungs(delivery.queue) if verdict.retry else ()
    moves = []
    for leftover in verdict.retry:
        if delivery.attempt < len(rungs):
            exchange, attempt = rungs[delivery.attempt].exchange, delivery.attempt + 1
            moves.append(_moved(delivery, leftover, exchange=exchange, attempt=attempt))
        else:
            reason = f"gave up after {delivery.attempt} retries: {leftover.reason}"
            moves.append(_parked(delivery, leftover, reason))
    moves += [_parked(delivery, leftover, leftover.reason) for leftover in verdict.dead]
    return moves


def parked_by_limit(envelope: Envelope, queue: Queue) -> Envelope | None:
    """What RabbitMQ makes of a message that crossed the queue's x-delivery-limit; None: it drops
    it, having no dead-letter exchange."""
    exchange = queue.arguments.get("x-dead-letter-exchange")
    if exchange is None:
        return None
    headers = {
        ROUTING_KEY_HEADER: envelope.routing_key,
        **envelope.headers,
        REASON_HEADER: DELIVERY_LIMIT_REASON,
    }
    key = queue.arguments.get("x-dead-letter-routing-key", envelope.routing_key)
    return replace(envelope, exchange=exchange, routing_key=key, headers=headers)


def _parked(delivery: Delivery, leftover: Leftover, reason: str) -> Envelope:
    why = Leftover(leftover.message_id, leftover.body, reason)
    moved = _moved(delivery, why, exchange=DEAD_EXCHANGE, attempt=delivery.attempt)
    return replace(moved, headers={**moved.headers, PARKED_HEADER: int(time.time())})


def _moved(delivery: Delivery, leftover: Leftover, *, exchange: str, attempt: int) -> Envelope:
    return Envelope(
        exchange,
        delivery.queue,
        leftover.message_id,
        leftover.body,
        {
            **delivery.message.headers,
            ATTEMPT_HEADER: attempt,
            REASON_HEADER: leftover.reason[:REASON_CHARS_MAX],
            ROUTING_KEY_HEADER: delivery.message.routing_key,
        },
    )


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0


def _original_key(envelope: Envelope) -> str:
    """Ours where we moved the message; the broker's own memory where only the broker has."""
    ours = envelope.headers.get(ROUTING_KEY_HEADER)
    if ours is not None:
        return str(ours)
    deaths = _deaths(envelope.headers)
    first_keys = deaths[-1].get("routing-keys") if deaths else None
    return str(first_keys[0]) if first_keys else envelope.routing_key


def _deaths(headers: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Where the broker has dead-lettered the message, the latest first; anybody can write headers,
    so what does not look like the broker's is ignored."""
    deaths = headers.get("x-death")
    if isinstance(deaths, list) and all(isinstance(death, dict) for death in deaths):
        return deaths
    return ()
