"""Dropped letters: what a person has decided not to replay, kept with his reason.

For its consumer the events count as taken: should they come once more, nothing happens. It is
written before the letter is removed, and writing it twice is writing it once.
"""

from __future__ import annotations

import psycopg
from payments.type.v1.event_pb2 import Event

from paymesh.bus.dead import UNROUTED, Letter
from paymesh.db.session import arguments
from paymesh.ids import bucket_of


def service_of(letter: Letter) -> str:
    """Whose consumer could not take it: queues and events are named after services."""
    name = letter.routing_key if letter.queue == UNROUTED else letter.queue
    return name.partition(".")[0]


def keep(url: str, letter: Letter, why: str) -> None:
    """In the consumer's database, as the application's role. Raises psycopg.Error."""
    with psycopg.connect(**arguments(url)) as connection:
        if letter.queue != UNROUTED:
            for event in letter.events:
                connection.execute(
                    _TAKEN, (bucket_of(event.event_id), letter.queue, event.event_id)
                )
        connection.execute(
            _DROPPED,
            {
                "shard_key": bucket_of(letter.message_id),
                "consumer": letter.queue,
                "message_id": letter.message_id,
                "digest": letter.digest,
                "body": letter.body,
                "routing_key": letter.routing_key,
                "business_ids": sorted(set(map(business_id_of, letter.events))),
                "reason": letter.reason,
                "why": why,
            },
        )


def business_id_of(event: Event) -> str:
    business_id: str = event.call_context.context.business_id
    return business_id


_TAKEN = (
    "INSERT INTO inbox (shard_key, consumer, message_id) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
)
_DROPPED = """
    INSERT INTO dropped_letter (shard_key, consumer, message_id, digest, body, routing_key,
        business_ids, reason, why)
    VALUES (%(shard_key)s, %(consumer)s, %(message_id)s, %(digest)s, %(body)s, %(routing_key)s,
        %(business_ids)s, %(reason)s, %(why)s)
    ON CONFLICT DO NOTHING
"""
